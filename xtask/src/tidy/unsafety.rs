//! `unsafe` stands in two crates only, and each use of it says why it is sound.

use super::Complaint;
use super::tree::{File, Tree};

/// The crates that talk to the kernel or to C beyond what safe crates offer.
const ALLOWED: [&str; 2] = ["crates/evs-ipc/", "crates/libevs/"];

pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.with_extension("rs") {
        let allowed = ALLOWED.iter().any(|dir| file.path.starts_with(dir));
        let root = ["src/lib.rs", "src/main.rs"].iter().any(|root| file.path.ends_with(root));
        if root && !allowed && !file.text.contains("#![forbid(unsafe_code)]") {
            complaints.push(file.complain(0, "does not forbid unsafe code"));
        }
        for (number, _) in file.lines().filter(|(_, line)| uses_unsafe(line)) {
            if !allowed {
                complaints.push(file.complain(number, "unsafe code belongs to evs-ipc or libevs"));
            } else if !is_explained(file, number) {
                complaints.push(file.complain(number, "unsafe code without `SAFETY:`"));
            }
        }
    }
    complaints
}

/// Whether a line of code, comments and strings aside, holds the keyword.
fn uses_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or("");
    let word = |c: char| c.is_alphanumeric() || c == '_';
    // A string that opens on this line hides what follows it; the tree has no need of more.
    let code = code.split('"').next().unwrap_or("");
    code.split(|c| !word(c)).any(|w| w == KEYWORD) && !code.contains("#[unsafe(")
}

/// Whether the comment or the attributes above, or the line itself, give the reason; a function
/// gives it to its callers, in its documentation.
fn is_explained(file: &File, number: usize) -> bool {
    let lines: Vec<&str> = file.text.lines().take(number).collect();
    let (line, above) = lines.split_last().expect("a line has a number from 1");
    let about = |line: &&&str| {
        let line = line.trim_start();
        line.starts_with("//") || line.starts_with("#[") || line.ends_with('=')
    };
    let comment = above.iter().rev().take_while(about).chain([line]);
    let mut comment = comment.map(|line| line.trim_start());
    comment.any(|line| line.contains("SAFETY:") || line.contains("# Safety"))
}

const KEYWORD: &str = concat!("un", "safe");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_needs_a_reason_above_it() {
        let text =
            format!("// SAFETY: it is open.\nlet a = {KEYWORD} {{ f() }};\n\n{KEYWORD} {{}}\n");
        let file = File { path: "crates/libevs/src/a.rs".into(), text };
        assert!(is_explained(&file, 2));
        assert!(!is_explained(&file, 4));
    }

    #[test]
    fn the_word_counts_in_code_only() {
        assert!(uses_unsafe(&format!("let a = {KEYWORD} {{ f() }};")));
        assert!(!uses_unsafe(&format!("// {KEYWORD}")));
        assert!(!uses_unsafe(&format!("#![forbid({KEYWORD}_code)]")));
        assert!(!uses_unsafe(&format!("#[{KEYWORD}(no_mangle)]")));
    }
}
