//! The ring that broke: its messages, and what failed attempts to recover them have promised.

use evs_model::{Members, Processor, defect};

use crate::order::Order;
use crate::wire::{CommitToken, OldEntry};

/// The last installed ring, from the moment it broke until the next one is installed. It moves
/// from state to state: Gather still takes its late messages; Commit and Recovery, which have told
/// others what is held, do not (P45).
#[derive(Debug)]
pub(crate) struct OldRing {
    pub(crate) order: Order,
    /// Members of the old ring of which this processor holds everything that they sequenced in it:
    /// they took part in an attempt in which it received all that anybody of them held.
    pub(crate) obligations: Members,
}

impl OldRing {
    pub(crate) fn new(order: Order) -> Self {
        Self { order, obligations: Members::default() }
    }

    /// What this processor tells the others of the attempt.
    pub(crate) fn entry(&self) -> OldEntry {
        let order = &self.order;
        let mut held = order.window.bitmap();
        if defect!(HoldsByHearsay) {
            held.set(held.len().max(1));
        }
        OldEntry {
            ring: order.ring,
            aru: order.window.aru(),
            safe: order.safe,
            held,
            obligations: places(&order.members, &self.obligations),
        }
    }

    /// Whether what others of the same old ring claim to bring along can be: they were members of
    /// it, and hold nothing that its window has no slot for. All of them compute alike from the
    /// commit token, so one entry that cannot be ends the attempt (P14).
    pub(crate) fn matches(&self, commit: &CommitToken) -> bool {
        let order = &self.order;
        commit.members.iter().zip(&commit.entries).all(|(member, entry)| {
            let theirs = entry.as_ref().and_then(|entry| entry.old.as_ref());
            theirs.filter(|theirs| theirs.ring == order.ring).is_none_or(|theirs| {
                order.members.contains(member) && theirs.high_seq() <= order.window.last_slot()
            })
        })
    }
}

/// A set of members as bits, by place in the member list.
fn places(members: &Members, set: &Members) -> u128 {
    set.iter().filter_map(|p| members.index_of(p)).fold(0, |bits, place| bits | 1 << place)
}

/// The members at these places.
pub(crate) fn at_places(members: &Members, bits: u128) -> impl Iterator<Item = Processor> + '_ {
    members.iter().enumerate().filter(move |(place, _)| bits >> place & 1 == 1).map(|(_, p)| p)
}
