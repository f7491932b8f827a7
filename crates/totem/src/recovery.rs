//! Recovery (Totem §5.3): the members of the new ring exchange the messages of their old rings.
//!
//! The commit token told each member what every other member of its old ring holds, so each knows
//! exactly what it must get: whatever anybody holds who comes from the same ring. It requests that
//! on the new ring's token; the first holder whom the token visits sends it. A member that has it
//! all takes over the obligations of all (`docs/protocol.md` §2) and only then says so on the
//! token. Whoever sees that everybody has said so installs the new ring.
//!
//! Nobody can send on the new ring before everybody has said so; and a member that the token finds
//! in recovery installs the ring before it acknowledges anything that was sent on it, at the same
//! visit (EVS-7).

mod plan;

use core::time::Duration;

use evs_model::{Configuration, Members, Processor, defect};

use crate::attempt::Attempt;
use crate::context::Context;
use crate::missing::Requests;
use crate::old::OldRing;
use crate::operational::{Operational, out_of_range};
use crate::order::Order;
use crate::output::{Cause, Output};
use crate::resent::Resent;
use crate::ring::Next;
use crate::stall::Stall;
use crate::stats::Discard;
use crate::wire::{CommitToken, Mcast, Packet, Recovered, Token};
use plan::Plan;

#[derive(Debug)]
pub(crate) struct Recovery {
    /// What this processor brings along and must get; `None` for a fresh processor.
    old: Option<(OldRing, Plan)>,
    pub(crate) attempt: Attempt,
    /// The new ring: members that installed it before may already send.
    new: Order,
    /// The last token accepted; the origin before the first.
    token_seq: u64,
    stall: Stall,
    resent: Resent,
    requests: Requests,
}

impl Recovery {
    /// Begins with the commit token as it shows everybody's entry.
    pub(crate) fn enter(
        cx: &mut Context,
        old: Option<OldRing>,
        commit: CommitToken,
    ) -> (Self, Next) {
        let old = old.map(|old| {
            let plan = Plan::new(&old, &commit);
            (old, plan)
        });
        let origins = cx.config.origins;
        let new = Order::new(commit.ring, commit.members.clone(), &commit.terms, origins.seq);
        let attempt = Attempt::pass_on(cx, commit);
        let mut state = Self {
            old,
            attempt,
            new,
            token_seq: origins.token,
            stall: Stall::default(),
            resent: Resent::default(),
            requests: Requests::default(),
        };
        let next = if state.attempt.is_alone() { state.first_token(cx) } else { Next::Stay };
        (state, next)
    }

    pub(crate) fn old(&self) -> Option<&OldRing> {
        self.old.as_ref().map(|(old, _)| old)
    }

    /// Places for packets of the new ring.
    pub(crate) fn new_slots(&self) -> usize {
        self.new.window.len()
    }

    /// The attempt failed. What was received stays, and so do the obligations.
    pub(crate) fn into_old(self) -> Option<OldRing> {
        let mut old = self.old.map(|(old, _)| old);
        if defect!(ObligationsForgotten) {
            old.iter_mut().for_each(|old| old.obligations = Members::default());
        }
        old
    }

    /// The commit token is back from its second rotation: the representative sends the first
    /// token, once (P4).
    pub(crate) fn on_commit_token(&mut self, cx: &mut Context, commit: &CommitToken) -> Next {
        let round = commit.hop as usize == 2 * self.attempt.members().len();
        let mine = commit.ring == self.attempt.ring() && commit.ring.rep == cx.me;
        if !(mine && round && self.token_seq == cx.config.origins.token) {
            cx.discard(Discard::Duplicate);
            return Next::Stay;
        }
        self.first_token(cx)
    }

    pub(crate) fn on_token(&mut self, cx: &mut Context, from: Processor, token: Token) -> Next {
        if token.ring != self.new.ring {
            cx.discard(Discard::ForeignRing);
        } else if !self.attempt.members().contains(from) {
            cx.discard(Discard::NotMember);
        } else if token.token_seq <= self.token_seq {
            cx.discard(Discard::Duplicate);
        } else {
            return self.visit(cx, token);
        }
        Next::Stay
    }

    /// A message of the new ring, from a member that has installed it. Those of the old ring are
    /// refused: what is held of it has been told (P45).
    pub(crate) fn on_mcast(&mut self, cx: &mut Context, mcast: Mcast) -> Next {
        if defect!(LateInRecovery)
            && let Some((old, _)) = &mut self.old
            && old.order.receive(mcast.clone()).is_ok()
        {
            return Next::Stay;
        }
        if let Err(reason) = self.new.receive(mcast) {
            cx.discard(reason);
        }
        Next::Stay
    }

    pub(crate) fn on_recovered(&mut self, cx: &mut Context, recovered: Recovered) -> Next {
        let taken = match &mut self.old {
            Some((old, _)) if recovered.ring == self.new.ring => old.order.receive(recovered.mcast),
            _ => Err(Discard::ForeignRing),
        };
        match taken {
            Ok(()) => cx.stats.retrieved += 1,
            Err(reason) => cx.discard(reason),
        }
        Next::Stay
    }

    fn first_token(&mut self, cx: &mut Context) -> Next {
        let token = Token::first(self.attempt.ring(), &cx.config.origins);
        self.visit(cx, token)
    }

