//! `evs members`: the configuration in force, and with `--watch` its changes.

use evs::{Client, Event};
use serde_json::json;

use crate::args::MembersArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Current;
use crate::{events, session};

pub(crate) fn run(members: &MembersArgs, output: &mut Output) -> Result<(), Failure> {
    let client = session::open(&members.daemon)?;
    if members.watch {
        return watch(&client, output);
    }
    let Current { ring, members } = session::current(&client)?;
    if output.is_json() {
        let object = json!({
            "ring": events::ring_id(ring),
            "members": events::processors(&members),
            "me": client.processor().node.get(),
        });
        output.object(object)?;
        return Ok(());
    }
    output.line(&format!("ring {ring}"))?;
    for member in &members {
        let mark = if member == client.processor() { "  (this node)" } else { "" };
        output.line(&format!("  {} {:016x}{mark}", member.node, member.incarnation))?;
    }
    Ok(())
}

fn watch(client: &Client, output: &mut Output) -> Result<(), Failure> {
    loop {
        let event = session::next(client, output)?;
        output.print(|| events::text(&event), || events::json(&event))?;
        if let Event::Disconnected { reason } = event {
            output.flush()?;
            return Err(Failure::disconnected(reason));
        }
    }
}
