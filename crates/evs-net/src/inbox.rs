//! Receiving in batches: several blocks of memory per system call, and in each of them perhaps many
//! datagrams that the kernel put together (GRO), handed out one at a time.
//!
//! What is handed up stays where the kernel has put it, if that fills the better part of a block:
//! then the block goes with it, and comes back when the last of its packets is forgotten. Of other
//! blocks it is copied, one packet behind the other, so that few bytes do not hold large blocks.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::ops::Range;

use bytes::{Buf as _, Bytes, BytesMut};
use quinn_udp::RecvMeta;

use crate::LinkId;
use crate::port::Port;
use crate::socket::Sockets;

/// What was received and not yet handed out.
pub(crate) struct Inbox {
    blocks: [BytesMut; BLOCKS],
    spent: Spent,
    copies: Copies,
    meta: [RecvMeta; BLOCKS],
    /// How many blocks are full, which is next, and how far it was handed out.
    filled: usize,
    block: usize,
    offset: usize,
    /// On which link it came.
    link: LinkId,
    /// The socket that is read next, of those of all links.
    turn: usize,
    drained: bool,
}

/// A datagram, and on which link and from where it came.
pub(crate) struct Received<'i> {
    pub(crate) link: LinkId,
    pub(crate) source: SocketAddr,
    pub(crate) datagram: Datagram<'i>,
}

/// The bytes of a datagram, where they were received.
pub(crate) enum Datagram<'i> {
    /// They can stay there.
    Kept(BytesMut),
    /// The block is used again; copies go there.
    Lent(&'i mut [u8], &'i mut Copies),
}

impl Datagram<'_> {
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Kept(bytes) => bytes,
            Self::Lent(bytes, _) => bytes,
        }
    }

    /// A part of it, to be held for as long as one likes.
    pub(crate) fn part(self, part: Range<usize>) -> Bytes {
        match self {
            // Cut down, not sliced, which would count one reference up and another one down.
            Self::Kept(mut bytes) => {
                bytes.truncate(part.end);
                bytes.advance(part.start);
                bytes.freeze()
            }
            Self::Lent(bytes, copies) => copies.copy(&bytes[part]),
        }
    }
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            blocks: std::array::from_fn(|_| BytesMut::zeroed(BLOCK_BYTES)),
            spent: Spent::default(),
            copies: Copies::new(),
            meta: [RecvMeta::default(); BLOCKS],
            filled: 0,
            block: 0,
            offset: 0,
            link: LinkId::FIRST,
            turn: 0,
            drained: false,
        }
    }

    /// The next datagram. `None`: there is none ([`is_drained`](Self::is_drained)), or a system
    /// call failed and the next one may not.
    pub(crate) fn next(&mut self, ports: &mut [Port]) -> Option<Received<'_>> {
        while self.block == self.filled {
            self.fill(ports)?;
        }
        let meta = self.meta[self.block];
        let (link, source) = (self.link, meta.addr);
        let start = self.offset;
        // An empty datagram is one, too.
        let end = (start + meta.stride.max(1)).min(meta.len);
        let stats = &mut ports[link.place()].stats;
        stats.datagrams_received += 1;
        stats.bytes_received += (end - start) as u64;
        let block = &mut self.blocks[self.block];
        self.offset = end;
        if end == meta.len {
            self.block += 1;
            self.offset = 0;
        }
        let datagram = if meta.len < KEPT_FROM {
            Datagram::Lent(&mut block[start..end], &mut self.copies)
        } else {
            let datagram = block.split_to(end - start);
            if end == meta.len {
                self.spent.exchange(block, BLOCK_BYTES);
                block.resize(BLOCK_BYTES, 0);
            }
            Datagram::Kept(datagram)
        };
        Some(Received { link, source, datagram })
    }

    /// Whether all sockets were empty when they were read last.
    pub(crate) const fn is_drained(&self) -> bool {
        self.drained
    }

    /// Reads one batch from the socket whose turn it is. `None`: nothing there.
    fn fill(&mut self, ports: &mut [Port]) -> Option<()> {
        self.drained = false;
        let count = ports.iter().flat_map(|port| &port.sockets).flat_map(Sockets::all).count();
        let mut tries = 0;
        while tries < count {
            let mut turn = self.turn % count;
            self.turn = (self.turn + 1) % count;
            let place = ports.iter().position(|port| {
                let sockets = port.sockets.iter().flat_map(Sockets::all).count();
                let is_it = turn < sockets;
                turn -= if is_it { 0 } else { sockets };
                is_it
            })?;
            let port = &mut ports[place];
            let (socket, stats) = (port.sockets.as_ref()?.all().nth(turn)?, &mut port.stats);
            let mut slices = self.blocks.each_mut().map(|block| IoSliceMut::new(block));
            match socket.receive(&mut slices, &mut self.meta) {
                Ok(filled) => {
                    stats.receive_calls += 1;
                    (self.filled, self.block, self.offset) = (filled, 0, 0);
                    self.link = LinkId::at(place)?;
                    return Some(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tries += 1,
                Err(_) => {
                    // A pending error of the socket: reading it has cleared it.
                    stats.receive_failures += 1;
                    port.note_failure();
                    return None;
                }
            }
        }
        self.drained = true;
        None
    }
}

/// Memory that went up with packets, the oldest first, to be used again.
#[derive(Default)]
struct Spent(VecDeque<BytesMut>);

impl Spent {
    /// Takes what is left of a block, and puts an empty one of this size in its place: the oldest
    /// again, if nothing of it is held any more.
    fn exchange(&mut self, block: &mut BytesMut, bytes: usize) {
        let free = self.0.front_mut().is_some_and(|oldest| {
            oldest.clear();
            oldest.try_reclaim(bytes)
        });
        let oldest = if free { self.0.pop_front() } else { None };
        let empty = oldest.unwrap_or_else(|| BytesMut::with_capacity(bytes));
        if self.0.len() == SPENT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(std::mem::replace(block, empty));
    }
}

/// Copies of what cannot stay where it is.
pub(crate) struct Copies {
    memory: BytesMut,
    spent: Spent,
}

impl Copies {
    fn new() -> Self {
        Self { memory: BytesMut::with_capacity(COPIES_BYTES), spent: Spent::default() }
    }

    fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if self.memory.capacity() < bytes.len() {
            self.spent.exchange(&mut self.memory, COPIES_BYTES.max(bytes.len()));
        }
        self.memory.extend_from_slice(bytes);
        self.memory.split().freeze()
    }
}

