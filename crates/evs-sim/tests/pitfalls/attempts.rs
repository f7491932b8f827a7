//! Attempts to form a ring, struck at every step: P22, P23, P25, P28, P47, P50.

use evs_model::Guarantee::{Agreed, Safe};
use evs_model::Members;
use evs_sim::script::Script;
use evs_sim::world::Moment::{self, After, Before, Enters};
use evs_sim::world::{Aim, Kind, Passed, World};
use totem::Packet;
use totem::PacketKind::{self, CommitToken, Join, Token};
use totem::StateKind::{Commit, Gather, Operational, Recovery};
use totem::wire::Standing;

use crate::stage::{
    ALWAYS, COMMIT, D, JOIN, MCAST, MERGE, MS, TOKEN, attempts, configurations,
    left_and_joined_add_up,
};

/// Every step of a membership change, up to the first token of the new ring.
pub(crate) const STEPS: [&[Moment]; 10] = [
    &[Enters(Gather)],
    &[Enters(Gather), After(Join)],
    &[Enters(Commit)],
    &[Enters(Commit), After(CommitToken)],
    &[Enters(Recovery)],
    &[Enters(Recovery), Before(Token)],
    &[Enters(Recovery), After(Token)],
    // Nothing of the new configuration has been delivered.
    &[Enters(Operational)],
    // It has been, but nobody knows.
    &[Enters(Operational), Before(Token)],
    &[Enters(Operational), After(Token)],
];

/// A ring of so many and one more, which dies with messages under way.
fn change_under_way(nodes: u32) -> Script {
    let mut script = World::script(nodes + 1);
    script.aim(Aim::at(MCAST).from(nodes + 1).to(1).lost());
    script.send(nodes + 1, Agreed, 2).run_for(1).send(1, Safe, 5).send(2, Agreed, 5).run_for(1);
    script.crash(nodes + 1);
    script
}

/// Five nodes; 3 and 4 die, then 1 and 2 while the others recover; all come back, while 5 still
/// waits in its recovery.
#[test]
fn p22_a_failed_attempt_leaves_nothing_behind() {
    for state in [Commit, Recovery] {
        let mut script = World::script(5);
        script.send(5, Safe, 5).send(1, Agreed, 5).run_for(1).crash(3).crash(4);
        script.until_in(5, state).crash(1).crash(2);
        (1..=4).for_each(|id| {
            script.start(id);
        });
        script.until_one_ring(10 * D).send(5, Safe, 2).run_for(D / 2);
        left_and_joined_add_up(script.world());
        script.finish();
    }
}

/// One dies in Commit, another in Recovery, whoever they are; they come back at once.
#[test]
fn p22_every_double_failure_of_commit_and_recovery() {
    for first in &STEPS[2..4] {
        for second in &STEPS[4..7] {
            for (one, two) in (1..=4).flat_map(|one| (1..=4).map(move |two| (one, two))) {
                if one == two {
                    continue;
                }
                let mut script = change_under_way(4);
                script.crash_at(one, first).crash_at(two, second).run_for(3 * D);
                script.start(one).start(two).until_one_ring(10 * D);
                left_and_joined_add_up(script.world());
                script.finish();
            }
        }
    }
}

/// Each of the eight hops of a commit token: lost once; lost for as long as two attempts take;
/// repeated by its sender; late by more than an attempt, and by more than two.
#[test]
fn p23_a_commit_token_may_be_lost_repeated_or_late_at_any_hop() {
    let hops = (0..2).flat_map(|rotation| (1..=4).map(move |from| (rotation, from, from % 4 + 1)));
    for (rotation, from, to) in hops {
        let hop = Aim::at(COMMIT).from(from).to(to).after(rotation);
        let mut strikes = vec![hop.lost(), hop.count(ALWAYS).lost()];
        strikes.extend([D / 2 + 20, D + 50, 2 * D + 50].map(|ms| hop.late(ms * MS)));
        for (place, strike) in strikes.into_iter().enumerate() {
            for again in [0, 3] {
                let mut script = change_under_way(4);
                let from_here = script.world().journal().len();
                script.world().send_again(CommitToken, again);
                script.aim(strike).run_for(4 * D);
                let lost_for_ever = strike.count == ALWAYS;
                if !lost_for_ever {
                    let count = attempts(script.world(), 1, from_here);
                    assert_eq!(count, 1, "strike {place} at hop {from} of rotation {rotation}");
                }
                script.heal().until_ring_of(&[1, 2, 3, 4], 5 * D);
                let before = configurations(&script, &[1, 2, 3, 4]);
                script.run_for(5 * D);
                let after = configurations(&script, &[1, 2, 3, 4]);
                assert_eq!(before, after, "strike {place} at hop {from} of rotation {rotation}");
                left_and_joined_add_up(script.world());
                script.finish();
            }
        }
    }
}

/// A crash at each step, of the representative, of one in the middle and of the last, in rings of
/// two, three and five.
#[test]
fn p25_a_crash_at_any_step_costs_one_attempt() {
    for (nodes, victims) in [(2, &[1, 2][..]), (3, &[1, 2, 3]), (5, &[1, 3, 5])] {
        for victim in victims {
            for step in STEPS {
                let mut script = change_under_way(nodes);
                let from = script.world().journal().len();
                script.crash_at(*victim, step).until(3 * D, |world| !world.is_up(*victim));
                let survivors: Vec<u32> = (1..=nodes).filter(|id| id != victim).collect();
                // The death is noticed within D. Whoever is still heard is waited for a little.
                script.until_ring_of(&survivors, D + D / 4 + 10);
                few_attempts(&script, &survivors, from, 2, step);
                left_and_joined_add_up(script.world());
                script.finish();
            }
        }
    }
}

