use super::*;
use crate::Discard;
use crate::testing::{DETECTION, INTERVAL, World, config, node};

/// Nodes of builds that speak these versions, from node 1 on, after some rounds of hellos.
fn world(spoken: &[(u16, u16)]) -> World {
    let mut world = World::empty();
    let count = u32::try_from(spoken.len()).expect("few");
    for (id, spoken) in (1..=count).zip(spoken) {
        world.start_speaking(config(id, u64::from(id) * 100, count), *spoken);
    }
    world.run(INTERVAL * 4);
    world
}

fn all_hear_each_other(world: &World) -> bool {
    (0..world.nodes.len()).all(|index| world.heard(index).len() + 1 == world.nodes.len())
}

fn speak(world: &World) -> Vec<u8> {
    (0..world.nodes.len()).map(|index| world.speaks(index)).collect()
}

#[test]
fn the_highest_common_version_is_spoken() {
    for (spoken, expected) in [
        (&[(1, 1), (1, 1)][..], 1),
        (&[(1, 1), (1, 2)], 1),
        (&[(1, 2), (1, 2)], 2),
        (&[(1, 2), (2, 3)], 2),
        (&[(1, 3), (2, 4)], 3),
        (&[(1, 2), (1, 1), (1, 2)], 1),
        (&[(2, 3), (1, 2), (2, 3)], 2),
    ] {
        let mut world = world(spoken);
        assert!(all_hear_each_other(&world), "{spoken:?}");
        assert_eq!(speak(&world), vec![expected; spoken.len()], "{spoken:?}");
        world.send(0, 1, b"data");
        world.run(INTERVAL);
        assert_eq!(world.nodes[1].packets.len(), 1, "{spoken:?}");
    }
}

#[test]
fn builds_without_a_common_version_do_not_hear_each_other_and_both_count_it() {
    let world = world(&[(1, 1), (2, 2)]);
    for index in [0, 1] {
        assert!(world.heard(index).is_empty());
        assert!(world.discarded(index, Discard::Version) > 0, "process {index}");
    }
}

#[test]
fn a_node_that_comes_with_an_older_build_is_spoken_to_in_its_version_and_gone_no_more() {
    let mut world = world(&[(1, 2), (1, 2)]);
    let mut third = config(3, 300, 3);
    for index in [0, 1] {
        world.nodes[index].endpoint.add_peer(node(3)).expect("new");
    }
    assert_eq!(speak(&world), [2, 2]);
    let old = world.start_speaking(third.clone(), (1, 1));
    world.add_to_lists(old);
    world.run_until(DETECTION, all_hear_each_other);
    assert_eq!(speak(&world), [1, 1, 1]);
    world.kill(old);
    third.me.incarnation += 1;
    let new = world.start_speaking(third, (1, 2));
    world.run_until(DETECTION * 3, |world| {
        [0, 1, new].iter().all(|index| world.heard(*index).len() == 2 && world.speaks(*index) == 2)
    });
    assert!(world.downs(0).iter().all(|(peer, _)| peer.node == node(3)), "no other was lost");
}

#[test]
fn of_three_versions_those_two_stay_together_that_were() {
    let mut world = world(&[(1, 2), (2, 3)]);
    for index in [0, 1] {
        world.nodes[index].endpoint.add_peer(node(3)).expect("new");
    }
    let old = world.start_speaking(config(3, 300, 3), (1, 1));
    world.add_to_lists(old);
    world.run(DETECTION * 5);
    assert_eq!(speak(&world), [2, 2, 1]);
    assert_eq!((world.heard(0).len(), world.heard(1).len(), world.heard(old).len()), (1, 1, 0));
    assert!(world.downs(0).is_empty() && world.downs(1).is_empty());
}

#[test]
fn a_peer_that_comes_back_as_a_much_older_build_is_found_again() {
    let mut world = world(&[(2, 3), (3, 4)]);
    assert_eq!(speak(&world), [3, 3]);
    world.kill(1);
    let old = world.start_speaking(config(2, 201, 2), (1, 2));
    world.run_until(DETECTION * 4, |world| world.heard(old).len() == 1);
    assert_eq!((world.speaks(0), world.speaks(old)), (2, 2));
}

#[test]
fn notes_of_foreign_versions_are_one_for_each_node() {
    let mut foreigners = Foreigners::default();
    let source = |port| SocketAddr::from(([127, 0, 0, 1], port));
    for round in 1..=1000 {
        let at = Instant::from_nanos(u64::from(round));
        foreigners.note(at, source(round), 9, Some(node(2)));
        foreigners.note(at, source(round), 7, None);
    }
    let notes: Vec<_> = foreigners.iter().map(|n| (n.node, n.version, n.datagrams)).collect();
    assert_eq!(notes, [(Some(node(2)), 9, 1000), (None, 7, 1000)]);
    assert_eq!(foreigners.iter().next().map(|note| note.source), Some(source(1000)));
    foreigners.forget(node(2));
    assert_eq!(foreigners.iter().count(), 1);
}

#[test]
fn a_claim_is_read_where_it_stands_in_all_versions() {
    let mut datagram = [0xff; HEADER_LEN];
    datagram[3] = 77;
    datagram[10..14].copy_from_slice(&5u32.to_le_bytes());
    assert_eq!(Claim::of(&datagram), Some(Claim { version: 77, node: Some(node(5)) }));
    assert_eq!(Claim::of(&datagram[1..]), None);
}
