//! What a client sees: one stream of configurations and messages (EVS-11).

use core::fmt;

use bytes::Bytes;

use crate::{Groups, Guarantee, Members, Processor, RingId};

/// Names a client of one processor. Never used twice within an incarnation.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClientId(pub u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// Names one message, for ever: its sender and the sender's own count.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MessageId {
    /// The processor that sequenced it.
    pub sender: Processor,
    /// The client of that processor that handed it over.
    pub client: ClientId,
    /// The client's count of messages, from 1.
    pub number: u64,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.sender, self.client, self.number)
    }
}

/// A message as delivered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Its name, which the sender knew when it sent it.
    pub id: MessageId,
    /// The groups it was addressed to.
    pub groups: Groups,
    /// The guarantee it was sent with.
    pub guarantee: Guarantee,
    /// The regular configuration in which it was sent.
    pub ring: RingId,
    /// The place of its last packet in that configuration's order.
    pub seq: u64,
    /// The content, byte for byte.
    pub body: Bytes,
}

/// A configuration as delivered to a client. Left and joined are relative to the last *regular*
/// configuration that this client saw.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConfigurationChange {
    /// A regular configuration begins.
    Regular {
        /// Its name.
        ring: RingId,
        /// Who is in it.
        members: Members,
        /// Members of the last regular configuration that are not in this one.
        left: Members,
        /// Members that were not in the last regular configuration; for the first event of a
        /// session, all but the own processor.
        joined: Members,
    },
    /// A transitional configuration: messages of `from` are being finished.
    Transitional {
        /// The regular configuration that ends.
        from: RingId,
        /// The regular configuration that follows.
        to: RingId,
        /// Those that go from one to the other together.
        members: Members,
        /// Members of the last regular configuration that do not.
        left: Members,
    },
}

/// Why a configuration came about, as the own processor saw it. Other members may have had another
/// reason for the same change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeReason {
    /// Nothing has changed: a session begins with a copy of the current configuration.
    Begin,
    /// The token did not come round in time: a member has failed, or what it sends is lost.
    TokenLost,
    /// These two members no longer hear each other.
    PathLost(Processor, Processor),
    /// This member left in order.
    MemberLeft(Processor),
    /// This member asked for a new agreement, for a reason of its own.
    MemberAsked(Processor),
    /// This processor, which was not a member, can be heard by all.
    Growth(Processor),
    /// A peer's state was out of every bound, and the ring was given up.
    OutOfRange,
}

impl fmt::Display for ChangeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin => f.write_str("the session begins"),
            Self::TokenLost => f.write_str("the token was lost"),
            Self::PathLost(p, q) => write!(f, "{p} and {q} no longer hear each other"),
            Self::MemberLeft(p) => write!(f, "{p} left in order"),
            Self::MemberAsked(p) => write!(f, "{p} asked for it"),
            Self::Growth(p) => write!(f, "{p} can be heard by all"),
            Self::OutOfRange => f.write_str("a peer's state was out of bounds"),
        }
    }
}

/// Why the daemon ended a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum DisconnectReason {
    /// The client did not read: its event queue (`client_event_bytes_max`) was full.
    TooSlow = 1,
    /// The daemon stops in order.
    Shutdown = 2,
    /// The client broke the protocol; the daemon's log says how.
    ProtocolError = 3,
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooSlow => {
                "the client did not read and its event queue (client_event_bytes_max) was full"
            }
            Self::Shutdown => "the daemon stops",
            Self::ProtocolError => "the client broke the protocol; see the daemon's log",
        })
    }
}

/// One event of a client's stream, in history order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A configuration begins.
    Configuration(ConfigurationChange),
    /// A message for a group that the client has joined.
    Message(Message),
    /// The session is over; nothing follows.
    Disconnected(DisconnectReason),
}
