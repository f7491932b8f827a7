//! One processor: what comes in, what goes out, and the orderly leave.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use evs_model::{
    ClientId, Configuration, Event, Group, Groups, Guarantee, Instant, Members, Message, MessageId,
    Processor, RingId, defect,
};
use totem::{Cause, Delivery, Destination, Packet, Ring, StateKind};

use crate::config::DRAIN_MAX;
use crate::configurations::Configurations;
use crate::pack::{Head, Record, Records};
use crate::reassembly::Reassembly;
use crate::sending::Sending;
use crate::sessions::Sessions;
use crate::{ClientLimits, Config, ConfigError, ConnectError, RequestError, SendError, Stats};

/// Effects, to be executed in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// As [`totem::Output::Distrust`].
    Distrust(Processor),
    /// This processor has left in order; no message is sent any more.
    Left {
        /// How many accepted messages were not sent, or were sent but not delivered here: nobody
        /// can say what becomes of these.
        dropped: u64,
    },
    /// As [`totem::Output::Persist`].
    Persist(u64),
    /// Messages of this client were sent, and its send queue has room for so many bytes more. It
    /// follows every [`SendError::QueueFull`], unless the service leaves.
    Room {
        /// Whose queue.
        client: ClientId,
        /// Bytes freed since the last such output, by [`evs_model::send_cost`].
        bytes: usize,
    },
    /// The next event of this client's stream. A client that has disconnected may still be named.
    ToClient {
        /// Whose stream.
        client: ClientId,
        /// What it sees.
        event: Event,
    },
    /// As [`totem::Output::Transition`].
    Transition {
        /// The state that ends.
        from: StateKind,
        /// The state that begins.
        to: StateKind,
        /// Why.
        cause: Cause,
    },
    /// As [`totem::Output::Transmit`].
    Transmit {
        /// To whom.
        to: Destination,
        /// What.
        packet: Packet,
    },
}

/// The service of one processor.
#[derive(Debug)]
pub struct Service {
    config: Config,
    me: Processor,
    ring: Ring,
    /// When the last input was.
    now: Instant,
    phase: Phase,
    configurations: Configurations,
    sessions: Sessions,
    sending: Sending,
    reassembly: Reassembly,
    outputs: VecDeque<Output>,
    stats: Stats,
    /// Scratch space of `deliver`, kept for its memory.
    recipients: Vec<ClientId>,
    /// The highest that `clients_max` has been.
    clients_most: usize,
}

/// How far the orderly leave is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Clients come and send.
    Serving,
    /// Nothing is accepted; what was accepted is sent, up to this instant.
    Draining(Instant),
    /// It is over.
    Left,
}

impl Service {
    /// A processor that is alone and looks for others. `stored` is the last value that this node
    /// executed as [`Output::Persist`], or 0; `seed` feeds the ring's jitter.
    ///
    /// # Panics
    /// If the configuration is not valid ([`Config::validate`]).
    #[must_use]
    pub fn new(config: Config, me: Processor, stored: u64, seed: u64, now: Instant) -> Self {
        if let Err(error) = config.validate() {
            panic!("the caller has validated the configuration: {error}");
        }
        let ring = Ring::new(config.totem.clone(), me, stored, seed, now);
        let mut service = Self {
            me,
            now,
            phase: Phase::Serving,
            configurations: Configurations::new(me),
            sessions: Sessions::new(config.groups_per_client_max, config.origins.client),
            sending: Sending::new(
                config.client_send_bytes_max,
                ring.body_bytes_max(),
                ring.sequenced(),
                config.origins.message,
            ),
            reassembly: Reassembly::default(),
            outputs: VecDeque::new(),
            stats: Stats::default(),
            recipients: Vec::new(),
            clients_most: config.clients_max,
            config,
            ring,
        };
        service.finish(now);
        service
    }

    /// Sets the limits of clients anew.
    ///
    /// # Errors
    /// The first one that is out of range; nothing has changed.
    pub fn set_client_limits(&mut self, limits: ClientLimits) -> Result<(), ConfigError> {
        let config = Config {
            clients_max: limits.clients_max,
            groups_per_client_max: limits.groups_per_client_max,
            client_send_bytes_max: limits
                .client_send_bytes_max
                .max(self.config.client_send_bytes_max),
            ..self.config.clone()
        };
        config.validate()?;
        self.sessions.set_groups_max(config.groups_per_client_max);
        self.sending.set_client_bytes_max(config.client_send_bytes_max);
        self.clients_most = self.clients_most.max(config.clients_max);
        self.config = config;
        Ok(())
    }

