//! Settings that change while the ring works.

use core::time::Duration;

use evs_model::Guarantee::Agreed;

use super::fixtures::{MS, Solo, Together, config};
use crate::output::{Cause, StateKind};
use crate::wire::{Packet, Token};

const ALL: [u32; 3] = [1, 2, 3];

fn set(solo: &mut Solo, target: Duration) {
    solo.ring.set_detection(solo.now, target).expect("within its range");
}

/// After how long without any token the ring is given up.
fn until_lost(mut solo: Solo) -> Duration {
    let begun = solo.now;
    while solo.ring.state() == StateKind::Operational {
        solo.pass(MS);
        assert!(solo.now - begun < 10_000 * MS, "the token is missed some time");
    }
    assert_eq!(solo.cause(), Some(Cause::TokenLost));
    solo.now - begun
}

fn changed(target: Duration) -> Solo {
    let mut solo = Solo::operational(&ALL);
    set(&mut solo, target);
    solo
}

#[test]
fn a_lowered_target_counts_for_the_others_once_the_old_one_has_passed() {
    assert_eq!(until_lost(Solo::operational(&ALL)), 2_000 * MS);
    assert_eq!(until_lost(changed(100 * MS)), 1_000 * MS, "not within the old one");
    assert_eq!(until_lost(changed(900 * MS)), 1_800 * MS);
    let mut solo = changed(100 * MS);
    for (token_seq, pause) in [(4, 400), (7, 400), (10, 150)] {
        solo.pass(pause * MS);
        solo.receive_token(solo.token(token_seq));
    }
    assert_eq!(until_lost(solo), 400 * MS, "then as ever: four times, as rotations were slow");
}

#[test]
fn a_raised_target_counts_at_once() {
    let mut solo = Solo::operational(&ALL);
    solo.pass(1_900 * MS);
    set(&mut solo, 3_000 * MS);
    assert_eq!(until_lost(solo), 4_100 * MS);
}

#[test]
fn a_target_that_is_lowered_twice_leaves_the_others_the_time_of_the_longest() {
    let mut solo = changed(500 * MS);
    solo.pass(100 * MS);
    set(&mut solo, 50 * MS);
    assert_eq!(until_lost(solo), 1_000 * MS);
    let mut solo = changed(500 * MS);
    solo.pass(100 * MS);
    set(&mut solo, 1_000 * MS);
    assert_eq!(until_lost(solo), 1_900 * MS);
}

#[test]
fn a_parked_token_goes_on_by_a_lowered_target() {
    for (target, rests) in [(1_000 * MS, 250 * MS), (100 * MS, 25 * MS), (4_000 * MS, 250 * MS)] {
        let mut solo = Solo::operational(&ALL);
        for i in 1..=2 {
            let originator = solo.ring.me().node;
            let token = Token { idle: 6, originator, ..solo.token(3 * i + 1) };
            solo.receive_token(token);
        }
        assert!(solo.ring.rests(), "it is parked");
        set(&mut solo, target);
        let begun = solo.now;
        while solo.ring.rests() {
            solo.pass(MS);
        }
        assert_eq!(solo.now - begun, rests, "{target:?}");
    }
}

#[test]
fn what_changes_while_a_ring_is_formed_is_in_force_when_it_works() {
    let mut solo = Solo::recovering(&ALL);
    solo.ring.set_detection(solo.now, 200 * MS).expect("within its range");
    solo.ring.set_window_bytes(128 << 10).expect("within its range");
    let mut token = Token::first(solo.ring_id(), &config().origins);
    token.complete = 0b101;
    solo.receive(1, Packet::Token(token.into()));
    assert_eq!(solo.ring.state(), StateKind::Operational);
    assert_eq!(solo.ring.stats().window_bytes, 8 << 10, "a sixteenth, to begin with");
    assert_eq!(until_lost(solo), 1_000 * MS, "the ring was formed under the old one");
}

#[test]
fn another_window_is_in_force_at_the_next_visit() {
    let mut solo = Solo::operational(&ALL);
    solo.ring.set_window_bytes(128 << 10).expect("within its range");
    solo.receive_token(Token { window: u32::MAX, ..solo.token(4) });
    assert_eq!(solo.ring.stats().window_bytes, 128 << 10);
}

#[test]
fn a_setting_out_of_range_changes_nothing() {
    let mut solo = Solo::operational(&ALL);
    let error = solo.ring.set_detection(solo.now, 49 * MS).expect_err("too short");
    assert_eq!((error.key, error.min, error.max), ("detection", 50, 60_000));
    assert_eq!(solo.ring.set_window_bytes(1).expect_err("too small").key, "window_bytes");
    assert_eq!(until_lost(solo), 2_000 * MS);
}

/// One after the other, some milliseconds apart, under load and idle: nobody misses the token.
#[test]
fn members_that_change_after_each_other_stay_one_ring() {
    let mut together = Together::formed(&ALL);
    for (round, target) in [50, 60_000, 50, 2_000, 50].into_iter().enumerate() {
        for node in ALL {
            let (now, ring) = (together.now, together.rings.get_mut(&node).expect("there"));
            ring.set_detection(now, target * MS).expect("within its range");
            together.drain(node);
            if round % 2 == 0 {
                together.submit(node, "busy", Agreed);
            }
            together.run(8 * MS);
        }
        together.run(61_000 * MS);
    }
    for (node, history) in &together.histories {
        assert_eq!(history[0], "regular 1 2 3");
        assert_eq!(history.iter().filter(|line| line.starts_with("regular")).count(), 1, "{node}");
    }
}
