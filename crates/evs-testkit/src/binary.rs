//! The binaries of the daemon and of the command.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, bail};

/// The daemon's binary of the profile that this process was built with; it is built if need be.
/// `EVSD` in the environment names another.
///
/// # Errors
/// It cannot be built.
pub fn evsd_binary() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if let Some(named) = std::env::var_os("EVSD") {
        return Ok(named.into());
    }
    let built = BUILT.get_or_init(|| build("evsd").map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

/// The binary of the command `evs`, as [`evsd_binary`] is the daemon's.
///
/// # Errors
/// It cannot be built.
pub fn evs_binary() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build("evs").map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

/// A build that claims to speak the next version of every format, besides the present one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NextVersion {
    /// The daemon.
    pub evsd: PathBuf,
    /// The command.
    pub evs: PathBuf,
}

impl NextVersion {
    /// The variable that, set in the environment of a binary of this build, has it forget the
    /// versions before the next one.
    pub const ALONE: &str = "EVS_NEXT_VERSION_ALONE";

    /// Builds it with the profile of this process, into a directory of its own beside the others.
    /// What it has in common with the ordinary build is not compiled again.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn build() -> anyhow::Result<Self> {
        static BUILT: OnceLock<Result<NextVersion, String>> = OnceLock::new();
        let build = || -> anyhow::Result<Self> {
            let (profile_dir, profile) = own_profile()?;
            let target_dir = profile_dir.parent().context("a profile has a target directory")?;
            let own = target_dir.join("next-version");
            let shared = format!("build.build-dir={target_dir:?}");
            let features = "evsd/next-version,evs-cli/next-version";
            let mut command = cargo();
            command.args(["build", "--quiet", "--locked", "--package", "evsd"]);
            command.args(["--package", "evs-cli", "--bins", "--profile", &profile]);
            command.args(["--features", features, "--config", &shared]);
            run(command.arg("--target-dir").arg(&own), "the next version")?;
            let dir = own.join(profile_dir.file_name().context("a profile has a name")?);
            Ok(Self { evsd: dir.join("evsd"), evs: dir.join("evs") })
        };
        let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
        built.clone().map_err(anyhow::Error::msg)
    }
}

fn build(binary: &str) -> anyhow::Result<PathBuf> {
    let (profile_dir, profile) = own_profile()?;
    let package = if binary == "evs" { "evs-cli" } else { binary };
    let mut command = cargo();
    command.args(["build", "--quiet", "--package", package, "--bin", binary]);
    run(command.args(["--profile", &profile]), binary)?;
    Ok(profile_dir.join(binary))
}

fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    command
}

fn run(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let status = command.status().context("cargo cannot be run")?;
    if !status.success() {
        bail!("{what} cannot be built: {status}");
    }
    Ok(())
}

/// The directory of the profile that this process was built with, and the profile's name.
fn own_profile() -> anyhow::Result<(PathBuf, String)> {
    let me = std::env::current_exe().context("the own binary is unknown")?;
    let profile_dir = profile_dir(&me).context("not run from a target directory of cargo")?;
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    Ok((profile_dir.to_owned(), profile.to_owned()))
}

/// `target/debug` for `target/debug/xtask` and for `target/debug/deps/some_test-0123`.
fn profile_dir(binary: &Path) -> Option<&Path> {
    let dir = binary.parent()?;
    if dir.ends_with("deps") || dir.ends_with("examples") { dir.parent() } else { Some(dir) }
}
