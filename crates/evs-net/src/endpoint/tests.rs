use std::time::Duration;

use super::*;
use crate::testing::{DETECTION, INTERVAL, World, config, node, processor};
use crate::{ClusterKey, DATAGRAM_BYTES_MAX};

#[test]
fn a_ring_packet_of_a_peer_that_is_heard_is_handed_up() {
    let mut world = World::formed(2);
    let packet = world.sealed(1, b"payload");
    let mut bytes = packet.clone();
    let now = world.now;
    let incoming = world.nodes[0].endpoint.handle_datagram(now, LinkId::FIRST, &mut bytes);
    let incoming = incoming.expect("fresh").expect("a ring packet");
    assert_eq!(incoming, Incoming { from: processor(2, 200), payload: b"payload"[..].into() });
    assert_eq!(world.nodes[0].endpoint.stats().packets_received, 1);
}

#[test]
fn the_same_bytes_are_for_every_peer() {
    let mut world = World::formed(3);
    let packet = world.sealed(0, b"for all");
    assert_eq!(world.inject(0, 1, &packet), Ok(Some(b"for all".to_vec())));
    assert_eq!(world.inject(0, 2, &packet), Ok(Some(b"for all".to_vec())));
}

#[test]
fn a_replayed_datagram_is_dropped() {
    let mut world = World::formed(2);
    let packet = world.sealed(1, b"once");
    assert!(world.inject(1, 0, &packet).is_ok());
    assert_eq!(world.inject(1, 0, &packet), Err(Discard::Replayed));
    let (_, hello) = world.recorded.iter().rfind(|(from, _)| *from == 1).expect("sent").clone();
    world.run(INTERVAL);
    assert_eq!(world.inject(1, 0, &hello), Err(Discard::Replayed), "hellos too");
}

#[test]
fn a_datagram_that_was_overtaken_is_taken_once() {
    let mut world = World::formed(2);
    let first = world.sealed(1, b"first");
    let second = world.sealed(1, b"second");
    assert_eq!(world.inject(1, 0, &second), Ok(Some(b"second".to_vec())));
    assert_eq!(world.inject(1, 0, &first), Ok(Some(b"first".to_vec())));
    assert_eq!(world.inject(1, 0, &first), Err(Discard::Replayed));
}

#[test]
fn a_ring_packet_of_a_peer_that_is_not_verified_is_dropped() {
    let mut world = World::formed(2);
    let stranger = world.start_elsewhere(config(2, 999, 2));
    let packet = world.sealed(stranger, b"early");
    assert_eq!(world.inject(stranger, 0, &packet), Err(Discard::UnknownIncarnation));
    world.run(INTERVAL);
    let packet = world.sealed(stranger, b"introduced, but not the owner of the id");
    assert_eq!(world.inject(stranger, 0, &packet), Err(Discard::NotHeard));
}

#[test]
fn a_ring_packet_of_a_peer_that_is_down_is_dropped() {
    let mut world = World::formed(2);
    let late = world.sealed(1, b"late");
    world.kill(1);
    world.run(DETECTION * 2);
    assert_eq!(world.inject(1, 0, &late), Err(Discard::NotHeard));
}

#[test]
fn a_node_that_is_not_listed_is_a_stranger_before_any_cryptography() {
    let mut world = World::formed(2);
    let stranger = world.start_elsewhere(config(9, 900, 2));
    world.run(INTERVAL);
    assert_eq!(world.heard(0).len(), 1);
    assert!(world.discarded(0, Discard::Stranger) > 0);
    let mut packet = world.sealed(stranger, b"x");
    *packet.last_mut().expect("not empty") ^= 1;
    assert_eq!(world.inject(stranger, 0, &packet), Err(Discard::Stranger), "not opened");
}

#[test]
fn my_own_datagrams_are_dropped_and_counted_apart() {
    let mut world = World::formed(2);
    let own = world.sealed(0, b"came back");
    assert_eq!(world.inject(0, 0, &own), Err(Discard::Own));
    assert_eq!(world.discarded(0, Discard::Own), 1);
}

#[test]
fn nodes_with_different_keys_do_not_hear_each_other() {
    let mut world = World::empty();
    world.start(config(1, 100, 2));
    let seal = SealMode::Sealed(ClusterKey::from_bytes(&[8; 32]));
    world.start(EndpointConfig { seal, ..config(2, 200, 2) });
    world.run(DETECTION);
    for index in 0..2 {
        assert_eq!(world.nodes[index].events, []);
        assert!(world.discarded(index, Discard::Key) > 5, "not even opened");
    }
}

#[test]
fn nodes_of_different_clusters_do_not_hear_each_other() {
    let mut world = World::empty();
    world.start(config(1, 100, 2));
    world.start(EndpointConfig { cluster: "other".to_owned(), ..config(2, 200, 2) });
    world.run(DETECTION);
    assert_eq!((world.heard(0), world.heard(1)), (vec![], vec![]));
    assert!(world.discarded(0, Discard::Cluster) > 5);
}

#[test]
fn a_node_without_seal_and_one_with_it_do_not_hear_each_other() {
    let mut world = World::empty();
    world.start(config(1, 100, 2));
    world.start(EndpointConfig { seal: SealMode::Clear, ..config(2, 200, 2) });
    world.run(DETECTION);
    assert_eq!((world.heard(0), world.heard(1)), (vec![], vec![]));
    assert!(world.discarded(0, Discard::Seal) > 5);
    assert!(world.discarded(1, Discard::Seal) > 5);
}

