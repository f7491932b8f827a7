//! `cargo xtask counts`: how many instructions the path of a message takes, held against the counts
//! that are committed.
//!
//! A noisy machine cannot say whether something has become slower; callgrind can say that it takes
//! more instructions. Each piece of work is run twice, with different numbers of units: what is
//! counted is the difference, so that the start and what comes before the first unit drop out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use evs_bench::hot;
use serde::{Deserialize, Serialize};

use crate::cargo::{self, cargo};
use crate::debian;

/// What is to be done with the counts.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Writes the counts down as those that are expected from now on.
    #[arg(long)]
    update: bool,

    /// Why it is right that something takes more than it did at its best; needed with --update
    /// where that is more than 3 %.
    #[arg(long, value_name = "TEXT", requires = "update")]
    note: Option<String>,
}

/// What is expected of one piece of work.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Count {
    /// Instructions for a unit.
    instructions: u64,
    /// The fewest that were ever written down.
    best: u64,
    /// Why there are more now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

type Counts = BTreeMap<String, Count>;

/// Counts, and compares or writes down.
///
/// # Errors
/// Something takes more than 3 % more instructions than expected, or than at its best without a
/// note; or it cannot be counted.
pub(crate) fn run(options: &Options) -> Result<()> {
    let measured = measure()?;
    if options.update {
        let expected = if path().exists() { read()? } else { Counts::new() };
        let counts = updated(&expected, &measured, options.note.as_deref())?;
        let text = format!("{HEAD}\n{}", toml::to_string(&counts)?);
        std::fs::write(path(), text).with_context(|| path().display().to_string())?;
        println!("written to {}", path().display());
        return Ok(());
    }
    compare(&read()?, &measured)
}

/// The gate. Returns how many counts were compared.
///
/// # Errors
/// As [`run`].
pub(crate) fn gate() -> Result<u64> {
    let measured = measure()?;
    compare(&read()?, &measured)?;
    Ok(measured.len() as u64)
}

/// Instructions for a unit of each piece of work.
fn measure() -> Result<BTreeMap<String, u64>> {
    debian::ensure()?;
    let mut build = cargo(["build", "--release", "--locked", "--quiet"]);
    cargo::run(build.args(["-p", "evs-bench", "--bin", PROGRAM]))?;
    let program = cargo::target_dir()?.join("release").join(PROGRAM);
    let mut counts = BTreeMap::new();
    for work in hot::ALL {
        let few = instructions(&program, work.name, UNITS)?;
        let many = instructions(&program, work.name, 2 * UNITS)?;
        let each = many.saturating_sub(few) / u64::from(UNITS);
        println!("{:>14}: {each:>6} instructions for {}", work.name, work.unit);
        counts.insert(work.name.to_owned(), each);
    }
    Ok(counts)
}

fn instructions(program: &Path, name: &str, units: u32) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(program).args([name, &units.to_string()]);
    let output = command.output().context("valgrind cannot be run (Debian package valgrind)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    collected(&said).with_context(|| format!("{command:?} tells no count:\n{said}"))
}

/// The number in callgrind's line `==1== Collected : 123`.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains("Collected"))?;
    line.rsplit_once(':')?.1.trim().parse().ok()
}

fn compare(expected: &Counts, measured: &BTreeMap<String, u64>) -> Result<()> {
    let mut wrong = Vec::new();
    for (name, now) in measured {
        let Some(count) = expected.get(name) else {
            wrong.push(format!("{name} is not in {FILE}"));
            continue;
        };
        let Count { instructions, best, note } = count;
        if is_worse(*now, *instructions) {
            let more = 100.0 * (*now as f64 / *instructions as f64 - 1.0);
            wrong.push(format!("{name} takes {now} instructions, {more:.1} % more than expected"));
        }
        if is_worse(*instructions, *best) && note.as_deref().is_none_or(str::is_empty) {
            wrong.push(format!("{name} is expected to take more than at its best, without a note"));
        }
        if is_worse(*instructions, *now) {
            println!("{name} has become better: `cargo xtask counts --update` keeps it so");
        }
    }
    wrong.extend(
        expected
            .keys()
            .filter(|name| !measured.contains_key(*name))
            .map(|name| format!("{name} of {FILE} is not counted any more")),
    );
    if !wrong.is_empty() {
        bail!(
            "{}\nmake it better, or write down why it is right: cargo xtask counts --update \
             --note \"why\"",
            wrong.join("\n")
        );
    }
    Ok(())
}

