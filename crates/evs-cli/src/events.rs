//! Events as text and as JSON.

use std::fmt::Write as _;

use evs::{ChangeReason, Event, Members, Message, Processor, RingId};
use serde_json::{Value, json};

/// One line for people.
pub(crate) fn text(event: &Event) -> String {
    match event {
        Event::Regular { ring, members, left, joined, reason } => {
            let mut line = format!("regular {ring}: {}", list(members));
            append(&mut line, "left", left);
            append(&mut line, "joined", joined);
            explain(line, *reason)
        }
        Event::Transitional { from, to, members, left, reason } => {
            let mut line = format!("transitional {from} to {to}: {}", list(members));
            append(&mut line, "left", left);
            explain(line, *reason)
        }
        Event::Message(message) => {
            let groups: Vec<_> = message.groups.iter().map(|group| group.to_string()).collect();
            let Message { id, guarantee, body, .. } = message;
            format!("message {id} {guarantee} to {}: {}", groups.join(" "), content(body))
        }
        Event::Disconnected { reason } => format!("disconnected: {reason}"),
        Event::Gap { reason } => format!("gap: {reason}"),
        other => format!("{other:?}"),
    }
}

/// One object for programs. Numbers of 64 random bits are in hexadecimal, since many readers of
/// JSON cannot hold them.
pub(crate) fn json(event: &Event) -> Value {
    match event {
        Event::Regular { ring, members, left, joined, reason } => json!({
            "event": "regular",
            "ring": ring_id(*ring),
            "members": processors(members),
            "left": processors(left),
            "joined": processors(joined),
            "reason": reason.to_string(),
        }),
        Event::Transitional { from, to, members, left, reason } => json!({
            "event": "transitional",
            "from": ring_id(*from),
            "to": ring_id(*to),
            "members": processors(members),
            "left": processors(left),
            "reason": reason.to_string(),
        }),
        Event::Message(message) => message_json(message),
        Event::Disconnected { reason } => {
            json!({ "event": "disconnected", "reason": reason.to_string() })
        }
        Event::Gap { reason } => json!({ "event": "gap", "reason": reason.to_string() }),
        other => json!({ "event": "other", "text": format!("{other:?}") }),
    }
}

fn message_json(message: &Message) -> Value {
    let groups: Vec<_> = message.groups.iter().map(|group| group.to_string()).collect();
    let mut object = json!({
        "event": "message",
        "id": message.id.to_string(),
        "sender": processor(message.id.sender),
        "client": message.id.client.0,
        "number": message.id.number,
        "groups": groups,
        "guarantee": message.guarantee.to_string(),
        "ring": ring_id(message.ring),
        "seq": message.seq,
        "bytes": message.body.len(),
    });
    match str::from_utf8(&message.body) {
        Ok(text) => object["text"] = text.into(),
        Err(_) => object["hex"] = hex(&message.body).into(),
    }
    object
}

pub(crate) fn ring_id(ring: RingId) -> Value {
    json!({ "seq": ring.seq, "rep": processor(ring.rep), "text": ring.to_string() })
}

pub(crate) fn processors(members: &Members) -> Value {
    members.iter().map(processor).collect()
}

fn processor(processor: Processor) -> Value {
    json!({
        "node": processor.node.get(),
        "incarnation": format!("{:016x}", processor.incarnation),
    })
}

fn list(members: &Members) -> String {
    members.iter().map(|member| member.to_string()).collect::<Vec<_>>().join(" ")
}

fn append(line: &mut String, what: &str, members: &Members) {
    if !members.is_empty() {
        // A string takes everything.
        let _ = write!(line, ", {what} {}", list(members));
    }
}

/// What begins a session needs no reason.
fn explain(mut line: String, reason: ChangeReason) -> String {
    if reason != ChangeReason::Begin {
        // A string takes everything.
        let _ = write!(line, " ({reason})");
    }
    line
}

/// A body that is text in full; of any other the first bytes. Control characters are shown, so
/// that a message cannot command a terminal.
fn content(body: &[u8]) -> String {
    const SHOWN: usize = 32;
    match str::from_utf8(body) {
        Ok(text) => text.trim_end_matches('\n').escape_debug().to_string(),
        Err(_) => {
            let more = if body.len() > SHOWN { "…" } else { "" };
            format!("{} bytes {}{more}", body.len(), hex(&body[..body.len().min(SHOWN)]))
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use evs::{Bytes, ClientId, Group, Groups, Guarantee, MessageId, NodeId};

    use super::*;

    fn message(body: &'static [u8]) -> Event {
        let sender = Processor::new(NodeId::new(2).expect("not zero"), 0xab);
        Event::Message(Message {
            id: MessageId { sender, client: ClientId(3), number: 7 },
            groups: Groups::new(&[Group::named("orders").expect("short")]).expect("one"),
            guarantee: Guarantee::Safe,
            ring: RingId { seq: 5, rep: sender },
            seq: 9,
            body: Bytes::from_static(body),
        })
    }

    #[test]
    fn a_message_cannot_command_a_terminal() {
        let line = text(&message(b"red \x1b[31m\n"));
        assert_eq!(line, "message 2/00ab:c3:7 safe to orders: red \\u{1b}[31m");
    }

    #[test]
    fn a_body_that_is_no_text_is_shown_in_hexadecimal() {
        assert!(text(&message(b"\xff\x00")).ends_with(": 2 bytes ff00"));
        assert_eq!(json(&message(b"\xff\x00"))["hex"], "ff00");
        assert_eq!(json(&message(b"hi"))["text"], "hi");
    }

    #[test]
    fn an_incarnation_is_no_json_number() {
        assert_eq!(json(&message(b""))["sender"]["incarnation"], "00000000000000ab");
    }
}
