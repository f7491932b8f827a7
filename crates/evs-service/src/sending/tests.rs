//! Packing, fair turns, limits and restarts, seen from the packets that come out.

use alloc::vec;
use alloc::vec::Vec;

use evs_model::{Group, NodeId, Processor, SEND_OVERHEAD};
use proptest::prelude::*;

use super::*;
use crate::pack::{Record, Records};
use crate::reassembly::Reassembly;

const A: ClientId = ClientId(1);
const B: ClientId = ClientId(2);
const C: ClientId = ClientId(3);
const BODY: usize = 1_000;

/// Large enough that tests of other things never meet it.
const PLENTY: usize = 64 << 20;

fn sending(clients: &[ClientId]) -> Sending {
    let mut sending = Sending::new(PLENTY, BODY, 0, 0);
    clients.iter().for_each(|client| sending.open(*client));
    sending
}

/// What a test sees of a record: client, number, offset, bytes.
type Seen = (u64, u64, u32, usize);

impl Sending {
    fn send(&mut self, client: ClientId, guarantee: Guarantee, bytes: usize) -> u64 {
        self.check();
        let body: Vec<u8> = (0..bytes).map(|i| i.to_le_bytes()[0]).collect();
        self.push(client, guarantee, Groups::default(), body.into()).expect("room for it")
    }

    fn packet(&mut self) -> Option<(Guarantee, Vec<Seen>)> {
        let (body, guarantee) = self.next_packet()?;
        assert!(body.len() <= BODY, "a packet is within its size");
        self.check();
        let records = Records::new(body, guarantee).map(|record| match record.expect("valid") {
            Record::Whole(head, bytes) => (head.client.0, head.number, 0, bytes.len()),
            Record::Fragment(head, at, bytes) => (head.client.0, head.number, at, bytes.len()),
        });
        Some((guarantee, records.collect()))
    }

    fn records(&mut self) -> Vec<Seen> {
        self.packet().expect("something to send").1
    }

    fn rooms(&mut self) -> Vec<(u64, usize)> {
        core::iter::from_fn(|| self.pop_freed()).map(|(client, bytes)| (client.0, bytes)).collect()
    }
}

#[test]
fn small_messages_of_all_clients_share_a_packet() {
    let mut sending = sending(&[A, B]);
    sending.send(A, Guarantee::Agreed, 10);
    sending.send(A, Guarantee::Fifo, 0);
    sending.send(B, Guarantee::Agreed, 20);
    assert_eq!(sending.records(), [(1, 1, 0, 10), (2, 1, 0, 20), (1, 2, 0, 0)]);
    assert_eq!(sending.packet(), None);
}

#[test]
fn a_packet_has_one_guarantee_and_a_client_keeps_its_order() {
    let mut sending = sending(&[A]);
    for guarantee in [Guarantee::Agreed, Guarantee::Safe, Guarantee::Unordered, Guarantee::Fifo] {
        sending.send(A, guarantee, 10);
    }
    assert_eq!(sending.packet(), Some((Guarantee::Agreed, vec![(1, 1, 0, 10)])));
    assert_eq!(sending.packet(), Some((Guarantee::Safe, vec![(1, 2, 0, 10)])));
    assert_eq!(sending.packet(), Some((Guarantee::Unordered, vec![(1, 3, 0, 10)])));
    assert_eq!(sending.packet(), Some((Guarantee::Agreed, vec![(1, 4, 0, 10)])));
}

#[test]
fn a_message_that_fills_a_packet_exactly_is_whole_and_one_byte_more_is_cut() {
    let fits = BODY - WHOLE_OVERHEAD;
    let mut sending = sending(&[A]);
    sending.send(A, Guarantee::Agreed, fits);
    sending.send(A, Guarantee::Agreed, fits + 1);
    assert_eq!(sending.records(), [(1, 1, 0, fits)]);
    let first = BODY - FRAGMENT_OVERHEAD;
    assert_eq!(sending.records(), [(1, 2, 0, first)]);
    let tail = fits + 1 - first;
    assert_eq!(sending.records(), [(1, 2, u32::try_from(first).expect("small"), tail)]);
}

