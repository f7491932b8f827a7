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

mod connection;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use evs_ipc::{
    ClientFrame, CreditLedger, HELLO_FRAME_BYTES_MAX, Hello, Outcome, PROTOCOL_VERSION, Refusal,
    ServerFrame, Welcome, client_frame_bytes_max, socket,
};
use evs_model::{ClientId, DisconnectReason, Event, Group, Groups, Instant, Processor, send_cost};
use evs_node::Node;
use evs_service::{ConnectError, RequestError};
use mio::{Registry, Token};

use self::connection::{Connection, EventStream, Fault, Input, Phase, Session, Tokens};
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

/// Most connections taken from the listener in one turn of the loop.
const ACCEPTS_PER_TURN: usize = 16;

/// What one client may cost in one turn of the loop, and all of them together, in bytes. A frame
/// costs its bytes and at least [`FRAME_COST`].
const CLIENT_COST_PER_TURN: usize = 256 << 10;
const COST_PER_TURN: usize = 1 << 20;
const FRAME_COST: usize = 1 << 10;
/// A status report costs as much as many messages.
const STATUS_COST: usize = 64 << 10;

/// What the kernel may hold for a client that is about to read.
const EVENT_SOCKET_BYTES: usize = 1 << 20;

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
    /// Most bytes of events that wait for one client.
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
    /// Slots that have something to write.
    dirty: Vec<usize>,
    /// Connections with a deadline, the nearest first.
    deadlines: BTreeSet<(Instant, usize)>,
    /// Clients that asked for a status report in this turn; a turn's budget bounds them.
    status_requests: Vec<(ClientId, u32)>,
    log_limit: RateLimit,
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
    /// Sessions ended because the client broke the protocol.
    pub protocol_errors: u64,
    /// Sessions ended because the client did not read its events.
    pub too_slow: u64,
    /// Connections that never said Hello.
    pub silent: u64,
    /// Messages that arrived after the daemon began to leave, and were dropped.
    pub dropped_while_leaving: u64,
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
            dirty: Vec::new(),
            deadlines: BTreeSet::new(),
            status_requests: Vec::new(),
            log_limit: RateLimit::new(Duration::from_secs(1)),
            stats: ClientsStats {
                accepted: 0,
                refused_access: 0,
                refused_other: 0,
                protocol_errors: 0,
                too_slow: 0,
                silent: 0,
                dropped_while_leaving: 0,
            },
        }
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
    pub fn handle_event(&mut self, registry: &Registry, event: &mio::event::Event) {
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
        } else {
            match &mut connection.phase {
                Phase::Session(session) => session.events.note_ready(registry),
                Phase::Ending { events: Some(events), .. } => events.note_ready(registry),
                Phase::Hello { .. } | Phase::Ending { events: None, .. } | Phase::Over => {}
            }
        }
        self.mark_dirty(slot);
    }

    /// Whether requests wait for their turn.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Reads requests, fairly, within the budget of one turn.
    pub fn take_turn(&mut self, now: Instant, node: &mut Node) {
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

    /// Reads all requests that have arrived, before the daemon leaves: what a client sent before
    /// it could know is still taken. Its credit bounds it.
    pub fn take_all(&mut self, now: Instant, node: &mut Node) {
        for slot in 0..self.slots.len() {
            if let Some(connection) = &mut self.slots[slot].connection {
                connection.note_ready(true, false);
                self.serve(now, slot, usize::MAX, node);
            }
        }
    }

    /// Whether clients wait for a status report.
    #[must_use]
    pub fn wants_status(&self) -> bool {
        !self.status_requests.is_empty()
    }

    /// Answers everybody who asked for a status report.
    pub fn give_status(&mut self, now: Instant, node: &mut Node, json: &str) {
        for (client, request) in std::mem::take(&mut self.status_requests) {
            let Some(&slot) = self.by_id.get(&client) else { continue };
            let Some(connection) = &mut self.slots[slot].connection else { continue };
            let reply = ServerFrame::StatusReply { request, json: json.to_owned() };
            if let Err(fault) = connection.reply(&reply) {
                self.punish(now, node, slot, &fault);
            }
            self.mark_dirty(slot);
        }
    }

    /// Queues an event for a client.
    pub fn deliver(&mut self, now: Instant, node: &mut Node, client: ClientId, event: &Event) {
        let Some(&slot) = self.by_id.get(&client) else { return };
        let Some(session) = self.session(slot) else { return };
        let pushed = session.events.push(event);
        session.events_count += 1;
        self.mark_dirty(slot);
        if pushed.is_err() {
            self.stats.too_slow += 1;
            self.end(now, node, slot, DisconnectReason::TooSlow);
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
        for slot in std::mem::take(&mut self.dirty) {
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
                Err(error) => self.drop_gone(now, node, slot, &error.to_string()),
            }
        }
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

/// Beginnings.
impl Clients {
    fn admit(&mut self, now: Instant, control: OwnedFd, registry: &Registry) {
        let peer = match socket::peer_credentials(&control) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::debug!(%error, "a client without credentials is dropped");
                return;
            }
        };
        let admitted = self.admission.admits(&peer);
        while self.deadlines.len() >= TRANSIENT_MAX
            && let Some(&(_, slot)) = self.deadlines.first()
        {
            self.expire(slot);
        }
        let until = now + HELLO_WITHIN;
        let slot = self.free_slot();
        let connection = Connection::new(control, peer, HELLO_FRAME_BYTES_MAX, until);
        if let Err(error) = connection.register(registry, self.tokens(slot).control) {
            tracing::debug!(%error, "a client cannot be polled and is dropped");
            self.free.push(slot);
            return;
        }
        self.slots[slot].connection = Some(connection);
        self.deadlines.insert((until, slot));
        if admitted {
            self.mark_ready(slot);
        } else {
            self.stats.refused_access += 1;
            self.refuse(now, slot, Refusal::Access);
        }
    }

    /// Reads one client's requests up to a cost. Returns what it cost and whether there may be
    /// more.
    fn serve(
        &mut self,
        now: Instant,
        slot: usize,
        allowed: usize,
        node: &mut Node,
    ) -> (usize, bool) {
        let mut cost = 0;
        while cost < allowed {
            let Some(connection) = &mut self.slots[slot].connection else { return (cost, false) };
            if matches!(connection.phase, Phase::Ending { .. }) {
                if connection.is_gone() {
                    self.remove(slot);
                }
                return (cost, false);
            }
            let frame = match connection.next() {
                Ok(Input::Frame(frame)) => frame,
                Ok(Input::Nothing) => return (cost, false),
                Ok(Input::Gone) => {
                    self.drop_gone(now, node, slot, "it closed its socket");
                    return (cost, false);
                }
                Err(fault) => {
                    self.punish(now, node, slot, &fault);
                    return (cost, false);
                }
            };
            cost += FRAME_COST;
            match self.handle_frame(now, slot, frame, node) {
                Ok(more) => cost += more,
                Err(fault) => {
                    self.punish(now, node, slot, &fault);
                    return (cost, false);
                }
            }
        }
        (cost, true)
    }

    /// Does what a frame asks for; returns what it cost beyond [`FRAME_COST`].
    fn handle_frame(
        &mut self,
        now: Instant,
        slot: usize,
        frame: ClientFrame,
        node: &mut Node,
    ) -> Result<usize, Fault> {
        let Some(connection) = &mut self.slots[slot].connection else { return Ok(0) };
        let Phase::Session(session) = &mut connection.phase else {
            let ClientFrame::Hello(hello) = frame else { return Err(Fault::NoHello) };
            self.welcome(now, slot, hello, node);
            return Ok(0);
        };
        let client = session.client;
        let (request, result) = match frame {
            ClientFrame::Hello(_) => return Err(Fault::SecondHello),
            ClientFrame::Send { guarantee, groups, body } => {
                let cost = send_cost(body.len(), groups.len());
                session.credit.take(cost as u64)?;
                session.sent += 1;
                match node.send(now, client, guarantee, groups, body) {
                    Ok(id) => assert_eq!(id.number, session.sent, "both count the same messages"),
                    Err(evs_service::SendError::Leaving) => self.stats.dropped_while_leaving += 1,
                    Err(error) => return Err(Fault::Refused(error)),
                }
                return Ok(cost);
            }
            ClientFrame::Status { request } => {
                self.status_requests.push((client, request));
                return Ok(STATUS_COST);
            }
            ClientFrame::Join { request, groups } => {
                (request, node.join(now, client, &list(&groups)))
            }
            ClientFrame::Leave { request, groups } => {
                (request, node.leave_groups(now, client, &list(&groups)))
            }
        };
        connection.reply(&ServerFrame::Done { request, outcome: outcome(result) })?;
        self.mark_dirty(slot);
        Ok(0)
    }

    fn welcome(&mut self, now: Instant, slot: usize, hello: Hello, node: &mut Node) {
        if hello.version != PROTOCOL_VERSION {
            return self.refuse(now, slot, Refusal::Version);
        }
        let (ours, theirs) = match socket::pair() {
            Ok(pair) => pair,
            Err(error) => {
                self.log_limited(now, |suppressed| {
                    tracing::warn!(%error, suppressed, "no event socket for a client");
                });
                return self.refuse(now, slot, Refusal::TooManyClients);
            }
        };
        socket::grow_send_buffer(&ours, EVENT_SOCKET_BYTES);
        let client = match node.connect(now) {
            Ok(client) => client,
            Err(ConnectError::Leaving) => return self.refuse(now, slot, Refusal::Leaving),
            Err(ConnectError::NotReady) => return self.refuse(now, slot, Refusal::NotReady),
            Err(ConnectError::TooManyClients { .. }) => {
                return self.refuse(now, slot, Refusal::TooManyClients);
            }
        };
        let terms = &self.terms;
        let credit = u64::from(terms.client_send_bytes_max);
        let cost_max = send_cost(terms.message_bytes_max as usize, Groups::MAX) as u64;
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            processor: terms.processor,
            client,
            message_bytes_max: terms.message_bytes_max,
            joined_groups_max: terms.groups_per_client_max,
            credit,
        };
        let session = Session {
            client,
            events: EventStream::new(ours, terms.client_event_bytes_max as usize),
            credit: CreditLedger::new(credit, cost_max),
            welcome: Some((welcome, theirs)),
            sent: 0,
            events_count: 0,
        };
        let frame_bytes_max = client_frame_bytes_max(terms.message_bytes_max as usize);
        self.forget_deadline(slot);
        let Some(connection) = &mut self.slots[slot].connection else { return };
        connection.set_frame_bytes_max(frame_bytes_max);
        connection.phase = Phase::Session(Box::new(session));
        connection.name = hello.name;
        self.by_id.insert(client, slot);
        self.stats.accepted += 1;
        let connection = self.slots[slot].connection.as_ref().expect("it was there a line above");
        tracing::info!(
            %client, name = connection.name, pid = connection.peer.pid, uid = connection.peer.uid,
            "client connected"
        );
    }

    fn refuse(&mut self, now: Instant, slot: usize, reason: Refusal) {
        let Some(connection) = &mut self.slots[slot].connection else { return };
        let (uid, gid, pid) = (connection.peer.uid, connection.peer.gid, connection.peer.pid);
        let _ = connection.reply(&ServerFrame::refused(reason));
        connection.phase =
            Phase::Ending { until: connection.deadline().unwrap_or(now), events: None };
        if reason != Refusal::Access {
            self.stats.refused_other += 1;
        }
        self.mark_dirty(slot);
        self.log_limited(now, |suppressed| {
            tracing::warn!(%reason, uid, gid, pid, suppressed, "client refused");
        });
    }
}

