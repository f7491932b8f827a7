//! Totem §4 and `docs/protocol.md` §4, §5: the token's visit, and the parked token.

use bytes::Bytes;
use evs_model::Guarantee::{Agreed, Fifo, Safe, Unordered};
use evs_model::RingId;

use super::fixtures::{MS, Solo, config, members, p, row};
use crate::config::Config;
use crate::output::{Cause, Destination, Output, StateKind, SubmitError, Timer};
use crate::stats::Discard;
use crate::wire::{
    Installed, Join, Mcast, MergeDetect, Packet, PacketKind, Parked, Rtr, RtrList, Standing, Token,
    Wake,
};

const ALL: [u32; 3] = [1, 2, 3];

fn kinds(sent: &[(Destination, Packet)]) -> alloc::vec::Vec<PacketKind> {
    sent.iter().map(|(_, packet)| packet.kind()).collect()
}

/// A token that everybody but this processor has seen go by with these numbers.
fn token(solo: &Solo, token_seq: u64, seq: u64, aru: u64) -> Token {
    let aru_by = (aru < seq).then(|| p(3).node);
    Token { seq, aru, aru_by, ..solo.token(token_seq) }
}

#[test]
fn the_token_goes_to_the_next_member_with_the_next_number() {
    let mut solo = Solo::operational(&ALL);
    let token = solo.token(4);
    solo.receive_token(token);
    let sent = solo.sent();
    assert_eq!(sent[0].0, Destination::Node(p(3)));
    assert!(matches!(&sent[0].1, Packet::Token(t) if t.token_seq == 5));
}

#[test]
fn a_copy_of_a_token_has_no_effect() {
    let mut solo = Solo::operational(&ALL);
    let token = solo.token(4);
    solo.receive_token(token.clone());
    solo.sent();
    solo.receive_token(token);
    assert!(solo.sent().is_empty());
    assert_eq!(solo.ring.stats().discards(Discard::Duplicate), 1);
}

#[test]
fn a_token_of_another_ring_has_no_effect() {
    let mut solo = Solo::operational(&ALL);
    let mut token = solo.token(4);
    token.ring.rep.incarnation += 1;
    solo.receive_token(token);
    assert!(solo.sent().is_empty());
    assert_eq!(solo.ring.stats().discards(Discard::ForeignRing), 1);
}

/// A ring of one would look after packets that nobody has, again and again without a pause, and has
/// no token loss that would end it.
#[test]
fn a_token_of_a_stranger_has_no_effect() {
    let mut solo = Solo::gathering(&[2]);
    solo.pass(1_100 * MS);
    assert_eq!(solo.ring.state(), StateKind::Operational);
    solo.sent();
    let ring = solo.ring.ring_id().expect("installed");
    let token = Token { token_seq: 100, seq: 9, aru: 9, ..Token::first(ring, &config().origins) };
    solo.receive(1, Packet::Token(token.into()));
    assert!(solo.sent().is_empty());
    assert_eq!(solo.ring.stats().discards(Discard::NotMember), 1);
}

#[test]
fn what_waits_is_sent_before_the_token_and_delivered_after_it() {
    let mut solo = Solo::operational(&ALL);
    solo.submit("a", Agreed);
    solo.submit("b", Fifo);
    let token = solo.token(4);
    solo.receive_token(token);
    assert_eq!(solo.delivered(), ["a", "b"]);
    assert_eq!(kinds(&solo.sent()), [PacketKind::Mcast, PacketKind::Mcast, PacketKind::Token]);
    assert_eq!(solo.ring.sequenced(), 2);
}

