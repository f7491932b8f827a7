//! The ends of sessions, step by step: which of two things happens first is the test's choice.

mod stand;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evs_ipc::shm::Sleep;
use evs_ipc::{ClientFrame, EncodeFrame as _, Hello, STATUS_BYTES_MAX};
use evs_model::{DisconnectReason, Groups, Versions};

use super::connection::Input;
use super::{ENDING_QUEUES, LINGER};
use stand::{Caller, Stand, large_event, send};

/// The daemon stops, and looks at what its clients say before it writes the last event: the socket
/// that it has shut itself is no client that went away.
#[test]
fn a_client_is_told_of_the_stop_though_its_socket_was_looked_at_before() {
    let mut stand = Stand::new();
    let mut client = stand.connect();
    stand.clients.take_last(stand.now, &mut stand.node);
    assert!(stand.look(), "the poll reports no socket that was shut");
    stand.clients.end_all(stand.now, &mut stand.node);
    stand.clients.take_turn(stand.now, &mut stand.node);
    stand.flush();
    assert_eq!(stand.last_words(&mut client), Some(DisconnectReason::Shutdown));
}

/// An event on its way to a client that has closed its sockets finds that out before the requests
/// are read that it had sent (EVS-3).
#[test]
fn what_a_client_had_sent_is_sent_though_an_event_cannot_be_written_to_it() {
    let (mut stand, mut witness, mut client) = with_witness();
    client.say_three();
    client.raw.event().expect("the first event");
    let (channel, _) = client.raw.channel().expect("welcomed");
    assert_eq!(channel.consumer.sleep(), Sleep::Asleep);
    stand.clients.deliver(stand.now, &mut stand.node, client.id(), &large_event());
    drop(client);
    stand.flush();
    assert_eq!(stand.clients.len(), 1, "the client is not gone");
    assert_eq!(stand.bodies(&mut witness, 3), THREE);
}

/// What a client was told is accepted is sent; it learns at once that nothing more is.
#[test]
fn what_a_client_had_sent_is_sent_though_it_is_too_slow() {
    let (mut stand, mut witness, mut client) = with_witness();
    client.say_three();
    stand.overfeed(&client);
    assert!(client.try_say(&send(&[4])).is_err(), "it can still send");
    assert!(
        client.raw.reply().expect("no frame").is_none(),
        "its control socket is not at its end"
    );
    assert_eq!(stand.bodies(&mut witness, 3), THREE);
    assert_eq!(stand.last_words(&mut client), Some(DisconnectReason::TooSlow));
}

/// A client that reads neither events nor replies: its requests were left unread, its messages are
/// sent all the same.
#[test]
fn what_a_client_had_sent_is_sent_though_its_replies_wait() {
    let (mut stand, mut witness, mut client) = with_witness();
    stand.fill_replies(&mut client);
    client.say_three();
    stand.overfeed(&client);
    assert_eq!(stand.bodies(&mut witness, 3), THREE);
}

/// The same when the daemon stops, however many replies it asked for before.
#[test]
fn what_a_client_had_sent_before_the_stop_is_sent_though_its_replies_wait() {
    let (mut stand, mut witness, mut client) = with_witness();
    stand.fill_replies(&mut client);
    client.say(&ClientFrame::Status { request: 0 });
    let mut join = Vec::new();
    ClientFrame::Join { request: 0, groups: Groups::default() }.encode(&mut join);
    client.raw.send_bytes(&join.repeat(14_000)).expect("the socket takes them");
    client.say_three();
    stand.clients.take_last(stand.now, &mut stand.node);
    assert!(stand.clients.take_questions().is_empty(), "reports are asked for");
    assert_eq!(stand.clients.stats().protocol_errors, 0);
    assert_eq!(stand.bodies(&mut witness, 3), THREE);
}

/// D9: who was refused may go on writing for as long as it likes.
#[test]
fn what_is_read_of_a_refused_client_has_a_budget() {
    let mut stand = Stand::new();
    let mut client = stand.knock();
    client.say(&ClientFrame::Hello(Hello {
        versions: Versions::new(999, 999).expect("in order"),
        name: String::new(),
    }));
    stand.turn();
    client.raw.send_bytes(&[0; 64 << 10]).expect("the socket takes it");
    assert!(stand.look());
    let slot = *stand.clients.ready.front().expect("it is ready");
    let (cost, more) = stand.clients.serve(stand.now, slot, 10_000, &mut stand.node);
    assert!((10_000..20_000).contains(&cost) && more, "{cost}, {more}");
}

/// A report may be as large as a reply can be, so each costs a client its turn.
#[test]
fn a_client_gets_one_status_report_in_a_turn_and_all_a_few() {
    let mut stand = Stand::new();
    let mut clients: Vec<_> = (0..8).map(|_| stand.connect()).collect();
    for client in &mut clients {
        for request in 1..=3 {
            client.say(&ClientFrame::Status { request });
        }
    }
    let report = "x".repeat(STATUS_BYTES_MAX);
    let mut given = BTreeMap::<_, u32>::new();
    while given.len() < 8 {
        stand.look();
        stand.clients.take_turn(stand.now, &mut stand.node);
        let asked: BTreeSet<_> = stand.clients.questions.iter().map(|asked| asked.client).collect();
        let requests = stand.clients.questions.len();
        assert!(asked.len() == requests && (1..=4).contains(&requests), "{requests} of {asked:?}");
        asked.into_iter().for_each(|client| *given.entry(client).or_default() += 1);
        stand.give_reports(&report);
        stand.flush();
    }
    assert_eq!(stand.clients.stats().protocol_errors, 0, "{given:?}");
}

