//! What happened at the nodes, in order of time: what scripts measure, and write transcripts of.

use evs_model::{Event, Processor};
use totem::{Cause, StateKind};

use super::{Nanos, World};
use crate::history::End;

/// Something that happened at one node.
#[derive(Clone, Debug)]
pub struct Note {
    /// When.
    pub at: Nanos,
    /// At which process.
    pub processor: Processor,
    /// What.
    pub what: Noted,
}

/// What is noted.
#[derive(Clone, Debug)]
pub enum Noted {
    /// The process began.
    Started,
    /// The process ended.
    Ended(End),
    /// The state of its membership protocol changed.
    Moved {
        /// The state that ended.
        from: StateKind,
        /// The state that began.
        to: StateKind,
        /// Why.
        cause: Cause,
    },
    /// The client that is in every group saw this.
    Saw(Event),
}

impl World {
    /// From here on what happens is noted.
    pub fn keep_journal(&mut self) {
        self.journal.get_or_insert_default();
    }

    /// What was noted so far.
    #[must_use]
    pub fn journal(&self) -> &[Note] {
        self.journal.as_deref().unwrap_or_default()
    }

    pub(super) fn jot(&mut self, node: usize, what: impl FnOnce() -> Noted) {
        let Some(journal) = &mut self.journal else { return };
        let Some(machine) = &self.nodes[node].machine else { return };
        let processor = machine.service.ring().me();
        journal.push(Note { at: self.now, processor, what: what() });
    }
}
