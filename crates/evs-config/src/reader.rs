//! Reads a TOML document key by key and remembers every mistake with its line and its key.
//!
//! Responsible for: types, ranges, missing and unknown keys, and the text of those mistakes.
//! Not responsible for: what the values mean together (`config.rs`).
//!
//! A section learns which keys exist from being asked for them, so the list of known keys cannot
//! differ from the code that reads them.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One mistake in a configuration file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// The line, from 1; `None` where the mistake is in no line, such as a file that is missing.
    pub line: Option<usize>,
    /// The full name of the key, such as `cluster.nodes[2].address`; empty for a syntax error.
    pub key: String,
    /// What is wrong with it, and what would be right.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "{line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)
    }
}

/// A value with the place it came from; a default has no line.
#[derive(Clone, Debug)]
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) line: Option<usize>,
    pub(crate) key: String,
}

impl<T> Found<T> {
    pub(crate) fn mistake(&self, what: impl Into<String>) -> Mistake {
        Mistake { line: self.line, key: self.key.clone(), what: what.into() }
    }
}

/// The text, the mistakes found so far, and the keys that exist.
pub(crate) struct Document<'t> {
    text: &'t str,
    mistakes: RefCell<Vec<Mistake>>,
    known: RefCell<Vec<(String, &'static str)>>,
    unknown: RefCell<Vec<Unknown>>,
}

struct Unknown {
    section: String,
    key: String,
    line: usize,
}

impl<'t> Document<'t> {
    pub(crate) const fn new(text: &'t str) -> Self {
        Self {
            text,
            mistakes: RefCell::new(Vec::new()),
            known: RefCell::new(Vec::new()),
            unknown: RefCell::new(Vec::new()),
        }
    }

    pub(crate) fn report(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().push(mistake);
    }

