use super::*;

const LIMITS: Limits = Limits { datagrams: 64, segment: 1_000 };

fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// Peers at ports 1, 2, 3; the second is not heard.
fn peers() -> Vec<PeerAddress> {
    let peer = |port: u16| PeerAddress {
        node: NodeId::new(u32::from(port)).expect("not zero"),
        address: address(port),
        heard: port != 2,
        narrow: false,
    };
    (1..=3).map(peer).collect()
}

fn queue(datagrams: &[(To, usize)]) -> SendQueue {
    let mut queue = SendQueue::new(100_000);
    for (to, len) in datagrams {
        assert!(push(&mut queue, *to, *len));
    }
    queue
}

/// Each datagram is filled with the last digits of its length.
fn push(queue: &mut SendQueue, to: To, len: usize) -> bool {
    let write = |bytes: &mut Vec<u8>| {
        bytes.resize(bytes.len() + len, u8::try_from(len % 100).expect("below 100"));
        Ok::<_, ()>(())
    };
    queue.push(to, len, write).is_some()
}

/// Sends everything to a group; returns datagrams and bytes of each run.
fn runs(mut queue: SendQueue, limits: Limits) -> Vec<(usize, usize)> {
    let mut runs = Vec::new();
    let targets = Targets { peers: &[], group: Some(address(9)) };
    let all = queue.flush(&targets, limits, |_, bytes, run| {
        assert_eq!(bytes.len().div_ceil(run.segment), run.datagrams);
        runs.push((run.datagrams, bytes.len()));
        Sent::Done
    });
    assert!(all);
    assert_eq!(queue.len(), 0);
    runs
}

#[test]
fn neighbours_of_equal_size_leave_together_and_a_shorter_one_ends_the_run() {
    let queue = queue(&[(To::Heard, 100), (To::Heard, 100), (To::Heard, 60), (To::Heard, 60)]);
    assert_eq!(runs(queue, LIMITS), [(3, 260), (1, 60)]);
}

#[test]
fn a_longer_one_begins_a_new_run() {
    assert_eq!(runs(queue(&[(To::Heard, 60), (To::Heard, 100)]), LIMITS), [(1, 60), (1, 100)]);
}

#[test]
fn another_destination_ends_the_run() {
    let one = To::Address(address(1));
    let queue = queue(&[(To::Heard, 9), (one, 9), (one, 9), (To::Everybody, 9)]);
    assert_eq!(runs(queue, LIMITS), [(1, 9), (2, 18), (1, 9)]);
}

#[test]
fn a_run_keeps_to_its_limits() {
    let queue_of = |count, len| queue(&vec![(To::Heard, len); count]);
    let two = Limits { datagrams: 2, ..LIMITS };
    assert_eq!(runs(queue_of(5, 10), two), [(2, 20), (2, 20), (1, 10)]);
    assert_eq!(runs(queue_of(3, 1_001), LIMITS), [(1, 1_001), (1, 1_001), (1, 1_001)]);
    let many = Limits { datagrams: 128, ..LIMITS };
    assert_eq!(runs(queue_of(70, 1_000), many), [(65, 65_000), (5, 5_000)]);
}

#[test]
fn without_a_group_each_peer_is_served_those_that_are_not_heard_with_hellos_only() {
    let peers = peers();
    let targets = Targets { peers: &peers, group: None };
    let mut queue = queue(&[(To::Heard, 10), (To::Everybody, 11), (To::Address(address(2)), 12)]);
    let mut sent = Vec::new();
    queue.flush(&targets, LIMITS, |to, bytes, _| {
        sent.push((to.port(), bytes.len()));
        Sent::Done
    });
    assert_eq!(sent, [(1, 10), (3, 10), (1, 11), (2, 11), (3, 11), (2, 12)]);
}

#[test]
fn what_a_busy_socket_left_over_is_sent_later_once_to_each_and_in_order() {
    let peers = peers();
    let targets = Targets { peers: &peers, group: None };
    for free in 0..12 {
        let mut queue = queue(&[(To::Everybody, 10), (To::Everybody, 10), (To::Everybody, 20)]);
        let mut sent = vec![Vec::new(); 4];
        let mut calls = 0;
        let mut send = |to: SocketAddr, bytes: &[u8], run: &Run, free: usize| {
            if calls == free {
                return Sent::Busy;
            }
            calls += 1;
            sent[usize::from(to.port())].extend(bytes.chunks(run.segment).map(<[u8]>::len));
            Sent::Done
        };
        let first = queue.flush(&targets, LIMITS, |to, bytes, run| send(to, bytes, run, free));
        assert_eq!(first, free >= 6, "{free}");
        // It would fit the run that has begun, which some have got already.
        assert!(push(&mut queue, To::Everybody, 10));
        assert!(queue.flush(&targets, LIMITS, |to, bytes, run| send(to, bytes, run, usize::MAX)));
        for lengths in &sent[1..] {
            assert_eq!(*lengths, [10, 10, 20, 10], "busy after {free}");
        }
    }
}

#[test]
fn a_full_queue_takes_no_more_until_something_has_left() {
    let targets = Targets { peers: &[], group: Some(address(9)) };
    let mut queue = queue(&[(To::Heard, 60_000), (To::Everybody, 40_000)]);
    assert!(!push(&mut queue, To::Heard, 1));
    let mut calls = 0;
    let all = queue.flush(&targets, LIMITS, |_, _, _| {
        calls += 1;
        if calls == 1 { Sent::Done } else { Sent::Busy }
    });
    assert!(!all);
    assert!(push(&mut queue, To::Heard, 60_000));
    assert!(!push(&mut queue, To::Heard, 1));
    assert_eq!(runs(queue, LIMITS), [(1, 40_000), (1, 60_000)]);
}

#[test]
fn a_datagram_that_cannot_be_written_is_not_queued() {
    let mut queue = SendQueue::new(10);
    let write = |bytes: &mut Vec<u8>| {
        bytes.push(1);
        Err(3)
    };
    assert_eq!(queue.push(To::Heard, 5, write), Some(Err(3)));
    assert_eq!(queue.len(), 0);
    assert!(push(&mut queue, To::Heard, 10), "its bytes are gone");
}
