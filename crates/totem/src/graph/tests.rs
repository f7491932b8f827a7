//! The rule f and the rule of growth (`docs/protocol.md` §3).

use alloc::vec::Vec;

use evs_model::NodeId;
use proptest::prelude::*;

use super::*;
use crate::wire::{Installed, Standing};

const fn p(node: u32) -> Processor {
    Processor::new(NodeId::new(node).expect("not zero"), 1)
}

fn members(nodes: &[u32]) -> Members {
    Members::new(nodes.iter().map(|n| p(*n)).collect()).expect("few")
}

fn ring(seq: u64) -> Option<RingId> {
    Some(RingId { seq, rep: p(1) })
}

fn installed(ring: Option<RingId>, nodes: &[u32]) -> Option<Installed> {
    ring.map(|ring| Installed { ring, members: members(nodes) })
}

/// Nodes 1 to n, all of which hear each other but for these directed pairs. Those with one ring are
/// its members.
fn graph(n: u32, deaf: &[(u32, u32)], rings: &[Option<RingId>]) -> Graph {
    let mut graph = Graph::default();
    for me in 1..=n {
        let hears: Vec<u32> =
            (1..=n).filter(|other| *other != me && !deaf.contains(&(me, *other))).collect();
        let ring = rings.get(me as usize - 1).copied().flatten();
        let same: Vec<u32> =
            (1..=n).filter(|other| rings.get(*other as usize - 1) == Some(&ring)).collect();
        let row = Row {
            processor: p(me),
            version: 1,
            hears: members(&hears),
            installed: installed(ring, &same),
            standing: Standing::Operational,
        };
        assert_eq!(graph.merge(&row), Merge::Changed);
    }
    graph
}

#[test]
fn an_edge_needs_both_directions() {
    let graph = graph(3, &[(1, 2)], &[]);
    assert!(!graph.edge(p(1), p(2)));
    assert!(!graph.edge(p(2), p(1)));
    assert!(graph.edge(p(2), p(3)));
    assert_eq!(graph.broken_pair(p(3), &members(&[1, 2, 3])), Some((p(1), p(2))));
}

/// 1 does not hear 3 any more, and neither does 2, for whom that is all: its row is gone.
#[test]
fn who_is_out_of_reach_for_all_is_so_for_whoever_asks() {
    let mut graph = graph(3, &[(1, 3), (2, 3)], &[]);
    graph.prune(p(2));
    assert_eq!(graph.broken_pair(p(2), &members(&[1, 2, 3])), Some((p(2), p(3))));
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
    // Equal shares of two rings: the lowest ids, whichever ring is the younger one.
    let rings = [ring(3), ring(3), ring(9), ring(9)];
    let sets = graph(4, &[(1, 3), (1, 4), (2, 3), (2, 4)], &rings).partition();
    assert_eq!(sets, [members(&[1, 2]), members(&[3, 4])]);
}

#[test]
fn a_ring_is_changed_only_if_the_sizes_grow() {
    let all = [ring(1), ring(1), ring(1), None];
    assert_eq!(
        graph(4, &[], &all).better_part(p(1), &members(&[1, 2, 3])),
        Some(Better { part: members(&[1, 2, 3, 4]), parts: false })
    );
    // 4 hears only 1 and 2: a swap of 3 for 4 between equals is none of growth.
    let swap = graph(4, &[(4, 3)], &all);
    assert_eq!(swap.better_part(p(1), &members(&[1, 2, 3])), None);
    assert_eq!(swap.better_part(p(4), &members(&[4])), None);
}

#[test]
fn all_members_of_a_part_know_whether_it_parts_companions() {
    // 5 does not hear 3, so {1, 2, 3, 4} takes 4 away from it.
    let rings = [ring(1), ring(1), ring(1), ring(4), ring(4)];
    let graph = graph(5, &[(3, 5)], &rings);
    let better = Some(Better { part: members(&[1, 2, 3, 4]), parts: true });
    for (me, ring) in [(1, [1, 2, 3].as_slice()), (2, &[1, 2, 3]), (3, &[1, 2, 3]), (4, &[4, 5])] {
        assert_eq!(graph.better_part(p(me), &members(ring)), better, "{me}");
    }
}

/// Rows lag behind an install: one member's row tells who is in its ring.
#[test]
fn a_ring_just_installed_is_not_left_for_one_of_the_same_size() {
    // 1 and 3 do not hear each other: {1, 2, 4, 5} and {2, 3, 4, 5} are as large.
    let rings = [None, ring(7), ring(7), None, ring(7)];
    let mut graph = graph(5, &[(1, 3)], &rings);
    let second = graph.row(p(2)).expect("known").clone();
    let installed = installed(ring(8), &[2, 3, 4, 5]);
    graph.merge(&Row { installed, version: 2, ..second });
    assert_eq!(graph.better_part(p(2), &members(&[2, 3, 4, 5])), None);
    // 1 alone in a ring long gone changes nothing.
    let first = graph.row(p(1)).expect("known").clone();
    let installed = self::installed(ring(2), &[1]);
    graph.merge(&Row { standing: Standing::Gathering, installed, version: 2, ..first });
    assert_eq!(graph.better_part(p(2), &members(&[2, 3, 4, 5])), None);
}

/// The same seen from outside: 3 does not hear 2, and learns of the ring of 1 and 2 from 1 alone.
#[test]
fn a_ring_of_others_is_known_by_the_word_of_one_member() {
    let rings = [ring(8), ring(7), ring(9)];
    let mut graph = graph(3, &[(3, 2)], &rings);
    let first = graph.row(p(1)).expect("known").clone();
    let second = graph.row(p(2)).expect("known").clone();
    graph.merge(&Row { installed: installed(ring(8), &[1, 2]), version: 2, ..first });
    graph.merge(&Row { standing: Standing::Gathering, version: 2, ..second.clone() });
    assert_eq!(graph.partition(), [members(&[1, 2]), members(&[3])]);
    assert_eq!(graph.better_part(p(3), &members(&[3])), None);
    // Once 2 tells that it left the ring, 1 and 3 are as good as 1 and 2.
    let left = installed(ring(8), &[1, 2]);
    graph.merge(&Row { standing: Standing::Gathering, version: 3, installed: left, ..second });
    let matrix = Matrix::new(graph.rows.values());
    assert_eq!(current_sizes(&matrix, &members(&[3])), [1, 1, 1]);
}

#[test]
fn a_leaver_is_in_no_set() {
    let mut graph = graph(3, &[], &[]);
    let row = Row {
        processor: p(2),
        version: 2,
        hears: Members::default(),
        installed: None,
        standing: Standing::Leaving,
    };
    graph.merge(&row);
    assert_eq!(graph.partition(), [members(&[1, 3])]);
}

#[test]
fn an_older_version_of_a_row_is_ignored_and_the_table_is_bounded() {
    let mut graph = graph(2, &[], &[]);
    let old = Row {
        processor: p(1),
        version: 0,
        hears: Members::default(),
        installed: None,
        standing: Standing::Operational,
    };
    assert_eq!(graph.merge(&old.clone()), Merge::Known);
    for node in 3..=u32::try_from(ROWS_MAX).expect("small") {
        assert_eq!(graph.merge(&Row { processor: p(node), ..old.clone() }), Merge::Changed);
    }
    assert_eq!(graph.merge(&Row { processor: p(9_999), ..old }), Merge::Full);
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
        installed: None,
        standing: Standing::Operational,
    };
    graph.merge(&row);
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
        graph.broken_pair(p(1), &members(&list)).is_none()
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
            prop_assert_eq!(graph.broken_pair(p(1), set), None);
        }
    }
}
