//! The cluster's secret: one line of text in a file that only its owner can read.
//!
//! ```text
//! evs-key-1 <64 hexadecimal digits>
//! ```
//! While a key takes another's place there are two lines: the first key seals, what the second
//! seals is opened, too. Blank lines and lines that begin with `#` are skipped. The secret is wiped
//! from memory when it is dropped, and so are the buffers that it was read through.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::keys::KEYS_MAX;

/// The secret that the nodes of a cluster share. Never printed, wiped on drop. It lies on the heap:
/// what lies in a value stays behind wherever that is moved from.
#[derive(Clone, Eq, PartialEq)]
pub struct ClusterKey(Zeroizing<Box<[u8]>>);

/// Why there is no key. Nothing was kept of what was read.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file could not be opened, read or written.
    #[error("key file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key is never overwritten.
    #[error("key file {path} exists already: it is left as it is; remove it, or name another file")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// There is no key.
    #[error(
        "there is no key file {path}: make one with `evs keygen {path}` and copy it to every node"
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else could read the secret.
    #[error(
        "key file {path} can be read by group or others (mode {mode:04o}): \
         make a new key if that was so for long, then run `chmod 600 {path}`"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file belongs to somebody else, who can read and change it.
    #[error(
        "key file {path} belongs to uid {owner}: it must belong to root or to uid {me}, under \
         which this process runs; if the daemon runs under uid {owner}, run this under it too, \
         otherwise run `chown {me} {path}`"
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this process.
        me: u32,
    },
    /// A directory, a device, a pipe.
    #[error("key file {path} is no regular file")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The text is no key.
    #[error("{reason}; a key is one line: `evs-key-1` and 64 hexadecimal digits")]
    Format {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// As [`KeyError::Format`], in a file.
    #[error("key file {path}: {reason}; a key is one line: `evs-key-1` and 64 hexadecimal digits")]
    FileFormat {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl ClusterKey {
    /// Bytes in a secret.
    pub const LEN: usize = 32;

    /// Draws a new secret from the system's randomness.
    ///
    /// # Panics
    /// The system has no randomness: nothing in this project is safe then.
    #[must_use]
    pub fn generate() -> Self {
        let mut key = Self::blank();
        rand::fill(&mut key.0).expect(NO_RANDOMNESS);
        key
    }

    /// Takes these bytes as the secret.
    #[must_use]
    pub fn from_bytes(secret: &[u8; Self::LEN]) -> Self {
        let mut key = Self::blank();
        key.0.copy_from_slice(secret);
        key
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// [`KeyError::Format`]: no key in it, more than one, or one that cannot be read.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let only = |keys: Vec<Self>| <[Self; 1]>::try_from(keys).map_err(|_| SEVERAL);
        let key = parse(text).and_then(only);
        key.map(|[key]| key).map_err(|reason| KeyError::Format { reason })
    }

    /// The text of a key file, with a comment that says what it is.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        text(std::slice::from_ref(self))
    }

    /// Reads the file of one key, which nobody but its owner can read.
    ///
    /// # Errors
    /// The file cannot be read, is exposed, belongs to somebody else, or does not hold one key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let several = |_| KeyError::FileFormat { path: path.to_owned(), reason: SEVERAL };
        let [key] = <[Self; 1]>::try_from(Self::load_all(path)?).map_err(several)?;
        Ok(key)
    }

    /// Reads a key file that nobody but its owner can read: the key that seals, and while keys
    /// change the one that is known besides.
    ///
    /// # Errors
    /// The file cannot be read, is exposed, belongs to somebody else, or holds no key or more than
    /// [`KEYS_MAX`].
    pub fn load_all(path: &Path) -> Result<Vec<Self>, KeyError> {
        let io = |source: io::Error| {
            if source.kind() == io::ErrorKind::NotFound {
                return KeyError::Missing { path: path.to_owned() };
            }
            KeyError::Io { path: path.to_owned(), source }
        };
        // Non-blocking, so that a pipe in its place cannot hang the start.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(io)?;
        check_owner(&file, path)?;
        let mut bytes = Zeroizing::new([0; FILE_BYTES_MAX + 1]);
        let mut len = 0;
        loop {
            match file.read(&mut bytes[len..]).map_err(io)? {
                0 => break,
                more => len += more,
            }
        }
        let format = |reason| KeyError::FileFormat { path: path.to_owned(), reason };
        if len > FILE_BYTES_MAX {
            return Err(format("the file has more than 4096 bytes"));
        }
        let text = str::from_utf8(&bytes[..len]).map_err(|_| format("the file is no text"))?;
        parse(text).map_err(format)
    }

    /// Writes the key to a new file that only its owner can read (mode 0600). Root gives it to the
    /// owner of its directory, who could replace it anyway: the daemon's user, in `/etc/evs`.
    ///
    /// # Errors
    /// The file exists or cannot be written.
    pub fn create(&self, path: &Path) -> Result<(), KeyError> {
        let io = |source: io::Error| {
            if source.kind() == io::ErrorKind::AlreadyExists {
                return KeyError::Exists { path: path.to_owned() };
            }
            KeyError::Io { path: path.to_owned(), source }
        };
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        file.write_all(self.to_text().as_bytes()).map_err(io)?;
        if rustix::process::geteuid().is_root() {
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
            let about = fs::metadata(dir.unwrap_or_else(|| Path::new("."))).map_err(io)?;
            fchown(&file, Some(about.uid()), Some(about.gid())).map_err(io)?;
        }
        file.sync_all().map_err(io)
    }

    /// Writes these keys in place of what the file holds: all of it or, if that fails, nothing.
    /// The one that seals comes first.
    ///
    /// # Errors
    /// The file or its directory cannot be written.
    pub fn replace_all(path: &Path, keys: &[Self]) -> Result<(), KeyError> {
        let io = |source: io::Error| KeyError::Io { path: path.to_owned(), source };
        // A link stays one.
        let path = fs::canonicalize(path).map_err(io)?;
        let dir = path.parent().unwrap_or_else(|| Path::new("/"));
        let write = || {
            // With a name that nobody else uses, for its owner alone, and gone if this fails.
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            file.write_all(text(keys).as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(io)
    }

    /// To be filled in.
    fn blank() -> Self {
        Self(Zeroizing::new(vec![0; Self::LEN].into_boxed_slice()))
    }

    pub(crate) fn secret(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(..)")
    }
}

/// A number that nobody can foresee: for incarnations and seeds of daemons.
///
/// # Panics
/// The system has no randomness: nothing in this project is safe then.
#[must_use]
pub fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).expect(NO_RANDOMNESS);
    u64::from_le_bytes(bytes)
}

