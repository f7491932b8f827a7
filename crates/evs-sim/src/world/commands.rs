//! What can be done to a world: start, crash, pause, cut, heal. Each is one line of a script and
//! one move of the chaos.
//!
//! Nodes are named by their ids, from 1. A command that does not fit (pausing a node that is down)
//! does nothing.

use evs_model::{NodeId, Processor};
use evs_net::{ClusterKey, Endpoint, EndpointConfig, SealMode};
use evs_service::Service;

use super::faults::Fault;
use super::machine::Machine;
use super::{Aim, Kind, Nanos, Noted, Weather, World};
use crate::history::End;

/// What a node finds on its disk when it starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disk {
    /// What it had stored.
    Kept,
    /// Nothing.
    Wiped,
    /// What it had stored when [`World::copy_disk`] was called: a virtual machine was set back.
    RolledBack,
}

/// What a node that was paused finds in its receive buffer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Backlog {
    /// All that arrived meanwhile and fits.
    Kept,
    /// Nothing.
    Lost,
}

impl World {
    /// Starts a node that is down.
    pub fn start(&mut self, id: u32, disk: Disk) {
        let node = self.index(id);
        if self.nodes[node].machine.is_some() {
            return;
        }
        let storage = &mut self.nodes[node].disk;
        match disk {
            Disk::Kept => {}
            Disk::Wiped => (storage.seq, storage.by) = (0, None),
            Disk::RolledBack => (storage.seq, storage.by) = (storage.copy, None),
        }
        self.boots += 1;
        let processor = Processor::new(self.nodes[node].id, self.rng.u64(..));
        let stored_by = self.nodes[node].disk.by;
        let view = self.recorder.birth(processor, stored_by);
        let machine = self.boot(node, processor, view);
        self.nodes[node].machine = Some(machine);
        self.tell(node, &format_args!("starts as {processor}, disk {disk:?}"));
        self.jot(node, || Noted::Started);
        self.after(node);
    }

    fn boot(&mut self, node: usize, processor: Processor, view: usize) -> Machine {
        let now = self.nodes[node].clock.local(self.now);
        let options = &self.options;
        let detection = self.nodes[node].detection.unwrap_or(options.detection);
        let me = self.nodes[node].id;
        let peers: Vec<NodeId> =
            self.nodes.iter().map(|node| node.id).filter(|id| *id != me).collect();
        let seal = if options.sealed {
            SealMode::Sealed(ClusterKey::from_bytes(&[7; ClusterKey::LEN]))
        } else {
            SealMode::Clear
        };
        let endpoint = EndpointConfig {
            me: processor,
            peers,
            cluster: String::from("simulated"),
            seal,
            detection,
        };
        let service = evs_service::Config {
            totem: totem::Config {
                detection,
                packet_bytes_max: options.packet_bytes_max,
                window_packets: options.window_packets,
                backlog_packets_max: options.backlog_packets_max,
                accelerated_packets: options.accelerated_packets,
                ..totem::Config::default()
            },
            client_send_bytes_max: options.client_send_bytes_max,
            ..evs_service::Config::default()
        };
        let stored = self.nodes[node].disk.seq;
        let seeds = (self.rng.u64(..), self.rng.u64(..));
        Machine {
            boot: self.boots,
            endpoint: Endpoint::new(endpoint, seeds.0, now),
            service: Service::new(service, processor, stored, seeds.1, now),
            inbox: std::collections::VecDeque::new(),
            source: node,
            wake_at: None,
            busy_until: 0,
            paused: false,
            timers_first: false,
            keep_order: false,
            fuse: None,
            view,
            stored,
            observer: None,
            clients: std::collections::BTreeMap::new(),
            owed_packets: 0,
            left: None,
        }
    }

    /// Keeps a copy of what is on a node's disk now, for [`Disk::RolledBack`].
    pub fn copy_disk(&mut self, id: u32) {
        let node = self.index(id);
        self.nodes[node].disk.copy = self.nodes[node].disk.seq;
    }

    /// What is on a node's disk is this from now on.
    pub fn write_disk(&mut self, id: u32, seq: u64) {
        let node = self.index(id);
        (self.nodes[node].disk.seq, self.nodes[node].disk.by) = (seq, None);
    }

    /// From its next start on a node has a detection target of its own.
    pub fn detection(&mut self, id: u32, target: std::time::Duration) {
        let node = self.index(id);
        self.nodes[node].detection = Some(target);
    }

    /// From here on a node takes so long over each datagram that it reads: a slow processor.
    pub fn effort(&mut self, id: u32, each: Nanos) {
        let node = self.index(id);
        self.nodes[node].effort = each;
        self.tell(node, &format_args!("takes {} us for a datagram", each / 1_000));
    }

