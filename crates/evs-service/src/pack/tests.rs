//! Records against their bytes: round trips, exact sizes, and everything that is no record.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn content(groups: usize, body: usize) -> Content {
    let keys: Vec<_> = (0..groups).map(|i| Group([i.to_le_bytes()[0]; 32])).collect();
    let body: Vec<u8> = (0..body).map(|i| i.to_le_bytes()[0]).collect();
    Content { groups: Groups::new(&keys).expect("few"), body: body.into() }
}

fn head(guarantee: Guarantee, content: &Content) -> Head {
    Head {
        client: ClientId(7),
        number: 9,
        guarantee,
        groups: u16::try_from(content.groups.len()).expect("few"),
        total: u32::try_from(content.len()).expect("small"),
    }
}

/// A packet with one whole message.
fn whole(guarantee: Guarantee, content: &Content) -> Vec<u8> {
    let mut packer = Packer::new(BytesMut::new(), WHOLE_OVERHEAD + content.len());
    packer.whole(head(guarantee, content), content);
    packer.finish().0.to_vec()
}

/// A packet with one piece of a message.
fn piece(content: &Content, range: Range<usize>) -> Vec<u8> {
    let mut packer = Packer::new(BytesMut::new(), FRAGMENT_OVERHEAD + range.len());
    packer.fragment(head(Guarantee::Agreed, content), content, range);
    packer.finish().0.to_vec()
}

fn read(body: Vec<u8>, packet: Guarantee) -> Vec<Result<Record, Malformed>> {
    Records::new(body.into(), packet).collect()
}

#[test]
fn an_empty_message_to_nobody_is_a_record_of_its_overhead() {
    let empty = content(0, 0);
    let bytes = whole(Guarantee::Safe, &empty);
    assert_eq!(bytes.len(), WHOLE_OVERHEAD);
    let record = Record::Whole(head(Guarantee::Safe, &empty), Bytes::new());
    assert_eq!(read(bytes, Guarantee::Safe), [Ok(record)]);
}

#[test]
fn the_bytes_of_a_record_are_those_of_the_table() {
    let two = content(1, 2);
    let mut expected = vec![Guarantee::Safe as u8, 1, 0];
    expected.extend_from_slice(&7u64.to_le_bytes());
    expected.extend_from_slice(&9u64.to_le_bytes());
    expected.extend_from_slice(&34u32.to_le_bytes());
    expected.extend_from_slice(&[0; 32]);
    expected.extend_from_slice(&[0, 1]);
    assert_eq!(whole(Guarantee::Safe, &two), expected);
}

#[test]
fn fifo_and_agreed_messages_share_agreed_packets() {
    let one = content(0, 1);
    let mut body = whole(Guarantee::Fifo, &one);
    body.extend(whole(Guarantee::Agreed, &one));
    let guarantees: Vec<_> = Records::new(body.into(), Guarantee::Agreed)
        .map(|record| match record {
            Ok(Record::Whole(head, _)) => head.guarantee,
            Ok(Record::Fragment(..)) | Err(_) => panic!("two whole messages"),
        })
        .collect();
    assert_eq!(guarantees, [Guarantee::Fifo, Guarantee::Agreed]);
}

#[test]
fn a_message_does_not_travel_in_a_packet_of_another_guarantee() {
    let one = content(0, 1);
    for (message, packet) in [
        (Guarantee::Unordered, Guarantee::Agreed),
        (Guarantee::Agreed, Guarantee::Safe),
        (Guarantee::Safe, Guarantee::Unordered),
        (Guarantee::Fifo, Guarantee::Fifo),
    ] {
        assert_eq!(read(whole(message, &one), packet), [Err(Malformed::Guarantee)]);
    }
}

#[test]
fn a_piece_may_begin_in_the_groups_and_end_in_the_body() {
    let both = content(2, 10);
    let Ok(Record::Fragment(_, 60, bytes)) =
        read(piece(&both, 60..68), Guarantee::Agreed).remove(0)
    else {
        panic!("one piece at offset 60")
    };
    assert_eq!(&bytes[..], [1, 1, 1, 1, 0, 1, 2, 3]);
}

