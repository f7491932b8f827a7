//! A client that comes back after its daemon's restart.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, epoll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::wait::poll_fds;
use crate::{
    Client, Closed, Configuration, ConnectError, ConnectOptions, DisconnectReason, Event, Group,
    Groups, Guarantee, MessageId, RequestError, SendError,
};

/// A [`Client`] that reconnects when its session ends for a reason that passes: the daemon was
/// restarted or killed, or this client was too slow.
///
/// Receiving does the work: a call of [`recv`](Self::recv) or [`try_recv`](Self::try_recv) tries
/// to connect when an attempt is due (at once, then after 50 ms, doubling to 1 s), joins the groups
/// again that were joined, and delivers [`Event::Gap`], then the new session's events, beginning
/// with its regular configuration. Until then sends and requests say `Reconnecting`. An attempt
/// blocks its caller for [`ConnectOptions::timeout`] and one request at most.
///
/// If a daemon is back but refuses (access, version, limits), [`Event::Disconnected`] ends the
/// stream. Thread-safe like [`Client`].
#[derive(Debug)]
pub struct ReconnectingClient {
    options: ConnectOptions,
    link: Mutex<Link>,
    /// Over the current client's descriptor and the timer of the next attempt.
    epoll: OwnedFd,
    timer: OwnedFd,
}

#[derive(Debug)]
enum Link {
    Up(Arc<Client>),
    Down(Down),
    /// One thread is connecting.
    Connecting,
    /// The application is still to be told.
    Ended(DisconnectReason),
    Over,
}

/// Between two sessions.
#[derive(Debug)]
struct Down {
    reason: DisconnectReason,
    groups: Vec<Group>,
    due: Instant,
    delay: Duration,
}

/// What a look at the link brought.
enum Look {
    Up(Arc<Client>),
    Connect(Down),
    Event(Event),
    Nothing,
    Over,
}

enum Attempt {
    Done(Arc<Client>),
    Later,
    Never,
}

impl ReconnectingClient {
    /// Connects for the first time; that has to succeed.
    ///
    /// # Errors
    /// As [`Client::connect_with`].
    pub fn connect_with(options: ConnectOptions) -> Result<Self, ConnectError> {
        let client = Arc::new(Client::connect_with(&options)?);
        let made = make_readiness(&client);
        let (epoll, timer) = made.map_err(|error| ConnectError::Io {
            path: options.socket_path(),
            source: error.into(),
        })?;
        Ok(Self { options, link: Mutex::new(Link::Up(client)), epoll, timer })
    }

    /// The current session, if there is one; it is no longer the current one after the next
    /// [`Event::Gap`]. Receive through this type only.
    #[must_use]
    pub fn client(&self) -> Option<Arc<Client>> {
        match &*self.lock() {
            Link::Up(client) => Some(Arc::clone(client)),
            Link::Down(_) | Link::Connecting | Link::Ended(_) | Link::Over => None,
        }
    }

    /// As [`Client::join`]; the groups are joined again after a gap.
    ///
    /// # Errors
    /// [`RequestError::Reconnecting`], and as [`Client::join`].
    pub fn join(&self, groups: &[Group]) -> Result<(), RequestError> {
        let client = self.session(RequestError::Reconnecting)?;
        client.join(groups).map_err(request_error)
    }

    /// As [`Client::leave`].
    ///
    /// # Errors
    /// [`RequestError::Reconnecting`], and as [`Client::leave`].
    pub fn leave(&self, groups: &[Group]) -> Result<(), RequestError> {
        let client = self.session(RequestError::Reconnecting)?;
        client.leave(groups).map_err(request_error)
    }

    /// As [`Client::send`]. A message that was sent just before a daemon was killed may be lost;
    /// then it is not delivered after the gap either.
    ///
    /// # Errors
    /// [`SendError::Reconnecting`], and as [`Client::send`].
    pub fn send(
        &self,
        guarantee: Guarantee,
        groups: &[Group],
        body: &[u8],
    ) -> Result<MessageId, SendError> {
        let client = self.session(SendError::Reconnecting)?;
        client.send(guarantee, groups, body).map_err(send_error)
    }

