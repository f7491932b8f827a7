//! Left: the end. The row that says so is repeated a few times, since nobody answers it.

use evs_model::Instant;

use crate::context::Context;
use crate::output::Timer;

/// How often a leaver tells that it leaves.
const REPEATS: u32 = 3;

#[derive(Debug)]
pub(crate) struct Left {
    repeats: u32,
    at: Instant,
}

impl Left {
    pub(crate) fn enter(cx: &mut Context) -> Self {
        cx.backlog.clear();
        cx.leave();
        let mut state = Self { repeats: REPEATS, at: cx.now };
        state.on_timeout(cx);
        state
    }

    /// Nothing left to say: what stands in while one state becomes another.
    pub(crate) const fn silent() -> Self {
        Self { repeats: 0, at: Instant::NEVER }
    }

    pub(crate) fn on_timeout(&mut self, cx: &mut Context) {
        if self.repeats > 0 && cx.now >= self.at {
            self.repeats -= 1;
            self.at = cx.now + cx.config.terms().leave();
            cx.probe();
        }
    }

    pub(crate) fn deadline(&self) -> Option<(Instant, Timer)> {
        (self.repeats > 0).then_some((self.at, Timer::Leave))
    }

    /// Whether everything has been said.
    pub(crate) const fn done(&self) -> bool {
        self.repeats == 0
    }
}
