//! What a processor does: effects as data, in the order in which they take place.

use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use evs_model::{Configuration, Guarantee, Processor, RingId};

use crate::wire::Packet;

/// Effects, to be executed in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// The highest ring sequence seen: a hint for growth across restarts, never a barrier
    /// (`docs/protocol.md` §1).
    Persist(u64),
    /// Send this packet.
    Transmit {
        /// To whom; never to oneself.
        to: Destination,
        /// What.
        packet: Packet,
    },
    /// A packet's body, in the history of this processor.
    Deliver(Delivery),
    /// A configuration, in the history of this processor.
    Configure(Configuration),
    /// Small packets pass between this processor and a peer, but data does not get through: the
    /// peer is not to be heard until large packets pass again (`docs/protocol.md` §6). To be
    /// executed before the next input; the new set of those heard follows.
    Distrust(Processor),
    /// For the log, the flight recorder and the simulator's trace.
    Transition {
        /// The state that ends.
        from: StateKind,
        /// The state that begins.
        to: StateKind,
        /// Why.
        cause: Cause,
    },
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destination {
    /// To every configured peer.
    All,
    /// To one.
    Node(Processor),
}

/// The body of one packet, delivered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Delivery {
    /// The regular configuration in which it was sent.
    pub ring: RingId,
    /// Its place in that configuration's order.
    pub seq: u64,
    /// Who sequenced it.
    pub sender: Processor,
    /// The guarantee it was submitted with.
    pub guarantee: Guarantee,
    /// What was submitted.
    pub body: Bytes,
}

/// The states of the membership protocol (Totem §5, Figure 3), and the end.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum StateKind {
    /// Agreeing on the members of the next ring.
    Gather,
    /// The commit token goes round.
    Commit,
    /// Messages of the old ring are exchanged on the new ring.
    Recovery,
    /// Messages are sent and ordered.
    Operational,
    /// This processor left in order and takes part in nothing.
    Left,
}

impl StateKind {
    /// All states, in the order of the protocol.
    pub const ALL: [Self; 5] =
        [Self::Gather, Self::Commit, Self::Recovery, Self::Operational, Self::Left];
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gather => "gather",
            Self::Commit => "commit",
            Self::Recovery => "recovery",
            Self::Operational => "operational",
            Self::Left => "left",
        })
    }
}

/// Why a state was left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// Consensus was reached; this processor is the representative.
    Consensus,
    /// A commit token for the own proposal arrived.
    CommitToken,
    /// The commit token came round with everybody's entry.
    CommitComplete,
    /// Everybody has recovered; the new ring is installed.
    Recovered,
    /// No token, or no commit token, within the token loss timeout.
    TokenLost,
    /// Two processors of the ring, or of the attempt, no longer hear each other.
    PathLost(Processor, Processor),
    /// A member left in order.
    MemberLeft(Processor),
    /// A member of the ring, or of the attempt, gathers anew.
    MemberGathers(Processor),
    /// Who hears whom allows a better partition that includes this processor.
    Growth(Processor),
    /// A peer's state is out of every bound; this ring is given up rather than the process.
    OutOfRange,
    /// The application asked to leave.
    Leave,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consensus => f.write_str("consensus reached"),
            Self::CommitToken => f.write_str("commit token received"),
            Self::CommitComplete => f.write_str("commit token complete"),
            Self::Recovered => f.write_str("recovery complete"),
            Self::TokenLost => f.write_str("token lost"),
            Self::PathLost(p, q) => write!(f, "{p} and {q} no longer hear each other"),
            Self::MemberLeft(p) => write!(f, "{p} left in order"),
            Self::MemberGathers(p) => write!(f, "{p} gathers anew"),
            Self::Growth(p) => write!(f, "{p} can be heard by all"),
            Self::OutOfRange => f.write_str("a peer's state is out of bounds"),
            Self::Leave => f.write_str("leaving"),
        }
    }
}

/// What a processor knew of the token when it gave up a ring in operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TokenSight {
    /// The ring.
    pub ring: RingId,
    /// The number of the last token that was here. It grows by one at each hop.
    pub token_seq: u64,
    /// How long ago the token was here last, or the word that it is parked.
    pub silence: Duration,
    /// To whom it was passed on; `None` if it is parked here.
    pub passed_to: Option<Processor>,
    /// Whether it is known to have arrived there.
    pub arrived: bool,
}

/// Why a deadline is due; for traces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Timer {
    /// The silent members of the proposal are given up.
    Consensus,
    /// A join is sent.
    Join,
    /// A leaver repeats itself.
    Leave,
    /// Rows are sent to those outside.
    MergeDetect,
    /// The pieces of a packet that did not come are asked for, or forgotten.
    Pieces,
    /// A growing proposal, or a better partition in sight, has been unchanged long enough.
    Settle,
    /// The token is out of sight for too long.
    TokenLoss,
    /// The parked token is released.
    TokenPark,
    /// The token, or the commit token, is sent again.
    TokenRetransmit,
    /// The wake request is sent again.
    Wake,
}

/// Why a submission is refused. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SubmitError {
    /// The backlog holds `backlog_packets_max` packets, or would exceed `backlog_bytes_max`.
    BacklogFull,
    /// The body is larger than [`crate::Ring::body_bytes_max`].
    BodyTooLong,
    /// This processor has left.
    Left,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BacklogFull => "the backlog is full (backlog_packets_max, backlog_bytes_max)",
            Self::BodyTooLong => "the body does not fit into a packet (packet_bytes_max)",
            Self::Left => "this processor has left the ring",
        })
    }
}

impl core::error::Error for SubmitError {}
