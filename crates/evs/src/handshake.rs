//! From a path to a session: connect, Hello, Welcome with the shared memory, first event.
//!
//! Like [`Control`], a handshake never waits; it says which descriptor has to become readable.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use evs_ipc::shm::Channel;
use evs_ipc::{
    ClientFrame, DecodeError, EncodeFrame, FrameReader, Hello, ReadOutcome, Refusal,
    SERVER_FRAME_BYTES_MAX, ServerFrame, Welcome, socket,
};

use rustix::io::Errno;

use crate::control::Control;
use crate::events::EventStream;
use crate::{ConnectError, ConnectOptions, TryAgain};

/// A connection, complete: the first event has arrived.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) welcome: Welcome,
    pub(crate) control_fd: OwnedFd,
    pub(crate) control: Control,
    /// What wakes either side.
    pub(crate) bell: Arc<OwnedFd>,
    pub(crate) events: EventStream,
}

/// A connection in the making.
#[derive(Debug)]
pub(crate) struct Handshake {
    path: PathBuf,
    control_fd: OwnedFd,
    control: FrameReader,
    /// What came with the Welcome: the bell, the shared memory.
    fds: Vec<OwnedFd>,
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
            fds: Vec::new(),
        })
    }

    /// The descriptor that has to become readable.
    pub(crate) fn waits_for(&self) -> BorrowedFd<'_> {
        self.control_fd.as_fd()
    }

    /// Goes on as far as it can. Returns the session, or the handshake if it has to wait.
    pub(crate) fn advance(mut self) -> Result<Result<Session, Self>, ConnectError> {
        let Some(welcome) = self.read_welcome()? else { return Ok(Err(self)) };
        let mut fds = std::mem::take(&mut self.fds).into_iter();
        let (Some(bell), Some(file)) = (fds.next(), fds.next()) else {
            return Err(self.not_a_daemon(DecodeError::Truncated("the descriptors of the Welcome")));
        };
        let Channel { producer, consumer } = match Channel::open(file, welcome.rings) {
            Ok(channel) => channel,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(self.not_a_daemon(DecodeError::Truncated("the shared memory")));
            }
            Err(source) => return Err(ConnectError::Io { path: self.path, source }),
        };
        let Some(events) = EventStream::new(consumer) else {
            return Err(self.not_a_daemon(DecodeError::Empty));
        };
        socket::grow_send_buffer(&self.control_fd, SEND_BUFFER_BYTES);
        let bell = Arc::new(bell);
        let control = Control::new(&welcome, self.control, producer, Arc::clone(&bell));
        Ok(Ok(Session { welcome, control_fd: self.control_fd, control, bell, events }))
    }

    /// The error of a daemon that took too long.
    pub(crate) fn timed_out(self, options: &ConnectOptions) -> ConnectError {
        ConnectError::TimedOut { path: self.path, after: options.connect_timeout() }
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
            match self.control.read_with_fds(&self.control_fd, &mut self.fds) {
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
            ServerFrame::Refused { reason, versions } => match reason {
                Refusal::Access => {
                    return Err(ConnectError::Access { path: self.path.clone() });
                }
                Refusal::Version => {
                    return Err(ConnectError::VersionMismatch {
                        client: evs_ipc::spoken(),
                        daemon: versions,
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

/// Room in the kernel for as many requests as may wait for an answer, as far as the system allows
/// it: so that they need not wait to be written.
const SEND_BUFFER_BYTES: usize = 4 << 20;
