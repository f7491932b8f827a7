//! What a client says, all of it on the control socket.
//!
//! | kind | frame | fields |
//! | --- | --- | --- |
//! | 1 | Hello | magic u32, versions (lowest u16, highest u16), name (UTF-8, the rest) |
//! | 2 | Join | request u32, keys (32 bytes each, the rest) |
//! | 3 | Leave | as Join |
//! | 4 | Send | guarantee u8, group count u16, keys, body (the rest) |
//! | 5 | Status | request u32 |
//! | 6 | Ask | request u32, question (UTF-8, the rest) |

use bytes::{BufMut, Bytes};
use evs_model::{Group, Groups, Guarantee, Versions};

use crate::wire::{
    EncodeFrame, FRAME_HEAD_BYTES, Fields, SEND_HEAD_BYTES, group_count, put_frame_head,
    put_versions,
};
use crate::{CLIENT_NAME_BYTES_MAX, DecodeError, Frame, QUESTION_BYTES_MAX, spoken};

const HELLO: u8 = 1;
const JOIN: u8 = 2;
const LEAVE: u8 = 3;
const SEND: u8 = 4;
const STATUS: u8 = 5;
const ASK: u8 = 6;

/// "EVSc" in ASCII.
const MAGIC: u32 = u32::from_le_bytes(*b"EVSc");

/// The first frame of a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// What the client speaks. Where the daemon speaks none of it, it answers
    /// [`Refusal::Version`](crate::Refusal::Version).
    pub versions: Versions,
    /// The client's name for itself, for logs and status: at most [`CLIENT_NAME_BYTES_MAX`] bytes.
    /// Empty if the daemon speaks none of the versions. Never trusted.
    pub name: String,
}

impl Hello {
    /// The Hello of this version; a longer name is cut at a character.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let end = name.floor_char_boundary(CLIENT_NAME_BYTES_MAX);
        Self { versions: spoken(), name: name[..end].to_owned() }
    }
}

/// One frame from a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientFrame {
    /// The first frame, and only that.
    Hello(Hello),
    /// Join groups; answered by `Done`.
    Join {
        /// The client's number for this request.
        request: u32,
        /// Each counts once; a group twice in the list counts twice.
        groups: Groups,
    },
    /// Leave groups, all of them or none; answered by `Done`.
    Leave {
        /// The client's number for this request.
        request: u32,
        /// The groups.
        groups: Groups,
    },
    /// Send a message; not answered (see "Who may send how much" in the crate's text).
    Send {
        /// How it is to be ordered.
        guarantee: Guarantee,
        /// To whom.
        groups: Groups,
        /// The content.
        body: Bytes,
    },
    /// Ask for the daemon's status; answered by `StatusReply`.
    Status {
        /// The client's number for this request.
        request: u32,
    },
    /// Ask the daemon something else about itself, or, for who may, have it do something; answered
    /// by `StatusReply`.
    Ask {
        /// The client's number for this request.
        request: u32,
        /// One JSON object; at most [`QUESTION_BYTES_MAX`] bytes.
        question: String,
    },
}

impl ClientFrame {
    /// Takes a frame apart. Group keys and body share the frame's memory.
    ///
    /// # Errors
    /// Bytes that are no frame of a client.
    pub fn decode(frame: Frame) -> Result<Self, DecodeError> {
        let mut fields = Fields(frame.fields);
        match frame.kind {
            HELLO => decode_hello(fields).map(Self::Hello),
            JOIN => {
                let request = fields.u32("request")?;
                Ok(Self::Join { request, groups: Groups::from_bytes(fields.rest())? })
            }
            LEAVE => {
                let request = fields.u32("request")?;
                Ok(Self::Leave { request, groups: Groups::from_bytes(fields.rest())? })
            }
            SEND => {
                let guarantee = Guarantee::try_from(fields.u8("guarantee")?)?;
                let count = fields.u16("group count")?;
                let groups = fields.groups(count)?;
                Ok(Self::Send { guarantee, groups, body: fields.rest() })
            }
            STATUS => {
                let request = fields.u32("request")?;
                fields.finish()?;
                Ok(Self::Status { request })
            }
            ASK => {
                let request = fields.u32("request")?;
                Ok(Self::Ask { request, question: fields.text("question", QUESTION_BYTES_MAX)? })
            }
            other => Err(DecodeError::UnknownKind(other)),
        }
    }
}