/// `docs/protocol.md` §4: with more than fits, the last packets follow the token.
#[test]
fn the_accelerated_ring_passes_the_token_before_the_last_packets() {
    let config = Config { window_packets: 16, accelerated_packets: 3, ..config() };
    let mut solo = Solo::operational(&ALL);
    assert_eq!(solo.ring.body_bytes_max(), config.packet_bytes_max - 55);
    for i in 0..20 {
        solo.submit(&alloc::format!("{i}"), Agreed);
    }
    let token = solo.token(4);
    solo.receive_token(token);
    let sent = kinds(&solo.sent());
    let at = sent.iter().position(|kind| *kind == PacketKind::Token).expect("passed on");
    // The default sends more than the window of 16 after the token.
    assert_eq!((at, sent.len()), (0, 17));
    assert_eq!(solo.ring.backlog(), 4);
}

#[test]
fn agreed_messages_are_delivered_in_order_without_waiting_for_the_token() {
    let mut solo = Solo::operational(&ALL);
    solo.receive(3, Packet::Mcast(solo.mcast(3, 2, Agreed)));
    assert!(solo.delivered().is_empty());
    solo.receive(1, Packet::Mcast(solo.mcast(1, 1, Agreed)));
    assert_eq!(solo.delivered(), ["1:1", "3:2"]);
}

/// EVS-7, `docs/protocol.md` §4: the lower of the arus as sent on in two visits.
#[test]
fn a_safe_message_waits_for_two_visits_of_the_token() {
    let mut solo = Solo::operational(&ALL);
    solo.receive(1, Packet::Mcast(solo.mcast(1, 1, Safe)));
    solo.receive(1, Packet::Mcast(solo.mcast(1, 2, Agreed)));
    solo.receive_token(token(&solo, 4, 2, 2));
    assert!(solo.delivered().is_empty());
    solo.receive_token(token(&solo, 7, 2, 2));
    assert_eq!(solo.delivered(), ["1:1", "1:2"]);
}

#[test]
fn a_safe_message_that_somebody_misses_waits() {
    let mut solo = Solo::operational(&ALL);
    solo.receive(1, Packet::Mcast(solo.mcast(1, 1, Safe)));
    for visit in 0..5 {
        solo.receive_token(token(&solo, 4 + 3 * visit, 1, 0));
    }
    assert!(solo.delivered().is_empty());
}

#[test]
fn an_unordered_message_is_delivered_at_once_and_only_once() {
    let mut solo = Solo::operational(&ALL);
    solo.receive(1, Packet::Mcast(solo.mcast(1, 3, Unordered)));
    assert_eq!(solo.delivered(), ["1:3"]);
    solo.receive(1, Packet::Mcast(solo.mcast(1, 3, Unordered)));
    solo.receive(1, Packet::Mcast(solo.mcast(1, 1, Safe)));
    solo.receive(1, Packet::Mcast(solo.mcast(1, 2, Agreed)));
    assert_eq!(solo.delivered(), ["1:3"]);
    solo.receive_token(token(&solo, 4, 3, 3));
    solo.receive_token(token(&solo, 7, 3, 3));
    assert_eq!(solo.delivered(), ["1:3", "1:1", "1:2"]);
}

/// Totem §4.1: whoever has received less lowers the aru, and alone raises it again.
#[test]
fn the_aru_is_lowered_by_whoever_misses_something_and_raised_by_it_alone() {
    let mut solo = Solo::operational(&ALL);
    solo.receive(1, Packet::Mcast(solo.mcast(1, 1, Agreed)));
    solo.receive_token(token(&solo, 4, 3, 3));
    let sent = solo.sent_token();
    assert_eq!((sent.aru, sent.aru_by), (1, Some(p(2).node)));
    solo.receive(1, Packet::Mcast(solo.mcast(1, 2, Agreed)));
    solo.receive_token(Token { aru: 1, aru_by: Some(p(2).node), ..token(&solo, 7, 3, 1) });
    assert_eq!(solo.sent_token().aru, 2);
    solo.receive(1, Packet::Mcast(solo.mcast(1, 3, Agreed)));
    solo.receive_token(token(&solo, 10, 3, 2));
    assert_eq!(solo.sent_token().aru, 2, "lowered by 3, and not by this processor");
}

