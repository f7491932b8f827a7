//! The local half of the configuration, read again while the daemon runs: all of it or nothing.

use std::fs;
use std::thread;
use std::time::Duration;

use evs_testkit::{Cluster, RawClient, Setup, until};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::clients::{NOBODY, try_as, try_call_as};
use super::victim::{CONNECTED, FORBIDDEN, NO_ACCESS};
use super::{client, formed, group, member, setup, status_number, until_logged};

/// Replaces a piece of a node's configuration file.
pub(crate) fn edit(cluster: &Cluster, node: u32, from: &str, to: &str) {
    let file = cluster.config_file(node);
    let text = fs::read_to_string(&file).expect("there");
    assert!(text.contains(from), "{from} is not in {text}");
    fs::write(&file, text.replace(from, to)).expect("written");
}

pub(crate) fn ask_reload(cluster: &Cluster, node: u32) -> Value {
    cluster.ask(node, &json!({ "ask": "reload" })).expect("it answers")
}

/// What a node has in force.
pub(crate) fn setting(cluster: &Cluster, node: u32, name: &str) -> Value {
    let answer = cluster.ask(node, &json!({ "ask": "config" })).expect("it answers");
    answer["settings"][name].clone()
}

/// The changes that a reload made; it must have succeeded.
fn changed(answer: &Value) -> Vec<&str> {
    assert!(answer["error"].is_null(), "{answer:#}");
    let names = answer["changed"].as_array().unwrap_or_else(|| panic!("{answer:#}"));
    names.iter().filter_map(Value::as_str).collect()
}

#[test]
fn a_reload_changes_log_and_limits_at_once_and_disturbs_nobody() {
    let limits = "[local.limits]\nclients_max = 4".to_owned();
    let mut cluster = formed(Setup { local_lines: limits, log: "info".to_owned(), ..setup(2) });
    let configurations = status_number(&cluster, 1, "/counters/ring/configurations");
    let before = member(&cluster, 1, group("before"));
    assert_eq!(changed(&ask_reload(&cluster, 1)), [""; 0]);
    edit(&cluster, 1, "clients_max = 4", "clients_max = 2");
    edit(&cluster, 1, "log = \"info\"", "log = \"debug\"");
    assert_eq!(changed(&ask_reload(&cluster, 1)), ["local.limits.clients_max", "local.log"]);
    until_logged(&cluster, 1, &["INFO", "configuration reloaded", "local.log"]);
    assert_eq!(setting(&cluster, 1, "local.limits.clients_max"), "2");
    let second = client(&cluster, 1);
    let third = evs_testkit::RawClient::open(&cluster.socket(1), "third");
    assert!(third.expect_err("one too many").to_string().contains("TooManyClients"));
    drop(second);
    edit(&cluster, 1, "clients_max = 2", "clients_max = 5");
    cluster.signal(1, Signal::HUP).expect("it runs");
    until_logged(&cluster, 1, &["configuration reloaded", "changed=\"local.limits.clients_max\""]);
    before.send(evs::Guarantee::Agreed, &[group("before")], b"still here").expect("sent");
    assert_eq!(&super::next_message(&before).body[..], b"still here");
    assert_eq!(status_number(&cluster, 1, "/counters/ring/configurations"), configurations);
    // The level counts: at first there was no such line.
    assert!(!cluster.log(1).contains("DEBUG"), "{}", cluster.log(1));
    cluster.stop(2).expect("it runs");
    until_logged(&cluster, 1, &["DEBUG", "ring state"]);
}

#[test]
fn what_needs_a_restart_is_refused_by_name_and_nothing_changes() {
    let cluster = formed(Setup { local_lines: "allow_uids = []".to_owned(), ..setup(1) });
    let file = fs::read_to_string(cluster.config_file(1)).expect("there");
    let cases = [
        ("state_dir = \"", "state_dir = \"/tmp", "local.state_dir needs a restart"),
        ("evsd.sock\"", "other.sock\"", "local.socket needs a restart"),
        ("name = \"test\"", "name = \"prod\"", "cluster.name needs a restart of every node"),
        ("[local]", "[local]\nlog_format = \"json\"", "local.log_format needs a restart"),
        ("[local]", "[local]\nmetrics = \"127.0.0.1:9\"", "local.metrics needs a restart"),
        ("[local]", "[local]\nmulticast_interface = \"lo\"", "multicast_interface needs a restart"),
    ];
    for (from, to, error) in cases {
        // A change that could be made stands beside it.
        edit(&cluster, 1, "allow_uids = []", "allow_uids = [4242]");
        edit(&cluster, 1, from, to);
        let answer = ask_reload(&cluster, 1);
        let said = answer["error"].as_str().unwrap_or_default();
        assert!(said.starts_with("nothing has changed: "), "{answer:#}");
        assert!(said.contains(error), "{answer:#}");
        assert_eq!(setting(&cluster, 1, "local.allow_uids"), "[]", "{error}");
        fs::write(cluster.config_file(1), &file).expect("written");
    }
    assert_eq!(changed(&ask_reload(&cluster, 1)), [""; 0]);
}

