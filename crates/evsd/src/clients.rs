//! The clients of this node: from `accept` to the last word.
//!
//! Responsible for: who is let in, the frames of `evs-ipc` and what they ask of the service, the
//! bounded queue of each client, fair turns, and the end of sessions: clients that leave, die, do
//! not read, or break the protocol.
//! Not responsible for: the socket's file (`listener.rs`), order and groups (`evs-service`).
//!
//! Nothing here waits for a client. A client that does not read its events is disconnected when
//! its queue is full; one that does not read its replies gets no more of its requests read; one
//! that says nothing has a deadline. Everything a client says is hostile until decoded.

mod admit;
mod connection;
mod encoded;
mod end;
mod requests;
mod rings;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::time::Duration;

use evs_ipc::ServerFrame;
use evs_ipc::shm::Sleep;
use evs_model::{ChangeReason, ClientId, DisconnectReason, Event, Instant, Processor};
use evs_node::Node;
use mio::{Registry, Token};

use self::connection::{Connection, Phase, Session, Tokens};
use self::encoded::Encoded;
use crate::admission::Admission;
use crate::listener::Listener;
use crate::log::RateLimit;

/// How long a client may take from connecting to its Hello.
pub const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// How long a client that was disconnected may take to read what was queued for it.
pub const LINGER: Duration = Duration::from_secs(60);

/// Most connections that have not said Hello or are being ended; beyond, the one that has the
/// least time left is closed.
pub const TRANSIENT_MAX: usize = 256;

/// When another connection comes, those that are being ended keep at most so many times the bytes
/// that may wait for one client (`client_event_bytes_max`); beyond, the ones that have the least
/// time left are closed.
pub const ENDING_QUEUES: usize = 4;

/// How often the log tells of clients that were refused, that broke the protocol, and that were too
/// slow.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// How many lines about clients that come and go the log has in [`SESSION_LINES_EVERY`].
pub const SESSION_LINES: u32 = 100;

/// The interval of [`SESSION_LINES`].
pub const SESSION_LINES_EVERY: Duration = Duration::from_secs(60);

/// Most connections taken from the listener in one turn of the loop.
const ACCEPTS_PER_TURN: usize = 16;

/// What one client may cost in one turn of the loop, and all of them together, in bytes.
const CLIENT_COST_PER_TURN: usize = 256 << 10;
const COST_PER_TURN: usize = 1 << 20;

/// What clients may use, and what they are told at the start.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The processor that they become clients of.
    pub processor: Processor,
    /// Largest body of a message, in bytes.
    pub message_bytes_max: u32,
    /// Most groups that one client can have joined.
    pub groups_per_client_max: u32,
    /// Most bytes that one client can have handed over and not yet sent.
    pub client_send_bytes_max: u32,
    /// A client for which so many bytes of events wait when another comes is disconnected.
    pub client_event_bytes_max: u32,
    /// The first token that the poll may use for clients; all above belong to them.
    pub first_token: Token,
}

/// All connections.
#[derive(Debug)]
pub struct Clients {
    terms: Terms,
    admission: Admission,
    slots: Vec<Slot>,
    free: Vec<usize>,
    by_id: BTreeMap<ClientId, usize>,
    /// Slots whose requests are to be read, in turn.
    ready: VecDeque<usize>,
    /// Slots whose clients need not ring: their rings are looked at in each turn.
    hot: Vec<usize>,
    /// Slots that have something to write, or to wake for.
    dirty: Vec<usize>,
    /// Empty; its memory is the next `dirty`'s.
    spare: Vec<usize>,
    /// Connections with a deadline, the nearest first.
    deadlines: BTreeSet<(Instant, usize)>,
    /// What clients asked in this turn; a turn's budget bounds it.
    questions: Vec<Question>,
    refused_log: RateLimit,
    broken_log: RateLimit,
    slow_log: RateLimit,
    session_log: RateLimit,
    /// Why the ring was given up last.
    reason: ChangeReason,
    /// The event that was encoded last.
    encoded: Encoded,
    stats: ClientsStats,
}

