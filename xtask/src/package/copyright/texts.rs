//! Licences: their names in Debian and their texts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

/// What a text is known by: its name in Cargo and in Debian, words that it alone has, where it
/// begins to be the same for all.
const KNOWN: [(&str, &str, &str, &str); 6] = [
    ("MIT", "Expat", "to deal in the Software without restriction", "Permission is hereby granted"),
    ("ISC", "ISC", "and/or distribute this software for any purpose", "Permission to use"),
    ("Zlib", "Zlib", "This software is provided 'as-is'", "This software is provided"),
    ("Unlicense", "Unlicense", "free and unencumbered software", "This is free"),
    ("BSL-1.0", "BSL-1.0", "Boost Software License", "Permission is hereby granted"),
    (LLVM, "Apache-2.0 with LLVM exception", "LLVM Exceptions to the Apache", "As an exception"),
];

/// None of these is longer; what is has more in it.
const TEXT_BYTES_MAX: usize = 2_000;

const LLVM: &str = "Apache-2.0 WITH LLVM-exception";

/// Names that are the same in Debian, and `debian/copyright` has or a crate brings the text.
const SAME: [&str; 3] = ["Apache-2.0", "BSD-3-Clause", "MIT-0"];

/// What stands for a text that every Debian system has; Debian wants it so.
const APACHE: &str = "[The Apache License, Version 2.0: /usr/share/common-licenses/Apache-2.0]";
const APACHE_ENDS: [&str; 2] = ["limitations under the License.", "END OF TERMS AND CONDITIONS"];

/// The texts that were met: by licence, each as it is the same for all, and as it was met first.
#[derive(Debug)]
pub(super) struct Texts {
    known: BTreeMap<&'static str, Vec<(String, String)>>,
}

/// What one crate's files say.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) copyright: Vec<String>,
    /// The licences whose texts are told elsewhere, by their names in Cargo and there.
    pub(super) names: BTreeMap<&'static str, String>,
    /// What is told with the crate.
    pub(super) others: Vec<String>,
}

impl Texts {
    /// With the texts of our own file.
    pub(super) fn new(own: &str) -> Self {
        let mut texts = Self { known: BTreeMap::new() };
        for paragraph in own.split("\n\n").filter(|p| p.starts_with("License: ")) {
            let lines = paragraph.lines().skip(1).map(|line| line.trim_start());
            let lines: Vec<_> = lines.map(|line| if line == "." { "" } else { line }).collect();
            texts.take("", &[lines.join("\n")]);
        }
        texts
    }

    /// Reads the files of a crate.
    pub(super) fn take(&mut self, crate_name: &str, files: &[String]) -> Found {
        let mut found = Found::default();
        let mut copyright = BTreeSet::new();
        for file in files {
            let text = without_apache(file);
            copyright.extend(text.lines().filter_map(copyright_of).map(str::to_owned));
            let rest: Vec<_> = text.lines().filter(|line| copyright_of(line).is_none()).collect();
            let rest = rest.join("\n");
            let told = words(&rest);
            let is = |(_, _, mark, _): &&(_, _, &str, _)| told.contains(&words(mark));
            let known: Vec<_> = KNOWN.iter().filter(is).collect();
            match known[..] {
                [(name, debian, _, begin)] if told.len() <= TEXT_BYTES_MAX => {
                    let place = self.place(debian, &told, begin, &rest);
                    let nth = if place == 0 { String::new() } else { format!("-{}", place + 1) };
                    found.names.insert(*name, format!("{debian}{nth}"));
                }
                _ if is_said_elsewhere(&rest) || crate_name.is_empty() => {}
                _ => found.others.push(rest.trim().to_owned()),
            }
        }
        found.copyright = copyright.into_iter().collect();
        found
    }

    /// Which of the texts of this licence it is.
    fn place(&mut self, debian: &'static str, told: &str, begin: &str, text: &str) -> usize {
        let same = told.find(&words(begin)).map_or(told, |at| &told[at..]).to_owned();
        let texts = self.known.entry(debian).or_default();
        texts.iter().position(|(known, _)| *known == same).unwrap_or_else(|| {
            texts.push((same, text.to_owned()));
            texts.len() - 1
        })
    }

    /// A paragraph for each text that our own file does not have.
    pub(super) fn paragraphs(&self) -> String {
        let mut all = String::new();
        for (name, texts) in &self.known {
            for (place, (_, text)) in texts.iter().enumerate() {
                let nth = if place == 0 { String::new() } else { format!("-{}", place + 1) };
                if (*name, place) != ("Expat", 0) {
                    all += &format!("\nLicense: {name}{nth}\n{}", indented(text.trim()));
                }
            }
        }
        all
    }
}

/// A licence as Debian writes it: `and` binds closer than `or`, and a comma less than both.
///
/// # Errors
/// A part of it is not known.
pub(super) fn expression(spdx: &str, names: &BTreeMap<&'static str, String>) -> Result<String> {
    let spdx = spdx.replace('/', " OR ");
    let mut parts = Vec::new();
    for part in spdx.split(" AND ") {
        let alternatives = part.trim_matches(['(', ')']).split(" OR ");
        let named: Result<Vec<_>> = alternatives.map(|name| debian_name(name, names)).collect();
        parts.push(named?.join(" or "));
    }
    // Those with a choice first, so that no comma is needed after the last.
    parts.sort_by_key(|part| !part.contains(" or "));
    parts.dedup();
    Ok(parts.join(", and "))
}

fn debian_name(name: &str, names: &BTreeMap<&'static str, String>) -> Result<String> {
    let name = name.trim();
    if let Some(told) = names.get(name) {
        return Ok(told.clone());
    }
    let known = KNOWN.iter().find(|(cargo, ..)| *cargo == name).map(|(_, debian, ..)| *debian);
    match known.or_else(|| SAME.into_iter().find(|same| *same == name)) {
        Some(known) => Ok(known.to_owned()),
        None => bail!("{name:?} has no name in xtask/src/package/copyright/texts.rs yet"),
    }
}

/// A text as lines of a field.
pub(super) fn indented(text: &str) -> String {
    let line = |line: &str| match line.trim_end() {
        "" => " .\n".to_owned(),
        some => format!(" {some}\n"),
    };
    text.lines().map(line).collect()
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whose copyright it is, if a line says so; not what is to be filled in.
fn copyright_of(line: &str) -> Option<&str> {
    let line = line.trim();
    let whose = line.strip_prefix("Copyright ")?;
    let is_name = |c: char| c.is_ascii_digit() || c.is_uppercase() || "(©".contains(c);
    let says = whose.starts_with(is_name) && !line.contains(['[', '{']);
    says.then_some(line)
}

/// The text with a line in the place of the Apache License.
fn without_apache(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((line, after)) = rest.split_once('\n') {
        let end = APACHE_ENDS.iter().find_map(|end| Some(after.find(end)? + end.len()));
        let end = end.filter(|_| line.trim() == "Apache License");
        kept += if end.is_some() { APACHE } else { line };
        kept.push('\n');
        rest = end.map_or(after, |end| &after[end..]);
    }
    kept + rest
}

/// Nothing but where the texts are, which stand beside it.
fn is_said_elsewhere(text: &str) -> bool {
    let rest = words(&text.replace(APACHE, ""));
    rest.is_empty() || rest.starts_with("This project is dual-licensed")
}