const BLOCKS: usize = 8;
/// As much as the kernel puts together at most.
const BLOCK_BYTES: usize = 65_536;
/// A block with so many bytes in it stays with them; one with fewer would hold more than it is
/// worth.
const KEPT_FROM: usize = BLOCK_BYTES / 2;
/// So many bytes of copies are held or given back together.
const COPIES_BYTES: usize = 16_384;
/// So many blocks are waited for; of more, the oldest are given back to the system when they are
/// free.
const SPENT_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills the block with one byte and hands out half of it.
    fn hand_out(spent: &mut Spent, block: &mut BytesMut, byte: u8) -> Bytes {
        block.fill(byte);
        let part = Datagram::Kept(block.split_to(BLOCK_BYTES / 2)).part(10..20);
        spent.exchange(block, BLOCK_BYTES);
        block.resize(BLOCK_BYTES, 0);
        part
    }

    #[test]
    fn a_block_is_used_again_when_nothing_of_it_is_held() {
        let (mut spent, mut block) = (Spent::default(), BytesMut::zeroed(BLOCK_BYTES));
        let mut places = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            places.insert(block.as_ptr());
            drop(hand_out(&mut spent, &mut block, 1));
            assert_eq!(block.len(), BLOCK_BYTES);
        }
        assert_eq!(places.len(), 2, "one is filled while the other is handed out");
    }

    #[test]
    fn what_is_held_stays_as_it_was() {
        let (mut spent, mut block) = (Spent::default(), BytesMut::zeroed(BLOCK_BYTES));
        let held: Vec<_> =
            (0..=u8::MAX).map(|byte| (byte, hand_out(&mut spent, &mut block, byte))).collect();
        assert!(held.iter().all(|(byte, part)| part[..] == [*byte; 10]));
        assert_eq!(spent.0.len(), SPENT_MAX, "what is waited for is bounded");
    }

    #[test]
    fn a_part_of_a_lent_block_is_a_copy() {
        let (mut block, mut copies) = ([7; 64], Copies::new());
        let part = Datagram::Lent(&mut block, &mut copies).part(1..3);
        block.fill(8);
        assert_eq!(part[..], [7, 7]);
    }

    #[test]
    fn the_memory_of_copies_is_used_again_when_nothing_of_it_is_held() {
        let (mut copies, mut places) = (Copies::new(), std::collections::BTreeSet::new());
        let mut held = copies.copy(&[0; 1000]);
        for round in 1..=u8::MAX {
            let next = copies.copy(&[round; 1000]);
            assert!(held[..] == [round - 1; 1000], "what is held stays as it was");
            places.insert(next.as_ptr());
            held = next;
        }
        assert!(places.len() <= 2 * COPIES_BYTES / 1000, "{} places", places.len());
    }

    #[test]
    fn a_copy_may_be_larger_than_the_usual_memory() {
        assert_eq!(Copies::new().copy(&[3; 2 * COPIES_BYTES]).len(), 2 * COPIES_BYTES);
    }
}
