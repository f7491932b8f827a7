//! The async client, on Tokio (feature `tokio`).
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use evs::{Event, Group, Guarantee};
//!
//! let (client, mut events) = evs::tokio::connect(&evs::ConnectOptions::new()).await?;
//! let group = Group::named("greetings").expect("at most 32 bytes");
//! client.join(&[group]).await?;
//! client.send(Guarantee::Agreed, &[group], b"hello").await?;
//! while let Some(event) = events.recv().await {
//!     println!("{event:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The same session, events, errors and limits as the blocking [`Client`](crate::Client); only the
//! waiting differs. It spawns no tasks. It needs a Tokio runtime with I/O and time enabled.
//!
//! # Cancelling
//!
//! Every future here may be dropped at any point, and nobody else is disturbed:
//! - [`Events::recv`] and the stream lose nothing;
//! - [`Client::send`]: the message has not been handed over, or it has been as a whole;
//! - a join or leave takes effect or not; its effect on
//!   [`send_joined`](Client::send_joined) follows the daemon's answer.

use std::future::{pending, poll_fn};
use std::io::{ErrorKind, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::tokio::io::Interest as IoInterest;
use ::tokio::net::UnixStream;
use ::tokio::sync::{Mutex as Turns, Notify};
use ::tokio::time::timeout;
use futures_core::Stream;

use crate::control::{Control, Offered, Outgoing};
use crate::events::{EventStream, Taken};
use crate::handshake::{Handshake, Session};
use crate::requests::{Answer, Request, outcome, too_many_groups};
use crate::wait::{Interest, Step, Versioned as _};
use crate::{
    ClientId, Closed, Configuration, ConnectError, ConnectOptions, Event, Group, Groups, Guarantee,
    Limits, MessageId, Processor, RequestError, RingId, SendError, Target, why,
};

/// Connects as the options say. The first event, the current configuration, is there when this
/// returns.
///
/// # Errors
/// As [`Client::connect_with`](crate::Client::connect_with).
///
/// # Panics
/// Outside a Tokio runtime with I/O and time enabled.
pub async fn connect(options: &ConnectOptions) -> Result<(Client, Events), ConnectError> {
    let mut handshake = Handshake::start(options)?;
    let after = options.connect_timeout();
    let path = options.socket_path();
    let session = timeout(after, async {
        loop {
            handshake = match handshake.advance()? {
                Ok(session) => return Ok(session),
                Err(waiting) => waiting,
            };
            let failed = |source| ConnectError::Io { path: options.socket_path(), source };
            let waits_for = handshake.waits_for().try_clone_to_owned().map_err(failed)?;
            register(waits_for, options)?.readable().await.map_err(failed)?;
        }
    });
    let session = session.await.map_err(|_| ConnectError::TimedOut { path, after })??;
    open(session, options)
}

fn open(session: Session, options: &ConnectOptions) -> Result<(Client, Events), ConnectError> {
    let control_io = register(session.control_fd, options)?;
    let failed = |source| ConnectError::Io { path: options.socket_path(), source };
    let bell = session.bell.try_clone().map_err(failed)?;
    let io = register(bell, options)?;
    let shared = Arc::new(Shared {
        processor: session.welcome.processor,
        id: session.welcome.client,
        limits: *session.control.limits(),
        answer_timeout: options.answer_timeout(),
        control: Mutex::new(session.control),
        io: control_io,
        changed: Notify::new(),
        turns: Turns::new(()),
        events: Mutex::new(session.events),
    });
    Ok((Client { shared: Arc::clone(&shared) }, Events { shared, io }))
}

fn register(socket: OwnedFd, options: &ConnectOptions) -> Result<UnixStream, ConnectError> {
    let socket = StdUnixStream::from(socket);
    socket
        .set_nonblocking(true)
        .and_then(|()| UnixStream::from_std(socket))
        .map_err(|source| ConnectError::Io { path: options.socket_path(), source })
}

/// The sending half of a session: cheap to clone, for any number of tasks.
///
/// The session ends when all clones and the [`Events`] are dropped.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    processor: Processor,
    id: ClientId,
    limits: Limits,
    answer_timeout: Duration,
    control: Mutex<Control>,
    io: UnixStream,
    /// What one task read may be what another one waits for.
    changed: Notify,
    /// Senders take their turns in the order in which they came.
    turns: Turns<()>,
    events: Mutex<EventStream>,
}

