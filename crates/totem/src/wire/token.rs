//! The token (Totem §4.1) and its retransmission request list.

use alloc::vec::Vec;

use evs_model::{NodeId, RingId};

use super::DecodeError;
use super::codec::{Reader, put_node, put_ring};
use crate::config::{Origins, RTR_MAX, WINDOW_PACKETS_CAP};
use crate::window;

/// Bytes of an encoded token without its requests, and of each range of these.
const TOKEN_OVERHEAD: usize = 96;
const RTR_BYTES: usize = 36;

/// The right to send, and what the ring knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Token {
    /// The ring.
    pub ring: RingId,
    /// Grows by one at every hop, so that a copy is recognised.
    pub token_seq: u64,
    /// The highest sequence number that was reserved.
    pub seq: u64,
    /// All-received-up-to: no member is known to miss anything up to here.
    pub aru: u64,
    /// The member that lowered `aru` last, and alone may raise it.
    pub aru_by: Option<NodeId>,
    /// What was sent in the last rotation, in bytes (flow control count).
    pub fcc: u32,
    /// The part of it that those sent who had nothing left waiting.
    pub light: u32,
    /// How many members had something left waiting.
    pub busy: u32,
    /// How much may be sent in a rotation, in bytes; brought into its bounds by every reader.
    pub window: u32,
    /// What was sent again since the representative set the window, in bytes.
    pub again: u32,
    /// Visits in a row at which nothing was sent, missing or waiting.
    pub idle: u32,
    /// The member that sent something last; it parks the idle token (`docs/protocol.md` §5).
    pub originator: NodeId,
    /// Nobody but the originator sends: it may keep the token for a moment (`docs/protocol.md` §5).
    pub lone: bool,
    /// In recovery: the members, by their place in the ring, that hold everything they must.
    pub complete: u128,
    /// What members miss (retransmission request list).
    pub rtr: RtrList,
}

impl Token {
    /// Whether all of so many members have said that they hold everything.
    pub(crate) fn all_complete(&self, members: usize) -> bool {
        (0..members).all(|place| self.complete >> place & 1 == 1)
    }

    /// The first token of a ring.
    pub(crate) fn first(ring: RingId, origins: &Origins) -> Self {
        Self {
            ring,
            token_seq: origins.token + 1,
            seq: origins.seq,
            aru: origins.seq,
            aru_by: None,
            fcc: 0,
            light: 0,
            busy: 0,
            window: 0,
            again: 0,
            idle: 0,
            originator: ring.rep.node,
            lone: false,
            complete: 0,
            rtr: RtrList::default(),
        }
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let token = Self {
            ring: reader.ring()?,
            token_seq: reader.u64()?,
            seq: reader.u64()?,
            aru: reader.u64()?,
            aru_by: reader.optional_node()?,
            fcc: reader.u32()?,
            light: reader.u32()?,
            busy: reader.u32()?,
            window: reader.u32()?,
            again: reader.u32()?,
            idle: reader.u32()?,
            originator: reader.node()?,
            lone: reader.boolean("lone")?,
            complete: u128::from(reader.u64()?) | (u128::from(reader.u64()?) << 64),
            rtr: RtrList::decode(reader)?,
        };
        if token.aru > token.seq {
            return Err(DecodeError::Field("aru"));
        }
        Ok(token)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        assert!(self.aru <= self.seq, "nobody acknowledges what was not sequenced");
        put_ring(out, self.ring);
        out.extend_from_slice(&self.token_seq.to_le_bytes());
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.aru.to_le_bytes());
        put_node(out, self.aru_by);
        out.extend_from_slice(&self.fcc.to_le_bytes());
        out.extend_from_slice(&self.light.to_le_bytes());
        out.extend_from_slice(&self.busy.to_le_bytes());
        out.extend_from_slice(&self.window.to_le_bytes());
        out.extend_from_slice(&self.again.to_le_bytes());
        out.extend_from_slice(&self.idle.to_le_bytes());
        put_node(out, Some(self.originator));
        out.push(u8::from(self.lone));
        out.extend_from_slice(&self.complete.to_le_bytes());
        self.rtr.encode(out);
    }
}

/// A range of sequence numbers of one ring that somebody misses.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Rtr {
    /// The ring: the token's own, or in recovery a member's old one.
    pub ring: RingId,
    /// The first number missed.
    pub first: u64,
    /// The last number missed.
    pub last: u64,
}

/// The retransmission request list: at most [`RTR_MAX`] ranges, in order and apart.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RtrList(Vec<Rtr>);

