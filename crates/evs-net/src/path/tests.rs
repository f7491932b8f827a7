use super::*;

fn echo(challenge: u64, received: Tally) -> Echo {
    Echo {
        node: crate::testing::node(2),
        incarnation: 1,
        challenge,
        stamp: 0,
        received: received.all,
        received_large: received.large,
        losses: Losses::default(),
    }
}

/// Sends so many small and large datagrams, of which so many of each arrive, and a hello.
fn round(health: &mut Health, got: &mut Tally, sent: (u32, u32), received: (u32, u32)) -> bool {
    (0..sent.0).for_each(|_| health.count_sent(false));
    (0..sent.1).for_each(|_| health.count_sent(true));
    got.all = got.all.wrapping_add(received.0 + received.1);
    got.large = got.large.wrapping_add(received.1);
    let challenge = u64::from(health.sent.all) << 8 | 1;
    health.probe(challenge);
    health.settle(echo(challenge, *got))
}

#[test]
fn loss_is_what_left_and_did_not_come() {
    let (mut health, mut got) = (Health::new(), Tally { all: u32::MAX - 20, large: u32::MAX - 3 });
    round(&mut health, &mut got, (10, 0), (10, 0));
    round(&mut health, &mut got, (100, 50), (100, 50));
    assert_eq!(health.loss_ppm(), 0, "the counters may wrap meanwhile");
    for _ in 0..10 {
        round(&mut health, &mut got, (100, 0), (80, 0));
    }
    assert!((190_000..=200_000).contains(&health.loss_ppm()), "{}", health.loss_ppm());
    for _ in 0..10 {
        round(&mut health, &mut got, (100, 0), (100, 0));
    }
    assert!(health.loss_ppm() < 1_000, "{}", health.loss_ppm());
}

#[test]
fn one_lost_datagram_says_little() {
    let (mut health, mut got) = (Health::new(), Tally::default());
    round(&mut health, &mut got, (1, 0), (1, 0));
    round(&mut health, &mut got, (1, 0), (0, 0));
    assert!(health.loss_ppm() < 30_000, "{}", health.loss_ppm());
}

#[test]
fn large_datagrams_that_all_get_lost_do_not_pass_where_small_ones_do() {
    let (mut health, mut got) = (Health::new(), Tally::default());
    assert!(!round(&mut health, &mut got, (5, 5), (5, 5)));
    assert!(!round(&mut health, &mut got, (5, 2), (5, 0)), "two are chance");
    assert!(!round(&mut health, &mut got, (5, 0), (5, 0)));
    assert!(round(&mut health, &mut got, (5, 1), (5, 0)), "three in a row are not");
    assert!(!round(&mut health, &mut got, (5, 1), (5, 1)));
    assert!(!round(&mut health, &mut got, (5, 2), (5, 0)), "it began anew");
    assert!(!round(&mut health, &mut got, (5, 3), (5, 3)));
    assert!(!round(&mut health, &mut got, (20, 20), (14, 14)), "small ones get lost as well");
    health = Health::new();
    assert!(!round(&mut health, &mut got, (5, 5), (5, 5)));
    assert!(round(&mut health, &mut got, (20, 20), (20, 10)), "some came before the rest was lost");
}

/// Without it a path that loses a third of everything would go up and down.
#[test]
fn where_small_datagrams_get_lost_more_large_ones_must_be() {
    let (mut health, mut got) = (Health::new(), Tally::default());
    let lost = |sent: u32| sent * 3 / 10;
    for _ in 0..20 {
        assert!(!round(&mut health, &mut got, (40, 20), (40 - lost(40), 20 - lost(20))));
    }
    assert!(!round(&mut health, &mut got, (2, 6), (2, 0)), "by chance, once in a thousand times");
    assert!(round(&mut health, &mut got, (2, 8), (2, 0)), "fourteen in a row are not");
}

#[test]
fn padded_hellos_without_an_answer_do_not_pass_and_more_of_them_where_hellos_get_lost() {
    let mut health = Health::new();
    assert!(!health.probe_full(1));
    assert!(!health.probe_full(2), "one may get lost");
    assert!(health.probe_full(3));
    health.passed();
    assert!(!health.probe_full(4));
    health.small_loss_ppm = 100_000;
    assert_eq!((5..20).position(|challenge| health.probe_full(challenge)), Some(6));
}

#[test]
fn the_echo_of_an_old_challenge_counts_nothing() {
    let (mut health, mut got) = (Health::new(), Tally::default());
    round(&mut health, &mut got, (5, 0), (5, 0));
    assert!(!health.settle(echo(77, Tally { all: 1_000, large: 0 })));
    round(&mut health, &mut got, (5, 0), (5, 0));
    assert_eq!(health.loss_ppm(), 0);
}

/// Sends so many large datagrams, and a hello; the kernel takes so few. That is known before the
/// hello is sealed, or after.
fn refused(health: &mut Health, got: &mut Tally, sent: u32, taken: u32, known_late: bool) -> bool {
    let unsent = Tally { all: sent - taken, large: sent - taken };
    (0..sent).for_each(|_| {
        health.count_sent(true);
    });
    if !known_late {
        health.count_unsent(unsent);
    }
    health.probe(7);
    if known_late {
        health.count_unsent(unsent);
    }
    assert!(health.loss_ppm() >= 300_000, "before any echo: {}", health.loss_ppm());
    *got = Tally { all: got.all + taken, large: got.large + taken };
    health.settle(echo(7, *got))
}

#[test]
fn what_the_kernel_did_not_take_is_lost_at_once_and_counts_once() {
    for known_late in [false, true] {
        let (mut health, mut got) = (Health::new(), Tally::default());
        round(&mut health, &mut got, (10, 0), (10, 0));
        let large_is_lost = refused(&mut health, &mut got, 100, 40, known_late);
        assert!(!large_is_lost, "size is not what they were lost for");
        let settled = health.loss_ppm();
        assert!((400_000..=500_000).contains(&settled), "{settled}");
        round(&mut health, &mut got, (100, 0), (100, 0));
        assert!(health.loss_ppm() < settled / 2, "{}", health.loss_ppm());
        assert!(!round(&mut health, &mut got, (10, 10), (10, 10)));
        assert!(round(&mut health, &mut got, (10, 10), (10, 0)), "now it is");
    }
}

#[test]
fn a_few_that_the_kernel_does_not_take_say_little() {
    let mut health = Health::new();
    (0..2_000).for_each(|_| health.count_copy(0));
    for (unsent, most) in [(2, 0), (30, 15_000), (1_000, 400_000)] {
        health.count_unsent(Tally { all: unsent, large: 0 });
        assert!(health.loss_ppm() <= most, "{unsent}: {}", health.loss_ppm());
    }
    assert!(health.loss_ppm() > 300_000, "half of all: {}", health.loss_ppm());
    let mut health = Health::new();
    health.count_copy(0);
    health.count_unsent(Tally { all: 1, large: 0 });
    assert_eq!(health.loss_ppm(), 0, "one of one is chance");
}
