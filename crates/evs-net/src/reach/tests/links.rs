//! Several links: which are up, which are used, and what comes of their faults.

use std::time::Duration;

use evs_model::Processor;

use crate::testing::{
    DETECTION, LATENCY, PathFault, World, config, link, node, processor, with_links,
};
use crate::wire::{COUNTER_AT, HEADER_LEN};
use crate::{Discard, DownCause, EndpointOutput, LinkId, LinkTerms, PeerEvent, Trouble};

/// How soon traffic must have left a link on which something is wrong.
const QUARTER: Duration = DETECTION.checked_div(4).expect("not zero");

/// Where traffic was moved, and why.
fn moves(world: &World, index: usize) -> Vec<(u8, u8, Trouble)> {
    let events = world.nodes[index].events.iter();
    events
        .filter_map(|(_, event)| {
            let EndpointOutput::Peer(PeerEvent::Moved { from, to, trouble, .. }) = event else {
                return None;
            };
            Some((from.get(), to.get(), *trouble))
        })
        .collect()
}

/// The paths to a peer that went down, and why.
fn paths_lost(world: &World, index: usize) -> Vec<(Processor, u8, DownCause)> {
    let events = world.nodes[index].events.iter();
    events
        .filter_map(|(_, event)| {
            let EndpointOutput::Peer(PeerEvent::PathDown { peer, link, cause }) = event else {
                return None;
            };
            Some((*peer, link.get(), *cause))
        })
        .collect()
}

fn assert_nobody_lost(world: &World) {
    for index in 0..world.nodes.len() {
        assert_eq!(world.downs(index), [], "process {index}");
    }
}

/// A formed world after a while, in which data of 0 for 1 takes link 0.
fn settled(links: usize) -> World {
    let mut world = World::formed_with_links(3, links);
    world.run(DETECTION * 3);
    assert_eq!(world.link_of(0, 1), link(0));
    assert!((0..3).all(|index| moves(&world, index).is_empty()), "{:?}", moves(&world, 0));
    world
}

/// Runs while 0 sends data, large and small, to all; returns how long it took until data for 1
/// left on link 1.
fn until_moved(world: &mut World, limit: Duration) -> Duration {
    let begin = world.now;
    while world.link_of(0, 1) != link(1) {
        assert!(world.now.since(begin) < limit, "not within {limit:?}");
        world.send_all(0, &[7; 1_400]);
        world.send_all(0, &[7; 60]);
        world.run(DETECTION / 1_000);
    }
    world.now.since(begin)
}

#[test]
fn a_dead_link_is_left_within_a_quarter_of_the_target_and_nobody_is_lost() {
    for (one_way, back) in [(true, false), (false, true), (true, true)] {
        let mut world = settled(2);
        for other in [1, 2] {
            if one_way {
                world.fault(link(0), 0, other, PathFault::DEAD);
            }
            if back {
                world.fault(link(0), other, 0, PathFault::DEAD);
            }
        }
        let took = world.run_until(DETECTION, |world| world.link_of(0, 1) == link(1));
        assert!(took <= QUARTER, "{took:?}");
        world.run(DETECTION * 3);
        assert_nobody_lost(&world);
        assert_eq!(world.link_of(1, 2), link(0), "the others stay where they are");
        let lost = paths_lost(&world, 0);
        assert_eq!(lost.iter().map(|lost| lost.1).collect::<Vec<_>>(), [0, 0]);
        let silent = |cause| matches!(cause, DownCause::Silence(_));
        let told = (back, lost.iter().all(|lost| silent(lost.2)));
        assert_eq!(told.0, told.1, "the direction is named: {lost:?}");
    }
}

