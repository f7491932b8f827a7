//! What code and documents cite exists: sections, properties, decision pages, linked files.

use std::path::{Component, Path, PathBuf};

use super::Complaint;
use super::tree::{File, Tree};

const CONTRACT: &str = "docs/contract.md";
const PROTOCOL: &str = "docs/protocol.md";
const PITFALLS: &str = "docs/pitfalls.md";
const C_INTERFACE: &str = "docs/c-interface.md";

/// How code cites a section of it; in two parts, since this is no citation.
const SECTION_OF_PROTOCOL: &str = concat!("protocol.md`", " §");

/// Lines of `ARCHITECTURE.md`, which is for reading in one go.
const ARCHITECTURE_LINES_MAX: usize = 200;

pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let text = |path| tree.file(path).map_or("", |file| file.text.as_str());
    let (contract, protocol) = (text(CONTRACT), text(PROTOCOL));
    let (pitfalls, c_interface) = (text(PITFALLS), text(C_INTERFACE));
    for file in &tree.files {
        for (number, line) in file.lines() {
            for property in properties(line).filter(|p| !contract.contains(&format!("{p} "))) {
                complaints.push(file.complain(number, format!("{CONTRACT} has no {property}")));
            }
            for section in sections(line) {
                if !protocol.contains(&format!("\n## {section}. ")) {
                    let what = format!("{PROTOCOL} has no §{section}");
                    complaints.push(file.complain(number, what));
                }
            }
            for (letters, page, text) in
                [(&['P', 'D'][..], PITFALLS, pitfalls), (&['R'][..], C_INTERFACE, c_interface)]
            {
                let missing = |case: &&str| !text.contains(&format!("| {case} |"));
                for case in cases(line, letters).filter(missing) {
                    complaints.push(file.complain(number, format!("{page} has no {case}")));
                }
            }
            for page in decisions(line).filter(|page| !tree.files.iter().any(|f| is(f, page))) {
                complaints.push(file.complain(number, format!("there is no {page}")));
            }
        }
        if file.is("md") {
            complaints.extend(broken_links(file, tree));
            complaints.extend(stale_quotations(file, tree));
        }
        if let Some(page) = file.path.strip_prefix("docs/decisions/").filter(|p| *p != "README.md")
            && !text("docs/decisions/README.md").contains(&format!("]({page})"))
        {
            complaints.push(file.complain(0, "is not listed in docs/decisions/README.md"));
        }
        if file.path == "ARCHITECTURE.md" && file.text.lines().count() > ARCHITECTURE_LINES_MAX {
            let what = format!("more than {ARCHITECTURE_LINES_MAX} lines");
            complaints.push(file.complain(0, what));
        }
    }
    complaints
}

/// `EVS-5`, `LIVE-3`.
fn properties(line: &str) -> impl Iterator<Item = String> {
    ["EVS-", "LIVE-"].into_iter().flat_map(move |kind| {
        line.split(kind).skip(1).filter_map(move |rest| {
            let number = digits(rest);
            (!number.is_empty()).then(|| format!("{kind}{number}"))
        })
    })
}

/// `docs/protocol.md` §3.
fn sections(line: &str) -> impl Iterator<Item = &str> {
    line.split(SECTION_OF_PROTOCOL).skip(1).map(digits)
}

/// P45 or R14, in a comment: one of the pitfalls, or of the cases, that a page lists.
fn cases<'a>(line: &'a str, letters: &'a [char]) -> impl Iterator<Item = &'a str> {
    let start = ["//", "/*"].into_iter().filter_map(|mark| line.find(mark)).min();
    let words = start.map_or("", |start| &line[start..]).split(|c: char| !c.is_alphanumeric());
    words.filter(move |word| word.strip_prefix(letters).is_some_and(is_number))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && digits(text) == text
}

/// `docs/decisions/0003`.
fn decisions(line: &str) -> impl Iterator<Item = String> {
    const DIR: &str = "docs/decisions/";
    line.split(DIR).skip(1).filter_map(|rest| {
        let number = digits(rest);
        (!number.is_empty()).then(|| format!("{DIR}{number}"))
    })
}

