//! Connecting as the command line says.

use std::path::Path;

use evs::{Client, ConnectOptions, Event, Members, RingId};

use crate::args::Args;
use crate::failure::Failure;

/// What a session begins with: the configuration in force.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) ring: RingId,
    pub(crate) members: Members,
}

/// A session with the daemon that the command line names.
pub(crate) fn open(args: &Args) -> Result<Client, Failure> {
    open_at(args.socket.as_deref())
}

/// A session with the daemon at a socket, or at the usual one.
pub(crate) fn open_at(socket: Option<&Path>) -> Result<Client, Failure> {
    let options = ConnectOptions::new().name("evs");
    let options = match socket {
        Some(path) => options.path(path),
        None => options,
    };
    Ok(Client::connect_with(&options)?)
}

/// Takes the first event.
pub(crate) fn current(client: &Client) -> Result<Current, Failure> {
    let first = client.recv()?;
    if let Event::Regular { ring, members, .. } = first {
        return Ok(Current { ring, members });
    }
    if let Event::Disconnected { reason } = first {
        return Err(Failure::disconnected(reason));
    }
    Err(Failure::new("the session does not begin with a configuration"))
}
