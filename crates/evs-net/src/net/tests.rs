//! Real sockets on loopback, with virtual time: a wait is a poll of the sockets, never a sleep.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use evs_model::Processor;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;
use crate::link::Transport;
use crate::testing::{INTERVAL, config, node, processor};
use crate::{Discard, Multicast, SendFailures, random_u64};

/// Some nodes on loopback that know each other's addresses.
struct Loopback {
    now: Instant,
    nets: Vec<Net>,
    packets: Vec<Vec<(Processor, Bytes)>>,
    events: Vec<Vec<NetEvent>>,
}

fn link(address: &str, count: u32, me: u32, transport: Transport) -> Link {
    let bind: SocketAddr = address.parse().expect("an address");
    // Overwritten when all are open and their ports known.
    let peers = (1..=count).filter(|id| *id != me).map(|id| (node(id), bind)).collect();
    Link { bind, peers, transport, mtu: 1500, priority: 0 }
}

fn net_config(address: &str, count: u32, me: u32, transport: Transport) -> NetConfig {
    let link = link(address, count, me, transport);
    NetConfig::new(config(me, u64::from(me) * 100, count), vec![link], u64::from(me))
}

impl Loopback {
    fn new(address: &str, count: u32, transport: &Transport) -> Self {
        let now = Instant::from_nanos(1_000_000_000);
        let configs = (1..=count).map(|me| net_config(address, count, me, transport.clone()));
        let nets: Vec<_> = configs.map(|c| Net::open(c, now).expect("valid")).collect();
        let empty = || nets.iter().map(|_| Vec::new()).collect();
        let mut loopback =
            Self { now, packets: empty(), events: vec![Vec::new(); nets.len()], nets };
        let addresses: Vec<_> = (1..).map(node).zip(loopback.addresses()).collect();
        for net in &mut loopback.nets {
            for (id, address) in &addresses {
                net.set_peer_address(LinkId::FIRST, *id, *address);
            }
        }
        loopback
    }

    fn formed(address: &str, count: u32, transport: &Transport) -> Self {
        let mut loopback = Self::new(address, count, transport);
        loopback.run_until(|l| {
            l.nets.iter().all(|net| net.endpoint().heard().len() + 1 == l.nets.len())
        });
        loopback
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.nets.iter().map(|net| net.local_address(LinkId::FIRST).expect("open")).collect()
    }

    /// One turn of every node's event loop.
    fn turn(&mut self) {
        for (index, net) in self.nets.iter_mut().enumerate() {
            loop {
                let packets = &mut self.packets[index];
                let drained = net.receive(self.now, 1_000, &mut |from, packet| {
                    packets.push((from, packet));
                });
                self.events[index].extend(std::iter::from_fn(|| net.poll_event()));
                if drained {
                    break;
                }
            }
            net.handle_timeout(self.now);
            self.events[index].extend(std::iter::from_fn(|| net.poll_event()));
            net.flush();
        }
    }

    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..2_000 {
            if done(self) {
                return;
            }
            self.turn();
            self.wait();
        }
        panic!("not within 2000 turns");
    }

    /// Waits for a datagram, or lets a millisecond of virtual time pass.
    fn wait(&mut self) {
        let readable = self.nets.iter().flat_map(Net::sockets);
        let mut fds: Vec<_> =
            readable.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let timeout = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        if poll(&mut fds, Some(&timeout)).expect("the sockets are open") == 0 {
            self.now = self.now + Duration::from_millis(1);
        }
    }
}

fn multicast(group: SocketAddr, interface: Option<&str>) -> Transport {
    Transport::Multicast(Multicast { group, interface: interface.map(str::to_owned), hops: 1 })
}

/// A port that nobody uses.
fn free_port(address: &str) -> u16 {
    let socket = UdpSocket::bind((address, 0)).expect("loopback");
    socket.local_addr().expect("bound").port()
}

fn exchange(address: &str, transport: &Transport) -> Loopback {
    let mut loopback = Loopback::formed(address, 3, transport);
    loopback.nets[0].send_all(b"to all");
    loopback.nets[0].send_to(node(3), b"to the third");
    loopback.run_until(|l| l.packets[1].len() + l.packets[2].len() >= 3);
    let from = processor(1, 100);
    assert_eq!(loopback.packets[0], []);
    assert_eq!(loopback.packets[1], [(from, Bytes::from_static(b"to all"))]);
    let mut third = loopback.packets[2].clone();
    third.sort_by_key(|(_, packet)| packet.len());
    let expected = [b"to all".as_slice(), b"to the third"];
    assert_eq!(third, expected.map(|packet| (from, Bytes::from_static(packet))));
    loopback
}

