//! `debian/copyright` of the packages: our own, and one paragraph for each crate that is linked
//! into what they hold, in Debian's machine-readable format (DEP-5).
//!
//! Responsible for: which crates these are, by Cargo's word; their licences, as they declare them;
//! whose copyright it is and the texts, from the files that they ship. A text that several have in
//! common stands there once.
//! Not responsible for: whether the licences suit us.

mod crates;
mod texts;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::cargo::{self, cargo};
use crates::Linked;
use texts::Texts;

/// What is in the packages: the package of Cargo that it is built from, and its name for people.
const BUILT: [(&str, &str); 3] = [("evsd", "evsd"), ("evs-cli", "evs"), ("libevs", "libevs")];

/// Not a crate of Cargo's, and in everything.
const STANDARD: &str = "\n\
     Files: vendor/rust-std/*\n\
     Copyright: The Rust Project contributors\n\
     License: Expat or Apache-2.0\n\
     Comment: The standard library of Rust; linked into evsd, evs, libevs\n";

/// The whole file: what stands in `own`, and the crates.
///
/// # Errors
/// Cargo does not say what is linked, or a crate's licence is unknown or cannot be read.
pub(super) fn complete(own: &str) -> Result<String> {
    let mut texts = Texts::new(own);
    let mut file = format!("{own}{STANDARD}");
    for linked in crates::linked()? {
        let one = paragraph(&linked, &mut texts);
        file +=
            &one.with_context(|| format!("the licence of {} {}", linked.name, linked.version))?;
    }
    file += &texts.paragraphs();
    Ok(file)
}

fn paragraph(linked: &Linked, texts: &mut Texts) -> Result<String> {
    let found = texts.take(&linked.name, &linked.files()?);
    let mut copyright = found.copyright;
    if copyright.is_empty() {
        copyright.clone_from(&linked.authors);
    }
    if copyright.is_empty() {
        copyright.push(format!("The authors of {}", linked.name));
    }
    let license = texts::expression(&linked.license, &found.names)?;
    let (name, version) = (&linked.name, &linked.version);
    let mut text = format!("\nFiles: vendor/{name}-{version}/*\n");
    writeln!(text, "Copyright: {}", copyright.join("\n           "))?;
    writeln!(text, "License: {license}")?;
    for other in &found.others {
        text += &texts::indented(other);
    }
    let from = linked.repository.as_ref().map(|place| format!(", {place}")).unwrap_or_default();
    writeln!(
        text,
        "Comment: Crate {name} {version}{from}; linked into {}",
        linked.into.join(", ")
    )?;
    Ok(text)
}

/// Checks that the file in each package names every crate that Cargo links into what is built.
/// Cargo is asked another way than when the file is made. Returns how many crates there are.
///
/// # Errors
/// A crate is missing, or the file is.
pub(super) fn check(packages: &[PathBuf]) -> Result<u64> {
    let wanted = wanted()?;
    for package in packages {
        let file = shipped(package)?;
        let missing = missing(&file, &wanted);
        ensure!(missing.is_empty(), "{}: copyright does not name {missing:?}", package.display());
    }
    Ok(wanted.len() as u64)
}

/// Every crate that is linked, in the words of `cargo tree`.
fn wanted() -> Result<BTreeSet<String>> {
    let mut wanted = BTreeSet::new();
    for (package, _) in BUILT {
        let mut tree = cargo(["tree", "--locked", "--edges", "normal,no-proc-macro"]);
        tree.args(["--package", package, "--prefix", "none", "--format", "{p}"]);
        wanted.extend(cargo::output(&mut tree)?.lines().filter_map(foreign));
    }
    ensure!(wanted.len() > 10, "cargo tree names {} crates only", wanted.len());
    Ok(wanted)
}

/// Name and version in a line of a tree, if it is not of this workspace.
fn foreign(line: &str) -> Option<String> {
    let (name, rest) = line.split_once(" v")?;
    let (version, more) = rest.split_once(' ').unwrap_or((rest, ""));
    (!more.contains("(/")).then(|| format!("{name}-{version}"))
}

fn missing<'a>(file: &str, wanted: &'a BTreeSet<String>) -> Vec<&'a str> {
    let named: BTreeSet<_> = file.lines().filter_map(|line| line.strip_prefix("Files: ")).collect();
    let is_missing = |id: &&String| !named.contains(format!("vendor/{id}/*").as_str());
    wanted.iter().filter(is_missing).map(String::as_str).collect()
}

/// The file in a package.
fn shipped(package: &Path) -> Result<String> {
    let name = super::file_name(package);
    let name = name.split('_').next().unwrap_or_default();
    let out = package.with_extension("copyright");
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| out.display().to_string())?;
    }
    cargo::run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&out))?;
    let file = out.join("usr/share/doc").join(name).join("copyright");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    fs::remove_dir_all(&out).with_context(|| out.display().to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> String {
        fs::read_to_string(cargo::root().join("debian/copyright")).expect("there")
    }

    #[test]
    fn every_crate_that_is_linked_is_named_with_a_licence_whose_text_is_there() {
        let file = complete(&own()).expect("every licence is known");
        assert_eq!(complete(&own()).expect("again"), file, "it is the same every time");
        let wanted = wanted().expect("Cargo says");
        assert_eq!(missing(&file, &wanted), Vec::<&str>::new());
        assert!(wanted.iter().any(|id| id.starts_with("aws-lc-sys-")), "{wanted:?}");
        assert!(!wanted.iter().any(|id| id.starts_with("syn-")), "runs in the compiler alone");
        let told: Vec<_> = file.split("\n\n").filter(|p| p.starts_with("License: ")).collect();
        let told: Vec<_> =
            told.iter().filter_map(|p| p.lines().next()?.strip_prefix("License: ")).collect();
        for paragraph in file.split("\n\n").filter(|p| p.starts_with("Files: ")) {
            let mut lines = paragraph.lines().skip_while(|line| !line.starts_with("License: "));
            let license = lines.next().and_then(|line| line.strip_prefix("License: "));
            let has_text = lines.next().is_some_and(|line| line.starts_with(' '));
            let license = license.expect("one").replace(", and ", " or ");
            for name in license.split(" or ").filter(|_| !has_text) {
                assert!(told.contains(&name), "no text of {name}: {paragraph}");
            }
        }
        let unique: BTreeSet<_> = told.iter().collect();
        assert_eq!(unique.len(), told.len(), "{told:?}");
    }

    #[test]
    fn a_crate_that_is_not_named_is_told() {
        let wanted = BTreeSet::from(["a-1.0.0".to_owned(), "a-1.0.1".to_owned()]);
        assert_eq!(missing("Files: vendor/a-1.0.1/*\n", &wanted), ["a-1.0.0"]);
        assert_eq!(foreign("a v1.0.1 (*)"), Some("a-1.0.1".to_owned()));
        assert_eq!(foreign("evsd v0.1.0 (/some/where)"), None);
    }
}
