//! Packets that wait for a sequence number, bounded in number and in bytes.

use alloc::collections::VecDeque;

use bytes::Bytes;
use evs_model::Guarantee;

use crate::config::Config;

#[derive(Debug, Default)]
pub(crate) struct Backlog {
    waiting: VecDeque<Submission>,
    bytes: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Submission {
    pub(crate) body: Bytes,
    pub(crate) guarantee: Guarantee,
}

impl Backlog {
    /// How many packets wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a body of this size may join.
    pub(crate) fn has_room(&self, config: &Config, bytes: usize) -> bool {
        self.len() < config.backlog_packets_max && self.bytes + bytes <= config.backlog_bytes_max
    }

    pub(crate) fn push(&mut self, submission: Submission) {
        self.bytes += submission.body.len();
        self.waiting.push_back(submission);
    }

    /// How many bytes the next body has.
    pub(crate) fn next_bytes(&self) -> Option<usize> {
        self.waiting.front().map(|submission| submission.body.len())
    }

    /// The next in the order submitted.
    pub(crate) fn pop(&mut self) -> Option<Submission> {
        let submission = self.waiting.pop_front()?;
        self.bytes -= submission.body.len();
        Some(submission)
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(bytes: usize) -> Submission {
        Submission { body: alloc::vec![0; bytes].into(), guarantee: Guarantee::Agreed }
    }

    #[test]
    fn it_is_bounded_in_packets_and_in_bytes() {
        let config = Config { backlog_packets_max: 3, backlog_bytes_max: 100, ..Config::default() };
        let mut backlog = Backlog::default();
        backlog.push(submission(60));
        assert!(backlog.has_room(&config, 40));
        assert!(!backlog.has_room(&config, 41));
        backlog.push(submission(0));
        backlog.push(submission(0));
        assert!(!backlog.has_room(&config, 0));
        assert_eq!(backlog.pop().map(|s| s.body.len()), Some(60));
        assert!(backlog.has_room(&config, 100));
    }
}
