//! The table of `ring.rs`: every state meets every packet, and only legal edges are taken.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use evs_model::Guarantee;

use super::fixtures::{Solo, row};
use crate::output::{Output, StateKind};
use crate::wire::{
    Bitmap, MergeDetect, Packet, PacketKind, Parked, Piece, PieceRequest, Recovered, Wake,
};

const ALL: [u32; 3] = [1, 2, 3];

fn in_state(state: StateKind) -> Solo {
    match state {
        StateKind::Gather => Solo::gathering(&ALL),
        StateKind::Commit => Solo::committed(&ALL),
        StateKind::Recovery => Solo::recovering(&ALL),
        StateKind::Operational => Solo::operational(&ALL),
        StateKind::Left => {
            let mut solo = Solo::operational(&ALL);
            solo.ring.leave(solo.now);
            solo
        }
    }
}

/// A packet of each kind that means something to somebody.
fn packet(solo: &Solo, kind: PacketKind) -> Packet {
    let ring = solo.ring_id();
    let rows = vec![row(1, &ALL, None)];
    match kind {
        PacketKind::CommitToken => Packet::CommitToken(solo.complete_commit_token().into()),
        PacketKind::Join => Packet::Join(solo.join(9).into()),
        PacketKind::Mcast => Packet::Mcast(solo.mcast(1, 1, Guarantee::Agreed)),
        PacketKind::MergeDetect => Packet::MergeDetect(MergeDetect { seq: 3, rows }.into()),
        PacketKind::Parked => Packet::Parked(Parked { ring, token_seq: 2 }),
        PacketKind::Recovered => {
            Packet::Recovered(Recovered { ring, mcast: solo.mcast(1, 1, Guarantee::Agreed) })
        }
        PacketKind::Token => Packet::Token(solo.token(7).into()),
        PacketKind::Wake => Packet::Wake(Wake { ring }),
        PacketKind::Piece => {
            Packet::Piece(Piece { id: 1, index: 0, count: 2, bytes: Bytes::from_static(b"part") })
        }
        PacketKind::PieceRequest => {
            let mut missing = Bitmap::default();
            missing.set(0);
            Packet::PieceRequest(PieceRequest { id: 1, missing })
        }
    }
}

#[test]
fn every_state_meets_every_packet_twice() {
    for state in StateKind::ALL {
        for kind in PacketKind::ALL {
            let mut solo = in_state(state);
            assert_eq!(solo.ring.state(), state);
            for _ in 0..2 {
                let packet = packet(&solo, kind);
                solo.receive(1, packet);
            }
            assert!(solo.ring.stats().received(state, kind) > 0);
        }
    }
}

/// Totem §5, Figure 3.
#[test]
fn only_the_legal_edges_are_taken() {
    use StateKind::{Commit, Gather, Left, Operational, Recovery};
    let legal = [
        (Gather, Commit),
        (Commit, Recovery),
        (Commit, Gather),
        (Recovery, Operational),
        (Recovery, Gather),
        (Operational, Gather),
        (Gather, Left),
        (Commit, Left),
        (Recovery, Left),
        (Operational, Left),
    ];
    let mut taken = Vec::new();
    for state in StateKind::ALL {
        for leave in [false, true] {
            let mut solo = in_state(state);
            if leave {
                solo.ring.leave(solo.now);
            }
            // Nobody answers: whatever was under way fails.
            solo.pass(super::fixtures::MS * 3_000);
            let edge = |output: &Output| {
                let Output::Transition { from, to, .. } = output else { return None };
                Some((*from, *to))
            };
            taken.extend(solo.outputs.iter().filter_map(edge));
        }
    }
    taken.sort_unstable();
    taken.dedup();
    assert!(taken.iter().all(|edge| legal.contains(edge)), "{taken:?}");
    assert_eq!(taken.len(), legal.len(), "{taken:?}");
}

#[test]
fn a_packet_that_claims_to_be_from_this_node_is_ignored() {
    let mut solo = Solo::operational(&ALL);
    let token = solo.token(7);
    solo.receive(2, Packet::Token(token.into()));
    assert!(solo.sent().is_empty());
}

#[test]
fn time_never_goes_backwards() {
    let mut solo = Solo::operational(&ALL);
    solo.pass(super::fixtures::MS * 500);
    let due = solo.ring.poll_timeout();
    solo.ring.handle_timeout(evs_model::Instant::from_nanos(1));
    assert_eq!(solo.ring.poll_timeout(), due);
}
