//! What a service manager is told: a socket of the test's own takes its place.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

use evs_testkit::{Cluster, until_exit};
use rustix::process::{Pid, Signal, kill_process};

use super::{client, setup};

/// A daemon, and what it tells its manager. It ends with the test.
struct Managed {
    daemon: Child,
    socket: UnixDatagram,
}

impl Managed {
    fn start(cluster: &Cluster, watchdog_us: Option<u64>) -> Self {
        let path = cluster.dir().join("notify.sock");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(evs_testkit::DEADLINE)).expect("not zero");
        let mut command = Command::new(env!("CARGO_BIN_EXE_evsd"));
        command.arg("--config").arg(cluster.config_file(1)).env("NOTIFY_SOCKET", &path);
        if let Some(within) = watchdog_us {
            command.env("WATCHDOG_USEC", within.to_string());
        }
        let daemon = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        Self { daemon, socket }
    }

    /// What is told next.
    fn told(&self) -> String {
        let mut line = [0; 256];
        let len = self.socket.recv(&mut line).expect("something within the deadline");
        String::from_utf8(line[..len].to_vec()).expect("text").trim_end().to_owned()
    }

    /// Everything that is told until this is.
    fn until(&self, wanted: &str) -> Vec<String> {
        let mut told = vec![self.told()];
        while told.last().is_some_and(|line| line != wanted) {
            told.push(self.told());
        }
        told
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.daemon);
        kill_process(pid, signal).expect("it runs");
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[test]
fn a_manager_is_told_when_clients_can_connect_what_goes_on_and_of_the_stop() {
    let cluster = Cluster::prepare(setup(1)).expect("files");
    let mut managed = Managed::start(&cluster, None);
    let told = managed.until("READY=1");
    assert!(!told.contains(&"STATUS=serving; a ring of 1".to_owned()), "{told:?}");
    client(&cluster, 1);
    managed.until("STATUS=serving; a ring of 1");
    managed.signal(Signal::TERM);
    let told = managed.until("STOPPING=1");
    assert!(!told.contains(&"WATCHDOG=1".to_owned()), "nobody asked for it: {told:?}");
    assert_eq!(until_exit(&mut managed.daemon).expect("it ends").code(), Some(0));
}

#[test]
fn the_watchdog_is_told_while_the_loop_goes_round_and_no_longer() {
    let cluster = Cluster::prepare(setup(1)).expect("files");
    let managed = Managed::start(&cluster, Some(100_000));
    managed.until("READY=1");
    for _ in 0..5 {
        managed.until("WATCHDOG=1");
    }
    managed.signal(Signal::STOP);
    // What had been told before the stop is read; then nothing comes any more.
    managed.socket.set_read_timeout(Some(std::time::Duration::from_secs(1))).expect("not zero");
    let mut line = [0; 256];
    let rest = (0..1_000).take_while(|_| managed.socket.recv(&mut line).is_ok()).count();
    assert!(rest < 100, "it goes on: {rest}");
    managed.socket.set_read_timeout(Some(evs_testkit::DEADLINE)).expect("not zero");
    managed.signal(Signal::CONT);
    managed.until("WATCHDOG=1");
}
