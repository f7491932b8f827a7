//! Two networks between all hosts: what happens to one of them changes no configuration.

use std::ops::RangeFrom;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use evs_testkit::netns::{IpVersion, Network};
use evs_testkit::until;
use serde_json::Value;

use crate::scene::{DETECTION, Scene, Stage, THREE};

const TWO_LINKS: Stage = Stage { links: 2, ..THREE };

/// Messages of everybody that must come through.
const MESSAGES: u64 = 50;

/// Delivery may stall for a quarter of the target; on a busy machine it may take longer until a
/// test sees that it did not.
const STALL_MAX: Duration = DETECTION.saturating_mul(10).checked_div(4).expect("not zero");

/// Something happens to the first network: traffic goes on without any change. What is told of it
/// may depend on the ways that used it.
fn costs_nothing(
    stage: Stage,
    fault: impl FnOnce(&Network) -> Result<()>,
    told: impl Fn(&Scene, &[Way]) -> Result<()>,
    end: impl FnOnce(&Network) -> Result<()>,
) -> Result<()> {
    stage.play(|scene| {
        let nodes = scene.cluster.nodes();
        until_paths(scene, |path| path["up"] == true)?;
        scene.until_traffic(&nodes, MESSAGES)?;
        let used = ways_on_first(scene)?;
        scene.burst();
        let begin = Instant::now();
        fault(&scene.network)?;
        scene.until_traffic(&nodes, 1)?;
        let stall = begin.elapsed();
        scene.until_traffic(&nodes, 2 * MESSAGES)?;
        told(scene, &used)?;
        scene.assert_no_change(&nodes, begin)?;
        end(&scene.network)?;
        until_paths(scene, |path| path["up"] == true)?;
        scene.until_traffic(&nodes, MESSAGES)?;
        scene.assert_no_change(&nodes, begin)?;
        println!("traffic went on within {stall:?}");
        ensure!(stall <= STALL_MAX, "delivery stalled for {stall:?}");
        Ok(())
    })
}

/// Waits until every path on the first link, of every node to every peer, is like this.
fn until_paths(scene: &Scene, like: impl Fn(&Value) -> bool) -> Result<()> {
    for node in scene.cluster.nodes() {
        until_path(scene, node, |_, path| like(path))?;
    }
    Ok(())
}

/// Waits until the paths of one node on the first link are like this, peer by peer.
fn until_path(scene: &Scene, node: u32, like: impl Fn(u64, &Value) -> bool) -> Result<()> {
    until(&format!("the paths of node {node} are as they should be"), || {
        let status = scene.cluster.status(node).ok()?;
        let peers = status["peers"].as_array()?;
        let is_like =
            |peer: &Value| peer["node"].as_u64().is_some_and(|id| like(id, &peer["paths"][0]));
        peers.iter().all(is_like).then_some(())
    })
    .with_context(|| format!("{:#}", scene.cluster.status(node).unwrap_or_default()["peers"]))
}

/// Waits until what a node sends to a peer, or to all of them, takes one of these links.
fn until_on(scene: &Scene, links: RangeFrom<u64>, node: u32, peer: Option<u64>) -> Result<()> {
    until(&format!("what node {node} sends takes one of the links {links:?}"), || {
        let status = scene.cluster.status(node).ok()?;
        let mut peers = status["peers"].as_array()?.iter();
        let is_meant = |id: &Value| peer.is_none() || id.as_u64() == peer;
        peers
            .all(|peer| {
                !is_meant(&peer["node"]) || links.contains(&peer["link"].as_u64().unwrap_or(0))
            })
            .then_some(())
    })
}

/// A way from a node to a peer.
type Way = (u32, u32);

/// The ways of every node to every other one.
fn every_way(scene: &Scene) -> Vec<Way> {
    let nodes = scene.cluster.nodes();
    let ways = nodes.iter().flat_map(|node| nodes.iter().map(move |peer| (*node, *peer)));
    ways.filter(|(node, peer)| node != peer).collect()
}

