//! The key of a cluster changes while it runs: under load, without a change of configuration, with
//! a node down meanwhile.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aws_lc_rs::hmac;
use evs::{Client, Event, Guarantee};
use evs_net::{ClusterKey, key_name};
use evs_testkit::{Cluster, Setup, until};
use serde_json::{Value, json};

use super::clients::{NOBODY, try_call_as};
use super::nodes::done;
use super::reload::{ask_reload, edit, setting};
use super::victim::FORBIDDEN;
use super::{PATIENT, formed, group, member, setup, status_number, until_logged};

/// A cluster in which each node has a key file of its own, and one that has not started.
fn cluster(nodes: u32, absent: &[u32]) -> Cluster {
    let patient = Setup { detection: PATIENT, log: "info".to_owned(), ..setup(nodes) };
    let mut cluster = Cluster::prepare(patient).expect("files");
    let shared = cluster.key_file();
    for node in cluster.nodes() {
        fs::copy(&shared, key_file(&cluster, node)).expect("copied");
        let own = key_file(&cluster, node);
        edit(&cluster, node, shared.to_str().expect("text"), own.to_str().expect("text"));
    }
    let present: Vec<_> = cluster.nodes().into_iter().filter(|n| !absent.contains(n)).collect();
    for node in &present {
        cluster.start_node(*node).expect("it starts");
    }
    cluster.until_members(&present).expect("one ring");
    cluster
}

fn key_file(cluster: &Cluster, node: u32) -> PathBuf {
    cluster.dir().join(node.to_string()).join("key")
}

fn name(key: &ClusterKey) -> String {
    format!("{:04x}", key_name(key))
}

/// The names of the keys, after something was done with them.
fn ask(cluster: &Cluster, node: u32, question: &Value) -> Vec<String> {
    let answer = cluster.ask(node, question).expect("it answers");
    assert!(answer["error"].is_null() && answer["warning"].is_null(), "{answer:#}");
    let keys = answer["keys"].as_array().unwrap_or_else(|| panic!("{answer:#}"));
    keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect()
}

fn refused(cluster: &Cluster, node: u32, question: &Value) -> String {
    let answer = cluster.ask(node, question).expect("it answers");
    answer["error"].as_str().unwrap_or_else(|| panic!("{answer:#}")).to_owned()
}

/// Everybody sends and receives as much as they can while something is done. Returns what each of
/// them received: all the same, all that was sent, and no configuration.
fn under_load(clients: &[Client], cluster: &Cluster, act: impl FnOnce(&dyn Fn())) -> usize {
    let load = group("load");
    let (sending, delivered) = (AtomicBool::new(true), AtomicU64::new(0));
    let histories = std::thread::scope(|scope| {
        let receivers: Vec<_> = clients
            .iter()
            .map(|client| {
                scope.spawn(|| {
                    let (mut history, mut ends) = (Vec::new(), 0);
                    while ends < clients.len() {
                        let event = client.recv().expect("a session");
                        let Event::Message(message) = event else {
                            panic!("{event:?} came in between\n{}", cluster.logs())
                        };
                        ends += usize::from(message.body.is_empty());
                        history.push(message.id);
                        delivered.fetch_add(1, Ordering::Relaxed);
                    }
                    history
                })
            })
            .collect();
        for client in clients {
            let sending = &sending;
            scope.spawn(move || {
                let mut safe = false;
                while sending.load(Ordering::Relaxed) {
                    safe = !safe;
                    let guarantee = if safe { Guarantee::Safe } else { Guarantee::Agreed };
                    client.send(guarantee, &[load], &[5; 3000]).expect("accepted");
                }
                client.send(Guarantee::Agreed, &[load], &[]).expect("accepted");
            });
        }
        // Between two steps much is sent with what is in force then.
        act(&|| {
            let enough = delivered.load(Ordering::Relaxed) + 1000;
            until("more was delivered", || {
                (delivered.load(Ordering::Relaxed) >= enough).then_some(())
            })
            .expect("it goes on");
        });
        sending.store(false, Ordering::Relaxed);
        let join = |receiver: std::thread::ScopedJoinHandle<'_, _>| receiver.join();
        receivers.into_iter().map(join).collect::<Result<Vec<_>, _>>().expect("no panic")
    });
    for history in &histories {
        assert!(history == &histories[0], "the orders differ");
    }
    histories[0].len()
}

fn members(cluster: &Cluster, nodes: &[u32]) -> Vec<Client> {
    let clients: Vec<_> = nodes.iter().map(|node| member(cluster, *node, group("load"))).collect();
    for client in &clients {
        assert!(matches!(super::next_event(client), Event::Regular { .. }));
    }
    clients
}

