//! A small world for tests: endpoints, a virtual network between them, and virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use evs_model::{Instant, NodeId, Processor, Versions};

use crate::{
    ClusterKey, Destination, Discard, DownCause, Endpoint, EndpointConfig, EndpointOutput, LinkId,
    LinkTerms, PeerEvent, SealMode,
};

pub(crate) const DETECTION: Duration = Duration::from_secs(1);
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);
pub(crate) const LATENCY: Duration = Duration::from_micros(250);

pub(crate) fn node(id: u32) -> NodeId {
    NodeId::new(id).expect("not zero")
}

pub(crate) fn processor(id: u32, incarnation: u64) -> Processor {
    Processor::new(node(id), incarnation)
}

/// Node `id` of a cluster of nodes 1 to `count`.
pub(crate) fn config(id: u32, incarnation: u64, count: u32) -> EndpointConfig {
    EndpointConfig {
        me: processor(id, incarnation),
        peers: (1..=count).filter(|peer| *peer != id).map(node).collect(),
        cluster: "test".to_owned(),
        seal: SealMode::Sealed(ClusterKey::from_bytes(&[7; 32])),
        detection: DETECTION,
        packet_bytes_max: 1_400,
        links: vec![LinkTerms::PLAIN],
    }
}

/// The same with so many links.
pub(crate) fn with_links(links: usize, config: EndpointConfig) -> EndpointConfig {
    EndpointConfig { links: vec![LinkTerms::PLAIN; links], ..config }
}

pub(crate) fn link(id: u8) -> LinkId {
    LinkId::new(id).expect("there are eight")
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    /// What goes to all reaches every process, instead of the one listed for each node id.
    pub(crate) multicast: bool,
    /// Every datagram that was sent, with its sender.
    pub(crate) recorded: Vec<(usize, Vec<u8>)>,
    /// Larger datagrams do not pass.
    pub(crate) bytes_max: usize,
    cut: Vec<(usize, usize)>,
    /// What is wrong with the path from one to another on a link.
    faults: BTreeMap<(LinkId, usize, usize), PathFault>,
    rng: fastrand::Rng,
    /// By node id: who is at the listed address.
    listed: BTreeMap<NodeId, usize>,
    flight: BTreeMap<(Instant, u64), Datagram>,
    serial: u64,
}

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PathFault {
    pub(crate) dead: bool,
    /// Only smaller datagrams pass, unless it is 0.
    pub(crate) below: usize,
    pub(crate) loss_percent: u8,
    pub(crate) slower: Duration,
}

impl PathFault {
    pub(crate) const DEAD: Self =
        Self { dead: true, below: 0, loss_percent: 0, slower: Duration::ZERO };
}

pub(crate) struct Node {
    pub(crate) endpoint: Endpoint,
    /// All outputs but hellos.
    pub(crate) events: Vec<(Instant, EndpointOutput)>,
    pub(crate) packets: Vec<(Processor, Vec<u8>)>,
    peers: Vec<NodeId>,
    state: State,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum State {
    Running,
    Paused,
    Dead,
}

struct Datagram {
    from: usize,
    to: usize,
    bytes: Vec<u8>,
}

impl World {
    pub(crate) fn empty() -> Self {
        Self {
            now: Instant::from_nanos(5_000_000_000),
            nodes: Vec::new(),
            multicast: false,
            recorded: Vec::new(),
            bytes_max: usize::MAX,
            cut: Vec::new(),
            faults: BTreeMap::new(),
            rng: fastrand::Rng::with_seed(11),
            listed: BTreeMap::new(),
            flight: BTreeMap::new(),
            serial: 0,
        }
    }

    /// Nodes 1 to `count`, incarnation = 100 · id, that all hear each other.
    pub(crate) fn formed(count: u32) -> Self {
        Self::formed_with_links(count, 1)
    }

    /// The same, with several links.
    pub(crate) fn formed_with_links(count: u32, links: usize) -> Self {
        let mut world = Self::empty();
        (1..=count).for_each(|id| {
            world.start(with_links(links, config(id, u64::from(id) * 100, count)));
        });
        world.run(INTERVAL);
        for index in 0..world.nodes.len() {
            assert_eq!(world.heard(index).len() + 1, world.nodes.len(), "all hear each other");
        }
        world
    }

    /// Starts a process at the address that is listed for its node id.
    pub(crate) fn start(&mut self, config: EndpointConfig) -> usize {
        let id = config.me.node;
        let index = self.start_elsewhere(config);
        self.listed.insert(id, index);
        index
    }

    /// The same, with a build that speaks these versions.
    pub(crate) fn start_speaking(&mut self, config: EndpointConfig, spoken: (u16, u16)) -> usize {
        let versions = Versions::new(spoken.0, spoken.1).expect("in order");
        let (index, seed) = (self.start(config.clone()), config.me.incarnation);
        let endpoint = Endpoint::new(config, seed, self.now).with_versions(versions);
        self.nodes[index].endpoint = endpoint;
        index
    }

