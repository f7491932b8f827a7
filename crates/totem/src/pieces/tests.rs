//! Cutting, asking and putting together, without a ring around it.

use alloc::collections::VecDeque;
use alloc::vec;

use evs_model::RingId;

use super::*;
use crate::config::{Config, PACKET_BYTES_MIN, ROWS_MAX, WINDOW_PACKETS_CAP};
use crate::wire::{
    CommitToken, Entry, Installed, Join, MergeDetect, OldEntry, Row, Standing, Wake,
};

const START: Instant = Instant::from_nanos(1);

fn p(node: u32) -> Processor {
    Processor::new(NodeId::new(node).expect("not zero"), u64::from(node) << 32 | 5)
}

fn terms() -> Terms {
    Config::default().terms()
}

fn members(nodes: core::ops::RangeInclusive<u32>) -> Members {
    Members::new(nodes.map(p).collect()).expect("few enough")
}

/// A merge probe with so many rows.
fn probe(rows: u32) -> Packet {
    let row = |node| Row {
        processor: p(node),
        version: 7,
        hears: Members::default(),
        installed: None,
        standing: Standing::Operational,
    };
    Packet::MergeDetect(MergeDetect { seq: 3, rows: (1..=rows).map(row).collect() }.into())
}

/// A probe of so many pieces of the smallest size.
fn probe_of(pieces: usize) -> Packet {
    let each = PACKET_BYTES_MIN - PIECE_OVERHEAD;
    let count = |packet: &Packet| encoded(packet).len().div_ceil(each);
    (1..200)
        .map(probe)
        .find(|packet| count(packet) == pieces)
        .expect("rows are smaller than pieces")
}

fn encoded(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out
}

fn cut(pieces: &mut Pieces, packet: &Packet) -> Vec<Piece> {
    let id = pieces.cut(Destination::All, packet, PACKET_BYTES_MIN);
    let id = id.expect("there are numbers").expect("it is too large");
    pieces.of(id).map(piece).collect()
}

fn piece(packet: Packet) -> Piece {
    let Packet::Piece(piece) = packet else { panic!("{packet:?}") };
    piece
}

fn take(pieces: &mut Pieces, piece: &Piece) -> Result<Option<Packet>, Discard> {
    let taken = pieces.take(START, &terms(), p(9), piece);
    pieces.check();
    taken
}

/// The pieces of these bytes, whatever they are.
fn torn(bytes: &[u8], id: u64) -> Vec<Piece> {
    let half = bytes.len() / 2;
    let halves = [&bytes[..half], &bytes[half..]];
    let piece = |(index, bytes): (usize, &&[u8])| Piece {
        id,
        index: u16::try_from(index).expect("two"),
        count: 2,
        bytes: Bytes::copy_from_slice(bytes),
    };
    halves.iter().enumerate().map(piece).collect()
}

#[test]
fn what_fits_is_not_cut_and_what_does_not_is_cut_into_packets_that_do() {
    let mut pieces = Pieces::default();
    for rows in 1..100 {
        let packet = probe(rows);
        let len = encoded(&packet).len();
        assert_eq!(pieces.cut(Destination::All, &packet, len), Ok(None));
        let cut = pieces.cut(Destination::All, &packet, (len - 1).max(256));
        let Some(id) = cut.expect("there are numbers") else { continue };
        assert!(pieces.of(id).all(|piece| encoded(&piece).len() <= (len - 1).max(256)));
        assert_eq!(pieces.held(), 2);
    }
}

#[test]
fn pieces_make_up_the_packet_in_any_order_and_however_often_they_come() {
    let packet = probe_of(9);
    let mut rng = fastrand::Rng::with_seed(4);
    for _ in 0..200 {
        let mut pieces = cut(&mut Pieces::default(), &packet);
        pieces.extend_from_within(..4);
        rng.shuffle(&mut pieces);
        let mut receiver = Pieces::default();
        let taken: Vec<_> = pieces.iter().filter_map(|p| take(&mut receiver, p).ok()).collect();
        // A last piece that comes again hands the packet over again.
        assert!(taken.iter().flatten().count() >= 1);
        assert!(taken.iter().flatten().all(|whole| *whole == packet));
    }
}

#[test]
fn a_newer_packet_replaces_an_older_one_and_older_pieces_are_refused() {
    let (mut sender, mut receiver) = (Pieces::default(), Pieces::default());
    let older = cut(&mut sender, &probe_of(3));
    let newer = cut(&mut sender, &probe_of(4));
    assert_eq!(take(&mut receiver, &older[0]), Ok(None));
    assert_eq!(take(&mut receiver, &newer[0]), Ok(None));
    assert_eq!(take(&mut receiver, &older[1]), Err(Discard::Duplicate));
    assert_eq!(take(&mut receiver, &newer[0]), Err(Discard::Duplicate));
    assert_eq!(receiver.held(), 1);
    // Another incarnation counts from the beginning.
    let born_again = Processor::new(p(9).node, 1);
    assert_eq!(receiver.take(START, &terms(), born_again, &older[0]), Ok(None));
    assert_eq!(receiver.held(), 1);
}