/// What happened to clients since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct ClientsStats {
    /// Sessions that began.
    pub accepted: u64,
    /// Connections refused because of their user and groups.
    pub refused_access: u64,
    /// Connections refused for another reason.
    pub refused_other: u64,
    /// Of them, for want of a common version of the protocol.
    pub refused_version: u64,
    /// Sessions ended because the client broke the protocol.
    pub protocol_errors: u64,
    /// Sessions ended because the client did not read its events.
    pub too_slow: u64,
    /// Connections that never said Hello.
    pub silent: u64,
    /// Messages that arrived after the daemon began to leave, and were dropped.
    pub dropped_while_leaving: u64,
}

/// Something that a client wants to know, or to have done.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who asks.
    pub client: ClientId,
    /// Its number of the request.
    pub request: u32,
    /// A JSON object, unread; `None`: the status report.
    pub text: Option<String>,
    /// The user id of who asks, when it connected.
    pub uid: u32,
}

/// One client, for the status report.
#[derive(Debug, serde::Serialize)]
pub struct ClientStatus<'a> {
    /// Its id, as in message ids.
    pub client: u64,
    /// Its own name for itself.
    pub name: &'a str,
    /// Process id when it connected.
    pub pid: i32,
    /// User id when it connected.
    pub uid: u32,
    /// Bytes of messages that it has handed over and that are not yet sent.
    pub send_bytes_queued: usize,
    /// Bytes of events that wait to be read by it.
    pub event_bytes_queued: usize,
    /// Messages that it has handed over.
    pub messages_sent: u64,
    /// Events that it was handed.
    pub events_delivered: u64,
}

#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    is_ready: bool,
    is_hot: bool,
    is_dirty: bool,
}

impl Clients {
    /// No clients yet.
    #[must_use]
    pub const fn new(terms: Terms, admission: Admission) -> Self {
        Self {
            terms,
            admission,
            slots: Vec::new(),
            free: Vec::new(),
            by_id: BTreeMap::new(),
            ready: VecDeque::new(),
            hot: Vec::new(),
            dirty: Vec::new(),
            spare: Vec::new(),
            deadlines: BTreeSet::new(),
            questions: Vec::new(),
            refused_log: RateLimit::new(LOG_EVERY),
            broken_log: RateLimit::new(LOG_EVERY),
            slow_log: RateLimit::new(LOG_EVERY),
            session_log: RateLimit::of(SESSION_LINES, SESSION_LINES_EVERY),
            reason: ChangeReason::Begin,
            encoded: Encoded::new(),
            stats: ClientsStats {
                accepted: 0,
                refused_access: 0,
                refused_other: 0,
                refused_version: 0,
                protocol_errors: 0,
                too_slow: 0,
                silent: 0,
                dropped_while_leaving: 0,
            },
        }
    }

    /// What clients that connect from now on may use, and who may connect.
    pub fn set_terms(&mut self, terms: Terms, admission: Admission) {
        (self.terms, self.admission) = (terms, admission);
    }

