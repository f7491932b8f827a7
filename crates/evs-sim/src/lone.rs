//! A fault that comes alone, when all has settled: LIVE-4, LIVE-5 and LIVE-6 speak of such, and
//! among the faults of a run there are few.

use std::fmt;

use crate::run::{drain, rest};
use crate::selection::{FaultId, Source};
use crate::workload::Workload;
use crate::world::{Backlog, Disk, Nanos, World};

/// Nodes beyond which another phase costs too much.
const NODES_MAX: u32 = 16;

/// What comes alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Lone {
    Crash,
    Cut,
    CutOneWay,
    Flap,
    Heal,
    Isolate,
    Leave,
    Part,
    Pause,
    Restart,
    Start,
}

impl Lone {
    const ALL: [Self; 11] = [
        Self::Crash,
        Self::Cut,
        Self::CutOneWay,
        Self::Flap,
        Self::Heal,
        Self::Isolate,
        Self::Leave,
        Self::Part,
        Self::Pause,
        Self::Restart,
        Self::Start,
    ];
}

impl fmt::Display for Lone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}, alone")
    }
}

/// One fault, as the seed says, and in half of all runs its end; after each everything settles.
pub(crate) fn strike_alone(world: &mut World, workload: &mut Workload) {
    if world.len() > NODES_MAX || world.stopped().is_some() {
        return;
    }
    for ordinal in 1..=2 {
        let id = FaultId { source: Source::Lone, ordinal };
        let mut rng = id.stream(world.options().seed);
        let fault = Lone::ALL[rng.usize(0..Lone::ALL.len())];
        let nodes = world.len();
        let (one, two) = (rng.u32(1..=nodes), rng.u32(1..=nodes));
        match ordinal {
            1 => world.strike(id, &fault, |world| strike(world, fault, one, two)),
            _ if rng.bool() => world.strike(id, &"the end of it", mend),
            _ => continue,
        }
        workload.probe(world);
        rest(world);
        // Nothing may change for as long again.
        let bound = world.bounds().settling();
        world.run_for(bound);
    }
    // Who was paused has to deliver what it accepted.
    world.resume_all();
    rest(world);
    drain(world);
    world.read_all();
}

fn strike(world: &mut World, fault: Lone, one: u32, two: u32) {
    let others: Vec<u32> = (1..=world.len()).filter(|id| *id != one).collect();
    match fault {
        Lone::Crash => world.crash(one),
        Lone::Cut if one != two => world.cut(one, two),
        Lone::CutOneWay if one != two => world.cut_one_way(one, two),
        Lone::Flap if one != two => flap(world, one, two),
        Lone::Cut | Lone::CutOneWay | Lone::Flap | Lone::Isolate => {
            world.partition(&[&[one], &others])
        }
        Lone::Heal => world.heal(),
        Lone::Leave => world.leave(one),
        Lone::Part => {
            let (left, right): (Vec<u32>, Vec<u32>) = (1..=world.len()).partition(|id| *id <= one);
            world.partition(&[&left, &right]);
        }
        Lone::Pause => world.pause(one),
        Lone::Restart => {
            world.crash(one);
            let soon: Nanos = world.bounds().detection / 4;
            world.run_for(soon);
            world.start(one, Disk::Kept);
        }
        Lone::Start => {
            let down = (1..=world.len()).find(|id| !world.is_up(*id));
            down.into_iter().for_each(|id| world.start(id, Disk::Kept));
        }
    }
}

/// A path is gone for long enough to be noticed, and there again for long enough to be used, as
/// often as it takes for hold-downs to matter (LIVE-3).
fn flap(world: &mut World, one: u32, two: u32) {
    let (gone, there) = (13 * world.bounds().detection / 4, 5 * world.bounds().settling() / 4);
    for _ in 0..5 {
        world.cut(one, two);
        world.run_for(gone);
        world.heal();
        world.run_for(there);
    }
}

fn mend(world: &mut World) {
    world.heal();
    for id in 1..=world.len() {
        world.resume(id, Backlog::Kept, false);
    }
}
