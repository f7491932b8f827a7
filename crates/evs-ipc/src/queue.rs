//! A byte-bounded queue of encoded frames for a socket that does not block.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::AsFd;

use bytes::Bytes;

use crate::{EncodeFrame, socket};

/// A frame did not fit; the queue is unchanged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a frame of {frame_bytes} bytes does not fit: {queued_bytes} of {bytes_max} are taken")]
pub struct QueueFull {
    /// Length of the frame.
    pub frame_bytes: usize,
    /// What the queue holds.
    pub queued_bytes: usize,
    /// The queue's limit.
    pub bytes_max: usize,
}

/// What a write left behind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flush {
    /// The socket takes no more; wait until it is writable.
    Blocked,
    /// Nothing: the queue is empty.
    Done,
}

/// Encoded frames that wait for a socket. Many small frames go out in one system call; a large
/// body is not copied but shared.
#[derive(Debug)]
pub struct OutQueue {
    chunks: VecDeque<Chunk>,
    /// How much of the first chunk the socket has taken.
    written: usize,
    bytes: usize,
    bytes_max: usize,
    sealed: bool,
    /// The memory of an emptied chunk, for the next one.
    spare: Vec<u8>,
}

#[derive(Debug)]
enum Chunk {
    Own(Vec<u8>),
    Shared(Bytes),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl OutQueue {
    /// An empty queue of at most `bytes_max` bytes.
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            written: 0,
            bytes: 0,
            bytes_max,
            sealed: false,
            spare: Vec::new(),
        }
    }

    /// Appends a frame.
    ///
    /// # Errors
    /// It does not fit, or the queue is sealed; the queue is unchanged.
    pub fn push(&mut self, frame: &impl EncodeFrame) -> Result<(), QueueFull> {
        let frame_bytes = frame.encoded_len();
        if self.sealed || frame_bytes > self.bytes_max.saturating_sub(self.bytes) {
            return Err(QueueFull {
                frame_bytes,
                queued_bytes: self.bytes,
                bytes_max: self.bytes_max,
            });
        }
        self.append(frame, frame_bytes);
        Ok(())
    }

    /// Appends a last frame, beyond the limit if need be (the word why a session ends must fit
    /// even where nothing else does), and seals the queue: every later push is refused. A queue
    /// that is sealed already stays as it is.
    pub fn push_last(&mut self, frame: &impl EncodeFrame) {
        if !self.sealed {
            self.append(frame, frame.encoded_len());
            self.sealed = true;
        }
    }

    /// Writes what the socket takes, without blocking. Returns [`Flush::Done`] at once if the
    /// queue is empty.
    ///
    /// # Errors
    /// What the system call says: `EPIPE` or `ECONNRESET` if the other end is gone. Never raises
    /// `SIGPIPE`.
    pub fn write_to(&mut self, socket: impl AsFd) -> io::Result<Flush> {
        while self.bytes > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.next_write(&mut slices);
            match socket::write_vectored(&socket, &slices[..count])? {
                Some(written) => self.advance(written),
                None => return Ok(Flush::Blocked),
            }
        }
        Ok(Flush::Done)
    }

    /// What the next system call writes, and of how many chunks.
    fn next_write<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut count = 0;
        for chunk in self.chunks.iter().take(SLICES_MAX) {
            let skip = if count == 0 { self.written } else { 0 };
            slices[count] = IoSlice::new(&chunk.bytes()[skip..]);
            count += 1;
        }
        count
    }

    /// How many bytes wait.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Appends bytes that are part of a frame: the rest of one whose beginning a socket took.
    pub fn push_rest(&mut self, rest: &[u8]) {
        self.bytes += rest.len();
        self.own_chunk(rest.len()).extend_from_slice(rest);
    }

    fn append(&mut self, frame: &impl EncodeFrame, frame_bytes: usize) {
        let tail = frame.tail();
        self.bytes += frame_bytes;
        if tail.len() < SHARED_BYTES_MIN {
            let chunk = self.own_chunk(frame_bytes);
            frame.encode_head(chunk);
            chunk.extend_from_slice(&tail);
        } else {
            frame.encode_head(self.own_chunk(frame_bytes - tail.len()));
            self.chunks.push_back(Chunk::Shared(tail));
        }
    }

    /// The chunk to append to: the last one while it has room.
    fn own_chunk(&mut self, bytes: usize) -> &mut Vec<u8> {
        let fits = match self.chunks.back() {
            Some(Chunk::Own(chunk)) => chunk.len() + bytes <= CHUNK_BYTES,
            Some(Chunk::Shared(_)) | None => false,
        };
        if !fits {
            self.chunks.push_back(Chunk::Own(mem::take(&mut self.spare)));
        }
        match self.chunks.back_mut() {
            Some(Chunk::Own(chunk)) => chunk,
            Some(Chunk::Shared(_)) | None => unreachable!("an own chunk was just appended"),
        }
    }

    /// Forgets what the socket has taken.
    fn advance(&mut self, written: usize) {
        self.bytes -= written;
        self.written += written;
        while let Some(chunk) = self.chunks.front() {
            let bytes = chunk.bytes().len();
            if self.written < bytes {
                break;
            }
            self.written -= bytes;
            if let Some(Chunk::Own(mut chunk)) = self.chunks.pop_front()
                && chunk.capacity() <= 2 * CHUNK_BYTES
            {
                chunk.clear();
                self.spare = chunk;
            }
        }
    }
}

/// Small frames share chunks of this size.
const CHUNK_BYTES: usize = 32 << 10;

/// From this size on a body is shared and not copied.
const SHARED_BYTES_MIN: usize = 8 << 10;

/// Most chunks in one system call.
const SLICES_MAX: usize = 64;
