//! Forming, exchanging, losing a node and getting it back.

use evs::{Event, Guarantee};
use evs_testkit::{Cluster, Setup};

use super::{client, formed, group, member, messages, next_event, setup, status_number};

/// EVS-6: one order everywhere, and everybody's messages in it.
#[test]
fn three_daemons_deliver_everybodys_messages_in_one_order() {
    const EACH: usize = 200;
    let cluster = formed(setup(3));
    let orders = group("orders");
    let clients: Vec<_> = (1..=3).map(|node| member(&cluster, node, orders)).collect();
    std::thread::scope(|scope| {
        for client in &clients {
            scope.spawn(move || {
                for i in 0..EACH {
                    let guarantee = if i % 2 == 0 { Guarantee::Agreed } else { Guarantee::Safe };
                    let body = vec![7; i * 10];
                    client.send(guarantee, &[orders], &body).expect("sent");
                }
            });
        }
    });
    let histories: Vec<_> = clients.iter().map(|client| messages(client, 3 * EACH)).collect();
    assert_eq!(histories[0], histories[1]);
    assert_eq!(histories[1], histories[2]);
    let of_first = histories[0].iter().filter(|m| m.id.sender == clients[0].processor());
    let numbers: Vec<_> = of_first.map(|message| message.id.number).collect();
    assert_eq!(numbers, (1..=EACH as u64).collect::<Vec<_>>());
}

/// EVS-12: the largest message, over several packets, and the smallest.
#[test]
fn messages_of_every_size_arrive_whole() {
    let cluster = formed(setup(2));
    let sizes = group("sizes");
    let (sender, receiver) = (client(&cluster, 1), member(&cluster, 2, sizes));
    for bytes in [0, 1, 1000, 1379, 1380, 1381, 65_536, 1 << 20] {
        let body: Vec<u8> =
            (0..bytes).map(|i: usize| u8::try_from(i % 251).expect("small")).collect();
        sender.send(Guarantee::Agreed, &[sizes], &body).expect("sent");
        assert!(messages(&receiver, 1)[0].body == body, "{bytes} bytes differ");
    }
}

#[test]
fn three_daemons_form_one_ring_over_multicast() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let third = evs_net::random_u64() % 250;
    let lines =
        format!("transport = \"multicast\"\nmulticast_address = \"239.192.{third}.7:{port}\"");
    let cluster = formed(Setup { cluster_lines: lines, ..setup(3) });
    let orders = group("orders");
    let clients: Vec<_> = (1..=3).map(|node| member(&cluster, node, orders)).collect();
    for client in &clients {
        client.send(Guarantee::Safe, &[orders], b"to all at once").expect("sent");
    }
    let histories: Vec<_> = clients.iter().map(|client| messages(client, 3)).collect();
    assert_eq!(histories[0], histories[1]);
    assert_eq!(histories[1], histories[2]);
    assert_eq!(cluster.status(1).expect("it answers")["transport"], "multicast");
}

#[test]
fn a_killed_node_is_excluded_and_comes_back_as_another_processor() {
    let mut cluster = formed(setup(3));
    let watcher = client(&cluster, 1);
    let before = client(&cluster, 3).processor();
    cluster.kill(3).expect("it runs");
    cluster.until_members(&[1, 2]).expect("the others go on");
    cluster.start_node(3).expect("it starts");
    cluster.until_members(&[1, 2, 3]).expect("it is back");
    let after = client(&cluster, 3).processor();
    assert_ne!(before, after);

    let mut left = Vec::new();
    let mut joined = Vec::new();
    while !joined.contains(&after) {
        if let Event::Regular { left: l, joined: j, .. } = next_event(&watcher) {
            left.extend(l.iter());
            joined.extend(j.iter());
        }
    }
    assert_eq!(left, [before]);
}

/// P20: the stored file is a hint for growth; the ring sequence never falls over a restart.
#[test]
fn ring_sequences_grow_over_a_restart_of_all_nodes() {
    let mut cluster = formed(setup(2));
    let before = status_number(&cluster, 1, "/ring/id/seq");
    evs_testkit::until("the sequence is stored", || {
        cluster.nodes().iter().all(|n| state_file(&cluster, *n).exists()).then_some(())
    })
    .expect("written by the helper thread");
    for node in cluster.nodes() {
        cluster.kill(node).expect("it runs");
    }
    for node in cluster.nodes() {
        cluster.start_node(node).expect("it starts");
    }
    cluster.until_members(&[1, 2]).expect("one ring");
    assert!(status_number(&cluster, 1, "/ring/id/seq") > before);
}