/// The ways on which what is sent takes the first link: where both are as good, either may be used.
fn ways_on_first(scene: &Scene) -> Result<Vec<Way>> {
    let mut ways = Vec::new();
    for node in scene.cluster.nodes() {
        let status = scene.cluster.status(node)?;
        let peers = status["peers"].as_array().context("a list")?.iter();
        let used = peers.filter(|peer| peer["link"] == 0);
        let ids = used.filter_map(|peer| peer["node"].as_u64()?.try_into().ok());
        ways.extend(ids.map(|peer: u32| (node, peer)));
    }
    Ok(ways)
}

/// Waits until the log of each of these nodes names the peer, this link, and one of these causes.
fn until_told(scene: &Scene, ways: &[Way], link: u8, causes: &[&str]) -> Result<()> {
    let links = [format!(" link={link} "), format!(" from={link} ")];
    for (node, peer) in ways {
        let peer = format!(" peer={peer}/");
        until(&format!("node {node} logs{peer}, link {link} and one of {causes:?}"), || {
            let log = scene.cluster.log(*node);
            let mut lines = log.lines().map(|line| format!("{line} "));
            let has = |line: &str, pieces: &[&str]| pieces.iter().any(|piece| line.contains(piece));
            let links = links.each_ref().map(String::as_str);
            lines.find(|l| l.contains(&peer) && has(l, &links) && has(l, causes)).map(drop)
        })?;
    }
    Ok(())
}

/// What a node says of a path that is lost in both directions: by itself, or as the other end says
/// over another link.
const LOST: [&str; 2] = ["path lost: silent", "path lost: it says that it does not hear this node"];

/// Whether nothing has come for the detection target.
fn is_silent(path: &Value) -> bool {
    let heard = path["last_heard_ms"].as_u64().map(Duration::from_millis);
    heard.is_some_and(|age| age >= DETECTION)
}

/// The whole first network goes, and each node says of every path which one is lost, and why.
fn one_network_is_lost(stage: Stage) -> Result<()> {
    costs_nothing(
        stage,
        |network| network.switch_off(0),
        |scene, _| {
            until_paths(scene, |path| path["up"] == false && is_silent(path))?;
            until_told(scene, &every_way(scene), 0, &LOST)
        },
        |network| network.switch_on(0),
    )
}

#[test]
fn losing_one_of_two_networks_changes_no_configuration() -> Result<()> {
    one_network_is_lost(TWO_LINKS)
}

#[test]
fn losing_one_of_two_networks_changes_no_configuration_by_ipv6_of_five() -> Result<()> {
    one_network_is_lost(Stage { nodes: 5, version: IpVersion::V6, ..TWO_LINKS })
}

#[test]
fn losing_one_of_two_multicast_networks_changes_no_configuration() -> Result<()> {
    for version in [IpVersion::V4, IpVersion::V6] {
        one_network_is_lost(Stage { multicast: true, version, ..TWO_LINKS })?;
    }
    Ok(())
}

/// One host of three: what the others send goes to it by the second network, one way or the other;
/// and each node says which paths are lost.
#[test]
fn unplugging_one_cable_of_a_host_changes_no_configuration_and_is_told_on_every_node() -> Result<()>
{
    for multicast in [false, true] {
        costs_nothing(
            Stage { multicast, ..TWO_LINKS },
            |network| network.unplug_from(2, 0),
            |scene, _| {
                until_path(scene, 2, |_, path| path["up"] == false && is_silent(path))?;
                for node in [1, 3] {
                    let is_cut = |path: &Value| path["up"] == false && is_silent(path);
                    until_path(scene, node, |peer, path| is_cut(path) == (peer == 2))?;
                    until_on(scene, 1.., node, Some(2))?;
                }
                until_told(scene, &[(1, 2), (3, 2), (2, 1), (2, 3)], 0, &LOST)
            },
            |network| network.plug_into(2, 0),
        )?;
    }
    Ok(())
}

/// Both sides say which direction is broken.
#[test]
fn a_path_that_is_cut_one_way_changes_no_configuration_and_its_direction_is_told() -> Result<()> {
    costs_nothing(
        TWO_LINKS,
        |network| network.deafen_on(1, 2, 0),
        |scene, _| {
            until_path(scene, 1, |peer, path| path["up"] == (peer != 2))?;
            until_path(scene, 1, |peer, path| (peer == 2) == is_silent(path))?;
            until_path(scene, 2, |peer, path| path["heard_by_peer"] == (peer != 1))?;
            until_path(scene, 2, |_, path| !is_silent(path))?;
            let [here, there] = LOST;
            until_told(scene, &[(1, 2)], 0, &[here])?;
            until_told(scene, &[(2, 1)], 0, &[there])
        },
        |network| network.heal(1),
    )
}

