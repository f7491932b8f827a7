//! What applications saw: the only thing that the checker judges.
//!
//! A [`View`] is what one observer at one processor saw and did, in order. The simulator records
//! one complete view of each processor and, beside it, each client's own stream. A test on real
//! daemons records what each client received and sent and turns it into views with
//! [`View::recorded`]; such a view starts in the middle of its processor's history.
//!
//! Responsible for: the plain data, and cutting a recorded stream to the part that can be judged.
//! Not responsible for: judging it ([`crate::checker`]).

mod circumstances;

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use evs_model::{
    ClientId, Configuration, ConfigurationChange, Event, Group, Groups, Guarantee, Message,
    MessageId, Processor,
};

pub use circumstances::{Circumstances, Patience, Span, Time};

/// Everything that was recorded in one run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What was seen at each processor; several views of one processor are allowed.
    pub views: Vec<View>,
    /// Clients to be held against the view of their processor (EVS-10, EVS-11).
    pub clients: Vec<ClientHistory>,
    /// Whether every accepted message of the run is in one of the views. If not, a message of an
    /// unknown client is taken as sent.
    pub every_send: bool,
    /// What was done to the world meanwhile, if that is known. If not, liveness is judged only as
    /// far as [`View::settled`] says.
    pub circumstances: Option<Circumstances>,
}

/// What one observer at one processor saw and did.
#[derive(Clone, Debug)]
pub struct View {
    /// The processor.
    pub processor: Processor,
    /// Which of the processor's messages the observer gets to see.
    pub scope: Scope,
    /// Where in the processor's history the view starts.
    pub start: Start,
    /// Configurations, messages and accepted sends, in order.
    pub entries: Vec<Entry>,
    /// When each of them was seen; nothing if nobody looked at a clock.
    pub times: Vec<Time>,
    /// How it ended.
    pub end: End,
    /// The liveness phase, where there was one: how many entries there were when its bound had
    /// passed. From there on nothing may change (LIVE-1).
    pub settled: Option<usize>,
}

/// Which messages a view would show.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scope {
    /// All that are addressed to any group at all.
    All,
    /// Those for at least one of these groups.
    Groups(BTreeSet<Group>),
}

impl Scope {
    /// Whether a message for these groups would be seen.
    #[must_use]
    pub fn covers(&self, groups: &Groups) -> bool {
        match self {
            Self::All => !groups.is_empty(),
            Self::Groups(joined) => groups.iter().any(|group| joined.contains(&group)),
        }
    }
}

/// Where a view starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// With the processor's first configuration.
    Birth {
        /// The view of the node's previous incarnation (its index in [`History::views`]) whose
        /// stored ring sequence this one started from.
        stored_by: Option<usize>,
    },
    /// Somewhere in the configuration that is the first entry.
    Midway,
}

/// How a view ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The processor failed, or the observer was cut off from it.
    Crashed,
    /// The processor left in order.
    Left {
        /// How many accepted messages it said it had dropped.
        dropped: u64,
    },
    /// The processor was up when the recording ended.
    Running,
}

/// One entry of a view.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// A message was accepted from a client of this processor. It is not yet *sent*.
    Accepted(Submission),
    /// A configuration was delivered.
    Configuration(Configuration),
    /// A message was delivered.
    Delivered(Message),
}

/// A message as a client handed it over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Submission {
    /// The name that its delivery will carry.
    pub id: MessageId,
    /// The guarantee asked for.
    pub guarantee: Guarantee,
    /// The groups it is addressed to.
    pub groups: Groups,
    /// The content.
    pub body: Bytes,
}

/// One client's session, beside the view of its processor.
#[derive(Clone, Debug)]
pub struct ClientHistory {
    /// The client.
    pub client: ClientId,
    /// The index of its processor's complete view in [`History::views`].
    pub view: usize,
    /// What it asked for and got, in order.
    pub steps: Vec<ClientStep>,
}