/// `docs/protocol.md` §4, P5: data of this rotation may still be under way.
#[test]
fn a_hole_is_requested_only_if_the_previous_token_announced_it() {
    let mut solo = Solo::operational(&ALL);
    solo.receive(1, Packet::Mcast(solo.mcast(1, 2, Agreed)));
    solo.receive_token(token(&solo, 4, 3, 0));
    assert!(solo.sent_token().rtr.is_empty());
    solo.receive_token(token(&solo, 7, 5, 0));
    let ring = solo.ring_id();
    assert_eq!(solo.sent_token().rtr.as_slice(), [Rtr { ring, first: 1, last: 1 }]);
}

#[test]
fn whoever_holds_what_is_requested_sends_it_again() {
    let mut solo = Solo::operational(&ALL);
    for seq in [1, 2] {
        solo.receive(1, Packet::Mcast(solo.mcast(1, seq, Agreed)));
    }
    let mut rtr = RtrList::default();
    for seq in [1, 2, 3] {
        rtr.request(solo.ring_id(), seq);
    }
    solo.receive_token(Token { rtr, ..token(&solo, 4, 3, 0) });
    let sent = solo.sent();
    let again = |seq| Mcast { again: true, ..solo.mcast(1, seq, Agreed) };
    let again = [1, 2].map(|seq| (Destination::All, Packet::Mcast(again(seq))));
    assert_eq!(sent[..2], again);
    let left = Rtr { ring: solo.ring_id(), first: 3, last: 3 };
    assert!(matches!(&sent[2].1, Packet::Token(t) if t.rtr.as_slice() == [left]));
}

/// P7: what a token says is not what this processor holds.
#[test]
fn the_highest_number_known_comes_from_possession() {
    let mut solo = Solo::operational(&ALL);
    solo.receive_token(token(&solo, 4, 10, 0));
    assert_eq!(solo.ring.progress(), (0, 0));
}

#[test]
fn the_window_limits_what_one_visit_sends() {
    let mut solo = Solo::operational(&ALL);
    for i in 0..20 {
        solo.submit(&alloc::format!("{i}"), Agreed);
    }
    solo.receive_token(Token { fcc: 10 * config().terms().cost(0), ..solo.token(4) });
    assert_eq!(solo.ring.backlog(), 14);
}

#[test]
fn the_backlog_is_bounded_and_says_so() {
    let mut solo = Solo::operational(&ALL);
    while solo.ring.has_room() {
        solo.submit("x", Agreed);
    }
    assert_eq!(solo.ring.backlog(), config().backlog_packets_max);
    let refused = solo.ring.submit(solo.now, Bytes::new(), Agreed);
    assert_eq!(refused, Err(SubmitError::BacklogFull));
    let long = Bytes::from(alloc::vec![0; solo.ring.body_bytes_max() + 1]);
    assert_eq!(solo.ring.submit(solo.now, long, Agreed), Err(SubmitError::BodyTooLong));
}

/// P1: the loss of one token is repaired by its last sender.
#[test]
fn the_token_is_sent_again_until_it_is_known_to_have_arrived() {
    let mut solo = Solo::operational(&ALL);
    solo.receive_token(token(&solo, 4, 1, 0));
    let first = solo.sent_token();
    solo.pass(60 * MS);
    assert_eq!(solo.sent_token(), first);
    // Not above what was passed on.
    solo.receive(3, Packet::Mcast(solo.mcast(3, 1, Agreed)));
    assert_eq!(solo.ring.poll_timeout().map(|(_, t)| t), Some(Timer::TokenRetransmit));
    solo.pass(100 * MS);
    assert_eq!(kinds(&solo.sent()), [PacketKind::Token]);
    solo.receive(3, Packet::Mcast(solo.mcast(3, 2, Agreed)));
    solo.pass(300 * MS);
    assert!(!kinds(&solo.sent()).contains(&PacketKind::Token));
}

