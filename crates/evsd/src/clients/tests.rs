//! The ends of sessions, step by step: which of two things happens first is the test's choice.

mod stand;

use evs_ipc::ClientFrame;
use evs_model::DisconnectReason;

use stand::{Stand, large_event, send};

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
    assert_eq!(client.until_disconnected(), DisconnectReason::Shutdown);
}

/// An event on its way to a client that has closed its sockets finds that out before the requests
/// are read that it had sent (EVS-3).
#[test]
fn what_a_client_had_sent_is_sent_though_an_event_cannot_be_written_to_it() {
    let mut stand = Stand::new();
    let mut witness = stand.connect();
    stand.join(&mut witness);
    let mut client = stand.connect();
    for number in 1..=3 {
        client.say(&send(&[number]));
    }
    stand.clients.deliver(stand.now, &mut stand.node, client.id(), &large_event());
    drop(client);
    stand.flush();
    assert_eq!(stand.clients.len(), 1, "the client is not gone");
    assert_eq!(stand.bodies(&mut witness, 3), [[1], [2], [3]]);
}

/// What a client was told is accepted is sent; it learns at once that nothing more is.
#[test]
fn what_a_client_had_sent_is_sent_though_it_is_too_slow() {
    let mut stand = Stand::new();
    let mut witness = stand.connect();
    stand.join(&mut witness);
    let mut client = stand.connect();
    for number in 1..=3 {
        client.say(&send(&[number]));
    }
    stand.overfeed(&client);
    assert!(
        client.raw.reply().expect("no frame").is_none(),
        "its control socket is not at its end"
    );
    assert!(client.try_say(&send(&[4])).is_err(), "it can still send");
    assert_eq!(stand.bodies(&mut witness, 3), [[1], [2], [3]]);
    assert_eq!(client.until_disconnected(), DisconnectReason::TooSlow);
}

/// A client that reads neither events nor replies: its requests were left unread, its messages are
/// sent all the same.
#[test]
fn what_a_client_had_sent_is_sent_though_its_replies_wait() {
    let mut stand = Stand::new();
    let mut witness = stand.connect();
    stand.join(&mut witness);
    let mut client = stand.connect();
    let slot = stand.clients.by_id[&client.id()];
    let is_paused = |stand: &Stand| {
        let connection = stand.clients.slots[slot].connection.as_ref();
        connection.expect("a session").must_pause()
    };
    let status = "x".repeat(100_000);
    for request in 1.. {
        client.say(&ClientFrame::Status { request });
        stand.turn();
        stand.clients.give_status(stand.now, &mut stand.node, &status);
        stand.flush();
        if is_paused(&stand) {
            break;
        }
        assert!(request < 100, "its replies never wait");
    }
    for number in 1..=3 {
        client.say(&send(&[number]));
    }
    stand.overfeed(&client);
    assert_eq!(stand.bodies(&mut witness, 3), [[1], [2], [3]]);
}
