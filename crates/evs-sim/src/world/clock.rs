//! A node's monotonic clock: it starts anywhere and runs a little wrong.

use evs_model::Instant;

use super::Nanos;

const MILLION: i128 = 1_000_000;

/// Shows `origin` at the world's time `since` and gains `skew_ppm` microseconds in each second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) origin: Nanos,
    pub(super) since: Nanos,
    pub(super) skew_ppm: i64,
}

impl Clock {
    /// What the clock shows at a time of the world.
    pub(super) fn local(&self, world: Nanos) -> Instant {
        let passed = i128::from(world) - i128::from(self.since);
        let shown =
            i128::from(self.origin) + passed * (MILLION + i128::from(self.skew_ppm)) / MILLION;
        Instant::from_nanos(u64::try_from(shown).unwrap_or(u64::MAX))
    }

    /// The first time of the world at which the clock shows this or more; `None` if it never will.
    pub(super) fn world(&self, local: Instant) -> Option<Nanos> {
        if local == Instant::NEVER {
            return None;
        }
        let wanted = i128::from(local.as_nanos()) - i128::from(self.origin);
        if wanted <= 0 {
            return Some(self.since);
        }
        let rate = MILLION + i128::from(self.skew_ppm);
        let passes = u64::try_from((wanted * MILLION + rate - 1) / rate).ok()?;
        self.since.checked_add(passes)
    }

    /// Goes on from what it shows now at another rate.
    pub(super) fn set_rate(&mut self, now: Nanos, skew_ppm: i64) {
        *self = Self { origin: self.local(now).as_nanos(), since: now, skew_ppm };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_due_when_its_time_has_come_and_not_before() {
        for skew_ppm in [-100_000, -1, 0, 7, 100_000] {
            let clock = Clock { origin: 5_000, since: 0, skew_ppm };
            for local in [0, 5_000, 5_001, 123_456_789, 3_000_000_000_017] {
                let deadline = Instant::from_nanos(local);
                let due = clock.world(deadline).expect("it comes");
                assert!(clock.local(due) >= deadline);
                assert!(due == 0 || clock.local(due - 1) < deadline);
            }
            assert_eq!(clock.world(Instant::NEVER), None);
        }
    }

    #[test]
    fn a_clock_that_changes_its_rate_never_goes_back() {
        let mut clock = Clock { origin: u64::MAX - 2_000_000, since: 0, skew_ppm: 100_000 };
        let before = clock.local(1_000_000);
        assert_eq!(before.as_nanos(), u64::MAX - 900_000);
        clock.set_rate(1_000_000, -100_000);
        assert_eq!(clock.local(1_000_000), before);
        assert_eq!(clock.local(1_500_000).as_nanos(), u64::MAX - 450_000);
        assert_eq!(clock.local(9_000_000).as_nanos(), u64::MAX, "the end of time is the end");
    }
}
