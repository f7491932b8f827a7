//! Stable storage of the ring sequence: a hint for growth across restarts, never a barrier.
//!
//! Responsible for: reading the value at the start, reserving sequence numbers ahead in blocks, and
//! writing each reservation with a helper thread, so that a disk that stalls for minutes delays
//! nothing (`docs/protocol.md` §1).
//! Not responsible for: the uniqueness of ring ids. That rests on incarnations alone, so the file
//! may be lost, rolled back or corrupt without harm.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// How many sequence numbers one write reserves.
const BLOCK: u64 = 1024;

/// The file's name in the state directory.
const FILE: &str = "ring-seq";

/// How long the helper thread waits after a write that failed.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Remembers across restarts above which ring sequence this node has not been.
///
/// Belongs to one thread; no method waits for the disk but [`Store::open`].
#[derive(Debug)]
pub struct Store {
    stored: u64,
    reserved: u64,
    helper: Option<Helper>,
}

impl Store {
    /// Reads the file in this directory, which is created if it is missing, and starts the helper
    /// thread.
    ///
    /// A file that cannot be read or is corrupt counts as none, with a warning in the log.
    ///
    /// # Errors
    /// The helper thread cannot be started.
    pub fn open(dir: &Path) -> io::Result<Self> {
        if let Err(error) = fs::create_dir_all(dir) {
            tracing::warn!(dir = %dir.display(), %error, "cannot create the state directory");
        }
        let file = dir.join(FILE);
        let stored = match read(&file) {
            Ok(stored) => stored.unwrap_or(0),
            Err(error) => {
                tracing::warn!(
                    file = %file.display(), %error,
                    "ignoring the stored ring sequence; no harm, ring ids stay unique"
                );
                0
            }
        };
        Ok(Self { stored, reserved: stored, helper: Some(Helper::start(file)?) })
    }

    /// A store without a file: every start begins at 0.
    #[must_use]
    pub const fn none() -> Self {
        Self { stored: 0, reserved: 0, helper: None }
    }

    /// The value found at the start: no ring that this node formed or joined had a higher sequence,
    /// as far as the file tells.
    #[must_use]
    pub const fn stored(&self) -> u64 {
        self.stored
    }

    /// Takes note that this node uses a sequence. When the reservation runs low, the helper thread
    /// is told to write the next one; this never waits.
    pub fn note(&mut self, seq: u64) {
        if seq.saturating_add(BLOCK / 2) <= self.reserved {
            return;
        }
        self.reserved = seq.saturating_add(BLOCK);
        if let Some(helper) = &self.helper {
            helper.write(self.reserved);
        }
    }

    /// What the file holds: the number and its complement, so that no damage turns it into another
    /// number.
    #[must_use]
    pub fn line(reserved: u64) -> String {
        format!("evs-ring-seq 1 {reserved:016x} {:016x}\n", !reserved)
    }

    /// The number in a file's content; `None` unless it is exactly a [`line`](Self::line).
    #[must_use]
    pub fn parse(content: &[u8]) -> Option<u64> {
        let text = std::str::from_utf8(content).ok()?;
        let number = text.strip_prefix("evs-ring-seq 1 ")?.get(..16)?;
        let reserved = u64::from_str_radix(number, 16).ok()?;
        (Self::line(reserved) == text).then_some(reserved)
    }
}

/// The thread that writes. What it has not written yet is one number, so there is no queue.
#[derive(Debug)]
struct Helper {
    wish: Arc<Wish>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Wish {
    reserved: AtomicU64,
    closed: AtomicBool,
}

impl Helper {
    fn start(file: PathBuf) -> io::Result<Self> {
        let wish = Arc::new(Wish::default());
        let theirs = Arc::clone(&wish);
        let handle = thread::Builder::new()
            .name("evs-store".to_owned())
            .spawn(move || run(&file, &theirs))?;
        Ok(Self { wish, thread: handle.thread().clone() })
    }

    fn write(&self, reserved: u64) {
        self.wish.reserved.store(reserved, Ordering::Release);
        self.thread.unpark();
    }
}

/// Lets the thread end. It is not waited for: a stalled disk must not hold up the daemon's exit.
impl Drop for Helper {
    fn drop(&mut self) {
        self.wish.closed.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

fn run(file: &Path, wish: &Wish) {
    let mut written = 0;
    let mut failing = false;
    loop {
        let reserved = wish.reserved.load(Ordering::Acquire);
        if reserved == written {
            if wish.closed.load(Ordering::Acquire) {
                return;
            }
            thread::park();
            continue;
        }
        match write(file, reserved) {
            Ok(()) => {
                written = reserved;
                if failing {
                    tracing::info!(file = %file.display(), "the ring sequence is stored again");
                }
                failing = false;
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(
                        file = %file.display(), %error,
                        "cannot store the ring sequence; no harm, ring ids stay unique"
                    );
                }
                failing = true;
                if wish.closed.load(Ordering::Acquire) {
                    return;
                }
                thread::park_timeout(RETRY_AFTER);
            }
        }
    }
}

/// Replaces the file as a whole: a crash at any point leaves the old one or the new one.
fn write(file: &Path, reserved: u64) -> io::Result<()> {
    let temporary = file.with_extension("new");
    let mut new = File::create(&temporary)?;
    new.write_all(Store::line(reserved).as_bytes())?;
    new.sync_all()?;
    fs::rename(&temporary, file)?;
    file.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn read(file: &Path) -> io::Result<Option<u64>> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Store::parse(&text).map(Some).ok_or_else(|| {
        let like = Store::line(BLOCK);
        let what = format!("its {} bytes are no line as `{}`", text.len(), like.trim_end());
        io::Error::new(io::ErrorKind::InvalidData, what)
    })
}
