//! The stream of events: framing, order, and how it ends.

mod support;

use std::thread;
use std::time::Duration;

use evs::{ChangeReason, Closed, Configuration, DisconnectReason, Event, Members, Read};
use evs_ipc::shm::Bell;
use evs_ipc::{Explained, socket};
use evs_model::ConfigurationChange;
use support::{
    Daemon, MESSAGE_BYTES_MAX, Peer, encoded, is_readable, members, message, processor, regular,
    ring, seq_of,
};

fn connected() -> (evs::Client, Peer) {
    let (client, peer) = Daemon::listen().connect();
    assert!(matches!(client.recv(), Ok(Event::Regular { .. })));
    (client, peer)
}

/// D13: whatever its size, nothing is seen of an event before it is whole, and the bell rings.
#[test]
fn events_are_taken_when_they_are_whole() {
    let (client, mut peer) = connected();
    assert_eq!(client.try_recv(), Ok(None));
    for (seq, bytes) in [(1, 10), (2, MESSAGE_BYTES_MAX)] {
        let event = message(seq, vec![7; bytes]);
        let frame = encoded(&evs_model::Event::Message(event.clone()));
        assert_eq!(peer.channel.producer.push([&frame[..]]), Ok(true));
        // The daemon stands still between the last byte and the bell.
        assert_eq!(client.try_recv(), Ok(None));
        assert!(!is_readable(&client));
        assert_eq!(peer.channel.producer.bell(), Bell::Ring);
        socket::ring(&peer.bell).expect("the client is there");
        assert!(is_readable(&client));
        assert_eq!(client.try_recv(), Ok(Some(Event::Message(event))));
        assert!(!is_readable(&client));
    }
}

/// A message that is lent lies where it was written, and is the same as a copy.
#[test]
fn a_message_that_is_lent_is_the_same_and_aligned() {
    let (client, mut peer) = connected();
    let body = |seq| vec![1; usize::try_from(seq).expect("small")];
    for seq in 1..=20 {
        peer.deliver(&evs_model::Event::Message(message(seq, body(seq))));
    }
    peer.deliver(&regular(2, &[1, 2]));
    for seq in 1..=20 {
        let Ok(Read::Message(lent)) = client.read() else { panic!("a message") };
        let wanted = message(seq, body(seq));
        assert_eq!((lent.id(), lent.ring(), lent.seq()), (wanted.id, wanted.ring, seq));
        assert_eq!((lent.sender(), lent.sending_client()), (wanted.id.sender, wanted.id.client));
        assert_eq!(lent.guarantee(), wanted.guarantee);
        assert_eq!(lent.body(), &wanted.body[..]);
        assert!(lent.groups().eq(wanted.groups.iter()));
        assert_eq!(lent.body().as_ptr() as usize % 16, 0);
    }
    assert!(matches!(client.try_read(), Ok(Some(Read::Event(Event::Regular { .. })))));
    assert!(matches!(client.try_read(), Ok(None)));
}

/// Its place is taken until it is given back, in whatever order.
#[test]
fn messages_that_are_lent_stay_until_they_are_given_back() {
    let (client, mut peer) = connected();
    for body in ["one", "two", "three"] {
        peer.deliver_message(body);
    }
    let taken = peer.channel.producer.used().expect("honest");
    let mut lent: Vec<_> = (0..3)
        .map(|_| match client.try_read() {
            Ok(Some(Read::Message(lent))) => lent,
            other => panic!("no message: {other:?}"),
        })
        .collect();
    let bodies: Vec<_> = lent.iter().map(|lent| lent.body().to_vec()).collect();
    assert_eq!(bodies, [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
    drop(lent.remove(1));
    assert_eq!(peer.channel.producer.used(), Ok(taken), "the first is still read");
    drop(lent.remove(0));
    let last = peer.channel.producer.used().expect("honest");
    assert!(last > 0 && last < taken);
    // A client that is closed keeps what is lent.
    client.close();
    assert_eq!(lent[0].body(), b"three");
    drop(lent);
    assert_eq!(peer.channel.producer.used(), Ok(0));
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
    // It is killed in the middle of the third: of that nothing is to be seen.
    peer.write_without_an_end(&third[..third.len() - 1]);
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
        let (client, mut peer) = connected();
        assert!(peer.write(bytes));
        peer.ring();
        assert_eq!(client.recv(), malformed);
        assert_eq!(client.recv(), Err(Closed));
    }
}

#[test]
fn a_configuration_comes_with_its_reason_and_the_first_with_none() {
    let daemon = Daemon::listen();
    let (client, mut peer) = daemon.connect();
    assert!(matches!(client.recv(), Ok(Event::Regular { reason: ChangeReason::Begin, .. })));
    let reason = ChangeReason::PathLost(processor(1), processor(3));
    peer.deliver(&Explained { event: &regular(2, &[1, 2]), reason });
    let Ok(Event::Regular { reason: told, .. }) = client.recv() else { panic!("regular") };
    assert_eq!(told, reason);
}

#[test]
fn the_configuration_is_the_last_one_received() {
    let (client, mut peer) = connected();
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