impl Client {
    /// Joins groups; see [`Client::join`](crate::Client::join).
    ///
    /// # Errors
    /// As there.
    pub async fn join(&self, groups: &[Group]) -> Result<(), RequestError> {
        let groups = self.request_groups(groups)?;
        let answer = self.shared.request(Request::Join(groups)).await?;
        outcome(answer, self.limits().joined_groups_max)
    }

    /// Leaves groups, all of them or none; see [`Client::leave`](crate::Client::leave).
    ///
    /// # Errors
    /// As there.
    pub async fn leave(&self, groups: &[Group]) -> Result<(), RequestError> {
        let groups = self.request_groups(groups)?;
        let answer = self.shared.request(Request::Leave(groups)).await?;
        outcome(answer, self.limits().joined_groups_max)
    }

    /// The joined groups, each with how often it was joined.
    #[must_use]
    pub fn joined(&self) -> Vec<(Group, u32)> {
        let control = self.shared.control();
        control.requests().joined().iter().map(|(group, count)| (*group, *count)).collect()
    }

    /// Sends a message to groups, joined or not; waits until there is room. Returns the id under
    /// which it will be delivered. From then on it will be sent, whatever becomes of this client.
    ///
    /// # Errors
    /// As [`Client::send`](crate::Client::send).
    pub async fn send(
        &self,
        guarantee: Guarantee,
        groups: &[Group],
        body: &[u8],
    ) -> Result<MessageId, SendError> {
        self.shared.send(guarantee, Target::Groups(groups), body).await
    }

    /// As [`send`](Self::send), to all groups that this client has joined.
    ///
    /// # Errors
    /// As `send`.
    pub async fn send_joined(
        &self,
        guarantee: Guarantee,
        body: &[u8],
    ) -> Result<MessageId, SendError> {
        self.shared.send(guarantee, Target::Joined, body).await
    }