#[test]
fn a_key_changes_by_command_under_load_while_a_node_is_down_that_returns_with_the_new_one() {
    let mut cluster = cluster(4, &[4]);
    let present = [1, 2, 3];
    let old = ClusterKey::load(&cluster.key_file()).expect("the cluster's");
    let new = ClusterKey::generate();
    let clients = members(&cluster, &present);
    let configurations = |cluster: &Cluster| {
        present.map(|node| status_number(cluster, node, "/counters/ring/configurations"))
    };
    let before = configurations(&cluster);
    under_load(&clients, &cluster, |settle| {
        settle();
        for node in present {
            let file = cluster.dir().join(format!("{node}/new"));
            new.create(&file).expect("a new file");
            let keys = ask(&cluster, node, &json!({ "ask": "key_add", "file": file }));
            assert_eq!(keys, [name(&old), name(&new)]);
            settle();
        }
        for (ask_for, key, after) in
            [("key_use", &new, vec![name(&new), name(&old)]), ("key_drop", &old, vec![name(&new)])]
        {
            for node in present {
                let question = json!({ "ask": ask_for, "key": name(key) });
                assert_eq!(ask(&cluster, node, &question), after);
                settle();
            }
        }
    });
    assert_eq!(configurations(&cluster), before, "{}", cluster.logs());
    for node in present {
        assert_eq!(ClusterKey::load(&key_file(&cluster, node)).expect("written"), new);
        assert_eq!(cluster.status(node).expect("it answers")["keys"], json!([name(&new)]));
        let log = cluster.log(node);
        let secret = new.to_text().split_whitespace().last().expect("its digits").to_owned();
        assert!(log.contains("key dropped") && !log.contains(&secret), "{log}");
    }
    // With the old key it is nobody's peer; with the new one it is back.
    cluster.start_node(4).expect("it starts");
    cluster.until_members(&[4]).expect("alone");
    cluster.stop(4).expect("it runs");
    fs::copy(key_file(&cluster, 1), key_file(&cluster, 4)).expect("copied");
    cluster.start_node(4).expect("it starts");
    cluster.until_members(&[1, 2, 3, 4]).expect("it is back");
}

#[test]
fn a_key_changes_by_its_file_and_reloads_under_load_and_a_node_restarts_between_the_steps() {
    let mut cluster = cluster(3, &[]);
    let (old, new) = (ClusterKey::load(&cluster.key_file()).expect("it"), ClusterKey::generate());
    let steps = [vec![old.clone(), new.clone()], vec![new.clone(), old.clone()], vec![new.clone()]];
    for (count, keys) in steps.iter().enumerate() {
        let clients = members(&cluster, &[1, 2, 3]);
        under_load(&clients, &cluster, |settle| {
            for node in [1, 2, 3] {
                ClusterKey::replace_all(&key_file(&cluster, node), keys).expect("written");
                let answer = ask_reload(&cluster, node);
                assert_eq!(answer["changed"], json!(["local.key_file"]), "{answer:#}");
                let names: Vec<_> = keys.iter().map(name).collect();
                assert_eq!(answer["keys"], json!(names));
                settle();
            }
        });
        drop(clients);
        // Any node may restart between two steps.
        let node = u32::try_from(count).expect("small") + 1;
        cluster.stop(node).expect("it runs");
        cluster.start_node(node).expect("it starts");
        cluster.until_members(&[1, 2, 3]).expect("it is back");
    }
}

#[test]
fn a_step_that_would_cut_a_node_off_is_refused_and_the_steps_are_named() {
    let cluster = cluster(1, &[]);
    let (old, new) = (ClusterKey::load(&cluster.key_file()).expect("it"), ClusterKey::generate());
    for keys in [vec![new.clone()], vec![new.clone(), old.clone()]] {
        ClusterKey::replace_all(&key_file(&cluster, 1), &keys).expect("written");
        let said = refused(&cluster, 1, &json!({ "ask": "reload" }));
        assert!(said.contains("one step at a time"), "{said}");
        assert!(said.contains(&name(&old)) && said.contains(&name(&new)), "{said}");
        assert_eq!(ask(&cluster, 1, &json!({ "ask": "keys" })), [name(&old)]);
    }
    ClusterKey::replace_all(&key_file(&cluster, 1), std::slice::from_ref(&old)).expect("written");
    let in_use = refused(&cluster, 1, &json!({ "ask": "key_drop", "key": name(&old) }));
    assert!(in_use.contains("is the only one"), "{in_use}");
}

