//! Networks in which not everybody hears everybody: P34. What graphs at large do is in
//! `tests/graphs.rs`.

use evs_model::Guarantee::{Agreed, Safe};
use evs_sim::checker::check;
use evs_sim::script::{Detail, Script};
use evs_sim::world::World;

use crate::stage::{D, as_written, configurations, left_and_joined_add_up};

/// Nothing changes for ten seconds, and messages go on being delivered to somebody else.
#[track_caller]
fn at_rest(script: &mut Script, nodes: u32, sender: u32) {
    let all: Vec<u32> = (1..=nodes).collect();
    let before = configurations(script, &all);
    let delivered: Vec<usize> = all.iter().map(|id| script.delivered(*id)).collect();
    script.send(sender, Safe, 5).send(sender, Agreed, 5).run_for(10_000);
    assert_eq!(configurations(script, &all), before, "who hears whom has not changed");
    let got = |id: &&u32| script.delivered(**id) >= delivered[**id as usize - 1] + 10;
    assert!(all.iter().filter(got).count() >= 2, "messages of {sender}");
}

/// 1 and 3 do not hear each other, 2 hears both: one of them goes on with 2, the other alone.
#[test]
fn p34_two_that_do_not_hear_each_other_part_once() {
    let mut script = World::script(3);
    script.run_for(D).from_here().send(2, Agreed, 1).run_for(20).cut(1, 3).run_for(5 * D);
    as_written(&script, "p34", Detail::Applications);
    at_rest(&mut script, 3, 2);
    script.heal().until_one_ring(5 * D);
    left_and_joined_add_up(script.world());
    script.finish();
}

/// One direction alone, between every ordered pair of three and four, counts like both.
#[test]
fn p34_a_path_that_is_cut_one_way_counts_as_cut() {
    for nodes in [3, 4] {
        for (from, to) in (1..=nodes).flat_map(|from| (1..=nodes).map(move |to| (from, to))) {
            if from == to {
                continue;
            }
            let mut script = World::script(nodes);
            script.cut_one_way(from, to).run_for(5 * D);
            let third = (1..=nodes).find(|id| *id != from && *id != to).unwrap_or(1);
            at_rest(&mut script, nodes, third);
            script.heal().until_one_ring(5 * D);
            left_and_joined_add_up(script.world());
            script.finish();
        }
    }
}

/// One of five directed paths is cut, at random: after B nothing changes any more.
#[test]
fn p34_any_cuts_come_to_rest() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut script = World::script(5);
        for (from, to) in (1..=5).flat_map(|from| (1..=5).map(move |to| (from, to))) {
            if from != to && rng.u32(0..5) == 0 {
                script.cut_one_way(from, to);
            }
        }
        // B for a detection target, three times, and the hold-downs that one cut may cost.
        script.run_for(10 * D);
        let before = configurations(&script, &[1, 2, 3, 4, 5]);
        script.send(1, Safe, 5).run_for(10_000);
        assert_eq!(configurations(&script, &[1, 2, 3, 4, 5]), before, "seed {seed}");
        left_and_joined_add_up(script.world());
        check(script.world().conclude()).expect("the contract is kept");
    }
}

/// 1 could be in a set as large as the ring that works without it; it waits quietly.
#[test]
fn p34_a_newcomer_that_one_member_cannot_hear_changes_nothing() {
    let mut script = World::script(5);
    script.crash(1).until_ring_of(&[2, 3, 4, 5], 3 * D).cut(1, 3).start(1).run_for(15 * D);
    at_rest(&mut script, 5, 2);
    script.finish();
}

/// Whoever restarts beside whichever broken pair, it ends.
#[test]
fn p34_restarts_beside_a_broken_pair_come_to_rest() {
    for (one, two) in [(1, 2), (1, 3), (2, 4), (4, 5)] {
        for restarted in 1..32_u32 {
            let mut script = World::script(5);
            script.cut(one, two);
            let chosen = (1..=5).filter(|id| restarted >> (id - 1) & 1 == 1);
            chosen.for_each(|id| {
                script.crash(id).run_for(7).start(id);
            });
            script.run_for(20 * D);
            let before = configurations(&script, &[1, 2, 3, 4, 5]);
            script.run_for(10 * D);
            let after = configurations(&script, &[1, 2, 3, 4, 5]);
            assert_eq!(before, after, "{one} and {two} cut, {restarted:b} restarted");
            script.finish();
        }
    }
}