#[test]
fn a_tail_shares_its_packet_with_the_messages_behind_it() {
    let mut sending = sending(&[A]);
    sending.send(A, Guarantee::Agreed, 1_000);
    sending.send(A, Guarantee::Agreed, 30);
    assert_eq!(sending.records(), [(1, 1, 0, 969)]);
    assert_eq!(sending.records(), [(1, 1, 969, 31), (1, 2, 0, 30)]);
}

#[test]
fn a_tail_takes_the_smallest_place_that_it_fits_into() {
    let mut sending = sending(&[A, B]);
    sending.send(A, Guarantee::Agreed, 1_000);
    assert_eq!(sending.records(), [(1, 1, 0, 969)]);
    sending.send(B, Guarantee::Agreed, 800);
    assert_eq!(sending.records(), [(2, 1, 0, 800), (1, 1, 969, 31)]);
}

#[test]
fn a_message_begins_in_what_is_left_of_a_packet_if_that_is_more_than_a_quarter() {
    let mut sending = sending(&[A]);
    sending.send(A, Guarantee::Agreed, 700 - WHOLE_OVERHEAD);
    sending.send(A, Guarantee::Agreed, 800);
    assert_eq!(sending.records(), [(1, 1, 0, 677), (1, 2, 0, 300 - FRAGMENT_OVERHEAD)]);
    assert_eq!(sending.records(), [(1, 2, 269, 531)]);
    sending.send(A, Guarantee::Agreed, 750 - WHOLE_OVERHEAD);
    sending.send(A, Guarantee::Agreed, 800);
    assert_eq!(sending.records(), [(1, 3, 0, 727)]);
    assert_eq!(sending.records(), [(1, 4, 0, 800)]);
}

#[test]
fn whole_messages_of_others_go_between_the_pieces_of_a_long_one() {
    let mut sending = sending(&[A, B]);
    sending.send(A, Guarantee::Agreed, 5_000);
    assert_eq!(sending.records(), [(1, 1, 0, 969)]);
    sending.send(B, Guarantee::Agreed, 100);
    assert_eq!(sending.records(), [(2, 1, 0, 100), (1, 1, 969, 846)]);
}

#[test]
fn at_most_one_message_is_in_progress() {
    let mut sending = sending(&[A, B, C]);
    sending.send(A, Guarantee::Agreed, 3_000);
    sending.send(B, Guarantee::Safe, 3_000);
    sending.send(C, Guarantee::Agreed, 900);
    let mut open = Vec::new();
    while let Some((_, records)) = sending.packet() {
        for (client, _, at, bytes) in records {
            let total = if client == 3 { 900 } else { 3_000 };
            match (at, at as usize + bytes == total) {
                (0, true) => {}
                (0, false) => open.push(client),
                (_, true) => assert_eq!(open.pop(), Some(client)),
                (_, false) => assert_eq!(open.last(), Some(&client)),
            }
            assert!(open.len() <= 1, "{open:?}");
        }
    }
    assert_eq!(open, []);
}

#[test]
fn clients_share_in_bytes_whatever_the_size_of_their_messages() {
    let mut sending = sending(&[A, B]);
    for _ in 0..2_000 {
        sending.send(A, Guarantee::Agreed, 50);
    }
    for _ in 0..20 {
        sending.send(B, Guarantee::Agreed, 20_000);
    }
    let mut bytes = [0, 0];
    for _ in 0..100 {
        for (client, _, _, length) in sending.records() {
            bytes[usize::try_from(client).expect("1 or 2") - 1] += length + WHOLE_OVERHEAD;
        }
    }
    let difference = bytes[0].abs_diff(bytes[1]);
    assert!(difference <= 2 * BODY, "{bytes:?}");
}

