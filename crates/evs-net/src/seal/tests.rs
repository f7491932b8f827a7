use std::collections::BTreeSet;

use evs_model::NodeId;

use super::*;
use crate::{DATAGRAM_BYTES_MAX, LINKS_MAX, SEAL_OVERHEAD};

const LINK: LinkId = LinkId::FIRST;

fn sender(node: u32, incarnation: u64) -> Processor {
    Processor::new(NodeId::new(node).expect("not zero"), incarnation)
}

fn keyring(secret: u8, cluster: &str) -> Keyring {
    Keyring::new(&SealMode::Sealed(ClusterKey::from_bytes(&[secret; 32])), cluster)
}

fn sealed(keyring: &Keyring, me: Processor, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Sealer::new(keyring, me).seal_one((LINK, None), Kind::Ring, payload, &mut out).expect("short");
    out
}

fn open(keyring: &Keyring, mut datagram: Vec<u8>) -> Result<Vec<u8>, Discard> {
    let header = Header::decode(&datagram, keyring.common())?;
    Opener::new(keyring, header.sender)
        .open(keyring, &header, &mut datagram)
        .map(|payload| payload.to_vec())
}

#[test]
fn what_was_sealed_is_opened() {
    let keyring = keyring(7, "test");
    for len in [0, 1, 1_400, PAYLOAD_BYTES_MAX] {
        let payload = vec![0xa5; len];
        let datagram = sealed(&keyring, sender(1, 2), &payload);
        assert_eq!(datagram.len(), len + SEAL_OVERHEAD);
        assert_eq!(open(&keyring, datagram), Ok(payload));
    }
}

/// Computed with Python's `cryptography`: HKDF (RFC 5869) and AESGCM, from the wire format alone.
#[test]
fn a_known_datagram_is_sealed_byte_for_byte() {
    let mut secret = [0; 32];
    secret.iter_mut().zip(0..).for_each(|(byte, value)| *byte = value);
    let keyring = Keyring::new(&SealMode::Sealed(ClusterKey::from_bytes(&secret)), "prod");
    for (to, known) in [(None, FOR_ALL), (NodeId::new(7), FOR_ONE)] {
        let mut out = Vec::new();
        let mut sealer = Sealer::new(&keyring, sender(3, 0x1122_3344_5566_7788));
        sealer.set_used(41);
        sealer.seal_one((LINK, to), Kind::Ring, b"a ring packet", &mut out).expect("short");
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, known);
    }
}

#[test]
fn a_seal_appends_and_leaves_what_was_there() {
    let keyring = keyring(7, "test");
    let mut out = b"before".to_vec();
    Sealer::new(&keyring, sender(1, 2))
        .seal_one((LINK, None), Kind::Hello, b"x", &mut out)
        .expect("short");
    assert_eq!(&out[..6], b"before");
    assert_eq!(open(&keyring, out[6..].to_vec()), Ok(b"x".to_vec()));
}

#[test]
fn no_counter_is_used_twice() {
    let keyring = keyring(7, "test");
    let mut sealer = Sealer::new(&keyring, sender(1, 2));
    let mut last = Vec::new();
    for counter in 1..=100 {
        let mut out = Vec::new();
        sealer.seal_one((LINK, None), Kind::Ring, b"same", &mut out).expect("short");
        let header = Header::decode(&out, keyring.common()).expect("ours");
        assert_eq!(header.counter, counter);
        assert_ne!(out[HEADER_LEN..], last[..]);
        last = out[HEADER_LEN..].to_vec();
    }
}

#[test]
fn the_last_counter_is_used_and_then_sealing_is_refused() {
    let keyring = keyring(7, "test");
    let mut sealer = Sealer::new(&keyring, sender(1, 2));
    sealer.set_used(u64::MAX - 1);
    let mut out = Vec::new();
    assert_eq!(sealer.seal_one((LINK, None), Kind::Ring, b"x", &mut out), Ok(()));
    let len = out.len();
    for _ in 0..3 {
        assert_eq!(
            sealer.seal_one((LINK, None), Kind::Ring, b"x", &mut out),
            Err(SealError::CountersUsed)
        );
    }
    assert_eq!(out.len(), len);
}

