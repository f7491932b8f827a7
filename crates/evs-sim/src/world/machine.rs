//! A node: what survives a crash (its id, its disk), and the process that does not.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use evs_model::{ClientId, Event, NodeId};
use evs_net::Endpoint;
use evs_service::Service;

use super::clock::Clock;
use super::{Datagram, Nanos, Options, Shown};

/// One configured node.
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) clock: Clock,
    pub(super) disk: Storage,
    /// Its detection target, if not that of all.
    pub(super) detection: Option<Duration>,
    /// How long it takes over each datagram that it reads.
    pub(super) effort: Nanos,
    /// Datagrams that its receive buffer holds.
    pub(super) inbox_max: usize,
    /// How its driver behaves depends on no other node.
    pub(super) rng: fastrand::Rng,
    /// How often its processes have changed their state, where faults wait for that.
    pub(super) transitions: u32,
    /// What its processes are born with: their incarnations and seeds.
    pub(super) births: fastrand::Rng,
    /// The running process, if there is one.
    pub(super) machine: Option<Machine>,
}

/// The file with the ring sequence.
#[derive(Debug, Default)]
pub(super) struct Storage {
    pub(super) seq: u64,
    /// The view of the processor that wrote it, if all that it wanted to store was stored.
    pub(super) by: Option<usize>,
    /// What an old copy of it says.
    pub(super) copy: u64,
    /// It stands still until then, for ever if that is the end of time.
    pub(super) stalled_until: Nanos,
    /// What was stored before, the newest last.
    earlier: VecDeque<u64>,
}

impl Storage {
    /// A new one, which says this.
    pub(super) fn new(seq: u64) -> Self {
        Self { seq, ..Self::default() }
    }

    /// How many earlier values can come back.
    const EARLIER_MAX: usize = 32;

    pub(super) fn store(&mut self, seq: u64, by: Option<usize>) {
        if self.earlier.len() == Self::EARLIER_MAX {
            self.earlier.pop_front();
        }
        self.earlier.push_back(self.seq);
        self.seq = self.seq.max(seq);
        self.by = by;
    }

    /// It holds again what it held so many writes ago.
    pub(super) fn roll_back(&mut self, writes: u32) {
        for _ in 0..writes {
            self.seq = self.earlier.pop_back().unwrap_or(self.seq);
        }
        self.by = None;
    }

    /// It holds again what the copy says.
    pub(super) fn set_back(&mut self) {
        (self.seq, self.by) = (self.copy, None);
    }

    /// It says what a new one says.
    pub(super) fn wipe(&mut self, seq: u64) {
        (self.seq, self.by) = (seq, None);
        self.earlier.clear();
    }
}

/// One process.
pub(super) struct Machine {
    /// Counts the starts in this world: tells a process from the one before.
    pub(super) boot: u64,
    pub(super) endpoint: Endpoint,
    pub(super) service: Service,
    /// The socket's receive buffer.
    pub(super) inbox: VecDeque<Datagram>,
    /// Index of the node that sent the datagram that was handled last.
    pub(super) source: usize,
    /// When it looks at its receive buffer and timers next.
    pub(super) wake_at: Option<Nanos>,
    /// It is busy with what it has read until then.
    pub(super) busy_until: Nanos,
    pub(super) paused: bool,
    /// Whether timers run first, the next time.
    pub(super) timers_first: bool,
    /// Whether what is in the receive buffer is handed over as it lies there, the next time.
    pub(super) keep_order: bool,
    /// It crashes after so many more outputs.
    pub(super) fuse: Option<u32>,
    /// Index of its view in the history.
    pub(super) view: usize,
    /// It has no packet counters left, and sends nothing any more.
    pub(super) mute: bool,
    /// The ring sequence it asked to be stored last.
    pub(super) stored: u64,
    /// Clients that did not read for too long, to be disconnected.
    pub(super) too_slow: Vec<ClientId>,
    /// The client that sees everything.
    pub(super) observer: Option<ClientId>,
    pub(super) clients: BTreeMap<ClientId, Client>,
    /// Packets, estimated, of own messages that were accepted and not yet delivered here.
    pub(super) owed_packets: u64,
    /// It has left in order and told how many messages it dropped.
    pub(super) left: Option<u64>,
}

/// A client of one process.
#[derive(Debug)]
pub(super) struct Client {
    /// Index of its session in the history.
    pub(super) session: usize,
    /// It was refused for want of room and waits to be told that there is some.
    pub(super) waits_for_room: bool,
    /// It does not read.
    pub(super) stalled: bool,
    /// What it has not read, and how many bytes that is.
    pub(super) unread: VecDeque<Event>,
    pub(super) unread_bytes: usize,
}

impl Client {
    pub(super) const fn new(session: usize) -> Self {
        Self {
            session,
            waits_for_room: false,
            stalled: false,
            unread: VecDeque::new(),
            unread_bytes: 0,
        }
    }
}

impl Node {
    pub(super) fn new(id: NodeId, options: &Options, mut rng: fastrand::Rng) -> Self {
        let bound = i64::from(options.clock_skew_ppm);
        let skew_ppm = rng.i64(-bound..=bound);
        Self {
            id,
            clock: Clock { origin: options.clock_origin, since: 0, skew_ppm },
            disk: Storage::new(options.origins.ring),
            detection: None,
            effort: 0,
            inbox_max: options.inbox_max,
            transitions: 0,
            births: rng.fork(),
            rng,
            machine: None,
        }
    }

    /// The process, if it runs and is not paused.
    pub(super) fn awake(&mut self) -> Option<&mut Machine> {
        self.machine.as_mut().filter(|machine| !machine.paused)
    }

    /// How a trace line shows this node.
    pub(super) fn shown(&self) -> Shown {
        let node = self.id.to_string();
        let Some(machine) = &self.machine else {
            return Shown { node, state: String::from("down"), ..Shown::default() };
        };
        let ring = machine.service.ring();
        let mut state = ring.state().to_string();
        if machine.paused {
            state.insert(0, '(');
            state.push(')');
        }
        let Some(id) = ring.ring_id() else {
            return Shown { node, state, ..Shown::default() };
        };
        let (aru, seq) = ring.progress();
        let (aru, seq) = (aru.to_string(), seq.to_string());
        Shown { node, state, ring: id.to_string(), aru, seq }
    }
}