#[test]
fn three_nodes_exchange_packets_over_ipv4() {
    exchange("127.0.0.1:0", &Transport::Unicast);
}

#[test]
fn three_nodes_exchange_packets_over_ipv6() {
    exchange("[::1]:0", &Transport::Unicast);
}

#[test]
fn three_nodes_exchange_packets_over_ipv4_multicast_and_drop_their_own() {
    let tail = random_u64().to_le_bytes();
    let ip = Ipv4Addr::new(239, 192, tail[0], tail[1]);
    for interface in [None, Some("lo")] {
        let group = SocketAddr::from((ip, free_port("127.0.0.1")));
        let loopback = exchange("127.0.0.1:0", &multicast(group, interface));
        let net = &loopback.nets[0];
        assert!(net.endpoint().stats().discarded(Discard::Own) > 0);
        assert_eq!(net.stats().send_failures, SendFailures::default());
        assert_eq!(net.sockets().count(), 2);
    }
}

/// Most systems have no route for IPv6 multicast on loopback; then the kernel says so.
#[test]
fn ipv6_multicast_reaches_all_or_is_counted_as_unreachable() {
    let port = free_port("::1");
    let group = format!("[ff02::{:x}]:{port}", random_u64() & 0xffff | 0x100);
    let group = multicast(group.parse().expect("an address"), Some("lo"));
    let mut loopback = Loopback::new("[::1]:0", 2, &group);
    loopback.run_until(|l| {
        let settled = |net: &Net| {
            !net.endpoint().heard().is_empty() || net.stats().send_failures.unreachable > 0
        };
        l.nets.iter().all(settled)
    });
    assert!(loopback.nets.iter().all(|net| net.open_errors().count() == 0), "open and joined");
}

#[test]
fn a_batch_leaves_in_few_system_calls_and_arrives_in_order() {
    let mut loopback = Loopback::formed("127.0.0.1:0", 2, &Transport::Unicast);
    let before = loopback.nets[0].stats();
    let payloads: Vec<Vec<u8>> = (0..200u16).map(|n| n.to_le_bytes().repeat(600)).collect();
    payloads.iter().for_each(|payload| loopback.nets[0].send_all(payload));
    loopback.nets[0].flush();
    loopback.run_until(|l| l.packets[1].len() == 200);
    for (payload, (_, packet)) in payloads.iter().zip(&loopback.packets[1]) {
        assert_eq!(payload, packet);
    }
    let after = loopback.nets[0].stats();
    let (calls, sent) =
        (after.send_calls - before.send_calls, after.datagrams_sent - before.datagrams_sent);
    assert!(sent >= 200, "{sent}");
    assert!(calls < sent / 4, "{sent} datagrams in {calls} calls");
}

#[test]
fn order_is_kept_between_what_goes_to_all_and_what_goes_to_one() {
    let mut loopback = Loopback::formed("127.0.0.1:0", 3, &Transport::Unicast);
    for n in 0..50u8 {
        if n % 5 == 4 {
            loopback.nets[0].send_to(node(2), &[n; 40]);
        } else {
            loopback.nets[0].send_all(&[n; 400]);
        }
    }
    loopback.run_until(|l| l.packets[1].len() == 50 && l.packets[2].len() == 40);
    let order: Vec<u8> = loopback.packets[1].iter().map(|(_, packet)| packet[0]).collect();
    assert_eq!(order, (0..50).collect::<Vec<_>>());
}

#[test]
fn a_datagram_far_above_the_mtu_goes_out_all_the_same() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let mut loopback = Loopback::formed(address, 2, &Transport::Unicast);
        loopback.nets[0].send_all(&vec![7; PAYLOAD_BYTES_MAX]);
        loopback.nets[0].send_all(&vec![8; PAYLOAD_BYTES_MAX + 1]);
        loopback.nets[0].send_all(b"next");
        loopback.run_until(|l| l.packets[1].len() == 2);
        assert_eq!(loopback.packets[1][0].1, vec![7; PAYLOAD_BYTES_MAX]);
        assert_eq!(loopback.nets[0].endpoint().stats().seals_refused, 1);
    }
}