/// Ends.
impl Clients {
    /// A client that broke the protocol, or whose socket broke.
    fn punish(&mut self, now: Instant, node: &mut Node, slot: usize, fault: &Fault) {
        if let Fault::Io(error) = fault {
            return self.drop_gone(now, node, slot, &error.to_string());
        }
        self.stats.protocol_errors += 1;
        let peer = self.slots[slot].connection.as_ref().map(|c| (c.peer.pid, c.peer.uid));
        let (pid, uid) = peer.unwrap_or_default();
        let client = self.session(slot).map(|session| session.client.0);
        self.log_limited(now, |suppressed| {
            tracing::warn!(
                client, pid, uid, error = %fault, suppressed,
                "client broke the protocol and is disconnected"
            );
        });
        self.end(now, node, slot, DisconnectReason::ProtocolError);
    }

    /// Ends a session, and tells the client why.
    fn end(&mut self, now: Instant, node: &mut Node, slot: usize, reason: DisconnectReason) {
        let Some(connection) = &mut self.slots[slot].connection else { return };
        let over = std::mem::replace(&mut connection.phase, Phase::Over);
        let session = match over {
            Phase::Session(session) => session,
            ending @ Phase::Ending { .. } => {
                connection.phase = ending;
                return;
            }
            Phase::Hello { .. } | Phase::Over => return self.remove(slot),
        };
        let Session { client, mut events, welcome, sent, events_count, .. } = *session;
        node.disconnect(now, client);
        self.by_id.remove(&client);
        tracing::info!(
            %client, name = connection.name, %reason, messages_sent = sent,
            events_delivered = events_count, "client disconnected"
        );
        if welcome.is_some() {
            // It holds no event socket to be told on.
            return self.remove(slot);
        }
        events.push_last(reason);
        let until = now + LINGER;
        connection.phase = Phase::Ending { until, events: Some(events) };
        self.deadlines.insert((until, slot));
        self.mark_dirty(slot);
        self.mark_ready(slot);
    }

