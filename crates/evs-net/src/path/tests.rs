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

#[test]
fn what_the_kernel_did_not_take_is_lost_at_once_and_counts_once() {
    let (mut health, mut got) = (Health::new(), Tally::default());
    round(&mut health, &mut got, (10, 0), (10, 0));
    (0..100).for_each(|_| health.count_sent(true));
    health.take_back(Tally { all: 60, large: 60 });
    assert!(health.loss_ppm() > 400_000, "before any echo: {}", health.loss_ppm());
    assert!(!round(&mut health, &mut got, (0, 0), (0, 40)), "size is not what they were lost for");
    let settled = health.loss_ppm();
    assert!((400_000..=600_000).contains(&settled), "{settled}");
    round(&mut health, &mut got, (100, 0), (100, 0));
    assert!(health.loss_ppm() < settled / 2, "{}", health.loss_ppm());
    health.take_back(Tally { all: 200, large: 0 });
    assert!(!round(&mut health, &mut got, (0, 0), (0, 0)), "they may not have been counted");
    assert!(!round(&mut health, &mut got, (10, 0), (10, 0)));
    (0..2_000).for_each(|_| health.count_sent(true));
    let before = health.loss_ppm();
    health.take_back(Tally { all: 2, large: 2 });
    assert!(health.loss_ppm() <= before + 1_000, "two of thousands say little");
}
