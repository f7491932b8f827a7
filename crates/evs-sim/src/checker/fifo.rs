//! EVS-8, FIFO: messages of one processor with FIFO or stronger are delivered in the order sent,
//! across guarantees, without gaps: who delivers the second has delivered the first.

use std::collections::BTreeMap;

use evs_model::{ClientId, Guarantee, Message, Processor, RingId};

use super::index::{Accepted, Epoch, Index, Track};
use super::order::Order;
use super::{Violation, violates};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    let mut orders: BTreeMap<(RingId, Processor), Order<'_>> = BTreeMap::new();
    for (_, epoch) in index.epochs() {
        for sender in epoch.members {
            let order = orders.entry((epoch.ring, sender)).or_default();
            order.learn(epoch, |m| m.id.sender == sender && is_fifo(m));
        }
    }
    orders.values_mut().for_each(Order::number);
    let streams = Streams::new(index);
    for (track, epoch) in index.epochs() {
        for sender in epoch.members {
            if let Some(order) = orders.get(&(epoch.ring, sender)) {
                as_sent(track, epoch, order)?;
            }
        }
        streams.without_losses(index, track, epoch)?;
    }
    Ok(())
}

fn is_fifo(message: &Message) -> bool {
    message.guarantee >= Guarantee::Fifo
}

/// In R and in T alike: past a gap nothing is delivered of a sender of which something is missing.
fn as_sent(track: &Track<'_>, epoch: &Epoch<'_>, order: &Order<'_>) -> Result<(), Violation> {
    let (name, ring) = (track.name(), epoch.ring);
    let mut last: Option<usize> = None;
    for delivery in epoch.deliveries() {
        let id = delivery.message.id;
        let Some(place) = order.place(id) else { continue };
        if last.is_some_and(|last| place <= last) {
            return Err(violates!(
                Evs8,
                "{name} delivered {id} out of its sender's order in {ring}"
            ));
        }
        let known = epoch.whole || last.is_some();
        if let Some(missing) = order.skipped(track, last, place, |_| true)
            && known
        {
            let missing = missing.id;
            return Err(violates!(Evs8, "{name} delivered {id} without {missing} in {ring}"));
        }
        last = Some(place);
    }
    Ok(())
}

/// What each client handed over with FIFO or stronger, in order.
struct Streams<'i, 'a>(BTreeMap<(Processor, ClientId), Vec<&'i Accepted<'a>>>);

impl<'i, 'a> Streams<'i, 'a> {
    fn new(index: &'i Index<'a>) -> Self {
        let mut streams: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, accepted) in &index.accepted {
            if accepted.submission.guarantee >= Guarantee::Fifo {
                streams.entry((id.sender, id.client)).or_default().push(accepted);
            }
        }
        Self(streams)
    }

    /// Who delivers a client's message in R has delivered the one before it, unless its sender
    /// delivered that in an earlier configuration. Seen from the client: the numbers grow, and
    /// none is lost on the way to the ring.
    fn without_losses(
        &self,
        index: &Index<'_>,
        track: &Track<'_>,
        epoch: &Epoch<'_>,
    ) -> Result<(), Violation> {
        let (name, ring) = (track.name(), epoch.ring);
        let mut last: BTreeMap<(Processor, ClientId), u64> = BTreeMap::new();
        for delivery in epoch.deliveries().filter(|delivery| is_fifo(delivery.message)) {
            let id = delivery.message.id;
            let key = (id.sender, id.client);
            let before = last.insert(key, id.number);
            if before.is_some_and(|before| before >= id.number) {
                return Err(violates!(Evs8, "{name} delivered {id} after a later one in {ring}"));
            }
            let Some(stream) = self.0.get(&key) else { continue };
            let at = stream.partition_point(|a| a.submission.id.number < id.number);
            let Some(previous) = at.checked_sub(1).map(|i| stream[i]) else { continue };
            let missing = previous.submission.id;
            let seen = before.is_some_and(|before| before >= missing.number)
                || !track.view.scope.covers(&previous.submission.groups)
                || (!epoch.whole && before.is_none());
            if !seen && !was_sent_before(index, previous, ring) {
                return Err(violates!(Evs8, "{name} delivered {id} without {missing} in {ring}"));
            }
        }
        Ok(())
    }
}

