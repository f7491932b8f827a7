//! Why did that happen? For each kind of fault that a test can make on one host.

use evs::{Event, RequestError, RingId};
use evs_testkit::{Cluster, until};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{formed, setup};

/// Waits until the last changes of a node hold one with this kind of reason, and returns it.
pub(crate) fn until_reason(cluster: &Cluster, node: u32, kind: &str) -> Value {
    until_change(cluster, node, kind, |_| true)
}

/// As [`until_reason`], of which this is so, too.
fn until_change(cluster: &Cluster, node: u32, kind: &str, is: impl Fn(&Value) -> bool) -> Value {
    let question = json!({ "ask": "changes", "last": 10 });
    let found = until(&format!("node {node} knows a reason {kind}"), || {
        let answer = cluster.ask(node, &question).ok()?;
        let mut changes = answer["changes"].as_array()?.iter().rev();
        changes.find(|change| change["trigger"]["kind"] == kind && is(change)).cloned()
    });
    found.unwrap_or_else(|error| {
        panic!(
            "{error}: {:#}\n{}",
            cluster.ask(node, &question).unwrap_or_default(),
            cluster.logs()
        )
    })
}

fn ids(nodes: &Value) -> Vec<u64> {
    let nodes = nodes.as_array().map_or(&[][..], Vec::as_slice);
    nodes.iter().filter_map(|node| node["node"].as_u64()).collect()
}

/// Waits until the record of the change that led to this ring has the word of these nodes.
fn until_told(cluster: &Cluster, node: u32, change: &Value, by: &[u64]) -> Value {
    let question = json!({ "ask": "change", "which": change["to"] });
    let told = until(&format!("node {node} has the evidence of {by:?}"), || {
        let answer = cluster.ask(node, &question).ok()?;
        let change = answer["changes"].as_array()?.first()?.clone();
        let evidence = change["evidence"].as_array()?;
        let has = |id: &u64| evidence.iter().any(|told| told["node"]["node"] == *id);
        by.iter().all(has).then_some(change)
    });
    told.unwrap_or_else(|error| {
        panic!("{error}: {:#}", cluster.ask(node, &question).unwrap_or_default())
    })
}

#[test]
fn a_killed_node_died_and_each_survivor_knows_what_the_other_saw() {
    let mut cluster = formed(setup(3));
    cluster.kill(3).expect("it runs");
    for (node, other) in [(1, 2), (2, 1)] {
        let change = until_reason(&cluster, node, "died");
        assert_eq!(change["trigger"]["node"]["node"], 3, "{change:#}");
        assert_eq!(ids(&change["left"]), [3], "{change:#}");
        assert_eq!(ids(&change["together"]), [1, 2], "{change:#}");
        // Its host lives and says that nobody listens; it was asked four times, 5 ms apart.
        let silence = change["trigger"]["noticed_by"][0]["silence_us"].as_u64();
        assert!(silence >= Some(15_000), "{change:#}");
        let change = until_told(&cluster, node, &change, &[other]);
        let states: Vec<_> = change["timeline"].as_array().expect("there").iter().collect();
        let states: Vec<_> = states.iter().filter_map(|step| step["state"].as_str()).collect();
        assert_eq!(states, ["gather", "commit", "recovery", "operational"], "{change:#}");
        assert!(change["took_us"].as_u64() > Some(0), "{change:#}");
    }
}

#[test]
fn a_node_that_is_stopped_left_in_order_and_knows_so_itself_when_it_is_back() {
    let mut cluster = formed(setup(2));
    cluster.stop(2).expect("it runs");
    let change = until_reason(&cluster, 1, "left");
    assert_eq!(change["trigger"]["node"]["node"], 2, "{change:#}");
    cluster.start_node(2).expect("it starts");
    cluster.until_members(&[1, 2]).expect("it is back");
    let change = until_reason(&cluster, 1, "joined");
    assert_eq!(ids(&change["trigger"]["nodes"]), [2], "{change:#}");
    // Its records outlive the process.
    let stopped = until_reason(&cluster, 2, "stopped");
    let started = until_reason(&cluster, 2, "started");
    assert!(stopped["change"].as_u64() < started["change"].as_u64());
    assert_ne!(stopped["me"]["incarnation"], started["me"]["incarnation"]);
}