/// What is expected from now on.
fn updated(
    expected: &Counts,
    measured: &BTreeMap<String, u64>,
    note: Option<&str>,
) -> Result<Counts> {
    let mut counts = Counts::new();
    for (name, &now) in measured {
        let before = expected.get(name);
        let best = before.map_or(now, |count| count.best.min(now));
        let old_note = before.and_then(|count| {
            let covers = !is_worse(now, count.instructions);
            count.note.clone().filter(|_| covers)
        });
        let note = match (is_worse(now, best), note) {
            (false, _) => None,
            (true, Some(note)) if old_note.is_none() => Some(note.to_owned()),
            (true, _) if old_note.is_some() => old_note,
            (true, _) => bail!(
                "{name} takes {now} instructions, and {best} at its best: say with --note why"
            ),
        };
        counts.insert(name.clone(), Count { instructions: now, best, note });
    }
    Ok(counts)
}

/// Whether a count is more than 3 % above another one.
const fn is_worse(count: u64, than: u64) -> bool {
    count * 100 > than * (100 + PERCENT)
}

fn read() -> Result<Counts> {
    let text = std::fs::read_to_string(path()).with_context(|| path().display().to_string())?;
    toml::from_str(&text).with_context(|| path().display().to_string())
}

fn path() -> PathBuf {
    cargo::root().join(FILE)
}

const PERCENT: u64 = 3;

const UNITS: u32 = 2000;

const PROGRAM: &str = "evs-bench-hot";

const FILE: &str = "crates/evs-bench/counts.toml";

const HEAD: &str = "\
# Instructions that the path of a message takes, by callgrind. More than 3 % more fails the gates;
# what is above its best by more than that needs a note. Written by `cargo xtask counts --update`.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn count(instructions: u64, best: u64, note: Option<&str>) -> Counts {
        let note = note.map(str::to_owned);
        Counts::from([("visit".to_owned(), Count { instructions, best, note })])
    }

    fn measured(instructions: u64) -> BTreeMap<String, u64> {
        BTreeMap::from([("visit".to_owned(), instructions)])
    }

    #[test]
    fn three_percent_more_pass_and_what_is_above_does_not() {
        let expected = count(1000, 1000, None);
        assert!(compare(&expected, &measured(1030)).is_ok());
        let error = compare(&expected, &measured(1031)).expect_err("too many").to_string();
        assert!(error.contains("visit takes 1031 instructions, 3.1 % more"), "{error}");
        assert!(compare(&expected, &measured(500)).is_ok());
    }

    #[test]
    fn a_count_above_its_best_needs_a_note() {
        assert!(compare(&count(1100, 1000, None), &measured(1100)).is_err());
        assert!(compare(&count(1100, 1000, Some("")), &measured(1100)).is_err());
        assert!(compare(&count(1100, 1000, Some("safer")), &measured(1100)).is_ok());
    }

    #[test]
    fn an_update_keeps_the_best_and_asks_for_a_note_when_it_is_missed() {
        let expected = count(1000, 1000, None);
        assert_eq!(
            updated(&expected, &measured(900), None).expect("better"),
            count(900, 900, None)
        );
        assert!(updated(&expected, &measured(1100), None).is_err());
        let noted = updated(&expected, &measured(1100), Some("safer")).expect("noted");
        assert_eq!(noted, count(1100, 1000, Some("safer")));
        // The note stays as long as it covers what is measured.
        assert_eq!(updated(&noted, &measured(1090), None).expect("covered").len(), 1);
        assert!(updated(&noted, &measured(1200), None).is_err());
    }

    #[test]
    fn work_that_is_missing_on_either_side_is_named() {
        assert!(compare(&Counts::new(), &measured(1)).is_err());
        assert!(compare(&count(1, 1, None), &BTreeMap::new()).is_err());
    }

    #[test]
    fn callgrind_is_understood() {
        let said = "==7== Events    : Ir\n==7== Collected : 123456\n==7==\n";
        assert_eq!(collected(said), Some(123_456));
    }
}