#[test]
fn nothing_is_read_behind_an_error() {
    let one = content(0, 1);
    let mut body = whole(Guarantee::Agreed, &one);
    body.extend([0b1000]);
    body.extend([0; WHOLE_OVERHEAD]);
    body.extend(whole(Guarantee::Agreed, &one));
    let records = read(body, Guarantee::Agreed);
    assert_eq!(records.len(), 2);
    assert!(records[0].is_ok());
    assert_eq!(records[1], Err(Malformed::Flags));
}

#[test]
fn a_record_cut_anywhere_is_truncated() {
    let both = content(1, 40);
    for bytes in [whole(Guarantee::Agreed, &both), piece(&both, 5..50)] {
        for cut in 1..bytes.len() {
            let records = read(bytes[..cut].to_vec(), Guarantee::Agreed);
            assert_eq!(records, [Err(Malformed::Truncated)], "cut at {cut}");
        }
    }
}

#[test]
fn a_message_at_its_limits_is_read_and_one_byte_or_group_more_refused() {
    let largest = u32::try_from(MESSAGE_BYTES_CAP + Groups::MAX * Group::LEN).expect("small");
    let read_head = |groups: u16, total: u32| {
        let mut bytes = piece(&content(0, 2), 0..1);
        bytes[1..3].copy_from_slice(&groups.to_le_bytes());
        bytes[19..23].copy_from_slice(&total.to_le_bytes());
        read(bytes, Guarantee::Agreed).remove(0).map(|_| ())
    };
    assert_eq!(read_head(1024, largest), Ok(()));
    assert_eq!(read_head(1024, largest + 1), Err(Malformed::TooLong));
    assert_eq!(read_head(1023, largest), Err(Malformed::TooLong));
    assert_eq!(read_head(1025, largest), Err(Malformed::Groups));
    assert_eq!(read_head(1024, 1023 * 32), Err(Malformed::Groups));
    assert_eq!(read_head(u16::MAX, u32::MAX), Err(Malformed::Groups));
}

#[test]
fn a_piece_that_is_empty_or_everything_or_outside_is_refused() {
    let read_piece = |offset: u32, length: u32| {
        let mut bytes = piece(&content(0, 10), 0..9);
        bytes[23..27].copy_from_slice(&offset.to_le_bytes());
        bytes[27..31].copy_from_slice(&length.to_le_bytes());
        read(bytes, Guarantee::Agreed).remove(0).map(|_| ())
    };
    assert_eq!(read_piece(1, 9), Ok(()));
    assert_eq!(read_piece(0, 0), Err(Malformed::Piece));
    assert_eq!(read_piece(0, 10), Err(Malformed::Piece));
    assert_eq!(read_piece(2, 9), Err(Malformed::Piece));
    assert_eq!(read_piece(u32::MAX, 9), Err(Malformed::Piece));
}

proptest! {
    /// Nothing that comes from the network can do more than be refused.
    #[test]
    fn any_bytes_are_records_or_an_error(body: Vec<u8>, packet in 0u8..4) {
        let packet = Guarantee::try_from(packet).expect("a guarantee");
        let length = body.len();
        let records = read(body, packet);
        prop_assert!(records.len() <= length / WHOLE_OVERHEAD + 1);
        prop_assert!(records.iter().rev().skip(1).all(Result::is_ok));
    }

    /// One wrong byte is never more than wrong content or an error.
    #[test]
    fn a_flipped_byte_is_survived(at in 0usize..80, flip in 1u8..) {
        let both = content(1, 10);
        let mut body = whole(Guarantee::Agreed, &both);
        body.extend(piece(&both, 3..9));
        let at = at % body.len();
        body[at] ^= flip;
        for record in read(body, Guarantee::Agreed).into_iter().flatten() {
            if let Record::Whole(head, content) = record {
                head.split(content);
            }
        }
    }
}

#[test]
fn the_memory_of_bodies_is_used_again_when_nobody_holds_them() {
    let content = content(1, 1000);
    let mut memory = BytesMut::new();
    let mut places = alloc::collections::BTreeSet::new();
    for _ in 0..10_000 {
        let mut packer = Packer::new(memory, 1400);
        packer.whole(head(Guarantee::Agreed, &content), &content);
        let body;
        (body, memory) = packer.finish();
        places.insert(body.as_ptr());
    }
    assert!(places.len() <= crate::memory::BLOCK_BYTES / 1000, "{} places", places.len());
}
