//! The content of a packet: whole messages and pieces of messages, one record after the other.
//!
//! Not responsible for which message goes where (`sending`) nor for putting pieces together
//! (`reassembly`). A record is, all numbers little-endian:
//!
//! ```text
//! flags   u8   bits 0-1 the guarantee, bit 2 a fragment; the others are 0
//! groups  u16  how many groups the message names, at most 1,024
//! client  u64  who sent it, together with the processor that sent the packet
//! number  u64  the client's count of messages
//! total   u32  bytes of the content: the group keys, then the body
//! offset  u32  (fragment) where this piece stands in the content
//! length  u32  (fragment) bytes of this piece, from 1 to less than `total`
//! bytes        `total` or `length` of them
//! ```
//!
//! The group keys are part of the content, because they alone can be larger than a packet. All
//! messages of a packet have the guarantee of the packet, but FIFO ones travel in agreed packets:
//! their place in the agreed order is a FIFO place too.

use core::ops::Range;

use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use evs_model::{ClientId, Group, Groups, Guarantee, defect};

use crate::config::MESSAGE_BYTES_CAP;
use crate::memory::with_room;

/// Bytes of a record before the content of a whole message.
pub(crate) const WHOLE_OVERHEAD: usize = 23;
/// Bytes of a record before a piece of a message.
pub(crate) const FRAGMENT_OVERHEAD: usize = WHOLE_OVERHEAD + 8;

const GUARANTEE_BITS: u8 = 0b011;
const FRAGMENT_BIT: u8 = 0b100;

/// The guarantee of the packets in which messages of this guarantee travel.
pub(crate) const fn packet_guarantee(guarantee: Guarantee) -> Guarantee {
    match guarantee {
        Guarantee::Unordered => Guarantee::Unordered,
        Guarantee::Fifo | Guarantee::Agreed => Guarantee::Agreed,
        Guarantee::Safe => Guarantee::Safe,
    }
}

/// What every record says of its message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    pub(crate) client: ClientId,
    pub(crate) number: u64,
    pub(crate) guarantee: Guarantee,
    pub(crate) groups: u16,
    pub(crate) total: u32,
}

impl Head {
    /// Cuts the complete content into groups and body.
    pub(crate) fn split(&self, mut content: Bytes) -> (Groups, Bytes) {
        assert_eq!(content.len(), self.total as usize, "the content is complete");
        let keys = content.split_to(usize::from(self.groups) * Group::LEN);
        (Groups::from_bytes(keys).expect("the count was checked when the head was read"), content)
    }
}

/// The content of a message on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) groups: Groups,
    pub(crate) body: Bytes,
}

impl Content {
    pub(crate) fn len(&self) -> usize {
        self.groups.as_bytes().len() + self.body.len()
    }

    /// Appends a part of the content.
    fn copy(&self, range: Range<usize>, out: &mut BytesMut) {
        let keys = self.groups.as_bytes();
        if range.start < keys.len() {
            out.extend_from_slice(&keys[range.start..range.end.min(keys.len())]);
        }
        if range.end > keys.len() {
            let start = range.start.saturating_sub(keys.len());
            out.extend_from_slice(&self.body[start..range.end - keys.len()]);
        }
    }
}

/// A packet body in the making, of bounded size. Bodies are made one behind the other in blocks of
/// memory that are used again when the ring has forgotten them.
#[derive(Debug)]
pub(crate) struct Packer {
    out: BytesMut,
    max: usize,
}

