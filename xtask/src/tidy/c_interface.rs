//! The C interface is shown case by case: each case of its page, each pitfall of a client library,
//! and each error of each manual page is in a test; and the pages tell every error that a test
//! sees.

use super::Complaint;
use super::tree::{File, Tree};

const PAGE: &str = "docs/c-interface.md";

/// How many cases there are.
const CASES: usize = 64;

/// The pitfalls of the original's client library and of daemons' dealings with theirs.
const PITFALLS: [usize; 12] = [6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20];

/// The C programs, and what runs them.
const PROGRAMS: &str = "crates/libevs/tests/";

/// The sources of the manual pages.
const MANUAL: &str = "crates/libevs/man/";

const DECISIONS: &str = "docs/decisions/";

pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    let Some(page) = tree.file(PAGE) else { return Vec::new() };
    let mut complaints = Vec::new();
    for case in (1..=CASES).map(|number| format!("R{number}")) {
        if !page.text.contains(&format!("| {case} |")) {
            complaints.push(page.complain(0, format!("has no {case}")));
        }
        let places = |file: &&File| [PROGRAMS, DECISIONS].iter().any(|p| file.path.starts_with(p));
        if !tree.files.iter().filter(places).any(|file| names(file, &case)) {
            complaints.push(page.complain(0, format!("no program and no decision names {case}")));
        }
    }
    for pitfall in PITFALLS.map(|number| format!("D{number}")) {
        let is_test = |file: &&File| file.path.contains("/tests/");
        if !tree.files.iter().filter(is_test).any(|file| names(file, &pitfall)) {
            complaints.push(page.complain(0, format!("no test names {pitfall}")));
        }
    }
    let pages = tree.with_extension("md").filter(|file| file.path.starts_with(MANUAL));
    for page in pages {
        complaints.extend(missing_sections(page));
        complaints.extend(errors_without_test(page, tree));
        complaints.extend(errors_untold(page, tree));
    }
    complaints
}

/// What the page of each function tells.
const SECTIONS: [&str; 8] = [
    "## Synopsis",
    "## Description",
    "## Return value",
    "## Errors",
    "## Limits",
    "## Threads",
    "## When the daemon goes",
    "## See also",
];

fn missing_sections(page: &File) -> Vec<Complaint> {
    if function_of(page).is_none() {
        return Vec::new();
    }
    let has = |heading: &&str| page.lines().any(|(_, line)| line == *heading);
    let missing = SECTIONS.into_iter().filter(|heading| !has(heading));
    missing.map(|heading| page.complain(0, format!("has no section {heading:?}"))).collect()
}

/// The function that a page is about.
fn function_of(page: &File) -> Option<&str> {
    page.path.strip_prefix(MANUAL)?.strip_suffix(".3.md")
}

/// The errors of a call in a program that the page of its function does not tell.
fn errors_untold(page: &File, tree: &Tree) -> Vec<Complaint> {
    let Some(function) = function_of(page) else { return Vec::new() };
    let told: Vec<_> = page.lines().filter_map(|(_, line)| error_of(line)).collect();
    let call = format!("CHECK_EQ({function}(");
    let mut complaints = Vec::new();
    let programs = tree.with_extension("c").filter(|file| file.path.starts_with(PROGRAMS));
    for statement in programs.flat_map(|file| file.text.split(';')) {
        let Some((_, rest)) = statement.split_once(&call) else { continue };
        let Some((_, wanted)) = rest.rsplit_once(',') else { continue };
        let error = wanted.trim().trim_end_matches(')');
        if error.starts_with("CS_ERR_") && !told.contains(&error) {
            complaints.push(page.complain(0, format!("does not tell {error}, which a test sees")));
        }
    }
    complaints
}

/// The error that a line of a page tells.
fn error_of(line: &str) -> Option<&str> {
    match line {
        "{{bad-handle}}" => Some("CS_ERR_BAD_HANDLE"),
        "{{over}}" => Some("CS_ERR_LIBRARY"),
        _ => line.strip_prefix("| `").and_then(|rest| rest.split('`').next()),
    }
}