/// What follows the versions is only understood if one of them is this crate's own.
fn decode_hello(mut fields: Fields) -> Result<Hello, DecodeError> {
    if fields.u32("magic")? != MAGIC {
        return Err(DecodeError::Magic);
    }
    let versions = fields.versions()?;
    if spoken().common(versions).is_none() {
        return Ok(Hello { versions, name: String::new() });
    }
    Ok(Hello { versions, name: fields.text("client name", CLIENT_NAME_BYTES_MAX)? })
}

impl EncodeFrame for ClientFrame {
    fn encoded_len(&self) -> usize {
        FRAME_HEAD_BYTES
            + match self {
                Self::Hello(hello) => 8 + hello.name.len(),
                Self::Join { groups, .. } | Self::Leave { groups, .. } => {
                    4 + groups.as_bytes().len()
                }
                Self::Send { groups, body, .. } => {
                    SEND_HEAD_BYTES + groups.as_bytes().len() + body.len()
                }
                Self::Status { .. } => 4,
                Self::Ask { question, .. } => 4 + question.len(),
            }
    }

    fn encode_head(&self, out: &mut Vec<u8>) {
        let fields_bytes = self.encoded_len() - FRAME_HEAD_BYTES;
        match self {
            Self::Hello(hello) => {
                put_frame_head(out, HELLO, fields_bytes);
                out.put_u32_le(MAGIC);
                put_versions(out, hello.versions);
                out.extend_from_slice(hello.name.as_bytes());
            }
            Self::Join { request, groups } => put_request(out, JOIN, *request, groups),
            Self::Leave { request, groups } => put_request(out, LEAVE, *request, groups),
            Self::Send { guarantee, groups, body } => {
                put_send_head(out, *guarantee, group_count(groups), body.len());
                out.extend_from_slice(groups.as_bytes());
            }
            Self::Status { request } => {
                put_frame_head(out, STATUS, fields_bytes);
                out.put_u32_le(*request);
            }
            Self::Ask { request, question } => {
                put_frame_head(out, ASK, fields_bytes);
                out.put_u32_le(*request);
                out.extend_from_slice(question.as_bytes());
            }
        }
    }

    fn tail(&self) -> Bytes {
        match self {
            Self::Send { body, .. } => body.clone(),
            Self::Ask { .. }
            | Self::Hello(_)
            | Self::Join { .. }
            | Self::Leave { .. }
            | Self::Status { .. } => Bytes::new(),
        }
    }
}

fn put_request(out: &mut Vec<u8>, kind: u8, request: u32, groups: &Groups) {
    put_frame_head(out, kind, 4 + groups.as_bytes().len());
    out.put_u32_le(request);
    out.extend_from_slice(groups.as_bytes());
}

fn put_send_head(out: &mut Vec<u8>, guarantee: Guarantee, groups: u16, body_bytes: usize) {
    let keys_bytes = usize::from(groups) * Group::LEN;
    put_frame_head(out, SEND, SEND_HEAD_BYTES + keys_bytes + body_bytes);
    out.put_u8(guarantee as u8);
    out.put_u16_le(groups);
}

/// A `Send` frame without its body, for a sender that passes the body to the kernel from where it
/// lies.
pub struct SendHead;

impl SendHead {
    /// Appends what stands before a body of `body_bytes`. Returns `false`, and appends nothing, if
    /// there are more groups than one message can name ([`Groups::MAX`]).
    ///
    /// # Panics
    /// If the body does not fit a frame: the caller has compared it with `message_bytes_max`.
    #[must_use]
    pub fn encode(
        out: &mut Vec<u8>,
        guarantee: Guarantee,
        groups: &[Group],
        body_bytes: usize,
    ) -> bool {
        let count = match u16::try_from(groups.len()) {
            Ok(count) if groups.len() <= Groups::MAX => count,
            Ok(_) | Err(_) => return false,
        };
        put_send_head(out, guarantee, count, body_bytes);
        groups.iter().for_each(|group| out.extend_from_slice(&group.0));
        true
    }
}
