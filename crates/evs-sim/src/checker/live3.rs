//! LIVE-3: when who-hears-whom has stopped changing, within B and at most K configurations each,
//! the processors settle in disjoint sets that hear each other, one of which is a largest such set
//! (up to 16 processors; beyond, one that nobody can be added to); then nothing changes. While it
//! changes, a set whose own paths are sound is interrupted only to grow, and at most once per
//! hold-down (`flapping.rs`).

use std::collections::BTreeSet;

use evs_model::{Members, Processor, RingId};

use super::cliques::largest_clique;
use super::index::{Epoch, Index, Track};
use super::stays::{Stay, ms, stays};
use super::{Violation, flapping, violates};
use crate::bounds::Bounds;
use crate::history::{Circumstances, Span, Time};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    for stay in stays(index) {
        settles_in_sets(index, &stay)?;
        one_is_largest(index, &stay)?;
        costs_few_configurations(index, &stay)?;
        then_nothing_changes(index, &stay)?;
    }
    let Some(circumstances) = &index.history.circumstances else { return Ok(()) };
    index.tracks.iter().try_for_each(|track| interrupted_only_to_grow(track, circumstances))?;
    flapping::check(index)
}

/// Everybody is in a configuration with exactly those who are in it too, and all hear each other.
fn settles_in_sets(index: &Index<'_>, stay: &Stay<'_>) -> Result<(), Violation> {
    let at = ms(stay.settled);
    for (processor, track) in stay.tracks(index).filter(|(p, _)| stay.is_awake(*p)) {
        let Some(now) = track.at(stay.settled) else {
            return Err(violates!(Live3, "{processor} has no configuration at {at}"));
        };
        let (ring, members) = (now.ring, now.members);
        if !stay.span.is_clique(members) {
            return Err(violates!(
                Live3,
                "{processor} is in {ring} {members} at {at}, who do not all hear each other"
            ));
        }
        for member in members {
            let theirs = index.track(member).and_then(|track| track.at(stay.settled));
            if theirs.is_some_and(|theirs| theirs.ring != ring) {
                return Err(violates!(
                    Live3,
                    "{processor} is in {ring} {members} at {at}, and {member} in another"
                ));
            }
        }
    }
    Ok(())
}

fn one_is_largest(index: &Index<'_>, stay: &Stay<'_>) -> Result<(), Violation> {
    let sets: BTreeSet<&Members> = stay
        .tracks(index)
        .filter(|(p, _)| stay.is_awake(*p))
        .filter_map(|(_, track)| track.at(stay.settled))
        .map(|epoch| epoch.members)
        .collect();
    let awake = stay.span.hears.keys().filter(|p| stay.is_awake(**p));
    let awake: Vec<Processor> = awake.copied().collect();
    let at = ms(stay.settled);
    if awake.len() > Bounds::EXACT_MAX {
        let grows = |set: &Members| {
            awake
                .iter()
                .any(|p| !set.contains(*p) && set.iter().all(|member| stay.span.edge(*p, member)))
        };
        if !sets.is_empty() && sets.iter().all(|set| grows(set)) {
            return Err(violates!(Live3, "each of {sets:?} could have one more at {at}"));
        }
        return Ok(());
    }
    let largest = largest_clique(&awake, |p, q| stay.span.edge(p, q));
    let found = sets.iter().map(|set| set.len()).max().unwrap_or(0);
    if found < largest.len() {
        return Err(violates!(Live3, "{sets:?} at {at}, though {largest} all hear each other"));
    }
    Ok(())
}

/// Who hears whom changes until the last hold-down is over; whoever goes on before that does so to
/// grow.
fn costs_few_configurations(index: &Index<'_>, stay: &Stay<'_>) -> Result<(), Violation> {
    let most = Bounds::CONFIGURATIONS_MAX;
    for (processor, track) in stay.tracks(index) {
        let changes = track.between(stay.span.held, stay.settled);
        let rings: Vec<RingId> = changes.map(|epoch| epoch.ring).collect();
        if rings.len() > most {
            let (count, from) = (rings.len(), ms(stay.span.held));
            return Err(violates!(
                Live3,
                "{processor} delivered {count} configurations after {from}, not {most}: {rings:?}"
            ));
        }
    }
    Ok(())
}

