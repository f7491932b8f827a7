//! `docs/protocol.md` §3: joins, merge probes and commit tokens that are larger than a packet of
//! the path. That no packet is too large is checked of each that [`Together`] sends.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;

use bytes::Bytes;
use evs_model::Guarantee;

use super::fixtures::{MS, Solo, Together, config, members, p};
use crate::config::{Config, Origins, PACKET_BYTES_MIN};
use crate::output::{Destination, StateKind};
use crate::stats::Discard;
use crate::wire::{Packet, PacketKind, Piece};

/// So many that the commit token of a first ring takes two packets.
const ALL: [u32; 20] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20];

fn narrow() -> Config {
    Config { packet_bytes_max: PACKET_BYTES_MIN, ..config() }
}

fn together() -> Together {
    Together::started_with(&narrow(), &ALL)
}

/// Everybody is in one ring, and that was the first.
#[track_caller]
fn in_one_ring(together: &Together) {
    for (node, history) in &together.histories {
        assert_eq!(history.len(), 1, "{node}: {history:?}");
        assert_eq!(together.rings[node].members(), Some(&members(&ALL)));
    }
}

#[test]
fn a_ring_is_formed_by_joins_and_commit_tokens_in_pieces() {
    let mut together = together();
    together.run(2_000 * MS);
    in_one_ring(&together);
    let stats = together.rings[&2].stats();
    assert!(stats.received(StateKind::Gather, PacketKind::Piece) > 0);
    assert_eq!(stats.received(StateKind::Operational, PacketKind::PieceRequest), 0);
    assert_eq!(stats.discards(Discard::Pieces), 0);
}

/// The numbers of what they cut begin after this one.
fn with_cuts(cut: u64, run: Duration) -> Together {
    let origins = Origins { cut, ..Origins::default() };
    let mut together = Together::started_with(&Config { origins, ..narrow() }, &ALL);
    together.run(run);
    together
}

#[test]
fn the_numbers_of_what_is_cut_pass_two_to_the_32() {
    let dropped = |cut| {
        let together = with_cuts(cut, 2_000 * MS);
        in_one_ring(&together);
        ALL.map(|node| together.rings[&node].stats().discards(Discard::Duplicate))
    };
    assert_eq!(dropped((1 << 32) - 3), dropped(0), "none is taken for an old one");
}

/// A clear refusal: it is not sent, since it could be taken for something else.
#[test]
fn what_has_no_number_left_is_not_sent() {
    let together = with_cuts(u64::MAX - 1, 5_000 * MS);
    assert!(together.rings[&1].stats().discards(Discard::NumbersExhausted) > 0);
    assert!(together.rings[&1].members() != Some(&members(&ALL)));
}

#[test]
fn every_piece_of_the_commit_token_may_be_lost_at_any_hop() {
    for index in 0..2 {
        for to in [1, 2, 11, 20] {
            let mut together = together();
            let before = if to == 1 { 20 } else { to - 1 };
            let lost = Rc::new(Cell::new(false));
            let hit = Rc::clone(&lost);
            // Joins have more pieces than that.
            together.dropping(move |from, at, packet| {
                let Packet::Piece(piece) = packet else { return false };
                let commit = (from, at, piece.count) == (before, to, 2);
                commit && piece.index == index && !hit.replace(true)
            });
            together.run(2_000 * MS);
            in_one_ring(&together);
            assert!(lost.get(), "piece {index} on its way to {to}");
        }
    }
}

#[test]
fn a_ring_is_formed_although_every_tenth_packet_is_lost() {
    for seed in 0..4 {
        let mut together = together();
        let mut rng = fastrand::Rng::with_seed(seed);
        together.dropping(move |_, _, _| rng.u32(0..10) == 0);
        together.run(3_000 * MS);
        in_one_ring(&together);
    }
}