/// Whether a file names a case, as a word of its own.
fn names(file: &File, case: &str) -> bool {
    file.text.split(|c: char| !c.is_alphanumeric()).any(|word| word == case)
}

/// The errors of a function's page that no program asks for: its own program anywhere, any other in
/// one statement with a call of the function.
fn errors_without_test(page: &File, tree: &Tree) -> Vec<Complaint> {
    let Some(function) = function_of(page) else { return Vec::new() };
    let own = format!("{PROGRAMS}c/{function}.c");
    let call = format!("{function}(");
    let programs: Vec<_> = tree.with_extension("c").collect();
    let is_tested = |error: &str| {
        programs.iter().filter(|file| file.path.starts_with(PROGRAMS)).any(|file| {
            let mut statements = file.text.split(';');
            let has = |text: &str| text.split(|c| !is_of_name(c)).any(|word| word == error);
            statements.any(|text| has(text) && (file.path == own || text.contains(&call)))
        })
    };
    let mut complaints = Vec::new();
    for (number, line) in page.lines() {
        let Some(error) = error_of(line) else { continue };
        if !is_tested(error) {
            complaints.push(page.complain(number, format!("no program sees {error}")));
        }
    }
    complaints
}

const fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    fn told(files: Vec<File>) -> Vec<String> {
        check(&Tree { files }).into_iter().map(|complaint| complaint.what).collect()
    }

    /// A page with these errors.
    fn page(errors: &str) -> String {
        SECTIONS.map(|heading| format!("{heading}\n")).concat() + errors
    }

    fn whole() -> Vec<File> {
        let rows: String = (1..=CASES).map(|n| format!("| R{n} | x | y |\n")).collect();
        let cases: String = (1..=CASES).map(|n| format!("R{n}, ")).collect();
        let pitfalls: String = PITFALLS.map(|n| format!("D{n} ")).concat();
        vec![
            file(PAGE, &rows),
            file("crates/libevs/tests/c/all.c", &format!("/* {cases} {pitfalls} */")),
        ]
    }

    #[test]
    fn a_case_and_a_pitfall_have_tests() {
        assert!(told(whole()).is_empty());
        let mut files = whole();
        files[1].text = files[1].text.replace("R33, ", "R333, ").replace("D20 ", "");
        let wanted = ["no program and no decision names R33", "no test names D20"];
        assert_eq!(told(files), wanted);
    }

    #[test]
    fn an_error_of_a_page_is_seen_by_a_program() {
        let page = &page("| `CS_ERR_TIMEOUT` | late | wait |\n{{bad-handle}}\n{{over}}\n");
        let mut files = whole();
        files.push(file("crates/libevs/man/evs_join.3.md", page));
        files.push(file("crates/libevs/tests/c/evs_join.c", "CHECK(CS_ERR_BAD_HANDLE);"));
        let other = "CHECK_EQ(evs_leave(), CS_ERR_TIMEOUT); CHECK_EQ(evs_join(), CS_ERR_LIBRARY);";
        files.push(file("crates/libevs/tests/c/other.c", other));
        assert_eq!(told(files), ["no program sees CS_ERR_TIMEOUT"]);
    }

    #[test]
    fn a_page_tells_the_errors_that_a_program_sees_and_has_all_its_sections() {
        let mut files = whole();
        let text = page("{{bad-handle}}\n").replace("## Limits\n", "");
        files.push(file("crates/libevs/man/evs_join.3.md", &text));
        let program = "CHECK_EQ(evs_join(handle, &g, 1),\n CS_ERR_BAD_HANDLE); \
                       CHECK_EQ(evs_join(handle, &g, 51), CS_ERR_TOO_MANY_GROUPS);";
        files.push(file("crates/libevs/tests/c/evs_join.c", program));
        let wanted = [
            "has no section \"## Limits\"",
            "does not tell CS_ERR_TOO_MANY_GROUPS, which a test sees",
        ];
        assert_eq!(told(files), wanted);
    }
}
