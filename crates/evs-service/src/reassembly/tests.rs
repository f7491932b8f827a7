//! Pieces in order, out of order, missing, foreign and hostile.

use alloc::vec;

use evs_model::NodeId;

use super::*;

const CONTENT: &[u8] = b"0123456789";

fn sender(node: u32) -> Processor {
    Processor::new(NodeId::new(node).expect("not zero"), 1)
}

fn head(guarantee: Guarantee, client: u64, number: u64) -> Head {
    Head { client: ClientId(client), number, guarantee, groups: 0, total: 10 }
}

const AGREED: Guarantee = Guarantee::Agreed;
const UNORDERED: Guarantee = Guarantee::Unordered;

impl Reassembly {
    /// Takes `CONTENT[from..to]` of client 1's message from processor 1.
    fn piece(
        &mut self,
        guarantee: Guarantee,
        number: u64,
        seq: u64,
        (from, to): (u32, usize),
    ) -> Option<Complete> {
        let piece = Bytes::from_static(&CONTENT[from as usize..to]);
        self.take(sender(1), seq, head(guarantee, 1, number), from, &piece)
    }
}

fn complete(seq: u64) -> Option<Complete> {
    Some(Complete { content: Bytes::from_static(CONTENT), seq })
}

#[test]
fn ordered_pieces_make_a_message_at_the_place_of_the_last() {
    let mut reassembly = Reassembly::default();
    assert_eq!(reassembly.piece(AGREED, 1, 5, (0, 4)), None);
    assert_eq!(reassembly.piece(AGREED, 1, 6, (4, 8)), None);
    assert_eq!(reassembly.piece(AGREED, 1, 9, (8, 10)), complete(9));
    assert_eq!((reassembly.incomplete(), reassembly.dropped()), (0, 0));
}

#[test]
fn pieces_of_different_senders_never_mix() {
    let mut reassembly = Reassembly::default();
    assert_eq!(reassembly.piece(AGREED, 1, 1, (0, 4)), None);
    let other = Bytes::from_static(b"abcd");
    assert_eq!(reassembly.take(sender(2), 2, head(AGREED, 1, 1), 0, &other), None);
    assert_eq!(reassembly.piece(AGREED, 1, 3, (4, 10)), complete(3));
    assert_eq!(reassembly.incomplete(), 1);
}

#[test]
fn an_ordered_message_with_a_missing_piece_is_dropped() {
    let mut reassembly = Reassembly::default();
    assert_eq!(reassembly.piece(AGREED, 1, 1, (0, 4)), None);
    assert_eq!(reassembly.piece(AGREED, 1, 3, (8, 10)), None);
    assert_eq!((reassembly.incomplete(), reassembly.dropped()), (0, 1));
    assert_eq!(reassembly.piece(AGREED, 1, 4, (4, 8)), None);
    assert_eq!(reassembly.dropped(), 2);
}

#[test]
fn an_ordered_message_that_another_interrupts_is_dropped() {
    let mut reassembly = Reassembly::default();
    assert_eq!(reassembly.piece(AGREED, 1, 1, (0, 4)), None);
    assert_eq!(reassembly.piece(AGREED, 2, 2, (0, 4)), None);
    assert_eq!((reassembly.incomplete(), reassembly.dropped()), (1, 1));
    assert_eq!(reassembly.piece(AGREED, 2, 3, (4, 10)), complete(3));
}

#[test]
fn a_piece_that_contradicts_its_message_drops_it() {
    let mut reassembly = Reassembly::default();
    assert_eq!(reassembly.piece(AGREED, 1, 1, (0, 4)), None);
    let lie = Head { total: 8, ..head(AGREED, 1, 1) };
    assert_eq!(reassembly.take(sender(1), 2, lie, 4, &Bytes::from_static(b"4567")), None);
    assert_eq!((reassembly.incomplete(), reassembly.dropped()), (0, 1));
}

