//! What the network says about a peer that is not there, and what comes of it.

use std::time::Duration;

use crate::DownCause;
use crate::testing::{DETECTION, INTERVAL, PathFault, World, config, link, node, processor};

#[test]
fn a_dead_peer_whose_host_says_so_is_down_after_four_questions() {
    for links in [1, 2] {
        let mut world = World::formed_with_links(3, links);
        world.run(DETECTION);
        world.kill(1);
        world.refused(0, node(2));
        let asked = world.nodes[0].endpoint.stats().hellos_sealed;
        let took = world.run_until(DETECTION, |world| world.heard(0).len() == 1);
        assert!(took <= Duration::from_millis(25), "{took:?}");
        let asked = world.nodes[0].endpoint.stats().hellos_sealed - asked;
        assert!((3..=8 * links as u64).contains(&asked), "{asked} more");
        let (peer, cause) = world.downs(0)[0];
        assert!(peer == processor(2, 200) && matches!(cause, DownCause::Refused(_)), "{cause:?}");
        assert_eq!(world.heard(2).len(), 2, "nobody else is told");
    }
}

/// Whoever can send a datagram can say so.
#[test]
fn a_living_peer_answers_and_is_not_asked_again_for_a_quarter_of_the_target() {
    let mut world = World::formed(3);
    world.run(DETECTION);
    let sealed = |world: &World| world.nodes[0].endpoint.stats().hellos_sealed;
    let quiet = sealed(&world);
    world.run(DETECTION);
    let (before, quiet) = (sealed(&world), sealed(&world) - quiet);
    for _ in 0..1_000 {
        world.refused(0, node(2));
        world.run(DETECTION / 1_000);
    }
    assert_eq!(world.downs(0), []);
    assert!(sealed(&world) - before <= quiet + 8, "{}", sealed(&world) - before - quiet);
}

#[test]
fn a_peer_that_answers_late_is_no_more_down_than_one_that_answers_in_time() {
    let mut world = World::formed(2);
    for (from, to) in [(0, 1), (1, 0)] {
        let slower = Duration::from_millis(25);
        world.fault(link(0), from, to, PathFault { slower, ..PathFault::default() });
    }
    world.run(DETECTION * 5);
    for _ in 0..10 {
        world.refused(0, node(2));
        world.run(DETECTION / 2);
    }
    assert_eq!(world.downs(0), [], "the time between questions is that of a round trip");
}

#[test]
fn after_an_own_pause_the_peer_is_asked_once_more() {
    let mut world = World::formed(2);
    world.run(DETECTION);
    world.refused(0, node(2));
    world.pause(0);
    world.run(DETECTION * 2);
    world.resume(0);
    world.run(DETECTION * 2);
    assert_eq!(world.downs(0), []);
}

#[test]
fn a_stranger_that_is_refused_is_nobody() {
    let mut world = World::formed(2);
    world.refused(0, node(77));
    world.refused(0, node(1));
    world.kill(1);
    world.run(DETECTION * 2);
    assert_eq!(world.heard(0), []);
    world.refused(0, node(2));
    assert_eq!(world.downs(0).len(), 1);
}

/// The safe size is that of the questions.
#[test]
fn a_path_that_has_just_become_narrow_is_not_taken_for_dead_when_it_is_refused() {
    for phase in 0..10 {
        let mut world = World::formed(2);
        world.run(DETECTION * 3 + INTERVAL * phase / 10);
        world.fault(link(0), 0, 1, PathFault { below: 1_300, ..PathFault::default() });
        world.refused(0, node(2));
        world.run(DETECTION * 4);
        assert_eq!(world.downs(0), [], "{phase}");
    }
}

/// Somebody plays a predecessor's hellos back, so that they and not the peer are answered, and says
/// that nobody listens there.
#[test]
fn recordings_of_a_predecessor_use_up_nothing_that_is_due_to_the_living() {
    let mut world = World::formed(2);
    world.run(DETECTION * 4);
    let mut recorded = std::mem::take(&mut world.recorded);
    recorded.retain(|(from, _)| *from == 0);
    world.kill(0);
    let new = world.start(config(1, 101, 2));
    world.run(DETECTION * 5);
    assert_eq!(world.heard(new), [processor(2, 200)]);
    for played in recorded.chunks(5).take(20) {
        for (from, datagram) in played {
            let _ = world.inject(*from, 1, datagram);
        }
        world.refused(new, node(2));
        world.run(INTERVAL * 3);
    }
    assert_eq!(world.downs(new), []);
}
