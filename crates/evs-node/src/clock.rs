//! The one place that reads a clock.

use std::time::{Duration, Instant as StdInstant};

use evs_model::Instant;

/// A monotonic clock that starts at its creation.
///
/// It stands still while the machine is suspended (`CLOCK_MONOTONIC`): after a resume the peers'
/// silence is noticed by their packets, not by a jump of the own time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: StdInstant,
}

impl Clock {
    /// Starts one second after the protocol's origin, so that a difference to "a moment ago" has
    /// room.
    const START: Duration = Duration::from_secs(1);

    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: StdInstant::now() }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(0) + Self::START + self.origin.elapsed()
    }
}
