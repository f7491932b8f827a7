//! Which of the faults that were drawn have struck, by their names.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::rc::Rc;

use super::{Nanos, World};
use crate::selection::{FaultId, Source};

/// A fault that has struck.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Struck {
    /// Its name.
    pub id: FaultId,
    /// When.
    pub at: Nanos,
    /// What it was.
    pub what: String,
}

/// `m7       123.456 ms  Crash: 3 ends: Crashed`
impl fmt::Display for Struck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, us) = (self.at / 1_000_000, self.at / 1_000 % 1_000);
        write!(f, "{:<8} {ms:>7}.{us:03} ms  {}", self.id.to_string(), self.what)
    }
}

/// Where it is written down which faults have struck; it outlives a world that panics.
pub type StruckFaults = Rc<RefCell<Vec<Struck>>>;

/// What has struck so far, if anybody wants to know.
#[derive(Debug, Default)]
pub(super) struct StruckList {
    kept: Option<StruckFaults>,
    /// What is told next belongs to the last one.
    open: bool,
}

impl StruckList {
    /// Whether what is told next is of interest.
    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    /// The first thing that is told of a fault says what it was.
    pub(super) fn hear(&mut self, node: Option<u32>, what: &dyn fmt::Display) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let Some(mut kept) = self.kept.as_ref().map(|kept| kept.borrow_mut()) else { return };
        let Some(last) = kept.last_mut() else { return };
        let written = match node {
            Some(node) => write!(last.what, ": {node} {what}"),
            None => write!(last.what, ": {what}"),
        };
        written.expect("a string takes everything");
    }
}

impl World {
    /// From here on it is written down here which faults strike.
    pub fn keep_struck(&mut self, list: StruckFaults) {
        self.struck.kept = Some(list);
        let conditions: Vec<(FaultId, &str)> = self.options.conditions().collect();
        for (id, name) in conditions {
            self.strike(id, &name, |_| {});
        }
    }

    /// A fault strikes, unless it is not selected.
    pub fn strike(&mut self, id: FaultId, what: &dyn fmt::Display, how: impl FnOnce(&mut Self)) {
        if !self.options.selection.strikes(id) {
            return;
        }
        if id.source != Source::Act && self.trace.is_shown() {
            self.note(&format!("-- {id}: {what}"));
        }
        let at = self.now;
        if let Some(kept) = &self.struck.kept {
            kept.borrow_mut().push(Struck { id, at, what: what.to_string() });
            self.struck.open = true;
        }
        how(self);
        self.struck.open = false;
    }
}
