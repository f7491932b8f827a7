//! Log lines for systemd's journal, each with its fields, in the journal's own protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).
//!
//! Responsible for: whether standard error is the journal, the fields of a line, handing it over.
//! Not responsible for: the queue before it (`log.rs`); what is sent here may take its time.
//!
//! A line is found by what it tells: `journalctl -u evsd EVS_NODE=3`.

use std::fmt::{self, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Where the journal listens.
pub(crate) const SOCKET: &str = "/run/systemd/journal/socket";

/// Most bytes of one field (`journal_field_bytes_max`), for a line is one datagram; more is cut.
const FIELD_BYTES_MAX: usize = 16 * 1024;

/// Whether standard error goes to the journal, as the service manager says
/// (`JOURNAL_STREAM`, systemd.exec(5)).
pub(crate) fn is_stderr() -> bool {
    let Ok(stat) = rustix::fs::fstat(rustix::stdio::stderr()) else { return false };
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    named == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// The way to the journal: each write is one line.
#[derive(Debug)]
pub(crate) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    failed: Arc<AtomicUsize>,
}

impl Journal {
    /// A way to the journal that listens there. It may come, go and come again.
    pub(crate) fn at(path: PathBuf, failed: Arc<AtomicUsize>) -> io::Result<Self> {
        Ok(Self { socket: UnixDatagram::unbound()?, path, failed })
    }

    /// Why nobody would read a line now, if so; for who cannot be told by a line.
    pub(crate) fn missing(&self) -> Option<String> {
        // A way of its own, so that the other one goes to whoever listens at the time.
        let error = UnixDatagram::unbound().and_then(|way| way.connect(&self.path)).err()?;
        let path = self.path.display();
        Some(format!(
            "local.log_format = \"journal\", but no journal listens at {path} ({error}): nothing \
             is logged until one does"
        ))
    }
}

impl io::Write for Journal {
    /// What cannot be said is counted: there is nobody else to tell it to.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.socket.send_to(line, &self.path).is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes events as the journal reads them.
#[derive(Debug)]
pub(crate) struct Format;

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        let metadata = event.metadata();
        field(&mut writer, "MESSAGE", &format!("{}{}", line.message, line.text))?;
        field(&mut writer, "PRIORITY", priority(*metadata.level()))?;
        field(&mut writer, "SYSLOG_IDENTIFIER", "evsd")?;
        field(&mut writer, "EVS_TARGET", metadata.target())?;
        writer.write_str(&line.fields)
    }
}

/// What stands in an event: for people in one text, for machines in fields.
#[derive(Debug, Default)]
struct Line {
    message: String,
    text: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.add(field.name(), value, &format!("{value:?}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        if field.name() == "message" {
            self.message = value;
        } else {
            self.add(field.name(), &value, &value);
        }
    }
}

impl Line {
    fn add(&mut self, name: &str, value: &str, shown: &str) {
        let _ = write!(self.text, " {name}={shown}");
        let upper = name.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let _ = field(&mut self.fields, &format!("EVS_{upper}"), value);
    }
}

/// One field. A line break would end it, so it is written as in a text of Rust.
fn field(to: &mut impl fmt::Write, name: &str, value: &str) -> fmt::Result {
    let end = value.floor_char_boundary(FIELD_BYTES_MAX);
    let value = value[..end].replace('\n', "\\n");
    writeln!(to, "{name}={value}")
}

/// As syslog(3) counts.
const fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}
