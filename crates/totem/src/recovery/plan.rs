//! What one old ring's survivors owe each other, computed alike by all of them from the commit
//! token (`docs/protocol.md` §2; EVS 1994 §4, steps 3 to 6).

use alloc::vec::Vec;

use evs_model::{Guarantee, Members, Processor, defect};

use crate::context::Context;
use crate::old::{OldRing, at_places};
use crate::order::Order;
use crate::wire::{CommitToken, OldEntry};

/// The plan for one old ring R and one attempt R'.
#[derive(Debug)]
pub(crate) struct Plan {
    /// T(R, R'): the members of R' whose last installed ring is R.
    pub(crate) transitional: Members,
    /// D: T and everybody in whose name one of T made a promise. Differs from the paper's
    /// O := O ∪ T of a failed attempt: once a member holds all that T holds, it also holds
    /// everything that the others' obligations name, so it takes those over as well
    /// (docs/decisions/0003).
    pub(crate) obligations: Members,
    /// Every member of R has received everything up to here, as far as any of T knows.
    safe: u64,
    entries: Vec<OldEntry>,
    high_seq: u64,
}

impl Plan {
    pub(crate) fn new(old: &OldRing, commit: &CommitToken) -> Self {
        let ring = old.order.ring;
        let old_of = |place: usize| {
            let entry: Option<&OldEntry> = commit.entries[place].as_ref()?.old.as_ref();
            entry.filter(|entry| {
                entry.ring == ring || defect!(RingSeqAlone) && entry.ring.seq == ring.seq
            })
        };
        let places = (0..commit.members.len()).filter(|place| {
            let member = commit.members.as_slice()[*place];
            old_of(*place).is_some()
                || defect!(TransitionalByNode) && old.order.members.find(member.node).is_some()
                || defect!(TransitionalByMember) && old.order.members.contains(member)
        });
        let list: Vec<_> = places.map(|place| commit.members.as_slice()[place]).collect();
        let transitional = Members::new(list).expect("a subset of a member list");
        let entries: Vec<OldEntry> =
            (0..commit.members.len()).filter_map(|place| old_of(place).cloned()).collect();
        let mut obligations = transitional.clone();
        for entry in entries.iter().filter(|_| !defect!(ObligationsIgnored)) {
            for processor in at_places(&old.order.members, entry.obligations) {
                obligations.insert(processor).expect("a subset of a member list");
            }
        }
        Self {
            transitional,
            obligations,
            safe: if defect!(SafeLineNotShared) {
                0
            } else {
                entries.iter().map(|e| e.safe).max().unwrap_or(0)
            },
            high_seq: entries.iter().map(OldEntry::high_seq).max().unwrap_or(0),
            entries,
        }
    }

    /// What this processor must get: whatever any of T holds.
    pub(crate) fn missing<'a>(&'a self, old: &'a OldRing) -> impl Iterator<Item = u64> + 'a {
        let held = |seq: &u64| self.entries.iter().any(|entry| entry.holds(*seq));
        let last = self.high_seq.saturating_sub(u64::from(defect!(RecoverySkipsOne)));
        old.order.window.missing(last).filter(held)
    }

    /// Who of T holds this, by its own word.
    pub(crate) fn holders(&self, seq: u64) -> impl Iterator<Item = Processor> + '_ {
        let told = self.transitional.iter().zip(&self.entries);
        told.filter(move |(_, entry)| entry.holds(seq)).map(|(holder, _)| holder)
    }

    /// Step 1: in R, all unordered messages, and the others up to the first gap or the first safe
    /// message that none of T knows to be held by all of R. That is at least as far as any of T
    /// went: it holds all that it delivered, and knew what was safe.
    pub(crate) fn deliver_regular(&self, cx: &mut Context, order: &mut Order) {
        order.safe = order.safe.max(self.safe);
        if defect!(SafeAtInstall) {
            order.safe = order.window.aru();
        }
        for seq in order.window.held_after(order.high_delivered).collect::<Vec<_>>() {
            if !defect!(UnorderedLost) && !defect!(UnorderedInTransition) {
                order.deliver_unordered(cx, seq);
            }
        }
        order.deliver(cx);
    }

    /// Step 3: in T(R, R'), the rest in order. Gaps are messages that nobody of T holds; past the
    /// first one only those of senders in D are delivered: of these there is no message missing.
    pub(crate) fn deliver_transitional(&self, cx: &mut Context, order: &mut Order) {
        while order.high_delivered < order.window.aru() {
            order.deliver_next(cx);
        }
        for seq in order.window.held_after(order.window.aru()).collect::<Vec<_>>() {
            if defect!(GapEndsDelivery)
                || defect!(OwnLostPastGap) && order.sender(seq) == Some(cx.me)
            {
                continue;
            }
            if defect!(UnorderedInTransition) {
                order.deliver_unordered(cx, seq);
            }
            let mcast = order.window.get(seq).expect("held");
            let done = mcast.guarantee == Guarantee::Unordered;
            let obliged = order.sender(seq).is_some_and(|p| self.obligations.contains(p));
            if !done && (obliged || defect!(PastGapFromAnyone)) {
                order.deliver_past_gap(cx, seq);
            }
        }
    }
}
