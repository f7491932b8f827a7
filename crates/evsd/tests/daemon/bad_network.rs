//! What strangers, misconfigured neighbours and broken hosts send. The ring stays as it is.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::Duration;

use evs_model::{Instant, NodeId, Processor};
use evs_net::{ClusterKey, Endpoint, EndpointConfig, EndpointOutput, LinkTerms, SealMode};
use evs_testkit::{Cluster, Setup, until, until_exit};

use super::{PATIENT, formed, setup, status_number, until_logged, until_status};

/// Genuine datagrams of a processor: the hellos that it begins with.
fn hellos(cluster: &Cluster, name: &str, key: Option<ClusterKey>, node: u32) -> Vec<Vec<u8>> {
    let id = |node| NodeId::new(node).expect("not zero");
    let config = EndpointConfig {
        me: Processor::new(id(node), evs_net::random_u64()),
        peers: cluster.nodes().into_iter().filter(|n| *n != node).map(id).collect(),
        cluster: name.to_owned(),
        seal: key.map_or(SealMode::Clear, SealMode::Sealed),
        detection: Duration::from_secs(1),
        packet_bytes_max: 1_400,
        links: vec![LinkTerms::PLAIN],
    };
    let start = Instant::from_nanos(1_000_000_000);
    let mut endpoint = Endpoint::new(config, 1, start);
    let mut datagrams = Vec::new();
    for tenth in 0..5 {
        endpoint.handle_timeout(start + Duration::from_millis(100) * tenth);
        while let Some(output) = endpoint.poll_output() {
            if let EndpointOutput::Hello { datagram, .. } = output {
                datagrams.push(datagram);
            }
        }
    }
    assert!(!datagrams.is_empty(), "an endpoint begins with a hello");
    datagrams
}

/// A cluster of two running nodes with a third in its list that never starts.
fn two_of_three(setup: Setup) -> Cluster {
    let mut cluster = Cluster::prepare(setup).expect("files");
    for node in [1, 2] {
        cluster.start_node(node).expect("it starts");
    }
    cluster.until_members(&[1, 2]).expect("one ring");
    cluster
}

/// Sends datagrams to node 1, does something, and asserts that no configuration changed.
fn assert_ring_stays(cluster: &Cluster, disturb: impl FnOnce(&dyn Fn(&[u8]))) {
    let before = status_number(cluster, 1, "/counters/ring/configurations");
    let socket = UdpSocket::bind((cluster.address(1).ip(), 0)).expect("a socket");
    disturb(&|datagram| {
        // Loopback may be full for a moment; strangers do not care.
        let _ = socket.send_to(datagram, cluster.address(1));
    });
    let after = status_number(cluster, 1, "/counters/ring/configurations");
    assert_eq!(before, after, "{}", cluster.log(1));
    cluster.until_members(&[1, 2]).expect("the ring is as it was");
}

#[test]
fn a_neighbour_with_another_key_is_counted_and_not_heard() {
    let cluster = two_of_three(Setup { detection: PATIENT, ..setup(3) });
    let foreign = hellos(&cluster, "test", Some(ClusterKey::generate()), 3);
    assert_ring_stays(&cluster, |send| {
        foreign.iter().for_each(|datagram| send(datagram));
        let count = foreign.len() as u64;
        until_status(&cluster, 1, "/counters/net_discards/key", count);
        until_logged(&cluster, 1, &["WARN", "a key that this node does not have"]);
    });
}

#[test]
fn a_neighbour_of_another_cluster_is_counted_and_not_heard() {
    let cluster = two_of_three(Setup { detection: PATIENT, ..setup(3) });
    let key = ClusterKey::load(&cluster.key_file()).expect("the cluster's key");
    let foreign = hellos(&cluster, "another", Some(key), 3);
    assert_ring_stays(&cluster, |send| {
        foreign.iter().for_each(|datagram| send(datagram));
        until_status(&cluster, 1, "/counters/net_discards/cluster", foreign.len() as u64);
        until_logged(&cluster, 1, &["WARN", "another name"]);
    });
}

/// It was removed from the list, and has the key.
#[test]
fn a_node_that_is_not_in_the_list_is_refused_by_name() {
    let cluster = two_of_three(Setup { detection: PATIENT, ..setup(3) });
    let key = ClusterKey::load(&cluster.key_file()).expect("the cluster's key");
    let removed = hellos(&cluster, "test", Some(key), 7);
    assert_ring_stays(&cluster, |send| {
        removed.iter().for_each(|datagram| send(datagram));
        until_status(&cluster, 1, "/counters/net_discards/stranger", removed.len() as u64);
        until_logged(&cluster, 1, &["WARN", "not in [[cluster.nodes]]", "node=7"]);
        let status = cluster.status(1).expect("it answers");
        let warnings = status["warnings"].to_string();
        assert!(warnings.contains("(node 7; this one's file is "), "{warnings}");
    });
}

