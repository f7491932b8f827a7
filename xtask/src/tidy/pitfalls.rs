//! The page of pitfalls names tests: each of them exists, each pitfall has a line, and no scenario
//! is left out.

use super::Complaint;
use super::tree::{File, Tree};

const PAGE: &str = "docs/pitfalls.md";

/// Where the scenarios are.
const SCENARIOS: &str = "crates/evs-sim/tests/pitfalls/";

/// How many pitfalls of the protocol there are.
const PITFALLS: usize = 56;

const HEADING: &str = "## Where each is tested";

pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    let Some(page) = tree.file(PAGE) else { return Vec::new() };
    let mut complaints = Vec::new();
    let mut named: Vec<String> = Vec::new();
    let lines = page.lines().skip_while(|(_, line)| *line != HEADING).skip(1);
    let lines: Vec<_> = lines.take_while(|(_, line)| !line.starts_with("## ")).collect();
    for pitfall in 1..=PITFALLS {
        if !lines.iter().any(|(_, line)| line.starts_with(&format!("| P{pitfall} | "))) {
            complaints.push(page.complain(0, format!("does not say where P{pitfall} is tested")));
        }
    }
    for (number, line) in lines.iter().filter(|(_, line)| line.starts_with("| P")) {
        let mut file = None;
        for name in line.split('`').skip(1).step_by(2) {
            if name.ends_with(".rs") {
                file = tree.file(name);
                if file.is_none() {
                    complaints.push(page.complain(*number, format!("there is no {name}")));
                }
            } else if file.is_some_and(|file| has_test(file, name)) {
                named.push(String::from(name));
            } else {
                complaints.push(page.complain(*number, format!("there is no test {name}")));
            }
        }
    }
    for file in tree.files.iter().filter(|file| file.path.starts_with(SCENARIOS)) {
        for (number, line) in file.lines() {
            let name = line.strip_prefix("fn p").and_then(|rest| rest.split('(').next());
            let name = name.filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            if let Some(rest) = name
                && !named.contains(&format!("p{rest}"))
            {
                complaints.push(file.complain(number, format!("{PAGE} does not name p{rest}")));
            }
        }
    }
    complaints
}

fn has_test(file: &File, name: &str) -> bool {
    file.text.contains(&format!("fn {name}("))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(page: &str, scenario: &str) -> Tree {
        let rows = (2..=PITFALLS).map(|n| format!("| P{n} | no test |\n")).collect::<String>();
        let page = format!("{HEADING}\n{page}\n{rows}");
        let path = format!("{SCENARIOS}token.rs");
        let page = File { path: PAGE.into(), text: page };
        Tree { files: vec![File { path, text: scenario.into() }, page] }
    }

    #[test]
    fn a_named_test_exists_and_a_scenario_is_named() {
        let line = "| P1 | `crates/evs-sim/tests/pitfalls/token.rs`: `p01_one`, `p01_two` |";
        assert!(check(&tree(line, "fn p01_one() {}\nfn p01_two() {}\n")).is_empty());
        let complaints = check(&tree(line, "fn p01_one() {}\nfn p01_three() {}\n"));
        let what: Vec<&str> = complaints.iter().map(|c| c.what.as_str()).collect();
        assert_eq!(what, ["there is no test p01_two", "docs/pitfalls.md does not name p01_three"]);
    }

    #[test]
    fn a_pitfall_without_a_line_is_named() {
        let complaints = check(&tree("", ""));
        assert_eq!(complaints.len(), 1);
        assert_eq!(complaints[0].what, "does not say where P1 is tested");
    }
}
