//! Descriptors for an application's own poll loop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, epoll, eventfd};

/// A descriptor that is level-readable while a socket is, or while something waits in user space.
///
/// It is an epoll instance over the socket and a marker, so a poll loop sees one descriptor. The
/// marker costs a system call each time it changes, so it is kept only once somebody watches.
#[derive(Debug)]
pub(crate) struct Readiness {
    epoll: OwnedFd,
    marker: OwnedFd,
}

impl Readiness {
    pub(crate) fn new(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let marker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, socket, SOCKET, epoll::EventFlags::IN)?;
        epoll::add(&epoll, &marker, MARKER, epoll::EventFlags::IN)?;
        Ok(Self { epoll, marker })
    }

    pub(crate) fn raise(&self) {
        // Fails only at its maximum, and then it is readable.
        let _ = rustix::io::write(&self.marker, &1_u64.to_ne_bytes());
    }

    pub(crate) fn lower(&self) {
        // Fails only if it is not raised.
        let _ = rustix::io::read(&self.marker, &mut [0; 8]);
    }
}

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

const SOCKET: epoll::EventData = epoll::EventData::new_u64(0);
const MARKER: epoll::EventData = epoll::EventData::new_u64(1);
