//! Manual pages from their readable source: a little Markdown, as in `crates/libevs/man/*.md`,
//! becomes roff.
//!
//! | source | page |
//! | --- | --- |
//! | `# name(3)`, then a line | title, and what it is in one line |
//! | `## Errors` | a section |
//! | `### Use` | a part of one |
//! | `- word: text`, continued by indented lines | a list with tags; of numbers if they begin with `1.` |
//! | lines between pipes | a table; its second line is left out |
//! | lines indented by four | as they are |
//! | `` `word` ``, `*word*`, `name(3)` | bold, italic, a page |
//! | `{{name}}` | the section `name` of `common.md` |

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// What pages have in common.
const COMMON: &str = "common.md";

/// The day that all pages bear: that of their last revision.
pub(crate) const DATE: &str = "2026-11-22";

/// Every page of a directory: its file's name and its text.
///
/// # Errors
/// A file cannot be read, or is not written as it should be.
pub(crate) fn pages(dir: &Path) -> Result<Vec<(String, String)>> {
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let common = dir.join(COMMON);
    let common = if common.exists() { read(&common)? } else { String::new() };
    let mut pages = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(page) = name.strip_suffix(".md").filter(|_| name != COMMON) else { continue };
        let text = page_of(&read(&path)?, &common).with_context(|| name.clone())?;
        pages.push((page.to_owned(), text));
    }
    pages.sort();
    Ok(pages)
}

/// One page.
fn page_of(source: &str, common: &str) -> Result<String> {
    let source = with_common(source, common)?;
    let mut lines = source.lines();
    let title = lines.next().and_then(|line| line.strip_prefix("# ")).context("no title")?;
    let (name, section) =
        title.strip_suffix(')').and_then(|t| t.split_once('(')).context("no section")?;
    let brief = lines.find(|line| !line.is_empty()).context("not said what it is")?;
    let mut out = String::from("'\\\" t\n");
    let upper = name.to_uppercase();
    write!(out, ".TH {upper} {section} {DATE} evs \"EVS group communication\"\n.SH NAME\n")?;
    wrapped(&format!("{name} \\- {}", inline(brief)), &mut out);
    blocks(&lines.collect::<Vec<_>>(), &mut out)?;
    Ok(out)
}

/// Puts in what `{{name}}` stands for, alone on its line.
fn with_common(source: &str, common: &str) -> Result<String> {
    let mut text = String::new();
    for line in source.lines() {
        match line.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
            Some(name) => {
                let heading = format!("## {name}");
                let mut found = common.lines().skip_while(|line| *line != heading);
                found.next().with_context(|| format!("{COMMON} has no {name}"))?;
                let body: Vec<_> = found.take_while(|line| !line.starts_with("## ")).collect();
                text.push_str(body.join("\n").trim());
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    Ok(text)
}

/// What the lines from the first on are.
fn blocks(mut lines: &[&str], out: &mut String) -> Result<()> {
    let mut fresh = true;
    while let [first, rest @ ..] = lines {
        if first.is_empty() {
            lines = rest;
        } else if let Some(heading) = first.strip_prefix("## ") {
            writeln!(out, ".SH {}", heading.to_uppercase())?;
            (fresh, lines) = (true, rest);
        } else if let Some(heading) = first.strip_prefix("### ") {
            writeln!(out, ".SS {}", inline(heading))?;
            (fresh, lines) = (true, rest);
        } else {
            let is_code = first.starts_with("    ");
            let belongs = |line: &&&str| {
                if is_code { line.is_empty() || line.starts_with("    ") } else { !line.is_empty() }
            };
            let mut count = lines.iter().take_while(belongs).count();
            while lines[count - 1].is_empty() {
                count -= 1;
            }
            let (block, after) = lines.split_at(count);
            match () {
                () if is_code => code(block, fresh, out),
                () if first.starts_with("| ") => table(block, fresh, out)?,
                () if first.starts_with("- ") || first.starts_with("1. ") => list(block, out)?,
                () => paragraph(block, fresh, out),
            }
            (fresh, lines) = (false, after);
        }
    }
    Ok(())
}

fn paragraph(block: &[&str], fresh: bool, out: &mut String) {
    if !fresh {
        out.push_str(".PP\n");
    }
    text(block.iter().copied(), out);
}

fn text<'a>(block: impl Iterator<Item = &'a str>, out: &mut String) {
    for line in block {
        wrapped(&inline(line.trim()), out);
    }
}

/// Text in lines of the length that readers of roff expect.
pub(crate) fn wrapped(text: &str, out: &mut String) {
    const COLUMNS: usize = 78;
    let mut length = 0;
    for word in text.split(' ') {
        let fits = length > 0 && length + 1 + word.len() <= COLUMNS;
        match length {
            0 => {}
            _ if fits => out.push(' '),
            _ => out.push('\n'),
        }
        if !fits {
            length = 0;
            if word.starts_with(['.', '\'']) {
                out.push_str("\\&");
            }
        }
        out.push_str(word);
        length += word.len() + usize::from(fits);
    }
    out.push('\n');
}

fn code(block: &[&str], fresh: bool, out: &mut String) {
    out.push_str(if fresh { ".nf\n" } else { ".PP\n.nf\n.RS 4\n" });
    for line in block {
        let line = literal(line.strip_prefix("    ").unwrap_or(line));
        out.push_str(if line.starts_with('.') { "\\&" } else { "" });
        out.push_str(&line);
        out.push('\n');
    }
    out.push_str(if fresh { ".fi\n" } else { ".RE\n.fi\n" });
}

/// A list: entries begin in the first column, what continues them does not.
fn list(block: &[&str], out: &mut String) -> Result<()> {
    let mut number = 0;
    for line in block {
        if let Some(entry) = line.strip_prefix("- ") {
            let (tag, rest) = entry.split_once(": ").context("an entry of a list has no tag")?;
            writeln!(out, ".TP\n{}", inline(tag))?;
            text([rest].into_iter(), out);
        } else if line.starts_with(|c: char| c.is_ascii_digit()) {
            number += 1;
            let (_, rest) = line.split_once(". ").context("an entry has no number")?;
            writeln!(out, ".IP {number}. 4")?;
            text([rest].into_iter(), out);
        } else {
            text([*line].into_iter(), out);
        }
    }
    Ok(())
}

/// A table of three columns: what is named, and two of text.
fn table(block: &[&str], fresh: bool, out: &mut String) -> Result<()> {
    out.push_str(if fresh { "" } else { ".PP\n" });
    out.push_str(".TS\ntab(@);\nlB lB lB\nl lw(24) lw(18).\n");
    for (i, line) in block.iter().enumerate().filter(|(i, _)| *i != 1) {
        let cells: Vec<_> = line.trim_matches(['|', ' ']).split(" | ").map(inline).collect();
        let [name, cause, deed] = cells.as_slice() else { bail!("no three columns: {line}") };
        if i == 0 {
            writeln!(out, "{name}@{cause}@{deed}")?;
        } else {
            let cell = |text: &str| {
                let mut lines = String::from("T{\n.ad l\n");
                wrapped(text, &mut lines);
                lines + "T}"
            };
            writeln!(out, "\n{name}@{}@{}", cell(cause), cell(deed))?;
        }
    }
    out.push_str(".TE\n");
    Ok(())
}

/// Text with its marks.
fn inline(line: &str) -> String {
    let mut out = String::new();
    for (i, piece) in line.split('`').enumerate() {
        if i % 2 == 1 {
            out.push_str(&format!("\\fB{}\\fP", literal(piece)));
            continue;
        }
        for (i, piece) in piece.split('*').enumerate() {
            if i % 2 == 1 {
                out.push_str(&format!("\\fI{}\\fP", literal(piece)));
            } else {
                out.push_str(&pages_named(piece));
            }
        }
    }
    out
}

/// Names of pages, like `evs_join(3)`, in bold.
fn pages_named(text: &str) -> String {
    let mut out = String::new();
    for (i, word) in text.split(' ').enumerate() {
        if i > 0 {
            out.push(' ');
        }
        let named = word.split_once('(').filter(|(name, rest)| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
                && rest.starts_with(|c: char| c.is_ascii_digit())
                && rest[1..].starts_with(')')
        });
        match named {
            Some((name, rest)) => out.push_str(&format!("\\fB{}\\fP({rest}", literal(name))),
            None => out.push_str(&word.replace('\\', "\\e")),
        }
    }
    out
}