/// P2: a copy proves only that the predecessor lives.
#[test]
fn a_token_that_does_not_come_back_is_lost() {
    let mut solo = Solo::operational(&ALL);
    let token = solo.token(4);
    solo.receive_token(token.clone());
    for _ in 0..18 {
        solo.pass(110 * MS);
        solo.receive_token(token.clone());
    }
    assert_eq!(solo.ring.state(), StateKind::Operational);
    solo.pass(30 * MS);
    assert_eq!(solo.ring.state(), StateKind::Gather);
    assert_eq!(solo.cause(), Some(Cause::TokenLost));
}

/// P36: while a processor stands still no token is missing.
#[test]
fn an_own_pause_does_not_count_as_the_loss_of_the_token() {
    let mut solo = Solo::operational(&ALL);
    solo.receive_token(solo.token(4));
    solo.pass(1_500 * MS);
    solo.stand_still(3_000 * MS);
    solo.pass(490 * MS);
    assert_eq!(solo.ring.state(), StateKind::Operational);
    solo.pass(20 * MS);
    assert_eq!(solo.cause(), Some(Cause::TokenLost));
}

/// What lay there is read before the pause is told.
#[test]
fn a_token_that_comes_after_an_own_pause_is_missed_no_later_than_any() {
    let mut solo = Solo::operational(&ALL);
    solo.now = solo.now + 3_000 * MS;
    solo.receive_token(solo.token(4));
    solo.ring.handle_pause(solo.now, 3_000 * MS);
    solo.pass(1_990 * MS);
    assert_eq!(solo.ring.state(), StateKind::Operational);
    solo.pass(20 * MS);
    assert_eq!(solo.cause(), Some(Cause::TokenLost));
}

/// Whoever asks why a ring was given up learns for how long its token had not been seen, whatever
/// gave the ring up.
#[test]
fn the_last_sight_of_the_token_is_told() {
    for (silence, lost) in [(1_500, false), (2_000, true)] {
        let mut solo = Solo::operational(&ALL);
        solo.receive_token(solo.token(4));
        solo.pass(silence * MS);
        if !lost {
            solo.ring.handle_reachability(solo.now, members(&[1]));
        }
        assert_eq!(solo.cause() == Some(Cause::TokenLost), lost);
        let sight = solo.ring.token_sight().expect("a ring was given up");
        assert_eq!((sight.ring, sight.silence), (solo.ring_id(), silence * MS));
        assert_eq!((sight.passed_to, sight.arrived), (Some(p(3)), false));
    }
}

fn idle_token(solo: &Solo, token_seq: u64) -> Token {
    Token { idle: 6, originator: p(2).node, ..solo.token(token_seq) }
}

#[test]
fn the_last_originator_parks_an_idle_token_and_says_so() {
    let mut solo = Solo::operational(&ALL);
    solo.receive_token(idle_token(&solo, 4));
    let parked = Packet::Parked(Parked { ring: solo.ring_id(), token_seq: 4 });
    assert_eq!(solo.sent(), [(Destination::All, parked.clone())]);
    solo.receive_token(idle_token(&solo, 4));
    assert_eq!(solo.sent(), [(Destination::All, parked)], "its sender did not hear it");
    assert!(solo.ring.idle());
}

#[test]
fn a_parked_token_is_used_at_once_by_whoever_parks_it() {
    let mut solo = Solo::operational(&ALL);
    solo.receive_token(idle_token(&solo, 4));
    solo.sent();
    solo.submit("now", Agreed);
    assert_eq!(solo.delivered(), ["now"]);
    assert_eq!(kinds(&solo.sent()), [PacketKind::Mcast, PacketKind::Token]);
}

#[test]
fn a_parked_token_is_released_on_a_wake_request_and_in_any_case_in_time() {
    let mut solo = Solo::operational(&ALL);
    solo.receive_token(idle_token(&solo, 4));
    solo.sent();
    solo.receive(3, Packet::Wake(Wake { ring: solo.ring_id() }));
    assert_eq!(solo.sent_token().token_seq, 5);
    solo.receive_token(idle_token(&solo, 7));
    solo.sent();
    solo.pass(250 * MS);
    assert_eq!(solo.sent_token().token_seq, 8);
}

