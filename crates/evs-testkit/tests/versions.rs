//! Builds of different versions, as real daemons and clients: what they have in common is used, and
//! where that is nothing, both ends name it.

use std::os::unix::net::UnixStream;
use std::process::{Command, Output};

use evs::{Client, ConnectError, ConnectOptions};
use evs_testkit::{Build, Cluster, NextVersion, Setup, until};
use serde_json::Value;

fn next() -> NextVersion {
    NextVersion::build().expect("the next version is built")
}

/// The next version: with the present one beside it, or alone.
fn build(alone: bool) -> Build {
    Build { evsd: next().evsd, alone }
}

/// The command of the next version alone, asked about a node.
fn next_evs(cluster: &Cluster, node: u32, args: &[&str]) -> Output {
    let mut command = Command::new(next().evs);
    command.env(NextVersion::ALONE, "1").env("EVS_SOCKET", cluster.socket(node));
    command.args(args).output().expect("evs runs")
}

fn until_listening(cluster: &Cluster, node: u32) {
    until(&format!("node {node} listens"), || UnixStream::connect(cluster.socket(node)).ok())
        .expect("it does");
}

fn in_use(status: &Value) -> u64 {
    status["wire"]["in_use"].as_u64().expect("a number")
}

/// The report's note of a node of another version.
fn foreign(status: &Value) -> Option<(u64, u64, String)> {
    let note = status["foreign_versions"].as_array()?.first()?;
    let address = note["address"].as_str()?.to_owned();
    Some((note["node"].as_u64()?, note["version"].as_u64()?, address))
}

fn warnings(status: &Value) -> String {
    let texts = status["warnings"].as_array().expect("a list");
    texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_cluster_is_upgraded_node_by_node_to_the_next_version() {
    let mut cluster = Cluster::start(Setup::new(3)).expect("daemons");
    let all = cluster.nodes();
    cluster.until_members(&all).expect("one ring");
    for node in &all {
        cluster.stop(*node).expect("it stops");
        cluster.install(*node, build(false));
        cluster.start_node(*node).expect("it starts");
        cluster.until_members(&all).expect("one ring of two versions");
        if *node != 3 {
            let status = cluster.status(*node).expect("an old client is answered by a new daemon");
            assert_eq!(in_use(&status), 1, "as long as one does not speak more");
            assert_eq!(status["wire"]["highest"], 2);
            assert_eq!(warnings(&status), "");
        }
    }
    let upgraded = |node: &u32| cluster.status(*node).is_ok_and(|status| in_use(&status) == 2);
    until("all speak the next version", || all.iter().all(upgraded).then_some(())).expect("so");
    cluster.until_members(&all).expect("one ring");
}

#[test]
fn daemons_without_a_common_version_name_each_other() {
    let mut cluster = Cluster::prepare(Setup::new(2)).expect("files");
    cluster.install(2, build(true));
    cluster.start_node(1).expect("it starts");
    cluster.start_node(2).expect("it starts");
    for (node, other, theirs, ours) in [(1, 2, 2, 1), (2, 1, 1, 2)] {
        let named = format!("node {other} at {} speaks {theirs}", cluster.address(other));
        let ours = format!("versions={ours}");
        let pieces = ["WARN", "another version of evsd's wire format", &named, &ours];
        cluster.until_logged(node, &pieces).expect("it is told");
    }
    let old = cluster.status(1).expect("a status");
    assert_eq!(foreign(&old), Some((2, 2, cluster.address(2).to_string())));
    assert!(warnings(&old).contains("install the same release"), "{}", warnings(&old));
    assert!(old["counters"]["net_discards"]["version"].as_u64() > Some(0));
    let new = next_evs(&cluster, 2, &["status", "--json"]);
    let new: Value = serde_json::from_slice(&new.stdout).expect("a new client and a new daemon");
    assert_eq!(foreign(&new), Some((1, 1, cluster.address(1).to_string())));
    let shown = next_evs(&cluster, 2, &["status"]);
    let shown = String::from_utf8(shown.stdout).expect("text");
    assert!(shown.contains("node 1 at") && shown.contains("this node speaks 2"), "{shown}");
}

#[test]
fn a_daemon_that_is_brought_to_the_same_version_is_warned_of_no_more() {
    let mut cluster = Cluster::prepare(Setup::new(2)).expect("files");
    cluster.install(2, build(true));
    cluster.start_node(1).expect("it starts");
    cluster.start_node(2).expect("it starts");
    cluster.until_logged(1, &["another version of evsd's wire format"]).expect("it is told");
    cluster.stop(2).expect("it stops");
    cluster.install(2, build(false));
    cluster.start_node(2).expect("it starts");
    cluster.until_members(&[1, 2]).expect("one ring");
    let status = cluster.status(1).expect("a status");
    assert_eq!((foreign(&status), warnings(&status).as_str()), (None, ""));
}

#[test]
fn an_old_client_and_a_new_daemon_name_each_other() {
    let mut cluster = Cluster::prepare(Setup::new(1)).expect("files");
    cluster.install(1, build(true));
    cluster.start_node(1).expect("it starts");
    until_listening(&cluster, 1);
    let error = Client::connect_with(&ConnectOptions::new().path(cluster.socket(1)))
        .expect_err("no common version");
    assert!(matches!(error, ConnectError::VersionMismatch { .. }), "{error}");
    let said = error.to_string();
    assert!(
        said.contains("client speaks version 3") && said.contains("daemon version 4"),
        "{said}"
    );
    let me = format!("pid={}", std::process::id());
    let pieces = ["WARN", "client refused: it speaks no version", "theirs=3 ours=4", &me];
    cluster.until_logged(1, &pieces).expect("it is told");
}

#[test]
fn a_new_client_and_an_old_daemon_name_each_other() {
    let cluster = Cluster::start(Setup::new(1)).expect("a daemon");
    cluster.until_members(&[1]).expect("it serves");
    let answer = next_evs(&cluster, 1, &["status"]);
    let said = String::from_utf8(answer.stderr).expect("text");
    assert_eq!(answer.status.code(), Some(1), "{said}");
    assert!(
        said.contains("client speaks version 4") && said.contains("daemon version 3"),
        "{said}"
    );
    cluster.until_logged(1, &["WARN", "client refused", "theirs=4 ours=3"]).expect("it is told");
    let status = cluster.status(1).expect("a status");
    assert_eq!(status["counters"]["clients"]["refused_version"], 1);
}
