//! Scenarios with a name: a world on a quiet network in which only what the script says goes wrong.
//!
//! ```
//! use evs_model::Guarantee::Safe;
//! use evs_sim::world::World;
//!
//! World::script(3).send(1, Safe, 5).cut(1, 3).run_for(2_000).heal().finish();
//! ```

mod moments;
mod transcript;
mod words;

use std::collections::BTreeMap;

use evs_model::{Groups, Guarantee};

pub use moments::is_ring_of;
pub use transcript::Detail;

use crate::body::body;
use crate::checker::{Judged, check, violations};
use crate::history::{Entry, History};
use crate::run::settle;
use crate::workload::Workload;
use crate::world::{Nanos, Options, Session, World};

const MS: Nanos = 1_000_000;

/// A world and what the script has done to it. Times are in milliseconds of simulated time.
#[derive(Debug)]
pub struct Script {
    world: World,
    clients: BTreeMap<u32, Session>,
    tag: u64,
    /// Where its transcript begins.
    from: usize,
}

impl World {
    /// A world of so many nodes, started and in one ring.
    ///
    /// # Panics
    /// If they do not find each other.
    #[must_use]
    pub fn script(nodes: u32) -> Script {
        let mut script = Script::cold(Options::fair(1, nodes));
        script.world.start_all();
        script.until_one_ring(5_000);
        script
    }
}

impl Script {
    /// A world in which nothing has started.
    #[must_use]
    pub fn cold(options: Options) -> Self {
        let mut world = World::new(options, None);
        world.keep_journal();
        Self { world, clients: BTreeMap::new(), tag: 0, from: 0 }
    }

    /// The world as it is.
    #[must_use]
    pub const fn world_seen(&self) -> &World {
        &self.world
    }

    /// The world, for what the script has no word for.
    pub const fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// What applications have seen so far.
    #[must_use]
    pub const fn history(&self) -> &History {
        self.world.history()
    }

