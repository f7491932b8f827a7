//! decode ∘ encode is the identity, and no bytes whatever panic or are taken for what they are not.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use evs_model::{Guarantee, Members, NodeId, Processor, RingId};
use proptest::prelude::*;

use super::*;
use crate::config::{Origins, PIECES_MAX, RTR_MAX, Terms};

fn processor(node: u32) -> Processor {
    Processor::new(NodeId::new(node).expect("not zero"), u64::from(node) << 40 | 7)
}

fn ring(seq: u64) -> RingId {
    RingId { seq, rep: processor(1) }
}

fn members(nodes: &[u32]) -> Members {
    Members::new(nodes.iter().map(|n| processor(*n)).collect()).expect("few")
}

fn row(node: u32, hears: &[u32]) -> Row {
    let standing = match node {
        1 => Standing::Gathering,
        2 => Standing::Operational,
        _ => Standing::Leaving,
    };
    let installed = (node != 3).then(|| Installed { ring: ring(9), members: members(&[node, 7]) });
    Row { processor: processor(node), version: 77, hears: members(hears), installed, standing }
}

fn mcast(body: &'static [u8]) -> Mcast {
    Mcast {
        ring: ring(3),
        seq: u64::MAX,
        sender: processor(2).node,
        guarantee: Guarantee::Safe,
        again: false,
        body: Bytes::from_static(body),
    }
}

fn held_bits(bits: &[usize]) -> Bitmap {
    let mut held = Bitmap::default();
    bits.iter().for_each(|bit| held.set(*bit));
    held
}

/// One packet of each kind, with every optional part somewhere.
fn samples() -> Vec<Packet> {
    let rows = vec![row(1, &[2, 3]), row(2, &[1, 9]), row(3, &[])];
    let held = held_bits(&[1, 9, 30]);
    let old = OldEntry { ring: ring(2), aru: 9, safe: 5, held, obligations: 1 << 100 | 5 };
    let mut token = Token {
        seq: 50,
        aru: 40,
        aru_by: Some(processor(2).node),
        ..Token::first(ring(4), &Origins::default())
    };
    for seq in [41, 42, 45, 7] {
        token.rtr.request(ring(4), seq);
    }
    token.rtr.request(ring(1), 1);
    token.complete = 1 << 127 | 1;
    vec![
        Packet::CommitToken(
            CommitToken {
                ring: ring(8),
                hop: 2,
                terms: Terms {
                    detection: Duration::from_micros(1_234_567),
                    window_packets: 64,
                    window_bytes: 1 << 20,
                },
                members: members(&[1, 2, 3]),
                entries: vec![Some(Entry { old: Some(old) }), Some(Entry { old: None }), None],
            }
            .into(),
        ),
        Packet::Join(
            Join { number: 5, seq: 6, accepted: 4, proposal: members(&[1, 3]), rows: rows.clone() }
                .into(),
        ),
        Packet::Mcast(mcast(b"body")),
        Packet::MergeDetect(MergeDetect { seq: 6, rows }.into()),
        Packet::Parked(Parked { ring: ring(8), token_seq: 12 }),
        Packet::Recovered(Recovered { ring: ring(8), mcast: mcast(b"") }),
        Packet::Token(token.into()),
        Packet::Wake(Wake { ring: ring(8) }),
        Packet::Piece(Piece {
            id: 1 << 40,
            index: 2,
            count: 3,
            bytes: Bytes::from_static(b"body"),
        }),
        Packet::PieceRequest(PieceRequest { id: 1 << 40, missing: held_bits(&[0, 9]) }),
    ]
}

fn encoded(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out
}

#[test]
fn every_kind_is_read_as_it_was_written() {
    let samples = samples();
    assert!(samples.iter().map(Packet::kind).eq(PacketKind::ALL));
    for packet in samples {
        assert_eq!(Packet::decode(encoded(&packet).into()), Ok(packet));
    }
}

#[test]
fn a_packet_that_ends_early_is_refused_wherever_it_ends() {
    for packet in samples() {
        let whole = encoded(&packet);
        let body = match &packet {
            Packet::Mcast(mcast) => mcast.body.len(),
            Packet::Piece(piece) => piece.bytes.len() - 1,
            Packet::CommitToken(_)
            | Packet::Join(_)
            | Packet::MergeDetect(_)
            | Packet::Parked(_)
            | Packet::PieceRequest(_)
            | Packet::Recovered(_)
            | Packet::Token(_)
            | Packet::Wake(_) => 0,
        };
        for end in 0..whole.len() - body {
            let cut = Bytes::copy_from_slice(&whole[..end]);
            assert_eq!(Packet::decode(cut), Err(DecodeError::Truncated), "{packet:?} at {end}");
        }
    }
}

