//! One session: the client and what C has attached to it.

use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use evs::{Arrived, Client, ConnectOptions, DisconnectReason, Event, Read};
use rustix::event::{PollFd, PollFlags, poll};

use crate::deliver::{Callbacks, Told};
use crate::lists::Split;
use crate::status::Status;

/// A session. Any thread may use it; it lives until the last one is out of it.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) client: Client,
    pub(crate) callbacks: Callbacks,
    context: AtomicPtr<c_void>,
    stream: Mutex<Stream>,
    /// Who has finalized the handle.
    finalizer: OnceLock<ThreadName>,
}

/// What taking an event changes, in the order of the stream.
#[derive(Debug, Default)]
struct Stream {
    split: Split,
    /// Why the session ended, once that has been taken.
    end: Option<DisconnectReason>,
}

/// What there is to do.
#[derive(Debug)]
pub(crate) enum Next<'a> {
    /// A callback to run.
    Tell(Told<'a>),
    /// The session has ended, and that is to be told.
    End(DisconnectReason),
    /// Nothing has arrived.
    Nothing,
    /// Nothing will arrive any more.
    Over,
}

impl Instance {
    /// Connects to the daemon.
    pub(crate) fn connect(callbacks: Callbacks) -> Result<Self, Status> {
        let client = Client::connect_with(&ConnectOptions::new())?;
        Ok(Self {
            client,
            callbacks,
            context: AtomicPtr::default(),
            stream: Mutex::default(),
            finalizer: OnceLock::new(),
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.client.as_raw_fd()
    }

    pub(crate) fn context(&self) -> *mut c_void {
        self.context.load(Ordering::Acquire)
    }

    pub(crate) fn set_context(&self, context: *mut c_void) {
        self.context.store(context, Ordering::Release);
    }

    /// The next thing to do, without waiting; of what has arrived until then, if that is said. What
    /// was done last is done with: a message's place is free again.
    ///
    /// The lock makes one step of taking an event and of what follows from its place in the stream.
    /// It is free again before the callback runs.
    pub(crate) fn next<'a>(&'a self, last: Option<Told<'a>>, arrived: Option<Arrived>) -> Next<'a> {
        let mut last = match last {
            Some(Told::Message(message)) => Some(message),
            Some(Told::Lists(_) | Told::Typed(_)) | None => None,
        };
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match self.client.read_next(last.take(), arrived) {
                Ok(Some(Read::Message(message))) => return Next::Tell(Told::Message(message)),
                Ok(Some(Read::Event(Event::Disconnected { reason }))) => {
                    stream.end = Some(reason);
                    return Next::End(reason);
                }
                Ok(Some(Read::Event(event))) => {
                    if matches!(self.callbacks, Callbacks::Typed(_)) {
                        return Next::Tell(Told::Typed(event));
                    }
                    if let Some(lists) = stream.split.lists(&event) {
                        return Next::Tell(Told::Lists(lists));
                    }
                }
                Ok(None) => return Next::Nothing,
                Err(evs::Closed) => return Next::Over,
            }
        }
    }

    /// Waits until something may have arrived, or the session is over, or finalized.
    pub(crate) fn wait(&self) {
        let mut fds = [PollFd::from_borrowed_fd(self.client.as_fd(), PollFlags::IN)];
        // A signal's handler has run; the caller looks whether there is anything and comes back.
        let _ = poll(&mut fds, None);
    }

    /// Why the session ended, once that has been taken.
    pub(crate) fn end(&self) -> Option<DisconnectReason> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).end
    }

    /// Ends the session for every thread. Nothing more is delivered.
    pub(crate) fn finalize(&self) {
        self.finalizer.get_or_init(current_thread);
        self.client.close();
    }

    /// Whether the handle was finalized, and by this thread.
    pub(crate) fn finalized(&self) -> Option<FinalizedBy> {
        let finalizer = self.finalizer.get()?;
        let me = *finalizer == current_thread();
        Some(if me { FinalizedBy::ThisThread } else { FinalizedBy::Another })
    }
}

/// Who finalized a handle while it was dispatching.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FinalizedBy {
    /// This thread: from within a callback.
    ThisThread,
    /// Another thread.
    Another,
}

/// A thread, while it runs: the address of its own copy of a variable. The library of Rust would
/// take memory to name a thread that it has not started, and keep it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct ThreadName(usize);

fn current_thread() -> ThreadName {
    thread_local! {
        static MINE: u8 = const { 0 };
    }
    MINE.with(|mine| ThreadName(std::ptr::from_ref(mine).addr()))
}
