//! How large datagrams are: found out, shrunk, raised again, and never waited for.

use std::time::Duration;

use crate::testing::{DETECTION, INTERVAL, LATENCY, PathFault, World, config, link, with_links};
use crate::{EndpointOutput, LinkTerms, MtuCause, PeerEvent, SAFE_DATAGRAM_BYTES};

/// The datagram of a packet of full size.
const FULL: usize = 1_400 + 54;
const QUARTER: Duration = DETECTION.checked_div(4).expect("not zero");

/// Datagrams of so many bytes pass, larger ones do not.
fn only(bytes: usize) -> PathFault {
    PathFault { below: bytes + 1, ..PathFault::default() }
}

/// The longest datagram that one sends to another on a link, and whether it is known that longer
/// ones do not pass.
fn size(world: &World, from: usize, to: usize, on: u8) -> (usize, bool) {
    let node = world.nodes[to].endpoint.me().node;
    let peer = world.nodes[from].endpoint.peers().find(|peer| peer.node == node).expect("a peer");
    let path = peer.paths[link(on).place()];
    (path.datagram_bytes_max, path.to_peer.narrow)
}

/// What a process was told of sizes.
fn told(world: &World, index: usize) -> Vec<(usize, MtuCause)> {
    let events = world.nodes[index].events.iter();
    let told = events.filter_map(|(_, event)| {
        let EndpointOutput::Peer(PeerEvent::Mtu { bytes, cause, .. }) = event else {
            return None;
        };
        Some((*bytes, *cause))
    });
    told.collect()
}

fn assert_nobody_lost(world: &World) {
    assert!((0..world.nodes.len()).all(|index| world.downs(index).is_empty()));
}

/// Sends packets of full size until one comes; returns how long it took.
fn until_it_arrives(world: &mut World, from: usize, to: usize) -> Duration {
    let (begin, before) = (world.now, world.nodes[to].packets.len());
    while world.nodes[to].packets.len() == before {
        assert!(world.now.since(begin) < DETECTION, "not within the detection target");
        world.send_all(from, &[7; 1_400]);
        world.send_all(from, &[7; 60]);
        world.nodes[to].packets.retain(|(_, packet)| packet.len() > 60);
        world.run(DETECTION / 1_000);
        world.nodes[to].packets.retain(|(_, packet)| packet.len() > 60);
    }
    world.now.since(begin)
}

#[test]
fn where_all_passes_full_size_is_known_two_round_trips_after_the_path_and_nothing_is_told() {
    let mut world = World::empty();
    (1..=3).for_each(|id| {
        world.start(config(id, u64::from(id) * 100, 3));
    });
    world.run_until(DETECTION, |world| (0..3).all(|index| world.heard(index).len() == 2));
    world.run(LATENCY * 4);
    assert_eq!(size(&world, 0, 1, 0), (FULL, false));
    world.send_all(0, &[7; 1_400]);
    world.run(INTERVAL);
    assert_eq!(world.nodes[1].packets.len(), 1);
    assert_eq!(world.nodes[0].endpoint.stats().parts_sealed, 0);
    assert_eq!(told(&world, 0), [(FULL, MtuCause::Found); 2], "which is nothing to worry about");
}

/// P55, D30: a black hole from the start. Liveness does not wait for it, and packets pass in parts.
#[test]
fn a_path_that_drops_large_datagrams_from_the_start_is_one() {
    let mut world = World::empty();
    for (from, to) in [(0, 1), (1, 0)] {
        world.fault(link(0), from, to, only(SAFE_DATAGRAM_BYTES));
    }
    (1..=2).for_each(|id| {
        world.start(config(id, u64::from(id) * 100, 2));
    });
    let took = world.run_until(DETECTION, |world| world.heard(0).len() + world.heard(1).len() == 2);
    assert!(took <= INTERVAL, "{took:?}");
    world.send_all(0, &[7; 1_400]);
    world.run(DETECTION);
    assert_eq!(world.nodes[1].packets.len(), 1);
    assert_eq!(world.nodes[1].packets[0].1, [7; 1_400]);
    let (sent, got) = (world.nodes[0].endpoint.stats(), world.nodes[1].endpoint.stats());
    assert_eq!((sent.parts_sealed, got.parts_received, got.packets_joined), (2, 2, 1));
    assert_eq!(size(&world, 0, 1, 0), (SAFE_DATAGRAM_BYTES, true));
    assert_eq!(told(&world, 0), [(SAFE_DATAGRAM_BYTES, MtuCause::Unproven)]);
    assert_nobody_lost(&world);
}

