//! Settings of the cluster that change while the daemons run: agreed on by all of them, in force
//! everywhere at one place of the history, and written by each.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::thread;

use evs::{Client, Guarantee, SendError};
use evs_testkit::{Cluster, Setup, until};
use rustix::process::Signal;

use super::nodes::{configurations, done, refusal, until_written, written};
use super::reload::{ask_reload, edit, setting};
use super::why::until_reason;
use super::{PATIENT, client, formed, group, member, messages, setup, status_number};

const ALL: [u32; 3] = [1, 2, 3];

fn patient() -> Setup {
    Setup { detection: PATIENT, log: "info".to_owned(), ..setup(3) }
}

fn targets(cluster: &Cluster) -> Vec<u64> {
    ALL.map(|node| status_number(cluster, node, "/ring/detection_ms")).to_vec()
}

fn send(client: &Client, bytes: usize) -> Result<evs::MessageId, SendError> {
    client.send(Guarantee::Safe, &[group("g")], &vec![7; bytes])
}

#[test]
fn another_detection_target_is_in_force_everywhere_without_a_configuration_or_a_loss() {
    let cluster = formed(patient());
    let before = configurations(&cluster, &ALL);
    let members = ALL.map(|node| member(&cluster, node, group("g")));
    let steps = ["10000", "1500", "60000", "3000"];
    thread::scope(|scope| {
        let senders = members.iter().map(|member| {
            scope.spawn(move || {
                for number in 0..2_000_u32 {
                    let sent = member.send(Guarantee::Agreed, &[group("g")], &number.to_le_bytes());
                    sent.expect("there is room some time");
                }
            })
        });
        let senders: Vec<_> = senders.collect();
        let mut now = "3000";
        for ((version, node), target) in (1..).zip([2, 3, 1, 2]).zip(steps) {
            let change = [now, target].map(|ms| format!("detection_ms = {ms}"));
            edit(&cluster, node, &change[0], &change[1]);
            let answer = ask_reload(&cluster, node);
            done(&answer);
            assert_eq!(answer["changed"], serde_json::json!(["cluster.detection_ms"]));
            until_written(&cluster, &ALL, version);
            assert_eq!(targets(&cluster), [target.parse::<u64>().expect("a number"); 3]);
            assert_eq!(written(&cluster, 3).detection.as_millis().to_string(), target);
            now = target;
        }
        senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
    });
    let order = |client: &Client| -> Vec<_> {
        messages(client, 6_000).into_iter().map(|message| message.id).collect()
    };
    let orders = [0, 1, 2].map(|place| order(&members[place]));
    assert!(orders.iter().all(|order| *order == orders[0]), "one order");
    assert_eq!(configurations(&cluster, &ALL), before, "{}", cluster.logs());
}

/// Until the old one has passed, others may go by it; then who is silent is missed by the new one.
#[test]
fn a_lowered_target_counts_when_the_old_one_has_passed() {
    let cluster = formed(patient());
    edit(&cluster, 1, "detection_ms = 3000", "detection_ms = 700");
    done(&ask_reload(&cluster, 1));
    assert_eq!(targets(&cluster), [700; 3]);
    for node in ALL {
        let patience = || status_number(&cluster, node, "/ring/detection_effective_ms");
        until("the old one has passed", || (patience() < 3_000).then_some(())).expect("it does");
    }
    cluster.signal(3, Signal::STOP).expect("it runs");
    cluster.until_members(&[1, 2]).expect("the others go on");
    let change = until_reason(&cluster, 1, "silent");
    let evidence = change["trigger"].to_string();
    let silences = evidence.split("\"silence_us\":").skip(1);
    let silences: Vec<u64> = silences
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .collect();
    assert!(!silences.is_empty() && silences.iter().all(|us| *us < 3_000_000), "{change:#}");
}

#[test]
fn a_node_that_was_away_learns_the_settings_that_the_others_agreed_on() {
    let mut cluster = formed(patient());
    cluster.stop(3).expect("it runs");
    cluster.until_members(&[1, 2]).expect("the others go on");
    edit(&cluster, 2, "detection_ms = 3000", "detection_ms = 4000\nwindow_bytes_max = 1048576");
    done(&ask_reload(&cluster, 2));
    until_written(&cluster, &[1, 2], 1);
    assert_eq!(written(&cluster, 3).detection, PATIENT);
    cluster.start_node(3).expect("it starts");
    cluster.until_members(&ALL).expect("it is back");
    until_written(&cluster, &ALL, 1);
    assert_eq!(targets(&cluster), [4_000; 3]);
    assert_eq!(setting(&cluster, 3, "cluster.window_bytes_max"), "1048576");
    // Who edits a file that is not up to date is told so.
    edit(&cluster, 3, "version = 1", "version = 0");
    edit(&cluster, 3, "detection_ms = 4000", "detection_ms = 5000");
    let answer = ask_reload(&cluster, 3);
    assert!(refusal(&answer).contains("cluster.version is 0, and 1 is in force"), "{answer:#}");
    assert_eq!(targets(&cluster), [4_000; 3]);
}

