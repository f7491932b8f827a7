//! The blocking client.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::control::{Control, Limits, Outgoing, Target};
use crate::events::{EventStream, LentMessage, Taken};
use crate::handshake::{Handshake, Session};
use crate::lent::{Lent, Read};
use crate::readiness::Readiness;
use crate::requests::{Answer, Request, outcome, too_many_groups};
use crate::wait::{Interest, Step, Watched, poll_fds};
use crate::{
    ClientId, Closed, Configuration, ConnectError, ConnectOptions, Event, Group, Groups, Guarantee,
    MessageId, Processor, RequestError, RingId, SendError, why,
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
        let readiness = Readiness::new(session.bell.as_fd()).map_err(failed)?;
        let limits = *session.control.limits();
        Ok(Self {
            processor: session.welcome.processor,
            id: session.welcome.client,
            limits,
            answer_timeout: options.answer_timeout(),
            control: Watched::new(session.control_fd, session.control).map_err(failed)?,
            events: Watched::new(session.bell, session.events).map_err(failed)?,
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

    /// As [`send`](Self::send), but refuses where that would wait for room. It never waits.
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
        let message = Outgoing { guarantee, target, parts };
        let mut ticket = None;
        let sent = self.control.wait(None, |control, fd| {
            let ticket = *ticket.get_or_insert_with(|| control.queue_up());
            control.send_in_turn(fd, ticket, &message)
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
        let message = Outgoing { guarantee, target, parts };
        self.control.with(|control, fd| control.try_send(fd, &message))
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
        self.control.with(|control, _| control.watch_room(readiness));
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
            Taken::Blocked | Taken::Lent(_) => Ok(None),
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
            Taken::Blocked | Taken::Lent(_) => Ok(None),
            Taken::Closed => Err(Closed),
        })
    }

    /// The next event if one has arrived, without a copy of a message: it is read where the daemon
    /// has put it. As long as it is lent, its place is taken; a client that keeps too many bytes
    /// that way is too slow.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_read(&self) -> Result<Option<Read<'_>>, Closed> {
        self.read_next(None, None)
    }

    /// As [`try_read`](Self::try_read); blocks until there is an event.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn read(&self) -> Result<Read<'_>, Closed> {
        let read = self.events.wait(None, |events, fd| {
            match self.read_of(events.lend_before(fd, u64::MAX, None)) {
                Ok(Some(read)) => Step::Done(Ok(read)),
                Ok(None) => Step::Wait(Interest::Read),
                Err(closed) => Step::Done(Err(closed)),
            }
        });
        read.expect("a wait without deadline ends with a result")
    }

    /// As [`try_read`](Self::try_read), in a loop: gives the last message back in the same step,
    /// and leaves what came after that point of the stream.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn read_next<'a>(
        &'a self,
        last: Option<Lent<'a>>,
        arrived: Option<Arrived>,
    ) -> Result<Option<Read<'a>>, Closed> {
        // A message of another client goes back there.
        let last = last.filter(|last| ptr::eq(last.client, self)).and_then(Lent::into_message);
        let end = arrived.map_or(u64::MAX, |arrived| arrived.0);
        let taken = self.events.with(|events, fd| events.lend_before(fd, end, last));
        self.read_of(taken)
    }

    fn read_of(&self, taken: Taken) -> Result<Option<Read<'_>>, Closed> {
        match taken {
            Taken::Lent(message) => {
                Ok(Some(Read::Message(Lent { client: self, message: Some(message) })))
            }
            Taken::Event(event) => Ok(Some(Read::Event(event))),
            Taken::Blocked => Ok(None),
            Taken::Closed => Err(Closed),
        }
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

    /// Why this configuration came about, by its ring, as an event names it: the JSON that `evs why
    /// --json` prints (`docs/reports.md`). The reason in the event is what the own daemon gave up
    /// the configuration before for; this is the judgement over what all members saw. What the
    /// others saw comes some milliseconds after the event, and `trigger` may become a better one
    /// then: the record is complete when each of its `members` is in its `evidence`.
    ///
    /// # Errors
    /// [`RequestError::UnknownConfiguration`], and those of [`ask_json`](Self::ask_json).
    pub fn why_json(&self, ring: RingId) -> Result<String, RequestError> {
        why::answer(self.ask_json(&why::question(ring))?)
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
        self.events.with(|events, fd| events.close(fd));
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
        Taken::Blocked | Taken::Lent(_) => Step::Wait(Interest::Read),
        Taken::Closed => Step::Done(Err(Closed)),
    }
}

/// A descriptor that is level-readable exactly while [`recv`](Client::recv) would not block: an
/// event waits, or the session is over. It works with select, poll and epoll (level- and
/// edge-triggered), is the same on every call and lives as long as the client. Never read from it.
impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.with(|events, fd| events.watch(fd, &self.event_readiness));
        self.event_readiness.as_fd()
    }
}

impl Client {
    pub(crate) fn give_back(&self, message: LentMessage) {
        self.events.with(|events, fd| events.give_back(fd, message));
    }
}

impl AsRawFd for Client {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
