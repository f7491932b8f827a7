//! Receiving in batches: several buffers per system call, and in each of them perhaps many
//! datagrams that the kernel put together (GRO), handed out one at a time.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use quinn_udp::RecvMeta;

use crate::LinkId;
use crate::port::Port;
use crate::socket::Sockets;

/// What was received and not yet handed out.
pub(crate) struct Inbox {
    buffers: Vec<u8>,
    meta: [RecvMeta; BUFFERS],
    /// How many buffers are full, which is next, and how far it was read.
    filled: usize,
    buffer: usize,
    offset: usize,
    /// On which link it came.
    link: LinkId,
    /// The socket that is read next, of those of all links.
    turn: usize,
    drained: bool,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            buffers: vec![0; BUFFERS * BUFFER_BYTES],
            meta: [RecvMeta::default(); BUFFERS],
            filled: 0,
            buffer: 0,
            offset: 0,
            link: LinkId::FIRST,
            turn: 0,
            drained: false,
        }
    }

    /// The next datagram, and on which link and from where it came. `None`: there is none
    /// ([`is_drained`](Self::is_drained)), or a system call failed and the next one may not.
    pub(crate) fn next(&mut self, ports: &mut [Port]) -> Option<(LinkId, SocketAddr, &mut [u8])> {
        while self.buffer == self.filled {
            self.fill(ports)?;
        }
        let meta = self.meta[self.buffer];
        let start = self.offset;
        // An empty datagram is one, too.
        let end = (start + meta.stride.max(1)).min(meta.len);
        let base = self.buffer * BUFFER_BYTES;
        self.offset = end;
        if end == meta.len {
            self.buffer += 1;
            self.offset = 0;
        }
        let stats = &mut ports[self.link.place()].stats;
        stats.datagrams_received += 1;
        stats.bytes_received += (end - start) as u64;
        Some((self.link, meta.addr, &mut self.buffers[base + start..base + end]))
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
            let mut chunks = self.buffers.chunks_exact_mut(BUFFER_BYTES);
            let mut slices: [IoSliceMut<'_>; BUFFERS] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            match socket.receive(&mut slices, &mut self.meta) {
                Ok(filled) => {
                    stats.receive_calls += 1;
                    (self.filled, self.buffer, self.offset) = (filled, 0, 0);
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

const BUFFERS: usize = 8;
/// As much as the kernel puts together at most.
const BUFFER_BYTES: usize = 65_536;
