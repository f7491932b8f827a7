//! Sends under credit, into the ring; requests, on the control socket; and what the daemon says to
//! both.
//!
//! Nothing here waits. Each step says what it needs ([`Interest`]), and its caller, blocking or
//! async, waits and repeats it.

use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evs_ipc::shm::{Bell, Producer};
use evs_ipc::{
    ClientFrame, Credit, EncodeFrame, Flush, FrameReader, OutQueue, QUESTION_BYTES_MAX,
    ReadOutcome, SendHead, ServerFrame, Welcome, client_frame_bytes_max, socket,
};
use evs_model::{ClientId, Group, Groups, Guarantee, MessageId, Processor, send_cost};

use crate::readiness::Readiness;
use crate::requests::{Answer, Request, Requests};
use crate::wait::{Interest, Step, Versioned};
use crate::{Closed, RequestError, SendError};

/// Whom a message is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target<'a> {
    /// These groups; the sender need not have joined them. None: delivered to nobody.
    Groups(&'a [Group]),
    /// All groups that this client has joined at the moment of sending.
    Joined,
}

/// What the daemon allows this client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest body of a message, in bytes.
    pub message_bytes_max: usize,
    /// Most groups in one message, and in one call of join or leave.
    pub message_groups_max: usize,
    /// Most groups joined at a time.
    pub joined_groups_max: usize,
    /// How much can be on its way from this client into the order, in bytes. A message counts its
    /// body, 32 for each group and 64.
    pub send_bytes_max: u64,
}

/// One message to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) guarantee: Guarantee,
    pub(crate) target: Target<'a>,
    pub(crate) parts: &'a [IoSlice<'a>],
}

/// The order in which blocking senders get their turn, so that a large message is not starved by
/// small ones.
#[derive(Debug, Default)]
struct Line {
    next: u64,
    serving: u64,
}

/// The control half of a session.
#[derive(Debug)]
pub(crate) struct Control {
    processor: Processor,
    client: ClientId,
    limits: Limits,
    reader: FrameReader,
    producer: Producer,
    /// Where the daemon is woken.
    bell: Arc<OwnedFd>,
    /// When the daemon was last seen.
    seen: Instant,
    /// The rest of a request whose beginning the socket took; nothing else is written before it.
    rest: OutQueue,
    head: Vec<u8>,
    credit: Credit,
    /// Number of the last message.
    sent: u64,
    requests: Requests,
    line: Line,
    gone: bool,
    room: Room,
    /// Grows with every change that another thread or task may wait for.
    version: u64,
}

/// Whether a send is worth trying, for those who poll.
#[derive(Debug, Default)]
struct Room {
    readiness: Option<Arc<Readiness>>,
    /// The last send was refused.
    lacking: bool,
}

/// What became of a message that was offered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offered {
    /// It is in the ring.
    Sent(MessageId),
    /// Credit has to come back first.
    NoCredit,
}