    /// As [`Ring::set_detection`].
    ///
    /// # Errors
    /// It is out of range; nothing has changed.
    pub fn set_detection(&mut self, now: Instant, target: Duration) -> Result<(), ConfigError> {
        self.ring.set_detection(now, target).map_err(ConfigError::Totem)?;
        self.config.totem.detection = target;
        self.finish(now);
        Ok(())
    }

    /// As [`Ring::set_window_bytes`].
    ///
    /// # Errors
    /// It is out of range; nothing has changed.
    pub fn set_window_bytes(&mut self, bytes: u32) -> Result<(), ConfigError> {
        self.ring.set_window_bytes(bytes).map_err(ConfigError::Totem)?;
        self.config.totem.window_bytes = bytes;
        Ok(())
    }

    /// Sets the largest message that is accepted from now on. What was accepted is sent.
    ///
    /// # Errors
    /// It is out of range; nothing has changed.
    pub fn set_message_bytes_max(&mut self, bytes: usize) -> Result<(), ConfigError> {
        let config = Config { message_bytes_max: bytes, ..self.config.clone() };
        config.validate()?;
        self.config = config;
        Ok(())
    }

    /// A packet from an authenticated peer.
    pub fn handle_packet(&mut self, now: Instant, from: Processor, packet: Packet) {
        if matches!(packet, Packet::Token(_)) {
            self.feed(now);
        }
        self.ring.handle_packet(now, from, packet);
        self.finish(now);
    }

