//! Changes without end: P49, P50.

use std::time::Duration;

use evs_model::Guarantee::{Agreed, Safe, Unordered};
use evs_sim::script::Script;
use evs_sim::world::{Note, Noted, Options, World};
use totem::{Held, StateKind};

use crate::stage::{D, MS, US, attempts, left_and_joined_add_up, regulars};

/// Ten thousand changes of the ring and as many back, of every kind, with messages under way and a
/// client that comes and goes at each: what a processor holds at the end is what it held after the
/// first hundred.
#[test]
fn p49_nothing_is_left_behind_by_ten_thousand_changes() {
    let detection = Duration::from_millis(50);
    let mut script = Script::warm(Options { detection, ..Options::fair(1, 3) });
    let mut early = Residue::default();
    for change in 0..10_000_u32 {
        script.send(1, Agreed, 2).send_one(2, Safe, 3_000).send(3, Unordered, 1);
        let groups = &World::groups()[change as usize % 5..];
        let session = script.world().connect(1).expect("it is in a ring");
        script.world().join(session, groups);
        script.world().run_for(300 * US);
        let other = 2 + change / 4 % 2;
        match change % 4 {
            0 | 1 => script.crash(other).start(other),
            2 => script.leave(other).until(5 * D, |world| !world.is_up(other)).start(other),
            _ => {
                let rest: Vec<u32> = (1..=3).filter(|id| *id != other).collect();
                script.partition(&[&[other], &rest]).until_ring_of(&rest, 5 * D).heal()
            }
        };
        if change % 2 == 0 {
            script.world().kill(session);
        } else {
            script.world().disconnect(session);
        }
        script.until_one_ring(5 * D);
        if change == 100 {
            early = residue(script.run_for(D).world(), 1);
        }
    }
    let seen = regulars(script.world(), 1, 0).len();
    assert!(seen > 10_000, "{seen} configurations");
    let late = residue(script.run_for(D).world(), 1);
    assert_eq!((&late.ring, late.net), (&early.ring, early.net));
    // Written out, the whole state is no longer but for the digits of its numbers.
    let (late, early) = (late.written, early.written);
    assert!(late <= early + early / 10, "{late} bytes, {early} early");
    left_and_joined_add_up(script.world());
}

/// What is held of things that come and go, and how long all of the service's state is when
/// written out.
#[derive(Debug, Default)]
struct Residue {
    ring: Held,
    net: usize,
    written: usize,
}

fn residue(world: &World, id: u32) -> Residue {
    let service = world.service(id).expect("it is up");
    let net = world.endpoint(id).expect("it is up").held();
    Residue { ring: service.ring().held(), net, written: format!("{service:?}").len() }
}

/// Nodes join, die and leave so often that every other attempt is overtaken by the next; 1 lives
/// through a thousand of them, and loses nothing.
#[test]
fn p50_old_messages_survive_a_thousand_attempts() {
    let mut rng = fastrand::Rng::with_seed(50);
    let mut script = World::script(6);
    let mut failed = 0;
    while attempts(script.world(), 1, 0) < 1_000 {
        // An attempt has half of D for its consensus: a change comes after half of that.
        let mean = Duration::from_millis(D / 4);
        let wait = mean.mul_f64(-rng.f64().max(1e-9).ln());
        script.world().run_for(u64::try_from(wait.as_nanos()).unwrap_or(D * MS));
        let id = rng.u32(2..=6);
        match (script.world().is_up(id), rng.u32(0..4)) {
            (false, _) => script.start(id),
            (true, 0) => script.leave(id),
            (true, _) => script.crash(id),
        };
        let from = rng.u32(1..=6);
        script.try_send(from, if rng.bool() { Agreed } else { Safe }, 600);
    }
    for note in script.world().journal() {
        failed += usize::from(gave_up(note));
    }
    assert!(failed > 100, "{failed} attempts failed");
    left_and_joined_add_up(script.world());
    script.finish();
}

fn gave_up(note: &Note) -> bool {
    use StateKind::{Commit, Gather, Recovery};
    note.processor.node.get() == 1
        && matches!(note.what, Noted::Moved { from: Commit | Recovery, to: Gather, .. })
}
