//! The socket calls: descriptors travel, credentials are the kernel's.

use std::os::fd::{AsFd, OwnedFd};

use evs_ipc::{FrameReader, ReadOutcome, ServerFrame, socket};
use rustix::io::FdFlags;

fn pair() -> (OwnedFd, OwnedFd) {
    socket::pair().expect("descriptors")
}

#[test]
fn descriptors_travel_with_the_first_byte_and_are_close_on_exec() {
    let (ours, theirs) = pair();
    let (inner, passed) = pair();
    let (_other, second) = pair();
    let bytes = [9, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0];
    let sent =
        socket::send_with_fds(&ours, &bytes, [passed.as_fd(), second.as_fd()]).expect("connected");
    assert_eq!(sent, Some(bytes.len()));
    drop(passed);

    let mut reader = FrameReader::new(100);
    let mut fds = Vec::new();
    let outcome = reader.read_with_fds(&theirs, &mut fds).expect("connected");
    assert_eq!(outcome, ReadOutcome::Bytes(bytes.len()));
    let frame = reader.next_frame().expect("well-formed").expect("complete");
    assert_eq!(ServerFrame::decode(frame), Ok(ServerFrame::Credit { bytes: 1 }));
    assert_eq!(fds.len(), 2, "both came along");
    for fd in &fds {
        let flags = rustix::io::fcntl_getfd(fd).expect("open");
        assert!(flags.contains(FdFlags::CLOEXEC));
    }
    let fd = fds.remove(0);
    socket::write_vectored(&inner, &[std::io::IoSlice::new(b"through")]).expect("connected");
    let mut reader = FrameReader::new(100);
    assert_eq!(reader.read_from(&fd).expect("connected"), ReadOutcome::Bytes(7));
}

#[test]
fn descriptors_that_nobody_expects_are_closed() {
    let (ours, theirs) = pair();
    let mut fds = Vec::new();
    let mut reader = FrameReader::new(100);
    for _ in 0..2 {
        let (watched, passed) = pair();
        let both = [passed.as_fd(), passed.as_fd()];
        socket::send_with_fds(&ours, &[0], both).expect("connected");
        drop(passed);
        let before = !fds.is_empty();
        reader.read_with_fds(&theirs, &mut fds).expect("connected");
        let mut other = FrameReader::new(100);
        let expected = if before { ReadOutcome::Closed } else { ReadOutcome::Blocked };
        assert_eq!(other.read_from(&watched).expect("a socket"), expected);
    }
}

#[test]
fn the_peer_is_who_the_kernel_says() {
    let (ours, _theirs) = pair();
    let peer = socket::peer_credentials(&ours).expect("a Unix socket");
    assert_eq!(peer.pid, rustix::process::getpid().as_raw_pid());
    assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
    assert_eq!(peer.gid, rustix::process::getegid().as_raw());
    let mut groups: Vec<_> = rustix::process::getgroups()
        .expect("readable")
        .into_iter()
        .map(rustix::process::Gid::as_raw)
        .collect();
    groups.sort_unstable();
    let mut theirs = peer.groups.clone();
    theirs.sort_unstable();
    assert_eq!(theirs, groups);
    assert!(peer.has_group(peer.gid));
}

#[test]
fn nobody_at_the_path_is_an_error_that_says_so() {
    let path = std::env::temp_dir().join(format!("evs-ipc-nobody-{}", std::process::id()));
    let error = socket::connect(&path).expect_err("nobody listens");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}