#[test]
fn a_key_that_is_not_known_is_refused_with_those_that_are_and_what_can_be_done() {
    let cluster = cluster(1, &[]);
    let (old, new) = (ClusterKey::load(&cluster.key_file()).expect("it"), ClusterKey::generate());
    let [old_name, new_name] = [&old, &new].map(name);
    let step = |what: &str, key: &str| refused(&cluster, 1, &json!({ "ask": what, "key": key }));
    let one = format!("no key 0000 is known: {old_name} is the only one, and in use");
    assert_eq!(step("key_drop", "0000"), format!("nothing has changed: {one}"));
    let add = "`evs key add` the file with it first";
    assert_eq!(step("key_use", "0000"), format!("nothing has changed: {one}; {add}"));
    for nonsense in ["+1", "", "00000", "ä0"] {
        let why = step("key_use", nonsense);
        let those = format!("no key's name: {old_name} is the only one, and in use");
        assert!(why.ends_with(&those), "{why}");
    }
    let add = |key: &ClusterKey, at: &str| {
        let file = cluster.dir().join(at);
        key.create(&file).expect("a new file");
        json!({ "ask": "key_add", "file": file })
    };
    assert_eq!(ask(&cluster, 1, &add(&new, "new")), [old_name.clone(), new_name.clone()]);
    let two = format!("no key 0000 is known: {old_name} is in use, and {new_name} only opens");
    assert_eq!(step("key_drop", "0000"), format!("nothing has changed: {two}"));
    let why = step("key_drop", &old_name);
    assert!(why.contains(&format!("use {new_name} first")), "{why}");
    let why = refused(&cluster, 1, &add(&ClusterKey::generate(), "third"));
    assert!(why.contains(&format!("drop {new_name}")), "{why}");
}

