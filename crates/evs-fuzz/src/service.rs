//! A living service: `evs_service::Service` with clients, among peers that may say anything.

use std::collections::BTreeMap;

use bytes::Bytes;
use evs_model::{
    ClientId, ConfigurationChange, Event, Group, Groups, Guarantee, Instant, Members, Message,
    Processor, RingId,
};
use evs_service::{Config, Origins, Output, SendError, Service};
use totem::{Packet, Ring};

use crate::input::Input;
use crate::records::group;
use crate::world::{Effect, OWN_AT, Start, Subject, World, landmarks};
use crate::{Seen, Target, seeds};

pub(crate) const TARGET: Target = Target {
    name: "service",
    run,
    bytes_max: 2048,
    landmarks: || {
        landmarks(&[
            "own message returned",
            "message of a peer",
            "room",
            "left",
            "queue full",
            "too big",
            "no such client",
            "not ready or full",
            "numbers used",
            "malformed",
            "fragment dropped",
            "restarted",
            "partials ended",
        ])
    },
    seeds: seeds::services,
};

const RETURNED: usize = OWN_AT;
const OF_A_PEER: usize = OWN_AT + 1;
const ROOM: usize = OWN_AT + 2;
const LEFT: usize = OWN_AT + 3;
const QUEUE_FULL: usize = OWN_AT + 4;
const TOO_BIG: usize = OWN_AT + 5;
const NO_CLIENT: usize = OWN_AT + 6;
const NOT_CONNECTED: usize = OWN_AT + 7;
const NUMBERS_USED: usize = OWN_AT + 8;
const COUNTED: usize = OWN_AT + 9;

fn run(input: &[u8]) -> Seen {
    let mut input = Input::new(input);
    let start = Start::read(&mut input);
    let config = Config {
        totem: start.config.clone(),
        clients_max: 3,
        groups_per_client_max: 3,
        client_send_bytes_max: 4 << 10,
        message_bytes_max: 3000,
        // Where other counters are near their end, the clients' counts of messages are nearer.
        origins: Origins { client: 0, message: start.config.origins.row.saturating_add(17) },
    };
    let service = Service::new(config, start.me, start.stored, 42, start.now);
    let subject = Watched {
        service,
        me: start.me,
        clients: BTreeMap::new(),
        sent: BTreeMap::new(),
        forged: false,
        left: false,
    };
    let mut world = World::new(subject, &start);
    world.run(&mut input);
    let stats = world.subject.service.stats();
    let counted = [
        stats.records_malformed,
        stats.fragments_dropped,
        stats.messages_restarted,
        stats.partials_ended,
    ];
    for (at, count) in counted.into_iter().enumerate() {
        world.seen.mark_if(COUNTED + at, count > 0);
    }
    world.seen
}

/// A service and the judge of what its clients see.
#[derive(Debug)]
struct Watched {
    service: Service,
    me: Processor,
    clients: BTreeMap<ClientId, Client>,
    /// What was accepted, by client and number.
    sent: BTreeMap<(ClientId, u64), Sent>,
    /// A peer spoke in this processor's name: then nothing can be said of own messages.
    forged: bool,
    left: bool,
}

#[derive(Debug)]
struct Sent {
    guarantee: Guarantee,
    groups: Groups,
    body: Bytes,
}

/// What a client has seen, and how often it joined what.
#[derive(Debug, Default)]
struct Client {
    groups: BTreeMap<Group, u32>,
    regular: Option<RingId>,
    transitional: Option<RingId>,
    /// The place of the last message that was delivered in its place.
    in_order: u64,
    /// The last own message of each client that is not unordered.
    last_own: BTreeMap<ClientId, u64>,
    /// The own messages that came.
    own: std::collections::BTreeSet<(ClientId, u64)>,
}

impl Subject for Watched {
    fn ring(&self) -> &Ring {
        self.service.ring()
    }

    fn handle_packet(&mut self, now: Instant, from: Processor, packet: Packet) {
        self.service.handle_packet(now, from, packet);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.service.handle_timeout(now);
    }

    fn handle_reachability(&mut self, now: Instant, heard: Members) {
        self.service.handle_reachability(now, heard);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.service.poll_timeout()
    }

    fn leave(&mut self, now: Instant) {
        self.service.leave(now);
    }

    fn act(&mut self, now: Instant, input: &mut Input<'_>, seen: &mut Seen) -> usize {
        let what = input.u8();
        let client = ClientId(u64::from(what >> 3 & 7) + 1);
        let chosen = input.u8();
        let groups: Vec<Group> =
            (0..4).filter(|number| chosen >> number & 1 == 1).map(group).collect();
        match what & 7 {
            0 => match self.service.connect(now) {
                Ok(client) => {
                    let before = self.clients.insert(client, Client::default());
                    assert!(before.is_none(), "a client's name is never used again");
                }
                Err(_) => seen.mark(NOT_CONNECTED),
            },
            1 => {
                self.service.disconnect(now, client);
                self.clients.remove(&client);
            }
            2 | 3 => self.join(now, client, &groups, seen),
            4 => self.leave_groups(now, client, &groups, seen),
            _ => return self.send(now, client, &groups, input, seen),
        }
        0
    }

    fn poll_effect(&mut self, seen: &mut Seen) -> Option<Effect> {
        Some(match self.service.poll_output()? {
            Output::Distrust(peer) => Effect::Distrust(peer),
            Output::Left { .. } => {
                assert!(!self.left, "it leaves once");
                self.left = true;
                seen.mark(LEFT);
                Effect::Delivered
            }
            Output::Persist(seq) => Effect::Persist(seq),
            Output::Room { bytes, .. } => {
                assert!(bytes > 0, "room is some room");
                seen.mark(ROOM);
                Effect::Delivered
            }
            Output::ToClient { client, event } => {
                self.judge(client, event, seen);
                Effect::Delivered
            }
            Output::Transition { from, to, .. } => Effect::Transition(from, to),
            Output::Transmit { to, packet } => Effect::Transmit(to, packet),
        })
    }

