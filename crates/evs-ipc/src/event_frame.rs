//! What the daemon writes into a client's ring: the client's history, frame by frame.
//!
//! | kind | frame | fields |
//! | --- | --- | --- |
//! | 1 | regular configuration | ring, members, left, joined |
//! | 2 | transitional configuration | from, to, members, left |
//! | 3 | message | guarantee u8, group count u16, sender, client u64, number u64, ring, seq u64, keys, body (the rest) |
//! | 4 | disconnected | reason u8 |
//! | 5 | configuration with its reason | reason u8, processor count u8, processors, kind 1 or 2, its fields |
//!
//! A processor is node u32, incarnation u64; a ring is seq u64 and its representative; a member
//! list is a count u16 and that many processors.

use std::ops::Range;

use bytes::{Buf as _, BufMut, Bytes};
use evs_model::{
    ChangeReason, ClientId, ConfigurationChange, DisconnectReason, Event, Group, Groups, Guarantee,
    Message, MessageId, NodeId, Processor, RingId,
};

use crate::wire::{
    EncodeFrame, FRAME_HEAD_BYTES, Fields, MESSAGE_HEAD_BYTES, PROCESSOR_FIELD_BYTES,
    RING_FIELD_BYTES, group_count, members_bytes, put_frame_head, put_members, put_processor,
    put_ring,
};
use crate::{DecodeError, Frame};

const REGULAR: u8 = 1;
const TRANSITIONAL: u8 = 2;
const MESSAGE: u8 = 3;
const DISCONNECTED: u8 = 4;
const EXPLAINED: u8 = 5;

/// A configuration and why it came about. The first event of a session stands for itself.
#[derive(Clone, Copy, Debug)]
pub struct Explained<'a> {
    /// The configuration; any other event has no reason, and none is written.
    pub event: &'a Event,
    /// The reason.
    pub reason: ChangeReason,
}

/// Takes an event's frame apart. Group keys and body share the frame's memory.
///
/// # Errors
/// Bytes that are no event.
pub fn decode_event(frame: Frame) -> Result<Event, DecodeError> {
    decode_explained(frame).map(|(event, _)| event)
}

/// As [`decode_event`], with the reason of a configuration; [`ChangeReason::Begin`] if none was
/// said, and for every other event.
///
/// # Errors
/// Bytes that are no event.
pub fn decode_explained(frame: Frame) -> Result<(Event, ChangeReason), DecodeError> {
    if frame.kind != EXPLAINED {
        return decode_plain(frame).map(|event| (event, ChangeReason::Begin));
    }
    let mut fields = Fields(frame.fields);
    let reason = decode_change_reason(&mut fields)?;
    let kind = fields.u8("kind")?;
    if !matches!(kind, REGULAR | TRANSITIONAL) {
        return Err(DecodeError::UnknownKind(kind));
    }
    Ok((decode_plain(Frame { kind, fields: fields.rest() })?, reason))
}

fn decode_change_reason(fields: &mut Fields) -> Result<ChangeReason, DecodeError> {
    let number = fields.u8("change reason")?;
    let count = fields.u8("count of processors")?;
    let reason = match (number, count) {
        (1, 0) => ChangeReason::TokenLost,
        (2, 2) => {
            ChangeReason::PathLost(fields.processor("processor")?, fields.processor("processor")?)
        }
        (3, 1) => ChangeReason::MemberLeft(fields.processor("processor")?),
        (4, 1) => ChangeReason::MemberAsked(fields.processor("processor")?),
        (5, 1) => ChangeReason::Growth(fields.processor("processor")?),
        (6, 0) => ChangeReason::OutOfRange,
        (0, 0) => ChangeReason::Begin,
        _ => {
            return Err(DecodeError::Value { field: "change reason", value: number.into() });
        }
    };
    Ok(reason)
}

/// The number of a reason, and the processors that it names.
const fn parts(reason: ChangeReason) -> (u8, [Option<Processor>; 2]) {
    match reason {
        ChangeReason::Begin => (0, [None, None]),
        ChangeReason::TokenLost => (1, [None, None]),
        ChangeReason::PathLost(one, other) => (2, [Some(one), Some(other)]),
        ChangeReason::MemberLeft(member) => (3, [Some(member), None]),
        ChangeReason::MemberAsked(member) => (4, [Some(member), None]),
        ChangeReason::Growth(newcomer) => (5, [Some(newcomer), None]),
        ChangeReason::OutOfRange => (6, [None, None]),
    }
}

