//! A better partition in sight (`docs/protocol.md` §3): when a network heals, many paths heal, and
//! each is proven at its own time. So the ring goes on working until nothing is added any more, and
//! then changes once.

use evs_model::{Instant, defect};

use crate::config::Terms;

/// When this processor leaves its ring for the better partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    pub(super) at: Instant,
    latest: Instant,
}

/// Why it is seen, or seen again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sight {
    /// Somebody's row has changed.
    News,
    /// Somebody who would be added has left its ring for it.
    Called,
    /// It has been in sight for long enough.
    Due,
}

impl Growth {
    /// News begin the wait anew, but not for ever. If companions who are still heard would be
    /// parted with, all of the wait is theirs: their own paths to the newcomers may be the last
    /// that are proven (LIVE-6).
    pub(super) fn see(
        before: Option<Self>,
        now: Instant,
        terms: &Terms,
        sight: Sight,
        parts: bool,
    ) -> Self {
        let latest = before.map_or_else(|| now + terms.part(), |growth| growth.latest);
        let at = match sight {
            _ if defect!(GrowsAtOnce) => now,
            Sight::Due => now,
            Sight::News | Sight::Called if parts => latest,
            Sight::News => now + terms.grow(),
            Sight::Called => now,
        };
        Self { at: at.min(latest), latest }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::tests::fixtures::config;

    #[test]
    fn news_begin_the_wait_anew_but_not_for_ever() {
        let terms = config().terms();
        let start = Instant::from_nanos(0);
        let step = terms.grow() - Duration::from_nanos(1);
        let mut growth = Growth::see(None, start, &terms, Sight::News, false);
        assert_eq!(growth.at, start + terms.grow());
        growth = Growth::see(Some(growth), start + step, &terms, Sight::News, false);
        assert_eq!(growth.at, start + step + terms.grow());
        growth = Growth::see(Some(growth), start + step * 2, &terms, Sight::News, false);
        assert_eq!(growth.at, start + terms.part());
    }

    #[test]
    fn companions_who_are_still_heard_get_all_of_the_wait() {
        let (terms, now) = (config().terms(), Instant::from_nanos(7));
        for sight in [Sight::News, Sight::Called] {
            assert_eq!(Growth::see(None, now, &terms, sight, true).at, now + terms.part());
        }
        assert_eq!(Growth::see(None, now, &terms, Sight::Due, true).at, now);
    }

    #[test]
    fn who_calls_is_answered_at_once() {
        let (terms, now) = (config().terms(), Instant::from_nanos(7));
        assert_eq!(Growth::see(None, now, &terms, Sight::Called, false).at, now);
    }
}
