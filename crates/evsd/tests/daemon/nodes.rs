//! The cluster's half of the configuration, changed while the daemons run: agreed on by all of
//! them, in force everywhere or nowhere, and written by each.

use std::fs;

use evs::{Client, Event};
use evs_testkit::{Cluster, Setup, until};
use serde_json::{Value, json};

use super::reload::{ask_reload, edit, setting};
use super::{PATIENT, group, member, next_event, setup, status_number, until_logged};

/// A cluster of which some nodes are not in the files of the others.
fn cluster(nodes: u32, unknown: &[u32]) -> Cluster {
    let patient = Setup { detection: PATIENT, log: "info".to_owned(), ..setup(nodes) };
    let mut cluster = Cluster::prepare(patient).expect("files");
    let known: Vec<_> = cluster.nodes().into_iter().filter(|n| !unknown.contains(n)).collect();
    for node in &known {
        for other in unknown {
            edit(&cluster, *node, &entry(&cluster, *other), "");
        }
        cluster.start_node(*node).expect("it starts");
    }
    cluster.until_members(&known).expect("one ring");
    cluster
}

fn entry(cluster: &Cluster, node: u32) -> String {
    format!("[[cluster.nodes]]\nid = {node}\naddress = \"{}\"\n", cluster.address(node))
}

fn add(cluster: &Cluster, at: u32, node: u32) -> Value {
    let addresses = [cluster.address(node)];
    let question = json!({ "ask": "node_add", "node": node, "addresses": addresses });
    cluster.ask(at, &question).expect("it answers")
}

fn remove(cluster: &Cluster, at: u32, node: u32) -> Value {
    cluster.ask(at, &json!({ "ask": "node_remove", "node": node })).expect("it answers")
}

pub(crate) fn done(answer: &Value) {
    assert!(answer["error"].is_null() && answer["warning"].is_null(), "{answer:#}");
}

pub(crate) fn refusal(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or_else(|| panic!("{answer:#}"))
}

/// The section `[cluster]` in a node's file.
pub(crate) fn written(cluster: &Cluster, node: u32) -> evsd::config::Cluster {
    let text = fs::read_to_string(cluster.config_file(node)).expect("there");
    evsd::config::Cluster::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes:?} in {text}"))
}

