//! The files of the repository that people read.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Complaint;

/// One file: its path from the root, and its text.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    /// Whether the name ends so.
    pub(super) fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|e| e == extension)
    }

    /// The lines with their numbers, from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line))
    }

    pub(super) fn complain(&self, line: usize, what: impl Into<String>) -> Complaint {
        Complaint { file: self.path.clone(), line, what: what.into() }
    }
}

/// All of them, in order of their paths.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

impl Tree {
    /// Reads the tree, without what is built or hidden, and without what the fuzzer wrote.
    ///
    /// # Errors
    /// A directory or file cannot be read.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let mut dirs = vec![root.to_owned()];
        while let Some(dir) = dirs.pop() {
            let entries = fs::read_dir(&dir).with_context(|| dir.display().to_string())?;
            for entry in entries {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let shown = [".cargo", ".ci"].contains(&name.as_str()) || !name.starts_with('.');
                if path.is_dir() {
                    if shown && !["target", "corpus"].contains(&name.as_str()) {
                        dirs.push(path);
                    }
                } else if shown && is_read(&name) {
                    let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
                    let Ok(text) = String::from_utf8(bytes) else { continue };
                    let path = path.strip_prefix(root).expect("below the root");
                    files.push(File { path: path.to_string_lossy().into_owned(), text });
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    /// The file with this path.
    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// All files whose names end so.
    pub(super) fn with_extension(&self, extension: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.is(extension))
    }
}

/// Licences and Cargo's own file are others' words.
fn is_read(name: &str) -> bool {
    !name.starts_with("LICENSE") && name != "Cargo.lock"
}
