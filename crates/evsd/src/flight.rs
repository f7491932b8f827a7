//! The flight recorder: why each configuration came about, in memory and in a file, both bounded.
//!
//! Responsible for: noting what this node sees, cutting it into changes, adding what the other
//! members say that they saw, and answering questions about it.
//! Not responsible for: the judgement and the text (`evs-report`), how the others are told
//! (`control.rs`), the file (`flight/file.rs`).

mod file;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::Duration;

use evs_model::{Instant, Members, Processor, RingId};
use evs_net::{DownCause, PeerEvent};
use evs_report::{
    Answer, Cause, Change, Evidence, PathSign, Pause, Question, Recovery, SCHEMA, Sight, Step,
    TokenSight, Trigger, judge,
};
use totem::StateKind;

use crate::units::micros;
use file::Recorder;

/// Most changes that are kept in memory (`flight_changes_max`), and their bytes as JSON.
pub const CHANGES_MAX: usize = 256;
const CHANGES_BYTES_MAX: usize = 4 << 20;

/// Longest record of one change, as JSON (`flight_change_bytes_max`): it fits an answer. What more
/// members say is left out.
pub const CHANGE_BYTES_MAX: usize = 512 << 10;

/// Most things seen that go with one change; older ones are forgotten.
pub const SIGHTS_MAX: usize = 32;

/// Most states that one change tells of; later ones are left out.
const STEPS_MAX: usize = 64;

/// Most peers of whom it is known since when they are out of sight.
const ABSENT_MAX: usize = 256;

/// What was seen earlier before a change than so many detection targets has nothing to do with it.
const EARLIER: u32 = 4;

/// An answer leaves out the oldest changes beyond so many bytes.
const ANSWER_BYTES_MAX: usize = evs_ipc::STATUS_BYTES_MAX - (64 << 10);

/// The recorder of one node.
#[derive(Debug)]
pub struct Flight {
    me: Processor,
    started: Instant,
    detection: Duration,
    changes: VecDeque<(Change, usize)>,
    bytes: usize,
    next: u64,
    /// The configuration in force.
    ring: Option<RingId>,
    members: Members,
    sights: VecDeque<(Instant, Seen)>,
    apart: Option<Apart>,
    absent: BTreeMap<Processor, Instant>,
    current: Option<Current>,
    counted: Counted,
    recorder: Recorder,
}

/// A change that is under way.
#[derive(Debug)]
struct Current {
    begun: Instant,
    cause: Option<totem::Cause>,
    token: Option<totem::TokenSight>,
    steps: Vec<(Instant, StateKind, String)>,
    attempts: u64,
    together: Members,
}

/// The pause for which this node went on without others. They are to be told when it is back.
#[derive(Debug)]
struct Apart {
    at: Instant,
    pause: Pause,
    from: Members,
}

/// What was seen, before it is known of which change it is a part.
#[derive(Debug)]
enum Seen {
    Silent(Processor, Duration),
    Refused(Processor, Duration),
    NotHeardByPeer(Processor),
    Deaf(Processor),
    Restarted(Processor, u64),
    Heard(Processor, Option<Duration>),
    PathDown(Processor, u8, PathSign),
    PathUp(Processor, u8),
    Paused(Pause),
    Removed(Processor),
}

/// Counters of what is exchanged in recovery, as they were at the last change.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counted {
    /// Packets sent to others.
    pub sent: u64,
    /// Packets got from others.
    pub got: u64,
    /// Messages begun anew.
    pub restarted: u64,
}

impl Flight {
    /// Another detection target is in force.
    pub(crate) const fn set_detection(&mut self, detection: Duration) {
        self.detection = detection;
    }

