//! Cuts a byte stream into frames.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use bytes::{Buf, Bytes, BytesMut};

use crate::{DecodeError, socket};

/// One frame, not yet taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// What it is; the meaning depends on the direction and the socket.
    pub kind: u8,
    /// Its fields: a view of the reader's memory, without a copy.
    pub fields: Bytes,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReadOutcome {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing is there now.
    Blocked,
    /// The other end is closed, and everything that it wrote has been read.
    Closed,
}

/// An incremental reader of frames: it takes bytes as they come and gives frames as they are
/// complete.
///
/// Its memory is bounded by one longest frame and one chunk; it grows with the bytes that have
/// arrived, not with the length that a frame claims to have. The frames that it gave out keep the
/// chunk alive in which they lie.
#[derive(Debug)]
pub struct FrameReader {
    /// Zeroed memory; the first `filled` bytes have been read into.
    buffer: BytesMut,
    filled: usize,
    frame_bytes_max: usize,
}

impl FrameReader {
    /// Memory is taken in chunks of so many bytes, and at once more for a longer frame.
    pub const CHUNK_BYTES: usize = 64 << 10;

    /// A reader that refuses frames above `frame_bytes_max` (the length field included). It takes
    /// memory with the first read.
    #[must_use]
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), filled: 0, frame_bytes_max }
    }

    /// Changes the limit for the frames that follow.
    pub fn set_frame_bytes_max(&mut self, frame_bytes_max: usize) {
        self.frame_bytes_max = frame_bytes_max;
    }

    /// Reads once from a stream socket, without blocking.
    ///
    /// # Errors
    /// What the system call says, besides those that [`ReadOutcome`] covers.
    pub fn read_from(&mut self, socket: impl AsFd) -> io::Result<ReadOutcome> {
        self.make_room();
        let outcome = socket::read(socket, &mut self.buffer[self.filled..])?;
        Ok(self.note(outcome))
    }

    /// Reads once, as [`read_from`](Self::read_from), and takes descriptors that came along, up to
    /// [`WELCOME_FDS`](socket::WELCOME_FDS); others are closed.
    ///
    /// # Errors
    /// As `read_from`.
    pub fn read_with_fds(
        &mut self,
        socket: impl AsFd,
        fds: &mut Vec<OwnedFd>,
    ) -> io::Result<ReadOutcome> {
        self.make_room();
        let outcome = socket::read_with_fds(socket, &mut self.buffer[self.filled..], fds)?;
        Ok(self.note(outcome))
    }

    /// Takes bytes that were read in another way.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.make_room();
            let room = &mut self.buffer[self.filled..];
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.filled += count;
            bytes = &bytes[count..];
        }
    }

    /// The next complete frame.
    ///
    /// # Errors
    /// A length of 0 or above the limit; every later call says the same.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        let Some(length) = self.claimed_length() else { return Ok(None) };
        if length == LENGTH_BYTES {
            return Err(DecodeError::Empty);
        }
        if length > self.frame_bytes_max {
            return Err(DecodeError::TooLong {
                field: "a frame",
                bytes: length,
                limit: self.frame_bytes_max,
            });
        }
        if self.filled < length {
            return Ok(None);
        }
        let mut fields = self.buffer.split_to(length).freeze();
        self.filled -= length;
        fields.advance(LENGTH_BYTES);
        let kind = fields.get_u8();
        Ok(Some(Frame { kind, fields }))
    }

    /// Whether [`next_frame`](Self::next_frame) has something to say: a frame or an error.
    #[must_use]
    pub fn has_frame(&self) -> bool {
        self.claimed_length().is_some_and(|length| {
            length <= self.filled || length > self.frame_bytes_max || length == LENGTH_BYTES
        })
    }

    /// Whether the stream stands inside a frame: what has been read has not all been given out.
    #[must_use]
    pub const fn is_inside_frame(&self) -> bool {
        self.filled > 0
    }

    /// What has been read and not yet been given out, in bytes.
    #[must_use]
    pub const fn unread_bytes(&self) -> usize {
        self.filled
    }

    /// Memory held for bytes to come, in bytes.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.buffer.len()
    }

    const fn note(&mut self, outcome: ReadOutcome) -> ReadOutcome {
        if let ReadOutcome::Bytes(count) = outcome {
            self.filled += count;
        }
        outcome
    }

    /// Length of the frame at the front as its sender claims, the length field included.
    fn claimed_length(&self) -> Option<usize> {
        let prefix = self.buffer[..self.filled].first_chunk::<LENGTH_BYTES>()?;
        Some((u32::from_le_bytes(*prefix) as usize).saturating_add(LENGTH_BYTES))
    }

    /// Makes room for the next read: a chunk, or for a long frame four times what is there.
    fn make_room(&mut self) {
        let room = self.buffer.len() - self.filled;
        let claimed = self.claimed_length().unwrap_or(0).min(self.frame_bytes_max);
        let completes = self.filled < claimed && claimed <= self.buffer.len();
        if room >= ROOM_BYTES_MIN || (completes && room > 0) {
            return;
        }
        let grown = claimed.min(self.filled.saturating_mul(4)).max(self.filled + ROOM_BYTES_MIN);
        let mut next = BytesMut::zeroed(grown.max(Self::CHUNK_BYTES));
        next[..self.filled].copy_from_slice(&self.buffer[..self.filled]);
        self.buffer = next;
    }
}

const LENGTH_BYTES: usize = 4;

/// A read into less than this is not worth its system call, unless it completes a frame.
const ROOM_BYTES_MIN: usize = 4 << 10;
