//! The ways of a stranger through the documents: their blocks are run on hosts that are as fresh as
//! his, and must come to what they say.
//!
//! A block of code that begins with `sh on 1 2` is run on these hosts; `scp` in it is done by this
//! program. One of `text` after it is what it prints in the end, each line somewhere in a line of
//! the output: it is asked again until then.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use evs_testkit::netns::{IpVersion, Network};
use evs_testkit::until;

use super::base;
use super::machine::Machine;
use crate::cargo::root;

/// The documents, and of how many hosts each speaks.
const DOCUMENTS: [(&str, u8); 2] = [("docs/operating.md", 4), ("docs/migration.md", 2)];

/// What is done at one place of a document.
#[derive(Debug, Default, Eq, PartialEq)]
struct Block {
    /// The line where it begins.
    line: usize,
    hosts: Vec<u8>,
    script: String,
    /// What it prints, line by line.
    prints: Vec<String>,
}

/// Does what the documents say; returns how many blocks that were.
///
/// # Errors
/// Something does not come to what a document says; the error names its line.
pub(super) fn run(dir: &Path) -> Result<u64> {
    DOCUMENTS.iter().map(|(document, hosts)| follow(dir, document, *hosts)).sum()
}

fn follow(dir: &Path, document: &str, hosts: u8) -> Result<u64> {
    let text = fs::read_to_string(root().join(document)).with_context(|| document.to_owned())?;
    let blocks = blocks(&text);
    let base = base::ensure(dir)?;
    let network = Network::new(hosts, IpVersion::V4)?;
    let hosts = (1..=hosts).map(|host| {
        let name = format!("node{host}");
        let machine = Machine::boot(&name, &base, dir, Some(&network.namespace(host)))?;
        machine.sh(&format!("hostname {name}")).map(|_| machine)
    });
    let hosts = hosts.collect::<Result<Vec<_>>>()?;
    for block in &blocks {
        for host in &block.hosts {
            let done = act(&hosts, usize::from(*host) - 1, block);
            done.with_context(|| format!("{document}, line {}, node {host}", block.line))?;
        }
    }
    println!("{} blocks of {document} do what it says", blocks.len());
    Ok(blocks.len() as u64)
}

/// Runs a block on a host.
fn act(hosts: &[Machine], at: usize, block: &Block) -> Result<()> {
    let (copies, commands): (Vec<_>, Vec<_>) =
        block.script.lines().partition(|line| line.starts_with("scp "));
    let script = format!("cd /srv/evs\n{}", commands.join("\n"));
    if block.prints.is_empty() {
        hosts[at].sh(&script)?;
    } else {
        let mut said = String::new();
        let as_told = || {
            said = hosts[at].sh(&script).unwrap_or_else(|error| format!("{error:#}"));
            is_told(&block.prints, &said).then_some(())
        };
        until("what the document says", as_told).with_context(|| said.clone())?;
    }
    copies.iter().try_for_each(|line| copy(hosts, at, line))
}

/// Whether the lines are those of the document, where `…` is anything, and alone any lines.
fn is_told(told: &[String], said: &str) -> bool {
    let mut said = said.lines();
    let mut told = told.iter().peekable();
    while let Some(line) = told.next() {
        if line == "…" {
            let Some(next) = told.next() else { return true };
            if !said.any(|said| fits(next, said)) {
                return false;
            }
        } else if !said.next().is_some_and(|said| fits(line, said)) {
            return false;
        }
    }
    said.next().is_none()
}

/// Whether a line is as told, where `…` is anything.
fn fits(told: &str, said: &str) -> bool {
    let mut pieces = told.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = said.strip_prefix(first) else { return false };
    let mut last = None;
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
        last = Some(piece);
    }
    // What comes last either ends the line, or is anything.
    rest.is_empty() || last.is_some_and(|piece| piece.is_empty() || said.ends_with(piece))
}

/// `scp FILE nodeN:FILE`: what one host has, another gets, for root alone.
fn copy(hosts: &[Machine], from: usize, line: &str) -> Result<()> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, file, to] = words[..] else { anyhow::bail!("{line}: scp FILE nodeN:FILE") };
    let (host, at) = to.split_once(':').context("scp FILE nodeN:FILE")?;
    let host: usize = host.trim_start_matches("node").parse().context("a host is nodeN")?;
    ensure!((1..=hosts.len()).contains(&host), "there is no {to}");
    let encoded = hosts[from].sh(&format!("base64 -w0 {file}"))?;
    let write = format!("umask 077; echo {encoded} | base64 -d >{at}");
    hosts[host - 1].sh(&write).map(drop)
}

