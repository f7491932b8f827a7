//! Manual pages: those of the commands from their own parsers, so that they cannot differ; that of
//! the configuration file from Markdown, as those of the C library.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::cargo::root;
use crate::libevs::pages;

/// The sources of the pages that are not of a command.
const WRITTEN: &str = "crates/evs-config/man";

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
/// The source of a page cannot be read, or is not written as it should be.
pub(crate) fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut pages = vec![page(evsd::args::Args::command(), "evsd", "8")?];
    let mut evs = evs_cli::Args::command();
    // So that each subcommand knows the options that are common to all.
    evs.build();
    commands(&evs, "evs", &mut pages)?;
    pages.push(page(evs, "evs", "1")?);
    let written = pages::pages(&root().join(WRITTEN))?;
    pages.extend(written.into_iter().map(|(name, text)| (name, text.into_bytes())));
    Ok(pages)
}

/// The pages of all subcommands, and of theirs.
fn commands(of: &Command, above: &str, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for subcommand in of.get_subcommands().filter(|s| s.get_name() != "help") {
        let name = format!("{above}-{}", subcommand.get_name());
        let shown = subcommand.clone().bin_name(name.replace('-', " ")).display_name(&name);
        commands(&shown, &name, pages)?;
        pages.push(page(shown, &name, "1")?);
    }
    Ok(())
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
    use evsd::config::Config;

    use super::*;

    #[test]
    fn each_command_has_a_page() {
        let pages = pages().expect("the tree is whole");
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in [
            "evs.1",
            "evs-bench.1",
            "evs-config.1",
            "evs-config-import.1",
            "evs-status.1",
            "evsd.8",
            "evsd.toml.5",
        ] {
            assert!(names.contains(&name), "{name} is not among {names:?}");
        }
    }

    /// What the page of the configuration file says of a key: its section, name, value if one is
    /// shown, and text.
    struct Entry {
        section: String,
        key: String,
        value: Option<String>,
        text: String,
    }

    /// The entries of the source of that page.
    fn entries() -> Vec<Entry> {
        let source = root().join(WRITTEN).join("evsd.toml.5.md");
        let source = fs::read_to_string(source).expect("there");
        let (mut section, mut entries) = (String::new(), Vec::<Entry>::new());
        for line in source.lines() {
            if let Some(heading) = line.strip_prefix("### ") {
                let name = heading.split('`').nth(1).expect("a section's name");
                name.trim_matches(['[', ']']).clone_into(&mut section);
            } else if let Some(entry) = line.strip_prefix("- `") {
                let (tag, text) = entry.split_once("`: ").expect("a tag");
                let (key, value) = match tag.split_once(" = ") {
                    Some((key, value)) => (key, Some(value.to_owned())),
                    None => (tag, None),
                };
                let (section, key, text) = (section.clone(), key.to_owned(), text.to_owned());
                entries.push(Entry { section, key, value, text });
            } else if let (Some(entry), Some(more)) = (entries.last_mut(), line.strip_prefix("  "))
            {
                entry.text.push(' ');
                entry.text.push_str(more);
            }
        }
        entries
    }

    #[test]
    fn the_page_of_the_configuration_file_lists_the_keys_that_its_reader_accepts() {
        let mut listed: Vec<_> = entries().into_iter().map(|e| (e.section, e.key)).collect();
        let mut accepted: Vec<_> =
            Config::keys().into_iter().map(|(section, key)| (section, key.to_owned())).collect();
        assert!(accepted.len() > 20, "{accepted:?}");
        listed.sort_unstable();
        accepted.sort_unstable();
        assert_eq!(listed, accepted);
    }

    /// The mistakes of a file in which one key is as said, and which is in order otherwise.
    fn mistakes(section: &str, key: &str, value: &str) -> Vec<String> {
        let sections = [
            ("cluster", "name = \"demo\"\nseal = \"none\"\n"),
            ("[cluster.nodes]", "id = 1\naddress = \"10.0.0.1:5405\"\n"),
            ("local", "node = 1\n"),
            ("local.limits", ""),
        ];
        let mut text = String::new();
        for (name, keys) in sections {
            let here = name.trim_matches(['[', ']']) == section;
            let others =
                keys.lines().filter(|line| !here || !line.starts_with(&format!("{key} =")));
            let mut lines: Vec<_> = others.map(str::to_owned).collect();
            lines.extend(here.then(|| format!("{key} = {value}")));
            text.push_str(&format!("[{name}]\n{}\n", lines.join("\n")));
        }
        let refused = Config::parse(&text);
        let mistakes = refused.err().unwrap_or_default();
        mistakes.into_iter().filter(|m| m.key.ends_with(key)).map(|m| m.to_string()).collect()
    }

    /// A number can be as small and as large as the page says, and no smaller and no larger.
    #[test]
    fn the_page_of_the_configuration_file_tells_the_ranges() {
        let mut ranges = 0;
        for Entry { section, key, value, text } in entries() {
            if value.is_none_or(|value| value.parse::<u64>().is_err()) {
                continue;
            }
            let words: Vec<_> =
                text.split(' ').map(|word| word.trim_end_matches([',', '.', ';'])).collect();
            let range = words.windows(3).find_map(|words| {
                let [min, "to", max] = words else { return None };
                Some((min.parse::<u64>().ok()?, max.parse::<u64>().ok()?))
            });
            let (min, max) = range.unwrap_or_else(|| panic!("{key} has no range: {text}"));
            let is_refused = |value: u64| {
                let said = mistakes(&section, &key, &value.to_string());
                said.iter().any(|what| what.contains("range") || what.contains("node ids start"))
            };
            assert!(!is_refused(min) && !is_refused(max), "{key}: {min} to {max}");
            let beyond = [min.checked_sub(1), Some(max + 1)];
            assert!(beyond.into_iter().flatten().all(is_refused), "{key}: {min} to {max}");
            ranges += 1;
        }
        assert_eq!(ranges, 12);
    }

    /// The page and the example file show the same values.
    #[test]
    fn the_page_of_the_configuration_file_shows_the_values_of_the_example() {
        let file = root().join("crates/evs-config/evsd.toml");
        let example = fs::read_to_string(file).expect("there");
        let lines: Vec<_> = example.lines().map(|line| line.trim_start_matches("# ")).collect();
        let entries = entries();
        let shown =
            entries.iter().filter_map(|e| Some(format!("{} = {}", e.key, e.value.as_ref()?)));
        for entry in shown {
            assert!(lines.contains(&entry.as_str()), "the example has no {entry}");
        }
    }
}