/// The same host on another network.
fn elsewhere(mut address: SocketAddr) -> SocketAddr {
    if let IpAddr::V4(ip) = address.ip() {
        let [first, second, third, fourth] = ip.octets();
        address.set_ip([first, second ^ 0x40, third, fourth].into());
    }
    address
}

#[test]
fn a_window_and_the_priorities_of_links_change_and_the_traffic_moves() {
    let mut cluster = Cluster::prepare(patient()).expect("files");
    for node in ALL {
        for address in ALL.map(|node| cluster.address(node)) {
            let both = format!("addresses = [\"{address}\", \"{}\"]", elsewhere(address));
            edit(&cluster, node, &format!("address = \"{address}\""), &both);
        }
        // Whoever was too busy to send on the first comes back to it: it is preferred.
        let links = "[[cluster.links]]\npriority = 3\n[[cluster.links]]\n[local]\n";
        edit(&cluster, node, "[local]\n", links);
        cluster.start_node(node).expect("it starts");
    }
    cluster.until_members(&ALL).expect("one ring");
    let before = configurations(&cluster, &ALL);
    let used = |node| {
        let status = cluster.status(node).expect("it answers");
        let peers = status["peers"].as_array().expect("a list").clone();
        peers.iter().map(|peer| peer["link"].as_u64()).collect::<Vec<_>>()
    };
    let until_on = |node, link| {
        let is_on = || (used(node) == [Some(link); 2]).then_some(());
        until(&format!("the traffic of node {node} is on link {link}"), is_on)
            .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", used(node), cluster.logs()));
    };
    ALL.into_iter().for_each(|node| until_on(node, 0));
    let links = "[[cluster.links]]\npriority = 5\n[local]\n";
    edit(&cluster, 1, "[[cluster.links]]\n[local]\n", links);
    edit(&cluster, 1, "[cluster]\n", "[cluster]\nwindow_bytes_max = 131072\n");
    let answer = ask_reload(&cluster, 1);
    done(&answer);
    let names = ["cluster.links[1].priority", "cluster.window_bytes_max"];
    assert_eq!(answer["changed"], serde_json::json!(names));
    until_written(&cluster, &ALL, 1);
    for node in ALL {
        assert_eq!(written(&cluster, node).links[1].priority, 5);
        assert_eq!(status_number(&cluster, node, "/links/1/priority"), 5);
        assert_eq!(setting(&cluster, node, "cluster.window_bytes_max"), "131072");
        until_on(node, 1);
    }
    assert_eq!(configurations(&cluster, &ALL), before, "{}", cluster.logs());
}

/// What a client was told when it connected it may do until it goes.
#[test]
fn the_limit_of_a_message_changes_for_those_who_connect_from_then_on() {
    let lines = "message_bytes_max = 20000".to_owned();
    let cluster = formed(Setup { cluster_lines: lines, ..patient() });
    let old = ALL.map(|node| member(&cluster, node, group("g")));
    for (version, limit) in [(1, 5_000), (2, 200_000)] {
        let text = fs::read_to_string(cluster.config_file(2)).expect("there");
        let line = text.lines().find(|line| line.starts_with("message_bytes_max")).expect("there");
        edit(&cluster, 2, line, &format!("message_bytes_max = {limit}"));
        done(&ask_reload(&cluster, 2));
        until_written(&cluster, &ALL, version);
        for (node, old) in ALL.into_iter().zip(&old) {
            let new = client(&cluster, node);
            assert_eq!(
                (old.limits().message_bytes_max, new.limits().message_bytes_max),
                (20_000, limit)
            );
            let error = send(&new, limit + 1).expect_err("too big");
            let SendError::TooBig { bytes, limit: most } = error else { panic!("{error}") };
            assert_eq!((bytes, most), (limit + 1, limit));
            assert!(error.to_string().ends_with(&limit.to_string()), "{error}");
            send(&new, limit).expect("as it was told");
            send(old, 20_000).expect("as it was told");
            assert_eq!(status_number(&cluster, node, "/limits/message_bytes_max"), limit as u64);
        }
        for old in &old {
            let mut sizes: Vec<_> = messages(old, 6).iter().map(|m| m.body.len()).collect();
            sizes.sort_unstable();
            let mut expected = vec![20_000; 3];
            expected.extend([limit; 3]);
            expected.sort_unstable();
            assert_eq!(sizes, expected, "nothing is lost, and nobody disconnected");
        }
    }
}
