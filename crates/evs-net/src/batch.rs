//! What waits to be sent: sealed datagrams one after the other in one buffer, so that neighbours of
//! equal size and equal destination leave in one system call (GSO).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;

use evs_model::NodeId;

use crate::wire::DATAGRAM_BYTES_MAX;

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum To {
    /// To the peers that are heard.
    Heard,
    /// To those of them for whom packets of full size are not cut.
    Wide,
    /// To the others.
    Narrow,
    /// To all peers, heard or not.
    Everybody,
    /// To one address.
    Address(SocketAddr),
}

/// A bounded queue of datagrams, in the order in which they are to leave.
pub(crate) struct SendQueue {
    bytes: Vec<u8>,
    items: VecDeque<Item>,
    bytes_max: usize,
    /// What became of the first run, where a socket was busy in the middle of it.
    begun: Option<Begun>,
}

/// So many datagrams went to so many of their targets.
#[derive(Clone, Copy)]
struct Begun {
    datagrams: usize,
    targets: usize,
}

/// Who there is to send to.
pub(crate) struct Targets<'a> {
    /// The peers, in the order in which they are served.
    pub(crate) peers: &'a [PeerAddress],
    /// The address of the group, which takes the place of all of them.
    pub(crate) group: Option<SocketAddr>,
}

/// A peer as the sending side sees it.
pub(crate) struct PeerAddress {
    pub(crate) node: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) heard: bool,
    /// Packets of full size are cut for it.
    pub(crate) narrow: bool,
}

/// What one system call may carry.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Most datagrams.
    pub(crate) datagrams: usize,
    /// Longest datagram that is not sent alone.
    pub(crate) segment: usize,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sent {
    /// It left, or was lost: there is nothing more to do about it.
    Done,
    /// The socket was busy; nothing left.
    Busy,
}

struct Item {
    to: To,
    start: usize,
    len: usize,
}

/// The datagrams at the front that can leave together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Run {
    pub(crate) to: To,
    pub(crate) bytes: Range<usize>,
    /// Length of each datagram but the last, which may be shorter.
    pub(crate) segment: usize,
    pub(crate) datagrams: usize,
}

impl SendQueue {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), items: VecDeque::new(), bytes_max, begun: None }
    }

    /// Lets `write` append one datagram. `None`, without calling it: there is no room for `len`
    /// bytes.
    pub(crate) fn push<E>(
        &mut self,
        to: To,
        len: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Option<Result<(), E>> {
        let start = self.bytes.len();
        if start + len > self.bytes_max {
            return None;
        }
        let result = write(&mut self.bytes);
        if result.is_ok() {
            assert!(self.bytes.len() - start <= len, "a datagram has the announced length");
            self.items.push_back(Item { to, start, len: self.bytes.len() - start });
        } else {
            self.bytes.truncate(start);
        }
        Some(result)
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Sends everything, in order. Returns false if the socket was busy: the rest waits.
    pub(crate) fn flush(
        &mut self,
        targets: &Targets<'_>,
        limits: Limits,
        mut send: impl FnMut(SocketAddr, &[u8], &Run) -> Sent,
    ) -> bool {
        loop {
            // What was queued since does not join a run that some have already got.
            let begun = self.begun.take();
            let datagrams = begun.map_or(limits.datagrams, |begun| begun.datagrams);
            let Some(run) = self.front(Limits { datagrams, ..limits }) else {
                return true;
            };
            let mut served = begun.map_or(0, |begun| begun.targets);
            while let Some(target) = targets.nth(run.to, served) {
                let bytes = &self.bytes[run.bytes.clone()];
                if target.is_some_and(|address| send(address, bytes, &run) == Sent::Busy) {
                    self.begun = Some(Begun { datagrams: run.datagrams, targets: served });
                    self.compact();
                    return false;
                }
                served += 1;
            }
            self.pop(run.datagrams);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.bytes.clear();
        self.begun = None;
    }

    /// The first run: datagrams for the same targets, all but the last of one length. One above
    /// the limit leaves alone.
    fn front(&self, limits: Limits) -> Option<Run> {
        let first = self.items.front()?;
        let mut run = Run {
            to: first.to,
            bytes: first.start..first.start + first.len,
            segment: first.len,
            datagrams: 1,
        };
        if first.len > limits.segment {
            return Some(run);
        }
        for item in self.items.iter().skip(1) {
            let fits = item.to == run.to
                && item.len <= run.segment
                && run.datagrams < limits.datagrams
                && run.bytes.len() + item.len <= DATAGRAM_BYTES_MAX;
            if !fits {
                break;
            }
            run.bytes.end += item.len;
            run.datagrams += 1;
            if item.len < run.segment {
                break;
            }
        }
        Some(run)
    }

    /// Takes the datagrams of the first run out.
    fn pop(&mut self, datagrams: usize) {
        self.items.drain(..datagrams.min(self.items.len()));
        if self.items.is_empty() {
            self.bytes.clear();
        }
    }

    /// Gives the room of what has left back, while something stays.
    fn compact(&mut self) {
        let Some(gone) = self.items.front().map(|item| item.start) else {
            return;
        };
        self.bytes.drain(..gone);
        self.items.iter_mut().for_each(|item| item.start -= gone);
    }
}

impl Targets<'_> {
    /// The target at this place, `Some(None)` for one that is passed over; `None` after the last.
    fn nth(&self, to: To, place: usize) -> Option<Option<SocketAddr>> {
        let one = |address| (place == 0).then_some(Some(address));
        match (to, self.group) {
            (To::Address(address), _) => one(address),
            (_, Some(group)) => one(group),
            (_, None) => {
                let peer = self.peers.get(place)?;
                let is_meant = match to {
                    To::Wide => peer.heard && !peer.narrow,
                    To::Narrow => peer.heard && peer.narrow,
                    To::Heard => peer.heard,
                    To::Everybody | To::Address(_) => true,
                };
                Some(is_meant.then_some(peer.address))
            }
        }
    }
}

#[cfg(test)]
mod tests;
