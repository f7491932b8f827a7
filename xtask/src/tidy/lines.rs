//! Words that do not belong into the tree, and lines and files that are too long.

use super::Complaint;
use super::tree::{File, Tree};

/// Columns in a line.
const COLUMNS_MAX: usize = 100;

/// Lines in a file of source code.
const LINES_MAX: usize = 600;

/// Words for things that are not done; put together so that this file does not hold them.
const UNDONE: [&str; 4] = [
    concat!("FIX", "ME"),
    concat!("db", "g!("),
    concat!("to", "do!("),
    concat!("unimp", "lemented!("),
];

/// Hosts of package registries: where a dependency comes from is Cargo's and the builder's matter.
const HOSTS: [&str; 6] = [
    concat!("crates", ".io"),
    concat!("docs", ".rs"),
    concat!("deb.", "debian.org"),
    concat!("proxy.", "golang.org"),
    concat!("pypi", ".org"),
    concat!("npm", "js"),
];

/// Paths of a workplace.
const PLACES: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    tree.files.iter().flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let source = ["rs", "c", "h"].iter().any(|extension| file.is(extension));
    if source && file.text.lines().count() > LINES_MAX {
        complaints.push(file.complain(0, format!("more than {LINES_MAX} lines")));
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        complaints.push(file.complain(0, "the last line has no end"));
    }
    for (number, line) in file.lines() {
        for word in UNDONE.iter().filter(|word| line.contains(**word)) {
            complaints.push(file.complain(number, format!("`{word}` is for work in progress")));
        }
        for host in HOSTS.iter().filter(|host| line.contains(**host)) {
            complaints.push(file.complain(number, format!("names a registry's host, `{host}`")));
        }
        for place in PLACES.iter().filter(|place| line.contains(**place)) {
            complaints.push(file.complain(number, format!("names somebody's place, `{place}`")));
        }
        if line.chars().count() > COLUMNS_MAX && !is_one_line(file, line) {
            complaints.push(file.complain(number, format!("more than {COLUMNS_MAX} columns")));
        }
        if line.ends_with([' ', '\t']) {
            complaints.push(file.complain(number, "ends with white space"));
        }
    }
    complaints
}

/// The row of a table cannot be broken into lines, in Markdown as in Rust's documentation; nor can
/// a package's description, nor an entry of a manual page's list.
fn is_one_line(file: &File, line: &str) -> bool {
    let manual = ["1", "3", "5", "8"].iter().any(|section| file.is(section));
    if manual || file.is("toml") && line.starts_with("description = ") {
        return true;
    }
    let row = if file.is("md") { Some(line) } else { comment(line) };
    row.is_some_and(|row| row.trim_start().starts_with('|'))
}

fn comment(line: &str) -> Option<&str> {
    let line = line.trim_start();
    ["//! ", "/// "].iter().find_map(|prefix| line.strip_prefix(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<(usize, String)> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check_file(&file).into_iter().map(|c| (c.line, c.what)).collect()
    }

    #[test]
    fn undone_work_and_foreign_hosts_are_named_with_their_lines() {
        let text = format!("fine\n{}x)\nsee {}\n", UNDONE[1], HOSTS[0]);
        let lines: Vec<_> = complaints("a.rs", &text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [2, 3]);
    }

    #[test]
    fn a_line_of_100_columns_is_fine_and_one_more_is_not() {
        assert!(complaints("a.rs", &format!("{}\n", "x".repeat(100))).is_empty());
        assert_eq!(complaints("a.rs", &format!("{}\n", "x".repeat(101))).len(), 1);
        assert!(complaints("a.md", &format!("|{}|\n", "x".repeat(101))).is_empty());
    }

    #[test]
    fn a_file_of_601_lines_is_too_long() {
        assert!(complaints("a.rs", &"x\n".repeat(600)).is_empty());
        assert_eq!(complaints("a.rs", &"x\n".repeat(601)), [(0, "more than 600 lines".into())]);
        assert!(complaints("a.md", &"x\n".repeat(601)).is_empty());
    }
}