fn is(file: &File, page: &str) -> bool {
    file.path.strip_prefix(page).is_some_and(|rest| rest.starts_with('-'))
}

fn digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}

/// Links to files that are not there.
fn broken_links(file: &File, tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (number, target) in links(&file.text) {
        let path = linked(Path::new(&file.path), target);
        let path = path.to_string_lossy();
        let inside = |f: &File| f.path.strip_prefix(&*path).is_some_and(|r| r.starts_with('/'));
        let exists = tree.file(&path).is_some()
            || path.starts_with("LICENSE-")
            || tree.files.iter().any(inside);
        if !exists {
            complaints.push(file.complain(number, format!("links to {target}: not there")));
        }
    }
    complaints
}

/// The files that a document links to, as they are written, each with the number of its line.
pub(crate) fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    let lines = (1..).zip(text.lines()).filter(move |(_, line)| {
        is_code ^= line.starts_with("```");
        // What looks like a link there is a function without captures in C++.
        !is_code
    });
    lines.flat_map(|(number, line)| {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        let targets = targets.map(|(target, _)| target.split('#').next().unwrap_or(""));
        let files = targets.filter(|target| !target.is_empty() && !target.contains("://"));
        files.map(move |target| (number, target))
    })
}

/// Where a link in a document leads to.
pub(crate) fn linked(document: &Path, target: &str) -> PathBuf {
    plain(&document.parent().unwrap_or_else(|| Path::new("")).join(target))
}

/// Code under a comment that names a file is that file's, line by line.
fn stale_quotations(page: &File, tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut lines = page.lines().peekable();
    while let Some((number, line)) = lines.next() {
        let path = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
        let Some(path) = path else { continue };
        if lines.next_if(|(_, line)| line.starts_with("```")).is_none() {
            continue;
        }
        let mut quoted = String::new();
        for (_, line) in lines.by_ref().take_while(|(_, line)| *line != "```") {
            quoted.push_str(line);
            quoted.push('\n');
        }
        match tree.file(path) {
            Some(file) if file.text == quoted => {}
            Some(_) => complaints.push(page.complain(number, format!("differs from {path}"))),
            None => complaints.push(page.complain(number, format!("there is no {path}"))),
        }
    }
    complaints
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::Normal(name) => plain.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn citations_are_found_in_a_line() {
        assert!(properties("as EVS-7 and LIVE-1 (EVS-RE) say").eq(["EVS-7", "LIVE-1"]));
        assert!(sections("see `docs/protocol.md` §4, Totem §5.1").eq(["4"]));
        assert!(cases("call(); // sent once (P4, P23), P2P", &['P']).eq(["P4", "P23"]));
        assert!(cases("check(x); /* R14 */", &['R']).eq(["R14"]));
        assert!(decisions("(docs/decisions/0003)").eq(["docs/decisions/0003"]));
    }

    #[test]
    fn a_quotation_is_its_files_text() {
        let page = |code: &str| {
            let text = format!("<!-- a.c -->\n```c\n{code}\n```\n");
            File { path: "a.md".into(), text }
        };
        let tree = Tree { files: vec![File { path: "a.c".into(), text: "int a;\n".into() }] };
        assert!(stale_quotations(&page("int a;"), &tree).is_empty());
        assert_eq!(stale_quotations(&page("int b;"), &tree).len(), 1);
    }

    #[test]
    fn a_link_to_a_missing_file_is_named() {
        const TEXT: &str = "[b](../b.md) [c](c.md#x)\n```cpp\n[](int a) {}\n```\n";
        let page = File { path: "docs/a.md".into(), text: TEXT.into() };
        let other = File { path: "b.md".into(), text: String::new() };
        let tree = Tree { files: vec![other, page] };
        let complaints = broken_links(&tree.files[1], &tree);
        assert_eq!(complaints, [tree.files[1].complain(1, "links to c.md: not there")]);
    }
}
