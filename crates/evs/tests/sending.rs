//! Sending: ids, limits, credit, and the way to wait for room. Requests and their answers.

mod support;

use std::io::IoSlice;
use std::thread;
use std::time::{Duration, Instant};

use evs::{Client, Closed, Guarantee, RequestError, SendError, Target};
use evs_ipc::shm::Sleep;
use evs_ipc::{ClientFrame, Outcome, ReadOutcome, ServerFrame, socket};
use evs_model::send_cost;
use support::{
    CREDIT, CREDITS, Daemon, MESSAGE_BYTES_MAX, MORE_THAN_FITS, PATIENCE, Peer, group, is_readable,
    processor, wait_until_readable,
};

fn connected() -> (Client, Peer) {
    Daemon::listen().connect()
}

/// A client that may have so many messages of 100 bytes on their way.
fn with_room_for(messages: u64) -> (Client, Peer) {
    let daemon = Daemon::listen();
    daemon.connect_with(&daemon.options(), messages * COST)
}

const BODY: [u8; 100] = [b'x'; 100];
const COST: u64 = send_cost(BODY.len(), 1) as u64;

#[test]
fn messages_are_numbered_in_the_order_of_sending() {
    let (client, mut peer) = connected();
    let groups = [group("a"), group("b")];
    for number in 1..=3 {
        let id = client.send(Guarantee::Safe, &groups, b"body").expect("room");
        assert_eq!((id.sender, id.client, id.number), (processor(1), client.client_id(), number));
        let (guarantee, sent_to, body) = peer.read_send();
        assert_eq!(guarantee, Guarantee::Safe);
        assert!(sent_to.iter().eq(groups));
        assert_eq!(&body[..], b"body");
    }
}

#[test]
fn the_size_limit_is_kept_before_a_byte_is_sent() {
    let (client, mut peer) = connected();
    let body = vec![7; MESSAGE_BYTES_MAX + 1];
    let limit = MESSAGE_BYTES_MAX;
    let too_big = SendError::TooBig { bytes: limit + 1, limit };
    assert_eq!(client.send(Guarantee::Agreed, &[group("g")], &body), Err(too_big.clone()));
    assert_eq!(client.try_send(Guarantee::Agreed, &[group("g")], &body), Err(too_big));
    thread::scope(|scope| {
        scope.spawn(|| client.send(Guarantee::Agreed, &[group("g")], &body[1..]).expect("fits"));
        assert_eq!(peer.read_send().2.len(), limit);
    });
}

#[test]
fn the_limit_of_groups_is_kept() {
    let (client, mut peer) = connected();
    let groups = vec![group("g"); 1025];
    let too_many = SendError::TooManyGroups { count: 1025 };
    assert_eq!(client.send(Guarantee::Agreed, &groups, b""), Err(too_many));
    client.send(Guarantee::Agreed, &groups[1..], b"").expect("at the limit");
    assert_eq!(peer.read_send().1.len(), 1024);
    let too_many = client.join(&groups).expect_err("too many in one call");
    assert!(matches!(too_many, RequestError::TooManyGroups { per_request: 1024, joined: 4096 }));
}

#[test]
fn no_groups_and_no_body_are_a_message() {
    let (client, mut peer) = connected();
    client.send(Guarantee::Unordered, &[], b"").expect("room");
    client.send_joined(Guarantee::Fifo, b"").expect("room");
    for expected in [Guarantee::Unordered, Guarantee::Fifo] {
        let (guarantee, groups, body) = peer.read_send();
        assert_eq!((guarantee, groups.len(), body.len()), (expected, 0, 0));
    }
}

#[test]
fn a_body_in_many_parts_is_one_message() {
    let (client, mut peer) = connected();
    let parts: Vec<Vec<u8>> = (0..=255).map(|i| vec![i; usize::from(i % 5)]).collect();
    let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let target = [group("g")];
    client.send_vectored(Guarantee::Agreed, Target::Groups(&target), &slices).expect("room");
    client.send_vectored(Guarantee::Agreed, Target::Groups(&target), &[]).expect("room");
    assert_eq!(peer.read_send().2, parts.concat());
    assert_eq!(peer.read_send().2.len(), 0);
}

#[test]
fn a_full_queue_refuses_until_credit_comes_back() {
    let (client, peer) = with_room_for(3);
    let room = client.room_fd().expect("a descriptor");
    assert!(is_readable(room));
    for _ in 0..3 {
        client.try_send(Guarantee::Agreed, &[group("g")], &BODY).expect("room");
    }
    assert!(is_readable(room));
    for _ in 0..2 {
        let full = client.try_send(Guarantee::Agreed, &[group("g")], &BODY);
        assert_eq!(full, Err(SendError::QueueFull));
        assert!(!is_readable(room));
    }
    peer.say(&ServerFrame::Credit { bytes: COST });
    wait_until_readable(room);
    let id = client.try_send(Guarantee::Agreed, &[group("g")], &BODY).expect("room again");
    assert_eq!(id.number, 4);
    let full = client.try_send(Guarantee::Agreed, &[group("g")], &BODY);
    assert_eq!(full, Err(SendError::QueueFull));
    assert!(!is_readable(room));
}