    /// The detection target of all nodes, in nanoseconds.
    #[must_use]
    pub fn detection(&self) -> Nanos {
        u64::try_from(self.world.options().detection.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Lets time pass.
    pub fn run_for(&mut self, ms: Nanos) -> &mut Self {
        self.world.run_for(ms * MS);
        self
    }

    /// Lets time pass until all nodes that are up are in one ring.
    ///
    /// # Panics
    /// If that takes longer than this.
    #[track_caller]
    pub fn until_one_ring(&mut self, ms: Nanos) -> &mut Self {
        let end = self.world.now() + ms * MS;
        while !self.world.is_one_ring() {
            assert!(self.world.now() < end, "not in one ring within {ms} ms");
            self.world.run_for(MS);
        }
        self
    }

    /// A client of this node, in group `g`, sends so many messages of 100 bytes.
    ///
    /// # Panics
    /// If one is not accepted.
    #[track_caller]
    pub fn send(&mut self, id: u32, guarantee: Guarantee, count: u32) -> &mut Self {
        (0..count).for_each(|_| self.send_bytes(id, guarantee, 100));
        self
    }

    /// The same client sends one message of this size.
    ///
    /// # Panics
    /// If it is not accepted.
    #[track_caller]
    pub fn send_one(&mut self, id: u32, guarantee: Guarantee, bytes: usize) -> &mut Self {
        self.send_bytes(id, guarantee, bytes);
        self
    }

    #[track_caller]
    fn send_bytes(&mut self, id: u32, guarantee: Guarantee, bytes: usize) {
        assert!(self.try_send(id, guarantee, bytes), "node {id} did not accept a message");
    }

    /// As [`Script::send_one`], if the node takes clients and has room. Returns whether it did.
    pub fn try_send(&mut self, id: u32, guarantee: Guarantee, bytes: usize) -> bool {
        let Some(session) = self.client(id) else { return false };
        self.tag += 1;
        let groups = Groups::new(&World::groups()[..1]).expect("one group is within the limit");
        let sent = self.world.send(session, guarantee, &groups, &body(self.tag, bytes));
        matches!(sent, crate::world::Sent::Accepted(_))
    }

    /// Fills the queue of the same client with messages of this size.
    pub fn flood(&mut self, id: u32, guarantee: Guarantee, bytes: usize) -> &mut Self {
        while self.try_send(id, guarantee, bytes) {}
        self
    }

    /// The bytes that each of these nodes originates while their clients send without end, each
    /// messages of its size, for so many milliseconds.
    pub fn saturate(&mut self, senders: &[(u32, usize)], ms: Nanos) -> Vec<u64> {
        let sent = |script: &Self| {
            let ring = |id| script.world.service(id).map(evs_service::Service::ring);
            let bytes = senders.iter().map(|(id, _)| ring(*id).map(|r| r.stats().originated_bytes));
            bytes.map(Option::unwrap_or_default).collect::<Vec<u64>>()
        };
        let before = sent(self);
        for _ in 0..ms {
            for (id, bytes) in senders {
                self.flood(*id, Guarantee::Agreed, *bytes);
            }
            self.run_for(1);
        }
        sent(self).iter().zip(before).map(|(sent, before)| sent - before).collect()
    }

    /// How long it takes, in nanoseconds, until these nodes have delivered a message that a client
    /// of this node sends now.
    ///
    /// # Panics
    /// If it takes a second.
    #[track_caller]
    pub fn latency(&mut self, id: u32, guarantee: Guarantee, at: &[u32]) -> Nanos {
        let count = |script: &Self| at.iter().map(|id| script.delivered(*id)).collect::<Vec<_>>();
        let (begin, before) = (self.world.now(), count(self));
        self.send(id, guarantee, 1);
        while count(self).iter().zip(&before).any(|(now, before)| now == before) {
            let happened = self.world.step(begin + 1_000 * MS);
            assert!(happened, "it is not delivered within a second");
        }
        self.world.now() - begin
    }

    /// Every node sends, now messages of this size and now small ones, while so many milliseconds
    /// pass. Returns the longest time in which some node delivered nothing, in nanoseconds.
    pub fn longest_stall(&mut self, nodes: u32, ms: u64, bytes: usize) -> Nanos {
        let ids: Vec<u32> = (1..=nodes).collect();
        let mut seen: Vec<(usize, Nanos)> =
            ids.iter().map(|id| (self.delivered(*id), self.world.now())).collect();
        let mut longest = 0;
        for turn in 0..ms {
            for id in &ids {
                let bytes = if turn % 2 == 0 { bytes } else { 100 };
                let guarantee = if turn % 4 < 2 { Guarantee::Agreed } else { Guarantee::Safe };
                let _ = self.try_send(*id, guarantee, bytes);
            }
            self.run_for(1);
            let now = self.world.now();
            for (id, (count, at)) in ids.iter().zip(&mut seen) {
                let delivered = self.delivered(*id);
                longest = longest.max(now - *at);
                if delivered > *count {
                    (*count, *at) = (delivered, now);
                }
            }
        }
        longest
    }

    /// The client of this node, in group `g`; `None` if the node takes none now.
    fn client(&mut self, id: u32) -> Option<Session> {
        let known = self.clients.get(&id).copied().filter(|session| self.world.is_alive(*session));
        let session = known.or_else(|| {
            let session = self.world.connect(id)?;
            self.world.join(session, &World::groups()[..1]);
            Some(session)
        })?;
        self.clients.insert(id, session);
        Some(session)
    }

    /// How many configurations, regular and transitional, the present process of a node delivered.
    #[must_use]
    pub fn configurations(&self, id: u32) -> usize {
        let view = self.history().views.iter().rfind(|view| view.processor.node.get() == id);
        view.map_or(0, |view| {
            view.entries.iter().filter(|e| matches!(e, Entry::Configuration(_))).count()
        })
    }

    /// How many regular configurations the present process of a node delivered.
    #[must_use]
    pub fn regular_configurations(&self, id: u32) -> usize {
        let view = self.history().views.iter().rfind(|view| view.processor.node.get() == id);
        let regular = |entry: &&Entry| {
            matches!(entry, Entry::Configuration(evs_model::Configuration::Regular { .. }))
        };
        view.map_or(0, |view| view.entries.iter().filter(regular).count())
    }

    /// How many messages the present process of a node delivered.
    #[must_use]
    pub fn delivered(&self, id: u32) -> usize {
        let view = self.history().views.iter().rfind(|view| view.processor.node.get() == id);
        view.map_or(0, |view| {
            view.entries.iter().filter(|e| matches!(e, Entry::Delivered(_))).count()
        })
    }

    /// The end of every script: the faults stop, the world has to settle, and the whole history is
    /// held against the contract.
    ///
    /// # Panics
    /// If it breaks it.
    #[track_caller]
    pub fn finish(&mut self) -> Judged {
        self.finish_after(5_000)
    }

    /// The same; nothing may change for so many milliseconds once everything has settled.
    ///
    /// # Panics
    /// As [`Script::finish`].
    #[track_caller]
    pub fn finish_after(&mut self, quiet_ms: Nanos) -> Judged {
        self.world.disarm();
        self.world.heal();
        let weather = self.world.options().weather.clone();
        self.world.weather(weather);
        self.world.resume_all();
        let mut workload = Workload::draw(self.world.options());
        settle(&mut self.world, &mut workload, quiet_ms * MS);
        if let Some(stop) = self.world.stopped() {
            panic!("{stop}");
        }
        let history = self.world.conclude();
        // One defect often breaks several properties.
        let found: Vec<String> = violations(history).iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
        check(history).expect("nothing is violated")
    }
}
