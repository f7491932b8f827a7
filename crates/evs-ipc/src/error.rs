//! What can be wrong with bytes from the other end.

use evs_model::{GroupsError, MembersError, UnknownGuarantee};

/// Why bytes are no frame of this protocol. The stream is of no further use: its reader gives the
/// connection up.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// A group list that breaks its rules.
    #[error("group list: {0}")]
    Groups(#[from] GroupsError),
    /// A number that is no guarantee.
    #[error(transparent)]
    Guarantee(#[from] UnknownGuarantee),
    /// A frame without even a kind.
    #[error("a frame of length 0")]
    Empty,
    /// The first frame does not come from a client of this service.
    #[error("the first bytes are not those of an EVS client")]
    Magic,
    /// A member list that breaks its rules.
    #[error("member list: {0}")]
    Members(#[from] MembersError),
    /// A field beyond its limit.
    #[error("{field} has {bytes} bytes, the limit is {limit}")]
    TooLong {
        /// Which one.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Bytes after the last field.
    #[error("{0} bytes after the last field")]
    Trailing(usize),
    /// The frame ends inside a field.
    #[error("the frame ends inside {0}")]
    Truncated(&'static str),
    /// A kind that this version and this direction do not have.
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
    /// A number that means nothing in its field.
    #[error("{value} is no {field}")]
    Value {
        /// Which field.
        field: &'static str,
        /// What stood there.
        value: u64,
    },
    /// Text that is not UTF-8.
    #[error("{0} is not UTF-8")]
    Text(&'static str),
}