    /// The others send what is for all to this process too.
    pub(crate) fn add_to_lists(&mut self, index: usize) {
        let id = self.nodes[index].endpoint.me().node;
        let others = self.nodes.iter_mut().filter(|node| node.endpoint.me().node != id);
        others.for_each(|node| node.peers.push(id));
    }

    /// In which version of the wire format a process speaks.
    pub(crate) fn speaks(&self, index: usize) -> u8 {
        self.nodes[index].endpoint.versions().1
    }

    /// Starts a process at an address that nobody has listed.
    pub(crate) fn start_elsewhere(&mut self, config: EndpointConfig) -> usize {
        let peers = config.peers.clone();
        let seed = config.me.incarnation;
        let endpoint = Endpoint::new(config, seed, self.now);
        let (events, packets) = (Vec::new(), Vec::new());
        self.nodes.push(Node { endpoint, events, packets, peers, state: State::Running });
        self.nodes.len() - 1
    }

    pub(crate) fn kill(&mut self, index: usize) {
        self.nodes[index].state = State::Dead;
    }

    pub(crate) fn pause(&mut self, index: usize) {
        self.nodes[index].state = State::Paused;
    }

    /// What came in during the pause is read first, as the driver's contract says.
    pub(crate) fn resume(&mut self, index: usize) {
        self.nodes[index].state = State::Running;
    }

    /// Loses everything from one process to another.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cut.push((from, to));
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.faults.clear();
    }

    /// Something is wrong with the way from one process to another on one link.
    pub(crate) fn fault(&mut self, link: LinkId, from: usize, to: usize, fault: PathFault) {
        self.faults.insert((link, from, to), fault);
    }

    /// The link on which data of one process for another leaves.
    pub(crate) fn link_of(&self, from: usize, to: usize) -> LinkId {
        let node = self.nodes[to].endpoint.me().node;
        let mut peers = self.nodes[from].endpoint.peers();
        peers.find(|peer| peer.node == node).expect("a peer").link
    }

    pub(crate) fn heard(&self, index: usize) -> Vec<Processor> {
        self.nodes[index].endpoint.heard().as_slice().to_vec()
    }

    pub(crate) fn discarded(&self, index: usize, reason: Discard) -> u64 {
        self.nodes[index].endpoint.stats().discarded(reason)
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        self.run_while(duration, |_| true);
    }