fn decode_plain(frame: Frame) -> Result<Event, DecodeError> {
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

/// A message that was not copied: its fields, and where its groups and its body lie in the bytes
/// that it was read from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MessageView {
    /// As in [`Message`].
    pub id: MessageId,
    /// As in [`Message`].
    pub guarantee: Guarantee,
    /// As in [`Message`].
    pub ring: RingId,
    /// As in [`Message`].
    pub seq: u64,
    /// The keys of the groups.
    pub groups: Range<usize>,
    /// The body.
    pub body: Range<usize>,
}

impl MessageView {
    /// Takes the kind and the fields of an event apart, if it is a message.
    ///
    /// # Errors
    /// Bytes that are no message although they say so.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let Some((&MESSAGE, fields)) = bytes.split_first() else { return Ok(None) };
        let (head, _) = fields
            .split_first_chunk::<MESSAGE_HEAD_BYTES>()
            .ok_or(DecodeError::Truncated("message"))?;
        let mut head = Head(head);
        let guarantee = Guarantee::try_from(head.u8())?;
        let count = usize::from(head.u16());
        let id = MessageId {
            sender: head.processor()?,
            client: ClientId(head.u64()),
            number: head.u64(),
        };
        let ring = RingId { seq: head.u64(), rep: head.processor()? };
        let seq = head.u64();
        let groups = 1 + MESSAGE_HEAD_BYTES..1 + MESSAGE_HEAD_BYTES + count * Group::LEN;
        if count > Groups::MAX || groups.end > bytes.len() {
            return Err(DecodeError::Truncated("groups"));
        }
        let body = groups.end..bytes.len();
        Ok(Some(Self { id, guarantee, ring, seq, groups, body }))
    }
}

/// The head of a message, taken from the front without a copy.
struct Head<'a>(&'a [u8]);

impl Head<'_> {
    fn u8(&mut self) -> u8 {
        self.0.get_u8()
    }

    fn u16(&mut self) -> u16 {
        self.0.get_u16_le()
    }

    fn u64(&mut self) -> u64 {
        self.0.get_u64_le()
    }

    fn processor(&mut self) -> Result<Processor, DecodeError> {
        let node = NodeId::new(self.0.get_u32_le());
        let node = node.ok_or(DecodeError::Value { field: "node id", value: 0 })?;
        Ok(Processor::new(node, self.u64()))
    }
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

impl Explained<'_> {
    /// Bytes before the event's own kind and fields, or `None` if the event has no reason.
    fn reason_bytes(&self) -> Option<usize> {
        let named = parts(self.reason).1.iter().flatten().count();
        matches!(self.event, Event::Configuration(_)).then_some(2 + named * PROCESSOR_FIELD_BYTES)
    }
}

impl EncodeFrame for Explained<'_> {
    fn encoded_len(&self) -> usize {
        // The event's kind, which follows, is in its own length; this frame's kind is one more.
        self.event.encoded_len() + self.reason_bytes().map_or(0, |bytes| 1 + bytes)
    }

    fn encode_head(&self, out: &mut Vec<u8>) {
        let Some(_) = self.reason_bytes() else { return self.event.encode_head(out) };
        put_frame_head(out, EXPLAINED, self.encoded_len() - FRAME_HEAD_BYTES);
        let (number, processors) = parts(self.reason);
        out.put_u8(number);
        let named = processors.iter().flatten();
        out.put_u8(u8::try_from(named.clone().count()).expect("two at most"));
        named.for_each(|processor| put_processor(out, *processor));
        let mut event = Vec::with_capacity(self.event.encoded_len());
        self.event.encode_head(&mut event);
        // From its kind on: the length is that of the whole.
        out.extend_from_slice(&event[LENGTH_BYTES..]);
    }

    fn tail(&self) -> Bytes {
        self.event.tail()
    }
}

