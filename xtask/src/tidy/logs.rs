//! The page about the log: it has every WARN and ERROR that a daemon can log, word for word, and
//! none that it cannot.

use std::collections::BTreeMap;

use super::Complaint;
use super::tree::{File, Tree};

const PAGE: &str = "docs/logs.md";

/// What a daemon is made of.
const CRATES: [&str; 5] = [
    "crates/evsd/src/",
    "crates/evs-net/src/",
    "crates/evs-node/src/",
    "crates/evs-service/src/",
    "crates/totem/src/",
];

/// What a line of the log begins with in the code. The signs of trouble among the counters, and
/// what the report says as well, are logged by name.
const BEGINS: [&str; 9] = [
    "tracing::warn!(",
    "tracing::error!(",
    "        what: \"",
    "const SEQ_EXHAUSTED: &str =",
    "const STRAINED: &str =",
    "const STRANGER: &str =",
    "const CLEAR_TEXT: &str =",
    "const FOREIGN: &str =",
    "const APART: &str =",
];

pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    let Some(page) = tree.file(PAGE) else { return Vec::new() };
    let mut complaints = Vec::new();
    // Each is a row of a table, and begins it.
    let row = |(_, line): (usize, &'_ str)| {
        Some(line.strip_prefix("| `")?.split_once("` |")?.0.to_owned())
    };
    let told: Vec<_> = page.lines().filter_map(row).collect();
    let mut logged = BTreeMap::new();
    for file in tree.with_extension("rs").filter(|file| is_of_daemon(file)) {
        for (line, text) in messages(&file.text) {
            if !told.contains(&text) {
                complaints.push(file.complain(line, format!("{PAGE} does not tell of {text:?}")));
            }
            logged.insert(text, line);
        }
    }
    for text in told.iter().filter(|text| !logged.contains_key(*text)) {
        complaints.push(page.complain(0, format!("nothing logs {text:?}")));
    }
    complaints
}

fn is_of_daemon(file: &File) -> bool {
    CRATES.iter().any(|path| file.path.starts_with(path)) && !file.path.contains("/tests")
}

/// The text of each line that the code can log, and where it stands.
fn messages(code: &str) -> Vec<(usize, String)> {
    let mut messages = Vec::new();
    for begin in BEGINS {
        for (at, _) in code.match_indices(begin) {
            let line = code[..at].lines().count() + 1;
            let text = literals(&code[at..]).pop().unwrap_or_default();
            // What goes before is said by the page once; what stands for all of it, nowhere.
            let text = text.strip_prefix("{what}: ").map_or_else(|| text.clone(), str::to_owned);
            if !text.is_empty() && text != "{}" {
                messages.push((line, text));
            }
        }
    }
    messages
}

/// The texts in quotes, up to the end of the statement.
fn literals(code: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let mut depth = 0_usize;
    let mut chars = code.chars();
    while let Some(char) = chars.next() {
        match char {
            '(' => depth += 1,
            ')' if depth <= 1 => break,
            ')' => depth -= 1,
            ';' | '}' if depth == 0 => break,
            '"' => literals.push(literal(&mut chars)),
            _ => {}
        }
    }
    literals
}

/// Reads to the end of a text whose first quote was read; lines that go on are joined.
fn literal(chars: &mut std::str::Chars<'_>) -> String {
    let mut text = String::new();
    while let Some(char) = chars.next() {
        match char {
            '"' => break,
            '\\' => match chars.next() {
                Some('\n') => {
                    let rest = chars.as_str();
                    let indent = rest.len() - rest.trim_start_matches(' ').len();
                    *chars = rest[indent..].chars();
                }
                Some(escaped) => text.push(escaped),
                None => break,
            },
            char => text.push(char),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_line_is_its_last_literal_joined() {
        let code = "x();\ntracing::warn!(error = format!(\"{e:#}\"), \"the \\\"first\\\" \\\n    \
                    second\");\ntracing::error!(%x, \"{what}: third\"), \"not this\"";
        let messages = messages(code);
        assert_eq!(messages, [(2, "the \"first\" second".to_owned()), (4, "third".to_owned())]);
    }

    #[test]
    fn a_line_that_the_page_does_not_tell_of_and_one_that_nothing_logs_are_named() {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let tree = Tree {
            files: vec![
                file("crates/evsd/src/x.rs", "tracing::warn!(\"here\"); tracing::warn!(\"told\");"),
                file(PAGE, "| `told` | so |\n| `gone` | so |\n"),
            ],
        };
        let complaints = check(&tree);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].what.contains("does not tell of \"here\""));
        assert!(complaints[1].what.contains("nothing logs \"gone\""));
    }
}