/// P48: what passes exactly is not cut.
#[test]
fn a_path_that_passes_exactly_the_largest_packet_cuts_nothing() {
    for (bytes, expected) in [(FULL, FULL), (FULL - 1, SAFE_DATAGRAM_BYTES)] {
        let mut world = World::empty();
        world.bytes_max = bytes;
        (1..=2).for_each(|id| {
            world.start(config(id, u64::from(id) * 100, 2));
        });
        world.run(INTERVAL);
        assert_eq!(size(&world, 0, 1, 0).0, expected);
        world.send_all(0, &[7; 1_400]);
        world.run(INTERVAL);
        assert_eq!(world.nodes[1].packets.len(), 1, "{bytes}");
    }
}

/// EMSGSIZE: nothing has to be lost first. What is shorter than what was refused stays as it is.
#[test]
fn what_the_interface_refuses_is_cut_at_once() {
    let mut world = World::formed_with_links(3, 2);
    world.run(DETECTION);
    world.nodes[0].endpoint.handle_too_long(world.now, link(0), FULL + 1);
    assert_eq!(size(&world, 0, 1, 0), (FULL, false));
    world.nodes[0].endpoint.handle_too_long(world.now, link(1), FULL);
    assert_eq!(size(&world, 0, 1, 0), (FULL, false), "another link's interface");
    world.nodes[0].endpoint.handle_too_long(world.now, link(0), FULL);
    for (to, other) in [(1, 2), (2, 1)] {
        assert_eq!(size(&world, 0, to, 0), (SAFE_DATAGRAM_BYTES, true));
        assert_eq!(size(&world, to, other, 0), (FULL, false), "nobody else's");
    }
    world.run(INTERVAL);
    let refused = told(&world, 0).iter().filter(|told| told.1 == MtuCause::Refused).count();
    assert_eq!(refused, 4, "two peers, on two links");
    assert_nobody_lost(&world);
}

#[test]
fn large_datagrams_that_die_under_load_are_cut_within_a_quarter_of_the_target() {
    let mut world = World::formed(3);
    world.run(DETECTION);
    until_it_arrives(&mut world, 0, 1);
    world.fault(link(0), 0, 1, only(1_300));
    let took = until_it_arrives(&mut world, 0, 1);
    assert!(took <= QUARTER, "{took:?}");
    assert_eq!(size(&world, 0, 1, 0), (SAFE_DATAGRAM_BYTES, true));
    assert_eq!(size(&world, 0, 2, 0), (FULL, false), "each path has its own");
    assert_eq!(size(&world, 1, 0, 0), (FULL, false), "and each direction");
    assert_eq!(told(&world, 0).last(), Some(&(SAFE_DATAGRAM_BYTES, MtuCause::Lost)));
    // The others get packets as before.
    let sealed = |world: &World| {
        let stats = world.nodes[0].endpoint.stats();
        (stats.packets_sealed, stats.parts_sealed)
    };
    let (whole, parts) = sealed(&world);
    let before = (world.nodes[1].packets.len(), world.nodes[2].packets.len());
    world.send_all(0, &[7; 1_400]);
    world.run(INTERVAL);
    assert_eq!(sealed(&world), (whole + 1, parts + 2));
    let after = (world.nodes[1].packets.len(), world.nodes[2].packets.len());
    assert_eq!(after, (before.0 + 1, before.1 + 1), "once each");
    let got = |index: usize| world.nodes[index].endpoint.stats().packets_joined;
    assert_eq!((got(1) > 0, got(2)), (true, 0));
    assert_nobody_lost(&world);
}

#[test]
fn a_path_that_heals_is_raised_after_its_hold_down() {
    let mut world = World::formed(2);
    world.run(DETECTION);
    world.fault(link(0), 0, 1, only(1_300));
    until_it_arrives(&mut world, 0, 1);
    world.heal();
    world.run(DETECTION / 2);
    assert_eq!(size(&world, 0, 1, 0).0, SAFE_DATAGRAM_BYTES, "held down");
    world.run(DETECTION * 3 / 4);
    assert_eq!(size(&world, 0, 1, 0), (FULL, false));
    assert_eq!(told(&world, 0).last(), Some(&(FULL, MtuCause::Healed)));
    assert_nobody_lost(&world);
}

/// D30: a path that comes and goes for large datagrams is raised less and less often.
#[test]
fn a_path_that_flaps_does_not_oscillate() {
    let mut world = World::formed(2);
    world.run(DETECTION);
    let before = told(&world, 0).len();
    for second in 0..120 {
        if second % 2 == 0 {
            world.fault(link(0), 0, 1, only(1_300));
        } else {
            world.heal();
        }
        for _ in 0..10 {
            (0..3).for_each(|_| world.send_all(0, &[7; 1_400]));
            world.run(DETECTION / 10);
        }
    }
    let changes = told(&world, 0).len() - before;
    assert!((4..=16).contains(&changes), "{changes} changes in 120 s, and 60 flaps");
    assert_nobody_lost(&world);
}