/// One step of a client's session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientStep {
    /// How many entries the processor's view had at that point.
    pub place: usize,
    /// What happened.
    pub what: ClientAct,
}

/// What happens in a client's session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientAct {
    /// The session began.
    Connected,
    /// It joined these groups (counted: joined twice needs two leaves).
    Joined(Vec<Group>),
    /// It left these groups.
    Left(Vec<Group>),
    /// It received this.
    Received(Event),
    /// It stopped reading.
    Stalled,
    /// It reads what there is, and goes on reading.
    Reads,
    /// The client ended the session.
    Disconnected,
    /// The session ended before the client had read all that there was for it.
    CutOff,
}

/// What a real client noted down, in the order in which it happened to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Recorded {
    /// It received this event.
    Event(Event),
    /// The daemon accepted this message.
    Accepted(Submission),
}

/// Why a recorded stream shows nothing that could be judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RecordedError {
    /// The first event is no regular configuration (EVS-11).
    NoConfigurationFirst,
}

impl fmt::Display for RecordedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConfigurationFirst => {
                f.write_str("EVS-11: the first event of the session is no regular configuration")
            }
        }
    }
}

impl std::error::Error for RecordedError {}

impl View {
    /// The view of a client that joined these groups with one request and left none of them while
    /// it recorded. `running` says whether its processor was still up at the end.
    ///
    /// A client cannot tell at which point of the stream its join took effect, only that it was
    /// before the first message. So the view starts with the configuration in which the first
    /// message came; sends accepted before that are kept.
    ///
    /// # Errors
    /// The stream does not begin with a regular configuration.
    pub fn recorded(
        processor: Processor,
        groups: impl IntoIterator<Item = Group>,
        stream: Vec<Recorded>,
        running: bool,
    ) -> Result<Self, RecordedError> {
        let mut cut_off = !running;
        let mut early = Vec::new();
        let mut entries: Vec<Entry> = Vec::new();
        let mut begun = false;
        for item in stream {
            match item {
                Recorded::Accepted(submission) if begun => {
                    entries.push(Entry::Accepted(submission));
                }
                Recorded::Accepted(submission) => early.push(Entry::Accepted(submission)),
                Recorded::Event(Event::Configuration(change)) => {
                    let configuration = configuration_of(&change);
                    let regular = matches!(configuration, Configuration::Regular { .. });
                    if entries.is_empty() && !regular {
                        return Err(RecordedError::NoConfigurationFirst);
                    }
                    if regular && !begun {
                        entries.clear();
                    }
                    entries.push(Entry::Configuration(configuration));
                }
                Recorded::Event(Event::Message(message)) => {
                    if entries.is_empty() {
                        return Err(RecordedError::NoConfigurationFirst);
                    }
                    if !begun {
                        // Before the first message nothing that was accepted has an effect, so
                        // its exact place in the first configuration does not matter.
                        entries.splice(1..1, early.drain(..));
                        begun = true;
                    }
                    entries.push(Entry::Delivered(message));
                }
                Recorded::Event(Event::Disconnected(_)) => cut_off = true,
            }
        }
        if !begun && !entries.is_empty() {
            entries.splice(1..1, early);
        }
        Ok(Self {
            processor,
            scope: Scope::Groups(groups.into_iter().collect()),
            start: Start::Midway,
            entries,
            times: Vec::new(),
            end: if cut_off { End::Crashed } else { End::Running },
            settled: None,
        })
    }
}

/// The configuration that an event announces, without what is relative to the client.
#[must_use]
pub fn configuration_of(change: &ConfigurationChange) -> Configuration {
    match change {
        ConfigurationChange::Regular { ring, members, .. } => {
            Configuration::Regular { ring: *ring, members: members.clone() }
        }
        ConfigurationChange::Transitional { from, to, members, .. } => {
            Configuration::Transitional { from: *from, to: *to, members: members.clone() }
        }
    }
}