/// D11: credit that comes in the very moment of a refusal is not missed.
#[test]
fn credit_that_crosses_a_refusal_opens_the_room() {
    const MESSAGES: u64 = 20_000;
    let (client, mut peer) = with_room_for(1);
    let room = client.room_fd().expect("a descriptor");
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..MESSAGES {
                peer.read_send();
                peer.say(&ServerFrame::Credit { bytes: COST });
            }
        });
        let mut refused = 0;
        for _ in 0..MESSAGES {
            while client.try_send(Guarantee::Agreed, &[group("g")], &BODY).is_err() {
                refused += 1;
                wait_until_readable(room);
            }
        }
        assert!(refused > 0);
    });
}

#[test]
fn room_that_came_before_anybody_watched_shows() {
    let (client, peer) = with_room_for(1);
    client.try_send(Guarantee::Agreed, &[group("g")], &BODY).expect("room");
    let full = client.try_send(Guarantee::Agreed, &[group("g")], &BODY);
    assert_eq!(full, Err(SendError::QueueFull));
    let room = client.room_fd().expect("a descriptor");
    assert!(!is_readable(room));
    peer.say(&ServerFrame::Credit { bytes: COST });
    wait_until_readable(room);
}

#[test]
fn credit_that_another_call_read_opens_the_room_too() {
    let (client, mut peer) = with_room_for(1);
    let room = client.room_fd().expect("a descriptor");
    client.try_send(Guarantee::Agreed, &[group("g")], &BODY).expect("room");
    let full = client.try_send(Guarantee::Agreed, &[group("g")], &BODY);
    assert_eq!(full, Err(SendError::QueueFull));
    thread::scope(|scope| {
        scope.spawn(|| client.join(&[group("g")]).expect("done"));
        peer.read_send();
        peer.say(&ServerFrame::Credit { bytes: COST });
        peer.answer(Outcome::Done);
    });
    assert!(is_readable(room));
}

#[test]
fn a_blocked_send_goes_on_when_credit_comes_back() {
    let (client, mut peer) = with_room_for(1);
    client.send(Guarantee::Agreed, &[group("g")], &BODY).expect("room");
    thread::scope(|scope| {
        let blocked = scope.spawn(|| client.send(Guarantee::Agreed, &[group("g")], &BODY));
        peer.read_send();
        peer.say(&ServerFrame::Credit { bytes: COST });
        peer.read_send();
        assert_eq!(blocked.join().expect("no panic").expect("room").number, 2);
    });
}

#[test]
fn with_nothing_outstanding_any_allowed_size_fits() {
    let daemon = Daemon::listen();
    let (client, mut peer) = daemon.connect_with(&daemon.options(), 1000);
    let large = vec![1; 5000];
    client.try_send(Guarantee::Agreed, &[group("g")], &large).expect("nothing is outstanding");
    assert_eq!(peer.read_send().2.len(), 5000);
    let full = client.try_send(Guarantee::Agreed, &[group("g")], b"");
    assert_eq!(full, Err(SendError::QueueFull));
    peer.say(&ServerFrame::Credit { bytes: send_cost(5000, 1) as u64 });
    wait_until_readable(client.room_fd().expect("a descriptor"));
    client.try_send(Guarantee::Agreed, &[group("g")], &large).expect("nothing is outstanding");
}

#[test]
fn a_small_message_does_not_overtake_a_large_one_that_waits() {
    let (client, mut peer) = with_room_for(2);
    let large = [0; 2 * BODY.len()];
    client.send(Guarantee::Agreed, &[group("g")], &BODY).expect("room");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.send(Guarantee::Agreed, &[group("g")], &large));
        peer.read_send();
        // The small one would fit; it is refused as soon as the large one waits.
        let deadline = Instant::now() + PATIENCE;
        let mut sent = 1;
        while let Ok(id) = client.try_send(Guarantee::Agreed, &[group("g")], b"") {
            if Instant::now() >= deadline {
                client.close();
                panic!("the small ones overtake");
            }
            sent = id.number;
            peer.read_send();
            peer.say(&ServerFrame::Credit { bytes: send_cost(0, 1) as u64 });
        }
        peer.say(&ServerFrame::Credit { bytes: COST });
        assert_eq!(peer.read_send().2.len(), large.len());
        assert_eq!(waiting.join().expect("no panic").expect("room").number, sent + 1);
    });
}