/// Idle, then three packets: nothing is tried for them in vain for long.
#[test]
fn what_is_sent_seldom_is_enough_to_notice() {
    let mut world = World::formed(2);
    world.run(DETECTION);
    world.fault(link(0), 0, 1, only(1_300));
    for _ in 0..3 {
        world.send_all(0, &[7; 1_400]);
        world.run(DETECTION / 2);
    }
    assert_eq!(size(&world, 0, 1, 0).0, SAFE_DATAGRAM_BYTES);
}

#[test]
fn loss_of_all_sizes_shrinks_nothing_for_long() {
    for (loss_percent, allowed) in [(5, 1), (30, 4)] {
        let mut world = World::formed(2);
        world.run(DETECTION);
        let fault = PathFault { loss_percent, ..PathFault::default() };
        world.fault(link(0), 0, 1, fault);
        world.fault(link(0), 1, 0, fault);
        let before = told(&world, 0).len();
        for _ in 0..3_000 {
            world.send_all(0, &[7; 1_400]);
            world.send_all(0, &[7; 60]);
            world.run(DETECTION / 50);
        }
        let lost = told(&world, 0)[before..].iter().filter(|t| t.1 == MtuCause::Lost).count();
        assert!(lost <= allowed, "{lost} times in a minute of {loss_percent} %");
    }
}

#[test]
fn packets_in_parts_pass_at_a_loss_of_thirty_percent_and_what_is_held_is_bounded() {
    let mut world = World::empty();
    let fault = PathFault { loss_percent: 30, ..only(1_300) };
    world.fault(link(0), 0, 1, fault);
    (1..=2).for_each(|id| {
        world.start(config(id, u64::from(id) * 100, 2));
    });
    world.run_until(DETECTION * 10, |world| world.heard(0).len() + world.heard(1).len() == 2);
    let held = world.nodes[1].endpoint.held();
    let mut sent = 0_u32;
    for number in 0..2_000_u32 {
        sent += u32::from(!world.heard(0).is_empty());
        world.send_all(0, &number.to_le_bytes().repeat(350));
        world.run(DETECTION / 500);
        // Challenges come and go besides.
        assert!(world.nodes[1].endpoint.held() <= held + crate::UNFINISHED_PACKETS_MAX + 130);
    }
    let mut numbers = Vec::new();
    for (_, packet) in &world.nodes[1].packets {
        let number = packet[..4].try_into().map(u32::from_le_bytes).expect("four bytes");
        assert_eq!(*packet, number.to_le_bytes().repeat(350), "of one packet alone");
        numbers.push(number);
    }
    let came = u32::try_from(numbers.len()).expect("few");
    assert!((sent * 40 / 100..=sent * 58 / 100).contains(&came), "{came} of {sent}: 49 % expected");
    numbers.dedup();
    assert_eq!(numbers.len(), world.nodes[1].packets.len(), "once each");
    assert!(world.nodes[1].endpoint.stats().packets_given_up > 400);
}

/// Where one datagram serves all, all get parts.
#[test]
fn on_a_shared_link_the_smallest_size_counts_for_all() {
    let mut world = World::empty();
    world.multicast = true;
    world.fault(link(0), 0, 1, only(1_300));
    for id in 1..=3 {
        let shared = LinkTerms { shared: true, ..LinkTerms::PLAIN };
        let config = config(id, u64::from(id) * 100, 3);
        world.start(crate::EndpointConfig { links: vec![shared], ..config });
    }
    world.run(DETECTION);
    world.send_all(0, &[7; 1_400]);
    world.send_all(2, &[8; 1_400]);
    world.run(INTERVAL);
    let packets: Vec<usize> = world.nodes.iter().map(|node| node.packets.len()).collect();
    assert_eq!(packets, [1, 2, 1]);
    let joined = |world: &World, index: usize| world.nodes[index].endpoint.stats().packets_joined;
    assert_eq!([0, 1, 2].map(|index| joined(&world, index)), [0, 1, 1]);
    // What is for one alone is cut for that one.
    world.send_urgent(0, 2, &[9; 1_400]);
    world.run(INTERVAL);
    assert_eq!(joined(&world, 2), 1);
    assert_nobody_lost(&world);
}

