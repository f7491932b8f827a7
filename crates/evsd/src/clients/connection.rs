//! One client's connection: its two sockets, its queues, and how far its session has come.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use evs_ipc::socket::{self, PeerCredentials};
use evs_ipc::{
    ClientFrame, CreditLedger, DecodeError, EncodeFrame, Flush, FrameReader, MESSAGE_BYTES_CEILING,
    OutQueue, QueueFull, ReadOutcome, SERVER_FRAME_BYTES_MAX, ServerFrame, Welcome,
    event_frame_bytes_max,
};
use evs_model::{ClientId, DisconnectReason, Event, Instant};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// One connected client.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) peer: PeerCredentials,
    /// The client's name for itself; never trusted.
    pub(super) name: String,
    pub(super) phase: Phase,
    control: OwnedFd,
    reader: FrameReader,
    replies: OutQueue,
    /// The control socket took no more replies.
    replies_blocked: bool,
    /// The control socket may hold bytes that were not read.
    readable: bool,
    /// Nobody reads replies any more; what the client wrote before is still taken.
    deaf: bool,
    /// Its requests were left unread because its replies wait.
    paused: bool,
    /// It can write no more requests.
    shut: bool,
}

/// How far a session has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// The client's first frame is due by this time.
    Hello { until: Instant },
    /// The client is a client of the service.
    Session(Box<Session>),
    /// The last words are being written, until this time at most. A client that was never taken
    /// on has no events.
    Ending { until: Instant, events: Option<EventStream> },
}

/// A client of the service.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: ClientId,
    pub(super) events: EventStream,
    pub(super) credit: CreditLedger,
    /// Not yet welcomed: what to say and the client's end of the event socket.
    pub(super) welcome: Option<(Welcome, OwnedFd)>,
    /// Messages taken.
    pub(super) sent: u64,
    /// Messages and configurations handed on.
    pub(super) events_count: u64,
}

/// The event socket with what waits for it.
#[derive(Debug)]
pub(super) struct EventStream {
    socket: OwnedFd,
    queue: OutQueue,
    bytes_max: usize,
    blocked: bool,
}

/// What a read of the control socket brought.
pub(super) enum Input {
    /// A frame.
    Frame(ClientFrame),
    /// Nothing now.
    Nothing,
    /// The client is gone, and everything that it wrote has been taken.
    Gone,
}

/// What a client says that is being ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Waste {
    /// So many bytes, and perhaps more.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The client is gone.
    Gone,
}

impl Connection {
    /// A client that has to say Hello.
    pub(super) fn new(
        control: OwnedFd,
        peer: PeerCredentials,
        hello_bytes_max: usize,
        until: Instant,
    ) -> Self {
        Self {
            peer,
            name: String::new(),
            phase: Phase::Hello { until },
            control,
            reader: FrameReader::new(hello_bytes_max),
            replies: OutQueue::new(REPLY_BYTES_MAX),
            replies_blocked: false,
            readable: true,
            deaf: false,
            paused: false,
            shut: false,
        }
    }

    /// Takes no more requests: what the client has written can still be read, and its next write
    /// fails. So nothing that it was told is accepted is lost.
    pub(super) fn shut(&mut self) {
        // Where it fails, the client is gone, and the next read says so.
        let _ = rustix::net::shutdown(&self.control, rustix::net::Shutdown::Read);
        self.shut = true;
        self.readable = true;
    }

    /// As [`shut`](Self::shut), and says no more either: whoever waits for room or a reply learns
    /// at once that the session is over. The events are not concerned.
    pub(super) fn hang_up(&mut self) {
        self.shut();
        let _ = rustix::net::shutdown(&self.control, rustix::net::Shutdown::Write);
        self.deaf = true;
    }

