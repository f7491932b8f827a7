//! From a path to a session: connect, Hello, Welcome, first event.
//!
//! Like [`Control`], a handshake never waits; it says which descriptor has to become readable.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use evs_ipc::{
    ClientFrame, DecodeError, EncodeFrame, FrameReader, Hello, MESSAGE_BYTES_CEILING,
    PROTOCOL_VERSION, ReadOutcome, Refusal, SERVER_FRAME_BYTES_MAX, ServerFrame, Welcome,
    event_frame_bytes_max, socket,
};

use rustix::io::Errno;

use crate::control::Control;
use crate::events::{EventStream, Taken};
use crate::{ConnectError, ConnectOptions, TryAgain};

/// A connection, complete: the first event has arrived.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) welcome: Welcome,
    pub(crate) control_fd: OwnedFd,
    pub(crate) control: Control,
    pub(crate) event_fd: OwnedFd,
    pub(crate) events: EventStream,
}

/// A connection in the making.
#[derive(Debug)]
pub(crate) struct Handshake {
    path: PathBuf,
    control_fd: OwnedFd,
    control: FrameReader,
    event_fd: Option<OwnedFd>,
    welcomed: Option<(Welcome, FrameReader)>,
}

impl Handshake {
    /// Connects and says Hello.
    pub(crate) fn start(options: &ConnectOptions) -> Result<Self, ConnectError> {
        let path = options.socket_path();
        let control_fd = match socket::connect(&path) {
            Ok(fd) => fd,
            Err(error) => return Err(refused_by_system(path, error)),
        };
        let mut hello = Vec::new();
        ClientFrame::Hello(Hello::new(&options.client_name())).encode(&mut hello);
        match socket::write_vectored(&control_fd, &[io::IoSlice::new(&hello)]) {
            Ok(Some(written)) if written == hello.len() => {}
            // A fresh socket takes a hundred bytes unless the other end is gone already.
            Ok(_) => return Err(interrupted()),
            // The daemon may have refused without reading; its word, if any, is still to be read.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(refused_by_system(path, error)),
        }
        Ok(Self {
            path,
            control_fd,
            control: FrameReader::new(SERVER_FRAME_BYTES_MAX),
            event_fd: None,
            welcomed: None,
        })
    }

    /// The descriptor that has to become readable.
    pub(crate) fn waits_for(&self) -> BorrowedFd<'_> {
        match (&self.welcomed, &self.event_fd) {
            (Some(_), Some(event_fd)) => event_fd.as_fd(),
            _ => self.control_fd.as_fd(),
        }
    }

    /// Goes on as far as it can. Returns the session, or the handshake if it has to wait.
    pub(crate) fn advance(mut self) -> Result<Result<Session, Self>, ConnectError> {
        let (welcome, mut reader) = match self.welcomed.take() {
            Some(welcomed) => welcomed,
            None => match self.read_welcome()? {
                Some(welcome) => {
                    // Not the Welcome's limit: the size of a message is its sender's affair, which
                    // may sit at a node with another one.
                    let limit = event_frame_bytes_max(MESSAGE_BYTES_CEILING);
                    (welcome, FrameReader::new(limit))
                }
                None => return Ok(Err(self)),
            },
        };
        let Some(event_fd) = self.event_fd.take() else {
            return Err(self.not_a_daemon(DecodeError::Truncated("the descriptor of the Welcome")));
        };
        match EventStream::read_first(&mut reader, &event_fd) {
            Taken::Event(first) => match EventStream::new(reader, first) {
                Some(events) => Ok(Ok(self.complete(welcome, event_fd, events))),
                None => Err(self.not_a_daemon(DecodeError::Empty)),
            },
            Taken::Blocked => {
                self.event_fd = Some(event_fd);
                self.welcomed = Some((welcome, reader));
                Ok(Err(self))
            }
            Taken::Closed => Err(interrupted()),
        }
    }

    /// The error of a daemon that took too long.
    pub(crate) fn timed_out(self, options: &ConnectOptions) -> ConnectError {
        ConnectError::TimedOut { path: self.path, after: options.connect_timeout() }
    }

    fn complete(self, welcome: Welcome, event_fd: OwnedFd, events: EventStream) -> Session {
        let room = usize::try_from(welcome.credit).unwrap_or(usize::MAX);
        socket::grow_send_buffer(&self.control_fd, room.min(SEND_BUFFER_BYTES));
        Session {
            control: Control::new(&welcome, self.control),
            welcome,
            control_fd: self.control_fd,
            event_fd,
            events,
        }
    }

    fn read_welcome(&mut self) -> Result<Option<Welcome>, ConnectError> {
        loop {
            let frame = match self.control.next_frame() {
                Ok(frame) => frame,
                Err(error) => return Err(self.not_a_daemon(error)),
            };
            if let Some(frame) = frame {
                return match ServerFrame::decode(frame) {
                    Ok(frame) => self.judge(frame).map(Some),
                    Err(error) => Err(self.not_a_daemon(error)),
                };
            }
            match self.control.read_with_fd(&self.control_fd, &mut self.event_fd) {
                Ok(ReadOutcome::Bytes(_)) => {}
                Ok(ReadOutcome::Blocked) => return Ok(None),
                Ok(ReadOutcome::Closed) => return Err(interrupted()),
                Err(source) => return Err(ConnectError::Io { path: self.path.clone(), source }),
            }
        }
    }

    fn judge(&self, frame: ServerFrame) -> Result<Welcome, ConnectError> {
        let reason = match frame {
            ServerFrame::Welcome(welcome) => return Ok(welcome),
            ServerFrame::Refused { reason, version } => match reason {
                Refusal::Access => {
                    return Err(ConnectError::Access { path: self.path.clone() });
                }
                Refusal::Version => {
                    return Err(ConnectError::VersionMismatch {
                        client: PROTOCOL_VERSION,
                        daemon: version,
                    });
                }
                Refusal::TooManyClients => TryAgain::TooManyClients,
                Refusal::NotReady => TryAgain::NotReady,
                Refusal::Leaving => TryAgain::Leaving,
                Refusal::Other(number) => TryAgain::Other(number),
            },
            ServerFrame::Done { .. }
            | ServerFrame::Credit { .. }
            | ServerFrame::StatusReply { .. } => {
                return Err(self.not_a_daemon(DecodeError::Magic));
            }
        };
        Err(ConnectError::TryAgain { reason })
    }

    fn not_a_daemon(&self, source: DecodeError) -> ConnectError {
        ConnectError::NotADaemon { path: self.path.clone(), source }
    }
}

fn refused_by_system(path: PathBuf, source: io::Error) -> ConnectError {
    match Errno::from_io_error(&source) {
        Some(Errno::NOENT | Errno::CONNREFUSED) => ConnectError::NoDaemon { path },
        Some(Errno::ACCESS | Errno::PERM) => ConnectError::Access { path },
        Some(Errno::AGAIN) => ConnectError::TryAgain { reason: TryAgain::QueueFull },
        Some(_) | None => ConnectError::Io { path, source },
    }
}

const fn interrupted() -> ConnectError {
    ConnectError::TryAgain { reason: TryAgain::Interrupted }
}

/// Room in the kernel for what a client sends, as far as the system allows it: a message that fits
/// goes out in one system call.
const SEND_BUFFER_BYTES: usize = 4 << 20;
