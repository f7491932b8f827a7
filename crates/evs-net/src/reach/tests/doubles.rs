//! Two living processes with one node id: the ring stays, the second one stops.

use evs_model::Processor;

use crate::testing::{DETECTION, INTERVAL, LATENCY, World, config, processor};
use crate::{DownCause, EndpointOutput, PeerEvent};

fn doubles(world: &World, index: usize) -> Vec<(Processor, u64)> {
    let events = world.nodes[index].events.iter();
    events
        .filter_map(|(_, event)| {
            let EndpointOutput::Peer(PeerEvent::Double { kept, other }) = event else {
                return None;
            };
            Some((*kept, *other))
        })
        .collect()
}

/// The first has been in the ring for long; the second has another address.
#[test]
fn the_second_owner_of_a_node_id_must_stop_and_the_first_stays_up() {
    // Neither a lower nor a higher incarnation helps the second.
    for incarnation in [1, 999] {
        let mut world = World::formed(3);
        world.run(DETECTION * 3);
        let second = world.start_elsewhere(config(2, incarnation, 3));
        let took = world.run_until(DETECTION * 2, |world| !world.duplicates(second).is_empty());
        assert_eq!(world.duplicates(second), [(200, true)]);
        assert!(took <= DETECTION + INTERVAL * 2, "{took:?}");
        world.run(DETECTION * 3);
        for index in [0, 2] {
            assert_eq!(world.downs(index), []);
            assert_eq!(doubles(&world, index), [(processor(2, 200), incarnation)]);
        }
        assert_eq!(world.heard(second), [], "nobody hears the second");
        assert_eq!(world.duplicates(1), [], "the first need not know");
        world.kill(second);
        world.run(DETECTION * 2);
        assert_eq!(world.heard(0), [processor(2, 200), processor(3, 300)]);
    }
}

/// What a process sent before it died may come long after its successor has started; it is no sign
/// of life.
#[test]
fn late_datagrams_of_the_dead_do_not_stop_their_successor() {
    let mut world = World::formed(3);
    world.run(DETECTION * 3);
    let late: Vec<_> = (0..80).map(|_| world.sealed(1, b"late")).collect();
    world.kill(1);
    world.run(INTERVAL);
    let new = world.start(config(2, 201, 3));
    for datagram in late {
        let _ = world.inject(1, 0, &datagram);
        world.run(INTERVAL / 2);
    }
    assert_eq!(world.duplicates(new), []);
    assert_eq!(doubles(&world, 0), []);
    assert_eq!(world.heard(0), [processor(2, 201), processor(3, 300)]);
}

#[test]
fn with_multicast_both_know_and_agree() {
    for incarnation in [1, 999] {
        let mut world = World::formed(3);
        world.multicast = true;
        world.run(DETECTION * 3);
        let second = world.start_elsewhere(config(2, incarnation, 3));
        world.run(DETECTION + INTERVAL * 2);
        assert_eq!(world.duplicates(second), [(200, true)]);
        assert_eq!(world.duplicates(1), [(incarnation, false)]);
        assert_eq!(world.downs(0), []);
    }
}

#[test]
fn of_two_that_start_together_exactly_one_stops() {
    for (first, second) in [(10, 20), (20, 10)] {
        let mut world = World::empty();
        world.multicast = true;
        world.start(config(1, 100, 3));
        let a = world.start(config(2, first, 3));
        let b = world.start_elsewhere(config(2, second, 3));
        world.run(DETECTION * 2);
        let stops = |index: usize| world.duplicates(index).iter().any(|(_, stop)| *stop);
        assert!(stops(a) != stops(b), "{:?} {:?}", world.duplicates(a), world.duplicates(b));
    }
}

/// An owner that was cut off for long is older, but the ring has gone on with another process.
#[test]
fn an_owner_that_nobody_hears_gives_way_to_one_that_is_heard() {
    let mut world = World::formed(3);
    for other in [0, 2] {
        world.cut(1, other);
        world.cut(other, 1);
    }
    world.run(DETECTION * 3);
    let new = world.start(config(2, 201, 3));
    world.run(DETECTION * 3);
    assert_eq!(world.heard(0), [processor(2, 201), processor(3, 300)]);
    world.heal();
    world.run(DETECTION * 2);
    assert_eq!(world.duplicates(1), [(201, true)]);
    assert_eq!(world.duplicates(new), []);
    assert_eq!(world.downs(0).len(), 1, "only the first time: {:?}", world.downs(0));
}

/// Stopped by a signal, replaced by its supervisor, continued.
#[test]
fn an_owner_that_was_paused_and_replaced_gives_way() {
    for multicast in [false, true] {
        let mut world = World::formed(3);
        world.multicast = multicast;
        world.pause(1);
        world.run(DETECTION * 3);
        let new = world.start(config(2, 201, 3));
        world.run(DETECTION * 3);
        world.resume(1);
        world.run(DETECTION * 3);
        assert!(world.duplicates(1).contains(&(201, true)), "{:?}", world.duplicates(1));
        assert!(world.duplicates(new).iter().all(|(_, stop)| !stop));
        assert_eq!(world.heard(0), [processor(2, 201), processor(3, 300)]);
    }
}

#[test]
fn a_recording_of_my_own_past_does_not_stop_me() {
    let mut world = World::formed(3);
    world.multicast = true;
    world.run(DETECTION);
    let recorded = std::mem::take(&mut world.recorded);
    world.kill(1);
    let new = world.start(config(2, 201, 3));
    world.run(DETECTION);
    for (_, datagram) in recorded.iter() {
        for target in [0, 2, new] {
            let _ = world.inject(1, target, datagram);
        }
        world.run(INTERVAL / 10);
    }
    assert_eq!(world.duplicates(new), []);
    assert_eq!(world.heard(0), [processor(2, 201), processor(3, 300)]);
}

#[test]
fn a_living_owner_is_kept_through_the_loss_of_a_hello() {
    let mut world = World::formed(2);
    world.run(DETECTION);
    world.start_elsewhere(config(2, 999, 2));
    world.run(INTERVAL);
    world.cut(1, 0);
    world.run(INTERVAL * 3 / 4);
    world.heal();
    world.run(DETECTION);
    assert_eq!(world.downs(0), []);
    assert_eq!(world.heard(0), [processor(2, 200)]);
}

#[test]
fn two_living_owners_do_not_take_turns() {
    let mut world = World::formed(2);
    world.multicast = true;
    world.run(DETECTION);
    let second = world.start_elsewhere(config(2, 999, 2));
    world.run(INTERVAL);
    world.pause(1);
    // The first is silent long enough to be replaced; then it comes back, and both go on.
    world.run(INTERVAL * 4);
    assert_eq!(world.heard(0), [processor(2, 999)]);
    world.resume(1);
    world.run(DETECTION * 10);
    assert_eq!(world.downs(0), [(processor(2, 200), DownCause::Replaced(999))]);
    assert_eq!(world.heard(second), [processor(1, 100)]);
    assert_eq!(world.duplicates(1), [(999, true)]);
}

#[test]
fn a_third_incarnation_does_not_push_a_living_candidate_out() {
    let mut world = World::formed(2);
    let mut third = World::empty();
    third.start(config(2, 777, 2));
    third.start(config(1, 1, 2));
    third.run(LATENCY);
    let (_, hello) = third.recorded.iter().find(|(from, _)| *from == 0).expect("sent").clone();
    world.start_elsewhere(config(2, 999, 2));
    world.run(INTERVAL);
    assert_eq!(world.inject(1, 0, &hello), Err(crate::Discard::ThirdIncarnation));
}