    /// Registers the control socket with the poll.
    pub(super) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.control.as_raw_fd()), token, Interest::READABLE)
    }

    /// Frames up to this length are taken from here on.
    pub(super) fn set_frame_bytes_max(&mut self, bytes: usize) {
        self.reader.set_frame_bytes_max(bytes);
    }

    /// The control socket may have become readable, writable, or closed.
    pub(super) const fn note_ready(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.replies_blocked &= !writable;
    }

    /// The next frame. A client that does not take its replies gets no more of its requests read,
    /// until it does; or until its socket is shut, for what it has sent is sent.
    pub(super) fn next(&mut self) -> Result<Input, Fault> {
        loop {
            self.paused = self.must_pause();
            if self.paused {
                return Ok(Input::Nothing);
            }
            if let Some(frame) = self.reader.next_frame()? {
                return Ok(Input::Frame(ClientFrame::decode(frame)?));
            }
            if !self.readable {
                return Ok(Input::Nothing);
            }
            match self.reader.read_from(&self.control)? {
                ReadOutcome::Bytes(_) => {}
                ReadOutcome::Blocked => self.readable = false,
                ReadOutcome::Closed if self.shut => {
                    self.readable = false;
                    return Ok(Input::Nothing);
                }
                ReadOutcome::Closed => return Ok(Input::Gone),
            }
        }
    }

    pub(super) fn must_pause(&self) -> bool {
        let welcomed = match &self.phase {
            Phase::Session(session) => session.welcome.is_none(),
            Phase::Hello { .. } | Phase::Ending { .. } => true,
        };
        let waits = self.replies.bytes() > REPLY_BYTES_PAUSE;
        !welcomed || (waits && !self.deaf && !self.shut)
    }

    /// Whether it can write no more requests: its session is about to end.
    pub(super) const fn is_shut(&self) -> bool {
        self.shut
    }

    /// Queues a reply. At the end of a session those are lost that do not fit: nobody waited for
    /// the others to be read.
    pub(super) fn reply(&mut self, frame: &ServerFrame) -> Result<(), Fault> {
        if self.deaf {
            return Ok(());
        }
        match self.replies.push(frame) {
            Err(full) if !self.shut => Err(Fault::Replies(full)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Writes what the sockets take: events first, then the welcome, then replies. Returns whether
    /// requests that were left unread can be read now.
    pub(super) fn flush(&mut self, registry: &Registry, tokens: Tokens) -> io::Result<bool> {
        match &mut self.phase {
            Phase::Session(session) => {
                session.events.flush(registry, tokens.events)?;
                // The first event is in the socket before the client learns of it.
                if let Some((welcome, theirs)) =
                    session.welcome.take_if(|_| session.events_count > 0)
                {
                    send_welcome(&self.control, &mut self.replies, welcome, &theirs)?;
                }
            }
            Phase::Ending { events: Some(events), .. } => events.flush(registry, tokens.events)?,
            Phase::Hello { .. } | Phase::Ending { events: None, .. } => {}
        }
        self.flush_replies(registry, tokens.control);
        Ok(self.paused && !self.must_pause())
    }

    fn flush_replies(&mut self, registry: &Registry, token: Token) {
        if self.replies_blocked || self.deaf {
            return;
        }
        let source = self.control.as_raw_fd();
        let both = Interest::READABLE | Interest::WRITABLE;
        let flushed = self.replies.write_to(&self.control).and_then(|flush| match flush {
            Flush::Done => Ok(false),
            Flush::Blocked => {
                // Edge-triggered: this also reports at once a socket that has become writable.
                registry.reregister(&mut SourceFd(&source), token, both).map(|()| true)
            }
        });
        match flushed {
            Ok(blocked) => self.replies_blocked = blocked,
            // The end of its requests is still to be read; that ends the session.
            Err(_) => self.deaf = true,
        }
    }

    /// Whether everything that was to be said has been written.
    pub(super) fn has_said_all(&self) -> bool {
        let replies = self.replies.is_empty() || self.deaf;
        match &self.phase {
            Phase::Session(session) => replies && session.events.queue.is_empty(),
            Phase::Ending { events, .. } => {
                replies && events.as_ref().is_none_or(|events| events.queue.is_empty())
            }
            Phase::Hello { .. } => replies,
        }
    }

    /// Whether the connection can be closed: what a client was sent stays readable. One that was
    /// refused is left to close first, so that it finds the answer and not a broken socket.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ending { events: Some(_), .. }) && self.has_said_all()
    }

    /// When the client has run out of time, in the phases that have a limit.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Hello { until } | Phase::Ending { until, .. } => Some(*until),
            Phase::Session(_) => None,
        }
    }

    /// Reads and forgets some of what the client still says. Where this side has shut the socket,
    /// its end says nothing of the client.
    pub(super) fn waste(&mut self) -> Waste {
        let mut waste = [0; 4096];
        while self.readable {
            match rustix::io::read(&self.control, &mut waste) {
                Ok(0) if self.shut => self.readable = false,
                Ok(0) => return Waste::Gone,
                Ok(bytes) => return Waste::Bytes(bytes),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => self.readable = false,
                Err(_) => return Waste::Gone,
            }
        }
        Waste::Nothing
    }

    /// Bytes of events and replies that are kept for it.
    pub(super) fn bytes_left(&self) -> usize {
        let events = match &self.phase {
            Phase::Session(session) => session.events.bytes(),
            Phase::Ending { events: Some(events), .. } => events.bytes(),
            Phase::Hello { .. } | Phase::Ending { events: None, .. } => 0,
        };
        events + self.replies.bytes()
    }
}

