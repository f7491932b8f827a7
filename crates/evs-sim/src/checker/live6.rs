//! LIVE-6, continuity: members of R that go on hearing each other through a change go directly from
//! R to the same R'. One fault costs nobody more than K configurations. There is none without a
//! fault.
//!
//! Who goes with whom is judged where one change of the world came alone, with everything settled
//! before it and after it; of those who lost several paths at once, only who is left in a set that
//! hears itself alone: else what is noticed first can part other sets than all of it. What a
//! change costs is judged however soon the next one follows. That nothing changes once all has
//! settled is LIVE-3's.

use std::collections::BTreeMap;

use evs_model::{Members, Processor, RingId};

use super::index::{Index, Track};
use super::stays::{Stay, ms, stays};
use super::{Violation, violates};
use crate::bounds::Bounds;
use crate::history::{Span, Time};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    if let Some(circumstances) = &index.history.circumstances {
        for (span, end) in circumstances.spans().filter(|(span, _)| span.fair) {
            index.tracks.iter().try_for_each(|track| costs_few(track, span, end))?;
        }
    }
    for pair in stays(index).windows(2) {
        let [before, after] = pair else { continue };
        if before.number + 1 == after.number {
            go_together(index, before, after)?;
            untouched_stay(index, before, after)?;
        }
    }
    Ok(())
}

/// However soon the next change follows, or whatever went before: what one change costs does not
/// depend on it.
fn costs_few(track: &Track<'_>, span: &Span, end: Time) -> Result<(), Violation> {
    let most = Bounds::CONFIGURATIONS_MAX;
    let rings: Vec<RingId> = track.between(span.held, end).map(|epoch| epoch.ring).collect();
    if rings.len() > most {
        let (name, count, from, end) = (track.name(), rings.len(), ms(span.held), ms(end));
        return Err(violates!(
            Live6,
            "{name} delivered {count} configurations from {from} to {end}, when nothing was done \
             to the world, not {most}: {rings:?}"
        ));
    }
    Ok(())
}

/// Those who come from one configuration, hear each other before and after the change, and end up
/// in one configuration, went to the same next one.
fn go_together(index: &Index<'_>, before: &Stay<'_>, after: &Stay<'_>) -> Result<(), Violation> {
    type Way = (RingId, Option<RingId>);
    let mut ways: BTreeMap<Way, Vec<(Processor, Option<RingId>)>> = BTreeMap::new();
    let mut several = BTreeMap::new();
    for (processor, track) in after.tracks(index).filter(|(p, _)| after.is_awake(*p)) {
        let Some(from) = track.at(after.span.from).filter(|_| before.is_awake(processor)) else {
            continue;
        };
        let several = several
            .entry(from.ring)
            .or_insert_with(|| lost(before.span, after.span, from.members) > 1);
        if *several && !after.span.is_clique(&after.span.component(processor)) {
            continue;
        }
        let next = track.between(after.span.from, after.settled).next().map(|next| next.ring);
        let last = track.at(after.settled).map(|last| last.ring);
        ways.entry((from.ring, last)).or_default().push((processor, next));
    }
    for ((from, _), travellers) in &ways {
        for (i, (one, next)) in travellers.iter().enumerate() {
            let apart = travellers[i + 1..].iter().find(|(other, theirs)| {
                theirs != next && before.span.edge(*one, *other) && after.span.edge(*one, *other)
            });
            if let Some((other, theirs)) = apart {
                let at = ms(after.span.from);
                return Err(violates!(
                    Live6,
                    "{one} and {other} heard each other through the change at {at}, and went from \
                     {from} to {next:?} and {theirs:?}"
                ));
            }
        }
    }
    Ok(())
}

/// How many of the paths between those of these who are left were lost.
fn lost(before: &Span, after: &Span, members: &Members) -> usize {
    let left = || members.iter().filter(|p| after.hears.contains_key(p));
    let lost = |one: Processor, two: Processor| before.edge(one, two) && !after.edge(one, two);
    left().map(|one| left().filter(|two| one < *two && lost(one, *two)).count()).sum()
}