#[test]
fn clients_with_long_messages_share_in_bytes_too() {
    let mut sending = sending(&[A, B, C]);
    for _ in 0..40 {
        sending.send(A, Guarantee::Agreed, 5_000);
        sending.send(B, Guarantee::Agreed, 10_000);
    }
    for _ in 0..2_000 {
        sending.send(C, Guarantee::Safe, 100);
    }
    let mut bytes = [0, 0, 0];
    for _ in 0..300 {
        for (client, _, _, length) in sending.records() {
            bytes[usize::try_from(client).expect("1 to 3") - 1] += length;
        }
    }
    let (min, max) = (bytes.iter().min(), bytes.iter().max());
    assert!(max.zip(min).is_some_and(|(max, min)| max - min <= 25_000), "{bytes:?}");
}

#[test]
fn an_idle_client_saves_up_nothing() {
    let mut sending = sending(&[A, B]);
    for _ in 0..100 {
        sending.send(A, Guarantee::Agreed, 900);
        sending.records();
    }
    for _ in 0..10 {
        sending.send(A, Guarantee::Agreed, 900);
        sending.send(B, Guarantee::Agreed, 900);
    }
    let first: Vec<_> = (0..6).map(|_| sending.records()[0].0).collect();
    assert!(first.iter().filter(|client| **client == 1).count() >= 2, "{first:?}");
}

#[test]
fn a_full_queue_refuses_and_names_its_limit() {
    let mut sending = Sending::new(4 << 10, BODY, 0, 0);
    sending.open(A);
    let fits = (4 << 10) - 2 * SEND_OVERHEAD - 32;
    let group = Groups::new(&[Group([0; 32])]).expect("one");
    let body = Bytes::from(vec![0; fits]);
    assert_eq!(sending.push(A, Guarantee::Agreed, group, body), Ok(1));
    assert_eq!(sending.push(A, Guarantee::Agreed, Groups::default(), Bytes::new()), Ok(2));
    assert_eq!(sending.queued(A), Some(4 << 10));
    let error = sending.push(A, Guarantee::Agreed, Groups::default(), Bytes::new());
    assert_eq!(error, Err(SendError::QueueFull { max: 4 << 10 }));
    sending.check();
}

#[test]
fn one_message_larger_than_the_queue_is_taken_by_an_empty_queue_only() {
    let mut sending = Sending::new(4 << 10, BODY, 0, 0);
    sending.open(A);
    let large = Bytes::from(vec![0; 1 << 20]);
    assert_eq!(sending.push(A, Guarantee::Agreed, Groups::default(), large.clone()), Ok(1));
    assert!(sending.push(A, Guarantee::Agreed, Groups::default(), Bytes::new()).is_err());
    let mut packets = 0;
    while sending.packet().is_some() {
        packets += 1;
    }
    assert_eq!(sending.settle(packets), 1);
    assert_eq!(sending.rooms(), [(1, (1 << 20) + SEND_OVERHEAD)]);
    assert_eq!(sending.push(A, Guarantee::Agreed, Groups::default(), large), Ok(2));
}

#[test]
fn a_message_is_kept_until_the_packet_with_its_last_byte_is_sequenced() {
    let mut sending = sending(&[A]);
    sending.send(A, Guarantee::Agreed, 2_500);
    (0..3).for_each(|_| drop(sending.records()));
    assert_eq!(sending.settle(2), 0);
    assert_eq!((sending.messages(), sending.rooms()), (1, vec![]));
    assert_eq!(sending.settle(3), 1);
    assert_eq!((sending.messages(), sending.rooms()), (0, vec![(1, 2_500 + SEND_OVERHEAD)]));
    sending.check();
}

#[test]
fn room_is_told_once_for_all_bytes_freed() {
    let mut sending = sending(&[A, B]);
    sending.send(A, Guarantee::Agreed, 10);
    sending.send(B, Guarantee::Safe, 10);
    sending.send(A, Guarantee::Agreed, 20);
    while sending.packet().is_some() {}
    assert_eq!(sending.settle(2), 3);
    assert_eq!(sending.rooms(), [(1, 30 + 2 * SEND_OVERHEAD), (2, 10 + SEND_OVERHEAD)]);
    assert_eq!(sending.rooms(), []);
}

