//! What touches files while the daemon runs: a thread of its own, because the thread of the ring
//! waits for none.
//!
//! Responsible for: reading the configuration again, with the key file that it names; reading a new
//! key; writing the keys in force, and the section `[cluster]`.
//! Not responsible for: what becomes of it (`daemon/operate.rs`).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use evs_net::{ClusterKey, KeyError};
use mio::{Registry, Token, Waker};

use crate::config::{Cluster, Config, ConfigError, Mistake};

/// Most jobs that wait; the daemon has one under way at a time.
const JOBS_MAX: usize = 4;

/// How long the end of the process may wait for what is being written.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Job {
    /// Read and check this configuration file.
    Load(PathBuf),
    /// Read the one key in this file.
    LoadKey(PathBuf),
    /// Write the keys in force.
    WriteKeys {
        /// The key file.
        file: PathBuf,
        /// What it is to hold.
        keys: Vec<ClusterKey>,
        /// What it may hold now: a file with another key is left alone.
        known: Vec<ClusterKey>,
    },
    /// Write the section `[cluster]` in force.
    WriteCluster {
        /// The configuration file.
        file: PathBuf,
        /// What it may hold now, but for the version: another section is left alone.
        before: Box<Cluster>,
        /// What it is to hold.
        now: Box<Cluster>,
    },
}

/// What was done.
#[derive(Debug)]
pub(crate) enum Done {
    /// The configuration file, and whether its section `[cluster]` is only there because it could
    /// not be written; or every mistake in it.
    Loaded(Result<(Box<Config>, bool), ConfigError>),
    /// The key.
    KeyLoaded(Result<ClusterKey, KeyError>),
    /// Nothing, or why the key file is what it was.
    KeysWritten(Result<(), String>),
    /// Nothing, or why the configuration file is what it was.
    ClusterWritten(Result<(), String>),
}

/// The thread, seen from outside. Dropping it lets it finish, for [`FLUSH_WITHIN`] at most.
#[derive(Debug)]
pub(crate) struct Files {
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    finished: Receiver<()>,
}

impl Files {
    /// Starts the thread. The poll's token is ready when something was done.
    pub(crate) fn start(registry: &Registry, token: Token) -> io::Result<Self> {
        let waker = Waker::new(registry, token)?;
        let (jobs, to_do) = sync_channel(JOBS_MAX);
        let (results, done) = sync_channel(JOBS_MAX);
        let (end, finished) = sync_channel(1);
        thread::Builder::new().name("evs-files".to_owned()).spawn(move || {
            run(&to_do, &results, &waker);
            let _ = end.send(());
        })?;
        Ok(Self { jobs: Some(jobs), done, finished })
    }

    /// Hands a job over; never waits. Returns whether it will be done.
    pub(crate) fn give(&self, job: Job) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok())
    }

    /// What was done since the last call.
    pub(crate) fn take(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // Nobody takes what was done any more.
        let (_, nothing) = sync_channel(1);
        drop(std::mem::replace(&mut self.done, nothing));
        let _ = self.finished.recv_timeout(FLUSH_WITHIN);
    }
}

fn run(jobs: &Receiver<Job>, results: &SyncSender<Done>, waker: &Waker) {
    let mut section = Section::default();
    for job in jobs {
        let done = match job {
            Job::Load(file) => Done::Loaded(Config::load(&file).map(|config| {
                let stale = section.is_missed(&config.cluster);
                (Box::new(config), stale)
            })),
            Job::LoadKey(file) => Done::KeyLoaded(ClusterKey::load(&file)),
            Job::WriteKeys { file, keys, known } => {
                Done::KeysWritten(write_keys(&file, &keys, &known))
            }
            Job::WriteCluster { file, before, now } => {
                Done::ClusterWritten(section.write(&file, *before, &now))
            }
        };
        // Without a daemon there is nobody to tell.
        let _ = results.send(done);
        let _ = waker.wake();
    }
}

fn write_keys(file: &Path, keys: &[ClusterKey], known: &[ClusterKey]) -> Result<(), String> {
    let there = ClusterKey::load_all(file).map_err(|error| error.to_string())?;
    if there == keys {
        return Ok(());
    }
    if there.iter().any(|key| !known.contains(key)) {
        return Err(format!("key file {} holds another key; it is left as it is", file.display()));
    }
    ClusterKey::replace_all(file, keys).map_err(|error| error.to_string())
}

