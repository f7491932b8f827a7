//! The command as its users meet it: a process beside a real daemon.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::process::{Child, ChildStdout, Command, Stdio};

use evs_testkit::{Cluster, Setup, until_exit};
use serde_json::Value;

/// One daemon that takes clients.
fn cluster() -> Cluster {
    let cluster = Cluster::start(Setup::new(1)).expect("the daemon starts");
    cluster.until_open(1).expect("it takes clients");
    cluster
}

fn evs(cluster: &Cluster, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evs"));
    command.args(args).env("EVS_SOCKET", cluster.socket(1));
    command
}

/// A command that goes on, whose output is read here.
fn started(cluster: &Cluster, args: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let child = evs(cluster, args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("evs runs");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    (child, output)
}

fn line(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    output.read_line(&mut line).expect("text");
    line
}

#[test]
fn what_is_sent_is_printed_by_whoever_listens() {
    let cluster = cluster();
    let (mut child, mut output) = started(&cluster, &["listen", "greetings", "--count", "1"]);
    assert!(line(&mut output).starts_with("regular "), "the session begins with a configuration");
    let sent = evs(&cluster, &["send", "greetings", "--message", "hello"]).output();
    assert!(sent.expect("evs runs").status.success());
    let message = line(&mut output);
    assert!(message.ends_with(" agreed to greetings: hello\n"), "{message}");
    assert_eq!(until_exit(&mut child).expect("it ends").code(), Some(0));
}

/// That is how `evs listen g | head -1` ends, and not at the next event, which may never come.
#[test]
fn who_prints_events_ends_when_nobody_reads_them_any_more() {
    let cluster = cluster();
    for args in [&["listen", "g"] as &[&str], &["--json", "listen", "g"], &["members", "--watch"]] {
        let (mut child, mut output) = started(&cluster, args);
        assert!(line(&mut output).contains("regular"));
        drop(output);
        assert_eq!(until_exit(&mut child).expect("it ends").code(), Some(0), "{args:?}");
    }
}

/// Its output, if it ends well.
fn output(cluster: &Cluster, args: &[&str]) -> String {
    let done = evs(cluster, args).output().expect("evs runs");
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text")
}

fn json(cluster: &Cluster, args: &[&str]) -> Value {
    let mut objects = objects(cluster, args);
    assert_eq!(objects.len(), 1, "one object: {objects:?}");
    objects.remove(0)
}

/// The objects that it prints, of which there is one at least.
fn objects(cluster: &Cluster, args: &[&str]) -> Vec<Value> {
    let args: Vec<_> = ["--json"].iter().chain(args).copied().collect();
    let printed = output(cluster, &args);
    let objects = printed.lines().map(|line| serde_json::from_str(line).expect("one object"));
    let objects: Vec<_> = objects.collect();
    assert!(!objects.is_empty(), "{args:?} prints nothing");
    objects.iter().for_each(|object| assert_described(object, &args));
    objects
}

/// Every field of what is printed stands in `docs/reports.md`, but for the counters, which have a
/// page of their own, and settings, which have a manual page.
fn assert_described(value: &Value, args: &[&str]) {
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reports.md");
    let page = std::fs::read_to_string(PAGE).expect("it is there");
    let missing: Vec<_> = fields(value)
        .into_iter()
        .filter(|field| !["`", "\""].iter().any(|q| page.contains(&format!("{q}{field}{q}"))))
        .collect();
    assert!(missing.is_empty(), "{args:?}: {missing:?} are not described");
}

fn fields(value: &Value) -> BTreeSet<String> {
    const ELSEWHERE: [&str; 4] = ["config", "counters", "rates", "system"];
    let mut found: BTreeSet<_> = value.as_array().into_iter().flatten().flat_map(fields).collect();
    for (field, below) in value.as_object().into_iter().flatten() {
        found.insert(field.clone());
        if !ELSEWHERE.contains(&field.as_str()) {
            found.append(&mut fields(below));
        }
    }
    found
}

/// Its exit code and what it complains of.
fn complaint(cluster: &Cluster, args: &[&str]) -> (Option<i32>, String) {
    let done = evs(cluster, args).output().expect("evs runs");
    (done.status.code(), String::from_utf8(done.stderr).expect("text"))
}

#[test]
fn every_report_has_a_schema_and_a_text() {
    let cluster = Cluster::start(Setup::new(2)).expect("the daemons start");
    cluster.until_members(&[1, 2]).expect("one ring");
    let (mut listener, mut told) = started(&cluster, &["listen", "orders"]);
    line(&mut told);
    for (report, text, field) in [
        ("status", "node 1 of cluster test: serving", "ring"),
        ("links", "NOT HEARD", "links"),
        ("clients", "listen", "clients"),
        ("groups", "orders", "groups"),
        ("why", "why: ", "changes"),
    ] {
        let object = json(&cluster, &[report]);
        assert_eq!(object["schema"], 1, "{report}: {object}");
        assert!(!object[field].is_null(), "{report}: {object}");
        let shown = output(&cluster, &[report]);
        let expected = if report == "links" { "127." } else { text };
        assert!(report == "clients" || shown.contains(expected), "{report}: {shown}");
        assert!(!shown.contains('\x1b'), "colours are for terminals: {shown}");
    }
    assert_eq!(json(&cluster, &["groups"])["groups"][0]["group"], "orders");
    assert_eq!(json(&cluster, &["groups"])["groups_joined"], 1, "the daemons' own does not count");
    assert_eq!(json(&cluster, &["links"])["peers"][0]["node"], 2);
    let (mut second, mut told) = started(&cluster, &["--json", "listen", "orders"]);
    let first: Value = serde_json::from_str(&line(&mut told)).expect("one object");
    assert_eq!((&first["schema"], &first["event"]), (&1.into(), &"regular".into()));
    assert_described(&first, &["listen"]);
    let key = cluster.dir().join("another-key");
    let config = cluster.config_file(1);
    let config = config.to_str().expect("text");
    for args in [
        &["members"] as &[&str],
        &["send", "orders", "--message", "x"],
        &["events"],
        &["top", "--count", "1", "--interval", "0.1"],
        &["bench", "--size", "64", "--seconds", "0.1"],
        &["bench", "--latency", "--seconds", "0.1"],
        &["keygen", key.to_str().expect("text")],
        &["key", "list"],
        &["reload"],
        &["config", "show", config],
        &["config", "check", config],
        &["config", "diff", config],
        &["record"],
        &["node", "add", "9", "127.255.255.9:5405"],
        &["leave"],
    ] {
        for object in objects(&cluster, args) {
            assert_eq!(object["schema"], 1, "{args:?}: {object}");
        }
    }
    let message: Value = serde_json::from_str(&line(&mut told)).expect("one object");
    assert_eq!((&message["event"], &message["text"]), (&"message".into(), &"x".into()));
    assert_described(&message, &["listen"]);
    // Its daemon has left.
    second.wait().expect("it ends");
    listener.kill().expect("it runs");
    listener.wait().expect("it ends");
}

#[test]
fn a_change_is_told_by_number_and_by_ring_and_one_that_is_not_there_is_named() {
    let mut cluster = Cluster::start(Setup::new(2)).expect("the daemons start");
    cluster.until_members(&[1, 2]).expect("one ring");
    let (mut follower, mut told) = started(&cluster, &["--json", "events", "--follow"]);
    cluster.kill(2).expect("it runs");
    let died = loop {
        let change: Value = serde_json::from_str(&line(&mut told)).expect("one object");
        if change["trigger"]["kind"] == "died" {
            break change;
        }
    };
    follower.kill().expect("it runs");
    follower.wait().expect("it ends");
    assert_described(&died, &["events", "--follow"]);
    let ring = died["to"].as_str().expect("a ring");
    for which in [died["change"].to_string(), ring.to_owned()] {
        let story = output(&cluster, &["why", &which]);
        assert!(story.contains("why: evsd of node 2 died"), "{story}");
    }
    let list = output(&cluster, &["why", "--list"]);
    assert!(list.contains("evsd started here") && list.contains("evsd of node 2 died"), "{list}");
    let (code, message) = complaint(&cluster, &["why", "999"]);
    assert_eq!(code, Some(1));
    assert!(message.contains("no change 999 is recorded; there are those from 1"), "{message}");
}

#[test]
fn a_record_holds_what_a_report_needs_and_not_the_key() {
    let cluster = cluster();
    let (config, log) = (cluster.config_file(1), cluster.dir().join("1/evsd.log"));
    let file = cluster.dir().join("record.json");
    let args = [
        "record",
        "--config",
        config.to_str().expect("text"),
        "--log",
        log.to_str().expect("text"),
        "--output",
        file.to_str().expect("text"),
    ];
    output(&cluster, &args);
    let text = std::fs::read_to_string(&file).expect("written");
    let record: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(record["daemon"]["status"]["phase"], "serving");
    assert_eq!(record["daemon"]["changes"]["changes"][0]["trigger"]["kind"], "started");
    assert!(record["configuration"].as_str().is_some_and(|text| text.contains("[cluster]")));
    assert!(record["log"].as_str().is_some_and(|text| text.contains("evsd starts")));
    assert!(record["system"]["kernel"].is_string());
    let key = std::fs::read_to_string(cluster.key_file()).expect("there");
    for word in key.split_whitespace().filter(|word| word.len() > 16) {
        assert!(!text.contains(word), "a part of the key is in the record");
    }
    let (code, message) = complaint(&cluster, &args);
    assert_eq!(code, Some(1));
    assert!(message.contains("File exists"), "{message}");
}

/// A report about a daemon that does not run says so, and has the rest.
#[test]
fn a_record_without_a_daemon_says_so() {
    let cluster = Cluster::prepare(Setup::new(1)).expect("files");
    let record = json(&cluster, &["record"]);
    let error = record["daemon"]["error"].as_str().unwrap_or_default();
    assert!(error.starts_with("no daemon listens on"), "{record}");
    let (code, message) = complaint(&cluster, &["status"]);
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("is evsd running?"), "{message}");
}

