//! Two ways to put a processor into a state: by typed packets from peers that are not there
//! ([`Solo`]), and together with real ones over a network in memory ([`Together`]).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use evs_model::{Configuration, Guarantee, Instant, Members, NodeId, Processor, RingId};

use crate::config::{Config, Origins};
use crate::output::{Cause, Delivery, Destination, Output, StateKind};
use crate::ring::Ring;
use crate::wire::{CommitToken, Entry, Installed, Join, Mcast, Packet, Row, Standing, Token};

pub(super) const MS: Duration = Duration::from_millis(1);

/// Processor n, in its first incarnation.
pub(super) fn p(node: u32) -> Processor {
    Processor::new(NodeId::new(node).expect("not zero"), u64::from(node) * 0x1111)
}

pub(crate) fn members(nodes: &[u32]) -> Members {
    Members::new(nodes.iter().map(|n| p(*n)).collect()).expect("a short list")
}

pub(crate) fn config() -> Config {
    Config { detection: 1000 * MS, window_packets: 16, ..Config::default() }
}

/// A row in which the processor hears all the others, and is in this ring with 1, 2 and 3.
pub(super) fn row(node: u32, all: &[u32], ring: Option<RingId>) -> Row {
    let mut hears = members(all);
    hears.remove(p(node));
    let installed = ring.map(|ring| Installed { ring, members: members(&[1, 2, 3]) });
    Row { processor: p(node), version: 1_000, hears, installed, standing: Standing::Operational }
}

/// Processor 2 alone with packets.
pub(super) struct Solo {
    pub(super) ring: Ring,
    pub(super) now: Instant,
    pub(super) outputs: Vec<Output>,
    all: Vec<u32>,
}

impl Solo {
    /// In Gather, just started, hearing the others.
    pub(super) fn gathering(all: &[u32]) -> Self {
        Self::gathering_with(config(), all)
    }

    pub(super) fn gathering_with(config: Config, all: &[u32]) -> Self {
        let now = Instant::from_nanos(1);
        let ring = Ring::new(config, p(2), 0, 7, now);
        let mut solo = Self { ring, now, outputs: Vec::new(), all: all.to_vec() };
        let mut heard = members(all);
        heard.remove(p(2));
        solo.ring.handle_reachability(now, heard);
        solo.drain();
        solo
    }

    /// In Commit: the others of {1, 2, …} proposed the same, and the commit token came by.
    pub(super) fn committed(all: &[u32]) -> Self {
        let mut solo = Self::gathering(all);
        solo.join_all();
        let token = solo.commit_token(1);
        solo.receive(1, Packet::CommitToken(token.into()));
        assert_eq!(solo.ring.state(), StateKind::Commit);
        solo
    }

    /// In Recovery, as a fresh processor among fresh ones.
    pub(super) fn recovering(all: &[u32]) -> Self {
        let mut solo = Self::committed(all);
        let token = solo.complete_commit_token();
        solo.receive(1, Packet::CommitToken(token.into()));
        assert_eq!(solo.ring.state(), StateKind::Recovery);
        solo
    }

    /// In Operational, after the visit of the token that installed the ring.
    pub(super) fn operational(all: &[u32]) -> Self {
        let mut solo = Self::recovering(all);
        let mut token = Token::first(solo.ring_id(), &Origins::default());
        token.complete = ((1 << all.len()) - 1) & !(1 << solo.place());
        solo.receive(1, Packet::Token(token.into()));
        assert_eq!(solo.ring.state(), StateKind::Operational);
        solo.outputs.clear();
        solo
    }

    /// The ring that the fixtures form.
    pub(super) fn ring_id(&self) -> RingId {
        RingId { seq: 5, rep: p(self.all[0]) }
    }

    pub(super) fn members(&self) -> Members {
        members(&self.all)
    }

    fn place(&self) -> usize {
        self.members().index_of(p(2)).expect("2 is one of them")
    }

    /// Joins of all others that propose everybody.
    pub(super) fn join_all(&mut self) {
        for node in self.all.clone().into_iter().filter(|n| *n != 2) {
            let join = self.join(1);
            self.receive(node, Packet::Join(join.into()));
        }
    }

    /// A join that proposes everybody.
    pub(super) fn join(&self, number: u64) -> Join {
        Join {
            number,
            seq: 4,
            accepted: 0,
            proposal: self.members(),
            rows: self.all.iter().filter(|n| **n != 2).map(|n| row(*n, &self.all, None)).collect(),
        }
    }

    /// The commit token as it arrives in the first rotation.
    pub(super) fn commit_token(&self, hop: u32) -> CommitToken {
        let members = self.members();
        let before = self.place();
        CommitToken {
            ring: self.ring_id(),
            hop,
            terms: config().terms(),
            entries: (0..members.len())
                .map(|place| (place < before).then_some(Entry { old: None }))
                .collect(),
            members,
        }
    }

    /// The commit token as it arrives in the second rotation.
    pub(super) fn complete_commit_token(&self) -> CommitToken {
        let mut token = self.commit_token(0);
        token.hop = u32::try_from(self.all.len()).expect("few") + 1;
        token.entries.fill(Some(Entry { old: None }));
        token
    }

