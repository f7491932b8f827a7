//! Packets that are too large for a path: cut into parts, each in a sealed datagram of its own, and
//! put together again.
//!
//! ```text
//!  0..8   number: the counter that the packet would have had as a whole
//!  8..10  length of the whole packet, at most 64,946
//! 10      index of this part, from 0
//! 11      number of parts, from 2 to 64
//! 12..    the part
//! ```
//! Numbers are little-endian. All parts are of one length but the last, which is shorter if the
//! packet's length says so.

use std::collections::VecDeque;
use std::ops::Range;

use evs_model::defect;

use crate::{LinkId, PAYLOAD_BYTES_MAX};

/// Bytes in front of a part.
pub(crate) const PART_OVERHEAD: usize = 12;

/// Most parts of one packet (`parts_max`).
pub(crate) const PARTS_MAX: usize = 64;

/// Most packets of one peer that are incomplete (`unfinished_packets_max`): then the oldest is
/// given up.
pub const UNFINISHED_PACKETS_MAX: usize = 16;

/// Most bytes of them (`unfinished_bytes_max`).
pub const UNFINISHED_BYTES_MAX: usize = 256 << 10;

/// One part of a packet: what stands in front of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Part {
    pub(crate) number: u64,
    pub(crate) total: u16,
    pub(crate) index: u8,
    pub(crate) count: u8,
}

impl Part {
    /// The first part of a packet of so many bytes.
    pub(crate) fn of(bytes: usize, count: u8) -> Self {
        let total = u16::try_from(bytes).unwrap_or(u16::MAX);
        Self { number: 0, total, index: 0, count }
    }

    /// Where in the packet it belongs.
    pub(crate) fn range(self) -> Range<usize> {
        let (total, index) = (usize::from(self.total), usize::from(self.index));
        let each = total.div_ceil(usize::from(self.count));
        (index * each).min(total)..((index + 1) * each).min(total)
    }

    pub(crate) fn encode(self) -> [u8; PART_OVERHEAD] {
        let mut bytes = [0; PART_OVERHEAD];
        bytes[..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.total.to_le_bytes());
        (bytes[10], bytes[11]) = (self.index, self.count);
        bytes
    }

    /// `None`: no peer sends this.
    pub(crate) fn decode(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (head, bytes) = payload.split_first_chunk::<PART_OVERHEAD>()?;
        let (number, head) = head.split_first_chunk::<8>()?;
        let part = Self {
            number: u64::from_le_bytes(*number),
            total: u16::from_le_bytes([head[0], head[1]]),
            index: head[2],
            count: head[3],
        };
        let fits = (2..=PARTS_MAX).contains(&usize::from(part.count))
            && part.index < part.count
            && usize::from(part.total) <= PAYLOAD_BYTES_MAX
            && !bytes.is_empty()
            && part.range().len() == bytes.len();
        fits.then_some((part, bytes))
    }
}

/// What of packets came so far, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    packets: VecDeque<Packet>,
    bytes: usize,
    /// How many were given up.
    pub(crate) given_up: u64,
}

#[derive(Debug)]
struct Packet {
    link: LinkId,
    /// The first part that came.
    part: Part,
    /// Which parts came, a bit for each.
    came: u64,
    bytes: Vec<u8>,
}

/// What a part has led to.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Put {
    /// The whole packet.
    Whole(Vec<u8>),
    /// More is needed.
    Waits,
    /// It is of a packet that was cut in another way, or came before: a peer's defect.
    Misfit,
}

impl Unfinished {
    pub(crate) fn put(&mut self, link: LinkId, part: Part, bytes: &[u8]) -> Put {
        let is_it = |packet: &Packet| {
            (packet.link, packet.part.number) == (link, part.number) || defect!(PartsMixed)
        };
        let place = self.packets.iter().position(is_it);
        let place = place.unwrap_or_else(|| self.begin(link, part));
        let packet = &mut self.packets[place];
        let (bit, range) = (1 << part.index, part.range());
        let alike = (packet.part.total, packet.part.count) == (part.total, part.count);
        if !alike || packet.came & bit != 0 || range.len() != bytes.len() {
            return Put::Misfit;
        }
        packet.came |= bit;
        packet.bytes[range].copy_from_slice(bytes);
        if packet.came.count_ones() < u32::from(part.count) {
            return Put::Waits;
        }
        self.bytes -= packet.bytes.len();
        self.packets.remove(place).map_or(Put::Misfit, |packet| Put::Whole(packet.bytes))
    }

    /// Makes room for another packet; returns its place.
    fn begin(&mut self, link: LinkId, part: Part) -> usize {
        let total = usize::from(part.total);
        while self.packets.len() >= UNFINISHED_PACKETS_MAX
            || self.bytes + total > UNFINISHED_BYTES_MAX
        {
            let Some(oldest) = self.packets.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
            self.given_up += 1;
        }
        self.bytes += total;
        self.packets.push_back(Packet { link, part, came: 0, bytes: vec![0; total] });
        self.packets.len() - 1
    }

    /// How many packets are incomplete.
    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }
}

#[cfg(test)]
mod tests;