#[test]
fn large_messages_arrive_whole_and_one_after_the_other() {
    let (client, mut peer) = connected();
    let bodies: Vec<_> = (1..=3).map(|i| vec![i; MESSAGE_BYTES_MAX]).collect();
    thread::scope(|scope| {
        let senders: Vec<_> = bodies
            .iter()
            .map(|body| scope.spawn(|| client.send(Guarantee::Agreed, &[group("g")], body)))
            .collect();
        let mut received: Vec<_> = (0..3).map(|_| peer.read_send().2).collect();
        received.sort_unstable();
        assert!(received == bodies);
        let numbers = senders
            .into_iter()
            .map(|sender| sender.join().expect("no panic").expect("room").number);
        assert_eq!(numbers.sum::<u64>(), 6);
    });
}

/// D10: who waits for credit reads what else the daemon says, which may write no more before that.
#[test]
fn a_send_that_waits_reads() {
    let daemon = Daemon::listen();
    let (client, mut peer) = daemon.connect();
    let body = vec![1; MESSAGE_BYTES_MAX];
    let mut sent = 0;
    while client.try_send(Guarantee::Agreed, &[group("g")], &body).is_ok() {
        sent += 1;
    }
    let reading = thread::spawn(move || {
        // Credit is given back for what was read.
        let mut bytes = peer.read_send().2.len();
        peer.say_more_than_fits();
        let mut said = CREDITS as u64;
        for _ in 1..MORE_THAN_FITS {
            bytes += peer.read_send().2.len();
            peer.say(&ServerFrame::Credit { bytes: MESSAGE_BYTES_MAX as u64 - said });
            said = 0;
        }
        bytes
    });
    for _ in sent..MORE_THAN_FITS {
        client.send(Guarantee::Agreed, &[group("g")], &body).expect("the daemon's side gets on");
    }
    assert_eq!(reading.join().expect("no panic"), MORE_THAN_FITS * body.len());
}

/// D17: whatever its size, and wherever the daemon stands still, a message is handed over whole at
/// once, or refused.
#[test]
fn no_send_waits_for_a_daemon_that_stands_still() {
    let (client, peer) = connected();
    let body = vec![1; MESSAGE_BYTES_MAX];
    for _ in 0..CREDIT / (1 << 20) - 1 {
        client.try_send(Guarantee::Agreed, &[group("g")], &body).expect("credit");
    }
    let full = client.try_send(Guarantee::Agreed, &[group("g")], &body);
    assert_eq!(full, Err(SendError::QueueFull));
    drop(peer);
    let closed = client.try_send(Guarantee::Agreed, &[group("g")], &body);
    assert_eq!(closed, Err(SendError::Closed(Closed)));
}

/// What the daemon has not seen when it takes no more is refused; what was accepted, it finds.
#[test]
fn a_message_that_is_accepted_is_there_when_the_daemon_takes_no_more() {
    let (client, mut peer) = connected();
    for _ in 0..3 {
        client.try_send(Guarantee::Agreed, &[group("g")], &BODY).expect("room");
    }
    peer.channel.consumer.close();
    let late = client.try_send(Guarantee::Agreed, &[group("g")], &BODY);
    assert_eq!(late, Err(SendError::Closed(Closed)));
    for _ in 0..3 {
        assert!(matches!(peer.try_read(), Some(ClientFrame::Send { .. })));
    }
}

/// A daemon that is awake is not rung for, and one that sleeps once.
#[test]
fn the_bell_rings_once_for_a_daemon_that_sleeps() {
    let (client, mut peer) = connected();
    client.try_send(Guarantee::Agreed, &[group("g")], &BODY).expect("room");
    assert!(!is_readable(&peer.bell));
    peer.read_send();
    assert_eq!(peer.channel.consumer.sleep(), Sleep::Asleep);
    for _ in 0..3 {
        client.try_send(Guarantee::Agreed, &[group("g")], &BODY).expect("room");
    }
    assert_eq!(socket::heard(&peer.bell, false).expect("a socket"), ReadOutcome::Bytes(1));
}

/// A daemon that was awake when it was killed has nobody to say so.
#[test]
fn a_dead_daemon_that_was_awake_closes_a_send() {
    let daemon = Daemon::listen();
    // Far more than is sent here: it is not for want of credit that the daemon is missed.
    let (client, peer) = daemon.connect_with(&daemon.options(), 512 << 20);
    drop(peer);
    let mut sends = (0..1_000_000).map(|_| client.try_send(Guarantee::Agreed, &[group("g")], b""));
    let error = sends.find_map(Result::err).expect("somebody looks");
    assert_eq!(error, SendError::Closed(Closed));
}

