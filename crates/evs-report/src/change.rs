//! The record of one change of configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use evs_model::Processor;
use serde::{Deserialize, Serialize};

/// The version of the reports. Adding a field is no new version; one that goes, or changes its
/// meaning, is.
pub const SCHEMA: u32 = 1;

/// One processor: a node, and which of its lives.
#[derive(Clone, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(default)]
pub struct Node {
    /// The node's id.
    pub node: u32,
    /// In hexadecimal: many readers of JSON cannot hold 64 bits in a number.
    pub incarnation: String,
}

impl From<Processor> for Node {
    fn from(processor: Processor) -> Self {
        Self { node: processor.node.get(), incarnation: format!("{:016x}", processor.incarnation) }
    }
}

/// A change of configuration, as one node recorded it and, as far as they told, the others saw it.
///
/// Times are microseconds by this node's clock from the moment when it gave up the configuration
/// before (or started); what was seen before that has a negative time.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Change {
    /// This node's count of changes, over its restarts as long as its records survive.
    pub change: u64,
    /// When the new configuration was installed here, in UTC (RFC 3339).
    pub at: String,
    /// Who recorded it.
    pub me: Node,
    /// The configuration before, by its ring id; `None` for the first of a processor.
    pub from: Option<String>,
    /// The new one; `None` while it is being agreed upon.
    pub to: Option<String>,
    /// Who is in the new one; while it is being agreed upon, who was in the one before.
    pub members: Vec<Node>,
    /// Who was in the one before and is not in the new one.
    pub left: Vec<Node>,
    /// Who is in the new one and was not in the one before.
    pub joined: Vec<Node>,
    /// Who went from the one to the other together with this node, itself included.
    pub together: Vec<Node>,
    /// Why, as far as is known.
    pub trigger: Trigger,
    /// From giving up the one configuration to installing the other, here.
    pub took_us: u64,
    /// How often an agreement was tried.
    pub attempts: u64,
    /// The states that this node went through.
    pub timeline: Vec<Step>,
    /// What was exchanged to finish the configuration before.
    pub recovery: Recovery,
    /// What each member saw, this node first; members that have not told are missing.
    pub evidence: Vec<Evidence>,
}

/// One state of the membership protocol.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Step {
    /// When it began.
    pub at_us: i64,
    /// Its name: gather, commit, recovery, operational, left.
    pub state: String,
    /// Why the state before ended.
    pub cause: String,
}

/// What this node exchanged with those of the same old configuration.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Recovery {
    /// Packets of the old configuration that it sent to others who lacked them.
    pub sent: u64,
    /// Packets that it lacked and got.
    pub got: u64,
    /// Messages that were on their way, not in the order yet, and were begun anew.
    pub restarted: u64,
}

/// What one node saw of a change.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Evidence {
    /// Who.
    pub node: Node,
    /// When it installed the new configuration, by its own clock, in UTC (RFC 3339).
    pub at: String,
    /// How long it has been running by then.
    pub up_us: u64,
    /// What its protocol gave up the configuration before for.
    pub cause: Cause,
    /// The processors that the cause names.
    pub cause_names: Vec<Node>,
    /// From giving up the one configuration to installing the other.
    pub took_us: u64,
    /// What it saw of its peers and of itself, by its own count of time.
    pub saw: Vec<Sight>,
    /// What it knew of the token when it gave up the configuration before.
    pub token: Option<TokenSight>,
    /// What it exchanged.
    pub recovery: Recovery,
}

/// What a node's protocol gave up a configuration for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It had none.
    #[default]
    None,
    /// The token did not come round in time.
    TokenLost,
    /// Two members no longer heard each other.
    PathLost,
    /// A member left in order.
    MemberLeft,
    /// A member asked for a new agreement, for a cause of its own.
    MemberAsked,
    /// Another processor can be heard by all.
    Growth,
    /// A peer's state was out of all bounds.
    OutOfRange,
    /// What a later version knows.
    #[serde(other)]
    Other,
}

