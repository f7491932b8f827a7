//! The memory that is shared with one client, from the daemon's side: its events, its messages.
//!
//! Nothing of what stands there is believed (`evs_ipc::shm`). What it costs is bounded by the sizes
//! of the rings; what a client leaves unread is given back to the system when its time is over,
//! even if it keeps the memory.

use std::io;
use std::os::fd::OwnedFd;

use bytes::BytesMut;
use evs_ipc::shm::{Bell, Broken, Channel, Consumer, Producer, Sizes, Sleep};
use evs_ipc::{
    ClientFrame, EncodeFrame as _, MESSAGE_BYTES_CEILING, ReadOutcome, client_frame_bytes_max,
    event_frame_bytes_max, socket,
};
use evs_model::{DisconnectReason, Event, Groups, send_cost};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::fs::{FallocateFlags, fallocate, fstat};

use super::Terms;
use super::connection::Fault;

/// What is to be read by the client.
#[derive(Debug)]
pub(super) struct Events {
    producer: Producer,
    /// Where the client is woken, and rings itself.
    bell: OwnedFd,
    file: OwnedFd,
    bytes_max: u64,
}

/// What the client sends, and what it has asked for meanwhile.
#[derive(Debug)]
pub(super) struct Requests {
    consumer: Consumer,
    memory: BytesMut,
    frame_bytes_max: usize,
    /// A request, to be handled when all messages before this position are taken.
    held: Option<(ClientFrame, u64)>,
    closed: bool,
}

/// Makes the memory for a session, with a bell. Returns the client's end of the bell, and how large
/// the rings are.
pub(super) fn open(terms: &Terms) -> io::Result<(Events, Requests, OwnedFd, Sizes)> {
    let sizes = sizes(terms);
    let (Channel { producer, consumer }, file) = Channel::create(sizes)?;
    let (ours, theirs) = socket::pair()?;
    let bytes_max = u64::from(terms.client_event_bytes_max);
    let frame_bytes_max = client_frame_bytes_max(terms.message_bytes_max as usize);
    Ok((
        Events { producer, bell: ours, file, bytes_max },
        Requests { consumer, memory: BytesMut::new(), frame_bytes_max, held: None, closed: false },
        theirs,
        sizes,
    ))
}

/// Towards the daemon there is room for all that the credit allows: a frame takes less than what
/// its message costs. Towards the client, for what may wait, one largest event more, and the last
/// word.
fn sizes(terms: &Terms) -> Sizes {
    let cost_max = send_cost(terms.message_bytes_max as usize, Groups::MAX) as u64;
    let event_max = event_frame_bytes_max(MESSAGE_BYTES_CEILING) as u64;
    Sizes::for_bytes(
        u64::from(terms.client_send_bytes_max).max(cost_max),
        u64::from(terms.client_event_bytes_max) + event_max + LAST_WORD_BYTES,
    )
}

impl Events {
    /// Has the poll report the client's bell.
    pub(super) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        use std::os::fd::AsRawFd as _;

        registry.register(&mut SourceFd(&self.bell.as_raw_fd()), token, Interest::READABLE)
    }

    /// Writes an event: its head and what follows it. Returns `false`, and writes nothing, if the
    /// client is too slow: the bytes that wait have reached the limit. The last event may go beyond
    /// it, because the size of a message is its sender's affair, which may sit at a node with
    /// other limits.
    pub(super) fn push(&mut self, head: &[u8], tail: &[u8]) -> Result<bool, Broken> {
        if self.producer.used()? >= self.bytes_max {
            return Ok(false);
        }
        self.producer.push([head, tail])
    }

    /// Writes the last event, for which there is always room, and wakes the client for the last
    /// time.
    pub(super) fn push_last(&mut self, reason: DisconnectReason) {
        let mut bytes = Vec::new();
        Event::Disconnected(reason).encode(&mut bytes);
        // Where it fails, the client has broken the ring itself, or is gone.
        let _ = self.producer.push([&bytes[..]]);
        let _ = self.ring();
    }

    /// Wakes the client if it sleeps.
    pub(super) fn ring(&self) -> io::Result<()> {
        match self.producer.bell() {
            Bell::Ring => socket::ring(&self.bell),
            Bell::Quiet | Bell::Closed => Ok(()),
        }
    }

    /// Forgets that the client rang. Returns whether it is gone. The poll says so once for each
    /// time, so what is left unread of one that rings more often does no harm.
    pub(super) fn hear(&self) -> bool {
        !matches!(
            socket::heard(&self.bell, false),
            Ok(ReadOutcome::Bytes(_) | ReadOutcome::Blocked)
        )
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        // What a client says that breaks the rules counts as nothing.
        self.producer.used().map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// The client may keep the memory, but not what the daemon has written there. (A daemon that
    /// stops leaves it: what waits can still be read.)
    pub(super) fn withdraw(&self) {
        let bytes = fstat(&self.file).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let _ = fallocate(&self.file, hole, 0, bytes);
    }

    pub(super) const fn file(&self) -> &OwnedFd {
        &self.file
    }
}

impl Requests {
    /// The next message; or the request that was held, if that is wanted, once its turn has come.
    pub(super) fn next(&mut self, want_request: bool) -> Result<Option<ClientFrame>, Fault> {
        let due = self.held.as_ref().is_some_and(|(_, after)| {
            // Beyond, or so far behind that it must be beyond.
            after.wrapping_sub(self.consumer.position()).wrapping_sub(1) > u64::MAX / 2
        });
        if !(due && want_request)
            && let Some(frame) = self.consumer.copy_next(&mut self.memory, self.frame_bytes_max)?
        {
            let frame = ClientFrame::decode(frame)?;
            return match &frame {
                ClientFrame::Send { .. } => Ok(Some(frame)),
                ClientFrame::Ask { .. }
                | ClientFrame::Hello(_)
                | ClientFrame::Join { .. }
                | ClientFrame::Leave { .. }
                | ClientFrame::Status { .. } => Err(Fault::Misplaced),
            };
        }
        Ok(if want_request { self.held.take().map(|(frame, _)| frame) } else { None })
    }

    /// Whether a request is held.
    pub(super) const fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// Holds a request from the socket until the messages are taken that were sent before it.
    pub(super) fn hold(&mut self, frame: ClientFrame) -> Result<(), Fault> {
        if matches!(frame, ClientFrame::Send { .. }) {
            return Err(Fault::Misplaced);
        }
        self.held = Some((frame, self.consumer.written()));
        Ok(())
    }

    /// Whether messages wait.
    pub(super) fn has_next(&self) -> bool {
        self.consumer.has_next()
    }

    /// From now on the client rings for what it sends, unless something came meanwhile.
    pub(super) fn sleep(&mut self) -> Sleep {
        if self.closed { Sleep::Asleep } else { self.consumer.sleep() }
    }

    /// What the client sends from now on is refused.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.consumer.close();
    }
}

/// Room for the event that ends a session, and to spare.
const LAST_WORD_BYTES: u64 = 64;