#[test]
fn a_burst_of_garbage_is_counted_and_dropped() {
    let mut loopback = Loopback::formed("127.0.0.1:0", 2, &Transport::Unicast);
    let target = loopback.addresses()[1];
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let mut rng = fastrand::Rng::with_seed(5);
    let total =
        |l: &Loopback| l.nets[1].endpoint().stats().discards().map(|(_, count)| count).sum::<u64>();
    let before = total(&loopback);
    for burst in 1..=20 {
        for _ in 0..50 {
            let mut garbage = vec![0; rng.usize(..1_500)];
            rng.fill(&mut garbage);
            stranger.send_to(&garbage, target).expect("loopback");
        }
        loopback.run_until(|l| total(l) == before + burst * 50);
    }
    assert_eq!(loopback.packets[1], []);
    assert_eq!(loopback.nets[1].endpoint().heard().len(), 1, "the peer is still heard");
}

#[test]
fn an_empty_datagram_is_one() {
    let mut loopback = Loopback::formed("127.0.0.1:0", 2, &Transport::Unicast);
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    stranger.send_to(&[], loopback.addresses()[0]).expect("loopback");
    loopback.run_until(|l| l.nets[0].endpoint().stats().discarded(Discard::Length) == 1);
}

#[test]
fn the_budget_ends_a_turn_and_the_next_one_goes_on() {
    let mut loopback = Loopback::formed("127.0.0.1:0", 2, &Transport::Unicast);
    (0..10).for_each(|n| loopback.nets[0].send_all(&[n]));
    loopback.nets[0].flush();
    let now = loopback.now;
    let mut got = Vec::new();
    for _ in 0..200 {
        let before = got.len();
        loopback.nets[1].receive(now, 3, &mut |_, packet| got.push(packet));
        assert!(got.len() - before <= 3);
        if got.len() == 10 {
            break;
        }
        loopback.wait();
    }
    assert_eq!(got, (0..10).map(|n| Bytes::from(vec![n])).collect::<Vec<_>>());
}

#[test]
fn an_event_comes_before_the_packets_that_follow_it() {
    let mut loopback = Loopback::new("127.0.0.1:0", 2, &Transport::Unicast);
    let now = loopback.now;
    assert!(!loopback.nets[0].receive(now, 100, &mut |_, _| {}), "the sockets are new");
    let opened = loopback.nets[0].poll_event().expect("an event");
    assert_eq!(opened, NetEvent::Opened(LinkId::FIRST, loopback.addresses()[0]));
    assert!(loopback.nets[0].receive(now, 100, &mut |_, _| {}));
}

#[test]
fn an_address_that_is_not_there_is_tried_again_until_it_is() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let address = taken.local_addr().expect("bound").to_string();
    let mut now = Instant::from_nanos(0);
    let config = net_config(&address, 2, 1, Transport::Unicast);
    let mut net = Net::open(config, now).expect("a valid configuration");
    let mut reasons = 0;
    for _ in 0..100 {
        now = net.poll_timeout().expect("hellos and openings");
        net.handle_timeout(now);
        net.send_all(b"lost");
        net.flush();
        let events = std::iter::from_fn(|| net.poll_event());
        reasons += events.filter(|event| matches!(event, NetEvent::NotOpen(..))).count();
        assert!(net.receive(now, 10, &mut |_, _| {}));
    }
    let (link, error) = net.open_errors().next().expect("not open");
    assert!(link == LinkId::FIRST && error.contains(&address), "{error}");
    assert_eq!(reasons, 1, "the same reason is told once");
    assert_eq!((net.generation(), net.sockets().count()), (0, 0));
    assert!(net.stats().open_failures > 5 && net.stats().open_failures < 50);
    assert!(net.stats().no_socket >= 100);
    drop(taken);
    net.handle_timeout(now + Duration::from_millis(500));
    assert!(matches!(net.poll_event(), Some(NetEvent::Opened(..))));
    assert_eq!((net.open_errors().count(), net.generation(), net.sockets().count()), (0, 1, 1));
}

#[test]
fn what_the_kernel_does_not_take_is_counted_by_kind_and_not_fatal() {
    let mut loopback = Loopback::formed("127.0.0.1:0", 2, &Transport::Unicast);
    let broadcast = SocketAddr::from(([255, 255, 255, 255], 9));
    assert!(loopback.nets[0].set_peer_address(LinkId::FIRST, node(2), broadcast));
    (0..50).for_each(|_| loopback.nets[0].send_all(b"not permitted without SO_BROADCAST"));
    loopback.nets[0].flush();
    assert_eq!(loopback.nets[0].stats().send_failures.not_permitted, 50);
    assert_eq!(loopback.nets[0].stats().send_failures.total(), 50);
    loopback.nets[0].handle_timeout(loopback.now);
    let peer = loopback.nets[0].endpoint().peers().next().expect("a peer");
    assert!(peer.paths[0].to_peer.loss_ppm > 30_000, "known without an echo: {peer:?}");
    let address = loopback.addresses()[1];
    assert!(loopback.nets[0].set_peer_address(LinkId::FIRST, node(2), address));
    loopback.nets[0].send_all(b"arrives");
    loopback.run_until(|l| l.packets[1].len() == 1);
}