impl Packer {
    /// `memory` is what [`finish`](Self::finish) gave back the last time, or empty.
    pub(crate) fn new(memory: BytesMut, max: usize) -> Self {
        Self { out: with_room(memory, max), max }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Bytes that are left.
    pub(crate) fn room(&self) -> usize {
        self.max - self.out.len()
    }

    pub(crate) fn whole(&mut self, head: Head, content: &Content) {
        assert!(WHOLE_OVERHEAD + content.len() <= self.room(), "a whole message fits");
        self.head(head, 0);
        content.copy(0..content.len(), &mut self.out);
    }

    pub(crate) fn fragment(&mut self, head: Head, content: &Content, range: Range<usize>) {
        assert!(FRAGMENT_OVERHEAD + range.len() <= self.room(), "a fragment fits");
        assert!(!range.is_empty() && range.len() < content.len(), "a fragment is a part");
        let number = |n: usize| u32::try_from(n).expect("a message is smaller than 4 GiB");
        self.head(head, FRAGMENT_BIT);
        self.out.extend_from_slice(&number(range.start).to_le_bytes());
        self.out.extend_from_slice(&number(range.len()).to_le_bytes());
        let shift = usize::from(defect!(PieceShifted) && range.start > 0);
        content.copy(range.start - shift..range.end - shift, &mut self.out);
    }

    fn head(&mut self, head: Head, flags: u8) {
        self.out.put_u8(head.guarantee as u8 | flags);
        self.out.extend_from_slice(&head.groups.to_le_bytes());
        self.out.extend_from_slice(&head.client.0.to_le_bytes());
        self.out.extend_from_slice(&head.number.to_le_bytes());
        self.out.extend_from_slice(&head.total.to_le_bytes());
    }

    /// The body, and the memory for the next one.
    pub(crate) fn finish(mut self) -> (Bytes, BytesMut) {
        let body = self.out.split().freeze();
        (body, self.out)
    }
}

/// One record of a received packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Record {
    /// A whole message.
    Whole(Head, Bytes),
    /// The piece of a message that begins at this offset of its content.
    Fragment(Head, u32, Bytes),
}

/// Why the rest of a packet cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Malformed {
    /// It ends too early.
    Truncated,
    /// A flag that has no meaning.
    Flags,
    /// A guarantee that does not travel in such a packet.
    Guarantee,
    /// More groups than a message can name, or than its content can hold.
    Groups,
    /// A content larger than any message has.
    TooLong,
    /// A piece that is empty, or not a part of its message.
    Piece,
}

/// Reads the records of a packet body. After an error there is nothing more.
#[derive(Debug)]
pub(crate) struct Records {
    rest: Bytes,
    packet: Guarantee,
}

impl Records {
    /// `packet` is the guarantee of the packet. The records share the memory of the body.
    pub(crate) const fn new(body: Bytes, packet: Guarantee) -> Self {
        Self { rest: body, packet }
    }

    /// How much has not been read.
    pub(crate) const fn bytes_left(&self) -> usize {
        self.rest.len()
    }

    fn read(&mut self) -> Result<Record, Malformed> {
        let (head, fragment) = self.head()?;
        if !fragment {
            return Ok(Record::Whole(head, self.bytes(head.total)?));
        }
        let offset = self.rest.try_get_u32_le().map_err(|_| Malformed::Truncated)?;
        let length = self.rest.try_get_u32_le().map_err(|_| Malformed::Truncated)?;
        let end = offset.checked_add(length).ok_or(Malformed::Piece)?;
        if length == 0 || length >= head.total || end > head.total {
            return Err(Malformed::Piece);
        }
        Ok(Record::Fragment(head, offset, self.bytes(length)?))
    }

    fn head(&mut self) -> Result<(Head, bool), Malformed> {
        if self.rest.len() < WHOLE_OVERHEAD {
            return Err(Malformed::Truncated);
        }
        let flags = self.rest.get_u8();
        if flags & !(GUARANTEE_BITS | FRAGMENT_BIT) != 0 {
            return Err(Malformed::Flags);
        }
        let guarantee =
            Guarantee::try_from(flags & GUARANTEE_BITS).map_err(|_| Malformed::Flags)?;
        if packet_guarantee(guarantee) != self.packet {
            return Err(Malformed::Guarantee);
        }
        let head = Head {
            guarantee,
            groups: self.rest.get_u16_le(),
            client: ClientId(self.rest.get_u64_le()),
            number: self.rest.get_u64_le(),
            total: self.rest.get_u32_le(),
        };
        let keys = usize::from(head.groups) * Group::LEN;
        if keys > Groups::MAX * Group::LEN || keys > head.total as usize {
            return Err(Malformed::Groups);
        }
        if head.total as usize - keys > MESSAGE_BYTES_CAP {
            return Err(Malformed::TooLong);
        }
        Ok((head, flags & FRAGMENT_BIT != 0))
    }

    fn bytes(&mut self, length: u32) -> Result<Bytes, Malformed> {
        let length = length as usize;
        if self.rest.len() < length {
            return Err(Malformed::Truncated);
        }
        Ok(self.rest.split_to(length))
    }
}

impl Iterator for Records {
    type Item = Result<Record, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.read();
        if record.is_err() {
            self.rest.clear();
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests;
