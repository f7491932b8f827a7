//! What can go wrong, by call.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use evs_ipc::DecodeError;
use evs_model::{Groups, Versions};

/// Why there is no session. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The file mode of the socket, or the daemon's list of users and groups, keeps this process
    /// out. Trying again does not help.
    #[error("access to the daemon at {} is refused: not an allowed user or group", path.display())]
    Access {
        /// Where the daemon listens.
        path: PathBuf,
    },
    /// Nobody listens.
    #[error("no daemon listens on {}: is evsd running?", path.display())]
    NoDaemon {
        /// Where one was expected.
        path: PathBuf,
    },
    /// The system refused: no descriptor left, a path that is too long, …
    #[error("cannot connect to the daemon at {}: {source}", path.display())]
    Io {
        /// Where the daemon was expected.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What listens there does not speak like a daemon.
    #[error("what listens on {} is no EVS daemon: {source}", path.display())]
    NotADaemon {
        /// Where.
        path: PathBuf,
        /// What was wrong.
        source: DecodeError,
    },
    /// The daemon did not answer in time ([`ConnectOptions::timeout`](crate::ConnectOptions)).
    #[error("the daemon at {} did not answer within {after:?}", path.display())]
    TimedOut {
        /// Where.
        path: PathBuf,
        /// How long it had.
        after: Duration,
    },
    /// Not now; trying again helps.
    #[error("try again: {reason}")]
    TryAgain {
        /// Why.
        reason: TryAgain,
    },
    /// Client and daemon speak no common version of the protocol between them.
    #[error(
        "this client speaks version {client} of the protocol, the daemon version {daemon}: install \
         the same release of both"
    )]
    VersionMismatch {
        /// This library's.
        client: Versions,
        /// The daemon's.
        daemon: Versions,
    },
}

/// Why a connection is refused for the moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TryAgain {
    /// The daemon closed the connection before it was complete.
    #[error("the daemon closed the connection")]
    Interrupted,
    /// The daemon is leaving; it can be reached again when it has been restarted.
    #[error("the daemon is leaving")]
    Leaving,
    /// The daemon has no configuration yet.
    #[error("the daemon has no configuration yet")]
    NotReady,
    /// A reason of a later version.
    #[error("the daemon refuses for reason {0}, which this version does not know")]
    Other(u8),
    /// Too many connections wait to be accepted.
    #[error("the daemon's queue of connections is full")]
    QueueFull,
    /// The daemon has as many clients as it allows (`clients_max`).
    #[error("the daemon has as many clients as clients_max allows")]
    TooManyClients,
}

impl ConnectError {
    /// Whether a later attempt can succeed without anybody changing anything but the daemon's
    /// state.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::NoDaemon { .. } | Self::TimedOut { .. } | Self::TryAgain { .. } => true,
            Self::Access { .. }
            | Self::Io { .. }
            | Self::NotADaemon { .. }
            | Self::VersionMismatch { .. } => false,
        }
    }
}

/// Why a message was not sent. Nothing of it was.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session is over.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The client's send queue at the daemon has no room for it now. It will have;
    /// [`Client::room_fd`](crate::Client::room_fd) tells when to try again.
    #[error("the send queue is full: try again")]
    QueueFull,
    /// A [`ReconnectingClient`](crate::ReconnectingClient) has no daemon at the moment.
    #[error("no daemon at the moment: reconnecting")]
    Reconnecting,
    /// The body is larger than the daemon allows (`message_bytes_max`).
    #[error("a message of {bytes} bytes, the limit (message_bytes_max) is {limit}")]
    TooBig {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// More groups than one message can name.
    #[error("{count} groups in one message, the limit (message_groups_max) is {}", Groups::MAX)]
    TooManyGroups {
        /// How many there were.
        count: usize,
    },
}

/// Why a request (join, leave, status) was not fulfilled.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The session is over.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The daemon is leaving and changes nothing any more.
    #[error("the daemon is leaving")]
    Leaving,
    /// A leave named a group that is not joined; none was left.
    #[error("leave names a group that is not joined; none was left")]
    NotJoined,
    /// A [`ReconnectingClient`](crate::ReconnectingClient) has no daemon at the moment.
    #[error("no daemon at the moment: reconnecting")]
    Reconnecting,
    /// The daemon did not answer in time. It may still do what was asked; the client takes note of
    /// a late answer.
    #[error("the daemon did not answer within {after:?}; the request may still take effect")]
    TimedOut {
        /// How long it had.
        after: Duration,
    },
    /// More groups than one request can name, or than a client can have joined
    /// (`joined_groups_max`); nothing has changed.
    #[error("too many groups: at most {per_request} in a call, {joined} joined in all")]
    TooManyGroups {
        /// Most in one call.
        per_request: usize,
        /// Most joined at a time.
        joined: usize,
    },
    /// As many requests wait for an answer as the library keeps (`requests_max`).
    #[error("{0} requests wait for an answer, the limit (requests_max)")]
    TooManyRequests(usize),
    /// The daemon has no record of this configuration: it never was one of this node, or it is too
    /// long ago (`flight_changes_max`).
    #[error("{said}")]
    UnknownConfiguration {
        /// What the daemon says.
        said: String,
    },
    /// A question to the daemon is too long; it was not asked.
    #[error("a question of {bytes} bytes, the limit (question_bytes_max) is {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

/// The session is over: the daemon is gone or has ended it, or this client was closed. What
/// waited before has been delivered, with [`Event::Disconnected`](crate::Event) as the last event.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the session with the daemon is over")]
pub struct Closed;
