//! Who is in the ring: P26, P27, P29, P31, P35, P37, P39, P40.

use evs_model::Guarantee::{Agreed, Safe};
use evs_sim::script::{Detail, Script, is_ring_of};
use evs_sim::world::{Aim, Nanos, Options, World};
use totem::StateKind;

use crate::stage::{
    ALWAYS, D, JOIN, MERGE, MS, TOKEN, US, as_written, configurations, left_and_joined_add_up,
    left_at, regulars,
};

/// B of the contract: three times the detection target and the time of an agreement.
const B: Nanos = 3 * (D + D / 10);

/// 3 dies at the moment at which 1 and 2 lose each other; they hear each other again at any moment
/// of their first attempt apart. Two rounds at the most, and they are together.
#[test]
fn p26_a_valid_join_is_heeded_and_an_old_one_is_not() {
    for (one, two, dies) in [(1, 2, 3), (2, 3, 1)] {
        for heal in (0..=2 * D).step_by(5) {
            let mut script = World::script(3);
            script.send(one, Agreed, 3).send(two, Safe, 3).run_for(1);
            let before = configurations(&script, &[one, two]);
            script.cut(one, two).crash(dies).run_for(heal).heal().until_ring_of(&[one, two], B);
            script.run_for(2 * D);
            for (id, before) in [one, two].into_iter().zip(before) {
                let rounds = (script.configurations(id) - before) / 2;
                assert!(rounds <= 2, "{rounds} rounds at {id}, healed after {heal} ms");
            }
            left_and_joined_add_up(script.world());
            script.finish();
        }
    }
}

/// Five start at once, and nearly a third of all joins are lost.
#[test]
fn p27_lost_joins_leave_nobody_alone() {
    for seed in 0..50 {
        let mut options = Options::fair(seed, 5);
        options.weather.loss_ppm[JOIN.index()] = 300_000;
        let mut script = Script::cold(options);
        script.world().start_all();
        script.until_one_ring(B + D).run_for(2 * D).finish();
    }
}

/// 1, the representative, hears one of the others, but none of its joins, and gives it up. Nobody
/// else does, and when its joins come it is taken back at once.
#[test]
fn p27_whom_one_gives_up_is_taken_back_by_a_join() {
    for silent in [2, 3, 4] {
        let mut script = World::script(5);
        script.aim(Aim::at(JOIN).from(silent).to(1).count(ALWAYS).lost()).crash(5);
        let others: Vec<u32> = (1..=4).filter(|id| *id != silent).collect();
        script.until_ring_of(&others, 3 * D).run_for(5);
        script.heal().until_ring_of(&[1, 2, 3, 4], D).run_for(2 * D).finish();
    }
}

/// Three of five leave together, the representative among them: the others have their ring at once;
/// at the latest when the silence is noticed, if every word of one leave is lost.
#[test]
fn p29_three_leave_together() {
    for (lost, bound) in [(0, 10), (2, 15), (ALWAYS, D + D / 4 + 10)] {
        let mut script = World::script(5);
        script.run_for(D).send(1, Agreed, 20).send(4, Safe, 20).run_for(1);
        script.leave(1).leave(3).leave(4);
        script.aim(Aim::at(MERGE).from(1).count(lost).lost());
        script.until(D, |world| ![1, 3, 4].iter().any(|id| world.is_up(*id)));
        script.until_ring_of(&[2, 5], bound);
        assert_eq!(script.delivered(2), 40);
        left_and_joined_add_up(script.world());
        script.finish();
    }
}

/// Two rings merge when they can: both idle, both busy, with half the probes lost, and with the
/// representative of one standing still at that moment.
#[test]
fn p31_rings_that_can_merge_do() {
    for (busy, lost, paused) in
        [(false, 0, None), (true, 0, None), (false, 500_000, None), (false, 0, Some(3))]
    {
        let mut script = World::script(4);
        script.partition(&[&[1, 2], &[3, 4]]).until_ring_of(&[1, 2], B).until_ring_of(&[3, 4], B);
        if busy {
            (1..=4).for_each(|id| {
                (0..1_000).for_each(|_| {
                    script.send_one(id, Agreed, 1_200);
                })
            });
        }
        let mut weather = script.world().options().weather.clone();
        weather.loss_ppm[MERGE.index()] = lost;
        script.run_for(3).weather(weather).heal();
        if let Some(id) = paused {
            script.pause(id).run_for(3 * D).resume(id);
        }
        script.until_one_ring(B);
        left_and_joined_add_up(script.world());
        script.run_for(5 * D).finish();
    }
}

