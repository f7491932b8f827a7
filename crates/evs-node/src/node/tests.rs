//! Nodes over real sockets on loopback, driven by hand.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant as StdInstant};

use evs_net::Transport;
use mio::{Events, Poll};

use super::*;

/// Long enough for anything that happens at all.
const DEADLINE: Duration = Duration::from_secs(60);

/// One node with its poll and what it told.
struct Driven {
    node: Node,
    clock: Clock,
    poll: Poll,
    told: Vec<Output>,
}

fn node_id(node: u32) -> NodeId {
    NodeId::new(node).expect("not zero")
}

/// Nodes 1, 2, … at addresses that were free a moment ago.
fn nodes(count: u32) -> Vec<Driven> {
    let sockets = (0..count).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a free port"));
    let sockets: Vec<_> = sockets.collect();
    let addresses = sockets.iter().map(|socket| socket.local_addr().expect("bound"));
    let addresses: Vec<_> = (1..=count).map(node_id).zip(addresses).collect();
    drop(sockets);
    addresses.iter().map(|(node, address)| start(*node, *address, &addresses)).collect()
}

fn start(node: NodeId, bind: SocketAddr, all: &[(NodeId, SocketAddr)]) -> Driven {
    let peers = all.iter().copied().filter(|(peer, _)| *peer != node).collect();
    let mut service = evs_service::Config::default();
    service.totem.detection = Duration::from_millis(200);
    let config = Config {
        node,
        cluster: "test".to_owned(),
        seal: SealMode::Clear,
        second_key: None,
        links: vec![Link { bind, peers, transport: Transport::Unicast, mtu: 1500, priority: 0 }],
        service,
        state_dir: None,
    };
    let (poll, clock) = (Poll::new().expect("a poll"), Clock::start());
    let node = Node::start(config, &clock, poll.registry(), Token(0)).expect("it starts");
    Driven { node, clock, poll, told: Vec::new() }
}

impl Driven {
    /// One turn of a loop that waits for a moment at most.
    fn turn(&mut self) {
        let mut events = Events::with_capacity(16);
        let now = self.clock.now();
        let due = self.node.poll_timeout().map_or(MOMENT, |due| due.since(now).min(MOMENT));
        let wait = if self.node.has_work() { Duration::ZERO } else { due };
        self.poll.poll(&mut events, Some(wait)).expect("polled");
        let now = self.clock.now();
        events.iter().for_each(|event| self.node.handle_ready(event));
        self.node.handle_io(now);
        self.node.handle_timeout(now);
        while let Some(output) = self.node.poll_output() {
            self.told.push(output);
        }
    }

    fn members(&self) -> usize {
        self.node.service().ring().members().map_or(0, evs_model::Members::len)
    }

    /// Numbers of the messages that a client got, in order.
    fn received(&self) -> Vec<(Processor, u64)> {
        let message = |output: &Output| {
            let Output::ToClient { event: Event::Message(message), .. } = output else {
                return None;
            };
            Some((message.id.sender, message.id.number))
        };
        self.told.iter().filter_map(message).collect()
    }
}

/// Turns all nodes round until the condition holds.
#[track_caller]
fn until(nodes: &mut [Driven], what: &str, holds: impl Fn(&[Driven]) -> bool) {
    let deadline = StdInstant::now() + DEADLINE;
    while !holds(nodes) {
        assert!(StdInstant::now() < deadline, "in vain: {what}");
        nodes.iter_mut().for_each(Driven::turn);
    }
}

#[test]
fn nodes_form_a_ring_and_deliver_in_one_order() {
    let mut nodes = nodes(3);
    until(&mut nodes, "one ring", |nodes| nodes.iter().all(|node| node.members() == 3));
    let group = Group::named("g").expect("short");
    let groups = Groups::new(&[group]).expect("one");
    for driven in &mut nodes {
        let now = driven.clock.now();
        let client = driven.node.connect(now).expect("a session");
        driven.node.join(now, client, &[group]).expect("joined");
        for _ in 0..50 {
            let sent = driven.node.send(now, client, Guarantee::Safe, groups.clone(), BODY);
            sent.expect("accepted");
        }
    }
    until(&mut nodes, "all messages", |nodes| nodes.iter().all(|n| n.received().len() == 150));
    assert_eq!(nodes[0].received(), nodes[1].received());
    assert_eq!(nodes[1].received(), nodes[2].received());
}

#[test]
fn an_orderly_leave_is_told_when_it_is_over() {
    let mut nodes = nodes(2);
    until(&mut nodes, "one ring", |nodes| nodes.iter().all(|node| node.members() == 2));
    let now = nodes[0].clock.now();
    nodes[0].node.leave(now);
    until(&mut nodes, "left", |nodes| nodes[0].told.contains(&Output::Left { dropped: 0 }));
    until(&mut nodes, "alone", |nodes| nodes[1].members() == 1);
}

/// D9: what arrives faster than it can be read does not stop the timers.
#[test]
fn a_flood_does_not_stop_the_timers() {
    let mut nodes = nodes(1);
    let target = nodes[0].node.net().local_address(evs_net::LinkId::FIRST).expect("open");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            while !over.load(Ordering::Relaxed) {
                let _ = socket.send_to(&[0; 64], target);
            }
        });
        let _stop = Stop(&over);
        until(&mut nodes, "a ring of one", |nodes| nodes[0].members() == 1);
    });
}

/// Ends a thread, also if the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_address_of_no_host_is_told_and_tried_again() {
    let nowhere: SocketAddr = "192.0.2.1:5405".parse().expect("an address");
    let mut nodes = [start(node_id(1), nowhere, &[])];
    until(&mut nodes, "a ring of one", |nodes| nodes[0].members() == 1);
    let told = |node: &Driven| {
        node.told.iter().any(|output| matches!(output, Output::Network { result: Err(_), .. }))
    };
    assert!(told(&nodes[0]), "{:?}", nodes[0].told);
    let tried = |nodes: &[Driven]| nodes[0].node.net().stats().open_failures > 1;
    until(&mut nodes, "another attempt", tried);
}

const BODY: Bytes = Bytes::from_static(b"message");
const MOMENT: Duration = Duration::from_millis(2);
