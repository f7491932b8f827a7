//! EVS-5, causality: if a processor sent or delivered m in R before it sent m' in R, and m' is
//! agreed or safe, then whoever delivers m' has delivered m before.
//!
//! An application sees when m' was handed over, which is not after it was sent: what its processor
//! had delivered in R by then, and what the same client had handed over before (and was sent in
//! R), are causes of m'.

use std::collections::BTreeMap;

use evs_model::{ClientId, MessageId, Processor, RingId};

use super::index::{Epoch, Index, Track, is_ordered};
use super::{Violation, violates};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    let mut rings: BTreeMap<RingId, Vec<(&Track<'_>, &Epoch<'_>)>> = BTreeMap::new();
    for (track, epoch) in index.epochs() {
        rings.entry(epoch.ring).or_default().push((track, epoch));
    }
    for views in rings.values() {
        for (deliverer, theirs) in views {
            own_messages_first(index, deliverer, theirs)?;
            for (sender, ours) in views {
                delivered_first(index, (sender, ours), (deliverer, theirs))?;
            }
        }
    }
    Ok(())
}

/// What the sender had delivered in R when m' was handed over comes before m' everywhere.
fn delivered_first(
    index: &Index<'_>,
    (sender, ours): (&Track<'_>, &Epoch<'_>),
    (deliverer, theirs): (&Track<'_>, &Epoch<'_>),
) -> Result<(), Violation> {
    // `latest[i]` is where the deliverer puts the last of the sender's first i deliveries.
    let mut latest = vec![(Place::BeforeAll, None)];
    for cause in &ours.regular {
        let (place, id) = latest[latest.len() - 1];
        let next = Place::of(cause.message.id, deliverer.covers(cause.message), theirs);
        latest.push(if next > place { (next, Some(cause.message.id)) } else { (place, id) });
    }
    for (position, effect) in theirs.deliveries().enumerate() {
        let id = effect.message.id;
        if id.sender != sender.view.processor || !is_ordered(effect.message.guarantee) {
            continue;
        }
        let Some(accepted) = index.accepted.get(&id) else { continue };
        // The place is one of the sender's recording view; only that view is its past.
        let recorded_here =
            std::ptr::eq(&raw const index.history.views[accepted.view], sender.view);
        if !recorded_here || accepted.place < ours.place {
            continue;
        }
        let before = ours.regular.partition_point(|cause| cause.place < accepted.place);
        let (place, cause) = latest[before];
        if let Some(cause) = cause
            && place > Place::At(position)
        {
            return Err(effect_before_cause(deliverer, id, cause, ours.ring));
        }
    }
    Ok(())
}

/// What a client handed over before m', and was sent in R as well, comes before m'.
fn own_messages_first(
    index: &Index<'_>,
    deliverer: &Track<'_>,
    theirs: &Epoch<'_>,
) -> Result<(), Violation> {
    let mut sent: BTreeMap<(Processor, ClientId), Vec<MessageId>> = BTreeMap::new();
    for (track, epoch) in index.epochs().filter(|(_, epoch)| epoch.ring == theirs.ring) {
        for delivery in epoch.deliveries() {
            let id = delivery.message.id;
            if track.view.processor == id.sender && deliverer.covers(delivery.message) {
                sent.entry((id.sender, id.client)).or_default().push(id);
            }
        }
    }
    for list in sent.values_mut() {
        list.sort_unstable();
        list.dedup();
        let mut latest = (Place::BeforeAll, None);
        for id in list.iter() {
            let place = Place::of(*id, true, theirs);
            let effect = theirs.position(*id).and_then(|at| theirs.deliveries().nth(at));
            if let Some(effect) = effect
                && is_ordered(effect.message.guarantee)
                && let (last, Some(cause)) = latest
                && last > place
            {
                return Err(effect_before_cause(deliverer, *id, cause, theirs.ring));
            }
            if place > latest.0 {
                latest = (place, Some(*id));
            }
        }
    }
    Ok(())
}

