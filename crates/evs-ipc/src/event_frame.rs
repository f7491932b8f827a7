//! What the daemon says on the event socket: the client's history, frame by frame.
//!
//! | kind | frame | fields |
//! | --- | --- | --- |
//! | 1 | regular configuration | ring, members, left, joined |
//! | 2 | transitional configuration | from, to, members, left |
//! | 3 | message | guarantee u8, group count u16, sender, client u64, number u64, ring, seq u64, keys, body (the rest) |
//! | 4 | disconnected | reason u8 |
//!
//! A processor is node u32, incarnation u64; a ring is seq u64 and its representative; a member
//! list is a count u16 and that many processors.

use bytes::{BufMut, Bytes};
use evs_model::{
    ClientId, ConfigurationChange, DisconnectReason, Event, Guarantee, Message, MessageId,
};

use crate::wire::{
    EncodeFrame, FRAME_HEAD_BYTES, Fields, MESSAGE_HEAD_BYTES, RING_FIELD_BYTES, group_count,
    members_bytes, put_frame_head, put_members, put_processor, put_ring,
};
use crate::{DecodeError, Frame};

const REGULAR: u8 = 1;
const TRANSITIONAL: u8 = 2;
const MESSAGE: u8 = 3;
const DISCONNECTED: u8 = 4;

/// Takes a frame of the event socket apart. Group keys and body share the frame's memory.
///
/// # Errors
/// Bytes that are no event.
pub fn decode_event(frame: Frame) -> Result<Event, DecodeError> {
    let mut fields = Fields(frame.fields);
    match frame.kind {
        REGULAR => {
            let change = ConfigurationChange::Regular {
                ring: fields.ring("ring")?,
                members: fields.members("members")?,
                left: fields.members("left")?,
                joined: fields.members("joined")?,
            };
            fields.finish()?;
            Ok(Event::Configuration(change))
        }
        TRANSITIONAL => {
            let change = ConfigurationChange::Transitional {
                from: fields.ring("from")?,
                to: fields.ring("to")?,
                members: fields.members("members")?,
                left: fields.members("left")?,
            };
            fields.finish()?;
            Ok(Event::Configuration(change))
        }
        MESSAGE => decode_message(fields).map(Event::Message),
        DISCONNECTED => {
            let reason = decode_reason(fields.u8("reason")?)?;
            fields.finish()?;
            Ok(Event::Disconnected(reason))
        }
        other => Err(DecodeError::UnknownKind(other)),
    }
}

fn decode_message(mut fields: Fields) -> Result<Message, DecodeError> {
    let guarantee = Guarantee::try_from(fields.u8("guarantee")?)?;
    let count = fields.u16("group count")?;
    let id = MessageId {
        sender: fields.processor("sender")?,
        client: ClientId(fields.u64("client")?),
        number: fields.u64("number")?,
    };
    let ring = fields.ring("ring")?;
    let seq = fields.u64("seq")?;
    let groups = fields.groups(count)?;
    Ok(Message { id, groups, guarantee, ring, seq, body: fields.rest() })
}

fn decode_reason(number: u8) -> Result<DisconnectReason, DecodeError> {
    match number {
        1 => Ok(DisconnectReason::TooSlow),
        2 => Ok(DisconnectReason::Shutdown),
        3 => Ok(DisconnectReason::ProtocolError),
        other => Err(DecodeError::Value { field: "disconnect reason", value: other.into() }),
    }
}

impl EncodeFrame for Event {
    fn encoded_len(&self) -> usize {
        FRAME_HEAD_BYTES
            + match self {
                Self::Configuration(ConfigurationChange::Regular {
                    members, left, joined, ..
                }) => {
                    RING_FIELD_BYTES
                        + members_bytes(members)
                        + members_bytes(left)
                        + members_bytes(joined)
                }
                Self::Configuration(ConfigurationChange::Transitional {
                    members, left, ..
                }) => 2 * RING_FIELD_BYTES + members_bytes(members) + members_bytes(left),
                Self::Message(message) => {
                    MESSAGE_HEAD_BYTES + message.groups.as_bytes().len() + message.body.len()
                }
                Self::Disconnected(_) => 1,
            }
    }

    fn encode_head(&self, out: &mut Vec<u8>) {
        let fields_bytes = self.encoded_len() - FRAME_HEAD_BYTES;
        match self {
            Self::Configuration(ConfigurationChange::Regular { ring, members, left, joined }) => {
                put_frame_head(out, REGULAR, fields_bytes);
                put_ring(out, *ring);
                put_members(out, members);
                put_members(out, left);
                put_members(out, joined);
            }
            Self::Configuration(ConfigurationChange::Transitional { from, to, members, left }) => {
                put_frame_head(out, TRANSITIONAL, fields_bytes);
                put_ring(out, *from);
                put_ring(out, *to);
                put_members(out, members);
                put_members(out, left);
            }
            Self::Message(message) => {
                put_frame_head(out, MESSAGE, fields_bytes);
                out.put_u8(message.guarantee as u8);
                out.put_u16_le(group_count(&message.groups));
                put_processor(out, message.id.sender);
                out.put_u64_le(message.id.client.0);
                out.put_u64_le(message.id.number);
                put_ring(out, message.ring);
                out.put_u64_le(message.seq);
                out.extend_from_slice(message.groups.as_bytes());
            }
            Self::Disconnected(reason) => {
                put_frame_head(out, DISCONNECTED, fields_bytes);
                out.put_u8(*reason as u8);
            }
        }
    }

    fn tail(&self) -> Bytes {
        match self {
            Self::Message(message) => message.body.clone(),
            Self::Configuration(_) | Self::Disconnected(_) => Bytes::new(),
        }
    }
}
