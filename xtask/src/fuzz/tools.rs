//! What fuzzing needs besides the stable toolchain: a nightly one, and cargo-fuzz.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cargo;

/// The version of cargo-fuzz that is used; another is not looked for.
const CARGO_FUZZ: &str = "0.13.2";

/// Builds all targets; returns the directory in which they are.
///
/// # Errors
/// There is no nightly toolchain, cargo-fuzz cannot be installed, or something does not compile.
pub(super) fn build() -> Result<PathBuf> {
    let version = nightly().arg("--version").output();
    if !version.is_ok_and(|output| output.status.success()) {
        bail!("libFuzzer needs a nightly toolchain: run `rustup toolchain install nightly`");
    }
    let cargo_fuzz = cargo_fuzz()?;
    let dir = super::below("build")?;
    let mut command = Command::new(cargo_fuzz);
    // What is fuzzed has no unsafe code, so there is nothing for a sanitizer to see.
    command.args(["fuzz", "build", "--fuzz-dir", "fuzz", "--sanitizer", "none", "--target-dir"]);
    command.arg(&dir).current_dir(cargo::root()).env("RUSTUP_TOOLCHAIN", "nightly");
    // cargo-fuzz asks these for the toolchain, and they name the one that runs this program.
    command.env_remove("CARGO").env_remove("RUSTC");
    cargo::run(&mut command)?;
    Ok(dir.join(host()?).join("release"))
}

/// The program, installed below the target directory if it is not there.
fn cargo_fuzz() -> Result<PathBuf> {
    let root = cargo::target_dir()?.join("tools");
    let program = root.join("bin/cargo-fuzz");
    if !is_right(&program) {
        eprintln!("cargo-fuzz {CARGO_FUZZ} is being installed into {}", root.display());
        let mut install = cargo::cargo(["install", "cargo-fuzz", "--locked", "--force"]);
        install.args(["--version", CARGO_FUZZ, "--root"]).arg(&root);
        cargo::run(&mut install).context("cargo-fuzz cannot be installed")?;
    }
    Ok(program)
}

fn is_right(program: &Path) -> bool {
    let output = Command::new(program).args(["fuzz", "--version"]).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().ends_with(CARGO_FUZZ))
}

/// Cargo of the nightly toolchain, by way of rustup.
fn nightly() -> Command {
    let mut command = Command::new("cargo");
    command.arg("+nightly").env_remove("RUSTUP_TOOLCHAIN").current_dir(cargo::root());
    command
}

/// The platform that is built for.
fn host() -> Result<String> {
    let said = cargo::output(nightly().args(["--version", "--verbose"]))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("cargo does not say for which platform it is")
}