    fn note_forgery(&mut self) {
        self.forged = true;
    }

    fn check(&self) {
        self.service.check();
    }
}

impl Watched {
    fn join(&mut self, now: Instant, client: ClientId, groups: &[Group], seen: &mut Seen) {
        let joined = self.service.join(now, client, groups);
        let Some(known) = self.clients.get_mut(&client) else {
            assert!(joined.is_err(), "nobody joins for a client that is not there");
            return seen.mark(NO_CLIENT);
        };
        if joined.is_ok() {
            groups.iter().for_each(|group| *known.groups.entry(*group).or_default() += 1);
        }
        assert!(known.groups.len() <= self.service.config().groups_per_client_max);
    }

    fn leave_groups(&mut self, now: Instant, client: ClientId, groups: &[Group], seen: &mut Seen) {
        let left = self.service.leave_groups(now, client, groups);
        let Some(known) = self.clients.get_mut(&client) else {
            assert!(left.is_err(), "nobody leaves for a client that is not there");
            return seen.mark(NO_CLIENT);
        };
        let joined = groups.iter().all(|group| known.groups.contains_key(group));
        assert_eq!(left.is_ok(), joined, "all or none");
        for group in groups.iter().filter(|_| joined) {
            let times = known.groups.get_mut(group).expect("all are joined");
            *times -= 1;
            if *times == 0 {
                known.groups.remove(group);
            }
        }
    }

    fn send(
        &mut self,
        now: Instant,
        client: ClientId,
        groups: &[Group],
        input: &mut Input<'_>,
        seen: &mut Seen,
    ) -> usize {
        let style = input.u8();
        let guarantee = Guarantee::try_from(style & 3).expect("two bits");
        let length = usize::from(style >> 2 & 3) * usize::from(input.u8()) * 4;
        let groups = Groups::new(groups).expect("at most four");
        let body = Bytes::from(vec![style; length]);
        match self.service.send(now, client, guarantee, groups.clone(), body.clone()) {
            Ok(id) => {
                assert_eq!((id.sender, id.client), (self.me, client));
                let sent = Sent { guarantee, groups, body };
                let before = self.sent.insert((client, id.number), sent);
                assert!(before.is_none(), "a number is used once");
            }
            Err(SendError::QueueFull { .. }) => seen.mark(QUEUE_FULL),
            Err(SendError::TooBig { .. }) => seen.mark(TOO_BIG),
            Err(SendError::UnknownClient) => seen.mark(NO_CLIENT),
            Err(SendError::NumbersUsed) => seen.mark(NUMBERS_USED),
            Err(SendError::Leaving) => {}
        }
        length + 4 * Group::LEN
    }

    fn judge(&mut self, client: ClientId, event: Event, seen: &mut Seen) {
        // It may have disconnected within the same input.
        let Some(known) = self.clients.get_mut(&client) else { return };
        match event {
            Event::Configuration(change) => known.configuration(self.me, change),
            Event::Message(message) => {
                known.message(&message);
                if message.id.sender != self.me {
                    return seen.mark(OF_A_PEER);
                }
                seen.mark(RETURNED);
                if !self.forged {
                    let sent = self.sent.get(&(message.id.client, message.id.number));
                    let sent = sent.expect("an own message was accepted");
                    assert_eq!(sent.guarantee, message.guarantee);
                    assert_eq!(sent.groups, message.groups);
                    assert_eq!(sent.body, message.body, "whole, byte for byte");
                    known.own_message(&message);
                }
            }
            Event::Disconnected(reason) => panic!("the service disconnects nobody: {reason}"),
        }
    }
}

impl Client {
    /// EVS-2, EVS-11.
    fn configuration(&mut self, me: Processor, change: ConfigurationChange) {
        match change {
            ConfigurationChange::Regular { ring, members, left, joined } => {
                assert!(members.contains(me) && joined.is_subset(&members));
                assert!(left.intersection(&members).is_empty());
                if let Some(before) = self.regular {
                    assert_eq!(self.transitional.take(), Some(ring), "it was announced");
                    assert!(ring.seq > before.seq, "ring ids grow");
                } else {
                    let others = members.difference(&Members::singleton(me));
                    assert_eq!(joined, others, "a session begins with a copy");
                }
                self.regular = Some(ring);
                self.in_order = 0;
            }
            ConfigurationChange::Transitional { from, to, members, left } => {
                assert_eq!(Some(from), self.regular);
                assert!(self.transitional.is_none(), "one transitional configuration at a time");
                assert!(members.contains(me) && left.intersection(&members).is_empty());
                self.transitional = Some(to);
            }
        }
    }

    /// EVS-1, EVS-6, EVS-10.
    fn message(&mut self, message: &Message) {
        assert_eq!(Some(message.ring), self.regular, "in the configuration in which it was sent");
        assert!(message.groups.iter().any(|group| self.groups.contains_key(&group)));
        if message.guarantee != Guarantee::Unordered {
            assert!(message.seq >= self.in_order, "in the agreed order");
            self.in_order = message.seq;
        }
    }

    /// EVS-1, EVS-8, for what nobody else can have sent.
    fn own_message(&mut self, message: &Message) {
        let (client, number) = (message.id.client, message.id.number);
        assert!(self.own.insert((client, number)), "{} comes once", message.id);
        if message.guarantee != Guarantee::Unordered {
            let last = self.last_own.insert(client, number);
            assert!(last.is_none_or(|last| last < number), "in the order sent");
        }
    }
}
