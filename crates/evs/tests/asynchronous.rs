//! The async client: the same session, waiting on Tokio.

#![cfg(feature = "tokio")]

mod support;

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::thread;

use evs::tokio::{Client, Events};
use evs::{
    Closed, Configuration, ConnectError, DisconnectReason, Event, Guarantee, RequestError,
    SendError,
};
use evs_ipc::{ClientFrame, Outcome, ServerFrame};
use evs_model::send_cost;
use futures_core::Stream;
use support::{CREDIT, Daemon, PATIENCE, Peer, echo, group, seq_of};
use tokio::runtime::{Builder, Runtime};

const BODY: [u8; 100] = [b'x'; 100];
const COST: u64 = send_cost(BODY.len(), 1) as u64;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

async fn connect(credit: u64) -> (Client, Events, Peer) {
    let daemon = Daemon::listen();
    let options = daemon.options();
    let peer = thread::spawn(move || daemon.accept().welcome(credit));
    let (client, mut events) = evs::tokio::connect(&options).await.expect("the daemon welcomes");
    assert!(matches!(events.recv().await, Some(Event::Regular { .. })));
    (client, events, peer.join().expect("the daemon's side"))
}

/// Runs the test, and turns a hang into a failure.
fn run<T>(test: impl Future<Output = T>) -> T {
    runtime().block_on(async {
        tokio::time::timeout(PATIENCE, test).await.expect("nothing here takes long")
    })
}

