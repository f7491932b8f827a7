//! Totem §5.1 and `docs/protocol.md` §3: joins, consensus, and who is given up.

use alloc::vec;
use alloc::vec::Vec;

use evs_model::{Guarantee, Members};

use super::fixtures::{MS, Solo, Together, config, members, p, row};
use crate::output::StateKind;
use crate::ring::Ring;
use crate::stats::Discard;
use crate::wire::{Join, Packet, PacketKind};

const ALL: [u32; 3] = [1, 2, 3];

/// The last join sent since the last call.
fn sent_join(solo: &mut Solo) -> Option<Join> {
    let join = |packet| if let Packet::Join(join) = packet { Some(*join) } else { None };
    solo.sent().into_iter().filter_map(|(_, packet)| join(packet)).next_back()
}

#[test]
fn a_processor_proposes_those_who_hear_each_other() {
    let mut solo = Solo::gathering(&ALL);
    solo.pass(MS);
    assert_eq!(sent_join(&mut solo).expect("sent").proposal, Members::singleton(p(2)));
    solo.join_all();
    solo.pass(5 * MS);
    let join = sent_join(&mut solo).expect("news are told");
    assert_eq!(join.proposal, members(&ALL));
    assert_eq!(join.rows.len(), 3, "the rows of others are passed on");
}

#[test]
fn a_join_is_repeated() {
    let mut solo = Solo::gathering(&ALL);
    solo.join_all();
    solo.pass(10 * MS);
    solo.sent();
    solo.pass(100 * MS);
    assert!(sent_join(&mut solo).is_some());
}

/// Only the representative forms the ring.
#[test]
fn consensus_is_acted_upon_by_the_representative() {
    let mut solo = Solo::gathering(&ALL);
    solo.join_all();
    solo.pass(200 * MS);
    assert_eq!(solo.ring.state(), StateKind::Gather, "1 is the representative");
    let mut solo = Solo::gathering(&[2, 3]);
    solo.join_all();
    solo.pass(200 * MS);
    assert_eq!(solo.ring.state(), StateKind::Commit);
    let sent = solo.sent();
    let commit = sent.iter().find_map(|(_, packet)| {
        if let Packet::CommitToken(commit) = packet { Some(commit) } else { None }
    });
    let commit = commit.expect("sent to 3");
    assert_eq!(commit.ring.seq, 5, "above all that was seen");
    assert_eq!((commit.hop, commit.members.clone()), (1, members(&[2, 3])));
}

#[test]
fn no_ring_is_formed_while_a_member_proposes_something_else() {
    let mut solo = Solo::gathering(&[2, 3]);
    let mut join = solo.join(1);
    join.proposal = members(&[2, 3, 4]);
    solo.receive(3, Packet::Join(join.into()));
    solo.pass(200 * MS);
    assert_eq!(solo.ring.state(), StateKind::Gather);
}

/// Rows from outside cannot hold up a consensus.
#[test]
fn an_outsider_that_disagrees_does_not_matter() {
    let mut solo = Solo::gathering(&[2, 3]);
    solo.join_all();
    let outsider = Join {
        number: 1,
        seq: 1,
        accepted: 0,
        proposal: members(&[4]),
        rows: vec![row(4, &[4], None)],
    };
    solo.receive(4, Packet::Join(outsider.into()));
    solo.pass(200 * MS);
    assert_eq!(solo.ring.state(), StateKind::Commit);
}

#[test]
fn an_older_join_never_overrides_a_newer_one() {
    let mut solo = Solo::gathering(&[2, 3]);
    let newer = Join { proposal: members(&[3]), ..solo.join(2) };
    solo.receive(3, Packet::Join(newer.into()));
    let older = solo.join(1);
    solo.receive(3, Packet::Join(older.into()));
    assert_eq!(solo.ring.stats().discards(Discard::Duplicate), 1);
    solo.pass(200 * MS);
    assert_eq!(solo.ring.state(), StateKind::Gather);
}

