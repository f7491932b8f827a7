//! Joins (Totem §5.1) and merge probes, both of which carry rows of who hears whom.

use alloc::vec::Vec;

use evs_model::{Members, Processor, RingId};

use super::DecodeError;
use super::codec::{Reader, put_members, put_processor, put_ring};
use crate::config::ROWS_MAX;

/// Whom one processor hears, by its own word (`docs/protocol.md` §3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// Whose row it is.
    pub processor: Processor,
    /// Grows with every change; the higher version of a row wins.
    pub version: u64,
    /// Whom it hears.
    pub hears: Members,
    /// The ring that it installed last.
    pub installed: Option<Installed>,
    /// What it is about.
    pub standing: Standing,
}

/// A ring that was installed, by the word of one of its members. It tells more than the rows of
/// the others, which may lag behind the install.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Installed {
    /// Its name.
    pub ring: RingId,
    /// Its members.
    pub members: Members,
}

/// What a processor is about, by its own word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Standing {
    /// Looking for a ring: in Gather, Commit or Recovery.
    Gathering = 0,
    /// Operational in the ring that it installed last.
    Operational = 1,
    /// Leaving in order; it hears nobody any more.
    Leaving = 2,
}

/// Proposes the members of the next ring.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Join {
    /// The sender's count of joins: an older one never overrides a newer one.
    pub number: u64,
    /// The highest ring sequence that the sender used, accepted or saw.
    pub seq: u64,
    /// The highest ring sequence that the sender agreed to: a member of a ring whose sequence is
    /// not above has left that ring.
    pub accepted: u64,
    /// The members that it proposes.
    pub proposal: Members,
    /// The rows that it knows, its own among them.
    pub rows: Vec<Row>,
}

/// Tells those outside a ring, and those in it, who hears whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MergeDetect {
    /// The highest ring sequence that the sender used, accepted or saw.
    pub seq: u64,
    /// The rows that it knows, its own among them.
    pub rows: Vec<Row>,
}

impl Join {
    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            number: reader.u64()?,
            seq: reader.u64()?,
            accepted: reader.u64()?,
            proposal: reader.members()?,
            rows: decode_rows(reader)?,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.accepted.to_le_bytes());
        put_members(out, &self.proposal);
        encode_rows(&self.rows, out);
    }
}

impl MergeDetect {
    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { seq: reader.u64()?, rows: decode_rows(reader)? })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.seq.to_le_bytes());
        encode_rows(&self.rows, out);
    }
}

/// Most processors that the rows of one packet may name. With [`ROWS_MAX`] rows it is below
/// [`PACKET_BYTES_CAP`](crate::PACKET_BYTES_CAP).
pub(crate) const NAMED_MAX: usize = 2 * ROWS_MAX;

impl Row {
    /// The processors that it names; some of them more than once.
    pub(crate) fn names(&self) -> impl Iterator<Item = Processor> + '_ {
        let installed = self.installed.iter().flat_map(|installed| &installed.members);
        core::iter::once(self.processor).chain(&self.hears).chain(installed)
    }
}

/// All processors that rows name, ascending.
pub(crate) fn named(rows: &[Row]) -> Vec<Processor> {
    let mut named: Vec<Processor> = Vec::new();
    for processor in rows.iter().flat_map(Row::names) {
        if let Err(place) = named.binary_search(&processor) {
            named.insert(place, processor);
        }
    }
    named
}

/// Rows name the same few processors again and again: they are listed once, and each set holds a
/// bit for each of them.
fn encode_rows(rows: &[Row], out: &mut Vec<u8>) {
    let named = named(rows);
    put_count(out, named.len());
    named.iter().for_each(|processor| put_processor(out, *processor));
    put_count(out, rows.len());
    for row in rows {
        let place = named.binary_search(&row.processor).expect("listed above");
        put_count(out, place);
        out.extend_from_slice(&row.version.to_le_bytes());
        out.push(row.standing as u8);
        put_bits(out, &named, &row.hears);
        out.push(u8::from(row.installed.is_some()));
        if let Some(Installed { ring, members }) = &row.installed {
            put_ring(out, *ring);
            put_bits(out, &named, members);
        }
    }
}

fn put_bits(out: &mut Vec<u8>, named: &[Processor], members: &Members) {
    let start = out.len();
    out.resize(start + named.len().div_ceil(8), 0);
    // Both ascend.
    let mut rest = named.iter().enumerate();
    for processor in members {
        let (bit, _) = rest.find(|(_, listed)| **listed == processor).expect("all are listed");
        out[start + bit / 8] |= 1 << (bit % 8);
    }
}

fn decode_rows(reader: &mut Reader) -> Result<Vec<Row>, DecodeError> {
    let count = usize::from(reader.u16()?);
    if count > NAMED_MAX {
        return Err(DecodeError::Field("processors"));
    }
    let mut named = Vec::with_capacity(count);
    for _ in 0..count {
        named.push(reader.processor()?);
    }
    if !named.is_sorted_by(|a, b| a < b) {
        return Err(DecodeError::Field("processors"));
    }
    let count = usize::from(reader.u16()?);
    if count > ROWS_MAX {
        return Err(DecodeError::Field("rows"));
    }
    let mut rows: Vec<Row> = Vec::with_capacity(count);
    for _ in 0..count {
        let place = usize::from(reader.u16()?);
        let processor = *named.get(place).ok_or(DecodeError::Field("row"))?;
        if rows.last().is_some_and(|row| row.processor >= processor) {
            return Err(DecodeError::Field("rows"));
        }
        let version = reader.u64()?;
        let standing = match reader.u8()? {
            0 => Standing::Gathering,
            1 => Standing::Operational,
            2 => Standing::Leaving,
            _ => return Err(DecodeError::Field("standing")),
        };
        let hears = decode_bits(reader, &named, "hears")?;
        let installed = if reader.boolean("installed")? {
            let ring = reader.ring()?;
            let members = decode_bits(reader, &named, "members")?;
            Some(Installed { ring, members })
        } else {
            None
        };
        rows.push(Row { processor, version, hears, installed, standing });
    }
    Ok(rows)
}

fn decode_bits(
    reader: &mut Reader,
    named: &[Processor],
    field: &'static str,
) -> Result<Members, DecodeError> {
    let bits = reader.bytes(named.len().div_ceil(8))?;
    let count = bits.iter().map(|byte| byte.count_ones() as usize).sum();
    let mut list = Vec::with_capacity(count);
    for (byte, names) in bits.iter().zip(named.chunks(8)) {
        let set = names.iter().enumerate().filter(|(bit, _)| byte >> bit & 1 == 1);
        list.extend(set.map(|(_, processor)| *processor));
    }
    // A bit beyond the list names nobody.
    if list.len() < count {
        return Err(DecodeError::Field(field));
    }
    Members::new(list).map_err(|_| DecodeError::Field(field))
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u16::try_from(count).expect("NAMED_MAX fits into two bytes");
    out.extend_from_slice(&count.to_le_bytes());
}