#[test]
fn a_node_that_is_restarted_faster_than_it_is_missed_was_restarted() {
    let mut cluster = formed(evs_testkit::Setup { detection: super::PATIENT, ..setup(2) });
    // The other one does not look meanwhile, so that it is faster on a busy host, too.
    cluster.signal(1, Signal::STOP).expect("it runs");
    cluster.kill(2).expect("it runs");
    cluster.start_node(2).expect("it starts");
    let starts = |cluster: &Cluster| cluster.log(2).matches("network in use").count();
    until("node 2 is there again", || (starts(&cluster) == 2).then_some(())).expect("it starts");
    cluster.signal(1, Signal::CONT).expect("it runs");
    let change = until_reason(&cluster, 1, "restarted");
    assert_eq!(change["trigger"]["node"]["node"], 2, "{change:#}");
    assert_ne!(change["trigger"]["by"], change["trigger"]["node"]["incarnation"]);
}

/// Who is left alone knows of its own paths only.
#[test]
fn whoever_misses_all_the_others_names_each_and_thinks_of_its_own_network_too() {
    let cluster = formed(setup(3));
    for node in [1, 2] {
        cluster.signal(node, Signal::STOP).expect("it runs");
    }
    let change = until_reason(&cluster, 3, "silent");
    assert_eq!(ids(&change["trigger"]["nodes"]), [1, 2], "{change:#}");
    assert_eq!(ids(&change["left"]), [1, 2], "{change:#}");
    let named = ids(&change["evidence"][0]["cause_names"]);
    assert!(named.is_empty() || named.contains(&3), "{change:#}");
    let change: evs_report::Change = serde_json::from_value(change).expect("a record");
    let story = evs_report::story(&change);
    for line in ["why: nodes 1 and 2 fell silent", "or this node's own"] {
        assert!(story.contains(line), "{story}");
    }
}

#[test]
fn two_nodes_that_are_killed_at_once_are_both_named() {
    let mut cluster = formed(setup(3));
    cluster.kill(2).expect("it runs");
    cluster.kill(3).expect("it runs");
    let change = until_reason(&cluster, 1, "died");
    assert_eq!(ids(&change["trigger"]["nodes"]), [2, 3], "{change:#}");
}

/// The others can only say that it was silent; when it is back, it says why. A busy host stops a
/// process for a while, too, but not for half of this target.
#[test]
fn a_node_that_stood_still_says_so_when_it_is_back() {
    let cluster = formed(evs_testkit::Setup { detection: super::PATIENT, ..setup(3) });
    cluster.signal(3, Signal::STOP).expect("it runs");
    cluster.until_members(&[1, 2]).expect("the others go on");
    until_change(&cluster, 1, "silent", |change| ids(&change["left"]) == [3]);
    cluster.signal(3, Signal::CONT).expect("it runs");
    cluster.until_members(&[1, 2, 3]).expect("it is back");
    for node in [1, 3] {
        let of_three = |change: &Value| change["trigger"]["node"]["node"] == 3;
        let change = until_change(&cluster, node, "paused", of_three);
        let counted = |what: &str| change["trigger"][what].as_u64();
        assert!(counted("pause_us") >= Some(1_500_000), "{change:#}");
        assert!(counted("major_faults").is_some(), "{change:#}");
    }
}

/// The event says what its own daemon gave up the old configuration for; the judgement is asked for
/// by its ring, as soon as the event is there.
#[test]
fn a_client_asks_why_by_the_ring_of_an_event_and_gets_what_evs_why_prints() {
    let mut cluster = formed(setup(3));
    let client = super::client(&cluster, 1);
    cluster.kill(3).expect("it runs");
    let ring = loop {
        let event = client.recv().expect("a session");
        let Event::Regular { ring, members, .. } = event else { continue };
        let json = client.why_json(ring).expect("it is recorded");
        let answer: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(answer["changes"][0]["to"], ring.to_string(), "{answer:#}");
        if members.len() == 2 {
            break ring;
        }
    };
    let change = until_reason(&cluster, 1, "died");
    let change = until_told(&cluster, 1, &change, &[1, 2]);
    let answer = client.why_json(ring).expect("it is recorded");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["changes"], json!([change]));

    let other = RingId { seq: ring.seq + 1, ..ring };
    let error = client.why_json(other).expect_err("there is no such configuration");
    assert!(matches!(error, RequestError::UnknownConfiguration { .. }), "{error}");
    assert!(error.to_string().contains(&format!("no change {other} is recorded")), "{error}");
}

#[test]
fn a_question_that_makes_no_sense_is_answered_with_what_would() {
    let cluster = formed(setup(1));
    let asked = |question: Value| {
        let answer = cluster.ask(1, &question).expect("an answer");
        answer["error"].as_str().unwrap_or_default().to_owned()
    };
    let riddle = asked(json!({ "ask": "riddle" }));
    assert!(riddle.contains("expected one of `changes`"), "{riddle}");
    let unknown = asked(json!({ "ask": "change", "which": "99" }));
    assert!(unknown.contains("those from 1 to 1"), "{unknown}");
}
