//! `docs/protocol.md` §5: the token that a lone sender keeps for a moment.

use alloc::vec::Vec;

use evs_model::Guarantee::{Agreed, Safe, Unordered};

use super::fixtures::{MS, Solo, config, p};
use crate::output::{Destination, StateKind};
use crate::stats::Discard;
use crate::wire::{Packet, PacketKind, Parked, Token, Wake};

const ALL: [u32; 3] = [1, 2, 3];

fn kinds(solo: &mut Solo) -> Vec<PacketKind> {
    solo.sent().iter().map(|(_, packet)| packet.kind()).collect()
}

/// After rotations of one millisecond, and a message at the last visit.
fn measured() -> Solo {
    let mut solo = Solo::operational(&ALL);
    for token_seq in [4, 7] {
        solo.receive_token(solo.token(token_seq));
        solo.pass(MS);
    }
    solo.sent();
    solo.submit("before", Agreed);
    solo.receive_token(solo.token(10));
    assert_eq!(solo.delivered(), ["before"]);
    assert_eq!(kinds(&mut solo), [PacketKind::Mcast, PacketKind::Token]);
    solo.pass(MS);
    solo
}

/// The token that comes then, if nobody else has sent anything.
fn back(solo: &Solo) -> Token {
    Token { seq: 1, aru: 1, ..solo.token(13) }
}

/// The token comes, and what waits is sent: the token is kept.
fn kept() -> Solo {
    let mut solo = measured();
    solo.submit("first", Agreed);
    solo.receive_token(back(&solo));
    assert_eq!(solo.delivered(), ["first"]);
    assert_eq!(kinds(&mut solo), [PacketKind::Mcast]);
    solo
}

#[test]
fn what_follows_is_sent_at_once_and_the_token_goes_on_after_two_quick_rotations() {
    let mut solo = kept();
    for _ in 0..3 {
        solo.pass(MS * 3 / 2);
        solo.submit("next", Agreed);
        assert_eq!(solo.delivered(), ["next"]);
        assert_eq!(kinds(&mut solo), [PacketKind::Mcast]);
    }
    solo.pass(MS * 2 - MS / 10);
    assert!(solo.sent().is_empty());
    solo.pass(MS / 5);
    let sent = solo.sent_token();
    assert_eq!((sent.token_seq, sent.seq, sent.aru, sent.lone), (14, 5, 5, true));
}

#[test]
fn it_goes_on_after_a_fiftieth_of_the_detection_target_whatever_is_sent() {
    let mut solo = kept();
    for _ in 0..10 {
        solo.pass(MS * 19 / 10);
        solo.submit("next", Agreed);
        assert_eq!(kinds(&mut solo), [PacketKind::Mcast]);
    }
    solo.pass(MS * 11 / 10);
    assert_eq!(kinds(&mut solo)[0], PacketKind::Token);
}

/// Whose messages do not follow each other within a rotation would only keep it from resting.
#[test]
fn it_is_not_kept_by_whoever_sent_nothing_at_the_visit_before() {
    let mut solo = measured();
    solo.receive_token(back(&solo));
    solo.pass(MS);
    solo.sent();
    solo.submit("first", Agreed);
    solo.receive_token(Token { token_seq: 16, ..back(&solo) });
    assert_eq!(kinds(&mut solo), [PacketKind::Mcast, PacketKind::Token]);
}

#[test]
fn a_wake_request_ends_it_at_once() {
    let mut solo = kept();
    solo.receive(3, Packet::Wake(Wake { ring: solo.ring_id() }));
    assert_eq!(solo.sent_token().token_seq, 14);
}

#[test]
fn it_is_not_kept_if_somebody_asked_before_it_came() {
    let mut solo = measured();
    solo.submit("first", Agreed);
    solo.receive(3, Packet::Wake(Wake { ring: solo.ring_id() }));
    solo.receive_token(back(&solo));
    assert_eq!(kinds(&mut solo), [PacketKind::Mcast, PacketKind::Token]);
}

#[test]
fn a_safe_message_ends_it_at_once_or_keeps_it_from_beginning() {
    let mut solo = kept();
    solo.pass(MS);
    solo.submit("safe", Safe);
    assert_eq!(kinds(&mut solo), [PacketKind::Mcast, PacketKind::Token]);
    let mut solo = measured();
    solo.submit("safe", Safe);
    solo.receive_token(back(&solo));
    assert_eq!(kinds(&mut solo), [PacketKind::Mcast, PacketKind::Token]);
}

#[test]
fn a_stream_is_better_packed_than_sent_at_once() {
    let mut solo = kept();
    solo.submit("at the same time", Agreed);
    assert_eq!(kinds(&mut solo), [PacketKind::Mcast, PacketKind::Token]);
}

