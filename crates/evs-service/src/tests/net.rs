//! Services over a network in memory: every packet is encoded, travels for a fixed time, and is
//! decoded again. Time jumps from one event to the next.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use evs_model::{
    ClientId, ConfigurationChange, Event, Group, Groups, Guarantee, Instant, Members, Message,
    MessageId, NodeId, Processor,
};
use totem::{Destination, Packet, StateKind};

use crate::{Config, Output, SendError, Service};

const HOP: Duration = Duration::from_micros(50);

/// Virtual time after which a test that still waits has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn p(node: u32) -> Processor {
    Processor::new(NodeId::new(node).expect("not zero"), u64::from(node) * 0x1111)
}

pub(super) fn members(nodes: &[u32]) -> Members {
    Members::new(nodes.iter().map(|n| p(*n)).collect()).expect("a short list")
}

pub(super) fn group(name: &str) -> Group {
    Group::named(name).expect("short")
}

pub(super) fn groups(names: &[&str]) -> Groups {
    Groups::new(&names.iter().map(|name| group(name)).collect::<Vec<_>>()).expect("few")
}

/// A content that tells its own length and number at every byte.
pub(super) fn content(number: u64, bytes: usize) -> Bytes {
    let byte = |i: usize| (i as u64 * 31 + number * 7 + bytes as u64).to_le_bytes()[0];
    (0..bytes).map(byte).collect()
}

/// A change to a packet on its way, or its loss.
type Fault = Box<dyn FnMut(u32, Packet) -> Option<Packet>>;

pub(super) struct Net {
    pub(super) now: Instant,
    pub(super) nodes: BTreeMap<u32, Node>,
    /// Sees every packet with its sender.
    pub(super) fault: Option<Fault>,
    packets: BTreeMap<(Instant, u64), (Processor, u32, Vec<u8>)>,
    serial: u64,
    cut: BTreeSet<(u32, u32)>,
}

pub(super) struct Node {
    pub(super) service: Service,
    pub(super) me: Processor,
    /// Every output but packets, in order.
    pub(super) outputs: Vec<Output>,
}

impl Net {
    /// Processors that have just started and hear each other.
    pub(super) fn new(nodes: &[u32], config: &Config) -> Self {
        let mut net = Self {
            now: Instant::from_nanos(1),
            nodes: BTreeMap::new(),
            fault: None,
            packets: BTreeMap::new(),
            serial: 0,
            cut: BTreeSet::new(),
        };
        nodes.iter().for_each(|node| net.start(p(*node), config));
        net
    }

    /// Processors in one configuration.
    pub(super) fn formed(nodes: &[u32]) -> Self {
        Self::formed_with(nodes, &Config::default())
    }

    pub(super) fn formed_with(nodes: &[u32], config: &Config) -> Self {
        let mut net = Self::new(nodes, config);
        net.settle(&[nodes]);
        net
    }

    pub(super) fn start(&mut self, me: Processor, config: &Config) {
        let service = Service::new(config.clone(), me, 0, me.incarnation, self.now);
        self.nodes.insert(me.node.get(), Node { service, me, outputs: Vec::new() });
        self.tell_who_hears_whom();
    }

    /// A processor stops without a word.
    pub(super) fn crash(&mut self, node: u32) {
        self.nodes.remove(&node);
        self.tell_who_hears_whom();
    }