#[test]
fn a_node_that_is_told_to_leave_leaves_in_order() {
    let mut cluster = Cluster::start(Setup::new(2)).expect("the daemons start");
    cluster.until_members(&[1, 2]).expect("one ring");
    output(&cluster, &["leave"]);
    assert_eq!(cluster.until_exit(1).expect("it ends").code(), Some(0));
    cluster.until_members(&[2]).expect("the other goes on");
    assert!(cluster.log(1).contains("left the ring"), "{}", cluster.log(1));
}

/// As scripts leave it that clear a variable.
#[test]
fn an_empty_name_of_a_socket_is_as_good_as_none() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evs"));
    let done = command.arg("status").env("EVS_SOCKET", "").output().expect("evs runs");
    assert_ne!(done.status.code(), Some(2), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn an_address_without_a_port_is_told_one() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evs"));
    let done = command.args(["node", "add", "4", "10.77.0.4"]).output().expect("evs runs");
    let told = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{told}");
    assert!(told.contains("the port is missing, like \"10.77.0.4:5405\""), "{told}");
}

#[test]
fn completions_need_no_daemon() {
    let done = Command::new(env!("CARGO_BIN_EXE_evs")).args(["completions", "bash"]).output();
    let script = String::from_utf8(done.expect("evs runs").stdout).expect("text");
    assert!(script.contains("complete -F _evs"), "{script}");
}