/// P48: a packet of full size is sent again in recovery, and a token full of requests.
#[test]
fn full_packets_are_recovered_and_many_requests_made_without_exceeding_the_path() {
    let mut together = together();
    together.run(2_000 * MS);
    // Every other packet is lost on the way to the others but 2.
    together.dropping(
        |_, to, packet| matches!(packet, Packet::Mcast(mcast) if to > 2 && mcast.seq % 2 == 0),
    );
    let full = together.rings[&1].body_bytes_max();
    for byte in 0..40 {
        let body = Bytes::from([byte].repeat(full));
        let ring = together.rings.get_mut(&1).expect("alive");
        ring.submit(together.now, body, Guarantee::Agreed).expect("there is room");
        together.drain(1);
    }
    together.run(30 * MS);
    together.dropping(|_, _, packet| matches!(packet, Packet::Mcast(_)));
    together.crash(1);
    together.hear();
    together.run(3_000 * MS);
    let recovered: u64 = together.rings.values().map(|ring| ring.stats().recovered).sum();
    assert!(recovered > 0, "full packets were recovered");
    let (first, second) = (&together.histories[&2], &together.histories[&10]);
    assert_eq!(first, second);
    assert!(first.len() > 10, "messages were delivered");
}

/// It would take as much again to send all of a commit token as to send it at first.
#[test]
fn a_commit_token_in_pieces_is_repeated_by_its_last_piece() {
    let mut solo = Solo::gathering_with(narrow(), &ALL);
    solo.join_all();
    let token = solo.commit_token(1);
    solo.sent();
    solo.receive(1, Packet::CommitToken(token.into()));
    assert_eq!(solo.ring.state(), StateKind::Commit);
    let pieces = |solo: &mut Solo| -> Vec<Piece> {
        let piece = |(to, packet)| {
            if to != Destination::Node(p(3)) {
                return None;
            }
            if let Packet::Piece(piece) = packet { Some(piece) } else { None }
        };
        solo.sent().into_iter().filter_map(piece).collect()
    };
    let sent = pieces(&mut solo);
    assert!(sent.len() > 1);
    solo.pass(60 * MS);
    assert_eq!(pieces(&mut solo), sent[sent.len() - 1..]);
}

/// One that was refused may have come too early.
#[test]
fn a_commit_token_in_pieces_is_judged_again_when_its_sender_repeats_itself() {
    let mut solo = Solo::gathering_with(narrow(), &ALL);
    let mut bytes = Vec::new();
    Packet::CommitToken(solo.commit_token(1).into()).encode(&mut bytes);
    let count = u16::try_from(bytes.len().div_ceil(200)).expect("few");
    let chunks = bytes.chunks(200).map(Bytes::copy_from_slice).enumerate();
    let pieces: Vec<Packet> = chunks
        .map(|(index, bytes)| {
            let index = u16::try_from(index).expect("few");
            Packet::Piece(Piece { id: 7, index, count, bytes })
        })
        .collect();
    // Nobody has joined yet.
    pieces.iter().for_each(|piece| solo.receive(1, piece.clone()));
    assert_eq!(solo.ring.stats().discards(Discard::Mismatch), 1);
    assert_eq!(solo.ring.state(), StateKind::Gather);
    solo.join_all();
    solo.receive(1, pieces[pieces.len() - 1].clone());
    assert_eq!(solo.ring.state(), StateKind::Commit);
}

#[test]
fn what_is_held_of_pieces_is_counted_and_forgotten() {
    let mut solo = Solo::operational(&[1, 2, 3]);
    let piece = Piece { id: 1, index: 0, count: 9, bytes: Bytes::from_static(b"part") };
    for node in [1, 3] {
        solo.receive(node, Packet::Piece(piece.clone()));
    }
    assert_eq!(solo.ring.held().pieces, 2);
    let mut heard = members(&[1, 2, 3]);
    heard.remove(p(2));
    heard.remove(p(1));
    solo.ring.handle_reachability(solo.now, heard);
    assert_eq!(solo.ring.held().pieces, 1, "of who is not heard nothing is held");
    solo.pass(1_000 * MS);
    assert_eq!(solo.ring.held().pieces, 0);
}