    /// A token that knows of nothing, with the largest window.
    pub(super) fn token(&self, token_seq: u64) -> Token {
        let window = config().window_bytes;
        Token { token_seq, window, ..Token::first(self.ring_id(), &Origins::default()) }
    }

    pub(super) fn mcast(&self, sender: u32, seq: u64, guarantee: Guarantee) -> Mcast {
        Mcast {
            ring: self.ring_id(),
            seq,
            sender: p(sender).node,
            guarantee,
            again: false,
            body: Bytes::from(alloc::format!("{sender}:{seq}")),
        }
    }

    pub(super) fn receive(&mut self, from: u32, packet: Packet) {
        self.ring.handle_packet(self.now, p(from), packet);
        self.drain();
    }

    pub(super) fn receive_token(&mut self, token: Token) {
        self.receive(1, Packet::Token(token.into()));
    }

    pub(super) fn submit(&mut self, body: &str, guarantee: Guarantee) {
        self.submit_all(&[body], guarantee);
    }

    /// In one batch of inputs.
    pub(super) fn submit_all(&mut self, bodies: &[&str], guarantee: Guarantee) {
        for body in bodies {
            let body = Bytes::copy_from_slice(body.as_bytes());
            self.ring.submit(self.now, body, guarantee).expect("there is room");
        }
        self.drain();
    }

    /// Lets time pass, with every timeout at its time.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, _)) = self.ring.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.ring.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        self.ring.check();
        while let Some(output) = self.ring.poll_output() {
            self.outputs.push(output);
        }
    }

    /// For so long nothing happens here, and nothing is due before that is known.
    pub(super) fn stand_still(&mut self, time: Duration) {
        self.now = self.now + time;
        self.ring.handle_pause(self.now, time);
        self.pass(Duration::ZERO);
    }

    /// The packets sent since the last call.
    pub(super) fn sent(&mut self) -> Vec<(Destination, Packet)> {
        let outputs = core::mem::take(&mut self.outputs);
        let transmit = |output| {
            if let Output::Transmit { to, packet } = output { Some((to, packet)) } else { None }
        };
        outputs.into_iter().filter_map(transmit).collect()
    }

    /// The one token sent since the last call.
    pub(super) fn sent_token(&mut self) -> Token {
        let tokens: Vec<_> = self
            .sent()
            .into_iter()
            .filter_map(|(_, packet)| if let Packet::Token(t) = packet { Some(*t) } else { None })
            .collect();
        assert_eq!(tokens.len(), 1, "one token is sent");
        tokens.into_iter().next().expect("one")
    }

    /// The bodies delivered since the last call; nothing is consumed of the rest.
    pub(super) fn delivered(&self) -> Vec<String> {
        let deliver = |output: &Output| {
            if let Output::Deliver(delivery) = output { Some(text(delivery)) } else { None }
        };
        self.outputs.iter().filter_map(deliver).collect()
    }

    /// Why the state was left last.
    pub(super) fn cause(&self) -> Option<Cause> {
        self.outputs.iter().rev().find_map(|output| {
            if let Output::Transition { cause, .. } = output { Some(*cause) } else { None }
        })
    }
}

pub(super) fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.body).into_owned()
}

/// What one processor delivered, one line for each.
pub(super) type History = Vec<String>;

/// Whether a packet is lost: (from, to, packet).
type Drop = dyn FnMut(u32, u32, &Packet) -> bool;

/// Several processors on a network in memory: packets arrive in order after 0.1 ms, unless the
/// test drops them.
pub(super) struct Together {
    pub(super) now: Instant,
    packet_bytes_max: usize,
    pub(super) rings: BTreeMap<u32, Ring>,
    pub(super) histories: BTreeMap<u32, History>,
    flying: VecDeque<(Instant, u32, u32, Packet)>,
    cut: Vec<(u32, u32)>,
    dead: Vec<u32>,
    drop: Option<Box<Drop>>,
}

impl Together {
    pub(super) const HOP: Duration = Duration::from_micros(100);

    /// These processors, just started.
    pub(super) fn started(nodes: &[u32]) -> Self {
        Self::started_with(&config(), nodes)
    }

    pub(super) fn started_with(config: &Config, nodes: &[u32]) -> Self {
        let now = Instant::from_nanos(1);
        let ring = |n: u32| Ring::new(config.clone(), p(n), 0, u64::from(n), now);
        let mut together = Self {
            now,
            packet_bytes_max: config.packet_bytes_max,
            rings: nodes.iter().map(|n| (*n, ring(*n))).collect(),
            histories: nodes.iter().map(|n| (*n, Vec::new())).collect(),
            flying: VecDeque::new(),
            cut: Vec::new(),
            dead: Vec::new(),
            drop: None,
        };
        together.hear();
        together
    }

    /// These processors, in one ring.
    pub(super) fn formed(nodes: &[u32]) -> Self {
        let mut together = Self::started(nodes);
        together.run(2000 * MS);
        for node in nodes {
            assert_eq!(together.rings[node].members(), Some(&members(nodes)));
        }
        together
    }

