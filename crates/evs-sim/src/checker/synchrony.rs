//! EVS-4, virtual synchrony: two processors that deliver R, T(R, R') and R' delivered the same set
//! of messages in R and the same set in T(R, R'). (The same order of agreed and safe ones is
//! EVS-6, whether they go together or not.)

use std::collections::BTreeMap;

use evs_model::{MessageId, RingId};

use super::index::{Delivery, Epoch, Index, Track};
use super::{Violation, violates};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    type Travellers<'i, 'a> = Vec<(&'i Track<'a>, &'i Epoch<'a>)>;
    let mut together: BTreeMap<(RingId, RingId), Travellers<'_, '_>> = BTreeMap::new();
    for (track, epoch) in index.epochs().filter(|(_, epoch)| epoch.closed) {
        if let Some(transition) = &epoch.transition {
            together.entry((epoch.ring, transition.to)).or_default().push((track, epoch));
        }
    }
    for travellers in together.values() {
        for (i, one) in travellers.iter().enumerate() {
            for two in &travellers[i + 1..] {
                same_sets(*one, *two)?;
                same_sets(*two, *one)?;
            }
        }
    }
    Ok(())
}

/// Whatever the one delivered, the other delivered in the same configuration.
fn same_sets(
    (one, theirs): (&Track<'_>, &Epoch<'_>),
    (two, ours): (&Track<'_>, &Epoch<'_>),
) -> Result<(), Violation> {
    let after = |epoch: &Epoch<'_>| epoch.transition.as_ref().map(|t| t.to);
    let (name, other, from) = (two.name(), one.name(), ours.ring);
    // A view that starts in the middle of R does not show what came before.
    if ours.whole
        && theirs.whole
        && let Some(id) = missing(two, &theirs.regular, &ours.regular)
    {
        return Err(violates!(Evs4, "{name} did not deliver {id} in R = {from}, {other} did"));
    }
    let (Some(to), Some(theirs), Some(ours)) = (after(ours), &theirs.transition, &ours.transition)
    else {
        return Ok(());
    };
    match missing(two, &theirs.deliveries, &ours.deliveries) {
        None => Ok(()),
        Some(id) => {
            Err(violates!(Evs4, "{name} did not deliver {id} in T({from}, {to}), {other} did"))
        }
    }
}

/// The first message that only the first list holds, though this view would show it.
fn missing(track: &Track<'_>, has: &[Delivery<'_>], lacks: &[Delivery<'_>]) -> Option<MessageId> {
    let mut ids: Vec<MessageId> = lacks.iter().map(|delivery| delivery.message.id).collect();
    ids.sort_unstable();
    has.iter()
        .map(|delivery| delivery.message)
        .find(|message| track.covers(message) && ids.binary_search(&message.id).is_err())
        .map(|message| message.id)
}

#[cfg(test)]
mod tests {
    use super::super::Property::Evs4;
    use super::super::fixture::*;
    use crate::history::{End, Entry, Scope, Start};

    fn through(r: Vec<Entry>, t: Vec<Entry>) -> Vec<Entry> {
        let mut entries = vec![regular(1, &[1, 2])];
        entries.extend(r);
        entries.push(transitional(1, 2, &[1, 2]));
        entries.extend(t);
        entries.push(regular(2, &[1, 2]));
        entries
    }

    #[test]
    fn the_same_sets_are_legal() {
        let a = agreed(1, 1, 1, 1);
        let one = view(1, through(vec![a.accepted(), a.delivered()], vec![]));
        let two = view(2, through(vec![a.delivered()], vec![]));
        holds(&history(vec![one, two]));
    }

    #[test]
    fn a_message_missing_in_r_is_noticed() {
        let a = agreed(1, 1, 1, 1);
        let one = view(1, through(vec![a.accepted(), a.delivered()], vec![]));
        let two = view(2, through(vec![], vec![]));
        breaks(&history(vec![one, two]), Evs4, "2/0002 did not deliver 1/0001:c1:1 in R");
    }

    #[test]
    fn a_message_missing_in_t_is_noticed() {
        let a = agreed(1, 1, 1, 1);
        let one = view(1, through(vec![a.accepted()], vec![a.delivered()]));
        let two = view(2, through(vec![], vec![]));
        breaks(&history(vec![one, two]), Evs4, "in T(1@1/0001, 2@1/0001)");
    }

    #[test]
    fn a_message_of_r_at_one_and_of_t_at_the_other_is_noticed() {
        let a = agreed(1, 1, 1, 1);
        let one = view(1, through(vec![a.accepted(), a.delivered()], vec![]));
        let two = view(2, through(vec![], vec![a.delivered()]));
        breaks(&history(vec![one, two]), Evs4, "in R");
    }

    #[test]
    fn who_failed_on_the_way_is_excused() {
        let a = agreed(1, 1, 1, 1);
        let one = view(1, through(vec![a.accepted(), a.delivered()], vec![]));
        let mut two = view(2, vec![regular(1, &[1, 2]), transitional(1, 2, &[1, 2])]);
        two.end = End::Crashed;
        holds(&history(vec![one, two]));
    }

    #[test]
    fn a_view_from_the_middle_of_r_is_held_to_what_follows() {
        let (a, b) = (agreed(1, 1, 1, 1), agreed(1, 2, 1, 2));
        let sent = vec![a.accepted(), b.accepted(), a.delivered()];
        let one = view(1, through(sent, vec![b.delivered()]));
        let mut two = view(2, through(vec![], vec![b.delivered()]));
        two.start = Start::Midway;
        holds(&history(vec![one.clone(), two]));
        let mut deaf = view(2, through(vec![], vec![]));
        deaf.start = Start::Midway;
        breaks(&history(vec![one, deaf]), Evs4, "in T");
    }

    #[test]
    fn a_view_of_other_groups_is_not_held_to_these() {
        let a = agreed(1, 1, 1, 1);
        let one = view(1, through(vec![a.accepted(), a.delivered()], vec![]));
        let mut two = view(2, through(vec![], vec![]));
        two.scope = Scope::Groups([group("other")].into());
        holds(&history(vec![one, two]));
    }
}
