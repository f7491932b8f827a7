//! A client that speaks the frames of `evs-ipc` by hand: for the status, and for tests that break
//! the protocol.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, bail};
use evs_ipc::{
    ClientFrame, EncodeFrame as _, FrameReader, Hello, ReadOutcome, SERVER_FRAME_BYTES_MAX,
    ServerFrame, Welcome, decode_event, event_frame_bytes_max,
};
use evs_model::Event;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::DEADLINE;

/// One connection to a daemon, blocking, with a deadline on every call.
#[derive(Debug)]
pub struct RawClient {
    control: UnixStream,
    replies: FrameReader,
    events: Option<(OwnedFd, FrameReader)>,
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
        Ok(Self { control, replies: FrameReader::new(SERVER_FRAME_BYTES_MAX), events: None })
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

    /// Sends a frame.
    ///
    /// # Errors
    /// What the system says.
    pub fn send(&mut self, frame: &ClientFrame) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.send_bytes(&bytes)
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
                return Ok(Some(ServerFrame::decode(frame)?));
            }
            wait_readable(&self.control)?;
            let mut event_socket = None;
            let outcome = self.replies.read_with_fd(&self.control, &mut event_socket)?;
            if let Some(socket) = event_socket {
                let reader =
                    FrameReader::new(event_frame_bytes_max(evs_ipc::MESSAGE_BYTES_CEILING));
                self.events = Some((socket, reader));
            }
            if outcome == ReadOutcome::Closed {
                return Ok(None);
            }
        }
    }

    /// The next event, or `None` if the daemon closed the event socket.
    ///
    /// # Errors
    /// Nothing within [`DEADLINE`], bytes that are no event, or no welcome yet.
    pub fn event(&mut self) -> anyhow::Result<Option<Event>> {
        let (socket, reader) = self.events.as_mut().context("not welcomed yet")?;
        loop {
            if let Some(frame) = reader.next_frame()? {
                return Ok(Some(decode_event(frame)?));
            }
            wait_readable(&*socket)?;
            if reader.read_from(&*socket)? == ReadOutcome::Closed {
                return Ok(None);
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
