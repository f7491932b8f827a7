//! Ending early: at a signal, and after too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How long nothing looks whether a signal came.
pub(crate) const GLANCE: Duration = Duration::from_millis(50);

/// Whether a signal came that ends the bench: then everything returns an error, and what was made
/// is removed on the way.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on SIGHUP, SIGINT and SIGTERM end the bench in order.
    ///
    /// # Errors
    /// Signals cannot be handled.
    pub(crate) fn at_signals() -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop))
                .context("signals cannot be handled")?;
        }
        Ok(Self(stop))
    }

    /// # Errors
    /// A signal came.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted by a signal");
        }
        Ok(())
    }

    /// Lets time go by.
    ///
    /// # Errors
    /// A signal came.
    pub(crate) fn pause(&self, duration: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + duration;
        loop {
            self.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(GLANCE));
        }
    }

    #[cfg(test)]
    pub(crate) fn never() -> Self {
        Self(Arc::default())
    }
}

/// The monotonic clock in nanoseconds, which all processes of the machine share.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).expect("the monotonic clock begins at 0");
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}
