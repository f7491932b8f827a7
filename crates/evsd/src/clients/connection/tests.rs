use std::os::unix::net::UnixStream;

use super::*;

fn connection() -> (Connection, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    ours.set_nonblocking(true).expect("it can be set");
    let peer = evs_ipc::socket::peer_credentials(&ours).expect("a connected socket has a peer");
    (Connection::new(OwnedFd::from(ours), peer, 1 << 10, Instant::NEVER), theirs)
}

#[test]
fn a_client_that_closed_its_socket_is_gone() {
    let (mut connection, theirs) = connection();
    assert_eq!(connection.waste(), Waste::Nothing);
    drop(theirs);
    connection.note_ready(true, false);
    assert_eq!(connection.waste(), Waste::Gone);
}

/// Its last words are still to be written.
#[test]
fn a_client_whose_socket_was_shut_on_this_side_is_not_gone() {
    let (mut connection, theirs) = connection();
    connection.shut();
    assert_eq!(connection.waste(), Waste::Nothing);
    connection.note_ready(true, false);
    assert_eq!(connection.waste(), Waste::Nothing);
    drop(theirs);
}
