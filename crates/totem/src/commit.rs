//! Commit (Totem §5.2): the commit token goes round the agreed members twice.
//!
//! In the first rotation each member writes what it brings along, in the second each learns what
//! all wrote and goes on to Recovery. From writing its entry on, a member takes no more messages
//! of its old ring (P45).

use evs_model::{Instant, Processor};

use crate::context::Context;
use crate::old::OldRing;
use crate::operational::broken;
use crate::output::{Cause, Timer};
use crate::resend::Resend;
use crate::ring::Next;
use crate::stats::Discard;
use crate::wire::{CommitToken, Entry, Join, Packet};

#[derive(Debug)]
pub(crate) struct Commit {
    old: Option<OldRing>,
    /// As it was sent on.
    commit: CommitToken,
    /// To the next member; a member alone needs none.
    resend: Option<Resend>,
    loss_at: Instant,
}

impl Commit {
    /// Agrees to the ring, writes the own entry and passes the commit token on.
    pub(crate) fn enter(
        cx: &mut Context,
        old: Option<OldRing>,
        mut commit: CommitToken,
    ) -> (Self, Next) {
        cx.accept_seq(commit.ring.seq);
        let place = commit.members.index_of(cx.me).expect("agreed to as a member");
        commit.entries[place] = Some(Entry { old: old.as_ref().map(OldRing::entry) });
        let loss_at = cx.now + commit.terms.token_loss();
        let resend = pass_on(cx, &mut commit);
        if resend.is_none() {
            let complete = commit.clone();
            return (Self { old, commit, resend, loss_at }, Next::Recovery(complete.into()));
        }
        (Self { old, commit, resend, loss_at }, Next::Stay)
    }

    pub(crate) fn old(&self) -> Option<&OldRing> {
        self.old.as_ref()
    }

    pub(crate) fn into_old(self) -> Option<OldRing> {
        self.old
    }

    /// The second rotation shows everybody's entry.
    pub(crate) fn on_commit_token(&mut self, cx: &mut Context, commit: CommitToken) -> Next {
        if commit.ring != self.commit.ring || commit.members != self.commit.members {
            cx.discard(Discard::Mismatch);
        } else if commit.hop <= self.commit.hop || commit.entries.iter().any(Option::is_none) {
            cx.discard(Discard::Duplicate);
        } else {
            return Next::Recovery(commit.into());
        }
        Next::Stay
    }

    pub(crate) fn on_join(&mut self, cx: &mut Context, from: Processor, join: &Join) -> Next {
        attempt_on_join(cx, &self.commit, from, join)
    }

    pub(crate) fn on_row_change(&self, cx: &Context) -> Next {
        attempt_on_rows(cx, &self.commit)
    }

    pub(crate) fn on_timeout(&mut self, cx: &mut Context) -> Next {
        if cx.now >= self.loss_at {
            return Next::Gather(Cause::TokenLost);
        }
        if let Some(resend) = &mut self.resend {
            resend.on_timeout(cx);
        }
        Next::Stay
    }

    pub(crate) fn deadline(&self) -> (Instant, Timer) {
        match &self.resend {
            Some(resend) if resend.at < self.loss_at => (resend.at, Timer::TokenRetransmit),
            _ => (self.loss_at, Timer::TokenLoss),
        }
    }
}

/// Sends the commit token to the next member, unless this is the only one.
pub(crate) fn pass_on(cx: &mut Context, commit: &mut CommitToken) -> Option<Resend> {
    let next = commit.members.next_after(cx.me).expect("agreed to as a member");
    if next == cx.me {
        return None;
    }
    commit.hop = commit.hop.saturating_add(1);
    let packet = Packet::CommitToken(commit.clone().into());
    let (_, longest) = commit.terms.token_retransmit_bounds();
    Some(Resend::start(cx, next, packet, commit.terms.token_retransmit(), longest))
}

/// A join of a member that was sent after it had agreed to this ring tells that it gave it up.
pub(crate) fn attempt_on_join(
    cx: &mut Context,
    commit: &CommitToken,
    from: Processor,
    join: &Join,
) -> Next {
    if !cx.see_seq(join.seq) {
        return Next::Stay;
    }
    cx.merge_rows(&join.rows);
    if commit.members.contains(from) && join.accepted >= commit.ring.seq {
        return Next::Gather(broken(cx, &commit.members).unwrap_or(Cause::MemberGathers(from)));
    }
    attempt_on_rows(cx, commit)
}

/// Within an attempt edges only vanish; new ones wait for the next (`docs/protocol.md` §3).
pub(crate) fn attempt_on_rows(cx: &Context, commit: &CommitToken) -> Next {
    broken(cx, &commit.members).map_or(Next::Stay, Next::Gather)
}
