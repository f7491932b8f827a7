//! What the daemon knows and says about membership: the log's lines, what clients are told, and
//! what goes to the flight recorder and to the other daemons.

use std::collections::BTreeMap;
use std::time::Duration;

use evs_model::{ChangeReason, ConfigurationChange, Event, Instant, Members, Processor, RingId};
use evs_net::{DownCause, KEYS_MAX, LinkId, MtuCause, PeerEvent, Trouble};
use evs_node::Node;
use evs_report::{Pause, headline_of};
use totem::{Cause, StateKind};

use crate::agreement::Agreement;
use crate::control::{Control, Telling};
use crate::flight::{Counted, Flight};
use crate::log::RateLimit;
use crate::units::{micros, millis};

/// What was last seen of the membership.
#[derive(Debug)]
pub(crate) struct Membership {
    ring: Option<RingId>,
    members: Members,
    /// Why the last ring was given up.
    cause: Option<Cause>,
    since: Option<Instant>,
    control: Control,
    agreement: Agreement,
    /// The names of the members' keys, the one that seals first, as they have said.
    keys: BTreeMap<Processor, Vec<u16>>,
    flight: Flight,
    pause_log: RateLimit,
}

impl Membership {
    pub(crate) fn new(flight: Flight, agreement: Agreement) -> Self {
        Self {
            ring: None,
            members: Members::default(),
            cause: None,
            since: None,
            control: Control::default(),
            agreement,
            keys: BTreeMap::new(),
            flight,
            pause_log: RateLimit::new(Duration::from_secs(10)),
        }
    }

    /// Whether a configuration has been in force.
    pub(crate) const fn has_begun(&self) -> bool {
        self.ring.is_some()
    }

    pub(crate) const fn flight(&self) -> &Flight {
        &self.flight
    }

    /// Another detection target is in force.
    pub(crate) const fn set_detection(&mut self, detection: Duration) {
        self.flight.set_detection(detection);
    }

    /// What was agreed on about the cluster.
    pub(crate) const fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// To change what was agreed on.
    pub(crate) const fn agreement_mut(&mut self) -> &mut Agreement {
        &mut self.agreement
    }

    /// Who is in the configuration in force.
    pub(crate) const fn members(&self) -> &Members {
        &self.members
    }

    /// Tells the daemons of the configuration something.
    ///
    /// # Errors
    /// It can never be told.
    pub(crate) fn tell(
        &mut self,
        now: Instant,
        node: &mut Node,
        telling: &Telling,
    ) -> Result<(), String> {
        self.control.tell(now, node, telling)
    }

    /// Tells the daemons of the configuration which keys this one has.
    pub(crate) fn tell_keys(&mut self, now: Instant, node: &mut Node) {
        let keys = node.net().endpoint().keys();
        if let Err(error) = self.tell(now, node, &Telling::Keys { keys }) {
            log_untold(&error);
        }
    }

    /// The members that have not said that they have a key.
    pub(crate) fn without_key(&self, me: Processor, key: u16) -> Vec<u32> {
        self.members_of_whom(me, |keys| keys.is_none_or(|keys| !keys.contains(&key)))
    }

    /// The members that have said that they seal with a key.
    pub(crate) fn sealing_with(&self, me: Processor, key: u16) -> Vec<u32> {
        self.members_of_whom(me, |keys| keys.is_some_and(|keys| keys.first() == Some(&key)))
    }

    fn members_of_whom(&self, me: Processor, is: impl Fn(Option<&Vec<u16>>) -> bool) -> Vec<u32> {
        let others = self.members.iter().filter(|member| *member != me);
        others.filter(|who| is(self.keys.get(who))).map(|who| who.node.get()).collect()
    }

    /// Tells what had no room until now.
    pub(crate) fn tell_waiting(&mut self, now: Instant, node: &mut Node) {
        if let Err(error) = self.control.tell_waiting(now, node) {
            log_untold(&error);
        }
    }

    /// The operator takes a member out of the cluster.
    pub(crate) fn note_removed(&mut self, now: Instant, member: Processor) {
        self.flight.note_removed(now, member);
    }

    pub(crate) const fn control(&self) -> &Control {
        &self.control
    }

