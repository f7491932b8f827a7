//! Data packets, on their own ring and in recovery.

use alloc::vec::Vec;

use bytes::Bytes;
use evs_model::{Guarantee, NodeId, RingId};

use super::DecodeError;
use super::codec::{Reader, put_ring};

/// Bytes that an encoded data packet adds to its body, on its own ring (35) and in recovery, where
/// the new ring's id comes on top (20): a packet of full size must still fit then (P48).
pub const MCAST_OVERHEAD: usize = 55;

/// The bit beside the guarantee that marks a copy sent on request.
const AGAIN: u8 = 4;

/// A data packet: one sequence number of a ring.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mcast {
    /// The ring in which it was sequenced.
    pub ring: RingId,
    /// Its place in the order, from 1.
    pub seq: u64,
    /// The member that sequenced it.
    pub sender: NodeId,
    /// The guarantee of everything in it.
    pub guarantee: Guarantee,
    /// This copy was sent again on request: it tells nothing about how late data comes (P5).
    pub again: bool,
    /// What was submitted.
    pub body: Bytes,
}

impl Mcast {
    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let ring = reader.ring()?;
        let seq = reader.u64()?;
        if seq == 0 {
            return Err(DecodeError::Field("seq"));
        }
        let sender = reader.node()?;
        let flags = reader.u8()?;
        let guarantee =
            Guarantee::try_from(flags & !AGAIN).map_err(|_| DecodeError::Field("guarantee"))?;
        Ok(Self { ring, seq, sender, guarantee, again: flags & AGAIN != 0, body: reader.rest() })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_ring(out, self.ring);
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.sender.get().to_le_bytes());
        out.push(self.guarantee as u8 | if self.again { AGAIN } else { 0 });
        out.extend_from_slice(&self.body);
    }
}

/// A data packet of an old ring, sent to the members of a new ring while they recover.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recovered {
    /// The new ring, in whose recovery it is sent.
    pub ring: RingId,
    /// The packet as its sender sequenced it.
    pub mcast: Mcast,
}

impl Recovered {
    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { ring: reader.ring()?, mcast: Mcast::decode(reader)? })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_ring(out, self.ring);
        self.mcast.encode(out);
    }
}