/// The same, and a second crash at each step of the attempt that follows.
#[test]
fn p25_a_second_crash_in_the_next_attempt_costs_one_more() {
    for (nodes, victims) in [(3, [1, 2]), (3, [3, 1]), (5, [1, 2]), (5, [3, 5]), (5, [5, 1])] {
        for first in STEPS {
            for second in STEPS {
                let mut script = change_under_way(nodes);
                let from = script.world().journal().len();
                script.crash_at(victims[0], first);
                script.until(3 * D, |world| !world.is_up(victims[0]));
                // It may be past that step of this attempt; then there is no second crash.
                script.crash_at(victims[1], second).run_for(3 * D);
                let gone = |id: u32| id == victims[0] || !script.world_seen().is_up(id);
                let survivors: Vec<u32> = (1..=nodes).filter(|id| !gone(*id)).collect();
                script.until_ring_of(&survivors, 2 * D);
                few_attempts(&script, &survivors, from, 3, second);
                left_and_joined_add_up(script.world());
                script.finish();
            }
        }
    }
}

/// An attempt for each fault, and no other.
#[track_caller]
fn few_attempts(script: &Script, survivors: &[u32], from: usize, most: usize, step: &[Moment]) {
    for id in survivors {
        let count = attempts(script.world_seen(), *id, from);
        assert!(count <= most, "{id} agreed to {count} rings, crash at {step:?}");
    }
}

/// A crash after any number of outputs since the change began.
#[test]
fn p25_a_crash_between_any_two_outputs_is_survived() {
    for outputs in 0..60 {
        let mut script = change_under_way(3);
        script.run_for(D - D / 4).crash_after(1 + outputs % 3, outputs).run_for(8 * D);
        left_and_joined_add_up(script.world());
        script.finish();
    }
}

/// A batch of token, data, join and word of a leave is read in every order.
#[test]
fn p28_a_batch_may_be_read_in_any_order_in_operation() {
    for order in orders([TOKEN, MCAST, JOIN, MERGE]) {
        let mut script = World::script(5);
        script.run_for(1).pause(2).send(1, Agreed, 20).send(3, Safe, 20).leave(4).run_for(D / 5);
        let waiting = script.world().waiting(2);
        assert!(order.iter().all(|kind| waiting.contains(kind)), "{waiting:?}");
        script.world().resume_in_order(2, &order);
        script.run_for(5 * D);
        assert!(script.world().is_one_ring(), "{order:?}");
        left_and_joined_add_up(script.world());
        script.finish();
    }
}

/// In every other state too: 3 gathers anew, as its join says, and 4 is gone, as 1 tells.
#[test]
fn p28_a_batch_may_be_read_in_any_order_in_an_attempt() {
    for state in [Gather, Commit, Recovery] {
        for order in orders([TOKEN, MCAST, JOIN, MERGE]) {
            let mut script = World::script(5);
            for kind in [Token, PacketKind::Mcast, Join, PacketKind::MergeDetect] {
                script.world().keep(kind);
            }
            script.send(1, Agreed, 20).send(3, Safe, 20).run_for(D / 2);
            script.pause_at(2, &[Enters(state)]).crash(5).until(3 * D, |w| w.is_paused(2));
            script.crash(4);
            let forged: Vec<(u32, Packet)> =
                order.iter().filter_map(|kind| of_kind(script.world(), *kind)).collect();
            assert!(forged.len() >= 3, "{state}: {forged:?}");
            for (from, packet) in &forged {
                script.world().forge(*from, 2, packet);
            }
            script.run_for(1).world().resume_in_order(2, &order);
            script.until_ring_of(&[1, 2, 3], 5 * D);
            left_and_joined_add_up(script.world());
            script.finish();
        }
    }
}

/// The last packet of this kind that passed, as it might come again: the join is a later one of 3,
/// who gathers; the probe is of 1, and says that 4 leaves.
fn of_kind(world: &World, kind: Kind) -> Option<(u32, Packet)> {
    let by = |passed: &&Passed| {
        let from = passed.from.node.get();
        let right = if kind == JOIN { from == 3 } else { kind != MERGE && from != 2 || from == 1 };
        right && Kind::Ring(passed.packet.kind()) == kind
    };
    let passed = world.passed().iter().rfind(by)?;
    let mut packet = passed.packet.clone();
    if let Packet::Join(join) = &mut packet {
        (join.number, join.accepted) = (join.number + 1, join.seq);
    }
    if let Packet::MergeDetect(merge) = &mut packet {
        for row in merge.rows.iter_mut().filter(|row| row.processor.node.get() == 4) {
            (row.version, row.standing) = (row.version + 1, Standing::Leaving);
            row.hears = Members::default();
        }
    }
    Some((passed.from.node.get(), packet))
}

fn orders(kinds: [Kind; 4]) -> Vec<Vec<Kind>> {
    let mut orders: Vec<Vec<Kind>> = vec![Vec::new()];
    for kind in kinds {
        let longer = |order: &Vec<Kind>| {
            let order = order.clone();
            (0..=order.len()).map(move |place| {
                let mut order = order.clone();
                order.insert(place, kind);
                order
            })
        };
        orders = orders.iter().flat_map(longer).collect();
    }
    orders
}