#[test]
fn a_file_with_mistakes_changes_nothing_and_the_asker_and_the_log_know_where_they_are() {
    let cluster = formed(Setup { log: "info".to_owned(), ..setup(1) });
    edit(&cluster, 1, "log = \"info\"", "log = \"debug\"\nlgo = 1\nallow_uids = \"x\"");
    let answer = ask_reload(&cluster, 1);
    let said = answer["error"].as_str().unwrap_or_default();
    for piece in ["evsd.toml:", "did you mean `log`?", "local.allow_uids"] {
        assert!(said.contains(piece), "{answer:#}");
    }
    assert_eq!(setting(&cluster, 1, "local.log"), "\"info\"");
    fs::remove_file(cluster.config_file(1)).expect("it was there");
    cluster.signal(1, Signal::HUP).expect("it runs");
    let why = ["WARN", "the configuration is not reloaded: nothing has changed"];
    until_logged(&cluster, 1, &[why[0], why[1], "did you mean `log`?"]);
    until_logged(&cluster, 1, &[why[0], why[1], "cannot be read"]);
}

#[test]
fn who_may_connect_changes_at_once() {
    let cluster = formed(Setup { local_lines: "allow_uids = []".to_owned(), ..setup(1) });
    assert_eq!(try_as(&cluster, 4242, NOBODY), Some(NO_ACCESS));
    edit(&cluster, 1, "allow_uids = []", "allow_uids = [4242]");
    assert_eq!(changed(&ask_reload(&cluster, 1)), ["local.allow_uids"]);
    assert_eq!(try_as(&cluster, 4242, NOBODY), Some(CONNECTED));
    assert_eq!(try_call_as(&cluster, "reload", 4242, NOBODY), Some(FORBIDDEN));
    edit(&cluster, 1, "allow_uids = [4242]", "allow_uids = []");
    assert_eq!(changed(&ask_reload(&cluster, 1)), ["local.allow_uids"]);
    assert_eq!(try_as(&cluster, 4242, NOBODY), Some(NO_ACCESS));
}

/// The others agree while the socket is taken away: what is in force then is so, and the rest is
/// told.
#[test]
fn what_fails_when_all_have_agreed_is_told_to_whoever_asked() {
    let slow = Setup { detection: Duration::from_secs(30), log: "info".to_owned(), ..setup(2) };
    let cluster = formed(slow);
    let accepted = || status_number(&cluster, 1, "/counters/service/messages_accepted");
    let before = accepted();
    edit(&cluster, 1, "detection_ms = 30000", "detection_ms = 40000");
    edit(&cluster, 1, "log = \"info\"", "log = \"debug\"");
    let (mut asker, _) = RawClient::open(&cluster.socket(1), "asker").expect("a client");
    cluster.signal(2, Signal::STOP).expect("it runs");
    let answer = thread::scope(|scope| {
        let answer = scope.spawn(|| asker.ask(&json!({ "ask": "reload" })));
        until("it is proposed", || (accepted() > before).then_some(())).expect("so");
        fs::remove_file(cluster.socket(1)).expect("it was there");
        cluster.signal(2, Signal::CONT).expect("it runs");
        answer.join().expect("no panic").expect("it answers")
    });
    assert_eq!(changed(&answer), ["cluster.detection_ms"]);
    let warning = answer["warning"].as_str().unwrap_or_else(|| panic!("{answer:#}"));
    for piece in ["the section [local] is not reloaded", "the mode of the socket"] {
        assert!(warning.contains(piece), "{warning}");
    }
    assert_eq!(status_number(&cluster, 2, "/ring/detection_ms"), 40_000);
}
