use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::BytesMut;
use rustix::fs::{SealFlags, fcntl_get_seals, ftruncate};

use super::*;

const LIMIT: usize = 40_000;
const LIMIT_U32: u32 = 40_000;

/// The daemon's side and the client's.
fn pair() -> (Channel, Channel) {
    let sizes = Sizes::for_bytes(1, 1);
    let (daemon, file) = Channel::create(sizes).expect("memory");
    (daemon, Channel::open(file, sizes).expect("the same"))
}

fn frame(bytes: usize, seed: u8) -> Vec<u8> {
    let mut frame = u32::try_from(bytes).expect("small").to_le_bytes().to_vec();
    frame.extend((0..=u8::MAX).cycle().take(bytes).map(|i| i.wrapping_mul(31).wrapping_add(seed)));
    frame
}

#[test]
fn frames_of_any_length_go_round_and_round() {
    let (mut daemon, mut client) = pair();
    let (mut memory, mut waiting) = (BytesMut::new(), std::collections::VecDeque::new());
    let mut sent = 0_usize;
    for round in 0..3000_usize {
        let bytes = 1 + (round * 7919) % 9000;
        let wanted = frame(bytes, (round % 256).try_into().expect("a byte"));
        let (front, back) = wanted.split_at(bytes / 2);
        if daemon.producer.push([front, back]).expect("honest") {
            waiting.push_back(wanted);
            sent += 1;
        }
        // It stays behind, so that the ring is never empty and nothing begins anew.
        while waiting.len() > 1 && (round % 3 == 0 || waiting.len() > 8) {
            let read = client.consumer.copy_next(&mut memory, LIMIT).expect("honest");
            let read = read.expect("some wait");
            let wanted = waiting.pop_front().expect("some wait");
            assert_eq!((read.kind, &read.fields[..]), (wanted[4], &wanted[5..]));
        }
    }
    assert!(sent > 2000, "{sent}");
}

#[test]
fn a_frame_that_does_not_fit_is_refused_and_one_that_fills_the_ring_is_not() {
    let (mut daemon, mut client) = pair();
    let capacity = usize::try_from(daemon.producer.capacity()).expect("small");
    let all = frame(capacity - 4, 1);
    assert_eq!(daemon.producer.push([&frame(capacity - 3, 1)[..]]), Ok(false));
    assert_eq!(daemon.producer.push([&all[..]]), Ok(true));
    assert_eq!(daemon.producer.used(), Ok(capacity as u64));
    assert_eq!(daemon.producer.push([&frame(1, 1)[..]]), Ok(false));
    let lent = client.consumer.lend_next(capacity).expect("honest").expect("one");
    assert_eq!(&lent[..], &all[4..]);
    assert_eq!(daemon.producer.push([&frame(1, 1)[..]]), Ok(false), "it is still read");
    client.consumer.give_back(lent);
    assert_eq!(daemon.producer.push([&frame(1, 1)[..]]), Ok(true));
}

/// A client that keeps up keeps its daemon in the same few pages.
#[test]
fn a_ring_that_was_emptied_begins_at_its_beginning() {
    let (mut daemon, mut client) = pair();
    let mut places = std::collections::BTreeSet::new();
    for round in 0..100 {
        assert_eq!(daemon.producer.push([&frame(5000, round)[..]]), Ok(true));
        let lent = client.consumer.lend_next(LIMIT).expect("honest").expect("one");
        places.insert(lent.as_ptr());
        client.consumer.give_back(lent);
    }
    assert_eq!(places.len(), 1);
}

/// C programs lay structures over a message, whose body comes 64 bytes and its groups' keys after
/// the beginning of its frame.
#[test]
fn frames_are_aligned() {
    let (mut daemon, mut client) = pair();
    for bytes in 1..40 {
        assert_eq!(daemon.producer.push([&frame(bytes, 0)[..]]), Ok(true));
    }
    while let Some(lent) = client.consumer.lend_next(LIMIT).expect("honest") {
        assert_eq!(lent.as_ptr() as usize % 16, 4);
        client.consumer.give_back(lent);
    }
}

#[test]
fn the_memory_cannot_be_taken_away() {
    let sizes = Sizes::for_bytes(1, 1);
    let (_daemon, file) = Channel::create(sizes).expect("memory");
    let seals = fcntl_get_seals(&file).expect("it can be sealed");
    assert!(seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL));
    assert!(ftruncate(&file, 0).is_err() && ftruncate(&file, 1 << 30).is_err());
}

#[test]
fn a_file_that_is_not_the_daemons_is_not_opened() {
    let sizes = Sizes::for_bytes(1 << 20, 1 << 20);
    let (_daemon, file) = Channel::create(sizes).expect("memory");
    assert!(Channel::open(&file, Sizes::for_bytes(1 << 20, 2 << 20)).is_err(), "shorter");
    let unsealed = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).expect("a file");
    ftruncate(&unsealed, rustix::fs::fstat(&file).expect("a file").st_size as u64)
        .expect("it grows");
    assert!(Channel::open(&unsealed, sizes).is_err(), "unsealed");
    assert!(Channel::open(std::io::stdin().as_fd(), sizes).is_err(), "no file");
}

