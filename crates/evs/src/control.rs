//! The control socket: sends under credit, requests, and what the daemon says to both.
//!
//! Nothing here waits. Each step says what it needs ([`Interest`]), and its caller, blocking or
//! async, waits and repeats it.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use evs_ipc::{
    ClientFrame, Credit, EncodeFrame, Flush, FrameReader, OutQueue, ReadOutcome, SendHead,
    ServerFrame, Welcome, client_frame_bytes_max, socket,
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

/// One message to send, and how far it is.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) guarantee: Guarantee,
    pub(crate) target: Target<'a>,
    pub(crate) parts: &'a [IoSlice<'a>],
    /// Its number, once it was handed over.
    pub(crate) sent: Option<u64>,
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
    /// The rest of a frame whose beginning the socket took; nothing else is written before it.
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
    /// What the last refused send lacked.
    lacks: Option<Interest>,
    /// The descriptor reports a writable socket too.
    writable: bool,
}

impl Control {
    pub(crate) fn new(welcome: &Welcome, reader: FrameReader) -> Self {
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
            rest: OutQueue::new(client_frame_bytes_max(message_bytes_max)),
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
        message: &mut Outgoing<'_>,
    ) -> Step<Result<MessageId, SendError>> {
        if self.line.serving != ticket && !self.gone {
            return Step::Wait(Interest::Change);
        }
        let step = self.send(fd, message);
        if matches!(step, Step::Done(_)) {
            self.line.serving += 1;
            self.version += 1;
            if self.line.serving == self.line.next {
                self.open_room();
            }
        }
        step
    }

    /// Hands a message over if there is room at once.
    pub(crate) fn try_send(
        &mut self,
        fd: BorrowedFd<'_>,
        message: &mut Outgoing<'_>,
    ) -> Result<(), SendError> {
        loop {
            let busy = self.line.serving != self.line.next;
            let lacks = if busy && !self.gone {
                self.cost_of(message)?;
                // Those who wait come first. The last of them opens the room again.
                Interest::Read
            } else {
                match self.offer(fd, message)? {
                    None => return Ok(()),
                    Some(interest) => interest,
                }
            };
            // What is left unread would show as room to those who poll. And what is read may be
            // the last credit for long: then there is room, and nothing would tell of it later.
            let before = self.version;
            self.read(fd);
            if busy || self.version == before {
                self.refuse_room(fd, lacks);
                return Err(SendError::QueueFull);
            }
        }
    }

    /// One step of a send: hand over, then see the last byte off. Only then will the message be
    /// sent whatever becomes of this client.
    pub(crate) fn send(
        &mut self,
        fd: BorrowedFd<'_>,
        message: &mut Outgoing<'_>,
    ) -> Step<Result<MessageId, SendError>> {
        if message.sent.is_none() {
            match self.offer(fd, message) {
                Ok(None) => {}
                Ok(Some(interest)) => return Step::Wait(interest),
                Err(error) => return Step::Done(Err(error)),
            }
        }
        self.finish(fd, message)
    }

    /// Waits until the kernel has all of a message that was handed over.
    pub(crate) fn finish(
        &mut self,
        fd: BorrowedFd<'_>,
        message: &Outgoing<'_>,
    ) -> Step<Result<MessageId, SendError>> {
        let number = message.sent.expect("handed over before");
        // Behind a later message there is no rest of an earlier one.
        if number == self.sent && !self.flush(fd) {
            return Step::Wait(Interest::Write);
        }
        if self.gone && number == self.sent && !self.rest.is_empty() {
            return Step::Done(Err(Closed.into()));
        }
        Step::Done(Ok(MessageId { sender: self.processor, client: self.client, number }))
    }

    /// Hands a message over: afterwards it has its number, and at most a rest of it waits. Or says
    /// what it lacks.
    fn offer(
        &mut self,
        fd: BorrowedFd<'_>,
        message: &mut Outgoing<'_>,
    ) -> Result<Option<Interest>, SendError> {
        let cost = self.cost_of(message)?;
        if !self.flush(fd) {
            return Ok(Some(Interest::Write));
        }
        if !self.credit.allows(cost) {
            self.read(fd);
            if !self.credit.allows(cost) && !self.gone {
                return Ok(Some(Interest::Read));
            }
        }
        if self.gone {
            return Err(Closed.into());
        }
        self.encode_head(message)?;
        if !self.write(fd, message.parts) {
            return if self.gone { Err(Closed.into()) } else { Ok(Some(Interest::Write)) };
        }
        self.credit.take(cost).expect("allowed above, and nothing was taken since");
        self.sent += 1;
        message.sent = Some(self.sent);
        Ok(None)
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

    /// Writes the head and what follows it; what the socket does not take becomes the rest.
    /// Returns whether the socket took anything at all.
    fn write(&mut self, fd: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> bool {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        slices[0] = IoSlice::new(&self.head);
        let count = 1 + parts.len().min(SLICES_MAX - 1);
        slices[1..count].copy_from_slice(&parts[..count - 1]);
        let written = match socket::write_vectored(fd, &slices[..count]) {
            Ok(Some(written)) => written,
            Ok(None) => {
                self.read(fd);
                return false;
            }
            Err(_) => {
                self.lose(fd);
                return false;
            }
        };
        let mut skip = written;
        let head: &[u8] = &self.head;
        for part in std::iter::once(head).chain(parts.iter().map(|part| &**part)) {
            if skip < part.len() {
                self.rest.push_rest(&part[skip..]);
            }
            skip = skip.saturating_sub(part.len());
        }
        true
    }

    /// Writes the rest of the last frame. Returns whether there is none left; a connection that is
    /// gone needs no more flushing.
    fn flush(&mut self, fd: BorrowedFd<'_>) -> bool {
        if self.rest.is_empty() || self.gone {
            return true;
        }
        match self.rest.write_to(fd) {
            Ok(Flush::Done) => {
                self.version += 1;
                if self.room.lacks == Some(Interest::Write) {
                    self.open_room();
                }
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
        if self.write(fd, &[]) {
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
                if self.room.lacks == Some(Interest::Read) && self.line.serving == self.line.next {
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
    pub(crate) fn watch_room(&mut self, fd: BorrowedFd<'_>, readiness: &Arc<Readiness>) {
        if self.room.readiness.is_some() {
            return;
        }
        readiness.raise();
        self.room.readiness = Some(Arc::clone(readiness));
        if let Some(lacks) = self.room.lacks.take() {
            self.refuse_room(fd, lacks);
        }
    }

    fn refuse_room(&mut self, fd: BorrowedFd<'_>, lacks: Interest) {
        if self.gone {
            return;
        }
        let open = self.room.lacks.replace(lacks).is_none();
        let Some(readiness) = &self.room.readiness else { return };
        if open {
            readiness.lower();
        }
        let writable = lacks == Interest::Write;
        if self.room.writable != writable {
            self.room.writable = writable;
            readiness.watch_writable(fd, writable);
        }
    }

    /// A send is worth trying again.
    fn open_room(&mut self) {
        if self.room.lacks.take().is_some()
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

/// Most places that one message is written from in one system call.
const SLICES_MAX: usize = 64;