    /// The ring's state changes. Returns what clients are to be told with the configurations that
    /// follow, if that is news.
    pub(crate) fn note_transition(
        &mut self,
        now: Instant,
        node: &Node,
        (from, to): (StateKind, StateKind),
        cause: Cause,
    ) -> Option<ChangeReason> {
        tracing::debug!(%from, %to, %cause, "ring state");
        let token = node.service().ring().token_sight();
        self.flight.note_transition(now, (from, to), cause, token);
        let begins = to == StateKind::Gather && from == StateKind::Operational;
        begins.then(|| {
            self.cause = Some(cause);
            self.since = Some(now);
            reason(cause)
        })
    }

    /// A peer came or went.
    pub(crate) fn note_peer(&mut self, now: Instant, event: PeerEvent) {
        self.flight.note_peer(now, &event);
        log_peer(event);
    }

    /// This process stood still.
    pub(crate) fn note_pause(&mut self, now: Instant, pause: Pause) {
        self.flight.note_pause(now, pause);
        if let Some(suppressed) = self.pause_log.admit(now) {
            tracing::warn!(
                pause_ms = pause.pause_us / 1000,
                starved_ms = pause.starved_us.map(|us| us / 1000),
                major_faults = pause.major_faults,
                suppressed,
                "this process stood still; others may have missed it"
            );
        }
    }

    /// An event of the daemons' own session. Returns whether it is one.
    pub(crate) fn take(&mut self, now: Instant, node: &mut Node, event: &Event) {
        match event {
            Event::Configuration(ConfigurationChange::Regular { ring, members, .. }) => {
                if !self.control.begins() {
                    self.install(now, node, *ring, members);
                }
            }
            Event::Configuration(ConfigurationChange::Transitional { members, .. }) => {
                self.flight.note_together(members);
            }
            Event::Message(message) => match self.control.hear(message) {
                Some(Telling::Evidence { ring, mut evidence }) => {
                    // Who says it is known better than by its own word.
                    evidence.node = message.id.sender.into();
                    self.flight.note_evidence(&ring, *evidence);
                }
                Some(Telling::Keys { mut keys }) => {
                    keys.truncate(KEYS_MAX);
                    if self.members.contains(message.id.sender) {
                        self.keys.insert(message.id.sender, keys);
                    }
                }
                Some(telling) => self.agreement.hear(message.id.sender, telling),
                None => {}
            },
            Event::Disconnected(_) => {}
        }
    }

    /// The first configuration comes before any session.
    pub(crate) fn look_for_first(&mut self, now: Instant, node: &mut Node) {
        if self.has_begun() {
            return;
        }
        let ring = node.service().ring();
        let (Some(id), Some(members)) = (ring.ring_id(), ring.members().cloned()) else { return };
        self.control.open(now, node);
        self.install(now, node, id, &members);
    }

    fn install(&mut self, now: Instant, node: &mut Node, ring: RingId, members: &Members) {
        let counted = counted(node);
        let (evidence, trigger) = self.flight.install(now, (ring, members), counted);
        let telling = Telling::Evidence { ring: ring.to_string(), evidence: Box::new(evidence) };
        self.control.begin_configuration();
        if let Err(error) = self.control.tell(now, node, &telling) {
            log_untold(&error);
        }
        self.agreement.install(members);
        let cause = self.cause.map_or_else(|| "start".to_owned(), |cause| cause.to_string());
        let took = self.since.map(|since| now.since(since));
        tracing::info!(
            %ring,
            %members,
            joined = %members.difference(&self.members),
            left = %self.members.difference(members),
            cause,
            why = headline_of(&trigger),
            took_ms = took.map(millis),
            "membership changed"
        );
        (self.ring, self.members) = (Some(ring), members.clone());
        self.keys.retain(|member, _| members.contains(*member));
        self.tell_keys(now, node);
        (self.cause, self.since) = (None, None);
    }
}

/// A node that leaves tells nobody anything, and need not.
pub(crate) fn log_untold(error: &str) {
    tracing::debug!(error, "the other daemons are not told something");
}

fn counted(node: &Node) -> Counted {
    let (ring, service) = (node.service().ring().stats(), node.service().stats());
    Counted { sent: ring.recovered, got: ring.retrieved, restarted: service.messages_restarted }
}

