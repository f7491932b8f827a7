//! `cargo xtask install`: everything that an installed system needs, below a directory.
//!
//! Responsible for: where each file goes. Not responsible for: users, groups, keys, starting
//! anything; README.md says what to do after.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::build;
use crate::cargo::{self, root};
use crate::libevs::Layout;
use crate::{libevs, manual, tidy};

/// Where to.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The root of the tree to install into; for a package this is not the real root.
    #[arg(long, value_name = "DIR", default_value = "/")]
    destdir: PathBuf,

    /// Where the installed system will find it; an absolute path.
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,

    /// Where the C library goes; left out, `lib` below the prefix.
    #[arg(long, value_name = "DIR")]
    libdir: Option<PathBuf>,

    /// Where its headers go; left out, `include` below the prefix.
    #[arg(long, value_name = "DIR")]
    includedir: Option<PathBuf>,
}

/// Builds and installs.
///
/// # Errors
/// Something cannot be built or written.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut layout = Layout::below(&options.prefix);
    layout.libdir = options.libdir.clone().unwrap_or(layout.libdir);
    layout.includedir = options.includedir.clone().unwrap_or(layout.includedir);
    for (name, path) in
        [("prefix", &layout.prefix), ("libdir", &layout.libdir), ("includedir", &layout.includedir)]
    {
        anyhow::ensure!(path.is_absolute(), "--{name} must be an absolute path");
    }
    install(&options.destdir, &layout)?;
    let at = below(&options.destdir, &options.prefix);
    println!("installed at {}", at.display());
    Ok(())
}

/// Builds, and installs below `destdir` for a system that will see it where the layout says.
///
/// # Errors
/// Something cannot be built or written.
pub(crate) fn install(destdir: &Path, layout: &Layout) -> Result<()> {
    let built = build::release()?;
    let at = below(destdir, &layout.prefix);
    copy(&built.evsd, &at.join("sbin/evsd"), 0o755)?;
    copy(&built.evs, &at.join("bin/evs"), 0o755)?;
    libevs::install(&built.libevs, destdir, layout)?;
    manual::install(&at.join("share/man"))?;
    copy(
        &root().join("crates/evs-config/evsd.toml"),
        &config_dir(destdir).join("evsd.toml.example"),
        0o644,
    )?;
    let unit = fs::read_to_string(root().join("xtask/install/evsd.service"))?;
    let unit = unit.replace("@prefix@", &layout.prefix.display().to_string());
    write(&at.join("lib/systemd/system/evsd.service"), &unit)?;
    copy(&root().join("xtask/install/evs.sysusers"), &at.join("lib/sysusers.d/evs.conf"), 0o644)?;
    copy(&root().join("xtask/install/evs.tmpfiles"), &at.join("lib/tmpfiles.d/evs.conf"), 0o644)?;
    for (shell, file) in COMPLETIONS {
        write(&at.join(file), &evs_cli::completions(shell))?;
    }
    let doc = at.join("share/doc/evs");
    copy(&root().join("CHANGELOG.md"), &doc.join("CHANGELOG.md"), 0o644)?;
    for document in documents()? {
        copy(&root().join(&document), &doc.join(&document), 0o644)?;
    }
    Ok(())
}

/// README.md and whatever it leads to, from page to page: an installed document names no other one
/// in vain. The paths are those in the sources.
fn documents() -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut left = vec![PathBuf::from("README.md")];
    while let Some(document) = left.pop() {
        if document.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(root().join(&document));
            let text = text.with_context(|| document.display().to_string())?;
            let linked = tidy::links(&text).map(|(_, target)| tidy::linked(&document, target));
            left.extend(linked.filter(|linked| !found.contains(linked)));
        }
        found.insert(document);
    }
    Ok(found)
}

/// Looks at a tree that was installed for `/usr`: whether every file is there, the commands run, a
/// program in C compiles, and the manual pages can be read. Returns how many things it looked at.
///
/// # Errors
/// The first thing that is not as it should be.
pub(crate) fn check(tree: &Path) -> Result<u64> {
    for file in FILES {
        anyhow::ensure!(tree.join(file).exists(), "{file} was not installed");
    }
    for command in ["usr/sbin/evsd", "usr/bin/evs"] {
        cargo::output(Command::new(tree.join(command)).arg("--version"))?;
    }
    check_c(tree)?;
    let mut pages = 0;
    for section in ["man1", "man3", "man5", "man8"] {
        let dir = tree.join("usr/share/man").join(section);
        for page in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            check_page(&page?.path())?;
            pages += 1;
        }
    }
    println!("{} files, 2 commands and {pages} manual pages are in order", FILES.len());
    Ok(FILES.len() as u64 + 3 + pages)
}

