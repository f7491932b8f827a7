//! From a path to a session, and every way in which that fails.

mod support;

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use evs::{Client, Configuration, ConnectError, ConnectOptions, Event, TryAgain, Versions};
use evs_ipc::{Refusal, ServerFrame, socket};
use support::{CREDIT, Daemon, Visitor, encoded, is_readable, members, regular, ring, welcome};

/// Connects while the daemon's side does its part.
fn refused(play: impl FnOnce(Visitor) + Send) -> ConnectError {
    let daemon = Daemon::listen();
    thread::scope(|scope| {
        let server = scope.spawn(|| play(daemon.accept()));
        let error = Client::connect_with(&daemon.options()).expect_err("no session");
        server.join().expect("the daemon's side");
        error
    })
}

#[test]
fn the_first_event_is_there_when_connect_returns() {
    let daemon = Daemon::listen();
    let (client, _peer) = daemon.connect();
    assert!(is_readable(&client));
    let expected = Configuration::Regular { ring: ring(1), members: members(&[1, 2, 3]) };
    assert_eq!(client.configuration(), expected);
    let event = client.try_recv().expect("open").expect("the first event");
    assert!(matches!(event, Event::Regular { joined, .. } if joined == members(&[2, 3])));
    assert_eq!(client.try_recv(), Ok(None));
    assert_eq!(client.processor(), support::processor(1));
    assert_eq!(client.limits().message_bytes_max, support::MESSAGE_BYTES_MAX);
}

#[test]
fn the_daemon_learns_version_and_name() {
    let daemon = Daemon::listen();
    thread::scope(|scope| {
        let options = daemon.options().name("n".repeat(100));
        scope.spawn(move || Client::connect_with(&options));
        let hello = daemon.accept().hello();
        assert_eq!(hello.versions, evs_ipc::spoken());
        assert_eq!(hello.name, "n".repeat(64));
    });
}

#[test]
fn a_missing_socket_and_a_deaf_one_are_no_daemon() {
    let daemon = Daemon::listen();
    let missing = daemon.path.with_extension("missing");
    let error = Client::connect_with(&ConnectOptions::new().path(&missing)).expect_err("nobody");
    assert!(matches!(&error, ConnectError::NoDaemon { path } if *path == missing));
    assert!(error.to_string().ends_with("is evsd running?"), "{error}");

    let deaf = daemon.path.with_extension("deaf");
    drop(UnixListener::bind(&deaf).expect("a fresh path"));
    assert!(fs::exists(&deaf).expect("readable"));
    let error = Client::connect_with(&ConnectOptions::new().path(&deaf)).expect_err("nobody");
    assert!(matches!(error, ConnectError::NoDaemon { .. }));
    assert!(error.is_temporary());
}

#[test]
fn a_path_that_is_too_long_is_named() {
    let path = format!("/{}", "x".repeat(200));
    let error = Client::connect_with(&ConnectOptions::new().path(&path)).expect_err("too long");
    assert!(matches!(error, ConnectError::Io { .. }));
    assert!(error.to_string().contains(&path), "{error}");
}

#[test]
fn access_is_refused_for_good() {
    let error = refused(|mut visitor| {
        visitor.hello();
        visitor.say(&ServerFrame::refused(Refusal::Access));
    });
    assert!(matches!(error, ConnectError::Access { .. }));
    assert!(!error.is_temporary());
}

#[test]
fn a_refusal_is_heard_even_if_the_daemon_closes_without_reading() {
    let error = refused(|visitor| visitor.say(&ServerFrame::refused(Refusal::Access)));
    assert!(matches!(error, ConnectError::Access { .. }));
}

fn versions(lowest: u16, highest: u16) -> Versions {
    Versions::new(lowest, highest).expect("in order")
}

#[test]
fn different_versions_are_named() {
    let error = refused(|mut visitor| {
        visitor.hello();
        visitor.say(&ServerFrame::Refused { reason: Refusal::Version, versions: versions(9, 10) });
    });
    let said = error.to_string();
    assert!(said.contains("speaks version 3 of") && said.contains("version 9 to 10:"), "{said}");
    let error = refused(|mut visitor| {
        visitor.hello();
        let mut later = welcome(CREDIT);
        later.version = 8;
        visitor.say(&ServerFrame::Welcome(later));
    });
    let expected = versions(8, 8);
    assert!(
        matches!(error, ConnectError::VersionMismatch { daemon, .. } if daemon == expected),
        "{error}"
    );
}

