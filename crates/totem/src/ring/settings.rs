//! What of the settings changes while the ring works.

use core::time::Duration;

use evs_model::Instant;

use super::{Ring, State};
use crate::config::{Config, ConfigError};

impl Ring {
    /// Has another detection target from now on. To be called by all members at one place of the
    /// order, or shortly after each other.
    ///
    /// In a ring that works all times follow from the new target at once, and no configuration
    /// follows from that: a token that rests here goes on when it would have done by the new
    /// target, if that is sooner. After the target was *lowered* the others are judged by the old
    /// one until that has passed once: the loss of the token, and a member that lacks packets. For
    /// as long they may go by it themselves. Every other timer that was armed before ends once as
    /// it was armed.
    ///
    /// While a ring is being formed its timers, and the terms that are agreed on, stay as they are;
    /// this processor goes by the new target as soon as the ring works.
    ///
    /// # Errors
    /// It is out of range; nothing has changed.
    pub fn set_detection(&mut self, now: Instant, target: Duration) -> Result<(), ConfigError> {
        let cx = &mut self.context;
        cx.advance(now);
        Config { detection: target, ..cx.config.clone() }.validate()?;
        cx.config.detection = target;
        match &mut self.state {
            State::Operational(state) => state.set_detection(cx, target),
            State::Gather(_) | State::Commit(_) | State::Recovery(_) => cx.reset = true,
            State::Left(_) => {}
        }
        Ok(())
    }

    /// Has another largest window from now on, in bytes. Members that differ in it for a moment
    /// send more or less than each other in that moment, and nothing else. While a ring is being
    /// formed it is as with [`Ring::set_detection`].
    ///
    /// # Errors
    /// It is out of range; nothing has changed.
    pub fn set_window_bytes(&mut self, bytes: u32) -> Result<(), ConfigError> {
        let cx = &mut self.context;
        Config { window_bytes: bytes, ..cx.config.clone() }.validate()?;
        cx.config.window_bytes = bytes;
        match &mut self.state {
            State::Operational(state) => state.set_window_bytes(bytes),
            State::Gather(_) | State::Commit(_) | State::Recovery(_) => cx.reset = true,
            State::Left(_) => {}
        }
        Ok(())
    }
}