/// The example of README.md is compiled against the tree as its reader would.
fn check_c(tree: &Path) -> Result<()> {
    let pkg_config = |what: &str| {
        let mut command = Command::new("pkg-config");
        command.args([what, "libevs"]).env("PKG_CONFIG_SYSROOT_DIR", tree);
        cargo::output(command.env("PKG_CONFIG_PATH", tree.join("usr/lib/pkgconfig")))
    };
    let (flags, libraries) = (pkg_config("--cflags")?, pkg_config("--libs")?);
    let mut command = Command::new("cc");
    command.args(["-Wall", "-Wextra", "-Werror", "-o"]).arg(tree.join("hello"));
    command.arg(tree.join("usr/share/doc/libevs/examples/hello.c"));
    cargo::run(command.args(flags.split_whitespace()).args(libraries.split_whitespace()))
}

/// A page is formatted without a warning, and a second reader finds nothing to say of it.
fn check_page(page: &Path) -> Result<()> {
    cargo::run(Command::new("mandoc").args(["-T", "lint"]).arg(page))?;
    let mut command = Command::new("man");
    command.args(["--warnings", "--encoding=UTF-8", "--local-file"]).arg(page);
    let output = command.env("MANWIDTH", "80").output().context("cannot run man")?;
    let warnings = String::from_utf8_lossy(&output.stderr);
    let page = page.display();
    anyhow::ensure!(output.status.success() && warnings.is_empty(), "{page}: {warnings}");
    Ok(())
}

/// Where shells look for what they complete.
const COMPLETIONS: [(evs_cli::Shell, &str); 3] = [
    (evs_cli::Shell::Bash, "share/bash-completion/completions/evs"),
    (evs_cli::Shell::Fish, "share/fish/vendor_completions.d/evs.fish"),
    (evs_cli::Shell::Zsh, "share/zsh/site-functions/_evs"),
];

/// What an installed system must have.
const FILES: [&str; 30] = [
    "etc/evs/evsd.toml.example",
    "usr/bin/evs",
    "usr/include/corosync/corotypes.h",
    "usr/include/corosync/evs.h",
    "usr/include/corosync/hdb.h",
    "usr/include/evs/evs_ext.h",
    "usr/lib/libevs.a",
    "usr/lib/libevs.so",
    "usr/lib/libevs.so.4",
    "usr/lib/pkgconfig/libevs.pc",
    "usr/lib/systemd/system/evsd.service",
    "usr/lib/sysusers.d/evs.conf",
    "usr/lib/tmpfiles.d/evs.conf",
    "usr/sbin/evsd",
    "usr/share/bash-completion/completions/evs",
    "usr/share/doc/evs/LICENSE-APACHE",
    "usr/share/doc/evs/LICENSE-MIT",
    "usr/share/doc/evs/README.md",
    "usr/share/doc/evs/docs/evs.rules.yml",
    "usr/share/doc/evs/docs/logs.md",
    "usr/share/doc/evs/docs/operating.md",
    "usr/share/fish/vendor_completions.d/evs.fish",
    "usr/share/man/man1/evs-bench.1",
    "usr/share/man/man1/evs.1",
    "usr/share/man/man3/evs_initialize.3",
    "usr/share/man/man3/evs_typed_initialize.3",
    "usr/share/man/man5/evsd.toml.5",
    "usr/share/man/man8/evs_overview.8",
    "usr/share/man/man8/evsd.8",
    "usr/share/zsh/site-functions/_evs",
];

/// The configuration is the system's, whatever the prefix: evsd looks there.
fn config_dir(destdir: &Path) -> PathBuf {
    destdir.join("etc/evs")
}

/// Where a path of the installed system is now.
pub(crate) fn below(destdir: &Path, path: &Path) -> PathBuf {
    destdir.join(path.strip_prefix("/").unwrap_or(path))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_reads_is_installed_with_all_that_it_leads_to() {
        let documents = documents().expect("every one of them is there");
        for name in ["concepts", "logs", "metrics", "migration", "operating", "reports", "security"]
        {
            let page = PathBuf::from(format!("docs/{name}.md"));
            assert!(documents.contains(&page), "{}", page.display());
        }
        for file in ["docs/evs.rules.yml", "LICENSE-MIT", "crates/libevs/examples/hello.c"] {
            assert!(documents.contains(Path::new(file)), "{file}");
        }
        assert!(documents.iter().all(|file| root().join(file).is_file()), "{documents:?}");
    }

    /// What goes wrong before the daemon has a say has no exit code of the daemon's: a service
    /// manager would start it again and again.
    #[test]
    fn the_unit_runs_nothing_before_the_daemon_and_can_be_reloaded() {
        let unit = fs::read_to_string(root().join("xtask/install/evsd.service")).expect("there");
        let has = |setting: &str| unit.lines().any(|line| line.starts_with(setting));
        assert!(has("RestartPreventExitStatus=2 3"));
        assert!(!has("ExecStartPre="));
        assert!(has("ExecReload="));
    }
}