#[test]
fn what_is_missing_is_asked_for_after_a_pause_twice_as_long_each_time_then_forgotten() {
    let mut receiver = Pieces::default();
    let pieces = cut(&mut Pieces::default(), &probe_of(5));
    for index in [0, 2] {
        assert_eq!(take(&mut receiver, &pieces[index]), Ok(None));
    }
    let (mut asked, mut pauses) = (0, Vec::new());
    let mut before = START;
    while receiver.deadline() != Instant::NEVER {
        let now = receiver.deadline();
        for (of, request) in receiver.on_timeout(now) {
            asked += 1;
            let missing: Vec<_> = (0..5).filter(|index| request.missing.get(*index)).collect();
            assert_eq!((of, request.id, missing), (p(9), 1, vec![1, 3, 4]));
            pauses.push((now - before).as_millis());
            before = now;
        }
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256]);
    assert_eq!((asked, receiver.held()), (8, 0));
    assert!(receiver.from.is_empty());
}

#[test]
fn a_complete_packet_is_held_for_the_detection_target_and_handed_over_again_at_its_last_piece() {
    let (packet, mut receiver) = (probe_of(3), Pieces::default());
    let pieces = cut(&mut Pieces::default(), &packet);
    let taken: Vec<_> = pieces.iter().map(|piece| take(&mut receiver, piece)).collect();
    assert_eq!(taken, [Ok(None), Ok(None), Ok(Some(packet.clone()))]);
    assert_eq!(take(&mut receiver, &pieces[1]), Err(Discard::Duplicate));
    assert_eq!(take(&mut receiver, &pieces[2]), Ok(Some(packet)));
    assert_eq!(receiver.deadline(), START + terms().detection);
    assert!(receiver.on_timeout(START + terms().detection).is_empty());
    assert!(receiver.from.is_empty());
}

#[test]
fn pieces_are_sent_again_only_to_whom_they_were_sent_and_only_of_the_newest_packet() {
    let mut sender = Pieces::default();
    let mut cut = |to, rows| {
        let id = sender.cut(to, &probe_of(rows), 256).expect("there are numbers");
        id.expect("too large")
    };
    let to_one = cut(Destination::Node(p(2)), 3);
    let old = cut(Destination::All, 3);
    let to_all = cut(Destination::All, 4);
    let request = |id, index| {
        let mut missing = Bitmap::default();
        missing.set(index);
        PieceRequest { id, missing }
    };
    let indices = |packets: Vec<Packet>| -> Vec<u16> {
        packets.into_iter().map(|packet| piece(packet).index).collect()
    };
    assert_eq!(sender.requested(p(2), &request(to_one, 1)).map(indices), Ok(vec![1]));
    assert_eq!(sender.requested(p(3), &request(to_one, 1)), Err(Discard::Duplicate));
    assert_eq!(sender.requested(p(3), &request(to_all, 3)).map(indices), Ok(vec![3]));
    assert_eq!(sender.requested(p(3), &request(to_all, 4)), Err(Discard::Pieces));
    assert_eq!(sender.requested(p(3), &request(old, 1)), Err(Discard::Duplicate));
    assert_eq!(sender.requested(p(3), &request(99, 1)), Err(Discard::Duplicate));
}

#[test]
fn pieces_that_make_up_no_packet_that_is_ever_cut_are_refused() {
    let mut id = 0;
    let mut refused = |bytes: &[u8]| {
        id += 1;
        let mut receiver = Pieces::default();
        let pieces = torn(bytes, id);
        assert_eq!(take(&mut receiver, &pieces[0]), Ok(None));
        assert_eq!(take(&mut receiver, &pieces[1]), Err(Discard::Pieces));
        assert!(receiver.from.is_empty(), "nothing of it is kept");
    };
    refused(b"what is this?");
    refused(&encoded(&Packet::Wake(Wake { ring: RingId { seq: 1, rep: p(1) } })));
    let nested = torn(&encoded(&probe(3)), 1).remove(0);
    refused(&encoded(&Packet::Piece(nested)));
}

#[test]
fn a_piece_that_contradicts_those_before_it_ends_the_packet() {
    let mut receiver = Pieces::default();
    let pieces = cut(&mut Pieces::default(), &probe_of(5));
    assert_eq!(take(&mut receiver, &pieces[0]), Ok(None));
    let other = Piece { count: 6, ..pieces[1].clone() };
    assert_eq!(take(&mut receiver, &other), Err(Discard::Pieces));
    assert_eq!(receiver.held(), 0);
}

#[test]
fn the_bytes_of_one_sender_and_the_number_of_senders_are_bounded() {
    let mut receiver = Pieces::default();
    let most = WHOLE_BYTES_MAX / 4;
    for index in 0..5 {
        let piece = Piece { id: 1, index, count: 9, bytes: vec![0; most].into() };
        let expected = if index < 4 { Ok(None) } else { Err(Discard::Pieces) };
        assert_eq!(take(&mut receiver, &piece), expected);
    }
    for node in 1..=300 {
        let now = START + Duration::from_nanos(u64::from(node));
        let piece = Piece { id: 1, index: 0, count: 9, bytes: vec![0; 9].into() };
        assert_eq!(receiver.take(now, &terms(), p(node), &piece), Ok(None));
        receiver.check();
    }
    assert_eq!(receiver.from.len(), SENDERS_MAX);
    assert!(receiver.from.contains_key(&p(300).node) && !receiver.from.contains_key(&p(9).node));
    receiver.keep_only(&members(290..=295));
    assert_eq!(receiver.from.len(), 6, "who is not heard is forgotten");
}

