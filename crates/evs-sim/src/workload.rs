//! What the clients of a run do: connect, join, send all kinds of messages, leave, go away.

use std::collections::BTreeMap;

use evs_model::{Group, Groups, Guarantee};

use crate::body::body;
use crate::selection::{FaultId, Source, stream};
use crate::world::{Fault, Nanos, Options, Sent, Session, World};

/// The largest message.
pub(crate) const MESSAGE_BYTES_MAX: usize = 200_000;

/// The clients of one run.
#[derive(Debug)]
pub struct Workload {
    seed: u64,
    /// When something is done.
    times: fastrand::Rng,
    /// What the present act is like.
    rng: fastrand::Rng,
    acts: u32,
    probes: u32,
    clients: BTreeMap<Session, Vec<Group>>,
    clients_max: usize,
    interval: Nanos,
    burst_max: u32,
    packet_bytes: usize,
    /// How many of 16 messages are of several packets; how many of 256 are very large.
    large: (u32, u32),
    guarantees: Vec<Guarantee>,
    next: Nanos,
    tag: u64,
    messages_left: u32,
    bytes_left: usize,
}

const ALL_GUARANTEES: [Guarantee; 4] =
    [Guarantee::Unordered, Guarantee::Fifo, Guarantee::Agreed, Guarantee::Safe];

impl Workload {
    /// What the world's seed says.
    #[must_use]
    pub fn draw(options: &Options) -> Self {
        let mut rng = fastrand::Rng::with_seed(options.seed ^ 0x636c_6965_6e74_7321);
        let detection = u64::try_from(options.detection.as_nanos()).unwrap_or(u64::MAX);
        let guarantees = match rng.u32(0..4) {
            0 => vec![ALL_GUARANTEES[rng.usize(0..4)]],
            1 => vec![Guarantee::Agreed, Guarantee::Safe],
            _ => ALL_GUARANTEES.to_vec(),
        };
        Self {
            clients: BTreeMap::new(),
            clients_max: rng.usize(1..=12),
            interval: detection / [10, 50, 200, 1_000][rng.usize(0..4)],
            burst_max: [1, 1, 10, 60][rng.usize(0..4)],
            packet_bytes: options.packet_bytes_max,
            large: ([0, 1, 8][rng.usize(0..3)], [0, 1][rng.usize(0..2)]),
            guarantees,
            next: 0,
            tag: 0,
            messages_left: 3_000,
            bytes_left: 4 << 20,
            seed: options.seed,
            times: rng.clone(),
            rng,
            acts: 0,
            probes: 0,
        }
    }

    /// When a client does something next.
    #[must_use]
    pub const fn next(&self) -> Nanos {
        self.next
    }

    /// One client does something.
    pub fn act(&mut self, world: &mut World) {
        self.clients.retain(|session, _| world.is_alive(*session));
        self.acts += 1;
        let id = FaultId { source: Source::Act, ordinal: self.acts };
        self.rng = id.stream(self.seed);
        world.strike(id, &"a client", |world| self.act_now(world));
        self.next = world.now() + self.times.u64(1..=self.interval * 2);
    }

    fn act_now(&mut self, world: &mut World) {
        let count = self.clients.len();
        if count == 0 || (count < self.clients_max && self.rng.u32(0..10) == 0) {
            self.connect(world);
        } else {
            let chosen = self.rng.usize(0..count);
            if let Some(session) = self.clients.keys().nth(chosen).copied() {
                match self.rng.u32(0..100) {
                    0..2 => self.disconnect(world, session),
                    2 => self.kill(world, session),
                    3..8 => self.join(world, session),
                    8..13 => self.leave(world, session),
                    13..15 => world.stall(session),
                    15..18 => world.read(session),
                    _ => self.send_burst(world, session),
                }
            }
        }
    }

    fn connect(&mut self, world: &mut World) {
        let id = self.rng.u32(1..=world.len());
        if let Some(session) = world.connect(id) {
            self.clients.insert(session, Vec::new());
            if self.rng.u32(0..5) > 0 {
                self.join(world, session);
            }
        }
    }

    fn disconnect(&mut self, world: &mut World, session: Session) {
        self.clients.remove(&session);
        world.disconnect(session);
        world.count(Fault::ClientGone);
    }

    fn kill(&mut self, world: &mut World, session: Session) {
        self.clients.remove(&session);
        world.kill(session);
    }

    fn join(&mut self, world: &mut World, session: Session) {
        let groups = self.groups(1..=3);
        if world.join(session, &groups) {
            self.clients.entry(session).or_default().extend(groups);
        }
    }

    fn leave(&mut self, world: &mut World, session: Session) {
        let Some(joined) = self.clients.get_mut(&session) else { return };
        if joined.is_empty() {
            return;
        }
        let chosen = self.rng.usize(0..joined.len());
        if world.leave_groups(session, &[joined[chosen]]) {
            joined.swap_remove(chosen);
        }
    }

    fn send_burst(&mut self, world: &mut World, session: Session) {
        for _ in 0..self.rng.u32(1..=self.burst_max) {
            if self.messages_left == 0 || world.waits_for_room(session) {
                return;
            }
            let guarantee = self.guarantees[self.rng.usize(0..self.guarantees.len())];
            let bytes = self.bytes();
            if bytes > self.bytes_left || self.send(world, session, guarantee, bytes).is_none() {
                return;
            }
        }
    }

    /// Returns nothing if the message was not accepted.
    fn send(
        &mut self,
        world: &mut World,
        session: Session,
        guarantee: Guarantee,
        bytes: usize,
    ) -> Option<()> {
        let groups = self.groups(1..=2);
        let groups = Groups::new(&groups).ok()?;
        self.tag += 1;
        match world.send(session, guarantee, &groups, &body(self.tag, bytes)) {
            Sent::Accepted(_) => {
                self.messages_left = self.messages_left.saturating_sub(1);
                self.bytes_left = self.bytes_left.saturating_sub(bytes);
                Some(())
            }
            Sent::Full | Sent::Refused => None,
        }
    }

    /// Small in most cases; now and then at the edge of a packet, of several packets, very large.
    fn bytes(&mut self) -> usize {
        if self.rng.u32(0..256) < self.large.1 {
            return self.rng.usize(20_000..=MESSAGE_BYTES_MAX);
        }
        if self.rng.u32(0..16) < self.large.0 {
            let packets = self.rng.usize(1..=4) * self.packet_bytes;
            return packets.saturating_sub(self.rng.usize(0..=120));
        }
        [0, 1, 16, 64, 300][self.rng.usize(0..5)]
    }

    fn groups(&mut self, count: std::ops::RangeInclusive<usize>) -> Vec<Group> {
        let count = self.rng.usize(count);
        (0..count).map(|_| World::groups()[self.rng.usize(0..5)]).collect()
    }

    /// One new client on each node that is up sends one message of each guarantee.
    pub fn probe(&mut self, world: &mut World) {
        self.probes += 1;
        self.rng = stream(self.seed, 'q', self.probes);
        for id in 1..=world.len() {
            let Some(session) = world.connect(id) else { continue };
            self.clients.insert(session, Vec::new());
            self.join(world, session);
            for guarantee in ALL_GUARANTEES {
                let _ = self.send(world, session, guarantee, 100);
            }
        }
    }

    /// A client that was refused for want of room and never told that there is some.
    #[must_use]
    pub fn forgotten(&self, world: &World) -> Option<Session> {
        self.clients.keys().copied().find(|session| world.waits_for_room(*session))
    }
}
