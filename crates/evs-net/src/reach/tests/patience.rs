//! The effective detection target, and what finding out who is heard costs.

use std::time::Duration;

use crate::testing::{DETECTION, INTERVAL, LATENCY, PathFault, World, config, link, processor};
use crate::{Detection, DownCause, EndpointConfig, LinkTerms};

fn detection(world: &World, index: usize) -> Detection {
    world.nodes[index].endpoint.detection()
}

/// The way from 1 to 0 is now fast and now slower by this, for so long.
fn jitter(world: &mut World, by: Duration, time: Duration) {
    let until = world.now + time;
    for slow in [true, false].into_iter().cycle() {
        if world.now >= until {
            break;
        }
        let slower = if slow { by } else { Duration::ZERO };
        world.fault(link(0), 1, 0, PathFault { slower, ..PathFault::default() });
        world.run(by + INTERVAL * 3);
    }
}

#[test]
fn where_nothing_is_late_the_effective_target_is_the_setting() {
    let mut world = World::formed(3);
    world.run(DETECTION * 100);
    let found = detection(&world, 0);
    assert_eq!((found.target, found.effective), (DETECTION, DETECTION));
    assert!(found.late < Duration::from_millis(1), "{found:?}");
}

#[test]
fn a_setting_of_100_ms_holds_on_a_quiet_network_and_finds_a_death_in_time() {
    let target = Duration::from_millis(100);
    let mut world = World::empty();
    for id in 1..=3 {
        world.start(EndpointConfig { detection: target, ..config(id, 100, 3) });
    }
    world.run(target * 600);
    assert!((0..3).all(|index| world.downs(index).is_empty()), "a minute without a verdict");
    assert_eq!(detection(&world, 0).effective, target);
    world.kill(2);
    let took = world.run_until(target * 2, |world| world.heard(0).len() == 1);
    assert!(took <= target, "{took:?}");
}

#[test]
fn hellos_that_come_late_raise_it_and_what_would_have_been_a_verdict_is_none() {
    let silent = |jittery: bool| {
        let mut world = World::formed(2);
        world.run(DETECTION);
        if jittery {
            jitter(&mut world, DETECTION * 3 / 10, DETECTION * 5);
        }
        world.run(INTERVAL);
        // Longer than the setting, but not so long as twice the worst delay allows for.
        world.cut(1, 0);
        world.run(DETECTION + INTERVAL * 2);
        world.heal();
        world.run(DETECTION);
        (detection(&world, 0).effective, world.downs(0).len())
    };
    let (steady, verdicts) = silent(false);
    assert_eq!((steady, verdicts), (DETECTION, 1));
    let (raised, verdicts) = silent(true);
    assert!(raised > DETECTION * 13 / 10, "{raised:?}");
    assert_eq!(verdicts, 0);
}

#[test]
fn it_is_never_above_twice_the_setting() {
    let mut world = World::formed(2);
    jitter(&mut world, DETECTION * 9 / 10, DETECTION * 20);
    let found = detection(&world, 0);
    assert_eq!(found.effective, DETECTION * 2);
    assert!(found.is_strained());
    assert_eq!(world.nodes[0].endpoint.stats().strained, 1, "told once");
    world.kill(1);
    let took = world.run_until(DETECTION * 4, |world| world.heard(0).is_empty());
    assert!(took <= DETECTION * 3, "what was on its way, and twice the setting: {took:?}");
    let DownCause::Silence(silence) = world.downs(0)[0].1 else { panic!("{:?}", world.downs(0)) };
    assert_eq!(silence, DETECTION * 2);
}

/// D27: the pong timeout grew with the greatest latency after a pause, and hid failures.
#[test]
fn d27_after_a_delay_it_falls_back_to_the_setting_and_a_failure_is_found_as_ever() {
    let mut world = World::formed(2);
    jitter(&mut world, DETECTION * 9 / 10, DETECTION * 20);
    assert_eq!(detection(&world, 0).effective, DETECTION * 2);
    world.heal();
    world.run(DETECTION * 16);
    assert_eq!(detection(&world, 0).effective, DETECTION);
    world.kill(1);
    let took = world.run_until(DETECTION * 2, |world| world.heard(0).is_empty());
    assert!(took <= DETECTION, "{took:?}");
}

