//! Ring packets: whatever is decoded is encoded and decoded to the same.

use bytes::Bytes;
use totem::{Packet, PacketKind};

use crate::{Seen, Target, seeds};

pub(crate) const TARGET: Target = Target {
    name: "packet",
    run,
    bytes_max: 4096,
    landmarks: || PacketKind::ALL.iter().map(|kind| format!("{kind:?}")).collect(),
    seeds: seeds::packets,
};

fn run(input: &[u8]) -> Seen {
    let mut seen = Seen::nothing();
    if let Ok(packet) = Packet::decode(Bytes::copy_from_slice(input)) {
        seen.mark(packet.kind() as usize);
        let encoded = round_trip(&packet);
        // Rows may name processors that nobody hears; of everything else there is one encoding.
        let rows = matches!(packet.kind(), PacketKind::Join | PacketKind::MergeDetect);
        assert!(rows || encoded == input, "another encoding of {packet:?}");
    }
    seen
}

/// Encodes a packet, and asserts that this decodes to the same.
pub(crate) fn round_trip(packet: &Packet) -> Vec<u8> {
    let mut encoded = Vec::new();
    packet.encode(&mut encoded);
    let again = Packet::decode(Bytes::copy_from_slice(&encoded));
    assert_eq!(again.as_ref(), Ok(packet), "decoded from what was encoded");
    encoded
}