    /// The daemon's status: one JSON object.
    ///
    /// # Errors
    /// [`RequestError::TimedOut`], [`RequestError::Closed`].
    pub async fn status_json(&self) -> Result<String, RequestError> {
        match self.shared.request(Request::Status).await? {
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
    pub async fn ask_json(&self, question: &str) -> Result<String, RequestError> {
        if question.len() > evs_ipc::QUESTION_BYTES_MAX {
            let max = evs_ipc::QUESTION_BYTES_MAX;
            return Err(RequestError::TooLong { bytes: question.len(), max });
        }
        match self.shared.request(Request::Ask(question.to_owned())).await? {
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
    pub async fn why_json(&self, ring: RingId) -> Result<String, RequestError> {
        why::answer(self.ask_json(&why::question(ring)).await?)
    }

    /// The last configuration among the events received so far; before the first, the one that it
    /// will bring.
    #[must_use]
    pub fn configuration(&self) -> Configuration {
        self.shared.events().configuration().clone()
    }

    /// The processor that this client belongs to.
    #[must_use]
    pub fn processor(&self) -> Processor {
        self.shared.processor
    }

    /// This client's name at its processor.
    #[must_use]
    pub fn client_id(&self) -> ClientId {
        self.shared.id
    }

    /// What the daemon allows this client.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    fn request_groups(&self, groups: &[Group]) -> Result<Groups, RequestError> {
        Groups::new(groups).map_err(|_| too_many_groups(self.limits().joined_groups_max))
    }
}

/// The receiving half of a session: a stream of events that ends after
/// [`Event::Disconnected`].
#[derive(Debug)]
pub struct Events {
    shared: Arc<Shared>,
    io: UnixStream,
}

impl Events {
    /// The next event; `None` after [`Event::Disconnected`].
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next event if one has arrived.
    ///
    /// # Errors
    /// [`Closed`] after [`Event::Disconnected`].
    pub fn try_recv(&mut self) -> Result<Option<Event>, Closed> {
        match self.take() {
            Taken::Event(event) => Ok(Some(event)),
            Taken::Blocked | Taken::Lent(_) => Ok(None),
            Taken::Closed => Err(Closed),
        }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut taken = self.take();
        loop {
            match taken {
                Taken::Event(event) => return Poll::Ready(Some(event)),
                Taken::Closed => return Poll::Ready(None),
                Taken::Blocked | Taken::Lent(_) => {}
            }
            if ready!(self.io.poll_read_ready(cx)).is_err() {
                // The runtime is shutting down.
                return Poll::Pending;
            }
            // Only a look after the report may take the report back.
            let looked = self.io.try_io(IoInterest::READABLE, || match self.take() {
                Taken::Blocked => Err(ErrorKind::WouldBlock.into()),
                taken @ (Taken::Event(_) | Taken::Lent(_) | Taken::Closed) => Ok(taken),
            });
            taken = looked.unwrap_or(Taken::Blocked);
        }
    }

    fn take(&self) -> Taken {
        self.shared.events().take(&self.io)
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_recv(cx)
    }
}

impl Shared {
    async fn send(
        &self,
        guarantee: Guarantee,
        target: Target<'_>,
        body: &[u8],
    ) -> Result<MessageId, SendError> {
        let _turn = self.turns.lock().await;
        let parts = [IoSlice::new(body)];
        let message = Outgoing { guarantee, target, parts: &parts };
        let sent = self.drive(|control, fd| match control.offer(fd, &message) {
            Ok(Offered::Sent(id)) => Step::Done(Ok(id)),
            Ok(Offered::NoCredit) => Step::Wait(Interest::Read),
            Err(error) => Step::Done(Err(error)),
        });
        sent.await
    }

    async fn request(&self, request: Request) -> Result<Answer, RequestError> {
        let mut asked = Asked { shared: self, number: None };
        let answer = self.drive(|control, fd| control.request(fd, &mut asked.number, &request));
        let after = self.answer_timeout;
        timeout(after, answer).await.unwrap_or(Err(RequestError::TimedOut { after }))
    }

    /// Repeats the step until it is done; waits in between for what it says.
    async fn drive<T>(&self, mut step: impl FnMut(&mut Control, BorrowedFd<'_>) -> Step<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            let interest = match self.step(&mut step) {
                Step::Done(result) => return result,
                Step::Wait(interest) => interest,
            };
            let mut ready = pin!(self.ready(interest));
            let reported = poll_fn(|cx| match ready.as_mut().poll(cx) {
                Poll::Ready(reported) => Poll::Ready(Some(reported)),
                Poll::Pending => changed.as_mut().poll(cx).map(|()| None),
            });
            let Some(reported) = reported.await else { continue };
            // Only an attempt after the report may take the report back.
            let mut result = None;
            let _ = self.io.try_io(reported, || match self.step(&mut step) {
                Step::Done(done) => {
                    result = Some(done);
                    Ok(())
                }
                Step::Wait(still) if still == interest => {
                    Err(std::io::Error::from(ErrorKind::WouldBlock))
                }
                Step::Wait(_) => Ok(()),
            });
            if let Some(result) = result {
                return result;
            }
        }
    }

    fn step<T>(&self, step: &mut impl FnMut(&mut Control, BorrowedFd<'_>) -> Step<T>) -> Step<T> {
        let mut control = self.control();
        let before = control.version();
        let result = step(&mut control, self.io.as_fd());
        if control.version() != before {
            drop(control);
            self.changed.notify_waiters();
        }
        result
    }

    async fn ready(&self, interest: Interest) -> IoInterest {
        let ready = match interest {
            Interest::Read => self.io.readable().await.map(|()| IoInterest::READABLE),
            Interest::Write => {
                let (mut read, mut write) = (pin!(self.io.readable()), pin!(self.io.writable()));
                poll_fn(|cx| match write.as_mut().poll(cx) {
                    Poll::Ready(ready) => Poll::Ready(ready.map(|()| IoInterest::WRITABLE)),
                    Poll::Pending => {
                        read.as_mut().poll(cx).map(|ready| ready.map(|()| IoInterest::READABLE))
                    }
                })
                .await
            }
            Interest::Change => pending().await,
        };
        match ready {
            Ok(reported) => reported,
            // The runtime is shutting down.
            Err(_) => pending().await,
        }
    }

    /// A task that panicked inside has left the state between two frames, never within one.
    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn events(&self) -> MutexGuard<'_, EventStream> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that may be dropped before its answer.
struct Asked<'a> {
    shared: &'a Shared,
    number: Option<u32>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.shared.control().abandon(self.number);
    }
}
