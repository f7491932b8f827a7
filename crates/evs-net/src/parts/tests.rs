use super::*;

const LINK: LinkId = LinkId::FIRST;

fn packet(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|place| u8::try_from(place % 251).expect("small")).collect()
}

/// The parts of a packet as they travel.
fn cut(number: u64, bytes: &[u8], count: u8) -> Vec<Vec<u8>> {
    let part = |index| Part { number, index, ..Part::of(bytes.len(), count) };
    let encode = |part: Part| [&part.encode()[..], &bytes[part.range()]].concat();
    (0..count).map(part).map(encode).collect()
}

fn put(unfinished: &mut Unfinished, link: LinkId, payload: &[u8]) -> Put {
    let (part, bytes) = Part::decode(payload).expect("a part");
    unfinished.put(link, part, bytes)
}

#[test]
fn a_packet_is_whole_when_all_parts_came_in_any_order() {
    for (bytes, count) in [(1_422, 2), (1_423, 2), (8_922, 8), (PAYLOAD_BYTES_MAX, 56)] {
        let whole = packet(bytes);
        let mut parts = cut(7, &whole, count);
        let lengths: usize = parts.iter().map(|part| part.len() - PART_OVERHEAD).sum();
        assert_eq!(lengths, bytes);
        parts.reverse();
        parts.swap(0, usize::from(count) / 2);
        let last = parts.pop().expect("two at least");
        let mut unfinished = Unfinished::default();
        for part in &parts {
            assert_eq!(put(&mut unfinished, LINK, part), Put::Waits);
        }
        assert_eq!(put(&mut unfinished, LINK, &last), Put::Whole(whole));
        assert_eq!((unfinished.len(), unfinished.bytes), (0, 0));
    }
}

#[test]
fn parts_of_different_packets_and_links_are_not_mixed() {
    let (one, two) = (packet(1_400), vec![9; 1_400]);
    let other = LinkId::new(1).expect("a link");
    let mut unfinished = Unfinished::default();
    let (first, second) = (cut(1, &one, 2), cut(2, &two, 2));
    assert_eq!(put(&mut unfinished, LINK, &first[0]), Put::Waits);
    assert_eq!(put(&mut unfinished, LINK, &second[1]), Put::Waits);
    assert_eq!(put(&mut unfinished, other, &cut(1, &one, 3)[1]), Put::Waits, "cut otherwise there");
    assert_eq!(put(&mut unfinished, LINK, &second[0]), Put::Whole(two));
    assert_eq!(put(&mut unfinished, LINK, &first[1]), Put::Whole(one));
    assert_eq!(unfinished.len(), 1);
}

#[test]
fn a_part_that_fits_nothing_is_refused_and_spoils_nothing() {
    let whole = packet(1_400);
    let parts = cut(1, &whole, 2);
    let mut unfinished = Unfinished::default();
    assert_eq!(put(&mut unfinished, LINK, &parts[0]), Put::Waits);
    assert_eq!(put(&mut unfinished, LINK, &parts[0]), Put::Misfit, "it came before");
    assert_eq!(put(&mut unfinished, LINK, &cut(1, &whole, 3)[1]), Put::Misfit);
    assert_eq!(put(&mut unfinished, LINK, &cut(1, &whole[1..], 2)[1]), Put::Misfit);
    assert_eq!(put(&mut unfinished, LINK, &parts[1]), Put::Whole(whole));
}

#[test]
fn what_is_no_part_is_not_decoded() {
    let good = cut(1, &packet(1_000), 4).remove(3);
    assert!(Part::decode(&good).is_some());
    assert_eq!(Part::decode(&good[..PART_OVERHEAD]), None, "nothing in it");
    assert_eq!(Part::decode(&good[..good.len() - 1]), None, "too short");
    assert_eq!(Part::decode(&good[1..PART_OVERHEAD]), None);
    for (place, byte) in [(10, 4), (10, 255), (11, 0), (11, 1), (11, 3), (11, 65), (9, 255)] {
        let mut bad = good.clone();
        bad[place] = byte;
        assert_eq!(Part::decode(&bad), None, "byte {place} is {byte}");
    }
    // 10 bytes in 7 parts would be five of two bytes, and two of none.
    let empty = Part { number: 1, total: 10, index: 6, count: 7 };
    assert_eq!(Part::decode(&empty.encode()), None);
}

#[test]
fn of_more_unfinished_packets_than_there_may_be_the_oldest_is_given_up() {
    let whole = packet(1_400);
    let mut unfinished = Unfinished::default();
    for number in 0..UNFINISHED_PACKETS_MAX as u64 {
        assert_eq!(put(&mut unfinished, LINK, &cut(number, &whole, 2)[0]), Put::Waits);
    }
    assert_eq!((unfinished.len(), unfinished.given_up), (UNFINISHED_PACKETS_MAX, 0));
    assert_eq!(put(&mut unfinished, LINK, &cut(99, &whole, 2)[0]), Put::Waits);
    assert_eq!((unfinished.len(), unfinished.given_up), (UNFINISHED_PACKETS_MAX, 1));
    let second = cut(1, &whole, 2).remove(1);
    assert_eq!(put(&mut unfinished, LINK, &second), Put::Whole(whole.clone()), "the others stay");
    assert_eq!(put(&mut unfinished, LINK, &cut(0, &whole, 2)[1]), Put::Waits, "it was forgotten");
}

#[test]
fn of_more_bytes_than_there_may_be_the_oldest_are_given_up() {
    let whole = packet(UNFINISHED_BYTES_MAX / 8);
    let mut unfinished = Unfinished::default();
    for number in 0..100 {
        assert_eq!(put(&mut unfinished, LINK, &cut(number, &whole, 40)[0]), Put::Waits);
        let held: usize = unfinished.packets.iter().map(|packet| packet.bytes.len()).sum();
        assert_eq!(held, unfinished.bytes);
        assert!(held <= UNFINISHED_BYTES_MAX && unfinished.len() <= 8, "{held}");
    }
    assert_eq!(unfinished.given_up, 92);
}

/// One part in three is lost: what cannot be completed is forgotten, and nothing is mixed.
#[test]
fn loss_costs_the_packets_that_it_hits_and_no_others() {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut unfinished = Unfinished::default();
    let (mut whole, mut expected) = (0, 0);
    for number in 0..10_000_u64 {
        let bytes = [number.to_le_bytes(), [7; 8]].concat().repeat(90);
        let mut parts = cut(number, &bytes, 3);
        rng.shuffle(&mut parts);
        parts.retain(|_| rng.u8(0..10) >= 3);
        expected += u32::from(parts.len() == 3);
        for part in &parts {
            match put(&mut unfinished, LINK, part) {
                Put::Whole(packet) => {
                    assert_eq!(packet, bytes);
                    whole += 1;
                }
                Put::Waits => {}
                Put::Misfit => panic!("all parts are good"),
            }
        }
    }
    assert_eq!(whole, expected);
    assert!(unfinished.given_up > 5_000 && unfinished.len() <= UNFINISHED_PACKETS_MAX);
}
