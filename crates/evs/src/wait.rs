//! Waiting without threads of our own: many threads wait for what one descriptor brings.
//!
//! One of them polls the descriptor, outside the lock; the others sleep until it reports. Reading
//! and writing happen under the lock and never block.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// What an attempt says: it is done, or what it waits for.
pub(crate) enum Step<T> {
    Done(T),
    Wait(Interest),
}

/// What has to happen before another attempt makes sense.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Interest {
    /// The descriptor is readable.
    Read,
    /// The descriptor is writable; or readable, for the other end may have to be read before it
    /// reads.
    Write,
    /// Another thread has changed the state.
    Change,
}

/// A state that tells whether others may have to look at it.
pub(crate) trait Versioned {
    /// Grows with every change that another thread may wait for.
    fn version(&self) -> u64;
}

/// A state and the descriptor that feeds it.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    fd: Arc<OwnedFd>,
    state: Mutex<Shared<S>>,
    changed: Condvar,
    /// Interrupts a thread that polls `fd` when another one has taken away what it polls for.
    nudge: OwnedFd,
}

#[derive(Debug)]
struct Shared<S> {
    value: S,
    /// A thread polls the descriptor for reading.
    polled_read: bool,
    /// A thread polls the descriptor for writing.
    polled_write: bool,
    /// Threads that sleep until one of those reports.
    sleepers: u32,
}

impl<S: Versioned> Watched<S> {
    pub(crate) fn new(fd: impl Into<Arc<OwnedFd>>, value: S) -> io::Result<Self> {
        let shared = Shared { value, polled_read: false, polled_write: false, sleepers: 0 };
        let nudge = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { fd: fd.into(), state: Mutex::new(shared), changed: Condvar::new(), nudge })
    }

    /// Uses the state without waiting. Who waits is told.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut S, BorrowedFd<'_>) -> T) -> T {
        let mut shared = self.lock();
        let result = act(&mut shared.value, self.fd.as_fd());
        self.wake(&shared);
        result
    }

    /// Repeats the attempt until it is done; `None` when the deadline has passed before.
    pub(crate) fn wait<T>(
        &self,
        deadline: Option<Instant>,
        mut attempt: impl FnMut(&mut S, BorrowedFd<'_>) -> Step<T>,
    ) -> Option<T> {
        let mut shared = self.lock();
        loop {
            let before = shared.value.version();
            let interest = match attempt(&mut shared.value, self.fd.as_fd()) {
                Step::Done(result) => {
                    self.wake(&shared);
                    return Some(result);
                }
                Step::Wait(interest) => interest,
            };
            if shared.value.version() != before {
                // It has read what others wait for.
                self.wake(&shared);
            }
            let left = match deadline {
                Some(deadline) => Some(deadline.checked_duration_since(Instant::now())?),
                None => None,
            };
            shared = match shared.polled(interest) {
                Some(false) => self.poll(shared, interest, left),
                Some(true) | None => self.sleep(shared, left),
            };
        }
    }

    fn poll<'a>(
        &'a self,
        mut shared: MutexGuard<'a, Shared<S>>,
        interest: Interest,
        left: Option<Duration>,
    ) -> MutexGuard<'a, Shared<S>> {
        shared.set_polled(interest, true);
        drop(shared);
        let both = PollFlags::IN | PollFlags::OUT;
        let flags = if interest == Interest::Write { both } else { PollFlags::IN };
        let mut fds = [
            PollFd::from_borrowed_fd(self.fd.as_fd(), flags),
            PollFd::from_borrowed_fd(self.nudge.as_fd(), PollFlags::IN),
        ];
        poll_fds(&mut fds, left);
        let mut shared = self.lock();
        shared.set_polled(interest, false);
        if !fds[1].revents().is_empty() && !shared.is_polled() {
            // The last one out: nobody can miss it any more. It fails only if it is not raised.
            let _ = rustix::io::read(&self.nudge, &mut [0; 8]);
        }
        // Whoever sleeps may have to poll in this thread's place.
        if shared.sleepers > 0 {
            self.changed.notify_all();
        }
        shared
    }

    fn sleep<'a>(
        &'a self,
        mut shared: MutexGuard<'a, Shared<S>>,
        left: Option<Duration>,
    ) -> MutexGuard<'a, Shared<S>> {
        shared.sleepers += 1;
        let mut shared = match left {
            Some(left) => {
                self.changed.wait_timeout(shared, left).unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.changed.wait(shared).unwrap_or_else(PoisonError::into_inner),
        };
        shared.sleepers -= 1;
        shared
    }

    /// Makes the others look: those that sleep, and the one that polls, since what it waits for may
    /// have been read already.
    fn wake(&self, shared: &MutexGuard<'_, Shared<S>>) {
        if shared.is_polled() {
            // Fails only at its maximum, and then it is readable.
            let _ = rustix::io::write(&self.nudge, &1_u64.to_ne_bytes());
        }
        if shared.sleepers > 0 {
            self.changed.notify_all();
        }
    }

    /// A thread that panicked inside has left the state between two frames, never within one.
    fn lock(&self) -> MutexGuard<'_, Shared<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Shared<S> {
    /// Whether somebody polls for this; `None` if it is nothing to poll for.
    const fn polled(&self, interest: Interest) -> Option<bool> {
        match interest {
            Interest::Read => Some(self.polled_read),
            Interest::Write => Some(self.polled_write),
            Interest::Change => None,
        }
    }

    const fn is_polled(&self) -> bool {
        self.polled_read || self.polled_write
    }

    const fn set_polled(&mut self, interest: Interest, polled: bool) {
        match interest {
            Interest::Read => self.polled_read = polled,
            Interest::Write => self.polled_write = polled,
            Interest::Change => {}
        }
    }
}

/// Polls; a signal counts as a wake-up, since every caller looks at its deadline again.
pub(crate) fn poll_fds(fds: &mut [PollFd<'_>], left: Option<Duration>) {
    let timeout = left.map(|left| Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => unreachable!("poll of own descriptors failed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Who has answers, and how often that changed.
    #[derive(Default)]
    struct Answers {
        is_there: bool,
        version: u64,
    }

    impl Versioned for Answers {
        fn version(&self) -> u64 {
            self.version
        }
    }

    /// A thread reads what another one polls for, and still has to wait itself.
    #[test]
    fn what_one_thread_reads_for_another_wakes_the_other() {
        let (_ours, theirs) = evs_ipc::socket::pair().expect("descriptors");
        let watched = Watched::new(theirs, Answers::default()).expect("descriptors");
        thread::scope(|scope| {
            let polls = scope.spawn(|| {
                watched.wait(None, |answers, _| {
                    if answers.is_there { Step::Done(()) } else { Step::Wait(Interest::Read) }
                })
            });
            while !watched.lock().is_polled() {
                thread::yield_now();
            }
            watched.wait(Some(Instant::now()), |answers, _| {
                answers.version += u64::from(!answers.is_there);
                answers.is_there = true;
                Step::<()>::Wait(Interest::Read)
            });
            // This only turns a hang into a failure.
            let patience = Instant::now() + Duration::from_secs(20);
            while !polls.is_finished() && Instant::now() < patience {
                thread::yield_now();
            }
            let woken = polls.is_finished();
            watched.with(|_, _| ());
            assert!(woken, "nobody woke it");
        });
    }
}
