//! `evs send`: one message.

use std::io::{self, Read as _};

use evs::{Guarantee, MessageId};
use serde_json::json;

use crate::args::SendArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::session;

pub(crate) fn run(send: &SendArgs, output: &mut Output) -> Result<(), Failure> {
    let client = session::open(&send.daemon)?;
    let body = match &send.message {
        Some(text) => text.clone().into_bytes(),
        None => standard_input(client.limits().message_bytes_max)?,
    };
    let id = client.send(send.guarantee, &send.groups, &body)?;
    output.print(|| format!("{id}"), || report(id, send.guarantee, body.len()))?;
    Ok(())
}

/// All of it, but no more than one byte above the limit: that much is refused with the limit's
/// name.
fn standard_input(limit: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = io::stdin().take(most).read_to_end(&mut body);
    read.map_err(|error| Failure::new(format!("cannot read standard input: {error}")))?;
    if body.len() > limit {
        let what = "standard input holds more than one message can";
        return Err(Failure::new(format!("{what}: the limit (message_bytes_max) is {limit}")));
    }
    Ok(body)
}

fn report(id: MessageId, guarantee: Guarantee, bytes: usize) -> serde_json::Value {
    json!({
        "id": id.to_string(),
        "client": id.client.0,
        "number": id.number,
        "guarantee": guarantee.to_string(),
        "bytes": bytes,
    })
}
