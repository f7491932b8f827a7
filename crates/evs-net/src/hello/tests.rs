use super::*;

fn echo(node: u32) -> Echo {
    let node = NodeId::new(node).expect("not zero");
    Echo {
        node,
        incarnation: 0x1122,
        challenge: 0x3344_5566_7788,
        stamp: 99,
        received: 1_000,
        received_large: 7,
        losses: Losses { loss_ppm: 12_300, narrow: true },
    }
}

fn hello(nodes: &[u32]) -> Hello {
    Hello {
        challenge: 1,
        age_ms: 2,
        stamp: 3,
        heard: 4,
        detection_ms: 1_000,
        covers: (1, u32::MAX),
        versions: Versions::new(1, 2).expect("in order"),
        echoes: nodes.iter().copied().map(echo).collect(),
        full: false,
        other: false,
        holder: Some(Holder { incarnation: 5, age_ms: 6 }),
    }
}

fn encoded(hello: &Hello) -> Vec<u8> {
    padded(hello, 0)
}

fn padded(hello: &Hello, full_bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    hello.encode(full_bytes, &mut out);
    out
}

#[test]
fn a_full_hello_is_padded_with_zeros_and_nothing_else() {
    let hello = Hello { full: true, ..hello(&[1, 2]) };
    let mut bytes = padded(&hello, 1_400);
    assert_eq!(bytes.len(), 1_400);
    assert_eq!(Hello::decode(&bytes), Ok(hello.clone()));
    bytes[1_399] = 1;
    assert_eq!(Hello::decode(&bytes), Err(HelloError::Padding));
    assert_eq!(padded(&hello, 10), encoded(&hello), "it is that large already");
}

#[test]
fn a_hello_survives_encoding() {
    for nodes in [&[][..], &[1], &[1, 2, u32::MAX]] {
        let mut hello = hello(nodes);
        assert_eq!(Hello::decode(&encoded(&hello)), Ok(hello.clone()));
        (hello.holder, hello.other) = (None, true);
        assert_eq!(Hello::decode(&encoded(&hello)), Ok(hello));
    }
}

#[test]
fn every_truncation_and_every_extension_is_an_error() {
    let bytes = encoded(&hello(&[1, 2, 3]));
    for len in 0..bytes.len() {
        assert_eq!(Hello::decode(&bytes[..len]), Err(HelloError::Length(len)), "{len}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Hello::decode(&longer), Err(HelloError::Length(longer.len())));
}

#[test]
fn the_number_of_echoes_has_a_limit() {
    let nodes: Vec<u32> = (1..=32).collect();
    let mut bytes = encoded(&hello(&nodes));
    assert_eq!(Hello::decode(&bytes).expect("at the limit").echoes.len(), HELLO_ECHOES_MAX);
    bytes[35] = 41;
    assert_eq!(Hello::decode(&bytes), Err(HelloError::TooManyEchoes(41)));
}

#[test]
fn a_hello_with_all_echoes_fits_the_smallest_ipv6_packet() {
    let nodes: Vec<u32> = (1..=32).collect();
    assert!(encoded(&hello(&nodes)).len() <= crate::payload_bytes_max(1280, true));
}

#[test]
fn echoes_out_of_order_twice_or_out_of_range_are_refused() {
    for nodes in [&[2, 1][..], &[2, 2], &[u32::MAX, u32::MAX]] {
        assert_eq!(Hello::decode(&encoded(&hello(nodes))), Err(HelloError::Field), "{nodes:?}");
    }
    for covers in [(2, 9), (1, 2), (3, 1)] {
        let hello = Hello { covers, ..hello(&[1, 3]) };
        assert_eq!(Hello::decode(&encoded(&hello)), Err(HelloError::Field), "{covers:?}");
    }
}

#[test]
fn a_detection_target_out_of_range_is_refused() {
    for (detection_ms, fits) in [(9, false), (10, true), (60_000, true), (60_001, false)] {
        let hello = Hello { detection_ms, ..hello(&[]) };
        assert_eq!(Hello::decode(&encoded(&hello)).is_ok(), fits, "{detection_ms}");
    }
}

#[test]
fn node_zero_and_unknown_flags_are_refused() {
    let mut bytes = encoded(&hello(&[1]));
    bytes[37] = 0;
    assert_eq!(Hello::decode(&bytes), Err(HelloError::Field));
    let mut bytes = encoded(&hello(&[1]));
    bytes[32] = 8;
    assert_eq!(Hello::decode(&bytes), Err(HelloError::Field));
}

#[test]
fn a_hello_says_nothing_about_nodes_that_it_does_not_cover() {
    let hello = Hello { covers: (2, 5), ..hello(&[3]) };
    let about = |node| hello.about(NodeId::new(node).expect("not zero"));
    assert_eq!(about(1), None);
    assert_eq!(about(2), Some(None));
    assert_eq!(about(3), Some(Some(echo(3))));
    assert_eq!(about(6), None);
}

#[test]
fn random_bytes_never_panic() {
    let mut rng = fastrand::Rng::with_seed(1);
    let valid = encoded(&hello(&[1, 7, 9]));
    for _ in 0..20_000 {
        let mut bytes = valid.clone();
        for _ in 0..rng.usize(1..5) {
            let at = rng.usize(..bytes.len());
            bytes[at] = rng.u8(..);
        }
        bytes.truncate(rng.usize(..=bytes.len()));
        if let Ok(hello) = Hello::decode(&bytes) {
            assert_eq!(padded(&hello, bytes.len()), bytes, "one value, one encoding");
        }
    }
}

#[test]
fn version_zero_and_an_inverted_range_of_versions_are_refused() {
    for (lowest, highest) in [(0, 1), (2, 1)] {
        let mut bytes = encoded(&hello(&[1]));
        (bytes[33], bytes[34]) = (lowest, highest);
        assert_eq!(Hello::decode(&bytes), Err(HelloError::Field), "{lowest} to {highest}");
    }
}
