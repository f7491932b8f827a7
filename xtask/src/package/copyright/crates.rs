//! Which crates are linked, and what they say of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::BUILT;
use crate::cargo::{self, cargo};

/// A crate that is linked into something.
#[derive(Debug)]
pub(super) struct Linked {
    pub(super) name: String,
    pub(super) version: String,
    /// As it declares it.
    pub(super) license: String,
    pub(super) authors: Vec<String>,
    pub(super) repository: Option<String>,
    /// Into what.
    pub(super) into: Vec<&'static str>,
    dir: PathBuf,
}

/// What the files with licences begin with, in capitals.
const LICENSES: [&str; 5] = ["LICENSE", "LICENCE", "UNLICENSE", "COPYING", "NOTICE"];

impl Linked {
    /// The texts that it ships, in order of the files' names.
    ///
    /// # Errors
    /// One cannot be read.
    pub(super) fn files(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.dir).with_context(|| self.dir.display().to_string())?;
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
            if path.is_file() && LICENSES.iter().any(|begin| name.starts_with(begin)) {
                files.push(path);
            }
        }
        files.sort();
        let read = |path: &PathBuf| {
            let bytes = fs::read(path).with_context(|| path.display().to_string())?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        files.iter().map(read).collect()
    }
}

/// All of them, by name and version.
///
/// # Errors
/// Cargo does not say.
pub(super) fn linked() -> Result<Vec<Linked>> {
    let mut command = cargo(["metadata", "--format-version=1", "--locked", "--filter-platform"]);
    let metadata = cargo::output(command.arg(host()?))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata")?;
    let packages: BTreeMap<&str, &Value> = by_id(&metadata["packages"]);
    let nodes: BTreeMap<&str, &Value> = by_id(&metadata["resolve"]["nodes"]);
    let mut linked: BTreeMap<(&str, &str), Linked> = BTreeMap::new();
    for (package, built) in BUILT {
        let root = packages.iter().find(|(_, found)| found["name"] == package && is_ours(found));
        let (root, _) = root.with_context(|| format!("Cargo knows no {package}"))?;
        for id in reached(root, &packages, &nodes) {
            let Some(package) = packages.get(id).filter(|package| !is_ours(package)) else {
                continue;
            };
            let (name, version) = (text(package, "name"), text(package, "version"));
            let entry = linked.entry((name, version)).or_insert_with(|| read(package));
            entry.into.push(built);
        }
    }
    Ok(linked.into_values().collect())
}

fn by_id(list: &Value) -> BTreeMap<&str, &Value> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(|entry| Some((entry["id"].as_str()?, entry))).collect()
}

/// What a package needs when it runs, and what that needs.
fn reached<'a>(
    root: &'a str,
    packages: &BTreeMap<&'a str, &'a Value>,
    nodes: &BTreeMap<&'a str, &'a Value>,
) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut todo = vec![root];
    while let Some(id) = todo.pop() {
        if packages.get(id).is_some_and(|package| is_of_compiler(package)) || !reached.insert(id) {
            continue;
        }
        let needs = nodes.get(id).and_then(|node| node["deps"].as_array());
        let runs = |need: &&Value| {
            let kinds = need["dep_kinds"].as_array();
            kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
        };
        todo.extend(needs.into_iter().flatten().filter(runs).filter_map(|n| n["pkg"].as_str()));
    }
    reached
}

/// Whether it is code for the compiler, which is not in what it compiles.
fn is_of_compiler(package: &Value) -> bool {
    let targets = package["targets"].as_array().map_or(&[][..], Vec::as_slice);
    let is_macro = |target: &Value| {
        target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "proc-macro"))
    };
    targets.iter().any(is_macro)
}

fn is_ours(package: &Value) -> bool {
    package["source"].is_null()
}

fn read(package: &Value) -> Linked {
    let manifest = Path::new(text(package, "manifest_path"));
    let authors = package["authors"].as_array().map_or(&[][..], Vec::as_slice);
    Linked {
        name: text(package, "name").to_owned(),
        version: text(package, "version").to_owned(),
        license: text(package, "license").to_owned(),
        authors: authors.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        repository: package["repository"].as_str().map(str::to_owned),
        into: Vec::new(),
        dir: manifest.parent().unwrap_or(manifest).to_owned(),
    }
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or_default()
}

/// The platform that is built for.
fn host() -> Result<String> {
    let said = cargo::output(Command::new("rustc").arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc names no host")
}