/// The words of the client's producer, as a client that breaks the rules writes them.
fn forge(client: &Channel, head: u64, base: u64) {
    client.producer.forge(head, base);
}

#[test]
fn heads_that_cannot_be_are_broken() {
    for head in [8, 1 << 17, u64::MAX - 15, 1 << 63] {
        let (mut daemon, client) = pair();
        forge(&client, head, 0);
        let read = daemon.consumer.copy_next(&mut BytesMut::new(), LIMIT);
        assert_eq!(read, Err(Broken::Head { head, next: 0 }));
    }
}

#[test]
fn lengths_that_cannot_be_are_broken() {
    for bytes in [0, 13, LIMIT_U32, u32::MAX, u32::MAX - 4] {
        let (mut daemon, mut client) = pair();
        let mut lies = bytes.to_le_bytes().to_vec();
        lies.extend([1; 12]);
        assert_eq!(client.producer.push([&lies[..]]), Ok(true));
        let read = daemon.consumer.copy_next(&mut BytesMut::new(), LIMIT);
        assert!(matches!(read, Err(Broken::Length { .. })), "{read:?}");
    }
}

#[test]
fn a_frame_at_the_limit_is_taken_and_one_byte_more_is_broken() {
    let (mut daemon, mut client) = pair();
    let mut memory = BytesMut::new();
    assert_eq!(client.producer.push([&frame(LIMIT - 4, 1)[..]]), Ok(true));
    assert!(matches!(daemon.consumer.copy_next(&mut memory, LIMIT), Ok(Some(_))));
    assert_eq!(client.producer.push([&frame(LIMIT - 3, 1)[..]]), Ok(true));
    let read = daemon.consumer.copy_next(&mut memory, LIMIT);
    assert!(matches!(read, Err(Broken::Length { .. })), "{read:?}");
}

#[test]
fn tails_that_cannot_be_are_broken() {
    for tail in [1, 16, 1 << 40, 1 << 63] {
        let (mut daemon, client) = pair();
        client.consumer.forge(tail, 0);
        let broken = Err(Broken::Tail { tail, head: 0 });
        assert_eq!(daemon.producer.push([&frame(8, 0)[..]]), broken);
    }
}

/// Whatever the base says, what is read lies in the ring.
#[test]
fn a_base_that_cannot_be_reads_garbage_from_the_ring() {
    for base in [1, 7, 16, 1 << 16, (1 << 16) + 5, u64::MAX, u64::MAX - 15, 1 << 63] {
        let (mut daemon, mut client) = pair();
        while client.producer.push([&frame(100, 3)[..]]).expect("honest") {}
        let written = daemon.consumer.written();
        forge(&client, written, base);
        while let Ok(Some(_)) = daemon.consumer.copy_next(&mut BytesMut::new(), LIMIT) {}
    }
}

/// A client that changes everything while the daemon reads: the daemon gets some bytes or none, and
/// each frame is as long as it was found to be.
#[test]
fn a_client_that_scribbles_while_it_is_read_only_gets_garbage_read() {
    let (mut daemon, mut client) = pair();
    while client.producer.push([&frame(1000, 3)[..]]).expect("honest") {}
    let head = daemon.consumer.written();
    let (ready, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for seed in (0_u64..).map(|seed| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
                client.producer.scribble(seed);
                let (lie, lie_too) = (seed % 64 == 1, seed % 16 == 2);
                forge(&client, if lie { seed << 4 } else { head }, if lie_too { seed } else { 0 });
                ready.store(true, Ordering::Relaxed);
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        while !ready.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        let (mut memory, mut frames, mut broken) = (BytesMut::new(), 0, 0);
        for round in 0.. {
            if round >= 2000 && (round >= 2_000_000 || (frames > 0 && broken > 0)) {
                break;
            }
            daemon.consumer.begin_anew();
            loop {
                match daemon.consumer.copy_next(&mut memory, LIMIT) {
                    Ok(Some(frame)) => {
                        assert!(frame.fields.len() < LIMIT);
                        frames += 1;
                    }
                    Ok(None) => break,
                    Err(_) => {
                        broken += 1;
                        break;
                    }
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(frames > 0 && broken > 0, "{frames} frames, {broken} times broken");
    });
}

#[test]
fn a_sleeper_is_rung_once_and_one_who_is_awake_never() {
    let (mut daemon, mut client) = pair();
    assert_eq!(daemon.producer.bell(), Bell::Quiet);
    assert_eq!(client.consumer.sleep(), Sleep::Asleep);
    assert_eq!(daemon.producer.bell(), Bell::Quiet, "nothing was written");
    for expected in [Bell::Ring, Bell::Quiet] {
        assert_eq!(daemon.producer.push([&frame(8, 0)[..]]), Ok(true));
        assert_eq!(daemon.producer.bell(), expected);
    }
    assert_eq!(client.consumer.sleep(), Sleep::Awake, "two are there");
    assert_eq!(daemon.producer.push([&frame(8, 0)[..]]), Ok(true));
    assert_eq!(daemon.producer.bell(), Bell::Quiet);
    client.consumer.close();
    assert_eq!(daemon.producer.bell(), Bell::Closed);
}
