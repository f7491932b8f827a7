//! Totem §5.2 and `docs/protocol.md` §1: the commit token, and which one is refused.

use core::time::Duration;

use evs_model::{Guarantee, Members};

use super::fixtures::{MS, Solo, Together, members, p};
use crate::output::{Cause, Destination, StateKind};
use crate::stats::Discard;
use crate::wire::{Bitmap, CommitToken, Entry, OldEntry, Packet};

const ALL: [u32; 3] = [1, 2, 3];

fn joined() -> Solo {
    let mut solo = Solo::gathering(&ALL);
    solo.join_all();
    solo.sent();
    solo
}

fn receive(solo: &mut Solo, token: CommitToken) {
    solo.receive(1, Packet::CommitToken(token.into()));
}

#[test]
fn a_member_writes_its_entry_and_passes_the_commit_token_on() {
    let mut solo = joined();
    let token = solo.commit_token(1);
    receive(&mut solo, token);
    let sent = solo.sent();
    let Some((to, Packet::CommitToken(token))) = sent.last() else { panic!("{sent:?}") };
    assert_eq!(*to, Destination::Node(p(3)));
    assert_eq!(token.hop, 2);
    assert_eq!(token.entries[1], Some(Entry { old: None }));
    assert_eq!(token.entries[2], None);
}

#[test]
fn a_commit_token_for_another_proposal_is_refused() {
    let mut solo = joined();
    let mut other = solo.commit_token(1);
    other.members = members(&[1, 2]);
    other.entries.pop();
    receive(&mut solo, other);
    // The same nodes in another incarnation are others.
    let mut incarnation = solo.commit_token(1);
    let mut three = p(3);
    three.incarnation += 1;
    incarnation.members = Members::new([p(1), p(2), three].into()).expect("three");
    receive(&mut solo, incarnation);
    assert_eq!(solo.ring.state(), StateKind::Gather);
    assert_eq!(solo.ring.stats().discards(Discard::Mismatch), 2);
}

/// Otherwise it would wait for the token loss timeout.
#[test]
fn the_representative_gives_up_a_ring_whose_member_has_changed_its_mind() {
    let all = [2, 3, 4];
    let mut solo = Solo::gathering(&all);
    solo.join_all();
    solo.pass(200 * MS);
    assert_eq!(solo.ring.state(), StateKind::Commit);
    let mut old = solo.join(0);
    old.proposal = members(&[3, 4]);
    let mut new = old.clone();
    new.number = 100;
    solo.receive(3, Packet::Join(old.into()));
    assert_eq!(solo.ring.state(), StateKind::Commit, "from before it agreed");
    solo.receive(3, Packet::Join(new.into()));
    assert_eq!(solo.cause(), Some(Cause::MemberGathers(p(3))));
}

/// `docs/protocol.md` §1: ring ids are unique without any file (P19, P24).
#[test]
fn a_sequence_that_was_accepted_is_never_accepted_again() {
    let mut solo = Solo::committed(&ALL);
    solo.pass(1_100 * MS);
    assert_eq!(solo.ring.state(), StateKind::Gather);
    for number in 10..12 {
        let join = solo.join(number);
        solo.receive(1, Packet::Join(join.clone().into()));
        solo.receive(3, Packet::Join(join.into()));
    }
    let again = solo.commit_token(1);
    receive(&mut solo, again);
    assert_eq!(solo.ring.state(), StateKind::Gather);
    let mut above = solo.commit_token(1);
    above.ring.seq += 1;
    receive(&mut solo, above);
    assert_eq!(solo.ring.state(), StateKind::Commit);
}

#[test]
fn terms_that_this_build_cannot_meet_are_refused() {
    let mut solo = joined();
    let mut token = solo.commit_token(1);
    token.terms.detection = Duration::from_secs(3_600);
    receive(&mut solo, token);
    assert_eq!(solo.ring.stats().discards(Discard::Terms), 1);
}

/// P23: a commit token is sent again until the next one is seen.
#[test]
fn the_commit_token_is_sent_again() {
    let mut solo = Solo::committed(&ALL);
    solo.sent();
    solo.pass(60 * MS);
    let sent = solo.sent();
    assert!(matches!(sent.as_slice(), [(_, Packet::CommitToken(token))] if token.hop == 2));
}

#[test]
fn a_copy_of_the_first_rotation_has_no_effect() {
    let mut solo = Solo::committed(&ALL);
    let token = solo.commit_token(1);
    receive(&mut solo, token);
    assert_eq!(solo.ring.state(), StateKind::Commit);
}

#[test]
fn a_commit_token_that_does_not_come_back_ends_the_attempt() {
    let mut solo = Solo::committed(&ALL);
    solo.pass(1_100 * MS);
    assert_eq!(solo.ring.state(), StateKind::Gather);
    assert_eq!(solo.cause(), Some(Cause::TokenLost));
}

#[test]
fn an_own_pause_does_not_end_an_attempt() {
    let mut solo = Solo::committed(&ALL);
    solo.pass(500 * MS);
    solo.stand_still(3_000 * MS);
    solo.pass(490 * MS);
    assert_eq!(solo.ring.state(), StateKind::Commit);
    solo.pass(20 * MS);
    assert_eq!(solo.cause(), Some(Cause::TokenLost));
}

