//! The daemon's binary.

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
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

fn build() -> anyhow::Result<PathBuf> {
    let me = std::env::current_exe().context("the own binary is unknown")?;
    let profile_dir = profile_dir(&me).context("not run from a target directory of cargo")?;
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "evsd", "--bin", "evsd", "--profile", profile])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .status()
        .context("cargo cannot be run")?;
    if !status.success() {
        bail!("evsd cannot be built: {status}");
    }
    Ok(profile_dir.join("evsd"))
}

/// `target/debug` for `target/debug/xtask` and for `target/debug/deps/some_test-0123`.
fn profile_dir(binary: &Path) -> Option<&Path> {
    let dir = binary.parent()?;
    if dir.ends_with("deps") || dir.ends_with("examples") { dir.parent() } else { Some(dir) }
}
