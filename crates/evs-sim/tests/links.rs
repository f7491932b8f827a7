//! Several links: one of them is lost, or gets slow, lossy, one-way or small, under load. That
//! changes no configuration and stalls delivery for a quarter of the detection target at most.

use evs_sim::script::Script;
use evs_sim::world::{LinkFault, Options, World};

/// In nanoseconds.
const MS: u64 = 1_000_000;

fn formed(seed: u64, nodes: u32, links: usize) -> Script {
    let mut script = Script::cold(Options { links, ..Options::fair(seed, nodes) });
    script.world().start_all();
    script.until_one_ring(5_000).run_for(1_000);
    script
}

fn fault(script: &mut Script, link: usize, pairs: &[(u32, u32)], what: LinkFault) {
    for (from, to) in pairs {
        script.world().link_fault(link, *from, *to, what);
    }
}

/// Every pair of nodes, both ways.
fn pairs(nodes: u32) -> Vec<(u32, u32)> {
    let ids = move || 1..=nodes;
    ids().flat_map(|from| ids().map(move |to| (from, to))).filter(|(a, b)| a != b).collect()
}

/// What a fault of a link may cost, on a network of this many nodes with two links.
fn costs_nothing(nodes: u32, on: &[(u32, u32)], what: LinkFault) {
    for seed in 0..4 {
        let mut script = formed(seed, nodes, 2);
        let quarter = script.detection() / 4;
        script.longest_stall(nodes, 100 + seed * 7, 1_300);
        let before: Vec<_> = (1..=nodes).map(|id| script.configurations(id)).collect();
        fault(&mut script, 0, on, what);
        let stall = script.longest_stall(nodes, 600, 1_300);
        let after: Vec<_> = (1..=nodes).map(|id| script.configurations(id)).collect();
        assert_eq!(before, after, "{what:?} on {on:?}");
        assert!(stall <= quarter, "{what:?} on {on:?}: {} ms", stall / MS);
        fault(&mut script, 0, on, LinkFault::None);
        script.longest_stall(nodes, 600, 1_300);
        let healed: Vec<_> = (1..=nodes).map(|id| script.configurations(id)).collect();
        assert_eq!(before, healed, "{what:?} on {on:?}, and healed");
        script.finish();
    }
}

#[test]
fn losing_one_of_two_links_costs_a_quarter_of_the_target_and_no_configuration() {
    for nodes in [2, 3, 5] {
        costs_nothing(nodes, &pairs(nodes), LinkFault::Cut);
    }
}

#[test]
fn one_path_of_a_link_that_is_cut_one_way_or_both_ways_costs_no_more() {
    costs_nothing(4, &[(1, 2)], LinkFault::Cut);
    costs_nothing(4, &[(1, 2), (2, 1)], LinkFault::Cut);
    costs_nothing(4, &[(1, 2), (1, 3), (1, 4)], LinkFault::Cut);
    costs_nothing(4, &[(2, 1), (3, 1), (4, 1)], LinkFault::Cut);
}

#[test]
fn a_link_that_drops_large_packets_costs_no_more() {
    costs_nothing(3, &pairs(3), LinkFault::Large(1_000));
    costs_nothing(4, &[(1, 2)], LinkFault::Large(1_000));
}

#[test]
fn a_link_that_loses_packets_costs_no_more() {
    costs_nothing(3, &pairs(3), LinkFault::Loss(200_000));
    costs_nothing(3, &pairs(3), LinkFault::Loss(500_000));
    costs_nothing(4, &[(1, 2)], LinkFault::Loss(500_000));
}

#[test]
fn a_link_that_gets_slow_costs_no_more() {
    costs_nothing(3, &pairs(3), LinkFault::Slow(20 * MS));
    costs_nothing(4, &[(1, 2), (2, 1)], LinkFault::Slow(20 * MS));
}

/// The host, and all of its links: nothing is slower than with one link.
#[test]
fn with_several_links_a_death_is_noticed_as_soon_as_with_one() {
    for links in [1, 2, 8] {
        let mut script = formed(1, 4, links);
        script.crash(3);
        let begin = script.world().now();
        script.until_ring_of(&[1, 2, 4], 1_000);
        let took = script.world().now() - begin;
        assert!(took <= 2 * script.detection(), "LIVE-5 over {links} links: {} ms", took / MS);
        script.finish();
    }
}

/// Every link carries some path, and none carries all of them.
#[test]
fn each_pair_may_be_left_with_another_link() {
    let mut script = formed(3, 3, 3);
    let before = script.configurations(1);
    for (place, (one, two)) in [(1, 2), (2, 3), (1, 3)].into_iter().enumerate() {
        for link in (0..3).filter(|link| *link != place) {
            fault(&mut script, link, &[(one, two), (two, one)], LinkFault::Cut);
        }
    }
    script.longest_stall(3, 1_000, 1_300);
    assert_eq!(script.configurations(1), before);
    script.finish();
}

/// And if nothing at all passes between two any more, they part as ever.
#[test]
fn a_pair_whose_last_link_is_cut_parts() {
    let mut script = formed(3, 3, 2);
    fault(&mut script, 0, &[(1, 2), (2, 1)], LinkFault::Cut);
    script.run_for(1_000);
    let members = |script: &mut Script, id| World::members(script.world(), id);
    assert_eq!(members(&mut script, 1), [1, 2, 3]);
    fault(&mut script, 1, &[(1, 2), (2, 1)], LinkFault::Cut);
    script.run_for(1_000);
    assert_ne!(members(&mut script, 1), [1, 2, 3]);
    fault(&mut script, 1, &[(1, 2), (2, 1)], LinkFault::None);
    script.until_one_ring(5_000);
    script.finish();
}

/// The daemon alone dies: its host says that nobody listens there. Four questions later the others
/// go on, whether there was traffic or not, though the target is half a second.
#[test]
fn a_daemon_whose_host_says_that_it_is_gone_is_missed_for_a_hundred_milliseconds() {
    for nodes in [2, 3, 8] {
        for busy in [true, false] {
            let detection = std::time::Duration::from_millis(500);
            let options = Options { refusals: true, detection, ..Options::fair(7, nodes) };
            let mut script = Script::cold(options);
            script.world().start_all();
            script.until_one_ring(5_000).run_for(2_000);
            if busy {
                script.longest_stall(nodes, 100, 1_300);
            }
            let others: Vec<u32> = (1..nodes).collect();
            script.crash(nodes);
            let begin = script.world().now();
            script.until_ring_of(&others, 1_000);
            let took = (script.world().now() - begin) / MS;
            assert!(took <= 100, "{nodes} nodes, busy {busy}: {took} ms");
            script.start(nodes).until_one_ring(5_000);
            script.finish();
        }
    }
}
