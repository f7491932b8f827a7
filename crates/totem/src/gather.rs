//! Gather (Totem §5.1): agreeing on the members of the next ring.
//!
//! Every processor proposes the set that the rule of `graph.rs` gives it, in joins that also carry
//! the rows from which it was computed. Consensus is reached when every processor of a proposal
//! has proposed exactly that set; rows and joins from outside cannot hold it up. The
//! representative then forms the ring (`commit.rs`). A processor that is heard but does not join
//! is given up after the consensus timeout, all silent ones at once. Within an attempt such
//! processors stay given up (`docs/protocol.md` §3).

use alloc::collections::BTreeMap;

use evs_model::{Instant, Members, Processor, RingId};

use crate::context::Context;
use crate::old::OldRing;
use crate::output::{Cause, Timer};
use crate::ring::Next;
use crate::stats::Discard;
use crate::wire::{CommitToken, Join, Mcast, MergeDetect, Packet, Standing};

#[derive(Debug)]
pub(crate) struct Gather {
    old: Option<OldRing>,
    proposal: Members,
    /// The members of the proposal besides this one.
    peers: BTreeMap<Processor, Peer>,
    /// The last join of each processor that sent one in this attempt.
    joins: BTreeMap<Processor, Proposed>,
    join_at: Instant,
    join_spaced_at: Instant,
    settle_at: Instant,
}

/// A processor whose join is awaited.
#[derive(Clone, Copy, Debug)]
struct Peer {
    silent_at: Instant,
}

#[derive(Clone, Debug)]
struct Proposed {
    number: u64,
    seq: u64,
    proposal: Members,
}

impl Gather {
    /// Starts an attempt. A processor that has no ring yet listens first, so that many starting at
    /// once find each other.
    pub(crate) fn enter(cx: &mut Context, old: Option<OldRing>) -> (Self, Next) {
        cx.stats.gathers += 1;
        cx.stand(Standing::Gathering);
        let mut state = Self {
            old,
            proposal: Members::default(),
            peers: BTreeMap::new(),
            joins: BTreeMap::new(),
            join_at: cx.now,
            join_spaced_at: cx.now,
            settle_at: cx.now,
        };
        state.propose(cx);
        let next = state.decide(cx);
        (state, next)
    }

    pub(crate) fn old(&self) -> Option<&OldRing> {
        self.old.as_ref()
    }

    pub(crate) fn into_old(self) -> Option<OldRing> {
        self.old
    }

    pub(crate) fn on_join(&mut self, cx: &mut Context, from: Processor, join: Join) -> Next {
        if self.joins.get(&from).is_some_and(|known| known.number >= join.number) {
            cx.discard(Discard::Duplicate);
            return Next::Stay;
        }
        if !cx.see_seq(join.seq) {
            return Next::Stay;
        }
        let changed = cx.merge_rows(&join.rows);
        let back = !cx.just_given_up(from) && cx.take_back(from);
        let proposed = Proposed { number: join.number, seq: join.seq, proposal: join.proposal };
        let news = self.joins.get(&from).is_none_or(|known| known.proposal != proposed.proposal);
        self.joins.insert(from, proposed);
        self.joins.retain(|p, _| p.node != from.node || *p == from);
        if news || back {
            self.join_soon(cx);
        }
        if changed || back { self.reconsider(cx) } else { self.decide(cx) }
    }

    pub(crate) fn on_merge_detect(&mut self, cx: &mut Context, merge: &MergeDetect) -> Next {
        if cx.merge_probe(merge) { self.reconsider(cx) } else { Next::Stay }
    }

    pub(crate) fn on_row_change(&mut self, cx: &mut Context) -> Next {
        self.join_soon(cx);
        self.reconsider(cx)
    }

    /// A commit token for exactly the own proposal, of a sequence above all that were accepted,
    /// is agreed to (`docs/protocol.md` §1); any other is refused.
    pub(crate) fn on_commit_token(&mut self, cx: &mut Context, commit: CommitToken) -> Next {
        let mine = commit.members.index_of(cx.me);
        let fresh = mine.is_some_and(|place| commit.entries[place].is_none());
        if !commit.terms.acceptable() {
            cx.discard(Discard::Terms);
        } else if cx.is_absurd(commit.ring.seq) {
            cx.discard(Discard::AbsurdSeq);
        } else if !fresh
            || commit.members != self.proposal
            || commit.ring.seq <= cx.seqs.accepted
            || commit.ring.rep == cx.me
        {
            cx.discard(Discard::Mismatch);
        } else {
            return Next::Commit(commit.into(), Cause::CommitToken);
        }
        Next::Stay
    }

    /// Late messages of the old ring are welcome until this processor tells what it holds. They
    /// are delivered when the next ring is installed.
    pub(crate) fn on_mcast(&mut self, cx: &mut Context, mcast: Mcast) -> Next {
        let taken = match &mut self.old {
            Some(old) => old.order.receive(mcast),
            None => Err(Discard::ForeignRing),
        };
        if let Err(reason) = taken {
            cx.discard(reason);
        }
        Next::Stay
    }

