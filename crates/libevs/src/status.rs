//! What a call returns, and which number each error of the client becomes.

use std::io;

use evs::{ConnectError, RequestError, SendError};
use rustix::io::Errno;

/// `cs_error_t`: those of its values that this library returns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub enum Status {
    /// `CS_OK`
    Ok = 1,
    /// `CS_ERR_LIBRARY`: the session is over, or something failed that cannot be told apart.
    Library = 2,
    /// `CS_ERR_VERSION`: library and daemon speak different protocols.
    Version = 3,
    /// `CS_ERR_TIMEOUT`: a living daemon did not answer in time.
    Timeout = 5,
    /// `CS_ERR_TRY_AGAIN`: not now.
    TryAgain = 6,
    /// `CS_ERR_INVALID_PARAM`: a null pointer or a value that means nothing.
    InvalidParam = 7,
    /// `CS_ERR_BAD_HANDLE`: no open handle.
    BadHandle = 9,
    /// `CS_ERR_ACCESS`: this user may not use the daemon.
    Access = 11,
    /// `CS_ERR_NOT_EXIST`: a leave of a group that is not joined, a configuration without a record.
    NotExist = 12,
    /// `CS_ERR_NO_SPACE`: the caller's buffer is too short; it was told how long it must be.
    NoSpace = 15,
    /// `CS_ERR_NO_RESOURCES`: no descriptor or no memory of the kernel left.
    NoResources = 18,
    /// `CS_ERR_NOT_SUPPORTED`: what a later version of this library knows.
    NotSupported = 19,
    /// `CS_ERR_TOO_BIG`: a message above the daemon's limit.
    TooBig = 26,
    /// `CS_ERR_TOO_MANY_GROUPS`
    TooManyGroups = 30,
    /// `CS_ERR_IN_SHUTDOWN`: the daemon has said that it stops.
    InShutdown = 31,
}

impl From<ConnectError> for Status {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Access { .. } => Self::Access,
            ConnectError::Io { source, .. } => (&source).into(),
            ConnectError::NoDaemon { .. }
            | ConnectError::TimedOut { .. }
            | ConnectError::TryAgain { .. } => Self::TryAgain,
            ConnectError::VersionMismatch { .. } => Self::Version,
            ConnectError::NotADaemon { .. } | _ => Self::Library,
        }
    }
}

impl From<&io::Error> for Status {
    fn from(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::NOSPC) => {
                Self::NoResources
            }
            Some(_) | None => Self::Library,
        }
    }
}

impl From<RequestError> for Status {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::NotJoined | RequestError::UnknownConfiguration { .. } => Self::NotExist,
            RequestError::TimedOut { .. } => Self::Timeout,
            RequestError::TooManyGroups { .. } => Self::TooManyGroups,
            RequestError::TooManyRequests(_) => Self::TryAgain,
            RequestError::Closed(_) | RequestError::Leaving | RequestError::Reconnecting | _ => {
                Self::Library
            }
        }
    }
}

impl From<SendError> for Status {
    fn from(error: SendError) -> Self {
        match error {
            SendError::QueueFull => Self::TryAgain,
            SendError::TooBig { .. } => Self::TooBig,
            SendError::TooManyGroups { .. } => Self::TooManyGroups,
            SendError::Closed(_) | SendError::Reconnecting | _ => Self::Library,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_descriptors_is_told_so() {
        let source = io::Error::from_raw_os_error(libc::EMFILE);
        let error = ConnectError::Io { path: "/x".into(), source };
        assert_eq!(Status::from(error), Status::NoResources);
    }

    #[test]
    fn a_full_queue_is_try_again_and_a_lost_session_is_library() {
        assert_eq!(Status::from(SendError::QueueFull), Status::TryAgain);
        assert_eq!(Status::from(SendError::Closed(evs::Closed)), Status::Library);
        assert_eq!(Status::from(RequestError::Closed(evs::Closed)), Status::Library);
    }

    #[test]
    fn a_leave_of_a_group_that_is_not_joined_is_not_exist() {
        assert_eq!(Status::from(RequestError::NotJoined), Status::NotExist);
    }
}
