//! Gather (Totem §5.1): agreeing on the members of the next ring.
//!
//! Every processor proposes the set that the rule of `graph.rs` gives it, in joins that also carry
//! the rows from which it was computed. Consensus is reached when every processor of a proposal
//! has proposed exactly that set; rows and joins from outside cannot hold it up. The
//! representative then forms the ring (`commit.rs`). A processor that is heard but does not join
//! is given up after the consensus timeout, all silent ones at once. Within an attempt such
//! processors stay given up (`docs/protocol.md` §3).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use evs_model::{Instant, Members, Processor, RingId, defect};

use crate::context::Context;
use crate::old::OldRing;
use crate::output::{Cause, Timer};
use crate::ring::Next;
use crate::stats::Discard;
use crate::wire::{CommitToken, Join, Mcast, MergeDetect, Packet, Standing};

#[derive(Debug)]
pub(crate) struct Gather {
    old: Option<OldRing>,
    /// Whether a working ring was left because there seemed to be a better one.
    for_growth: bool,
    /// Whether nobody was missed when the ring was left, by this processor or by who called it.
    /// Then there is time to notice who has been cut off meanwhile (LIVE-6).
    patient: bool,
    proposal: Members,
    /// When each who should join has been silent for too long: the others of the proposal, and
    /// companions who are still heard.
    silent_at: BTreeMap<Processor, Instant>,
    /// The last join of each processor that sent one in this attempt.
    joins: BTreeMap<Processor, Proposed>,
    join_at: Instant,
    join_spaced_at: Instant,
    /// Since when the proposal is what it is.
    proposed_at: Instant,
    settle_at: Instant,
}

#[derive(Clone, Debug)]
struct Proposed {
    number: u64,
    seq: u64,
    accepted: u64,
    proposal: Members,
}

impl Gather {
    /// Starts an attempt. A processor that has no ring yet listens first, so that many starting at
    /// once find each other.
    pub(crate) fn enter(
        cx: &mut Context,
        old: Option<OldRing>,
        cause: Option<Cause>,
    ) -> (Self, Next) {
        cx.stats.gathers += 1;
        cx.stand(Standing::Gathering);
        let mut state = Self {
            old,
            for_growth: matches!(cause, Some(Cause::Growth(_))),
            patient: matches!(cause, Some(Cause::Growth(_) | Cause::MemberGathers(_))),
            proposal: Members::default(),
            silent_at: BTreeMap::new(),
            joins: BTreeMap::new(),
            join_at: cx.now,
            join_spaced_at: cx.now,
            proposed_at: cx.now,
            settle_at: cx.now,
        };
        state.propose(cx);
        let next = state.decide(cx);
        (state, next)
    }

    pub(crate) fn old(&self) -> Option<&OldRing> {
        self.old.as_ref()
    }

    /// Of how many processors it keeps a join.
    pub(crate) fn joins(&self) -> usize {
        self.joins.len()
    }

    /// The old ring, and the number of the last join of each that joined.
    pub(crate) fn into_parts(self) -> (Option<OldRing>, BTreeMap<Processor, u64>) {
        let numbers = self.joins.iter().map(|(peer, join)| (*peer, join.number)).collect();
        (self.old, numbers)
    }