#[test]
fn a_key_file_is_held_to_the_rules_of_the_start_and_only_an_operator_may_name_one() {
    let cluster = formed(Setup { local_lines: "allow_uids = [4242]".to_owned(), ..setup(1) });
    let file = cluster.dir().join("new");
    let question = json!({ "ask": "key_add", "file": file });
    assert!(refused(&cluster, 1, &question).contains("evs keygen"), "there is none");
    ClusterKey::generate().create(&file).expect("a new file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("ours");
    assert!(refused(&cluster, 1, &question).contains("chmod 600"), "all can read it");
    let relative = refused(&cluster, 1, &json!({ "ask": "key_add", "file": "new" }));
    assert!(relative.contains("no absolute path"), "{relative}");
    assert_eq!(try_call_as(&cluster, "keys", 4242, NOBODY), Some(FORBIDDEN));
}

/// The key file may be out of the daemon's reach, or hold what the daemon must not destroy.
#[test]
fn a_key_file_that_does_not_say_what_is_in_force_is_warned_of_and_never_overwritten() {
    let cluster = cluster(1, &[]);
    let (new, other) = (ClusterKey::generate(), ClusterKey::generate());
    let file = cluster.dir().join("new");
    new.create(&file).expect("a new file");
    ClusterKey::replace_all(&key_file(&cluster, 1), std::slice::from_ref(&other)).expect("written");
    let answer = cluster.ask(1, &json!({ "ask": "key_add", "file": file })).expect("it answers");
    let warning = answer["warning"].as_str().unwrap_or_else(|| panic!("{answer:#}"));
    assert!(warning.contains("holds another key"), "{warning}");
    assert_eq!(ClusterKey::load(&key_file(&cluster, 1)).expect("there"), other);
    until_logged(&cluster, 1, &["WARN", "the keys in force are not in the key file"]);
    let warnings = cluster.status(1).expect("it answers")["warnings"].to_string();
    assert!(warnings.contains("would come back with others"), "{warnings}");
}

#[test]
fn a_step_with_a_key_is_refused_while_a_member_is_not_ready_for_it() {
    let cluster = cluster(3, &[]);
    let (old, new) = (ClusterKey::load(&cluster.key_file()).expect("it"), ClusterKey::generate());
    let file = cluster.dir().join("new");
    new.create(&file).expect("written");
    let step = |what: &str, key: &ClusterKey| {
        let ask = format!("key_{what}");
        json!({ "ask": ask, "key": name(key) })
    };
    let add = json!({ "ask": "key_add", "file": file });
    for node in [1, 2] {
        ask(&cluster, node, &add);
    }
    let said = refused(&cluster, 1, &step("use", &new));
    assert!(said.contains("node 3: not known to have this key"), "{said}");
    assert!(said.contains("--force"), "{said}");
    ask(&cluster, 3, &add);
    for node in [1, 2] {
        ask(&cluster, node, &step("use", &new));
    }
    let said = refused(&cluster, 1, &step("drop", &old));
    assert!(said.contains("node 3: still sealing with it"), "{said}");
    ask(&cluster, 3, &step("use", &new));
    for node in [1, 2, 3] {
        assert_eq!(ask(&cluster, node, &step("drop", &old)), [name(&new)]);
    }
    cluster.until_members(&[1, 2, 3]).expect("nobody was cut off");
}

#[test]
fn an_operator_can_use_a_key_by_force() {
    let cluster = cluster(2, &[]);
    let new = ClusterKey::generate();
    let file = cluster.dir().join("new");
    new.create(&file).expect("written");
    ask(&cluster, 1, &json!({ "ask": "key_add", "file": file }));
    let force = json!({ "ask": "key_use", "key": name(&new), "force": true });
    assert_eq!(ask(&cluster, 1, &force)[0], name(&new));
}

/// The others are not asked about what this node cannot take over as a whole.
#[test]
fn keys_that_change_by_two_steps_keep_the_rest_of_their_reload_from_all_nodes() {
    let cluster = cluster(2, &[]);
    let (old, new) =
        (ClusterKey::load(&key_file(&cluster, 1)).expect("there"), ClusterKey::generate());
    edit(&cluster, 1, "detection_ms = 3000", "detection_ms = 4000");
    edit(&cluster, 1, "log = \"info\"", "log = \"debug\"");
    fs::write(key_file(&cluster, 1), new.to_text()).expect("written");
    let why = refused(&cluster, 1, &json!({ "ask": "reload" }));
    assert!(
        why.starts_with("nothing has changed: ") && why.contains("one step at a time"),
        "{why}"
    );
    for node in [1, 2] {
        assert_eq!(status_number(&cluster, node, "/ring/detection_ms"), 3_000);
        assert_eq!(status_number(&cluster, node, "/cluster_version"), 0);
    }
    assert_eq!(setting(&cluster, 1, "local.log"), "\"info\"");
    // By one step it goes, all of it.
    ClusterKey::replace_all(&key_file(&cluster, 1), &[old.clone(), new.clone()]).expect("written");
    let answer = ask_reload(&cluster, 1);
    done(&answer);
    let changed = ["cluster.detection_ms", "local.log", "local.key_file"];
    assert_eq!(answer["changed"], json!(changed));
    assert_eq!(answer["keys"], json!([name(&old), name(&new)]));
    assert_eq!(status_number(&cluster, 2, "/ring/detection_ms"), 4_000);
}

/// Nor the text of its file, nor what all session keys are derived from.
#[test]
fn a_key_that_is_dropped_is_nowhere_in_the_memory_of_the_daemon() {
    let cluster = cluster(1, &[]);
    let (old, new) =
        (ClusterKey::load(&cluster.key_file()).expect("there"), ClusterKey::generate());
    let pid = cluster.pid(1).expect("it runs");
    let file = cluster.dir().join("new");
    new.create(&file).expect("a new file");
    ask(&cluster, 1, &json!({ "ask": "key_add", "file": file }));
    for key in [&old, &new] {
        let [secret, text, derived] = places(pid, key);
        assert!(!secret.is_empty(), "what is in force can be found");
        assert_eq!((text, derived), (Vec::<u64>::new(), Vec::<u64>::new()), "{}", maps(pid));
    }
    ask(&cluster, 1, &json!({ "ask": "key_use", "key": name(&new) }));
    ask(&cluster, 1, &json!({ "ask": "key_drop", "key": name(&old) }));
    assert_eq!(places(pid, &old), [const { Vec::<u64>::new() }; 3], "{}", maps(pid));
    assert!(!places(pid, &new)[0].is_empty(), "what is in force can be found");
}

fn maps(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs")
}

/// Where a key's secret is in what a process can write, its text, and what HKDF extracts from it.
fn places(pid: u32, key: &ClusterKey) -> [Vec<u64>; 3] {
    let text = key.to_text();
    let digits = text.split_whitespace().last().expect("the last word").as_bytes();
    let pairs = digits.chunks_exact(2).map(|pair| str::from_utf8(pair).expect("digits"));
    let secret: Vec<u8> =
        pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect();
    let salt = hmac::Key::new(hmac::HMAC_SHA256, b"evs-net session key, version 1");
    let derived = hmac::sign(&salt, &secret);
    let wanted: [&[u8]; 3] = [&secret, digits, derived.as_ref()];
    let mut places = [const { Vec::new() }; 3];
    let memory = fs::File::open(format!("/proc/{pid}/mem")).expect("root may read it");
    for line in maps(pid).lines() {
        let (range, rest) = line.split_once(' ').expect("a range and what may be done there");
        let (start, end) = range.split_once('-').expect("two addresses");
        let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).expect("an address"));
        let mut held = vec![0; usize::try_from(end - start).expect("it is in memory")];
        // Some pages are the kernel's own.
        if rest.starts_with("rw") && memory.read_exact_at(&mut held, start).is_ok() {
            for (wanted, places) in wanted.iter().zip(&mut places) {
                let windows = held.windows(wanted.len()).zip(start..);
                places.extend(windows.filter(|(here, _)| here == wanted).map(|(_, at)| at));
            }
        }
    }
    places
}