    /// Parses the text. Syntax errors are reported; what could be read is returned.
    pub(crate) fn parse(&self) -> Spanned<DeTable<'t>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let line = error.span().map(|span| self.line(&span));
            self.report(Mistake { line, key: String::new(), what: error.message().to_owned() });
        }
        table
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.mistakes.borrow().is_empty()
    }

    /// Every key that was asked for, with its section.
    pub(super) fn known(&self) -> Vec<(String, &'static str)> {
        self.known.borrow().clone()
    }

    /// All mistakes in the order of their lines.
    pub(crate) fn finish(self) -> Vec<Mistake> {
        let known = self.known.into_inner();
        let mut mistakes = self.mistakes.into_inner();
        mistakes.extend(self.unknown.into_inner().iter().map(|u| u.mistake(&known)));
        mistakes.sort_by_key(|mistake| mistake.line);
        mistakes
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

impl Unknown {
    fn mistake(&self, known: &[(String, &'static str)]) -> Mistake {
        let here = known.iter().filter(|(section, _)| *section == self.section);
        let near = here
            .map(|(_, key)| (strsim::damerau_levenshtein(key, &self.key), *key))
            .filter(|(distance, key)| *distance <= 3 && *distance < key.len())
            .min();
        let elsewhere = known.iter().find(|(_, key)| *key == self.key);
        let what = match (near, elsewhere) {
            (Some((_, key)), _) => format!("unknown key; did you mean `{key}`?"),
            (None, Some((section, _))) if section.is_empty() => {
                "unknown key here; it stands before the first section".to_owned()
            }
            (None, Some((section, _))) => format!("unknown key here; it belongs in [{section}]"),
            (None, None) => "unknown key".to_owned(),
        };
        Mistake { line: Some(self.line), key: join(&self.section, &self.key), what }
    }
}

/// A table of the document. Without a table (an optional section that is not there) every key has
/// its default.
pub(crate) struct Section<'d> {
    document: &'d Document<'d>,
    path: String,
    line: Option<usize>,
    table: Option<&'d DeTable<'d>>,
    known: Vec<&'static str>,
}

impl<'d> Section<'d> {
    pub(crate) fn root(document: &'d Document<'d>, table: &'d Spanned<DeTable<'d>>) -> Self {
        Self::new(document, String::new(), None, Some(table.get_ref()))
    }

    const fn new(
        document: &'d Document<'d>,
        path: String,
        line: Option<usize>,
        table: Option<&'d DeTable<'d>>,
    ) -> Self {
        Self { document, path, line, table, known: Vec::new() }
    }

    /// A section below this one. One that is missing is a mistake if it is required.
    pub(crate) fn section(&mut self, key: &'static str, required: bool) -> Self {
        let path = join(&self.path, key);
        let Some((line, value)) = self.entry(key) else {
            if required && self.table.is_some() {
                let what = format!("the section [{path}] is missing");
                self.document.report(Mistake { line: None, key: path.clone(), what });
            }
            return Self::new(self.document, path, None, None);
        };
        let table = value.as_table();
        if table.is_none() {
            let what = format!("is {}, not a section [{path}]", kind(value));
            self.document.report(Mistake { line: Some(line), key: path.clone(), what });
        }
        Self::new(self.document, path, Some(line), table)
    }

    /// The sections of an array of tables, in order. None at all is a mistake.
    pub(crate) fn sections_required(&mut self, key: &'static str) -> Vec<Self> {
        if self.entry(key).is_none() {
            let path = join(&self.path, key);
            self.missing(key, &format!("at least one section [[{path}]]"));
        }
        self.sections(key)
    }

    /// The sections of an array of tables, in order, if there are any.
    pub(crate) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let path = join(&self.path, key);
        let Some((line, value)) = self.entry(key) else {
            return Vec::new();
        };
        let wrong = |line, value: &DeValue<'_>| {
            let what = format!("is {}, not sections [[{path}]]", kind(value));
            self.document.report(Mistake { line: Some(line), key: path.clone(), what });
        };
        let Some(array) = value.as_array() else {
            wrong(line, value);
            return Vec::new();
        };
        let mut sections = Vec::with_capacity(array.len());
        for (i, item) in array.iter().enumerate() {
            let line = self.document.line(&item.span());
            match item.get_ref().as_table() {
                Some(table) => {
                    let path = format!("{path}[{}]", i + 1);
                    sections.push(Self::new(self.document, path, Some(line), Some(table)));
                }
                None => wrong(line, item.get_ref()),
            }
        }
        sections
    }

    /// A text that may be left out.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<Found<String>> {
        let (line, value) = self.entry(key)?;
        let key = join(&self.path, key);
        match value.as_str() {
            Some(text) => Some(Found { value: text.to_owned(), line: Some(line), key }),
            None => {
                let what = format!("is {}, not a text in \"quotes\"", kind(value));
                self.document.report(Mistake { line: Some(line), key, what });
                None
            }
        }
    }

    /// A text with a default.
    pub(crate) fn text_or(&mut self, key: &'static str, default: &str) -> Found<String> {
        self.text(key).unwrap_or_else(|| self.default(key, default.to_owned()))
    }

    /// A text that must be there; `example` is shown if it is not.
    pub(crate) fn text_required(&mut self, key: &'static str, like: &str) -> Option<Found<String>> {
        if self.entry(key).is_none() {
            self.missing(key, like);
        }
        self.text(key)
    }

    /// A number in a range, or the default.
    pub(crate) fn number_or(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Found<u64> {
        self.number(key, range).unwrap_or_else(|| self.default(key, default))
    }

    /// A number that must be there; `example` is shown if it is not.
    pub(crate) fn number_required(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        like: &str,
    ) -> Option<Found<u64>> {
        if self.entry(key).is_none() {
            self.missing(key, like);
        }
        self.number(key, range)
    }

    /// A number that may be left out.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<Found<u64>> {
        let (line, value) = self.entry(key)?;
        let found = Found { value: (), line: Some(line), key: join(&self.path, key) };
        match integer(value) {
            Ok(number) if range.contains(&number) => {
                Some(Found { value: number, line: found.line, key: found.key })
            }
            Ok(_) | Err(NotANumber::TooLarge) => {
                let (min, max) = (range.start(), range.end());
                let what = format!("is {}, out of its range {min} to {max}", shown(value));
                self.document.report(found.mistake(what));
                None
            }
            Err(NotANumber::OtherKind) => {
                let what = format!("is {}, not a whole number", kind(value));
                self.document.report(found.mistake(what));
                None
            }
        }
    }

    /// Yes or no, if it is there.
    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let (line, value) = self.entry(key)?;
        let flag = value.as_bool();
        if flag.is_none() {
            let what = format!("is {}, not true or false", kind(value));
            self.document.report(Mistake { line: Some(line), key: join(&self.path, key), what });
        }
        flag
    }

    /// A list of numbers of 32 bits with at most `max` entries; left out, it is empty.
    pub(crate) fn numbers(&mut self, key: &'static str, max: usize) -> Vec<u32> {
        let Some((line, value)) = self.entry(key) else { return Vec::new() };
        let found = Found { value: (), line: Some(line), key: join(&self.path, key) };
        let Some(array) = value.as_array() else {
            let what = format!("is {}, not a list of numbers like [1000, 1001]", kind(value));
            self.document.report(found.mistake(what));
            return Vec::new();
        };
        if array.len() > max {
            let what = format!("has {} entries, the limit is {max}", array.len());
            self.document.report(found.mistake(what));
        }
        let mut numbers = Vec::with_capacity(array.len().min(max));
        for item in array.iter().take(max) {
            match integer(item.get_ref()).map(u32::try_from) {
                Ok(Ok(number)) => numbers.push(number),
                Ok(Err(_)) | Err(_) => {
                    let what = format!(
                        "holds {}, out of the range 0 to {}",
                        shown(item.get_ref()),
                        u32::MAX
                    );
                    let line = Some(self.document.line(&item.span()));
                    self.document.report(Mistake { line, key: found.key.clone(), what });
                }
            }
        }
        numbers
    }

    /// A list of texts with 1 to `max` entries; `None` if it is left out or no such list, which was
    /// reported.
    pub(crate) fn texts(&mut self, key: &'static str, max: usize) -> Option<Vec<Found<String>>> {
        let (line, value) = self.entry(key)?;
        let found = Found { value: (), line: Some(line), key: join(&self.path, key) };
        let array = value.as_array().map(|array| array.iter().collect::<Vec<_>>());
        let array = array.unwrap_or_default();
        if array.is_empty() || array.len() > max {
            let what = format!("is no list of 1 to {max} texts in \"quotes\"");
            self.document.report(found.mistake(what));
            return Some(Vec::new());
        }
        let mut texts = Vec::with_capacity(array.len());
        for item in array {
            let line = Some(self.document.line(&item.span()));
            match item.get_ref().as_str() {
                Some(text) => {
                    let (value, key) = (text.to_owned(), found.key.clone());
                    texts.push(Found { value, line, key });
                }
                None => {
                    let what = format!("holds {}, not a text in \"quotes\"", kind(item.get_ref()));
                    self.document.report(Mistake { line, key: found.key.clone(), what });
                }
            }
        }
        Some(texts)
    }

    /// The whole section is a mistake.
    pub(crate) fn refuse(self, what: &str) {
        let (line, key) = (self.line, self.path);
        self.document.report(Mistake { line, key, what: what.to_owned() });
    }

    /// Ends the section: every key that nobody asked for is a mistake.
    pub(crate) fn finish(self) {
        // The sections of one array share their keys, so the number in brackets goes.
        let section = self.path.split('[').next().unwrap_or_default().to_owned();
        let mut known = self.document.known.borrow_mut();
        known.extend(self.known.iter().map(|key| (section.clone(), *key)));
        for (key, _) in self.table.into_iter().flatten() {
            if !self.known.contains(&key.get_ref().as_ref()) {
                self.document.unknown.borrow_mut().push(Unknown {
                    section: section.clone(),
                    key: key.get_ref().clone().into_owned(),
                    line: self.document.line(&key.span()),
                });
            }
        }
    }

    fn missing(&self, key: &str, like: &str) {
        if self.table.is_some() {
            let what = format!("is missing; it is required, like {like}");
            self.document.report(Mistake { line: self.line, key: join(&self.path, key), what });
        }
    }

    fn default<T>(&self, key: &str, value: T) -> Found<T> {
        Found { value, line: None, key: join(&self.path, key) }
    }

    fn entry(&mut self, key: &'static str) -> Option<(usize, &'d DeValue<'d>)> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let (name, value) = self.table?.get_key_value(key)?;
        Some((self.document.line(&name.span()), value.get_ref()))
    }
}

enum NotANumber {
    OtherKind,
    TooLarge,
}

fn integer(value: &DeValue<'_>) -> Result<u64, NotANumber> {
    let integer = value.as_integer().ok_or(NotANumber::OtherKind)?;
    u64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| NotANumber::TooLarge)
}

/// The value as it may stand in a message: numbers and texts themselves, cut where they are long.
fn shown(value: &DeValue<'_>) -> String {
    if let Some(number) = value.as_integer() {
        return number.as_str().chars().take(24).collect();
    }
    if let Some(text) = value.as_str() {
        return format!("{:?}", text.chars().take(64).collect::<String>());
    }
    kind(value).to_owned()
}

const fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
