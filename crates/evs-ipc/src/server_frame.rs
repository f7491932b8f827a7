//! What the daemon says on the control socket.
//!
//! | kind | frame | fields |
//! | --- | --- | --- |
//! | 1 | Welcome | version u16, processor, client u64, `message_bytes_max` u32, `joined_groups_max` u32, credit u64, ring sizes (to the daemon u64, to the client u64); two descriptors |
//! | 2 | Refused | reason u8, versions (lowest u16, highest u16) |
//! | 3 | Done | request u32, outcome u8 |
//! | 4 | Credit | bytes u64 |
//! | 5 | `StatusReply` | request u32, JSON (UTF-8, the rest) |

use std::fmt;

use bytes::BufMut;
use evs_model::{ClientId, Processor, Versions};

use crate::shm::Sizes;
use crate::wire::{
    EncodeFrame, FRAME_HEAD_BYTES, Fields, PROCESSOR_FIELD_BYTES, put_frame_head, put_processor,
    put_versions,
};
use crate::{DecodeError, Frame, MESSAGE_BYTES_CEILING, STATUS_BYTES_MAX, spoken};

const WELCOME: u8 = 1;
const REFUSED: u8 = 2;
const DONE: u8 = 3;
const CREDIT: u8 = 4;
const STATUS_REPLY: u8 = 5;

/// The daemon took the client on. The client's end of the bell and the shared memory travel with
/// it, in this order ([`socket::send_with_fds`](crate::socket::send_with_fds)).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Welcome {
    /// What both speak from now on: the highest version that they have in common.
    pub version: u16,
    /// The processor that the client belongs to.
    pub processor: Processor,
    /// The client's name at that processor.
    pub client: ClientId,
    /// Largest body of a message, in bytes; at most [`MESSAGE_BYTES_CEILING`].
    pub message_bytes_max: u32,
    /// Most groups that the client can have joined at a time.
    pub joined_groups_max: u32,
    /// The client's send credit in bytes.
    pub credit: u64,
    /// How large the rings in the shared memory are.
    pub rings: Sizes,
}

/// Why the daemon did not take a client on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The client's user and groups are not among the allowed ones.
    Access,
    /// The daemon speaks other versions, those named in the frame.
    Version,
    /// As many clients as `clients_max` allows are connected. Trying again may help.
    TooManyClients,
    /// The daemon has no configuration yet. Trying again will help.
    NotReady,
    /// The daemon is leaving. Trying again helps when it has been restarted.
    Leaving,
    /// A reason of a later version.
    Other(u8),
}

impl Refusal {
    const fn number(self) -> u8 {
        match self {
            Self::Access => 1,
            Self::Version => 2,
            Self::TooManyClients => 3,
            Self::NotReady => 4,
            Self::Leaving => 5,
            Self::Other(number) => number,
        }
    }

    const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Access,
            2 => Self::Version,
            3 => Self::TooManyClients,
            4 => Self::NotReady,
            5 => Self::Leaving,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access => f.write_str("this user is not allowed to use the daemon"),
            Self::Version => {
                f.write_str("daemon and client speak no common version of the protocol")
            }
            Self::TooManyClients => f.write_str("the daemon has as many clients as clients_max"),
            Self::NotReady => f.write_str("the daemon has no configuration yet"),
            Self::Leaving => f.write_str("the daemon is leaving"),
            Self::Other(number) => write!(f, "reason {number} of a later version"),
        }
    }
}

/// What became of a join or a leave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Outcome {
    /// Done: it has taken effect at one point of the history (EVS-10).
    Done = 0,
    /// A leave named a group that the client has not joined; nothing has changed.
    NotJoined = 1,
    /// A join beyond `joined_groups_max`; nothing has changed.
    TooManyGroups = 2,
    /// The daemon is leaving; nothing has changed.
    Leaving = 3,
}

/// One frame of the daemon on the control socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ServerFrame {
    /// The first frame to a client that was taken on.
    Welcome(Welcome),
    /// The only frame to a client that was not.
    Refused {
        /// Why.
        reason: Refusal,
        /// What the daemon speaks.
        versions: Versions,
    },
    /// The answer to a join or a leave.
    Done {
        /// The client's number of the request.
        request: u32,
        /// What became of it.
        outcome: Outcome,
    },
    /// Send credit that is free again.
    Credit {
        /// In bytes.
        bytes: u64,
    },
    /// The answer to a status request or a question.
    StatusReply {
        /// The client's number of the request.
        request: u32,
        /// One JSON object; at most [`STATUS_BYTES_MAX`] bytes, which its sender has checked.
        json: String,
    },
}

impl ServerFrame {
    /// The refusal of this build.
    #[must_use]
    pub fn refused(reason: Refusal) -> Self {
        Self::Refused { reason, versions: spoken() }
    }