    /// One visit of the token: send what others miss, request what is missing here, say whether
    /// everything is here; install if everybody says so.
    fn visit(&mut self, cx: &mut Context, mut token: Token) -> Next {
        if out_of_range(&self.new, &token) {
            return Next::Gather(Cause::OutOfRange);
        }
        self.token_seq = token.token_seq;
        self.attempt.token_seen(cx);
        self.watch(cx);
        self.retransmit(cx, &mut token);
        if self.complete(cx, &mut token) {
            let place = self.attempt.members().index_of(cx.me).expect("agreed to as a member");
            token.complete |= 1 << place;
        }
        let all_complete = token.all_complete(self.attempt.members().len());
        if all_complete && !self.acknowledges_first(cx, &mut token) {
            return Next::Operational(token.into());
        }
        if token.seq > cx.config.origins.seq && !defect!(AckBeforeInstall) {
            return Next::Gather(Cause::OutOfRange);
        }
        self.attempt.forward(cx, token);
        Next::Stay
    }

    /// Watches whether a packet that others hold does not come, however often it is requested.
    fn watch(&mut self, cx: &mut Context) {
        let Some((old, plan)) = &self.old else { return };
        let lacks = plan.missing(old).next();
        // At each visit it is requested, or has been lately.
        lacks.into_iter().for_each(|seq| self.stall.copied(seq));
        self.stall.observe(cx.now, lacks.map(|seq| (cx.me.node, seq)));
        let late = self.stall.overdue(cx.now, &self.attempt.terms());
        if let (Some(_), Some(seq)) = (late, lacks) {
            plan.holders(seq).for_each(|holder| cx.distrust(holder));
        }
    }

    /// Sends what others of the same old ring miss and this processor holds.
    fn retransmit(&mut self, cx: &mut Context, token: &mut Token) {
        let Some((old, _)) = &self.old else { return };
        let window = &old.order.window;
        let budget = self.attempt.terms().window_packets;
        self.resent.serve(&mut token.rtr, old.order.ring, budget, |seq| {
            let Some(mcast) = window.get(seq) else { return false };
            cx.stats.recovered += 1;
            let recovered = Recovered { ring: self.attempt.ring(), mcast: mcast.clone() };
            cx.transmit_all(Packet::Recovered(recovered));
            true
        });
    }

    /// Requests what is missing. If nothing is, takes over the obligations first: from here on
    /// others may deliver on the strength of it.
    fn complete(&mut self, cx: &Context, token: &mut Token) -> bool {
        let Some((old, plan)) = &mut self.old else { return true };
        let mut complete = true;
        for seq in plan.missing(old) {
            complete = defect!(CompleteTooEarly);
            let ring = old.order.ring;
            if !token.rtr.contains(ring, seq) {
                if !self.requests.may(cx.now, seq, usize::MAX) {
                    continue;
                }
                if !token.rtr.request(ring, seq) {
                    break;
                }
            }
            self.requests.begin(cx.now, &self.attempt.terms(), seq, Duration::ZERO);
        }
        let place = self.attempt.members().index_of(cx.me).expect("agreed to as a member");
        let too_soon = defect!(ObligationsLate) && token.complete >> place & 1 == 0;
        if complete && !too_soon && !defect!(ObligationsNeverTaken) {
            let narrow = defect!(ObligationsNarrow);
            let taken = if narrow { &plan.transitional } else { &plan.obligations };
            old.obligations = taken.clone();
        }
        complete
    }

    /// The defect `AckBeforeInstall`: all but the representative tell of what they received in the
    /// new ring for some rotations before they install it. Returns whether this visit is one.
    fn acknowledges_first(&self, cx: &Context, token: &mut Token) -> bool {
        let members = self.attempt.members();
        let waits = members.rep() != Some(cx.me) && token.token_seq <= 4 * members.len() as u64;
        if !defect!(AckBeforeInstall) || !waits {
            return false;
        }
        let aru = self.new.window.aru();
        if aru < token.aru || token.aru_by == Some(cx.me.node) {
            token.aru = aru;
            token.aru_by = (aru < token.seq).then_some(cx.me.node);
        }
        true
    }

    /// Installs the new ring: one batch of outputs, in the order that EVS-2 demands, before
    /// anything else is done at this visit.
    pub(crate) fn install(mut self, cx: &mut Context, token: Token) -> Operational {
        if let Some((old, plan)) = &mut self.old {
            plan.deliver_regular(cx, &mut old.order);
            if !defect!(TransitionalOmitted) {
                cx.outputs.push_back(Output::Configure(Configuration::Transitional {
                    from: old.order.ring,
                    to: self.attempt.ring(),
                    members: plan.transitional.clone(),
                }));
            }
            if !defect!(RestAfterInstall) {
                plan.deliver_transitional(cx, &mut old.order);
            }
        }
        cx.outputs.push_back(Output::Configure(Configuration::Regular {
            ring: self.attempt.ring(),
            members: self.attempt.members().clone(),
        }));
        if let Some((old, plan)) = &mut self.old
            && defect!(RestAfterInstall)
        {
            plan.deliver_transitional(cx, &mut old.order);
        }
        cx.install(self.attempt.ring(), self.attempt.members());
        // What was not sequenced is handed over again, whole, by the layer above.
        if !defect!(BacklogKept) {
            cx.backlog.clear();
        }
        Operational::enter(cx, self.new, self.attempt.terms(), self.attempt.next(), token)
    }
}
