//! Commit (Totem §5.2): the commit token goes round the agreed members twice.
//!
//! In the first rotation each member writes what it brings along, in the second each learns what
//! all wrote and goes on to Recovery. From writing its entry on, a member takes no more messages
//! of its old ring (P45).

use evs_model::defect;

use alloc::collections::BTreeMap;

use evs_model::Processor;

use crate::attempt::Attempt;
use crate::context::Context;
use crate::old::OldRing;
use crate::output::Cause;
use crate::ring::Next;
use crate::stats::Discard;
use crate::wire::{CommitToken, Entry, Join, Mcast};

#[derive(Debug)]
pub(crate) struct Commit {
    old: Option<OldRing>,
    /// The number of the last join of each that joined.
    joins: BTreeMap<Processor, u64>,
    pub(crate) attempt: Attempt,
}

impl Commit {
    /// Agrees to the ring, writes the own entry and passes the commit token on.
    pub(crate) fn enter(
        cx: &mut Context,
        old: Option<OldRing>,
        joins: BTreeMap<Processor, u64>,
        mut commit: CommitToken,
    ) -> (Self, Next) {
        cx.accept_seq(commit.ring.seq);
        let place = commit.members.index_of(cx.me).expect("agreed to as a member");
        commit.entries[place] = Some(Entry { old: old.as_ref().map(OldRing::entry) });
        let attempt = Attempt::pass_on(cx, commit);
        let next = if attempt.is_alone() {
            Next::Recovery(attempt.commit().clone().into())
        } else {
            Next::Stay
        };
        (Self { old, joins, attempt }, next)
    }

    pub(crate) fn old(&self) -> Option<&OldRing> {
        self.old.as_ref()
    }

    pub(crate) fn into_old(self) -> Option<OldRing> {
        self.old
    }

    /// The representative does not wait for a member that has changed its mind since: that one will
    /// refuse the commit token. Others cannot tell whether a join that they had not seen is an
    /// older one.
    pub(crate) fn on_join(&self, cx: &mut Context, from: Processor, join: &Join) -> Next {
        let agreed = self.attempt.commit();
        let news = self.joins.get(&from).is_some_and(|number| join.number > *number);
        let other = agreed.members.contains(from) && join.proposal != agreed.members;
        let next = self.attempt.on_join(cx, from, join);
        if matches!(next, Next::Stay) && agreed.ring.rep == cx.me && news && other {
            return Next::Gather(Cause::MemberGathers(from));
        }
        next
    }

    /// What is held of the old ring has been told (P45).
    pub(crate) fn on_mcast(&mut self, cx: &mut Context, mcast: Mcast) -> Next {
        match &mut self.old {
            Some(old) if defect!(LateInCommit) => {
                let _ = old.order.receive(mcast);
                Next::Stay
            }
            _ => cx.ignore(Discard::Frozen),
        }
    }

    /// The second rotation shows everybody's entry. What was agreed to in the first, and what this
    /// processor wrote, is not for others to change.
    pub(crate) fn on_commit_token(&mut self, cx: &mut Context, commit: CommitToken) -> Next {
        let agreed = self.attempt.commit();
        let same_seq = defect!(RingSeqAlone) && commit.ring.seq == agreed.ring.seq;
        let same = commit.ring == agreed.ring
            && commit.members == agreed.members
            && commit.terms == agreed.terms;
        let place = agreed.members.index_of(cx.me).expect("agreed to as a member");
        if !same_seq && !same {
            cx.discard(Discard::Mismatch);
        } else if commit.entries.iter().any(Option::is_none) {
            cx.discard(Discard::Duplicate);
        } else if !same_seq && commit.entries[place] != agreed.entries[place]
            || !self.old.as_ref().is_none_or(|old| old.matches(&commit))
        {
            return Next::Gather(Cause::OutOfRange);
        } else {
            return Next::Recovery(commit.into());
        }
        Next::Stay
    }
}
