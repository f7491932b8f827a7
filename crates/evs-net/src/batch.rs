//! What waits to be sent: sealed datagrams one after the other in one buffer, so that neighbours of
//! equal size and equal destination leave in one system call (GSO).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;

use crate::wire::DATAGRAM_BYTES_MAX;

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum To {
    /// To the peers that are heard.
    Heard,
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
        Self { bytes: Vec::new(), items: VecDeque::new(), bytes_max }
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

    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// The first run: at most so many datagrams, all but the last of one length, which is at most
    /// `segment_max`. A longer datagram leaves alone.
    pub(crate) fn front(&self, datagrams_max: usize, segment_max: usize) -> Option<Run> {
        let first = self.items.front()?;
        let mut run = Run {
            to: first.to,
            bytes: first.start..first.start + first.len,
            segment: first.len,
            datagrams: 1,
        };
        if first.len > segment_max {
            return Some(run);
        }
        for item in self.items.iter().skip(1) {
            let fits = item.to == run.to
                && item.len <= run.segment
                && run.datagrams < datagrams_max
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
    pub(crate) fn pop(&mut self, datagrams: usize) {
        self.items.drain(..datagrams.min(self.items.len()));
        if self.items.is_empty() {
            self.bytes.clear();
        }
    }

    /// Gives the room of what has left back, while something stays.
    pub(crate) fn compact(&mut self) {
        let Some(gone) = self.items.front().map(|item| item.start) else {
            return;
        };
        self.bytes.drain(..gone);
        self.items.iter_mut().for_each(|item| item.start -= gone);
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(datagrams: &[(To, usize)]) -> SendQueue {
        let mut queue = SendQueue::new(100_000);
        for (to, len) in datagrams {
            assert!(push(&mut queue, *to, *len));
        }
        queue
    }

    fn push(queue: &mut SendQueue, to: To, len: usize) -> bool {
        let write = |bytes: &mut Vec<u8>| {
            bytes.resize(bytes.len() + len, 7);
            Ok::<_, ()>(())
        };
        queue.push(to, len, write).is_some()
    }

    fn runs(mut queue: SendQueue, datagrams_max: usize) -> Vec<(usize, usize)> {
        let mut runs = Vec::new();
        while let Some(run) = queue.front(datagrams_max, 1_000) {
            assert_eq!(queue.bytes(run.bytes.clone()).len(), run.bytes.len());
            runs.push((run.datagrams, run.bytes.len()));
            queue.pop(run.datagrams);
        }
        runs
    }

    #[test]
    fn neighbours_of_equal_size_leave_together_and_a_shorter_one_ends_the_run() {
        let queue = queue(&[(To::Heard, 100), (To::Heard, 100), (To::Heard, 60), (To::Heard, 60)]);
        assert_eq!(runs(queue, 64), [(3, 260), (1, 60)]);
    }

    #[test]
    fn a_longer_one_begins_a_new_run() {
        assert_eq!(runs(queue(&[(To::Heard, 60), (To::Heard, 100)]), 64), [(1, 60), (1, 100)]);
    }

    #[test]
    fn another_destination_ends_the_run() {
        let one = To::Address(([127, 0, 0, 1], 1).into());
        let queue = queue(&[(To::Heard, 9), (one, 9), (one, 9), (To::Everybody, 9)]);
        assert_eq!(runs(queue, 64), [(1, 9), (2, 18), (1, 9)]);
    }

    #[test]
    fn a_run_keeps_to_its_limits() {
        let queue_of = |count, len| queue(&vec![(To::Heard, len); count]);
        assert_eq!(runs(queue_of(5, 10), 2), [(2, 20), (2, 20), (1, 10)]);
        assert_eq!(runs(queue_of(3, 1_001), 64), [(1, 1_001), (1, 1_001), (1, 1_001)]);
        assert_eq!(runs(queue_of(70, 1_000), 128), [(65, 65_000), (5, 5_000)]);
    }

    #[test]
    fn a_full_queue_takes_no_more_until_what_left_is_compacted() {
        let mut queue = queue(&[(To::Heard, 60_000), (To::Everybody, 40_000)]);
        assert!(!push(&mut queue, To::Heard, 1));
        queue.pop(1);
        assert!(!push(&mut queue, To::Heard, 1));
        queue.compact();
        assert!(push(&mut queue, To::Heard, 60_000));
        let run = queue.front(64, 1_000).expect("not empty");
        assert_eq!((run.to, run.bytes), (To::Everybody, 0..40_000));
    }

    #[test]
    fn a_datagram_that_cannot_be_written_is_not_queued() {
        let mut queue = SendQueue::new(10);
        assert_eq!(queue.push(To::Heard, 5, |_| Err(3)), Some(Err(3)));
        assert_eq!(queue.front(1, 1), None);
    }
}
