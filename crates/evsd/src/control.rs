//! The daemons' own conversation: a session of the daemon with itself, through which the daemons of
//! a configuration tell each other things in the total order.
//!
//! Responsible for: the session, the group, and the text of what is told.
//! Not responsible for: what becomes of it (`flight.rs`).
//!
//! The session is the first of its processor, so its number is known to all, and nobody else's
//! messages are taken for a daemon's. What a peer says is a JSON object; one that makes no sense is
//! counted and dropped.

use bytes::Bytes;
use evs_model::{ClientId, Group, Groups, Guarantee, Instant, Message};
use evs_node::Node;
use evs_report::Evidence;
use serde::{Deserialize, Serialize};

/// The longest message that is read, in bytes.
pub(crate) const BYTES_MAX: usize = 64 << 10;

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

    /// Tells all daemons of the configuration, this one included. What does not fit is not told.
    pub(crate) fn tell(&self, now: Instant, node: &mut Node, telling: &Telling) {
        let Some(client) = self.client else { return };
        let (Ok(json), Ok(groups)) = (serde_json::to_vec(telling), Groups::new(&[GROUP])) else {
            return;
        };
        let guarantee = match telling {
            Telling::Evidence { .. } | Telling::Other => Guarantee::Agreed,
            // What one has, all have.
            Telling::Adopt { .. }
            | Telling::Propose { .. }
            | Telling::Verdict { .. }
            | Telling::Version { .. } => Guarantee::Safe,
        };
        if json.len() <= BYTES_MAX {
            let _ = node.send(now, client, guarantee, groups, Bytes::from(json));
        }
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
