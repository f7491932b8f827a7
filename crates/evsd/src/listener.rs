//! The Unix socket that clients connect to, as a file.
//!
//! Responsible for: one daemon per path, leftovers of a daemon that crashed, the file's mode and
//! group, and its removal.
//! Not responsible for: who may use it once connected (`admission.rs`).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use evs_ipc::socket;
use mio::net::UnixListener;
use rustix::fs::FlockOperation;

/// The right to listen at a path, held while the daemon runs. It shows nothing to clients yet.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    lock: File,
}

impl Drop for Claim {
    /// To close the file is not enough: a child that was forked just now has it, too, until it runs
    /// its program.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.lock, FlockOperation::Unlock);
    }
}

impl Claim {
    /// Takes the path for this process; its directory is created if it is missing.
    ///
    /// # Errors
    /// Another daemon runs with this path, something answers there, or the directory cannot be
    /// used.
    pub fn take(path: &Path) -> anyhow::Result<Self> {
        if let Some(dir) = path.parent().filter(|dir| !dir.exists()) {
            create_dir(dir)
                .with_context(|| format!("the directory {} cannot be created", dir.display()))?;
        }
        let lock_file = with_suffix(path, "lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(NOFOLLOW)
            .open(&lock_file)
            .with_context(|| format!("{} cannot be opened", lock_file.display()))?;
        if let Err(error) = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            bail!(
                "another evsd runs with the socket {} (its lock {} is held: {error}); \
                 stop it, or give this one another local.socket",
                path.display(),
                lock_file.display()
            );
        }
        let claim = Self { path: path.to_owned(), lock };
        claim.check_leftover()?;
        Ok(claim)
    }

    /// Whatever stands at the path must be the socket of a daemon that is gone.
    fn check_leftover(&self) -> anyhow::Result<()> {
        let path = self.path.display();
        match fs::symlink_metadata(&self.path) {
            Ok(found) if found.file_type().is_socket() => {}
            Ok(_) => {
                bail!("{path} exists and is no socket; remove it, or set another local.socket")
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("{path} cannot be used")),
        }
        // Whoever answers without holding the lock is no evsd of this path, but it is alive.
        match socket::connect(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Ok(_) | Err(_) => {
                bail!("something else listens on {path}; stop it, or set another local.socket")
            }
        }
    }

    /// Creates the socket file, complete with mode and group before anybody can see it, in place
    /// of whatever a crashed daemon left there.
    ///
    /// # Errors
    /// What stands at the path is no leftover, or what the system says.
    pub fn listen(&self, mode: u32, group: Option<u32>) -> anyhow::Result<Listener> {
        self.check_leftover()?;
        let new = with_suffix(&self.path, "new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&new)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(mode))?;
        if let Some(group) = group
            && let Err(error) = chown(&new, None, Some(group))
        {
            tracing::warn!(
                socket = %self.path.display(), group, %error,
                "the socket cannot be given to the group evs; its members cannot connect"
            );
        }
        fs::rename(&new, &self.path)?;
        Ok(Listener { listener, path: self.path.clone() })
    }
}

/// The open socket; dropping it removes the file.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// For the poll.
    pub const fn source(&mut self) -> &mut UnixListener {
        &mut self.listener
    }

    /// Sets the mode of the file.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        fs::set_permissions(&self.path, fs::Permissions::from_mode(mode))
    }

    /// The next client that connected, if there is one. Its socket does not block.
    ///
    /// # Errors
    /// What the system says, such as that there are no more descriptors.
    pub fn accept(&self) -> io::Result<Option<OwnedFd>> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => return Ok(Some(stream.into())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if GONE.contains(&error.kind()) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Creates the socket's directory. Clients must get through it, whatever the daemon's umask is.
fn create_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
}

/// Errors of `accept` that concern one client only.
const GONE: [io::ErrorKind; 2] = [io::ErrorKind::ConnectionAborted, io::ErrorKind::Interrupted];

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

const NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("evsd-listener-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir.join("run/evsd.sock")
    }

    fn clean(path: &Path) {
        let dir = path.parent().and_then(Path::parent).expect("two levels");
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_second_daemon_of_one_path_is_refused() {
        let path = path("second");
        let claim = Claim::take(&path).expect("free");
        let error = Claim::take(&path).expect_err("taken").to_string();
        assert!(error.contains("another evsd runs with the socket"), "{error}");
        drop(claim);
        Claim::take(&path).expect("free again");
        clean(&path);
    }

    /// As a child has it that another thread forks meanwhile.
    #[test]
    fn a_path_is_free_though_a_child_has_inherited_its_lock() {
        let path = path("inherited");
        let claim = Claim::take(&path).expect("free");
        let inherited = claim.lock.try_clone().expect("a descriptor");
        drop(claim);
        Claim::take(&path).expect("free again");
        drop(inherited);
        clean(&path);
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_respected() {
        let path = path("stale");
        let claim = Claim::take(&path).expect("free");
        let foreign = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        drop(claim);
        let error = Claim::take(&path).expect_err("somebody answers").to_string();
        assert!(error.contains("something else listens"), "{error}");
        // To close it is not enough, if a child was forked just now.
        rustix::net::shutdown(&foreign, rustix::net::Shutdown::Both).expect("open");
        drop(foreign);
        let claim = Claim::take(&path).expect("only a leftover");
        let listener = claim.listen(0o660, None).expect("bound");
        let metadata = fs::symlink_metadata(&path).expect("there");
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
        drop(listener);
        assert!(!path.exists());
        clean(&path);
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let path = path("other");
        let claim = Claim::take(&path).expect("free");
        let target = path.with_file_name("target");
        fs::write(&target, "precious").expect("written");
        std::os::unix::fs::symlink(&target, &path).expect("linked");
        let error = claim.listen(0o660, None).expect_err("a link").to_string();
        assert!(error.contains("is no socket"), "{error}");
        drop(claim);
        Claim::take(&target).expect_err("a file");
        assert_eq!(fs::read(&target).expect("still there"), b"precious");
        clean(&path);
    }
}
