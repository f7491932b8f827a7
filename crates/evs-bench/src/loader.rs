//! One process that loads a system: started, heard and ended.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::stop::{GLANCE, Stop};

/// What such a process prints, a line each (`c/load.c`).
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub(crate) enum Line {
    /// All are there; it waits for the beginning.
    Ready {
        /// Its node.
        ready: u32,
    },
    /// A configuration.
    Members {
        /// Of so many nodes.
        members: u32,
        /// When, on the monotonic clock.
        at: u64,
    },
    /// It has finished.
    Result {
        /// What it measured.
        result: Measured,
    },
    /// The system does not take such a message.
    Cannot {
        /// Why.
        cannot: String,
    },
    /// Something is wrong.
    Broken {
        /// What.
        broken: String,
    },
}

/// What a process measured.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(crate) struct Measured {
    /// All messages delivered.
    pub(crate) messages: u64,
    /// Those after the warm-up.
    pub(crate) window_messages: u64,
    /// How long they took, in nanoseconds.
    pub(crate) window_ns: u64,
    /// A sum over the order of all messages: the same for the same order.
    pub(crate) order: String,
    /// How many messages came from each sender.
    pub(crate) shares: Vec<u64>,
    /// Of how many messages the times were taken.
    pub(crate) samples: u64,
    /// In microseconds, if there were any.
    #[serde(default)]
    pub(crate) p50_us: f64,
    #[serde(default)]
    pub(crate) p99_us: f64,
    #[serde(default)]
    pub(crate) p999_us: f64,
    /// The longest time without a message after the warm-up, where that is measured, in
    /// nanoseconds.
    #[serde(default)]
    pub(crate) gap_ns: u64,
}

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Loader {
    node: u8,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Loader {
    /// # Errors
    /// It cannot be run.
    pub(crate) fn spawn(node: u8, mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A Ctrl-C at the terminal is for the bench, which ends it in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("{command:?} cannot be run"))?;
        let input = child.stdin.take();
        let out = BufReader::new(child.stdout.take().expect("piped above"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in out.lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { node, child, input, lines })
    }

    pub(crate) fn node(&self) -> u8 {
        self.node
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to it.
    ///
    /// # Errors
    /// It does not read any more.
    pub(crate) fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let input = self.input.as_mut().expect("taken when it ends");
        writeln!(input, "{line}").with_context(|| format!("the client of node {}", self.node))
    }

    /// The next line that it prints.
    ///
    /// # Errors
    /// There is none in time, it has ended, or a signal came.
    pub(crate) fn line(&self, deadline: Instant, stop: &Stop) -> anyhow::Result<String> {
        loop {
            stop.check()?;
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left.min(GLANCE)) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the client of node {} has ended", self.node)
                }
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    bail!("stuck: the client of node {} says nothing", self.node)
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// The next line of any of these, understood, and of which it is.
    ///
    /// # Errors
    /// As [`Loader::next`].
    pub(crate) fn first(
        of: &[&Self],
        deadline: Instant,
        stop: &Stop,
    ) -> anyhow::Result<(usize, Line)> {
        loop {
            for (index, loader) in of.iter().enumerate() {
                match loader.lines.try_recv() {
                    Ok(line) => return Ok((index, loader.parse(&line)?)),
                    Err(TryRecvError::Disconnected) => {
                        bail!("the client of node {} has ended", loader.node)
                    }
                    Err(TryRecvError::Empty) => {}
                }
            }
            stop.check()?;
            if Instant::now() >= deadline {
                let silent: Vec<_> = of.iter().map(|loader| loader.node.to_string()).collect();
                bail!("stuck: the clients of nodes {} say nothing", silent.join(", "));
            }
            thread::sleep(HEARING);
        }
    }

    fn parse(&self, line: &str) -> anyhow::Result<Line> {
        let parsed = serde_json::from_str(line);
        parsed.with_context(|| format!("the client of node {} says {line}", self.node))
    }

    /// The next line, understood.
    ///
    /// # Errors
    /// As [`Loader::line`]; or it says what nobody understands.
    pub(crate) fn next(&self, deadline: Instant, stop: &Stop) -> anyhow::Result<Line> {
        self.parse(&self.line(deadline, stop)?)
    }

    /// Waits until the process has ended, and leaves its account with the kernel until it is
    /// dropped.
    ///
    /// # Errors
    /// It does not end in time, or a signal came.
    pub(crate) fn until_over(&self, deadline: Instant, stop: &Stop) -> anyhow::Result<()> {
        match self.line(deadline, stop) {
            Ok(line) => bail!("the client of node {} also says {line}", self.node),
            Err(error) => stop.check().and(match Instant::now() >= deadline {
                true => Err(error),
                false => Ok(()),
            }),
        }
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it by the end of its input, or by force.
    pub(crate) fn end(mut self) {
        self.input = None;
        let deadline = Instant::now() + END_MAX;
        while Instant::now() < deadline && self.is_running() {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long nothing looks who has something to say.
const HEARING: Duration = Duration::from_millis(10);

/// How long a process may take to end by itself.
const END_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Line {
        serde_json::from_str(line).expect("understood")
    }

    #[test]
    fn its_lines_are_understood() {
        assert_eq!(parse(r#"{"ready":2}"#), Line::Ready { ready: 2 });
        assert_eq!(parse(r#"{"members":3,"at":99}"#), Line::Members { members: 3, at: 99 });
        let cannot = Line::Cannot { cannot: "too long".to_owned() };
        assert_eq!(parse(r#"{"cannot":"too long"}"#), cannot);
        let line = r#"{"result":{"messages":9,"window_messages":5,"window_ns":7,"order":"0a",
            "shares":[9],"samples":0}}"#;
        let Line::Result { result } = parse(line) else { panic!("a result") };
        assert_eq!((result.messages, result.shares), (9, vec![9]));
    }

    #[test]
    fn one_that_is_silent_is_stuck_and_one_that_ends_has_ended() {
        let stop = Stop::never();
        let mut sleeper = Command::new("timeout");
        sleeper.args(["60", "cat"]);
        let sleeper = Loader::spawn(3, sleeper).expect("it runs");
        let error = sleeper.line(Instant::now(), &stop).expect_err("silent").to_string();
        assert_eq!(error, "stuck: the client of node 3 says nothing");
        let over = Loader::spawn(1, Command::new("true")).expect("it runs");
        let late = Instant::now() + Duration::from_secs(60);
        assert!(over.until_over(late, &stop).is_ok());
    }

    #[test]
    fn one_that_is_broken_is_heard_while_the_others_are_silent() {
        let stop = Stop::never();
        let mut sleeper = Command::new("timeout");
        sleeper.args(["60", "cat"]);
        let sleeper = Loader::spawn(1, sleeper).expect("it runs");
        let mut speaker = Command::new("timeout");
        speaker.args(["60", "echo", r#"{"broken":"lost"}"#]);
        let speaker = Loader::spawn(2, speaker).expect("it runs");
        let late = Instant::now() + Duration::from_secs(60);
        let heard = Loader::first(&[&sleeper, &speaker], late, &stop).expect("heard");
        assert_eq!(heard, (1, Line::Broken { broken: "lost".to_owned() }));
        let error = Loader::first(&[&sleeper], Instant::now(), &stop).expect_err("silent");
        assert_eq!(error.to_string(), "stuck: the clients of nodes 1 say nothing");
    }
}
