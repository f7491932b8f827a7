//! `cargo xtask package`: Debian packages, from the tree that `cargo xtask install` makes.
//!
//! Responsible for: calling Debian's own tools (`debian/` says what goes where), and the gate that
//! installs, uses, upgrades and purges the packages in a fresh system (`trial.rs`).
//! Not responsible for: what is installed (`install.rs`).

mod base;
mod copyright;
mod machine;
mod path;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cargo::{self, root};
use crate::libevs::Layout;
use crate::{debian, install};

/// What is built; beside them Debian's tools put the symbols for debuggers (`NAME-dbgsym`).
const PACKAGES: [&str; 4] = ["evs-tools", "evsd", "libevs-dev", "libevs4"];

/// Builds the packages into `debian` below Cargo's target directory.
///
/// # Errors
/// Something cannot be built; a tool is missing.
pub(crate) fn run() -> Result<()> {
    debian::ensure()?;
    for package in build(&cargo::target_dir()?.join("debian"))? {
        println!("{}", package.display());
    }
    Ok(())
}

/// The gate: the packages are the same when they are built again, Debian's own critic has nothing
/// to say, and they live through their life in a fresh system.
///
/// # Errors
/// The first thing that is not as it should be.
pub(crate) fn gate() -> Result<u64> {
    if !debian::is_root() {
        anyhow::bail!("a fresh system can only be made by root: run this as root");
    }
    let dir = cargo::target_dir()?.join("debian");
    let packages = build(&dir)?;
    let again = build(&dir.join("again"))?;
    for (package, again) in packages.iter().zip(&again) {
        let same = fs::read(package)? == fs::read(again)?;
        anyhow::ensure!(same, "{} differs when it is built again", package.display());
    }
    criticise(&packages)?;
    let linked = copyright::check(&packages)?;
    Ok(2 * packages.len() as u64 + linked + trial::run(&dir)? + path::run(&dir)?)
}

/// Builds the packages, and returns them in order of their names.
fn build(dir: &Path) -> Result<Vec<PathBuf>> {
    let work = dir.join("build");
    clear(dir, &work)?;
    let tree = work.join("tree");
    let mut layout = Layout::below(Path::new("/usr"));
    let mut architecture = Command::new("dpkg-architecture");
    let triplet = cargo::output(architecture.args(["-q", "DEB_HOST_MULTIARCH"]))?;
    layout.libdir.push(triplet.trim());
    // Beside libcorosync-common-dev, which has two of the headers.
    layout.includedir.push("libevs");
    install::install(&tree, &layout)?;
    copy_tree(&root().join("debian"), &work.join("debian"))?;
    let own = fs::read_to_string(root().join("debian/copyright"))?;
    fs::write(work.join("debian/copyright"), copyright::complete(&own)?)?;
    copy_tree_file(&root().join("CHANGELOG.md"), &work.join("CHANGELOG.md"))?;
    let mut command = Command::new("dpkg-buildpackage");
    // What it was compiled with is Cargo's affair, not a package's.
    command.args(["--build=binary", "--no-sign", "--no-check-builddeps"]);
    let log = work.join("log");
    let out = fs::File::create(&log).with_context(|| log.display().to_string())?;
    command.current_dir(&work).env("EVS_TREE", &tree).stderr(out.try_clone()?).stdout(out);
    cargo::run(&mut command).with_context(|| format!("see {}", log.display()))?;
    PACKAGES.iter().map(|name| find(dir, name)).collect()
}

/// The file of a package.
fn find(dir: &Path, name: &str) -> Result<PathBuf> {
    let begin = format!("{name}_");
    let found = debs(dir)?.into_iter().find(|path| file_name(path).starts_with(&begin));
    found.with_context(|| format!("no package {name} was built in {}", dir.display()))
}

/// Removes what was built before, so that nothing old is taken for new.
fn clear(dir: &Path, work: &Path) -> Result<()> {
    if work.exists() {
        fs::remove_dir_all(work).with_context(|| work.display().to_string())?;
    }
    fs::create_dir_all(work).with_context(|| work.display().to_string())?;
    debs(dir)?.iter().try_for_each(fs::remove_file)?;
    Ok(())
}

fn debs(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|p| p.extension().is_some_and(|e| e == "deb")).collect())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = entry?.path();
        let to = to.join(file_name(&path));
        if path.is_dir() { copy_tree(&path, &to)? } else { copy_tree_file(&path, &to)? }
    }
    Ok(())
}

fn copy_tree_file(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(())
}

/// Errors, warnings and hints are failures; what is overridden has its reason beside it.
fn criticise(packages: &[PathBuf]) -> Result<()> {
    let mut command = Command::new("lintian");
    command.args(["--allow-root", "--display-info", "--fail-on", "error,warning,info"]);
    cargo::run(command.args(packages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_have_the_version_of_what_is_in_them() {
        let changelog = fs::read_to_string(root().join("debian/changelog")).expect("there");
        let version = changelog.split(['(', ')']).nth(1).expect("a version in brackets");
        let (upstream, _revision) = version.rsplit_once('-').expect("a revision of the package");
        assert_eq!(upstream, env!("CARGO_PKG_VERSION"));
    }
}
