//! How to connect.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a client connects. The defaults suit nearly everybody.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ConnectOptions {
    path: Option<PathBuf>,
    name: Option<String>,
    timeout: Option<Duration>,
    request_timeout: Option<Duration>,
}

impl ConnectOptions {
    /// How long the daemon has to take a client on, unless said otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// How long the daemon has to answer a request, unless said otherwise.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the daemon listens. Without it the environment variable `EVS_SOCKET` says so, or it
    /// is `/run/evs/evsd.sock`.
    #[must_use]
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// What the daemon's log and status call this client; by default the name of the program. It
    /// is cut to 64 bytes.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How long the daemon has to take the client on. A daemon that does not listen is an error
    /// at once.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long a daemon that lives has to answer a join, leave or status. A daemon that died is
    /// an error at once.
    #[must_use]
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// Where these options look for the daemon.
    #[must_use]
    pub fn socket_path(&self) -> PathBuf {
        if let Some(path) = &self.path {
            return path.clone();
        }
        match env::var_os(evs_ipc::SOCKET_ENV) {
            Some(path) if !path.is_empty() => path.into(),
            Some(_) | None => evs_ipc::SOCKET_PATH.into(),
        }
    }

    pub(crate) fn client_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| {
            let program = env::args_os().next().unwrap_or_default();
            Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned()
        })
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.timeout.unwrap_or(Self::TIMEOUT)
    }

    pub(crate) fn answer_timeout(&self) -> Duration {
        self.request_timeout.unwrap_or(Self::REQUEST_TIMEOUT)
    }
}