/// Who is settled with exactly those whom it hears after the change too, sees nothing of it, unless
/// one of them stood still before: that one goes on now, with what came meanwhile.
fn untouched_stay(index: &Index<'_>, before: &Stay<'_>, after: &Stay<'_>) -> Result<(), Violation> {
    let untouched =
        |members: &Members, clique: &Members| members == clique && before.span.is_clique(clique);
    for clique in after.cliques() {
        if !clique.iter().all(|processor| before.is_awake(processor)) {
            continue;
        }
        for processor in &clique {
            let Some(track) = index.track(processor) else { continue };
            let same = track.at(after.span.from).is_some_and(|r| untouched(r.members, &clique));
            let change = track.between(after.span.from, after.settled).next();
            if let Some(change) = change.filter(|_| same) {
                let (ring, members, at) = (change.ring, change.members, ms(track.time(change)));
                return Err(violates!(
                    Live6,
                    "{processor} was with {clique}, none of whom was touched, and delivered \
                     {ring} {members} at {at}"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Property::Live6;
    use super::super::fixture::*;
    use crate::history::{Entry, History};

    /// 3 is cut off after 5 s; the others go on like this.
    fn cut_off(one: Vec<(u64, Entry)>, two: Vec<(u64, Entry)>) -> History {
        let begin = || vec![(0, regular(1, &[1, 2, 3]))];
        let views = vec![
            timed(1, [begin(), one].concat()),
            timed(2, [begin(), two].concat()),
            timed(3, [begin(), goes(5_100, 1, 7, &[3])].concat()),
        ];
        calm(views, &[(0, &[(1, 2), (1, 3), (2, 3)]), (5_000, &[(1, 2)])])
    }

    #[test]
    fn survivors_that_go_together_are_legal() {
        holds(&cut_off(goes(5_100, 1, 2, &[1, 2]), goes(5_100, 1, 2, &[1, 2])));
    }

    #[test]
    fn survivors_that_part_on_the_way_are_noticed() {
        let one = goes(5_100, 1, 2, &[1, 2]);
        let mut alone = goes(5_090, 1, 5, &[2]);
        alone.extend([(5_100, transitional(5, 6, &[2])), (5_100, regular(6, &[1, 2]))]);
        let mut one_too = one;
        one_too.extend([(5_110, transitional(2, 6, &[1])), (5_110, regular(6, &[1, 2]))]);
        breaks(&cut_off(one_too, alone), Live6, "heard each other through the change");
    }

    /// These paths are lost, of which those to 2 are noticed first: 1, 3 and 4 go on, and then 4
    /// goes with 2.
    fn several_are_cut(lost: &[(u32, u32)]) -> History {
        let all = || vec![(0, regular(1, &[1, 2, 3, 4]))];
        let pair = || [all(), goes(5_100, 1, 2, &[1, 3, 4]), goes(5_110, 2, 3, &[1, 3])].concat();
        let mut four = [all(), goes(5_100, 1, 2, &[1, 3, 4])].concat();
        four.extend([(5_110, transitional(2, 4, &[4])), (5_110, regular(4, &[2, 4]))]);
        let two = [all(), vec![(5_110, transitional(1, 4, &[2])), (5_110, regular(4, &[2, 4]))]];
        let views =
            vec![timed(1, pair()), timed(2, two.concat()), timed(3, pair()), timed(4, four)];
        let pairs = [(1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)];
        let left: Vec<_> = pairs.into_iter().filter(|pair| !lost.contains(pair)).collect();
        calm(views, &[(0, &pairs), (5_000, &left)])
    }

    #[test]
    fn what_is_lost_at_once_is_noticed_bit_by_bit_unless_it_parts_whole_sets() {
        holds(&several_are_cut(&[(1, 2), (2, 3), (3, 4)]));
        let parted = several_are_cut(&[(1, 2), (2, 3), (1, 4), (3, 4)]);
        breaks(&parted, Live6, "heard each other through the change");
    }

    /// 1 and 2 hear each other and nobody else any more; of 3, 4 and 5 one path is lost besides.
    #[test]
    fn a_set_that_is_parted_as_a_whole_goes_together_whatever_the_others_lose() {
        let all = || vec![(0, regular(1, &[1, 2, 3, 4, 5]))];
        let with = |way: Vec<(u64, Entry)>| [all(), way].concat();
        let pairs: Vec<_> = (1..5).flat_map(|a| (a + 1..=5).map(move |b| (a, b))).collect();
        let run = |one: Vec<(u64, Entry)>, two: Vec<(u64, Entry)>| {
            let views = vec![
                timed(1, with(one)),
                timed(2, with(two)),
                timed(3, with(goes(5_100, 1, 4, &[3, 4]))),
                timed(4, with(goes(5_100, 1, 4, &[3, 4]))),
                timed(5, with(goes(5_100, 1, 5, &[5]))),
            ];
            calm(views, &[(0, &pairs), (5_000, &[(1, 2), (3, 4), (4, 5)])])
        };
        let pair = || goes(5_100, 1, 2, &[1, 2]);
        holds(&run(pair(), pair()));
        let mut one = pair();
        one.extend([(5_110, transitional(2, 6, &[1])), (5_110, regular(6, &[1, 2]))]);
        let mut two = goes(5_090, 1, 7, &[2]);
        two.extend([(5_110, transitional(7, 6, &[2])), (5_110, regular(6, &[1, 2]))]);
        breaks(&run(one, two), Live6, "1/0001 and 2/0002 heard each other through the change");
    }

    /// The path from 1 to 2 is cut, and whole again after 50 ms; meanwhile each alone delivers so
    /// many configurations.
    fn flaps(cost: u64) -> History {
        let alone = |node: u32| {
            let first = 100 * u64::from(node);
            let rings = (0..cost).flat_map(|i| {
                goes(5_010 + i, if i == 0 { 1 } else { first + i - 1 }, first + i, &[node])
            });
            let together = [transitional(first + cost - 1, 900, &[node]), regular(900, &[1, 2])];
            let together = together.map(|entry| (5_060, entry)).to_vec();
            timed(node, [vec![(0, regular(1, &[1, 2]))], rings.collect(), together].concat())
        };
        calm(vec![alone(1), alone(2)], &[(0, &[(1, 2)]), (5_000, &[]), (5_050, &[(1, 2)])])
    }

    #[test]
    fn a_change_that_is_soon_followed_by_another_costs_no_more_than_k_either() {
        holds(&flaps(3));
        breaks(&flaps(4), Live6, "delivered 4 configurations from 5000.000 ms to 5050.000 ms");
    }

    #[test]
    fn a_set_that_nothing_touches_and_changes_is_noticed() {
        let begin = || vec![(0, regular(2, &[1, 2]))];
        let pair = || [begin(), goes(5_100, 2, 3, &[1, 2])].concat();
        let views = vec![timed(1, pair()), timed(2, pair()), timed(3, vec![(0, regular(1, &[3]))])];
        let mut history = calm(views, &[(0, &[(1, 2)]), (5_000, &[(1, 2)])]);
        // 3 stands still from then on.
        let circumstances = history.circumstances.as_mut().expect("of a calm world");
        circumstances.spans[1].stopped = members(&[3]);
        breaks(&history, Live6, "none of whom was touched");
    }

    /// What came meanwhile may tell of others who have gone since.
    #[test]
    fn who_stood_still_was_touched() {
        let pair = || vec![(0, regular(2, &[1, 2]))];
        let third = [vec![(0, regular(1, &[3]))], goes(5_100, 1, 4, &[3])].concat();
        let views = vec![timed(1, pair()), timed(2, pair()), timed(3, third)];
        let mut history = calm(views, &[(0, &[(1, 2)]), (5_000, &[(1, 2)])]);
        breaks(&history, Live6, "none of whom was touched");
        let circumstances = history.circumstances.as_mut().expect("of a calm world");
        circumstances.spans[0].stopped = members(&[3]);
        holds(&history);
    }
}
