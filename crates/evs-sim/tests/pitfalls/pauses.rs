//! Processes that stand still for a while: P36.

use evs_model::Guarantee::{Agreed, Safe};
use evs_sim::script::Script;
use evs_sim::world::Moment::Enters;
use evs_sim::world::{Backlog, Nanos, World};
use totem::StateKind::{self, Commit, Gather, Operational, Recovery};

use crate::stage::{D, configurations, left_and_joined_add_up, regulars};

/// How long a pause is, in milliseconds: 0.4, 0.9, 1.5, 3 and 30 times the target.
const PAUSES: [Nanos; 5] = [D * 2 / 5, D * 9 / 10, D * 3 / 2, 3 * D, 30 * D];

/// What a paused node finds when it goes on: its receive buffer, or nothing; packets first, or
/// timers.
const ENDS: [(Backlog, bool); 4] =
    [(Backlog::Kept, false), (Backlog::Kept, true), (Backlog::Lost, false), (Backlog::Lost, true)];

fn run_for_and_send(script: &mut Script, ms: Nanos, from: u32) {
    for _ in 0..ms / 20 {
        let _ = script.try_send(from, Agreed, 200);
        script.run_for(20);
    }
}

/// In operation: shorter than half the target it costs nothing; else the others are out of one
/// ring and into another, once, and so is the paused one, whatever it finds.
#[test]
fn p36_a_pause_costs_one_exclusion_and_one_return() {
    for id in [1, 2, 3] {
        for pause in PAUSES {
            for (backlog, timers_first) in ENDS {
                let mut script = World::script(3);
                script.send(id, Safe, 10).run_for(1);
                let from = script.world().journal().len();
                script.pause(id);
                let other = id % 3 + 1;
                run_for_and_send(&mut script, pause, other);
                script.world().resume(id, backlog, timers_first);
                script.until_one_ring(5 * D).send(id, Safe, 2).run_for(5 * D);

                let what = format!("{id} for {pause} ms, {backlog:?}, timers first {timers_first}");
                for seen in 1..=3 {
                    let rings = regulars(script.world(), seen, from);
                    let most = if pause < D / 2 { 0 } else { 2 };
                    assert!(rings.len() <= most, "{what}: {seen} saw {rings:?}");
                    if pause > D && seen != id {
                        assert_eq!(rings.len(), 2, "{what}: {seen} saw {rings:?}");
                    }
                }
                left_and_joined_add_up(script.world());
                script.finish();
            }
        }
    }
}

/// A machine stands still, and with it all nodes that it hosts; one goes on a little later than the
/// others, but by less than the target: nobody is missed.
#[test]
fn p36_a_machine_that_stands_still_changes_nothing() {
    for pause in [D * 3 / 5, D * 11 / 10, 3 * D, 30 * D] {
        for last in [1, 3] {
            for (backlog, timers_first) in ENDS {
                let mut script = World::script(3);
                script.send(1, Safe, 10).run_for(500);
                let before = configurations(&script, &[1, 2, 3]);
                for id in [1, 2, 3] {
                    script.pause(id);
                }
                script.run_for(pause);
                for id in [1, 2, 3].into_iter().filter(|id| *id != last) {
                    script.world().resume(id, backlog, timers_first);
                }
                script.run_for(D * 7 / 10);
                script.world().resume(last, backlog, timers_first);
                script.send(last, Safe, 2).run_for(5 * D);
                let what = format!("{pause} ms, {last} {backlog:?}, timers first {timers_first}");
                assert_eq!(configurations(&script, &[1, 2, 3]), before, "{what}");
                script.finish();
            }
        }
    }
}

/// In every state of a change, of the representative and of another: all come together again, and
/// nobody needs more than the change, one exclusion and one return.
#[test]
fn p36_a_pause_in_any_state_of_a_change_comes_to_rest() {
    for state in [Gather, Commit, Recovery, Operational] {
        for id in [1, 3] {
            for pause in PAUSES {
                for (backlog, timers_first) in ENDS {
                    let what =
                        format!("{id} in {state} for {pause} ms, {backlog:?} {timers_first}");
                    paused_in(state, id, pause, (backlog, timers_first), &what);
                }
            }
        }
    }
}

fn paused_in(state: StateKind, id: u32, pause: Nanos, end: (Backlog, bool), what: &str) {
    let mut script = World::script(4);
    script.send(1, Safe, 5).send(3, Agreed, 5).run_for(1);
    let from = script.world().journal().len();
    let moments = [Enters(Gather), Enters(state)];
    script.pause_at(id, if state == Gather { &moments[1..] } else { &moments });
    script.crash(4).until(3 * D, |world| world.is_paused(id));
    run_for_and_send(&mut script, pause, 2);
    script.world().resume(id, end.0, end.1);
    script.until_ring_of(&[1, 2, 3], 5 * D).run_for(5 * D);
    let before = configurations(&script, &[1, 2, 3]);
    script.run_for(3 * D);
    assert_eq!(configurations(&script, &[1, 2, 3]), before, "{what}");
    for seen in 1..=3 {
        let rings = regulars(script.world(), seen, from);
        assert!(rings.len() <= 3, "{what}: {seen} saw {rings:?}");
    }
    left_and_joined_add_up(script.world());
    script.finish();
}