    /// A recorder that goes on where the last process of this node ended, as far as its files in
    /// this directory tell.
    #[must_use]
    pub fn start(me: Processor, detection: Duration, dir: &Path, now: Instant) -> Self {
        let (recorder, known) = Recorder::open(dir);
        let mut flight = Self {
            me,
            started: now,
            detection,
            changes: VecDeque::new(),
            bytes: 0,
            next: known.last().map_or(0, |last| last.change) + 1,
            ring: None,
            members: Members::default(),
            sights: VecDeque::new(),
            apart: None,
            absent: BTreeMap::new(),
            current: Some(Current::begin(now, None, None)),
            counted: Counted::default(),
            recorder,
        };
        for change in known {
            let bytes = json_bytes(&change);
            if bytes <= CHANGE_BYTES_MAX {
                flight.keep(change, bytes);
            }
        }
        flight
    }

    /// The protocol's state changes. `token` is what is known of the token of the ring that was
    /// given up last.
    pub fn note_transition(
        &mut self,
        now: Instant,
        (from, to): (StateKind, StateKind),
        cause: totem::Cause,
        token: Option<&totem::TokenSight>,
    ) {
        if from == StateKind::Operational {
            let begins = to == StateKind::Gather;
            self.current = Some(Current::begin(now, begins.then_some(cause), token.copied()));
        }
        let Some(current) = &mut self.current else { return };
        if to == StateKind::Gather && from != StateKind::Operational {
            current.attempts += 1;
        }
        if current.steps.len() < STEPS_MAX {
            current.steps.push((now, to, cause.to_string()));
        }
        if to == StateKind::Left {
            self.stop(now);
        }
    }

    /// A peer came or went.
    pub fn note_peer(&mut self, now: Instant, event: &PeerEvent) {
        let seen = match event {
            PeerEvent::Up { peer, .. } => {
                let absent = self.absent.remove(peer).map(|since| now.since(since));
                Seen::Heard(*peer, absent)
            }
            PeerEvent::Down { peer, cause } => {
                if self.absent.len() == ABSENT_MAX {
                    self.absent.pop_first();
                }
                self.absent.insert(*peer, now);
                match cause {
                    DownCause::Silence(silence) => Seen::Silent(*peer, *silence),
                    DownCause::Refused(silence) => Seen::Refused(*peer, *silence),
                    DownCause::NotHeardByPeer => Seen::NotHeardByPeer(*peer),
                    DownCause::Deaf => Seen::Deaf(*peer),
                    DownCause::Removed => Seen::Removed(*peer),
                    DownCause::Replaced(by) => Seen::Restarted(*peer, *by),
                }
            }
            // The ring goes on as long as one path does.
            PeerEvent::PathUp { peer, link } => Seen::PathUp(*peer, link.get()),
            PeerEvent::PathDown { peer, link, cause } => Seen::PathDown(
                *peer,
                link.get(),
                match cause {
                    DownCause::Silence(_) => PathSign::Silent,
                    DownCause::Refused(_) => PathSign::Refused,
                    DownCause::NotHeardByPeer => PathSign::NotHeardByPeer,
                    DownCause::Deaf => PathSign::Deaf,
                    // Who is removed is so at once, on all links.
                    DownCause::Removed => PathSign::Other,
                    DownCause::Replaced(_) => PathSign::Restarted,
                },
            ),
            PeerEvent::Moved { .. } | PeerEvent::Mtu { .. } | PeerEvent::Double { .. } => return,
        };
        self.see(now, seen);
    }

    /// This process stood still for so long, until now.
    pub fn note_pause(&mut self, now: Instant, pause: Pause) {
        self.see(now, Seen::Paused(pause));
    }

    /// The operator takes a member out of the cluster.
    pub fn note_removed(&mut self, now: Instant, peer: Processor) {
        self.see(now, Seen::Removed(peer));
    }

    /// These went on together.
    pub fn note_together(&mut self, members: &Members) {
        if let Some(current) = &mut self.current {
            current.together = members.clone();
        }
    }