/// A message may take several packets, and is no stream.
#[test]
fn what_is_submitted_at_once_is_sent_at_once_and_the_token_stays_if_it_is_little() {
    let mut solo = kept();
    solo.pass(MS);
    solo.submit_all(&["1", "2", "3", "4"], Agreed);
    assert_eq!(solo.delivered(), ["1", "2", "3", "4"]);
    assert_eq!(kinds(&mut solo), [PacketKind::Mcast; 4]);
    solo.pass(MS);
    solo.submit_all(&["1", "2", "3", "4", "5"], Agreed);
    assert_eq!(kinds(&mut solo).last(), Some(&PacketKind::Token));
    for (bodies, goes) in [(&["1", "2", "3", "4"][..], false), (&["1", "2", "3", "4", "5"], true)] {
        let mut solo = measured();
        solo.submit_all(bodies, Agreed);
        solo.receive_token(back(&solo));
        assert_eq!(kinds(&mut solo).contains(&PacketKind::Token), goes, "{bodies:?}");
    }
}

/// Quotas hold: what is sent meanwhile belongs to the visit.
#[test]
fn no_more_is_sent_than_a_visit_may() {
    let mut solo = measured();
    solo.submit("first", Agreed);
    // The smallest window is one packet; 16 are in flight, so as many again may be.
    solo.receive_token(Token { window: 4 * config().terms().cost(0), ..back(&solo) });
    for _ in 0..3 {
        solo.pass(MS);
        solo.submit("next", Agreed);
    }
    assert_eq!(kinds(&mut solo), [PacketKind::Mcast; 4]);
    solo.pass(MS);
    solo.submit("too much", Agreed);
    assert_eq!(kinds(&mut solo), [PacketKind::Token]);
    assert_eq!(solo.ring.backlog(), 1);
}

#[test]
fn nobody_keeps_a_token_who_is_not_alone() {
    let cost = config().terms().cost(0);
    let tokens: [fn(Token, u32) -> Token; 3] = [
        // Mine, and another's.
        |token, cost| Token { fcc: 2 * cost, light: 2 * cost, ..token },
        |token, _| Token { busy: 1, ..token },
        |token, _| Token { seq: 2, aru: 1, aru_by: Some(p(3).node), ..token },
    ];
    for token in tokens {
        let mut solo = measured();
        solo.receive(1, Packet::Mcast(solo.mcast(1, 2, Agreed)));
        solo.submit("mine", Agreed);
        solo.receive_token(token(Token { seq: 2, aru: 2, ..solo.token(13) }, cost));
        let sent = solo.sent();
        assert!(sent.iter().any(|(_, sent)| matches!(sent, Packet::Token(token) if !token.lone)));
    }
}

/// P1: the predecessor stops sending the token again, though the data was lost on its way.
#[test]
fn a_copy_of_the_kept_token_is_answered() {
    let mut solo = kept();
    solo.receive_token(back(&solo));
    let parked = Packet::Parked(Parked { ring: solo.ring_id(), token_seq: 13 });
    assert_eq!(solo.sent(), [(Destination::All, parked)]);
}

#[test]
fn others_ask_the_lone_sender_for_the_token_when_they_send_and_when_they_miss_something() {
    let wake = |solo: &Solo| (Destination::Node(p(3)), Packet::Wake(Wake { ring: solo.ring_id() }));
    let lone = |solo: &Solo| Token { lone: true, originator: p(3).node, ..solo.token(4) };
    let mut solo = Solo::operational(&ALL);
    solo.receive_token(lone(&solo));
    solo.sent();
    solo.submit("mine", Agreed);
    assert_eq!(solo.sent(), [wake(&solo)]);

    let mut solo = Solo::operational(&ALL);
    solo.receive_token(lone(&solo));
    solo.sent();
    solo.receive(3, Packet::Mcast(solo.mcast(3, 2, Unordered)));
    solo.receive(3, Packet::Mcast(solo.mcast(3, 3, Agreed)));
    assert_eq!(solo.sent(), [wake(&solo)], "once");
}

/// P14: nobody can have reserved a number while the token is here.
#[test]
fn a_packet_above_a_kept_token_is_dropped() {
    let mut solo = kept();
    solo.receive(1, Packet::Mcast(solo.mcast(1, 3, Agreed)));
    assert_eq!(solo.ring.stats().discards(Discard::OutOfWindow), 1);
    assert_eq!(solo.ring.state(), StateKind::Operational);
}

/// The aru as sent on counts, not that at which the token came.
#[test]
fn what_is_sent_while_it_is_kept_is_safe_as_soon_as_what_is_sent_at_a_visit() {
    let mut solo = kept();
    solo.pass(MS);
    solo.submit("second", Agreed);
    solo.pass(3 * MS);
    solo.sent();
    assert!(!solo.ring.stable());
    solo.receive_token(Token { seq: 3, aru: 3, ..solo.token(16) });
    assert!(solo.ring.stable());
}