    /// From now on these sets hear nobody else.
    pub(super) fn split(&mut self, sets: &[&[u32]]) {
        self.cut.clear();
        for (i, set) in sets.iter().enumerate() {
            for other in sets.iter().skip(i + 1) {
                for (a, b) in set.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
                    self.cut.extend([(a, b), (b, a)]);
                }
            }
        }
        self.tell_who_hears_whom();
    }

    pub(super) fn heal(&mut self) {
        self.split(&[]);
    }

    /// From now on tokens are lost, and the ring with them; joins still arrive, so nobody is given
    /// up and no ring is formed.
    pub(super) fn lose_tokens(&mut self) {
        self.fault = Some(Box::new(|_, packet| {
            let token = matches!(packet, Packet::Token(_) | Packet::CommitToken(_));
            (!token).then_some(packet)
        }));
        let gone = |net: &Self| {
            net.nodes.values().all(|node| node.service.ring().state() != StateKind::Operational)
        };
        self.until("the ring to break", gone);
    }

    fn tell_who_hears_whom(&mut self) {
        let all: Vec<_> = self.nodes.values().map(|node| node.me).collect();
        for to in self.nodes.keys().copied().collect::<Vec<_>>() {
            let hears = |from: &Processor| {
                from.node.get() != to && !self.cut.contains(&(from.node.get(), to))
            };
            let heard = Members::new(all.iter().copied().filter(hears).collect()).expect("few");
            self.input(to, |service, now| service.handle_reachability(now, heard));
        }
    }

    // ── time ────────────────────────────────────────────────────────────────────────────────

    /// Gives one processor an input and takes its outputs.
    pub(super) fn input<T>(
        &mut self,
        node: u32,
        input: impl FnOnce(&mut Service, Instant) -> T,
    ) -> T {
        let Node { service, me, outputs } = self.nodes.get_mut(&node).expect("it runs");
        let result = input(service, self.now);
        service.check();
        let me = *me;
        let mut sent = Vec::new();
        while let Some(output) = service.poll_output() {
            match output {
                Output::Transmit { to, packet } => sent.push((to, packet)),
                other @ (Output::Distrust(_)
                | Output::Left { .. }
                | Output::Persist(_)
                | Output::Room { .. }
                | Output::ToClient { .. }
                | Output::Transition { .. }) => outputs.push(other),
            }
        }
        assert!(!service.rouses(), "nothing waits while the ring is idle");
        sent.into_iter().for_each(|(to, packet)| self.transmit(me, to, packet));
        result
    }

    fn transmit(&mut self, from: Processor, to: Destination, packet: Packet) {
        let packet = match &mut self.fault {
            Some(fault) => fault(from.node.get(), packet),
            None => Some(packet),
        };
        let Some(packet) = packet else { return };
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        for node in self.nodes.values() {
            let reached = match to {
                Destination::All => node.me != from,
                Destination::Node(to) => node.me == to,
            };
            let (a, b) = (from.node.get(), node.me.node.get());
            if reached && !self.cut.contains(&(a, b)) {
                self.serial += 1;
                self.packets.insert((self.now + HOP, self.serial), (from, b, bytes.clone()));
            }
        }
    }

    /// The next packet or deadline.
    fn step(&mut self) {
        let due = |node: &Node| node.service.poll_timeout();
        let timer = self.nodes.iter().filter_map(|(id, node)| Some((due(node)?, *id))).min();
        let packet = self.packets.first_key_value().map(|(key, _)| *key);
        match (packet, timer) {
            (Some((at, serial)), timer) if timer.is_none_or(|(due, _)| at <= due) => {
                self.now = self.now.max(at);
                let (from, to, bytes) = self.packets.remove(&(at, serial)).expect("just seen");
                let packet = Packet::decode(bytes.into()).expect("as it was encoded");
                if self.nodes.contains_key(&to) {
                    self.input(to, |service, now| service.handle_packet(now, from, packet));
                }
            }
            (_, Some((due, node))) => {
                self.now = self.now.max(due);
                self.input(node, Service::handle_timeout);
            }
            (_, None) => panic!("nothing will ever happen"),
        }
    }

    pub(super) fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let limit = self.now + PATIENCE;
        while !done(self) {
            assert!(self.now < limit, "waited too long for: {what}");
            self.step();
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.until("time to pass", |net| net.now >= end);
    }

    /// Waits until each of these sets is one configuration, and everything sent is delivered.
    pub(super) fn settle(&mut self, sets: &[&[u32]]) {
        self.until("the configurations", |net| {
            sets.iter().all(|set| set.iter().all(|node| net.settled(*node, set)))
        });
    }

    fn settled(&self, node: u32, set: &[u32]) -> bool {
        let me = |node: &u32| self.nodes[node].me;
        let expected = Members::new(set.iter().map(me).collect()).expect("few");
        let ring = self.nodes[&node].service.ring();
        let same = |other: &u32| self.nodes[other].service.ring().ring_id() == ring.ring_id();
        ring.state() == StateKind::Operational
            && ring.members() == Some(&expected)
            && set.iter().all(same)
            && ring.stable()
            && !self.nodes[&node].service.unsent()
    }

    // ── clients ─────────────────────────────────────────────────────────────────────────────

    /// A client of this processor in these groups.
    pub(super) fn client(&mut self, node: u32, names: &[&str]) -> ClientId {
        let client = self.input(node, Service::connect).expect("there is a configuration");
        let keys: Vec<_> = names.iter().map(|name| group(name)).collect();
        self.input(node, |service, now| service.join(now, client, &keys)).expect("few groups");
        client
    }

    pub(super) fn try_send(
        &mut self,
        (node, client): (u32, ClientId),
        guarantee: Guarantee,
        names: &[&str],
        body: Bytes,
    ) -> Result<MessageId, SendError> {
        self.input(node, |service, now| service.send(now, client, guarantee, groups(names), body))
    }

    pub(super) fn send(
        &mut self,
        from: (u32, ClientId),
        guarantee: Guarantee,
        names: &[&str],
        body: Bytes,
    ) -> MessageId {
        self.try_send(from, guarantee, names, body).expect("there is room")
    }

    /// All that a client has seen.
    pub(super) fn events(&self, (node, client): (u32, ClientId)) -> Vec<Event> {
        let of_client = |output: &Output| match output {
            Output::ToClient { client: c, event } if *c == client => Some(event.clone()),
            Output::ToClient { .. }
            | Output::Distrust(_)
            | Output::Left { .. }
            | Output::Persist(_)
            | Output::Room { .. }
            | Output::Transition { .. }
            | Output::Transmit { .. } => None,
        };
        self.nodes[&node].outputs.iter().filter_map(of_client).collect()
    }

    pub(super) fn messages(&self, of: (u32, ClientId)) -> Vec<Message> {
        let message = |event| match event {
            Event::Message(message) => Some(message),
            Event::Configuration(_) | Event::Disconnected(_) => None,
        };
        self.events(of).into_iter().filter_map(message).collect()
    }

    pub(super) fn changes(&self, of: (u32, ClientId)) -> Vec<ConfigurationChange> {
        let change = |event| match event {
            Event::Configuration(change) => Some(change),
            Event::Message(_) | Event::Disconnected(_) => None,
        };
        self.events(of).into_iter().filter_map(change).collect()
    }

    /// The bytes freed that a client was told of.
    pub(super) fn rooms(&self, (node, client): (u32, ClientId)) -> Vec<usize> {
        let room = |output: &Output| match output {
            Output::Room { client: c, bytes } if *c == client => Some(*bytes),
            Output::Room { .. }
            | Output::Distrust(_)
            | Output::Left { .. }
            | Output::Persist(_)
            | Output::ToClient { .. }
            | Output::Transition { .. }
            | Output::Transmit { .. } => None,
        };
        self.nodes[&node].outputs.iter().filter_map(room).collect()
    }
}
