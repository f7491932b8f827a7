//! The corpora: those that are committed, and what one run found.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use evs_fuzz::{CORPUS_BYTES_MAX, CORPUS_FILES_MAX, Target};

use super::{below, files, made};
use crate::cargo;

/// The committed corpus of a target.
pub(super) fn committed(target: &Target) -> PathBuf {
    cargo::root().join("fuzz/corpus").join(target.name)
}

/// Where a run puts what it finds.
///
/// # Errors
/// The directory cannot be made.
pub(super) fn scratch(target: &Target) -> Result<PathBuf> {
    made(below("found")?.join(target.name))
}

/// Adds the inputs to begin with.
///
/// # Errors
/// A file cannot be written.
pub(super) fn add_seeds(target: &Target) -> Result<()> {
    let dir = made(committed(target))?;
    let seeds = (target.seeds)();
    println!("{}: {} seeds", target.name, seeds.len());
    for (name, input) in seeds {
        let file = dir.join(format!("seed-{name}"));
        fs::write(&file, input).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// Adds what was found to the committed corpus, as far as it reaches something new, and takes out
/// what no longer does. Files with a name of their own, seeds and regressions, stay; those that
/// libFuzzer named are its own to choose.
///
/// # Errors
/// libFuzzer fails, or the files with names of their own are too many.
pub(super) fn keep(target: &Target, binary: &Path) -> Result<()> {
    let (committed, scratch) = (made(committed(target))?, scratch(target)?);
    for file in files(&committed)?.iter().filter(|file| is_found(file)) {
        let to = scratch.join(file.file_name().unwrap_or_default());
        fs::copy(file, to).and_then(|_| fs::remove_file(file))?;
    }
    let mut command = Command::new(binary);
    // As few as reach everything; lines that are reached, not how often: they are for replaying.
    command.args(["-set_cover_merge=1", "-use_counters=0"]);
    command.arg(format!("-max_len={}", target.bytes_max)).args([&committed, &scratch]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    cargo::run(&mut command)?;
    let (count, bytes) = bound(&committed)?;
    eprintln!("{}: {count} files, {bytes} bytes", committed.display());
    Ok(())
}

/// Takes out the longest of those that were found until the corpus is within its limits. Returns
/// how many files and bytes it has.
fn bound(dir: &Path) -> Result<(usize, u64)> {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    let (mut count, mut bytes) = (0, 0);
    for file in files(dir)? {
        let length = fs::metadata(&file)?.len();
        (count, bytes) = (count + 1, bytes + length);
        if is_found(&file) {
            found.push((length, file));
        }
    }
    found.sort();
    while count > CORPUS_FILES_MAX || bytes > CORPUS_BYTES_MAX as u64 {
        let Some((length, file)) = found.pop() else {
            bail!("{count} files with names of their own and {bytes} bytes are too many");
        };
        fs::remove_file(file)?;
        (count, bytes) = (count - 1, bytes - length);
    }
    Ok((count, bytes))
}

/// Whether libFuzzer gave the file its name: the SHA-1 of what is in it.
fn is_found(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_names_of_their_own_are_told_from_those_that_were_found() {
        assert!(is_found(Path::new("corpus/ring/00da7b5ba1f7c1d6b3a04f5e7d3f6f1f7f3b5a1c")));
        assert!(!is_found(Path::new("corpus/ring/seed-busy-1")));
    }
}
