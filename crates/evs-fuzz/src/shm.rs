//! The memory between a daemon and a client that writes there whatever it likes, whenever it likes.
//!
//! Input: steps, a byte each and what it needs. The daemon's side must go on, notice what cannot
//! be, and believe nothing twice: every frame that it takes is as long as it was found to be.

use bytes::BytesMut;
use evs_ipc::shm::{Bell, Broken, Channel, Sizes, Sleep};
use evs_ipc::{ClientFrame, EncodeFrame as _, client_frame_bytes_max};
use evs_model::{Group, Groups, Guarantee};

use crate::input::Input;
use crate::{Seen, Target, seen};

pub(crate) const TARGET: Target = Target { name: "shm", run, bytes_max: 1024, landmarks, seeds };

fn landmarks() -> Vec<String> {
    seen::names(&[
        "message",
        "other frame",
        "no frame",
        "impossible head",
        "impossible length",
        "impossible tail",
        "full ring",
        "ring for a sleeper",
        "sleeper who has all",
        "closed by the client",
        "sleeps",
        "something came before sleep",
        "event read by the client",
    ])
}

const MESSAGE: usize = 0;
const OTHER: usize = 1;
const NO_FRAME: usize = 2;
const HEAD: usize = 3;
const LENGTH: usize = 4;
const TAIL: usize = 5;
const FULL: usize = 6;
const RINGS: usize = 7;
const QUIET: usize = 8;
const CLOSED: usize = 9;
const SLEEPS: usize = 10;
const CAME: usize = 11;
const READ: usize = 12;

const MESSAGE_BYTES_MAX: usize = 20_000;

fn run(input: &[u8]) -> Seen {
    let mut input = Input::new(input);
    let mut seen = Seen::nothing();
    let (mut daemon, mut client) = session();
    let mut memory = BytesMut::new();
    // A client that broke the rules is disconnected; another one comes.
    while !input.is_empty() {
        let broken = step(&mut input, &mut daemon, &mut client, &mut memory, &mut seen);
        if let Err(broken) = broken {
            seen.mark(match broken {
                Broken::Head { .. } => HEAD,
                Broken::Length { .. } => LENGTH,
                Broken::Tail { .. } => TAIL,
            });
            (daemon, client) = session();
        }
    }
    seen
}

/// Both sides of a fresh session.
fn session() -> (Channel, Channel) {
    let sizes = Sizes::for_bytes(1, 1);
    let (daemon, file) = Channel::create(sizes).expect("memory");
    (daemon, Channel::open(file, sizes).expect("what was just made"))
}

fn step(
    input: &mut Input<'_>,
    daemon: &mut Channel,
    client: &mut Channel,
    memory: &mut BytesMut,
    seen: &mut Seen,
) -> Result<(), Broken> {
    let frame_bytes_max = client_frame_bytes_max(MESSAGE_BYTES_MAX);
    match input.u8() % 10 {
        // The client keeps to the rules, then does not.
        0 => {
            let frame = frame(input);
            let _ = client.producer.push([&frame[..]]);
        }
        1 => client.producer.forge(input.near(daemon.consumer.position()), input.u64()),
        2 => client.consumer.forge(input.near(daemon.producer.written()), input.u64()),
        3 => client.producer.scribble(input.u64()),
        4 => {
            let length = input.u32().to_le_bytes();
            // A frame has a kind, even where the input ends.
            let kind = [input.u8()];
            let _ = client.producer.push([&length[..], &kind, input.bytes(8)]);
        }
        5 => {
            if let Ok(Some(lent)) = client.consumer.lend_next(frame_bytes_max) {
                seen.mark(READ);
                client.consumer.give_back(lent);
            }
            let _ = client.consumer.sleep();
        }
        // The daemon.
        6 => {
            for _ in 0..=input.u8() % 8 {
                let before = daemon.consumer.position();
                let Some(frame) = daemon.consumer.copy_next(memory, frame_bytes_max)? else {
                    break;
                };
                let bytes = frame.fields.len() as u64 + 5;
                let passed = daemon.consumer.position().wrapping_sub(before);
                assert_eq!(passed, bytes.next_multiple_of(16), "as long as it was found to be");
                seen.mark(match ClientFrame::decode(frame) {
                    Ok(ClientFrame::Send { .. }) => MESSAGE,
                    Ok(_) => OTHER,
                    Err(_) => NO_FRAME,
                });
            }
        }
        7 => {
            let bytes = usize::from(input.u16());
            let length = u32::try_from(bytes + 1).expect("at most 65,536");
            let frame = [&length.to_le_bytes()[..], &vec![3; bytes + 1]].concat();
            let before = daemon.producer.used()?;
            let pushed = daemon.producer.push([&frame[..]])?;
            seen.mark_if(FULL, !pushed);
            if pushed {
                let used = before + (frame.len() as u64).next_multiple_of(16);
                assert!(used <= daemon.producer.capacity());
            }
        }
        8 => seen.mark(match daemon.producer.bell() {
            Bell::Ring => RINGS,
            Bell::Quiet => QUIET,
            Bell::Closed => CLOSED,
        }),
        _ => seen.mark(match daemon.consumer.sleep() {
            Sleep::Asleep => SLEEPS,
            Sleep::Awake => CAME,
        }),
    }
    Ok(())
}

/// What an honest client would send.
fn frame(input: &mut Input<'_>) -> Vec<u8> {
    let mut frame = Vec::new();
    let groups = Groups::new(&[Group::named("g").expect("short")]).expect("one");
    let body = vec![1; usize::from(input.u16()) % MESSAGE_BYTES_MAX].into();
    match input.u8() % 2 {
        0 => ClientFrame::Send { guarantee: Guarantee::Agreed, groups, body },
        _ => ClientFrame::Join { request: 1, groups },
    }
    .encode(&mut frame);
    frame
}

/// One for each way in which things can go.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let send = [0, 0, 0, 0];
    let join = [0, 0, 0, 1];
    let take = [6, 7];
    let event = [7, 0, 200];
    let (none, all) = ([0; 8], [255; 8]);
    let seed = |name: &str, steps: &[&[u8]]| (name.to_owned(), steps.concat());
    vec![
        seed("messages-and-requests", &[&send, &join, &send, &take, &[9], &send, &[9], &take]),
        seed("a-head-beyond", &[&[1, 254], &all, &none, &take]),
        seed("a-base-beyond", &[&send, &send, &[1, 96], &all, &take]),
        seed("a-tail-beyond", &[&[2, 254], &all, &none, &event]),
        seed("a-length-of-nothing", &[&[4], &[0; 13], &take]),
        seed("a-length-beyond", &[&[4], &[255; 13], &take]),
        seed("no-frame", &[&[4, 9, 0, 0, 0], &[200; 9], &take]),
        seed("scribbles", &[&send, &send, &[3, 7], &none[1..], &take, &send, &[3], &none, &take]),
        seed("events", &[&[5], &event, &[8, 5], &event, &[8, 8], &event, &[5, 8], &event, &event]),
        seed("closed", &[&event, &[2, 0, 2], &none[1..], &[8]]),
    ]
}
