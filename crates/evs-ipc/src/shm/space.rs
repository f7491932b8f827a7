//! The memory of one ring, as this process sees it: its words, then its bytes, then its bytes
//! again, so that a frame which goes round the end lies in one piece.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::ring::Words;
use super::sizes::GRAIN;

/// One ring's part of a file that is in memory.
#[derive(Debug)]
pub(crate) struct Space {
    first: NonNull<u8>,
    capacity: usize,
}

// SAFETY: what it points to is shared with another process anyway. All access is through atomics,
// or follows from what they say (`ring.rs`); nothing is tied to a thread.
#[allow(unsafe_code)]
unsafe impl Send for Space {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Space {}

impl Space {
    /// Maps the ring that begins at `offset` of a file, which is as long as it has to be and cannot
    /// shrink. Both numbers are multiples of [`GRAIN`].
    pub(crate) fn map(file: impl AsFd, offset: u64, capacity: usize) -> io::Result<Self> {
        let (file, whole) = (file.as_fd(), GRAIN + 2 * capacity);
        let reserved = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the system chooses a place that nothing else has.
        #[allow(unsafe_code)]
        let first =
            unsafe { mmap_anonymous(ptr::null_mut(), whole, ProtFlags::empty(), reserved) }?;
        let first: NonNull<u8> = NonNull::new(first.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        // From here on a failure gives the place back.
        let space = Self { first, capacity };
        space.place(file, 0, GRAIN + capacity, offset)?;
        space.place(file, GRAIN + capacity, capacity, offset + GRAIN as u64)?;
        Ok(space)
    }

    fn place(&self, file: BorrowedFd<'_>, at: usize, bytes: usize, from: u64) -> io::Result<()> {
        let (access, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::FIXED);
        // SAFETY: `at` and `bytes` are within what `map` has reserved and nobody has used yet.
        #[allow(unsafe_code)]
        unsafe {
            mmap(self.first.as_ptr().add(at).cast(), bytes, access, flags, file, from)?;
        }
        Ok(())
    }

    pub(crate) const fn words(&self) -> &Words {
        // SAFETY: the place is mapped, aligned to a page and longer than the words, which consist
        // of atomics: any bytes are valid, and others may write them.
        #[allow(unsafe_code)]
        unsafe {
            self.first.cast().as_ref()
        }
    }

    pub(crate) const fn capacity(&self) -> u64 {
        self.capacity as u64
    }

    /// The length that stands in front of a frame.
    pub(crate) fn length(&self, at: usize) -> u32 {
        // SAFETY: aligned to 4, and any bytes are a number, whoever writes them meanwhile.
        #[allow(unsafe_code)]
        let length = unsafe { &*self.at(at, 4).cast::<AtomicU32>() };
        u32::from_le(length.load(Ordering::Relaxed))
    }

    pub(crate) fn write(&self, at: usize, bytes: &[u8]) {
        let to = self.at(at, bytes.len());
        // SAFETY: `to` has room for them, and is no memory that Rust hands out. An honest other end
        // does not look at it before it is told; what a dishonest one sees is its own affair.
        #[allow(unsafe_code)]
        unsafe {
            to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    /// Appends a copy of these bytes.
    pub(crate) fn copy(&self, at: usize, bytes: usize, out: &mut bytes::BytesMut) {
        let from = self.at(at, bytes);
        out.reserve(bytes);
        let to = out.spare_capacity_mut().as_mut_ptr().cast::<u8>();
        // SAFETY: `from` holds so many bytes, and so much room was made at `to`, which nobody else
        // knows. A dishonest other end may write meanwhile: the copy is then any bytes, once and
        // for all.
        #[allow(unsafe_code)]
        unsafe {
            to.copy_from_nonoverlapping(from, bytes);
            out.set_len(out.len() + bytes);
        }
    }

    /// These bytes, where they are.
    ///
    /// # Safety
    /// The other end does not write them while the result is used.
    // SAFETY: demanded of the caller, as said above.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn view(&self, at: usize, bytes: usize) -> &[u8] {
        // SAFETY: mapped as long as `self`; not written meanwhile, as the caller says.
        unsafe { std::slice::from_raw_parts(self.at(at, bytes), bytes) }
    }

    /// The place of so many bytes.
    ///
    /// # Panics
    /// If they are not in the ring.
    fn at(&self, at: usize, bytes: usize) -> *mut u8 {
        assert!(at <= self.capacity && bytes <= self.capacity, "within the ring");
        // SAFETY: the bytes are mapped twice in a row, so all these are.
        #[allow(unsafe_code)]
        unsafe {
            self.first.as_ptr().add(GRAIN + at)
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // SAFETY: the place is this value's own, and what borrows from it is gone. It cannot fail.
        #[allow(unsafe_code)]
        let _ = unsafe { munmap(self.first.as_ptr().cast(), GRAIN + 2 * self.capacity) };
    }
}