    /// A client whose socket is closed.
    fn drop_gone(&mut self, now: Instant, node: &mut Node, slot: usize, why: &str) {
        if let Some(session) = self.session(slot) {
            let client = session.client;
            let (sent, events) = (session.sent, session.events_count);
            node.disconnect(now, client);
            self.by_id.remove(&client);
            tracing::info!(
                %client, why, messages_sent = sent, events_delivered = events, "client left"
            );
        }
        self.remove(slot);
    }

    /// A connection has run out of time, or must make room for another.
    fn expire(&mut self, slot: usize) {
        if let Some(connection) = &self.slots[slot].connection
            && matches!(connection.phase, Phase::Hello { .. })
        {
            self.stats.silent += 1;
            tracing::debug!(pid = connection.peer.pid, "a client said no Hello and is dropped");
        }
        self.remove(slot);
    }

    fn remove(&mut self, slot: usize) {
        self.forget_deadline(slot);
        if self.slots[slot].connection.take().is_some() {
            self.free.push(slot);
        }
    }

    fn forget_deadline(&mut self, slot: usize) {
        let deadline = self.slots[slot].connection.as_ref().and_then(Connection::deadline);
        if let Some(until) = deadline {
            self.deadlines.remove(&(until, slot));
        }
    }
}

/// Small things.
impl Clients {
    fn session(&mut self, slot: usize) -> Option<&mut Session> {
        match &mut self.slots.get_mut(slot)?.connection.as_mut()?.phase {
            Phase::Session(session) => Some(session),
            Phase::Hello { .. } | Phase::Ending { .. } | Phase::Over => None,
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
        Tokens { control: Token(first), events: Token(first + 1) }
    }

    fn mark_ready(&mut self, slot: usize) {
        if !std::mem::replace(&mut self.slots[slot].is_ready, true) {
            self.ready.push_back(slot);
        }
    }

    fn mark_dirty(&mut self, slot: usize) {
        if !std::mem::replace(&mut self.slots[slot].is_dirty, true) {
            self.dirty.push(slot);
        }
    }

    fn log_limited(&mut self, now: Instant, log: impl FnOnce(u64)) {
        if let Some(suppressed) = self.log_limit.admit(now) {
            log(suppressed);
        }
    }
}

fn list(groups: &Groups) -> Vec<Group> {
    groups.iter().collect()
}

const fn outcome(result: Result<(), RequestError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(RequestError::NotJoined(_)) => Outcome::NotJoined,
        Err(RequestError::TooManyGroups { .. }) => Outcome::TooManyGroups,
        // A session that the service does not know has just been ended by it.
        Err(RequestError::UnknownClient) => Outcome::Leaving,
    }
}