    /// A configuration is in force: the record of the change is written. Returns what the others
    /// are to be told, and the reason as far as this node alone knows it.
    pub fn install(
        &mut self,
        now: Instant,
        (ring, members): (RingId, &Members),
        counted: Counted,
    ) -> (Evidence, Trigger) {
        let mut change = self.so_far(now);
        change.to = Some(ring.to_string());
        change.members = nodes(members);
        change.left = nodes(&self.members.difference(members));
        change.joined = nodes(&members.difference(&self.members));
        change.recovery = Recovery {
            sent: counted.sent - self.counted.sent,
            got: counted.got - self.counted.got,
            restarted: counted.restarted - self.counted.restarted,
        };
        let mut evidence = change.evidence.remove(0);
        let begun = self.current.as_ref().map_or(now, |current| current.begun);
        self.tell_apart(members, begun, &mut evidence.saw);
        evidence.recovery = change.recovery;
        change.evidence.push(evidence.clone());
        change.trigger = judge(&change);
        let trigger = change.trigger.clone();
        self.note_apart(members, begun, &trigger);
        self.ring = Some(ring);
        self.members = members.clone();
        self.counted = counted;
        self.current = None;
        self.sights.clear();
        self.next += 1;
        self.record(change);
        (evidence, trigger)
    }

    /// What another member saw of the change that led to this ring.
    pub fn note_evidence(&mut self, ring: &str, evidence: Evidence) {
        let mine = |change: &Change| change.to.as_deref() == Some(ring);
        let Some(at) = self.changes.iter().rposition(|(change, _)| mine(change)) else { return };
        let (change, bytes) = &self.changes[at];
        let is_member = change.members.contains(&evidence.node);
        let is_news = change.evidence.iter().all(|known| known.node != evidence.node);
        if !is_member || !is_news || bytes + json_bytes(&evidence) > CHANGE_BYTES_MAX {
            return;
        }
        let Some((mut change, bytes)) = self.changes.remove(at) else { return };
        self.bytes -= bytes;
        change.evidence.push(evidence);
        change.trigger = judge(&change);
        self.record_at(at, change);
    }

    /// Answers a question about changes.
    #[must_use]
    pub fn answer(&self, now: Instant, question: &Question) -> Answer {
        let mut answer = Answer { schema: SCHEMA, ..Answer::default() };
        match question {
            Question::Changes { last } => {
                answer.pending = self.current.as_ref().map(|_| self.so_far(now));
                answer.changes = Some(self.last(*last as usize));
            }
            Question::Change { which: None } => {
                answer.pending = self.current.as_ref().map(|_| self.so_far(now));
                answer.changes = Some(self.last(1));
            }
            Question::Change { which: Some(which) } => match self.find(which) {
                Some(change) => answer.changes = Some(vec![change.clone()]),
                None => answer.error = Some(self.not_kept(which)),
            },
            // These are about something else.
            Question::Config
            | Question::Groups
            | Question::KeyAdd { .. }
            | Question::KeyDrop { .. }
            | Question::KeyUse { .. }
            | Question::Keys
            | Question::Leave
            | Question::NodeAdd { .. }
            | Question::NodeRemove { .. }
            | Question::Reload => {}
        }
        answer
    }

    /// The latest change.
    #[must_use]
    pub fn latest(&self) -> Option<&Change> {
        self.changes.back().map(|(change, _)| change)
    }

    /// How many records were not written, because the disk was too slow or refused.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.recorder.lost()
    }
}

impl Flight {
    fn see(&mut self, now: Instant, seen: Seen) {
        if self.sights.len() == SIGHTS_MAX {
            self.sights.pop_front();
        }
        self.sights.push_back((now, seen));
    }

    /// Adds the pause for which this node was away to what it saw, if it is back with some of those
    /// whom it left for that: they do not know of it.
    fn tell_apart(&mut self, members: &Members, begun: Instant, saw: &mut Vec<Sight>) {
        let joined = members.difference(&self.members);
        if joined.is_empty() {
            return;
        }
        let apart = self.apart.take();
        let is_back = |apart: &Apart| joined.iter().any(|p| apart.from.find(p.node).is_some());
        if let Some(Apart { at, pause, .. }) = apart.filter(is_back) {
            if saw.len() == SIGHTS_MAX {
                saw.remove(0);
            }
            saw.insert(0, Seen::Paused(pause).sight(signed(at, begun)));
        }
    }

