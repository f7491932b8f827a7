//! A fresh Debian system as a directory: made by debootstrap once, kept for the next time, and
//! never written to by what runs in it (`machine.rs` lays a layer over it).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cargo;

/// Besides what every system has: an init, what the packages' users have to compile with, and the
/// headers that those of libevs stand beside.
const INCLUDE: &str = "systemd,gcc,libc6-dev,pkg-config,libcpg-dev,procps,iproute2";

/// What would look for updates, which a system without a network has no use for.
const TIMERS: [&str; 2] = ["apt-daily.timer", "apt-daily-upgrade.timer"];

/// The directory, which is made now if there is none for this release of Debian and this list.
///
/// # Errors
/// This machine's source of packages cannot be found or reached.
pub(super) fn ensure(dir: &Path) -> Result<PathBuf> {
    let (suite, mirror) = source()?;
    let recipe = format!("{suite} {INCLUDE} {}\n", TIMERS.join(","));
    let (base, made_by) = (dir.join("base"), dir.join("base.recipe"));
    if base.is_dir() && fs::read_to_string(&made_by).is_ok_and(|text| text == recipe) {
        return Ok(base);
    }
    println!("making a fresh system, {suite}");
    let part = dir.join("base.part");
    for old in [&base, &part] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| old.display().to_string())?;
        }
    }
    let include = format!("--include={INCLUDE}");
    let mut command = Command::new("debootstrap");
    command.args(["--variant=minbase", &include, &suite]).arg(&part).arg(mirror);
    let log = dir.join("base.log");
    let out = fs::File::create(&log).with_context(|| log.display().to_string())?;
    cargo::run(command.stdout(out)).with_context(|| format!("see {}", log.display()))?;
    let root = format!("--root={}", part.display());
    cargo::run(Command::new("systemd-machine-id-setup").arg(&root))?;
    cargo::run(Command::new("systemctl").args([&root, "mask"]).args(TIMERS))?;
    fs::rename(&part, &base)?;
    fs::write(&made_by, recipe)?;
    Ok(base)
}

/// The release that this machine runs, and where it has its packages from.
fn source() -> Result<(String, String)> {
    let release = fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let suite = suite.context("/etc/os-release names no release of Debian")?.trim_matches('"');
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)"]);
    let targets = cargo::output(command.arg("Created-By: Packages"))?;
    let begin = format!("{suite} main ");
    let mirror = targets.lines().find_map(|line| line.strip_prefix(&begin));
    let mirror = mirror.with_context(|| format!("apt knows no source of {suite}"))?;
    Ok((suite.to_owned(), mirror.to_owned()))
}
