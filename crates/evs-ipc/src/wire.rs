//! Fields of frames: little-endian numbers, identities, lists.

use bytes::{Buf, BufMut, Bytes};
use evs_model::{Group, Groups, MEMBERS_MAX, Members, NodeId, Processor, RingId, Versions};

use crate::DecodeError;

/// The version of the protocol since which each side says a range of them.
const RANGES_SINCE: u16 = 3;

/// The length and the kind.
pub(crate) const FRAME_HEAD_BYTES: usize = 4 + 1;
/// `Send` without group keys and body: guarantee, group count.
pub(crate) const SEND_HEAD_BYTES: usize = 1 + 2;
/// A message event without group keys and body: guarantee, group count, id, ring, seq.
pub(crate) const MESSAGE_HEAD_BYTES: usize = 1 + 2 + PROCESSOR_BYTES + 8 + 8 + RING_BYTES + 8;

const PROCESSOR_BYTES: usize = 4 + 8;
const RING_BYTES: usize = 8 + PROCESSOR_BYTES;

/// A value that is written as one frame: fixed fields first, then perhaps shared bytes.
pub trait EncodeFrame {
    /// Length of the whole frame in bytes, the length field included.
    fn encoded_len(&self) -> usize;

    /// Appends all of the frame but its [`tail`](Self::tail).
    fn encode_head(&self, out: &mut Vec<u8>);

    /// The bytes that end the frame and need not be copied. Empty for most kinds.
    fn tail(&self) -> Bytes {
        Bytes::new()
    }

    /// Appends the whole frame.
    fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.encoded_len());
        self.encode_head(out);
        out.extend_from_slice(&self.tail());
    }
}

/// Starts a frame whose fields will take `fields_bytes`.
///
/// # Panics
/// If they do not fit 32 bits: every sender checks its limits first.
pub(crate) fn put_frame_head(out: &mut Vec<u8>, kind: u8, fields_bytes: usize) {
    let length = u32::try_from(1 + fields_bytes).expect("limits keep a frame below 4 GiB");
    out.put_u32_le(length);
    out.put_u8(kind);
}

pub(crate) fn put_processor(out: &mut Vec<u8>, processor: Processor) {
    out.put_u32_le(processor.node.get());
    out.put_u64_le(processor.incarnation);
}

pub(crate) fn put_ring(out: &mut Vec<u8>, ring: RingId) {
    out.put_u64_le(ring.seq);
    put_processor(out, ring.rep);
}

pub(crate) fn put_versions(out: &mut Vec<u8>, versions: Versions) {
    out.put_u16_le(versions.lowest());
    out.put_u16_le(versions.highest());
}

pub(crate) fn put_members(out: &mut Vec<u8>, members: &Members) {
    out.put_u16_le(u16::try_from(members.len()).expect("at most MEMBERS_MAX members"));
    members.iter().for_each(|member| put_processor(out, member));
}

pub(crate) fn members_bytes(members: &Members) -> usize {
    2 + members.len() * PROCESSOR_BYTES
}

pub(crate) const RING_FIELD_BYTES: usize = RING_BYTES;
pub(crate) const PROCESSOR_FIELD_BYTES: usize = PROCESSOR_BYTES;

/// The fields of a frame, taken from the front.
pub(crate) struct Fields(pub(crate) Bytes);

impl Fields {
    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.0.try_get_u8().map_err(|_| DecodeError::Truncated(field))
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.0.try_get_u16_le().map_err(|_| DecodeError::Truncated(field))
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.0.try_get_u32_le().map_err(|_| DecodeError::Truncated(field))
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.0.try_get_u64_le().map_err(|_| DecodeError::Truncated(field))
    }

    pub(crate) fn bytes(
        &mut self,
        field: &'static str,
        count: usize,
    ) -> Result<Bytes, DecodeError> {
        if self.0.len() < count {
            return Err(DecodeError::Truncated(field));
        }
        Ok(self.0.split_to(count))
    }

    pub(crate) fn rest(self) -> Bytes {
        self.0
    }

    /// The remaining bytes as text of at most `limit` bytes.
    pub(crate) fn text(self, field: &'static str, limit: usize) -> Result<String, DecodeError> {
        if self.0.len() > limit {
            return Err(DecodeError::TooLong { field, bytes: self.0.len(), limit });
        }
        str::from_utf8(&self.0).map(str::to_owned).map_err(|_| DecodeError::Text(field))
    }

    pub(crate) fn processor(&mut self, field: &'static str) -> Result<Processor, DecodeError> {
        let node = self.u32(field)?;
        let incarnation = self.u64(field)?;
        let node = NodeId::new(node).ok_or(DecodeError::Value { field: "node id", value: 0 })?;
        Ok(Processor::new(node, incarnation))
    }

    pub(crate) fn versions(&mut self) -> Result<Versions, DecodeError> {
        let lowest = self.u16("version")?;
        // Before this version a side said one alone, and something else followed.
        let highest = if lowest < RANGES_SINCE { lowest } else { self.u16("version")? };
        let value = lowest.into();
        Versions::new(lowest, highest).ok_or(DecodeError::Value { field: "version", value })
    }

    pub(crate) fn ring(&mut self, field: &'static str) -> Result<RingId, DecodeError> {
        Ok(RingId { seq: self.u64(field)?, rep: self.processor(field)? })
    }

    pub(crate) fn members(&mut self, field: &'static str) -> Result<Members, DecodeError> {
        let count = usize::from(self.u16(field)?);
        if count > MEMBERS_MAX {
            return Err(DecodeError::TooLong {
                field,
                bytes: count * PROCESSOR_BYTES,
                limit: MEMBERS_MAX * PROCESSOR_BYTES,
            });
        }
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(self.processor(field)?);
        }
        Ok(Members::new(list)?)
    }

    pub(crate) fn groups(&mut self, count: u16) -> Result<Groups, DecodeError> {
        let keys = self.bytes("groups", usize::from(count) * Group::LEN)?;
        Ok(Groups::from_bytes(keys)?)
    }

    /// All fields have been taken.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.0.len())) }
    }
}

/// The count in front of a group list.
pub(crate) fn group_count(groups: &Groups) -> u16 {
    u16::try_from(groups.len()).expect("at most Groups::MAX groups")
}