/// What a node says of a path that large packets do not pass any more.
const NARROW: [&str; 2] =
    ["large packets to the peer get lost", "large packets do not get through to the peer"];

/// D30, P55: a black hole for large packets, and nobody says so. Packets are cut for it.
fn large_packets_are_dropped(stage: Stage, safe_mtu: u64) -> Result<()> {
    costs_nothing(
        stage,
        |network| (1..=3).try_for_each(|host| network.drop_large(host, 0, 1_300)),
        |scene, _| {
            until_paths(scene, |path| {
                path["narrow"] == true && path["up"] == true && path["mtu_bytes"] == safe_mtu
            })?;
            until_told(scene, &every_way(scene), 0, &NARROW)
        },
        |network| (1..=3).try_for_each(|host| network.heal(host)),
    )
}

#[test]
fn a_black_hole_for_large_packets_changes_no_configuration() -> Result<()> {
    large_packets_are_dropped(THREE, 1_260)
}

#[test]
fn a_black_hole_for_large_packets_changes_no_configuration_with_multicast() -> Result<()> {
    large_packets_are_dropped(Stage { multicast: true, version: IpVersion::V6, ..THREE }, 1_280)
}

#[test]
fn a_black_hole_for_large_packets_on_one_of_two_links_changes_no_configuration() -> Result<()> {
    large_packets_are_dropped(TWO_LINKS, 1_260)
}

/// The kernel says that the interface takes less (EMSGSIZE), and that is enough; for what comes in
/// nobody says it, and the counts do.
fn an_interface_takes_less(stage: Stage, safe_mtu: u64) -> Result<()> {
    costs_nothing(
        stage,
        |network| network.set_mtu(2, 0, 1_400),
        |scene, _| {
            let cut = |path: &Value| path["up"] == true && path["mtu_bytes"] == safe_mtu;
            until_path(scene, 2, |_, path| cut(path))?;
            for node in [1, 3] {
                until_path(scene, node, |peer, path| peer != 2 || cut(path))?;
            }
            let own = "too long for this node's interface, and are cut from now on";
            until_told(scene, &[(2, 1), (2, 3)], 0, &[own])?;
            until_told(scene, &[(1, 2), (3, 2)], 0, &NARROW)?;
            let status = scene.cluster.status(2)?;
            let refused = status["links"][0]["counters"]["not_sent_too_large"].as_u64();
            ensure!(refused.is_some_and(|count| count > 0), "not counted: {status}");
            Ok(())
        },
        |network| network.set_mtu(2, 0, 1_500),
    )
}

#[test]
fn an_interface_whose_mtu_is_lowered_changes_no_configuration() -> Result<()> {
    an_interface_takes_less(THREE, 1_260)
}

#[test]
fn an_interface_whose_mtu_is_lowered_changes_no_configuration_with_multicast() -> Result<()> {
    an_interface_takes_less(Stage { multicast: true, version: IpVersion::V6, ..THREE }, 1_280)
}

/// A black hole on one path alone, from the start: whole packets go to everybody else.
#[test]
fn who_is_behind_a_black_hole_from_the_start_is_in_the_ring() -> Result<()> {
    THREE.play_from_nothing(|scene| {
        scene.network.drop_large_from(2, 1, 1_300)?;
        scene.form()?;
        scene.load();
        scene.until_traffic(&scene.cluster.nodes(), MESSAGES)?;
        let size = |peer, path: &Value| path["mtu_bytes"] == if peer == 2 { 1_260 } else { 1_500 };
        until_path(scene, 1, size)?;
        until_path(scene, 2, |_, path| path["mtu_bytes"] == 1_500)?;
        until_path(scene, 2, |peer, path| path["narrow_from_peer"] == (peer == 1))?;
        let unproven = "large packets do not get through to the peer, and are cut";
        until_told(scene, &[(1, 2)], 0, &[unproven])
    })
}

