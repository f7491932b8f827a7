//! Debian packages that the gates need beyond a compiler for Rust.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::cargo;

/// A program, or the path of another file, and the package that brings it.
struct Need {
    program: &'static str,
    package: &'static str,
}

const NEEDS: [Need; 11] = [
    Need { program: "/usr/include/stdio.h", package: "libc6-dev" },
    Need { program: "clang", package: "clang" },
    Need { program: "gcc", package: "gcc" },
    Need { program: "g++", package: "g++" },
    Need { program: "ip", package: "iproute2" },
    Need { program: "man", package: "man-db" },
    Need { program: "mandoc", package: "mandoc" },
    Need { program: "nft", package: "nftables" },
    Need { program: "pkg-config", package: "pkg-config" },
    Need { program: "readelf", package: "binutils" },
    Need { program: "valgrind", package: "valgrind" },
];

/// Sees to it that everything is there: installs what is missing if this process is root.
///
/// # Errors
/// Something is missing and cannot be installed; one line names all of it.
pub(crate) fn ensure() -> Result<u64> {
    let missing: Vec<_> =
        NEEDS.iter().filter(|need| find(need.program).is_none()).map(|n| n.package).collect();
    if missing.is_empty() {
        return Ok(1);
    }
    if !is_root() || find("apt-get").is_none() {
        bail!("missing Debian packages: {} (root installs them by itself)", missing.join(" "));
    }
    println!("installing {}", missing.join(" "));
    cargo::run(apt_get().arg("update"))?;
    cargo::run(apt_get().args(["install", "-y", "--no-install-recommends"]).args(&missing))?;
    match NEEDS.iter().find(|need| find(need.program).is_none()) {
        None => Ok(1),
        Some(need) => bail!("{} brought no program {}", need.package, need.program),
    }
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Where a program is, also where only root looks; an absolute path is itself.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(|dir| Path::new(dir).to_owned());
    env::split_paths(&path).chain(more).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