/// What is to be read as it stands.
fn literal(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON_TEXT: &str = "# Common\n\n## gone\n\nNothing\nwaits.\n\n## other\nNo.\n";

    fn body(source: &str) -> String {
        let page = page_of(&format!("# f(3)\n\ndo it\n\n## Description\n\n{source}"), COMMON_TEXT);
        let page = page.expect("a page");
        let body = page.split_once(".SH DESCRIPTION\n").expect("its section").1;
        body.to_owned()
    }

    #[test]
    fn a_page_begins_with_its_title_and_what_it_is() {
        let page = page_of("# evs_join(3)\n\njoin groups\n", "").expect("a page");
        let lines: Vec<_> = page.lines().collect();
        assert!(lines[1].starts_with(".TH EVS_JOIN 3 "), "{page}");
        assert_eq!(lines[2..], [".SH NAME", "evs_join \\- join groups"]);
    }

    #[test]
    fn marks_become_fonts_and_nothing_is_taken_for_a_command() {
        assert_eq!(
            body("`a-b` *it* evs_join(3), (3) x\\y"),
            "\\fBa\\-b\\fP \\fIit\\fP \
                   \\fBevs_join\\fP(3), (3) x\\ey\n"
        );
        assert_eq!(body(".hidden"), "\\&.hidden\n");
        assert_eq!(body("    .x = 'a'"), ".nf\n\\&.x = \\(aqa\\(aq\n.fi\n");
    }

    #[test]
    fn lists_have_tags_or_numbers() {
        assert_eq!(
            body("- `A`: one\n  two\n- `B`: three"),
            ".TP\n\\fBA\\fP\none\ntwo\n.TP\n\
                   \\fBB\\fP\nthree\n"
        );
        assert_eq!(body("1. one\n2. two"), ".IP 1. 4\none\n.IP 2. 4\ntwo\n");
    }

    #[test]
    fn a_table_has_three_columns() {
        let table = body("| error | cause | deed |\n| --- | --- | --- |\n| `E` | it *is* | mend |");
        let rows =
            "error@cause@deed\n\n\\fBE\\fP@T{\n.ad l\nit \\fIis\\fP\nT}@T{\n.ad l\nmend\nT}\n";
        assert!(table.ends_with(&format!("{rows}.TE\n")), "{table}");
        assert!(page_of("# f(3)\n\ndo it\n\n| a | b |\n", "").is_err());
    }

    #[test]
    fn what_pages_share_is_put_in_and_must_be_there() {
        assert_eq!(body("{{gone}}\nFor ever."), "Nothing\nwaits.\nFor ever.\n");
        assert!(page_of("# f(3)\n\ndo it\n\n{{unknown}}\n", COMMON_TEXT).is_err());
    }

    #[test]
    fn lines_are_short() {
        let text = body(&"word ".repeat(60));
        assert!(text.lines().all(|line| line.len() <= 78) && text.lines().count() == 4, "{text}");
    }
}