#[test]
fn a_network_that_drops_large_packets_is_left_and_changes_no_configuration() -> Result<()> {
    costs_nothing(
        TWO_LINKS,
        |network| (1..=3).try_for_each(|host| network.drop_large(host, 0, 900)),
        |scene, _| {
            let narrow = |path: &Value| path["narrow"] == true && path["narrow_from_peer"] == true;
            until_paths(scene, |path| narrow(path) && path["up"] == true)?;
            until_everybody_left(scene)?;
            until_told(scene, &every_way(scene), 0, &NARROW)
        },
        |network| (1..=3).try_for_each(|host| network.heal(host)),
    )
}

/// Waits until nobody sends by the first link any more.
fn until_everybody_left(scene: &Scene) -> Result<()> {
    scene.cluster.nodes().into_iter().try_for_each(|node| until_on(scene, 1.., node, None))
}

/// What a node says when its traffic leaves a link that loses much, or takes long: what it notices
/// first depends on what is lost.
const LEFT: [&str; 5] = [
    "traffic moved: nothing came, or came back, for several hellos",
    "traffic moved: loss",
    "traffic moved: the path is slow",
    "traffic moved: the path is down",
    "traffic moved: large packets do not get through to the peer",
];

#[test]
fn a_network_that_loses_half_of_all_packets_is_left_and_changes_no_configuration() -> Result<()> {
    costs_nothing(
        TWO_LINKS,
        |network| (1..=3).try_for_each(|host| network.lose_on(host, 0, 50)),
        |scene, used| {
            until_everybody_left(scene)?;
            until_paths(scene, |path| {
                let loses = |direction: &str| path[direction].as_u64() >= Some(100_000);
                loses("loss_ppm") && loses("loss_from_peer_ppm")
            })?;
            until_told(scene, used, 0, &LEFT)
        },
        |network| (1..=3).try_for_each(|host| network.heal(host)),
    )
}

/// What does not fit through in time is lost in the short queue before it.
#[test]
fn a_network_that_becomes_slow_is_left_and_changes_no_configuration() -> Result<()> {
    costs_nothing(
        TWO_LINKS,
        |network| (1..=3).try_for_each(|host| network.limit_rate(host, 1)),
        |scene, used| {
            until_everybody_left(scene)?;
            until_told(scene, used, 0, &LEFT)
        },
        |network| (1..=3).try_for_each(|host| network.free_rate(host)),
    )
}

/// EPERM: the kernel says at once that nothing leaves there.
fn a_firewall_forbids_one_link(stage: Stage) -> Result<()> {
    costs_nothing(
        stage,
        |network| network.forbid(1, 0),
        |scene, used| {
            until_on(scene, 1.., 1, None)?;
            let own: Vec<Way> = used.iter().copied().filter(|(node, _)| *node == 1).collect();
            until_told(scene, &own, 0, &["traffic moved: loss"])?;
            let forbidden = "packets not sent: the system forbids it; look at the firewall";
            until("it is told why", || scene.cluster.log(1).contains(forbidden).then_some(()))
        },
        |network| network.heal(1),
    )
}

#[test]
fn d34_what_a_firewall_forbids_on_one_link_takes_the_other_one() -> Result<()> {
    a_firewall_forbids_one_link(TWO_LINKS)
}

#[test]
fn d34_what_a_firewall_forbids_on_one_link_takes_the_other_one_with_multicast() -> Result<()> {
    a_firewall_forbids_one_link(Stage { multicast: true, ..TWO_LINKS })
}

/// As many links as there can be: nothing changes as long as one of them is whole.
#[test]
fn seven_of_eight_networks_are_lost_and_no_configuration_changes() -> Result<()> {
    Stage { links: 8, ..THREE }.play(|scene| {
        let nodes = scene.cluster.nodes();
        until_whole(scene, Instant::now())?;
        scene.burst();
        let begin = Instant::now();
        for link in 0..7 {
            let fault = Instant::now();
            scene.network.switch_off(link)?;
            scene.until_traffic(&nodes, 1)?;
            let stall = fault.elapsed();
            println!("link {link} is lost: traffic went on within {stall:?}");
            ensure!(stall <= STALL_MAX, "delivery stalled for {stall:?}");
            for node in [1, 2, 3] {
                until_on(scene, u64::from(link) + 1.., node, None)?;
            }
            until_told(scene, &every_way(scene), link, &LOST)?;
            scene.until_traffic(&nodes, MESSAGES)?;
            scene.assert_no_change(&nodes, begin)?;
        }
        (0..7).try_for_each(|link| scene.network.switch_on(link))?;
        until_whole(scene, Instant::now())?;
        scene.until_traffic(&nodes, MESSAGES)?;
        scene.assert_no_change(&nodes, begin)
    })
}

