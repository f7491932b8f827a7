//! LIVE-1: once who-hears-whom has been unchanged for B, each set of processors that all hear each
//! other, and hear nobody else, is settled in one regular configuration, and then delivers no
//! further one.
//!
//! A recording of real daemons tells no circumstances: there the network is taken to be whole from
//! some point on ([`View::settled`](crate::history::View::settled)).

use evs_model::{Members, Processor, RingId};

use super::index::{Index, Track};
use super::stays::{Stay, ms, stays};
use super::{Violation, violates};
use crate::history::{End, Entry};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    if index.history.circumstances.is_none() {
        one_configuration(index)?;
        return nothing_changes(index);
    }
    for stay in stays(index) {
        for clique in stay.cliques() {
            settles(index, &stay, &clique)?;
        }
    }
    Ok(())
}

/// The members of a clique are together in one configuration from the bound on.
fn settles(index: &Index<'_>, stay: &Stay<'_>, clique: &Members) -> Result<(), Violation> {
    let at = ms(stay.settled);
    let mut agreed: Option<RingId> = None;
    for processor in clique {
        let Some(track) = index.track(processor) else { continue };
        let Some(now) = track.at(stay.settled) else {
            return Err(violates!(Live1, "{processor} has no configuration at {at}"));
        };
        let (ring, members) = (now.ring, now.members);
        if members != clique {
            return Err(violates!(
                Live1,
                "{processor} is in {ring} {members} at {at}, and hears exactly {clique}"
            ));
        }
        if *agreed.get_or_insert(ring) != ring {
            return Err(violates!(Live1, "{clique} is divided at {at}: {processor} is in {ring}"));
        }
        if let Some(change) = track.between(stay.settled, stay.end).next() {
            let (ring, members, time) = (change.ring, change.members, ms(track.time(change)));
            return Err(violates!(
                Live1,
                "{processor} had settled by {at} and delivered {ring} {members} at {time}"
            ));
        }
    }
    Ok(())
}

/// The views of processors that were up through the last phase, each with its bound.
pub(super) fn settled<'i, 'a>(
    index: &'i Index<'a>,
) -> impl Iterator<Item = (&'i Track<'a>, usize)> {
    index
        .tracks
        .iter()
        .filter(|track| track.view.end == End::Running)
        .filter_map(|track| Some((track, track.view.settled?)))
}

fn one_configuration(index: &Index<'_>) -> Result<(), Violation> {
    let mut agreed: Option<(RingId, &Members)> = None;
    let up: Vec<Processor> = settled(index).map(|(track, _)| track.view.processor).collect();
    for (track, bound) in settled(index) {
        let name = track.name();
        let last = track.epochs.iter().take_while(|epoch| epoch.place < bound).last();
        let Some(last) = last else {
            return Err(violates!(Live1, "{name} has delivered no configuration"));
        };
        let (ring, members) = *agreed.get_or_insert((last.ring, last.members));
        if last.ring != ring {
            let found = last.ring;
            return Err(violates!(Live1, "{name} settled in {found}, others in {ring} {members}"));
        }
        if let Some(missing) = up.iter().find(|processor| !members.contains(**processor)) {
            return Err(violates!(Live1, "{name} settled in {members} without {missing}"));
        }
        let dead = members.iter().find(|member| is_dead(index, *member));
        if let Some(dead) = dead {
            return Err(violates!(Live1, "{name} settled in {members} with {dead}, which is dead"));
        }
    }
    Ok(())
}

fn is_dead(index: &Index<'_>, processor: Processor) -> bool {
    let mut views = index.history.views.iter().filter(|v| v.processor == processor).peekable();
    views.peek().is_some() && views.all(|view| view.end != End::Running)
}

fn nothing_changes(index: &Index<'_>) -> Result<(), Violation> {
    for (track, bound) in settled(index) {
        let later = track.view.entries.iter().skip(bound);
        let change = later.filter_map(|entry| match entry {
            Entry::Configuration(configuration) => Some(configuration),
            Entry::Accepted(_) | Entry::Delivered(_) => None,
        });
        if let Some(change) = change.into_iter().next() {
            let name = track.name();
            return Err(violates!(Live1, "{name} had settled and then delivered {change:?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Property::Live1;
    use super::super::fixture::*;
    use crate::history::{End, Entry, History};

    #[test]
    fn two_in_one_configuration_are_settled() {
        let a = agreed(1, 1, 1, 1);
        let mut history = settled_pair();
        history.views[0].entries.extend([a.accepted(), a.delivered()]);
        history.views[1].entries.push(a.delivered());
        holds(&history);
    }

    #[test]
    fn two_configurations_are_noticed() {
        let views = vec![settled(1, vec![regular(1, &[1])]), settled(2, vec![regular(2, &[2])])];
        breaks(&history(views), Live1, "settled in");
    }

    #[test]
    fn none_is_noticed() {
        breaks(&history(vec![settled(1, vec![])]), Live1, "no configuration");
    }

    #[test]
    fn a_dead_member_is_noticed() {
        let mut history = settled_pair();
        history.views[1].end = End::Crashed;
        breaks(&history, Live1, "2/0002, which is dead");
    }

    #[test]
    fn a_change_after_the_bound_is_noticed() {
        let mut history = settled_pair();
        history.views[0].entries.push(transitional(1, 2, &[1, 2]));
        breaks(&history, Live1, "had settled and then");
    }

    /// 3 is cut off from 1 and 2 after 5 ms, and goes on like this.
    fn third_cut_off(third: Vec<(u64, Entry)>) -> History {
        let pair = || [vec![(0, regular(3, &[1, 2, 3]))], goes(9, 3, 4, &[1, 2])].concat();
        let third = [vec![(0, regular(3, &[1, 2, 3]))], third].concat();
        let views = vec![timed(1, pair()), timed(2, pair()), timed(3, third)];
        calm(views, &[(0, &[(1, 2), (1, 3), (2, 3)]), (5, &[(1, 2)])])
    }

    #[test]
    fn sets_that_hear_nobody_else_settle_apart() {
        holds(&third_cut_off(goes(9, 3, 5, &[3])));
    }

    #[test]
    fn one_that_does_not_settle_alone_is_noticed() {
        breaks(&third_cut_off(vec![]), Live1, "hears exactly {3/0003}");
    }

    #[test]
    fn one_that_settles_and_changes_again_is_noticed() {
        let third = [goes(9, 3, 5, &[3]), goes(5_000, 5, 6, &[3])].concat();
        breaks(&third_cut_off(third), Live1, "had settled by");
    }

    #[test]
    fn two_that_hear_each_other_and_stay_apart_are_noticed() {
        let views =
            vec![timed(1, vec![(0, regular(1, &[1]))]), timed(2, vec![(0, regular(2, &[2]))])];
        breaks(&calm(views, &[(5, &[(1, 2)])]), Live1, "hears exactly {1/0001 2/0002}");
    }
}
