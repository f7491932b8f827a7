//! Several processors over a network in memory: the protocol as a whole.

use evs_model::Guarantee::{Agreed, Safe, Unordered};

use super::fixtures::{MS, Together, members};
use crate::output::StateKind;
use crate::wire::Packet;

/// Totem §5: processors that start together form one ring, and deliver nothing before it.
#[test]
fn three_that_start_together_form_one_ring() {
    let together = Together::formed(&[1, 2, 3]);
    for history in together.histories.values() {
        assert_eq!(history, &["regular 1 2 3"]);
    }
}

#[test]
fn one_alone_listens_and_then_forms_a_ring_of_its_own() {
    let mut together = Together::started(&[4]);
    together.run(900 * MS);
    assert_eq!(together.rings[&4].state(), StateKind::Gather);
    together.run(200 * MS);
    assert_eq!(together.histories[&4], ["regular 4"]);
    together.submit(4, "safe", Safe);
    together.submit(4, "unordered", Unordered);
    together.run(MS);
    assert_eq!(together.histories[&4], ["regular 4", "unordered", "safe"]);
}

/// Totem §4: all deliver the same messages in the same order, their own included (EVS-3, EVS-6).
#[test]
fn all_deliver_in_one_order() {
    let mut together = Together::formed(&[1, 2, 3]);
    for i in 0..30 {
        for node in [3, 1, 2] {
            let guarantee = if i % 3 == 0 { Safe } else { Agreed };
            together.submit(node, &alloc::format!("{node}.{i}"), guarantee);
        }
        together.run(MS / 5);
    }
    together.run(50 * MS);
    assert_eq!(together.histories[&1].len(), 91);
    assert_eq!(together.histories[&1], together.histories[&2]);
    assert_eq!(together.histories[&1], together.histories[&3]);
}

/// A loss of data costs a retransmission, never a configuration.
#[test]
fn what_is_lost_is_sent_again() {
    let mut together = Together::formed(&[1, 2, 3]);
    let mut chance = fastrand::Rng::with_seed(3);
    together.dropping(move |_, to, packet| {
        to == 3 && matches!(packet, Packet::Mcast(_)) && chance.u8(0..3) != 0
    });
    for i in 0..20 {
        together.submit(1, &alloc::format!("{i}"), Safe);
        together.run(MS / 2);
    }
    together.run(1_000 * MS);
    assert_eq!(together.histories[&3].len(), 21);
    assert_eq!(together.histories[&3], together.histories[&1]);
    assert!(together.rings[&1].stats().retransmits > 0);
}

/// P6: the last message of a burst is requested although nothing follows it.
#[test]
fn the_last_message_of_a_burst_is_not_forgotten() {
    let mut together = Together::formed(&[1, 2, 3]);
    let mut once = true;
    together.dropping(move |_, to, packet| {
        to == 2 && matches!(packet, Packet::Mcast(_)) && core::mem::take(&mut once)
    });
    together.submit(1, "last", Agreed);
    together.run(10 * MS);
    assert_eq!(together.histories[&2], ["regular 1 2 3", "last"]);
}

/// A lost token is sent again and costs no configuration (P1).
#[test]
fn a_lost_token_is_sent_again() {
    let mut together = Together::formed(&[1, 2, 3]);
    let mut tokens = 0;
    together.dropping(move |_, _, packet| {
        tokens += u32::from(matches!(packet, Packet::Token(_)));
        matches!(packet, Packet::Token(_)) && tokens % 4 == 0
    });
    for i in 0..20 {
        together.submit(2, &alloc::format!("{i}"), Safe);
        together.run(20 * MS);
    }
    together.run(1000 * MS);
    for history in together.histories.values() {
        assert_eq!(history.len(), 21);
    }
}

/// `docs/protocol.md` §5: an idle ring is nearly silent, and a message wakes it at once.
#[test]
fn an_idle_ring_is_nearly_silent() {
    let mut together = Together::formed(&[1, 2, 3]);
    together.run(500 * MS);
    let before: u64 = together.rings.values().map(|r| r.stats().tokens).sum();
    together.run(10_000 * MS);
    let visits = together.rings.values().map(|r| r.stats().tokens).sum::<u64>() - before;
    assert!(visits <= 4 * 10 * 4, "{visits} visits in 10 s");
    for node in [1, 2, 3] {
        together.submit(node, "wake", Safe);
        together.run(5 * MS);
    }
    assert!(together.histories.values().all(|history| history.len() == 4));
}

/// R14: the survivors of a crash go on together, and what was sent reaches them all.
#[test]
fn a_crash_is_survived() {
    let mut together = Together::formed(&[1, 2, 3]);
    for i in 0..5 {
        together.submit(3, &alloc::format!("{i}"), Agreed);
        together.run(MS / 3);
    }
    together.crash(3);
    together.hear();
    together.run(200 * MS);
    let history = &together.histories[&1];
    assert_eq!(history[history.len() - 2..], ["transitional 1 2", "regular 1 2"]);
    assert_eq!(history, &together.histories[&2]);
    together.submit(2, "on", Safe);
    together.run(10 * MS);
    assert_eq!(together.histories[&1].last().map(|s| s.as_str()), Some("on"));
}

/// The representative's crash is no different.
#[test]
fn a_crash_of_the_representative_is_survived_without_a_verdict() {
    let mut together = Together::formed(&[1, 2, 3]);
    together.crash(1);
    together.run(3000 * MS);
    assert_eq!(together.histories[&2][1..], ["transitional 2 3", "regular 2 3"]);
    assert_eq!(together.histories[&3][1..], ["transitional 2 3", "regular 2 3"]);
}

/// R15, R16: both sides of a partition go on, and merge again.
#[test]
fn a_partition_heals() {
    let mut together = Together::formed(&[1, 2, 3, 4, 5]);
    together.partition(&[&[1, 4], &[2, 3, 5]]);
    together.run(500 * MS);
    together.submit(1, "left", Safe);
    together.submit(5, "right", Safe);
    together.run(100 * MS);
    together.heal();
    together.run(1500 * MS);
    for node in [1, 4] {
        assert_eq!(
            together.histories[&node][1..],
            ["transitional 1 4", "regular 1 4", "left", "transitional 1 4", "regular 1 2 3 4 5"]
        );
    }
    for node in [2, 3, 5] {
        assert_eq!(
            together.histories[&node][1..],
            [
                "transitional 2 3 5",
                "regular 2 3 5",
                "right",
                "transitional 2 3 5",
                "regular 1 2 3 4 5"
            ]
        );
    }
}

/// An orderly leave needs no timeout (R17).
#[test]
fn an_orderly_leave_is_noticed_at_once() {
    let mut together = Together::formed(&[1, 2, 3]);
    let now = together.now;
    together.rings.get_mut(&2).expect("alive").leave(now);
    together.run_until(|t| t.histories[&1].len() == 3 && t.histories[&3].len() == 3);
    assert!(together.now - now < 100 * MS, "{:?}", together.now - now);
    assert_eq!(together.rings[&1].members(), Some(&members(&[1, 3])));
    assert_eq!(together.rings[&2].state(), StateKind::Left);
}
