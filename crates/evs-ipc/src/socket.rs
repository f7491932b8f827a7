//! The socket calls of both ends: none blocks, none raises `SIGPIPE`, every descriptor is
//! close-on-exec.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use crate::ReadOutcome;

/// Connects to a listening Unix stream socket. The result does not block.
///
/// # Errors
/// What the system says: `ENOENT` and `ECONNREFUSED` if nobody listens, `EACCES` if the file's
/// mode forbids it, `EAGAIN` if the listener's queue is full, `ENAMETOOLONG`.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    net::connect(&socket, &address)?;
    Ok(socket)
}

/// A pair of connected stream sockets that do not block: the bell's two ends.
///
/// # Errors
/// What the system says: `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// Asks for room of `bytes` in the kernel for what this end writes. The system grants what it
/// allows (`net.core.wmem_max`); less only means more system calls, so a failure is no error.
pub fn grow_send_buffer(socket: impl AsFd, bytes: usize) {
    let granted = net::sockopt::socket_send_buffer_size(&socket).unwrap_or(0);
    if granted < bytes {
        let _ = net::sockopt::set_socket_send_buffer_size(&socket, bytes);
    }
}

/// Writes bytes with descriptors attached to the first of them. Returns how many were written,
/// or `None` if the socket takes none now. The descriptors can be closed afterwards.
///
/// # Errors
/// What the system says; `EPIPE` or `ECONNRESET` if the other end is gone.
pub fn send_with_fds(
    socket: impl AsFd,
    bytes: &[u8],
    fds: [BorrowedFd<'_>; WELCOME_FDS],
) -> io::Result<Option<usize>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(WELCOME_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fits = control.push(SendAncillaryMessage::ScmRights(&fds));
    assert!(fits, "the space was made for as many");
    let slices = [IoSlice::new(bytes)];
    unless_blocked(|| net::sendmsg(&socket, &slices, &mut control, SEND_FLAGS))
}

/// Rings the bell at the other end: one byte. One that was not yet heard is enough, so a full
/// socket is no failure.
///
/// # Errors
/// What the system says; `EPIPE` or `ECONNRESET` if the other end is gone.
pub fn ring(bell: impl AsFd) -> io::Result<()> {
    unless_blocked(|| net::send(&bell, &[1], SEND_FLAGS)).map(|_| ())
}

/// Whether the bell was rung, or the other end is gone. What was rung is forgotten, or, with
/// `peek`, stays readable.
///
/// # Errors
/// What the system says, besides those that [`ReadOutcome`] covers.
pub fn heard(bell: impl AsFd, peek: bool) -> io::Result<ReadOutcome> {
    let mut rings = [0; 64];
    let flags = if peek { RecvFlags::DONTWAIT | RecvFlags::PEEK } else { RecvFlags::DONTWAIT };
    outcome(unless_blocked(|| net::recv(&bell, &mut rings, flags).map(|(count, _)| count)))
}

/// Writes from several places. Returns how many bytes were written, or `None` if the socket takes
/// none now.
///
/// # Errors
/// What the system says; `EPIPE` or `ECONNRESET` if the other end is gone.
pub fn write_vectored(socket: impl AsFd, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
    let mut control = SendAncillaryBuffer::default();
    unless_blocked(|| net::sendmsg(&socket, slices, &mut control, SEND_FLAGS))
}

/// Reads once.
///
/// # Errors
/// What the system says, besides those that [`ReadOutcome`] covers.
pub(crate) fn read(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<ReadOutcome> {
    outcome(unless_blocked(|| {
        net::recv(&socket, &mut *buffer, RecvFlags::DONTWAIT).map(|(count, _)| count)
    }))
}

/// Reads once, and takes descriptors that come along, up to as many as a Welcome has; others are
/// closed.
///
/// # Errors
/// As [`read`]; `EMFILE` if the process has as many descriptors as it may.
pub(crate) fn read_with_fds(
    socket: impl AsFd,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<ReadOutcome> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(WELCOME_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let mut cut = false;
    let read = unless_blocked(|| {
        let mut slices = [IoSliceMut::new(buffer)];
        let message = net::recvmsg(&socket, &mut slices, &mut control, flags)?;
        cut = message.flags.contains(ReturnFlags::CTRUNC);
        Ok(message.bytes)
    });
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            let room = WELCOME_FDS.saturating_sub(fds.len());
            fds.extend(rights.take(room));
        }
    }
    if cut && fds.len() < WELCOME_FDS {
        // They came, and this process has no number left for them: the kernel has closed them.
        return Err(Errno::MFILE.into());
    }
    outcome(read)
}

fn outcome(read: io::Result<Option<usize>>) -> io::Result<ReadOutcome> {
    match read {
        Ok(Some(0)) => Ok(ReadOutcome::Closed),
        Ok(Some(count)) => Ok(ReadOutcome::Bytes(count)),
        Ok(None) => Ok(ReadOutcome::Blocked),
        // The other end closed without having read everything: what it wrote has been read.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(ReadOutcome::Closed),
        Err(error) => Err(error),
    }
}

/// Retries what a signal interrupted; `None` if the call would block.
fn unless_blocked(mut call: impl FnMut() -> Result<usize, Errno>) -> io::Result<Option<usize>> {
    loop {
        match call() {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Who is at the other end of a Unix socket, as the kernel saw it at `connect`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerCredentials {
    /// Process id; for logs only, it may long be somebody else's.
    pub pid: i32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

impl PeerCredentials {
    /// Whether the process had this group, effective or supplementary.
    #[must_use]
    pub fn has_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

/// Asks the kernel who connected (`SO_PEERCRED`, `SO_PEERGROUPS`).
///
/// # Errors
/// What the system says; not a connected Unix socket.
pub fn peer_credentials(socket: impl AsFd) -> io::Result<PeerCredentials> {
    let credentials = net::sockopt::socket_peercred(&socket)?;
    Ok(PeerCredentials {
        pid: credentials.pid.as_raw_pid(),
        uid: credentials.uid.as_raw(),
        gid: credentials.gid.as_raw(),
        groups: peer_groups(socket.as_fd())?,
    })
}

/// The supplementary groups: a member of group `evs` usually has it as one of these.
fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups: Vec<u32> = vec![0; PEER_GROUPS_FIRST];
    loop {
        let mut bytes = libc::socklen_t::try_from(size_of_val(groups.as_slice()))
            .expect("the kernel's groups are at most 65,536");
        // SAFETY: the pointers are to a live buffer of `bytes` bytes and to its length; the kernel
        // writes at most that many and any bytes are valid u32s.
        #[allow(unsafe_code)]
        let status = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        let count = bytes as usize / size_of::<u32>();
        if status == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        // Too small a buffer: the kernel has said how many there are.
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

/// Descriptors that come with a Welcome: the client's end of the bell, and the shared memory.
pub const WELCOME_FDS: usize = 2;

const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

/// Few processes have more groups.
const PEER_GROUPS_FIRST: usize = 64;
