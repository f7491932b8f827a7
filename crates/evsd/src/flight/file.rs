//! The recorder's files: one line of JSON for each state of a record, written by a thread of its
//! own. The last line of a record counts.
//!
//! There are two files of bounded length: the newer one is written, and takes the older one's place
//! when it is full. They may be lost, cut short or full of nonsense without harm.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use evs_report::Change;

/// The names of the files in the state directory.
const NEWER: &str = "flight.jsonl";
const OLDER: &str = "flight.1.jsonl";

/// A file that is longer than this takes the other's place (`flight_file_bytes_max`).
pub(super) const FILE_BYTES_MAX: u64 = 4 << 20;

/// Most lines that wait to be written; more are lost and counted.
const LINES_MAX: usize = 256;

/// How long the end of the process may wait for lines to be written.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// The writing end. Dropping it writes what waits, for [`FLUSH_WITHIN`] at most.
#[derive(Debug)]
pub(super) struct Recorder {
    lines: Option<SyncSender<String>>,
    done: Option<Receiver<()>>,
    lost: Arc<AtomicU64>,
}

impl Recorder {
    /// Reads what is there, and starts the thread. Nothing of it can fail: without a file, or
    /// without a thread, every line counts as lost.
    pub(super) fn open(dir: &Path) -> (Self, Vec<Change>) {
        let (newer, older) = (dir.join(NEWER), dir.join(OLDER));
        let mut known = Vec::new();
        for file in [&older, &newer] {
            read(file, &mut known);
        }
        let lost = Arc::new(AtomicU64::new(0));
        let (lines, waiting) = sync_channel(LINES_MAX);
        let (finished, done) = sync_channel(1);
        let theirs = Arc::clone(&lost);
        let thread = thread::Builder::new().name("evs-flight".to_owned()).spawn(move || {
            run(&newer, &older, &waiting, &theirs);
            let _ = finished.send(());
        });
        if let Err(error) = &thread {
            tracing::warn!(%error, "the flight recorder has no thread; its file is not written");
        }
        (Self { lines: Some(lines), done: thread.ok().map(|_| done), lost }, known)
    }

    /// Hands a line over; never waits.
    pub(super) fn write(&self, line: String) {
        let sent = self.lines.as_ref().is_some_and(|lines| lines.try_send(line).is_ok());
        if !sent {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        drop(self.lines.take());
        if let Some(done) = &self.done {
            let _ = done.recv_timeout(FLUSH_WITHIN);
        }
    }
}

/// Adds the records of a file; a line that is none is passed over. Of a file that is too long the
/// end is read.
fn read(path: &Path, known: &mut Vec<Change>) {
    let Ok(mut file) = File::open(path) else { return };
    let mut bytes = Vec::new();
    let length = file.metadata().map_or(0, |about| about.len());
    let from = SeekFrom::Start(length.saturating_sub(2 * FILE_BYTES_MAX));
    if file.seek(from).and_then(|_| file.take(2 * FILE_BYTES_MAX).read_to_end(&mut bytes)).is_err()
    {
        return;
    }
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(change) = serde_json::from_slice::<Change>(line) else { continue };
        let same = |other: &Change| other.change == change.change && other.me == change.me;
        match known.iter().rposition(same) {
            Some(at) => known[at] = change,
            None => known.push(change),
        }
        if known.len() > super::CHANGES_MAX {
            known.remove(0);
        }
    }
}

fn run(newer: &PathBuf, older: &Path, waiting: &Receiver<String>, lost: &AtomicU64) {
    let mut file: Option<(File, u64)> = None;
    let mut told = false;
    for line in waiting {
        let written = append(&mut file, newer, older, &line);
        if let Err(error) = written {
            file = None;
            lost.fetch_add(1, Ordering::Relaxed);
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(
                    file = %newer.display(), %error,
                    "the flight recorder's file cannot be written; its records are in memory only"
                );
            }
        } else {
            told = false;
        }
    }
}

fn append(
    file: &mut Option<(File, u64)>,
    newer: &PathBuf,
    older: &Path,
    line: &str,
) -> io::Result<()> {
    if file.as_ref().is_some_and(|(_, length)| *length >= FILE_BYTES_MAX) {
        *file = None;
        fs::rename(newer, older)?;
    }
    if file.is_none() {
        if let Some(dir) = newer.parent() {
            fs::create_dir_all(dir)?;
        }
        let opened = File::options().create(true).append(true).open(newer)?;
        let length = opened.metadata()?.len();
        *file = Some((opened, length));
    }
    let Some((opened, length)) = file else { return Ok(()) };
    opened.write_all(format!("{line}\n").as_bytes())?;
    *length += line.len() as u64 + 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("evs-flight-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    fn line(change: u64, attempts: u64) -> String {
        serde_json::to_string(&Change { change, attempts, ..Change::default() }).expect("written")
    }

    #[test]
    fn what_was_written_is_known_to_the_next_process_and_the_last_line_counts() {
        let dir = dir("known");
        let (recorder, known) = Recorder::open(&dir);
        assert_eq!(known, []);
        for (change, attempts) in [(1, 1), (2, 1), (1, 2)] {
            recorder.write(line(change, attempts));
        }
        drop(recorder);
        // A process that was killed amid a line.
        let mut file = File::options().append(true).open(dir.join(NEWER)).expect("there");
        file.write_all(b"{\"change\":3,").expect("written");
        let (_, known) = Recorder::open(&dir);
        let known: Vec<_> = known.iter().map(|change| (change.change, change.attempts)).collect();
        assert_eq!(known, [(1, 2), (2, 1)]);
        fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn two_files_of_bounded_length_hold_the_latest() {
        let dir = dir("bounded");
        fs::create_dir_all(&dir).expect("made");
        let (newer, older) = (dir.join(NEWER), dir.join(OLDER));
        let long = "x".repeat(1 << 20);
        let mut file = None;
        for _ in 0..12 {
            append(&mut file, &newer, &older, &long).expect("written");
        }
        for path in [&newer, &older] {
            let length = fs::metadata(path).expect("there").len();
            assert!(length <= FILE_BYTES_MAX + (1 << 20) + 1, "{length}");
        }
        fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn a_directory_that_cannot_be_made_costs_lines_only() {
        let (recorder, _) = Recorder::open(Path::new("/proc/no/such"));
        recorder.write(line(1, 1));
        let lost = Arc::clone(&recorder.lost);
        drop(recorder);
        assert_eq!(lost.load(Ordering::Relaxed), 1);
    }
}
