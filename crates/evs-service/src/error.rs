//! What a client is refused, and why. A refusal changes nothing.

use core::fmt;

use evs_model::Group;

/// Why a session does not begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConnectError {
    /// This processor leaves or has left.
    Leaving,
    /// No configuration has been installed yet; later it will work.
    NotReady,
    /// All 2^64 - 1 client numbers of this processor are used: it must be restarted.
    NumbersUsed,
    /// `clients_max` are there already.
    TooManyClients {
        /// The limit.
        max: usize,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaving => f.write_str("the service leaves"),
            Self::NotReady => f.write_str("the first configuration is not formed yet"),
            Self::NumbersUsed => {
                f.write_str("every client number of this processor is used; restart it")
            }
            Self::TooManyClients { max } => {
                write!(f, "all places are taken, the limit (clients_max) is {max}")
            }
        }
    }
}

impl core::error::Error for ConnectError {}

/// Why groups are not joined or left. None of the groups named was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RequestError {
    /// The client has not joined this group, or not as often as it leaves it.
    NotJoined(Group),
    /// The client would be in more than `groups_per_client_max` groups.
    TooManyGroups {
        /// The limit.
        max: usize,
    },
    /// There is no such client.
    UnknownClient,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJoined(group) => write!(f, "group {group} was not joined"),
            Self::TooManyGroups { max } => {
                write!(f, "too many groups, the limit (groups_per_client_max) is {max}")
            }
            Self::UnknownClient => f.write_str("no such client"),
        }
    }
}

impl core::error::Error for RequestError {}

/// Why a message is not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SendError {
    /// This processor leaves or has left.
    Leaving,
    /// All 2^64 - 1 message numbers of this client are used: it must connect anew.
    NumbersUsed,
    /// The client's send queue has no room; an [`Output::Room`](crate::Output::Room) follows.
    QueueFull {
        /// The limit in bytes.
        max: usize,
    },
    /// The body is larger than `message_bytes_max`.
    TooBig {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// There is no such client.
    UnknownClient,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaving => f.write_str("the service leaves"),
            Self::NumbersUsed => {
                f.write_str("every message number of this client is used; connect anew")
            }
            Self::QueueFull { max } => {
                write!(
                    f,
                    "the send queue is full, the limit (client_send_bytes_max) is {max} bytes"
                )
            }
            Self::TooBig { bytes, max } => {
                write!(f, "{bytes} bytes in one message, the limit (message_bytes_max) is {max}")
            }
            Self::UnknownClient => f.write_str("no such client"),
        }
    }
}

impl core::error::Error for SendError {}
