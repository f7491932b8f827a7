//! A seeded world: nodes that run the code that ships, the network between them, their disks and
//! clocks, and the clients that use them.
//!
//! Responsible for: time, the order of events, executing what a node puts out, and the mechanism
//! of each fault. Same [`Options`], same calls: same world, event by event.
//! Not responsible for: which faults strike when ([`crate::chaos`], [`crate::script`]), what
//! clients do ([`crate::workload`]), or whether it was right ([`crate::checker`]).
//!
//! The driver around each node keeps the contract in `totem`'s crate documentation; where the
//! options say so, it deliberately bends those rules that are marked there as bendable.

mod aim;
mod ambush;
mod calm;
mod clients;
mod clock;
mod commands;
mod conditions;
mod faults;
mod forge;
mod held;
mod journal;
mod links;
mod machine;
mod network;
mod options;
mod origins;
mod path;
mod recorder;
mod spans;
mod step;
mod struck;
mod trace;
mod traps;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::io::Write;
use std::rc::Rc;

use evs_model::{Group, NodeId};
use evs_net::LinkId;

pub use aim::{Aim, Strike};
pub use clients::{Sent, Session};
pub use commands::{Backlog, Disk};
pub use faults::{Fault, Faults};
pub use forge::{Passed, Traffic};
pub use journal::{Note, Noted};
pub use links::LinkFault;
pub use network::{Kind, Weather};
pub use options::{Frozen, NODES_MAX, Options};
pub use origins::Origins;
pub use struck::{Struck, StruckFaults};
pub use traps::{Moment, Snare};

use crate::coverage::Coverage;
use crate::history::History;
use ambush::Mend;
use calm::Calm;
use forge::Wire;
use held::Held;
use machine::Node;
use network::Network;
use recorder::Recorder;
use spans::Spans;
use struck::StruckList;
use trace::{Shown, Trace};
use traps::Trap;

/// Nanoseconds of simulated time since the world began.
pub type Nanos = u64;

/// Why a run was stopped by the world itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stop {
    /// An authentic packet could not be decoded: what one of ours encoded.
    Codec(String),
    /// A node believes that another machine runs under its id.
    DuplicateNode(u32),
    /// A packet larger than the path's was put on the wire in one datagram.
    Oversize(Kind, usize),
    /// More events than any healthy run needs: a storm.
    Storm(u64),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codec(error) => write!(f, "CODEC an authentic packet was refused: {error}"),
            Self::DuplicateNode(node) => {
                write!(f, "STAB node {node} thinks that another machine has its id")
            }
            Self::Oversize(kind, bytes) => {
                write!(f, "MTU a {kind} of {bytes} bytes in one datagram")
            }
            Self::Storm(events) => write!(f, "NET more than {events} events: a storm"),
        }
    }
}

/// What is going to happen.
#[derive(Debug)]
enum Event {
    /// A datagram reaches a node's receive buffer.
    Arrive { to: usize, datagram: Datagram },
    /// A node looks at its receive buffer and its timers.
    Wake { node: usize, boot: u64 },
    /// A node's host learns that no process of another is there.
    Refused { node: usize, by: usize },
    /// An ambush is over.
    Mend(Mend),
    /// A node's disk has stored a ring sequence.
    Stored { node: usize, boot: u64, seq: u64 },
}

/// A datagram on its way.
#[derive(Clone, Debug)]
struct Datagram {
    /// Index of the node that sent it.
    from: usize,
    link: LinkId,
    kind: Kind,
    bytes: Rc<[u8]>,
    /// It was forged: its content may be anything.
    forged: bool,
}

/// An event with its place in time; of two at the same time, the one scheduled first is first.
#[derive(Debug)]
struct Scheduled {
    at: Nanos,
    serial: u64,
    event: Event,
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Scheduled {}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

/// Nodes, network, time.
pub struct World {
    options: Options,
    now: Nanos,
    serial: u64,
    queue: BinaryHeap<Reverse<Scheduled>>,
    nodes: Vec<Node>,
    network: Network,
    held: Vec<Held>,
    rng: fastrand::Rng,
    recorder: Recorder,
    spans: Spans,
    calm: Calm,
    journal: Option<Vec<Note>>,
    wire: Wire,
    traps: Vec<Trap>,
    faults: Faults,
    struck: StruckList,
    coverage: Coverage,
    /// Room for one sealed datagram.
    sealed: Vec<u8>,
    trace: Trace,
    boots: u64,
    events: u64,
    stop: Option<Stop>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("now", &self.now).field("events", &self.events).finish()
    }
}

impl World {
    /// Most events of a run, besides those of its hellos, before it counts as a storm.
    pub const EVENTS_MAX: u64 = 20_000_000;

    /// A world in which no node runs yet. Trace lines go to `lines`, if given.
    #[must_use]
    pub fn new(options: Options, lines: Option<Box<dyn Write>>) -> Self {
        let count = options.nodes.clamp(1, NODES_MAX);
        let links = options.links.clamp(1, evs_net::LINKS_MAX);
        let mut rng = fastrand::Rng::with_seed(options.seed ^ 0x776f_726c_6421_2121);
        let nodes: Vec<Node> = (1..=count)
            .filter_map(NodeId::new)
            .map(|id| Node::new(id, &options, rng.fork()))
            .collect();
        Self {
            now: 0,
            serial: 0,
            queue: BinaryHeap::new(),
            network: Network::new((nodes.len(), links), options.weather.clone(), rng.fork()),
            nodes,
            held: Vec::new(),
            rng,
            recorder: Recorder::new(),
            spans: Spans::default(),
            calm: Calm::new(options.detection),
            journal: None,
            wire: Wire::default(),
            traps: Vec::new(),
            faults: Faults::default(),
            struck: StruckList::default(),
            coverage: Coverage::default(),
            sealed: Vec::new(),
            trace: Trace::new(lines),
            boots: 0,
            events: 0,
            stop: None,
            options,
        }
    }

