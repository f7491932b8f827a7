//! Processors that small packets reach and data does not (P9, P10, P55), or whose own data gets
//! nowhere.

use evs_model::Guarantee::{Agreed, Safe};
use evs_sim::script::Script;
use evs_sim::world::{Aim, Kind, World};
use totem::PacketKind;

const MCAST: Kind = Kind::Ring(PacketKind::Mcast);
const RECOVERED: Kind = Kind::Ring(PacketKind::Recovered);

/// No data reaches this node; all else does.
fn deafen(script: &mut Script, id: u32) {
    for kind in [MCAST, RECOVERED] {
        script.aim(Aim::at(kind).to(id).count(u32::MAX));
    }
}

/// No data of this node reaches anybody; all else does.
fn mute(script: &mut Script, id: u32) {
    for kind in [MCAST, RECOVERED] {
        script.aim(Aim::at(kind).from(id).count(u32::MAX));
    }
}

/// The ids of those with whom a node is in a ring.
fn ring_of(script: &mut Script, id: u32) -> Vec<u32> {
    script.world().members(id)
}

/// Everybody sends every now and then while so many milliseconds pass.
fn traffic(script: &mut Script, ms: u64, ids: &[u32]) {
    for _ in 0..ms / 20 {
        for id in ids {
            let _ = script.try_send(*id, Safe, 300);
        }
        script.run_for(20);
    }
}

/// P9: the others go on without it, within three times the target, and in one step.
#[test]
fn who_gets_no_data_is_excluded_by_the_others() {
    for id in 1..=4 {
        let mut script = World::script(4);
        let others: Vec<u32> = (1..=4).filter(|other| *other != id).collect();
        let before = script.configurations(others[0]);
        script.run_for(100);
        deafen(&mut script, id);
        traffic(&mut script, 600, &others);
        assert_eq!(ring_of(&mut script, others[0]), others, "without {id}");
        assert_eq!(ring_of(&mut script, id), [id]);
        assert_eq!(
            script.configurations(others[0]),
            before + 2,
            "a transitional and a regular one"
        );
        script.finish();
    }
}

/// P9, idle: with nothing to send there is nothing to be deaf to.
#[test]
fn a_deaf_member_of_an_idle_ring_is_left_alone_until_there_is_something_to_hear() {
    let mut script = World::script(4);
    let before = script.configurations(1);
    deafen(&mut script, 3);
    script.run_for(10_000);
    assert_eq!(script.configurations(1), before);
    script.send(1, Agreed, 1).run_for(600);
    assert_eq!(ring_of(&mut script, 1), [1, 2, 4]);
    script.finish();
}

/// P9: it originates, and nobody gets it.
#[test]
fn whose_data_reaches_nobody_ends_up_alone() {
    for id in 1..=4 {
        let mut script = World::script(4);
        let others: Vec<u32> = (1..=4).filter(|other| *other != id).collect();
        let before = script.configurations(others[0]);
        mute(&mut script, id);
        script.send(id, Agreed, 3);
        let without = |script: &mut Script| ring_of(script, others[0]) == others;
        let soon = (0..5 * 200 / 20).any(|_| {
            traffic(&mut script, 20, &[1, 2, 3, 4]);
            without(&mut script)
        });
        assert!(soon, "five detection targets later it is not without {id}");
        let cost = script.configurations(others[0]) - before;
        assert!(cost <= 2 * 3, "K is three regular configurations: {cost}");
        script.finish();
    }
}

/// P10: small packets go on to pass, so that it looks alive; it comes back less and less often.
#[test]
fn who_stays_deaf_for_ten_minutes_comes_back_less_and_less_often() {
    let mut script = World::script(4);
    deafen(&mut script, 3);
    let mut seen = Vec::new();
    for _ in 0..10 {
        let before = script.configurations(1);
        traffic(&mut script, 60_000, &[1, 2]);
        seen.push(script.configurations(1) - before);
    }
    assert!(seen[0] <= 4 * 9, "the hold-down doubles: {seen:?}");
    assert!(seen[1..].iter().all(|count| *count <= 4 * 5), "at most every 12.8 s: {seen:?}");
    script.finish();
}

/// P55, P34: a pair between which not even packets of the safe size pass, after a while: others
/// hold what they need, and so nothing changes.
#[test]
fn a_pair_that_loses_large_frames_is_helped_by_the_others() {
    let mut script = World::script(4);
    script.run_for(1_000);
    let before = script.configurations(1);
    script.world().cut_large(2, 3, 500);
    script.world().cut_large(3, 2, 500);
    for _ in 0..20 {
        script.send_one(2, Safe, 1_300).send_one(3, Safe, 1_300).run_for(20);
    }
    script.run_for(1_000);
    assert_eq!(script.configurations(1), before);
    assert_eq!(script.delivered(1), 40);
    script.finish();
}

/// P55: a path on which not even packets of the safe size pass from the start is none: with such
/// paths a node is in nobody's ring.
#[test]
fn a_path_too_narrow_for_the_safe_size_is_none() {
    let mut script = World::script(4);
    script.run_for(500);
    for id in [1, 2, 4] {
        script.world().cut_large(3, id, 500);
        script.world().cut_large(id, 3, 500);
    }
    for _ in 0..40 {
        script.send_one(1, Safe, 1_300).run_for(20);
    }
    assert_eq!(ring_of(&mut script, 1), [1, 2, 4]);
    let before = script.configurations(1);
    for _ in 0..100 {
        script.send_one(1, Safe, 1_300).run_for(100);
    }
    assert_eq!(script.configurations(1), before, "it is asked for large packets before it is back");
    script.finish();
}