const LENGTH_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use evs_model::Members;

    use super::*;
    use crate::FrameReader;

    fn p(node: u32) -> Processor {
        Processor::new(NodeId::new(node).expect("not zero"), 7)
    }

    fn changes() -> [Event; 2] {
        let members = Members::new(vec![p(1), p(2)]).expect("valid");
        let ring = RingId { seq: 4, rep: p(1) };
        [
            Event::Configuration(ConfigurationChange::Regular {
                ring,
                members: members.clone(),
                left: Members::default(),
                joined: members.clone(),
            }),
            Event::Configuration(ConfigurationChange::Transitional {
                from: ring,
                to: RingId { seq: 5, rep: p(1) },
                members,
                left: Members::default(),
            }),
        ]
    }

    fn frame(of: &impl EncodeFrame) -> Frame {
        let mut bytes = Vec::new();
        of.encode(&mut bytes);
        assert_eq!(bytes.len(), of.encoded_len());
        let mut reader = FrameReader::new(1 << 16);
        reader.feed(&bytes);
        let frame = reader.next_frame().expect("a frame").expect("a whole one");
        assert_eq!(reader.unread_bytes(), 0);
        frame
    }

    #[test]
    fn a_configuration_travels_with_its_reason() {
        let reasons = [
            ChangeReason::Begin,
            ChangeReason::TokenLost,
            ChangeReason::PathLost(p(2), p(3)),
            ChangeReason::MemberLeft(p(4)),
            ChangeReason::MemberAsked(p(5)),
            ChangeReason::Growth(p(6)),
            ChangeReason::OutOfRange,
        ];
        for event in &changes() {
            for reason in reasons {
                let explained = frame(&Explained { event, reason });
                assert_eq!(decode_explained(explained.clone()), Ok((event.clone(), reason)));
                assert_eq!(decode_event(explained).as_ref(), Ok(event));
            }
            let plain = decode_explained(frame(event));
            assert_eq!(plain, Ok((event.clone(), ChangeReason::Begin)));
        }
    }

    /// The two ways of taking a message apart say the same.
    #[test]
    fn a_message_that_is_not_copied_is_the_same() {
        for (groups, body) in [(0, 0), (1, 1), (3, 100), (Groups::MAX, 5)] {
            let groups: Vec<_> =
                (0..groups).map(|i| Group::named(&format!("g{i}")).expect("short")).collect();
            let message = Message {
                id: MessageId { sender: p(2), client: ClientId(3), number: 4 },
                groups: Groups::new(&groups).expect("few"),
                guarantee: Guarantee::Safe,
                ring: RingId { seq: 5, rep: p(1) },
                seq: 6,
                body: Bytes::from(vec![7; body]),
            };
            let mut bytes = Vec::new();
            Event::Message(message.clone()).encode(&mut bytes);
            let bytes = &bytes[LENGTH_BYTES..];
            let view = MessageView::decode(bytes).expect("a message").expect("one");
            let MessageView { id, guarantee, ring, seq, groups, body } = view;
            assert_eq!((id, guarantee, ring, seq), (message.id, message.guarantee, ring, 6));
            assert_eq!(ring, message.ring);
            assert_eq!(&bytes[groups], &message.groups.as_bytes()[..]);
            assert_eq!(&bytes[body.clone()], &message.body[..]);
            for end in 1..body.start {
                assert!(MessageView::decode(&bytes[..end]).is_err(), "cut at {end}");
            }
        }
        assert_eq!(MessageView::decode(&[DISCONNECTED, 1]), Ok(None));
        assert_eq!(MessageView::decode(&[]), Ok(None));
    }

    #[test]
    fn only_a_configuration_has_a_reason() {
        let last = Event::Disconnected(DisconnectReason::Shutdown);
        let explained = frame(&Explained { event: &last, reason: ChangeReason::TokenLost });
        assert_eq!(explained, frame(&last));
        let fields = Bytes::from_static(&[1, 0, DISCONNECTED, 2]);
        let nested = Frame { kind: EXPLAINED, fields };
        assert_eq!(decode_explained(nested), Err(DecodeError::UnknownKind(DISCONNECTED)));
    }

    #[test]
    fn a_reason_names_as_many_processors_as_it_concerns() {
        for (number, count) in [(1, 1), (2, 1), (3, 0), (6, 2), (7, 0)] {
            let fields = Bytes::from(vec![number, count, REGULAR]);
            let result = decode_explained(Frame { kind: EXPLAINED, fields });
            let value = u64::from(number);
            assert_eq!(result, Err(DecodeError::Value { field: "change reason", value }));
        }
    }
}