    /// The groups that clients of a world may use: their observers are in all of them.
    #[must_use]
    pub fn groups() -> [Group; 5] {
        ["g", "red", "green", "blue", "black"]
            .map(|name| Group::named(name).expect("none of these names has more than 32 bytes"))
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Nanos {
        self.now
    }

    /// What the world is made of.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// How many nodes there are, up or down. They are numbered from 1.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.options.nodes.clamp(1, NODES_MAX)
    }

    /// Whether there are no nodes: never.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many events have happened.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Counts a fault that is made of several commands.
    pub fn count(&mut self, fault: Fault) {
        self.faults.count(fault);
    }

    /// How often each fault struck.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What the nodes' state machines have come through.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        let mut coverage = self.coverage.clone();
        let alive = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        alive.for_each(|machine| coverage.count_packets(machine.service.ring().stats()));
        coverage
    }

    /// A number that two runs of one seed share, and hardly two of different seeds.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.trace.hash()
    }

    /// Why the world stopped itself, if it did.
    #[must_use]
    pub const fn stopped(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// The world stops itself.
    #[cfg(test)]
    pub(crate) fn stop(&mut self) {
        self.stop = Some(Stop::Storm(self.events));
    }

    /// What applications have seen so far.
    #[must_use]
    pub const fn history(&self) -> &History {
        self.recorder.history()
    }

    /// Ends the world and returns what applications saw.
    #[must_use]
    pub fn into_history(self) -> History {
        self.recorder.into_history()
    }

    /// Lets time pass up to this point. Returns early if the world stops itself.
    pub fn run_until(&mut self, until: Nanos) {
        while self.step(until) {}
    }

    /// Lets the next thing happen, if it does by then; otherwise it is that time. Returns whether
    /// something happened.
    pub fn step(&mut self, until: Nanos) -> bool {
        self.survey();
        if self.stop.is_some() {
            return false;
        }
        if self.queue.peek().is_none_or(|Reverse(next)| next.at > until) {
            self.now = self.now.max(until);
            self.recorder.now = self.now;
            return false;
        }
        let Some(Reverse(next)) = self.queue.pop() else { return false };
        self.now = next.at;
        self.recorder.now = next.at;
        self.events += 1;
        if self.events > self.events_max() {
            self.stop = Some(Stop::Storm(self.events_max()));
        }
        self.happen(next.event);
        true
    }

    /// How many events are no storm by now: hellos alone are so many of them as there are pairs of
    /// nodes, ten times in a detection target, and each that arrives sets a timer. With several
    /// links they are twice as many on each of them.
    fn events_max(&self) -> u64 {
        let nodes = u64::from(self.len());
        let detection = u64::try_from(self.options.detection.as_nanos()).unwrap_or(u64::MAX);
        let hellos = match self.options.links as u64 {
            0 | 1 => 1,
            links => 2 * links,
        };
        Self::EVENTS_MAX + 40 * hellos * nodes * nodes * (self.now / detection.max(1))
    }

    /// Lets this much time pass.
    pub fn run_for(&mut self, time: Nanos) {
        self.run_until(self.now.saturating_add(time));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { to, datagram } => self.arrive(to, datagram),
            Event::Wake { node, boot } => self.wake(node, boot),
            Event::Mend(mend) => self.mend(mend),
            Event::Refused { node, by } => self.refused(node, by),
            Event::Stored { node, boot, seq } => self.stored(node, boot, seq),
        }
    }

    fn schedule(&mut self, at: Nanos, event: Event) {
        self.serial += 1;
        self.queue.push(Reverse(Scheduled { at: at.max(self.now), serial: self.serial, event }));
    }

    /// From here on nothing may change (LIVE-1).
    pub fn mark_settled(&mut self) {
        let views: Vec<usize> =
            self.nodes.iter().filter_map(|n| n.machine.as_ref()).map(|m| m.view).collect();
        for view in views {
            self.recorder.settled(view);
        }
        self.spans.settled = Some(self.now);
        self.note("-- settled: from here on nothing may change");
    }

    /// Whether anybody hears what is noted.
    #[must_use]
    pub const fn is_heard(&self) -> bool {
        self.trace.is_shown() || self.struck.is_open()
    }

    /// One line in the trace that belongs to no node.
    pub fn note(&mut self, what: &str) {
        self.struck.hear(None, &what);
        if self.trace.is_shown() {
            self.trace.line(self.now, None, &what);
        }
    }

    /// One line in the trace about a node.
    fn tell(&mut self, node: usize, what: &dyn fmt::Display) {
        if self.struck.is_open() {
            self.struck.hear(Some(self.nodes[node].id.get()), what);
        }
        if self.trace.is_shown() {
            let shown = self.nodes[node].shown();
            self.trace.line(self.now, Some(shown), what);
        }
    }
}

/// Whether something of this probability happens, in parts per million.
pub(crate) fn chance(rng: &mut fastrand::Rng, ppm: u32) -> bool {
    ppm > 0 && rng.u32(0..1_000_000) < ppm
}
