//! The protocol of one direction: who writes which word, when, and what it may believe.
//!
//! One end, the *producer*, writes frames; the other, the *consumer*, reads them. Positions count
//! bytes since the beginning and never go back; a frame begins at a multiple of [`ALIGN`].
//!
//! | word | written by | says |
//! | --- | --- | --- |
//! | `head` | producer | the end of the last frame: all before it is whole |
//! | `base` | producer | the position that lies at the beginning of the memory |
//! | `tail` | consumer | all before it may be overwritten |
//! | `bell` | consumer; the producer clears it | whether, and where, the consumer sleeps |
//!
//! Each end keeps what it has written in memory of its own, and never reads it back. What the other
//! end has written is read once and compared with its own before it is used; whatever stands in
//! `base`, the place that follows from it lies within the ring.
//!
//! **The base.** A producer that finds the ring empty goes back to the beginning of its memory. So
//! a consumer that keeps up keeps both ends in a few pages, and the memory that is ever touched is
//! what was once waiting. It may do so because the consumer looks at `base` only for a frame that
//! is there, and has done so before it moves `tail` past that frame.
//!
//! **The bell.** A consumer that finds nothing says where it sleeps, and then looks again. A
//! producer moves `head`, and then looks whether somebody sleeps before it. Between the two steps
//! of each stands a fence, so that at least one of them sees the other (Dekker). The word is taken
//! back with one atomic exchange by whoever does: the producer, who then rings once, or the
//! consumer, who then knows that nobody will. So each sleep ends with exactly one ring, a ring is
//! never for nothing, and an end that does not sleep costs the other no system call.
//!
//! **The end.** A consumer that will take no more closes the ring, and takes what is there
//! afterwards. A producer whose frame is in before it sees that can be sure that it is taken.

use std::collections::VecDeque;

#[cfg(loom)]
use loom::sync::{
    Arc,
    atomic::{AtomicU64, Ordering, fence},
};
#[cfg(not(loom))]
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering, fence},
};

#[cfg(loom)]
use super::model::Space;
#[cfg(not(loom))]
use super::space::Space;

/// What frames are aligned to: enough for whatever a program lays over a message.
pub(crate) const ALIGN: u64 = 16;

/// In front of each frame: the length of what follows.
pub(crate) const LENGTH_BYTES: usize = 4;

/// In `bell`: nobody sleeps.
const AWAKE: u64 = 0;
/// In `bell`, with a position: the consumer has read up to there and sleeps.
const ASLEEP: u64 = 1;
/// In `bell`: nothing more will be read.
const CLOSED: u64 = 2;

/// What the producer writes.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(crate) struct ProducerWords {
    pub(crate) head: AtomicU64,
    pub(crate) base: AtomicU64,
}

/// What the consumer writes.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub(crate) struct ConsumerWords {
    pub(crate) tail: AtomicU64,
    pub(crate) bell: AtomicU64,
}

/// The words of one ring, each end's on lines of its own.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Words {
    pub(crate) producer: ProducerWords,
    pub(crate) consumer: ConsumerWords,
}

/// The other end has written into the ring what makes no sense.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Broken {
    /// More is said to have been read than was written, or less than before.
    #[error("the end that was read up to, {tail}, cannot be: {head} bytes were written")]
    Tail {
        /// What was said.
        tail: u64,
        /// What was written.
        head: u64,
    },
    /// More is said to have been written than fits, or less than was read.
    #[error("the end that was written up to, {head}, cannot be: {next} bytes were read")]
    Head {
        /// What was said.
        head: u64,
        /// What was read.
        next: u64,
    },
    /// A frame without a kind, beyond its limit, or beyond what was written.
    #[error("a frame of length {bytes}, of {available} bytes; the limit is {limit}")]
    Length {
        /// What was said.
        bytes: usize,
        /// What was written.
        available: u64,
        /// The limit.
        limit: usize,
    },
}

/// What is to be done for the other end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bell {
    /// Nothing: it is awake, or has all.
    Quiet,
    /// It sleeps: wake it, once.
    Ring,
    /// It takes nothing any more, and may not have taken the last frames.
    Closed,
}

/// The writing end.
#[derive(Debug)]
pub struct Producer {
    space: Arc<Space>,
    head: u64,
    base: u64,
}

