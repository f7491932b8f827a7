//! A client that speaks the frames of `evs-ipc` by hand: for the status, and for tests that break
//! the protocol.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::BytesMut;
use evs_ipc::shm::{Bell, Broken, Channel, Sleep};
use evs_ipc::{
    ClientFrame, EncodeFrame as _, FrameReader, Hello, MESSAGE_BYTES_CEILING, ReadOutcome,
    SERVER_FRAME_BYTES_MAX, ServerFrame, Welcome, decode_event, event_frame_bytes_max, socket,
};
use evs_model::Event;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::DEADLINE;

/// One connection to a daemon, blocking, with a deadline on every call.
#[derive(Debug)]
pub struct RawClient {
    control: UnixStream,
    replies: FrameReader,
    /// Descriptors that came and were not yet used.
    fds: Vec<OwnedFd>,
    memory: Option<Memory>,
}

/// What came with the Welcome.
#[derive(Debug)]
struct Memory {
    bell: OwnedFd,
    channel: Channel,
    copies: BytesMut,
}

impl RawClient {
    /// Connects, and says nothing yet.
    ///
    /// # Errors
    /// What the system says.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        Self::over(UnixStream::connect(socket)?)
    }

    /// As [`RawClient::connect`], with a connection that is there already.
    ///
    /// # Errors
    /// What the system says.
    pub fn over(control: UnixStream) -> io::Result<Self> {
        control.set_write_timeout(Some(DEADLINE))?;
        Ok(Self {
            control,
            replies: FrameReader::new(SERVER_FRAME_BYTES_MAX),
            memory: None,
            fds: Vec::new(),
        })
    }

    /// Connects and is welcomed.
    ///
    /// # Errors
    /// The daemon cannot be reached or refuses.
    pub fn open(socket: &Path, name: &str) -> anyhow::Result<(Self, Welcome)> {
        let mut client = Self::connect(socket)?;
        client.send(&ClientFrame::Hello(Hello::new(name)))?;
        match client.reply()? {
            Some(ServerFrame::Welcome(welcome)) => Ok((client, welcome)),
            other => bail!("no welcome but {other:?}"),
        }
    }

    /// Sends a frame: a message through the ring, everything else on the socket.
    ///
    /// # Errors
    /// What the system says; a ring that is full, closed or not there.
    pub fn send(&mut self, frame: &ClientFrame) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        if matches!(frame, ClientFrame::Send { .. }) {
            return self.send_through_ring(&bytes);
        }
        self.send_bytes(&bytes)
    }

    /// Writes bytes into the ring that need not be a frame, but begin with their length.
    ///
    /// # Errors
    /// A ring that is full, closed or not there.
    pub fn send_through_ring(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(memory) = &mut self.memory else { return Err(io::ErrorKind::NotConnected.into()) };
        if memory.channel.producer.push([bytes]) != Ok(true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match memory.channel.producer.bell() {
            Bell::Quiet => Ok(()),
            Bell::Ring => socket::ring(&memory.bell),
            Bell::Closed => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Both ends of the shared memory, as a client has them, to break its rules.
    #[must_use]
    pub fn channel(&mut self) -> Option<(&mut Channel, &OwnedFd)> {
        self.memory.as_mut().map(|memory| (&mut memory.channel, &memory.bell))
    }

    /// Sends bytes that need not be a frame.
    ///
    /// # Errors
    /// What the system says.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.control.write_all(bytes)
    }

    /// The next frame on the control socket, or `None` if the daemon closed it.
    ///
    /// # Errors
    /// Nothing within [`DEADLINE`], or bytes that are no frame.
    pub fn reply(&mut self) -> anyhow::Result<Option<ServerFrame>> {
        loop {
            if let Some(frame) = self.replies.next_frame()? {
                let frame = ServerFrame::decode(frame)?;
                if let ServerFrame::Welcome(welcome) = &frame {
                    self.open_memory(welcome)?;
                }
                return Ok(Some(frame));
            }
            wait_readable(&self.control)?;
            let outcome = self.replies.read_with_fds(&self.control, &mut self.fds)?;
            if outcome == ReadOutcome::Closed {
                return Ok(None);
            }
        }
    }

    fn open_memory(&mut self, welcome: &Welcome) -> anyhow::Result<()> {
        let mut fds = std::mem::take(&mut self.fds).into_iter();
        let (bell, file) = (fds.next(), fds.next());
        let (bell, file) = (bell.context("no bell")?, file.context("no memory")?);
        let channel = Channel::open(file, welcome.rings)?;
        self.memory = Some(Memory { bell, channel, copies: BytesMut::new() });
        Ok(())
    }

    /// The next event, or `None` if the daemon is gone, or has taken the memory back.
    ///
    /// # Errors
    /// Nothing within [`DEADLINE`], bytes that are no event, or no welcome yet.
    pub fn event(&mut self) -> anyhow::Result<Option<Event>> {
        let limit = event_frame_bytes_max(MESSAGE_BYTES_CEILING);
        let Memory { bell, channel, copies } = self.memory.as_mut().context("not welcomed yet")?;
        let mut gone = false;
        loop {
            match channel.consumer.copy_next(copies, limit) {
                Ok(Some(frame)) => return Ok(Some(decode_event(frame)?)),
                Ok(None) => {}
                Err(Broken::Length { bytes: 0, .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            if gone {
                return Ok(None);
            }
            if channel.consumer.sleep() == Sleep::Asleep {
                wait_readable(&*bell)?;
                gone = socket::heard(&*bell, false)? == ReadOutcome::Closed;
            }
        }
    }

    /// The daemon's status report.
    ///
    /// # Errors
    /// As [`RawClient::reply`], or a report that is no JSON.
    pub fn status(&mut self) -> anyhow::Result<serde_json::Value> {
        self.send(&ClientFrame::Status { request: 1 })?;
        self.report()
    }

    /// The daemon's answer to a question.
    ///
    /// # Errors
    /// As [`RawClient::status`].
    pub fn ask(&mut self, question: &serde_json::Value) -> anyhow::Result<serde_json::Value> {
        self.send(&ClientFrame::Ask { request: 1, question: question.to_string() })?;
        self.report()
    }

    fn report(&mut self) -> anyhow::Result<serde_json::Value> {
        loop {
            match self.reply()? {
                Some(ServerFrame::StatusReply { json, .. }) => {
                    return serde_json::from_str(&json).context("the status is no JSON");
                }
                Some(_) => {}
                None => bail!("the daemon closed the connection"),
            }
        }
    }
}

fn wait_readable(socket: impl AsFd) -> anyhow::Result<()> {
    let seconds = i64::try_from(DEADLINE.as_secs()).unwrap_or(i64::MAX);
    let timeout = Timespec { tv_sec: seconds, tv_nsec: 0 };
    loop {
        let mut fds = [PollFd::new(&socket, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => bail!("the daemon said nothing for {DEADLINE:?}"),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
