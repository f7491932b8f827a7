//! Many threads on one client: nothing is lost, nothing hangs.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use evs::{Client, Closed, Event, Guarantee, RequestError, SendError};
use support::{Daemon, echo, group};

const SENDERS: u64 = 4;
const MESSAGES: u64 = 500;

/// So little credit that senders wait all the time.
const TIGHT: u64 = 20_000;

/// A client and a daemon's side that echoes; the latter ends when the client is dropped.
fn echoing() -> (Arc<Client>, thread::JoinHandle<()>) {
    let daemon = Daemon::listen();
    let (client, peer) = daemon.connect_with(&daemon.options(), TIGHT);
    (Arc::new(client), thread::spawn(|| echo(peer, TIGHT)))
}

fn send_some(client: &Client, count: u64) -> Result<(), SendError> {
    for number in 0..count {
        let body = vec![1; usize::try_from(number % 50 * 40).expect("small")];
        client.send(Guarantee::Agreed, &[group("g")], &body)?;
    }
    Ok(())
}

fn request_until(client: &Client, done: &AtomicBool) -> Result<(), RequestError> {
    while !done.load(Ordering::Relaxed) {
        client.join(&[group("g")])?;
        client.status_json()?;
        client.leave(&[group("g")])?;
    }
    Ok(())
}

#[test]
fn senders_receivers_and_requests_do_not_disturb_each_other() {
    let (client, daemon) = echoing();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| send_some(&client, MESSAGES).expect("the daemon lives"));
        }
        for _ in 0..2 {
            scope.spawn(|| request_until(&client, &done).expect("the daemon lives"));
        }
        let mut expected = 1;
        while expected <= SENDERS * MESSAGES {
            if let Event::Message(message) = client.recv().expect("the daemon lives") {
                assert_eq!(message.id.number, expected);
                expected += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(client.joined().is_empty());
    drop(client);
    daemon.join().expect("the daemon's side");
}

#[test]
fn a_close_in_the_middle_ends_every_call() {
    for round in 0..30 {
        let (client, daemon) = echoing();
        let never = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| {
                    assert_eq!(send_some(&client, u64::MAX), Err(SendError::Closed(Closed)));
                });
            }
            scope.spawn(|| {
                assert_eq!(request_until(&client, &never), Err(RequestError::Closed(Closed)));
            });
            for _ in 0..2 {
                scope.spawn(|| while client.recv().is_ok() {});
            }
            for _ in 0..round {
                thread::yield_now();
            }
            client.close();
        });
        drop(client);
        daemon.join().expect("the daemon's side");
    }
}

#[test]
fn clients_that_come_and_go_leave_no_descriptor_behind() {
    let open = || std::fs::read_dir("/proc/self/fd").expect("procfs").count();
    let before = open();
    for _ in 0..200 {
        let (client, daemon) = echoing();
        client.send(Guarantee::Agreed, &[group("g")], b"x").expect("room");
        client.room_fd().expect("a descriptor");
        client.recv().expect("the configuration");
        drop(client);
        daemon.join().expect("the daemon's side");
    }
    // Other tests of this process have some open too, but not in the hundreds.
    assert!(open() < before + 100);
}
