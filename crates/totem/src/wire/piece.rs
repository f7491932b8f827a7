//! Packets that are larger than the path's travel in pieces (`docs/protocol.md` §3).

use alloc::vec::Vec;

use bytes::Bytes;

use super::codec::Reader;
use super::{Bitmap, DecodeError};
use crate::config::PIECES_MAX;

/// Bytes that an encoded piece adds to what it carries.
pub const PIECE_OVERHEAD: usize = 14;

/// A part of an encoded packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Piece {
    /// Names the packet, among all that its sender cuts: these numbers grow.
    pub id: u64,
    /// Its place among the pieces of the packet, from 0.
    pub index: u16,
    /// How many pieces make up the packet: 2 to [`PIECES_MAX`].
    pub count: u16,
    /// The bytes; never none.
    pub bytes: Bytes,
}

/// Asks the sender of a packet in pieces for those that did not come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PieceRequest {
    /// The packet.
    pub id: u64,
    /// Which pieces are missing, by index; one at least.
    pub missing: Bitmap,
}

impl Piece {
    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (id, index, count) = (reader.u64()?, reader.u16()?, reader.u16()?);
        if !(2..=PIECES_MAX).contains(&usize::from(count)) {
            return Err(DecodeError::Field("count"));
        }
        if index >= count {
            return Err(DecodeError::Field("index"));
        }
        let bytes = reader.rest();
        if bytes.is_empty() {
            return Err(DecodeError::Truncated);
        }
        Ok(Self { id, index, count, bytes })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.bytes);
    }
}

impl PieceRequest {
    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let id = reader.u64()?;
        let bytes = usize::from(reader.u8()?);
        let missing = Bitmap::decode(&reader.bytes(bytes)?).ok_or(DecodeError::Field("missing"))?;
        if missing.is_empty() || missing.len() > PIECES_MAX {
            return Err(DecodeError::Field("missing"));
        }
        Ok(Self { id, missing })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        let bytes = self.missing.as_bytes();
        out.push(u8::try_from(bytes.len()).expect("PIECES_MAX / 8 fits into a byte"));
        out.extend_from_slice(bytes);
    }
}