#[test]
fn a_link_that_loses_large_datagrams_is_left_within_a_quarter_of_the_target() {
    let mut world = settled(2);
    world.fault(link(0), 0, 1, PathFault { below: 1_000, ..PathFault::default() });
    let took = until_moved(&mut world, DETECTION);
    assert!(took <= QUARTER, "{took:?}");
    assert!(moves(&world, 0).contains(&(0, 1, Trouble::Narrow)), "{:?}", moves(&world, 0));
    let narrow = |world: &World| {
        let peer = world.nodes[0].endpoint.peers().next().expect("a peer");
        (peer.paths[0].up, peer.paths[0].to_peer.narrow)
    };
    assert_eq!(narrow(&world), (true, true), "liveness does not wait for it");
    world.heal();
    world.run(DETECTION * 3);
    assert_eq!(narrow(&world), (true, false), "a large hello came back");
    assert_nobody_lost(&world);
}

/// Nothing is sent but hellos: the link is known to be narrow before it is needed.
#[test]
fn an_idle_link_that_loses_large_datagrams_is_found_out() {
    let mut world = settled(2);
    world.fault(link(1), 0, 1, PathFault { below: 1_000, ..PathFault::default() });
    world.run(DETECTION * 4);
    let peer = world.nodes[0].endpoint.peers().next().expect("a peer");
    assert!(peer.paths[1].up && peer.paths[1].to_peer.narrow, "{peer:?}");
    assert!(!peer.paths[0].to_peer.narrow);
}

#[test]
fn a_lossy_link_is_left_within_a_quarter_of_the_target() {
    for loss_percent in [20, 50] {
        let mut world = settled(2);
        world.fault(link(0), 0, 1, PathFault { loss_percent, ..PathFault::default() });
        let took = until_moved(&mut world, DETECTION);
        assert!(took <= QUARTER, "{took:?}");
        world.run(DETECTION * 10);
        assert_nobody_lost(&world);
    }
}

#[test]
fn a_slow_link_is_left_within_a_quarter_of_the_target() {
    let mut world = settled(2);
    let slower = DETECTION / 10;
    world.fault(link(0), 0, 1, PathFault { slower, ..PathFault::default() });
    world.fault(link(0), 1, 0, PathFault { slower, ..PathFault::default() });
    let took = until_moved(&mut world, DETECTION);
    assert!(took <= QUARTER, "{took:?}");
    assert_nobody_lost(&world);
}

#[test]
fn a_peer_whose_links_all_fall_silent_is_down_after_the_detection_target() {
    let mut world = settled(2);
    world.kill(1);
    let took = world.run_until(DETECTION * 2, |world| world.heard(0).len() == 1);
    assert!(took <= DETECTION && took >= DETECTION * 9 / 10, "{took:?}");
    assert_eq!(world.downs(0), [(processor(2, 200), DownCause::Silence(DETECTION))]);
}

#[test]
fn traffic_comes_back_to_the_better_link_after_a_hold_down_that_grows() {
    let mut world = World::empty();
    for id in [1, 2] {
        let mut config = with_links(2, config(id, u64::from(id) * 100, 2));
        config.links[0] = LinkTerms { priority: 9, ..LinkTerms::PLAIN };
        world.start(config);
    }
    world.run(DETECTION * 3);
    let mut away = Vec::new();
    for _ in 0..4 {
        assert_eq!(world.link_of(0, 1), link(0));
        world.fault(link(0), 0, 1, PathFault::DEAD);
        world.run_until(DETECTION, |world| world.link_of(0, 1) == link(1));
        world.heal();
        let took = world.run_until(DETECTION * 20, |world| world.link_of(0, 1) == link(0));
        away.push(took.as_millis() * 10 / DETECTION.as_millis());
    }
    // In tenths of the target; it takes some time until the loss is forgotten.
    assert!((9..=30).contains(&away[0]), "{away:?}");
    assert!(away[1] >= 18 && away[2] >= 36 && away[3] >= 72, "{away:?}");
    assert_nobody_lost(&world);
}

#[test]
fn equal_links_are_not_exchanged_without_a_reason() {
    let mut world = settled(3);
    world.run(DETECTION * 100);
    assert!((0..3).all(|index| moves(&world, index).is_empty()));
}