#[test]
fn a_screen_of_top_can_be_printed_and_needs_a_terminal_otherwise() {
    let cluster = cluster();
    let screen = output(&cluster, &["top", "--plain", "--count", "1", "--interval", "0.1"]);
    for piece in ["node 1 of cluster test: serving", "per second", "last changes"] {
        assert!(screen.contains(piece), "{screen}");
    }
    let figures = json(&cluster, &["top", "--count", "1", "--interval", "0.1"]);
    assert!(figures["rates"]["ring"]["tokens"].is_f64(), "{figures}");
    let (code, message) = complaint(&cluster, &["top"]);
    assert_eq!(code, Some(1));
    assert!(message.contains("needs a terminal"), "{message}");
}

#[test]
fn a_bench_at_a_rate_sends_no_more_than_that() {
    let cluster = cluster();
    let report = json(&cluster, &["bench", "--rate", "50", "--seconds", "0.5"]);
    let messages = report["messages"].as_u64().expect("a number");
    assert!((1..=26).contains(&messages), "{report}");
    let receivers = report["receivers_latency_us"].as_array().expect("a list");
    assert_eq!(receivers.len(), 1, "{report}");
}

/// The packages give `/etc/evs` to the daemon's user.
#[test]
fn a_key_that_root_makes_is_its_directorys_owners() {
    let dir = tempfile::tempdir().expect("a directory");
    let made = |name: &str| {
        let file = dir.path().join(name);
        let output = Command::new(env!("CARGO_BIN_EXE_evs")).arg("keygen").arg(&file).output();
        let said = String::from_utf8(output.expect("it runs").stdout).expect("text");
        let about = fs::metadata(&file).expect("it is there");
        (said, (about.uid(), about.gid(), about.mode() & 0o777), file)
    };
    let (said, about, file) = made("roots");
    assert_eq!(about, (0, 0, 0o600), "this test is run by root");
    let end = format!("give it to evsd's user here and there: `chown evs {}`\n", file.display());
    assert!(said.contains("root alone can read") && said.ends_with(&end), "{said}");
    chown(dir.path(), Some(4242), Some(4343)).expect("root may");
    let (said, about, file) = made("theirs");
    assert_eq!(about, (4242, 4343, 0o600));
    let end = format!("give it to evsd's user there: `chown evs {}`\n", file.display());
    assert!(!said.contains("root") && said.ends_with(&end), "{said}");
}