#[test]
fn unordered_pieces_make_a_message_in_any_order() {
    let mut reassembly = Reassembly::default();
    assert_eq!(reassembly.piece(UNORDERED, 1, 9, (8, 10)), None);
    assert_eq!(reassembly.piece(UNORDERED, 2, 10, (0, 5)), None);
    assert_eq!(reassembly.piece(UNORDERED, 1, 7, (0, 4)), None);
    assert_eq!(reassembly.piece(UNORDERED, 1, 8, (4, 8)), complete(9));
    assert_eq!(reassembly.piece(UNORDERED, 2, 11, (5, 10)), complete(11));
    assert_eq!((reassembly.incomplete(), reassembly.dropped()), (0, 0));
}

#[test]
fn unordered_pieces_that_overlap_are_dropped() {
    let mut reassembly = Reassembly::default();
    assert_eq!(reassembly.piece(UNORDERED, 1, 1, (2, 6)), None);
    for (dropped, range) in [(1, (2, 6)), (2, (0, 3)), (3, (5, 9)), (4, (3, 4)), (5, (1, 9))] {
        assert_eq!(reassembly.piece(UNORDERED, 1, 2, range), None);
        assert_eq!(reassembly.dropped(), dropped, "{range:?}");
    }
    assert_eq!(reassembly.piece(UNORDERED, 1, 3, (0, 2)), None);
    assert_eq!(reassembly.piece(UNORDERED, 1, 4, (6, 10)), complete(4));
}

#[test]
fn unordered_and_ordered_messages_do_not_disturb_each_other() {
    let mut reassembly = Reassembly::default();
    assert_eq!(reassembly.piece(AGREED, 1, 1, (0, 4)), None);
    assert_eq!(reassembly.piece(UNORDERED, 2, 2, (5, 10)), None);
    assert_eq!(reassembly.piece(AGREED, 1, 3, (4, 10)), complete(3));
    assert_eq!(reassembly.piece(UNORDERED, 2, 1, (0, 5)), complete(2));
}

#[test]
fn incomplete_unordered_messages_of_a_sender_are_bounded() {
    let mut reassembly = Reassembly::default();
    for number in 1..=UNORDERED_PARTIALS_MAX as u64 {
        assert_eq!(reassembly.piece(UNORDERED, number, number, (0, 4)), None);
    }
    assert_eq!(reassembly.dropped(), 0);
    let over = UNORDERED_PARTIALS_MAX as u64 + 1;
    assert_eq!(reassembly.piece(UNORDERED, over, over, (0, 4)), None);
    assert_eq!((reassembly.incomplete(), reassembly.dropped()), (UNORDERED_PARTIALS_MAX, 1));
    assert_eq!(reassembly.piece(UNORDERED, 1, over + 1, (4, 10)), complete(over + 1));
}

#[test]
fn after_a_new_configuration_nothing_old_is_continued() {
    let mut reassembly = Reassembly::default();
    assert_eq!(reassembly.piece(AGREED, 1, 1, (0, 4)), None);
    assert_eq!(reassembly.piece(UNORDERED, 2, 2, (0, 4)), None);
    assert_eq!(reassembly.clear(), 2);
    assert_eq!(reassembly.piece(AGREED, 1, 1, (4, 10)), None);
    assert_eq!(reassembly.piece(UNORDERED, 2, 2, (4, 10)), None);
    assert_eq!(reassembly.incomplete(), 1);
}

#[test]
fn memory_follows_what_arrives_not_what_is_announced() {
    let mut reassembly = Reassembly::default();
    let huge = Head { total: 16 << 20, ..head(AGREED, 1, 1) };
    let piece: Bytes = vec![0; 100].into();
    assert_eq!(reassembly.take(sender(1), 1, huge, 0, &piece), None);
    let held = reassembly.senders[&sender(1)].ordered.as_ref().map(|o| o.content.capacity());
    assert_eq!(held, Some(RESERVE_MAX));
}