fn check_owner(file: &File, path: &Path) -> Result<(), KeyError> {
    let path = || path.to_owned();
    let meta = file.metadata().map_err(|source| KeyError::Io { path: path(), source })?;
    if !meta.is_file() {
        return Err(KeyError::NotAFile { path: path() });
    }
    if meta.mode() & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path(), mode: meta.mode() & 0o7777 });
    }
    let me = rustix::process::geteuid().as_raw();
    if !may_own(meta.uid(), me) {
        return Err(KeyError::Owner { path: path(), owner: meta.uid(), me });
    }
    Ok(())
}

/// Whether a key that `owner` could read and change is fit for a process of `me`. Root may look at
/// the file of the user that the daemon runs as.
const fn may_own(owner: u32, me: u32) -> bool {
    owner == me || owner == 0 || me == 0
}

/// One allocation of the final size: a growing string would leave copies behind.
fn text(keys: &[ClusterKey]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(COMMENT.len() + keys.len() * LINE_LEN));
    text.push_str(COMMENT);
    for key in keys {
        text.push_str(TAG);
        text.push(' ');
        for byte in key.0.iter() {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from(DIGITS[usize::from(nibble)]));
            }
        }
        text.push('\n');
    }
    text
}

fn parse(text: &str) -> Result<Vec<ClusterKey>, &'static str> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let mut keys = Vec::with_capacity(KEYS_MAX);
    for line in lines {
        let key = parse_line(line)?;
        if keys.len() == KEYS_MAX {
            return Err("more than two keys in it");
        }
        if keys.contains(&key) {
            return Err("the same key twice in it");
        }
        keys.push(key);
    }
    if keys.is_empty() { Err("no key in it") } else { Ok(keys) }
}

fn parse_line(line: &str) -> Result<ClusterKey, &'static str> {
    let (tag, digits) = line.split_once(char::is_whitespace).ok_or("the key has one word only")?;
    if tag != TAG {
        return Err("the key does not begin with `evs-key-1`");
    }
    let digits = digits.trim().as_bytes();
    if digits.len() != 2 * ClusterKey::LEN {
        return Err("the key has not 64 digits");
    }
    let mut key = ClusterKey::blank();
    for (byte, pair) in key.0.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Ok(key)
}

fn nibble(digit: u8) -> Result<u8, &'static str> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err("a digit of the key is not hexadecimal"),
    }
}

const SEVERAL: &str = "more than one key in it";
const COMMENT: &str = "# The secret of an EVS cluster: the same file on every node, mode 0600.\n";
const TAG: &str = "evs-key-1";
const LINE_LEN: usize = TAG.len() + 1 + 2 * ClusterKey::LEN + 1;
const DIGITS: &[u8; 16] = b"0123456789abcdef";
const FILE_BYTES_MAX: usize = 4096;
const NO_RANDOMNESS: &str = "the system's source of randomness works";

#[cfg(test)]
mod tests;
