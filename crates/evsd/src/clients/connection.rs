//! One client's connection: its socket, its rings, its replies, and how far its session has come.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use evs_ipc::shm::Broken;
use evs_ipc::socket::{self, PeerCredentials};
use evs_ipc::{
    ClientFrame, CreditLedger, DecodeError, EncodeFrame as _, Flush, FrameReader, OutQueue,
    QueueFull, ReadOutcome, SERVER_FRAME_BYTES_MAX, ServerFrame, Welcome,
};
use evs_model::{ClientId, Instant};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::rings::{Events, Requests};

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
    /// It has closed its socket.
    gone: bool,
}

/// How far a session has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// The client's first frame is due by this time.
    Hello { until: Instant },
    /// The client is a client of the service.
    Session(Box<Session>),
    /// The last words are being written or read, until this time at most. A client that was never
    /// taken on has no events.
    Ending { until: Instant, events: Option<Events> },
}

/// A client of the service.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: ClientId,
    pub(super) events: Events,
    pub(super) requests: Requests,
    pub(super) credit: CreditLedger,
    /// Not yet welcomed: what to say and the client's end of the bell.
    pub(super) welcome: Option<(Welcome, OwnedFd)>,
    /// The largest message, as the client was told; it stays so.
    pub(super) message_bytes_max: u32,
    /// Messages taken.
    pub(super) sent: u64,
    /// Messages and configurations handed on.
    pub(super) events_count: u64,
}

/// What a look at a client's ring and socket brought.
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
            gone: false,
        }
    }

    /// Takes no more requests: what the client has written can still be read, and its next write
    /// fails, to the socket and into the ring. So nothing that it was told is accepted is lost.
    pub(super) fn shut(&mut self) {
        if let Phase::Session(session) = &mut self.phase {
            session.requests.close();
        }
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

    /// The next frame: messages from the ring, requests from the socket, each after the messages
    /// that were sent before it. A client that does not take its replies gets no more of its
    /// requests read, until it does; or until its socket is shut, for what it has sent is sent.
    pub(super) fn next(&mut self) -> Result<Input, Fault> {
        self.paused = self.must_pause();
        let holds = match &self.phase {
            Phase::Session(session) => session.requests.holds(),
            Phase::Hello { .. } | Phase::Ending { .. } => false,
        };
        let request = if self.paused || holds { None } else { self.next_request()? };
        let Phase::Session(session) = &mut self.phase else {
            return Ok(match request {
                Some(frame) => Input::Frame(frame),
                None if self.gone => Input::Gone,
                None => Input::Nothing,
            });
        };
        if let Some(frame) = request {
            session.requests.hold(frame)?;
        }
        if session.welcome.is_some() {
            return Ok(Input::Nothing);
        }
        Ok(match session.requests.next(!self.paused)? {
            Some(frame) => Input::Frame(frame),
            None if self.gone => Input::Gone,
            None => Input::Nothing,
        })
    }

    /// The next frame on the socket.
    fn next_request(&mut self) -> Result<Option<ClientFrame>, Fault> {
        loop {
            if let Some(frame) = self.reader.next_frame()? {
                return Ok(Some(ClientFrame::decode(frame)?));
            }
            if !self.readable || self.gone {
                return Ok(None);
            }
            match self.reader.read_from(&self.control)? {
                ReadOutcome::Bytes(_) => {}
                ReadOutcome::Blocked => self.readable = false,
                ReadOutcome::Closed if self.shut => self.readable = false,
                // What it wrote into the ring before that is still to be taken.
                ReadOutcome::Closed => self.gone = true,
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

    /// Rings for events, then writes the welcome and replies as far as the socket takes them.
    /// Returns whether requests that were left unread can be read now.
    pub(super) fn flush(&mut self, registry: &Registry, tokens: Tokens) -> io::Result<bool> {
        match &mut self.phase {
            Phase::Session(session) => {
                session.events.ring()?;
                // The first event is in the ring before the client learns of it.
                if let Some((welcome, theirs)) =
                    session.welcome.take_if(|_| session.events_count > 0)
                {
                    session.events.register(registry, tokens.bell)?;
                    let file = session.events.file();
                    send_welcome(&self.control, &mut self.replies, welcome, &theirs, file)?;
                }
            }
            Phase::Hello { .. } | Phase::Ending { .. } => {}
        }
        self.flush_replies(registry, tokens.control);
        if matches!(self.phase, Phase::Ending { events: Some(_), .. }) && self.has_said_all() {
            // Whoever waits for a reply learns at once that there will be none.
            self.hang_up();
        }
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

    /// Whether everything that was to be said has been written. Events always have.
    pub(super) fn has_said_all(&self) -> bool {
        self.replies.is_empty() || self.deaf
    }

    /// Whether the connection can be closed: the client has read all. One that was refused is left
    /// to close first, so that it finds the answer and not a broken socket.
    pub(super) fn is_over(&self) -> bool {
        let Phase::Ending { events: Some(events), .. } = &self.phase else { return false };
        self.has_said_all() && events.bytes() == 0
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

    /// The connection is over, whether the client has read all or not: the memory that it may keep
    /// is given back.
    pub(super) fn withdraw(self) {
        match &self.phase {
            Phase::Session(session) => session.events.withdraw(),
            Phase::Ending { events: Some(events), .. } => events.withdraw(),
            Phase::Hello { .. } | Phase::Ending { events: None, .. } => {}
        }
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

/// The poll's tokens of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens {
    pub(super) control: Token,
    pub(super) bell: Token,
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
    #[error("shared memory: {0}")]
    Ring(#[from] Broken),
    #[error("a message on the socket, or a request in the ring")]
    Misplaced,
    #[error("its replies are not read: {0}")]
    Replies(QueueFull),
    #[error("its socket fails: {0}")]
    Io(#[from] io::Error),
}

fn send_welcome(
    control: &OwnedFd,
    replies: &mut OutQueue,
    welcome: Welcome,
    bell: &OwnedFd,
    file: &OwnedFd,
) -> io::Result<()> {
    use std::os::fd::AsFd as _;

    let mut bytes = Vec::new();
    ServerFrame::Welcome(welcome).encode(&mut bytes);
    // Nothing was written to this socket before, so it has room for a beginning at least.
    let written = socket::send_with_fds(control, &bytes, [bell.as_fd(), file.as_fd()])?
        .ok_or(io::ErrorKind::WouldBlock)?;
    replies.push_rest(&bytes[written..]);
    Ok(())
}

/// While so many bytes of replies wait, no more requests of the client are read.
const REPLY_BYTES_PAUSE: usize = 64 << 10;

/// Most bytes of replies that can wait: the pause, one largest reply, and credit.
const REPLY_BYTES_MAX: usize = REPLY_BYTES_PAUSE + SERVER_FRAME_BYTES_MAX + (64 << 10);

#[cfg(test)]
mod tests;
