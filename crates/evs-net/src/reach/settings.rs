//! The detection target and the order of the links, changed while the node runs.

use std::time::Duration;

use evs_model::{Instant, defect};

use super::Reach;

impl Reach {
    /// See [`Endpoint::set_detection`](crate::Endpoint::set_detection).
    pub(crate) fn set_detection(&mut self, now: Instant, target: Duration) {
        let now = self.advance(now);
        if target == self.target {
            return;
        }
        self.target = target;
        // Of a target that was lowered before, the others have learnt as little.
        self.lowered_at = now + self.detection;
        if target > self.detection || defect!(LoweredAtOnce) {
            self.detection = target;
        }
        // All learn of it at once, and speak as often as it takes.
        self.hello_at = now;
        self.check_at = now;
        self.full_at = self.full_at.min(now + target);
    }

    /// A target that was lowered counts for others as soon as the old one has passed once.
    pub(super) fn lower(&mut self, now: Instant) {
        if self.detection != self.target && now >= self.lowered_at {
            self.detection = self.target;
            self.check_at = now;
        }
    }

    /// See [`Endpoint::set_priorities`](crate::Endpoint::set_priorities).
    pub(crate) fn set_priorities(&mut self, now: Instant, priorities: &[u8]) {
        let now = self.advance(now);
        for (link, priority) in self.links.iter_mut().zip(priorities) {
            link.priority = *priority;
        }
        self.check_at = now;
    }
}