/// Waits until the files of these nodes have this version, and the same section.
pub(crate) fn until_written(cluster: &Cluster, nodes: &[u32], version: u64) {
    until(&format!("version {version} in the files of {nodes:?}"), || {
        nodes.iter().all(|node| written(cluster, *node).version == version).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", cluster.logs()));
    for node in nodes {
        assert_eq!(written(cluster, *node), written(cluster, nodes[0]));
        assert_eq!(status_number(cluster, *node, "/cluster_version"), version);
    }
}

pub(crate) fn configurations(cluster: &Cluster, nodes: &[u32]) -> Vec<u64> {
    let of = |node: &u32| status_number(cluster, *node, "/counters/ring/configurations");
    nodes.iter().map(of).collect()
}

/// The regular configurations up to one of exactly these nodes.
fn regulars(client: &Client, until: &[u32]) -> Vec<Vec<u32>> {
    let mut regulars = Vec::new();
    while regulars.last().is_none_or(|last: &Vec<u32>| last != until) {
        if let Event::Regular { members, .. } = next_event(client) {
            regulars.push(members.iter().map(|member| member.node.get()).collect());
        }
    }
    regulars
}

#[test]
fn a_node_is_added_everywhere_without_a_configuration_and_joins_when_it_starts() {
    let mut cluster = cluster(4, &[4]);
    let before = configurations(&cluster, &[1, 2, 3]);
    let watcher = member(&cluster, 1, group("w"));
    done(&add(&cluster, 2, 4));
    until_written(&cluster, &[1, 2, 3], 1);
    assert_eq!(configurations(&cluster, &[1, 2, 3]), before);
    assert!(refusal(&add(&cluster, 1, 4)).contains("already"));
    // Its file is that of another one, with its own section [local].
    let file = written(&cluster, 1).write_into(&cluster.config(4)).expect("it can be written");
    fs::write(cluster.config_file(4), file).expect("written");
    cluster.start_node(4).expect("it starts");
    cluster.until_members(&[1, 2, 3, 4]).expect("it is in");
    assert_eq!(regulars(&watcher, &[1, 2, 3, 4]), [vec![1, 2, 3], vec![1, 2, 3, 4]]);
}

#[test]
fn a_node_that_runs_is_removed_with_one_configuration_and_everybody_knows_why() {
    let mut cluster = cluster(3, &[]);
    let watcher = member(&cluster, 1, group("w"));
    done(&remove(&cluster, 1, 3));
    assert_eq!(cluster.until_exit(3).expect("it ends").code(), Some(0), "{}", cluster.log(3));
    assert!(cluster.log(3).contains("took this node out of the cluster"), "{}", cluster.log(3));
    cluster.until_members(&[1, 2]).expect("the others go on");
    assert_eq!(regulars(&watcher, &[1, 2]), [vec![1, 2, 3], vec![1, 2]]);
    for node in [1, 2] {
        let question = json!({ "ask": "changes", "last": 1 });
        let answer = cluster.ask(node, &question).expect("it answers");
        let trigger = &answer["changes"][0]["trigger"];
        assert_eq!(trigger["kind"], "removed", "{answer:#}");
        assert_eq!(trigger["node"]["node"], 3, "{answer:#}");
        let peers = cluster.status(node).expect("it answers")["peers"].clone();
        assert_eq!(peers.as_array().map(Vec::len), Some(1), "{peers:#}");
    }
    until_written(&cluster, &[1, 2], 1);
    // Its own file says so, too: it does not start again.
    cluster.start_node(3).expect("it can be run");
    assert_eq!(cluster.until_exit(3).expect("it ends").code(), Some(2));
    assert!(cluster.log(3).contains("node 3 is not in [[cluster.nodes]]"), "{}", cluster.log(3));
    assert_eq!(configurations(&cluster, &[1, 2]).len(), 2);
}

#[test]
fn an_edited_file_and_a_reload_change_the_cluster_everywhere_and_the_own_half_with_it() {
    let cluster = cluster(4, &[4]);
    let before = configurations(&cluster, &[1, 2, 3]);
    let node_four = entry(&cluster, 4);
    edit(&cluster, 1, "[local]\n", &format!("{node_four}# Ours.\n[local]\nallow_uids = [7]\n"));
    let answer = ask_reload(&cluster, 1);
    done(&answer);
    assert_eq!(
        answer["changed"],
        json!(["cluster.nodes[4].address", "cluster.nodes[4].id", "local.allow_uids"])
    );
    until_written(&cluster, &[1, 2, 3], 1);
    assert_eq!(configurations(&cluster, &[1, 2, 3]), before);
    assert_eq!(setting(&cluster, 1, "local.allow_uids"), "[7]");
    assert_eq!(setting(&cluster, 2, "local.allow_uids"), "[]");
    let text = fs::read_to_string(cluster.config_file(1)).expect("there");
    assert!(text.contains("# Ours."), "{text}");
}

#[test]
fn what_another_node_cannot_take_over_is_in_force_nowhere_and_the_asker_learns_why() {
    let patient = Setup { detection: PATIENT, log: "info".to_owned(), ..setup(3) };
    let mut cluster = Cluster::prepare(patient).expect("files");
    edit(&cluster, 3, "[cluster]\n", "[cluster]\nmtu_bytes = 1400\n");
    for node in cluster.nodes() {
        cluster.start_node(node).expect("it starts");
    }
    cluster.until_members(&[1, 2, 3]).expect("one ring");
    until_logged(&cluster, 1, &["WARN", "different sections [cluster]"]);
    let answer = remove(&cluster, 1, 2);
    let why = refusal(&answer);
    assert!(why.contains("node 3: needs a restart of every node: cluster.mtu_bytes"), "{why}");
    for node in [1, 2, 3] {
        assert_eq!(status_number(&cluster, node, "/cluster_version"), 0);
        assert_eq!(written(&cluster, node).nodes().len(), 3);
    }
    // So it is with a setting.
    let before = fs::read_to_string(cluster.config_file(1)).expect("there");
    edit(&cluster, 1, "detection_ms = 3000", "detection_ms = 4000");
    let why = refusal(&ask_reload(&cluster, 1)).to_owned();
    assert!(why.contains("node 3: needs a restart of every node: cluster.mtu_bytes"), "{why}");
    for node in [1, 2, 3] {
        assert_eq!(status_number(&cluster, node, "/ring/detection_ms"), 3_000);
        assert_eq!(status_number(&cluster, node, "/cluster_version"), 0);
    }
    fs::write(cluster.config_file(1), before).expect("written");
    for node in [1, 2, 3] {
        assert_eq!(written(&cluster, node).detection, PATIENT);
    }
}

#[test]
fn a_file_whose_base_has_moved_on_is_refused_and_left_alone() {
    let cluster = cluster(5, &[4, 5]);
    let before = fs::read_to_string(cluster.config_file(2)).expect("there");
    // Half done on node 2 when node 1 changes the cluster.
    edit(&cluster, 2, "[local]\n", &format!("{}[local]\n", entry(&cluster, 5)));
    let edited = fs::read_to_string(cluster.config_file(2)).expect("there");
    assert_ne!(edited, before);
    let answer = add(&cluster, 1, 4);
    assert!(warning(&answer).contains("has changes of its own"), "{answer:#}");
    until_logged(&cluster, 2, &["WARN", "the section [cluster] in force is not in the file"]);
    assert_eq!(fs::read_to_string(cluster.config_file(2)).expect("there"), edited);
    let warnings = cluster.status(2).expect("it answers")["warnings"].to_string();
    assert!(warnings.contains("has changes of its own"), "{warnings}");
    let answer = ask_reload(&cluster, 2);
    let why = refusal(&answer);
    assert!(why.contains("cluster.version is 0, and 1 is in force"), "{why}");
    // Without it, the file is the daemon's again.
    fs::write(cluster.config_file(2), before).expect("written");
    done(&ask_reload(&cluster, 2));
    until_written(&cluster, &[1, 2, 3], 1);
}

/// It does not know the new one, which keeps it out of their ring: both sides say what to do.
#[test]
fn a_node_that_was_away_while_a_running_one_was_added_stays_apart_and_both_sides_say_why() {
    let mut cluster = cluster(4, &[4]);
    cluster.stop(3).expect("it runs");
    cluster.until_members(&[1, 2]).expect("the others go on");
    done(&add(&cluster, 1, 4));
    until_written(&cluster, &[1, 2], 1);
    let section = written(&cluster, 1);
    let file = section.write_into(&cluster.config(4)).expect("it can be written");
    fs::write(cluster.config_file(4), file).expect("written");
    cluster.start_node(4).expect("it starts");
    cluster.until_members(&[1, 2, 4]).expect("the new one is there");

    cluster.start_node(3).expect("it starts");
    let copy = "if it was added while this node was away, copy [cluster]";
    let file = |node| cluster.config_file(node).display().to_string();
    until_logged(&cluster, 3, &["WARN", copy, "node=4", &file(3)]);
    let apart = ["WARN", "stay in another ring", "copy [cluster] from the file of another node"];
    for (node, others) in [(1, "nodes=\"node 3\""), (2, "nodes=\"node 3\""), (3, "node 1, node 2")]
    {
        until_logged(&cluster, node, &[apart[0], apart[1], apart[2], others, &file(node)]);
        let warnings = cluster.status(node).expect("it answers")["warnings"].to_string();
        assert!(warnings.contains(apart[1]) && warnings.contains(&file(node)), "{warnings}");
    }

    // What they say helps.
    cluster.stop(3).expect("it runs");
    let file = section.write_into(&cluster.config(3)).expect("it can be written");
    fs::write(cluster.config_file(3), file).expect("written");
    cluster.start_node(3).expect("it starts");
    cluster.until_members(&[1, 2, 3, 4]).expect("one ring");
    let warned = |status: Value| status["warnings"].to_string().contains(apart[1]);
    let none = || cluster.status(1).ok().filter(|status| !warned(status.clone())).map(drop);
    until("it is warned of no more", none).expect("so");
}

#[test]
fn a_node_that_was_away_learns_what_the_others_agreed_on() {
    let mut cluster = cluster(4, &[4]);
    cluster.stop(3).expect("it runs");
    cluster.until_members(&[1, 2]).expect("the others go on");
    done(&add(&cluster, 1, 4));
    until_written(&cluster, &[1, 2], 1);
    assert_eq!(written(&cluster, 3).version, 0);
    cluster.start_node(3).expect("it starts");
    cluster.until_members(&[1, 2, 3]).expect("it is back");
    until_written(&cluster, &[1, 2, 3], 1);
    let file = written(&cluster, 3).write_into(&cluster.config(4)).expect("it can be written");
    fs::write(cluster.config_file(4), file).expect("written");
    cluster.start_node(4).expect("it starts");
    cluster.until_members(&[1, 2, 3, 4]).expect("node 3 knows it, too");
}

/// How often a node could not write its file.
fn missed_writes(cluster: &Cluster, node: u32) -> usize {
    cluster.log(node).matches("the section [cluster] in force is not in the file").count()
}

fn until_missed(cluster: &Cluster, node: u32, writes: usize) {
    let missed = || (missed_writes(cluster, node) == writes).then_some(());
    until(&format!("node {node} misses {writes} writes"), missed).expect("it logs them");
}

fn warnings(cluster: &Cluster, node: u32) -> String {
    cluster.status(node).expect("it answers")["warnings"].to_string()
}

const UNWRITTEN: &str = "the configuration file does not say what is in force";

fn warning(answer: &Value) -> &str {
    assert!(answer["error"].is_null(), "{answer:#}");
    answer["warning"].as_str().unwrap_or_else(|| panic!("{answer:#}"))
}

#[test]
fn a_node_that_cannot_write_its_file_is_named_to_whoever_asked_and_by_every_node() {
    let cluster = cluster(5, &[4, 5]);
    let (file, away) = (cluster.config_file(2), cluster.dir().join("away"));
    fs::rename(&file, &away).expect("it was there");
    let answer = add(&cluster, 1, 4);
    let shown = file.display().to_string();
    for part in ["node 2 does not say what is", "mend it and `evs reload` there", &shown] {
        assert!(warning(&answer).contains(part), "{part}: {answer:#}");
    }
    for node in [1, 3] {
        let missed = ["WARN", "could not write the section [cluster]", "node=2", &shown];
        until_logged(&cluster, node, &missed);
        assert!(warnings(&cluster, node).contains(warning(&answer)));
    }
    // A node that stays away from its file is not waited for any longer than a while.
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &file, fifo, 0o600.into(), 0).expect("a pipe");
    let answer = add(&cluster, 1, 5);
    assert!(warning(&answer).contains("node 2 has not said whether"), "{answer:#}");
    // Whoever reads the pipe finds it empty.
    drop(fs::File::options().write(true).open(&file).expect("it is read"));
    fs::remove_file(&file).expect("there");
    fs::rename(&away, &file).expect("back again");
    done(&ask_reload(&cluster, 2));
    until_written(&cluster, &[1, 2, 3], 2);
    for node in [1, 3] {
        until("nothing is warned of", || {
            (!warnings(&cluster, node).contains("node 2")).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {}", warnings(&cluster, node)));
    }
}

#[test]
fn a_node_that_takes_itself_out_learns_first_who_could_not_write_it() {
    let mut cluster = cluster(3, &[]);
    fs::remove_file(cluster.config_file(2)).expect("it was there");
    let answer = remove(&cluster, 1, 1);
    assert!(warning(&answer).contains("node 2 "), "{answer:#}");
    assert_eq!(cluster.until_exit(1).expect("it ends").code(), Some(0), "{}", cluster.log(1));
    cluster.until_members(&[2, 3]).expect("the others go on");
}

/// What could not be written is no work of an operator's.
#[test]
fn a_file_that_could_not_be_written_for_two_changes_is_written_at_the_next_one() {
    let cluster = cluster(6, &[4, 5, 6]);
    let (file, away) = (cluster.config_file(2), cluster.dir().join("away"));
    fs::rename(&file, &away).expect("it was there");
    for (missed, node) in [(1, 4), (2, 5)] {
        assert!(warning(&add(&cluster, 1, node)).contains("node 2 "));
        until_missed(&cluster, 2, missed);
        assert!(warnings(&cluster, 2).contains(UNWRITTEN));
    }
    fs::rename(&away, &file).expect("back again");
    done(&add(&cluster, 1, 6));
    until_written(&cluster, &[1, 2, 3], 3);
    assert_eq!(missed_writes(&cluster, 2), 2, "{}", cluster.log(2));
    assert!(!warnings(&cluster, 2).contains(UNWRITTEN));
}

#[test]
fn a_reload_writes_what_could_not_be_written_before_and_takes_the_own_half_over() {
    let cluster = cluster(4, &[4]);
    let (file, away) = (cluster.config_file(1), cluster.dir().join("away"));
    fs::rename(&file, &away).expect("it was there");
    let answer = add(&cluster, 1, 4);
    assert!(answer["warning"].to_string().contains(UNWRITTEN), "{answer:#}");
    fs::rename(&away, &file).expect("back again");
    edit(&cluster, 1, "[local]\n", "[local]\nallow_uids = [7]\n");
    let answer = ask_reload(&cluster, 1);
    done(&answer);
    assert_eq!(answer["changed"], json!(["local.allow_uids"]));
    until_written(&cluster, &[1, 2, 3], 1);
    assert_eq!(setting(&cluster, 1, "local.allow_uids"), "[7]");
    assert!(!warnings(&cluster, 1).contains(UNWRITTEN));
}

/// Whether the operator copied the version, too, or only what he saw to be different.
#[test]
fn a_file_that_an_operator_brought_up_to_date_is_warned_of_no_more() {
    let cluster = cluster(5, &[4, 5]);
    let (file, away) = (cluster.config_file(2), cluster.dir().join("away"));
    for (version, node) in [(1, 4), (2, 5)] {
        fs::rename(&file, &away).expect("it was there");
        assert!(warning(&add(&cluster, 1, node)).contains("node 2 "));
        until_missed(&cluster, 2, version);
        let old = fs::read_to_string(&away).expect("there");
        let new = written(&cluster, 1).write_into(&old).expect("it can be written");
        fs::write(&file, new.replace("version = 2", "version = 1")).expect("written");
        let answer = ask_reload(&cluster, 2);
        done(&answer);
        assert_eq!(answer["changed"], json!([]));
        until_written(&cluster, &[1, 2, 3], version as u64);
        assert!(!warnings(&cluster, 2).contains(UNWRITTEN));
    }
}

#[test]
fn two_sections_of_one_version_are_warned_of_until_a_change_makes_them_equal() {
    let patient = Setup { detection: PATIENT, log: "info".to_owned(), ..setup(3) };
    let mut cluster = Cluster::prepare(patient).expect("files");
    edit(&cluster, 3, "detection_ms = 3000", "detection_ms = 4000");
    for node in cluster.nodes() {
        cluster.start_node(node).expect("it starts");
    }
    cluster.until_members(&[1, 2, 3]).expect("one ring");
    let warned = |node| warnings(&cluster, node).contains("node 3 and node 1 have different");
    for node in [1, 2, 3] {
        until("it is warned of", || warned(node).then_some(())).expect("so");
    }
    edit(&cluster, 3, "detection_ms = 4000", "detection_ms = 3000");
    done(&ask_reload(&cluster, 3));
    until_written(&cluster, &[1, 2, 3], 1);
    assert!([1, 2, 3].into_iter().all(|node| !warned(node)));
}
