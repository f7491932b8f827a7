//! The commit token (Totem §5.2): the agreement on a ring, and what each member brings along.

use alloc::vec::Vec;
use core::time::Duration;

use evs_model::{Members, RingId};

use super::DecodeError;
use super::codec::{Reader, put_members, put_ring};
use crate::config::{Terms, WINDOW_PACKETS_CAP};
use crate::window;

/// Goes round the proposed members twice: it collects their entries, then shows them to all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CommitToken {
    /// The ring that is being formed.
    pub ring: RingId,
    /// Hops so far, from 1: n for the first rotation of n members, 2n for both.
    pub hop: u32,
    /// The representative's values, in force in this ring.
    pub terms: Terms,
    /// Who is to be in it.
    pub members: Members,
    /// What each brings along, in the order of `members`; `None` until it has written it.
    pub entries: Vec<Option<Entry>>,
}

/// What a member brings along.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The state of the ring that it installed last; `None` for a fresh processor.
    pub old: Option<OldEntry>,
}

/// What a member holds of its old ring, frozen when written (P45).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OldEntry {
    /// The old ring.
    pub ring: RingId,
    /// It has received everything up to here.
    pub aru: u64,
    /// It knows that every member of the old ring has received everything up to here.
    pub safe: u64,
    /// Which it holds of those above `aru`: bit i stands for `aru + 1 + i`.
    pub held: Bitmap,
    /// Its obligation set, by place in the old ring's member list.
    pub obligations: u128,
}

impl OldEntry {
    /// The highest number that it holds.
    pub(crate) fn high_seq(&self) -> u64 {
        self.aru + self.held.len() as u64
    }

    /// Whether it has received this number.
    pub(crate) fn holds(&self, seq: u64) -> bool {
        seq <= self.aru || usize::try_from(seq - self.aru - 1).is_ok_and(|bit| self.held.get(bit))
    }
}

/// A row of bits; the last one is always set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bitmap(Vec<u8>);

impl Bitmap {
    /// Most bits that a bitmap may have: as many as a window has slots.
    pub const BITS_MAX: usize = window::slots(WINDOW_PACKETS_CAP);

    /// How many bits there are, up to the last one that is set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.last().map_or(0, |byte| self.0.len() * 8 - byte.leading_zeros() as usize)
    }

    /// Whether no bit is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of one bit; beyond the end they are all unset.
    #[must_use]
    pub fn get(&self, bit: usize) -> bool {
        self.0.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }

    /// The bits, eight in a byte, from the lowest.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads what [`Bitmap::as_bytes`] gives; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let shaped = bytes.last() != Some(&0) && bytes.len() * 8 <= Self::BITS_MAX;
        shaped.then(|| Self(bytes.to_vec()))
    }

    /// Sets one bit.
    ///
    /// # Panics
    /// There is no such bit: it is [`Bitmap::BITS_MAX`] or above.
    pub fn set(&mut self, bit: usize) {
        assert!(bit < Self::BITS_MAX, "a window has no more slots than a bitmap has bits");
        if self.0.len() <= bit / 8 {
            self.0.resize(bit / 8 + 1, 0);
        }
        self.0[bit / 8] |= 1 << (bit % 8);
    }
}

impl CommitToken {
    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let ring = reader.ring()?;
        let hop = reader.u32()?;
        let terms = Terms {
            detection: Duration::from_micros(reader.u64()?),
            window_packets: reader.u32()?,
            window_bytes: reader.u32()?,
        };
        let members = reader.members()?;
        if members.rep() != Some(ring.rep) {
            return Err(DecodeError::Field("rep"));
        }
        let entries = (0..members.len())
            .map(|_| Ok(if reader.boolean("entry")? { Some(Entry::decode(reader)?) } else { None }))
            .collect::<Result<_, _>>()?;
        Ok(Self { ring, hop, terms, members, entries })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        assert_eq!(self.entries.len(), self.members.len(), "one entry for each member");
        put_ring(out, self.ring);
        out.extend_from_slice(&self.hop.to_le_bytes());
        let detection = u64::try_from(self.terms.detection.as_micros()).unwrap_or(u64::MAX);
        out.extend_from_slice(&detection.to_le_bytes());
        out.extend_from_slice(&self.terms.window_packets.to_le_bytes());
        out.extend_from_slice(&self.terms.window_bytes.to_le_bytes());
        put_members(out, &self.members);
        for entry in &self.entries {
            out.push(u8::from(entry.is_some()));
            if let Some(entry) = entry {
                entry.encode(out);
            }
        }
    }
}

impl Entry {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let old = if reader.boolean("old")? { Some(OldEntry::decode(reader)?) } else { None };
        Ok(Self { old })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.old.is_some()));
        if let Some(old) = &self.old {
            old.encode(out);
        }
    }
}

impl OldEntry {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let ring = reader.ring()?;
        let (aru, safe) = (reader.u64()?, reader.u64()?);
        let obligations = u128::from(reader.u64()?) | (u128::from(reader.u64()?) << 64);
        let bytes = usize::from(reader.u16()?);
        let held = Bitmap::decode(&reader.bytes(bytes)?).ok_or(DecodeError::Field("old"))?;
        // Bit 0 stands for the first number not received.
        let ordered = safe <= aru && aru < u64::MAX - Bitmap::BITS_MAX as u64;
        if held.get(0) || !ordered {
            return Err(DecodeError::Field("old"));
        }
        Ok(Self { ring, aru, safe, held, obligations })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_ring(out, self.ring);
        out.extend_from_slice(&self.aru.to_le_bytes());
        out.extend_from_slice(&self.safe.to_le_bytes());
        out.extend_from_slice(&self.obligations.to_le_bytes());
        let bytes = u16::try_from(self.held.0.len()).expect("BITS_MAX / 8 fits into two bytes");
        out.extend_from_slice(&bytes.to_le_bytes());
        out.extend_from_slice(&self.held.0);
    }
}