/// All that are silent go at once, after the consensus timeout.
#[test]
fn those_who_are_heard_but_do_not_join_are_given_up_together() {
    let mut solo = Solo::gathering(&[2, 3, 4, 5]);
    let join = solo.join(1);
    solo.receive(3, Packet::Join(join.into()));
    solo.pass(600 * MS);
    let mut join = solo.join(2);
    let mut given_up = row(3, &[2, 3], None);
    given_up.version += 1;
    (join.proposal, join.rows) = (members(&[2, 3]), vec![given_up]);
    solo.receive(3, Packet::Join(join.into()));
    solo.pass(200 * MS);
    assert_eq!(solo.ring.state(), StateKind::Commit);
}

/// However often it joined before.
#[test]
fn a_member_that_falls_silent_after_it_joined_is_given_up() {
    let mut solo = Solo::gathering(&[2, 3, 4]);
    let mut other = solo.join(1);
    other.proposal = Members::singleton(p(3));
    solo.receive(3, Packet::Join(other.into()));
    for number in 1..60 {
        let mut join = solo.join(number);
        if number > 40 {
            let mut given_up = row(4, &[2, 4], None);
            given_up.version += 1;
            (join.proposal, join.rows) = (members(&[2, 4]), vec![given_up]);
        }
        solo.receive(4, Packet::Join(join.into()));
        solo.pass(50 * MS);
    }
    assert_ne!(solo.ring.state(), StateKind::Gather);
}

/// Ring sequences at their maximum: a clear refusal, and nothing breaks.
#[test]
fn no_ring_is_formed_whose_sequence_would_be_above_the_maximum() {
    let mut together = Together::started(&[4]);
    let ring = Ring::new(config(), p(4), u64::MAX - 1, 4, together.now);
    together.rings.insert(4, ring);
    together.run(1_100 * MS);
    assert_eq!(together.rings[&4].ring_id().map(|ring| ring.seq), Some(u64::MAX));
    let now = together.now;
    let last = Ring::new(config(), p(4), u64::MAX, 4, now);
    together.rings.insert(4, last);
    together.run(1_100 * MS);
    assert_eq!(together.rings[&4].state(), StateKind::Gather);
    assert!(together.rings[&4].stats().discards(Discard::SeqExhausted) > 0);
}

/// P21: whose word is not taken is not waited for, and whoever is new believes what it is told.
#[test]
fn rings_of_very_different_sequences_do_not_stop_each_other() {
    let high = |together: &Together, n| Ring::new(config(), p(n), 1 << 33, 7, together.now);
    let mut together = Together::started(&[1, 2, 3]);
    for n in [1, 2, 3] {
        let ring = high(&together, n);
        together.rings.insert(n, ring);
    }
    together.hear();
    together.run(2_000 * MS);
    let fresh = Ring::new(config(), p(4), 0, 4, together.now);
    together.rings.insert(4, fresh);
    together.hear();
    together.run(2_000 * MS);
    assert_eq!(together.rings[&4].members(), Some(&members(&[1, 2, 3, 4])));

    let mut together = Together::formed(&[1, 2, 3]);
    let ring = high(&together, 4);
    together.rings.insert(4, ring);
    together.hear();
    together.run(60_000 * MS);
    let before: Vec<_> = together.histories.values().map(Vec::len).collect();
    together.run(60_000 * MS);
    let after = together.histories.values().map(Vec::len);
    let changes: Vec<_> = after.zip(before).map(|(after, before)| after - before).collect();
    assert!(changes.iter().all(|changes| *changes <= 6), "{changes:?} in a minute");
    assert_eq!(together.rings[&1].state(), StateKind::Operational);
}

/// P36: joins that are repeated while this processor stands still are not missing.
#[test]
fn an_own_pause_gives_nobody_up() {
    let mut solo = Solo::gathering(&ALL);
    solo.receive(1, Packet::Join(solo.join(1).into()));
    solo.pass(400 * MS);
    solo.stand_still(3_000 * MS);
    let proposed = |solo: &mut Solo| sent_join(solo).expect("repeated").proposal;
    solo.pass(90 * MS);
    assert_eq!(proposed(&mut solo), members(&ALL));
    solo.pass(60 * MS);
    assert_eq!(proposed(&mut solo), members(&[1, 2]));
}

