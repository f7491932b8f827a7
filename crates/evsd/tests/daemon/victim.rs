//! Clients in processes of their own, to be killed or to run as another user. They are this very
//! test binary, started again with a word in its environment.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use evs::{Client, ConnectOptions, Guarantee};

use super::group;

const CALL: &str = "EVSD_TEST_CALL";
const SOCKET: &str = "EVSD_TEST_SOCKET";

/// The calls that a victim can be made to repeat for ever.
pub(crate) const CALLS: [&str; 5] = ["connect", "join", "send", "receive", "status"];

/// What a `try` victim exits with.
pub(crate) const CONNECTED: i32 = 10;
/// What a `try` victim exits with that was refused for want of access.
pub(crate) const NO_ACCESS: i32 = 11;

/// What a `reload` victim exits with whom the daemon does not obey.
pub(crate) const FORBIDDEN: i32 = 13;

/// A command that makes a call again and again; with `try` it connects once, with
/// `reload` or `keys` it asks for that, with `panic` it panics like a daemon.
pub(crate) fn command(binary: &Path, call: &str, socket: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["--exact", "victim::a_victim_makes_its_call", "--nocapture"])
        .env(CALL, call)
        .env(SOCKET, socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Starts a victim.
pub(crate) fn start(call: &str, socket: &Path) -> Child {
    let binary = std::env::current_exe().expect("known");
    command(&binary, call, socket).spawn().expect("it runs")
}

/// No test of its own: without the environment of [`command`] there is nothing to do.
#[test]
fn a_victim_makes_its_call() {
    let (Some(call), Some(socket)) = (std::env::var_os(CALL), std::env::var_os(SOCKET)) else {
        return;
    };
    let options = ConnectOptions::new().path(PathBuf::from(socket)).name("victim");
    let connect = || Client::connect_with(&options);
    let call = call.to_str().expect("ASCII").to_owned();
    if call == "panic" {
        evsd::log::abort_on_panic();
        panic!("a broken invariant");
    }
    if call == "try" {
        let code = match connect() {
            Ok(_) => CONNECTED,
            Err(evs::ConnectError::Access { .. }) => NO_ACCESS,
            Err(_) => 12,
        };
        std::process::exit(code);
    }
    let client = connect().expect("connected");
    if ["keys", "reload"].contains(&call.as_str()) {
        let answer = client.ask_json(&format!("{{\"ask\":\"{call}\"}}")).expect("answered");
        std::process::exit(if answer.contains("\"forbidden\":true") { FORBIDDEN } else { 0 });
    }
    client.join(&[group("victims")]).expect("joined");
    loop {
        match call.as_str() {
            "connect" => drop(connect()),
            "join" => {
                client.join(&[group("others")]).expect("joined");
                client.leave(&[group("others")]).expect("left");
            }
            "send" => {
                client.send(Guarantee::Agreed, &[group("victims")], &[0; 20_000]).expect("sent");
                while client.try_recv().expect("a session").is_some() {}
            }
            "receive" => drop(client.recv().expect("a session")),
            "status" => drop(client.status_json().expect("answered")),
            other => unreachable!("no such call: {other}"),
        }
    }
}
