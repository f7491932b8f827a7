//! Packet bodies of peers, by the description in `docs/wire.md` §4 alone.

use bytes::Bytes;
use evs_model::{Group, Guarantee};

use crate::input::Input;

/// Bit 2 of a record's flags: a fragment.
const FRAGMENT: u8 = 4;

/// What a record says of its message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) guarantee: Guarantee,
    pub(crate) client: u64,
    pub(crate) number: u64,
    /// How many keys the content begins with.
    pub(crate) groups: u16,
    pub(crate) total: u32,
    /// The offset, if it is a fragment.
    pub(crate) offset: Option<u32>,
}

impl Record {
    /// Appends the record with these bytes of the content.
    pub(crate) fn put(&self, bytes: &[u8], out: &mut Vec<u8>) {
        out.push(self.guarantee as u8 | if self.offset.is_some() { FRAGMENT } else { 0 });
        out.extend_from_slice(&self.groups.to_le_bytes());
        out.extend_from_slice(&self.client.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.total.to_le_bytes());
        if let Some(offset) = self.offset {
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&length(bytes).to_le_bytes());
        }
        out.extend_from_slice(bytes);
    }
}

/// The group of this number.
pub(crate) const fn group(number: u8) -> Group {
    Group([b'a' + number; Group::LEN])
}

/// What stands at a number of a ring: two packets of whole messages, then a message in two
/// fragments.
pub(crate) fn content(seq: u64) -> (Guarantee, Bytes) {
    let turn = seq / 4;
    let key = group(if seq.is_multiple_of(3) { 1 } else { 0 }).0;
    let message = [&key[..], &seq.to_le_bytes()[..2]].concat();
    let agreed = Guarantee::Agreed;
    let whole = Record {
        guarantee: agreed,
        client: 1,
        number: seq,
        groups: 1,
        total: length(&message),
        offset: None,
    };
    let mut body = Vec::new();
    match seq % 4 {
        0 => {
            whole.put(&message, &mut body);
            Record { guarantee: Guarantee::Fifo, client: 2, ..whole }.put(&message, &mut body);
            (agreed, body.into())
        }
        1 => {
            let guarantee = [Guarantee::Safe, Guarantee::Unordered, Guarantee::Safe, agreed];
            let guarantee = guarantee[usize::try_from(turn % 4).expect("small")];
            Record { guarantee, ..whole }.put(&message, &mut body);
            (guarantee, body.into())
        }
        half => {
            let middle = message.len() / 2;
            let (offset, piece) =
                if half == 2 { (0, &message[..middle]) } else { (middle, &message[middle..]) };
            let offset = u32::try_from(offset).expect("small");
            Record { number: turn, offset: Some(offset), ..whole }.put(piece, &mut body);
            (agreed, body.into())
        }
    }
}

/// A few records with fields that the input chooses.
pub(crate) fn any(guarantee: Guarantee, input: &mut Input<'_>) -> Bytes {
    let mut body = Vec::new();
    for _ in 0..=input.u8() % 3 {
        let style = input.u8();
        let bytes = input.u8();
        let bytes = [&group(bytes >> 6).0[..], input.bytes((bytes & 63).into())].concat();
        let guarantee = match style & 3 {
            0 => guarantee,
            _ => Guarantee::try_from(style >> 4 & 3).expect("two bits"),
        };
        let fragment = style & 4 != 0;
        let total = input.near(length(&bytes).into());
        let record = Record {
            guarantee,
            client: u64::from(style >> 6) + 1,
            number: input.near(1),
            groups: if style & 8 == 0 { 1 } else { input.u16() },
            total: u32::try_from(total).unwrap_or(u32::MAX),
            offset: fragment.then(|| u32::try_from(input.near(0)).unwrap_or(u32::MAX)),
        };
        record.put(&bytes, &mut body);
    }
    body.into()
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a body is short")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The description of packet bodies in `docs/wire.md` is enough to be understood.
    #[test]
    fn the_peers_messages_are_whole_ones_and_pieces_that_fit_together() {
        let mut input = Vec::new();
        for seq in 4..12 {
            let (guarantee, body) = content(seq);
            input.push([0, 3, 1, 2][guarantee as usize]);
            input.extend_from_slice(&u16::try_from(body.len()).expect("short").to_le_bytes());
            input.extend_from_slice(&body);
        }
        let found = evs_service::fuzzing::packet_bodies(&input);
        assert_eq!((found.whole, found.pieces, found.ordered), (6, 4, 2));
        assert_eq!((found.malformed, found.dropped), (0, 0));
    }
}
