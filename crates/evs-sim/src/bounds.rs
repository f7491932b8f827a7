//! The bounds of the contract (`docs/contract.md`, "Liveness") for one world.

use crate::world::Nanos;

/// What the bounds follow from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// D, the detection target, by the slowest clock.
    pub detection: Nanos,
    /// The same by the fastest clock.
    pub shortest: Nanos,
    /// The time from one processor's sending to the next one's handling, at the most.
    pub hop: Nanos,
    /// How many processors there can be.
    pub nodes: u32,
    /// By how much an effective detection target can be above the setting.
    pub patience: Nanos,
}

impl Bounds {
    /// K: most regular configurations that one fault, or the end of all, costs a processor.
    pub const CONFIGURATIONS_MAX: usize = 3;

    /// Most processors among which a largest set is found for certain (LIVE-3).
    pub const EXACT_MAX: usize = 16;

    /// One rotation of the token.
    #[must_use]
    pub fn rotation(&self) -> Nanos {
        self.hop * u64::from(self.nodes)
    }

    /// A: one agreement, six rotations and two join intervals.
    #[must_use]
    pub fn agreement(&self) -> Nanos {
        6 * self.rotation() + self.detection / 10
    }

    /// B: how long after the last change of who hears whom everything has settled.
    #[must_use]
    pub fn settling(&self) -> Nanos {
        3 * (self.detection + self.agreement())
    }

    /// How long a processor may stand still, or a datagram be late, without its being a fault
    /// (LIVE-6).
    #[must_use]
    pub fn pause(&self) -> Nanos {
        self.detection / 4
    }

    /// By how much it can be when all hellos have been in time for so long. What was late fades by
    /// a 64th with each of them, ten of which come in a target: to less than an eighth of the
    /// target after fifteen targets by the slowest clock, and after thirty where it was four times
    /// as long before. What was on its way may have come five targets later.
    #[must_use]
    pub fn patience(&self, calm: Nanos) -> Nanos {
        if calm < FORGOTTEN * self.detection { self.patience } else { 0 }
    }

    /// How long it takes to exclude a dead processor (LIVE-5): its last sign of life, one hello
    /// interval until the verdict is acted upon, and one agreement.
    #[must_use]
    pub fn exclusion(&self) -> Nanos {
        self.detection + self.detection / 10 + self.agreement()
    }
}

/// A late hello is forgotten after so many targets.
const FORGOTTEN: Nanos = 40;

#[cfg(test)]
mod tests {
    use super::*;

    /// LIVE-5: 64 are as fast as 8, within a quarter, at hops of 0.1 ms and a target of 500 ms.
    #[test]
    fn the_time_of_exclusion_hardly_grows_with_the_number_of_processors() {
        let bounds = |nodes| {
            let detection = 500_000_000;
            Bounds { detection, shortest: detection, hop: 100_000, nodes, patience: 0 }
        };
        assert!(bounds(64).exclusion() * 4 <= bounds(8).exclusion() * 5);
    }
}