impl EventStream {
    pub(super) const fn new(socket: OwnedFd, bytes_max: usize) -> Self {
        let queue = OutQueue::new(bytes_max + event_frame_bytes_max(MESSAGE_BYTES_CEILING));
        Self { socket, queue, bytes_max, blocked: false }
    }

    /// Queues an event. Returns `false`, and queues nothing, if the client is too slow: the bytes
    /// that wait have reached the limit. The last event may go beyond it, because the size of a
    /// message is its sender's affair, which may sit at a node with other limits.
    #[must_use]
    pub(super) fn push(&mut self, event: &impl EncodeFrame) -> bool {
        self.queue.bytes() < self.bytes_max && self.queue.push(event).is_ok()
    }

    /// Queues the last event; there is always room for it.
    pub(super) fn push_last(&mut self, reason: DisconnectReason) {
        self.queue.push_last(&Event::Disconnected(reason));
    }

    /// Bytes that wait.
    pub(super) const fn bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// The socket may have become writable; the poll need not watch it any more.
    pub(super) fn note_ready(&mut self, registry: &Registry) {
        if std::mem::take(&mut self.blocked) {
            let _ = registry.deregister(&mut SourceFd(&self.socket.as_raw_fd()));
        }
    }

    fn flush(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if self.blocked {
            return Ok(());
        }
        if self.queue.write_to(&self.socket)? == Flush::Blocked {
            // Watched only while it is full: a client that keeps up costs no wake-ups.
            let source = self.socket.as_raw_fd();
            registry.register(&mut SourceFd(&source), token, Interest::WRITABLE)?;
            self.blocked = true;
        }
        Ok(())
    }
}

/// The poll's tokens of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens {
    pub(super) control: Token,
    pub(super) events: Token,
}

/// What a client did wrong, or what went wrong with it: the session ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("malformed frame: {0}")]
    Decode(#[from] DecodeError),
    #[error("a Hello in the middle of a session")]
    SecondHello,
    #[error("the first frame is no Hello")]
    NoHello,
    #[error(transparent)]
    Overdrawn(#[from] evs_ipc::Overdrawn),
    #[error("{0}")]
    Refused(evs_service::SendError),
    #[error("its replies are not read: {0}")]
    Replies(QueueFull),
    #[error("its socket fails: {0}")]
    Io(#[from] io::Error),
}

fn send_welcome(
    control: &OwnedFd,
    replies: &mut OutQueue,
    welcome: Welcome,
    theirs: &OwnedFd,
) -> io::Result<()> {
    use std::os::fd::AsFd as _;

    let mut bytes = Vec::new();
    ServerFrame::Welcome(welcome).encode(&mut bytes);
    // Nothing was written to this socket before, so it has room for a beginning at least.
    let written =
        socket::send_with_fd(control, &bytes, theirs.as_fd())?.ok_or(io::ErrorKind::WouldBlock)?;
    replies.push_rest(&bytes[written..]);
    Ok(())
}

/// While so many bytes of replies wait, no more requests of the client are read.
const REPLY_BYTES_PAUSE: usize = 64 << 10;

/// Most bytes of replies that can wait: the pause, one largest reply, and credit.
const REPLY_BYTES_MAX: usize = REPLY_BYTES_PAUSE + SERVER_FRAME_BYTES_MAX + (64 << 10);

#[cfg(test)]
mod tests;