#[test]
fn what_must_not_be_lost_goes_over_two_links_and_is_handed_up_once() {
    let mut world = settled(3);
    assert_eq!(world.send_urgent(0, 1, b"token"), 2);
    world.run(DETECTION / 100);
    assert_eq!(world.nodes[1].packets, [(processor(1, 100), b"token".to_vec())]);
    assert_eq!(world.discarded(1, Discard::Duplicate), 1);
    // The first link loses it: the copy is there, at once.
    world.fault(link(0), 0, 1, PathFault::DEAD);
    world.send_urgent(0, 1, b"token again");
    world.run(DETECTION / 100);
    assert_eq!(world.nodes[1].packets.len(), 2);
    assert_eq!(world.discarded(1, Discard::Duplicate), 1);
}

/// The copy is recognised by its header alone: what is behind it may be anything.
#[test]
fn a_duplicate_is_dropped_before_it_is_opened() {
    let mut world = settled(2);
    world.send_urgent(0, 1, b"token");
    let copy = world.recorded.last().expect("sent").1.clone();
    world.run(DETECTION / 100);
    let before = world.discarded(1, Discard::Duplicate);
    let mut garbled = copy;
    garbled.last_mut().into_iter().for_each(|byte| *byte ^= 1);
    garbled[22] = 1;
    garbled[COUNTER_AT..HEADER_LEN].copy_from_slice(&u64::from(u32::MAX).to_le_bytes());
    assert_eq!(world.inject(0, 1, &garbled), Err(Discard::Unauthenticated), "a new number");
    let mut again = world.recorded.last().expect("sent").1.clone();
    again.last_mut().into_iter().for_each(|byte| *byte ^= 1);
    let result = world.inject(0, 1, &again);
    assert!(matches!(result, Err(Discard::Duplicate | Discard::Replayed)), "{result:?}");
    assert!(world.discarded(1, Discard::Duplicate) >= before);
}

#[test]
fn a_datagram_of_one_link_is_worth_nothing_on_another() {
    let mut world = settled(2);
    let packet = world.sealed(0, b"on the first link");
    let endpoint = &mut world.nodes[1].endpoint;
    let mut copy = packet.clone();
    let stolen = endpoint.handle_datagram(world.now, link(1), &mut copy);
    assert_eq!(stolen, Err(Discard::Link));
    let mut forged = packet.clone();
    forged[22] = 1;
    assert_eq!(world.inject(0, 1, &forged), Err(Discard::Unauthenticated));
    assert_eq!(world.inject(0, 1, &packet), Ok(Some(b"on the first link".to_vec())));
}

/// A link that is slower than another by more packets than the window is wide.
#[test]
fn each_link_has_a_replay_window_of_its_own() {
    let mut world = settled(2);
    let mut late = Vec::new();
    let endpoint = &mut world.nodes[0].endpoint;
    let node = processor(2, 200).node;
    let tickets: Vec<_> = endpoint.copies_for(node, 5, true).expect("counters").collect();
    let slow = tickets.into_iter().find(|ticket| ticket.link() == link(1)).expect("two links");
    endpoint.seal(slow, b"late", &mut late).expect("short");
    for _ in 0..10_000 {
        let packet = world.sealed(0, b"fast");
        assert!(world.inject(0, 1, &packet).is_ok());
    }
    assert_eq!(world.inject(0, 1, &late), Ok(Some(b"late".to_vec())));
}

#[test]
fn a_link_that_never_works_is_told_and_does_no_harm() {
    let mut world = World::empty();
    for id in 1..=3 {
        world.start(with_links(2, config(id, u64::from(id) * 100, 3)));
    }
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0)] {
        world.fault(link(0), from, to, PathFault::DEAD);
    }
    world.run(DETECTION);
    assert_eq!(world.heard(0).len(), 2);
    assert_eq!((world.link_of(0, 1), world.link_of(1, 2)), (link(1), link(0)));
    let peer = world.nodes[0].endpoint.peers().next().expect("a peer");
    assert_eq!((peer.paths[0].up, peer.paths[1].up), (false, true));
}