    /// Drops packets for which the test says so: (from, to, packet).
    pub(super) fn dropping(&mut self, drop: impl FnMut(u32, u32, &Packet) -> bool + 'static) {
        self.drop = Some(Box::new(drop));
    }

    pub(super) fn dropping_nothing(&mut self) {
        self.drop = None;
    }

    /// Separates the nodes into sides that do not hear each other; everybody notices at once.
    pub(super) fn partition(&mut self, sides: &[&[u32]]) {
        self.cut(sides);
        self.hear();
    }

    /// The same, but nobody has noticed yet.
    pub(super) fn cut(&mut self, sides: &[&[u32]]) {
        let side = |n: &u32| sides.iter().position(|side| side.contains(n));
        let nodes: Vec<u32> = self.rings.keys().copied().collect();
        self.cut = nodes
            .iter()
            .flat_map(|a| nodes.iter().map(|b| (*a, *b)))
            .filter(|(a, b)| side(a) != side(b))
            .collect();
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
        self.hear();
    }

    /// Ends a processor; the others notice when the test says so, by [`Together::hear`].
    pub(super) fn crash(&mut self, node: u32) {
        self.dead.push(node);
        self.rings.remove(&node);
    }

    /// Tells everybody whom it hears.
    pub(super) fn hear(&mut self) {
        self.rings.keys().copied().collect::<Vec<_>>().into_iter().for_each(|n| self.notice(n));
    }

    /// Tells one processor whom it hears.
    pub(super) fn notice(&mut self, node: u32) {
        let nodes: Vec<u32> = self.rings.keys().copied().collect();
        let heard = nodes.iter().filter(|n| **n != node && !self.cut.contains(&(**n, node)));
        let heard: Vec<_> = heard.map(|n| self.rings[n].me()).collect();
        let heard = Members::new(heard).expect("few");
        self.rings.get_mut(&node).expect("alive").handle_reachability(self.now, heard);
        self.drain(node);
    }

    pub(super) fn submit(&mut self, node: u32, body: &str, guarantee: Guarantee) {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let ring = self.rings.get_mut(&node).expect("alive");
        ring.submit(self.now, body, guarantee).expect("there is room");
        self.drain(node);
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until something holds, for ten seconds at most.
    pub(super) fn run_until(&mut self, holds: impl Fn(&Self) -> bool) {
        let end = self.now + 10_000 * MS;
        while !holds(self) {
            assert!(self.step(end), "it does not come to hold");
        }
    }

    fn step(&mut self, end: Instant) -> bool {
        let packet = self.flying.front().map(|(at, ..)| *at);
        let timer = self
            .rings
            .iter()
            .filter_map(|(n, ring)| ring.poll_timeout().map(|(at, _)| (at.max(self.now), *n)))
            .min();
        match (packet, timer) {
            (Some(at), timer) if at <= end && timer.is_none_or(|(due, _)| at <= due) => {
                let (at, from, to, packet) = self.flying.pop_front().expect("peeked");
                self.now = at;
                if let Some(ring) = self.rings.get_mut(&to) {
                    ring.handle_packet(at, p(from), packet);
                    self.drain(to);
                }
            }
            (_, Some((at, node))) if at <= end => {
                self.now = at;
                self.rings.get_mut(&node).expect("listed").handle_timeout(at);
                self.drain(node);
            }
            _ => return false,
        }
        true
    }

    pub(super) fn drain(&mut self, node: u32) {
        let mut sent = Vec::new();
        let ring = self.rings.get_mut(&node).expect("alive");
        ring.check();
        while let Some(output) = ring.poll_output() {
            let history = self.histories.entry(node).or_default();
            match output {
                Output::Transmit { to, packet } => sent.push((to, packet)),
                Output::Deliver(delivery) => history.push(text(&delivery)),
                Output::Configure(Configuration::Regular { members, .. }) => {
                    history.push(alloc::format!("regular {}", nodes(&members)));
                }
                Output::Configure(Configuration::Transitional { members, .. }) => {
                    history.push(alloc::format!("transitional {}", nodes(&members)));
                }
                Output::Distrust(_) | Output::Persist(_) | Output::Transition { .. } => {}
            }
        }
        for (to, packet) in sent {
            let mut bytes = Vec::new();
            packet.encode(&mut bytes);
            // P48: whatever it is and wraps.
            assert!(bytes.len() <= self.packet_bytes_max, "{} bytes: {packet:?}", bytes.len());
            let to: Vec<u32> = match to {
                Destination::All => self.rings.keys().copied().filter(|n| *n != node).collect(),
                Destination::Node(processor) => alloc::vec![processor.node.get()],
            };
            for to in to {
                let dropped = self.drop.as_mut().is_some_and(|drop| drop(node, to, &packet));
                if !dropped && !self.cut.contains(&(node, to)) {
                    self.flying.push_back((self.now + Self::HOP, node, to, packet.clone()));
                }
            }
        }
    }
}

fn nodes(members: &Members) -> String {
    let list: Vec<_> = members.iter().map(|p| alloc::format!("{}", p.node)).collect();
    list.join(" ")
}
