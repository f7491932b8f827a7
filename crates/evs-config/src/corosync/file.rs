//! The form of `corosync.conf`: sections in braces, lines of a key, a colon and a value.

use std::fmt;

/// A section, with what it holds in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) entries: Vec<Entry>,
    pub(super) sections: Vec<Self>,
}

/// One line of a section.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) line: usize,
}

/// Why a text is no file of Corosync.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.what)
    }
}

impl std::error::Error for SyntaxError {}

/// The longest text that is read, in bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// How deep sections may be nested: the file has two levels.
const DEPTH_MAX: usize = 8;

impl Section {
    /// Reads a whole file: a section without a name.
    pub(super) fn parse(text: &str) -> Result<Self, SyntaxError> {
        let error = |line, what: &str| Err(SyntaxError { line, what: what.to_owned() });
        if text.len() > TEXT_BYTES_MAX {
            return error(1, "the file is longer than 1 MiB");
        }
        let mut open = vec![Self::default()];
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            if let Some(name) = content.strip_suffix('{') {
                if open.len() > DEPTH_MAX {
                    return error(line, "sections are nested too deep");
                }
                open.push(Self { name: name.trim().to_owned(), line, ..Self::default() });
            } else if content == "}" {
                let section = open.pop().filter(|_| !open.is_empty());
                let (Some(section), Some(parent)) = (section, open.last_mut()) else {
                    return error(line, "a } without a section that it closes");
                };
                parent.sections.push(section);
            } else if let (Some((key, value)), Some(section)) =
                (content.split_once(':'), open.last_mut())
            {
                let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
                section.entries.push(Entry { key, value, line });
            } else {
                return error(line, "neither `key: value` nor the begin or end of a section");
            }
        }
        match open.pop() {
            Some(root) if open.is_empty() => Ok(root),
            Some(section) => error(section.line, "a section that is not closed by a }"),
            None => error(1, "no file"),
        }
    }

    /// The sections of this name.
    pub(super) fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Self> {
        self.sections.iter().filter(move |section| section.name == name)
    }

    /// The sections of this name as one, as Corosync reads them; `None`: there is none.
    pub(super) fn merged(&self, name: &str) -> Option<Self> {
        self.all(name).cloned().reduce(|mut whole, more| {
            whole.entries.extend(more.entries);
            whole.sections.extend(more.sections);
            whole
        })
    }

    /// The last line with this key, which is the one that counts.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }
}
