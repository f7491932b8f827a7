//! `docs/wire.md` names the constants of the wire with their values and places: they are those of
//! the code.

use super::Complaint;
use super::tree::{File, Tree};

const PAGE: &str = "docs/wire.md";

pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    let Some(page) = tree.file(PAGE) else {
        return vec![Complaint { file: PAGE.into(), line: 0, what: "is missing".into() }];
    };
    let rows: Vec<_> =
        page.lines().filter_map(|(number, line)| Some((number, row(line)?))).collect();
    if rows.is_empty() {
        return vec![page.complain(0, "has no table `| constant | value | file |`")];
    }
    rows.iter()
        .filter_map(|(number, row)| differs(tree, row).map(|w| page.complain(*number, w)))
        .collect()
}

/// A constant as the page has it.
struct Row<'a> {
    name: &'a str,
    value: &'a str,
    file: &'a str,
}

/// A row of three cells in backquotes; the third is a path of a source file.
fn row(line: &str) -> Option<Row<'_>> {
    let mut cells = line.strip_prefix("| `")?.strip_suffix("` |")?.split("` | `");
    let row = Row { name: cells.next()?, value: cells.next()?, file: cells.next()? };
    (cells.next().is_none() && row.file.ends_with(".rs")).then_some(row)
}

fn differs(tree: &Tree, row: &Row<'_>) -> Option<String> {
    let Some(file) = tree.file(row.file) else { return Some(format!("there is no {}", row.file)) };
    match constant(file, row.name) {
        None => Some(format!("{} has no constant {}", row.file, row.name)),
        Some(value) if value == row.value => None,
        Some(value) => Some(format!("{} is `{value}` in {}", row.name, row.file)),
    }
}

/// The value of a constant, or of a variant with a number, as the source writes it.
fn constant<'a>(file: &'a File, name: &str) -> Option<&'a str> {
    let statement = |line: &'a str| {
        let (left, value) = line.trim().split_once(" = ")?;
        let declared = match left.split_once("const ") {
            Some((_, declared)) => declared.split(':').next()?,
            None => left,
        };
        (declared == name).then(|| value.trim_end_matches([';', ',']))
    };
    file.text.lines().find_map(statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let text = "pub(crate) const VERSION: u8 = 1;\nenum Kind {\n    Hello = 2,\n}\n";
        Tree { files: vec![File { path: "a.rs".into(), text: text.into() }] }
    }

    #[test]
    fn a_value_that_differs_is_named_with_the_codes_own() {
        let row = |line| row(line).expect("a row");
        assert_eq!(differs(&tree(), &row("| `VERSION` | `1` | `a.rs` |")), None);
        assert_eq!(differs(&tree(), &row("| `Hello` | `2` | `a.rs` |")), None);
        let differs = |line| differs(&tree(), &row(line)).expect("differs");
        assert_eq!(differs("| `VERSION` | `2` | `a.rs` |"), "VERSION is `1` in a.rs");
        assert_eq!(differs("| `LEN` | `2` | `a.rs` |"), "a.rs has no constant LEN");
        assert_eq!(differs("| `LEN` | `2` | `b.rs` |"), "there is no b.rs");
    }
}
