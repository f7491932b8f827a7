//! A better partition in sight (`docs/protocol.md` §3): when a network heals, many paths heal, and
//! each is proven at its own time. So the ring goes on working until nothing is added any more, and
//! then changes once.

use evs_model::{Instant, defect};

use crate::config::Terms;

/// When this processor leaves its ring for the better partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    pub(super) at: Instant,
    since: Instant,
    /// Whether somebody who would be added waits for this processor.
    pub(super) awaited: bool,
}

/// Why it is seen, or seen again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sight {
    /// Somebody's row has changed.
    News,
    /// Somebody who starts would be added, and waits for this processor.
    Awaited,
    /// Somebody who would be added has left its ring for it.
    Called,
    /// It has been in sight for long enough.
    Due,
}

impl Growth {
    /// News begin the wait anew, but not for ever. If companions who still hear each other would
    /// part, the wait is longer, and news do not change it: their own paths to the newcomers may
    /// be the last that are proven, and as long as nobody is kept waiting, what was cut when other
    /// paths healed gets noticed (LIVE-6).
    pub(super) fn see(
        before: Option<Self>,
        now: Instant,
        terms: &Terms,
        sight: Sight,
        parts: bool,
    ) -> Self {
        let since = before.map_or(now, |growth| growth.since);
        let awaited = matches!(sight, Sight::Awaited | Sight::Called)
            || before.is_some_and(|growth| growth.awaited);
        let latest = since + terms.part();
        let at = match sight {
            _ if defect!(GrowsAtOnce) => now,
            _ if parts && awaited => latest,
            _ if parts => since + terms.part_unasked(),
            Sight::News | Sight::Awaited => latest.min(now + terms.grow()),
            Sight::Called | Sight::Due => now,
        };
        Self { at, since, awaited }
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
    fn companions_who_hear_each_other_get_all_of_the_wait() {
        let (terms, start) = (config().terms(), Instant::from_nanos(7));
        let see = |before, now, sight| Growth::see(before, now, &terms, sight, true);
        let growth = see(None, start, Sight::News);
        assert_eq!(growth.at, start + terms.part_unasked());
        let later = start + terms.grow();
        assert_eq!(see(Some(growth), later, Sight::News).at, growth.at);
        assert_eq!(see(Some(growth), growth.at, Sight::Due).at, growth.at);
        // Less if somebody waits for this processor, and it stays so.
        for sight in [Sight::Awaited, Sight::Called] {
            let hurried = see(Some(growth), later, sight);
            assert_eq!(hurried.at, start + terms.part());
            assert_eq!(see(Some(hurried), later, Sight::News).at, hurried.at);
        }
        // Once nobody would be parted with any more, it is like any other.
        let whole = Growth::see(Some(growth), later, &terms, Sight::News, false);
        assert_eq!(whole.at, start + terms.part());
    }

    #[test]
    fn who_calls_is_answered_at_once() {
        let (terms, now) = (config().terms(), Instant::from_nanos(7));
        assert_eq!(Growth::see(None, now, &terms, Sight::Called, false).at, now);
        let waits = Growth::see(None, now, &terms, Sight::Awaited, false);
        assert_eq!(waits.at, now + terms.grow());
    }
}