    /// Runs until the condition holds; panics if it does not within the limit. Returns how long.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        self.run_while(limit, |world| !done(world));
        assert!(done(self), "not within {limit:?}");
        self.now.since(start)
    }

    fn run_while(&mut self, limit: Duration, go_on: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while go_on(self) {
            let due = self.next_timeout();
            let arrival = self.next_arrival();
            let next = due.map(|(at, _)| at).into_iter().chain(arrival.map(|(at, _)| at)).min();
            let Some(at) = next.filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            match (arrival, due) {
                (Some((when, key)), _) if when == at => {
                    if let Some(datagram) = self.flight.remove(&key) {
                        self.deliver(datagram);
                    }
                }
                (_, Some((_, index))) => {
                    self.nodes[index].endpoint.handle_timeout(self.now);
                    self.drain(index, None);
                }
                _ => return,
            }
        }
    }

    /// Hands a datagram over now, as if it came from this process.
    pub(crate) fn inject(
        &mut self,
        from: usize,
        to: usize,
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, Discard> {
        let mut bytes = bytes.to_vec();
        let link = link_in(&bytes);
        let result = self.nodes[to].endpoint.handle_datagram(self.now, link, &mut bytes);
        let result = result.map(|packet| packet.map(|packet| packet.payload.into_owned()));
        self.drain(to, Some(from));
        result
    }

    /// Seals a ring packet and puts it on its way.
    pub(crate) fn send(&mut self, from: usize, to: usize, payload: &[u8]) {
        let bytes = self.sealed(from, payload);
        self.put(from, to, bytes);
    }

    pub(crate) fn sealed(&mut self, from: usize, payload: &[u8]) -> Vec<u8> {
        let endpoint = &mut self.nodes[from].endpoint;
        let ticket = endpoint.copies_for_all(payload.len()).expect("counters").next();
        let mut bytes = Vec::new();
        endpoint.seal(ticket.expect("a link"), payload, &mut bytes).expect("short");
        bytes
    }

    /// Seals a ring packet for all who are heard, and puts it on its way as unicast.
    pub(crate) fn send_all(&mut self, from: usize, payload: &[u8]) {
        let endpoint = &mut self.nodes[from].endpoint;
        let tickets: Vec<_> = endpoint.copies_for_all(payload.len()).expect("counters").collect();
        for ticket in tickets {
            let (link, audience, mut bytes) = (ticket.link(), ticket.audience(), Vec::new());
            self.nodes[from].endpoint.seal(ticket, payload, &mut bytes).expect("short");
            for to in self.everybody_but(from) {
                let node = self.nodes[to].endpoint.me().node;
                if self.nodes[from].endpoint.leads_to(link, audience, node) {
                    self.put(from, to, bytes.clone());
                }
            }
        }
    }

    /// Seals a ring packet for one who must get it, and puts its copies on their way.
    pub(crate) fn send_urgent(&mut self, from: usize, to: usize, payload: &[u8]) -> usize {
        let node = self.nodes[to].endpoint.me().node;
        let endpoint = &mut self.nodes[from].endpoint;
        let tickets = endpoint.copies_for(node, payload.len(), true).expect("counters");
        let tickets: Vec<_> = tickets.collect();
        let count = tickets.len();
        for ticket in tickets {
            let mut bytes = Vec::new();
            self.nodes[from].endpoint.seal(ticket, payload, &mut bytes).expect("short");
            self.put(from, to, bytes);
        }
        count
    }

    pub(crate) fn downs(&self, index: usize) -> Vec<(Processor, DownCause)> {
        let events = self.nodes[index].events.iter();
        events
            .filter_map(|(_, event)| {
                let EndpointOutput::Peer(PeerEvent::Down { peer, cause }) = event else {
                    return None;
                };
                Some((*peer, *cause))
            })
            .collect()
    }

    /// Which doubles of itself a process was told of, and whether it must stop.
    pub(crate) fn duplicates(&self, index: usize) -> Vec<(u64, bool)> {
        let events = self.nodes[index].events.iter();
        events
            .filter_map(|(_, event)| {
                let EndpointOutput::DuplicateNode { incarnation, must_stop } = event else {
                    return None;
                };
                Some((*incarnation, *must_stop))
            })
            .collect()
    }

    fn next_timeout(&self) -> Option<(Instant, usize)> {
        let nodes = self.nodes.iter().enumerate();
        let running = nodes.filter(|(_, node)| node.state == State::Running);
        running.filter_map(|(index, node)| Some((node.endpoint.poll_timeout()?, index))).min()
    }

    fn next_arrival(&self) -> Option<(Instant, (Instant, u64))> {
        let paused = |to: usize| self.nodes[to].state == State::Paused;
        let mut flight = self.flight.iter();
        flight.find(|(_, datagram)| !paused(datagram.to)).map(|(key, _)| (key.0, *key))
    }

    fn deliver(&mut self, mut datagram: Datagram) {
        let node = &mut self.nodes[datagram.to];
        if node.state == State::Dead {
            return;
        }
        let link = link_in(&datagram.bytes);
        let handled = node.endpoint.handle_datagram(self.now, link, &mut datagram.bytes);
        if let Ok(Some(packet)) = handled {
            node.packets.push((packet.from, packet.payload.to_vec()));
        }
        self.drain(datagram.to, Some(datagram.from));
    }

    /// Takes the layer above's word that a peer is deaf.
    pub(crate) fn distrust(&mut self, index: usize, peer: Processor) {
        self.nodes[index].endpoint.distrust(peer);
        self.drain(index, None);
    }

    /// The network tells a process that nobody listens where this node should be.
    pub(crate) fn refused(&mut self, index: usize, node: NodeId) {
        self.nodes[index].endpoint.handle_refused(self.now, node);
        self.drain(index, None);
    }

    fn drain(&mut self, index: usize, source: Option<usize>) {
        while let Some(output) = self.nodes[index].endpoint.poll_output() {
            let EndpointOutput::Hello { to, datagram, .. } = output else {
                self.nodes[index].events.push((self.now, output));
                continue;
            };
            let targets = match to {
                Destination::Source => vec![source.expect("an answer follows a datagram")],
                Destination::All => self.everybody_but(index),
                Destination::Among(first, last) => {
                    let inside = |node: &NodeId| (first..=last).contains(&node.get());
                    let peers = self.nodes[index].peers.iter().filter(|node| inside(node));
                    peers.filter_map(|node| self.listed.get(node).copied()).collect()
                }
                Destination::Node(node) => self.listed.get(&node).copied().into_iter().collect(),
            };
            for target in targets {
                self.put(index, target, datagram.clone());
            }
        }
    }

    fn everybody_but(&self, index: usize) -> Vec<usize> {
        if self.multicast {
            return (0..self.nodes.len()).filter(|to| *to != index).collect();
        }
        let peers = self.nodes[index].peers.iter();
        peers.filter_map(|peer| self.listed.get(peer).copied()).collect()
    }

    fn put(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        self.recorded.push((from, bytes.clone()));
        let fault = self.faults.get(&(link_in(&bytes), from, to)).copied().unwrap_or_default();
        let lost = fault.dead
            || fault.below > 0 && bytes.len() >= fault.below
            || self.rng.u8(0..100) < fault.loss_percent;
        if !lost && !self.cut.contains(&(from, to)) && bytes.len() <= self.bytes_max {
            self.serial += 1;
            let arrival = (self.now + LATENCY + fault.slower, self.serial);
            self.flight.insert(arrival, Datagram { from, to, bytes });
        }
    }
}

/// On which link a datagram travels, by its own word.
fn link_in(bytes: &[u8]) -> LinkId {
    bytes.get(22).and_then(|id| LinkId::new(*id)).unwrap_or_default()
}