#[test]
fn an_operator_reloads_changes_the_key_and_the_nodes() {
    let cluster = cluster();
    assert_eq!(output(&cluster, &["reload"]), "the file says what is in force\n");
    let key = cluster.dir().join("new");
    let file = key.to_str().expect("text");
    assert!(output(&cluster, &["keygen", file]).contains("a new key"));
    let keys = output(&cluster, &["key", "add", file]);
    let names: Vec<_> = keys.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(keys, format!("{}  seals and opens\n{}  opens\n", names[0], names[1]));
    let used = output(&cluster, &["key", "use", names[1]]);
    assert!(used.starts_with(&format!("{}  seals", names[1])), "{used}");
    assert_eq!(complaint(&cluster, &["key", "drop", names[1]]).0, Some(1));
    let left = output(&cluster, &["--json", "key", "drop", names[0]]);
    assert_eq!(serde_json::from_str::<Value>(&left).expect("JSON")["keys"][0], names[1]);

    let added = output(&cluster, &["node", "add", "9", "127.255.255.9:5405"]);
    assert_eq!(added, "node 9 is one of the cluster's: it can be started\n");
    let (code, again) = complaint(&cluster, &["node", "add", "9", "127.255.255.9:5405"]);
    assert!(again.contains("nothing has changed: node 9 is one of the cluster's already"));
    assert_eq!(code, Some(1));
    assert_eq!(complaint(&cluster, &["node", "add", "0", "127.255.255.9:5405"]).0, Some(2));
    let removed = output(&cluster, &["node", "remove", "9"]);
    assert_eq!(removed, "node 9 is none of the cluster's any more\n");
}
