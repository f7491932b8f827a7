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
    /// News begin the wait anew, but not for ever.
    pub(super) fn see(before: Option<Self>, now: Instant, terms: &Terms, sight: Sight) -> Self {
        let latest = before.map_or_else(|| now + terms.grow() * 2, |growth| growth.latest);
        let at = match sight {
            Sight::News if !defect!(GrowsAtOnce) => now + terms.grow(),
            Sight::News | Sight::Called | Sight::Due => now,
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
        let mut growth = Growth::see(None, start, &terms, Sight::News);
        assert_eq!(growth.at, start + terms.grow());
        growth = Growth::see(Some(growth), start + step, &terms, Sight::News);
        assert_eq!(growth.at, start + step + terms.grow());
        growth = Growth::see(Some(growth), start + step * 2, &terms, Sight::News);
        assert_eq!(growth.at, start + terms.grow() * 2);
    }

    #[test]
    fn who_calls_is_answered_at_once() {
        let (terms, now) = (config().terms(), Instant::from_nanos(7));
        assert_eq!(Growth::see(None, now, &terms, Sight::Called).at, now);
    }
}