#[test]
fn a_lost_or_corrupt_state_file_does_no_harm() {
    let mut cluster = formed(setup(2));
    cluster.kill(1).expect("it runs");
    std::fs::create_dir_all(state_file(&cluster, 1).parent().expect("a directory")).expect("made");
    std::fs::write(state_file(&cluster, 1), "nonsense").expect("written");
    cluster.start_node(1).expect("it starts");
    cluster.until_members(&[1, 2]).expect("one ring");
    assert!(cluster.log(1).contains("ignoring the stored ring sequence"), "{}", cluster.log(1));
}

fn state_file(cluster: &Cluster, node: u32) -> std::path::PathBuf {
    cluster.dir().join(node.to_string()).join("state/ring-seq")
}

/// D26: an address that is not there yet is no reason to stop.
#[test]
fn a_node_without_its_address_serves_its_clients_alone() {
    let setup = setup(2);
    let cluster = Cluster::prepare(setup).expect("files");
    // TEST-NET-1: no host has this address.
    let address = cluster.address(1).to_string();
    let text = cluster.config(1).replace(&address, "192.0.2.1:5405");
    std::fs::write(cluster.config_file(1), text).expect("written");
    let mut cluster = cluster;
    cluster.start_node(1).expect("it starts");
    cluster.until_members(&[1]).expect("a ring of one");
    let alone = member(&cluster, 1, group("alone"));
    alone.send(Guarantee::Safe, &[group("alone")], b"to myself").expect("sent");
    assert_eq!(&messages(&alone, 1)[0].body[..], b"to myself");
    let status = cluster.status(1).expect("it answers");
    let warning = status["warnings"][0].as_str().unwrap_or_default().to_owned();
    assert!(warning.contains("link 0 cannot be used"), "{status}");
}

#[test]
fn clear_text_is_warned_of_in_log_and_status() {
    let cluster = formed(Setup { sealed: false, ..setup(2) });
    let status = cluster.status(1).expect("it answers");
    assert_eq!(status["seal"], "none");
    assert!(status["warnings"][0].as_str().is_some_and(|w| w.contains("clear text")), "{status}");
    assert!(cluster.log(1).contains("WARN"), "{}", cluster.log(1));
}

/// Unless it is forbidden. Whoever did not ask for it is not warned where the system refuses it.
#[test]
fn memory_is_locked_if_the_system_allows_it() {
    for (line, forbidden) in [("", false), ("lock_memory = false", true)] {
        let cluster = formed(Setup { local_lines: line.to_owned(), ..setup(1) });
        let report = cluster.status(1).expect("it answers");
        let told = report["privileges"]["memory_locked"].as_str().expect("a text");
        let pid = cluster.pid(1).expect("it runs");
        let process = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let value = |key: &str| {
            let line = process.lines().find_map(|line| line.strip_prefix(key));
            line.expect("Linux tells it").trim().to_owned()
        };
        let ids = std::fs::read_to_string(format!("/proc/{pid}/uid_map")).expect("it runs");
        let initial = ids.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
        let capable = u64::from_str_radix(&value("CapEff:"), 16).expect("a set") >> 14 & 1 == 1;
        let may = initial && capable;
        let locked = value("VmLck:") != "0 kB";
        assert_eq!(locked, told == "granted", "{told}, {}", value("VmLck:"));
        assert_eq!(told == "off", forbidden, "{told}");
        assert!(forbidden || locked || !may, "whoever has CAP_IPC_LOCK may: {told}");
        let warned = report["warnings"].as_array().expect("a list").iter();
        assert_eq!(warned.filter(|w| w.to_string().contains("lock_memory")).count(), 0);
        let line = "a privilege is refused";
        let log = cluster.log(1);
        let warned = log.lines().any(|told| told.contains(line) && told.contains("WARN"));
        assert!(!warned, "{log}");
    }
}

#[test]
fn a_status_report_tells_ring_peers_clients_and_limits() {
    let cluster = formed(setup(2));
    let asker = client(&cluster, 1);
    let json = asker.status_json().expect("it answers");
    let status: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(status["schema"], 1);
    assert_eq!(status["processor"]["node"], 1);
    assert_eq!(status["seal"], "aead");
    assert_eq!(status["ring"]["state"], "operational");
    assert_eq!(status["ring"]["members"][1]["node"], 2);
    assert_eq!(status["peers"][0]["heard"], true);
    assert!(status["peers"][0]["round_trip_us"]["smoothed"].is_u64());
    assert_eq!(status["clients"]["list"][0]["client"], asker.client_id().0);
    assert_eq!(status["limits"]["message_bytes_max"], 1 << 20);
    assert!(status["counters"]["net"]["packets_received"].as_u64().is_some_and(|n| n > 0));
}
