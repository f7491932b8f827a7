//! The stream of events: framing, order, and how it ends.

mod support;

use std::thread;
use std::time::Duration;

use evs::{ChangeReason, Closed, Configuration, DisconnectReason, Event, Members};
use evs_ipc::Explained;
use evs_model::ConfigurationChange;
use support::{
    Daemon, Peer, encoded, members, message, processor, regular, ring, seq_of, write_all,
};

fn connected() -> (evs::Client, Peer) {
    let (client, peer) = Daemon::listen().connect();
    assert!(matches!(client.recv(), Ok(Event::Regular { .. })));
    (client, peer)
}

#[test]
fn events_may_come_byte_by_byte() {
    let (client, peer) = connected();
    thread::scope(|scope| {
        scope.spawn(|| {
            for seq in 1..=3 {
                for byte in encoded(&evs_model::Event::Message(message(seq, "body"))) {
                    write_all(&peer.events, &[byte]);
                    thread::yield_now();
                }
            }
        });
        for seq in 1..=3 {
            let Ok(Event::Message(received)) = client.recv() else { panic!("a message") };
            assert_eq!(received, message(seq, "body"));
        }
    });
}

#[test]
fn a_message_of_one_mebibyte_arrives_whole() {
    let (client, mut peer) = connected();
    let body: Vec<u8> = (0..1_u32 << 20).map(|i| i.to_le_bytes()[(i % 3) as usize]).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            peer.deliver_message(body.clone());
            peer.deliver_message(Vec::new());
        });
        let Ok(Event::Message(received)) = client.recv() else { panic!("a message") };
        assert!(received.body == body);
        assert_eq!(seq_of(&client.recv().expect("open")), 2);
    });
}

#[test]
fn what_arrived_before_the_daemon_was_killed_is_delivered_first() {
    let (client, mut peer) = connected();
    peer.deliver_message("one");
    peer.deliver_message("two");
    let third = encoded(&evs_model::Event::Message(message(3, "three")));
    write_all(&peer.events, &third[..third.len() - 1]);
    drop(peer);
    assert_eq!(seq_of(&client.recv().expect("waits")), 1);
    assert_eq!(seq_of(&client.recv().expect("waits")), 2);
    let lost = Event::Disconnected { reason: DisconnectReason::Lost };
    assert_eq!(client.recv(), Ok(lost));
    assert_eq!(client.recv(), Err(Closed));
    assert_eq!(client.try_recv(), Err(Closed));
    assert_eq!(client.recv_timeout(Duration::ZERO), Err(Closed));
}

#[test]
fn the_daemons_reason_ends_the_stream() {
    let (client, mut peer) = connected();
    peer.deliver_message("last");
    peer.deliver(&evs_model::Event::Disconnected(evs_model::DisconnectReason::TooSlow));
    assert_eq!(seq_of(&client.recv().expect("waits")), 1);
    let too_slow = Event::Disconnected { reason: DisconnectReason::TooSlow };
    assert_eq!(client.recv(), Ok(too_slow));
    assert_eq!(client.recv(), Err(Closed));
}

#[test]
fn bytes_that_are_no_event_end_the_stream_with_a_reason() {
    let malformed = Ok(Event::Disconnected { reason: DisconnectReason::Malformed });
    for bytes in [&[0, 0, 0, 0, 0][..], &[255; 8], &[2, 0, 0, 0, 99, 0]] {
        let (client, peer) = connected();
        write_all(&peer.events, bytes);
        assert_eq!(client.recv(), malformed);
        assert_eq!(client.recv(), Err(Closed));
    }
}

#[test]
fn a_configuration_comes_with_its_reason_and_the_first_with_none() {
    let daemon = Daemon::listen();
    let (client, peer) = daemon.connect();
    assert!(matches!(client.recv(), Ok(Event::Regular { reason: ChangeReason::Begin, .. })));
    let reason = ChangeReason::PathLost(processor(1), processor(3));
    peer.deliver(&Explained { event: &regular(2, &[1, 2]), reason });
    let Ok(Event::Regular { reason: told, .. }) = client.recv() else { panic!("regular") };
    assert_eq!(told, reason);
}

#[test]
fn the_configuration_is_the_last_one_received() {
    let (client, peer) = connected();
    peer.deliver(&evs_model::Event::Configuration(ConfigurationChange::Transitional {
        from: ring(1),
        to: ring(2),
        members: members(&[1, 2]),
        left: members(&[3]),
    }));
    peer.deliver(&regular(2, &[1, 2]));
    let before = Configuration::Regular { ring: ring(1), members: members(&[1, 2, 3]) };
    assert_eq!(client.configuration(), before);
    let Ok(Event::Transitional { left, .. }) = client.recv() else { panic!("transitional") };
    assert_eq!(left, members(&[3]));
    let between = client.configuration();
    assert!(matches!(between, Configuration::Transitional { from, .. } if from == ring(1)));
    let Ok(Event::Regular { left, .. }) = client.recv() else { panic!("regular") };
    assert_eq!(left, Members::default());
    let after = Configuration::Regular { ring: ring(2), members: members(&[1, 2]) };
    assert_eq!(client.configuration(), after);
}

#[test]
fn waiting_with_a_limit_ends_without_an_event() {
    let (client, mut peer) = connected();
    assert_eq!(client.recv_timeout(Duration::from_millis(5)), Ok(None));
    peer.deliver_message("now");
    let event = client.recv_timeout(support::PATIENCE).expect("open").expect("waits");
    assert_eq!(seq_of(&event), 1);
}

#[test]
fn a_close_wakes_all_who_wait() {
    let (client, peer) = connected();
    thread::scope(|scope| {
        let receivers: Vec<_> = (0..3).map(|_| scope.spawn(|| client.recv())).collect();
        let asking = scope.spawn(|| client.status_json());
        // The status request shows that a caller waits for an answer.
        let mut peer = peer;
        assert!(peer.read().is_some());
        client.close();
        for receiver in receivers {
            assert_eq!(receiver.join().expect("no panic"), Err(Closed));
        }
        assert_eq!(asking.join().expect("no panic"), Err(Closed.into()));
    });
}

#[test]
fn each_event_goes_to_one_of_several_receivers() {
    const EVENTS: u64 = 2_000;
    let (client, mut peer) = connected();
    let mut seen = thread::scope(|scope| {
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = Vec::new();
                    while let Ok(Event::Message(message)) = client.recv() {
                        seen.push(message.seq);
                    }
                    seen
                })
            })
            .collect();
        for _ in 0..EVENTS {
            peer.deliver_message("x");
        }
        drop(peer);
        let seen = receivers.into_iter().flat_map(|receiver| receiver.join().expect("no panic"));
        seen.collect::<Vec<_>>()
    });
    seen.sort_unstable();
    assert_eq!(seen, (1..=EVENTS).collect::<Vec<_>>());
}
