//! Why a command did not do what was asked: a message and an exit code.

use std::io;
use std::process::ExitCode;

use evs::{Closed, ConnectError, DisconnectReason, RequestError, SendError};

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed: message and exit code.
    Failed(String, u8),
    /// Nobody reads the output any more. That is how `evs listen g | head -1` ends.
    OutputClosed,
}

const FAILED: u8 = 1;
const NO_DAEMON: u8 = 3;
const NO_ACCESS: u8 = 4;
const ENDED: u8 = 5;
const DIFFERENT: u8 = 6;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Failed(message.into(), FAILED)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::Failed(message.into(), NO_ACCESS)
    }

    pub(crate) fn different(message: impl Into<String>) -> Self {
        Self::Failed(message.into(), DIFFERENT)
    }

    /// What `judged` came to counts, also where nobody reads what was `printed` of it.
    pub(crate) fn of(printed: Result<(), Self>, judged: Result<(), Self>) -> Result<(), Self> {
        match printed {
            Ok(()) | Err(Self::OutputClosed) => judged,
            Err(failure) => Err(failure),
        }
    }

    pub(crate) fn disconnected(reason: DisconnectReason) -> Self {
        Self::Failed(format!("the session is over: {reason}"), ENDED)
    }

    /// Tells the user.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Failed(message, code) => {
                // Where not even that can be written, the exit code has to do.
                let _ =
                    io::Write::write_all(&mut io::stderr(), format!("evs: {message}\n").as_bytes());
                ExitCode::from(*code)
            }
            Self::OutputClosed => ExitCode::SUCCESS,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(message, _) => f.write_str(message),
            Self::OutputClosed => f.write_str("nobody reads the output any more"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::new(format!("cannot write: {error}"))
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        if matches!(error, ConnectError::Access { .. }) {
            let hint = "join the group `evs`, or be listed in local.allow_uids of evsd.toml";
            return Self::Failed(format!("{error} ({hint})"), NO_ACCESS);
        }
        if matches!(error, ConnectError::NoDaemon { .. }) {
            let hint = "`systemctl status evsd` tells; --socket or EVS_SOCKET name another socket";
            return Self::Failed(format!("{error} ({hint})"), NO_DAEMON);
        }
        let code = if error.is_temporary() { NO_DAEMON } else { FAILED };
        Self::Failed(error.to_string(), code)
    }
}

impl From<Closed> for Failure {
    fn from(closed: Closed) -> Self {
        Self::Failed(closed.to_string(), ENDED)
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        if let RequestError::Closed(closed) = error {
            return closed.into();
        }
        Self::new(error.to_string())
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        if let SendError::Closed(closed) = error {
            return closed.into();
        }
        Self::new(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(failure: Failure) -> (String, u8) {
        match failure {
            Failure::Failed(message, code) => (message, code),
            Failure::OutputClosed => (String::new(), 0),
        }
    }

    #[test]
    fn a_missing_daemon_is_named_with_what_to_do() {
        let (message, code) = failed(ConnectError::NoDaemon { path: "/x.sock".into() }.into());
        assert!(message.starts_with("no daemon listens on /x.sock: is evsd running? ("));
        assert_eq!(code, NO_DAEMON);
    }

    #[test]
    fn a_refused_user_gets_a_code_of_its_own() {
        let (_, code) = failed(ConnectError::Access { path: "/x.sock".into() }.into());
        assert_eq!(code, NO_ACCESS);
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(failure, Failure::OutputClosed));
    }
}
