//! What no compiler checks: words, sizes, dependencies, `unsafe`, citations, constants of the wire.
//!
//! Responsible for: reading the tree and naming each line that breaks a rule of `CONTRIBUTING.md`.
//! Not responsible for: mending it, or anything that rustfmt and clippy see.

mod arrows;
mod c_interface;
mod citations;
mod defects;
mod lines;
mod logs;
mod manifests;
mod pitfalls;
mod reasons;
mod tree;
mod unsafety;
mod wire;

use std::fmt;

use anyhow::{Result, bail};

pub(crate) use citations::{linked, links};
use tree::Tree;

/// A rule that a line breaks.
#[derive(Debug, Eq, PartialEq)]
struct Complaint {
    file: String,
    /// From 1; 0 for the file as a whole.
    line: usize,
    what: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}:{line}: {}", self.file, self.what),
        }
    }
}

/// Checks the whole tree.
///
/// # Errors
/// A rule is broken; every place has been printed.
pub(crate) fn run() -> Result<u64> {
    let tree = Tree::read(&crate::cargo::root())?;
    let mut complaints = Vec::new();
    for rule in RULES {
        complaints.extend(rule(&tree));
    }
    complaints.extend(arrows::check()?);
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    match complaints.len() {
        0 => {
            println!("{} files are tidy", tree.files.len());
            Ok(RULES.len() as u64 + 1)
        }
        count => bail!("{count} places are not tidy"),
    }
}

/// The rules that need nothing but the files.
const RULES: [fn(&Tree) -> Vec<Complaint>; 10] = [
    lines::check,
    manifests::check,
    unsafety::check,
    citations::check,
    wire::check,
    defects::check,
    pitfalls::check,
    c_interface::check,
    logs::check,
    reasons::check,
];
