//! LIVE-2: what was accepted is sent and delivered everywhere. The faults have stopped and a bound
//! has passed ([`View::settled`](crate::history::View::settled)). An orderly leave told how many
//! it dropped.

use std::collections::BTreeMap;

use evs_model::MessageId;

use super::index::{Index, Track};
use super::live1::settled;
use super::{Violation, violates};
use crate::history::{End, Entry, View};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    accepted_is_delivered(index)?;
    all_have_the_same(index)?;
    leavers_told_what_they_dropped(index)
}

fn accepted_is_delivered(index: &Index<'_>) -> Result<(), Violation> {
    for (track, _) in settled(index) {
        if let Some(lost) = undelivered(track.view).next() {
            let name = track.name();
            return Err(violates!(Live2, "{name} accepted {lost} and never delivered it"));
        }
    }
    Ok(())
}

/// Accepted messages that their own processor's view should show, but does not.
fn undelivered(view: &View) -> impl Iterator<Item = MessageId> {
    let mut delivered: Vec<MessageId> = view
        .entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Delivered(message) => Some(message.id),
            Entry::Accepted(_) | Entry::Configuration(_) => None,
        })
        .collect();
    delivered.sort_unstable();
    view.entries.iter().filter_map(move |entry| match entry {
        Entry::Accepted(submission)
            if view.scope.covers(&submission.groups)
                && delivered.binary_search(&submission.id).is_err() =>
        {
            Some(submission.id)
        }
        Entry::Accepted(_) | Entry::Configuration(_) | Entry::Delivered(_) => None,
    })
}

/// Whatever one delivered in the last configuration, all delivered.
fn all_have_the_same(index: &Index<'_>) -> Result<(), Violation> {
    let last = |track: &Track<'_>| track.epochs.len().checked_sub(1);
    let mut sent = BTreeMap::new();
    for (track, _) in settled(index) {
        let Some(epoch) = last(track).map(|i| &track.epochs[i]) else { continue };
        for delivery in epoch.deliveries() {
            sent.insert(delivery.message.id, delivery.message);
        }
    }
    for (track, _) in settled(index) {
        let Some(epoch) = last(track).map(|i| &track.epochs[i]) else { continue };
        let lost = sent
            .values()
            .find(|m| epoch.whole && m.ring == epoch.ring && track.covers(m) && !epoch.has(m.id));
        if let Some(lost) = lost {
            let (name, lost, ring) = (track.name(), lost.id, epoch.ring);
            return Err(violates!(Live2, "{name} never delivered {lost} of {ring}, others did"));
        }
    }
    Ok(())
}

fn leavers_told_what_they_dropped(index: &Index<'_>) -> Result<(), Violation> {
    for track in &index.tracks {
        let End::Left { dropped } = track.view.end else { continue };
        let lost = undelivered(track.view).count();
        if u64::try_from(lost).is_ok_and(|lost| lost > dropped) {
            let name = track.name();
            return Err(violates!(Live2, "{name} left, told of {dropped} dropped and lost {lost}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Property::Live2;
    use super::super::fixture::*;
    use crate::history::End;

    #[test]
    fn a_lost_message_is_noticed() {
        let mut history = settled_pair();
        history.views[0].entries.push(agreed(1, 1, 1, 1).accepted());
        breaks(&history, Live2, "never delivered it");
    }

    #[test]
    fn a_message_that_one_of_two_lacks_is_noticed() {
        let a = agreed(1, 1, 1, 1);
        let mut history = settled_pair();
        history.views[0].entries.extend([a.accepted(), a.delivered()]);
        breaks(&history, Live2, "2/0002 never delivered");
    }

    #[test]
    fn a_leaver_owes_only_what_it_named() {
        let mut leaver = view(1, vec![regular(1, &[1]), agreed(1, 1, 1, 1).accepted()]);
        leaver.end = End::Left { dropped: 1 };
        holds(&history(vec![leaver.clone()]));
        leaver.end = End::Left { dropped: 0 };
        breaks(&history(vec![leaver]), Live2, "lost 1");
    }
}
