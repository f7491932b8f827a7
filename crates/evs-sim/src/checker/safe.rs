//! EVS-7, safe delivery: if any processor delivers a safe message in R, every member of R has
//! delivered R and delivers the message unless it fails. If one delivers it in T(R, R'), every
//! member of T(R, R') delivers it, there or in another transitional configuration after R, unless
//! it fails.

use evs_model::{Guarantee, Members, Message};

use super::index::{Epoch, Index, Track};
use super::{Violation, violates};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    for (track, epoch) in index.epochs() {
        for delivery in &epoch.regular {
            if delivery.message.guarantee == Guarantee::Safe {
                installed_everywhere(index, track, epoch, delivery.message)?;
                delivered_by(index, epoch.members, track, epoch, delivery.message)?;
            }
        }
        let Some(transition) = &epoch.transition else { continue };
        for delivery in &transition.deliveries {
            if delivery.message.guarantee == Guarantee::Safe {
                delivered_by(index, transition.members, track, epoch, delivery.message)?;
            }
        }
    }
    Ok(())
}

/// Every member of R has delivered configuration R, also one that failed later.
fn installed_everywhere(
    index: &Index<'_>,
    deliverer: &Track<'_>,
    epoch: &Epoch<'_>,
    message: &Message,
) -> Result<(), Violation> {
    let lacks = index.tracks.iter().find(|track| {
        let complete = track.view.start != crate::history::Start::Midway;
        complete
            && epoch.members.contains(track.view.processor)
            && track.epoch(epoch.ring).is_none()
    });
    match lacks {
        None => Ok(()),
        Some(lacks) => {
            let (name, id, ring, lacks) = (deliverer.name(), message.id, epoch.ring, lacks.name());
            Err(violates!(
                Evs7,
                "{name} delivered safe {id} in {ring}, which {lacks} never delivered"
            ))
        }
    }
}

/// Every one of these members that went on beyond R, or stayed up, has delivered the message.
fn delivered_by(
    index: &Index<'_>,
    members: &Members,
    deliverer: &Track<'_>,
    epoch: &Epoch<'_>,
    message: &Message,
) -> Result<(), Violation> {
    for track in &index.tracks {
        if !members.contains(track.view.processor) || !track.covers(message) {
            continue;
        }
        let Some(theirs) = track.epoch(epoch.ring) else { continue };
        if theirs.whole && track.owes(theirs) && !theirs.has(message.id) {
            let (name, id, ring, lacks) = (deliverer.name(), message.id, epoch.ring, track.name());
            return Err(violates!(
                Evs7,
                "{name} delivered safe {id} of {ring} with {members}, {lacks} never did"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use evs_model::Guarantee::Safe;

    use super::super::Property::Evs7;
    use super::super::fixture::*;
    use crate::history::{End, Entry, History};

    /// 1 sends a safe message; each then ends as given.
    fn sent(one: Vec<Entry>, two: Vec<Entry>) -> History {
        let a = agreed(1, 1, 1, 1).with(Safe);
        let mut first = vec![regular(1, &[1, 2]), a.accepted()];
        first.extend(one);
        let mut second = vec![regular(1, &[1, 2])];
        second.extend(two);
        history(vec![view(1, first), view(2, second)])
    }

    fn a() -> Entry {
        agreed(1, 1, 1, 1).with(Safe).delivered()
    }

    #[test]
    fn delivered_in_r_by_one_and_in_t_by_the_other_is_legal() {
        let two = vec![transitional(1, 2, &[2]), a(), regular(2, &[2])];
        holds(&sent(vec![a()], two));
    }

    #[test]
    fn a_member_of_r_that_went_on_without_it_is_noticed() {
        let two = vec![transitional(1, 2, &[2]), regular(2, &[2])];
        breaks(&sent(vec![a()], two), Evs7, "2/0002 never did");
    }

    #[test]
    fn a_member_that_failed_is_excused() {
        let mut history = sent(vec![a()], vec![]);
        history.views[1].end = End::Crashed;
        holds(&history);
    }

    #[test]
    fn a_member_that_failed_before_it_delivered_r_is_noticed() {
        let mut history = sent(vec![a()], vec![]);
        history.views[1].end = End::Crashed;
        history.views[1].entries = vec![regular(0, &[2])];
        breaks(&history, Evs7, "which 2/0002 never delivered");
    }

    /// 1 delivers it in T(1, 3) of {1, 2}; 2 was cut off and took another way.
    #[test]
    fn a_member_of_t_that_took_another_way_still_delivers_it() {
        let one = || vec![transitional(1, 3, &[1, 2]), a(), regular(3, &[1, 2])];
        let two = vec![transitional(1, 4, &[2]), a(), regular(4, &[2])];
        holds(&sent(one(), two));
        let two = vec![transitional(1, 4, &[2]), regular(4, &[2])];
        breaks(&sent(one(), two), Evs7, "with {1/0001 2/0002}, 2/0002 never did");
    }

    #[test]
    fn who_is_not_in_t_owes_nothing() {
        let one = vec![transitional(1, 3, &[1]), a(), regular(3, &[1])];
        holds(&sent(one, vec![transitional(1, 4, &[2]), regular(4, &[2])]));
    }
}
