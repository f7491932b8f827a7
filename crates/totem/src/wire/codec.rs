//! Reading and writing the fields that packets share.

use alloc::vec::Vec;

use bytes::{Buf, Bytes};
use evs_model::{Members, NodeId, Processor, RingId};

use super::DecodeError;

/// Takes fields from the front of a datagram.
pub(super) struct Reader(Bytes);

impl Reader {
    pub(super) const fn new(datagram: Bytes) -> Self {
        Self(datagram)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.0.try_get_u8().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.0.try_get_u16_le().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.0.try_get_u32_le().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.0.try_get_u64_le().map_err(|_| DecodeError::Truncated)
    }

    /// So many bytes, sharing the datagram's memory.
    pub(super) fn bytes(&mut self, count: usize) -> Result<Bytes, DecodeError> {
        if count > self.0.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(self.0.split_to(count))
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> Bytes {
        self.0.split_off(0)
    }

    pub(super) fn boolean(&mut self, name: &'static str) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Field(name)),
        }
    }

    pub(super) fn node(&mut self) -> Result<NodeId, DecodeError> {
        NodeId::new(self.u32()?).ok_or(DecodeError::Field("node"))
    }

    /// A node id, or none for 0.
    pub(super) fn optional_node(&mut self) -> Result<Option<NodeId>, DecodeError> {
        Ok(NodeId::new(self.u32()?))
    }

    pub(super) fn processor(&mut self) -> Result<Processor, DecodeError> {
        Ok(Processor::new(self.node()?, self.u64()?))
    }

    pub(super) fn ring(&mut self) -> Result<RingId, DecodeError> {
        Ok(RingId { seq: self.u64()?, rep: self.processor()? })
    }

    /// A list that must stand in order, with one incarnation of each node at most.
    pub(super) fn members(&mut self) -> Result<Members, DecodeError> {
        let count = usize::from(self.u8()?);
        let list: Vec<_> = (0..count).map(|_| self.processor()).collect::<Result<_, _>>()?;
        let sorted = list.is_sorted();
        let members = Members::new(list).map_err(|_| DecodeError::Field("members"))?;
        if sorted { Ok(members) } else { Err(DecodeError::Field("members")) }
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes(self.0.len())) }
    }
}

pub(super) fn put_processor(out: &mut Vec<u8>, processor: Processor) {
    out.extend_from_slice(&processor.node.get().to_le_bytes());
    out.extend_from_slice(&processor.incarnation.to_le_bytes());
}

pub(super) fn put_ring(out: &mut Vec<u8>, ring: RingId) {
    out.extend_from_slice(&ring.seq.to_le_bytes());
    put_processor(out, ring.rep);
}

pub(super) fn put_node(out: &mut Vec<u8>, node: Option<NodeId>) {
    out.extend_from_slice(&node.map_or(0, NodeId::get).to_le_bytes());
}

pub(super) fn put_members(out: &mut Vec<u8>, members: &Members) {
    out.push(u8::try_from(members.len()).expect("MEMBERS_MAX fits into a byte"));
    members.iter().for_each(|member| put_processor(out, member));
}
