//! EVS-3, self-delivery: a processor that sends m in R delivers m before its next regular
//! configuration, unless it fails.
//!
//! An application learns in which configuration a message was sent from its delivery, wherever
//! that is; what was accepted and delivered nowhere is LIVE-2's business.

use std::collections::BTreeMap;

use evs_model::{Message, MessageId, Processor, RingId};

use super::index::Index;
use super::{Violation, violates};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    type BySender<'a> = BTreeMap<(RingId, Processor), BTreeMap<MessageId, &'a Message>>;
    let mut sent = BySender::new();
    for (_, epoch) in index.epochs() {
        for delivery in epoch.deliveries() {
            let message = delivery.message;
            let sender = (message.ring, message.id.sender);
            sent.entry(sender).or_default().insert(message.id, message);
        }
    }
    for (track, epoch) in index.epochs() {
        if !epoch.whole || !track.owes(epoch) {
            continue;
        }
        let own = sent.get(&(epoch.ring, track.view.processor)).into_iter().flatten();
        for (id, message) in own {
            if track.covers(message) && !epoch.has(*id) {
                let (name, ring) = (track.name(), epoch.ring);
                return Err(violates!(Evs3, "{name} did not deliver its own {id}, sent in {ring}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Property::Evs3;
    use super::super::fixture::*;
    use crate::history::{End, History};

    /// 2 delivers what 1 sent; 1 goes on to the next configuration without it, or with it.
    fn sent_by_one(delivered: bool) -> History {
        let a = agreed(1, 1, 1, 1);
        let mut one = vec![regular(1, &[1, 2]), a.accepted()];
        if delivered {
            one.push(a.delivered());
        }
        one.extend([transitional(1, 2, &[1]), regular(2, &[1])]);
        let mut two = view(2, vec![regular(1, &[1, 2]), a.delivered()]);
        two.end = End::Crashed;
        history(vec![view(1, one), two])
    }

    #[test]
    fn an_own_message_in_r_is_legal() {
        holds(&sent_by_one(true));
    }

    #[test]
    fn an_own_message_that_is_skipped_is_noticed() {
        breaks(&sent_by_one(false), Evs3, "did not deliver its own 1/0001:c1:1");
    }

    #[test]
    fn who_fails_first_is_excused() {
        let mut history = sent_by_one(false);
        history.views[0].entries.truncate(3);
        history.views[0].end = End::Crashed;
        holds(&history);
    }

    #[test]
    fn nothing_excuses_it_in_a_settled_run() {
        let mut history = sent_by_one(false);
        history.views[0].entries.truncate(2);
        history.views[0].settled = Some(2);
        breaks(&history, Evs3, "its own");
    }
}
