//! LIVE-5: the time to exclude a dead processor does not grow with their number while six rotations
//! stay below a quarter of the detection target. Judged where a processor died and nothing else
//! happened, on a network that lost and delayed nothing.

use evs_model::Members;

use super::index::Index;
use super::stays::{Stay, ms, stays};
use super::{Violation, patience, violates};
use crate::history::Circumstances;

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    let Some(circumstances) = &index.history.circumstances else { return Ok(()) };
    for pair in stays(index).windows(2) {
        let [before, after] = pair else { continue };
        if before.number + 1 == after.number && before.span.still && after.span.still {
            let dead = dead(before, after);
            if !dead.is_empty() {
                excluded_in_time(index, circumstances, after, &dead)?;
            }
        }
    }
    patience::check(index)
}

/// Who is no more, if all the others hear each other as before.
fn dead(before: &Stay<'_>, after: &Stay<'_>) -> Members {
    let gone = before.span.hears.keys().filter(|p| !after.span.hears.contains_key(p));
    let dead = Members::new(gone.copied().collect()).unwrap_or_default();
    let unchanged = after.span.hears.iter().all(|(p, near)| {
        before.span.hears.get(p).is_some_and(|had| had.difference(&dead) == *near)
    });
    if unchanged { dead } else { Members::default() }
}

fn excluded_in_time(
    index: &Index<'_>,
    circumstances: &Circumstances,
    after: &Stay<'_>,
    dead: &Members,
) -> Result<(), Violation> {
    let bounds = &circumstances.bounds;
    let bound = bounds.exclusion() + after.span.patience.believed(bounds);
    for (processor, track) in after.tracks(index).filter(|(p, _)| after.is_awake(*p)) {
        let with = |members: &Members| dead.iter().any(|dead| members.contains(dead));
        let had = track.at(after.span.from).is_some_and(|epoch| with(epoch.members));
        let without = track.between(after.span.from, after.end).find(|e| !with(e.members));
        let Some(without) = without.filter(|_| had) else { continue };
        let took = track.time(without) - after.span.from;
        if took > bound {
            let (took, bound) = (ms(took), ms(bound));
            return Err(violates!(
                Live5,
                "{processor} excluded {dead} after {took}, the bound is {bound}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Property::Live5;
    use super::super::fixture::*;
    use crate::history::{End, Entry, History, Patience};

    /// 3 dies after 5 s; this is how long it takes the others to go on.
    fn dies(took: u64) -> History {
        let begin = vec![(0, regular(1, &[1, 2, 3]))];
        let pair =
            || -> Vec<(u64, Entry)> { [begin.clone(), goes(5_000 + took, 1, 2, &[1, 2])].concat() };
        let mut third = timed(3, begin.clone());
        third.end = End::Crashed;
        let views = vec![timed(1, pair()), timed(2, pair()), third];
        let mut history = calm(views, &[(0, &[(1, 2), (1, 3), (2, 3)]), (5_000, &[(1, 2)])]);
        let circumstances = history.circumstances.as_mut().expect("of a calm world");
        circumstances.spans[1].hears.remove(&p(3));
        history
    }

    #[test]
    fn an_exclusion_in_time_is_legal() {
        holds(&dies(105));
    }

    #[test]
    fn a_late_exclusion_is_noticed() {
        breaks(&dies(150), Live5, "excluded {3/0003} after 150.000 ms");
    }

    /// They say that they are more patient than the setting by 50 ms; all hellos have been in time
    /// for so many milliseconds.
    fn dies_to_the_patient(calm: u64) -> History {
        let mut history = dies(150);
        let circumstances = history.circumstances.as_mut().expect("of a calm world");
        circumstances.spans[1].patience = Patience { told: 50_000_000, calm: calm * 1_000_000 };
        history
    }

    #[test]
    fn the_patient_may_take_longer() {
        holds(&dies_to_the_patient(3_999));
    }

    #[test]
    fn patience_for_no_reason_excuses_nobody() {
        breaks(&dies_to_the_patient(4_000), Live5, "excluded {3/0003} after 150.000 ms");
    }
}
