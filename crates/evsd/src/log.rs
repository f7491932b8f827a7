//! Logs: lines to stderr or the journal, through a bounded queue that never makes the ring's thread
//! wait.
//!
//! Responsible for: the format, the filter, the queue's limit, the count of lines it lost, limits
//! on lines that a stranger can cause, and the end of the process at a panic.
//! Not responsible for: what is logged. INFO is a change of membership, or a client that came or
//! went (some of them, where many do); WARN is what an operator should look at; the rest is DEBUG
//! and TRACE.

use std::io::Write as _;
use std::panic::PanicHookInfo;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use evs_model::Instant;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::LogFormat;
use crate::journal::{self, Journal};

/// Most log lines that wait to be written (`log_lines_max`); more are dropped and counted.
pub const LOG_LINES_MAX: usize = 16_384;

/// The log of this process. Dropping it writes what waits, for a second at most.
#[derive(Debug)]
pub struct Log {
    lost: ErrorCounter,
    unsaid: Arc<AtomicUsize>,
    filter: reload::Handle<EnvFilter, Registry>,
    _guard: WorkerGuard,
}

impl Log {
    /// Sends all log lines of this process to stderr, or to the journal. Call once.
    ///
    /// # Errors
    /// A filter that is none, or a log that is there already.
    pub fn start(filter: &str, format: LogFormat) -> anyhow::Result<Self> {
        let unsaid = Arc::new(AtomicUsize::new(0));
        let Written { layer, lost, guard } = written(format, Path::new(journal::SOCKET), &unsaid)?;
        let (filter, handle) = reload::Layer::new(EnvFilter::try_new(filter)?);
        let started = tracing_subscriber::registry().with(filter).with(layer).try_init();
        started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))?;
        Ok(Self { lost, unsaid, filter: handle, _guard: guard })
    }

    /// Logs what this filter lets through, from now on. One that is none changes nothing.
    pub fn set_filter(&self, filter: &str) {
        if let Ok(filter) = EnvFilter::try_new(filter) {
            // The log is there as long as this is.
            let _ = self.filter.reload(filter);
        }
    }

    /// How many lines were dropped because the queue was full, or the journal did not take them.
    #[must_use]
    pub fn lines_lost(&self) -> usize {
        self.lost.dropped_lines() + self.unsaid.load(Ordering::Relaxed)
    }
}

/// What writes the lines.
struct Written<S> {
    layer: Box<dyn Layer<S> + Send + Sync>,
    lost: ErrorCounter,
    guard: WorkerGuard,
}

/// The layer that writes lines in this format; the journal listens at `socket`, and what it does
/// not take is counted in `unsaid`.
fn written<S>(
    format: LogFormat,
    socket: &Path,
    unsaid: &Arc<AtomicUsize>,
) -> anyhow::Result<Written<S>>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let lines = match format {
        LogFormat::Auto if journal::is_stderr() => Lines::Journal,
        LogFormat::Journal => Lines::Journal,
        LogFormat::Auto | LogFormat::Text => Lines::Text,
        LogFormat::Json => Lines::Json,
    };
    let (writer, guard) = match lines {
        Lines::Journal => {
            let journal = Journal::at(socket.to_owned(), unsaid.clone())?;
            if let Some(why) = journal.missing() {
                // In the log it would not be seen.
                let _ = std::io::stderr().write_all(format!("evsd: {why}\n").as_bytes());
            }
            queue(journal)
        }
        Lines::Text | Lines::Json => queue(std::io::stderr()),
    };
    let lost = writer.error_counter();
    let layer = fmt::layer().with_writer(writer).with_ansi(false);
    let layer = match lines {
        Lines::Journal => layer.event_format(journal::Format).boxed(),
        Lines::Text => layer.boxed(),
        Lines::Json => layer.json().flatten_event(true).boxed(),
    };
    Ok(Written { layer, lost, guard })
}

/// How lines look, once that is decided.
#[derive(Clone, Copy)]
enum Lines {
    Journal,
    Json,
    Text,
}

/// A bounded queue before a writer, with a thread of its own.
fn queue(writer: impl std::io::Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    let builder = NonBlockingBuilder::default().buffered_lines_limit(LOG_LINES_MAX).lossy(true);
    builder.thread_name("evs-log").finish(writer)
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
    use std::os::unix::net::UnixDatagram;

    use super::*;

    /// What a journal hears when something is logged.
    fn heard(log: impl FnOnce()) -> (String, usize) {
        let dir = evs_testkit::Setup::new(1);
        let dir = evs_testkit::Cluster::prepare(dir).expect("a directory of its own");
        let socket = dir.dir().join("journal");
        let journal = UnixDatagram::bind(&socket).expect("free");
        journal.set_read_timeout(Some(evs_testkit::DEADLINE)).expect("a time");
        let unsaid = Arc::default();
        let Written { layer, guard, .. } =
            written(LogFormat::Journal, &socket, &unsaid).expect("a layer");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let mut line = vec![0; 1 << 20];
        let bytes = journal.recv(&mut line).expect("a line");
        line.truncate(bytes);
        drop(guard);
        (String::from_utf8(line).expect("text"), unsaid.load(Ordering::Relaxed))
    }

    #[test]
    fn a_line_for_the_journal_is_one_datagram_with_its_fields() {
        let (line, unsaid) = heard(|| {
            let why = "it \"left\"\nat once";
            tracing::info!(node = 3, why, ring = %"12@1", "membership changed");
        });
        let lines: Vec<_> = line.lines().collect();
        assert_eq!(
            lines,
            [
                r#"MESSAGE=membership changed node=3 why="it \"left\"\nat once" ring=12@1"#,
                "PRIORITY=6",
                "SYSLOG_IDENTIFIER=evsd",
                "EVS_TARGET=evsd::log::tests",
                "EVS_NODE=3",
                r#"EVS_WHY=it "left"\nat once"#,
                "EVS_RING=12@1",
            ]
        );
        assert_eq!(unsaid, 0);
    }

    #[test]
    fn a_field_for_the_journal_is_cut_at_its_limit() {
        let long = "é".repeat(40_000);
        let (line, _) = heard(|| tracing::info!(long, "x"));
        let field = line.lines().find_map(|line| line.strip_prefix("EVS_LONG=")).expect("there");
        assert_eq!(field.len(), 16 * 1024);
        assert!(line.len() < 100_000, "{}", line.len());
    }

    #[test]
    fn a_journal_that_is_missing_is_told_to_who_starts_the_daemon() {
        let at = |path: &Path| Journal::at(path.to_owned(), Arc::default()).expect("a socket");
        let told = at(Path::new("/proc/none")).missing().expect("there is none");
        assert!(told.contains("no journal listens at /proc/none (No such file"), "{told}");
        let dir = evs_testkit::Cluster::prepare(evs_testkit::Setup::new(1)).expect("a directory");
        let socket = dir.dir().join("journal");
        let _journal = UnixDatagram::bind(&socket).expect("free");
        assert_eq!(at(&socket).missing(), None);
    }

    #[test]
    fn lines_that_no_journal_takes_are_counted() {
        let unsaid = Arc::default();
        let Written { layer, guard, .. } =
            written(LogFormat::Journal, Path::new("/proc/none"), &unsaid).expect("a layer");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!("nobody hears this");
            tracing::info!("nor this");
        });
        drop(guard);
        assert_eq!(unsaid.load(Ordering::Relaxed), 2);
    }

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
