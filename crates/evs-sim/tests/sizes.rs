//! Paths that drop large packets and tell nobody (D29, D30, P48, P55): packets are cut for them.
//! That changes no configuration, and stalls delivery for a quarter of the detection target at
//! most.

use evs_net::{SAFE_DATAGRAM_BYTES, UNFINISHED_PACKETS_MAX};
use evs_sim::script::Script;
use evs_sim::world::{LinkFault, Options, Origins};

/// In nanoseconds.
const MS: u64 = 1_000_000;
/// The datagram of a packet of full size in a world of the default packets.
const FULL: usize = 1_400 + evs_net::SEAL_OVERHEAD;

fn cold(seed: u64, nodes: u32, links: usize) -> Script {
    Script::cold(Options { links, sealed: true, ..Options::fair(seed, nodes) })
}

fn formed(seed: u64, nodes: u32, links: usize) -> Script {
    let mut script = cold(seed, nodes, links);
    script.world().start_all();
    script.until_one_ring(5_000).run_for(1_000);
    script
}

/// Every pair of nodes, both ways.
fn pairs(nodes: u32) -> Vec<(u32, u32)> {
    let ids = move || 1..=nodes;
    ids().flat_map(|from| ids().map(move |to| (from, to))).filter(|(a, b)| a != b).collect()
}

fn fault(script: &mut Script, on: &[(u32, u32)], bytes_max: usize) {
    for (from, to) in on {
        script.world().link_fault(0, *from, *to, LinkFault::Large(bytes_max));
    }
}

fn heal(script: &mut Script, on: &[(u32, u32)]) {
    for (from, to) in on {
        script.world().link_fault(0, *from, *to, LinkFault::None);
    }
}

fn configurations(script: &Script, nodes: u32) -> Vec<usize> {
    (1..=nodes).map(|id| script.configurations(id)).collect()
}

/// The longest datagram that one node sends to another on the first link.
fn size(script: &mut Script, from: u32, to: u32) -> usize {
    let endpoint = script.world().endpoint(from).expect("it is up");
    let peer = endpoint.peers().find(|peer| peer.node.get() == to).expect("a peer");
    peer.paths[0].datagram_bytes_max
}

/// How much of what one node sends to another is lost on the first link, as it thinks.
fn loss_ppm(script: &mut Script, from: u32, to: u32) -> u32 {
    let endpoint = script.world().endpoint(from).expect("it is up");
    let peer = endpoint.peers().find(|peer| peer.node.get() == to).expect("a peer");
    peer.paths[0].to_peer.loss_ppm
}

/// P13: datagrams are counted modulo 2^32, and what is known of a path does not depend on where.
#[test]
fn where_the_counts_of_a_path_go_round_nothing_seems_to_be_lost() {
    let seen = |counted: u32| {
        let fair = Options::fair(1, 3);
        let origins = Origins { counted, ..fair.origins };
        let mut script = Script::warm(Options { origins, sealed: true, ..fair });
        let mut seen = Vec::new();
        for _ in 0..100 {
            script.longest_stall(3, 10, 4_000);
            for (from, to) in pairs(3) {
                seen.push((loss_ppm(&mut script, from, to), size(&mut script, from, to)));
            }
        }
        script.finish();
        seen
    };
    let plain = seen(0);
    [100, 2_000, 5_000].iter().for_each(|before| assert_eq!(seen(u32::MAX - before), plain));
}

/// What a black hole that appears under load may cost.
fn costs_nothing(nodes: u32, links: usize, on: &[(u32, u32)], bytes_max: usize) {
    for seed in 0..2 {
        let mut script = formed(seed, nodes, links);
        let quarter = script.detection() / 4;
        script.longest_stall(nodes, 100 + seed * 7, 4_000);
        let before = configurations(&script, nodes);
        fault(&mut script, on, bytes_max);
        let stall = script.longest_stall(nodes, 600, 4_000);
        let what = format!("{bytes_max} bytes on {on:?}, seed {seed}");
        assert_eq!(configurations(&script, nodes), before, "{what}");
        assert!(stall <= quarter, "{what}: {} ms", stall / MS);
        let (from, to) = on[0];
        assert_eq!(size(&mut script, from, to), SAFE_DATAGRAM_BYTES, "{what}");
        heal(&mut script, on);
        script.longest_stall(nodes, 1_500, 4_000);
        assert_eq!(configurations(&script, nodes), before, "{what}, and healed");
        assert_eq!(size(&mut script, from, to), FULL, "{what}, and healed");
        script.finish();
    }
}

#[test]
fn a_black_hole_that_appears_under_load_costs_a_quarter_of_the_target_and_no_configuration() {
    for nodes in [2, 3, 5] {
        costs_nothing(nodes, 1, &pairs(nodes), 1_300);
    }
}

