//! Packets in pieces: those of peers, torn in any way, and those of the processor under test.

use bytes::Bytes;
use evs_model::Processor;
use totem::wire::{Piece, PieceRequest};
use totem::{Packet, Ring};

use crate::input::Input;
use crate::packet::round_trip;
use crate::puppets::Puppets;

/// A packet of a peer in pieces, of which some do not come; or a request for pieces.
pub(crate) fn of_peer(
    puppets: &mut Puppets,
    ring: &Ring,
    input: &mut Input<'_>,
) -> (Processor, Vec<Packet>) {
    let (what, from) = (input.u8() % 4, puppets.puppet(input.u8()));
    let (id, each) = (u64::from(input.u8()), 16 + usize::from(input.u8()));
    let packet = match what {
        0 => Packet::Join(puppets.any_join(input).into()),
        1 => Packet::MergeDetect(puppets.any_merge(input).into()),
        2 => Packet::CommitToken(puppets.any_commit(ring, input).into()),
        _ => {
            let length = usize::from(input.u8() % 8);
            let request = request(id, input.bytes(length));
            return (from, request.map(Packet::PieceRequest).into_iter().collect());
        }
    };
    let lost = input.u8();
    let comes = |piece: &Piece| lost >> (piece.index % 8) & 1 == 0;
    (from, torn(&packet, id, each).into_iter().filter(comes).map(Packet::Piece).collect())
}

/// The pieces of a packet, of so many bytes each but the last.
fn torn(packet: &Packet, id: u64, each: usize) -> Vec<Piece> {
    let encoded = Bytes::from(round_trip(packet));
    let count = u16::try_from(encoded.len().div_ceil(each)).unwrap_or(u16::MAX);
    let piece = |index: u16| {
        let start = usize::from(index) * each;
        let bytes = encoded.slice(start..encoded.len().min(start + each));
        Piece { id, index, count, bytes }
    };
    (0..count).map(piece).collect()
}

/// A request for the pieces of these bits, if that is one.
pub(crate) fn request(id: u64, missing: &[u8]) -> Option<PieceRequest> {
    let length = [u8::try_from(missing.len()).ok()?];
    let bytes = [&[totem::wire::VERSION, 9], &id.to_le_bytes()[..], &length, missing].concat();
    match Packet::decode(bytes.into()) {
        Ok(Packet::PieceRequest(request)) => Some(request),
        Ok(_) | Err(_) => None,
    }
}

/// What the processor under test sends in pieces. It sends them in order; those that are sent
/// again, on request, are passed over.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    id: u64,
    next: u16,
    bytes: Vec<u8>,
}

impl Sent {
    /// Takes a piece; returns the packet with its last one.
    pub(crate) fn take(&mut self, piece: &Piece) -> Option<Packet> {
        if piece.id > self.id {
            *self = Self { id: piece.id, ..Self::default() };
        }
        if (piece.id, piece.index) != (self.id, self.next) {
            return None;
        }
        self.next += 1;
        self.bytes.extend_from_slice(&piece.bytes);
        let whole = self.next == piece.count;
        whole.then(|| Packet::decode(self.bytes.clone().into()).expect("its own pieces fit"))
    }
}
