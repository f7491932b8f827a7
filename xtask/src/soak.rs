//! `cargo xtask soak`: what the gates do a few times, often: the daemon is killed and started again
//! while a C program is connected, and nothing may be left of it.

use anyhow::Result;

use crate::cargo::{self, cargo};

/// How often.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// How often the daemon is killed and started again.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    rounds: u32,
}

/// Time for one round, in seconds, until the program takes itself for hung.
const ROUND_SECONDS: u32 = 5;

/// The test of the C interface that makes the rounds, and counts descriptors and memory.
const TEST: &str = "plain::every_call_ends_when_the_daemon_does";

/// Makes the rounds.
///
/// # Errors
/// Something was left behind, a call did not end, or a new session did not work.
pub(crate) fn run(options: &Options) -> Result<()> {
    let seconds = options.rounds.saturating_mul(ROUND_SECONDS).saturating_add(240);
    let mut command = cargo(["test", "--locked", "--package", "libevs", "--test", "conformance"]);
    command.args(["--", "--exact", TEST, "--nocapture"]);
    command.env("EVS_TEST_ROUNDS", options.rounds.to_string());
    command.env("EVS_TEST_SECONDS", seconds.to_string());
    let passed = cargo::run_tests(&mut command)?;
    anyhow::ensure!(passed == 1, "{passed} tests ran, not the one that makes the rounds");
    Ok(())
}
