//! The daemons' own conversation: a session of the daemon with itself, through which the daemons of
//! a configuration tell each other things in the total order.
//!
//! Responsible for: the session, the group, and the text of what is told.
//! Not responsible for: what becomes of it (`flight.rs`).
//!
//! The session is the first of its processor, so its number is known to all, and nobody else's
//! messages are taken for a daemon's. What a peer says is a JSON object; one that makes no sense is
//! counted and dropped.

use std::collections::VecDeque;

use bytes::Bytes;
use evs_model::{ClientId, Group, Groups, Guarantee, Instant, Message};
use evs_node::Node;
use evs_report::Evidence;
use evs_service::SendError;
use serde::{Deserialize, Serialize};

/// The longest message that is read, in bytes.
pub(crate) const BYTES_MAX: usize = 64 << 10;

/// The most messages that wait for room in the session's send queue. What waits is of the present
/// configuration, and of what has an answer only one is open at a time: so many never wait.
const WAITING_MAX: usize = 64;

/// The group of all daemons. Its key is no name that anybody would choose.
const GROUP: Group = Group(
    *b"\0evsd\0the daemons among themselves"
        .first_chunk::<{ Group::LEN }>()
        .expect("the text is longer than a key"),
);

/// What daemons tell each other.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "tell", rename_all = "snake_case")]
pub(crate) enum Telling {
    /// What the sender saw of the change that led to a ring.
    Evidence {
        /// The ring, as it is printed.
        ring: String,
        /// What.
        evidence: Box<Evidence>,
    },
    /// Which section `[cluster]` the sender has, at the begin of a configuration.
    Version {
        /// Its version.
        version: u64,
        /// What tells it from another one.
        mark: String,
    },
    /// A section to be the next one.
    Propose {
        /// The sender's count of its proposals.
        number: u64,
        /// As TOML, with its version.
        cluster: String,
    },
    /// What the sender thinks of it.
    Verdict {
        /// The node that proposed it.
        of: u32,
        /// Its count.
        number: u64,
        /// What is wrong with it here; nothing: it can be.
        objection: Option<String>,
    },
    /// The newest section that a member has, for those that have an older one.
    Adopt {
        /// As TOML, with its version.
        cluster: String,
    },
    /// The names of the sender's keys, the one that seals first: at the begin of a configuration,
    /// and when they change.
    Keys {
        /// Two at most.
        keys: Vec<u16>,
    },
    /// What became of the sender's file, where the section in force is to be written to: after each
    /// attempt, and at the begin of a configuration while it could not be.
    Written {
        /// The version of that section.
        version: u64,
        /// Why the file says something else; nothing: it does not.
        error: Option<String>,
    },
    /// The sender's proposal is to end, if it is not decided before this.
    Withdraw {
        /// The sender's count.
        number: u64,
    },
    /// What a later version tells.
    #[serde(other)]
    Other,
}

/// The session.
#[derive(Debug, Default)]
pub(crate) struct Control {
    client: Option<ClientId>,
    /// Its first event, a copy of the configuration in force, has come.
    begun: bool,
    malformed: u64,
    waiting: Waiting,
}

/// What is to be told as soon as there is room, in order.
#[derive(Debug, Default)]
struct Waiting(VecDeque<(Guarantee, Bytes)>);

impl Waiting {
    fn push(&mut self, guarantee: Guarantee, body: Bytes) -> Result<(), String> {
        if self.0.len() == WAITING_MAX {
            return Err(format!("{WAITING_MAX} messages to the other daemons wait already"));
        }
        self.0.push_back((guarantee, body));
        Ok(())
    }

    /// Sends what there is room for. What can never be sent is dropped; the last such error is
    /// returned.
    fn send_with(
        &mut self,
        mut send: impl FnMut(Guarantee, Bytes) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let mut result = Ok(());
        while let Some((guarantee, body)) = self.0.front() {
            match send(*guarantee, body.clone()) {
                Ok(()) => {}
                Err(SendError::QueueFull { .. }) => return result,
                Err(error) => result = Err(error),
            }
            self.0.pop_front();
        }
        result
    }

    /// Drops what had its sense in the configuration before.
    fn begin_configuration(&mut self) {
        self.0.retain(|(guarantee, _)| *guarantee == Guarantee::Agreed);
    }
}

impl Control {
    /// Opens the session; the first configuration is in force.
    pub(crate) fn open(&mut self, now: Instant, node: &mut Node) {
        if self.client.is_some() {
            return;
        }
        let Ok(client) = node.connect(now) else { return };
        // A session that was just opened can join a group.
        let joined = node.join(now, client, &[GROUP]);
        assert_eq!(joined, Ok(()), "the session is new, and in no other group");
        self.client = Some(client);
    }

    /// Whether an event or a message is this session's.
    pub(crate) fn is(&self, client: ClientId) -> bool {
        self.client == Some(client)
    }

