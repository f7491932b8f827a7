//! The table of the reasons of changes: each reason of the code has a row, with a test on real
//! daemons that exists and asserts it.

use super::Complaint;
use super::tree::{File, Tree};

const PAGE: &str = "docs/reports.md";

const HEADING: &str = "### Where each reason is tested";

/// Where the reasons are, and what their list begins with.
const CODE: &str = "crates/evs-report/src/change.rs";
const LIST: &str = "pub enum Trigger {";

/// Where tests on real daemons are.
const TESTS: [&str; 2] = ["crates/evsd/tests/", "crates/evs-testkit/tests/"];

/// What is said where there is no reason.
const NONE: &str = "unknown";

pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    let (Some(page), Some(code)) = (tree.file(PAGE), tree.file(CODE)) else { return Vec::new() };
    let mut complaints = Vec::new();
    let lines = page.lines().skip_while(|(_, line)| *line != HEADING).skip(1);
    let lines: Vec<_> = lines.take_while(|(_, line)| !line.starts_with('#')).collect();
    for reason in reasons(code).iter().filter(|reason| *reason != NONE) {
        let begin = format!("| `{reason}` |");
        match lines.iter().find(|(_, line)| line.starts_with(&begin)) {
            None => {
                complaints.push(page.complain(0, format!("does not say where {reason} is tested")))
            }
            Some((number, line)) => {
                let wrong = wrong(tree, reason, line);
                complaints.extend(wrong.map(|what| page.complain(*number, what)));
            }
        }
    }
    complaints
}

/// What is wrong with a row: its last column names a file and a test in it.
fn wrong(tree: &Tree, reason: &str, row: &str) -> Option<String> {
    let mut names = row.rsplit(" | ").next().unwrap_or_default().split('`').skip(1).step_by(2);
    let (path, test) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
    let Some(file) = tree.file(path).filter(|_| TESTS.iter().any(|dir| path.starts_with(dir)))
    else {
        return Some(format!("{reason}: {path:?} is no file of tests on real daemons"));
    };
    if test.is_empty() || !file.text.contains(&format!("fn {test}(")) {
        return Some(format!("{reason}: there is no test {test:?} in {path}"));
    }
    let asserted = file.text.contains(&format!("\"{reason}\""));
    (!asserted).then(|| format!("{reason}: {path} does not ask for it"))
}

/// The names of the list's variants, as they are in a report.
fn reasons(code: &File) -> Vec<String> {
    let list = code.lines().map(|(_, line)| line).skip_while(|line| *line != LIST).skip(1);
    let variants = list.take_while(|line| *line != "}").filter_map(|line| {
        let rest = line.strip_prefix("    ")?;
        rest.starts_with(|c: char| c.is_ascii_uppercase()).then_some(rest)
    });
    let name =
        |line: &str| line.chars().take_while(char::is_ascii_alphanumeric).collect::<String>();
    variants.map(|line| snake_case(&name(line))).collect()
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for char in name.chars() {
        if char.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(char.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(rows: &str, test: &str) -> Vec<String> {
        let file = |path: &str, text: String| File { path: path.to_owned(), text };
        let code = format!(
            "{LIST}\n    /// One.\n    OneWay {{\n        a: A,\n    }},\n    Unknown,\n}}"
        );
        let tree = Tree {
            files: vec![
                file("crates/evsd/tests/daemon/why.rs", test.to_owned()),
                file(CODE, code),
                file(PAGE, format!("{HEADING}\n\n{rows}\n")),
            ],
        };
        check(&tree).into_iter().map(|complaint| complaint.what).collect()
    }

    const ROW: &str = "| `one_way` | a cut | `crates/evsd/tests/daemon/why.rs`: `a_test` |";

    #[test]
    fn a_reason_with_a_test_that_asks_for_it_is_right() {
        assert!(complaints(ROW, "fn a_test() { ask(\"one_way\") }").is_empty());
    }

    #[test]
    fn a_reason_without_a_row_a_test_that_is_not_there_and_one_that_asks_something_else_are_named()
    {
        assert_eq!(complaints("", ""), ["does not say where one_way is tested"]);
        assert!(complaints(ROW, "fn other() { \"one_way\" }")[0].contains("there is no test"));
        assert!(complaints(ROW, "fn a_test() {}")[0].contains("does not ask for it"));
        let unit = ROW.replace("evsd/tests", "evsd/src");
        assert!(complaints(&unit, "")[0].contains("is no file of tests on real daemons"));
    }
}