#[test]
fn trailing_bytes_other_versions_and_unknown_kinds_are_refused() {
    let mut long = encoded(&samples()[7]);
    long.push(0);
    assert_eq!(Packet::decode(long.into()), Err(DecodeError::TrailingBytes(1)));
    assert_eq!(Packet::decode(Bytes::from_static(&[2, 7])), Err(DecodeError::Version(2)));
    assert_eq!(Packet::decode(Bytes::from_static(&[1, 10])), Err(DecodeError::Kind(10)));
    assert_eq!(Packet::decode(Bytes::new()), Err(DecodeError::Truncated));
}

#[test]
fn values_that_cannot_be_are_refused() {
    let fields = |packet: &Packet, at: usize, bytes: &[u8]| {
        let mut out = encoded(packet);
        out[at..at + bytes.len()].copy_from_slice(bytes);
        Packet::decode(out.into())
    };
    let samples = samples();
    // A node id of 0, a sequence number of 0, an unknown guarantee.
    assert_eq!(fields(&samples[7], 10, &[0; 4]), Err(DecodeError::Field("node")));
    assert_eq!(fields(&samples[2], 22, &[0; 8]), Err(DecodeError::Field("seq")));
    assert_eq!(fields(&samples[2], 34, &[8]), Err(DecodeError::Field("guarantee")));
    // An aru above seq, more ranges than the limit, a range that ends before it begins.
    assert_eq!(fields(&samples[6], 38, &[51]), Err(DecodeError::Field("aru")));
    let ranges = encoded(&samples[6]).len() - 1 - 4 * 36;
    let many = [u8::try_from(RTR_MAX).expect("small") + 1];
    assert_eq!(fields(&samples[6], ranges, &many), Err(DecodeError::Field("rtr")));
    assert_eq!(fields(&samples[6], ranges + 21, &[2]), Err(DecodeError::Field("rtr")));
    // A piece that is none of the pieces, or of too few or too many; a request for nothing.
    assert_eq!(fields(&samples[8], 10, &[3]), Err(DecodeError::Field("index")));
    for count in [1, u16::try_from(PIECES_MAX).expect("few") + 1] {
        let refused = fields(&samples[8], 12, &count.to_le_bytes());
        assert_eq!(refused, Err(DecodeError::Field("count")));
    }
    assert_eq!(fields(&samples[9], 12, &[0]), Err(DecodeError::Field("missing")));
    // A commit token whose representative is not its lowest member.
    assert_eq!(fields(&samples[0], 10, &[9]), Err(DecodeError::Field("rep")));
}

/// What a full packet adds to its body is what `MCAST_OVERHEAD` says (P48).
#[test]
fn a_recovered_packet_of_full_size_still_fits() {
    let recovered = Packet::Recovered(Recovered { ring: ring(8), mcast: mcast(b"body") });
    assert_eq!(encoded(&recovered).len(), MCAST_OVERHEAD + 4);
    assert_eq!(encoded(&Packet::Mcast(mcast(b"body"))).len(), 35 + 4);
}

#[test]
fn requests_join_into_ranges_up_to_the_limit() {
    let mut list = RtrList::default();
    for seq in [5, 7, 6, 9, 6] {
        assert!(list.request(ring(1), seq));
    }
    let range = |first, last| Rtr { ring: ring(1), first, last };
    assert_eq!(list.as_slice(), [range(5, 7), range(9, 9)]);
    for i in 0..100 {
        list.request(ring(2), 2 * i + 1);
    }
    assert_eq!(list.as_slice().len(), RTR_MAX);
    assert!(list.request(ring(1), 10), "an existing range may still grow");
    assert!(!list.request(ring(3), 1));
}

#[test]
fn what_is_served_leaves_the_list_and_the_rest_stays() {
    let mut list = RtrList::default();
    (1..=6).for_each(|seq| assert!(list.request(ring(1), seq)));
    list.request(ring(2), 1);
    let mut sent = Vec::new();
    list.serve(ring(1), 3, |seq| {
        let held = seq != 2;
        if held {
            sent.push(seq);
        }
        held
    });
    assert_eq!(sent, [1, 3, 4]);
    let range = |seq, first, last| Rtr { ring: ring(seq), first, last };
    assert_eq!(list.as_slice(), [range(1, 2, 2), range(1, 5, 6), range(2, 1, 1)]);
    list.keep_only(ring(1), 5);
    assert_eq!(list.as_slice(), [range(1, 6, 6)]);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Packet::decode(Bytes::from(bytes));
    }

    /// Whatever still decodes after a flip is a valid packet: it encodes to the same bytes.
    #[test]
    fn a_flipped_packet_is_refused_or_valid(
        kind in 0..10usize,
        at in any::<prop::sample::Index>(),
        bit in 0u32..8,
    ) {
        let mut bytes = encoded(&samples()[kind]);
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        if let Ok(packet) = Packet::decode(Bytes::from(bytes.clone())) {
            let again = encoded(&packet);
            prop_assert_eq!(Packet::decode(again.into()), Ok(packet));
        }
    }
}