/// One thing that a node saw.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Sight {
    /// A peer was silent for as long as it may be.
    Silent {
        /// When this was noticed.
        at_us: i64,
        /// Who.
        peer: Node,
        /// For how long by then.
        silence_us: u64,
    },
    /// A peer's host said that nobody listens there any more, and the peer answered no question.
    Refused {
        /// When this was noticed.
        at_us: i64,
        /// Who.
        peer: Node,
        /// For how long it was silent by then.
        silence_us: u64,
    },
    /// A peer said that it does not hear this node.
    NotHeardByPeer {
        /// When.
        at_us: i64,
        /// Who.
        peer: Node,
    },
    /// Small packets passed between the two, but data did not get through.
    Deaf {
        /// When this was noticed.
        at_us: i64,
        /// Who.
        peer: Node,
    },
    /// A later process of the same node took its place.
    Restarted {
        /// When this was noticed.
        at_us: i64,
        /// Who is gone.
        peer: Node,
        /// The incarnation that took its place.
        by: String,
    },
    /// A peer is heard, for the first time or again.
    Heard {
        /// Since when.
        at_us: i64,
        /// Who.
        peer: Node,
        /// How long it was not heard, if it had been heard before.
        absent_us: Option<u64>,
    },
    /// One of several links to a peer no longer works.
    PathDown {
        /// When this was noticed.
        at_us: i64,
        /// Who.
        peer: Node,
        /// Which link, from 0.
        link: u8,
        /// What was seen there.
        sign: PathSign,
    },
    /// One of several links to a peer works again, or for the first time.
    PathUp {
        /// Since when.
        at_us: i64,
        /// Who.
        peer: Node,
        /// Which link, from 0.
        link: u8,
    },
    /// The operator has taken a node out of the cluster.
    Removed {
        /// When.
        at_us: i64,
        /// Who.
        peer: Node,
    },
    /// This node itself stood still: stopped, starved of the processor, or a machine asleep.
    Paused {
        /// When it went on.
        at_us: i64,
        /// For how long, and with what.
        #[serde(flatten)]
        pause: Pause,
    },
    /// What a later version sees.
    #[serde(other)]
    Other,
}

/// A time in which the thread of the ring did nothing, and what the kernel counted of it meanwhile
/// and in the second before. The longer one is the greater one.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Pause {
    /// For how long.
    pub pause_us: u64,
    /// For how long it was ready to run and had no processor; `None`: the kernel does not say.
    #[serde(default)]
    pub starved_us: Option<u64>,
    /// How often it waited for a page of its own to be read from disk, its program's or what was
    /// swapped out: major page faults.
    #[serde(default)]
    pub major_faults: Option<u64>,
}

/// What is wrong with one of several links to a peer.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathSign {
    /// Nothing came from the peer.
    Silent,
    /// The peer's host said that nobody listens there.
    Refused,
    /// The peer says that it does not hear this node.
    NotHeardByPeer,
    /// Large packets are lost.
    Deaf,
    /// The peer is another process.
    Restarted,
    /// What a later version knows.
    #[default]
    #[serde(other)]
    Other,
}

/// What a node knew of the token.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct TokenSight {
    /// The number of the last token that it had; it grows by one at each hop.
    pub number: u64,
    /// How long ago the last sign of it was seen.
    pub silence_us: u64,
    /// To whom it had passed it on; `None` if it had it still.
    pub passed_to: Option<Node>,
    /// Whether it knew that it arrived there.
    pub arrived: bool,
}

