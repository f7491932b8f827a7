//! `evs config` as its users meet it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use evs_testkit::{Cluster, Setup};
use serde_json::Value;

const FILE: &str = r#"
[cluster]
name = "demo"
seal = "none"
[[cluster.nodes]]
id = 1
address = "10.0.0.1:5405"
[local]
node = 1
"#;

const COROSYNC: &str = "\
totem {
    version: 2
    cluster_name: prod
    token: 800
    rrp_mode: passive
}
nodelist {
    node {
        ring0_addr: 127.0.0.1
        nodeid: 4
    }
    node {
        ring0_addr: no-such-host.invalid
        nodeid: 5
    }
}
";

/// A directory of its own, which goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("evs-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).expect("it is made");
        Self(directory)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        fs::write(&file, text).expect("it is written");
        file
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn evs(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evs")).args(args).output().expect("evs runs")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn complaint(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one object")
}

#[test]
fn mistakes_are_named_with_their_lines() {
    let directory = Directory::new("check");
    let right = directory.file("right.toml", FILE);
    let done = evs(&["config", "check", text(&right)]);
    assert!(done.status.success(), "{}", complaint(&done));
    assert!(out(&done).ends_with("right; node 1 of cluster \"demo\" with 1 nodes, 1 link\n"));

    let wrong =
        directory.file("wrong.toml", &FILE.replace("node = 1", "node = 9\nsokcet = \"/x\""));
    let done = evs(&["config", "check", text(&wrong)]);
    assert_eq!(done.status.code(), Some(1));
    assert!(complaint(&done).contains("wrong.toml:10: local.sokcet: unknown key; did you mean"));
    let done = evs(&["--json", "config", "check", text(&wrong)]);
    assert_eq!(
        (done.status.code(), json(&done)["mistakes"][0]["line"].as_u64()),
        (Some(1), Some(9))
    );
}

#[test]
fn what_is_shown_is_a_file_that_says_the_same() {
    let directory = Directory::new("show");
    let file = directory.file("evsd.toml", FILE);
    let shown = out(&evs(&["config", "show", text(&file)]));
    assert!(shown.contains("detection_ms = 500 # default"), "{shown}");
    let again = directory.file("again.toml", &shown);
    let done = evs(&["config", "diff", text(&file), text(&again)]);
    assert_eq!((done.status.code(), out(&done).as_str()), (Some(0), "no difference\n"));
    let done = json(&evs(&["--json", "config", "show", text(&file)]));
    assert_eq!(done["config"]["local"]["limits"]["clients_max"], 1024);
}

/// A script asks for the verdict alone, and a file that cannot be read is no difference.
#[test]
fn a_verdict_counts_where_nobody_reads_what_is_printed_of_it() {
    let directory = Directory::new("verdict");
    let right = directory.file("right.toml", FILE);
    let wrong = directory.file("wrong.toml", &FILE.replace("node = 1", "node = 9"));
    let other = directory.file("other.toml", &FILE.replace("demo", "other"));
    let unread = |args: &[&str]| {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_evs"));
        command.args(args).stdout(writer).stderr(Stdio::null());
        command.status().expect("evs runs").code()
    };
    for (more, code) in [
        (&["config", "check", text(&right)][..], 0),
        (&["config", "check", text(&wrong)], 1),
        (&["config", "diff", text(&right), text(&right)], 0),
        (&["config", "diff", text(&right), text(&other)], 6),
        (&["config", "diff", text(&right), text(&wrong)], 1),
        (&["config", "show", text(&right)], 0),
    ] {
        let json: Vec<_> = [&["--json"], more].concat();
        assert_eq!((unread(more), unread(&json)), (Some(code), Some(code)), "{more:?}");
    }
}

/// Who may look at a configuration need not be able to read the key.
#[test]
fn what_a_file_says_is_shown_and_compared_without_the_key() {
    let directory = Directory::new("keyless");
    let sealed = FILE.replace("seal = \"none\"\n", "") + "key_file = \"/no/such/key\"\n";
    let file = directory.file("evsd.toml", &sealed);
    let done = evs(&["config", "show", text(&file)]);
    assert!(done.status.success(), "{}", complaint(&done));
    let done = evs(&["config", "diff", text(&file), text(&file)]);
    assert!(done.status.success(), "{}", complaint(&done));
    let done = evs(&["config", "check", text(&file)]);
    assert!(complaint(&done).contains("there is no key file /no/such/key"), "{}", complaint(&done));
}

#[test]
fn a_file_is_compared_with_what_the_daemon_runs_with() {
    let cluster = Cluster::start(Setup::new(1)).expect("the daemon starts");
    cluster.until_open(1).expect("it takes clients");
    let file = cluster.config_file(1);
    let diff = |file: &Path, json: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evs"));
        command.args(json.then_some("--json")).args(["config", "diff", text(file)]);
        command.env("EVS_SOCKET", cluster.socket(1)).output().expect("evs runs")
    };
    let done = diff(&file, false);
    assert_eq!(done.status.code(), Some(0), "{}{}", out(&done), complaint(&done));

    let directory = Directory::new("diff");
    let changed = fs::read_to_string(&file).expect("it is there");
    let changed = changed.replacen("[local]", "[local]\nmetrics = \"127.0.0.1:9580\"", 1);
    let changed = directory.file("evsd.toml", &changed);
    let done = diff(&changed, false);
    assert_eq!(done.status.code(), Some(6));
    assert!(out(&done).ends_with("\n+ local.metrics = \"127.0.0.1:9580\"\n"), "{}", out(&done));
    let done = json(&diff(&changed, true));
    let difference = &done["differences"][0];
    assert_eq!((&done["before"], &difference["section"]), (&"in force".into(), &"local".into()));
    assert_eq!((&difference["before"], &done["differences"][1]), (&Value::Null, &Value::Null));
}

#[test]
fn a_file_of_corosync_becomes_one_of_ours_that_says_what_is_left_to_do() {
    let directory = Directory::new("import");
    let theirs = directory.file("corosync.conf", COROSYNC);
    let ours = directory.0.join("evsd.toml");
    let done = evs(&["config", "import", text(&theirs), "--output", text(&ours)]);
    assert!(done.status.success(), "{}", complaint(&done));
    let told = complaint(&done);
    assert!(told.contains("corosync.conf:5: totem.rrp_mode: of several links"), "{told}");
    assert!(told.contains("1 values are left to FILL IN"), "{told}");
    let made = fs::read_to_string(&ours).expect("it is there");
    assert!(made.contains("detection_ms = 800\n") && made.contains("node = 4\n"), "{made}");
    assert_eq!(evs(&["config", "check", text(&ours)]).status.code(), Some(1));

    let again = evs(&["config", "import", text(&theirs), "--output", text(&ours)]);
    assert_eq!(again.status.code(), Some(1), "a file is never written over");
    let done = json(&evs(&["--json", "config", "import", text(&theirs), "--node", "5"]));
    assert_eq!(done["to_fill_in"], 1);
    assert!(done["config"].as_str().is_some_and(|text| text.contains("node = 5\n")));
    let done = evs(&["config", "import", text(&directory.file("odd.conf", "totem {\n"))]);
    assert!(complaint(&done).contains("odd.conf:1: a section that is not closed"));
}
