use super::*;
use crate::Discard;
use crate::testing::{DETECTION, INTERVAL, World, config, processor};

fn key(byte: u8) -> ClusterKey {
    ClusterKey::from_bytes(&[byte; 32])
}

fn keyring() -> Keyring {
    Keyring::new(&SealMode::Sealed(key(7)), "test")
}

/// D31: add, use, drop; each on every node before the next.
#[test]
fn a_key_is_changed_under_way_without_losing_anybody() {
    let mut world = World::formed(3);
    let (old, new) = (key_name(&key(7)), key_name(&key(8)));
    for step in 0..3 {
        for index in 0..3 {
            let endpoint = &mut world.nodes[index].endpoint;
            match step {
                0 => assert_eq!(endpoint.add_key(&key(8)), Ok(new)),
                1 => assert_eq!(endpoint.use_key(new), Ok(())),
                _ => assert_eq!(endpoint.drop_key(old), Ok(())),
            }
            // The others follow after more than a detection target.
            for _ in 0..15 {
                world.send_all(index, b"data");
                world.run(INTERVAL);
            }
        }
    }
    for index in 0..3 {
        assert_eq!(world.downs(index), []);
        assert_eq!(world.discarded(index, Discard::Key), 0);
        assert_eq!(world.nodes[index].endpoint.keys(), [new]);
        assert_eq!(world.nodes[index].packets.len(), 3 * 2 * 15, "all that the others sent");
    }
}

#[test]
fn a_node_that_was_down_meanwhile_comes_back_with_either_key_that_is_known() {
    for with in [7, 8] {
        let mut world = World::formed(3);
        world.kill(2);
        for index in 0..2 {
            world.nodes[index].endpoint.add_key(&key(8)).expect("room for it");
        }
        world.nodes[0].endpoint.use_key(key_name(&key(8))).expect("known");
        let seal = SealMode::Sealed(key(with));
        let late = world.start(crate::EndpointConfig { seal, ..config(3, 301, 3) });
        world.nodes[late].endpoint.add_key(&key(15 - with)).expect("room for it");
        world.run(DETECTION);
        assert!(world.heard(0).contains(&processor(3, 301)));
        assert_eq!(world.heard(late).len(), 2);
    }
}

#[test]
fn what_a_dropped_key_seals_is_not_opened() {
    let mut world = World::formed(2);
    let new = world.nodes[0].endpoint.add_key(&key(8)).expect("room for it");
    world.nodes[0].endpoint.use_key(new).expect("known");
    world.nodes[0].endpoint.drop_key(key_name(&key(7))).expect("not in use");
    let packet = world.sealed(1, b"with the old key");
    assert_eq!(world.inject(1, 0, &packet), Err(Discard::Key));
    world.run(DETECTION * 2);
    assert_eq!(world.heard(0), []);
}

#[test]
fn every_mistake_leaves_the_keys_as_they_are() {
    let mut keyring = keyring();
    let (old, new) = (key_name(&key(7)), key_name(&key(8)));
    assert_eq!(keyring.use_key(new), Err(KeyChangeError::Unknown(new)));
    assert_eq!(keyring.drop_key(old), Err(KeyChangeError::Only(old)));
    assert_eq!(keyring.add(&key(7)), Ok(old), "known already");
    assert_eq!(keyring.epoch(), 0);
    assert_eq!(keyring.add(&key(8)), Ok(new));
    assert_eq!(keyring.add(&key(9)), Err(KeyChangeError::TooMany(new)));
    assert_eq!(keyring.drop_key(old), Err(KeyChangeError::InUse(old, new)));
    assert_eq!(keyring.ids(), [old, new]);
    let mut clear = Keyring::new(&SealMode::Clear, "test");
    assert_eq!(clear.add(&key(8)), Err(KeyChangeError::NotSealed));
    assert_eq!(clear.use_key(new), Err(KeyChangeError::NotSealed));
}

#[test]
fn a_name_is_never_0_and_differs_from_key_to_key() {
    let names: std::collections::BTreeSet<u16> = (0..=255).map(|b| key_name(&key(b))).collect();
    assert!(names.len() > 250 && !names.contains(&0), "{}", names.len());
}

/// A library that seals nothing, for example.
#[test]
fn what_does_not_seal_fails_the_test_of_a_key() {
    assert_eq!(stands_the_test(&keyring()), Some(()));
    assert_eq!(stands_the_test(&Keyring::new(&SealMode::Clear, "test")), None);
}
