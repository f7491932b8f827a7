//! Every limit of the protocol, by name.

use evs_model::{Group, Groups, Versions};

use crate::wire::{FRAME_HEAD_BYTES, MESSAGE_HEAD_BYTES, SEND_HEAD_BYTES};

/// The version of the protocol whose layout is in this crate, the highest that it speaks.
pub const PROTOCOL_VERSION: u16 = 3;

const SPOKEN: Versions = Versions::new(PROTOCOL_VERSION, PROTOCOL_VERSION).expect("not 0");

/// The versions of the protocol that this build speaks. Both ends say theirs; the highest that they
/// have in common is used, and where there is none, both are told so.
#[must_use]
pub fn spoken() -> Versions {
    #[cfg(feature = "next-version")]
    return SPOKEN.with_next();
    #[cfg(not(feature = "next-version"))]
    SPOKEN
}

/// Where a daemon listens unless told otherwise.
pub const SOCKET_PATH: &str = "/run/evs/evsd.sock";

/// The environment variable that names another socket.
pub const SOCKET_ENV: &str = "EVS_SOCKET";

/// Longest name that a client gives itself in its Hello, in bytes of UTF-8.
pub const CLIENT_NAME_BYTES_MAX: usize = 64;

/// Longest question of a client, in bytes.
pub const QUESTION_BYTES_MAX: usize = 4 << 10;

/// Longest status report, or answer to a question, in bytes.
pub const STATUS_BYTES_MAX: usize = 1 << 20;

/// Largest `message_bytes_max` that a daemon can be configured to, in bytes.
pub const MESSAGE_BYTES_CEILING: usize = 16 << 20;

/// Longest frame before a client's Hello has been read, in bytes, the length field included. It
/// leaves room for what later versions may add to the Hello.
pub const HELLO_FRAME_BYTES_MAX: usize = 1 << 10;

/// Longest frame from the daemon on the control socket, in bytes, the length field included.
pub const SERVER_FRAME_BYTES_MAX: usize = STATUS_BYTES_MAX + 64;

/// Longest frame from a client, in bytes, the length field included.
#[must_use]
pub const fn client_frame_bytes_max(message_bytes_max: usize) -> usize {
    FRAME_HEAD_BYTES + SEND_HEAD_BYTES + Groups::MAX * Group::LEN + message_bytes_max
}

/// Longest frame of an event, in bytes, the length field included.
#[must_use]
pub const fn event_frame_bytes_max(message_bytes_max: usize) -> usize {
    FRAME_HEAD_BYTES + MESSAGE_HEAD_BYTES + Groups::MAX * Group::LEN + message_bytes_max
}