/// The writer of the section `[cluster]`.
#[derive(Debug, Default)]
struct Section {
    /// What the file said when it could not be written: no operator's work.
    missed: Option<Cluster>,
}

impl Section {
    fn is_missed(&self, there: &Cluster) -> bool {
        self.missed.as_ref().is_some_and(|missed| missed.differences(there).is_empty())
    }

    fn write(&mut self, file: &Path, before: Cluster, now: &Cluster) -> Result<(), String> {
        let result = self.replace(file, &before, now);
        if result.is_ok() {
            self.missed = None;
        } else {
            self.missed.get_or_insert(before);
        }
        result
    }

    fn replace(&mut self, file: &Path, before: &Cluster, now: &Cluster) -> Result<(), String> {
        let shown = file.display();
        let text = evs_config::read(file).map_err(|error| format!("{shown}: {error}"))?;
        let first = |mistakes: Vec<Mistake>| {
            let first = mistakes.first().map(ToString::to_string);
            format!("{shown}:{}", first.unwrap_or_default())
        };
        let there = Cluster::parse(&text).map_err(first)?;
        if there == *now {
            return Ok(());
        }
        let is = |known: &Cluster| there.differences(known).is_empty();
        if !is(before) && !is(now) && !self.is_missed(&there) {
            return Err(format!(
                "{shown} has changes of its own in [cluster]; it is left as it is"
            ));
        }
        let text = now.write_into(&text).map_err(|error| format!("{shown}: {error}"))?;
        self.missed = Some(there);
        replace(file, &text).map_err(|error| format!("{shown}: {error}"))
    }
}

/// All of it or nothing, with the owner and the mode that the file had.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    // A link stays one.
    let file = fs::canonicalize(file)?;
    let about = fs::metadata(&file)?;
    let dir = file.parent().unwrap_or_else(|| Path::new("/"));
    // With a name that nobody else uses, and gone if this fails.
    let mut new = tempfile::NamedTempFile::new_in(dir)?;
    // Where the owner cannot be kept, the daemon's user was it or may not give files away.
    let _ = fchown(new.as_file(), Some(about.uid()), Some(about.gid()));
    new.as_file().set_permissions(about.permissions())?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(&file)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn text(detection_ms: u32, version: u64) -> String {
        format!(
            "[cluster]\nname = \"x\"\ndetection_ms = {detection_ms}\nversion = {version}\n\
             [[cluster.nodes]]\nid = 1\naddress = \"10.0.0.1:5405\"\n"
        )
    }

    fn section(detection_ms: u32, version: u64) -> Cluster {
        Cluster::parse(&text(detection_ms, version)).expect("right")
    }

    /// An operator's change was agreed on, and then there was no room for a new file, twice.
    #[test]
    fn a_file_that_could_be_read_and_not_replaced_is_replaced_when_it_can_be() {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, gone) = (dir.path().join("file"), dir.path().join("gone"));
        // What is open and has no name any more can be read, and nothing can take its place.
        fs::write(&gone, text(700, 0)).expect("written");
        let open = File::open(&gone).expect("there");
        fs::remove_file(&gone).expect("there");
        symlink(format!("/proc/self/fd/{}", open.as_raw_fd()), &file).expect("a link");
        let mut writer = Section::default();
        for (before, now) in [((500, 0), (700, 1)), ((700, 1), (800, 2)), ((800, 2), (900, 3))] {
            let (before, now) = (section(before.0, before.1), section(now.0, now.1));
            let error = writer.write(&file, before, &now).expect_err("it cannot be replaced");
            assert!(!error.contains("of its own"), "{error}");
            assert!(writer.is_missed(&section(700, 0)));
        }
        fs::remove_file(&file).expect("the link");
        fs::write(&file, text(700, 0)).expect("written");
        writer.write(&file, section(900, 3), &section(950, 4)).expect("as before");
        assert_eq!(Cluster::parse(&fs::read_to_string(&file).expect("there")), Ok(section(950, 4)));
        // Now what it said once is an operator's.
        fs::write(&file, text(700, 0)).expect("written");
        let error = writer.write(&file, section(950, 4), &section(960, 5)).expect_err("left alone");
        assert!(error.contains("has changes of its own"), "{error}");
    }
}