#[test]
fn passing_reasons_say_try_again() {
    let reasons = [
        (Refusal::TooManyClients, TryAgain::TooManyClients),
        (Refusal::NotReady, TryAgain::NotReady),
        (Refusal::Leaving, TryAgain::Leaving),
        (Refusal::Other(200), TryAgain::Other(200)),
    ];
    for (refusal, expected) in reasons {
        let error = refused(|mut visitor| {
            visitor.hello();
            visitor.say(&ServerFrame::refused(refusal));
        });
        assert!(error.is_temporary());
        assert!(matches!(error, ConnectError::TryAgain { reason } if reason == expected));
    }
}

#[test]
fn a_daemon_that_dies_in_the_handshake_is_worth_another_try() {
    let error = refused(drop);
    assert!(matches!(error, ConnectError::TryAgain { reason: TryAgain::Interrupted }));
    let error = refused(|mut visitor| {
        visitor.hello();
        let (peer, theirs, file) = visitor.open(CREDIT);
        let welcome = encoded(&ServerFrame::Welcome(welcome(CREDIT)));
        let fds = [theirs.as_fd(), file.as_fd()];
        socket::send_with_fds(&peer.control, &welcome[..9], fds).expect("open");
    });
    assert!(matches!(error, ConnectError::TryAgain { reason: TryAgain::Interrupted }));
}

#[test]
fn what_does_not_speak_the_protocol_is_no_daemon() {
    let error = refused(|visitor| support::write_all(&visitor.control, b"HTTP/1.1 400 Bad"));
    assert!(matches!(error, ConnectError::NotADaemon { .. }), "{error}");
    let error = refused(|mut visitor| {
        visitor.hello();
        visitor.say(&ServerFrame::Welcome(welcome(CREDIT)));
    });
    assert!(error.to_string().contains("descriptor"), "{error}");
}

#[test]
fn a_silent_daemon_is_given_up_in_time() {
    let daemon = Daemon::listen();
    let options = daemon.options().timeout(Duration::from_millis(30));
    let error = Client::connect_with(&options).expect_err("silence");
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
    assert!(error.is_temporary());
}

#[test]
fn a_welcome_may_come_byte_by_byte() {
    let daemon = Daemon::listen();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut visitor = daemon.accept();
            visitor.hello();
            let (mut peer, theirs, file) = visitor.open(CREDIT);
            peer.deliver(&regular(4, &[1, 2]));
            let welcome = encoded(&ServerFrame::Welcome(welcome(CREDIT)));
            let fds = [theirs.as_fd(), file.as_fd()];
            socket::send_with_fds(&peer.control, &welcome[..1], fds).expect("open");
            for byte in &welcome[1..] {
                support::write_all(&peer.control, &[*byte]);
                thread::yield_now();
            }
        });
        let client = Client::connect_with(&daemon.options()).expect("complete");
        assert!(matches!(client.recv(), Ok(Event::Regular { ring: r, .. }) if r == ring(4)));
    });
}

/// Memory without a first event, of another size than was said, or that is none.
#[test]
fn memory_that_no_daemon_would_make_is_not_used() {
    for case in 0..3 {
        let error = refused(|mut visitor| {
            visitor.hello();
            let (mut peer, theirs, mut file) = visitor.open(CREDIT);
            let mut welcome = welcome(CREDIT);
            match case {
                0 => {}
                1 => welcome.rings.to_client *= 2,
                _ => file = theirs.try_clone().expect("a descriptor"),
            }
            if case > 0 {
                peer.deliver(&regular(1, &[1, 2]));
            }
            let welcome = encoded(&ServerFrame::Welcome(welcome));
            let fds = [theirs.as_fd(), file.as_fd()];
            socket::send_with_fds(&peer.control, &welcome, fds).expect("open");
        });
        assert!(matches!(error, ConnectError::NotADaemon { .. }), "{case}: {error}");
    }
}
