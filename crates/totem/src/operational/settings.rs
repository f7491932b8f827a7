//! Other terms for a ring that works.

use core::time::Duration;

use evs_model::{Instant, defect};

use crate::config::Terms;
use crate::context::Context;

use super::Operational;
use super::holding::Holding;

impl Operational {
    /// See [`Ring::set_detection`](crate::Ring::set_detection).
    pub(crate) fn set_detection(&mut self, cx: &Context, target: Duration) {
        let now = cx.now;
        let before = self.judging(now).detection;
        self.terms.detection = target;
        if before > target && !defect!(LoweredAtOnce) {
            (self.patience, self.patient_until) = (before, now + before);
        }
        self.merge_at = self.merge_at.min(now + self.terms.merge_detect());
        match &mut self.holding {
            Holding::Parked { release_at, .. } => {
                *release_at = (*release_at).min(now + self.terms.token_park());
            }
            Holding::Kept { kept, .. } => {
                kept.end_at = kept.end_at.min(now + self.terms.token_keep());
            }
            Holding::Sent { token, .. } | Holding::Away { token } => {
                if token.wake_at != Instant::NEVER {
                    token.wake_at = token.wake_at.min(now + self.terms.wake());
                }
            }
        }
    }

    /// See [`Ring::set_window_bytes`](crate::Ring::set_window_bytes).
    pub(crate) const fn set_window_bytes(&mut self, bytes: u32) {
        self.terms.window_bytes = bytes;
    }

    /// By which others are judged: those of before for a while, after the target was lowered.
    pub(super) fn judging(&self, now: Instant) -> Terms {
        let patience = if now < self.patient_until { self.patience } else { Duration::ZERO };
        Terms { detection: self.terms.detection.max(patience), ..self.terms }
    }
}
