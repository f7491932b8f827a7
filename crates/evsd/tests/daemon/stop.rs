//! The orderly stop.

use std::time::{Duration, Instant};

use evs::{DisconnectReason, Event, Guarantee};
use evs_testkit::{Cluster, Setup};
use rustix::process::Signal;

use super::{client, formed, group, member, messages, next_event, setup, until_logged};

/// LIVE-2: what was accepted is sent, then the node leaves, and peers need no timeout.
#[test]
fn sigterm_sends_what_was_accepted_and_leaves_in_order() {
    const COUNT: usize = 300;
    let mut cluster = formed(setup(3));
    let jobs = group("jobs");
    let receiver = member(&cluster, 1, jobs);
    let sender = client(&cluster, 2);
    let leaver = sender.processor();
    let body = vec![1; 10_000];
    for _ in 0..COUNT {
        sender.send(Guarantee::Agreed, &[jobs], &body).expect("accepted");
    }
    let status = cluster.stop(2).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", cluster.log(2));
    assert_eq!(messages(&receiver, COUNT).len(), COUNT);
    cluster.until_members(&[1, 3]).expect("the others go on");
    // Also the survivor that hears it from the other one learns why.
    let ring = cluster.status(1).expect("it answers")["ring"]["id"]["text"].clone();
    let ring = format!("ring={} ", ring.as_str().expect("a ring"));
    for node in [1, 3] {
        let change = until_logged(&cluster, node, &["membership changed", &ring]);
        assert!(change.contains(&format!("cause=\"{leaver} left in order\"")), "{change}");
    }

    let last = std::iter::repeat_with(|| next_event(&sender))
        .find(|event| matches!(event, Event::Disconnected { .. }));
    assert_eq!(last, Some(Event::Disconnected { reason: DisconnectReason::Shutdown }));
    assert!(!cluster.socket(2).exists(), "the socket is removed");
}

/// An accepted message is sent: also one that is accepted while the daemon begins to stop.
#[test]
fn a_send_is_refused_or_sent_however_close_to_the_stop() {
    let mut cluster = formed(setup(2));
    let jobs = group("jobs");
    let receiver = member(&cluster, 1, jobs);
    let sender = client(&cluster, 2);
    let (accepted, status) = std::thread::scope(|scope| {
        let send = || sender.send(Guarantee::Agreed, &[jobs], &[7; 100]);
        let sending =
            scope.spawn(move || std::iter::repeat_with(send).take_while(Result::is_ok).count());
        messages(&receiver, 500);
        let status = cluster.stop(2).expect("it ends");
        (sending.join().expect("no panic"), status)
    });
    assert_eq!(status.code(), Some(0), "{}", cluster.log(2));
    assert!(cluster.log(2).contains("every accepted message was sent"), "{}", cluster.log(2));
    assert_eq!(messages(&receiver, accepted - 500).len(), accepted - 500);
    let last = std::iter::repeat_with(|| next_event(&sender))
        .find(|event| matches!(event, Event::Disconnected { .. }));
    assert_eq!(last, Some(Event::Disconnected { reason: DisconnectReason::Shutdown }));
}

/// While a member stands still nothing can be sent: the stop is bounded, and says what it dropped.
#[test]
fn a_stop_does_not_wait_for_ever_for_a_ring_that_stands_still() {
    let mut cluster = formed(Setup { detection: Duration::from_secs(30), ..setup(2) });
    let sender = client(&cluster, 1);
    cluster.signal(2, Signal::STOP).expect("it runs");
    for _ in 0..200 {
        sender.send(Guarantee::Agreed, &[group("jobs")], &[1; 10_000]).expect("accepted");
    }
    let begun = Instant::now();
    let status = cluster.stop(1).expect("it ends");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(status.code(), Some(0), "{}", cluster.log(1));
    assert!(cluster.log(1).contains("accepted messages were dropped"), "{}", cluster.log(1));
}

#[test]
fn a_second_signal_stops_at_once() {
    let mut cluster = formed(Setup { detection: Duration::from_secs(30), ..setup(2) });
    let sender = client(&cluster, 1);
    cluster.signal(2, Signal::STOP).expect("it runs");
    for _ in 0..200 {
        sender.send(Guarantee::Agreed, &[group("jobs")], &[1; 10_000]).expect("accepted");
    }
    cluster.signal(1, Signal::TERM).expect("it runs");
    until_logged(&cluster, 1, &["leaving the ring"]);
    cluster.signal(1, Signal::INT).expect("it runs");
    assert_eq!(cluster.until_exit(1).expect("it ends").code(), Some(1), "{}", cluster.log(1));
    assert!(cluster.log(1).contains("second signal"), "{}", cluster.log(1));
}

#[test]
fn a_single_node_stops_in_order() {
    let mut cluster = formed(setup(1));
    assert_eq!(cluster.stop(1).expect("it ends").code(), Some(0));
}

/// D21: a signal is not lost however early it comes.
#[test]
fn sigterm_before_the_first_configuration_stops_the_daemon() {
    let mut cluster = Cluster::prepare(setup(2)).expect("files");
    for _ in 0..5 {
        cluster.start_node(1).expect("it starts");
        evs_testkit::until("it has started", || {
            cluster.log(1).contains("evsd starts").then_some(())
        })
        .expect("it logs");
        let status = cluster.stop(1).expect("it ends");
        assert_eq!(status.code(), Some(0), "{}", cluster.log(1));
        std::fs::remove_file(cluster.dir().join("1/evsd.log")).expect("removed");
    }
}

#[test]
fn sighup_changes_nothing() {
    let mut cluster = formed(setup(1));
    cluster.signal(1, Signal::HUP).expect("sent");
    until_logged(&cluster, 1, &["configuration read again"]);
    assert_eq!(cluster.stop(1).expect("it ends").code(), Some(0));
}

#[test]
fn a_second_daemon_with_the_same_socket_refuses_to_start() {
    let cluster = formed(setup(1));
    let log = cluster.dir().join("second.log");
    let mut second = cluster.spawn(&cluster.config_file(1), &log).expect("it runs");
    let status = evs_testkit::until_exit(&mut second).expect("it ends");
    assert_eq!(status.code(), Some(1));
    let log = std::fs::read_to_string(log).expect("a log");
    assert!(log.contains("another evsd runs with the socket"), "{log}");
    client(&cluster, 1);
}

/// A daemon that was killed leaves its socket behind; the next one replaces it.
#[test]
fn a_stale_socket_is_no_obstacle() {
    let mut cluster = formed(setup(1));
    cluster.kill(1).expect("it runs");
    assert!(cluster.socket(1).exists());
    cluster.start_node(1).expect("it starts");
    cluster.until_open(1).expect("clients can connect");
}