#[test]
fn the_last_counters_are_used_whether_or_not_packets_are_cut() {
    let keyring = keyring(7, "test");
    let in_parts = Cut { whole: None, parts: 3, others: Audience::All };
    for (cut, used) in
        [(Cut::WHOLE, [u64::MAX].as_slice()), (in_parts, &[u64::MAX - 2, u64::MAX - 1, u64::MAX])]
    {
        let mut sealer = Sealer::new(&keyring, sender(1, 2));
        sealer.set_used(u64::MAX - 1 - u64::from(cut.parts));
        let cuts = [cut; LINKS_MAX];
        let tickets =
            sealer.copies_cut(Links::one(LINK), None, false, cuts).expect("enough counters");
        let counters: Vec<u64> = tickets.map(|ticket| ticket.counter).collect();
        assert_eq!(counters, used);
        assert!(sealer.copies_cut(Links::one(LINK), None, false, cuts).is_err());
    }
}

#[test]
fn a_payload_over_the_limit_is_refused() {
    let keyring = keyring(7, "test");
    let mut sealer = Sealer::new(&keyring, sender(1, 2));
    let mut out = Vec::new();
    let payload = vec![0; PAYLOAD_BYTES_MAX + 1];
    let error =
        sealer.seal_one((LINK, None), Kind::Ring, &payload, &mut out).expect_err("too long");
    assert_eq!(error, SealError::TooLong(PAYLOAD_BYTES_MAX + 1));
    assert!(out.is_empty());
    sealer.seal_one((LINK, None), Kind::Ring, &payload[1..], &mut out).expect("at the limit");
    assert_eq!(out.len(), DATAGRAM_BYTES_MAX);
}

#[test]
fn a_wrong_key_opens_nothing() {
    let datagram = sealed(&keyring(7, "test"), sender(1, 2), b"x");
    assert_eq!(open(&keyring(8, "test"), datagram.clone()), Err(Discard::Key));
    // Even where the name in the header is the same, the key is not.
    let other = keyring(8, "test");
    let mut forged = datagram;
    forged[24..26].copy_from_slice(&other.ids()[0].to_le_bytes());
    assert_eq!(open(&other, forged), Err(Discard::Unauthenticated));
}

#[test]
fn a_wrong_cluster_name_opens_nothing_and_says_so() {
    let datagram = sealed(&keyring(7, "test"), sender(1, 2), b"x");
    let other = keyring(7, "tess");
    assert_eq!(open(&other, datagram.clone()), Err(Discard::Cluster));
    // Even where the short hash in the header is the same, the key is not.
    let mut forged = datagram;
    forged[6..10].copy_from_slice(&other.common().cluster);
    assert_eq!(open(&other, forged), Err(Discard::Unauthenticated));
}

#[test]
fn every_incarnation_of_every_node_has_its_own_key() {
    let keyring = keyring(7, "test");
    let body = |me| sealed(&keyring, me, b"the same")[HEADER_LEN..].to_vec();
    assert_ne!(body(sender(1, 2)), body(sender(1, 3)));
    assert_ne!(body(sender(1, 2)), body(sender(2, 2)));
}