/// A slow trickle of starters: those who work are interrupted for moments only.
#[test]
fn p35_a_trickle_of_starters_does_not_starve_those_who_work() {
    let mut options = Options::fair(1, 30);
    options.weather.loss_ppm = [10_000; evs_sim::world::Kind::COUNT];
    let mut script = Script::cold(options);
    (1..=5).for_each(|id| {
        script.start(id);
    });
    script.until_ring_of(&[1, 2, 3, 4, 5], 20 * D);
    let from = script.world().journal().len();
    for id in 6..=30 {
        script.send(1, Agreed, 1).start(id).run_for(D * 2 / 5);
    }
    script.until_one_ring(10 * D);
    let out = longest_gathering(script.world(), 1, from);
    assert!(out <= D / 2, "1 was out of operation for {out} ms at a time");
    let rings = regulars(script.world(), 1, from).len();
    assert!(rings <= 25 + 3, "{rings} rings for 25 starters");
    left_and_joined_add_up(script.world());
    script.finish();
}

/// The longest time that a node was not operational, in milliseconds.
fn longest_gathering(world: &World, id: u32, from: usize) -> Nanos {
    let mut left = None;
    let mut longest = 0;
    for note in world.journal()[from..].iter().filter(|note| note.processor.node.get() == id) {
        if let evs_sim::world::Noted::Moved { from, to, .. } = note.what {
            if from == StateKind::Operational {
                left = Some(note.at);
            }
            if to == StateKind::Operational {
                longest = left.take().map_or(longest, |left| longest.max(note.at - left));
            }
        }
    }
    longest / MS
}

/// Many start within ten milliseconds.
#[test]
fn p35_many_that_start_at_once_are_soon_one_ring() {
    let mut script = Script::cold(Options::fair(1, 32));
    for id in 1..=32 {
        script.start(id);
        script.world().run_for(300 * US);
    }
    script.until_one_ring(5_000);
    let most = (1..=32).map(|id| regulars(script.world(), id, 0).len()).max();
    assert!(most <= Some(4), "{most:?} configurations");
    script.finish();
}

/// 1 stands still for three detection targets while its client goes away, and comes back: everybody
/// tells who left and joined from its own last configuration.
#[test]
fn p37_who_left_whom_is_everybodys_own_account() {
    let mut script = World::script(3);
    script.run_for(D).send(1, Agreed, 2).run_for(20).from_here();
    script.pause(1).run_for(3 * D).send(2, Safe, 2).resume(1).kill_client(1);
    script.until_one_ring(5 * D).send(1, Agreed, 1).run_for(D);
    as_written(&script, "p37", Detail::Applications);
    left_and_joined_add_up(script.world());
    script.finish();
}

/// The tokens of one detection target are lost and everybody lives: a new ring of the same members,
/// from which nobody left and which nobody joined.
#[test]
fn p39_the_same_members_again_are_no_restart() {
    let mut script = World::script(3);
    script.run_for(D).from_here().send(2, Agreed, 3).run_for(20);
    script.aim(Aim::at(TOKEN).count(ALWAYS).lost()).send(1, Safe, 3);
    script.until_in(1, StateKind::Gather).heal().until_one_ring(D).run_for(D);
    as_written(&script, "p39", Detail::Applications);
    assert!(left_at(script.world(), 1, StateKind::Operational).is_some());
    script.finish();
}

/// Three sides merge while a seventh starts and 5 leaves, and a tenth of everything is lost.
#[test]
fn p40_three_sides_merge_while_one_joins_and_one_leaves() {
    for seed in 0..300 {
        let mut script = Script::cold(Options::fair(seed, 7));
        (1..=6).for_each(|id| {
            script.start(id);
        });
        script.until_ring_of(&[1, 2, 3, 4, 5, 6], 5 * D).partition(&[&[1, 2], &[3, 4], &[5, 6]]);
        script.until_ring_of(&[1, 2], B).until_ring_of(&[3, 4], B).until_ring_of(&[5, 6], B);
        (1..=6).for_each(|id| {
            script.send(id, Agreed, 5).send(id, Safe, 5);
        });
        let from = script.world().journal().len();
        let mut weather = script.world().options().weather.clone();
        weather.loss_ppm = [100_000; evs_sim::world::Kind::COUNT];
        script.weather(weather).heal().start(7).leave(5);
        script.until(5 * B, |world| is_ring_of(world, &[1, 2, 3, 4, 6, 7]));
        for id in [1, 2, 3, 4, 6] {
            let rounds = regulars(script.world(), id, from).len();
            // Two for each of the three faults.
            assert!(rounds <= 6, "seed {seed}: {rounds} rings at {id}");
        }
        left_and_joined_add_up(script.world());
        let fair = Options::fair(seed, 7).weather;
        script.weather(fair).finish();
    }
}
