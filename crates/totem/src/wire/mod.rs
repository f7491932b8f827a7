//! The packets of the protocol and their encoding (`docs/wire.md`).
//!
//! Little-endian; the first byte is the version, the second the kind. Decoding either returns a
//! complete valid packet or an error; there is no separate check afterwards, and no input panics.
//! Not responsible for authentication or for who may send what: that is `evs-net`, and the states.

mod codec;
mod commit_token;
mod join;
mod mcast;
mod piece;
mod token;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use evs_model::RingId;

use codec::{Reader, put_ring};
pub use commit_token::{Bitmap, CommitToken, Entry, OldEntry};
pub use join::{Installed, Join, MergeDetect, Row, Standing};
pub(crate) use join::{NAMED_MAX, named};
pub use mcast::{MCAST_OVERHEAD, Mcast, Recovered};
pub use piece::{PIECE_OVERHEAD, Piece, PieceRequest};
pub use token::{Rtr, RtrList, Token};

/// The version of the encoding that this build speaks.
pub const VERSION: u8 = 1;

/// One decoded packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Packet {
    /// Carries the agreement on a new ring round its members, twice.
    CommitToken(Box<CommitToken>),
    /// Proposes the members of the next ring.
    Join(Box<Join>),
    /// A data packet of a ring.
    Mcast(Mcast),
    /// Tells who hears whom, so that rings that can merge find each other.
    MergeDetect(Box<MergeDetect>),
    /// Tells that the token is parked at the sender.
    Parked(Parked),
    /// A data packet of an old ring, exchanged in recovery.
    Recovered(Recovered),
    /// The token of a ring.
    Token(Box<Token>),
    /// Asks whoever parks the token to release it.
    Wake(Wake),
    /// A part of a packet that is larger than the path's.
    Piece(Piece),
    /// Asks for the parts that did not come.
    PieceRequest(PieceRequest),
}

/// The token is parked at the sender (`docs/protocol.md` §5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parked {
    /// The ring.
    pub ring: RingId,
    /// The token that is parked.
    pub token_seq: u64,
}

/// Somebody has messages to send (`docs/protocol.md` §5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wake {
    /// The ring.
    pub ring: RingId,
}

/// The kinds of packets; the number is the one on the wire.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum PacketKind {
    /// See [`CommitToken`].
    CommitToken = 0,
    /// See [`Join`].
    Join = 1,
    /// See [`Mcast`].
    Mcast = 2,
    /// See [`MergeDetect`].
    MergeDetect = 3,
    /// See [`Parked`].
    Parked = 4,
    /// See [`Recovered`].
    Recovered = 5,
    /// See [`Token`].
    Token = 6,
    /// See [`Wake`].
    Wake = 7,
    /// See [`Piece`].
    Piece = 8,
    /// See [`PieceRequest`].
    PieceRequest = 9,
}

impl PacketKind {
    /// All kinds, by number.
    pub const ALL: [Self; 10] = [
        Self::CommitToken,
        Self::Join,
        Self::Mcast,
        Self::MergeDetect,
        Self::Parked,
        Self::Recovered,
        Self::Token,
        Self::Wake,
        Self::Piece,
        Self::PieceRequest,
    ];
}

/// Why bytes are no packet. Nothing was taken from them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DecodeError {
    /// They end too early.
    Truncated,
    /// Something follows the packet.
    TrailingBytes(usize),
    /// Another version of the encoding.
    Version(u8),
    /// A kind that this version does not know.
    Kind(u8),
    /// A field has a value that it cannot have.
    Field(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the packet ends too early"),
            Self::TrailingBytes(count) => write!(f, "{count} bytes follow the packet"),
            Self::Version(version) => {
                write!(f, "version {version} of the ring protocol, this build speaks {VERSION}")
            }
            Self::Kind(kind) => write!(f, "unknown packet kind {kind}"),
            Self::Field(name) => write!(f, "field {name} is out of range"),
        }
    }
}

impl core::error::Error for DecodeError {}

impl Packet {
    /// Reads one packet. Bodies share the datagram's memory.
    ///
    /// # Errors
    /// The bytes are no complete valid packet of this version.
    pub fn decode(datagram: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(datagram);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let kind = reader.u8()?;
        let packet = match PacketKind::ALL.get(usize::from(kind)) {
            None => return Err(DecodeError::Kind(kind)),
            Some(PacketKind::CommitToken) => {
                Self::CommitToken(Box::new(CommitToken::decode(&mut reader)?))
            }
            Some(PacketKind::Join) => Self::Join(Box::new(Join::decode(&mut reader)?)),
            Some(PacketKind::Mcast) => Self::Mcast(Mcast::decode(&mut reader)?),
            Some(PacketKind::MergeDetect) => {
                Self::MergeDetect(Box::new(MergeDetect::decode(&mut reader)?))
            }
            Some(PacketKind::Parked) => {
                Self::Parked(Parked { ring: reader.ring()?, token_seq: reader.u64()? })
            }
            Some(PacketKind::Recovered) => Self::Recovered(Recovered::decode(&mut reader)?),
            Some(PacketKind::Token) => Self::Token(Box::new(Token::decode(&mut reader)?)),
            Some(PacketKind::Wake) => Self::Wake(Wake { ring: reader.ring()? }),
            Some(PacketKind::Piece) => Self::Piece(Piece::decode(&mut reader)?),
            Some(PacketKind::PieceRequest) => {
                Self::PieceRequest(PieceRequest::decode(&mut reader)?)
            }
        };
        reader.finish()?;
        Ok(packet)
    }

    /// Appends the encoded packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, self.kind() as u8]);
        match self {
            Self::CommitToken(commit) => commit.encode(out),
            Self::Join(join) => join.encode(out),
            Self::Mcast(mcast) => mcast.encode(out),
            Self::MergeDetect(merge) => merge.encode(out),
            Self::Parked(parked) => {
                put_ring(out, parked.ring);
                out.extend_from_slice(&parked.token_seq.to_le_bytes());
            }
            Self::Recovered(recovered) => recovered.encode(out),
            Self::Token(token) => token.encode(out),
            Self::Wake(wake) => put_ring(out, wake.ring),
            Self::Piece(piece) => piece.encode(out),
            Self::PieceRequest(request) => request.encode(out),
        }
    }

    /// Which kind it is.
    #[must_use]
    pub const fn kind(&self) -> PacketKind {
        match self {
            Self::CommitToken(_) => PacketKind::CommitToken,
            Self::Join(_) => PacketKind::Join,
            Self::Mcast(_) => PacketKind::Mcast,
            Self::MergeDetect(_) => PacketKind::MergeDetect,
            Self::Parked(_) => PacketKind::Parked,
            Self::Recovered(_) => PacketKind::Recovered,
            Self::Token(_) => PacketKind::Token,
            Self::Wake(_) => PacketKind::Wake,
            Self::Piece(_) => PacketKind::Piece,
            Self::PieceRequest(_) => PacketKind::PieceRequest,
        }
    }
}
