//! Frames over byte streams: cutting, queueing, and the bounds of both.

use std::os::fd::OwnedFd;

use bytes::Bytes;
use evs_ipc::{
    ClientFrame, DecodeError, EncodeFrame, Flush, FrameReader, OutQueue, QueueFull, ReadOutcome,
    ServerFrame, socket,
};
use evs_model::{Groups, Guarantee};
use proptest::collection::vec;
use proptest::prelude::*;

fn send(body: impl Into<Bytes>) -> ClientFrame {
    ClientFrame::Send { guarantee: Guarantee::Agreed, groups: Groups::default(), body: body.into() }
}

fn encoded(frame: &impl EncodeFrame) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&mut out);
    out
}

fn pair() -> (OwnedFd, OwnedFd) {
    socket::pair().expect("descriptors")
}

/// Reads frames until nothing is there.
fn read_all(reader: &mut FrameReader, socket: &OwnedFd) -> Vec<ClientFrame> {
    let mut frames = Vec::new();
    loop {
        while let Some(frame) = reader.next_frame().expect("well-formed") {
            frames.push(ClientFrame::decode(frame).expect("well-formed"));
        }
        match reader.read_from(socket).expect("a socket") {
            ReadOutcome::Bytes(_) => {}
            ReadOutcome::Blocked | ReadOutcome::Closed => return frames,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// D12.
    #[test]
    fn frames_come_out_however_the_bytes_come_in(
        sizes in vec(0..30_000_usize, 1..30),
        cuts in vec(prop_oneof![Just(1_usize), 1..20_000_usize], 1..30),
    ) {
        let frames: Vec<_> = sizes.iter().map(|size| send(vec![7; *size])).collect();
        let bytes: Vec<u8> = frames.iter().flat_map(encoded).collect();
        let mut reader = FrameReader::new(40_000);
        let mut received = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            reader.feed(now);
            while reader.has_frame() {
                let frame = reader.next_frame().expect("well-formed").expect("it has one");
                received.push(ClientFrame::decode(frame).expect("well-formed"));
            }
            prop_assert_eq!(reader.next_frame(), Ok(None));
            prop_assert!(reader.buffer_bytes() <= 40_000 + 2 * FrameReader::CHUNK_BYTES);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(received, frames);
        prop_assert!(!reader.is_inside_frame());
    }

    #[test]
    fn a_queue_writes_what_was_pushed(sizes in vec(0..40_000_usize, 1..60)) {
        let (ours, theirs) = pair();
        let mut queue = OutQueue::new(usize::MAX);
        let mut reader = FrameReader::new(50_000);
        let frames: Vec<_> = sizes.iter().map(|size| send(vec![9; *size])).collect();
        let mut received = Vec::new();
        for frame in &frames {
            queue.push(frame).expect("no limit");
            if queue.bytes() > 100_000 {
                queue.write_to(&ours).expect("connected");
                received.extend(read_all(&mut reader, &theirs));
            }
        }
        while queue.write_to(&ours).expect("connected") == Flush::Blocked {
            received.extend(read_all(&mut reader, &theirs));
        }
        received.extend(read_all(&mut reader, &theirs));
        prop_assert!(queue.is_empty());
        prop_assert_eq!(received, frames);
    }

    #[test]
    fn random_streams_never_panic_and_stay_within_their_bound(
        chunks in vec(vec(any::<u8>(), 0..200), 0..40),
    ) {
        let mut reader = FrameReader::new(10_000);
        for chunk in chunks {
            reader.feed(&chunk);
            prop_assert!(reader.buffer_bytes() <= 10_000 + 2 * FrameReader::CHUNK_BYTES);
            loop {
                match reader.next_frame() {
                    Ok(Some(frame)) => {
                        let _ = ClientFrame::decode(frame);
                    }
                    Ok(None) => break,
                    Err(_) => return Ok(()),
                }
            }
        }
    }
}

#[test]
fn a_frame_at_the_limit_is_read_and_one_byte_more_is_refused() {
    let frame = encoded(&send(vec![1; 1000]));
    let mut reader = FrameReader::new(frame.len());
    reader.feed(&frame);
    assert!(reader.next_frame().expect("at the limit").is_some());

    let mut reader = FrameReader::new(frame.len() - 1);
    reader.feed(&frame[..4]);
    let too_long =
        DecodeError::TooLong { field: "a frame", bytes: frame.len(), limit: frame.len() - 1 };
    assert!(reader.has_frame());
    assert_eq!(reader.next_frame(), Err(too_long.clone()));
    assert_eq!(reader.next_frame(), Err(too_long));
}

#[test]
fn a_frame_without_a_kind_is_refused() {
    let mut reader = FrameReader::new(100);
    reader.feed(&[0; 4]);
    assert!(reader.has_frame());
    assert_eq!(reader.next_frame(), Err(DecodeError::Empty));
}

#[test]
fn memory_follows_the_bytes_that_came_not_the_length_that_was_claimed() {
    let mut reader = FrameReader::new(16 << 20);
    reader.feed(&(15_u32 << 20).to_le_bytes());
    reader.feed(&[4; 1000]);
    assert!(reader.buffer_bytes() <= FrameReader::CHUNK_BYTES);
    reader.feed(&[4; 100_000]);
    assert!(reader.buffer_bytes() <= 4 * 101_004);
}

#[test]
fn a_queue_is_bounded_in_bytes() {
    let frame = send(vec![0; 100]);
    let bytes = frame.encoded_len();
    let mut queue = OutQueue::new(2 * bytes);
    queue.push(&frame).expect("room");
    queue.push(&frame).expect("at the limit");
    let full = QueueFull { frame_bytes: bytes, queued_bytes: 2 * bytes, bytes_max: 2 * bytes };
    assert_eq!(queue.push(&frame), Err(full));
    assert_eq!(queue.bytes(), 2 * bytes);
}

#[test]
fn the_last_frame_fits_a_full_queue_and_seals_it() {
    let frame = send(vec![0; 100]);
    let mut queue = OutQueue::new(frame.encoded_len());
    queue.push(&frame).expect("room");
    queue.push_last(&ServerFrame::Credit { bytes: 1 });
    let bytes = queue.bytes();
    assert!(bytes > frame.encoded_len());
    queue.push_last(&ServerFrame::Credit { bytes: 2 });
    assert_eq!(queue.bytes(), bytes);
    let (ours, _theirs) = pair();
    assert_eq!(queue.write_to(&ours).expect("connected"), Flush::Done);
    assert!(queue.push(&frame).is_err(), "sealed, though empty");
}

#[test]
fn many_small_frames_take_few_system_calls() {
    let (ours, theirs) = pair();
    let mut queue = OutQueue::new(1 << 20);
    for _ in 0..1000 {
        queue.push(&ServerFrame::Credit { bytes: 1 }).expect("room");
    }
    assert_eq!(queue.write_to(&ours).expect("connected"), Flush::Done);
    // One read brings what one write took.
    let mut reader = FrameReader::new(100);
    let first = reader.read_from(&theirs).expect("connected");
    assert_eq!(first, ReadOutcome::Bytes(13_000));
}

#[test]
fn a_peer_that_is_gone_is_an_error_to_writers_and_an_end_to_readers() {
    let (ours, theirs) = pair();
    let mut reader = FrameReader::new(100);
    assert_eq!(reader.read_from(&ours).expect("a socket"), ReadOutcome::Blocked);
    let mut queue = OutQueue::new(1000);
    queue.push(&ServerFrame::Credit { bytes: 1 }).expect("room");
    queue.write_to(&ours).expect("connected");
    drop(theirs);
    // It left without reading: what the system calls a reset is an end like any other.
    assert_eq!(reader.read_from(&ours).expect("a socket"), ReadOutcome::Closed);
    queue.push(&ServerFrame::Credit { bytes: 1 }).expect("room");
    assert!(queue.write_to(&ours).is_err());
}