#[test]
fn silence_until_a_verdict_makes_nobody_more_patient() {
    let mut world = World::formed(2);
    world.cut(1, 0);
    world.run(DETECTION * 5);
    world.heal();
    world.run(INTERVAL * 3);
    assert_eq!(world.heard(0), [processor(2, 200)]);
    assert_eq!(detection(&world, 0).effective, DETECTION, "a cut is no delay");
}

#[test]
fn p36_an_own_pause_makes_nobody_more_patient_with_others() {
    let mut world = World::formed(3);
    world.pause(0);
    world.run(DETECTION * 9 / 10);
    world.resume(0);
    world.run(INTERVAL * 5);
    let found = detection(&world, 0);
    assert_eq!((found.late < LATENCY * 4, found.effective), (true, DETECTION), "{found:?}");
    assert_eq!(world.nodes[0].endpoint.stats().pauses, 1, "it is told as what it is");
    let others = detection(&world, 1);
    assert!(others.late >= DETECTION / 2, "the others saw it: {others:?}");
}

/// Its first hello comes when verdicts count again, and late: by its own pause, which is not known
/// here, and by mine, which says nothing about it.
#[test]
fn p36_who_goes_on_later_than_this_node_is_no_later_for_the_pause_of_both() {
    let mut world = World::formed(2);
    world.pause(0);
    world.pause(1);
    world.run(DETECTION * 3);
    world.resume(0);
    world.run(DETECTION / 2);
    world.resume(1);
    world.run(INTERVAL * 5);
    assert_eq!(world.downs(0), []);
    let found = detection(&world, 0);
    assert_eq!((found.late < LATENCY * 4, found.effective), (true, DETECTION), "{found:?}");
}

#[test]
fn a_node_that_is_woken_late_is_more_patient() {
    let mut world = World::formed(2);
    for _ in 0..20 {
        world.pause(0);
        world.run(INTERVAL * 4);
        world.resume(0);
        world.run(INTERVAL);
    }
    let found = detection(&world, 0);
    assert!(found.own_late >= INTERVAL * 3 / 2, "{found:?}");
    assert!(found.effective > DETECTION, "{found:?}");
    assert_eq!(world.heard(0), [processor(2, 200)]);
}

/// Datagrams that each of so many nodes sends in an interval, with nothing else to do.
fn cost(count: u32, shared: bool) -> u64 {
    let mut world = World::empty();
    world.multicast = shared;
    for id in 1..=count {
        let links = vec![LinkTerms { shared, ..LinkTerms::PLAIN }];
        world.start(EndpointConfig { links, ..config(id, 100, count) });
    }
    world.run(DETECTION);
    assert_eq!(world.heard(0).len() + 1, world.nodes.len());
    world.recorded.clear();
    let sealed = |world: &World| world.nodes[0].endpoint.stats().hellos_sealed;
    let before = sealed(&world);
    world.run(INTERVAL * 20);
    let sent = world.recorded.len() as u64 / u64::from(count);
    if shared { sealed(&world) - before } else { sent }
}

/// A hello comes up to an eighth of the interval early: 23 in 20 intervals, at the most.
#[test]
fn probing_costs_one_datagram_to_each_peer_in_each_interval_however_many_there_are() {
    for count in [2, 8, 33, 64] {
        let datagrams = cost(count, false);
        let peers = u64::from(count) - 1;
        assert!((20 * peers..=23 * peers).contains(&datagrams), "{count}: {datagrams}");
    }
}

/// And one to each of the next sixteen of the ring, whose hosts may say that nobody listens there.
#[test]
fn on_a_multicast_link_it_costs_one_datagram_for_every_thirty_two_peers_and_sixteen_more() {
    for (count, parts) in [(2, 1 + 1), (17, 1 + 16), (33, 1 + 16), (64, 2 + 16)] {
        let datagrams = cost(count, true);
        assert!((20 * parts..=23 * parts).contains(&datagrams), "{count}: {datagrams}");
    }
}