#[test]
fn each_kind_of_send_failure_has_its_counter() {
    use rustix::io::Errno;
    let mut failures = SendFailures::default();
    for errno in [
        Errno::NOBUFS,
        Errno::PERM,
        Errno::MSGSIZE,
        Errno::NETUNREACH,
        Errno::HOSTUNREACH,
        Errno::CONNREFUSED,
        Errno::INVAL,
    ] {
        failures.count(&errno.into());
    }
    let expected = SendFailures {
        no_buffers: 1,
        not_permitted: 1,
        too_large: 1,
        unreachable: 2,
        refused: 1,
        other: 1,
    };
    assert_eq!(failures, expected);
    assert_eq!(failures.total(), 7);
}

#[test]
fn a_full_send_queue_drops_and_counts() {
    let mut config = net_config("127.0.0.1:0", 2, 1, Transport::Unicast);
    config.send_queue_bytes_max = 100_000;
    let mut net = Net::open(config, Instant::from_nanos(0)).expect("valid");
    let datagram = 10_000 - SEAL_OVERHEAD;
    (0..10).for_each(|_| net.send_to(node(2), &vec![0; datagram]));
    assert_eq!(net.stats().queue_full, 0);
    net.send_to(node(2), b"");
    assert_eq!(net.stats().queue_full, 1);
    net.flush();
    net.send_to(node(2), b"");
    assert_eq!(net.stats().queue_full, 1);
}

#[test]
fn a_packet_for_a_node_that_is_no_peer_is_counted() {
    let config = net_config("127.0.0.1:0", 2, 1, Transport::Unicast);
    let mut net = Net::open(config, Instant::from_nanos(0)).expect("valid");
    net.send_to(node(77), b"x");
    assert_eq!(net.stats().no_address, 1);
    assert!(!net.set_peer_address(LinkId::FIRST, node(77), SocketAddr::from(([127, 0, 0, 1], 1))));
    let other_version = "[::1]:1".parse().expect("an address");
    assert!(!net.set_peer_address(LinkId::FIRST, node(2), other_version));
}

#[test]
fn ring_packets_go_to_the_peers_that_are_heard_and_hellos_to_all() {
    let mut loopback = Loopback::formed("127.0.0.1:0", 2, &Transport::Unicast);
    loopback.nets.pop();
    loopback.events.pop();
    loopback.packets.pop();
    loopback.run_until(|l| l.nets[0].endpoint().heard().is_empty());
    loopback.turn();
    let before = loopback.nets[0].stats().datagrams_sent;
    loopback.nets[0].send_all(b"for nobody");
    loopback.nets[0].flush();
    assert_eq!(loopback.nets[0].stats().datagrams_sent, before);
    loopback.now = loopback.now + INTERVAL;
    loopback.turn();
    assert_eq!(loopback.nets[0].stats().datagrams_sent, before + 1);
}

#[test]
fn mistakes_in_the_configuration_are_errors_and_an_odd_mtu_is_one() {
    let now = Instant::from_nanos(0);
    let good = || net_config("127.0.0.1:0", 2, 1, Transport::Unicast);
    let error = |config| Net::open(config, now).map(|_| ()).expect_err("a mistake");
    let mut config = good();
    config.links[0].mtu = 10;
    assert_eq!(error(config), NetConfigError::Link(LinkError::Mtu(10)));
    let mut config = good();
    config.links.clear();
    assert_eq!(error(config), NetConfigError::Links(0, 1));
    let mut config = good();
    config.endpoint.cluster.clear();
    assert_eq!(error(config), NetConfigError::Endpoint(ConfigError::ClusterName(0)));
    let mut config = good();
    config.send_queue_bytes_max = 64_999;
    assert_eq!(error(config), NetConfigError::SendQueue(64_999));
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let group = SocketAddr::from(([239, 192, 0, 1], free_port("127.0.0.1")));
    let config = net_config("127.0.0.1:0", 2, 1, multicast(group, Some("nosuch0")));
    let net = Net::open(config, Instant::from_nanos(0)).expect("it may come");
    let (_, error) = net.open_errors().next().expect("not there");
    assert!(error.contains("nosuch0"), "{error}");
}