    /// What a node that is up is made of; nothing if it is down.
    #[must_use]
    pub fn service(&self, id: u32) -> Option<&Service> {
        self.nodes[self.index(id)].machine.as_ref().map(|machine| &machine.service)
    }

    /// Starts all nodes that are down, with what they have on their disks.
    pub fn start_all(&mut self) {
        (1..=self.len()).for_each(|id| self.start(id, Disk::Kept));
    }

    /// Whether a node's process exists, running or paused.
    #[must_use]
    pub fn is_up(&self, id: u32) -> bool {
        self.nodes[self.index(id)].machine.is_some()
    }

    /// Whether a node is paused.
    #[must_use]
    pub fn is_paused(&self, id: u32) -> bool {
        self.nodes[self.index(id)].machine.as_ref().is_some_and(|machine| machine.paused)
    }

    /// Ends a node's process at once.
    pub fn crash(&mut self, id: u32) {
        let node = self.index(id);
        if self.nodes[node].machine.is_some() {
            self.faults.count(Fault::Crash);
            self.die(node, End::Crashed);
        }
    }

    /// Ends a node's process after so many more outputs, perhaps in the middle of a step.
    pub fn crash_after(&mut self, id: u32, outputs: u32) {
        let node = self.index(id);
        if let Some(machine) = self.nodes[node].machine.as_mut() {
            machine.fuse = Some(outputs);
        }
    }

    /// What is wrong with the nodes themselves ends: no crash is due, no ambush is laid, receive
    /// buffers are large.
    pub fn disarm(&mut self) {
        self.options.inbox_max = self.options.inbox_max.max(4_096);
        self.options.ambush_ppm = 0;
        self.traps.clear();
        for node in &mut self.nodes {
            node.effort = 0;
            node.machine.iter_mut().for_each(|machine| machine.fuse = None);
        }
    }

    /// The process is no more.
    pub(super) fn die(&mut self, node: usize, end: End) {
        self.tell(node, &format_args!("ends: {end:?}"));
        self.jot(node, || Noted::Ended(end));
        if let Some(machine) = self.nodes[node].machine.take() {
            self.recorder.end(machine.view, end);
        }
    }

    /// Asks a node to leave in order: it drains, leaves, and its process ends.
    pub fn leave(&mut self, id: u32) {
        let node = self.index(id);
        let now = self.nodes[node].clock.local(self.now);
        let Some(machine) = self.nodes[node].awake() else { return };
        machine.service.leave(now);
        self.faults.count(Fault::Leave);
        self.tell(node, &"is asked to leave");
        self.after(node);
    }

    /// Stops a node's process without ending it.
    pub fn pause(&mut self, id: u32) {
        let node = self.index(id);
        let Some(machine) = self.nodes[node].awake() else { return };
        machine.paused = true;
        machine.wake_at = None;
        self.faults.count(Fault::Pause);
        self.tell(node, &"is paused");
    }

    /// Lets a paused node go on; `timers_first` against the driver's contract.
    pub fn resume(&mut self, id: u32, backlog: Backlog, timers_first: bool) {
        let node = self.index(id);
        let Some(machine) = self.nodes[node].machine.as_mut().filter(|m| m.paused) else { return };
        machine.paused = false;
        machine.timers_first = timers_first;
        let fault = match backlog {
            Backlog::Kept => Fault::ResumeKept,
            Backlog::Lost => {
                machine.inbox.clear();
                Fault::ResumeLost
            }
        };
        self.faults.count(fault);
        self.tell(node, &format_args!("resumes, backlog {backlog:?}"));
        self.wake_by(node, self.now);
    }

    /// Lets a paused node go on: it reads what has arrived by kind, in this order, then the rest.
    pub fn resume_in_order(&mut self, id: u32, kinds: &[Kind]) {
        let node = self.index(id);
        let place = |kind| kinds.iter().position(|k| *k == kind).unwrap_or(kinds.len());
        let Some(machine) = self.nodes[node].machine.as_mut().filter(|m| m.paused) else { return };
        machine.inbox.make_contiguous().sort_by_key(|datagram| place(datagram.kind));
        machine.keep_order = true;
        self.resume(id, Backlog::Kept, false);
    }

    /// The kinds of the datagrams in a node's receive buffer.
    #[must_use]
    pub fn waiting(&self, id: u32) -> Vec<Kind> {
        let machine = self.nodes[self.index(id)].machine.as_ref();
        machine.map_or_else(Vec::new, |machine| machine.inbox.iter().map(|d| d.kind).collect())
    }

    /// Lets every paused node go on.
    pub fn resume_all(&mut self) {
        (1..=self.len()).for_each(|id| self.resume(id, Backlog::Kept, false));
    }

