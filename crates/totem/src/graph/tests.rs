//! The rule f and the rule of growth (`docs/protocol.md` §3).

use alloc::vec::Vec;

use evs_model::NodeId;
use proptest::prelude::*;

use super::*;

const fn p(node: u32) -> Processor {
    Processor::new(NodeId::new(node).expect("not zero"), 1)
}

fn members(nodes: &[u32]) -> Members {
    Members::new(nodes.iter().map(|n| p(*n)).collect()).expect("few")
}

fn ring(seq: u64) -> Option<RingId> {
    Some(RingId { seq, rep: p(1) })
}

/// Nodes 1 to n, all of which hear each other but for these directed pairs.
fn graph(n: u32, deaf: &[(u32, u32)], rings: &[Option<RingId>]) -> Graph {
    let mut graph = Graph::default();
    for me in 1..=n {
        let hears: Vec<u32> =
            (1..=n).filter(|other| *other != me && !deaf.contains(&(me, *other))).collect();
        let ring = rings.get(me as usize - 1).copied().flatten();
        let row = Row {
            processor: p(me),
            version: 1,
            hears: members(&hears),
            ring,
            standing: Standing::Operational,
        };
        assert_eq!(graph.merge(row), Merge::Changed);
    }
    graph
}

#[test]
fn an_edge_needs_both_directions() {
    let graph = graph(3, &[(1, 2)], &[]);
    assert!(!graph.edge(p(1), p(2)));
    assert!(!graph.edge(p(2), p(1)));
    assert!(graph.edge(p(2), p(3)));
    assert_eq!(graph.broken_pair(&members(&[1, 2, 3])), Some((p(1), p(2))));
}

#[test]
fn the_largest_clique_comes_first_and_ties_go_to_the_lowest_ids() {
    assert_eq!(graph(4, &[], &[]).partition(), [members(&[1, 2, 3, 4])]);
    // 1–3 is broken: {1, 2, 4} and {2, 3, 4} are as large.
    let sets = graph(4, &[(3, 1)], &[]).partition();
    assert_eq!(sets, [members(&[1, 2, 4]), members(&[3])]);
}

#[test]
fn ties_go_to_whoever_keeps_most_of_a_ring_together() {
    let rings = [None, ring(7), ring(7), ring(7)];
    let sets = graph(4, &[(1, 3)], &rings).partition();
    assert_eq!(sets, [members(&[2, 3, 4]), members(&[1])]);
    // Equal shares of two rings: the higher ring id.
    let rings = [ring(3), ring(3), ring(9), ring(9)];
    let sets = graph(4, &[(1, 3), (1, 4), (2, 3), (2, 4)], &rings).partition();
    assert_eq!(sets, [members(&[3, 4]), members(&[1, 2])]);
}

#[test]
fn a_ring_is_changed_only_if_the_sizes_grow() {
    const RING: RingId = RingId { seq: 1, rep: p(1) };
    let all = [ring(1), ring(1), ring(1), None];
    assert_eq!(
        graph(4, &[], &all).better_part(p(1), RING, &members(&[1, 2, 3])),
        Some(members(&[1, 2, 3, 4]))
    );
    // 4 hears only 1 and 2: a swap of 3 for 4 between equals is none of growth.
    let swap = graph(4, &[(4, 3)], &all);
    assert_eq!(swap.better_part(p(1), RING, &members(&[1, 2, 3])), None);
    let alone = RingId { seq: 9, rep: p(4) };
    assert_eq!(swap.better_part(p(4), alone, &members(&[4])), None);
}

/// Rows lag behind an install: members of the own ring are in it, whatever they say; and who is in
/// no ring in operation counts for one.
#[test]
fn a_ring_just_installed_is_not_left_for_one_of_the_same_size() {
    // 1 and 3 do not hear each other: {1, 2, 4, 5} and {2, 3, 4, 5} are as large.
    let rings = [None, ring(8), ring(7), None, ring(7)];
    let mut graph = graph(5, &[(1, 3)], &rings);
    let installed = RingId { seq: 8, rep: p(2) };
    assert_eq!(graph.better_part(p(2), installed, &members(&[2, 3, 4, 5])), None);
    // 1 alone in a ring long gone changes nothing.
    let stale =
        Row { standing: Standing::Gathering, ring: ring(2), version: 2, ..graph.rows()[0].clone() };
    graph.merge(stale);
    assert_eq!(graph.better_part(p(2), installed, &members(&[2, 3, 4, 5])), None);
}

#[test]
fn a_leaver_is_in_no_set() {
    let mut graph = graph(3, &[], &[]);
    let row = Row {
        processor: p(2),
        version: 2,
        hears: Members::default(),
        ring: None,
        standing: Standing::Leaving,
    };
    graph.merge(row);
    assert_eq!(graph.partition(), [members(&[1, 3])]);
}

#[test]
fn an_older_version_of_a_row_is_ignored_and_the_table_is_bounded() {
    let mut graph = graph(2, &[], &[]);
    let old = Row {
        processor: p(1),
        version: 0,
        hears: Members::default(),
        ring: None,
        standing: Standing::Operational,
    };
    assert_eq!(graph.merge(old.clone()), Merge::Known);
    for node in 3..=u32::try_from(ROWS_MAX).expect("small") {
        assert_eq!(graph.merge(Row { processor: p(node), ..old.clone() }), Merge::Changed);
    }
    assert_eq!(graph.merge(Row { processor: p(9_999), ..old }), Merge::Full);
}

#[test]
fn rows_of_those_out_of_reach_are_dropped() {
    let mut graph = graph(3, &[(1, 3), (2, 3)], &[]);
    graph.prune(p(1));
    assert_eq!(graph.rows().len(), 2);
}

/// Two incarnations of a node never end up in one set.
#[test]
fn two_incarnations_of_a_node_have_no_edge() {
    let mut graph = graph(2, &[], &[]);
    let again = Processor::new(p(2).node, 9);
    let row = Row {
        processor: again,
        version: 1,
        hears: members(&[1, 2]),
        ring: None,
        standing: Standing::Operational,
    };
    graph.merge(row);
    assert!(graph.partition().iter().all(|set| set.len() <= 2));
}

#[test]
fn a_hundred_and_twenty_eight_are_one_set() {
    let graph = graph(128, &[], &[]);
    assert_eq!(graph.partition()[0].len(), 128);
}

/// The largest size by trying every set.
fn largest_by_force(graph: &Graph, n: u32) -> usize {
    let cliques = (1u32..1 << n).filter(|set| {
        let list: Vec<u32> = (1..=n).filter(|i| set >> (i - 1) & 1 == 1).collect();
        graph.broken_pair(&members(&list)).is_none()
    });
    cliques.map(u32::count_ones).max().expect("one alone is a clique") as usize
}

proptest! {
    #[test]
    fn the_first_set_is_a_largest_clique(
        n in 2u32..9,
        deaf in proptest::collection::vec((1u32..9, 1u32..9), 0..30),
    ) {
        let graph = graph(n, &deaf, &[]);
        let sets = graph.partition();
        prop_assert_eq!(sets[0].len(), largest_by_force(&graph, n));
        prop_assert_eq!(sets.iter().map(Members::len).sum::<usize>(), n as usize);
        for set in &sets {
            prop_assert_eq!(graph.broken_pair(set), None);
        }
    }
}