impl RtrList {
    /// Whether nobody misses anything.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Rtr] {
        &self.0
    }

    /// Whether a number is in the list.
    pub(crate) fn contains(&self, ring: RingId, seq: u64) -> bool {
        let at = self.0.partition_point(|r| (r.ring, r.last) < (ring, seq));
        self.0.get(at).is_some_and(|r| r.ring == ring && r.first <= seq)
    }

    /// Adds one number, from 1 to 2^64 - 2; returns whether it is in the list afterwards. Cheap
    /// when numbers come in ascending order.
    pub fn request(&mut self, ring: RingId, seq: u64) -> bool {
        let at = self.0.partition_point(|r| (r.ring, r.last) < (ring, seq));
        if self.0.get(at).is_some_and(|r| r.ring == ring && r.first <= seq) {
            return true;
        }
        let joins_left = at > 0 && self.0[at - 1].ring == ring && self.0[at - 1].last + 1 == seq;
        let joins_right = self.0.get(at).is_some_and(|r| r.ring == ring && seq + 1 == r.first);
        match (joins_left, joins_right) {
            (true, true) => {
                self.0[at - 1].last = self.0[at].last;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].last = seq,
            (false, true) => self.0[at].first = seq,
            (false, false) if self.0.len() < RTR_MAX => {
                self.0.insert(at, Rtr { ring, first: seq, last: seq });
            }
            (false, false) => return false,
        }
        true
    }

    /// Takes the numbers of one ring out of the list that `serve` says were sent again, in order,
    /// at most `budget` of them; the others stay.
    pub(crate) fn serve(
        &mut self,
        ring: RingId,
        mut budget: u32,
        mut serve: impl FnMut(u64) -> bool,
    ) {
        let mut kept = Self::default();
        for range in core::mem::take(&mut self.0) {
            if range.ring != ring {
                kept.keep(range);
                continue;
            }
            let mut seq = range.first;
            while seq <= range.last {
                if budget == 0 {
                    kept.keep(Rtr { first: seq, ..range });
                    break;
                }
                if serve(seq) {
                    budget -= 1;
                } else {
                    kept.keep(Rtr { first: seq, last: seq, ..range });
                }
                seq += 1;
            }
        }
        *self = kept;
    }

    /// Drops the last ranges, as many as do not fit into a token of this size (P48). They are
    /// requested again by whoever misses them.
    pub(crate) fn fit(&mut self, packet_bytes_max: usize) {
        self.0.truncate((packet_bytes_max - TOKEN_OVERHEAD) / RTR_BYTES);
    }

    /// Appends a range that lies behind all others; it may continue the last one. What does not
    /// fit is requested again by whoever misses it.
    fn keep(&mut self, range: Rtr) {
        let full = self.0.len() >= RTR_MAX;
        match self.0.last_mut() {
            Some(r) if r.ring == range.ring && r.last + 1 == range.first => r.last = range.last,
            _ if full => {}
            _ => self.0.push(range),
        }
    }

    /// Drops the numbers of other rings, which nobody can serve, and those up to here, which
    /// nobody misses.
    pub(crate) fn keep_only(&mut self, ring: RingId, above: u64) {
        self.0.retain_mut(|r| {
            r.first = r.first.max(above.saturating_add(1));
            r.ring == ring && r.first <= r.last
        });
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let count = usize::from(reader.u8()?);
        if count > RTR_MAX {
            return Err(DecodeError::Field("rtr"));
        }
        let mut list: Vec<Rtr> = Vec::with_capacity(count);
        for _ in 0..count {
            let range = Rtr { ring: reader.ring()?, first: reader.u64()?, last: reader.u64()? };
            // Nobody misses more than a window holds; nobody walks through 2^64 numbers for a peer.
            let valid = range.first >= 1
                && range.first <= range.last
                && range.last < u64::MAX
                && range.last - range.first < window::slots(WINDOW_PACKETS_CAP) as u64;
            let apart = list.last().is_none_or(|r| {
                r.ring < range.ring || (r.ring == range.ring && r.last + 1 < range.first)
            });
            if !valid || !apart {
                return Err(DecodeError::Field("rtr"));
            }
            list.push(range);
        }
        Ok(Self(list))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::try_from(self.0.len()).expect("RTR_MAX fits into a byte"));
        for range in &self.0 {
            put_ring(out, range.ring);
            out.extend_from_slice(&range.first.to_le_bytes());
            out.extend_from_slice(&range.last.to_le_bytes());
        }
    }
}
