//! Connecting as the command line says.

use std::os::fd::AsFd as _;
use std::path::Path;

use evs::{Client, ConnectOptions, Event, Members, RingId};
use evs_report::Question;

use crate::args::Daemon;
use crate::failure::Failure;
use crate::output::Output;

/// What a session begins with: the configuration in force.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) ring: RingId,
    pub(crate) members: Members,
}

/// A session with the daemon that the command line names.
pub(crate) fn open(daemon: &Daemon) -> Result<Client, Failure> {
    open_at(daemon.socket.as_deref())
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

/// The next event. What has been printed is shown before this waits for it; where nobody can read
/// what would be printed, there is nothing to wait for.
pub(crate) fn next(client: &Client, output: &mut Output) -> Result<Event, Failure> {
    loop {
        if let Some(event) = client.try_recv()? {
            return Ok(event);
        }
        output.flush()?;
        output.wait_with(client.as_fd())?;
    }
}

/// Asks the daemon something; the answer is JSON.
pub(crate) fn ask(client: &Client, question: &Question) -> Result<String, Failure> {
    // Nothing in it can fail to be written: keys are texts and numbers are whole.
    let question = serde_json::to_string(question).unwrap_or_default();
    Ok(client.ask_json(&question)?)
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
