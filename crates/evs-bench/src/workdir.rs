//! Directories for what runs, which go with the bench, and at the latest with the next one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::corosync::SHARED;

/// A directory whose path is short enough for sockets. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct WorkDir(PathBuf);

impl WorkDir {
    /// # Errors
    /// It cannot be made.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(name());
        fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
        Ok(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How directories of this process begin, on disk and in memory.
pub(crate) fn name() -> String {
    format!("{PREFIX}{}", std::process::id())
}

/// Removes what a bench left behind that was killed.
pub(crate) fn remove_orphans() {
    for dir in [Path::new(SHARED), &std::env::temp_dir()] {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_name().to_str().and_then(owner).is_some_and(is_gone) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// The process to which a directory of this name belongs.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

fn is_gone(pid: u32) -> bool {
    !Path::new("/proc").join(pid.to_string()).exists()
}

const PREFIX: &str = "evs-bench-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_bench_left_is_removed_and_what_a_living_one_uses_is_not() {
        assert_eq!((owner("evs-bench-77"), owner("evs-bench-77-2")), (Some(77), Some(77)));
        assert_eq!((owner("evs-bench-samples-77"), owner("other-77")), (None, None));
        // No process has so large an id.
        let orphan = std::env::temp_dir().join(format!("{PREFIX}{}-1", u32::MAX));
        fs::create_dir_all(&orphan).expect("a directory");
        let mine = WorkDir::new().expect("a directory");
        remove_orphans();
        assert!(!orphan.exists() && mine.path().exists());
        let path = mine.path().to_owned();
        drop(mine);
        assert!(!path.exists());
    }
}