    /// Takes connections from the listener. Returns whether there may be more.
    ///
    /// # Errors
    /// The listener fails, for want of descriptors for example; the waiting stay where they are.
    pub fn accept(
        &mut self,
        now: Instant,
        listener: &Listener,
        registry: &Registry,
    ) -> io::Result<bool> {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(control) = listener.accept()? else { return Ok(false) };
            self.admit(now, control, registry);
        }
        Ok(true)
    }

    /// A socket of a client is ready.
    pub fn handle_event(&mut self, event: &mio::event::Event) {
        let offset = event.token().0.saturating_sub(self.terms.first_token.0);
        let slot = offset / 2;
        let Some(connection) = self.slots.get_mut(slot).and_then(|s| s.connection.as_mut()) else {
            return;
        };
        if offset.is_multiple_of(2) {
            let readable = event.is_readable() || event.is_read_closed() || event.is_error();
            connection.note_ready(readable, event.is_writable() || event.is_error());
            if readable {
                self.mark_ready(slot);
            }
            self.mark_dirty(slot);
        } else {
            match &connection.phase {
                Phase::Session(session) => {
                    session.events.hear();
                    self.mark_hot(slot);
                }
                // It does not ring any more, so it is gone.
                Phase::Ending { events: Some(events), .. } if events.hear() => self.remove(slot),
                Phase::Hello { .. } | Phase::Ending { .. } => {}
            }
        }
    }

    /// Whether requests wait for their turn, or something is to be written.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.ready.is_empty() || !self.dirty.is_empty()
    }

    /// To be called before the poll waits: from now on clients ring for what they send. Returns
    /// whether one has sent something in the meantime; then there is work.
    pub fn rest(&mut self) -> bool {
        let mut i = 0;
        while i < self.hot.len() {
            let slot = self.hot[i];
            if self.session(slot).is_some_and(|session| session.requests.sleep() == Sleep::Awake) {
                i += 1;
            } else {
                self.slots[slot].is_hot = false;
                self.hot.swap_remove(i);
            }
        }
        !self.hot.is_empty()
    }

    /// Reads requests, fairly, within the budget of one turn.
    pub fn take_turn(&mut self, now: Instant, node: &mut Node) {
        for i in 0..self.hot.len() {
            let slot = self.hot[i];
            if self.session(slot).is_some_and(|session| session.requests.has_next()) {
                self.mark_ready(slot);
            }
        }
        let mut budget = COST_PER_TURN;
        for _ in 0..self.ready.len() {
            if budget == 0 {
                break;
            }
            let Some(slot) = self.ready.pop_front() else { break };
            self.slots[slot].is_ready = false;
            let allowed = CLIENT_COST_PER_TURN.min(budget);
            let (cost, more) = self.serve(now, slot, allowed, node);
            budget = budget.saturating_sub(cost);
            if more {
                self.mark_ready(slot);
            }
        }
    }

    /// Takes no more requests, but reads all that have arrived, before the daemon leaves: what a
    /// client has sent is sent. Nothing more can arrive, so what sockets and rings hold bounds it.
    pub fn take_last(&mut self, now: Instant, node: &mut Node) {
        for slot in 0..self.slots.len() {
            if let Some(connection) = &mut self.slots[slot].connection {
                connection.shut();
                self.serve(now, slot, usize::MAX, node);
            }
        }
    }

    /// What clients have asked since the last call. Each is to be answered, now or later.
    #[must_use]
    pub fn take_questions(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.questions)
    }

    /// Answers a question; one of a client that has gone is forgotten.
    pub fn answer(&mut self, now: Instant, node: &mut Node, question: &Question, json: String) {
        let Some(&slot) = self.by_id.get(&question.client) else { return };
        let Some(connection) = &mut self.slots[slot].connection else { return };
        let reply = ServerFrame::StatusReply { request: question.request, json };
        if let Err(fault) = connection.reply(&reply) {
            self.punish(now, node, slot, &fault);
        }
        self.mark_dirty(slot);
    }

    /// Why the configurations that follow come about.
    pub fn set_reason(&mut self, reason: ChangeReason) {
        self.reason = reason;
    }

    /// Writes an event for a client. A configuration goes with its reason, but for the first,
    /// which is no change.
    pub fn deliver(&mut self, now: Instant, node: &mut Node, client: ClientId, event: &Event) {
        let Some(&slot) = self.by_id.get(&client) else { return };
        let mut encoded = std::mem::take(&mut self.encoded);
        let Some(session) = self.session(slot) else { return };
        let first = session.events_count == 0;
        let (head, tail) = encoded.encode(event, if first { None } else { Some(self.reason) });
        let Some(session) = self.session(slot) else { return };
        let pushed = session.events.push(head, tail);
        session.events_count += u64::from(pushed == Ok(true));
        self.encoded = encoded;
        match pushed {
            Ok(true) => self.mark_dirty(slot),
            Ok(false) => {
                self.stats.too_slow += 1;
                self.end(now, node, slot, DisconnectReason::TooSlow);
            }
            Err(broken) => self.punish(now, node, slot, &broken.into()),
        }
    }

    /// Bytes of a client's send queue are free again.
    pub fn give_room(&mut self, client: ClientId, bytes: usize) {
        let Some(&slot) = self.by_id.get(&client) else { return };
        let Some(session) = self.session(slot) else { return };
        session.credit.free(bytes as u64);
        let due = session.credit.due();
        if let Some(bytes) = due
            && let Some(connection) = &mut self.slots[slot].connection
        {
            // Credit is bounded by what the client sent, so its frames fit.
            let _ = connection.reply(&ServerFrame::Credit { bytes });
            self.mark_dirty(slot);
        }
    }

    /// Writes what is queued, as far as the clients take it.
    pub fn flush(&mut self, now: Instant, node: &mut Node, registry: &Registry) {
        let mut dirty = std::mem::take(&mut self.dirty);
        std::mem::swap(&mut self.dirty, &mut self.spare);
        for slot in dirty.drain(..) {
            self.slots[slot].is_dirty = false;
            let tokens = self.tokens(slot);
            let Some(connection) = &mut self.slots[slot].connection else { continue };
            match connection.flush(registry, tokens) {
                Ok(resumed) => {
                    if connection.is_over() {
                        self.remove(slot);
                    } else if resumed {
                        self.mark_ready(slot);
                    }
                }
                Err(error) => self.drop_unreachable(now, node, slot, &error.to_string()),
            }
        }
        self.spare = dirty;
    }

    /// Closes connections that have run out of time.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(until, slot)) = self.deadlines.first()
            && until <= now
        {
            self.expire(slot);
        }
    }

    /// When [`Clients::handle_timeout`] is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// Ends every session, because the daemon stops.
    pub fn end_all(&mut self, now: Instant, node: &mut Node) {
        for slot in 0..self.slots.len() {
            self.end(now, node, slot, DisconnectReason::Shutdown);
        }
    }

    /// Whether a session, or its last words, are still there.
    #[must_use]
    pub fn has_unsaid(&self) -> bool {
        self.slots.iter().filter_map(|slot| slot.connection.as_ref()).any(|c| !c.has_said_all())
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// What happened to clients since the start.
    #[must_use]
    pub const fn stats(&self) -> &ClientsStats {
        &self.stats
    }

    /// The sessions, oldest first.
    pub fn status<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = ClientStatus<'a>> {
        self.by_id.iter().filter_map(|(client, slot)| {
            let connection = self.slots[*slot].connection.as_ref()?;
            let Phase::Session(session) = &connection.phase else { return None };
            Some(ClientStatus {
                client: client.0,
                name: &connection.name,
                pid: connection.peer.pid,
                uid: connection.peer.uid,
                send_bytes_queued: node.service().queued(*client).unwrap_or(0),
                event_bytes_queued: session.events.bytes(),
                messages_sent: session.sent,
                events_delivered: session.events_count,
            })
        })
    }
}

impl Clients {
    fn session(&mut self, slot: usize) -> Option<&mut Session> {
        match &mut self.slots.get_mut(slot)?.connection.as_mut()?.phase {
            Phase::Session(session) => Some(session),
            Phase::Hello { .. } | Phase::Ending { .. } => None,
        }
    }

    fn free_slot(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        })
    }

    const fn tokens(&self, slot: usize) -> Tokens {
        let first = self.terms.first_token.0 + 2 * slot;
        Tokens { control: Token(first), bell: Token(first + 1) }
    }

    fn mark_ready(&mut self, slot: usize) {
        if !std::mem::replace(&mut self.slots[slot].is_ready, true) {
            self.ready.push_back(slot);
        }
    }

    fn mark_hot(&mut self, slot: usize) {
        if !std::mem::replace(&mut self.slots[slot].is_hot, true) {
            self.hot.push(slot);
        }
    }

    fn mark_dirty(&mut self, slot: usize) {
        if !std::mem::replace(&mut self.slots[slot].is_dirty, true) {
            self.dirty.push(slot);
        }
    }
}

#[cfg(test)]
mod tests;
