//! What happened, event by event: a hash that two runs of one seed must share, and, on demand, one
//! aligned line for each event.

use std::fmt;
use std::io::Write;

use super::Nanos;

/// Where trace lines go, and their hash.
pub(super) struct Trace {
    hash: u64,
    lines: Option<Box<dyn Write>>,
}

/// The state of a node, as every line shows it.
pub(super) struct Shown {
    pub(super) node: u32,
    pub(super) state: String,
    pub(super) ring: String,
}

impl Trace {
    pub(super) fn new(lines: Option<Box<dyn Write>>) -> Self {
        Self { hash: FNV_OFFSET, lines }
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) const fn is_shown(&self) -> bool {
        self.lines.is_some()
    }

    /// Mixes numbers that describe an event into the hash (FNV-1a, a word at a time).
    pub(super) fn mix(&mut self, words: &[u64]) {
        for word in words {
            self.hash = (self.hash ^ word).wrapping_mul(FNV_PRIME);
            self.hash ^= self.hash >> 29;
        }
    }

    /// Mixes bytes into the hash.
    pub(super) fn mix_bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(&[u64::from_le_bytes(word)]);
        }
    }

    /// One line about a node. Call only if [`Trace::is_shown`], which saves the formatting.
    pub(super) fn line(&mut self, now: Nanos, shown: Option<Shown>, what: &dyn fmt::Display) {
        let Some(out) = &mut self.lines else { return };
        let (ms, us) = (now / 1_000_000, now / 1_000 % 1_000);
        let (node, state, ring) = match &shown {
            Some(shown) => (shown.node.to_string(), shown.state.as_str(), shown.ring.as_str()),
            None => (String::from("-"), "", ""),
        };
        // A trace that nobody reads any more is no reason to stop the run.
        let _ = writeln!(out, "{ms:>7}.{us:03} {node:>3} {state:<11} {ring:<18} {what}");
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
