//! The blocking client.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::control::{Control, Limits, Outgoing, Target};
use crate::events::{EventStream, Taken};
use crate::handshake::{Handshake, Session};
use crate::readiness::Readiness;
use crate::requests::{Answer, Request, outcome, too_many_groups};
use crate::wait::{Interest, Step, Watched, poll_fds};
use crate::{
    ClientId, Closed, Configuration, ConnectError, ConnectOptions, Event, Group, Groups, Guarantee,
    MessageId, Processor, RequestError, SendError,
};

/// A session with the daemon of this host, for blocking use and for poll loops.
///
/// # Threads
///
/// All calls take `&self` and any number of threads may make any of them at the same time: one
/// thread may wait in [`recv`](Self::recv) while others send and join. Receiving and sending do
/// not share a lock. Blocked senders get their turn in the order in which they came. Each event
/// goes to one receiver; with several receiving threads their order is only that of the calls.
///
/// # The end
///
/// When the daemon goes, what has arrived is still delivered, then one
/// [`Event::Disconnected`], then [`Closed`]; every blocked call returns. Dropping the client ends
/// the session; what it sent is still sent. A client that does not receive is disconnected once
/// its queue at the daemon is full (`DisconnectReason::TooSlow`).
///
/// # Fork
///
/// All descriptors are close-on-exec. After a fork, one of the two processes may go on with the
/// client, and the other may drop its copy; if both use it, both see garbage, and nobody else is
/// harmed.
#[derive(Debug)]
pub struct Client {
    processor: Processor,
    id: ClientId,
    limits: Limits,
    answer_timeout: Duration,
    control: Watched<Control>,
    events: Watched<EventStream>,
    event_readiness: Arc<Readiness>,
    room_readiness: OnceLock<Arc<Readiness>>,
}

impl Client {
    /// Connects to the daemon that `EVS_SOCKET` names, or else the one at `/run/evs/evsd.sock`.
    /// The first event, the current configuration, is there when this returns.
    ///
    /// # Errors
    /// See [`ConnectError`]; [`ConnectError::is_temporary`] says whether to try again.
    pub fn connect() -> Result<Self, ConnectError> {
        Self::connect_with(&ConnectOptions::default())
    }

