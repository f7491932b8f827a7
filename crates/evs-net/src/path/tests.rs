use super::*;

fn echo(challenge: u64, received: Tally) -> Echo {
    Echo {
        node: crate::testing::node(2),
        incarnation: 1,
        challenge,
        stamp: 0,
        received: received.all,
        received_large: received.large,
    }
}

/// Sends so many small and large datagrams, of which so many of each arrive, and a hello.
fn round(health: &mut Health, got: &mut Tally, sent: (u32, u32), received: (u32, u32)) {
    (0..sent.0).for_each(|_| health.count_sent(false));
    (0..sent.1).for_each(|_| health.count_sent(true));
    got.all = got.all.wrapping_add(received.0 + received.1);
    got.large = got.large.wrapping_add(received.1);
    let challenge = u64::from(health.sent.all) << 8 | 1;
    health.probe(challenge);
    health.settle(echo(challenge, *got), false);
}

#[test]
fn loss_is_what_left_and_did_not_come() {
    let (mut health, mut got) = (Health::new(), Tally { all: u32::MAX - 20, large: u32::MAX - 3 });
    round(&mut health, &mut got, (10, 0), (10, 0));
    round(&mut health, &mut got, (100, 50), (100, 50));
    assert_eq!(health.loss_ppm, 0, "the counters may wrap meanwhile");
    for _ in 0..10 {
        round(&mut health, &mut got, (100, 0), (80, 0));
    }
    assert!((190_000..=200_000).contains(&health.loss_ppm), "{}", health.loss_ppm);
    for _ in 0..10 {
        round(&mut health, &mut got, (100, 0), (100, 0));
    }
    assert!(health.loss_ppm < 1_000, "{}", health.loss_ppm);
}

#[test]
fn one_lost_datagram_says_little() {
    let (mut health, mut got) = (Health::new(), Tally::default());
    round(&mut health, &mut got, (1, 0), (1, 0));
    round(&mut health, &mut got, (1, 0), (0, 0));
    assert!(health.loss_ppm < 30_000, "{}", health.loss_ppm);
}

#[test]
fn large_datagrams_that_all_get_lost_make_a_path_narrow_and_one_that_comes_makes_it_wide() {
    let (mut health, mut got) = (Health::new(), Tally::default());
    round(&mut health, &mut got, (5, 5), (5, 5));
    round(&mut health, &mut got, (5, 2), (5, 0));
    assert!(!health.narrow, "two are chance");
    round(&mut health, &mut got, (5, 3), (5, 0));
    assert!(health.narrow);
    round(&mut health, &mut got, (5, 1), (5, 1));
    assert!(!health.narrow);
    round(&mut health, &mut got, (20, 20), (14, 14));
    assert!(!health.narrow, "small ones get lost as well");
    round(&mut health, &mut got, (20, 20), (20, 10));
    assert!(health.narrow, "as much as came before the path became narrow");
}

#[test]
fn two_large_hellos_without_an_answer_make_a_path_narrow() {
    let mut health = Health::new();
    health.probe_full(1);
    health.probe_full(2);
    assert!(!health.narrow, "one may get lost");
    health.probe_full(3);
    assert!(health.narrow);
    health.settle(echo(3, Tally::default()), true);
    assert!(!health.narrow);
}

#[test]
fn the_echo_of_an_old_challenge_counts_nothing() {
    let (mut health, mut got) = (Health::new(), Tally::default());
    round(&mut health, &mut got, (5, 0), (5, 0));
    health.settle(echo(77, Tally { all: 1_000, large: 0 }), false);
    round(&mut health, &mut got, (5, 0), (5, 0));
    assert_eq!(health.loss_ppm, 0);
}
