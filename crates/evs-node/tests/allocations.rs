//! The path of a message takes no memory from the allocator: nodes over real sockets, sealed, in
//! one thread whose allocations are counted.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant as StdInstant};

use bytes::Bytes;
use evs_model::{ClientId, Event, Group, Groups, Guarantee, NodeId};
use evs_net::{ClusterKey, Link, SealMode, Transport};
use evs_node::{Clock, Config, Node, Output};
use mio::{Events, Poll, Token};

/// Long enough for anything that happens at all.
const DEADLINE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(1);

/// Messages that are under way at most.
const IN_FLIGHT: u64 = 500;

/// Most allocations of three nodes for a hundred messages. One for each message, at its sender
/// alone, would be a hundred; what there is, are a token and a block of memory now and then.
const ALLOCATIONS_PER_HUNDRED: u64 = 50;

struct Driven {
    node: Node,
    clock: Clock,
    poll: Poll,
    events: Events,
    received: u64,
}

impl Driven {
    fn start(
        node: NodeId,
        bind: SocketAddr,
        all: &[(NodeId, SocketAddr)],
        key: &ClusterKey,
    ) -> Self {
        let peers = all.iter().copied().filter(|(peer, _)| *peer != node).collect();
        let config = Config {
            node,
            cluster: "test".to_owned(),
            seal: SealMode::Sealed(key.clone()),
            second_key: None,
            links: vec![Link {
                bind,
                peers,
                transport: Transport::Unicast,
                mtu: 1500,
                priority: 0,
            }],
            service: evs_service::Config::default(),
            state_dir: None,
        };
        let (poll, clock) = (Poll::new().expect("a poll"), Clock::start());
        let node = Node::start(config, &clock, poll.registry(), Token(0)).expect("it starts");
        Self { node, clock, poll, events: Events::with_capacity(16), received: 0 }
    }

    fn turn(&mut self) {
        let now = self.clock.now();
        let due = self.node.poll_timeout().map_or(MOMENT, |due| due.since(now).min(MOMENT));
        let wait = if self.node.has_work() { Duration::ZERO } else { due };
        self.poll.poll(&mut self.events, Some(wait)).expect("polled");
        let now = self.clock.now();
        self.events.iter().for_each(|event| self.node.handle_ready(event));
        self.node.handle_io(now);
        self.node.handle_timeout(now);
        while let Some(output) = self.node.poll_output() {
            if matches!(output, Output::ToClient { event: Event::Message(_), .. }) {
                self.received += 1;
            }
        }
    }
}

/// Three nodes that have formed a ring, each with a client that has joined the group.
struct Cluster {
    nodes: Vec<Driven>,
    clients: Vec<ClientId>,
    groups: Groups,
    sent: u64,
}

impl Cluster {
    fn form() -> Self {
        let ids = (1..=3).map(|node| NodeId::new(node).expect("not zero"));
        let sockets = [0; 3].map(|_| UdpSocket::bind("127.0.0.1:0").expect("a free port"));
        let addresses = sockets.each_ref().map(|socket| socket.local_addr().expect("bound"));
        drop(sockets);
        let all: Vec<_> = ids.zip(addresses).collect();
        let key = ClusterKey::generate();
        let nodes = all.iter().map(|(node, bind)| Driven::start(*node, *bind, &all, &key));
        let group = Group::named("g").expect("short");
        let groups = Groups::new(&[group]).expect("one");
        let mut cluster = Self { nodes: nodes.collect(), clients: Vec::new(), groups, sent: 0 };
        cluster.until(|nodes| {
            let members = |node: &Driven| node.node.service().ring().members().map(|m| m.len());
            nodes.iter().all(|node| members(node) == Some(3))
        });
        for Driven { node, clock, .. } in &mut cluster.nodes {
            let client = node.connect(clock.now()).expect("a session");
            node.join(clock.now(), client, &[group]).expect("joined");
            cluster.clients.push(client);
        }
        cluster
    }

    #[track_caller]
    fn until(&mut self, holds: impl Fn(&[Driven]) -> bool) {
        let deadline = StdInstant::now() + DEADLINE;
        while !holds(&self.nodes) {
            assert!(StdInstant::now() < deadline, "in vain");
            self.nodes.iter_mut().for_each(Driven::turn);
        }
    }

    /// Sends so many messages from each node, and waits until every node has all.
    fn run(&mut self, messages: u64, body: &Bytes, guarantee: Guarantee) {
        for _ in 0..messages {
            for (driven, client) in self.nodes.iter_mut().zip(&self.clients) {
                let (now, groups) = (driven.clock.now(), self.groups.clone());
                let sent = driven.node.send(now, *client, guarantee, groups, body.clone());
                sent.expect("there is room");
                self.sent += 1;
            }
            let sent = self.sent;
            self.until(|nodes| nodes.iter().all(|node| sent - node.received <= IN_FLIGHT));
        }
        let sent = self.sent;
        self.until(|nodes| nodes.iter().all(|node| node.received == sent));
    }
}

#[test]
fn the_path_of_a_message_allocates_nothing() {
    let mut cluster = Cluster::form();
    for (bytes, guarantee) in [
        (200, Guarantee::Agreed),
        (200, Guarantee::Safe),
        (1300, Guarantee::Agreed),
        (200, Guarantee::Unordered),
        (1300, Guarantee::Safe),
    ] {
        let body = Bytes::from(vec![7; bytes]);
        // Queues and pools take their size.
        cluster.run(1_000, &body, guarantee);
        let counted = allocation_counter::measure(|| cluster.run(1_000, &body, guarantee));
        let per_hundred = counted.count_total * 100 / 3_000;
        assert!(
            per_hundred <= ALLOCATIONS_PER_HUNDRED,
            "{bytes} bytes, {guarantee:?}: {} allocations, {} bytes for 3,000 messages",
            counted.count_total,
            counted.bytes_total
        );
    }
}