    /// Takes note that this node goes on without others for its own pause, if that is the reason.
    fn note_apart(&mut self, members: &Members, begun: Instant, trigger: &Trigger) {
        let me = self.me.into();
        let from = self.members.difference(members);
        if from.is_empty() || !matches!(trigger, Trigger::Paused { node, .. } if *node == me) {
            return;
        }
        let pauses = self.lately(begun).filter_map(|(at, seen)| {
            let Seen::Paused(pause) = seen else { return None };
            Some((*pause, *at))
        });
        self.apart = pauses.max().map(|(pause, at)| Apart { at, pause, from });
    }

    /// The change that is under way, or one that nothing led to.
    fn so_far(&self, now: Instant) -> Change {
        let nothing = Current::begin(now, None, None);
        let current = self.current.as_ref().unwrap_or(&nothing);
        let at_us = |at: Instant| signed(at, current.begun);
        let at = now_utc();
        let took_us = micros(now.since(current.begun));
        let (cause, cause_names) = cause(current.cause);
        let token = current.token.filter(|_| current.cause.is_some());
        let evidence = Evidence {
            node: self.me.into(),
            at: at.clone(),
            up_us: micros(now.since(self.started)),
            cause,
            cause_names,
            took_us,
            saw: self.saw(current.begun),
            token: token.map(|sight| TokenSight {
                number: sight.token_seq,
                silence_us: micros(sight.silence),
                passed_to: sight.passed_to.map(Into::into),
                arrived: sight.arrived,
            }),
            recovery: Recovery::default(),
        };
        let mut change = Change {
            change: self.next,
            at,
            me: self.me.into(),
            from: self.ring.map(|ring| ring.to_string()),
            members: nodes(&self.members),
            together: nodes(&current.together),
            took_us,
            attempts: current.attempts,
            timeline: current
                .steps
                .iter()
                .map(|(at, state, cause)| Step {
                    at_us: at_us(*at),
                    state: state.to_string(),
                    cause: cause.clone(),
                })
                .collect(),
            evidence: vec![evidence],
            ..Change::default()
        };
        change.trigger = judge(&change);
        change
    }

    /// What was seen lately enough to belong to a change that began then.
    fn lately(&self, begun: Instant) -> impl Iterator<Item = &(Instant, Seen)> {
        let longest = self.detection * EARLIER;
        self.sights.iter().filter(move |(at, _)| begun.since(*at) <= longest)
    }

    fn saw(&self, begun: Instant) -> Vec<Sight> {
        self.lately(begun).map(|(at, seen)| seen.sight(signed(*at, begun))).collect()
    }

    /// This process ends; the record says so to those who ask the next one.
    fn stop(&mut self, now: Instant) {
        let mut change = self.so_far(now);
        change.trigger = Trigger::Stopped;
        self.current = None;
        self.next += 1;
        self.record(change);
    }

    fn record(&mut self, change: Change) {
        self.record_at(self.changes.len(), change);
    }

    fn record_at(&mut self, at: usize, change: Change) {
        // Nothing in it can fail to be written: keys are texts and numbers are whole.
        let json = serde_json::to_string(&change).unwrap_or_default();
        let bytes = json.len();
        self.recorder.write(json);
        self.changes.insert(at, (change, bytes));
        self.bytes += bytes;
        self.trim();
    }

    fn keep(&mut self, change: Change, bytes: usize) {
        self.changes.push_back((change, bytes));
        self.bytes += bytes;
        self.trim();
    }

    fn trim(&mut self) {
        while self.changes.len() > CHANGES_MAX
            || (self.bytes > CHANGES_BYTES_MAX && self.changes.len() > 1)
        {
            let Some((_, bytes)) = self.changes.pop_front() else { return };
            self.bytes -= bytes;
        }
    }

