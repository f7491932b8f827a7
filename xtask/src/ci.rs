//! The gates, in order: the fastest first, so that a mistake is known soon.

use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cargo::{self, cargo};
use crate::steps::{self, Step};
use crate::{bench, counts, debian, install, mutate, package, tidy};

/// How many seeds the simulator runs in the full gate, and in the inner loop. The former are enough
/// for the simulator to demand that they meet every state, packet and change of state.
const SEEDS_CI: &str = "2000";
const SEEDS_QUICK: &str = "100";

/// So many more are left in some graph in the end, where those above are left whole.
const SEEDS_FROZEN: &str = "300";

/// Random graphs of each size beside every single pair, and for how many simulated seconds nothing
/// may change in each.
const GRAPHS_CI: &str = "20";
const GRAPHS_QUIET: &str = "600";

/// The async client is compiled only on demand; the gates always demand it.
const FEATURES: &str = "evs/tokio";

/// Every gate, or those whose names hold a text.
pub(crate) fn ci(only: Option<&str>) -> ExitCode {
    let mut steps = vec![
        Step::new("debian packages", debian::ensure),
        Step::new("format", format),
        Step::new("tidy", tidy::run),
        Step::new("clippy", clippy),
        Step::new("docs", docs),
        Step::new("lock of the fuzz targets", fuzz_lock),
        Step::new("tests", tests),
        Step::new("doc tests", doc_tests),
        Step::new("loom", loom),
        Step::new("simulation", || sim(&["--runs", SEEDS_CI])),
        Step::new("simulation, frozen", || sim(&["--runs", SEEDS_FROZEN, "--frozen-graphs"])),
        Step::new("simulation, graphs", || graphs(GRAPHS_CI)),
        Step::new("mutations", || mutate::run(&mutate::Options::quick())),
        Step::new("c library", abi),
        Step::new("installed tree", installed_tree),
        Step::new("packages", package::gate),
        Step::new("instruction counts", counts::gate),
        Step::new("network namespaces", netns),
        Step::new("bench", bench::gate),
        Step::new("demo", demo),
    ];
    steps.retain(|step| only.is_none_or(|only| step.name().contains(only)));
    if steps.is_empty() {
        eprintln!("error: no gate's name holds {:?}", only.unwrap_or_default());
        return ExitCode::FAILURE;
    }
    steps::run(steps)
}

/// The inner loop.
pub(crate) fn quick() -> ExitCode {
    steps::run(vec![
        Step::new("format", format),
        Step::new("tidy", tidy::run),
        Step::new("clippy", clippy),
        Step::new("unit tests", unit_tests),
        Step::new("simulation", || sim(&["--runs", SEEDS_QUICK])),
    ])
}

/// Runs the simulator, optimised; its assertions stay on.
pub(crate) fn sim<S: AsRef<str>>(args: &[S]) -> Result<u64> {
    let mut command = cargo(["run", "--quiet", "--release", "--locked", "--package", "evs-sim"]);
    command.args(["--bin", "evs-sim", "--"]).args(args.iter().map(AsRef::as_ref));
    cargo::run(&mut command)?;
    Ok(1)
}

/// Networks in which not all hear each other: every pair cut, and so many random ones of each size.
pub(crate) fn graphs(random: &str) -> Result<u64> {
    sim(&["--graphs", random, "--quiet", GRAPHS_QUIET])
}

/// The rings in shared memory, in all orders. In a directory of its own, for everything is compiled
/// with another flag.
pub(crate) fn loom() -> Result<u64> {
    let mut command = cargo(["test", "--locked", "--release", "--package", "evs-ipc", "--lib"]);
    command.arg("--target-dir").arg(cargo::target_dir()?.join("loom"));
    cargo::run_tests(command.arg("loom_tests").env("RUSTFLAGS", "--cfg loom"))
}

/// The C interface, from C: symbols, layout, each call and each error, on real daemons.
pub(crate) fn abi() -> Result<u64> {
    debian::ensure()?;
    cargo::run_tests(cargo(test_runner()).args(["--locked", "--package", LIBEVS]))
}

/// Real daemons in network namespaces. One test at a time: they measure.
pub(crate) fn netns() -> Result<u64> {
    if !debian::is_root() {
        bail!("network namespaces can only be made by root: run this as root");
    }
    debian::ensure()?;
    let mut command = cargo(["test", "--locked", "--package", "evs-testkit"]);
    command.args(["--features", "netns", "--test", "netns", "--", "--test-threads", "1"]);
    cargo::run_tests(&mut command)
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

/// The fuzz targets are a workspace of their own, which no other gate resolves: whoever gives a
/// crate they use another dependency has to renew this lock file, too.
fn fuzz_lock() -> Result<u64> {
    let mut command = cargo(["metadata", "--quiet", "--locked", "--format-version", "1"]);
    command.args(["--manifest-path", "fuzz/Cargo.toml"]).stdout(Stdio::null());
    cargo::run(&mut command)?;
    Ok(1)
}

/// All but those of the C library, which have a step of their own.
fn tests() -> Result<u64> {
    let mut command = cargo(test_runner());
    command.args(["--locked", "--workspace", "--exclude", LIBEVS, "--features", FEATURES]);
    cargo::run_tests(&mut command)
}

/// Nextest where it is installed, otherwise what Cargo brings; both run every test.
fn test_runner() -> &'static [&'static str] {
    let nextest = cargo(["nextest", "--version"]).output().is_ok_and(|o| o.status.success());
    if nextest {
        &["nextest", "run", "--no-fail-fast"]
    } else {
        &["test", "--all-targets", "--no-fail-fast"]
    }
}

fn doc_tests() -> Result<u64> {
    let mut command = cargo(["test", "--doc", "--locked", "--workspace", "--features", FEATURES]);
    cargo::run_tests(&mut command)
}

fn unit_tests() -> Result<u64> {
    let mut command = cargo(["test", "--lib", "--bins", "--locked", "--workspace"]);
    cargo::run_tests(command.args(["--features", FEATURES]))
}

/// Installs into an empty directory, and looks whether everything is there and works.
fn installed_tree() -> Result<u64> {
    let tree = cargo::target_dir()?.join("ci-install");
    if tree.exists() {
        std::fs::remove_dir_all(&tree).with_context(|| tree.display().to_string())?;
    }
    install::install(&tree, &crate::libevs::Layout::below(std::path::Path::new("/usr")))?;
    install::check(&tree)
}

/// The demonstration, as a stranger would run it.
fn demo() -> Result<u64> {
    cargo::run(&mut cargo(["run", "--quiet", "--release", "--package", "xtask", "--", "demo"]))?;
    Ok(1)
}

/// The package whose tests compile C.
const LIBEVS: &str = "libevs";
