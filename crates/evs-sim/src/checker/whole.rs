//! EVS-12, whole messages: what is delivered is, byte for byte, what was handed over.

use std::collections::BTreeMap;

use bytes::Bytes;
use evs_model::MessageId;

use super::index::Index;
use super::{Violation, violates};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    let mut first: BTreeMap<MessageId, &Bytes> = BTreeMap::new();
    for (track, epoch) in index.epochs() {
        for delivery in epoch.deliveries() {
            let (id, found) = (delivery.message.id, &delivery.message.body);
            // A message whose sender recorded nothing must at least be the same everywhere.
            let sent = match index.accepted.get(&id) {
                Some(accepted) => &accepted.submission.body,
                None => first.entry(id).or_insert(found),
            };
            if found != sent {
                let at = found.iter().zip(sent).position(|(a, b)| a != b);
                let at = at.unwrap_or_else(|| found.len().min(sent.len()));
                let (found, sent) = (found.len(), sent.len());
                let name = track.name();
                return Err(violates!(
                    Evs12,
                    "{name} delivered {found} bytes for the {sent} of {id}; they differ from byte \
                     {at} on"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Property::Evs12;
    use super::super::fixture::*;
    use crate::history::Entry;

    fn delivered(change: impl FnOnce(&mut Vec<u8>)) -> crate::history::History {
        let a = agreed(1, 1, 1, 1);
        let mut message = a.message();
        let mut body = message.body.to_vec();
        change(&mut body);
        message.body = body.into();
        let entries = vec![regular(1, &[1]), a.accepted(), Entry::Delivered(message)];
        history(vec![view(1, entries)])
    }

    #[test]
    fn a_whole_body_is_legal() {
        holds(&delivered(|_| {}));
    }

    #[test]
    fn a_lost_tail_is_noticed() {
        breaks(&delivered(|body| body.truncate(20)), Evs12, "20 bytes for the 40");
    }

    #[test]
    fn a_mixed_body_is_noticed() {
        breaks(&delivered(|body| body[30] ^= 1), Evs12, "from byte 30 on");
    }

    #[test]
    fn two_contents_of_an_unrecorded_message_are_noticed() {
        let a = agreed(1, 1, 1, 1);
        let mut other = a.message();
        other.body = bytes::Bytes::from_static(b"other");
        let one = view(1, vec![regular(1, &[1, 2]), a.delivered()]);
        let two = view(2, vec![regular(1, &[1, 2]), Entry::Delivered(other)]);
        let mut history = history(vec![one, two]);
        history.every_send = false;
        breaks(&history, Evs12, "they differ from byte 0 on");
    }
}
