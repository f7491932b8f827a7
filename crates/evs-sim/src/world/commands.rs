//! What can be done to the nodes of a world: start, crash, pause, leave, and what happens to their
//! disks and clocks. Each is one line of a script and one move of the chaos; what can be done to
//! the paths between them is in [`super::links`], to clients in [`super::clients`].
//!
//! Nodes are named by their ids, from 1. A command that does not fit (pausing a node that is down)
//! does nothing.

use std::time::Duration;

use evs_model::{NodeId, Processor};
use evs_net::{ClusterKey, Detection, Endpoint, EndpointConfig, LinkTerms, SealMode};
use evs_service::Service;

use super::ambush::Mend;
use super::faults::Fault;
use super::machine::Machine;
use super::{Event, Kind, Nanos, Noted, Origins, World};
use crate::history::End;

/// What a node finds on its disk when it starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disk {
    /// What it had stored.
    Kept,
    /// What it had stored so many writes earlier.
    Older(u32),
    /// Nothing: a new disk.
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

/// Datagrams that every receive buffer holds at least when the faults have stopped.
const INBOX_CALM: usize = 4_096;

impl World {
    /// Starts a node that is down.
    pub fn start(&mut self, id: u32, disk: Disk) {
        let node = self.index(id);
        if self.nodes[node].machine.is_some() {
            return;
        }
        match disk {
            Disk::Kept => {}
            Disk::Older(writes) => self.nodes[node].disk.roll_back(writes),
            Disk::RolledBack => self.nodes[node].disk.set_back(),
            Disk::Wiped => self.nodes[node].disk.wipe(self.options.origins.ring),
        }
        self.boots += 1;
        let incarnation = self.nodes[node].births.u64(..);
        let processor = Processor::new(self.nodes[node].id, incarnation);
        let stored_by = self.nodes[node].disk.by;
        let view = self.recorder.birth(processor, stored_by);
        let machine = self.boot(node, processor, view);
        self.nodes[node].machine = Some(machine);
        self.disturb();
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
            packet_bytes_max: options.packet_bytes_max,
            links: vec![LinkTerms::PLAIN; options.links],
        };
        let origins = options.origins;
        let service = evs_service::Config {
            totem: totem::Config {
                detection,
                packet_bytes_max: options.packet_bytes_max,
                window_packets: options.window_packets,
                window_bytes: options.window_bytes,
                backlog_packets_max: options.backlog_packets_max,
                accelerated_packets: options.accelerated_packets,
                origins: totem::Origins {
                    seq: origins.seq,
                    token: origins.token,
                    row: origins.row,
                    join: origins.join,
                    sequenced: origins.sequenced,
                    cut: origins.cut,
                },
                ..totem::Config::default()
            },
            client_send_bytes_max: options.client_send_bytes_max,
            origins: evs_service::Origins { client: origins.client, message: origins.message },
            ..evs_service::Config::default()
        };
        let stored = self.nodes[node].disk.seq;
        let births = &mut self.nodes[node].births;
        let seeds = (births.u64(..), births.u64(..));
        let endpoint = Endpoint::new(endpoint, seeds.0, now)
            .with_counters_used(origins.sealed)
            .with_traffic_counted(origins.counted);
        Machine {
            boot: self.boots,
            endpoint,
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
            mute: false,
            stored,
            observer: None,
            clients: std::collections::BTreeMap::new(),
            too_slow: Vec::new(),
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
    pub fn detection(&mut self, id: u32, target: Duration) {
        let node = self.index(id);
        self.nodes[node].detection = Some(target);
        self.calm.retarget(target);
        self.disturb();
    }

    /// A node that runs has this detection target from now on.
    pub fn set_detection(&mut self, id: u32, target: Duration) {
        let node = self.index(id);
        let now = self.nodes[node].clock.local(self.now);
        let common = self.options.detection;
        let Some(machine) = self.nodes[node].awake() else { return };
        machine.endpoint.set_detection(now, target).expect("targets are within their range");
        machine.service.set_detection(now, target).expect("targets are within their range");
        self.nodes[node].detection = (target != common).then_some(target);
        self.calm.retarget(target);
        self.faults.count(Fault::Retarget);
        self.disturb();
        self.tell(node, &format_args!("has a detection target of {target:?}"));
        self.after(node);
    }

    /// Every node has the detection target of the world again, now or when it starts.
    pub fn common_detection(&mut self) {
        for id in 1..=self.len() {
            let node = self.index(id);
            if self.nodes[node].detection.is_some() {
                self.set_detection(id, self.options.detection);
                self.nodes[node].detection = None;
            }
        }
    }

    /// From here on a node takes so long over each datagram that it reads: a slow processor.
    pub fn effort(&mut self, id: u32, each: Nanos) {
        let node = self.index(id);
        self.nodes[node].effort = each;
        self.disturb();
        self.tell(node, &format_args!("takes {} us for a datagram", each / 1_000));
    }

    /// What a node that is up is made of; nothing if it is down.
    #[must_use]
    pub fn service(&self, id: u32) -> Option<&Service> {
        self.nodes[self.index(id)].machine.as_ref().map(|machine| &machine.service)
    }

    /// A node's end of the network; nothing if it is down.
    #[must_use]
    pub fn endpoint(&self, id: u32) -> Option<&Endpoint> {
        self.nodes[self.index(id)].machine.as_ref().map(|machine| &machine.endpoint)
    }

    /// Stops all nodes, gives them new disks and starts them with all counters at nothing: what a
    /// counter at its end asks for, and the end of what is refused.
    pub fn renew(&mut self) {
        self.note("-- every node begins anew");
        self.options.origins = Origins::default();
        (1..=self.len()).for_each(|id| self.crash(id));
        (1..=self.len()).for_each(|id| self.start(id, Disk::Wiped));
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
        self.options.ambush_ppm = 0;
        self.disturb();
        self.traps.clear();
        for node in &mut self.nodes {
            node.effort = 0;
            node.inbox_max = node.inbox_max.max(INBOX_CALM);
            if let Some(machine) = &mut node.machine {
                machine.fuse = None;
            }
        }
    }

    /// The receive buffer of a node holds so many datagrams from now on.
    pub fn buffer(&mut self, id: u32, datagrams: usize) {
        let node = self.index(id);
        self.nodes[node].inbox_max = datagrams;
        self.disturb();
        self.faults.count(Fault::SmallBuffer);
        self.tell(node, &format_args!("has room for {datagrams} datagrams"));
    }

    /// A node's disk stands still for so long: what is to be stored waits, and is lost if the
    /// process ends before. `Nanos::MAX`: until [`World::disk_goes_on`].
    pub fn disk_stalls(&mut self, id: u32, time: Nanos) {
        let node = self.index(id);
        self.nodes[node].disk.stalled_until = self.now.saturating_add(time);
        self.faults.count(Fault::DiskStall);
        self.tell(node, &format_args!("has a disk that stalls for {} us", time / 1_000));
    }

    /// A disk that stood still stores what waited.
    pub fn disk_goes_on(&mut self, id: u32) {
        let node = self.index(id);
        let storage = &mut self.nodes[node].disk;
        if storage.stalled_until <= self.now {
            return;
        }
        storage.stalled_until = self.now;
        self.tell(node, &"has a disk that works again");
        let Some(machine) = self.nodes[node].machine.as_ref() else { return };
        let (boot, seq) = (machine.boot, machine.stored);
        self.schedule(self.now, Event::Stored { node, boot, seq });
    }

    /// A node's clock gains so many microseconds in each second from now on.
    pub fn clock_rate(&mut self, id: u32, skew_ppm: i64) {
        let node = self.index(id);
        self.nodes[node].clock.set_rate(self.now, skew_ppm);
        self.faults.count(Fault::ClockRate);
        self.tell(node, &format_args!("has a clock that is off by {skew_ppm} ppm"));
        // What the driver sleeps until comes at another time now.
        self.after(node);
    }

    /// The process is no more.
    pub(super) fn die(&mut self, node: usize, end: End) {
        self.tell(node, &format_args!("ends: {end:?}"));
        self.jot(node, || Noted::Ended(end));
        if matches!(end, End::Left { .. }) {
            self.last_words(node);
        }
        self.disturb();
        if let Some(machine) = self.nodes[node].machine.take() {
            self.coverage.count_packets(machine.service.ring().stats());
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
        self.disturb();
        self.faults.count(Fault::Pause);
        self.tell(node, &"is paused");
    }

    /// Lets a paused node go on; `timers_first` against the driver's contract.
    pub fn resume(&mut self, id: u32, backlog: Backlog, timers_first: bool) {
        let node = self.index(id);
        let Some(machine) = self.nodes[node].machine.as_mut().filter(|m| m.paused) else { return };
        machine.paused = false;
        machine.timers_first = timers_first;
        self.spans.disturbed = true;
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

    /// Stops a node's process for so long.
    pub fn pause_for(&mut self, id: u32, time: Nanos) {
        self.pause(id);
        let node = self.index(id);
        let timers_first = self.rng.bool();
        if let Some(machine) = self.nodes[node].machine.as_ref().filter(|machine| machine.paused) {
            let mend = Mend::Resume { node, boot: machine.boot, timers_first };
            self.schedule(self.now.saturating_add(time), Event::Mend(mend));
        }
    }

    /// Lets every paused node go on.
    pub fn resume_all(&mut self) {
        (1..=self.len()).for_each(|id| self.resume(id, Backlog::Kept, false));
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

    /// How long the longest hold-down of a peer still lasts: because its path flaps, or because it
    /// was heard and did not join.
    #[must_use]
    pub fn held_down_for(&self) -> Nanos {
        let machines = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        let held = |machine: &Machine| {
            machine.endpoint.held_down_for().max(machine.service.ring().left_out_for())
        };
        let longest = machines.map(held).max();
        // A clock may run slower than the world's.
        longest.map_or(0, |held| u64::try_from(held.as_nanos()).unwrap_or(u64::MAX) / 4 * 5)
    }

    /// The detection target in force at a node, as it publishes it.
    #[must_use]
    pub fn target_in_force(&self, id: u32) -> Option<Detection> {
        let machine = self.nodes[self.index(id)].machine.as_ref()?;
        let rotation = Duration::from_nanos(machine.service.ring().stats().rotation_ns);
        Some(machine.endpoint.detection().with_rotation(rotation))
    }

    /// The ids of the members of the ring in which a node is now; none if it is in none.
    #[must_use]
    pub fn members(&self, id: u32) -> Vec<u32> {
        let machine = self.nodes[self.index(id)].machine.as_ref();
        let ring = machine.map(|machine| machine.service.ring());
        let ring = ring.filter(|ring| ring.state() == totem::StateKind::Operational);
        let members = ring.and_then(|ring| ring.members());
        members.into_iter().flatten().map(|member| member.node.get()).collect()
    }

    /// The state of a node's membership protocol, if the node is up.
    #[must_use]
    pub fn state(&self, id: u32) -> Option<totem::StateKind> {
        Some(self.service(id)?.ring().state())
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
    /// each may send in a rotation of a quiet network: the window is a sixteenth of the largest
    /// where something was lost, and grows by a 256th in each rotation that fills it and loses
    /// nothing (`docs/protocol.md` §4).
    #[must_use]
    pub fn draining_time(&self) -> Nanos {
        let options = &self.options;
        let nodes = u64::from(self.len());
        let hop = self.network.weather.delay
            + self.network.weather.jitter
            + options.reading_delay
            + options.timer_delay;
        let packets = options.window_bytes as usize / options.packet_bytes_max;
        let largest = u64::from(options.window_packets).min(packets as u64);
        let visit_max = options.backlog_packets_max as u64;
        let machines = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        let mut owed = machines.map(|machine| machine.owed_packets).max().unwrap_or(0);
        let is_lossy = self.network.weather.loss_ppm.iter().any(|loss| *loss > 0);
        let mut rotations = 0;
        while owed > 0 {
            let growth = if is_lossy { 0 } else { rotations };
            let window = (largest * (16 + growth) / 256).min(largest);
            owed = owed.saturating_sub((window / nodes).min(visit_max).max(1));
            rotations += 1;
        }
        rotations * nodes * hop
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
