//! Which faults of a failing run it takes to fail: the run is replayed with fewer and fewer of
//! them, as long as it still breaks the same property.
//!
//! Skipping a fault leaves all others as they were drawn ([`crate::selection`]), though the world
//! may answer them otherwise. What is found is minimal in that no single one can be left out.

use std::fmt;

use crate::run::{Asked, Failure, Outcome, replay};
use crate::selection::{FaultId, FaultSet, Selection, Source};
use crate::world::Struck;

/// What a failing run came down to.
#[derive(Clone, Debug)]
pub struct Minimised {
    /// The run with the fewest faults: what it asks for names them.
    pub outcome: Outcome,
    /// The faults that strike in it, and the acts of clients that it takes.
    pub faults: Vec<Struck>,
    /// How many struck in the run that was asked for.
    pub of: usize,
    /// How many runs it took.
    pub attempts: u32,
    /// Whether none of them can be left out; if not, the attempts were used up.
    pub minimal: bool,
}

/// The faults, one a line, and the line that replays them.
impl fmt::Display for Minimised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { outcome, faults, of, attempts, minimal } = self;
        let what = if *minimal { "minimal" } else { "not yet minimal" };
        let count = faults.len();
        writeln!(f, "{what}: {count} of {of} faults and acts, after {attempts} runs")?;
        faults.iter().try_for_each(|fault| writeln!(f, "  {fault}"))?;
        outcome.fmt(f)
    }
}

/// Why nothing can be minimised.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NotMinimised {
    /// The run does not fail.
    Passes,
}

impl fmt::Display for NotMinimised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passes => f.write_str("this run does not fail: there is nothing to minimise"),
        }
    }
}

impl std::error::Error for NotMinimised {}

/// Leaves faults out of a failing run, at most so many times, as long as it fails in the same way.
///
/// # Errors
/// The run does not fail.
pub fn minimise(seed: u64, asked: &Asked, attempts: u32) -> Result<Minimised, NotMinimised> {
    minimise_with(seed, asked, attempts, replay)
}

/// The same with another judge: `run` says which faults struck, and whether that is a failure.
///
/// # Errors
/// The run does not fail.
pub fn minimise_with(
    seed: u64,
    asked: &Asked,
    attempts: u32,
    run: impl Fn(u64, &Asked) -> (Outcome, Vec<Struck>),
) -> Result<Minimised, NotMinimised> {
    let (outcome, faults) = run(seed, asked);
    let Some(failure) = outcome.failure.clone() else { return Err(NotMinimised::Passes) };
    let (of, minimal) = (faults.len(), false);
    let mut best = Minimised { outcome, faults, of, attempts: 1, minimal };
    let all = best.faults.iter().map(|fault| fault.id).collect();
    let mut shrink = Shrink { left: attempts.saturating_sub(1), items: all };
    best.minimal = shrink.go(|ids| {
        best.attempts += 1;
        let (outcome, faults) = run(seed, &Asked { selection: only(ids), ..asked.clone() });
        let same = outcome.failure.as_ref().is_some_and(|found| found.is_like(&failure));
        same.then(|| {
            let strike = faults.iter().map(|fault| fault.id).collect();
            (best.outcome, best.faults) = (outcome, faults);
            strike
        })
    });
    // The names of those that did not strike mean nothing any more.
    best.outcome.asked.selection = only(&shrink.items);
    Ok(best)
}

/// Nothing but these, clients' acts included.
fn only(ids: &[FaultId]) -> Selection {
    let none = FaultId { source: Source::Act, ordinal: 0 };
    let no_act = ids.iter().all(|id| id.source != Source::Act).then_some(none);
    let only: FaultSet = ids.iter().copied().chain(no_act).collect();
    Selection { only: Some(only), ..Selection::ALL }
}

/// Leaves things out of a list while something stays true (delta debugging): first whole sources,
/// then halves, quarters, and so on to single ones, from the last to the first.
struct Shrink {
    /// How many more attempts there are.
    left: u32,
    items: Vec<FaultId>,
}

impl Shrink {
    /// `holds` says of a shorter list whether the thing is still true of it, and which of its items
    /// have had any effect. Returns whether no single item can be left out.
    fn go(&mut self, mut holds: impl FnMut(&[FaultId]) -> Option<Vec<FaultId>>) -> bool {
        for source in Source::ALL {
            let rest = self.items.iter().filter(|id| id.source != source).copied().collect();
            if self.attempt(rest, &mut holds).is_none() {
                return false;
            }
        }
        let mut chunk = self.items.len().div_ceil(2).max(1);
        loop {
            let before = self.items.len();
            if !self.pass(chunk, &mut holds) {
                return false;
            }
            if chunk == 1 && self.items.len() == before {
                return true;
            }
            chunk = chunk.div_ceil(2).min(self.items.len()).max(1);
        }
    }