fn then_nothing_changes(index: &Index<'_>, stay: &Stay<'_>) -> Result<(), Violation> {
    for (processor, track) in stay.tracks(index).filter(|(p, _)| stay.is_awake(*p)) {
        if let Some(change) = track.between(stay.settled, stay.end).next() {
            let (ring, members, time) = (change.ring, change.members, ms(track.time(change)));
            let at = ms(stay.settled);
            return Err(violates!(
                Live3,
                "{processor} had settled by {at} and delivered {ring} {members} at {time}"
            ));
        }
    }
    Ok(())
}

/// Whoever goes on from a configuration whose paths were sound for B was in the reach of a larger
/// one.
fn interrupted_only_to_grow(
    track: &Track<'_>,
    circumstances: &Circumstances,
) -> Result<(), Violation> {
    for (before, after) in track.epochs.iter().zip(track.epochs.iter().skip(1)) {
        let time = track.time(after);
        let Some(recent) = recent(circumstances, time) else { continue };
        let sound = recent
            .iter()
            .all(|span| span.fair && span.is_clique(before.members) && is_up(span, before.members));
        if sound && after.members.len() <= before.members.len() && !may_grow(before, &recent) {
            let (name, ring, members) = (track.name(), before.ring, before.members);
            let (next, others, at) = (after.ring, after.members, ms(time));
            return Err(violates!(
                Live3,
                "{name} went from {ring} {members} to {next} {others} at {at}, though nothing was \
                 wrong and nobody could be added"
            ));
        }
    }
    Ok(())
}

fn is_up(span: &Span, members: &Members) -> bool {
    members.iter().all(|p| span.hears.contains_key(&p) && !span.stopped.contains(p))
}

/// The spans of which a part lies in the B before a time, newest first. D, of which B is made, is
/// the target in effect: whatever ended is noticed by the one of then. `None` if B reaches back to
/// before the recording.
fn recent(circumstances: &Circumstances, time: Time) -> Option<Vec<&Span>> {
    let bound = circumstances.bounds.settling();
    let mut patience = 0;
    let mut found = Vec::new();
    let spans: Vec<(&Span, Time)> =
        circumstances.spans().filter(|(span, _)| span.from <= time).collect();
    for (span, end) in spans.into_iter().rev() {
        if end + bound + patience <= time {
            return Some(found);
        }
        patience = patience.max(span.patience.believed(&circumstances.bounds));
        found.push(span);
    }
    (bound + patience <= time).then_some(found)
}

/// Whether, by paths that were sound at any time lately, a member belongs to a larger set.
fn may_grow(before: &Epoch<'_>, recent: &[&Span]) -> bool {
    let edge = |p, q| recent.iter().any(|span| span.edge(p, q));
    let all: BTreeSet<Processor> =
        recent.iter().flat_map(|span| span.hears.keys().copied()).collect();
    before.members.iter().any(|member| {
        let near: Vec<Processor> = all.iter().copied().filter(|p| edge(member, *p)).collect();
        near.len() > Bounds::EXACT_MAX || largest_clique(&near, edge).len() > before.members.len()
    })
}

#[cfg(test)]
mod tests {
    use super::super::Property::Live3;
    use super::super::fixture::*;
    use crate::history::{Entry, History, Patience};

    const ALL: Edges<'_> = &[(1, 2), (1, 3), (2, 3)];
    /// 1 and 3 do not hear each other.
    const CHAIN: Edges<'_> = &[(1, 2), (2, 3)];

    fn together() -> Vec<(u64, Entry)> {
        vec![(0, regular(3, &[1, 2, 3]))]
    }

    /// After 5 ms the path from 1 to 3 is cut; each goes on like this.
    fn cut(one: Vec<(u64, Entry)>, two: Vec<(u64, Entry)>, three: Vec<(u64, Entry)>) -> History {
        let views = [one, two, three]
            .into_iter()
            .zip(1..)
            .map(|(entries, node)| timed(node, [together(), entries].concat()));
        calm(views.collect(), &[(0, ALL), (5, CHAIN)])
    }

    #[test]
    fn two_and_one_are_legal() {
        let pair = goes(100, 3, 4, &[1, 2]);
        holds(&cut(pair.clone(), pair, goes(100, 3, 5, &[3])));
    }

