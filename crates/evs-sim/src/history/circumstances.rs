//! What was done to the world while a history was recorded: who could hear whom, and when that
//! changed. Without it a history shows safety only.

use std::collections::BTreeMap;

use evs_model::{Members, Processor};

use crate::bounds::Bounds;

/// Nanoseconds since the recording began.
pub type Time = u64;

/// The circumstances of a whole recording.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// What may take how long.
    pub bounds: Bounds,
    /// Over how many links everybody talks.
    pub links: usize,
    /// Stretches of time in which nothing was done to the world, in order and without gaps.
    pub spans: Vec<Span>,
    /// When the recording ended.
    pub end: Time,
    /// How patient the processors were then.
    pub patience: Patience,
    /// When everything had to be settled, if the faults stopped: there must be something to judge.
    pub settled: Option<Time>,
}

/// A stretch of time in which nothing was done to the world.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Span {
    /// When it began.
    pub from: Time,
    /// Until when somebody is held down for what happened before; no earlier than it began.
    pub held: Time,
    /// How patient the processors were when it began.
    pub patience: Patience,
    /// Every processor that is up, with those that it hears and that hear it: packets of the safe
    /// size pass both ways. (A path that takes smaller ones only is a disturbance in which nothing
    /// is judged: what becomes of it depends on whether there is data; see
    /// `crates/evs-sim/tests/deaf.rs`.)
    pub hears: BTreeMap<Processor, Members>,
    /// Processors that are awake and get nothing of some others that are up, with those.
    pub deaf: BTreeMap<Processor, Members>,
    /// Processors that are up and stand still.
    pub stopped: Members,
    /// Whether the network loses nothing and delays nothing beyond its own delay.
    pub still: bool,
    /// Whether loss, delay, duplication and reordering are within the limits in which they are no
    /// faults (LIVE-6).
    pub fair: bool,
}

/// By how much some processor's effective detection target is above the setting, because hellos
/// were late before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Patience {
    /// What the processors say.
    pub told: Time,
    /// For how long nothing was done to the world that can make a hello late.
    pub calm: Time,
}

impl Patience {
    /// What they say, as far as what was done to the world explains it.
    #[must_use]
    pub fn believed(&self, bounds: &Bounds) -> Time {
        self.told.min(bounds.patience(self.calm))
    }
}

impl Circumstances {
    /// Every span with its end.
    pub fn spans(&self) -> impl Iterator<Item = (&Span, Time)> {
        let ends = self.spans.iter().skip(1).map(|next| next.from).chain([self.end]);
        self.spans.iter().zip(ends)
    }

    /// How patient the processors said they were, and when.
    pub fn patience(&self) -> impl Iterator<Item = (Time, Patience)> {
        let told = self.spans.iter().map(|span| (span.from, span.patience));
        told.chain([(self.end, self.patience)])
    }
}

impl Span {
    /// Whether these two hear each other.
    #[must_use]
    pub fn edge(&self, one: Processor, two: Processor) -> bool {
        self.hears.get(&one).is_some_and(|hears| one == two || hears.contains(two))
    }

    /// Whether all of these hear each other.
    #[must_use]
    pub fn is_clique(&self, set: &Members) -> bool {
        set.iter().all(|one| set.iter().all(|two| self.edge(one, two)))
    }

    /// Who is joined to this processor by a chain of those that hear each other.
    #[must_use]
    pub fn component(&self, of: Processor) -> Members {
        let mut found = Members::singleton(of);
        let mut open = vec![of];
        while let Some(next) = open.pop() {
            for near in self.hears.get(&next).into_iter().flatten() {
                if found.insert(near) == Ok(true) {
                    open.push(near);
                }
            }
        }
        found
    }
}