#[test]
fn without_a_seal_challenges_and_replay_windows_work_all_the_same() {
    let mut world = World::empty();
    for id in [1, 2] {
        world.start(EndpointConfig { seal: SealMode::Clear, ..config(id, 100, 2) });
    }
    world.run(INTERVAL);
    assert!(!world.nodes[0].endpoint.is_sealed());
    assert_eq!(world.heard(0), [processor(2, 100)]);
    let packet = world.sealed(1, b"clear");
    assert_eq!(world.inject(1, 0, &packet), Ok(Some(b"clear".to_vec())));
    assert_eq!(world.inject(1, 0, &packet), Err(Discard::Replayed));
}

#[test]
fn a_flip_of_any_byte_and_any_truncation_is_dropped_and_changes_nothing() {
    let mut world = World::formed(2);
    let packet = world.sealed(1, b"some payload");
    for at in 0..packet.len() {
        let mut flipped = packet.clone();
        flipped[at] ^= 0x41;
        assert!(world.inject(1, 0, &flipped).is_err(), "byte {at}");
        assert!(world.inject(1, 0, &packet[..at]).is_err(), "{at} bytes");
    }
    assert_eq!(world.inject(1, 0, &packet), Ok(Some(b"some payload".to_vec())));
}

#[test]
fn an_authentic_hello_that_cannot_be_decoded_is_counted() {
    let mut world = World::formed(2);
    let mut bytes = Vec::new();
    let peer = &mut world.nodes[1].endpoint;
    peer.sealer
        .seal_one((LinkId::FIRST, None), Kind::Hello, b"no hello", &mut bytes)
        .expect("short");
    assert_eq!(world.inject(1, 0, &bytes), Err(Discard::BadHello));
}

#[test]
fn a_flood_of_garbage_is_counted_and_changes_nothing() {
    let mut world = World::formed(2);
    let mut rng = fastrand::Rng::with_seed(4);
    let template = world.sealed(1, &[0; 100]);
    let before: u64 = world.nodes[0].endpoint.stats().discards().map(|(_, count)| count).sum();
    let garbage = 20_000;
    for _ in 0..garbage {
        let mut bytes = template.clone();
        // Half of it looks right up to a random place.
        let from = rng.usize(..2 * bytes.len());
        bytes.iter_mut().skip(from % template.len()).for_each(|byte| *byte = rng.u8(..));
        bytes.truncate(rng.usize(..=bytes.len()));
        assert!(world.inject(1, 0, &bytes).is_err());
    }
    let after: u64 = world.nodes[0].endpoint.stats().discards().map(|(_, count)| count).sum();
    assert_eq!(after - before, garbage);
    world.run(DETECTION * 2);
    assert_eq!(world.downs(0), []);
}

#[test]
fn time_that_goes_back_is_taken_as_the_latest_seen() {
    let mut world = World::formed(2);
    let endpoint = &mut world.nodes[0].endpoint;
    endpoint.handle_timeout(world.now);
    endpoint.handle_timeout(Instant::from_nanos(0));
    while endpoint.poll_output().is_some() {}
    world.run(DETECTION * 2);
    assert_eq!(world.downs(0), []);
    assert_eq!(world.nodes[0].endpoint.stats().pauses, 0);
}

#[test]
fn the_first_hello_is_due_at_once_and_the_next_within_an_interval() {
    let start = Instant::from_nanos(1_000);
    let mut endpoint = Endpoint::new(config(1, 100, 2), 1, start);
    assert_eq!(endpoint.poll_timeout(), Some(start));
    endpoint.handle_timeout(start);
    let output = endpoint.poll_output().expect("a hello");
    assert!(matches!(output, EndpointOutput::Hello { to: Destination::All, .. }), "{output:?}");
    let next = endpoint.poll_timeout().expect("always").since(start);
    assert!((INTERVAL * 7 / 8..=INTERVAL).contains(&next), "{next:?}");
}

#[test]
fn a_payload_over_the_limit_is_refused_and_counted() {
    let mut endpoint = Endpoint::new(config(1, 100, 2), 1, Instant::from_nanos(0));
    let mut out = Vec::new();
    let ticket = endpoint.copies_for_all(DATAGRAM_BYTES_MAX).expect("counters").next();
    let ticket = ticket.expect("a link");
    let error = endpoint.seal(ticket, &vec![0; DATAGRAM_BYTES_MAX], &mut out);
    let error = error.expect_err("too long");
    assert!(matches!(error, SealError::TooLong(_)), "{error}");
    assert_eq!(endpoint.stats().seals_refused, 1);
}

#[test]
fn each_limit_of_the_configuration_has_its_error() {
    let good = config(1, 100, 128);
    assert_eq!(good.validate(), Ok(()));
    let check = |change: fn(&mut EndpointConfig)| {
        let mut config = config(1, 100, 128);
        change(&mut config);
        config.validate().expect_err("a mistake")
    };
    assert_eq!(check(|c| c.peers.push(node(129))), ConfigError::TooManyPeers(128));
    assert_eq!(check(|c| c.peers[5] = node(4)), ConfigError::NodeTwice(node(4)));
    assert_eq!(check(|c| c.peers[5] = node(1)), ConfigError::NodeTwice(node(1)));
    assert_eq!(check(|c| c.cluster.clear()), ConfigError::ClusterName(0));
    assert_eq!(check(|c| c.cluster = "x".repeat(129)), ConfigError::ClusterName(129));
    assert_eq!(check(|c| c.links.clear()), ConfigError::Links(0));
    assert_eq!(check(|c| c.links = vec![LinkTerms::PLAIN; 9]), ConfigError::Links(9));
    let short = Duration::from_millis(9);
    assert_eq!(check(|c| c.detection = Duration::from_millis(9)), ConfigError::Detection(short));
}
