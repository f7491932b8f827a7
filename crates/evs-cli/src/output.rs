//! What is printed: lines for people, or one JSON object per line. A closed pipe is an error like
//! any other, never a panic.

use std::io::{self, BufWriter, Stdout, Write as _};
use std::os::fd::BorrowedFd;

use evs_report::SCHEMA;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde_json::Value;

/// What a line is for who looks at it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mark {
    None,
    Bad,
}

#[derive(Debug)]
pub(crate) struct Output {
    to: BufWriter<Stdout>,
    json: bool,
    colours: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { to: BufWriter::new(io::stdout()), json, colours: has_terminal() && shows_colours() }
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
        if self.json { self.object(json()) } else { self.line(&text()) }
    }

    /// Prints an object for a program, with the version of what it says.
    pub(crate) fn object(&mut self, mut object: Value) -> io::Result<()> {
        object["schema"] = SCHEMA.into();
        self.line(&object.to_string())
    }

    /// Prints a line as it is.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        self.to.write_all(line.as_bytes())?;
        self.to.write_all(b"\n")
    }

    /// Prints a line that may stand out, on a terminal.
    pub(crate) fn marked(&mut self, mark: Mark, line: &str) -> io::Result<()> {
        match mark {
            Mark::Bad if self.colours => self.line(&format!("\x1b[31m{line}\x1b[0m")),
            Mark::Bad | Mark::None => self.line(line),
        }
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

/// Whether a person looks at what is printed.
pub(crate) fn has_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stdout())
}

/// Whether who looks wants colours.
pub(crate) fn shows_colours() -> bool {
    wants_colours(env)
}

fn env(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// Whether who looks at a terminal wants colours: `NO_COLOR` (<https://no-color.org>) and a
/// terminal that has none say no.
fn wants_colours(env: impl Fn(&str) -> Option<std::ffi::OsString>) -> bool {
    let no_color = env("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no_color && env("TERM").is_some_and(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_have_them_and_for_who_wants_them() {
        let with = |set: &[(&str, &str)]| {
            wants_colours(|name| {
                let found = set.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| value.into())
            })
        };
        assert!(with(&[("TERM", "xterm")]));
        assert!(with(&[("TERM", "xterm"), ("NO_COLOR", "")]));
        assert!(!with(&[("TERM", "xterm"), ("NO_COLOR", "1")]));
        assert!(!with(&[("TERM", "dumb")]));
        assert!(!with(&[]));
    }
}