#[test]
fn clear_text_is_not_heard_by_a_sealed_cluster() {
    let cluster = two_of_three(Setup { detection: PATIENT, ..setup(3) });
    let clear = hellos(&cluster, "test", None, 3);
    assert_ring_stays(&cluster, |send| {
        clear.iter().for_each(|datagram| send(datagram));
        until_status(&cluster, 1, "/counters/net_discards/seal", clear.len() as u64);
    });
}

/// How many datagrams node 1 has dropped, by reason.
fn discards(cluster: &Cluster) -> BTreeMap<String, u64> {
    let status = cluster.status(1).expect("it answers");
    let discards = status["counters"]["net_discards"].as_object().expect("by reason").iter();
    discards.map(|(why, count)| (why.clone(), count.as_u64().expect("a number"))).collect()
}

/// Why a sealed datagram of node 3 with this bit flipped is dropped (docs/wire.md section 1).
fn why_flipped(bit: usize) -> &'static str {
    match bit / 8 {
        0..3 => "magic",
        3 => "version",
        // A part, of an incarnation that nobody has met.
        4 if bit % 8 == 1 => "unknown_incarnation",
        4 => "header",
        5 => "seal",
        6..10 => "cluster",
        // Nodes 2 and 1 are known, but the key of another incarnation does not open it.
        10 if bit % 8 < 2 => "unauthenticated",
        10..14 => "stranger",
        22 if bit % 8 < 3 => "link",
        22 => "header",
        // The second of two copies is none of one, and nine copies are too many.
        23 if !(4..7).contains(&(bit % 8)) => "header",
        24 | 25 => "key",
        // With the lowest bit it says that it is for node 1.
        26..30 if bit != 26 * 8 => "misdirected",
        _ => "unauthenticated",
    }
}

/// Each prefix and each single flipped bit of a genuine datagram, with the right key: all of them
/// arrive, and each is dropped for its own reason.
#[test]
fn truncated_and_bit_flipped_packets_are_dropped() {
    /// Header and tag, docs/wire.md section 1.
    const SHORTEST: usize = 54;
    /// So few at a time that the socket holds them.
    const AT_A_TIME: usize = 32;
    let cluster = two_of_three(Setup { detection: PATIENT, ..setup(3) });
    let key = ClusterKey::load(&cluster.key_file()).expect("the cluster's key");
    let genuine = hellos(&cluster, "test", Some(key), 3).remove(0);
    let prefixes = (0..genuine.len()).map(|end| {
        let why = if end < SHORTEST { "length" } else { "unauthenticated" };
        (genuine[..end].to_vec(), why)
    });
    let flipped = (0..genuine.len() * 8).map(|bit| {
        let mut flipped = genuine.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        (flipped, why_flipped(bit))
    });
    let all: Vec<_> = prefixes.chain(flipped).collect();
    let mut expected = discards(&cluster);
    assert_ring_stays(&cluster, |send| {
        for some in all.chunks(AT_A_TIME) {
            for (datagram, why) in some {
                send(datagram);
                *expected.get_mut(*why).expect("a reason") += 1;
            }
            let dropped = until("each is dropped for its reason", || {
                let dropped = discards(&cluster);
                (dropped.values().sum::<u64>() >= expected.values().sum()).then_some(dropped)
            });
            assert_eq!(dropped.expect("they arrive"), expected);
        }
        let status = cluster.status(1).expect("it answers");
        assert_eq!(status["peers"][1]["heard"], false, "{status}");
    });
}

/// What the warnings of node 1 count, together.
fn warnings_sum(cluster: &Cluster) -> u64 {
    let status = cluster.status(1).expect("it answers");
    let warnings = status["warnings"].as_array().expect("a list").iter();
    let counts = warnings.filter_map(|warning| {
        let (said, _) = warning.as_str()?.split_once(" so far")?;
        said.rsplit(' ').next()?.parse::<u64>().ok()
    });
    counts.sum()
}

