//! `cargo xtask soak`: what the gates do a few times or for some seconds, often and for long.

use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;

use crate::cargo::{self, cargo};
use crate::{ci, debian};

/// What, and how much of it.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// What is done; everything unless one is named.
    #[arg(long, value_enum)]
    what: Option<What>,
    /// How often the daemon is killed and started again.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    rounds: u32,
    /// How long each case of `calm` lasts.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    seconds: u32,
    /// How many random networks of each size `graphs` plays.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    graphs: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum What {
    /// The daemon is killed and started again while a C program is connected, and nothing may be
    /// left of it.
    Clients,
    /// Each single path among three to five daemons is cut, one way and both ways.
    Paths,
    /// Busy cores, loss, distance and jitter, pauses: what may change no configuration, or one.
    Calm,
    /// In the simulation: random networks in which not all hear each other.
    Graphs,
}

/// Time for one round, in seconds, until the program takes itself for hung.
const ROUND_SECONDS: u32 = 5;

/// The test of the C interface that makes the rounds, and counts descriptors and memory.
const TEST: &str = "plain::every_call_ends_when_the_daemon_does";

/// Before what a case saw, in what it prints.
const REPORT: &str = "soak: ";

/// Does it, and sums up at the end what each case saw.
///
/// # Errors
/// The first thing that did not go as it must.
pub(crate) fn run(options: &Options) -> Result<()> {
    let wanted = |what| options.what.is_none_or(|named| named == what);
    let begin = Instant::now();
    let mut seen = Vec::new();
    if wanted(What::Graphs) {
        ci::graphs(&options.graphs.to_string())?;
        seen.push(format!("{} random graphs of each size, simulated", options.graphs));
    }
    if options.what != Some(What::Graphs) {
        debian::ensure()?;
    }
    if wanted(What::Paths) {
        seen.extend(netns("graphs::", ("EVS_NETNS_ALL", "1".to_owned()))?);
    }
    if wanted(What::Calm) {
        seen.extend(netns("soak::", ("EVS_NETNS_SECONDS", options.seconds.to_string()))?);
    }
    if wanted(What::Clients) {
        clients(options.rounds)?;
        seen.push(format!("{} starts and deaths under a C client", options.rounds));
    }
    println!("\nWhat the soak saw, in {} s:", begin.elapsed().as_secs());
    for line in seen {
        println!("  {line}");
    }
    Ok(())
}

/// Some of the tests in network namespaces, with more of what they do.
fn netns(tests: &str, (key, value): (&str, String)) -> Result<Vec<String>> {
    let mut command = cargo(["test", "--locked", "--package", "evs-testkit"]);
    command.args(["--features", "netns", "--test", "netns", tests]);
    command.args(["--", "--test-threads", "1", "--nocapture"]).env(key, value);
    let (passed, seen) = cargo::run_reporting(&mut command, Some(REPORT))?;
    anyhow::ensure!(passed > 0, "there are no tests {tests}");
    anyhow::ensure!(seen.len() as u64 == passed, "each of {passed} tests tells what it saw");
    Ok(seen)
}

fn clients(rounds: u32) -> Result<()> {
    let seconds = rounds.saturating_mul(ROUND_SECONDS).saturating_add(240);
    let mut command = cargo(["test", "--locked", "--package", "libevs", "--test", "conformance"]);
    command.args(["--", "--exact", TEST, "--nocapture"]);
    command.env("EVS_TEST_ROUNDS", rounds.to_string());
    command.env("EVS_TEST_SECONDS", seconds.to_string());
    let passed = cargo::run_tests(&mut command)?;
    anyhow::ensure!(passed == 1, "{passed} tests ran, not the one that makes the rounds");
    Ok(())
}
