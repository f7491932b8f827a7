//! Settings that change while the node runs.

use std::time::Duration;

use crate::testing::{DETECTION, LATENCY, PathFault, World, config, link, processor, with_links};
use crate::{ConfigError, DownCause, EndpointConfig, EndpointOutput, PeerEvent, Trouble};

fn set(world: &mut World, index: usize, target: Duration) {
    let now = world.now;
    world.nodes[index].endpoint.set_detection(now, target).expect("within its range");
}

fn effective(world: &World, index: usize) -> Duration {
    world.nodes[index].endpoint.detection().effective
}

fn nobody_is_lost(world: &World) {
    for index in 0..world.nodes.len() {
        assert_eq!(world.downs(index), [], "by node {}", index + 1);
    }
}

/// From the death of node 2 until node 1 knows it.
fn until_noticed(world: &mut World) -> Duration {
    world.kill(1);
    world.run_until(DETECTION * 10, |world| !world.heard(0).contains(&processor(2, 200)))
}

/// The first hello after the change may be lost, and others, too.
#[test]
fn nobody_is_lost_where_nodes_change_it_after_each_other() {
    for links in [1, 2] {
        for apart in [1, 70, 400] {
            let mut world = World::formed_with_links(3, links);
            world.run(DETECTION);
            for way in 0..6 {
                let fault = PathFault { loss_percent: 20, ..PathFault::default() };
                world.fault(link(0), way / 2, (way / 2 + 1 + way % 2) % 3, fault);
            }
            for target in [2_000, 200, 500, 100, 3_000, 100] {
                for index in 0..3 {
                    set(&mut world, index, Duration::from_millis(target));
                    world.run(Duration::from_millis(apart));
                }
                world.run(Duration::from_millis(target) * 2);
            }
            nobody_is_lost(&world);
        }
    }
}

#[test]
fn a_lowered_target_counts_once_the_old_one_has_passed() {
    let target = DETECTION / 5;
    let mut world = World::formed(3);
    world.run(DETECTION);
    // The others never change it.
    set(&mut world, 0, target);
    let found = world.nodes[0].endpoint.detection();
    assert_eq!((found.target, found.effective), (target, DETECTION));
    let took = until_noticed(&mut world);
    assert!(took > DETECTION * 8 / 10 && took <= DETECTION, "{took:?}");
    world.run(DETECTION);
    assert_eq!(effective(&world, 0), target, "the pace of before was not late");
    world.kill(2);
    let took = world.run_until(DETECTION, |world| world.heard(0).is_empty());
    assert!(took > target * 8 / 10 && took <= target, "{took:?}");
}

#[test]
fn a_raised_target_counts_at_once() {
    let mut world = World::formed(3);
    world.run(DETECTION);
    set(&mut world, 0, DETECTION * 3);
    let took = until_noticed(&mut world);
    assert!(took > DETECTION * 28 / 10 && took <= DETECTION * 3, "{took:?}");
}

#[test]
fn of_targets_lowered_one_after_the_other_the_longest_has_to_pass() {
    let mut world = World::formed(2);
    world.run(DETECTION);
    set(&mut world, 0, DETECTION / 2);
    world.run(DETECTION / 4);
    set(&mut world, 0, DETECTION / 10);
    world.run(DETECTION * 8 / 10);
    assert_eq!(effective(&world, 0), DETECTION);
    world.run(DETECTION * 3 / 10);
    assert_eq!(effective(&world, 0), DETECTION / 10);
    nobody_is_lost(&world);
}

/// It would take the silence of the pause for that of the others.
#[test]
fn p36_a_pause_during_which_the_old_target_passes_blames_nobody() {
    let mut world = World::formed(3);
    world.run(DETECTION);
    set(&mut world, 0, DETECTION / 10);
    world.run(DETECTION * 9 / 10);
    for others in [1, 2] {
        world.fault(link(0), others, 0, PathFault::DEAD);
    }
    world.pause(0);
    world.run(DETECTION * 2 / 10);
    world.heal();
    world.resume(0);
    world.run(DETECTION);
    nobody_is_lost(&world);
}

#[test]
fn the_others_speak_as_often_as_a_lowered_target_needs_and_no_more_after_a_raised_one() {
    let mut world = World::formed(2);
    let sent = |world: &mut World| {
        world.run(DETECTION);
        let before = world.nodes[1].endpoint.stats().hellos_sealed;
        world.run(DETECTION * 4);
        world.nodes[1].endpoint.stats().hellos_sealed - before
    };
    let before = sent(&mut world);
    let said = world.nodes[0].endpoint.stats().hellos_sealed;
    set(&mut world, 0, DETECTION / 10);
    world.run(LATENCY);
    assert_eq!(world.nodes[0].endpoint.stats().hellos_sealed, said + 1, "it says so at once");
    let often = sent(&mut world);
    assert!(often > before * 9, "{before}, then {often}");
    for index in 0..2 {
        set(&mut world, index, DETECTION * 2);
    }
    let rarely = sent(&mut world);
    assert!(rarely < before * 7 / 10, "{before}, then {rarely}");
    nobody_is_lost(&world);
}

#[test]
fn a_target_out_of_range_changes_nothing() {
    let mut world = World::formed(2);
    let (now, endpoint) = (world.now, &mut world.nodes[0].endpoint);
    let long = EndpointConfig::DETECTION_MAX + Duration::from_millis(1);
    let error = endpoint.set_detection(now, long).expect_err("too long");
    assert!(matches!(error, ConfigError::Detection(target) if target == long), "{error}");
    assert_eq!(endpoint.detection().target, DETECTION);
}

#[test]
fn other_priorities_move_the_traffic_at_once_and_nobody_is_down() {
    let mut world = World::empty();
    for id in [1, 2] {
        world.start(with_links(3, config(id, u64::from(id) * 100, 2)));
    }
    world.run(DETECTION * 3);
    assert_eq!(world.link_of(0, 1), link(0));
    let now = world.now;
    world.nodes[0].endpoint.set_priorities(now, &[1, 2, 3]);
    world.run(DETECTION / 100);
    assert_eq!((world.link_of(0, 1), world.link_of(1, 0)), (link(2), link(0)), "one's own ways");
    let moved = world.nodes[0].events.iter().find_map(|(_, event)| {
        let EndpointOutput::Peer(PeerEvent::Moved { trouble, .. }) = event else { return None };
        Some(*trouble)
    });
    assert_eq!(moved, Some(Trouble::None));
    let down = world.downs(0).iter().any(|(_, cause)| matches!(cause, DownCause::Silence(_)));
    assert!(!down);
}