/// Redundancy costs nothing where all links of a host end: it is noticed as with one.
#[test]
fn a_host_that_loses_both_networks_is_excluded() -> Result<()> {
    TWO_LINKS.play(|scene| {
        scene.until_traffic(&[1, 2, 3], MESSAGES)?;
        let begin = Instant::now();
        scene.network.unplug(3)?;
        scene.network.unplug_from(3, 1)?;
        let told = scene.until_configuration(&[1, 2], begin)?;
        println!("excluded after {:?}", told.duration_since(begin));
        ensure!(told.duration_since(begin) <= DETECTION * 20, "LIVE-5");
        scene.until_configuration(&[3], begin)?;
        scene.until_named(&[1, 2], "silent", &[3])?;
        scene.until_named(&[3], "silent", &[1, 2])?;
        scene.network.plug_into(3, 1)?;
        scene.until_configuration(&[1, 2, 3], begin)?;
        scene.until_traffic(&[1, 2, 3], MESSAGES)
    })
}

/// Acts of the test below.
const ACTS: usize = 12;

/// Any fault of any path, as long as the other link is whole.
#[test]
fn random_faults_of_one_link_at_a_time_change_no_configuration() -> Result<()> {
    let seed = std::env::var("EVS_NETNS_SEED").map_or(Ok(11), |named| named.parse())?;
    println!("EVS_NETNS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    Stage { multicast: random.bool(), ..TWO_LINKS }.play(|scene| {
        let nodes = scene.cluster.nodes();
        until_whole(scene, Instant::now())?;
        let begin = Instant::now();
        for _ in 0..ACTS {
            let (host, link) = (random.u8(1..=3), random.u8(..2));
            let network = &scene.network;
            match random.u8(..5) {
                0 => network.unplug_from(host, link)?,
                1 => network.switch_off(link)?,
                2 => network.lose_on(host, link, 50)?,
                3 => network.drop_large(host, link, 900)?,
                _ => network.deafen_on(host, host % 3 + 1, link)?,
            }
            let fault = Instant::now();
            scene.until_traffic(&nodes, 1)?;
            let stall = fault.elapsed();
            scene.until_change(&nodes, 2 * DETECTION * random.u32(..100) / 100)?;
            scene.until_traffic(&nodes, 20)?;
            scene.assert_no_change(&nodes, begin)?;
            ensure!(stall <= STALL_MAX, "delivery stalled for {stall:?}");
            network.heal(host)?;
            network.switch_on(link)?;
            network.plug_into(host, link)?;
            until_whole(scene, Instant::now())?;
        }
        scene.assert_no_change(&nodes, begin)
    })
}

/// Waits until all paths are up, and something has come on each of them since then: a path that
/// was broken for a moment may never have been called down, and a kernel takes up to a second until
/// it uses a cable that was put back.
fn until_whole(scene: &Scene, since: Instant) -> Result<()> {
    for node in scene.cluster.nodes() {
        until(&format!("all paths of node {node} work"), || {
            let status = scene.cluster.status(node).ok()?;
            let works = |path: &Value| {
                let heard = path["last_heard_ms"].as_u64().map(Duration::from_millis);
                let is_new = heard.is_some_and(|age| age < since.elapsed());
                is_new && path["up"] == true && path["narrow"] == false
            };
            let whole =
                |peer: &Value| peer["paths"].as_array().is_some_and(|p| p.iter().all(works));
            status["peers"].as_array()?.iter().all(whole).then_some(())
        })
        .with_context(|| {
            format!("{:#}", scene.cluster.status(node).unwrap_or_default()["peers"])
        })?;
    }
    Ok(())
}
