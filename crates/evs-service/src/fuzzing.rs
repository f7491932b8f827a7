//! What the fuzzer runs of the modules that nobody outside sees. Not part of the interface:
//! `crates/evs-fuzz` is its only user.

use bytes::{Buf, Bytes, BytesMut};
use evs_model::{Guarantee, NodeId, Processor};

use crate::config::{MESSAGE_BYTES_CAP, UNORDERED_PARTIALS_MAX};
use crate::pack::{Content, Packer, Record, Records};
use crate::reassembly::Reassembly;

/// What was found in packet bodies.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Found {
    /// Whole messages.
    pub whole: u64,
    /// Pieces.
    pub pieces: u64,
    /// Ordered messages put together from pieces.
    pub ordered: u64,
    /// Unordered messages put together from pieces.
    pub unordered: u64,
    /// Bodies whose rest could not be read.
    pub malformed: u64,
    /// Pieces that did not fit.
    pub dropped: u64,
}

/// Reads packet bodies one after the other, puts their pieces together, and asserts what must hold
/// whatever they say.
///
/// The input is a row of bodies, each with a byte (bits 0 and 1 the packet's guarantee, bits 2 and
/// 3 the sender, bit 4: a new configuration begins first) and its length (u16) in front of it.
///
/// # Panics
/// Something did not hold.
#[must_use]
pub fn packet_bodies(input: &[u8]) -> Found {
    let mut input = Bytes::copy_from_slice(input);
    let mut found = Found::default();
    let mut reassembly = Reassembly::default();
    let mut seq = 0;
    while input.len() >= 3 {
        let what = input.get_u8();
        let length = usize::from(input.get_u16_le()).min(input.len());
        let body = input.split_to(length);
        let packet = [Guarantee::Unordered, Guarantee::Agreed, Guarantee::Safe, Guarantee::Fifo];
        let packet = packet[usize::from(what & 3)];
        let node = NodeId::new(u32::from(what >> 2 & 3) + 1).expect("not zero");
        if what & 16 != 0 {
            reassembly.clear();
            assert_eq!(reassembly.incomplete(), 0);
        }
        seq += 1;
        read(body, packet, Processor::new(node, 1), seq, &mut reassembly, &mut found);
    }
    found.dropped = reassembly.dropped();
    assert!(found.dropped + found.ordered + found.unordered <= found.pieces);
    found
}

fn read(
    body: Bytes,
    packet: Guarantee,
    sender: Processor,
    seq: u64,
    reassembly: &mut Reassembly,
    found: &mut Found,
) {
    let mut left = body.clone();
    let mut records = Records::new(body, packet);
    while let Some(record) = records.next() {
        match record {
            Ok(Record::Whole(head, content)) => {
                found.whole += 1;
                let (groups, body) = head.split(content);
                assert!(body.len() <= MESSAGE_BYTES_CAP, "a message's limit holds");
                let consumed = left.split_to(left.len() - records.bytes_left());
                let mut packer = Packer::new(BytesMut::new(), consumed.len());
                packer.whole(head, &Content { groups, body });
                assert_eq!(packer.finish().0, consumed, "one value has one encoding");
            }
            Ok(Record::Fragment(head, offset, piece)) => {
                found.pieces += 1;
                left.advance(left.len() - records.bytes_left());
                let complete = reassembly.take(sender, seq, head, offset, &piece);
                let Some(complete) = complete else { continue };
                if head.guarantee == Guarantee::Unordered {
                    found.unordered += 1;
                } else {
                    found.ordered += 1;
                }
                assert!(complete.seq <= seq);
                let (_, body) = head.split(complete.content);
                assert!(body.len() <= MESSAGE_BYTES_CAP, "a message's limit holds");
            }
            Err(_) => {
                found.malformed += 1;
                assert_eq!(records.bytes_left(), 0, "nothing is read after a mistake");
            }
        }
        assert!(reassembly.incomplete() <= SENDERS * (1 + UNORDERED_PARTIALS_MAX));
    }
    assert_eq!(records.bytes_left(), 0, "a body is read to its end");
}

/// Senders that the input can name.
const SENDERS: usize = 4;