    #[test]
    fn three_alone_are_noticed() {
        let alone = |node: u32| goes(100, 3, 3 + u64::from(node), &[node]);
        breaks(&cut(alone(1), alone(2), alone(3)), Live3, "{1/0001 2/0002} all hear each other");
    }

    #[test]
    fn a_set_that_does_not_hear_each_other_is_noticed() {
        breaks(&cut(vec![], vec![], vec![]), Live3, "do not all hear each other");
    }

    #[test]
    fn a_set_that_one_member_does_not_know_of_is_noticed() {
        let history = cut(goes(100, 3, 4, &[1, 2]), goes(100, 3, 6, &[2]), goes(100, 3, 5, &[3]));
        breaks(&history, Live3, "and 2/0002 in another");
    }

    #[test]
    fn one_configuration_too_many_is_noticed() {
        let pair = goes(100, 3, 4, &[1, 2]);
        let steps = |last: u64| {
            (5..=last).flat_map(|to| goes(100 + to, if to == 5 { 3 } else { to - 1 }, to, &[3]))
        };
        holds(&cut(pair.clone(), pair.clone(), steps(7).collect()));
        breaks(&cut(pair.clone(), pair, steps(8).collect()), Live3, "delivered 4 configurations");
    }

    #[test]
    fn a_change_after_the_bound_is_noticed() {
        let pair = goes(100, 3, 4, &[1, 2]);
        let three = [goes(100, 3, 5, &[3]), goes(9_000, 5, 6, &[3])].concat();
        breaks(&cut(pair.clone(), pair, three), Live3, "had settled by");
    }

    /// It may be woken and stopped again within one moment, in which it does what it was about to.
    #[test]
    fn what_one_does_that_stands_still_is_no_change() {
        let pair = goes(100, 3, 4, &[1, 2]);
        let three = [goes(100, 3, 5, &[3]), goes(9_000, 5, 6, &[3])].concat();
        let mut history = cut(pair.clone(), pair, three);
        let circumstances = history.circumstances.as_mut().expect("timed");
        circumstances.spans[1].stopped = members(&[3]);
        holds(&history);
    }

    /// 3 comes and goes every 50 ms and nobody can hear it but 2; or 1 can too.
    fn flapping(third: Edges<'_>, after: Vec<(u64, Entry)>) -> History {
        let pair = || [vec![(0, regular(3, &[1, 2]))], after.clone()].concat();
        let views = vec![timed(1, pair()), timed(2, pair()), timed(3, vec![(0, regular(1, &[3]))])];
        let graphs: Vec<(u64, Edges<'_>)> =
            (0..40).map(|i| (50 * i, if i % 2 == 0 { third } else { &[(1, 2)] })).collect();
        calm(views, &graphs)
    }

    #[test]
    fn a_sound_pair_that_is_interrupted_for_nothing_is_noticed() {
        breaks(&flapping(CHAIN, goes(1_000, 3, 4, &[1, 2])), Live3, "nobody could be added");
    }

    #[test]
    fn a_sound_pair_that_might_have_grown_is_excused() {
        holds(&flapping(ALL, goes(1_000, 3, 4, &[1, 2])));
    }

    /// All hear each other for a moment; the pair goes on 400 ms later, which is more than B. For
    /// so many milliseconds more than D, by their word, what was cut may not have been noticed.
    fn grown_too_late(told: u64, in_time: u64) -> History {
        let later = || [vec![(0, regular(3, &[1, 2]))], goes(5_400, 3, 4, &[1, 2])].concat();
        let third = vec![(0, regular(1, &[3]))];
        let views = vec![timed(1, later()), timed(2, later()), timed(3, third)];
        let mut history = calm(views, &[(0, &[(1, 2)]), (4_900, ALL), (5_000, &[(1, 2)])]);
        let span = &mut history.circumstances.as_mut().expect("of a calm world").spans[2];
        span.patience = Patience { told: told * 1_000_000, calm: in_time };
        span.held = span.from + 6_000_000_000;
        history
    }

    #[test]
    fn what_ended_is_noticed_by_the_target_in_effect() {
        holds(&grown_too_late(100, 0));
        breaks(&grown_too_late(0, 0), Live3, "nobody could be added");
    }

    #[test]
    fn a_target_in_effect_for_no_reason_is_not_believed() {
        breaks(&grown_too_late(100, u64::MAX), Live3, "nobody could be added");
    }
}
