//! From what several nodes saw to one reason.

use crate::change::Noticed;
use crate::{Cause, Change, Evidence, Node, Pause, Sight, TokenSight, Trigger};

/// The reason of a change, by all that is known of it. It can become a better one when another
/// member has told what it saw.
#[must_use]
pub fn judge(change: &Change) -> Trigger {
    let judges: [fn(&Change) -> Option<Trigger>; 10] = [
        started,
        removed,
        left_in_order,
        restarted,
        stood_still_here,
        deaf,
        parted,
        stood_still_elsewhere,
        came,
        out_of_range,
    ];
    let found = judges.iter().find_map(|judge| judge(change));
    found.or_else(|| token_lost(change)).unwrap_or_default()
}

fn started(change: &Change) -> Option<Trigger> {
    change.from.is_none().then_some(Trigger::Started)
}

/// Before all that follows from it.
fn removed(change: &Change) -> Option<Trigger> {
    sights(change).find_map(|(_, sight)| {
        let Sight::Removed { peer, .. } = sight else { return None };
        change.left.contains(peer).then(|| Trigger::Removed { node: peer.clone() })
    })
}

/// By the word of anybody's protocol.
fn left_in_order(change: &Change) -> Option<Trigger> {
    let leaves = |evidence: &Evidence| {
        let node = evidence.cause_names.first().filter(|_| evidence.cause == Cause::MemberLeft)?;
        change.left.contains(node).then(|| Trigger::Left { node: node.clone() })
    };
    change.evidence.iter().find_map(leaves)
}

fn restarted(change: &Change) -> Option<Trigger> {
    let successor = |gone: &Node| {
        let by = change.joined.iter().find(|joined| joined.node == gone.node)?;
        Some(Trigger::Restarted { node: gone.clone(), by: by.incarnation.clone() })
    };
    let seen = || {
        sights(change).find_map(|(_, sight)| {
            let Sight::Restarted { peer, by, .. } = sight else { return None };
            let gone = change.left.contains(peer);
            gone.then(|| Trigger::Restarted { node: peer.clone(), by: by.clone() })
        })
    };
    change.left.iter().find_map(successor).or_else(seen)
}

/// A node that stood still is given up by its peers, which still hear it: nobody is missed. Whoever
/// is missed by anybody is so in truth, as no own pause counts as silence (`docs/protocol.md` §6).
fn stood_still_here(change: &Change) -> Option<Trigger> {
    if sights(change).any(|(_, sight)| is_gone(change, sight)) {
        return None;
    }
    let own = change.evidence.iter().find(|evidence| evidence.node == change.me)?;
    longest_pause(own).map(|pause| Trigger::Paused { node: change.me.clone(), pause })
}

fn deaf(change: &Change) -> Option<Trigger> {
    sights(change).find_map(|(noticed_by, sight)| {
        let Sight::Deaf { peer, .. } = sight else { return None };
        Some(Trigger::Deaf { node: peer.clone(), noticed_by: noticed_by.clone() })
    })
}

/// Somebody is gone. Who is missed by anybody comes before who only went with it.
fn parted(change: &Change) -> Option<Trigger> {
    let one_way = || change.left.iter().find_map(|gone| one_way(change, gone));
    died(change).or_else(|| silent(change)).or_else(one_way)
}

/// The word of one host is enough: others may have missed it, or did not ask.
fn died(change: &Change) -> Option<Trigger> {
    let nodes = missed(change, refused);
    let mut silent = missed(change, unheard);
    silent.retain(|node| !nodes.contains(node));
    let noticed_by = noticed_by(change, refused);
    Some(Trigger::Died { node: nodes.first()?.clone(), nodes, silent, noticed_by })
}

fn silent(change: &Change) -> Option<Trigger> {
    let nodes = missed(change, unheard);
    let noticed_by = noticed_by(change, unheard);
    let noticed = |node: &Node| noticed_by.iter().any(|noticed| noticed.node == *node);
    let others = change.evidence.iter().map(|evidence| &evidence.node);
    let not_noticed_by =
        others.filter(|node| change.together.contains(node) && !noticed(node)).cloned().collect();
    Some(Trigger::Silent { node: nodes.first()?.clone(), nodes, noticed_by, not_noticed_by })
}

/// Of whom a sight says that a peer is missed, and how long that one had been silent.
type Missed = fn(&Sight) -> Option<(&Node, u64)>;

