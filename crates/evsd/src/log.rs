//! Logs: lines to stderr through a bounded queue that never makes the ring's thread wait.
//!
//! Responsible for: the format, the filter, the queue's limit, the count of lines it lost, limits
//! on lines that a stranger can cause, and the end of the process at a panic.
//! Not responsible for: what is logged. INFO is a change of membership, or a client that came or
//! went (some of them, where many do); WARN is what an operator should look at; the rest is DEBUG
//! and TRACE.

use std::io::Write as _;
use std::panic::PanicHookInfo;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use evs_model::Instant;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

use crate::config::LogFormat;

/// Most log lines that wait to be written (`log_lines_max`); more are dropped and counted.
pub const LOG_LINES_MAX: usize = 16_384;

/// The log of this process. Dropping it writes what waits, for a second at most.
#[derive(Debug)]
pub struct Log {
    lost: ErrorCounter,
    filter: reload::Handle<EnvFilter, Registry>,
    _guard: WorkerGuard,
}

impl Log {
    /// Sends all log lines of this process to stderr. Call once.
    ///
    /// # Errors
    /// A filter that is none, or a log that is there already.
    pub fn start(filter: &str, format: LogFormat) -> anyhow::Result<Self> {
        let (writer, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(LOG_LINES_MAX)
            .lossy(true)
            .thread_name("evs-log")
            .finish(std::io::stderr());
        let lost = writer.error_counter();
        let (filter, handle) = reload::Layer::new(EnvFilter::try_new(filter)?);
        let layer = fmt::layer().with_writer(writer).with_ansi(false);
        let layer = match format {
            LogFormat::Text => layer.boxed(),
            LogFormat::Json => layer.json().flatten_event(true).boxed(),
        };
        let started = tracing_subscriber::registry().with(filter).with(layer).try_init();
        started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))?;
        Ok(Self { lost, filter: handle, _guard: guard })
    }

    /// Logs what this filter lets through, from now on. One that is none changes nothing.
    pub fn set_filter(&self, filter: &str) {
        if let Ok(filter) = EnvFilter::try_new(filter) {
            // The log is there as long as this is.
            let _ = self.filter.reload(filter);
        }
    }

    /// How many lines were dropped because the queue was full.
    #[must_use]
    pub fn lines_lost(&self) -> usize {
        self.lost.dropped_lines()
    }
}

/// Makes every panic, in any thread, end the process at once: a processor that broke an invariant
/// must crash, not go on (`docs/contract.md` tolerates crashed processors, not wrong ones).
pub fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        write_last_words(panic);
        std::process::abort();
    }));
}

/// Writes past the queue, which would be lost; with a thread, because stderr may be stuck.
fn write_last_words(panic: &PanicHookInfo<'_>) {
    let trace = std::backtrace::Backtrace::force_capture();
    let text = format!("ERROR evsd: an invariant is broken, this node stops: {panic}\n{trace}\n");
    let (done, written) = mpsc::sync_channel(1);
    let writer = thread::Builder::new().spawn(move || {
        let _ = std::io::stderr().write_all(text.as_bytes());
        let _ = done.send(());
    });
    if writer.is_ok() {
        let _ = written.recv_timeout(Duration::from_secs(1));
    }
}

/// Lets some lines of a kind pass in each interval and counts the rest, for lines that a stranger
/// or a client can cause.
#[derive(Debug)]
pub struct RateLimit {
    lines: u32,
    interval: Duration,
    begun: Option<Instant>,
    admitted: u32,
    suppressed: u64,
}

impl RateLimit {
    /// A limit of one line in each interval.
    #[must_use]
    pub const fn new(interval: Duration) -> Self {
        Self::of(1, interval)
    }

    /// A limit of so many lines in each interval; one begins with its first line.
    #[must_use]
    pub const fn of(lines: u32, interval: Duration) -> Self {
        Self { lines, interval, begun: None, admitted: 0, suppressed: 0 }
    }

    /// Whether a line may be written; if so, how many were suppressed since the last one.
    pub fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.begun.is_none_or(|begun| now.since(begun) >= self.interval) {
            (self.begun, self.admitted) = (Some(now), 0);
        }
        if self.admitted == self.lines {
            self.suppressed += 1;
            return None;
        }
        self.admitted += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_in_each_interval_and_the_rest_is_counted() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut limit = RateLimit::new(Duration::from_secs(1));
        assert_eq!(limit.admit(at(5000)), Some(0));
        assert_eq!(limit.admit(at(5001)), None);
        assert_eq!(limit.admit(at(5999)), None);
        assert_eq!(limit.admit(at(6000)), Some(2));
    }

    #[test]
    fn several_lines_pass_in_an_interval_that_begins_with_the_first() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut limit = RateLimit::of(2, Duration::from_secs(1));
        assert_eq!(limit.admit(at(5000)), Some(0));
        assert_eq!(limit.admit(at(5900)), Some(0));
        assert_eq!(limit.admit(at(5999)), None);
        assert_eq!(limit.admit(at(6000)), Some(1));
        assert_eq!(limit.admit(at(6999)), Some(0));
        assert_eq!(limit.admit(at(6999)), None);
    }
}