#[test]
fn a_flip_of_any_bit_is_noticed() {
    let keyring = keyring(7, "test");
    let datagram = sealed(&keyring, sender(1, 2), b"some payload");
    for at in 0..datagram.len() {
        for bit in 0..8 {
            let mut flipped = datagram.clone();
            flipped[at] ^= 1 << bit;
            assert!(open(&keyring, flipped).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_truncation_to_any_length_is_noticed() {
    let keyring = keyring(7, "test");
    let datagram = sealed(&keyring, sender(1, 2), b"some payload");
    for len in 0..datagram.len() {
        assert!(open(&keyring, datagram[..len].to_vec()).is_err(), "{len} bytes");
    }
}

#[test]
fn without_a_seal_the_payload_is_readable_and_the_header_still_checked() {
    let clear = Keyring::new(&SealMode::Clear, "test");
    let datagram = sealed(&clear, sender(1, 2), b"in the clear");
    assert_eq!(&datagram[HEADER_LEN..], b"in the clear");
    assert_eq!(open(&clear, datagram.clone()), Ok(b"in the clear".to_vec()));
    assert_eq!(open(&keyring(7, "test"), datagram.clone()), Err(Discard::Length));
    let longer = [datagram.as_slice(), &[0; TAG_LEN]].concat();
    assert_eq!(open(&keyring(7, "test"), longer), Err(Discard::Seal));
    let other = Keyring::new(&SealMode::Clear, "other");
    assert_eq!(open(&other, datagram), Err(Discard::Cluster));
}

/// A datagram of one link is worth nothing on another, under any counter.
#[test]
fn the_link_is_authenticated() {
    let keyring = keyring(7, "test");
    let mut datagram = sealed(&keyring, sender(1, 2), b"x");
    datagram[22] = 1;
    assert_eq!(open(&keyring, datagram), Err(Discard::Unauthenticated));
}

/// One nonce space over all links: copies of one payload have counters of their own.
#[test]
fn the_copies_of_a_payload_differ_in_everything_but_their_number() {
    let keyring = keyring(7, "test");
    let mut sealer = Sealer::new(&keyring, sender(1, 2));
    sealer.set_used(40);
    let links: Links = [0, 3].into_iter().filter_map(LinkId::new).collect();
    let tickets: Vec<_> = sealer.copies(links, None, false).expect("counters").collect();
    let headers: Vec<_> = tickets
        .iter()
        .map(|ticket| {
            let mut out = Vec::new();
            sealer.seal(ticket, Kind::Ring, b"token", &mut out).expect("short");
            assert_eq!(open(&keyring, out.clone()), Ok(b"token".to_vec()));
            Header::decode(&out, keyring.common()).expect("ours")
        })
        .collect();
    assert_eq!(headers.iter().map(|h| h.counter).collect::<Vec<_>>(), [41, 42]);
    assert_eq!(headers.iter().map(|h| h.link.get()).collect::<Vec<_>>(), [0, 3]);
    assert!(headers.iter().all(|header| header.payload_number() == 41));
}

const FOR_ALL: &str = concat!(
    "4556530102016754af960300000088776655443322110000b488000000002a00000000000000",
    "c502d95737ed24c8806f839b05e03a4d182b6962789ad73a7aa06e9e8f",
);
const FOR_ONE: &str = concat!(
    "4556530102016754af960300000088776655443322110000b488070000002a00000000000000",
    "c502d95737ed24c8806f839b059c9b58758ec636396b9474b3017e280e",
);

/// A nonce is the counter, under a key of the incarnation: over restarts, links, parts and a change
/// of keys no pair of them comes twice, and so no two ciphertexts of one payload are the same.
#[test]
fn over_a_thousand_restarts_no_nonce_is_used_twice() {
    let mut keyring = keyring(7, "test");
    let old = keyring.ids()[0];
    let new = keyring.add(&ClusterKey::from_bytes(&[8; 32])).expect("another key");
    let (mut nonces, mut texts) = (BTreeSet::new(), BTreeSet::new());
    let links: Links = (0..LINKS_MAX).filter_map(LinkId::at).collect();
    let wide = Some(Audience::Wide);
    let cuts: Cuts = std::array::from_fn(|link| match link % 3 {
        0 => Cut::WHOLE,
        1 => Cut { whole: wide, parts: 2, others: Audience::Narrow },
        _ => Cut { whole: None, parts: 3, others: Audience::All },
    });
    for _ in 0..1_000 {
        keyring.use_key(old).expect("known");
        // As a node draws it when it starts.
        let me = sender(1, crate::random_u64());
        let mut sealer = Sealer::new(&keyring, me);
        for id in [old, new, old] {
            keyring.use_key(id).expect("known");
            sealer.take_key(&keyring);
            for alone in [true, false] {
                let tickets = sealer.copies_cut(links, None, alone, cuts);
                for ticket in tickets.expect("there are counters") {
                    let mut out = Vec::new();
                    sealer.seal(&ticket, Kind::Ring, &[0; 16], &mut out).expect("short");
                    let header = Header::decode(&out, keyring.common()).expect("ours");
                    assert!(nonces.insert((header.key, header.sender, header.counter)));
                    assert!(texts.insert(out[HEADER_LEN..].to_vec()), "{header:?}");
                }
            }
        }
    }
    // Three links carry the whole, three the whole and two parts, two three parts.
    assert_eq!((nonces.len(), texts.len()), (108_000, 108_000));
}