#[test]
fn after_a_configuration_change_everything_unsent_begins_again_in_order() {
    let mut sending = sending(&[A, B]);
    sending.send(A, Guarantee::Agreed, 10);
    assert_eq!(sending.records(), [(1, 1, 0, 10)]);
    sending.send(A, Guarantee::Agreed, 100);
    sending.send(A, Guarantee::Agreed, 1_500);
    sending.send(B, Guarantee::Agreed, 30);
    assert_eq!(sending.records(), [(2, 1, 0, 30), (1, 2, 0, 100), (1, 3, 0, 793)]);
    assert_eq!(sending.settle(1), 1);
    assert_eq!(sending.restart(1, BODY), 3);
    sending.check();
    assert_eq!(sending.rooms(), [(1, 10 + SEND_OVERHEAD)]);
    let mut again = sending.records();
    again.extend(sending.records());
    assert_eq!(again[..2], [(2, 1, 0, 30), (1, 2, 0, 100)]);
    assert_eq!(again[2..], [(1, 3, 0, 793), (1, 3, 793, 707)]);
    assert_eq!(sending.settle(3), 3);
    assert_eq!(sending.messages(), 0);
}

#[test]
fn what_a_client_sent_before_it_went_is_still_sent() {
    let mut sending = sending(&[A]);
    sending.send(A, Guarantee::Agreed, 1_500);
    sending.close(A);
    assert_eq!(sending.clients(), 1);
    sending.restart(0, BODY);
    assert_eq!(sending.records(), [(1, 1, 0, 969)]);
    assert_eq!(sending.records(), [(1, 1, 969, 531)]);
    assert_eq!(sending.settle(2), 1);
    assert_eq!((sending.clients(), sending.rooms()), (0, vec![]));
    sending.check();
}

#[test]
fn a_client_that_goes_with_nothing_to_send_leaves_nothing() {
    let mut sending = sending(&[A]);
    sending.close(A);
    assert_eq!(sending.clients(), 0);
    assert_eq!(sending.queued(A), None);
}

#[derive(Clone, Debug)]
struct Sent {
    client: u64,
    guarantee: u8,
    groups: usize,
    bytes: usize,
}

fn sent() -> impl Strategy<Value = Sent> {
    let bytes = prop_oneof![4 => 0usize..100, 2 => 0usize..1_500, 1 => 0usize..20_000];
    let groups = prop_oneof![6 => 0usize..3, 1 => 0usize..=Groups::MAX];
    (1u64..4, 0u8..4, groups, bytes).prop_map(|(client, guarantee, groups, bytes)| Sent {
        client,
        guarantee,
        groups,
        bytes,
    })
}

/// What a message is when it goes in and when it comes out.
type Whole = (u64, u64, Guarantee, Groups, Bytes);

fn fill(sending: &mut Sending, messages: &[Sent]) -> Vec<Whole> {
    let mut accepted = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let guarantee = Guarantee::try_from(message.guarantee).expect("0 to 3");
        let keys = vec![Group([i.to_le_bytes()[0]; 32]); message.groups];
        let groups = Groups::new(&keys).expect("at most the limit");
        let body: Bytes = (0..message.bytes).map(|b| (b * 31 + i).to_le_bytes()[0]).collect();
        let client = ClientId(message.client);
        let number =
            sending.push(client, guarantee, groups.clone(), body.clone()).expect("plenty of room");
        accepted.push((message.client, number, guarantee, groups, body));
    }
    accepted
}

