//! LIVE-5: the time to exclude a dead processor does not grow with their number while six rotations
//! stay below a quarter of the detection target. Judged where a processor died and nothing else
//! happened, on a network that lost and delayed nothing. Whoever hears others than those it was
//! with may go with them now, and whom it leaves has to agree anew: how long that takes is
//! LIVE-3's. It is judged where there are no others, or none of those who are left went with them.

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
        let had = track.at(after.span.from).map(|epoch| epoch.members);
        let without = track.between(after.span.from, after.end).find(|e| !with(e.members));
        let (Some(had), Some(without)) = (had.filter(|had| with(had)), without) else { continue };
        let left = had.difference(dead);
        let alone =
            left.iter().filter_map(|p| after.span.hears.get(&p)).all(|near| near.is_subset(had));
        if !alone && left != *without.members {
            continue;
        }
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

    /// 3 dies, and 2 goes with 4, whom it heard before as well and 1 does not. 1 waits for 2 first.
    #[test]
    fn who_is_left_for_others_has_longer() {
        let begin = || vec![(0, regular(1, &[1, 2, 3]))];
        let goes_with_4 =
            |from, own| [(5_105, transitional(from, 3, &[own])), (5_105, regular(3, &[2, 4]))];
        let one = [begin(), goes(5_200, 1, 4, &[1])].concat();
        let two = [begin(), goes_with_4(1, 2).to_vec()].concat();
        let four = [vec![(0, regular(2, &[4]))], goes_with_4(2, 4).to_vec()].concat();
        let mut third = timed(3, begin());
        third.end = End::Crashed;
        let views = vec![timed(1, one), timed(2, two), third, timed(4, four)];
        let before: Edges<'_> = &[(1, 2), (1, 3), (2, 3), (2, 4)];
        let mut history = calm(views, &[(0, before), (5_000, &[(1, 2), (2, 4)])]);
        let circumstances = history.circumstances.as_mut().expect("of a calm world");
        circumstances.spans[1].hears.remove(&p(3));
        holds(&history);
    }

    /// 2 hears 4, and stays with 1.
    #[test]
    fn who_hears_others_and_stays_has_no_longer() {
        let beside = |took| {
            let mut history = dies(took);
            history.views.push(timed(4, vec![(0, regular(9, &[4]))]));
            let circumstances = history.circumstances.as_mut().expect("of a calm world");
            for span in &mut circumstances.spans {
                span.hears.insert(p(4), members(&[2]));
                let near = span.hears.get_mut(&p(2)).expect("it is up");
                assert_eq!(near.insert(p(4)), Ok(true));
            }
            history
        };
        holds(&beside(105));
        breaks(&beside(150), Live5, "excluded {3/0003} after 150.000 ms");
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