    /// Whether a group is the daemons'.
    pub(crate) fn is_group(group: Group) -> bool {
        group == GROUP
    }

    /// Whether this is the event that begins the session.
    pub(crate) fn begins(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    /// Tells all daemons of the configuration, this one included; at once, or when the session's
    /// queue has room ([`tell_waiting`](Self::tell_waiting)).
    ///
    /// # Errors
    /// It can never be told.
    pub(crate) fn tell(
        &mut self,
        now: Instant,
        node: &mut Node,
        telling: &Telling,
    ) -> Result<(), String> {
        if self.client.is_none() {
            return Err("this node has no configuration yet".to_owned());
        }
        let json = serde_json::to_vec(telling).map_err(|error| error.to_string())?;
        if json.len() > BYTES_MAX {
            let bytes = json.len();
            return Err(format!("it has {bytes} bytes as a message, the limit is {BYTES_MAX}"));
        }
        let guarantee = match telling {
            Telling::Evidence { .. }
            | Telling::Keys { .. }
            | Telling::Written { .. }
            | Telling::Other => Guarantee::Agreed,
            // What one has, all have.
            Telling::Adopt { .. }
            | Telling::Propose { .. }
            | Telling::Verdict { .. }
            | Telling::Version { .. }
            | Telling::Withdraw { .. } => Guarantee::Safe,
        };
        self.waiting.push(guarantee, Bytes::from(json))?;
        self.tell_waiting(now, node)
    }

    /// Tells what there is room for now.
    ///
    /// # Errors
    /// Something can never be told.
    pub(crate) fn tell_waiting(&mut self, now: Instant, node: &mut Node) -> Result<(), String> {
        let (Some(client), Ok(groups)) = (self.client, Groups::new(&[GROUP])) else {
            return Ok(());
        };
        let sent = self.waiting.send_with(|guarantee, body| {
            node.send(now, client, guarantee, groups.clone(), body).map(drop)
        });
        sent.map_err(|error| error.to_string())
    }

    /// A configuration is in force: of what was to be told in the one before, only what
    /// concerns the sender alone is still worth telling.
    pub(crate) fn begin_configuration(&mut self) {
        self.waiting.begin_configuration();
    }

    /// Reads what a daemon tells; `None` if it is none's, or makes no sense.
    pub(crate) fn hear(&mut self, message: &Message) -> Option<Telling> {
        if !self.is(message.id.client) || message.body.len() > BYTES_MAX {
            return None;
        }
        let telling = serde_json::from_slice(&message.body);
        self.malformed += u64::from(telling.is_err());
        telling.ok()
    }

    /// How many messages of peers made no sense.
    pub(crate) const fn malformed(&self) -> u64 {
        self.malformed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: SendError = SendError::QueueFull { max: 9 };

    fn body(byte: u8) -> Bytes {
        Bytes::copy_from_slice(&[byte])
    }

    #[test]
    fn what_is_refused_for_want_of_room_is_told_later_and_in_order() {
        let mut waiting = Waiting::default();
        for byte in 1..=3 {
            waiting.push(Guarantee::Safe, body(byte)).expect("few");
        }
        let mut told = Vec::new();
        let mut send = |body: &Bytes, room: usize| {
            if told.len() == room {
                return Err(FULL);
            }
            told.push(body[0]);
            Ok(())
        };
        assert_eq!(waiting.send_with(|_, body| send(&body, 1)), Ok(()));
        assert_eq!(waiting.0.len(), 2, "the rest waits");
        assert_eq!(waiting.send_with(|_, body| send(&body, 9)), Ok(()));
        assert_eq!((told, waiting.0.len()), (vec![1, 2, 3], 0));
    }

    #[test]
    fn what_can_never_be_told_is_dropped_and_holds_nothing_up() {
        let mut waiting = Waiting::default();
        waiting.push(Guarantee::Safe, body(1)).expect("few");
        waiting.push(Guarantee::Safe, body(2)).expect("few");
        let mut told = Vec::new();
        let too_big = SendError::TooBig { bytes: 1, max: 0 };
        let result = waiting.send_with(|_, body| {
            told.push(body[0]);
            if body[0] == 1 { Err(too_big) } else { Ok(()) }
        });
        assert_eq!((result, told), (Err(too_big), vec![1, 2]));
    }

    #[test]
    fn what_waits_is_bounded_and_ends_with_its_configuration() {
        let mut waiting = Waiting::default();
        for _ in 0..WAITING_MAX {
            waiting.push(Guarantee::Safe, body(1)).expect("room");
        }
        assert!(waiting.push(Guarantee::Agreed, body(2)).is_err());
        waiting.begin_configuration();
        waiting.push(Guarantee::Agreed, body(2)).expect("room again");
        waiting.begin_configuration();
        assert_eq!(waiting.0.len(), 1, "evidence is told in the next one, too");
    }
}