/// Why a configuration came about.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Trigger {
    /// This processor started: it had no configuration before.
    Started,
    /// A member left in order.
    Left {
        /// Who.
        node: Node,
    },
    /// An operator took a member out of the cluster.
    Removed {
        /// Who.
        node: Node,
    },
    /// A member's process ended, and the node's next one is there already.
    Restarted {
        /// Who is gone.
        node: Node,
        /// The incarnation that took its place.
        by: String,
    },
    /// A member fell silent: it, its host or the way to it has failed.
    Silent {
        /// The first of them.
        node: Node,
        /// All that did.
        #[serde(default)]
        nodes: Vec<Node>,
        /// Who noticed, and for how long one of them had been silent for each then.
        noticed_by: Vec<Noticed>,
        /// Members of the configuration before that told what they saw and missed none of them.
        not_noticed_by: Vec<Node>,
    },
    /// A member's process ended without leaving, as its host said.
    Died {
        /// The first of them.
        node: Node,
        /// All whose processes did.
        #[serde(default)]
        nodes: Vec<Node>,
        /// Others, of which no host said so, that fell silent at the same time.
        #[serde(default)]
        silent: Vec<Node>,
        /// Who was told so, and for how long one of them had been silent for each then.
        noticed_by: Vec<Noticed>,
    },
    /// What one member sends does not reach another; the other way, packets pass.
    OneWay {
        /// Who sends.
        from: Node,
        /// Who does not hear it.
        to: Node,
    },
    /// Small packets pass between two members, but data does not.
    Deaf {
        /// One of them.
        node: Node,
        /// The one that noticed.
        noticed_by: Node,
    },
    /// A node stood still.
    Paused {
        /// Which.
        node: Node,
        /// For how long, and with what.
        #[serde(flatten)]
        pause: Pause,
    },
    /// The token did not come round in time, and nobody was missed before.
    TokenLost {
        /// Members that are heard and still did not come along: they have a reason of their own to
        /// go on without this node, which it was not told.
        #[serde(default)]
        without: Vec<Node>,
        /// The number of the last token that anybody is known to have had.
        number: u64,
        /// Who had it last, as far as is known.
        last_at: Option<Node>,
        /// To whom it was passed on.
        passed_to: Option<Node>,
    },
    /// Processors that were never heard before have come.
    Joined {
        /// Who.
        nodes: Vec<Node>,
    },
    /// Processors that had been out of sight are heard again.
    Merged {
        /// Who.
        nodes: Vec<Node>,
        /// For how long the longest of them was out of sight.
        absent_us: Option<u64>,
    },
    /// What a peer sent was out of all bounds, and the configuration was given up.
    OutOfRange,
    /// This node was told to stop, and left: the record ends its list.
    Stopped,
    /// None of these.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Who noticed a silence.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Noticed {
    /// Who.
    pub node: Node,
    /// How long the silence had been.
    pub silence_us: u64,
}

/// What a client may ask.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// The last changes, oldest first.
    Changes {
        /// How many at most.
        last: u32,
    },
    /// One change.
    Change {
        /// Its count, or the new ring's id as it is printed; `None`: the last one.
        which: Option<String>,
    },
    /// The configuration in force.
    Config,
    /// The groups that clients of this node have joined.
    Groups,
    /// Leave the cluster in order and stop, as at SIGTERM. For root and the daemon's own user.
    Leave,
    /// The names of the keys that are known. For root and the daemon's own user, as what follows.
    Keys,
    /// Open what the key in this file seals, besides what the present one does.
    KeyAdd {
        /// The file, by its absolute path on the daemon's host; it holds one key.
        file: PathBuf,
    },
    /// Seal with this key from now on.
    KeyUse {
        /// Its name: four hexadecimal digits.
        key: String,
        /// Though members of the ring object.
        #[serde(default)]
        force: bool,
    },
    /// Open nothing any more that this key seals.
    KeyDrop {
        /// Its name.
        key: String,
        /// Though members of the ring object.
        #[serde(default)]
        force: bool,
    },
    /// Take a node into the cluster, on all nodes.
    NodeAdd {
        /// Its id.
        node: u32,
        /// Its address on each link.
        addresses: Vec<SocketAddr>,
    },
    /// Take a node out of the cluster, on all nodes; if it runs, it leaves in order and stops.
    NodeRemove {
        /// Its id.
        node: u32,
    },
    /// Read the configuration file again, as at SIGHUP. For root and the daemon's own user.
    Reload,
}

/// What the daemon answers.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Answer {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The changes that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<Change>>,
    /// A change that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<Change>,
    /// The settings of the configuration in force, defaults included, by their full names; their
    /// values as they are written in TOML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<BTreeMap<String, String>>,
    /// The groups that clients of this node have joined; the first [`GROUPS_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<JoinedGroup>>,
    /// How many groups there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups_joined: Option<usize>,
    /// What was asked for is not for this user.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forbidden: bool,
    /// What was asked for is being done.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
    /// The names of the keys that are known; the first one seals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
    /// What was done, but not as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// The settings that a reload has changed, by their full names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<Vec<String>>,
}

/// Most groups in an answer.
pub const GROUPS_MAX: usize = 4096;

/// Most clients that are listed with a group.
pub const GROUP_CLIENTS_MAX: usize = 16;

/// A group and who of this node has joined it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct JoinedGroup {
    /// Its name, or its key as 0x and hexadecimal digits.
    pub group: String,
    /// How many clients of this node have joined it.
    pub clients: usize,
    /// The first [`GROUP_CLIENTS_MAX`] of them, by their numbers.
    pub first: Vec<u64>,
}
