//! The descriptor for poll loops: level-readable exactly while an event waits or the daemon is
//! gone.

mod support;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread;

use evs::{Client, Closed, Event, Read};
use evs_ipc::shm::Bell;
use evs_ipc::socket;
use rustix::event::{Timespec, epoll};
use support::{Daemon, Peer, encoded, is_readable, message, wait_until_readable};

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
const SOON: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

fn connected() -> (Client, Peer) {
    Daemon::listen().connect()
}

fn watching(client: &Client, flags: epoll::EventFlags) -> OwnedFd {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("a descriptor");
    epoll::add(&epoll, client, epoll::EventData::new_u64(5), flags).expect("a descriptor");
    epoll
}

fn reports(epoll: &OwnedFd, timeout: &Timespec) -> usize {
    let mut events = Vec::with_capacity(4);
    epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), Some(timeout))
        .expect("an epoll descriptor")
}

#[test]
fn poll_says_readable_exactly_while_an_event_waits() {
    let (client, mut peer) = connected();
    assert!(is_readable(&client));
    assert!(matches!(client.try_recv(), Ok(Some(Event::Regular { .. }))));
    assert!(!is_readable(&client));
    for _ in 0..5 {
        peer.deliver_message("x");
    }
    for _ in 0..5 {
        assert!(is_readable(&client));
        assert!(matches!(client.try_recv(), Ok(Some(Event::Message(_)))));
    }
    assert!(!is_readable(&client));
    assert_eq!(client.try_recv(), Ok(None));
}

#[test]
fn the_descriptor_is_the_same_on_every_call() {
    let (client, _peer) = connected();
    assert_eq!(client.as_fd().as_raw_fd(), client.as_raw_fd());
    let (first, second) = (client.as_raw_fd(), client.as_raw_fd());
    assert_eq!(first, second);
    let room = client.room_fd().expect("a descriptor").as_raw_fd();
    assert_eq!(client.room_fd().expect("a descriptor").as_raw_fd(), room);
}

#[test]
fn events_that_were_read_ahead_show_when_somebody_starts_to_watch() {
    let (client, mut peer) = connected();
    peer.deliver_message("x");
    peer.deliver_message("y");
    client.recv().expect("the configuration");
    client.recv().expect("x, and y was read with it");
    assert!(is_readable(&client));
    client.recv().expect("y");
    assert!(!is_readable(&client));
}

#[test]
fn a_dead_daemon_is_readable_for_ever() {
    let (client, peer) = connected();
    client.recv().expect("the configuration");
    assert!(!is_readable(&client));
    drop(peer);
    wait_until_readable(&client);
    assert!(matches!(client.try_recv(), Ok(Some(Event::Disconnected { .. }))));
    assert!(is_readable(&client));
    assert_eq!(client.try_recv(), Err(Closed));
    assert!(is_readable(&client));
}

#[test]
fn a_daemon_that_said_goodbye_is_readable_for_ever() {
    let (client, mut peer) = connected();
    client.recv().expect("the configuration");
    peer.deliver(&evs_model::Event::Disconnected(evs_model::DisconnectReason::Shutdown));
    assert!(is_readable(&client));
    assert!(matches!(client.try_recv(), Ok(Some(Event::Disconnected { .. }))));
    assert!(is_readable(&client));
}

#[test]
fn level_triggered_epoll_reports_until_all_is_received() {
    let (client, mut peer) = connected();
    let epoll = watching(&client, epoll::EventFlags::IN);
    peer.deliver_message("x");
    for _ in 0..2 {
        assert_eq!(reports(&epoll, &SOON), 1);
        assert!(matches!(client.try_recv(), Ok(Some(_))));
    }
    assert_eq!(reports(&epoll, &NOW), 0);
}

#[test]
fn edge_triggered_epoll_loses_no_wakeup() {
    const ROUNDS: u64 = 300;
    let (client, mut peer) = connected();
    let epoll = watching(&client, epoll::EventFlags::IN | epoll::EventFlags::ET);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                for _ in 0..=round % 4 {
                    peer.deliver_message("x");
                }
                if round % 3 == 0 {
                    thread::yield_now();
                }
            }
        });
        let total: u64 = (0..ROUNDS).map(|round| round % 4 + 1).sum();
        let mut seen = 0;
        while seen < total {
            assert_eq!(reports(&epoll, &SOON), 1, "after {seen} of {total}");
            while let Some(event) = client.try_recv().expect("open") {
                seen += u64::from(matches!(event, Event::Message(_)));
            }
        }
    });
}

/// What arrives after the point that a caller asked for shows to who polls for changes only.
#[test]
fn edge_triggered_epoll_reports_what_was_left() {
    let (client, mut peer) = connected();
    let epoll = watching(&client, epoll::EventFlags::IN | epoll::EventFlags::ET);
    client.recv().expect("the configuration");
    for round in 0..5 {
        peer.deliver_message("x");
        assert_eq!(reports(&epoll, &SOON), 1, "round {round}");
        let arrived = client.arrived();
        // It comes while the first is dealt with.
        peer.deliver_message("y");
        let mut seen = 0;
        while let Some(event) = client.try_recv_arrived(arrived).expect("open") {
            seen += u64::from(matches!(event, Event::Message(_)));
        }
        assert_eq!(seen, 1);
        assert_eq!(reports(&epoll, &SOON), 1, "what was left in round {round}");
        assert!(matches!(client.try_recv(), Ok(Some(Event::Message(_)))));
        assert_eq!(client.try_recv(), Ok(None));
        while reports(&epoll, &NOW) > 0 {}
    }
}

/// The bell rings once for who sleeps, and never for who is awake: that costs no system call.
#[test]
fn the_bell_rings_once_for_a_client_that_sleeps() {
    let (client, mut peer) = connected();
    client.recv().expect("the configuration");
    assert_eq!(client.try_recv(), Ok(None));
    let mut rings = 0;
    for _ in 0..100 {
        assert!(peer.write(&encoded(&evs_model::Event::Message(message(1, "x")))));
        if peer.channel.producer.bell() == Bell::Ring {
            rings += 1;
            socket::ring(&peer.bell).expect("the client is there");
        }
    }
    for _ in 0..50 {
        assert!(matches!(client.try_recv(), Ok(Some(_))));
    }
    assert!(peer.write(&encoded(&evs_model::Event::Message(message(1, "x")))));
    assert_eq!(peer.channel.producer.bell(), Bell::Quiet);
    assert_eq!(rings, 1);
}

/// A message that is read where it lies is no event that waits, once another thread has looked.
#[test]
fn what_is_lent_does_not_keep_others_awake() {
    let (client, mut peer) = connected();
    client.recv().expect("the configuration");
    assert!(!is_readable(&client));
    peer.deliver_message("x");
    let Ok(Some(Read::Message(lent))) = client.try_read() else { panic!("a message") };
    assert!(matches!(client.try_read(), Ok(None)));
    assert!(!is_readable(&client));
    peer.deliver_message("y");
    assert!(is_readable(&client));
    drop(lent);
    assert!(is_readable(&client));
    assert!(matches!(client.try_recv(), Ok(Some(Event::Message(_)))));
    assert!(!is_readable(&client));
}
