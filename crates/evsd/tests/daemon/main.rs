//! The daemon as its users meet it: real processes on loopback, real clients.

mod accepted;
mod bad_network;
mod clients;
mod cluster;
mod command_line;
mod keys;
mod manager;
mod metrics;
mod nodes;
mod reload;
mod settings;
mod stop;
mod victim;
mod why;

use std::time::Duration;

use evs::{Client, ConnectOptions, Event, Group, Message};
use evs_testkit::{Cluster, DEADLINE, Setup, until};

/// A setup that runs the daemon under test.
fn setup(nodes: u32) -> Setup {
    Setup { evsd: Some(env!("CARGO_BIN_EXE_evsd").into()), ..Setup::new(nodes) }
}

/// A cluster of so many daemons, in one ring.
fn formed(setup: Setup) -> Cluster {
    let cluster = Cluster::start(setup).expect("the daemons start");
    cluster.until_members(&cluster.nodes()).expect("they form one ring");
    cluster
}

fn group(name: &str) -> Group {
    Group::named(name).expect("a short name")
}

/// A client of a node.
fn client(cluster: &Cluster, node: u32) -> Client {
    let options = ConnectOptions::new().path(cluster.socket(node)).timeout(DEADLINE);
    Client::connect_with(&options).expect("the daemon takes clients")
}

/// A client of a node that has joined a group.
fn member(cluster: &Cluster, node: u32, group: Group) -> Client {
    let client = client(cluster, node);
    client.join(&[group]).expect("joined");
    client
}

/// The next event.
fn next_event(client: &Client) -> Event {
    client.recv_timeout(DEADLINE).expect("a session").expect("an event within the deadline")
}

/// The next message; configurations are skipped.
fn next_message(client: &Client) -> Message {
    loop {
        if let Event::Message(message) = next_event(client) {
            return message;
        }
    }
}

/// The next so many messages.
fn messages(client: &Client, count: usize) -> Vec<Message> {
    (0..count).map(|_| next_message(client)).collect()
}

/// Waits until a number in a node's status is at least this.
fn until_status(cluster: &Cluster, node: u32, path: &str, least: u64) {
    let what = format!("{path} of node {node} reaches {least}");
    until(&what, || {
        let status = cluster.status(node).ok()?;
        (status.pointer(path)?.as_u64()? >= least).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", cluster.log(node)));
}

/// A number in a node's status.
fn status_number(cluster: &Cluster, node: u32, path: &str) -> u64 {
    let status = cluster.status(node).expect("the daemon answers");
    let number = status.pointer(path).and_then(serde_json::Value::as_u64);
    number.unwrap_or_else(|| panic!("no number at {path} in {status}"))
}

/// Waits until a node has logged a line with all these pieces.
fn until_logged(cluster: &Cluster, node: u32, pieces: &[&str]) -> String {
    cluster.until_logged(node, pieces).unwrap_or_else(|error| panic!("{error:?}"))
}

/// A detection target that nothing in a short test exceeds, where a death would be a mistake.
const PATIENT: Duration = Duration::from_secs(3);