#[test]
fn a_wake_request_is_repeated_until_the_token_is_seen() {
    let mut solo = Solo::operational(&ALL);
    solo.receive_token(Token { idle: 5, originator: p(3).node, ..solo.token(4) });
    solo.receive(3, Packet::Parked(Parked { ring: solo.ring_id(), token_seq: 5 }));
    solo.sent();
    solo.submit("a", Agreed);
    solo.submit("b", Agreed);
    let wake = (Destination::Node(p(3)), Packet::Wake(Wake { ring: solo.ring_id() }));
    assert_eq!(solo.sent(), core::slice::from_ref(&wake));
    solo.pass(25 * MS);
    assert_eq!(solo.sent().iter().filter(|sent| **sent == wake).count(), 2);
    solo.receive_token(Token { idle: 5, originator: p(3).node, ..solo.token(7) });
    solo.sent();
    solo.pass(40 * MS);
    assert!(!kinds(&solo.sent()).contains(&PacketKind::Wake));
}

/// P14: nobody can have reserved a number while the token is here.
#[test]
fn a_packet_above_a_parked_token_is_dropped() {
    let mut solo = Solo::operational(&[1, 2]);
    solo.receive_token(Token { idle: 4, originator: p(2).node, ..solo.token(4) });
    solo.receive(1, Packet::Mcast(solo.mcast(1, 1, Agreed)));
    assert_eq!(solo.ring.stats().discards(Discard::OutOfWindow), 1);
    solo.submit("mine", Agreed);
    assert_eq!(solo.delivered(), ["mine"]);
}

#[test]
fn word_of_an_older_parking_proves_nothing() {
    let mut solo = Solo::operational(&ALL);
    solo.receive_token(token(&solo, 4, 1, 0));
    let first = solo.sent_token();
    solo.receive(3, Packet::Parked(Parked { ring: solo.ring_id(), token_seq: 4 }));
    solo.pass(60 * MS);
    assert_eq!(solo.sent_token(), first, "sent again");
}

/// P11: nobody in this ring could serve it, and it would keep the token from resting.
#[test]
fn a_request_of_another_ring_leaves_the_token() {
    let mut solo = Solo::operational(&ALL);
    let mut other = solo.ring_id();
    other.seq -= 1;
    let mut token = solo.token(4);
    token.rtr.request(other, 7);
    solo.receive_token(token);
    assert!(solo.sent_token().rtr.is_empty());
}

/// P12: a wake request that comes before the token does is not forgotten.
#[test]
fn a_token_that_was_asked_for_is_not_parked() {
    let mut solo = Solo::operational(&ALL);
    solo.receive(3, Packet::Wake(Wake { ring: solo.ring_id() }));
    solo.receive_token(idle_token(&solo, 4));
    assert_eq!(solo.sent_token().token_seq, 5);
}

/// P14: absurd peers cost the ring, not the process.
#[test]
fn a_token_out_of_every_bound_ends_the_ring() {
    let solo = Solo::operational(&ALL);
    let absurd = [
        Token { seq: 1 << 40, aru: 0, aru_by: Some(p(1).node), ..solo.token(9) },
        Token { seq: 1, aru: 0, aru_by: Some(p(9).node), ..solo.token(9) },
        Token { originator: p(9).node, ..solo.token(9) },
        Token { token_seq: u64::MAX, ..solo.token(9) },
        Token { seq: 1, aru: 0, aru_by: None, ..solo.token(9) },
    ];
    for token in absurd {
        let mut solo = Solo::operational(&ALL);
        solo.receive_token(token);
        assert_eq!(solo.cause(), Some(Cause::OutOfRange));
    }
}