#[test]
fn a_dead_daemon_closes_every_send() {
    let (client, mut peer) = with_room_for(1);
    client.send(Guarantee::Agreed, &[group("g")], &BODY).expect("room");
    thread::scope(|scope| {
        let blocked: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| client.send(Guarantee::Agreed, &[group("g")], &BODY)))
            .collect();
        let asking = scope.spawn(|| client.join(&[group("g")]));
        peer.read_send();
        assert!(matches!(peer.read(), Some(ClientFrame::Join { .. })));
        drop(peer);
        for blocked in blocked {
            assert_eq!(blocked.join().expect("no panic"), Err(SendError::Closed(Closed)));
        }
        assert_eq!(asking.join().expect("no panic"), Err(RequestError::Closed(Closed)));
    });
    let closed = SendError::Closed(Closed);
    assert_eq!(client.send(Guarantee::Agreed, &[group("g")], b""), Err(closed.clone()));
    assert_eq!(client.try_send(Guarantee::Agreed, &[group("g")], b""), Err(closed));
    assert!(is_readable(client.room_fd().expect("a descriptor")));
}

#[test]
fn the_joined_groups_are_those_that_the_daemon_confirmed() {
    let (client, mut peer) = connected();
    let (a, b) = (group("a"), group("b"));
    thread::scope(|scope| {
        scope.spawn(|| {
            for outcome in [
                Outcome::Done,
                Outcome::TooManyGroups,
                Outcome::NotJoined,
                Outcome::Leaving,
                Outcome::Done,
            ] {
                peer.answer(outcome);
            }
            assert!(peer.read_send().1.iter().eq([a, b]));
        });
        client.join(&[a, b, a]).expect("done");
        let error = client.join(&[group("c")]).expect_err("refused");
        assert!(matches!(error, RequestError::TooManyGroups { joined: 4096, .. }));
        assert_eq!(client.leave(&[a, group("x")]), Err(RequestError::NotJoined));
        assert_eq!(client.join(&[a]), Err(RequestError::Leaving));
        assert_eq!(client.joined(), [(a, 2), (b, 1)]);
        client.leave(&[a]).expect("done");
        assert_eq!(client.joined(), [(a, 1), (b, 1)]);
        client.send_joined(Guarantee::Agreed, b"").expect("room");
    });
}

#[test]
fn an_answer_that_comes_late_still_counts() {
    let daemon = Daemon::listen();
    let options = daemon.options().request_timeout(Duration::from_millis(20));
    let (client, mut peer) = daemon.connect_with(&options, CREDIT);
    let late = client.join(&[group("g")]);
    assert!(matches!(late, Err(RequestError::TimedOut { .. })));
    assert!(client.joined().is_empty());
    peer.answer(Outcome::Done);
    // The next request reads the answer of the first.
    assert!(matches!(client.join(&[group("h")]), Err(RequestError::TimedOut { .. })));
    assert_eq!(client.joined(), [(group("g"), 1)]);
}

/// D17: a daemon that stood still answers later, and nobody asks for the answers any more.
#[test]
fn answers_that_come_late_make_room_for_other_requests() {
    let daemon = Daemon::listen();
    let options = daemon.options().request_timeout(Duration::from_millis(1));
    let (client, mut peer) = daemon.connect_with(&options, CREDIT);
    let join = || client.join(&[group("g")]);
    let mut last = 0;
    while matches!(join(), Err(RequestError::TimedOut { .. })) {
        let Some(ClientFrame::Join { request, .. }) = peer.read() else { panic!("no join") };
        last = request;
    }
    assert!(matches!(join(), Err(RequestError::TooManyRequests(_))));
    peer.say(&ServerFrame::Done { request: last, outcome: Outcome::Done });
    // It reads the answers of the others.
    assert!(matches!(join(), Err(RequestError::TimedOut { .. })));
    assert!(!client.joined().is_empty());
}

#[test]
fn status_is_what_the_daemon_says() {
    let (client, mut peer) = connected();
    let json = format!("{{\"filler\":\"{}\"}}", "x".repeat(500_000));
    thread::scope(|scope| {
        scope.spawn(|| {
            let Some(ClientFrame::Status { request }) = peer.read() else { panic!("a request") };
            peer.say(&ServerFrame::StatusReply { request, json: json.clone() });
        });
        assert!(client.status_json().expect("answered") == json);
    });
}

#[test]
fn an_answer_that_fits_no_request_ends_the_session() {
    let (client, peer) = connected();
    peer.say(&ServerFrame::Done { request: 77, outcome: Outcome::Done });
    assert_eq!(client.join(&[group("g")]), Err(RequestError::Closed(Closed)));
    let credit = ServerFrame::Credit { bytes: 1 };
    let (client, peer) = connected();
    peer.say(&credit);
    assert_eq!(client.join(&[group("g")]), Err(RequestError::Closed(Closed)));
}
