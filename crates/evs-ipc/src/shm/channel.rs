//! Making and opening the shared memory, and frames as they are taken from it.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use rustix::fs::{self, MemfdFlags, SealFlags};
use rustix::io::Errno;

use super::ring::{Broken, Consumer, Producer, Span};
use super::sizes::GRAIN;
use super::sizes::Sizes;
use super::space::Space;
use crate::Frame;

/// Both rings, as one of the two ends sees them.
#[derive(Debug)]
pub struct Channel {
    /// Towards the other end.
    pub producer: Producer,
    /// From the other end.
    pub consumer: Consumer,
}

impl Channel {
    /// Makes the memory. Returns the daemon's side, and the file for the client.
    ///
    /// # Errors
    /// What the system says: no descriptor, no memory, no room for another mapping.
    ///
    /// # Panics
    /// If the sizes are not valid.
    pub fn create(sizes: Sizes) -> io::Result<(Self, OwnedFd)> {
        assert!(sizes.are_valid(), "made by Sizes::for_bytes from limits that are far below");
        let file = make_file()?;
        fs::ftruncate(&file, sizes.file_bytes())?;
        // Without these a client could take the memory away under the daemon's feet.
        fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let [to_daemon, to_client] = map(&file, sizes)?;
        Ok((Self { producer: Producer::new(to_client), consumer: Consumer::new(to_daemon) }, file))
    }

    /// The client's side. The file is no longer needed afterwards.
    ///
    /// # Errors
    /// What the system says; `InvalidData` for a file that is not what a daemon makes.
    pub fn open(file: impl AsFd, sizes: Sizes) -> io::Result<Self> {
        let wrong = || io::Error::from(io::ErrorKind::InvalidData);
        let seals = fs::fcntl_get_seals(&file).map_err(|_| wrong())?;
        let bytes = u64::try_from(fs::fstat(&file)?.st_size).unwrap_or(0);
        if !sizes.are_valid() || !seals.contains(SealFlags::SHRINK) || bytes != sizes.file_bytes() {
            return Err(wrong());
        }
        let [to_daemon, to_client] = map(&file, sizes)?;
        Ok(Self { producer: Producer::new(to_daemon), consumer: Consumer::new(to_client) })
    }
}

fn make_file() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Systems can be told to refuse memory that might be executed; older ones do not know the word.
    match fs::memfd_create(NAME, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => Ok(fs::memfd_create(NAME, flags)?),
        made => Ok(made?),
    }
}

fn map(file: &impl AsFd, sizes: Sizes) -> io::Result<[Arc<Space>; 2]> {
    let bytes = |size| usize::try_from(size).map_err(|_| io::Error::from(Errno::NOMEM));
    let second = GRAIN as u64 + sizes.to_daemon;
    let to_daemon = Space::map(file, 0, bytes(sizes.to_daemon)?)?;
    let to_client = Space::map(file, second, bytes(sizes.to_client)?)?;
    Ok([Arc::new(to_daemon), Arc::new(to_client)])
}

/// What the system's lists of mappings call it.
const NAME: &str = "evs";

/// A frame that lies where the other end has written it. It has to be given back:
/// [`Consumer::give_back`]; until then its place is taken.
#[derive(Debug)]
pub struct Lent {
    space: Arc<Space>,
    span: Span,
}

impl Deref for Lent {
    type Target = [u8];

    /// The kind and the fields. The kind lies 4 bytes after a multiple of 16.
    fn deref(&self) -> &[u8] {
        // SAFETY: the frame was not released, for that takes this value; so an honest daemon does
        // not write there, and clients, which alone are lent frames, believe their daemon so far.
        #[allow(unsafe_code)]
        unsafe {
            self.space.view(self.span.at, self.span.bytes)
        }
    }
}

impl Consumer {
    /// A copy of the next frame, if there is one: all that is known of it from here on. Frames
    /// share `memory`, which is renewed when it is full.
    ///
    /// # Errors
    /// The other end has written what makes no sense.
    pub fn copy_next(
        &mut self,
        memory: &mut BytesMut,
        frame_bytes_max: usize,
    ) -> Result<Option<Frame>, Broken> {
        let Some(span) = self.take(frame_bytes_max)? else { return Ok(None) };
        if memory.capacity() - memory.len() < span.bytes {
            *memory = BytesMut::with_capacity(span.bytes.max(COPIES_BYTES));
        }
        self.space().copy(span.at, span.bytes, memory);
        self.release(span.end);
        let mut fields = memory.split().freeze();
        let kind = fields.get_u8();
        Ok(Some(Frame { kind, fields }))
    }

    /// The next frame, where it lies. For a client, whose daemon does not write there meanwhile.
    ///
    /// # Errors
    /// As [`copy_next`](Self::copy_next).
    pub fn lend_next(&mut self, frame_bytes_max: usize) -> Result<Option<Lent>, Broken> {
        let span = self.take(frame_bytes_max)?;
        Ok(span.map(|span| Lent { space: Arc::clone(self.space()), span }))
    }

    /// A frame was read; its place can be used again.
    pub fn give_back(&mut self, lent: Lent) {
        self.release(lent.span.end);
    }
}

/// So much memory is taken at once for the copies of small frames.
const COPIES_BYTES: usize = 64 << 10;
