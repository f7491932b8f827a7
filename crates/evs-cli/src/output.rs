//! What is printed: lines for people, or one JSON object per line. A closed pipe is an error like
//! any other, never a panic.

use std::io::{self, BufWriter, Stdout, Write as _};
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde_json::Value;

#[derive(Debug)]
pub(crate) struct Output {
    to: BufWriter<Stdout>,
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { to: BufWriter::new(io::stdout()), json }
    }

    /// Whether a program reads.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints one or the other; only that is made which is wanted.
    pub(crate) fn print(
        &mut self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> io::Result<()> {
        let line = if self.json { json().to_string() } else { text() };
        self.line(&line)
    }

    /// Prints a line as it is.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        self.to.write_all(line.as_bytes())?;
        self.to.write_all(b"\n")
    }

    /// Shows what was printed.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// Waits until a descriptor is readable, or a signal was handled.
    ///
    /// # Errors
    /// A broken pipe: nobody can read any more what would be printed.
    pub(crate) fn wait_with(&self, source: BorrowedFd<'_>) -> io::Result<()> {
        // Of the output nothing is asked: that it is closed is always told.
        let mut fds = [
            PollFd::from_borrowed_fd(source, PollFlags::IN),
            PollFd::new(self.to.get_ref(), PollFlags::empty()),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if fds[1].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }
}