/// Reads packets until there are no more, or so many; unordered ones in another order.
fn drain(sending: &mut Sending, packets_max: usize, into: &mut Reassembly) -> Vec<Whole> {
    let me = Processor::new(NodeId::new(1).expect("not zero"), 1);
    let packets: Vec<_> =
        core::iter::from_fn(|| sending.next_packet()).take(packets_max).enumerate().collect();
    let (late, ordered): (Vec<_>, Vec<_>) =
        packets.into_iter().partition(|(_, (_, guarantee))| *guarantee == Guarantee::Unordered);
    let mut whole = Vec::new();
    for (seq, (body, packet)) in ordered.into_iter().chain(late.into_iter().rev()) {
        for record in Records::new(body, packet) {
            let (head, content) = match record.expect("valid") {
                Record::Whole(head, bytes) => (head, Some(bytes)),
                Record::Fragment(head, offset, bytes) => {
                    let complete = into.take(me, seq as u64, head, offset, &bytes);
                    (head, complete.map(|complete| complete.content))
                }
            };
            if let Some(content) = content {
                let (groups, body) = head.split(content);
                whole.push((head.client.0, head.number, head.guarantee, groups, body));
            }
        }
    }
    whole
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever is sent comes out whole, byte for byte, exactly once, and each client's ordered
    /// messages in their order (EVS-8, EVS-12).
    #[test]
    fn what_is_packed_is_unpacked(
        messages in prop::collection::vec(sent(), 0..40),
        packet in 201usize..3_000,
    ) {
        let mut sending = Sending::new(PLENTY, packet, 0, 0);
        [A, B, C].into_iter().for_each(|client| sending.open(client));
        let mut accepted = fill(&mut sending, &messages);
        let mut reassembly = Reassembly::default();
        let mut received = drain(&mut sending, usize::MAX, &mut reassembly);
        sending.check();
        prop_assert_eq!((reassembly.incomplete(), reassembly.dropped()), (0, 0));
        for client in [A, B, C] {
            let numbers: Vec<_> = received
                .iter()
                .filter(|m| m.0 == client.0 && m.2 != Guarantee::Unordered)
                .map(|m| m.1)
                .collect();
            prop_assert!(numbers.is_sorted(), "{:?}", numbers);
        }
        accepted.sort_by_key(|m| (m.0, m.1));
        received.sort_by_key(|m| (m.0, m.1));
        prop_assert_eq!(accepted, received);
    }

    /// A ring that breaks after any packet loses and repeats nothing (P17, P38).
    #[test]
    fn a_configuration_change_after_any_packet_neither_loses_nor_repeats(
        messages in prop::collection::vec(sent(), 1..30),
        packet in 201usize..3_000,
        sequenced in 0usize..60,
        lost in 0usize..10,
    ) {
        let mut sending = Sending::new(PLENTY, packet, 0, 0);
        [A, B, C].into_iter().for_each(|client| sending.open(client));
        let mut accepted = fill(&mut sending, &messages);
        let mut reassembly = Reassembly::default();
        let mut received = drain(&mut sending, sequenced, &mut reassembly);
        let done = sending.submitted;
        sending.settle(done);
        (0..lost).for_each(|_| drop(sending.next_packet()));
        sending.restart(done, packet);
        sending.check();
        reassembly.clear();
        received.extend(drain(&mut sending, usize::MAX, &mut reassembly));
        sending.settle(sending.submitted);
        sending.check();
        prop_assert_eq!((reassembly.incomplete(), reassembly.dropped()), (0, 0));
        prop_assert_eq!(sending.messages(), 0);
        accepted.sort_by_key(|m| (m.0, m.1));
        received.sort_by_key(|m| (m.0, m.1));
        prop_assert_eq!(accepted, received);
    }
}

/// P13.
#[test]
fn the_last_message_number_is_used_and_then_a_send_is_refused() {
    let mut sending = Sending::new(PLENTY, BODY, (1 << 32) - 1, u64::MAX - 1);
    sending.open(A);
    assert_eq!(sending.send(A, Guarantee::Agreed, 10), u64::MAX);
    for _ in 0..2 {
        let refused = sending.push(A, Guarantee::Agreed, Groups::default(), Bytes::new());
        assert_eq!(refused, Err(SendError::NumbersUsed));
    }
    assert_eq!(sending.records(), vec![(A.0, u64::MAX, 0, 10)]);
    assert_eq!(sending.settle(1 << 32), 1, "packets are counted on from where the ring is");
}
