//! EVS-2, configurations: same ring id, same members; same (R, R'), same T(R, R'); whoever
//! delivers a configuration is in it; ring ids are unique and grow.
//!
//! That T(R, R') and then R' follow R with nothing in between is checked while the history is cut
//! into epochs ([`super::index`]).

use std::collections::BTreeMap;

use evs_model::{Members, RingId};

use super::index::{Epoch, Index, Track, Transition};
use super::{Violation, violates};
use crate::history::Start;

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    agreed_by_all(index)?;
    for track in &index.tracks {
        contains_its_observer(track)?;
        ring_ids_grow(index, track)?;
    }
    transitional_members_are_from_both(index)?;
    transitional_members_come_along(index)
}

fn agreed_by_all(index: &Index<'_>) -> Result<(), Violation> {
    let mut regular: BTreeMap<RingId, &Members> = BTreeMap::new();
    let mut transitional: BTreeMap<(RingId, RingId), &Members> = BTreeMap::new();
    for (track, epoch) in index.epochs() {
        let (name, ring, members) = (track.name(), epoch.ring, epoch.members);
        let first = *regular.entry(ring).or_insert(members);
        if first != members {
            return Err(violates!(Evs2, "{name} delivered {ring} of {members}, others of {first}"));
        }
        let Some(Transition { to, members, .. }) = &epoch.transition else { continue };
        let first = *transitional.entry((ring, *to)).or_insert(members);
        if first != *members {
            return Err(violates!(
                Evs2,
                "{name} delivered T({ring}, {to}) of {members}, others of {first}"
            ));
        }
    }
    Ok(())
}

fn contains_its_observer(track: &Track<'_>) -> Result<(), Violation> {
    let name = track.name();
    for epoch in &track.epochs {
        let transition = epoch.transition.as_ref().map(|t| t.members);
        for members in [Some(epoch.members), transition].into_iter().flatten() {
            if !members.contains(track.view.processor) {
                let ring = epoch.ring;
                return Err(violates!(Evs2, "{name} is not in {members}, delivered at {ring}"));
            }
        }
    }
    Ok(())
}

fn ring_ids_grow(index: &Index<'_>, track: &Track<'_>) -> Result<(), Violation> {
    let before = match track.view.start {
        Start::Birth { stored_by: Some(view) } => {
            index.tracks.get(view).and_then(|track| track.epochs.last())
        }
        Start::Birth { stored_by: None } | Start::Midway => None,
    };
    let mut last: Option<&Epoch<'_>> = before;
    for epoch in &track.epochs {
        if let Some(last) = last
            && epoch.ring.seq <= last.ring.seq
        {
            let (name, last, ring) = (track.name(), last.ring, epoch.ring);
            return Err(violates!(Evs2, "{name} delivered {ring} after {last}"));
        }
        last = Some(epoch);
    }
    Ok(())
}

/// T(R, R') holds members of R' whose last regular configuration was R: so only members of both.
/// A fresh processor, whose incarnation was never in R, is in nobody's.
fn transitional_members_are_from_both(index: &Index<'_>) -> Result<(), Violation> {
    let rings: BTreeMap<RingId, &Members> =
        index.epochs().map(|(_, epoch)| (epoch.ring, epoch.members)).collect();
    for (track, epoch) in index.epochs() {
        let Some(transition) = &epoch.transition else { continue };
        let (name, from, to) = (track.name(), epoch.ring, transition.to);
        for ring in [from, to] {
            let Some(members) = rings.get(&ring) else { continue };
            let strangers = transition.members.difference(members);
            if !strangers.is_empty() {
                return Err(violates!(
                    Evs2,
                    "{name} delivered T({from}, {to}) with {strangers}, not in {ring}"
                ));
            }
        }
    }
    Ok(())
}