impl Control {
    pub(crate) fn new(
        welcome: &Welcome,
        reader: FrameReader,
        producer: Producer,
        bell: Arc<OwnedFd>,
    ) -> Self {
        let message_bytes_max = welcome.message_bytes_max as usize;
        Self {
            processor: welcome.processor,
            client: welcome.client,
            limits: Limits {
                message_bytes_max,
                message_groups_max: Groups::MAX,
                joined_groups_max: welcome.joined_groups_max as usize,
                send_bytes_max: welcome.credit,
            },
            reader,
            producer,
            bell,
            seen: Instant::now(),
            rest: OutQueue::new(client_frame_bytes_max(QUESTION_BYTES_MAX)),
            head: Vec::new(),
            credit: Credit::new(welcome.credit),
            sent: 0,
            requests: Requests::default(),
            line: Line::default(),
            gone: false,
            room: Room::default(),
            version: 0,
        }
    }

    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) const fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Whether the daemon has gone or has ended the session.
    pub(crate) fn is_over(&mut self, fd: BorrowedFd<'_>) -> bool {
        self.read(fd);
        self.gone
    }

    /// No more will be said or heard.
    pub(crate) fn close(&mut self) {
        self.gone = true;
        self.version += 1;
        self.open_room();
    }

    // ── sending ─────────────────────────────────────────────────────────────────────────────────

    /// Takes a place in the line of those who wait for their turn to send.
    pub(crate) const fn queue_up(&mut self) -> u64 {
        let ticket = self.line.next;
        self.line.next += 1;
        ticket
    }

    /// Sends when the ticket's turn has come; the turn ends with the result.
    pub(crate) fn send_in_turn(
        &mut self,
        fd: BorrowedFd<'_>,
        ticket: u64,
        message: &Outgoing<'_>,
    ) -> Step<Result<MessageId, SendError>> {
        if self.line.serving != ticket && !self.gone {
            return Step::Wait(Interest::Change);
        }
        let result = match self.offer(fd, message) {
            Ok(Offered::Sent(id)) => Ok(id),
            Ok(Offered::NoCredit) => return Step::Wait(Interest::Read),
            Err(error) => Err(error),
        };
        self.line.serving += 1;
        self.version += 1;
        if self.line.serving == self.line.next {
            self.open_room();
        }
        Step::Done(result)
    }

    /// Hands a message over if there is room at once.
    pub(crate) fn try_send(
        &mut self,
        fd: BorrowedFd<'_>,
        message: &Outgoing<'_>,
    ) -> Result<MessageId, SendError> {
        loop {
            let busy = self.line.serving != self.line.next;
            if busy && !self.gone {
                self.cost_of(message)?;
                // Those who wait come first. The last of them opens the room again.
            } else if let Offered::Sent(id) = self.offer(fd, message)? {
                return Ok(id);
            }
            // What is left unread would show as room to those who poll. And what is read may be
            // the last credit for long: then there is room, and nothing would tell of it later.
            let before = self.version;
            self.read(fd);
            if busy || self.version == before {
                self.refuse_room();
                return Err(SendError::QueueFull);
            }
        }
    }

    /// Hands a message over if there is credit for it: then it is in the ring, whole, and will be
    /// sent whatever becomes of this client.
    pub(crate) fn offer(
        &mut self,
        fd: BorrowedFd<'_>,
        message: &Outgoing<'_>,
    ) -> Result<Offered, SendError> {
        let cost = self.cost_of(message)?;
        self.look_after_daemon(fd);
        if !self.credit.allows(cost) {
            self.read(fd);
            if !self.credit.allows(cost) && !self.gone {
                return Ok(Offered::NoCredit);
            }
        }
        if self.gone {
            return Err(Closed.into());
        }
        self.encode_head(message)?;
        let head: &[u8] = &self.head;
        let parts = std::iter::once(head).chain(message.parts.iter().map(|part| &**part));
        if self.producer.push(parts) != Ok(true) {
            // There is room for all that the credit allows, so the daemon does not keep to that.
            self.break_off(fd);
            return Err(Closed.into());
        }
        self.credit.take(cost).expect("allowed above, and nothing was taken since");
        self.sent += 1;
        let over = match self.producer.bell() {
            Bell::Quiet => false,
            Bell::Ring => socket::ring(&*self.bell).is_err(),
            Bell::Closed => true,
        };
        if over {
            self.lose(fd);
            return Err(Closed.into());
        }
        let number = self.sent;
        Ok(Offered::Sent(MessageId { sender: self.processor, client: self.client, number }))
    }

    /// A daemon that is awake says nothing when it takes a message, and nothing when it is killed.
    /// So a sender looks after it from time to time. (One that sleeps is rung for, which tells.)
    fn look_after_daemon(&mut self, fd: BorrowedFd<'_>) {
        if self.producer.is_other_asleep() {
            return;
        }
        let now = Instant::now();
        if now.saturating_duration_since(self.seen) >= LOOK_EVERY {
            self.seen = now;
            self.read(fd);
        }
    }

    /// What the message costs, if it keeps the limits.
    fn cost_of(&self, message: &Outgoing<'_>) -> Result<u64, SendError> {
        let bytes = message.parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let limit = self.limits.message_bytes_max;
        if bytes > limit {
            return Err(SendError::TooBig { bytes, limit });
        }
        let count = self.groups_of(message).len();
        if count > Groups::MAX {
            return Err(SendError::TooManyGroups { count });
        }
        Ok(u64::try_from(send_cost(bytes, count)).expect("limits keep it below 4 GiB"))
    }

    fn groups_of<'a>(&'a self, message: &Outgoing<'a>) -> &'a [Group] {
        match message.target {
            Target::Groups(groups) => groups,
            Target::Joined => self.requests.targets(),
        }
    }

    fn encode_head(&mut self, message: &Outgoing<'_>) -> Result<(), SendError> {
        let bytes = message.parts.iter().map(|part| part.len()).sum();
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        let groups = self.groups_of(message);
        let fits = SendHead::encode(&mut head, message.guarantee, groups, bytes);
        let count = groups.len();
        self.head = head;
        if fits { Ok(()) } else { Err(SendError::TooManyGroups { count }) }
    }

    /// Writes a request; what the socket does not take becomes the rest. Returns whether the socket
    /// took anything at all.
    fn write(&mut self, fd: BorrowedFd<'_>) -> bool {
        match socket::write_vectored(fd, &[IoSlice::new(&self.head)]) {
            Ok(Some(written)) => {
                if written < self.head.len() {
                    self.rest.push_rest(&self.head[written..]);
                }
                true
            }
            Ok(None) => {
                self.read(fd);
                false
            }
            Err(_) => {
                self.lose(fd);
                false
            }
        }
    }

    /// Writes the rest of the last request. Returns whether there is none left; a connection that
    /// is gone needs no more flushing.
    fn flush(&mut self, fd: BorrowedFd<'_>) -> bool {
        if self.rest.is_empty() || self.gone {
            return true;
        }
        match self.rest.write_to(fd) {
            Ok(Flush::Done) => {
                self.version += 1;
                true
            }
            Ok(Flush::Blocked) => {
                // The daemon may read no more before its replies are taken.
                self.read(fd);
                false
            }
            Err(_) => {
                self.lose(fd);
                true
            }
        }
    }

    // ── requests ────────────────────────────────────────────────────────────────────────────────

    /// One step of a request. `number` is filled in when it was handed over.
    pub(crate) fn request(
        &mut self,
        fd: BorrowedFd<'_>,
        number: &mut Option<u32>,
        request: &Request,
    ) -> Step<Result<Answer, RequestError>> {
        if let Some(number) = *number {
            return self.answer(fd, number);
        }
        if !self.flush(fd) {
            return Step::Wait(Interest::Write);
        }
        if self.gone {
            return Step::Done(Err(Closed.into()));
        }
        if self.requests.is_full() {
            // Answers that nobody asks for any more make room.
            self.read(fd);
        }
        let begun = match self.requests.begin(request.clone()) {
            Ok(begun) => begun,
            Err(error) => return Step::Done(Err(error)),
        };
        self.head.clear();
        frame_of(begun, request).encode(&mut self.head);
        if self.write(fd) {
            *number = Some(begun);
            return self.answer(fd, begun);
        }
        self.requests.withdraw(begun);
        if self.gone { Step::Done(Err(Closed.into())) } else { Step::Wait(Interest::Write) }
    }

    /// The caller of a request does not wait for the answer any more.
    pub(crate) fn abandon(&mut self, number: Option<u32>) {
        if let Some(number) = number {
            self.requests.abandon(number);
        }
    }

    fn answer(&mut self, fd: BorrowedFd<'_>, number: u32) -> Step<Result<Answer, RequestError>> {
        let interest = if self.flush(fd) { Interest::Read } else { Interest::Write };
        self.read(fd);
        match self.requests.take_answer(number) {
            Some(answer) => Step::Done(Ok(answer)),
            None if self.gone => {
                self.requests.withdraw(number);
                Step::Done(Err(Closed.into()))
            }
            None => Step::Wait(interest),
        }
    }

    // ── what the daemon says ────────────────────────────────────────────────────────────────────

    /// Takes everything that is there.
    fn read(&mut self, fd: BorrowedFd<'_>) {
        while !self.gone {
            match self.reader.next_frame() {
                Ok(Some(frame)) => {
                    let fits = ServerFrame::decode(frame).is_ok_and(|frame| self.take(frame));
                    self.version += 1;
                    if !fits {
                        return self.break_off(fd);
                    }
                    continue;
                }
                Ok(None) => {}
                Err(_) => return self.break_off(fd),
            }
            match self.reader.read_from(fd) {
                Ok(ReadOutcome::Bytes(_)) => {}
                Ok(ReadOutcome::Blocked) => return,
                Ok(ReadOutcome::Closed) | Err(_) => self.close(),
            }
        }
    }

    /// Returns whether the frame makes sense here.
    fn take(&mut self, frame: ServerFrame) -> bool {
        match frame {
            ServerFrame::Credit { bytes } => {
                if self.line.serving == self.line.next {
                    self.open_room();
                }
                self.credit.give(bytes)
            }
            ServerFrame::Done { request, outcome } => {
                self.requests.answer(request, Answer::Done(outcome))
            }
            ServerFrame::StatusReply { request, json } => {
                self.requests.answer(request, Answer::Report(json))
            }
            ServerFrame::Welcome(_) | ServerFrame::Refused { .. } => false,
        }
    }

    /// Writing failed: what the daemon said before it went still counts.
    fn lose(&mut self, fd: BorrowedFd<'_>) {
        self.read(fd);
        self.close();
    }

    /// The daemon's bytes make no sense: end the session, so that it and our events end too.
    fn break_off(&mut self, fd: BorrowedFd<'_>) {
        let _ = rustix::net::shutdown(fd, rustix::net::Shutdown::Both);
        self.close();
    }

    // ── room, for those who poll ────────────────────────────────────────────────────────────────

    /// From now on the descriptor is kept.
    pub(crate) fn watch_room(&mut self, readiness: &Arc<Readiness>) {
        if self.room.readiness.is_some() {
            return;
        }
        if !self.room.lacking {
            readiness.raise();
        }
        self.room.readiness = Some(Arc::clone(readiness));
    }

    fn refuse_room(&mut self) {
        if self.gone || std::mem::replace(&mut self.room.lacking, true) {
            return;
        }
        if let Some(readiness) = &self.room.readiness {
            readiness.lower();
        }
    }

    /// A send is worth trying again.
    fn open_room(&mut self) {
        if std::mem::take(&mut self.room.lacking)
            && let Some(readiness) = &self.room.readiness
        {
            readiness.raise();
        }
    }
}

impl Versioned for Control {
    fn version(&self) -> u64 {
        self.version
    }
}

fn frame_of(number: u32, request: &Request) -> ClientFrame {
    match request {
        Request::Join(groups) => ClientFrame::Join { request: number, groups: groups.clone() },
        Request::Leave(groups) => ClientFrame::Leave { request: number, groups: groups.clone() },
        Request::Status => ClientFrame::Status { request: number },
        Request::Ask(question) => ClientFrame::Ask { request: number, question: question.clone() },
    }
}

/// How long a daemon that is awake is taken to be there.
const LOOK_EVERY: Duration = Duration::from_millis(1);