fn refused(sight: &Sight) -> Option<(&Node, u64)> {
    let Sight::Refused { peer, silence_us, .. } = sight else { return None };
    Some((peer, *silence_us))
}

fn unheard(sight: &Sight) -> Option<(&Node, u64)> {
    let Sight::Silent { peer, silence_us, .. } = sight else { return None };
    Some((peer, *silence_us))
}

/// Those who are gone and of whom anybody had a sight of this kind.
fn missed(change: &Change, seen: Missed) -> Vec<Node> {
    let is_missed = |gone: &Node| {
        sights(change).filter_map(|(_, sight)| seen(sight)).any(|(peer, _)| peer == gone)
    };
    change.left.iter().filter(|gone| is_missed(gone)).cloned().collect()
}

/// Those who had a sight of this kind of anybody who is gone, each with its first one's silence.
fn noticed_by(change: &Change, seen: Missed) -> Vec<Noticed> {
    let mut noticed_by: Vec<Noticed> = Vec::new();
    for (node, sight) in sights(change) {
        if let Some((peer, silence_us)) = seen(sight)
            && change.left.contains(peer)
            && noticed_by.iter().all(|noticed| noticed.node != *node)
        {
            noticed_by.push(Noticed { node: node.clone(), silence_us });
        }
    }
    noticed_by
}

fn one_way(change: &Change, gone: &Node) -> Option<Trigger> {
    sights(change).find_map(|(node, sight)| {
        let Sight::NotHeardByPeer { peer, .. } = sight else { return None };
        (peer == gone).then(|| Trigger::OneWay { from: node.clone(), to: gone.clone() })
    })
}

fn stood_still_elsewhere(change: &Change) -> Option<Trigger> {
    change.evidence.iter().find_map(|evidence| {
        let pause = longest_pause(evidence)?;
        Some(Trigger::Paused { node: evidence.node.clone(), pause })
    })
}

/// Nobody is missed, and there are more than before.
fn came(change: &Change) -> Option<Trigger> {
    if change.joined.is_empty() {
        return None;
    }
    let nodes = change.joined.clone();
    let absences = sights(change).filter_map(|(_, sight)| {
        let Sight::Heard { peer, absent_us, .. } = sight else { return None };
        absent_us.filter(|_| nodes.contains(peer))
    });
    let absent_us = absences.max();
    // Without anybody's word of an absence: a processor that has had a configuration before was
    // somewhere else.
    let fresh = |node: &&Node| {
        let told = change.evidence.iter().find(|evidence| evidence.node == **node);
        told.is_none_or(|told| told.cause == Cause::None)
    };
    if absent_us.is_none() && nodes.iter().all(|node| fresh(&node)) {
        return Some(Trigger::Joined { nodes });
    }
    Some(Trigger::Merged { nodes, absent_us })
}

fn out_of_range(change: &Change) -> Option<Trigger> {
    change.evidence.iter().any(|e| e.cause == Cause::OutOfRange).then_some(Trigger::OutOfRange)
}

/// Whoever had the highest number had the token last, as far as is known.
fn token_lost(change: &Change) -> Option<Trigger> {
    if !change.evidence.iter().any(|evidence| evidence.cause == Cause::TokenLost) {
        return None;
    }
    let sights = change.evidence.iter().filter_map(|e| Some((&e.node, e.token.as_ref()?)));
    let last = sights.max_by_key(|(_, sight)| sight.number);
    let of = |f: fn(&TokenSight) -> u64| last.map_or(0, |(_, sight)| f(sight));
    Some(Trigger::TokenLost {
        without: change.left.clone(),
        number: of(|sight| sight.number),
        last_at: last.map(|(node, _)| node.clone()),
        passed_to: last.and_then(|(_, sight)| sight.passed_to.clone()),
    })
}

fn sights(change: &Change) -> impl Iterator<Item = (&Node, &Sight)> {
    let all = change.evidence.iter();
    all.flat_map(|evidence| evidence.saw.iter().map(|sight| (&evidence.node, sight)))
}

fn is_gone(change: &Change, sight: &Sight) -> bool {
    matches!(
        sight,
        Sight::Silent { peer, .. } | Sight::Refused { peer, .. } if change.left.contains(peer)
    )
}

fn longest_pause(evidence: &Evidence) -> Option<Pause> {
    let pauses = evidence.saw.iter().filter_map(|sight| {
        let Sight::Paused { pause, .. } = sight else { return None };
        Some(*pause)
    });
    pauses.max()
}

#[cfg(test)]
mod tests;