/// P45: the others count on what the entry says.
#[test]
fn the_old_ring_is_frozen_once_the_entry_is_written() {
    let mut solo = Solo::operational(&ALL);
    let old = solo.mcast(1, 1, Guarantee::Agreed);
    let mut join = solo.join(5);
    (join.accepted, join.seq) = (5, 5);
    solo.receive(1, Packet::Join(join.clone().into()));
    solo.receive(3, Packet::Join(join.into()));
    let mut token = solo.commit_token(1);
    token.ring.seq = 6;
    receive(&mut solo, token);
    assert_eq!(solo.ring.state(), StateKind::Commit);
    solo.receive(1, Packet::Mcast(old));
    assert_eq!(solo.ring.progress(), (0, 0));
    assert_eq!(solo.ring.stats().discards(Discard::Frozen), 1);
}

/// P23: whichever hop of the commit token is lost, once or twice, the ring is formed.
#[test]
fn the_commit_token_may_be_lost_at_any_hop() {
    for lost in 1..=8 {
        for times in 1..=2 {
            let mut together = Together::started(&[1, 2, 3, 4]);
            let mut left = times;
            together.dropping(move |_, _, packet| {
                let hit = matches!(packet, Packet::CommitToken(t) if t.hop == lost) && left > 0;
                left -= i32::from(hit);
                hit
            });
            together.run(3_000 * MS);
            for history in together.histories.values() {
                assert_eq!(history, &["regular 1 2 3 4"], "hop {lost}, {times} times");
            }
        }
    }
}

/// P23: a copy that is late by a whole attempt.
#[test]
fn a_commit_token_that_its_representative_has_given_up_is_refused() {
    let mut solo = joined();
    for node in [1, 3] {
        let mut join = solo.join(2);
        (join.seq, join.accepted) = (5, 5);
        solo.receive(node, Packet::Join(join.into()));
    }
    let stale = solo.commit_token(1);
    receive(&mut solo, stale);
    assert_eq!(solo.ring.state(), StateKind::Gather);
}

/// P14: nobody walks through what no window can hold.
#[test]
fn an_entry_that_cannot_be_ends_the_attempt() {
    for aru in [0, 1 << 40] {
        let mut solo = Solo::operational(&[1, 2]);
        let ring = solo.ring_id();
        let mut join = solo.join(9);
        (join.seq, join.accepted) = (5, 5);
        solo.receive(1, Packet::Join(join.into()));
        let entry = |aru| {
            let held = Bitmap::default();
            Some(Entry { old: Some(OldEntry { ring, aru, safe: 0, held, obligations: 0 }) })
        };
        let mut token = solo.commit_token(1);
        (token.ring.seq, token.entries[0]) = (6, entry(aru));
        receive(&mut solo, token.clone());
        assert_eq!(solo.ring.state(), StateKind::Commit);
        (token.hop, token.entries[1]) = (3, entry(0));
        receive(&mut solo, token);
        let expected = if aru == 0 { Cause::CommitComplete } else { Cause::OutOfRange };
        assert_eq!(solo.cause(), Some(expected));
    }
}

/// Otherwise a peer could make this processor miss what it never had, find itself deaf, or keep
/// packets without a limit.
#[test]
fn what_was_agreed_and_written_is_not_changed_in_the_second_rotation() {
    let mut solo = Solo::committed(&[1, 2]);
    let complete = solo.complete_commit_token();
    let mut terms = complete.clone();
    terms.terms.window_packets = u32::MAX;
    receive(&mut solo, terms);
    assert_eq!(solo.ring.state(), StateKind::Commit);
    assert_eq!(solo.ring.stats().discards(Discard::Mismatch), 1);
    let held = Bitmap::default();
    let old = OldEntry { ring: solo.ring_id(), aru: 9, safe: 0, held, obligations: 0 };
    let mut entry = complete;
    entry.entries[1] = Some(Entry { old: Some(old) });
    receive(&mut solo, entry);
    assert_eq!(solo.cause(), Some(Cause::OutOfRange));
}

/// A commit token may name anybody as its representative.
#[test]
fn refused_terms_leave_nothing_behind_of_whom_nobody_hears() {
    let mut solo = joined();
    let before = solo.ring.held().peers;
    for incarnation in 0..1_000 {
        let mut token = solo.commit_token(1);
        token.ring.rep.incarnation = incarnation;
        token.members = Members::new(alloc::vec![token.ring.rep, p(2)]).expect("two");
        token.entries.truncate(2);
        token.terms.window_packets = 0;
        receive(&mut solo, token);
    }
    assert_eq!(solo.ring.stats().discards(Discard::Terms), 1_000);
    assert_eq!(solo.ring.held().peers, before);
}

/// P33: mixed settings cannot split a ring; the representative's are in force.
#[test]
fn the_representatives_values_are_in_force() {
    let mut solo = joined();
    let mut token = solo.commit_token(1);
    token.terms.detection = 5_000 * MS;
    receive(&mut solo, token);
    solo.pass(4_000 * MS);
    assert_eq!(solo.ring.state(), StateKind::Commit);
    solo.pass(2_000 * MS);
    assert_eq!(solo.ring.state(), StateKind::Gather);
}