/// Whether the sender's own view shows the message before this ring, or cannot tell.
fn was_sent_before(index: &Index<'_>, accepted: &Accepted<'_>, ring: RingId) -> bool {
    let Some(sender) = index.tracks.get(accepted.view) else { return true };
    let id = accepted.submission.id;
    let can_tell = sender.view.scope.covers(&accepted.submission.groups);
    let Some(epoch) = sender.epoch(ring) else { return true };
    let before = sender.epochs.iter().take_while(|earlier| earlier.ring != ring);
    !can_tell || !epoch.whole || before.into_iter().any(|earlier| earlier.has(id))
}

#[cfg(test)]
mod tests {
    use evs_model::Guarantee::{Fifo, Safe, Unordered};

    use super::super::Property::Evs8;
    use super::super::fixture::*;
    use crate::history::{End, Entry, History};

    fn sent(letters: &[Letter], two: Vec<Entry>) -> History {
        let mut one = vec![regular(1, &[1, 2])];
        one.extend(letters.iter().map(|letter| letter.accepted()));
        one.extend(letters.iter().map(|letter| letter.delivered()));
        let mut one = view(1, one);
        one.end = End::Crashed;
        history(vec![one, view(2, two)])
    }

    fn letters() -> [Letter; 3] {
        [agreed(1, 1, 1, 1).with(Fifo), agreed(1, 2, 1, 2).with(Safe), agreed(1, 3, 1, 3)]
    }

    #[test]
    fn the_order_sent_is_legal() {
        let [a, b, c] = letters();
        let two = vec![regular(1, &[1, 2]), a.delivered(), b.delivered(), c.delivered()];
        holds(&sent(&[a, b, c], two));
    }

    #[test]
    fn two_guarantees_in_another_order_are_noticed() {
        let [a, b, c] = letters();
        let two = vec![regular(1, &[1, 2]), b.delivered(), a.delivered()];
        breaks(&sent(&[a, b, c], two), Evs8, "without 1/0001:c1:1");
    }

    #[test]
    fn a_gap_is_noticed() {
        let [a, b, c] = letters();
        let two = vec![regular(1, &[1, 2]), a.delivered(), c.delivered()];
        breaks(&sent(&[a, b, c], two), Evs8, "1/0001:c1:3 without 1/0001:c1:2");
    }

    #[test]
    fn a_gap_in_t_is_noticed_too() {
        let [a, b, c] = letters();
        let two = vec![
            regular(1, &[1, 2]),
            a.delivered(),
            transitional(1, 2, &[2]),
            c.delivered(),
            regular(2, &[2]),
        ];
        breaks(&sent(&[a, b, c], two), Evs8, "1/0001:c1:3 without 1/0001:c1:2");
    }

    #[test]
    fn an_unordered_message_may_be_missing_before_it() {
        let (a, b) = (agreed(1, 1, 1, 1).with(Unordered), agreed(1, 2, 1, 2).with(Fifo));
        holds(&sent(&[a, b], vec![regular(1, &[1, 2]), b.delivered()]));
    }

    #[test]
    fn a_message_that_was_accepted_and_then_forgotten_is_noticed() {
        let (a, b) = (agreed(1, 1, 1, 1), agreed(1, 2, 1, 2));
        let one = vec![regular(1, &[1]), a.accepted(), b.accepted(), b.delivered()];
        breaks(&history(vec![view(1, one)]), Evs8, "1/0001:c1:2 without 1/0001:c1:1");
    }

    #[test]
    fn a_message_of_an_earlier_configuration_is_not_missed() {
        let (a, b) = (agreed(1, 1, 1, 1), agreed(1, 2, 3, 1));
        let one = vec![
            regular(1, &[1]),
            a.accepted(),
            b.accepted(),
            a.delivered(),
            transitional(1, 3, &[1]),
            regular(3, &[1, 2]),
            b.delivered(),
        ];
        let two =
            vec![regular(2, &[2]), transitional(2, 3, &[2]), regular(3, &[1, 2]), b.delivered()];
        holds(&history(vec![view(1, one), view(2, two)]));
    }
}