/// More than the kernel gives anybody: the operator is to be told what it gave.
#[test]
fn a_receive_buffer_that_the_kernel_does_not_give_is_told() {
    let mut config = net_config("127.0.0.1:0", 2, 1, Transport::Unicast);
    let now = Instant::from_nanos(1_000_000_000);
    config.socket_buffer_bytes = 64 << 10;
    let net = Net::open(config.clone(), now).expect("valid");
    assert_eq!(net.short_buffer(LinkId::FIRST), None);
    config.socket_buffer_bytes = 3 << 29;
    let net = Net::open(config, now).expect("valid");
    let (given, wanted) = net.short_buffer(LinkId::FIRST).expect("not so much");
    assert!(given < wanted && wanted == 3 << 29, "{given} of {wanted}");
}

#[test]
fn what_is_for_one_peer_does_not_wait_behind_what_waits_for_a_busy_socket() {
    let mut loopback = Loopback::formed("127.0.0.1:0", 2, &Transport::Unicast);
    let net = &mut loopback.nets[0];
    net.send_all(b"data");
    net.ports[0].block();
    net.send_all(b"more data");
    net.send_to(node(2), b"the token");
    net.send_to(node(2), b"a request");
    loopback.run_until(|l| l.packets[1].len() == 4);
    let order: Vec<&[u8]> = loopback.packets[1].iter().map(|(_, packet)| &packet[..]).collect();
    assert_eq!(order, [b"the token".as_slice(), b"a request", b"data", b"more data"]);
    // While nothing waits, everything leaves in order.
    loopback.nets[0].send_all(b"data");
    loopback.nets[0].send_to(node(2), b"the token");
    loopback.run_until(|l| l.packets[1].len() == 6);
    assert_eq!(loopback.packets[1][4].1, b"data".as_slice());
}

/// The set of peers changes while packets flow; nobody else notices.
#[test]
fn a_peer_is_added_and_removed_while_the_others_talk() {
    let mut loopback = Loopback::formed("127.0.0.1:0", 2, &Transport::Unicast);
    let mut third = net_config("127.0.0.1:0", 3, 3, Transport::Unicast);
    for (peer, address) in third.links[0].peers.iter_mut().zip(loopback.addresses()) {
        peer.1 = address;
    }
    loopback.nets.push(Net::open(third, loopback.now).expect("valid"));
    loopback.packets.push(Vec::new());
    loopback.events.push(Vec::new());
    let strangers = |l: &Loopback| l.nets[0].endpoint().stats().discarded(Discard::Stranger);
    loopback.run_until(|l| strangers(l) >= 3);
    assert_eq!(loopback.nets[2].endpoint().heard().len(), 0, "nobody knows it");

    let address = loopback.addresses()[2];
    let net = &mut loopback.nets[0];
    assert_eq!(net.add_peer(node(3), &[]), Err(PeerError::Addresses(0, 1)));
    let other_family = "[::1]:5405".parse().expect("an address");
    assert!(matches!(net.add_peer(node(3), &[other_family]), Err(PeerError::Address(_))));
    for known in [1, 2] {
        let error = net.add_peer(node(known), &[address]).expect_err("known");
        assert_eq!(error, PeerError::Node(ConfigError::NodeTwice(node(known))));
    }
    for net in &mut loopback.nets[..2] {
        net.add_peer(node(3), &[address]).expect("a new one");
    }
    loopback.run_until(|l| l.nets.iter().all(|net| net.endpoint().heard().len() == 2));
    loopback.nets[0].send_all(b"to all");
    loopback.run_until(|l| l.packets[2].len() == 1);

    let before = loopback.events[1].len();
    for net in &mut loopback.nets[..2] {
        assert!(net.remove_peer(node(3)));
        assert!(!net.remove_peer(node(3)), "it is none any more");
    }
    loopback.nets[0].send_all(b"to the second");
    loopback.run_until(|l| l.packets[1].len() == 2);
    loopback.run_until(|l| l.nets[2].endpoint().heard().is_empty());
    let events = &loopback.events[1][before..];
    let removed = PeerEvent::Down { peer: processor(3, 300), cause: crate::DownCause::Removed };
    assert!(events.contains(&NetEvent::Peer(removed)), "{events:?}");
    let downs = events.iter().filter(|event| matches!(event, NetEvent::Heard(_))).count();
    assert_eq!((downs, loopback.packets[2].len()), (1, 1), "{events:?}");
    assert_eq!(loopback.nets[0].endpoint().heard().len(), 1);
}
