//! Somebody on the same network who has no key.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use evs_testkit::netns::{IpVersion, Network};
use evs_testkit::{Cluster, DEADLINE, Setup, until};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::scene::{PATIENT, Scene, Stage, THREE};

/// Datagrams of the ring to be copied.
const CAPTURED: usize = 200;

/// Most datagrams that the stranger sends, and for how long.
const FLOOD_DATAGRAMS: u64 = 2_000_000;
const FLOOD_TIME: Duration = Duration::from_secs(5);

/// Lines in the log of a whole test: whatever comes, a few a minute.
const LOG_LINES_MAX: usize = 100;

/// The host of the stranger.
const HOST: u8 = 4;

/// Nothing that a stranger sends, however much, changes anything (LIVE-6), and all of it is
/// counted.
#[test]
fn a_flood_of_garbage_changes_nothing_and_is_counted() -> Result<()> {
    Stage { strangers: 1, detection: PATIENT, ..THREE }.play(|scene| {
        let nodes = [1, 2, 3];
        scene.until_traffic(&nodes, 20)?;
        let captured = capture(&scene.network)?;
        let mut other = other_cluster(scene)?;
        other.start_node(3)?;

        let begin = Instant::now();
        let targets = nodes.map(|node| scene.cluster.address(node));
        let enough = AtomicBool::new(false);
        let (sent, rate) = Network::within(&scene.network.namespace(HOST), || {
            let socket = UdpSocket::bind((scene.network.address(HOST), 0))?;
            thread::scope(|scope| {
                let flood = scope.spawn(|| flood(&socket, &targets, &captured, &enough));
                let flows = scene.until_traffic(&nodes, 100);
                let traffic = begin.elapsed();
                let calm = scene.assert_calm(&nodes, FLOOD_TIME.saturating_sub(traffic));
                enough.store(true, Ordering::Relaxed);
                let sent = flood.join().expect("the flood does not panic");
                println!("traffic went on in {traffic:?}");
                flows.and(calm).and(sent)
            })
        })?;
        println!("{sent} datagrams of garbage, {rate:.0} a second");
        scene.assert_no_change(&nodes, begin)?;
        for node in nodes {
            let lines = scene.cluster.log(node).lines().count();
            ensure!(lines < LOG_LINES_MAX, "D24: the log of node {node} has {lines} lines");
        }
        until_counted(scene, &["magic", "unauthenticated", "replayed", "length"])?;
        other.until_open(3)?;
        let alone = other.status(3)?;
        let members = alone["ring"]["members"].as_array().map_or(0, Vec::len);
        ensure!(members == 1, "the daemon with another key is in a ring of {members}");
        scene.until_traffic(&nodes, 50)
    })
}

/// One network, one multicast group, one key, and the same node ids: the name alone parts them.
#[test]
fn two_clusters_on_one_network_with_one_key_never_mix() -> Result<()> {
    Stage { strangers: 3, multicast: true, detection: PATIENT, ..THREE }.play(|scene| {
        let (nodes, begin) = ([1, 2, 3], Instant::now());
        let places = [4, 5, 6].map(|host| scene.network.place(host)).to_vec();
        let stage = Stage { multicast: true, detection: PATIENT, ..THREE };
        let setup = stage.setup(&scene.network);
        let mut other = Cluster::prepare(Setup { name: "other".to_owned(), places, ..setup })?;
        fs::copy(scene.cluster.key_file(), other.key_file())?;
        for node in nodes {
            other.start_node(node)?;
        }
        other.until_members(&nodes)?;
        scene.until_traffic(&nodes, 100)?;
        until_counted(scene, &["cluster"])?;
        for cluster in [&scene.cluster, &other] {
            for node in nodes {
                let status = cluster.status(node)?;
                let members = status["ring"]["members"].as_array().map_or(0, Vec::len);
                ensure!(members == 3, "node {node} is in a ring of {members}");
                let heard = status["peers"].as_array().map_or(0, Vec::len);
                ensure!(heard == 2, "node {node} has {heard} peers");
            }
        }
        scene.assert_no_change(&nodes, begin)
    })
}