impl Producer {
    pub(crate) const fn new(space: Arc<Space>) -> Self {
        Self { space, head: 0, base: 0 }
    }

    /// How many bytes wait to be read.
    ///
    /// # Errors
    /// The other end says what cannot be.
    pub fn used(&self) -> Result<u64, Broken> {
        let tail = self.space.words().consumer.tail.load(Ordering::Acquire);
        let used = self.head.wrapping_sub(tail);
        if used > self.space.capacity() || !tail.is_multiple_of(ALIGN) {
            return Err(Broken::Tail { tail, head: self.head });
        }
        Ok(used)
    }

    /// Most bytes that can wait.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.space.capacity()
    }

    /// Writes a frame that stands in several places; it begins with its length. Returns `false`,
    /// and writes nothing, if there is no room for it. Who may sleep is not yet woken:
    /// [`bell`](Self::bell).
    ///
    /// # Errors
    /// As [`used`](Self::used).
    pub fn push<'a, P>(&mut self, parts: P) -> Result<bool, Broken>
    where
        P: IntoIterator<Item = &'a [u8]> + Clone,
    {
        let bytes = parts.clone().into_iter().fold(0, |sum: u64, part| sum + part.len() as u64);
        debug_assert!(bytes > LENGTH_BYTES as u64, "a frame has a length and a kind");
        let bytes = bytes.next_multiple_of(ALIGN);
        let used = self.used()?;
        let capacity = self.space.capacity();
        if bytes > capacity - used {
            return Ok(false);
        }
        if used == 0 && self.base != self.head {
            self.base = self.head;
            // Whoever sees the head that follows sees this.
            self.space.words().producer.base.store(self.base, Ordering::Relaxed);
        }
        let mut at = place(self.head, self.base, capacity);
        for part in parts {
            self.space.write(at, part);
            at += part.len();
            if at as u64 >= capacity {
                at -= usize::try_from(capacity).expect("it is mapped");
            }
        }
        self.head = self.head.wrapping_add(bytes);
        self.space.words().producer.head.store(self.head, Ordering::Release);
        Ok(true)
    }

    /// Whether the other end sleeps, so that it will have to be rung for.
    #[must_use]
    pub fn is_other_asleep(&self) -> bool {
        self.space.words().consumer.bell.load(Ordering::Relaxed) & ASLEEP != 0
    }

    /// Whether the other end has to be woken for what was written. To be asked after each frame, or
    /// after several; who is told to ring rings.
    pub fn bell(&self) -> Bell {
        fence(Ordering::SeqCst);
        let bell = &self.space.words().consumer.bell;
        let mark = bell.load(Ordering::Relaxed);
        if mark == CLOSED {
            return Bell::Closed;
        }
        if mark & ASLEEP == 0 || mark == self.head | ASLEEP {
            return Bell::Quiet;
        }
        match bell.compare_exchange(mark, AWAKE, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Bell::Ring,
            Err(CLOSED) => Bell::Closed,
            // It has found out for itself.
            Err(_) => Bell::Quiet,
        }
    }
}

/// How a consumer that wanted to sleep stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sleep {
    /// It will be woken: nothing is there, or the producer, who has just written, rings.
    Asleep,
    /// Something came in between, and nobody will ring for it.
    Awake,
}

/// The reading end.
#[derive(Debug)]
pub struct Consumer {
    space: Arc<Space>,
    /// Where the next frame begins.
    next: u64,
    /// Frames that were taken and not all released, in order: where each ends, and whether it was.
    taken: VecDeque<(u64, bool)>,
}

/// Where a frame lies, without its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) at: usize,
    #[cfg_attr(loom, allow(dead_code, reason = "the model's frames are of one length"))]
    pub(crate) bytes: usize,
    /// Where the frame after it begins.
    pub(crate) end: u64,
}

impl Consumer {
    pub(crate) const fn new(space: Arc<Space>) -> Self {
        Self { space, next: 0, taken: VecDeque::new() }
    }