/// What clients are told of why the ring was given up.
const fn reason(cause: Cause) -> ChangeReason {
    match cause {
        Cause::PathLost(one, other) => ChangeReason::PathLost(one, other),
        Cause::MemberLeft(member) => ChangeReason::MemberLeft(member),
        Cause::MemberGathers(member) => ChangeReason::MemberAsked(member),
        Cause::Growth(newcomer) => ChangeReason::Growth(newcomer),
        Cause::OutOfRange => ChangeReason::OutOfRange,
        // The others do not end a ring in operation.
        Cause::TokenLost
        | Cause::Leave
        | Cause::CommitComplete
        | Cause::CommitToken
        | Cause::Consensus
        | Cause::Recovered => ChangeReason::TokenLost,
    }
}

fn log_peer(event: PeerEvent) {
    match event {
        PeerEvent::Up { peer, round_trip } => {
            tracing::info!(%peer, round_trip_us = round_trip.map(micros), "peer heard");
        }
        PeerEvent::Down { peer, cause } => log_down(peer, None, cause),
        PeerEvent::PathUp { peer, link } => tracing::info!(%peer, %link, "path works"),
        PeerEvent::PathDown { peer, link, cause } => log_down(peer, Some(link.get()), cause),
        PeerEvent::Moved { peer, from, to, trouble } => match trouble {
            Trouble::None => tracing::info!(%peer, %from, %to, "traffic back on the better link"),
            Trouble::Down => tracing::warn!(%peer, %from, %to, "traffic moved: the path is down"),
            Trouble::Narrow => tracing::warn!(
                %peer, %from, %to,
                "traffic moved: large packets do not get through to the peer"
            ),
            Trouble::Silent => tracing::warn!(
                %peer, %from, %to,
                "traffic moved: nothing came, or came back, for several hellos"
            ),
            Trouble::Loss(ppm) => {
                tracing::warn!(%peer, %from, %to, loss_ppm = ppm, "traffic moved: loss");
            }
            Trouble::Slow(round_trip) => tracing::warn!(
                %peer, %from, %to, round_trip_us = micros(round_trip),
                "traffic moved: the path is slow"
            ),
        },
        PeerEvent::Mtu { peer, link, bytes, cause } => log_mtu(peer, link, bytes, cause),
        PeerEvent::Double { kept, other } => {
            let other = format!("{other:016x}");
            tracing::warn!(
                %kept, other_incarnation = other,
                "two processes run with one node id; give one of them an id of its own"
            );
        }
    }
}

/// How large a datagram is sent. That a sound path carries everything is nothing to tell.
fn log_mtu(peer: Processor, link: LinkId, datagram_bytes: usize, cause: MtuCause) {
    match cause {
        MtuCause::Found => {
            tracing::debug!(%peer, %link, datagram_bytes, "how much the path carries is known");
        }
        MtuCause::Healed => tracing::info!(
            %peer, %link, datagram_bytes,
            "large packets get through to the peer again"
        ),
        MtuCause::Lost => tracing::warn!(
            %peer, %link, datagram_bytes,
            "large packets to the peer get lost, and are cut from now on; is the network's MTU \
             what the configuration says?"
        ),
        MtuCause::Refused => tracing::warn!(
            %peer, %link, datagram_bytes,
            "large packets to the peer are too long for this node's interface, and are cut from \
             now on; is its MTU what the configuration says?"
        ),
        MtuCause::Unproven => tracing::warn!(
            %peer, %link, datagram_bytes,
            "large packets do not get through to the peer, and are cut; is the network's MTU what \
             the configuration says?"
        ),
    }
}

/// With several links, first each path is lost and then the peer.
fn log_down(peer: Processor, link: Option<u8>, cause: DownCause) {
    let what = if link.is_some() { "path lost" } else { "peer not heard" };
    match cause {
        DownCause::Silence(silence) => {
            tracing::info!(%peer, link, silence_ms = millis(silence), "{what}: silent");
        }
        DownCause::Refused(silence) => {
            let silence_ms = millis(silence);
            tracing::info!(
                %peer, link, silence_ms,
                "{what}: the host says that nobody listens there, and nobody answers"
            );
        }
        DownCause::NotHeardByPeer => {
            tracing::info!(%peer, link, "{what}: it says that it does not hear this node");
        }
        DownCause::Removed => {
            tracing::info!(%peer, link, "{what}: it is no part of the cluster any more");
        }
        DownCause::Deaf => tracing::warn!(
            %peer, link,
            "{what}: small packets pass, but data does not get through; is the network's MTU what \
             the configuration says?"
        ),
        DownCause::Replaced(newer) => {
            let newer = format!("{newer:016x}");
            tracing::info!(%peer, link, newer_incarnation = newer, "{what}: it restarted");
        }
    }
}