/// Within an attempt it stays given up; later its joins bring it back.
#[test]
fn one_that_was_given_up_is_taken_back_when_it_joins_after_all() {
    let mut solo = Solo::gathering(&ALL);
    let join = solo.join(1);
    solo.receive(1, Packet::Join(join.into()));
    solo.pass(550 * MS);
    let hears = |solo: &mut Solo| {
        let join = sent_join(solo).expect("repeated");
        join.rows.iter().find(|row| row.processor == p(2)).expect("the own row").hears.clone()
    };
    assert_eq!(hears(&mut solo), members(&[1]));
    let join = solo.join(1);
    solo.receive(3, Packet::Join(join.into()));
    solo.pass(100 * MS);
    assert_eq!(hears(&mut solo), members(&[1]));
    solo.pass(500 * MS);
    let join = solo.join(2);
    solo.receive(3, Packet::Join(join.into()));
    solo.pass(100 * MS);
    assert_eq!(hears(&mut solo), members(&[1, 3]));
}

/// LIVE-5: the wait for a companion that is still heard ends when it is not heard any more.
#[test]
fn who_no_longer_hears_a_companion_parts_with_it_at_once() {
    let mut together = Together::formed(&[1, 2, 3]);
    together.crash(3);
    let now = together.now;
    together.rings.get_mut(&2).expect("alive").handle_reachability(now, members(&[1]));
    together.run(20 * MS);
    assert_eq!(together.histories[&1].len(), 1, "the representative still hears 3");
    let now = together.now;
    together.rings.get_mut(&1).expect("alive").handle_reachability(now, members(&[2]));
    together.run(100 * MS);
    assert_eq!(together.histories[&1][1..], ["transitional 1 2", "regular 1 2"]);
}

/// LIVE-6: rows may lag behind; companions who are still heard are not left in haste.
#[test]
fn companions_who_are_still_heard_are_not_left_in_haste() {
    let mut together = Together::formed(&[1, 2, 3]);
    together.crash(1);
    let now = together.now;
    // Only 2 notices; 3 still tells that it hears 1, and with 1 it would make as good a pair.
    let alone = members(&[3]);
    together.rings.get_mut(&2).expect("alive").handle_reachability(now, alone);
    together.run(100 * MS);
    together.hear();
    together.run(500 * MS);
    assert_eq!(together.histories[&2][1..], ["transitional 2 3", "regular 2 3"]);
    assert_eq!(together.histories[&3][1..], ["transitional 2 3", "regular 2 3"]);
}

#[test]
fn late_messages_of_the_old_ring_are_taken_until_an_entry_is_written() {
    let mut solo = Solo::operational(&ALL);
    let mut join = solo.join(5);
    join.accepted = 5;
    solo.receive(1, Packet::Join(join.into()));
    assert_eq!(solo.ring.state(), StateKind::Gather);
    solo.receive(1, Packet::Mcast(solo.mcast(1, 1, Guarantee::Agreed)));
    assert_eq!(solo.ring.progress(), (1, 1));
    assert!(solo.delivered().is_empty(), "nothing is delivered before the next ring");
}

#[test]
fn joins_are_spaced_however_much_there_is_to_tell() {
    let mut solo = Solo::gathering(&ALL);
    for number in 1..=100 {
        let mut join = solo.join(number);
        join.proposal = if number % 2 == 0 { members(&ALL) } else { members(&[1, 2]) };
        solo.receive(1, Packet::Join(join.into()));
        solo.pass(MS / 10);
    }
    let joins = solo.sent().iter().filter(|(_, p)| p.kind() == PacketKind::Join).count();
    assert!(joins <= 7, "{joins} joins in 10 ms");
}