    /// Nothing passes from one node to another.
    pub fn cut_one_way(&mut self, from: u32, to: u32) {
        let (from, to) = (self.index(from), self.index(to));
        self.network.open(from, to, false);
        self.faults.count(Fault::CutOneWay);
        self.tell(from, &format_args!("is cut off from {}", to + 1));
    }

    /// Nothing passes between two nodes.
    pub fn cut(&mut self, one: u32, two: u32) {
        let (one, two) = (self.index(one), self.index(two));
        self.network.open(one, two, false);
        self.network.open(two, one, false);
        self.faults.count(Fault::CutPair);
        self.tell(one, &format_args!("and {} are cut off from each other", two + 1));
    }

    /// No datagram larger than this passes from one node to another.
    pub fn cut_large(&mut self, from: u32, to: u32, bytes_max: usize) {
        let (from, to) = (self.index(from), self.index(to));
        self.network.bytes_max(from, to, bytes_max);
        self.faults.count(Fault::CutLarge);
        self.tell(from, &format_args!("loses datagrams over {bytes_max} bytes to {}", to + 1));
    }

    /// So many datagrams from one node to another are lost, in parts per million.
    pub fn lossy(&mut self, from: u32, to: u32, ppm: u32) {
        let (from, to) = (self.index(from), self.index(to));
        self.network.lossy(from, to, ppm);
        self.faults.count(Fault::Lossy);
        self.tell(from, &format_args!("loses {ppm} ppm to {}", to + 1));
    }

    /// Everything from one node to another takes longer by this.
    pub fn slow(&mut self, from: u32, to: u32, by: Nanos) {
        let (from, to) = (self.index(from), self.index(to));
        self.network.slow(from, to, by);
        self.faults.count(Fault::Slow);
        self.tell(from, &format_args!("is slower by {} us to {}", by / 1_000, to + 1));
    }

    /// Parts the nodes: they hear each other exactly if they are on the same side. A node that is
    /// on no side hears nobody.
    pub fn partition(&mut self, sides: &[&[u32]]) {
        let side = |id: u32| sides.iter().position(|side| side.contains(&id));
        for one in 1..=self.len() {
            for two in 1..=self.len() {
                let together = side(one).is_some() && side(one) == side(two);
                let (from, to) = (self.index(one), self.index(two));
                self.network.open(from, to, together);
            }
        }
        self.faults.count(Fault::Partition);
        self.note(&format!("-- partition {sides:?}"));
    }

    /// Opens every path: sides merge.
    pub fn heal(&mut self) {
        self.network.heal();
        self.faults.count(Fault::Merge);
        self.note("-- every path is open");
    }

    /// From here on all links behave like this.
    pub fn weather(&mut self, weather: Weather) {
        if self.trace.is_shown() {
            self.note(&format!("-- {weather:?}"));
        }
        self.network.weather = weather;
        self.faults.count(Fault::Weather);
    }

    /// Strikes certain datagrams.
    pub fn aim(&mut self, aim: Aim) {
        self.network.aim(aim);
    }

    /// The regular configuration in which a node is now: its ring and how many members it has.
    #[must_use]
    pub fn configuration(&self, id: u32) -> Option<(evs_model::RingId, usize)> {
        let ring = self.nodes[self.index(id)].machine.as_ref()?.service.ring();
        if ring.state() != totem::StateKind::Operational {
            return None;
        }
        Some((ring.ring_id()?, ring.members()?.len()))
    }

    /// Whether all nodes that are up are operational in one ring that holds nobody else.
    #[must_use]
    pub fn is_one_ring(&self) -> bool {
        let up: Vec<u32> = (1..=self.len()).filter(|id| self.is_up(*id)).collect();
        let mut rings = up.iter().map(|id| self.configuration(*id));
        let Some(first) = rings.next() else { return true };
        first.is_some_and(|(_, members)| members == up.len()) && rings.all(|ring| ring == first)
    }

    /// How long the nodes that are up need to send what they have accepted, at the least that
    /// each may send in a rotation of a quiet network.
    #[must_use]
    pub fn draining_time(&self) -> Nanos {
        let options = &self.options;
        let nodes = u64::from(self.len());
        let hop = self.network.weather.delay
            + self.network.weather.jitter
            + options.reading_delay
            + options.timer_delay;
        let window = u64::from(options.window_packets) / nodes;
        let visit = window.min(options.backlog_packets_max as u64).max(1);
        let machines = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        let owed = machines.map(|machine| machine.owed_packets).max().unwrap_or(0);
        owed.div_ceil(visit) * nodes * hop
    }

    /// The index of a node.
    ///
    /// # Panics
    /// If there is no such node: the caller's mistake.
    pub(super) fn index(&self, id: u32) -> usize {
        assert!((1..=self.len()).contains(&id), "there is no node {id}");
        id as usize - 1
    }
}
