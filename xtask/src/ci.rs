//! The gates, in order: the fastest first, so that a mistake is known soon.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cargo::{self, cargo};
use crate::steps::{self, Step};
use crate::{debian, tidy};

/// How many seeds the simulator runs in the full gate, and in the inner loop.
const SEEDS_CI: &str = "500";
const SEEDS_QUICK: &str = "100";

/// The async client is compiled only on demand; the gates always demand it.
const FEATURES: &str = "evs/tokio";

/// Every gate.
pub(crate) fn ci() -> ExitCode {
    steps::run(vec![
        Step::new("debian packages", debian::ensure),
        Step::new("format", format),
        Step::new("tidy", tidy::run),
        Step::new("clippy", clippy),
        Step::new("docs", docs),
        Step::new("tests", tests),
        Step::new("doc tests", doc_tests),
        Step::new("network namespaces", network_namespaces),
        Step::new("simulation", || sim(&["--seeds", SEEDS_CI])),
    ])
}

/// The inner loop.
pub(crate) fn quick() -> ExitCode {
    steps::run(vec![
        Step::new("format", format),
        Step::new("tidy", tidy::run),
        Step::new("clippy", clippy),
        Step::new("unit tests", unit_tests),
        Step::new("simulation", || sim(&["--seeds", SEEDS_QUICK])),
    ])
}

/// Runs the simulator, optimised; its assertions stay on.
pub(crate) fn sim<S: AsRef<str>>(args: &[S]) -> Result<u64> {
    let mut command = cargo(["run", "--quiet", "--release", "--locked", "--package", "evs-sim"]);
    command.args(["--bin", "evs-sim", "--"]).args(args.iter().map(AsRef::as_ref));
    cargo::run(&mut command)?;
    Ok(1)
}

fn format() -> Result<u64> {
    cargo::run(&mut cargo(["fmt", "--all", "--check"]))?;
    Ok(1)
}

/// Package by package: a lint of the whole workspace at once would hide what only compiles because
/// another package asks for a feature.
fn clippy() -> Result<u64> {
    let packages = cargo::packages()?;
    let mut runs: Vec<Vec<&str>> = packages.iter().map(|name| vec!["-p", name]).collect();
    runs.push(vec!["-p", "evs", "--features", "tokio"]);
    runs.push(vec!["-p", "evs-testkit", "--features", "netns"]);
    let mut failed = Vec::new();
    for run in &runs {
        let mut command = cargo(["clippy", "--quiet", "--locked", "--all-targets"]);
        command.args(run).args(["--", "-D", "warnings"]);
        if let Err(error) = cargo::run(&mut command) {
            failed.push(error.to_string());
        }
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(runs.len() as u64)
}

fn docs() -> Result<u64> {
    let mut command = cargo(["doc", "--quiet", "--locked", "--workspace", "--no-deps"]);
    command.args(["--document-private-items", "--features", FEATURES]);
    command.env("RUSTDOCFLAGS", "-Dwarnings");
    cargo::run(&mut command)?;
    Ok(1)
}

/// With nextest where it is installed, otherwise with what Cargo brings.
fn tests() -> Result<u64> {
    let nextest = cargo(["nextest", "--version"]).output().is_ok_and(|o| o.status.success());
    let runner: &[&str] = if nextest { &["nextest", "run"] } else { &["test", "--all-targets"] };
    let mut command = cargo(runner);
    command.args(["--locked", "--workspace", "--features", FEATURES]);
    cargo::run_tests(&mut command)
}

fn doc_tests() -> Result<u64> {
    let mut command = cargo(["test", "--doc", "--locked", "--workspace", "--features", FEATURES]);
    cargo::run_tests(&mut command)
}

/// Real daemons in networks that break: needs root. One test at a time, so that each has the
/// machine to itself. All packages are named, so that nothing is built another way for this step.
fn network_namespaces() -> Result<u64> {
    let features = format!("{FEATURES},evs-testkit/netns");
    let mut command = cargo(["test", "--locked", "--workspace", "--features", &features]);
    cargo::run_tests(command.args(["--test", "netns", "--", "--test-threads", "1"]))
}

fn unit_tests() -> Result<u64> {
    let mut command = cargo(["test", "--lib", "--bins", "--locked", "--workspace"]);
    cargo::run_tests(command.args(["--features", FEATURES]))
}