    /// Connects as the options say. Blocks for [`ConnectOptions::timeout`] at most.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_with(options: &ConnectOptions) -> Result<Self, ConnectError> {
        let deadline = Instant::now() + options.connect_timeout();
        let mut handshake = Handshake::start(options)?;
        loop {
            handshake = match handshake.advance()? {
                Ok(session) => return Self::new(session, options),
                Err(waiting) => waiting,
            };
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return Err(handshake.timed_out(options));
            };
            let fd = PollFd::from_borrowed_fd(handshake.waits_for(), PollFlags::IN);
            poll_fds(&mut [fd], Some(left));
        }
    }

    fn new(session: Session, options: &ConnectOptions) -> Result<Self, ConnectError> {
        let failed = |source| ConnectError::Io { path: options.socket_path(), source };
        let readiness = Readiness::new(session.event_fd.as_fd()).map_err(failed)?;
        let limits = *session.control.limits();
        Ok(Self {
            processor: session.welcome.processor,
            id: session.welcome.client,
            limits,
            answer_timeout: options.answer_timeout(),
            control: Watched::new(session.control_fd, session.control).map_err(failed)?,
            events: Watched::new(session.event_fd, session.events).map_err(failed)?,
            event_readiness: Arc::new(readiness),
            room_readiness: OnceLock::new(),
        })
    }

    // ── groups ──────────────────────────────────────────────────────────────────────────────────

    /// Joins groups. A group joined twice needs two leaves; messages still come once. Takes effect
    /// at one point of the history (EVS-10), before this returns; events that were on their way
    /// are of before.
    ///
    /// # Errors
    /// [`RequestError::TooManyGroups`], [`RequestError::TimedOut`], [`RequestError::Closed`], …
    pub fn join(&self, groups: &[Group]) -> Result<(), RequestError> {
        let groups = self.request_groups(groups)?;
        outcome(self.request(Request::Join(groups))?, self.limits.joined_groups_max)
    }

    /// Leaves groups, all of them or none. Messages that were delivered before still wait and are
    /// still received.
    ///
    /// # Errors
    /// [`RequestError::NotJoined`] and as [`join`](Self::join).
    pub fn leave(&self, groups: &[Group]) -> Result<(), RequestError> {
        let groups = self.request_groups(groups)?;
        outcome(self.request(Request::Leave(groups))?, self.limits.joined_groups_max)
    }

    /// The joined groups, each with how often it was joined.
    #[must_use]
    pub fn joined(&self) -> Vec<(Group, u32)> {
        self.control.with(|control, _| {
            control.requests().joined().iter().map(|(group, count)| (*group, *count)).collect()
        })
    }

    // ── sending ─────────────────────────────────────────────────────────────────────────────────

    /// Sends a message to groups, joined or not; blocks until there is room. Returns the id under
    /// which it will be delivered. From then on it will be sent, whatever becomes of this client.
    ///
    /// # Errors
    /// [`SendError::TooBig`], [`SendError::TooManyGroups`], [`SendError::Closed`].
    pub fn send(
        &self,
        guarantee: Guarantee,
        groups: &[Group],
        body: &[u8],
    ) -> Result<MessageId, SendError> {
        self.send_vectored(guarantee, Target::Groups(groups), &[IoSlice::new(body)])
    }

    /// As [`send`](Self::send), to all groups that this client has joined.
    ///
    /// # Errors
    /// As `send`.
    pub fn send_joined(&self, guarantee: Guarantee, body: &[u8]) -> Result<MessageId, SendError> {
        self.send_vectored(guarantee, Target::Joined, &[IoSlice::new(body)])
    }

    /// As [`send`](Self::send), but refuses where that would wait for room. Once a part of a large
    /// message is on its way to a daemon that is slow to read, it waits for the rest to be taken.
    ///
    /// # Errors
    /// [`SendError::QueueFull`]: see [`room_fd`](Self::room_fd); and as `send`.
    pub fn try_send(
        &self,
        guarantee: Guarantee,
        groups: &[Group],
        body: &[u8],
    ) -> Result<MessageId, SendError> {
        self.try_send_vectored(guarantee, Target::Groups(groups), &[IoSlice::new(body)])
    }

    /// As [`send`](Self::send), with the body in parts.
    ///
    /// # Errors
    /// As `send`.
    pub fn send_vectored(
        &self,
        guarantee: Guarantee,
        target: Target<'_>,
        parts: &[IoSlice<'_>],
    ) -> Result<MessageId, SendError> {
        let mut message = Outgoing { guarantee, target, parts, sent: None };
        let mut ticket = None;
        let sent = self.control.wait(None, |control, fd| {
            let ticket = *ticket.get_or_insert_with(|| control.queue_up());
            control.send_in_turn(fd, ticket, &mut message)
        });
        sent.expect("a wait without deadline ends with a result")
    }

    /// As [`try_send`](Self::try_send), with the body in parts.
    ///
    /// # Errors
    /// As `try_send`.
    pub fn try_send_vectored(
        &self,
        guarantee: Guarantee,
        target: Target<'_>,
        parts: &[IoSlice<'_>],
    ) -> Result<MessageId, SendError> {
        let mut message = Outgoing { guarantee, target, parts, sent: None };
        let sent = self.control.wait(None, |control, fd| {
            if message.sent.is_none()
                && let Err(error) = control.try_send(fd, &mut message)
            {
                return Step::Done(Err(error));
            }
            control.finish(fd, &message)
        });
        sent.expect("a wait without deadline ends with a result")
    }

    /// A descriptor that is level-readable while a send is worth trying: always, except from a
    /// [`SendError::QueueFull`] until there may be room again, or the session is over. It is the
    /// same on every call and lives as long as the client. Never read from it.
    ///
    /// # Errors
    /// The first call makes it: no descriptor left.
    pub fn room_fd(&self) -> io::Result<BorrowedFd<'_>> {
        let readiness = match self.room_readiness.get() {
            Some(readiness) => readiness,
            None => {
                let made = self.control.with(|_, fd| Readiness::new(fd))?;
                self.room_readiness.get_or_init(|| Arc::new(made))
            }
        };
        self.control.with(|control, fd| control.watch_room(fd, readiness));
        Ok(readiness.as_fd())
    }

    // ── receiving ───────────────────────────────────────────────────────────────────────────────

    /// The next event; blocks until there is one.
    ///
    /// # Errors
    /// [`Closed`], after [`Event::Disconnected`] has been delivered or the client was closed.
    pub fn recv(&self) -> Result<Event, Closed> {
        let event = self.events.wait(None, take);
        event.expect("a wait without deadline ends with a result")
    }

    /// The next event if one has arrived.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Option<Event>, Closed> {
        self.events.with(|events, fd| match events.take(fd) {
            Taken::Event(event) => Ok(Some(event)),
            Taken::Blocked => Ok(None),
            Taken::Closed => Err(Closed),
        })
    }

    /// The end of what has arrived so far, for [`try_recv_arrived`](Self::try_recv_arrived).
    #[must_use]
    pub fn arrived(&self) -> Arrived {
        Arrived(self.events.with(|events, fd| events.arrived(fd)))
    }

    /// As [`try_recv`](Self::try_recv), but leaves what came after this point of the stream: a
    /// loop over it ends however fast events come. The end of the session is always reported.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv_arrived(&self, arrived: Arrived) -> Result<Option<Event>, Closed> {
        self.events.with(|events, fd| match events.take_before(fd, arrived.0) {
            Taken::Event(event) => Ok(Some(event)),
            Taken::Blocked => Ok(None),
            Taken::Closed => Err(Closed),
        })
    }

    /// Whether a part of an event that began before this point of the stream has been received,
    /// and its rest is on its way: events of more than 32 KiB may come in parts. The rest follows
    /// as fast as it is received, unless the daemon stands still.
    #[must_use]
    pub fn is_inside_event(&self, arrived: Arrived) -> bool {
        self.events.with(|events, _| events.is_inside_event_before(arrived.0))
    }

    /// The next event, or `None` if there is none within the time.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Event>, Closed> {
        // A time beyond what the clock can hold is no deadline.
        let deadline = Instant::now().checked_add(timeout);
        self.events.wait(deadline, take).transpose()
    }

    // ── what is known ───────────────────────────────────────────────────────────────────────────

    /// The last configuration, regular or transitional, among the events received so far (EVS-11);
    /// before the first, the one that it will bring.
    #[must_use]
    pub fn configuration(&self) -> Configuration {
        self.events.with(|events, _| events.configuration().clone())
    }

    /// The processor that this client belongs to.
    #[must_use]
    pub const fn processor(&self) -> Processor {
        self.processor
    }

    /// This client's name at its processor.
    #[must_use]
    pub const fn client_id(&self) -> ClientId {
        self.id
    }

    /// What the daemon allows this client.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The daemon's status: one JSON object.
    ///
    /// # Errors
    /// [`RequestError::TimedOut`], [`RequestError::Closed`].
    pub fn status_json(&self) -> Result<String, RequestError> {
        match self.request(Request::Status)? {
            Answer::Report(json) => Ok(json),
            Answer::Done(_) => Err(Closed.into()),
        }
    }

    /// Asks the daemon something about itself: a JSON object, as `docs/reports.md` describes it.
    /// The answer is a JSON object too.
    ///
    /// # Errors
    /// [`RequestError::TooLong`], [`RequestError::TimedOut`], [`RequestError::Closed`]; the session
    /// ends where the daemon is of a version without questions.
    pub fn ask_json(&self, question: &str) -> Result<String, RequestError> {
        if question.len() > evs_ipc::QUESTION_BYTES_MAX {
            let max = evs_ipc::QUESTION_BYTES_MAX;
            return Err(RequestError::TooLong { bytes: question.len(), max });
        }
        match self.request(Request::Ask(question.to_owned()))? {
            Answer::Report(json) => Ok(json),
            Answer::Done(_) => Err(Closed.into()),
        }
    }

    /// Whether the connection to the daemon is over, or this client was closed. Events that have
    /// arrived can still be received.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.control.with(|control, fd| control.is_over(fd))
    }

    /// Ends the session for all threads: every call, blocked or to come, says [`Closed`]; events
    /// that wait are not delivered. Messages sent before are still sent. The descriptors stay
    /// open until the client is dropped.
    pub fn close(&self) {
        self.control.with(|control, _| control.close());
        self.events.with(|events, _| events.close());
    }

    // ── helpers ─────────────────────────────────────────────────────────────────────────────────

    fn request_groups(&self, groups: &[Group]) -> Result<Groups, RequestError> {
        Groups::new(groups).map_err(|_| too_many_groups(self.limits.joined_groups_max))
    }

    fn request(&self, request: Request) -> Result<Answer, RequestError> {
        let deadline = Instant::now().checked_add(self.answer_timeout);
        let mut number = None;
        let answer =
            self.control.wait(deadline, |control, fd| control.request(fd, &mut number, &request));
        answer.unwrap_or_else(|| {
            self.control.with(|control, _| control.abandon(number));
            Err(RequestError::TimedOut { after: self.answer_timeout })
        })
    }
}

/// A point in a client's stream of events: the end of what had arrived ([`Client::arrived`]).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Arrived(u64);

fn take(events: &mut EventStream, fd: BorrowedFd<'_>) -> Step<Result<Event, Closed>> {
    match events.take(fd) {
        Taken::Event(event) => Step::Done(Ok(event)),
        Taken::Blocked => Step::Wait(Interest::Read),
        Taken::Closed => Step::Done(Err(Closed)),
    }
}

/// A descriptor that is level-readable exactly while [`recv`](Client::recv) would not block: an
/// event waits, or the session is over. It works with select, poll and epoll (level- and
/// edge-triggered), is the same on every call and lives as long as the client. Never read from it.
///
/// Of a message that is larger than the socket's buffer a first part may show as readable;
/// [`try_recv`](Client::try_recv) then fetches it and says `None` until the rest is there.
impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.with(|events, _| events.watch(&self.event_readiness));
        self.event_readiness.as_fd()
    }
}

impl AsRawFd for Client {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
