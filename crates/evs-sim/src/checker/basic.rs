//! EVS-1, basic delivery: nothing is delivered that was not sent, by a member of R in R; nothing
//! twice; and a message sent in R only in R or in a transitional configuration directly after R.

use std::collections::{BTreeMap, BTreeSet};

use evs_model::{Message, MessageId};

use super::index::{Epoch, Index, Track};
use super::{Violation, violates};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    let mut first: BTreeMap<MessageId, &Message> = BTreeMap::new();
    for track in &index.tracks {
        let mut seen = BTreeSet::new();
        for epoch in &track.epochs {
            for delivery in epoch.deliveries() {
                let message = delivery.message;
                in_its_ring(track, epoch, message)?;
                was_sent(index, track, message)?;
                is_the_same(track, first.entry(message.id).or_insert(message), message)?;
                if !seen.insert(message.id) {
                    return Err(violates!(Evs1, "{} delivered {} twice", track.name(), message.id));
                }
            }
        }
    }
    Ok(())
}

fn in_its_ring(track: &Track<'_>, epoch: &Epoch<'_>, message: &Message) -> Result<(), Violation> {
    let (name, id, ring) = (track.name(), message.id, epoch.ring);
    if message.ring != ring {
        let sent = message.ring;
        return Err(violates!(Evs1, "{name} delivered {id}, sent in {sent}, in {ring}"));
    }
    if !epoch.members.contains(id.sender) {
        let members = epoch.members;
        return Err(violates!(Evs1, "{name} delivered {id} in {ring}, sender not in {members}"));
    }
    Ok(())
}

fn was_sent(index: &Index<'_>, track: &Track<'_>, message: &Message) -> Result<(), Violation> {
    let (name, id) = (track.name(), message.id);
    let Some(accepted) = index.accepted.get(&id) else {
        return if index.history.every_send {
            Err(violates!(Evs1, "{name} delivered {id}, which nobody sent"))
        } else {
            Ok(())
        };
    };
    let sent = accepted.submission;
    if sent.guarantee != message.guarantee {
        let (sent, got) = (sent.guarantee, message.guarantee);
        return Err(violates!(Evs1, "{name} delivered {id} as {got}, it was sent as {sent}"));
    }
    if sent.groups != message.groups {
        let (sent, got) = (&sent.groups, &message.groups);
        return Err(violates!(Evs1, "{name} delivered {id} to {got:?}, it was sent to {sent:?}"));
    }
    Ok(())
}

/// A message has one place: one ring and one seq, whoever delivers it.
fn is_the_same(track: &Track<'_>, first: &Message, message: &Message) -> Result<(), Violation> {
    let ours = (message.ring, message.seq, message.guarantee);
    let theirs = (first.ring, first.seq, first.guarantee);
    if ours == theirs {
        return Ok(());
    }
    let (name, id) = (track.name(), message.id);
    Err(violates!(Evs1, "{name} delivered {id} as {ours:?}, another processor as {theirs:?}"))
}

#[cfg(test)]
mod tests {
    use super::super::Property::Evs1;
    use super::super::fixture::*;

    #[test]
    fn what_was_sent_may_be_delivered_in_r_and_after_it() {
        let (a, b) = (agreed(1, 1, 1, 1), agreed(1, 2, 1, 2));
        let entries = vec![
            regular(1, &[1]),
            a.accepted(),
            b.accepted(),
            a.delivered(),
            transitional(1, 2, &[1]),
            b.delivered(),
            regular(2, &[1]),
        ];
        holds(&history(vec![view(1, entries)]));
    }

    #[test]
    fn a_message_that_nobody_sent_is_noticed() {
        let stray = agreed(1, 1, 1, 1).delivered();
        let history = history(vec![view(1, vec![regular(1, &[1]), stray])]);
        breaks(&history, Evs1, "nobody sent");
    }

    #[test]
    fn a_message_from_outside_the_configuration_is_noticed() {
        let a = agreed(2, 1, 1, 1);
        let sender = view(2, vec![a.accepted()]);
        let history = history(vec![view(1, vec![regular(1, &[1]), a.delivered()]), sender]);
        breaks(&history, Evs1, "sender not in");
    }

    #[test]
    fn a_second_delivery_is_noticed() {
        let a = agreed(1, 1, 1, 1);
        let entries = vec![regular(1, &[1]), a.accepted(), a.delivered(), a.delivered()];
        breaks(&history(vec![view(1, entries)]), Evs1, "twice");
    }

    #[test]
    fn a_delivery_in_another_configuration_is_noticed() {
        let a = agreed(1, 1, 1, 1);
        let entries = vec![
            regular(1, &[1]),
            a.accepted(),
            transitional(1, 2, &[1]),
            regular(2, &[1]),
            a.delivered(),
        ];
        breaks(&history(vec![view(1, entries)]), Evs1, "sent in 1@1/0001, in 2@1/0001");
    }

    #[test]
    fn a_changed_guarantee_is_noticed() {
        let a = agreed(1, 1, 1, 1);
        let weaker = a.with(evs_model::Guarantee::Fifo);
        let entries = vec![regular(1, &[1]), a.accepted(), weaker.delivered()];
        breaks(&history(vec![view(1, entries)]), Evs1, "as fifo");
    }

    #[test]
    fn a_message_with_two_places_is_noticed() {
        let a = agreed(1, 1, 1, 1);
        let elsewhere = agreed(1, 1, 1, 2);
        let one = view(1, vec![regular(1, &[1, 2]), a.accepted(), a.delivered()]);
        let two = view(2, vec![regular(1, &[1, 2]), elsewhere.delivered()]);
        breaks(&history(vec![one, two]), Evs1, "another processor as");
    }
}
