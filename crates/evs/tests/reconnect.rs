//! After the daemon's restart: a gap, the groups again, and the stream goes on.

mod support;

use std::fs;
use std::thread;

use evs::{
    Closed, DisconnectReason, Event, Guarantee, ReconnectingClient, RequestError, SendError,
};
use evs_ipc::{Outcome, Refusal, ServerFrame};
use support::{CREDIT, Daemon, Peer, group, is_readable, ring, seq_of, wait_until_readable};

/// A client with its first event received, that joined `g` twice and `h` once.
fn joined(daemon: &Daemon) -> (ReconnectingClient, Peer) {
    thread::scope(|scope| {
        let peer = scope.spawn(|| {
            let mut peer = daemon.accept().welcome(CREDIT);
            peer.answer(Outcome::Done);
            peer
        });
        let client = ReconnectingClient::connect_with(daemon.options()).expect("a daemon");
        client.join(&[group("g"), group("h"), group("g")]).expect("done");
        assert!(matches!(client.recv(), Ok(Event::Regular { .. })));
        (client, peer.join().expect("the daemon's side"))
    })
}

#[test]
fn a_gap_comes_first_then_the_configuration_and_the_groups_are_joined_again() {
    let mut daemon = Daemon::listen();
    let (client, mut peer) = joined(&daemon);
    peer.deliver_message("last");
    drop(peer);
    daemon.restart();
    assert_eq!(seq_of(&client.recv().expect("waits")), 1);
    thread::scope(|scope| {
        let peer = scope.spawn(|| {
            let mut peer = daemon.accept().welcome(CREDIT);
            let groups = peer.answer(Outcome::Done);
            assert!(groups.iter().eq([group("g"), group("g"), group("h")]));
            peer.deliver_message("first");
            peer
        });
        assert_eq!(client.recv(), Ok(Event::Gap { reason: DisconnectReason::Lost }));
        assert!(matches!(client.recv(), Ok(Event::Regular { ring: r, .. }) if r == ring(1)));
        assert_eq!(seq_of(&client.recv().expect("open")), 1);
        let mut peer = peer.join().expect("the daemon's side");
        client.send(Guarantee::Agreed, &[group("g")], b"again").expect("room");
        assert_eq!(&peer.read_send().2[..], b"again");
    });
}

#[test]
fn between_two_sessions_nothing_is_sent_and_nothing_blocks() {
    let mut daemon = Daemon::listen();
    let (client, peer) = joined(&daemon);
    fs::remove_file(&daemon.path).expect("the socket");
    drop(peer);
    wait_until_readable(&client);
    // The disconnection is consumed, and the first attempt fails.
    assert_eq!(client.try_recv(), Ok(None));
    assert!(client.client().is_none());
    assert_eq!(client.configuration(), None);
    let send = client.send(Guarantee::Agreed, &[group("g")], b"");
    assert_eq!(send, Err(SendError::Reconnecting));
    assert_eq!(client.join(&[group("x")]), Err(RequestError::Reconnecting));

    // The descriptor says when the next attempt is due; it does not spin in between.
    assert!(!is_readable(&client));
    wait_until_readable(&client);
    assert_eq!(client.try_recv(), Ok(None));
    fs::write(&daemon.path, b"").expect("something for the restart to remove");
    daemon.restart();
    thread::scope(|scope| {
        scope.spawn(|| daemon.accept().welcome(CREDIT).answer(Outcome::Done));
        assert_eq!(client.recv(), Ok(Event::Gap { reason: DisconnectReason::Lost }));
    });
}

#[test]
fn the_reason_of_the_end_is_the_reason_of_the_gap() {
    let daemon = Daemon::listen();
    let (client, mut peer) = joined(&daemon);
    peer.deliver(&evs_model::Event::Disconnected(evs_model::DisconnectReason::TooSlow));
    drop(peer);
    thread::scope(|scope| {
        scope.spawn(|| daemon.accept().welcome(CREDIT).answer(Outcome::Done));
        assert_eq!(client.recv(), Ok(Event::Gap { reason: DisconnectReason::TooSlow }));
    });
}

#[test]
fn a_daemon_that_refuses_the_client_ends_the_stream() {
    let daemon = Daemon::listen();
    let (client, peer) = joined(&daemon);
    drop(peer);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut visitor = daemon.accept();
            visitor.hello();
            visitor.say(&ServerFrame::refused(Refusal::Access));
        });
        let refused = Event::Disconnected { reason: DisconnectReason::Refused };
        assert_eq!(client.recv(), Ok(refused));
        assert_eq!(client.recv(), Err(Closed));
        assert!(is_readable(&client));
    });
    let send = client.send(Guarantee::Agreed, &[group("g")], b"");
    assert_eq!(send, Err(SendError::Closed(Closed)));
}

#[test]
fn a_daemon_that_dies_while_groups_are_joined_again_is_tried_again() {
    let daemon = Daemon::listen();
    let (client, peer) = joined(&daemon);
    drop(peer);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = daemon.accept().welcome(CREDIT);
            assert!(peer.read().is_some());
            drop(peer);
            daemon.accept().welcome(CREDIT).answer(Outcome::Done);
        });
        assert_eq!(client.recv(), Ok(Event::Gap { reason: DisconnectReason::Lost }));
    });
}

#[test]
fn a_close_ends_the_wait_for_a_daemon() {
    let daemon = Daemon::listen();
    let (client, peer) = joined(&daemon);
    fs::remove_file(&daemon.path).expect("the socket");
    drop(peer);
    thread::scope(|scope| {
        let receivers: Vec<_> = (0..2).map(|_| scope.spawn(|| client.recv())).collect();
        while client.client().is_some() {
            thread::yield_now();
        }
        client.close();
        for receiver in receivers {
            assert_eq!(receiver.join().expect("no panic"), Err(Closed));
        }
    });
    assert!(is_readable(&client));
}
