//! Building what runs: optimised, whatever this program was built with.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::cargo::{self, cargo};
use crate::{debian, libevs};

/// What was built.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) evsd: PathBuf,
    pub(crate) evs: PathBuf,
    /// The static library, from which the shared one is linked.
    pub(crate) libevs: PathBuf,
}

/// Builds the daemon, the command and the C library.
///
/// # Errors
/// Something does not compile.
pub(crate) fn release() -> Result<Built> {
    let mut command = cargo(["build", "--release", "--locked"]);
    cargo::run(command.args(["-p", "evsd", "-p", "evs-cli", "-p", "libevs"]))?;
    let dir = cargo::target_dir()?.join("release");
    let built =
        Built { evsd: dir.join("evsd"), evs: dir.join("evs"), libevs: dir.join("libevs_c.a") };
    for file in [&built.evsd, &built.evs, &built.libevs] {
        if !file.is_file() {
            bail!("cargo built no {}", file.display());
        }
    }
    Ok(built)
}

/// # Errors
/// There is no C compiler; the error says where to get one.
pub(crate) fn need_c_compiler() -> Result<()> {
    match debian::find("cc") {
        Some(_) => Ok(()),
        None => bail!("no C compiler `cc`: install one (Debian: gcc, libc6-dev)"),
    }
}

/// Links the shared library beside the other files of the build, and returns its directory.
///
/// # Errors
/// There is no C compiler, or it fails.
pub(crate) fn shared_library(built: &Built) -> Result<PathBuf> {
    need_c_compiler()?;
    let dir = built.libevs.with_file_name("libevs");
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    libevs::link(&built.libevs, &dir)?;
    Ok(dir)
}
