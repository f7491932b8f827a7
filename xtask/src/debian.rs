//! Debian packages that the gates need beyond a compiler for Rust.

use std::collections::BTreeSet;
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

/// The font of the bench's plots.
pub(crate) const FONT: &str = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";

const NEEDS: [Need; 34] = [
    Need { program: "/usr/include/corosync/cpg.h", package: "libcpg-dev" },
    Need { program: "/usr/include/stdio.h", package: "libc6-dev" },
    Need { program: FONT, package: "fonts-dejavu-core" },
    Need { program: "cc", package: "gcc" },
    Need { program: "clang", package: "clang" },
    Need { program: "clang++", package: "clang" },
    Need { program: "corosync", package: "corosync" },
    Need { program: "debootstrap", package: "debootstrap" },
    Need { program: "dh", package: "debhelper" },
    Need { program: "dpkg-architecture", package: "dpkg-dev" },
    Need { program: "dpkg-buildpackage", package: "dpkg-dev" },
    Need { program: "g++", package: "g++" },
    Need { program: "gcc", package: "gcc" },
    Need { program: "git", package: "git" },
    Need { program: "ip", package: "iproute2" },
    Need { program: "lintian", package: "lintian" },
    Need { program: "man", package: "man-db" },
    Need { program: "mandoc", package: "mandoc" },
    Need { program: "nft", package: "nftables" },
    Need { program: "nm", package: "binutils" },
    Need { program: "nsenter", package: "util-linux" },
    Need { program: "pkg-config", package: "pkg-config" },
    Need { program: "prometheus", package: "prometheus" },
    Need { program: "readelf", package: "binutils" },
    Need { program: "setpriv", package: "util-linux" },
    Need { program: "stdbuf", package: "coreutils" },
    Need { program: "strip", package: "binutils" },
    Need { program: "systemctl", package: "systemd" },
    Need { program: "systemd-machine-id-setup", package: "systemd" },
    Need { program: "tc", package: "iproute2" },
    Need { program: "timeout", package: "coreutils" },
    Need { program: "true", package: "coreutils" },
    Need { program: "unshare", package: "util-linux" },
    Need { program: "valgrind", package: "valgrind" },
];

/// Sees to it that everything is there: installs what is missing if this process is root.
///
/// # Errors
/// Something is missing and cannot be installed; one line names all of it.
pub(crate) fn ensure() -> Result<u64> {
    let missing = NEEDS.iter().filter(|need| find(need.program).is_none());
    let missing: BTreeSet<_> = missing.map(|need| need.package).collect();
    if missing.is_empty() {
        return Ok(1);
    }
    if !is_root() || find("apt-get").is_none() {
        bail!("missing Debian packages: {} (root installs them by itself)", listed(&missing));
    }
    println!("installing {}", listed(&missing));
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

fn listed(packages: &BTreeSet<&str>) -> String {
    packages.iter().copied().collect::<Vec<_>>().join(" ")
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What comes with the compiler, or with a Debian that can install packages.
    const THERE: [&str; 4] = ["apt-get", "cargo", "dpkg-deb", "rustc"];

    /// The words that follow a text in the code of a directory, up to the next quotation mark.
    fn words_after(text: &str, dir: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).expect("a directory of the tree") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                words_after(text, &path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let code = fs::read_to_string(&path).expect("text");
                let after = code.split(text).skip(1);
                found.extend(after.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
            }
        }
    }

    #[test]
    fn every_program_that_the_gates_run_is_brought_by_a_package() {
        let mut programs = BTreeSet::new();
        for dir in ["crates", "xtask"] {
            words_after(concat!("Command::new", "(\""), &cargo::root().join(dir), &mut programs);
        }
        assert!(programs.len() > 10, "{programs:?}");
        programs.retain(|program| !THERE.contains(&program.as_str()));
        programs.retain(|program| NEEDS.iter().all(|need| need.program != program));
        assert!(programs.is_empty(), "no package brings {programs:?}");
    }
}