    /// Tries to leave out each chunk of this length. Returns whether there were attempts enough.
    fn pass(
        &mut self,
        chunk: usize,
        holds: &mut impl FnMut(&[FaultId]) -> Option<Vec<FaultId>>,
    ) -> bool {
        let mut end = self.items.len();
        while end > 0 {
            let start = end.saturating_sub(chunk);
            let rest = [&self.items[..start], &self.items[end..]].concat();
            if self.attempt(rest, holds).is_none() {
                return false;
            }
            end = start.min(self.items.len());
        }
        true
    }

    /// Tries one shorter list; nothing is returned if that would be one attempt too many.
    fn attempt(
        &mut self,
        mut rest: Vec<FaultId>,
        holds: &mut impl FnMut(&[FaultId]) -> Option<Vec<FaultId>>,
    ) -> Option<()> {
        if rest.len() == self.items.len() {
            return Some(());
        }
        self.left = self.left.checked_sub(1)?;
        if let Some(strike) = holds(&rest) {
            // What had no effect can be left out without another attempt.
            rest.retain(|id| strike.contains(id));
            self.items = rest;
        }
        Some(())
    }
}

impl Failure {
    /// Whether this is the same property, the same panic, or the same reason to stop.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Contract(one), Self::Contract(two)) => one.property == two.property,
            (Self::Panic(one), Self::Panic(two)) => place(one) == place(two),
            (Self::Stopped(one), Self::Stopped(two)) => {
                std::mem::discriminant(one) == std::mem::discriminant(two)
            }
            (one, two) => one == two,
        }
    }
}

/// Where a panic was: `panicked at crates/…/x.rs:12:5`.
fn place(message: &str) -> &str {
    let end = message.match_indices(' ').nth(2).map_or(message.len(), |(place, _)| place);
    &message[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ordinals: &[u32]) -> Vec<FaultId> {
        ordinals.iter().map(|o| FaultId { source: Source::Move, ordinal: *o }).collect()
    }

    /// Shrinks 1 to 100 while all of these are there.
    fn shrunk(needed: &[u32], left: u32) -> (Vec<FaultId>, bool, u32) {
        let needed = ids(needed);
        let mut shrink = Shrink { left, items: ids(&(1..=100).collect::<Vec<_>>()) };
        let mut tried = 0;
        let minimal = shrink.go(|some| {
            tried += 1;
            needed.iter().all(|id| some.contains(id)).then(|| some.to_vec())
        });
        (shrink.items, minimal, tried)
    }

    #[test]
    fn exactly_what_is_needed_remains() {
        for needed in [&[][..], &[1], &[100], &[50, 51], &[3, 40, 77, 99]] {
            let (rest, minimal, tried) = shrunk(needed, 1_000);
            assert_eq!((rest, minimal), (ids(needed), true));
            assert!(tried < 100, "{tried} attempts for {needed:?}");
        }
    }

    #[test]
    fn when_the_attempts_are_used_up_it_says_so() {
        let (rest, minimal, tried) = shrunk(&[3, 40, 77, 99], 10);
        assert!(!minimal && tried == 10);
        assert!(rest.len() > 4 && ids(&[3, 40, 77, 99]).iter().all(|id| rest.contains(id)));
    }

    #[test]
    fn what_had_no_effect_goes_without_an_attempt() {
        let mut shrink = Shrink { left: 1_000, items: ids(&(1..=100).collect::<Vec<_>>()) };
        let mut tried = 0;
        let minimal = shrink.go(|some| {
            tried += 1;
            // Only 7 ever has an effect, and it is needed.
            some.contains(&ids(&[7])[0]).then(|| ids(&[7]))
        });
        assert!(minimal && shrink.items == ids(&[7]) && tried < 10, "{tried}");
    }

    #[test]
    fn two_panics_are_alike_if_they_are_at_the_same_place() {
        let at = |text: &str| Failure::Panic(text.to_owned());
        assert!(at("panicked at a.rs:1:2: seq 7").is_like(&at("panicked at a.rs:1:2: seq 9")));
        assert!(!at("panicked at a.rs:1:2: seq 7").is_like(&at("panicked at a.rs:3:2: seq 7")));
        assert!(Failure::NoRoom.is_like(&Failure::NoRoom) && !Failure::NoRoom.is_like(&at("x")));
    }
}
