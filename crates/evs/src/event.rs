//! The one stream that a client sees (EVS-11).

use std::fmt;

use evs_model::{ChangeReason, ConfigurationChange, Members, Message, RingId};

/// One event, in history order.
///
/// A session begins with [`Regular`](Self::Regular), a copy of the current configuration, and has
/// virtual synchrony from the next one. It ends with [`Disconnected`](Self::Disconnected).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A regular configuration begins.
    Regular {
        /// Its name.
        ring: RingId,
        /// Who is in it.
        members: Members,
        /// Members of the last regular configuration that are not in this one.
        left: Members,
        /// Members that were not in the last regular configuration; in the first event of a
        /// session, all but the own processor.
        joined: Members,
        /// Why, as the own processor saw it.
        reason: ChangeReason,
    },
    /// A transitional configuration: messages of `from` are being finished. What is delivered in
    /// it is only known to reach its members.
    Transitional {
        /// The regular configuration that ends.
        from: RingId,
        /// The regular configuration that follows.
        to: RingId,
        /// Those that go from one to the other together.
        members: Members,
        /// Members of the last regular configuration that do not.
        left: Members,
        /// Why, as the own processor saw it.
        reason: ChangeReason,
    },
    /// A message for a group that the client has joined.
    ///
    /// The body shares memory with its neighbours (up to 64 KiB): copy what is kept for long.
    Message(Message),
    /// Only from a [`ReconnectingClient`](crate::ReconnectingClient): there is a session again,
    /// with a daemon that is another processor than before or has dropped this client. Between the
    /// last event and the next any number of messages and configurations may be missing; messages
    /// sent shortly before may have been lost. A regular configuration follows, as at the
    /// beginning of a session.
    Gap {
        /// Why the last session ended.
        reason: DisconnectReason,
    },
    /// The session is over; nothing follows.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
    },
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The connection broke off without a word: the daemon was killed or has crashed.
    Lost,
    /// The daemon's bytes are not of this protocol.
    Malformed,
    /// The daemon says that this client broke the protocol; its log says how.
    ProtocolError,
    /// A daemon is there again, but will not have this client (access, version, limits).
    Refused,
    /// The daemon stops in order.
    Shutdown,
    /// The client did not read, and its event queue at the daemon (`client_event_bytes_max`) was
    /// full.
    TooSlow,
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "the connection broke off: the daemon is gone",
            Self::Malformed => "the daemon's bytes are not of this protocol",
            Self::ProtocolError => "the client broke the protocol; see the daemon's log",
            Self::Refused => "the daemon is back, but does not take this client",
            Self::Shutdown => "the daemon stops",
            Self::TooSlow => {
                "the client did not read and its event queue (client_event_bytes_max) was full"
            }
        })
    }
}

impl From<evs_model::DisconnectReason> for DisconnectReason {
    fn from(reason: evs_model::DisconnectReason) -> Self {
        match reason {
            evs_model::DisconnectReason::TooSlow => Self::TooSlow,
            evs_model::DisconnectReason::Shutdown => Self::Shutdown,
            evs_model::DisconnectReason::ProtocolError => Self::ProtocolError,
        }
    }
}

impl Event {
    /// What the daemon said, with the reason of a configuration.
    pub(crate) fn new(event: evs_model::Event, reason: ChangeReason) -> Self {
        match event {
            evs_model::Event::Configuration(ConfigurationChange::Regular {
                ring,
                members,
                left,
                joined,
            }) => Self::Regular { ring, members, left, joined, reason },
            evs_model::Event::Configuration(ConfigurationChange::Transitional {
                from,
                to,
                members,
                left,
            }) => Self::Transitional { from, to, members, left, reason },
            evs_model::Event::Message(message) => Self::Message(message),
            evs_model::Event::Disconnected(reason) => Self::Disconnected { reason: reason.into() },
        }
    }
}
