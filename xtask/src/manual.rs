//! Manual pages: those of the commands from their own parsers, so that they cannot differ; the
//! configuration file's by hand.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::cargo::root;
use crate::libevs::pages;

/// Writes all pages below a directory.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn install(man: &Path) -> Result<()> {
    for (name, text) in pages()? {
        let section = name.rsplit('.').next().context("a page's name ends with its section")?;
        let dir = man.join(format!("man{section}"));
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        fs::write(dir.join(&name), text).with_context(|| name.clone())?;
    }
    Ok(())
}

/// Every page: its file's name and its text.
///
/// # Errors
/// The page of the configuration file cannot be read.
pub(crate) fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut pages = vec![page(evsd::args::Args::command(), "evsd", "8")?];
    let mut evs = evs_cli::Args::command();
    // So that each subcommand knows the options that are common to all.
    evs.build();
    for subcommand in evs.get_subcommands().filter(|s| s.get_name() != "help") {
        let name = format!("evs-{}", subcommand.get_name());
        let shown = subcommand.clone().bin_name(name.replacen('-', " ", 1)).display_name(&name);
        pages.push(page(shown, &name, "1")?);
    }
    pages.push(page(evs, "evs", "1")?);
    let file = root().join("xtask/install/evsd.toml.5");
    let text = fs::read(&file).with_context(|| file.display().to_string())?;
    pages.push(("evsd.toml.5".to_owned(), text));
    Ok(pages)
}

fn page(command: Command, name: &str, section: &str) -> Result<(String, Vec<u8>)> {
    let mut text = Vec::new();
    let man = Man::new(command).title(name.to_uppercase()).section(section);
    let man = man.date(pages::DATE).source("evs").manual("EVS group communication");
    man.render(&mut text)?;
    let text = String::from_utf8(text).context("a page is text")?;
    Ok((format!("{name}.{section}"), in_short_lines(&text).into_bytes()))
}

/// The same with lines that readers of roff expect. A command of roff stands on one line.
fn in_short_lines(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines().map(str::trim_end) {
        if line.starts_with(['.', '\'']) {
            out.push_str(line);
            out.push('\n');
        } else {
            pages::wrapped(line, &mut out);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page() {
        let pages = pages().expect("the tree is whole");
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["evs.1", "evs-bench.1", "evs-keygen.1", "evs-status.1", "evsd.8"] {
            assert!(names.contains(&name), "{name} is not among {names:?}");
        }
    }

    /// Every key of the example file is in its page with the same value, and nothing else is.
    #[test]
    fn the_page_of_the_configuration_file_lists_its_keys() {
        let example = fs::read_to_string(root().join("crates/evsd/evsd.toml")).expect("there");
        let page = fs::read_to_string(root().join("xtask/install/evsd.toml.5")).expect("there");
        let is_key = |key: &str| key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let lines = example.lines().map(|line| line.trim_start_matches("# "));
        let mut keys: Vec<_> = lines.filter_map(|line| line.split_once(" = ")).collect();
        keys.retain(|(key, _)| is_key(key));
        // Of the nodes, the first stands for all.
        let mut seen = Vec::new();
        keys.retain(|(key, _)| !seen.contains(key) && (seen.push(*key), true).1);
        let page = page.replace("\\(dq", "\"");
        let entries = page.lines().filter_map(|line| line.strip_prefix(".B \"")?.strip_suffix('"'));
        let mut listed: Vec<_> = entries.filter_map(|entry| entry.split_once(" = ")).collect();
        keys.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, keys);
    }
}
