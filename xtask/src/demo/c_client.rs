//! The client in C: compiled against the library that was just built, run as a process of its own,
//! and heard through its standard output.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::recorder::{GROUP, Tag};
use crate::cargo;

/// The number of this client in its messages.
pub(super) const INDEX: u8 = 0xcc;

/// One thing that happened to the client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Happened {
    Sent(Tag),
    Got {
        node: u32,
        tag: Tag,
    },
    /// A configuration as the old interface tells it: its id as one number, and its members.
    Change {
        rep: u32,
        seq: u64,
        members: Vec<u32>,
    },
}

/// The running program.
pub(super) struct CClient {
    child: Child,
    commands: ChildStdin,
    lines: Receiver<Result<Happened>>,
    history: Vec<Happened>,
    last_of: BTreeSet<u8>,
}

/// Compiles it into a directory.
pub(super) fn compile(library: &Path, dir: &Path) -> Result<PathBuf> {
    let program = dir.join("client");
    let source = cargo::root().join("xtask/src/demo/client.c");
    let include = cargo::root().join("crates/libevs/include");
    let mut command = Command::new("cc");
    command.args(["-O2", "-Wall", "-Wextra", "-o"]).arg(&program).arg(source);
    command.arg("-I").arg(include).arg("-L").arg(library).arg("-levs");
    cargo::run(&mut command)?;
    Ok(program)
}

impl CClient {
    /// Runs it, and waits until it has joined the group.
    pub(super) fn start(program: &Path, library: &Path, socket: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .args([INDEX.to_string().as_str(), GROUP])
            .env("EVS_SOCKET", socket)
            .env("LD_LIBRARY_PATH", library)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let commands = child.stdin.take().context("piped above")?;
        let mut out = BufReader::new(child.stdout.take().context("piped above")?);
        let mut first = String::new();
        out.read_line(&mut first)?;
        if first.trim_end() != "ready" {
            bail!("the client in C says {first:?}");
        }
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || read_lines(out, &sender));
        let (history, last_of) = (Vec::new(), BTreeSet::new());
        Ok(Self { child, commands, lines, history, last_of })
    }

    pub(super) fn send(&mut self) -> Result<()> {
        self.command(b's')
    }

    /// Sends its last message.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.command(b'l')
    }

    /// Takes what has been printed so far.
    pub(super) fn check(&mut self) -> Result<()> {
        while let Ok(line) = self.lines.try_recv() {
            self.take(line?);
        }
        if let Some(status) = self.child.try_wait()? {
            bail!("the client in C has ended: {status}");
        }
        Ok(())
    }

    /// Waits for the last message of each of these clients.
    pub(super) fn until_last_of(&mut self, clients: &[u8], deadline: Instant) -> Result<()> {
        while !clients.iter().all(|client| self.last_of.contains(client)) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.take(line?),
                Err(_) => bail!("lost: the client in C did not get every client's last message"),
            }
        }
        Ok(())
    }

    /// Ends it in order and returns what happened to it.
    pub(super) fn end(mut self) -> Result<Vec<Happened>> {
        self.command(b'q')?;
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5)) {
            self.take(line?);
        }
        let status = evs_testkit::until_exit(&mut self.child)?;
        if !status.success() {
            bail!("the client in C did not end in order: {status}");
        }
        Ok(std::mem::take(&mut self.history))
    }

    fn command(&mut self, letter: u8) -> Result<()> {
        self.commands.write_all(&[letter]).context("the client in C does not listen")
    }

    fn take(&mut self, happened: Happened) {
        if let Happened::Got { tag, .. } = &happened
            && tag.is_last()
        {
            self.last_of.insert(tag.client());
        }
        self.history.push(happened);
    }
}

impl Drop for CClient {
    fn drop(&mut self) {
        // It may have ended in order before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(out: BufReader<ChildStdout>, to: &mpsc::Sender<Result<Happened>>) {
    for line in out.lines() {
        let parsed = line.context("reading from the client in C").and_then(|line| parse(&line));
        if to.send(parsed).is_err() {
            return;
        }
    }
}

fn parse(line: &str) -> Result<Happened> {
    let words: Vec<&str> = line.split(' ').collect();
    let tag = |word: &str| u64::from_str_radix(word, 16).map(Tag);
    Ok(match words.as_slice() {
        ["sent", number] => Happened::Sent(tag(number)?),
        ["got", node, number, _bytes] => Happened::Got { node: node.parse()?, tag: tag(number)? },
        ["change", rep, seq, members @ ..] => Happened::Change {
            rep: rep.parse()?,
            seq: seq.parse()?,
            members: members.iter().map(|m| m.parse()).collect::<Result<_, _>>()?,
        },
        _ => bail!("the client in C says {line:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_lines_are_understood() {
        assert_eq!(parse("sent 0a").expect("valid"), Happened::Sent(Tag(10)));
        let change = Happened::Change { rep: 1, seq: 77, members: vec![1, 3] };
        assert_eq!(parse("change 1 77 1 3").expect("valid"), change);
        assert!(parse("broken dispatch").is_err());
    }
}
