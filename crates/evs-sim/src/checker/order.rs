//! EVS-6, agreed order: one total order over all agreed and safe messages of R. In R every
//! processor delivers a prefix of it; in T(R, R') it goes on in that order, and a gap is allowed
//! only there and only for a sender that is in none of the obligations.
//!
//! Obligations cannot be seen from outside, but every member of T(R, R') is one
//! (`docs/protocol.md` §2): so no gap may hide a message of such a member.

use std::collections::BTreeMap;

use evs_model::{Members, Message, MessageId, RingId};

use super::index::{Delivery, Epoch, Index, Track, is_ordered};
use super::{Violation, violates};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    let mut orders: BTreeMap<RingId, Order<'_>> = BTreeMap::new();
    for (_, epoch) in index.epochs() {
        orders.entry(epoch.ring).or_default().learn(epoch, |m| is_ordered(m.guarantee));
    }
    for order in orders.values_mut() {
        order.number();
    }
    for (track, epoch) in index.epochs() {
        let Some(order) = orders.get(&epoch.ring) else { continue };
        in_order(track, epoch, order)?;
        without_gaps(track, epoch, order)?;
    }
    Ok(())
}

/// The order of some messages of one ring, put together from all that delivered any of them: by
/// seq, and within one packet as delivered.
#[derive(Default)]
pub(super) struct Order<'a> {
    packets: BTreeMap<u64, Vec<&'a Message>>,
    list: Vec<&'a Message>,
    places: BTreeMap<MessageId, usize>,
}

impl<'a> Order<'a> {
    /// Adds what one view delivered. Where two views disagree, the first has its way and the
    /// second will be found out of order.
    pub(super) fn learn(&mut self, epoch: &Epoch<'a>, take: impl Fn(&Message) -> bool) {
        let mut before: Option<MessageId> = None;
        for delivery in epoch.deliveries().filter(|delivery| take(delivery.message)) {
            let message = delivery.message;
            let packet = self.packets.entry(message.seq).or_default();
            if !packet.iter().any(|known| known.id == message.id) {
                let after = packet.iter().position(|known| Some(known.id) == before);
                packet.insert(after.map_or(packet.len(), |i| i + 1), message);
            }
            before = Some(message.id);
        }
    }

    /// Gives every message its place, once all views have been learnt.
    pub(super) fn number(&mut self) {
        self.list = self.packets.values().flatten().copied().collect();
        self.places = self.list.iter().enumerate().map(|(i, m)| (m.id, i)).collect();
    }

    pub(super) fn place(&self, id: MessageId) -> Option<usize> {
        self.places.get(&id).copied()
    }

    /// The first message between two places (both excluded) that this view should have shown.
    pub(super) fn skipped(
        &self,
        track: &Track<'_>,
        after: Option<usize>,
        before: usize,
        counts: impl Fn(&Message) -> bool,
    ) -> Option<&'a Message> {
        let from = after.map_or(0, |place| place + 1);
        let between = self.list.get(from..before)?;
        between.iter().copied().find(|m| track.covers(m) && counts(m))
    }
}

fn in_order(track: &Track<'_>, epoch: &Epoch<'_>, order: &Order<'_>) -> Result<(), Violation> {
    let mut last: Option<(usize, MessageId)> = None;
    for delivery in epoch.deliveries() {
        let id = delivery.message.id;
        let Some(place) = order.place(id) else { continue };
        if let Some((before, other)) = last
            && place <= before
        {
            let (name, ring) = (track.name(), epoch.ring);
            return Err(violates!(
                Evs6,
                "{name} delivered {id} after {other} in {ring}, against the order of the others"
            ));
        }
        last = Some((place, id));
    }
    Ok(())
}

fn without_gaps(track: &Track<'_>, epoch: &Epoch<'_>, order: &Order<'_>) -> Result<(), Violation> {
    let mut last: Option<usize> = None;
    let mut known = epoch.whole;
    let mut walk = |delivery: &Delivery<'_>, transitional: Option<&Members>| {
        let id = delivery.message.id;
        let Some(place) = order.place(id) else { return Ok(()) };
        let gap = order.skipped(track, last, place, |missing| {
            transitional.is_none_or(|members| members.contains(missing.id.sender))
        });
        // A view from the middle of R shows a run of the order instead of a prefix.
        let started = std::mem::replace(&mut known, true);
        last = Some(place);
        match gap {
            Some(missing) if started => {
                let (name, missing, ring) = (track.name(), missing.id, epoch.ring);
                let t = transitional.map_or_else(String::new, |members| format!(", T {members}"));
                Err(violates!(Evs6, "{name} delivered {id} without {missing} in {ring}{t}"))
            }
            Some(_) | None => Ok(()),
        }
    };
    epoch.regular.iter().try_for_each(|delivery| walk(delivery, None))?;
    let Some(transition) = &epoch.transition else { return Ok(()) };
    transition.deliveries.iter().try_for_each(|d| walk(d, Some(transition.members)))
}

