//! Other detection targets while the world runs: in some worlds the nodes change theirs, each a
//! little later than the one before, as daemons do that agreed on it.

use std::fmt;
use std::time::Duration;

use crate::selection::{FaultId, Source, stream};
use crate::world::{Nanos, Options, World};

const MS: Nanos = 1_000_000;

/// One world in so many has them.
const RARE: u32 = 8;

/// The changes of one run.
#[derive(Debug)]
pub(crate) struct Retargets {
    seed: u64,
    rng: fastrand::Rng,
    /// The target that the world began with.
    common: Nanos,
    interval: Nanos,
    next: Nanos,
    count: u32,
    /// Which node has which target from when on.
    due: Vec<(Nanos, u32, Nanos)>,
}

/// All nodes are to have this target.
struct Target(Nanos);

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "detection target of {} ms for all", self.0 / MS)
    }
}

impl Retargets {
    /// What the world's seed says.
    pub(crate) fn draw(options: &Options) -> Self {
        let mut rng = fastrand::Rng::with_seed(options.seed ^ 0x7461_7267_6574_7321);
        let common = u64::try_from(options.detection.as_nanos()).unwrap_or(u64::MAX);
        let interval = common * [1, 4, 10][rng.usize(0..3)];
        let has_any = rng.u32(0..RARE) == 0;
        let next = if has_any { rng.u64(0..=interval * 2) } else { Nanos::MAX };
        Self { seed: options.seed, rng, common, interval, next, count: 0, due: Vec::new() }
    }

    pub(crate) fn next(&self) -> Nanos {
        self.due.iter().map(|(at, ..)| *at).fold(self.next, Nanos::min)
    }

    /// Makes every change that is due.
    pub(crate) fn strike(&mut self, world: &mut World) {
        let now = world.now();
        for (_, node, target) in self.due.extract_if(.., |(at, ..)| *at <= now) {
            world.set_detection(node, Duration::from_nanos(target));
        }
        if self.next > now {
            return;
        }
        self.count += 1;
        self.next = now + self.rng.u64(1..=self.interval * 2);
        let id = FaultId { source: Source::Setting, ordinal: self.count };
        let mut rng = stream(self.seed, 's', self.count);
        let target = self.common * [1, 2, 4, 8][rng.usize(0..4)] / 2;
        let target = target.max(50 * MS);
        // Most are agreed on in one rotation; some node may be far behind.
        let apart = [1, self.common / 50, self.common / 5, self.common * 3][rng.usize(0..4)];
        let due = &mut self.due;
        world.strike(id, &Target(target), |world| {
            for node in 1..=world.len() {
                due.push((now + rng.u64(0..=apart), node, target));
            }
        });
    }

    /// All have the target of the beginning again.
    pub(crate) fn end(&mut self, world: &mut World) {
        self.next = Nanos::MAX;
        self.due.clear();
        world.common_detection();
    }
}