#[test]
fn data_of_strangers_or_beyond_the_window_is_dropped() {
    let mut solo = Solo::operational(&ALL);
    solo.receive(1, Packet::Mcast(solo.mcast(9, 1, Agreed)));
    solo.receive(1, Packet::Mcast(solo.mcast(1, 1 << 50, Agreed)));
    let mut foreign = solo.mcast(1, 1, Agreed);
    foreign.ring.seq += 1;
    solo.receive(1, Packet::Mcast(foreign));
    for reason in [Discard::NotMember, Discard::OutOfWindow, Discard::ForeignRing] {
        assert_eq!(solo.ring.stats().discards(reason), 1, "{reason}");
    }
    assert_eq!(solo.ring.state(), StateKind::Operational, "P32");
}

/// `docs/protocol.md` §3: evaluate before gather.
#[test]
fn a_processor_that_not_all_can_hear_costs_rows_and_no_reconfiguration() {
    let mut solo = Solo::operational(&ALL);
    let ring = Some(solo.ring_id());
    let all = [1, 2, 3, 4];
    let mut rows = alloc::vec![row(1, &all, ring), row(3, &ALL, ring), row(4, &[1, 2, 4], None)];
    rows.iter_mut().for_each(|row| row.version += 1);
    solo.receive(1, Packet::MergeDetect(MergeDetect { seq: 5, rows }.into()));
    solo.ring.handle_reachability(solo.now, members(&[1, 3, 4]));
    assert_eq!(solo.ring.state(), StateKind::Operational);
    let mut rows = alloc::vec![row(3, &all, ring), row(4, &all, None)];
    rows.iter_mut().for_each(|row| row.version += 2);
    solo.receive(1, Packet::MergeDetect(MergeDetect { seq: 5, rows }.into()));
    solo.receive_token(token(&solo, 8, 0, 0));
    solo.pass(100 * MS);
    assert_eq!(solo.ring.state(), StateKind::Operational, "more may be added");
    solo.pass(50 * MS);
    assert_eq!(solo.cause(), Some(Cause::Growth(p(4))));
}

/// Whether 2 has left its ring for a better one after 4, which is heard by all, has joined. It left
/// a ring of its own for that, or has just started.
fn follows(solo: &mut Solo, was_in_a_ring: bool) -> bool {
    let (ring, all) = (Some(solo.ring_id()), [1, 2, 3, 4]);
    let lonely = Installed { ring: RingId { seq: 3, rep: p(4) }, members: members(&[4]) };
    let mut newcomer = row(4, &all, None);
    newcomer.installed = was_in_a_ring.then_some(lonely);
    let mut rows = alloc::vec![row(1, &all, ring), row(3, &all, ring), newcomer];
    rows.iter_mut().for_each(|row| row.version += 1);
    solo.ring.handle_reachability(solo.now, members(&[1, 3, 4]));
    let join = Join { rows, proposal: members(&all), ..solo.join(1) };
    solo.receive(4, Packet::Join(join.into()));
    solo.cause() == Some(Cause::Growth(p(4)))
}

/// Whoever has left a ring to be in one with this processor is not kept waiting; a processor that
/// starts waits like everybody.
#[test]
fn who_left_a_ring_for_a_better_one_is_followed_at_once() {
    for was_in_a_ring in [true, false] {
        let mut solo = Solo::operational(&ALL);
        solo.receive_token(token(&solo, 8, 0, 0));
        assert_eq!(follows(&mut solo, was_in_a_ring), was_in_a_ring);
    }
}

/// LIVE-6: until the token has come round, some may still be in recovery, and would part with those
/// who are not.
#[test]
fn a_ring_that_not_all_have_installed_is_not_left_for_a_better_one() {
    let mut solo = Solo::operational(&ALL);
    assert!(!follows(&mut solo, true));
    solo.pass(20 * MS);
    assert_eq!(solo.ring.state(), StateKind::Operational, "the others recover");
    solo.receive_token(token(&solo, 8, 0, 0));
    assert_eq!(solo.cause(), Some(Cause::Growth(p(4))), "they have");
}