#[cfg(test)]
mod tests {
    use evs_model::Guarantee::Safe;

    use super::super::Property::Evs6;
    use super::super::fixture::*;
    use crate::history::{End, Entry, History, Start};

    /// Processor 1 sent all, delivers all and fails; 2 delivers what is given.
    fn against_all(letters: &[Letter], two: Vec<Entry>) -> History {
        let mut one = vec![regular(1, &[1, 2])];
        one.extend(letters.iter().map(|letter| letter.accepted()));
        one.extend(letters.iter().map(|letter| letter.delivered()));
        let mut one = view(1, one);
        one.end = End::Crashed;
        history(vec![one, view(2, two)])
    }

    fn abc() -> [Letter; 3] {
        [agreed(1, 1, 1, 1), agreed(1, 2, 1, 2), agreed(1, 3, 1, 3)]
    }

    #[test]
    fn a_prefix_is_legal() {
        let [a, b, c] = abc();
        let two = vec![regular(1, &[1, 2]), a.delivered(), b.delivered()];
        holds(&against_all(&[a, b, c], two));
    }

    #[test]
    fn another_order_is_noticed() {
        let [a, b, c] = abc();
        let two = vec![regular(1, &[1, 2]), b.delivered(), a.delivered()];
        breaks(&against_all(&[a, b, c], two), Evs6, "against the order");
    }

    #[test]
    fn another_order_within_one_packet_is_noticed() {
        let (a, b) = (agreed(1, 1, 1, 7), agreed(1, 2, 1, 7));
        let two = vec![regular(1, &[1, 2]), b.delivered(), a.delivered()];
        breaks(&against_all(&[a, b], two), Evs6, "against the order");
    }

    #[test]
    fn a_gap_in_r_is_noticed() {
        let [a, b, c] = abc();
        let two = vec![regular(1, &[1, 2]), a.delivered(), c.delivered()];
        breaks(&against_all(&[a, b, c], two), Evs6, "1/0001:c1:3 without 1/0001:c1:2");
    }

    #[test]
    fn an_agreed_message_that_passes_a_safe_one_is_noticed() {
        let (a, b) = (agreed(1, 1, 1, 1).with(Safe), agreed(1, 2, 1, 2));
        let two = vec![regular(1, &[1, 2]), b.delivered()];
        breaks(&against_all(&[a, b], two), Evs6, "without 1/0001:c1:1");
    }

    /// 3 sent b, which only 3 has; 1 and 2 go on together.
    fn gap_in_t(sender_of_b: u32) -> History {
        let (a, b, c) = (agreed(1, 1, 1, 1), agreed(sender_of_b, 9, 1, 2), agreed(2, 1, 1, 3));
        let all = [1, 2, 3];
        let survivor = |node: u32, first: Vec<Entry>| {
            let mut entries = vec![regular(1, &all)];
            entries.extend(first);
            entries.push(a.delivered());
            entries.extend([transitional(1, 2, &[1, 2]), c.delivered(), regular(2, &[1, 2])]);
            view(node, entries)
        };
        let mut three = view(3, vec![regular(1, &all), b.accepted(), a.delivered(), b.delivered()]);
        three.end = End::Crashed;
        history(vec![survivor(1, vec![a.accepted()]), survivor(2, vec![c.accepted()]), three])
    }

    #[test]
    fn a_gap_of_a_lost_sender_in_t_is_legal() {
        holds(&gap_in_t(3));
    }

    #[test]
    fn a_gap_of_a_member_in_t_is_noticed() {
        breaks(&gap_in_t(2), Evs6, "without 2/0002:c1:9 in 1@1/0001, T {1/0001 2/0002}");
    }

    #[test]
    fn a_view_from_the_middle_shows_a_run() {
        let [a, b, c] = abc();
        let mut history =
            against_all(&[a, b, c], vec![regular(1, &[1, 2]), b.delivered(), c.delivered()]);
        history.views[1].start = Start::Midway;
        holds(&history);
        let entries = vec![regular(1, &[1, 2]), a.delivered(), c.delivered()];
        let mut history = against_all(&[a, b, c], entries);
        history.views[1].start = Start::Midway;
        breaks(&history, Evs6, "without");
    }
}