    pub(crate) fn on_join(&mut self, cx: &mut Context, from: Processor, join: Join) -> Next {
        if self.joins.get(&from).is_some_and(|known| known.number >= join.number) {
            cx.discard(Discard::Duplicate);
            return Next::Stay;
        }
        if !cx.see_seq(join.seq) {
            // Whose word is not taken is not waited for: both sides compute the same graph.
            cx.give_up(from);
            return self.reconsider(cx);
        }
        let changed = cx.merge_rows(&join.rows);
        let back = !cx.just_given_up(from) && cx.take_back(from, Duration::MAX);
        let Join { number, seq, accepted, proposal, .. } = join;
        let proposed = Proposed { number, seq, accepted, proposal };
        let news = self.joins.get(&from).is_none_or(|known| known.proposal != proposed.proposal);
        self.joins.insert(from, proposed);
        let silent_at = cx.now + self.patience(cx, from);
        self.silent_at.entry(from).and_modify(|at| *at = silent_at);
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
    /// is agreed to (`docs/protocol.md` §1), unless its representative has gathered anew since; any
    /// other is refused.
    pub(crate) fn on_commit_token(&mut self, cx: &mut Context, commit: CommitToken) -> Next {
        let mine = commit.members.index_of(cx.me);
        let fresh = mine.is_some_and(|place| commit.entries[place].is_none());
        let rep = self.joins.get(&commit.ring.rep);
        let given_up = rep.is_some_and(|join| join.accepted >= commit.ring.seq);
        if !commit.terms.acceptable() {
            cx.discard(Discard::Terms);
            cx.give_up(commit.ring.rep);
            return self.reconsider(cx);
        } else if cx.is_absurd(commit.ring.seq) {
            cx.discard(Discard::AbsurdSeq);
        } else if !fresh
            || given_up
            || commit.members != self.proposal && !defect!(NoConsensus)
            || commit.ring.seq <= cx.seqs.accepted && !defect!(RingSeqReused)
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
        let silent = self.silent_at.iter().filter(|(_, at)| cx.now >= **at);
        let mut silent: Vec<Processor> = silent.map(|(peer, _)| *peer).collect();
        if defect!(GivenUpOneByOne) {
            silent.truncate(1);
        }
        for peer in &silent {
            cx.give_up(*peer);
            self.silent_at.remove(peer);
            self.joins.remove(peer);
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

    /// A join may have come while this processor stood still.
    pub(crate) fn excuse(&mut self, cx: &Context, pause: Duration) {
        let mut silent_at = core::mem::take(&mut self.silent_at);
        for (peer, at) in &mut silent_at {
            *at = (*at + pause).min(cx.now + self.patience(cx, *peer));
        }
        self.silent_at = silent_at;
    }

    pub(crate) fn deadline(&self, cx: &Context) -> (Instant, Timer) {
        let silent_at = self.silent_at.values().min().copied().unwrap_or(Instant::NEVER);
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

    /// Computes the proposal from the rows, and how long it must stand: whom it parts with may no
    /// longer be heard by now.
    fn propose(&mut self, cx: &Context) {
        let proposal = cx.graph.part_of(cx.me);
        if proposal != self.proposal {
            self.change_proposal(cx, proposal);
        }
        self.settle_at = self.proposed_at + self.settle(cx);
    }

    fn change_proposal(&mut self, cx: &Context, proposal: Members) {
        self.proposal = proposal;
        self.proposed_at = cx.now;
        let known = core::mem::take(&mut self.silent_at);
        let others = self.proposal.iter().filter(|p| *p != cx.me);
        for peer in others.chain(self.parted(cx)).collect::<Vec<_>>() {
            let silent_at = || cx.now + self.patience(cx, peer);
            let known = known.get(&peer).filter(|_| !defect!(GivenUpOneByOne));
            self.silent_at.insert(peer, known.copied().unwrap_or_else(silent_at));
        }
        self.join_soon(cx);
    }

    /// Companions who are still heard, and whom the proposal parts with.
    fn parted<'a>(&'a self, cx: &'a Context) -> impl Iterator<Item = Processor> + 'a {
        let companions = self.old.iter().flat_map(|old| old.order.members.iter());
        companions.filter(|p| !self.proposal.contains(*p) && cx.graph.edge(cx.me, *p))
    }

    /// How long one who should join may be silent: one that has joined may have an attempt of
    /// its own under way, which can take the token loss timeout.
    fn patience(&self, cx: &Context, peer: Processor) -> Duration {
        let terms = cx.config.terms();
        if defect!(NeverGivenUp) {
            return Duration::from_secs(1 << 20);
        }
        match self.joins.contains_key(&peer) {
            true => terms.consensus() + terms.token_loss(),
            false if self.patient => terms.patient_consensus(),
            false => terms.consensus(),
        }
    }

    /// How long the proposal must stand unchanged before this processor forms its ring.
    fn settle(&self, cx: &Context) -> Duration {
        let terms = cx.config.terms();
        let Some(old) = &self.old else {
            return if self.proposal.len() == 1 {
                terms.listen()
            } else {
                terms.settle(cx.graph.len()).max(terms.grow())
            };
        };
        let old = &old.order.members;
        if self.parted(cx).next().is_some() {
            // What parts this one from them may have been cut off from all, and others notice that
            // later (LIVE-6).
            if defect!(PartsSoon) { terms.part() } else { terms.part_unasked() }
        } else if self.for_growth && self.proposal == *old {
            // A working ring was left for nothing, so far.
            terms.part()
        } else if self.proposal.is_subset(old) && !cx.hears_unknown() {
            Duration::ZERO
        } else {
            terms.settle(cx.graph.len())
        }
    }

    /// Forms the ring if this processor represents it and everybody proposed exactly its members.
    fn decide(&self, cx: &mut Context) -> Next {
        let agreed = |p: Processor| {
            p == cx.me
                || defect!(NoConsensus)
                || self.joins.get(&p).is_some_and(|join| join.proposal == self.proposal)
        };
        let rep = self.proposal.rep() == Some(cx.me);
        if !rep || cx.now < self.settle_at || !self.proposal.iter().all(agreed) {
            return Next::Stay;
        }
        let seen = self.proposal.iter().filter_map(|p| self.joins.get(&p)).map(|join| join.seq);
        let seen = seen.fold(cx.seqs.seen.max(cx.seqs.accepted), u64::max);
        let seen = match &cx.installed {
            Some(installed) if defect!(RingSeqReused) => installed.ring.seq,
            _ => seen,
        };
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
        let spacing = terms.join_spacing(cx.graph.len());
        // A little jitter keeps many processors from speaking in chorus (P35).
        let jitter = spacing * cx.rng.u32(0..64) / 64;
        self.join_at = cx.now + terms.join(cx.graph.len()) + jitter;
        self.join_spaced_at = cx.now + spacing;
        let Some(number) = cx.next_join() else { return };
        let join = Join {
            number,
            seq: cx.seqs.seen,
            accepted: cx.seqs.accepted,
            proposal: self.proposal.clone(),
            rows: cx.told(),
        };
        cx.transmit_all(Packet::Join(join.into()));
    }
}