/// D24: whatever it is that strangers send, the log has one line of it in a minute.
#[test]
fn strangers_of_all_kinds_together_have_one_line_a_minute() {
    let cluster = two_of_three(Setup { detection: PATIENT, ..setup(3) });
    let key = ClusterKey::load(&cluster.key_file()).expect("the cluster's key");
    let genuine = hellos(&cluster, "test", Some(key), 3).remove(0);
    let changed = |at: usize, bit: u8| {
        let mut datagram = genuine.clone();
        datagram[at] ^= bit;
        datagram
    };
    // docs/wire.md section 1: version, seal, cluster, node, link, key, and the seal itself.
    let kinds = [(3, 0x80), (5, 1), (6, 1), (13, 1), (22, 1), (24, 1), (60, 1)];
    let signs =
        ["do not open", "not have", "another link", "another name", "seal", "not in", "version"];
    assert_ring_stays(&cluster, |send| {
        // Twice, so that it is looked at twice: a second line would be there then.
        for _ in 0..2 {
            let before = warnings_sum(&cluster);
            kinds.iter().for_each(|(at, bit)| send(&changed(*at, *bit)));
            until("the report has all signs, and more of them", || {
                let warnings = cluster.status(1).ok()?["warnings"].to_string();
                let all = signs.iter().all(|sign| warnings.contains(sign));
                (all && warnings_sum(&cluster) >= before + 6).then_some(())
            })
            .expect("they were seen");
        }
        until_logged(&cluster, 1, &["WARN", "dropped"]);
        let log = cluster.log(1);
        let told = log.lines().filter(|line| line.contains("WARN") && line.contains("dropped"));
        assert_eq!(told.count(), 1, "{log}");
    });
}

/// D24: a flood of garbage costs counters, not log lines, and the ring goes on.
#[test]
fn garbage_at_line_rate_neither_stops_the_ring_nor_fills_the_log() {
    /// What has to arrive of it: much of a flood is lost before the daemon.
    const DROPPED: u64 = 20_000;
    let cluster = two_of_three(Setup { detection: PATIENT, ..setup(3) });
    let key = ClusterKey::load(&cluster.key_file()).expect("the cluster's key");
    let genuine = hellos(&cluster, "test", Some(key), 3).remove(0);
    let lines_before = cluster.log(1).lines().count();
    let tokens_before = status_number(&cluster, 1, "/counters/ring/tokens");
    let before = discards(&cluster);
    assert_ring_stays(&cluster, |send| {
        let mut i = 0;
        let dropped = until("the flood arrives", || {
            for _ in 0..5000 {
                let mut datagram = genuine.clone();
                let at = i % datagram.len();
                datagram[at] ^= u8::try_from(i % 255).expect("small") + 1;
                send(&datagram);
                i += 1;
            }
            let dropped = discards(&cluster);
            let total = dropped.values().sum::<u64>() - before.values().sum::<u64>();
            (total >= DROPPED).then_some(dropped)
        })
        .expect("the daemon drops it");
        let reasons =
            ["magic", "version", "header", "seal", "cluster", "stranger", "unauthenticated"];
        let missing: Vec<_> =
            reasons.iter().filter(|why| dropped[**why] == before[**why]).collect();
        assert!(missing.is_empty(), "nothing was dropped as {missing:?}: {dropped:?}");
    });
    until_status(&cluster, 1, "/counters/ring/tokens", tokens_before + 1);
    let log = cluster.log(1);
    // The status requests of this test have two lines each.
    let noise = log.lines().skip(lines_before).filter(|line| !line.contains("testkit"));
    let noise: Vec<_> = noise.filter(|line| !line.contains("client left")).collect();
    assert!(noise.len() < 20, "{noise:?}");
}

/// The second owner of an id refuses loudly and stops; the ring stays.
#[test]
fn a_second_node_with_the_same_id_stops_and_says_why() {
    let cluster = formed(Setup { detection: Duration::from_secs(1), ..setup(3) });
    let spare = Cluster::prepare(setup(1)).expect("an address");
    let before = status_number(&cluster, 1, "/counters/ring/configurations");
    let text = cluster
        .config(2)
        .replace(&cluster.address(2).to_string(), &spare.address(1).to_string())
        .replace(&format!("{:?}", cluster.socket(2)), &format!("{:?}", spare.socket(1)));
    std::fs::write(spare.config_file(1), text).expect("written");
    let log = spare.dir().join("second.log");
    let mut second = cluster.spawn(&spare.config_file(1), &log).expect("it runs");
    let status = until_exit(&mut second);
    let log = std::fs::read_to_string(log).expect("a log");
    assert_eq!(status.expect("it ends").code(), Some(3), "{log}");
    let line = log.lines().find(|line| line.contains("ERROR")).unwrap_or_default();
    assert!(line.contains("node=2") && line.contains("runs with this node's id"), "{log}");
    let after = status_number(&cluster, 1, "/counters/ring/configurations");
    assert_eq!(before, after, "{}", cluster.log(1));
    cluster.until_members(&[1, 2, 3]).expect("the ring is as it was");
}
