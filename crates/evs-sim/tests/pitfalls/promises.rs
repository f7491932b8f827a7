//! P44 at every moment: a recovery fails after one of its members has installed the ring.
//!
//! R breaks with a gap that nobody can fill, and safe messages after it. Those who recover tell
//! each other that they hold everything; then one of them is cut off and goes on with others, while
//! the rest install their ring and deliver past the gap. It has promised what they relied upon.

use std::time::Duration;

use evs_model::Guarantee::{Agreed, Safe};
use evs_sim::script::Script;
use evs_sim::world::Moment::After;
use evs_sim::world::{Aim, Nanos, Options};
use totem::PacketKind::{Mcast, Token};
use totem::StateKind::{Commit, Gather};

use crate::stage::{D, MCAST, US, left_and_joined_add_up, regulars};

/// Messages of this size are packets of their own.
const ONE_PACKET: usize = 1_200;

/// Who does what in a history.
#[derive(Clone, Copy, Debug)]
struct Cast {
    /// Its packet is lost to all others, and it dies.
    lost: u32,
    /// They recover together at first.
    near: &'static [u32],
    /// They are cut off at first.
    far: &'static [u32],
    /// They form no ring alone while others are busy.
    patient: bool,
}

const CASTS: [Cast; 6] = [
    // The history of four: 3's packet is lost, 4 is cut off, {1, 2} recover.
    Cast { lost: 3, near: &[1, 2], far: &[4], patient: true },
    Cast { lost: 3, near: &[1, 2], far: &[4], patient: false },
    Cast { lost: 1, near: &[2, 4], far: &[3, 5], patient: true },
    Cast { lost: 4, near: &[1, 2, 3], far: &[5], patient: true },
    Cast { lost: 2, near: &[1, 3, 5], far: &[4, 6], patient: true },
    Cast { lost: 7, near: &[2, 3, 5, 6], far: &[1, 4], patient: false },
];

impl Cast {
    /// R, broken: after a gap there are safe messages of the first of the near ones, and something
    /// that it lacks; the far ones are cut off, and the near ones come to agree.
    fn begin(self) -> Script {
        let nodes = 1 + u32::try_from(self.all().count()).expect("a few");
        let mut script = Script::cold(Options::fair(1, nodes));
        for id in self.far.iter().filter(|_| self.patient) {
            script.world().detection(*id, Duration::from_secs(2));
        }
        script.world().start_all();
        script.until_one_ring(30_000).run_for(D).from_here();
        script.aim(Aim::at(MCAST).from(self.lost).count(nodes - 1).lost());
        let (first, others) = self.near.split_first().expect("there are some");
        for other in others {
            script.aim(Aim::at(MCAST).from(*other).to(*first).lost());
        }
        script.crash_at(self.lost, &[After(Mcast), After(Token)]);
        script.send_one(self.lost, Agreed, ONE_PACKET);
        let lost = self.lost;
        script.until(D, |world| !world.is_up(lost)).send_one(*first, Safe, ONE_PACKET);
        for other in others {
            script.send_one(*other, Agreed, ONE_PACKET);
        }
        script.run_for(2).partition(&[self.near, self.far]).until_in(*first, Commit);
        script
    }

    fn all(self) -> impl Iterator<Item = u32> + Clone {
        self.near.iter().chain(self.far).copied()
    }
}

/// One of a side is cut off and joins the other side, which is how recoveries fail here.
fn goes_over(script: &mut Script, (one, two): (Vec<u32>, Vec<u32>), who: u32) -> [Vec<u32>; 2] {
    let rest: Vec<u32> = one.into_iter().filter(|id| *id != who).collect();
    let mut other = two;
    other.push(who);
    other.sort_unstable();
    script.partition(&[&rest, &other]);
    [rest, other]
}

/// Whether somebody installed a ring that one of its members did not, from this place of the
/// journal on: a promise that is broken unless it is remembered.
fn is_left_behind(script: &Script, ids: impl Iterator<Item = u32> + Clone) -> bool {
    let world = script.world_seen();
    let rings = |id| regulars(world, id, 0);
    ids.clone().flat_map(rings).any(|regular| {
        let mut members = ids.clone().filter(|id| {
            let me = world.service(*id).map(|service| service.ring().me());
            me.is_some_and(|me| regular.members.contains(me))
        });
        members.any(|id| rings(id).iter().all(|seen| seen.ring != regular.ring))
    })
}

fn finish(mut script: Script, cast: Cast) -> bool {
    script.run_for(3 * D);
    let behind = is_left_behind(&script, cast.all());
    script.heal().run_for(D);
    left_and_joined_add_up(script.world());
    script.finish();
    behind
}

const STEP: Nanos = 50 * US;
/// An attempt takes no longer than so many steps from the agreement on.
const MOMENTS: Nanos = 80;

/// The first failure: one of the near ones goes over to the far ones at a moment of their attempt.
fn first_failure(cast: Cast, leaver: u32, moment: Nanos) -> (Script, [Vec<u32>; 2]) {
    let mut script = cast.begin();
    script.world().run_for(moment * STEP);
    let sides = goes_over(&mut script, (cast.near.to_vec(), cast.far.to_vec()), leaver);
    (script, sides)
}

#[test]
fn p44_a_promise_is_kept_whenever_its_maker_is_cut_off() {
    for cast in CASTS {
        for leaver in cast.near {
            let played = (0..MOMENTS).map(|moment| first_failure(cast, *leaver, moment).0);
            let behind = played.filter_map(|script| finish(script, cast).then_some(())).count();
            assert!(behind >= 2, "{behind} installed a ring alone: {cast:?}, {leaver} leaves");
        }
    }
}

/// The second recovery fails too: one that has gone over goes back, or one of those to whom it has
/// gone comes, at any moment of that attempt.
#[test]
fn p44_promises_are_kept_over_a_second_failure_at_any_moment() {
    for cast in [CASTS[0], CASTS[3]] {
        for leaver in cast.near {
            let fails = |moment: &Nanos| finish(first_failure(cast, *leaver, *moment).0, cast);
            for moment in (0..MOMENTS).filter(fails) {
                let mut behind = 0;
                for later in (0..MOMENTS).step_by(4) {
                    for second in cast.far.iter().chain([leaver]) {
                        let (mut script, [rest, other]) = first_failure(cast, *leaver, moment);
                        script.until_in(*leaver, Gather).until_in(*leaver, Commit);
                        script.world().run_for(later * STEP);
                        goes_over(&mut script, (other, rest), *second);
                        behind += u32::from(finish(script, cast));
                    }
                }
                assert!(behind > 0, "{cast:?}, {leaver} leaves at {moment}");
            }
        }
    }
}
