//! One installed tree for all tests of a build, whichever process they run in.
//!
//! A tree is named after what it was made from, and made by whoever needs it first. Whoever uses it
//! holds a lock on it; a tree that nobody uses goes when another one is made.

use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};

/// Where the trees are.
#[derive(Debug)]
pub(super) struct Trees {
    dir: PathBuf,
}

/// A tree. It stays at least as long as this.
#[derive(Debug)]
pub(super) struct Tree {
    dir: PathBuf,
    _in_use: File,
}

impl Tree {
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Trees {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The tree that is made from these files and directories; `make` fills it if there is none.
    pub(super) fn get(
        &self,
        files: &[PathBuf],
        dirs: &[PathBuf],
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Tree> {
        let name = name_of(files.iter().chain(dirs))?;
        fs::create_dir_all(&self.dir).with_context(|| self.dir.display().to_string())?;
        // Until this function ends: one at a time.
        let lock = open_lock(&self.dir.join("lock"))?;
        lock.lock()?;
        let dir = self.dir.join(&name);
        let in_use = open_lock(&dir.with_extension(LOCK))?;
        in_use.lock_shared()?;
        if !dir.exists() {
            self.remove_unused()?;
            // One that was not finished has another name.
            let unfinished = self.dir.join("unfinished");
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?;
            }
            make(&unfinished)?;
            fs::rename(&unfinished, &dir).with_context(|| dir.display().to_string())?;
        }
        Ok(Tree { dir, _in_use: in_use })
    }

    /// A directory for programs, each named after its process: `NAME-PID-COUNT`. Those of
    /// processes that are gone are removed.
    pub(super) fn programs(&self) -> Result<PathBuf> {
        let dir = self.dir.join("programs");
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let pid = path.to_str().and_then(|name| name.rsplit('-').nth(1));
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                // Another test may have been faster.
                let _ = fs::remove_file(&path);
            }
        }
        Ok(dir)
    }

    /// Removes the trees that no process uses.
    fn remove_unused(&self) -> Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != LOCK) {
                continue;
            }
            match open_lock(&path)?.try_lock() {
                Ok(()) => {
                    let tree = path.with_extension("");
                    if tree.exists() {
                        fs::remove_dir_all(&tree)?;
                    }
                    fs::remove_file(&path)?;
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

const LOCK: &str = "lock";

fn open_lock(path: &Path) -> Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    file.with_context(|| path.display().to_string())
}

/// A name for what these files are now, and those in these directories.
fn name_of<'a>(inputs: impl Iterator<Item = &'a PathBuf>) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    let mut rest: Vec<_> = inputs.cloned().collect();
    while let Some(path) = rest.pop() {
        let meta = fs::metadata(&path).with_context(|| path.display().to_string())?;
        if meta.is_dir() {
            let entries: Result<Vec<_>, _> = fs::read_dir(&path)?.collect();
            let mut entries: Vec<_> = entries?.into_iter().map(|entry| entry.path()).collect();
            entries.sort_unstable();
            rest.extend(entries);
        } else {
            let changed = meta.modified()?.duration_since(SystemTime::UNIX_EPOCH)?;
            (path, meta.len(), changed).hash(&mut hasher);
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trees(name: &str) -> Trees {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a directory can be made");
        fs::write(dir.join("input"), "one").expect("a file can be written");
        Trees::new(&dir)
    }

    /// The tree of what the input says now, and whether it had to be made.
    fn get(trees: &Trees) -> (Tree, bool) {
        let mut made = false;
        let input = [trees.dir.join("input")];
        let tree = trees.get(&input, &[], |dir| {
            made = true;
            fs::create_dir(dir)?;
            Ok(fs::write(dir.join("made"), "")?)
        });
        (tree.expect("it is made"), made)
    }

    #[test]
    fn a_tree_is_made_once_and_used_again() {
        let trees = trees("trees-once");
        let (first, made) = get(&trees);
        assert!(made && first.dir().join("made").exists());
        drop(first);
        assert!(!get(&trees).1);
    }

    #[test]
    fn a_tree_goes_when_nobody_uses_it_and_another_is_made() {
        let trees = trees("trees-go");
        let (first, _) = get(&trees);
        let old = first.dir().to_owned();
        fs::write(trees.dir.join("input"), "other").expect("a file can be written");
        let (second, made) = get(&trees);
        assert!(made && old.exists() && second.dir() != old);
        drop(first);
        fs::write(trees.dir.join("input"), "the third").expect("a file can be written");
        let (third, _) = get(&trees);
        assert!(!old.exists() && second.dir().exists() && third.dir().exists());
    }

    #[test]
    fn a_tree_that_was_not_finished_is_made_again() {
        let trees = trees("trees-unfinished");
        let input = [trees.dir.join("input")];
        let failed = trees.get(&input, &[], |dir| {
            fs::create_dir(dir)?;
            anyhow::bail!("no space left")
        });
        assert!(failed.is_err());
        assert!(get(&trees).1);
    }

    #[test]
    fn programs_of_processes_that_are_gone_are_removed() {
        let trees = trees("trees-programs");
        let dir = trees.programs().expect("it is made");
        let mine = dir.join(format!("order-{}-0", std::process::id()));
        // Above the largest process id that there is.
        let gone = dir.join("order-4194305-0");
        for file in [&mine, &gone] {
            fs::write(file, "").expect("a file can be written");
        }
        trees.programs().expect("it is there");
        assert!(mine.exists() && !gone.exists());
    }
}