    /// As [`Client::try_send`].
    ///
    /// # Errors
    /// [`SendError::Reconnecting`], and as [`Client::try_send`].
    pub fn try_send(
        &self,
        guarantee: Guarantee,
        groups: &[Group],
        body: &[u8],
    ) -> Result<MessageId, SendError> {
        let client = self.session(SendError::Reconnecting)?;
        client.try_send(guarantee, groups, body).map_err(send_error)
    }

    /// As [`Client::configuration`]; `None` between two sessions.
    #[must_use]
    pub fn configuration(&self) -> Option<Configuration> {
        Some(self.client()?.configuration())
    }

    /// As [`Client::recv`], over all sessions.
    ///
    /// # Errors
    /// [`Closed`], after [`Event::Disconnected`] or [`close`](Self::close).
    pub fn recv(&self) -> Result<Event, Closed> {
        loop {
            if let Some(event) = self.try_recv()? {
                return Ok(event);
            }
            poll_fds(&mut [PollFd::new(&self.epoll, PollFlags::IN)], None);
        }
    }

    /// As [`Client::try_recv`], over all sessions. It connects if an attempt is due.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Option<Event>, Closed> {
        loop {
            match self.look() {
                Look::Event(event) => return Ok(Some(event)),
                Look::Nothing => return Ok(None),
                Look::Over => return Err(Closed),
                Look::Connect(down) => {
                    if let Some(gap) = self.reconnect(down) {
                        return Ok(Some(gap));
                    }
                }
                Look::Up(client) => match client.try_recv() {
                    Ok(Some(Event::Disconnected { reason })) => self.lose(&client, reason),
                    Ok(event) => return Ok(event),
                    // Somebody else received the last event.
                    Err(Closed) => self.lose(&client, DisconnectReason::Lost),
                },
            }
        }
    }

    /// As [`Client::close`], for good.
    pub fn close(&self) {
        let mut link = self.lock();
        if let Link::Up(client) = &*link {
            client.close();
        }
        *link = Link::Over;
        self.arm(Duration::ZERO);
    }

    /// The current session for a caller, or its error: one between sessions, one for ever.
    fn session<E: From<Closed>>(&self, between: E) -> Result<Arc<Client>, E> {
        match &*self.lock() {
            Link::Up(client) => Ok(Arc::clone(client)),
            Link::Down(_) | Link::Connecting => Err(between),
            Link::Ended(_) | Link::Over => Err(Closed.into()),
        }
    }

    fn look(&self) -> Look {
        let mut link = self.lock();
        match &*link {
            Link::Up(client) => Look::Up(Arc::clone(client)),
            Link::Connecting => Look::Nothing,
            Link::Over => Look::Over,
            Link::Ended(reason) => {
                let reason = *reason;
                *link = Link::Over;
                Look::Event(Event::Disconnected { reason })
            }
            Link::Down(down) if down.due > Instant::now() => Look::Nothing,
            Link::Down(_) => {
                // Not readable while this thread connects.
                self.disarm();
                match std::mem::replace(&mut *link, Link::Connecting) {
                    Link::Down(down) => Look::Connect(down),
                    Link::Up(_) | Link::Connecting | Link::Ended(_) | Link::Over => {
                        unreachable!("the link was down, and the lock is held")
                    }
                }
            }
        }
    }

    /// The session has ended.
    fn lose(&self, client: &Arc<Client>, reason: DisconnectReason) {
        let mut link = self.lock();
        if !matches!(&*link, Link::Up(current) if Arc::ptr_eq(current, client)) {
            return;
        }
        // The client may outlive the link in other hands; its descriptor must not stay behind.
        let _ = epoll::delete(&self.epoll, client.as_fd());
        *link = match reason {
            DisconnectReason::Lost | DisconnectReason::Shutdown | DisconnectReason::TooSlow => {
                let groups = client.joined();
                let groups = groups.into_iter().flat_map(|(group, count)| {
                    std::iter::repeat_n(group, usize::try_from(count).unwrap_or(usize::MAX))
                });
                let due = Instant::now();
                Link::Down(Down { reason, groups: groups.collect(), due, delay: DELAY_MIN })
            }
            DisconnectReason::Malformed
            | DisconnectReason::ProtocolError
            | DisconnectReason::Refused => Link::Ended(reason),
        };
        self.arm(Duration::ZERO);
    }

    /// One attempt, outside the lock; afterwards the link is in another state. Returns the gap if
    /// there is a session again.
    fn reconnect(&self, down: Down) -> Option<Event> {
        let attempt = self.attempt(&down.groups);
        let mut link = self.lock();
        if !matches!(*link, Link::Connecting) {
            // Closed in the meantime.
            return None;
        }
        match attempt {
            Attempt::Done(client) => {
                *link = Link::Up(client);
                return Some(Event::Gap { reason: down.reason });
            }
            Attempt::Never => {
                *link = Link::Ended(DisconnectReason::Refused);
                self.arm(Duration::ZERO);
            }
            Attempt::Later => {
                let due = Instant::now() + down.delay;
                self.arm(down.delay);
                let delay = (2 * down.delay).min(DELAY_MAX);
                *link = Link::Down(Down { due, delay, ..down });
            }
        }
        None
    }

    fn attempt(&self, groups: &[Group]) -> Attempt {
        let client = match Client::connect_with(&self.options) {
            Ok(client) => Arc::new(client),
            Err(error) if error.is_temporary() || matches!(error, ConnectError::Io { .. }) => {
                return Attempt::Later;
            }
            Err(_) => return Attempt::Never,
        };
        for groups in groups.chunks(Groups::MAX) {
            match client.join(groups) {
                Ok(()) => {}
                Err(RequestError::TooManyGroups { .. }) => return Attempt::Never,
                Err(_) => return Attempt::Later,
            }
        }
        match watch(&self.epoll, &client) {
            Ok(()) => Attempt::Done(client),
            Err(_) => Attempt::Later,
        }
    }

    /// The timer fires after this time, and stays readable.
    fn arm(&self, after: Duration) {
        let after = after.max(Duration::from_nanos(1));
        let value = Timespec {
            tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: after.subsec_nanos().into(),
        };
        self.set_timer(value);
    }

    fn disarm(&self) {
        self.set_timer(ZERO);
    }

    fn set_timer(&self, value: Timespec) {
        let timer = Itimerspec { it_interval: ZERO, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &timer)
            .expect("an own timer takes a valid time");
    }

    fn lock(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A descriptor that is level-readable while an event waits, while an attempt to connect is due,
/// or when the stream is over; the same on every call. Never read from it.
impl AsFd for ReconnectingClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn make_readiness(client: &Client) -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
    epoll::add(&epoll, &timer, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
    watch(&epoll, client)?;
    Ok((epoll, timer))
}

fn watch(epoll: &OwnedFd, client: &Client) -> rustix::io::Result<()> {
    epoll::add(epoll, client, epoll::EventData::new_u64(1), epoll::EventFlags::IN)
}

/// The session was over for these callers too; a new one is being made.
fn send_error(error: SendError) -> SendError {
    if error == SendError::Closed(Closed) { SendError::Reconnecting } else { error }
}

fn request_error(error: RequestError) -> RequestError {
    if error == RequestError::Closed(Closed) { RequestError::Reconnecting } else { error }
}

const ZERO: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The time between the first two attempts.
const DELAY_MIN: Duration = Duration::from_millis(50);

/// The longest time between two attempts.
const DELAY_MAX: Duration = Duration::from_secs(1);
