//! Pieces of messages become messages again.
//!
//! Not responsible for whole messages, nor for what was valid to begin with (`pack`).
//!
//! Ordered pieces arrive in the order in which they were sent, and a sender has one message in
//! progress at a time, so one incomplete ordered message per sender is enough. Unordered pieces
//! arrive as the network brings them; their number is bounded by [`UNORDERED_PARTIALS_MAX`]. Memory
//! follows what has arrived, never what is announced.
//!
//! Every processor forgets its incomplete messages at the same point of its history, the next
//! regular configuration, so that all of them deliver the same messages (EVS-4, EVS-12).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use evs_model::{ClientId, Guarantee, Processor};

use crate::config::UNORDERED_PARTIALS_MAX;
use crate::memory::with_room;
use crate::pack::Head;

/// Bytes reserved at once for a message that begins; what is longer grows.
const RESERVE_MAX: usize = 256 << 10;

/// What is incomplete, by sender. Senders are members of the configuration, so they are bounded.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    senders: BTreeMap<Processor, Partials>,
    dropped: u64,
}

/// A message that has arrived in full.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Complete {
    pub(crate) content: Bytes,
    /// The place of its last packet.
    pub(crate) seq: u64,
}

#[derive(Debug, Default)]
struct Partials {
    ordered: Option<Ordered>,
    /// Where the next ordered message is put together.
    memory: BytesMut,
    unordered: BTreeMap<(ClientId, u64), Unordered>,
}

/// Everything up to a point.
#[derive(Debug)]
struct Ordered {
    head: Head,
    content: BytesMut,
}

impl Ordered {
    /// A message that begins, in this memory.
    fn new(head: Head, memory: BytesMut) -> Self {
        Self { head, content: with_room(memory, (head.total as usize).min(RESERVE_MAX)) }
    }

    /// The content, and the memory for the next message; that of a very long one is given back.
    fn complete(mut self) -> (Bytes, BytesMut) {
        let long = self.content.len() > RESERVE_MAX;
        let content = self.content.split().freeze();
        (content, if long { BytesMut::new() } else { self.content })
    }
}

/// Pieces by their offset, which do not overlap.
#[derive(Debug)]
struct Unordered {
    head: Head,
    pieces: BTreeMap<u32, Bytes>,
    received: usize,
    seq_max: u64,
}

/// A piece that continues nothing, or contradicts what it continues.
#[derive(Debug, Eq, PartialEq)]
struct Misfit;

impl Reassembly {
    /// Takes a piece that stands at `offset` of the message's content and came in packet `seq`.
    pub(crate) fn take(
        &mut self,
        sender: Processor,
        seq: u64,
        head: Head,
        offset: u32,
        piece: &Bytes,
    ) -> Option<Complete> {
        let partials = self.senders.entry(sender).or_default();
        let taken = if head.guarantee == Guarantee::Unordered {
            partials.take_unordered(seq, head, offset, piece)
        } else {
            partials.take_ordered(seq, head, offset, piece)
        };
        taken.unwrap_or_else(|Misfit| {
            self.dropped += 1;
            None
        })
    }

    /// Pieces that continued nothing, or contradicted what they continued.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Forgets what is incomplete; returns how many messages.
    pub(crate) fn clear(&mut self) -> usize {
        let incomplete = self.incomplete();
        self.senders.clear();
        incomplete
    }

    /// How many messages are incomplete.
    pub(crate) fn incomplete(&self) -> usize {
        let count = |p: &Partials| usize::from(p.ordered.is_some()) + p.unordered.len();
        self.senders.values().map(count).sum()
    }
}

impl Partials {
    fn take_ordered(
        &mut self,
        seq: u64,
        head: Head,
        offset: u32,
        piece: &Bytes,
    ) -> Result<Option<Complete>, Misfit> {
        let total = head.total as usize;
        let before = self.ordered.take();
        if offset == 0 {
            let mut begun = Ordered::new(head, core::mem::take(&mut self.memory));
            begun.content.extend_from_slice(piece);
            self.ordered = Some(begun);
            // A sender that begins another message has broken off the one before.
            return if before.is_none() { Ok(None) } else { Err(Misfit) };
        }
        let mut partial = before.ok_or(Misfit)?;
        if partial.head != head || partial.content.len() != offset as usize {
            return Err(Misfit);
        }
        partial.content.extend_from_slice(piece);
        if partial.content.len() == total {
            let (content, memory) = partial.complete();
            self.memory = memory;
            return Ok(Some(Complete { content, seq }));
        }
        self.ordered = Some(partial);
        Ok(None)
    }

    fn take_unordered(
        &mut self,
        seq: u64,
        head: Head,
        offset: u32,
        piece: &Bytes,
    ) -> Result<Option<Complete>, Misfit> {
        let key = (head.client, head.number);
        if !self.unordered.contains_key(&key) && self.unordered.len() >= UNORDERED_PARTIALS_MAX {
            return Err(Misfit);
        }
        let partial = self.unordered.entry(key).or_insert_with(|| Unordered::new(head));
        partial.add(seq, head, offset, piece)?;
        if partial.received < head.total as usize {
            return Ok(None);
        }
        Ok(self.unordered.remove(&key).map(Unordered::complete))
    }
}

impl Unordered {
    const fn new(head: Head) -> Self {
        Self { head, pieces: BTreeMap::new(), received: 0, seq_max: 0 }
    }

    fn add(&mut self, seq: u64, head: Head, offset: u32, piece: &Bytes) -> Result<(), Misfit> {
        let end = offset as usize + piece.len();
        let left = self.pieces.range(..=offset).next_back();
        let right = self.pieces.range(offset..).next();
        let overlaps = left.is_some_and(|(at, left)| *at as usize + left.len() > offset as usize)
            || right.is_some_and(|(at, _)| end > *at as usize);
        if self.head != head || overlaps {
            return Err(Misfit);
        }
        // A copy: the piece would keep the whole datagram's buffer.
        self.pieces.insert(offset, Bytes::copy_from_slice(piece));
        self.received += piece.len();
        self.seq_max = self.seq_max.max(seq);
        Ok(())
    }

    fn complete(self) -> Complete {
        let mut content = Vec::with_capacity(self.received);
        self.pieces.values().for_each(|piece| content.extend_from_slice(piece));
        Complete { content: content.into(), seq: self.seq_max }
    }
}

#[cfg(test)]
mod tests;
