//! `cargo xtask install`: everything that an installed system needs, below a directory.
//!
//! Responsible for: where each file goes. Not responsible for: users, groups, keys, starting
//! anything; README.md says what to do after.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::build;
use crate::cargo::root;
use crate::{libevs, manual};

/// Where to.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The root of the tree to install into; for a package this is not the real root.
    #[arg(long, value_name = "DIR", default_value = "/")]
    destdir: PathBuf,

    /// Where the installed system will find it; an absolute path.
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,
}

/// Builds and installs.
///
/// # Errors
/// Something cannot be built or written.
pub(crate) fn run(options: &Options) -> Result<()> {
    anyhow::ensure!(options.prefix.is_absolute(), "--prefix must be an absolute path");
    install(&options.destdir, &options.prefix)?;
    let at = options.destdir.join(below(&options.prefix));
    println!("installed at {}", at.display());
    Ok(())
}

/// Builds, and installs below `destdir` for a system that will see it at `prefix`.
///
/// # Errors
/// Something cannot be built or written.
pub(crate) fn install(destdir: &Path, prefix: &Path) -> Result<()> {
    let built = build::release()?;
    let at = destdir.join(below(prefix));
    copy(&built.evsd, &at.join("sbin/evsd"), 0o755)?;
    copy(&built.evs, &at.join("bin/evs"), 0o755)?;
    libevs::install(&built.libevs, destdir, prefix)?;
    manual::install(&at.join("share/man"))?;
    copy(
        &root().join("crates/evsd/evsd.toml"),
        &config_dir(destdir).join("evsd.toml.example"),
        0o644,
    )?;
    let unit = fs::read_to_string(root().join("xtask/install/evsd.service"))?;
    let unit = unit.replace("@prefix@", &prefix.display().to_string());
    write(&at.join("lib/systemd/system/evsd.service"), &unit)?;
    copy(&root().join("xtask/install/evs.sysusers"), &at.join("lib/sysusers.d/evs.conf"), 0o644)?;
    for name in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        copy(&root().join(name), &at.join("share/doc/evs").join(name), 0o644)?;
    }
    for name in ["contract.md", "protocol.md", "wire.md"] {
        copy(&root().join("docs").join(name), &at.join("share/doc/evs").join(name), 0o644)?;
    }
    Ok(())
}

/// The configuration is the system's, whatever the prefix: evsd looks there.
fn config_dir(destdir: &Path) -> PathBuf {
    destdir.join("etc/evs")
}

fn below(prefix: &Path) -> &Path {
    prefix.strip_prefix("/").unwrap_or(prefix)
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    create_parent(to)?;
    // A running program's file cannot be written, but it can be replaced.
    let _ = fs::remove_file(to);
    fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}

fn write(to: &Path, text: &str) -> Result<()> {
    create_parent(to)?;
    fs::write(to, text).with_context(|| to.display().to_string())
}

fn create_parent(file: &Path) -> Result<()> {
    let dir = file.parent().context("a file stands in a directory")?;
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())
}
