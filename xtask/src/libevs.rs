//! The installed form of `libevs`: shared and static library, headers, pkg-config file, manual.
//!
//! Responsible for: linking the shared library from the static one, and where each file goes.
//! Not responsible for: building the static library (`cargo build --package libevs`).
//!
//! Cargo cannot make this shared library: for a `cdylib` the compiler passes a version script of
//! its own, and a linker takes one. So the objects of the static library are linked once more,
//! with `libevs.map`.

#[path = "libevs/pages.rs"]
pub(crate) mod pages;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The name by which programs find the library when they start.
pub(crate) const SONAME: &str = "libevs.so.4";

/// What the static library of any Rust crate needs besides: the words of
/// `rustc --print native-static-libs`.
pub(crate) const NATIVE_LIBS: [&str; 7] =
    ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"];

/// The same for programs that contain the library: the part of the compiler's runtime that unwinds
/// the stack is there as an archive too, and a program that is static altogether can use only that.
pub(crate) fn private_libs() -> String {
    NATIVE_LIBS.join(" ").replace("-lgcc_s", "-lgcc_eh")
}

/// Where the installed system will find what; absolute paths.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) prefix: PathBuf,
    pub(crate) libdir: PathBuf,
    pub(crate) includedir: PathBuf,
}

impl Layout {
    /// Everything where it is by default below a prefix.
    pub(crate) fn below(prefix: &Path) -> Self {
        let (libdir, includedir) = (prefix.join("lib"), prefix.join("include"));
        Self { prefix: prefix.to_owned(), libdir, includedir }
    }
}

/// Makes `libevs.so.4` in a directory, and the link `libevs.so` to it.
///
/// # Errors
/// The linker fails, or a file cannot be written.
pub(crate) fn link(staticlib: &Path, out_dir: &Path) -> Result<()> {
    let shared = out_dir.join(SONAME);
    let mut script = std::ffi::OsString::from("-Wl,--version-script=");
    script.push(source("libevs.map"));
    let mut command = Command::new("cc");
    command
        .args(["-shared", "-o"])
        .arg(&shared)
        .arg(format!("-Wl,-soname,{SONAME}"))
        .arg(script)
        // All objects, since nothing asks for them; then only what the exported symbols reach.
        .arg("-Wl,--whole-archive")
        .arg(staticlib)
        .args(["-Wl,--no-whole-archive", "-Wl,--gc-sections", "-Wl,--strip-debug"])
        .args(["-Wl,--no-undefined", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,--as-needed"])
        .args(NATIVE_LIBS);
    run(&mut command)?;
    replace_link(SONAME, &out_dir.join("libevs.so"))
}

/// Installs everything below `destdir` for a system that will see it where the layout says.
///
/// # Errors
/// The linker fails, or a file cannot be written.
pub(crate) fn install(staticlib: &Path, destdir: &Path, layout: &Layout) -> Result<()> {
    let at = |path: &Path| destdir.join(path.strip_prefix("/").unwrap_or(path));
    let (share, libdir) = (at(&layout.prefix).join("share"), at(&layout.libdir));
    let includedir = at(&layout.includedir);
    create_dir(&libdir.join("pkgconfig"))?;
    link(staticlib, &libdir)?;
    run(Command::new("strip")
        .args(["--strip-debug", "-o"])
        .arg(libdir.join("libevs.a"))
        .arg(staticlib))?;
    let pc = libdir.join("pkgconfig/libevs.pc");
    fs::write(&pc, pkg_config(layout)?).with_context(|| pc.display().to_string())?;
    copy_files(&source("include/corosync"), "h", &includedir.join("corosync"))?;
    copy_files(&source("include/evs"), "h", &includedir.join("evs"))?;
    write_pages(&share.join("man"))?;
    for extension in ["c", "cpp"] {
        copy_files(&source("examples"), extension, &share.join("doc/libevs/examples"))?;
    }
    Ok(())
}

/// Writes the manual pages, each into the directory of its section.
fn write_pages(man: &Path) -> Result<()> {
    for (name, text) in pages::pages(&source("man"))? {
        let section = name.rsplit('.').next().context("a page's name ends with its section")?;
        let dir = man.join(format!("man{section}"));
        create_dir(&dir)?;
        fs::write(dir.join(&name), text).with_context(|| name.clone())?;
    }
    Ok(())
}

/// The text of `libevs.pc`.
fn pkg_config(layout: &Layout) -> Result<String> {
    let template = source("libevs.pc.in");
    let text = fs::read_to_string(&template).with_context(|| template.display().to_string())?;
    Ok(text
        .replace("@prefix@", &layout.prefix.display().to_string())
        .replace("@libdir@", &from_prefix(&layout.libdir, &layout.prefix))
        .replace("@includedir@", &from_prefix(&layout.includedir, &layout.prefix))
        .replace("@version@", env!("CARGO_PKG_VERSION"))
        .replace("@native@", &private_libs()))
}

/// A path in the words of pkg-config, which can move what is below the prefix.
fn from_prefix(path: &Path, prefix: &Path) -> String {
    match path.strip_prefix(prefix) {
        Ok(rest) => format!("${{prefix}}/{}", rest.display()),
        Err(_) => path.display().to_string(),
    }
}

/// A file of the crate.
fn source(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().find(|dir| dir.join("crates/libevs").is_dir());
    root.expect("built inside the repository").join("crates/libevs").join(name)
}

fn copy_files(from: &Path, extension: &str, to: &Path) -> Result<()> {
    create_dir(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().expect("an entry of a directory has a name");
        if path.extension().is_some_and(|found| found == extension) {
            fs::copy(&path, to.join(name)).with_context(|| to.join(name).display().to_string())?;
        }
    }
    Ok(())
}

fn create_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())
}

fn replace_link(target: &str, link: &Path) -> Result<()> {
    if link.symlink_metadata().is_ok() {
        fs::remove_file(link).with_context(|| link.display().to_string())?;
    }
    symlink(target, link).with_context(|| link.display().to_string())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