    /// The last so many, as far as they fit an answer.
    fn last(&self, count: usize) -> Vec<Change> {
        let mut room = ANSWER_BYTES_MAX;
        let fits = |(_, bytes): &&(Change, usize)| {
            room = room.saturating_sub(*bytes);
            room > 0
        };
        let newest = self.changes.iter().rev().take(count).take_while(fits);
        let mut changes: Vec<_> = newest.map(|(change, _)| change.clone()).collect();
        changes.reverse();
        changes
    }

    fn find(&self, which: &str) -> Option<&Change> {
        let number = which.parse::<u64>().ok();
        let mut changes = self.changes.iter().rev().map(|(change, _)| change);
        changes.find(|c| number == Some(c.change) || c.to.as_deref() == Some(which))
    }

    fn not_kept(&self, which: &str) -> String {
        let which: String = which.chars().filter(|c| !c.is_control()).take(64).collect();
        match (self.changes.front(), self.changes.back()) {
            (Some((first, _)), Some((last, _))) => format!(
                "no change {which} is recorded; there are those from {} to {}",
                first.change, last.change
            ),
            _ => format!("no change {which} is recorded, nor any other yet"),
        }
    }
}

impl Current {
    fn begin(
        begun: Instant,
        cause: Option<totem::Cause>,
        token: Option<totem::TokenSight>,
    ) -> Self {
        let together = Members::default();
        Self { begun, cause, token, steps: Vec::new(), attempts: 1, together }
    }
}

impl Seen {
    fn sight(&self, at_us: i64) -> Sight {
        match *self {
            Self::Silent(peer, silence) => {
                Sight::Silent { at_us, peer: peer.into(), silence_us: micros(silence) }
            }
            Self::Refused(peer, silence) => {
                Sight::Refused { at_us, peer: peer.into(), silence_us: micros(silence) }
            }
            Self::NotHeardByPeer(peer) => Sight::NotHeardByPeer { at_us, peer: peer.into() },
            Self::Deaf(peer) => Sight::Deaf { at_us, peer: peer.into() },
            Self::Restarted(peer, by) => {
                Sight::Restarted { at_us, peer: peer.into(), by: format!("{by:016x}") }
            }
            Self::Heard(peer, absent) => {
                Sight::Heard { at_us, peer: peer.into(), absent_us: absent.map(micros) }
            }
            Self::PathDown(peer, link, sign) => {
                Sight::PathDown { at_us, peer: peer.into(), link, sign }
            }
            Self::PathUp(peer, link) => Sight::PathUp { at_us, peer: peer.into(), link },
            Self::Removed(peer) => Sight::Removed { at_us, peer: peer.into() },
            Self::Paused(pause) => Sight::Paused { at_us, pause },
        }
    }
}

/// What a ring was given up for, and whom that names.
fn cause(cause: Option<totem::Cause>) -> (Cause, Vec<evs_report::Node>) {
    use totem::Cause as C;
    let Some(cause) = cause else { return (Cause::None, Vec::new()) };
    match cause {
        C::PathLost(one, other) => (Cause::PathLost, vec![one.into(), other.into()]),
        C::MemberLeft(member) => (Cause::MemberLeft, vec![member.into()]),
        C::MemberGathers(member) => (Cause::MemberAsked, vec![member.into()]),
        C::Growth(newcomer) => (Cause::Growth, vec![newcomer.into()]),
        C::OutOfRange => (Cause::OutOfRange, Vec::new()),
        C::TokenLost => (Cause::TokenLost, Vec::new()),
        // These do not end a ring in operation.
        C::Leave | C::CommitComplete | C::CommitToken | C::Consensus | C::Recovered => {
            (Cause::Other, Vec::new())
        }
    }
}

fn json_bytes(value: &impl serde::Serialize) -> usize {
    serde_json::to_string(value).map_or(0, |json| json.len())
}

fn nodes(members: &Members) -> Vec<evs_report::Node> {
    members.iter().map(Into::into).collect()
}

fn signed(at: Instant, origin: Instant) -> i64 {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    if at < origin { -micros(origin.since(at)) } else { micros(at.since(origin)) }
}

/// The time of day, to the millisecond.
fn now_utc() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now).to_string()
}
