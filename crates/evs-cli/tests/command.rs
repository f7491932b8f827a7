//! The command as its users meet it: a process beside a real daemon.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use evs_testkit::{Cluster, Setup, until_exit};

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