    /// Takes a frame apart.
    ///
    /// # Errors
    /// Bytes that are no frame of the daemon.
    pub fn decode(frame: Frame) -> Result<Self, DecodeError> {
        let mut fields = Fields(frame.fields);
        let decoded = match frame.kind {
            WELCOME => return decode_welcome(fields),
            // A later version may say more: what is known is enough to part.
            REFUSED => {
                let reason = Refusal::from_number(fields.u8("reason")?);
                return Ok(Self::Refused { reason, versions: fields.versions()? });
            }
            DONE => {
                let request = fields.u32("request")?;
                Self::Done { request, outcome: decode_outcome(fields.u8("outcome")?)? }
            }
            CREDIT => Self::Credit { bytes: fields.u64("credit")? },
            STATUS_REPLY => {
                let request = fields.u32("request")?;
                let json = fields.text("status", STATUS_BYTES_MAX)?;
                return Ok(Self::StatusReply { request, json });
            }
            other => return Err(DecodeError::UnknownKind(other)),
        };
        fields.finish()?;
        Ok(decoded)
    }
}

/// Of a foreign version only the version is read: to the client it is a refusal.
fn decode_welcome(mut fields: Fields) -> Result<ServerFrame, DecodeError> {
    let version = fields.u16("version")?;
    if !spoken().contains(version) {
        let versions = Versions::new(version, version);
        let versions = versions.ok_or(DecodeError::Value { field: "version", value: 0 })?;
        return Ok(ServerFrame::Refused { reason: Refusal::Version, versions });
    }
    let welcome = Welcome {
        version,
        processor: fields.processor("processor")?,
        client: ClientId(fields.u64("client")?),
        message_bytes_max: fields.u32("message_bytes_max")?,
        joined_groups_max: fields.u32("joined_groups_max")?,
        credit: fields.u64("credit")?,
        rings: Sizes {
            to_daemon: fields.u64("size of a ring")?,
            to_client: fields.u64("size of a ring")?,
        },
    };
    fields.finish()?;
    if welcome.message_bytes_max as usize > MESSAGE_BYTES_CEILING {
        return Err(DecodeError::TooLong {
            field: "message_bytes_max",
            bytes: welcome.message_bytes_max as usize,
            limit: MESSAGE_BYTES_CEILING,
        });
    }
    Ok(ServerFrame::Welcome(welcome))
}

fn decode_outcome(number: u8) -> Result<Outcome, DecodeError> {
    match number {
        0 => Ok(Outcome::Done),
        1 => Ok(Outcome::NotJoined),
        2 => Ok(Outcome::TooManyGroups),
        3 => Ok(Outcome::Leaving),
        other => Err(DecodeError::Value { field: "outcome", value: other.into() }),
    }
}

impl EncodeFrame for ServerFrame {
    fn encoded_len(&self) -> usize {
        FRAME_HEAD_BYTES
            + match self {
                Self::Welcome(_) => 2 + PROCESSOR_FIELD_BYTES + 8 + 4 + 4 + 8 + 16,
                Self::Refused { .. } => 1 + 4,
                Self::Done { .. } => 4 + 1,
                Self::Credit { .. } => 8,
                Self::StatusReply { json, .. } => 4 + json.len(),
            }
    }

    fn encode_head(&self, out: &mut Vec<u8>) {
        let fields_bytes = self.encoded_len() - FRAME_HEAD_BYTES;
        match self {
            Self::Welcome(welcome) => {
                put_frame_head(out, WELCOME, fields_bytes);
                out.put_u16_le(welcome.version);
                put_processor(out, welcome.processor);
                out.put_u64_le(welcome.client.0);
                out.put_u32_le(welcome.message_bytes_max);
                out.put_u32_le(welcome.joined_groups_max);
                out.put_u64_le(welcome.credit);
                out.put_u64_le(welcome.rings.to_daemon);
                out.put_u64_le(welcome.rings.to_client);
            }
            Self::Refused { reason, versions } => {
                put_frame_head(out, REFUSED, fields_bytes);
                out.put_u8(reason.number());
                put_versions(out, *versions);
            }
            Self::Done { request, outcome } => {
                put_frame_head(out, DONE, fields_bytes);
                out.put_u32_le(*request);
                out.put_u8(*outcome as u8);
            }
            Self::Credit { bytes } => {
                put_frame_head(out, CREDIT, fields_bytes);
                out.put_u64_le(*bytes);
            }
            Self::StatusReply { request, json } => {
                put_frame_head(out, STATUS_REPLY, fields_bytes);
                out.put_u32_le(*request);
                out.extend_from_slice(json.as_bytes());
            }
        }
    }
}
