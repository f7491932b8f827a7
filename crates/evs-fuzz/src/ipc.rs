//! The frames between a daemon and its clients, in both directions: a byte stream that arrives in
//! arbitrary pieces means the same as in one piece, and what is decoded is encoded and decoded to
//! the same.
//!
//! Input: direction, limit and cut (a byte each), then the stream.

use evs_ipc::{
    ClientFrame, EncodeFrame, Explained, FrameReader, HELLO_FRAME_BYTES_MAX,
    SERVER_FRAME_BYTES_MAX, ServerFrame, client_frame_bytes_max, decode_event, decode_explained,
};
use evs_model::{ChangeReason, ConfigurationChange, Event};

use crate::input::Input;
use crate::{Seen, Target, seeds, seen};

pub(crate) const TARGET: Target =
    Target { name: "ipc", run, bytes_max: 4096, landmarks, seeds: seeds::streams };

fn landmarks() -> Vec<String> {
    seen::names(&[
        "hello",
        "join",
        "leave",
        "send",
        "status",
        "welcome",
        "refused",
        "done",
        "credit",
        "status reply",
        "regular configuration",
        "transitional configuration",
        "message",
        "disconnected",
        "no frame",
        "unknown frame",
        "ends inside a frame",
        "configuration with its reason",
        "question",
    ])
}

const NO_FRAME: usize = 14;
const UNKNOWN_FRAME: usize = 15;
const INSIDE: usize = 16;
const EXPLAINED: usize = 17;
const QUESTION: usize = 18;

fn run(input: &[u8]) -> Seen {
    let mut input = Input::new(input);
    let direction = input.pick(&[Direction::ToDaemon, Direction::Control, Direction::Events]);
    let limit = input.pick(&[
        HELLO_FRAME_BYTES_MAX,
        SERVER_FRAME_BYTES_MAX,
        client_frame_bytes_max(1024),
        48,
        usize::MAX,
    ]);
    let cut = usize::from(input.u8());
    let stream = input.rest();

    let mut seen = Seen::nothing();
    let whole = read(direction, limit, [stream].into_iter(), &mut seen);
    // Pieces of changing length, from 1 on.
    let mut rest = stream;
    let mut length = cut % 7;
    let pieces = std::iter::from_fn(|| {
        length = (length * 5 + cut) % 61;
        let (piece, tail) = rest.split_at(rest.len().min(length + 1));
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    });
    let cut = read(direction, limit, pieces, &mut seen);
    assert_eq!(whole, cut, "how a stream is cut changes nothing");
    seen
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    ToDaemon,
    Control,
    Events,
}

/// Reads a stream that comes in these pieces. Returns a line for each frame, and what is left.
fn read<'d>(
    direction: Direction,
    limit: usize,
    pieces: impl Iterator<Item = &'d [u8]>,
    seen: &mut Seen,
) -> (Vec<String>, Option<usize>) {
    let mut reader = FrameReader::new(limit);
    let mut lines = Vec::new();
    let mut fed = 0;
    for piece in pieces {
        fed += piece.len();
        reader.feed(piece);
        let memory_max = FrameReader::CHUNK_BYTES.max(4 * fed).max(fed + ROOM_BYTES);
        assert!(reader.buffer_bytes() <= memory_max, "memory follows what has arrived");
        while reader.has_frame() {
            match reader.next_frame() {
                Ok(frame) => {
                    let frame = frame.expect("the reader says that it has one");
                    lines.push(decode(direction, frame, seen));
                }
                Err(error) => {
                    assert_eq!(reader.next_frame(), Err(error.clone()), "it stays so");
                    lines.push(error.to_string());
                    seen.mark(NO_FRAME);
                    return (lines, None);
                }
            }
        }
        assert_eq!(reader.next_frame(), Ok(None));
    }
    seen.mark_if(INSIDE, reader.is_inside_frame());
    (lines, Some(reader.unread_bytes()))
}

fn decode(direction: Direction, frame: evs_ipc::Frame, seen: &mut Seen) -> String {
    let decoded = match direction {
        Direction::ToDaemon => ClientFrame::decode(frame).map(|decoded| {
            seen.mark(match decoded {
                ClientFrame::Hello(_) => 0,
                ClientFrame::Join { .. } => 1,
                ClientFrame::Leave { .. } => 2,
                ClientFrame::Send { .. } => 3,
                ClientFrame::Status { .. } => 4,
                ClientFrame::Ask { .. } => QUESTION,
            });
            assert_eq!(ClientFrame::decode(encode(&decoded)).as_ref(), Ok(&decoded));
            format!("{decoded:?}")
        }),
        Direction::Control => ServerFrame::decode(frame).map(|decoded| {
            seen.mark(match decoded {
                ServerFrame::Welcome(_) => 5,
                ServerFrame::Refused { .. } => 6,
                ServerFrame::Done { .. } => 7,
                ServerFrame::Credit { .. } => 8,
                ServerFrame::StatusReply { .. } => 9,
            });
            assert_eq!(ServerFrame::decode(encode(&decoded)).as_ref(), Ok(&decoded));
            format!("{decoded:?}")
        }),
        Direction::Events => decode_explained(frame).map(|(decoded, reason)| {
            if reason != ChangeReason::Begin {
                seen.mark(EXPLAINED);
            }
            seen.mark(match decoded {
                Event::Configuration(ConfigurationChange::Regular { .. }) => 10,
                Event::Configuration(ConfigurationChange::Transitional { .. }) => 11,
                Event::Message(_) => 12,
                Event::Disconnected(_) => 13,
            });
            assert_eq!(decode_event(encode(&decoded)).as_ref(), Ok(&decoded));
            let text = format!("{decoded:?} {reason}");
            let explained = encode(&Explained { event: &decoded, reason });
            assert_eq!(decode_explained(explained), Ok((decoded, reason)));
            text
        }),
    };
    decoded.unwrap_or_else(|error| {
        seen.mark(UNKNOWN_FRAME);
        error.to_string()
    })
}

/// Encodes a frame, as its reader takes it apart again.
fn encode(frame: &impl EncodeFrame) -> evs_ipc::Frame {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    assert_eq!(bytes.len(), frame.encoded_len(), "the length that was announced");
    let mut reader = FrameReader::new(bytes.len());
    reader.feed(&bytes);
    let frame = reader.next_frame().expect("a frame within its limit");
    assert!(!reader.is_inside_frame(), "one frame");
    frame.expect("a whole frame")
}

/// What a reader may ask for beyond what has arrived.
const ROOM_BYTES: usize = 4 << 10;
