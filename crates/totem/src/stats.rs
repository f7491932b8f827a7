//! Counters: what was sent, and what was thrown away and why.

use core::fmt;

use crate::output::StateKind;
use crate::wire::PacketKind;

/// Why a packet had no effect. A discard is a counter, never a log line.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Discard {
    /// Already held, already accepted, or older than what was accepted.
    Duplicate,
    /// Of another ring, or of another attempt.
    ForeignRing,
    /// The sender is no member, or the packet says so of this processor.
    NotMember,
    /// A sequence number outside the window.
    OutOfWindow,
    /// A commit token that differs from the own proposal, or is not above all accepted.
    Mismatch,
    /// A join whose ring sequence jumps absurdly (P21).
    AbsurdSeq,
    /// An old-ring message after this processor reported what it holds (P45).
    Frozen,
    /// The terms of the ring cannot be met.
    Terms,
    /// More rows than `rows_max`.
    TooManyRows,
    /// Means nothing in this state.
    WrongState,
    /// No ring can be formed: its sequence would be above the maximum.
    SeqExhausted,
    /// A row or a join of this processor cannot be told: its number would be above the maximum.
    NumbersExhausted,
    /// A piece that does not go with those before it, or pieces that make up no packet.
    Pieces,
}

impl Discard {
    /// All reasons.
    pub const ALL: [Self; 13] = [
        Self::Duplicate,
        Self::ForeignRing,
        Self::NotMember,
        Self::OutOfWindow,
        Self::Mismatch,
        Self::AbsurdSeq,
        Self::Frozen,
        Self::Terms,
        Self::TooManyRows,
        Self::WrongState,
        Self::SeqExhausted,
        Self::NumbersExhausted,
        Self::Pieces,
    ];

    /// The name under which it is counted.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::ForeignRing => "foreign_ring",
            Self::NotMember => "not_member",
            Self::OutOfWindow => "out_of_window",
            Self::Mismatch => "mismatch",
            Self::AbsurdSeq => "absurd_seq",
            Self::Frozen => "frozen",
            Self::Terms => "terms",
            Self::TooManyRows => "too_many_rows",
            Self::WrongState => "wrong_state",
            Self::SeqExhausted => "seq_exhausted",
            Self::NumbersExhausted => "numbers_exhausted",
            Self::Pieces => "pieces",
        }
    }
}

impl fmt::Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much a processor holds, in entries: bounded, whatever happens to it (P49).
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Held {
    /// Places for data packets, of the ring and of the one before it.
    pub slots: usize,
    /// Packets that wait to be sequenced.
    pub backlog: usize,
    /// Rows of who hears whom.
    pub rows: usize,
    /// Processors of which something is remembered: heard, given up, or their last join.
    pub peers: usize,
    /// Effects that nobody has executed yet.
    pub outputs: usize,
    /// Pieces of packets, of own ones that may be asked for and of others' that came.
    pub pieces: usize,
}

/// Counters since the start of this processor.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Tokens accepted.
    pub tokens: u64,
    /// Tokens and commit tokens sent again.
    pub token_retransmits: u64,
    /// Data packets originated.
    pub originated: u64,
    /// Body bytes originated.
    pub originated_bytes: u64,
    /// Data packets sent again on request.
    pub retransmits: u64,
    /// Sequence numbers requested.
    pub requested: u64,
    /// Old-ring packets sent in recovery.
    pub recovered: u64,
    /// Old-ring packets that others sent in recovery and this processor lacked.
    pub retrieved: u64,
    /// Regular configurations installed.
    pub installs: u64,
    /// Times that a peer was found deaf to data.
    pub distrusts: u64,
    /// Times that Gather was entered.
    pub gathers: u64,
    /// The smoothed time of one rotation, in nanoseconds; 0 if none was measured.
    pub rotation_ns: u64,
    /// How much the ring sends in a rotation at present, in bytes; 0 if there was none.
    pub window_bytes: u32,
    discards: [u64; Discard::ALL.len()],
    arms: [[u64; PacketKind::ALL.len()]; StateKind::ALL.len()],
}

impl Stats {
    /// How often a packet was thrown away for this reason.
    #[must_use]
    pub const fn discards(&self, reason: Discard) -> u64 {
        self.discards[reason as usize]
    }

    /// How often a packet of this kind met this state.
    #[must_use]
    pub const fn received(&self, state: StateKind, kind: PacketKind) -> u64 {
        self.arms[state as usize][kind as usize]
    }

    pub(crate) fn discard(&mut self, reason: Discard) {
        self.discards[reason as usize] += 1;
    }

    pub(crate) fn receive(&mut self, state: StateKind, kind: PacketKind) {
        self.arms[state as usize][kind as usize] += 1;
    }
}