    pub(crate) fn on_timeout(&mut self, cx: &mut Context) -> Next {
        let silent: alloc::vec::Vec<_> = self
            .peers
            .iter()
            .filter(|(p, peer)| cx.now >= peer.silent_at && !self.joins.contains_key(p))
            .map(|(p, _)| *p)
            .collect();
        for peer in &silent {
            cx.give_up(*peer);
        }
        let next = if silent.is_empty() {
            self.decide(cx)
        } else {
            self.join_soon(cx);
            self.reconsider(cx)
        };
        if cx.now >= self.join_at {
            self.send_join(cx);
        }
        next
    }

    pub(crate) fn deadline(&self, cx: &Context) -> (Instant, Timer) {
        let silent_at = self
            .peers
            .iter()
            .filter(|(p, _)| !self.joins.contains_key(p))
            .map(|(_, p)| p.silent_at);
        let silent_at = silent_at.min().unwrap_or(Instant::NEVER);
        let settle_at = if self.settle_at > cx.now { self.settle_at } else { Instant::NEVER };
        [(self.join_at, Timer::Join), (silent_at, Timer::Consensus), (settle_at, Timer::Settle)]
            .into_iter()
            .min_by_key(|(at, _)| *at)
            .expect("three of them")
    }

    fn reconsider(&mut self, cx: &mut Context) -> Next {
        self.propose(cx);
        self.decide(cx)
    }

    /// Computes the proposal from the rows.
    fn propose(&mut self, cx: &Context) {
        let proposal = cx.graph.part_of(cx.me);
        if proposal == self.proposal {
            return;
        }
        self.proposal = proposal;
        let silent_at = cx.now + cx.config.terms().consensus();
        let known = core::mem::take(&mut self.peers);
        for peer in self.proposal.iter().filter(|p| *p != cx.me) {
            self.peers.insert(peer, known.get(&peer).copied().unwrap_or(Peer { silent_at }));
        }
        self.settle_at = cx.now + self.settle(cx);
        self.join_soon(cx);
    }

    /// How long the proposal must stand unchanged before this processor forms its ring.
    fn settle(&self, cx: &Context) -> core::time::Duration {
        let terms = cx.config.terms();
        let Some(old) = &self.old else {
            return if self.proposal.len() == 1 { terms.listen() } else { terms.settle() };
        };
        let old = &old.order.members;
        let parted = |p: &Processor| !self.proposal.contains(*p) && cx.graph.edge(cx.me, *p);
        if old.iter().any(|p| parted(&p)) {
            // Companions who are still heard are about to be parted with: their rows may lag
            // behind by a hello interval (LIVE-6).
            terms.part()
        } else if self.proposal.is_subset(old) && !cx.hears_unknown() {
            core::time::Duration::ZERO
        } else {
            terms.settle()
        }
    }

    /// Forms the ring if this processor represents it and everybody proposed exactly its members.
    fn decide(&self, cx: &mut Context) -> Next {
        let agreed = |p: Processor| {
            p == cx.me || self.joins.get(&p).is_some_and(|join| join.proposal == self.proposal)
        };
        let rep = self.proposal.rep() == Some(cx.me);
        if !rep || cx.now < self.settle_at || !self.proposal.iter().all(agreed) {
            return Next::Stay;
        }
        let seen = self.proposal.iter().filter_map(|p| self.joins.get(&p)).map(|join| join.seq);
        let seen = seen.fold(cx.seqs.seen.max(cx.seqs.accepted), u64::max);
        let Some(seq) = seen.checked_add(1) else {
            return cx.ignore(Discard::SeqExhausted);
        };
        let commit = CommitToken {
            ring: RingId { seq, rep: cx.me },
            hop: 0,
            terms: cx.config.terms(),
            members: self.proposal.clone(),
            entries: alloc::vec![None; self.proposal.len()],
        };
        Next::Commit(commit.into(), Cause::Consensus)
    }

    /// News are told at once, but not more often than the spacing allows.
    fn join_soon(&mut self, cx: &Context) {
        self.join_at = self.join_at.min(cx.now.max(self.join_spaced_at));
    }

    fn send_join(&mut self, cx: &mut Context) {
        let terms = cx.config.terms();
        // A little jitter keeps many processors from speaking in chorus (P35).
        let jitter = terms.join_spacing() * cx.rng.u32(0..64) / 64;
        self.join_at = cx.now + terms.join() + jitter;
        self.join_spaced_at = cx.now + terms.join_spacing();
        let join = Join {
            number: cx.next_join(),
            seq: cx.seqs.seen,
            accepted: cx.seqs.accepted,
            proposal: self.proposal.clone(),
            rows: cx.graph.rows(),
        };
        cx.transmit_all(Packet::Join(join.into()));
    }
}
