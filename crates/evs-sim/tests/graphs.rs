//! LIVE-3, P34: networks in which not everybody hears everybody. `cargo xtask sim --graphs N` goes
//! through many more of them.

use evs_sim::graphs::{Cuts, Graph, Settled};

const SECOND: u64 = 1_000_000_000;

#[track_caller]
fn settles(graph: &Graph, quiet: u64) -> Settled {
    graph.play(quiet).unwrap_or_else(|broken| panic!("{broken}"))
}

/// P34, at every moment of the period of hellos and probes: the row of a processor that is heard
/// through another alone lags behind, and must not look like room for a better ring.
#[test]
fn a_pair_cut_at_any_moment_costs_one_configuration() {
    for seed in 0..100 {
        for cuts in [Cuts::from([(2, 3)]), Cuts::from([(1, 3)]), Cuts::from([(3, 1)])] {
            let settled = settles(&Graph { seed, ..Graph::cut(3, cuts) }, SECOND);
            assert_eq!(settled.configurations, 1, "seed {seed}");
        }
    }
}

#[test]
fn three_of_which_two_do_not_hear_each_other_settle_for_ten_minutes() {
    for cuts in [Cuts::from([(1, 3)]), Cuts::from([(3, 1)]), Cuts::from([(1, 3), (3, 1)])] {
        let settled = settles(&Graph::cut(3, cuts), 600 * SECOND);
        assert_eq!(settled.sets, [vec![1, 2], vec![3]]);
    }
}

/// Two lonely processors, either of which could join a third: whoever forms its ring anew must not
/// thereby become the better choice, or they would do so by turns for ever.
#[test]
fn two_who_could_both_join_a_third_do_not_take_turns() {
    let apart = Cuts::from([(1, 2), (2, 1), (2, 3), (3, 1)]);
    let cuts = vec![(apart, 2_336), (Cuts::from([(3, 1)]), 0)];
    let settled = settles(&Graph { nodes: 3, cuts, seed: 89 }, 60 * SECOND);
    assert_eq!(settled.sets, [vec![1, 2], vec![3]]);
}

/// 3 hears 5 alone, and must know of 1, whom 5 does not hear either, or it would wait for 5 in
/// vain.
#[test]
fn who_is_far_away_in_the_graph_counts_too() {
    let cuts = Cuts::from([(1, 3), (1, 5), (3, 2), (3, 4)]);
    let settled = settles(&Graph { seed: 35, ..Graph::cut(5, cuts) }, 60 * SECOND);
    assert_eq!(settled.sets, [vec![1, 2, 4], vec![3, 5]]);
}

#[test]
fn random_graphs_settle() {
    for nodes in 3..=7 {
        (0..10).for_each(|seed| drop(settles(&Graph::draw(nodes, seed), 5 * SECOND)));
    }
}

/// 2, 4, 5 and 7 begin to hear 3 when some of them cease to hear each other, which takes longer to
/// notice. 3 must not leave 1 and 6 for them meanwhile (LIVE-6), only to come back.
#[test]
fn companions_part_only_when_what_was_cut_at_the_same_time_is_noticed() {
    let settled = settles(&Graph::draw(7, 50), SECOND);
    assert_eq!(settled.sets, [vec![1, 3, 4, 6], vec![2, 5], vec![7]]);
    let settled = settles(&Graph::draw(7, 199), SECOND);
    assert_eq!(settled.sets, [vec![1, 6], vec![2, 3, 4, 5, 7]]);
}