#[test]
fn a_deaf_peer_loses_the_path_that_data_takes_and_only_with_the_last_itself() {
    let mut world = settled(2);
    world.distrust(0, processor(2, 200));
    assert_nobody_lost(&world);
    assert_eq!(world.link_of(0, 1), link(1));
    world.distrust(0, processor(2, 200));
    assert_eq!(world.downs(0), [(processor(2, 200), DownCause::Deaf)]);
    world.run_until(DETECTION * 4, |world| world.heard(0).len() == 2);
}

/// What left for each peer on each link, and what came from it: where nothing is lost it is the
/// same, but for second copies.
#[test]
fn what_is_sent_and_received_is_counted_for_each_peer_and_link() {
    let counts = |world: &mut World| {
        world.run(LATENCY * 4);
        let path = |of: usize, other: usize, link: usize| {
            let peer = world.nodes[other].endpoint.me().node;
            let mut peers = world.nodes[of].endpoint.peers();
            let status = peers.find(|status| status.node == peer).expect("it is listed");
            status.paths[link]
        };
        let count = |peer, link| [path(0, peer, link).sent, path(peer, 0, link).received];
        [count(1, 0), count(1, 1), count(2, 0), count(2, 1)]
    };
    let mut world = World::formed_with_links(3, 2);
    world.run(DETECTION * 3);
    let before = counts(&mut world);
    for _ in 0..10 {
        world.send_all(0, b"data");
        world.send_urgent(0, 1, b"a token");
        world.run(DETECTION / 10);
    }
    let after = counts(&mut world);
    let [[one, two], [three, four], rest @ ..] =
        [0, 1, 2, 3].map(|path| [0, 1].map(|end| after[path][end] - before[path][end]));
    assert_eq!(one + three, two + four + 10, "of each token a copy is dropped");
    assert!(one >= 20 && three >= 20, "a token on each link, and hellos: {one} {three}");
    assert_eq!(rest.map(|[sent, received]| sent - received), [0, 0]);
    assert!(rest[0][0] + rest[1][0] >= 30, "data, and hellos on both links: {rest:?}");
}

/// ENOBUFS, EPERM: nothing has to be missed by anybody first.
#[test]
fn a_link_on_which_the_kernel_takes_nothing_is_left_at_once() {
    let mut world = settled(2);
    (0..500).for_each(|_| world.send_all(0, &[7; 60]));
    let unsent = |world: &mut World, to, count| {
        let endpoint = &mut world.nodes[0].endpoint;
        endpoint.handle_unsent(world.now, (link(0), to), (count, 0));
        endpoint.handle_timeout(world.now);
        [world.link_of(0, 1), world.link_of(0, 2)].map(LinkId::get)
    };
    assert_eq!(unsent(&mut world, Some(node(2)), 8), [0, 0], "a few may be lost");
    assert_eq!(unsent(&mut world, Some(node(2)), 400), [1, 0], "one peer");
    assert_eq!(unsent(&mut world, None, 400), [1, 1], "everybody");
    world.run(DETECTION / 10);
    let lost = |told: &(u8, u8, Trouble)| matches!(told, (0, 1, Trouble::Loss(100_000..)));
    assert!(moves(&world, 0).iter().all(lost), "{:?}", moves(&world, 0));
    assert_eq!(moves(&world, 0).len(), 2);
    world.run(DETECTION * 10);
    for peer in world.nodes[0].endpoint.peers() {
        assert!(peer.paths[0].to_peer.loss_ppm < 30_000, "it is over: {peer:?}");
    }
    assert_nobody_lost(&world);
}

/// Of whom much may lie unread in the socket, nobody is judged by what could not be sent.
#[test]
fn what_is_not_sent_takes_nobody_down_before_what_came_is_read() {
    let mut world = settled(2);
    (0..2).for_each(|place| world.fault(link(place), 1, 0, PathFault::DEAD));
    world.run(DETECTION * 80 / 100);
    let later = world.now + DETECTION * 35 / 100;
    world.nodes[0].endpoint.handle_unsent(later, (link(0), None), (9, 0));
    assert!(world.nodes[0].endpoint.heard().find(node(2)).is_some());
}