/// Where the smallest size counts for all, large datagrams go to nobody any more: nothing would
/// tell that another path does not carry them either.
#[test]
fn on_a_shared_link_all_paths_are_proven_again_when_one_shrinks() {
    let mut world = World::empty();
    world.multicast = true;
    for id in 1..=4 {
        let shared = LinkTerms { shared: true, ..LinkTerms::PLAIN };
        let config = config(id, u64::from(id) * 100, 4);
        world.start(crate::EndpointConfig { links: vec![shared], ..config });
    }
    world.run(DETECTION);
    let (narrow, wide) = ((SAFE_DATAGRAM_BYTES, true), (FULL, false));
    assert_eq!([1, 2, 3].map(|to| size(&world, 0, to, 0)), [wide; 3]);
    // Too little is lost on the way to the second for that to be noticed.
    for (to, lost) in [(1, 2), (2, 1)] {
        world.fault(link(0), 0, to, only(1_300));
        (0..lost).for_each(|_| world.send_all(0, &[7; 1_400]));
    }
    world.run(INTERVAL * 3 / 2);
    assert_eq!(size(&world, 0, 1, 0), narrow);
    world.run(DETECTION);
    assert_eq!([1, 2, 3].map(|to| size(&world, 0, to, 0)), [narrow, narrow, wide]);
    assert_nobody_lost(&world);
}

/// What goes over two links arrives once, whether it is cut on none, one or both of them.
#[test]
fn of_two_copies_one_is_handed_up_however_they_are_cut() {
    for narrow in [vec![], vec![0], vec![1], vec![0, 1]] {
        let mut world = World::empty();
        for on in &narrow {
            world.fault(link(*on), 0, 1, only(1_300));
        }
        for id in 1..=2 {
            world.start(with_links(2, config(id, u64::from(id) * 100, 2)));
        }
        world.run(DETECTION * 2);
        world.send_urgent(0, 1, &[9; 1_400]);
        world.run(INTERVAL);
        assert_eq!(world.nodes[1].packets.len(), 1, "narrow: {narrow:?}");
        world.fault(link(0), 0, 1, PathFault::DEAD);
        world.send_urgent(0, 1, &[9; 1_400]);
        world.run(INTERVAL / 2);
        assert_eq!(world.nodes[1].packets.len(), 2, "narrow: {narrow:?}, and link 0 dead");
    }
}

/// The other link is as good, and carries packets whole.
#[test]
fn of_two_links_the_one_that_need_not_cut_is_taken() {
    let mut world = World::formed_with_links(2, 2);
    world.run(DETECTION * 2);
    assert_eq!(world.link_of(0, 1), link(0));
    world.fault(link(0), 0, 1, only(1_300));
    until_it_arrives(&mut world, 0, 1);
    let took = world.run_until(QUARTER, |world| world.link_of(0, 1) == link(1));
    assert!(took <= QUARTER, "{took:?}");
    assert_eq!((size(&world, 0, 1, 0).1, size(&world, 0, 1, 1).1), (true, false));
}

#[test]
fn of_several_sizes_the_largest_that_passes_is_taken() {
    for (passes, expected) in [(1_300, 1_232), (1_460, 1_452), (9_000, 8_952), (65_000, 65_000)] {
        let mut world = World::empty();
        world.fault(link(0), 0, 1, only(passes));
        for id in 1..=2 {
            let config = config(id, u64::from(id) * 100, 2);
            world.start(crate::EndpointConfig { packet_bytes_max: 64_946, ..config });
        }
        world.run(DETECTION * 4);
        assert_eq!(size(&world, 0, 1, 0), (expected, expected < 65_000));
        world.send_all(0, &[7; 64_946]);
        world.run(INTERVAL);
        assert_eq!(world.nodes[1].packets.len(), 1, "{passes}");
        assert_eq!(size(&world, 0, 1, 0).0, expected, "what is tried in vain says nothing");
    }
}

/// Each end of a path knows what is wrong with it, and in which direction.
#[test]
fn what_gets_lost_on_the_way_to_a_peer_is_told_to_it() {
    let mut world = World::formed(2);
    let losses = |world: &World, at: usize| {
        let peer = world.nodes[at].endpoint.peers().next().expect("one");
        (peer.paths[0].to_peer, peer.paths[0].from_peer)
    };
    world.run(DETECTION * 2);
    assert_eq!(losses(&world, 1), Default::default());
    world.fault(link(0), 0, 1, only(1_300));
    until_it_arrives(&mut world, 0, 1);
    world.run(INTERVAL * 2);
    assert!(losses(&world, 0).0.narrow && losses(&world, 1).1.narrow);
    assert!(!losses(&world, 0).1.narrow && !losses(&world, 1).0.narrow, "in one direction");
    let fault = PathFault { loss_percent: 50, ..only(1_300) };
    world.fault(link(0), 0, 1, fault);
    world.run(DETECTION * 5);
    let (there, back) = (losses(&world, 0).0.loss_ppm, losses(&world, 1).1.loss_ppm);
    assert!(there > 200_000 && back > 200_000, "{there} {back}");
    assert!(losses(&world, 1).0.loss_ppm < 100_000, "in one direction");
}