/// Polls once.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The daemon's record of a configuration, or its word that there is none.
#[test]
fn a_reason_is_asked_for_by_its_ring() {
    run(async {
        let (client, _events, mut peer) = connect(CREDIT).await;
        let Configuration::Regular { ring, .. } = client.configuration() else {
            panic!("a session begins with a regular one")
        };
        let record = r#"{"schema":1,"changes":[{"change":1}]}"#;
        let answers = [record, r#"{"schema":1,"error":"no change is recorded"}"#];
        let daemon = thread::spawn(move || {
            for json in answers {
                let Some(ClientFrame::Ask { request, question }) = peer.read() else {
                    panic!("a question")
                };
                let which = format!("\"{ring}\"");
                assert!(question.contains(&which), "{question} is about {ring}");
                peer.say(&ServerFrame::StatusReply { request, json: json.to_owned() });
            }
            peer
        });
        assert_eq!(client.why_json(ring).await.expect("answered"), record);
        let said = "no change is recorded".to_owned();
        let error = client.why_json(ring).await;
        assert_eq!(error, Err(RequestError::UnknownConfiguration { said }));
        daemon.join().expect("the daemon's side");
    });
}

#[test]
fn events_stream_until_the_session_is_over() {
    run(async {
        let (_client, mut events, mut peer) = connect(CREDIT).await;
        assert_eq!(events.try_recv(), Ok(None));
        for _ in 0..100 {
            peer.deliver_message("x");
        }
        drop(peer);
        let mut stream = pin!(&mut events);
        let mut next = async || std::future::poll_fn(|cx| stream.as_mut().poll_next(cx)).await;
        for seq in 1..=100 {
            assert_eq!(seq_of(&next().await.expect("open")), seq);
        }
        assert_eq!(next().await, Some(Event::Disconnected { reason: DisconnectReason::Lost }));
        assert_eq!(next().await, None);
        assert_eq!(events.try_recv(), Err(Closed));
    });
}

#[test]
fn a_receive_that_is_dropped_loses_nothing() {
    run(async {
        let (_client, mut events, mut peer) = connect(CREDIT).await;
        for seq in 1..=20 {
            assert!(poll_once(pin!(events.recv())).is_pending());
            peer.deliver_message(vec![1; 1000]);
            assert_eq!(seq_of(&events.recv().await.expect("open")), seq);
        }
    });
}

#[test]
fn sending_waits_for_room() {
    run(async {
        let (client, _events, mut peer) = connect(COST).await;
        let id = client.send(Guarantee::Agreed, &[group("g")], &BODY).await.expect("room");
        assert_eq!(id.number, 1);
        let sender = client.clone();
        let waiting =
            tokio::spawn(async move { sender.send(Guarantee::Agreed, &[group("g")], &BODY).await });
        peer.read_send();
        assert!(!waiting.is_finished());
        peer.say(&ServerFrame::Credit { bytes: COST });
        assert_eq!(waiting.await.expect("no panic").expect("room").number, 2);
        peer.read_send();
    });
}

#[test]
fn a_send_that_is_dropped_before_its_turn_was_never_sent() {
    run(async {
        let (client, _events, mut peer) = connect(COST).await;
        client.send(Guarantee::Agreed, &[group("g")], &BODY).await.expect("room");
        {
            let groups = [group("g")];
            let mut dropped = pin!(client.send(Guarantee::Agreed, &groups, b"dropped"));
            assert!(poll_once(dropped.as_mut()).is_pending());
        }
        peer.read_send();
        peer.say(&ServerFrame::Credit { bytes: COST });
        let id = client.send(Guarantee::Agreed, &[group("g")], b"next").await.expect("room");
        assert_eq!(id.number, 2);
        assert_eq!(&peer.read_send().2[..], b"next");
    });
}

#[test]
fn requests_are_answered_and_one_that_is_dropped_still_counts() {
    run(async {
        let (client, _events, mut peer) = connect(CREDIT).await;
        let peer = {
            let groups = [group("a")];
            let mut dropped = pin!(client.join(&groups));
            assert!(poll_once(dropped.as_mut()).is_pending());
            thread::spawn(move || {
                peer.answer(Outcome::Done);
                peer.answer(Outcome::NotJoined);
                let Some(ClientFrame::Status { request }) = peer.read() else { panic!("status") };
                peer.say(&ServerFrame::StatusReply { request, json: "{}".into() });
                peer
            })
        };
        assert_eq!(client.leave(&[group("b")]).await, Err(RequestError::NotJoined));
        assert_eq!(client.joined(), [(group("a"), 1)]);
        assert_eq!(client.status_json().await.expect("answered"), "{}");
        drop(peer.join().expect("the daemon's side"));
        assert_eq!(client.join(&[group("a")]).await, Err(RequestError::Closed(Closed)));
        let closed = client.send(Guarantee::Agreed, &[group("a")], b"").await;
        assert_eq!(closed, Err(SendError::Closed(Closed)));
    });
}

#[test]
fn many_tasks_share_one_client() {
    const TASKS: u64 = 8;
    const MESSAGES: u64 = 200;
    const TIGHT: u64 = 10_000;
    run(async {
        let (client, mut events, peer) = connect(TIGHT).await;
        let daemon = thread::spawn(|| echo(peer, TIGHT));
        for _ in 0..TASKS {
            let client = client.clone();
            tokio::spawn(async move {
                for _ in 0..MESSAGES {
                    let sent = client.send(Guarantee::Agreed, &[group("g")], &[1; 700]).await;
                    sent.expect("the daemon lives");
                }
                client.join(&[group("g")]).await.expect("the daemon lives");
            });
        }
        for number in 1..=TASKS * MESSAGES {
            let Some(Event::Message(message)) = events.recv().await else { panic!("a message") };
            assert_eq!(message.id.number, number);
        }
        while client.joined() != [(group("g"), 8)] {
            client.status_json().await.expect("the daemon lives");
        }
        drop((client, events));
        daemon.join().expect("the daemon's side");
    });
}

#[test]
fn a_daemon_that_is_not_there_is_named() {
    run(async {
        let daemon = Daemon::listen();
        let options = daemon.options();
        drop(daemon);
        let error = evs::tokio::connect(&options).await.expect_err("nobody");
        assert!(matches!(error, ConnectError::NoDaemon { .. }));
    });
}

#[test]
fn a_silent_daemon_is_given_up_in_time() {
    run(async {
        let daemon = Daemon::listen();
        let options = daemon.options().timeout(std::time::Duration::from_millis(20));
        let error = evs::tokio::connect(&options).await.expect_err("silence");
        assert!(matches!(error, ConnectError::TimedOut { .. }));
    });
}

/// D10: a daemon that waits for its replies to be read reads no requests; who waits for credit must
/// still take them.
#[test]
fn answers_are_taken_while_a_message_waits_for_credit() {
    run(async {
        let (client, _events, mut peer) = connect(COST).await;
        let mut status = pin!(client.status_json());
        assert!(poll_once(status.as_mut()).is_pending());
        let Some(ClientFrame::Status { request }) = peer.read() else { panic!("no request") };
        let groups = [group("x")];
        let mut sends: Vec<_> =
            (0..2).map(|_| Box::pin(client.send(Guarantee::Agreed, &groups, &BODY))).collect();
        assert!(sends.iter_mut().any(|send| poll_once(send.as_mut()).is_pending()), "credit");
        peer.say(&ServerFrame::StatusReply { request, json: "{}".to_owned() });
        let answer = tokio::time::timeout(std::time::Duration::from_secs(2), status).await;
        assert_eq!(answer.expect("the answer is taken").expect("a session"), "{}");
    });
}