/// The blocks of a document that are run.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
        let inside: Vec<_> = inside.map(str::to_owned).collect();
        if let Some(hosts) = kind.strip_prefix("sh on ") {
            let hosts = hosts.split(' ').filter_map(|host| host.parse().ok()).collect();
            let script = inside.join("\n");
            blocks.push(Block { line: number + 1, hosts, script, prints: Vec::new() });
        } else if let ("text", Some(before)) = (kind, blocks.last_mut()) {
            before.prints = inside;
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_its_hosts_and_what_it_prints() {
        let text = "a\n```sh on 1 3\nls\nid\n```\n\n```text\nroot\n```\n```sh\nnot run\n```\n";
        let (script, prints) = ("ls\nid".to_owned(), vec!["root".to_owned()]);
        assert_eq!(blocks(text), [Block { line: 2, hosts: vec![1, 3], script, prints }]);
    }

    #[test]
    fn what_is_printed_is_what_is_told_but_for_what_may_be_anything() {
        let is_told = |told: &str, said: &str| {
            is_told(&told.lines().map(str::to_owned).collect::<Vec<_>>(), said)
        };
        let said = "ring 3@1\n  1 9e5a  (this node)\n  2 2981\n";
        assert!(is_told("ring …\n  1 …  (this node)\n  2 …", said));
        assert!(is_told("…\n  2 …", said) && is_told("…\n  1 …\n…", said));
        assert!(!is_told("ring …\n  1 …  (this node)", said), "a line is missing");
        assert!(!is_told("ring …\n  1 …\n  2 …\n  3 …", said), "a line too many");
        assert!(!is_told("ring …\n  1 …  (that node)\n  2 …", said), "another end");
        assert!(!is_told("…\n  3 …", said) && !is_told("ring 3\n…", said));
    }

    #[test]
    fn the_documents_speak_of_hosts_that_there_are() {
        for (document, count) in DOCUMENTS {
            let blocks = blocks(&text(document));
            assert!(blocks.len() > 10, "{blocks:?}");
            let hosts: Vec<_> = blocks.iter().flat_map(|block| &block.hosts).collect();
            assert!(hosts.iter().all(|host| (1..=count).contains(*host)), "{hosts:?}");
            assert!(blocks.iter().all(|block| !block.hosts.is_empty() && !block.script.is_empty()));
        }
    }

    fn text(document: &str) -> String {
        fs::read_to_string(root().join(document)).expect("there")
    }

    /// What stands in backquotes in a document, outside its blocks.
    fn quoted(text: &str) -> Vec<&str> {
        let outside = text.split("```").step_by(2);
        outside.flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
    }

    #[test]
    fn every_command_that_the_migration_names_is_run_by_one_of_its_blocks() {
        let text = text("docs/migration.md");
        let blocks = blocks(&text);
        let lines: Vec<_> = blocks.iter().flat_map(|block| block.script.lines()).collect();
        let quoted = quoted(&text);
        let commands: Vec<_> = quoted.iter().filter(|code| code.starts_with("evs ")).collect();
        assert!(commands.len() > 8, "{commands:?}");
        for command in commands {
            assert!(lines.iter().any(|line| line.contains(command)), "`{command}` is not run");
        }
    }

    #[test]
    fn every_call_that_the_migration_names_is_in_a_header() {
        let text = text("docs/migration.md");
        let headers = ["corosync/evs.h", "evs/evs_ext.h"];
        let include = root().join("crates/libevs/include");
        let headers = headers.map(|name| fs::read_to_string(include.join(name)).expect("there"));
        let declared = |call: &str| headers.iter().any(|text| text.contains(&format!("{call}(")));
        let quoted = quoted(&text);
        let is_name = |code: &str| code.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let calls = quoted.iter().filter(|code| code.starts_with("evs_") && is_name(code));
        let calls: Vec<_> = calls.collect();
        assert!(calls.len() > 10, "{calls:?}");
        for call in calls {
            assert!(declared(call), "{call} is in no header");
        }
    }
}