/// D8: who connects again and again, and never reads, holds no more than a few queues.
#[test]
fn what_waits_for_disconnected_clients_is_bounded_in_bytes() {
    let mut stand = Stand::new();
    let mut gone: Vec<_> = (0..10)
        .map(|_| {
            let client = stand.connect();
            stand.overfeed(&client);
            stand.now = stand.now + Duration::from_millis(1);
            client
        })
        .collect();
    stand.knock();
    let most = ENDING_QUEUES * stand.clients.terms.client_event_bytes_max as usize;
    let waits = stand.clients.ending_bytes();
    assert!((most / 2..=most).contains(&waits), "{waits} bytes wait");
    assert_eq!(stand.last_words(&mut gone[9]), Some(DisconnectReason::TooSlow), "the last to go");
    assert_eq!(stand.last_words(&mut gone[0]), None, "the first to go");
}

/// A message is taken before a request that was made after it, and a request before a message.
#[test]
fn a_request_has_its_place_among_the_messages_of_its_client() {
    let mut stand = Stand::new();
    let mut client = stand.connect();
    client.say(&send(&[1]));
    client.say(&ClientFrame::Join { request: 7, groups: Groups::default() });
    client.say(&send(&[2]));
    assert!(stand.look());
    let slot = stand.clients.by_id[&client.id()];
    let connection = stand.clients.slots[slot].connection.as_mut().expect("a session");
    let kinds: Vec<_> = std::iter::from_fn(|| match connection.next().expect("honest") {
        Input::Frame(ClientFrame::Send { body, .. }) => Some(body[0]),
        Input::Frame(ClientFrame::Join { request, .. }) => u8::try_from(request).ok(),
        Input::Frame(_) | Input::Nothing | Input::Gone => None,
    })
    .collect();
    // The second message was there as well when the request was read.
    assert_eq!(kinds, [1, 2, 7]);
}

/// A client that goes on sending does not keep its own requests waiting.
#[test]
fn a_request_is_handled_though_messages_keep_coming() {
    let mut stand = Stand::new();
    let mut client = stand.connect();
    client.say(&send(&[1]));
    client.say(&ClientFrame::Join { request: 7, groups: Groups::default() });
    assert!(stand.look());
    let slot = stand.clients.by_id[&client.id()];
    for round in 0..3 {
        let connection = stand.clients.slots[slot].connection.as_mut().expect("a session");
        if let Input::Frame(ClientFrame::Join { .. }) = connection.next().expect("honest") {
            assert!(round > 0, "before the message");
            return;
        }
        client.say(&send(&[2]));
    }
    panic!("the request waits");
}

/// Nothing is asked of the system for messages of a client while the daemon does not rest.
#[test]
fn a_client_need_not_ring_while_the_daemon_is_awake() {
    let (mut stand, mut witness, mut client) = with_witness();
    assert!(!stand.clients.rest(), "nothing was sent");
    client.say(&send(&[1]));
    assert!(stand.look(), "it rang");
    stand.clients.take_turn(stand.now, &mut stand.node);
    for number in 2..=3 {
        client.say(&send(&[number]));
    }
    let (channel, _) = client.raw.channel().expect("welcomed");
    assert!(!channel.producer.is_other_asleep());
    assert!(stand.clients.rest(), "what came meanwhile is work");
    assert_eq!(stand.bodies(&mut witness, 3), THREE);
}

/// Who breaks the ring is disconnected, with a reason, and nobody else is disturbed.
#[test]
fn a_client_that_scribbles_is_disconnected_and_hurts_itself_only() {
    for case in 0..5 {
        let (mut stand, mut witness, mut client) = with_witness();
        let (channel, _) = client.raw.channel().expect("welcomed");
        match case {
            0 => channel.producer.forge(13, 0),
            1 => channel.producer.forge(1 << 40, u64::MAX),
            2 => {
                channel.consumer.forge(1 << 40, 0);
                stand.clients.deliver(stand.now, &mut stand.node, client.id(), &large_event());
            }
            3 => {
                let _ = client.raw.send_through_ring(&[200, 0, 0, 0, 4, 1]);
            }
            _ => {
                let mut join = Vec::new();
                ClientFrame::Join { request: 0, groups: Groups::default() }.encode(&mut join);
                client.raw.send_through_ring(&join).expect("there is room");
            }
        }
        stand.until_gone(&client);
        assert_eq!(stand.clients.stats().protocol_errors, 1, "case {case}");
        if case != 2 {
            let last = stand.last_words(&mut client);
            assert_eq!(last, Some(DisconnectReason::ProtocolError), "case {case}");
        }
        witness.say_three();
        assert_eq!(stand.bodies(&mut witness, 3), THREE, "case {case}");
    }
}

/// What a client that was disconnected has not read can be read for a while, and is then given
/// back, even if the client keeps the memory.
#[test]
fn what_is_not_read_in_time_is_given_back() {
    let mut stand = Stand::new();
    let mut clients = [stand.connect(), stand.connect()];
    for client in &clients {
        stand.overfeed(client);
    }
    stand.turn();
    assert_eq!(stand.last_words(&mut clients[0]), Some(DisconnectReason::TooSlow));
    stand.now = stand.now + LINGER;
    stand.clients.handle_timeout(stand.now);
    assert_eq!(stand.last_words(&mut clients[1]), None);
}

/// A client that has joined the group, and one whose messages to the group matter.
fn with_witness() -> (Stand, Caller, Caller) {
    let mut stand = Stand::new();
    let mut witness = stand.connect();
    stand.join(&mut witness);
    let client = stand.connect();
    (stand, witness, client)
}

const THREE: [[u8; 1]; 3] = [[1], [2], [3]];