#[test]
fn the_largest_join_and_the_largest_commit_token_can_be_cut() {
    let far = |node: u32| Processor::new(NodeId::new(1_000 + node).expect("not zero"), 1);
    let all = members(1..=128);
    let others = Members::new((0..128).map(far).collect()).expect("128");
    let row = |node| Row {
        processor: p(node),
        version: u64::MAX,
        hears: all.clone(),
        installed: Some(Installed { ring: RingId { seq: 1, rep: p(1) }, members: others.clone() }),
        standing: Standing::Operational,
    };
    let most = u32::try_from(ROWS_MAX).expect("few");
    let rows = (1..=most).map(row).collect();
    let join = Join { number: 1, seq: 1, accepted: 1, proposal: all.clone(), rows };
    let mut held = Bitmap::default();
    held.set(crate::window::slots(WINDOW_PACKETS_CAP) - 1);
    let ring = RingId { seq: 1, rep: p(1) };
    let old = OldEntry { ring, aru: 1, safe: 1, held, obligations: u128::MAX };
    let commit = CommitToken {
        ring,
        hop: 1,
        terms: terms(),
        entries: vec![Some(Entry { old: Some(old) }); all.len()],
        members: all.clone(),
    };
    for packet in [Packet::Join(join.into()), Packet::CommitToken(commit.into())] {
        let (mut sender, mut receiver) = (Pieces::default(), Pieces::default());
        let pieces = cut(&mut sender, &packet);
        assert!(pieces.len() <= PIECES_MAX);
        let taken: Vec<_> = pieces.iter().map(|piece| take(&mut receiver, piece)).collect();
        assert!(taken.last() == Some(&Ok(Some(packet))));
        // The longest request fits into the smallest packet.
        let mut missing = Bitmap::default();
        missing.set(PIECES_MAX - 1);
        let request = Packet::PieceRequest(PieceRequest { id: u64::MAX, missing });
        assert!(encoded(&request).len() <= PACKET_BYTES_MIN);
    }
}

/// How long a packet of thirty pieces takes on a path that loses this share of all packets, its
/// sender reminding as `Resend` does.
fn hop_takes(packet: &Packet, loss: f64, seed: u64) -> Duration {
    const HOP: Duration = Duration::from_micros(100);
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut sender, mut receiver) = (Pieces::default(), Pieces::default());
    let id = sender.cut(Destination::Node(p(2)), packet, 256).expect("there are numbers");
    let id = id.expect("too large");
    let mut flying: VecDeque<(Instant, Packet)> = VecDeque::new();
    let mut sent: Vec<Packet> = sender.of(id).collect();
    let (mut every, longest) = (terms().token_retransmit(), terms().token_retransmit_bounds().1);
    let (mut now, mut remind_at) = (START, START + every);
    loop {
        let arriving = sent.drain(..).filter(|_| rng.f64() >= loss);
        flying.extend(arriving.map(|packet| (now + HOP, packet)));
        let arrival = flying.front().map_or(Instant::NEVER, |(at, _)| *at);
        now = arrival.min(receiver.deadline()).min(remind_at);
        if now == arrival {
            let (_, packet) = flying.pop_front().expect("it arrives");
            if let Packet::PieceRequest(request) = packet {
                sent = sender.requested(p(2), &request).expect("it was sent to 2");
            } else if let Ok(Some(_)) = receiver.take(now, &terms(), p(1), &piece(packet)) {
                return now - START;
            }
        } else if now == remind_at {
            every = (every * 2).min(longest);
            remind_at = now + every;
            sent.extend(sender.of(id).next_back());
        } else {
            let requests = receiver.on_timeout(now).into_iter();
            sent.extend(requests.map(|(_, request)| Packet::PieceRequest(request)));
        }
    }
}

/// The token loss timeout, which is the target, bounds a rotation of the commit token.
#[test]
fn thirty_pieces_pass_a_path_that_loses_a_fifth_in_a_fraction_of_the_target() {
    let packet = probe_of(30);
    for (loss, mean_ms, most_ms) in [(0.0, 1, 1), (0.05, 5, 50), (0.2, 20, 200)] {
        let times: Vec<Duration> = (0..1_000).map(|seed| hop_takes(&packet, loss, seed)).collect();
        let mean = times.iter().sum::<Duration>() / 1_000;
        let most = times.into_iter().max().expect("a thousand");
        assert!(mean <= Duration::from_millis(mean_ms), "loss {loss}: {mean:?} on the average");
        assert!(most <= Duration::from_millis(most_ms), "loss {loss}: {most:?} at most");
    }
}