#[test]
fn a_black_hole_on_one_path_in_one_direction_costs_no_more() {
    costs_nothing(4, 1, &[(1, 2)], 1_300);
    costs_nothing(4, 1, &[(2, 1), (3, 1), (4, 1)], SAFE_DATAGRAM_BYTES);
    costs_nothing(4, 1, &[(1, 2), (1, 3), (1, 4)], 1_400);
}

#[test]
fn a_black_hole_on_one_of_two_links_costs_no_more() {
    costs_nothing(3, 2, &pairs(3), 1_300);
}

/// P55: whoever starts behind one is in the ring at once.
#[test]
fn a_black_hole_from_the_start_keeps_nobody_out() {
    for seed in 0..6 {
        let mut script = cold(seed, 4, 1);
        fault(&mut script, &pairs(4), SAFE_DATAGRAM_BYTES);
        script.world().start_all();
        script.until_one_ring(1_000);
        let before = configurations(&script, 4);
        assert!(script.longest_stall(4, 2_000, 4_000) <= script.detection() / 4);
        assert_eq!(configurations(&script, 4), before);
        script.finish();
    }
}

/// P48: full packets outstanding, and the path passes them exactly.
#[test]
fn a_path_that_passes_exactly_the_largest_packet_cuts_nothing() {
    let mut script = cold(3, 3, 1);
    fault(&mut script, &pairs(3), FULL);
    script.world().start_all();
    script.until_one_ring(1_000).run_for(200);
    script.longest_stall(3, 500, 4_000);
    for id in 1..=3 {
        let stats = script.world().endpoint(id).expect("it is up").stats();
        assert!(stats.packets_sealed > 500);
        assert_eq!(stats.packets_joined, 0);
    }
    script.finish();
}

/// D30: sizes that come and go are used less and less often.
#[test]
fn a_black_hole_that_comes_and_goes_is_tried_less_and_less_often() {
    let mut script = formed(5, 3, 1);
    let before = configurations(&script, 3);
    let (mut size_before, mut changes) = (FULL, [0; 4]);
    for changes in &mut changes {
        for _ in 0..20 {
            for hole in [true, false] {
                if hole {
                    fault(&mut script, &[(1, 2)], 1_300);
                } else {
                    heal(&mut script, &[(1, 2)]);
                }
                script.longest_stall(3, 150, 4_000);
                let size_now = size(&mut script, 1, 2);
                *changes += u32::from(size_now != size_before);
                size_before = size_now;
            }
        }
    }
    assert!(changes[0] >= 4 && changes[0] <= 12, "20 holes in 6 s: {changes:?}");
    assert!(changes[2] + changes[3] <= 6, "{changes:?}");
    assert_eq!(configurations(&script, 3), before);
    script.finish();
}

/// D29: of packets in parts that get lost nothing is mixed, and what waits is bounded.
#[test]
fn packets_in_parts_at_a_loss_of_thirty_percent_are_repaired_and_not_mixed() {
    let mut script = formed(9, 3, 1);
    fault(&mut script, &pairs(3), 1_300);
    script.longest_stall(3, 300, 4_000);
    for (from, to) in pairs(3) {
        script.world().lossy(from, to, 300_000);
    }
    let held = |script: &mut Script| {
        (1..=3).map(|id| script.world().endpoint(id).expect("it is up").held()).max().unwrap_or(0)
    };
    let before = held(&mut script);
    for _ in 0..100 {
        script.longest_stall(3, 20, 4_000);
        assert!(held(&mut script) <= before + 2 * UNFINISHED_PACKETS_MAX + 130);
    }
    for (from, to) in pairs(3) {
        script.world().lossy(from, to, 0);
    }
    let given_up = |script: &mut Script| {
        let stats = |id| script.world().endpoint(id).expect("it is up").stats().packets_given_up;
        (1..=3).map(stats).sum::<u64>()
    };
    assert!(given_up(&mut script) > 0);
    // Every message carries its own name, and the judge looks at it.
    script.finish();
}

/// A jumbo packet that some network cuts to the usual size: no size below that is used.
#[test]
fn of_several_sizes_the_largest_that_passes_is_used() {
    let options = Options { packet_bytes_max: 9_000, sealed: true, ..Options::fair(4, 3) };
    let mut script = Script::cold(options);
    fault(&mut script, &[(1, 2)], 1_452);
    script.world().start_all();
    script.until_one_ring(1_000);
    let before = configurations(&script, 3);
    let full = 9_000 + evs_net::SEAL_OVERHEAD;
    assert!(script.longest_stall(3, 2_000, 4_000) <= script.detection() / 4);
    assert_eq!((size(&mut script, 1, 2), size(&mut script, 2, 1)), (1_452, full));
    fault(&mut script, &[(1, 2)], 1_300);
    script.longest_stall(3, 1_000, 4_000);
    assert_eq!(size(&mut script, 1, 2), SAFE_DATAGRAM_BYTES);
    heal(&mut script, &[(1, 2)]);
    script.longest_stall(3, 3_000, 4_000);
    assert_eq!(size(&mut script, 1, 2), full);
    assert_eq!(configurations(&script, 3), before);
    script.finish();
}