fn effect_before_cause(
    deliverer: &Track<'_>,
    effect: MessageId,
    cause: MessageId,
    ring: RingId,
) -> Violation {
    let name = deliverer.name();
    violates!(Evs5, "{name} delivered {effect} in {ring} before its cause {cause}")
}

/// Where a view puts a message, seen from another message that came after it elsewhere.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
enum Place {
    /// The view does not show it, and need not: it counts as delivered.
    BeforeAll,
    /// Its position in the epoch.
    At(usize),
    /// Not delivered in R or T(R, R').
    Nowhere,
}

impl Place {
    fn of(id: MessageId, covered: bool, epoch: &Epoch<'_>) -> Self {
        match epoch.position(id) {
            Some(position) => Self::At(position),
            None if covered && epoch.whole => Self::Nowhere,
            None => Self::BeforeAll,
        }
    }
}

#[cfg(test)]
mod tests {
    use evs_model::Guarantee::{Fifo, Unordered};

    use super::super::Property::Evs5;
    use super::super::fixture::*;
    use crate::history::{Entry, History};

    /// 1 sends a; 2 delivers it and answers with b; 3 delivers what is given.
    fn answered(a: Letter, b: Letter, three: Vec<Entry>) -> History {
        let all = [1, 2, 3];
        let one = vec![regular(1, &all), a.accepted(), a.delivered(), b.delivered()];
        let two = vec![regular(1, &all), a.delivered(), b.accepted(), b.delivered()];
        let mut third = vec![regular(1, &all)];
        third.extend(three);
        history(vec![view(1, one), view(2, two), view(3, third)])
    }

    fn unordered_then_agreed() -> (Letter, Letter) {
        (agreed(1, 1, 1, 1).with(Unordered), agreed(2, 1, 1, 2))
    }

    #[test]
    fn the_cause_first_is_legal() {
        let (a, b) = unordered_then_agreed();
        holds(&answered(a, b, vec![a.delivered(), b.delivered()]));
    }

    #[test]
    fn the_effect_first_is_noticed() {
        let (a, b) = unordered_then_agreed();
        let history = answered(a, b, vec![b.delivered(), a.delivered()]);
        breaks(&history, Evs5, "3/0003 delivered 2/0002:c1:1 in 1@1/0001 before its cause");
    }

    #[test]
    fn the_effect_alone_is_noticed() {
        let (a, b) = unordered_then_agreed();
        breaks(&answered(a, b, vec![b.delivered()]), Evs5, "before its cause 1/0001:c1:1");
    }

    #[test]
    fn a_fifo_message_is_no_effect() {
        let (a, b) = unordered_then_agreed();
        let b = b.with(Fifo);
        holds(&answered(a, b, vec![b.delivered(), a.delivered()]));
    }

    #[test]
    fn an_own_earlier_message_is_a_cause() {
        let (a, b) = (agreed(1, 1, 1, 1).with(Unordered), agreed(1, 2, 1, 2));
        let one = vec![regular(1, &[1, 2]), a.accepted(), b.accepted()];
        let one = [one, vec![a.delivered(), b.delivered()]].concat();
        let two = vec![regular(1, &[1, 2]), b.delivered()];
        breaks(&history(vec![view(1, one), view(2, two)]), Evs5, "before its cause");
    }

    #[test]
    fn a_message_handed_over_before_the_delivery_is_no_effect_of_it() {
        let (a, b) = unordered_then_agreed();
        let all = [1, 2, 3];
        let one = vec![regular(1, &all), a.accepted(), a.delivered(), b.delivered()];
        let two = vec![regular(1, &all), b.accepted(), a.delivered(), b.delivered()];
        let three = vec![regular(1, &all), b.delivered(), a.delivered()];
        holds(&history(vec![view(1, one), view(2, two), view(3, three)]));
    }
}