    pub(crate) const fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// Where the next frame begins.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.next
    }

    /// Where what has been written ends. Not yet compared with anything.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.space.words().producer.head.load(Ordering::Acquire)
    }

    /// Whether there is something to take: a frame, or an error.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.written() != self.next
    }

    /// Takes the next frame, if there is one. It stays where it is until it is released.
    pub(crate) fn take(&mut self, frame_bytes_max: usize) -> Result<Option<Span>, Broken> {
        let head = self.written();
        if head == self.next {
            return Ok(None);
        }
        let (capacity, available) = (self.space.capacity(), head.wrapping_sub(self.next));
        if available > capacity || !head.is_multiple_of(ALIGN) {
            return Err(Broken::Head { head, next: self.next });
        }
        let base = self.space.words().producer.base.load(Ordering::Relaxed);
        let at = place(self.next, base, capacity);
        // Read once: this length is what is meant from here on, whatever stands there later.
        let bytes = self.space.length(at) as usize;
        let whole = (bytes as u64).saturating_add(LENGTH_BYTES as u64);
        if bytes == 0 || whole > available || whole > frame_bytes_max as u64 {
            return Err(Broken::Length { bytes, available, limit: frame_bytes_max });
        }
        let whole = whole.next_multiple_of(ALIGN);
        if whole > available {
            return Err(Broken::Length { bytes, available, limit: frame_bytes_max });
        }
        self.next = self.next.wrapping_add(whole);
        self.taken.push_back((self.next, false));
        Ok(Some(Span { at: at + LENGTH_BYTES, bytes, end: self.next }))
    }

    /// The frame that ends there may be overwritten. Frames may be released in any order; the
    /// memory is given back in theirs.
    pub(crate) fn release(&mut self, end: u64) {
        if let Some(taken) = self.taken.iter_mut().find(|(taken, _)| *taken == end) {
            taken.1 = true;
        }
        let mut tail = None;
        while let Some((end, _)) = self.taken.pop_front_if(|(_, released)| *released) {
            tail = Some(end);
        }
        if let Some(tail) = tail {
            self.space.words().consumer.tail.store(tail, Ordering::Release);
        }
    }

    /// Says that the producer has to ring for what comes after the frames that were taken.
    #[must_use]
    pub fn sleep(&mut self) -> Sleep {
        let words = self.space.words();
        let mark = self.next | ASLEEP;
        words.consumer.bell.store(mark, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if words.producer.head.load(Ordering::Acquire) == self.next {
            return Sleep::Asleep;
        }
        let bell = &words.consumer.bell;
        match bell.compare_exchange(mark, AWAKE, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Sleep::Awake,
            Err(_) => Sleep::Asleep,
        }
    }

    /// Takes nothing more than what is there now: a producer that comes later is told so.
    pub fn close(&mut self) {
        self.space.words().consumer.bell.store(CLOSED, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}

/// Where a position lies.
fn place(position: u64, base: u64, capacity: u64) -> usize {
    let distance = position.wrapping_sub(base);
    let place = if distance < capacity { distance } else { distance % capacity };
    // A foreign base may be anything. Only multiples have their length in one piece.
    usize::try_from(place - place % ALIGN).expect("it is below the capacity, which is mapped")
}

/// What a client writes that breaks the rules, for tests and the fuzzer.
#[cfg(not(loom))]
impl Producer {
    /// Where what it has written ends.
    #[doc(hidden)]
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.head
    }

    /// Writes its words.
    #[doc(hidden)]
    pub fn forge(&self, head: u64, base: u64) {
        let words = &self.space.words().producer;
        words.base.store(base, Ordering::Relaxed);
        self.forge_head(head);
    }

    /// Writes one of its words.
    #[doc(hidden)]
    pub fn forge_head(&self, head: u64) {
        self.space.words().producer.head.store(head, Ordering::Release);
    }

    /// Writes a number somewhere into the ring: into a frame or its length.
    #[doc(hidden)]
    pub fn scribble(&self, seed: u64) {
        let at = place(seed >> 20, 0, self.space.capacity());
        self.space.write(at, &u16::try_from(seed & 0x3ff).map_or(0, u32::from).to_le_bytes());
    }
}

#[cfg(not(loom))]
impl Consumer {
    /// Writes its words.
    #[doc(hidden)]
    pub fn forge(&self, tail: u64, bell: u64) {
        let words = &self.space.words().consumer;
        words.tail.store(tail, Ordering::Relaxed);
        words.bell.store(bell, Ordering::Release);
    }

    /// Reads from the beginning once more.
    #[doc(hidden)]
    pub fn begin_anew(&mut self) {
        self.next = 0;
        self.taken.clear();
    }
}