/// Its first join may tell whom it hears, and only the second one that it waits for this processor,
/// with no other news. Its companions, whom it would part with, do not hear the newcomers.
#[test]
fn who_starts_is_waited_for_whichever_join_says_that_it_waits() {
    let mut solo = Solo::operational(&ALL);
    solo.receive_token(token(&solo, 8, 0, 0));
    let (ring, better) = (Some(solo.ring_id()), [1, 2, 4, 5]);
    let mut rows = alloc::vec![row(1, &[1, 2, 3, 4, 5], ring), row(4, &better, None)];
    rows.push(row(5, &better, None));
    rows.iter_mut().for_each(|row| row.version += 1);
    solo.ring.handle_reachability(solo.now, members(&[1, 3, 4, 5]));
    for (number, proposal) in [(1, &[4][..]), (2, &better)] {
        let proposal = members(proposal);
        let join = Join { rows: rows.clone(), proposal, ..solo.join(number) };
        solo.receive(4, Packet::Join(join.into()));
    }
    solo.receive_token(token(&solo, 11, 0, 0));
    solo.pass(250 * MS);
    assert_eq!(solo.cause(), Some(Cause::Growth(p(4))), "a quarter of the target, not all of it");
}

#[test]
fn a_lost_path_between_two_others_ends_the_ring() {
    let mut solo = Solo::operational(&ALL);
    let mut lost = row(1, &[1, 2], Some(solo.ring_id()));
    lost.version += 1;
    let rows = alloc::vec![lost];
    solo.receive(1, Packet::MergeDetect(MergeDetect { seq: 5, rows }.into()));
    assert_eq!(solo.cause(), Some(Cause::PathLost(p(1), p(3))));
}

/// Whether the others hear each other it does not know any more.
#[test]
fn who_hears_nobody_names_its_own_path_to_one_of_them() {
    let mut solo = Solo::operational(&ALL);
    solo.ring.handle_reachability(solo.now, members(&[]));
    solo.pass(MS);
    let transitions = solo.outputs.iter().filter_map(|output| {
        let Output::Transition { from, cause, .. } = output else { return None };
        Some((*from, *cause))
    });
    let (operational, lost) = (StateKind::Operational, Cause::PathLost(p(2), p(1)));
    assert!(transitions.into_iter().any(|left| left == (operational, lost)), "{:?}", solo.outputs);
}

/// P26, P32: a join from before the ring was agreed to says nothing about it.
#[test]
fn an_old_join_of_a_member_has_no_effect_and_a_new_one_ends_the_ring() {
    let mut solo = Solo::operational(&ALL);
    let old = solo.join(1);
    solo.receive(3, Packet::Join(old.into()));
    assert_eq!(solo.ring.state(), StateKind::Operational);
    let mut new = solo.join(2);
    new.accepted = solo.ring_id().seq;
    solo.receive(3, Packet::Join(new.into()));
    assert_eq!(solo.cause(), Some(Cause::MemberGathers(p(3))));
}

/// A survivor's join may come before the leaver's own word.
#[test]
fn the_rows_of_a_join_tell_why_its_sender_gathers() {
    let mut solo = Solo::operational(&ALL);
    let mut join = solo.join(2);
    let mut left = row(1, &[], None);
    (left.version, left.standing) = (2_000, Standing::Leaving);
    (join.accepted, join.rows) = (solo.ring_id().seq, alloc::vec![left]);
    solo.receive(3, Packet::Join(join.into()));
    assert_eq!(solo.cause(), Some(Cause::MemberLeft(p(1))));
}

/// P21
#[test]
fn a_join_with_an_absurd_ring_sequence_is_ignored() {
    let mut solo = Solo::operational(&ALL);
    let mut join = solo.join(2);
    (join.seq, join.accepted) = (1 << 60, 1 << 60);
    solo.receive(3, Packet::Join(join.into()));
    assert_eq!(solo.ring.state(), StateKind::Operational);
    assert_eq!(solo.ring.stats().discards(Discard::AbsurdSeq), 1);
}