    /// Time has passed. Before [`Service::poll_timeout`] it has no effect.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.ring.handle_timeout(now);
        self.finish(now);
    }

    /// Whom this node hears from now on, without itself: the full set, at every change.
    pub fn handle_reachability(&mut self, now: Instant, heard: Members) {
        self.ring.handle_reachability(now, heard);
        self.finish(now);
    }

    /// As [`Ring::handle_pause`].
    pub fn handle_pause(&mut self, now: Instant, pause: Duration) {
        self.ring.handle_pause(now, pause);
        self.finish(now);
    }

    /// Opens a session. Its first event, a copy of the current regular configuration, is queued at
    /// once; from the next configuration on it has virtual synchrony (EVS-11).
    ///
    /// # Errors
    /// No configuration is installed yet, `clients_max` are there, every number is used, or this
    /// processor leaves.
    pub fn connect(&mut self, now: Instant) -> Result<ClientId, ConnectError> {
        if self.phase != Phase::Serving {
            return Err(ConnectError::Leaving);
        }
        let first = self.configurations.first_event().ok_or(ConnectError::NotReady)?;
        let max = self.config.clients_max;
        if self.sending.clients() >= max {
            return Err(ConnectError::TooManyClients { max });
        }
        let client = self.sessions.open().ok_or(ConnectError::NumbersUsed)?;
        self.sending.open(client);
        if !defect!(NoFirstConfiguration) || self.sessions.len() == 1 {
            self.outputs.push_back(Output::ToClient { client, event: Event::Configuration(first) });
        }
        self.finish(now);
        Ok(client)
    }

    /// Ends a session. What the client sent is still sent (EVS-3). An unknown client is ignored.
    pub fn disconnect(&mut self, now: Instant, client: ClientId) {
        self.sessions.close(client);
        self.sending.close(client);
        self.finish(now);
    }

    /// Joins all these groups or none. A group that is joined twice must be left twice.
    ///
    /// # Errors
    /// The client is unknown, or would be in more than `groups_per_client_max` groups.
    pub fn join(
        &mut self,
        now: Instant,
        client: ClientId,
        groups: &[Group],
    ) -> Result<(), RequestError> {
        self.sessions.join(client, groups)?;
        self.finish(now);
        Ok(())
    }

    /// Leaves all these groups or none.
    ///
    /// # Errors
    /// The client is unknown, or has not joined one of them as often as it leaves it.
    pub fn leave_groups(
        &mut self,
        now: Instant,
        client: ClientId,
        groups: &[Group],
    ) -> Result<(), RequestError> {
        self.sessions.leave(client, groups)?;
        self.finish(now);
        Ok(())
    }

    /// Accepts a message to these groups, which the client need not have joined. The id is the one
    /// that its delivery carries; a client's messages are numbered from 1 in the order accepted.
    ///
    /// # Errors
    /// The client is unknown, the body is larger than `message_bytes_max`, the client's queue is
    /// full (an [`Output::Room`] follows), its numbers are used, or this processor leaves.
    pub fn send(
        &mut self,
        now: Instant,
        client: ClientId,
        guarantee: Guarantee,
        groups: Groups,
        body: Bytes,
    ) -> Result<MessageId, SendError> {
        if self.phase != Phase::Serving {
            return Err(SendError::Leaving);
        }
        if !self.sessions.contains(client) {
            return Err(SendError::UnknownClient);
        }
        let (bytes, max) = (body.len(), self.config.message_bytes_max);
        if bytes > max {
            return Err(SendError::TooBig { bytes, max });
        }
        let number = match self.sending.push(client, guarantee, groups, body) {
            Ok(number) => number,
            Err(error) => {
                self.stats.sends_refused += 1;
                return Err(error);
            }
        };
        self.stats.messages_accepted += 1;
        self.finish(now);
        Ok(MessageId { sender: self.me, client, number })
    }

    /// Leaves in order: accepts nothing more, sends what was accepted, for [`DRAIN_MAX`] at most,
    /// then leaves the ring; ends with [`Output::Left`], after which the ring tells the others for
    /// as long as [`Service::poll_timeout`] names a time. A second call has no effect.
    pub fn leave(&mut self, now: Instant) {
        if self.phase == Phase::Serving {
            self.phase = Phase::Draining(now + DRAIN_MAX);
            self.finish(now);
        }
    }

    /// The next effect. Drain to `None` after each batch of inputs: an idle ring is roused here, so
    /// that the messages of one batch share packets.
    pub fn poll_output(&mut self) -> Option<Output> {
        while self.outputs.is_empty() && self.rouses() {
            self.rouse();
        }
        self.outputs.pop_front()
    }

    /// When [`Service::handle_timeout`] is due; `None`: nothing is, until another input.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ring = self.ring.poll_timeout().map(|(due, _)| due);
        match self.phase {
            Phase::Draining(until) => Some(ring.map_or(until, |due| due.min(until))),
            Phase::Serving | Phase::Left => ring,
        }
    }

    /// The ring below.
    #[must_use]
    pub const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What was counted so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The groups that clients of this processor have joined, ascending, each with its clients.
    pub fn joined(&self) -> impl Iterator<Item = (Group, &[ClientId])> + '_ {
        self.sessions.joined()
    }

    /// How many sessions are open.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.sessions.len()
    }

    /// Bytes of this client that wait to be sent, by [`evs_model::send_cost`]; `None` for a client
    /// that is gone and left nothing.
    #[must_use]
    pub fn queued(&self, client: ClientId) -> Option<usize> {
        self.sending.queued(client)
    }

    /// Whether an accepted message is not sent.
    #[must_use]
    pub fn unsent(&self) -> bool {
        self.sending.messages() > 0
    }

    /// Asserts what always holds, the ring's invariants included; for tests and the simulator.
    pub fn check(&self) {
        self.ring.check();
        self.sending.check();
        assert!(self.sessions.len() <= self.sending.clients(), "every session has a send queue");
        assert!(self.sending.clients() <= self.clients_most, "clients are bounded");
    }

    /// Fills the ring's backlog: the token is about to be handled. Outside operation a packet
    /// would only be dropped at the install.
    fn feed(&mut self, now: Instant) {
        while self.ring.state() == StateKind::Operational
            && self.ring.has_room()
            && self.submit(now)
        {}
    }

    /// Whether an idle ring must be told that something waits.
    pub(crate) fn rouses(&self) -> bool {
        self.ring.idle() && self.ring.backlog() == 0 && self.sending.has_next()
    }

    /// Hands over all that waits if the token rests here. One packet fetches it from elsewhere;
    /// what comes after that one is packed when the token is there.
    fn rouse(&mut self) {
        if self.ring.rests() {
            self.feed(self.now);
        } else {
            self.submit(self.now);
        }
        self.finish(self.now);
    }

    /// Hands over the next packet, if there is one.
    fn submit(&mut self, now: Instant) -> bool {
        let Some((body, guarantee)) = self.sending.next_packet() else { return false };
        self.ring
            .submit(now, body, guarantee)
            .expect("an operational ring takes a packet that fits while its backlog has room");
        self.stats.packets_submitted += 1;
        true
    }

    /// Ends every input: what the ring did becomes outputs.
    fn finish(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.translate();
        self.drain(now);
        while let Some((client, bytes)) = self.sending.pop_freed() {
            if !defect!(RoomNeverTold) {
                self.outputs.push_back(Output::Room { client, bytes });
            }
        }
    }

    fn translate(&mut self) {
        self.stats.messages_sent += self.sending.settle(self.ring.sequenced());
        while let Some(output) = self.ring.poll_output() {
            match output {
                totem::Output::Configure(configuration) => self.configure(configuration),
                totem::Output::Deliver(delivery) => self.deliver(delivery),
                totem::Output::Distrust(peer) => self.outputs.push_back(Output::Distrust(peer)),
                totem::Output::Persist(seq) => self.outputs.push_back(Output::Persist(seq)),
                totem::Output::Transition { from, to, cause } => {
                    self.outputs.push_back(Output::Transition { from, to, cause });
                }
                totem::Output::Transmit { to, packet } => {
                    self.outputs.push_back(Output::Transmit { to, packet });
                }
            }
        }
    }

    fn configure(&mut self, configuration: Configuration) {
        if matches!(configuration, Configuration::Regular { .. }) {
            if !defect!(PartialsKept) {
                self.stats.partials_ended += self.reassembly.clear() as u64;
            }
            let begun = self.sending.restart(self.ring.sequenced(), self.ring.body_bytes_max());
            self.stats.messages_restarted += begun as u64;
        }
        let change = self.configurations.change(configuration);
        for client in self.sessions.clients() {
            let event = Event::Configuration(change.clone());
            self.outputs.push_back(Output::ToClient { client, event });
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        let Delivery { ring, seq, sender, guarantee, body } = delivery;
        for record in Records::new(body, guarantee) {
            match record {
                Ok(Record::Whole(head, content)) => {
                    self.message((ring, sender, seq), head, content);
                }
                Ok(Record::Fragment(head, offset, piece)) => {
                    let complete = self.reassembly.take(sender, seq, head, offset, &piece);
                    self.stats.fragments_dropped = self.reassembly.dropped();
                    if let Some(complete) = complete {
                        self.message((ring, sender, complete.seq), head, complete.content);
                    }
                }
                Err(_) => self.stats.records_malformed += 1,
            }
        }
    }

    /// A whole message, at its place in the history: to each client that wants it, once (EVS-10).
    fn message(
        &mut self,
        (ring, sender, seq): (RingId, Processor, u64),
        head: Head,
        content: Bytes,
    ) {
        self.stats.messages_delivered += 1;
        self.stats.messages_returned += u64::from(sender == self.me);
        let (groups, body) = head.split(content);
        self.sessions.recipients(&groups, &mut self.recipients);
        self.stats.copies_delivered += self.recipients.len() as u64;
        let Some((last, others)) = self.recipients.split_last() else { return };
        let id = MessageId { sender, client: head.client, number: head.number };
        let message = Message { id, groups, guarantee: head.guarantee, ring, seq, body };
        for client in others {
            let event = Event::Message(message.clone());
            self.outputs.push_back(Output::ToClient { client: *client, event });
        }
        let event = Event::Message(message);
        self.outputs.push_back(Output::ToClient { client: *last, event });
    }

    /// Ends the orderly leave when everything is sent and acknowledged, or its time is over.
    fn drain(&mut self, now: Instant) {
        let Phase::Draining(until) = self.phase else { return };
        // Before its first configuration a processor has nothing that anybody could miss.
        let settled = self.ring.stable() || !self.configurations.installed();
        let sent = settled && self.sending.messages() == 0;
        if !sent && now < until && !defect!(LeavesAtOnce) {
            return;
        }
        self.phase = Phase::Left;
        self.ring.leave(now);
        self.translate();
        let dropped = self.stats.messages_accepted - self.stats.messages_returned;
        let dropped = if defect!(DropsNotTold) { 0 } else { dropped };
        self.stats.messages_dropped = dropped;
        self.outputs.push_back(Output::Left { dropped });
    }
}