/// Who is in T(R, R') and delivers R' came from R itself.
fn transitional_members_come_along(index: &Index<'_>) -> Result<(), Violation> {
    let mut came: BTreeMap<RingId, Vec<(&Track<'_>, &Epoch<'_>)>> = BTreeMap::new();
    for (track, epoch) in index.epochs() {
        if let Some(transition) = &epoch.transition
            && epoch.closed
        {
            came.entry(transition.to).or_default().push((track, epoch));
        }
    }
    for (to, arrivals) in &came {
        for (track, epoch) in arrivals {
            let members = epoch.transition.as_ref().map_or(epoch.members, |t| t.members);
            let stranger = arrivals.iter().find(|(other, their)| {
                members.contains(other.view.processor) && their.ring != epoch.ring
            });
            if let Some((other, their)) = stranger {
                let (name, from) = (track.name(), epoch.ring);
                let (other, ring) = (other.name(), their.ring);
                return Err(violates!(
                    Evs2,
                    "{name} delivered T({from}, {to}) with {other}, which came from {ring}"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Property::Evs2;
    use super::super::fixture::*;
    use crate::history::Start;

    #[test]
    fn a_merge_and_a_split_are_legal() {
        let one = vec![
            regular(1, &[1]),
            transitional(1, 4, &[1]),
            regular(4, &[1, 2]),
            transitional(4, 5, &[1]),
            regular(5, &[1]),
        ];
        let two = vec![regular(3, &[2]), transitional(3, 4, &[2]), regular(4, &[1, 2])];
        holds(&history(vec![view(1, one), view(2, two)]));
    }

    #[test]
    fn one_ring_id_with_two_member_lists_is_noticed() {
        let views = vec![view(1, vec![regular(1, &[1])]), view(2, vec![regular(1, &[1, 2])])];
        breaks(&history(views), Evs2, "others of");
    }

    #[test]
    fn one_transition_with_two_member_lists_is_noticed() {
        let one = vec![regular(1, &[1, 2]), transitional(1, 2, &[1, 2]), regular(2, &[1, 2])];
        let two = vec![regular(1, &[1, 2]), transitional(1, 2, &[2]), regular(2, &[1, 2])];
        breaks(&history(vec![view(1, one), view(2, two)]), Evs2, "T(1@1/0001, 2@1/0001) of");
    }

    #[test]
    fn a_configuration_without_its_observer_is_noticed() {
        breaks(&history(vec![view(2, vec![regular(1, &[1])])]), Evs2, "is not in");
    }

    #[test]
    fn a_missing_transitional_configuration_is_noticed() {
        let entries = vec![regular(1, &[1]), regular(2, &[1])];
        breaks(&history(vec![view(1, entries)]), Evs2, "without a transitional");
    }

    #[test]
    fn a_transitional_configuration_that_follows_nothing_is_noticed() {
        breaks(&history(vec![view(1, vec![transitional(1, 2, &[1])])]), Evs2, "begins with");
        let entries = vec![regular(1, &[1]), transitional(1, 2, &[1]), transitional(1, 3, &[1])];
        breaks(&history(vec![view(1, entries)]), Evs2, "not after R");
    }

    #[test]
    fn another_configuration_than_announced_is_noticed() {
        let entries = vec![regular(1, &[1]), transitional(1, 2, &[1]), regular(3, &[1])];
        breaks(&history(vec![view(1, entries)]), Evs2, "announced");
    }

    #[test]
    fn a_message_before_the_first_configuration_is_noticed() {
        let entries = vec![agreed(1, 1, 1, 1).delivered()];
        breaks(&history(vec![view(1, entries)]), Evs2, "before any configuration");
    }

    #[test]
    fn a_ring_id_that_does_not_grow_is_noticed() {
        let entries = vec![regular(2, &[1]), transitional(2, 2, &[1]), regular(2, &[1])];
        breaks(&history(vec![view(1, entries)]), Evs2, "after 2@1/0001");
    }

    #[test]
    fn a_restart_with_its_file_goes_on_growing() {
        let before = view(1, vec![regular(5, &[1])]);
        let mut after = view(1, vec![regular(5, &[1])]);
        after.start = Start::Birth { stored_by: Some(0) };
        breaks(&history(vec![before, after]), Evs2, "after 5@1/0001");
    }

    #[test]
    fn a_stranger_in_a_transitional_configuration_is_noticed() {
        let one = vec![regular(1, &[1]), transitional(1, 2, &[1, 2]), regular(2, &[1, 2])];
        breaks(&history(vec![view(1, one)]), Evs2, "not in 1@1/0001");
    }

    #[test]
    fn a_transitional_member_that_came_from_elsewhere_is_noticed() {
        let one = vec![regular(1, &[1, 2]), transitional(1, 3, &[1, 2]), regular(3, &[1, 2])];
        let two = vec![
            regular(1, &[1, 2]),
            transitional(1, 2, &[2]),
            regular(2, &[2]),
            transitional(2, 3, &[2]),
            regular(3, &[1, 2]),
        ];
        breaks(&history(vec![view(1, one), view(2, two)]), Evs2, "which came from");
    }
}
