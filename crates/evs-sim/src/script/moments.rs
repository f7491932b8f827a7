//! Words of scripts that wait for a moment, or strike at one.

use totem::StateKind;

use super::{MS, Script};
use crate::script::transcript::{Detail, transcript};
use crate::world::{Disk, Moment, Nanos, Options, Snare, World};

impl Script {
    /// A world of this kind, with all nodes started and in one ring.
    ///
    /// # Panics
    /// If they do not find each other.
    #[must_use]
    #[track_caller]
    pub fn warm(options: Options) -> Self {
        let mut script = Self::cold(options);
        script.world.start_all();
        script.until_one_ring(20_000);
        script
    }

    /// Lets things happen, one by one, until this is so.
    ///
    /// # Panics
    /// If it is not within so many milliseconds.
    #[track_caller]
    pub fn until(&mut self, ms: Nanos, what: impl Fn(&World) -> bool) -> &mut Self {
        let end = self.world.now() + ms * MS;
        while !what(&self.world) {
            let happened = self.world.step(end);
            assert!(happened, "it is not so within {ms} ms");
        }
        self
    }

    /// Lets things happen until a node is in this state.
    ///
    /// # Panics
    /// If it is not within a minute.
    #[track_caller]
    pub fn until_in(&mut self, id: u32, state: StateKind) -> &mut Self {
        self.until(60_000, |world| world.state(id) == Some(state))
    }

    /// Lets time pass until all nodes of a set, and no others, are in one ring.
    ///
    /// # Panics
    /// If that takes longer than so many milliseconds.
    #[track_caller]
    pub fn until_ring_of(&mut self, ids: &[u32], ms: Nanos) -> &mut Self {
        self.until(ms, |world| is_ring_of(world, ids))
    }

    /// A node's process ends when it has come to these moments, one after the other.
    pub fn crash_at(&mut self, id: u32, moments: &[Moment]) -> &mut Self {
        self.world.trap(id, moments, Snare::Crash);
        self
    }

    /// A node is cut off from all others when it has come to these moments, one after the other.
    pub fn isolate_at(&mut self, id: u32, moments: &[Moment]) -> &mut Self {
        self.world.trap(id, moments, Snare::Isolate);
        self
    }

    /// A node's process stops when it has come to these moments, one after the other.
    pub fn pause_at(&mut self, id: u32, moments: &[Moment]) -> &mut Self {
        self.world.trap(id, moments, Snare::Pause);
        self
    }

    /// Starts a node that is down, with an old copy of its disk.
    pub fn start_rolled_back(&mut self, id: u32) -> &mut Self {
        self.world.start(id, Disk::RolledBack);
        self
    }

    /// From here on transcripts begin.
    pub fn from_here(&mut self) -> &mut Self {
        self.from = self.world.journal().len();
        self
    }

    /// What applications saw, from where the transcript begins.
    #[must_use]
    pub fn transcript(&self, detail: Detail) -> String {
        transcript(self.world.journal(), self.from, detail)
    }
}

/// Whether these nodes are operational in one ring that holds nobody else.
#[must_use]
pub fn is_ring_of(world: &World, ids: &[u32]) -> bool {
    let mut rings = ids.iter().map(|id| world.configuration(*id));
    let Some(first) = rings.next() else { return true };
    first.is_some_and(|(_, members)| members == ids.len()) && rings.all(|ring| ring == first)
}