/// A daemon at the stranger's host that says to be node 3, with a key of its own.
fn other_cluster(scene: &Scene) -> Result<Cluster> {
    let places = [1, 2, HOST].map(|host| scene.network.place(host)).to_vec();
    Cluster::prepare(Setup { places, detection: PATIENT, ..Setup::new(3) })
}

/// Waits until every node has counted discards of all these kinds.
fn until_counted(scene: &Scene, kinds: &[&str]) -> Result<()> {
    for node in [1, 2, 3] {
        until(&format!("node {node} counts {kinds:?}"), || {
            let status = scene.cluster.status(node).ok()?;
            kinds.iter().all(|kind| discards(&status, kind) > 0).then_some(())
        })
        .with_context(|| format!("{:?}", scene.cluster.status(node)))?;
        let discards = &scene.cluster.status(node)?["counters"]["net_discards"];
        println!("node {node} discarded {discards}");
    }
    Ok(())
}

fn discards(status: &Value, kind: &str) -> u64 {
    status["counters"]["net_discards"][kind].as_u64().unwrap_or(0)
}

/// Some datagrams of the ring, as they pass the switch.
fn capture(network: &Network) -> Result<Vec<Vec<u8>>> {
    assert_eq!(network.version(), IpVersion::V4, "frames are read as IPv4");
    let all_protocols = Protocol::from(i32::from(3_u16.to_be()));
    let mut socket = Network::within(&network.switch(), || {
        Ok(Socket::new(Domain::PACKET, Type::RAW, Some(all_protocols))?)
    })?;
    socket.set_read_timeout(Some(DEADLINE))?;
    let mut frame = vec![0; 2048];
    let mut captured = Vec::new();
    while captured.len() < CAPTURED {
        let bytes = socket.read(&mut frame).context("the ring is silent")?;
        captured.extend(datagram(&frame[..bytes]).map(<[u8]>::to_vec));
    }
    Ok(captured)
}

/// The UDP datagram in an Ethernet frame, if it is a whole one of IPv4.
fn datagram(frame: &[u8]) -> Option<&[u8]> {
    const ETHERNET: usize = 14;
    const IP: usize = 20;
    const UDP: usize = 8;
    let is_ipv4_udp = frame.get(12..14)? == [8, 0] && *frame.get(ETHERNET)? == 0x45;
    let more_fragments = frame.get(20..22)? != [0, 0] && frame.get(20..22)? != [0x40, 0];
    (is_ipv4_udp && *frame.get(23)? == 17 && !more_fragments)
        .then(|| frame.get(ETHERNET + IP + UDP..))
        .flatten()
}

/// Sends garbage to all targets in turn, as fast as the system takes it. Returns how much it was,
/// and how many a second.
fn flood(
    socket: &UdpSocket,
    targets: &[SocketAddr],
    captured: &[Vec<u8>],
    enough: &AtomicBool,
) -> Result<(u64, f64)> {
    let mut random = fastrand::Rng::with_seed(7);
    let begin = Instant::now();
    let mut sent = 0;
    while sent < FLOOD_DATAGRAMS && begin.elapsed() < FLOOD_TIME && !enough.load(Ordering::Relaxed)
    {
        let datagram = garbage(&mut random, captured);
        for target in targets {
            match socket.send_to(&datagram, target) {
                Ok(_) => sent += 1,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok((sent, sent as f64 / begin.elapsed().as_secs_f64()))
}

/// Random bytes; or a datagram of the ring: as it was, cut short, with a bit or a byte changed.
fn garbage(random: &mut fastrand::Rng, captured: &[Vec<u8>]) -> Vec<u8> {
    let mut datagram = captured[random.usize(..captured.len())].clone();
    let at = random.usize(..datagram.len());
    match random.u8(..6) {
        0 => {
            datagram.resize(random.usize(..1472), 0);
            random.fill(&mut datagram);
        }
        1 => datagram.truncate(at),
        2 => datagram[at] ^= 1 << random.u8(..8),
        // The header: length, version, kind, sender, counter.
        3 => datagram[at % 32] = random.u8(..),
        4 => datagram.extend_from_within(at..),
        _ => {}
    }
    datagram
}
