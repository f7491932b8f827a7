//! Operational (Totem §4): the token goes round, messages are sent, ordered and delivered.
//!
//! A visit of the token is one function of named steps, in the order of the paper: [`visit`]
//! retransmits what others miss, originates what waits, lowers or raises the aru, requests what is
//! missing, passes the token on, then delivers and releases. An idle token is parked
//! (`docs/protocol.md` §5).
//!
//! [`visit`]: Operational::visit

mod growth;
mod holding;
mod kept;
mod late;
mod parked;
mod settings;

use alloc::vec::Vec;
use core::time::Duration;

use evs_model::{Instant, NodeId, Processor, defect};

use crate::config::{SEQ_MAX, Terms};
use crate::context::Context;
use crate::flow::{self, Contribution};
use crate::missing::{Arrival, Missing};
use crate::old::OldRing;
use crate::order::Order;
use crate::output::{Cause, Timer};
use crate::pace::Pace;
use crate::resend::Resend;
use crate::resent::Resent;
use crate::ring::Next;
use crate::stall::Stall;
use crate::stats::Discard;
use crate::wire::{Join, Mcast, MergeDetect, Packet, Token};
use growth::{Growth, Sight};
use holding::{Holding, Rotation, TokenMark};

#[derive(Debug)]
pub(crate) struct Operational {
    order: Order,
    terms: Terms,
    /// Others are judged by this target until then, if it is above that of the terms.
    patience: Duration,
    patient_until: Instant,
    next: Processor,
    /// The last token accepted.
    token_seq: u64,
    /// The token's seq at the last visit: only what it announced is requested (§4), since data of
    /// the present rotation may still be under way.
    previous_seq: u64,
    /// The arus as sent on at the last two visits.
    arus: [u64; 2],
    contribution: Contribution,
    holding: Holding,
    /// When the token was here last, or word that it is parked.
    sight_at: Instant,
    merge_at: Instant,
    /// The token has come round: everybody has installed this ring.
    installed_by_all: bool,
    growth: Option<Growth>,
    rotation: Rotation,
    missing: Missing,
    stall: Stall,
    resent: Resent,
    pace: Pace,
}

impl Operational {
    /// Begins with the ring's order as recovery leaves it, at a visit of the token at which
    /// everybody is known to have recovered.
    pub(crate) fn enter(
        cx: &mut Context,
        order: Order,
        terms: Terms,
        next: Processor,
        token: Token,
    ) -> Self {
        let mark = TokenMark::away(&token);
        let mut state = Self {
            order,
            terms,
            patience: Duration::ZERO,
            patient_until: cx.now,
            next,
            token_seq: token.token_seq,
            previous_seq: cx.config.origins.seq,
            arus: [cx.config.origins.seq; 2],
            contribution: Contribution::default(),
            holding: Holding::Away { token: mark },
            sight_at: cx.now,
            merge_at: cx.now,
            installed_by_all: next == cx.me,
            growth: None,
            rotation: Rotation::default(),
            missing: Missing::new(cx.now, cx.config.origins.seq),
            stall: Stall::default(),
            resent: Resent::default(),
            pace: Pace::default(),
        };
        if core::mem::take(&mut cx.reset) {
            state.set_detection(cx, cx.config.detection);
            state.set_window_bytes(cx.config.window_bytes);
        }
        for seq in state.order.window.held_after(0).collect::<Vec<_>>() {
            state.order.deliver_unordered(cx, seq);
        }
        // The backlog is empty: what was not sequenced in the old ring is submitted again.
        assert!(cx.backlog.is_empty() || defect!(BacklogKept), "the backlog is dropped at install");
        state.visit(cx, token);
        state
    }

    pub(crate) fn order(&self) -> &Order {
        &self.order
    }

    /// The ring broke: what there is of it becomes the old ring.
    pub(crate) fn into_old(mut self, cx: &mut Context) -> OldRing {
        let deaf = self.stall.nearly_overdue(cx.now, &self.judging(cx.now));
        self.distrust(cx, deaf);
        OldRing::new(self.order)
    }

    pub(crate) fn on_mcast(&mut self, cx: &mut Context, mcast: Mcast) -> Next {
        let (seq, again) = (mcast.seq, mcast.again);
        if again {
            self.stall.copied(seq);
        }
        // Nobody can have reserved a number while the token is here.
        let token = match &self.holding {
            Holding::Parked { token, .. } | Holding::Kept { token, .. } => Some(token),
            Holding::Sent { .. } | Holding::Away { .. } => None,
        };
        if token.is_some_and(|token| seq > token.seq) {
            return cx.ignore(Discard::OutOfWindow);
        }
        let taken = self.order.receive(mcast);
        let new = taken.is_ok();
        if new || taken == Err(Discard::Duplicate) {
            self.missing.arrived(cx.now, &self.terms, Arrival { seq, again, new });
        }
        if let Err(reason) = taken {
            cx.discard(reason);
            return Next::Stay;
        }
        // P1: only a message above what was passed on proves that the token arrived.
        if self.mark().is_some_and(|mark| seq > mark.seq || defect!(RepetitionCancelled)) {
            self.token_arrived();
        }
        self.order.deliver_unordered(cx, seq);
        self.order.deliver(cx);
        if self.order.window.aru() < seq {
            // It can be requested only when the token comes, which may rest.
            self.ask(cx);
        }
        Next::Stay
    }

    pub(crate) fn on_token(&mut self, cx: &mut Context, from: Processor, token: Token) -> Next {
        if token.ring != self.order.ring && !defect!(StaleToken) {
            cx.discard(Discard::ForeignRing);
            return Next::Stay;
        }
        // Of a ring of one nobody else has a token: there would be nobody to give it up with.
        if !self.order.members.contains(from) {
            cx.discard(Discard::NotMember);
            return Next::Stay;
        }
        let wraps =
            defect!(NumbersWrap) && token.token_seq & 0xffff_ffff <= self.token_seq & 0xffff_ffff;
        if (token.token_seq <= self.token_seq || wraps) && !defect!(DuplicateToken) {
            self.on_duplicate_token(cx, &token);
            return Next::Stay;
        }
        if out_of_range(&self.order, &token) {
            return Next::Gather(Cause::OutOfRange);
        }
        self.token_seq = token.token_seq;
        self.sight_at = cx.now;
        self.rotation.measure(cx);
        if self.may_park(cx, &token) {
            self.park(cx, token);
        } else {
            self.visit(cx, token);
        }
        self.installed_by_all = true;
        self.on_growth_due(cx)
    }

    pub(crate) fn on_join(&mut self, cx: &mut Context, from: Processor, join: &Join) -> Next {
        let member = self.order.members.contains(from);
        if !cx.see_seq(join.seq) {
            // Whose word is not taken is not waited for: both sides compute the same graph.
            if !member {
                cx.give_up(from);
            }
            return Next::Stay;
        }
        let news = cx.merge_rows(&join.rows);
        if news && defect!(GatherOnNews) {
            return Next::Gather(Cause::MemberGathers(from));
        }
        let news = cx.take_back(from, Duration::MAX) || news;
        // Only a join that was sent after this ring had been agreed to tells that its sender has
        // left it (P26, P32).
        if member && (join.accepted >= self.order.ring.seq || defect!(JoinOfAnyTime)) {
            // Its rows may say why.
            let cause = cx.broken(&self.order.members).unwrap_or(Cause::MemberGathers(from));
            return Next::Gather(cause);
        }
        let proposed = join.proposal.contains(cx.me);
        let had_a_ring = cx.graph.row(from).is_some_and(|row| row.installed.is_some());
        match (proposed, news) {
            // It has waited before it left its ring, and now waits for this processor.
            (true, _) if had_a_ring => self.evaluate(cx, Sight::Called),
            (true, true) => self.evaluate(cx, Sight::Awaited),
            // What it hears it has told before, in a join that did not propose this processor yet.
            (true, false) if self.is_unasked() && !defect!(AwaitedByNewsAlone) => {
                self.evaluate(cx, Sight::Awaited)
            }
            (false, true) => self.evaluate(cx, Sight::News),
            (_, false) => Next::Stay,
        }
    }

    pub(crate) fn on_merge_detect(
        &mut self,
        cx: &mut Context,
        from: Processor,
        merge: &MergeDetect,
    ) -> Next {
        let changed = cx.merge_probe(merge);
        if changed && defect!(GatherOnNews) {
            return Next::Gather(Cause::MemberGathers(from));
        }
        // A probe tells less than a join: who was given up again and again must join.
        let first_pause = cx.config.terms().give_up();
        if cx.take_back(from, first_pause) || changed {
            self.evaluate(cx, Sight::News)
        } else {
            Next::Stay
        }
    }

    /// Whom this processor hears has changed: tell the others, and see whether the ring holds.
    pub(crate) fn on_row_change(&mut self, cx: &mut Context) -> Next {
        self.merge_at = self.merge_at.min(cx.now + self.terms.join_spacing(cx.graph.len()));
        self.evaluate(cx, Sight::News)
    }

    /// Evaluate before gather (`docs/protocol.md` §3): the ring is left only if two of its members
    /// lost each other, if one leaves, or if there is a better partition that includes this
    /// processor; for that it is left once nothing more is added, or when one that would be added
    /// calls. Others' troubles cost rows, never a reconfiguration.
    fn evaluate(&mut self, cx: &Context, sight: Sight) -> Next {
        if let Some(cause) = cx.broken(&self.order.members) {
            return Next::Gather(cause);
        }
        let Some(better) = cx.graph.better_part(cx.me, &self.order.members) else {
            self.growth = None;
            return Next::Stay;
        };
        let before = self.growth.take();
        let growth = Growth::see(before, cx.now, &self.terms, sight, better.parts);
        if self.is_due(cx, &growth) {
            let newcomer = better.part.difference(&self.order.members).rep();
            return Next::Gather(Cause::Growth(newcomer.unwrap_or(cx.me)));
        }
        self.growth = Some(growth);
        Next::Stay
    }

    pub(crate) fn on_timeout(&mut self, cx: &mut Context) -> Next {
        let loss_at = self.loss_at();
        match &mut self.holding {
            // A ring of one meets its token here only.
            Holding::Parked { token, .. } if token.seq.max(token.token_seq) >= SEQ_MAX => {
                return Next::Gather(Cause::OutOfRange);
            }
            Holding::Parked { release_at, .. } if cx.now >= *release_at => self.release(cx),
            Holding::Parked { .. } => {}
            Holding::Kept { kept, .. } => {
                let kept = *kept;
                if cx.now >= self.kept_until(&kept) {
                    self.let_go(cx);
                }
            }
            Holding::Sent { .. } | Holding::Away { .. } if cx.now >= loss_at => {
                return Next::Gather(Cause::TokenLost);
            }
            Holding::Sent { resend, token } => {
                resend.on_timeout(cx);
                token.on_timeout(cx, self.order.ring, self.terms.wake());
            }
            Holding::Away { token } => token.on_timeout(cx, self.order.ring, self.terms.wake()),
        }
        if cx.now >= self.merge_at {
            self.merge_at = cx.now + self.terms.merge_detect();
            if defect!(NoMergeProbe) {
                return Next::Stay;
            }
            cx.probe();
        }
        if cx.take_back_due() {
            return self.on_row_change(cx);
        }
        self.on_growth_due(cx)
    }

    /// Leaves the ring for the better partition if that is due.
    fn on_growth_due(&mut self, cx: &Context) -> Next {
        match &self.growth {
            Some(growth) if self.is_due(cx, growth) => self.evaluate(cx, Sight::Due),
            Some(_) | None => Next::Stay,
        }
    }

    /// Whether there is a better partition in sight, for which nobody waits as far as is known.
    fn is_unasked(&self) -> bool {
        self.growth.is_some_and(|growth| !growth.awaited)
    }

    fn is_due(&self, cx: &Context, growth: &Growth) -> bool {
        cx.now >= growth.at && self.may_grow()
    }

    /// Who has not installed this ring yet would part with those who have (LIVE-6).
    fn may_grow(&self) -> bool {
        self.installed_by_all || defect!(GrowsBeforeAll)
    }

    pub(crate) fn deadline(&self, cx: &Context) -> (Instant, Timer) {
        let merge = (self.merge_at.min(cx.take_back_at()), Timer::MergeDetect);
        let growth = self.growth.as_ref().filter(|_| self.may_grow());
        let growth = growth.map_or(Instant::NEVER, |growth| growth.at);
        let token = match &self.holding {
            Holding::Parked { release_at, .. } => (*release_at, Timer::TokenPark),
            Holding::Kept { kept, .. } => (self.kept_until(kept), Timer::TokenPark),
            Holding::Sent { resend, token } => [
                (resend.at, Timer::TokenRetransmit),
                (token.wake_at, Timer::Wake),
                (self.loss_at(), Timer::TokenLoss),
            ]
            .into_iter()
            .min_by_key(|(at, _)| *at)
            .expect("three of them"),
            Holding::Away { token } if token.wake_at < self.loss_at() => {
                (token.wake_at, Timer::Wake)
            }
            Holding::Away { .. } => (self.loss_at(), Timer::TokenLoss),
        };
        let earlier = if merge.0 < token.0 { merge } else { token };
        if growth < earlier.0 { (growth, Timer::Settle) } else { earlier }
    }

    /// Whether every member is known to have received everything that was sequenced.
    pub(crate) fn stable(&self) -> bool {
        self.order.safe == self.order.window.high_seq()
    }

    // ── one visit of the token ──────────────────────────────────────────────────────────────

    fn visit(&mut self, cx: &mut Context, mut token: Token) {
        cx.stats.tokens += 1;
        if self.order.members.rep() == Some(cx.me) {
            self.pace.adapt(&mut token, &self.terms);
        }
        cx.stats.window_bytes = self.terms.window(token.window);
        let before = self.contribution;
        flow::withdraw(&mut token, before);
        self.watch(cx, &token);
        self.retransmit(cx, &mut token);
        let announced = token.seq;
        let late = self.originate(cx, &mut token, Contribution::default());
        if self.contribution.packets > 0 {
            token.lone = self.is_lone(&token, announced);
        }
        if self.may_keep(cx, &token, announced, before) {
            self.keep(cx, token, announced);
        } else {
            self.end_visit(cx, token, announced, late);
        }
    }

    fn end_visit(&mut self, cx: &mut Context, mut token: Token, announced: u64, late: Vec<Mcast>) {
        self.update_aru(cx, &mut token);
        self.request_missing(cx, &mut token);
        self.previous_seq = token.seq;
        self.count_idle(cx, &mut token);
        self.forward(cx, token);
        late.into_iter().for_each(|mcast| cx.transmit_all(Packet::Mcast(mcast)));
        self.deliver(cx, announced);
    }

    /// Watches whether somebody holds the aru back for a packet that this processor has.
    fn watch(&mut self, cx: &mut Context, token: &Token) {
        let first = token.aru.saturating_add(1);
        let held = self.order.window.get(first).is_some();
        let lagger = token.aru_by.filter(|node| held && *node != cx.me.node);
        self.stall.observe(cx.now, lagger.map(|node| (node, first)));
        let deaf = self.stall.overdue(cx.now, &self.judging(cx.now));
        self.distrust(cx, deaf);
    }

    fn distrust(&self, cx: &mut Context, deaf: Option<NodeId>) {
        if let Some(deaf) =
            deaf.filter(|_| !defect!(DeafUnnoticed)).and_then(|node| self.order.members.find(node))
        {
            cx.distrust(deaf);
        }
    }

    /// Sends again what others miss and this processor holds.
    fn retransmit(&mut self, cx: &mut Context, token: &mut Token) {
        let window = &self.order.window;
        let budget = self.terms.window_packets;
        let mut again = 0_u32;
        self.resent.serve(&mut token.rtr, self.order.ring, budget, |seq| {
            let Some(mcast) = window.get(seq).filter(|_| !defect!(DataNotRepeated)) else {
                return false;
            };
            cx.stats.retransmits += 1;
            again = again.saturating_add(self.terms.cost(mcast.body.len()));
            self.stall.copied(seq);
            cx.transmit_all(Packet::Mcast(Mcast { again: true, ..mcast.clone() }));
            true
        });
        token.again = token.again.saturating_add(again);
    }

    /// Gives sequence numbers to what waits, as far as the quota allows. What a number stands for
    /// is fixed here. The last ones are returned, to be sent once the token has been passed on
    /// (§4): not so if everything that waits fits before. `sent` is what was sent at this visit
    /// before; it is not in the token's counts.
    fn originate(
        &mut self,
        cx: &mut Context,
        token: &mut Token,
        mut sent: Contribution,
    ) -> Vec<Mcast> {
        let mut quota = flow::quota(token, &self.terms);
        let slots = self.order.window.last_slot() - token.seq;
        quota.packets = quota.packets.min(u32::try_from(slots).unwrap_or(u32::MAX));
        let mut mcasts = Vec::new();
        while let Some(cost) = cx.backlog.next_bytes().map(|bytes| self.terms.cost(bytes))
            && quota.allows(sent, cost)
            && let Some(submission) = cx.backlog.pop()
        {
            token.seq += 1;
            sent.packets += 1;
            sent.cost = sent.cost.saturating_add(cost);
            cx.stats.originated_bytes += submission.body.len() as u64;
            mcasts.push(Mcast {
                ring: self.order.ring,
                seq: token.seq,
                sender: cx.me.node,
                guarantee: submission.guarantee,
                again: false,
                body: submission.body,
            });
        }
        sent.busy = !cx.backlog.is_empty();
        let accelerated = if sent.busy { cx.config.accelerated_packets as usize } else { 0 };
        let early = mcasts.len().saturating_sub(accelerated);
        let held = if defect!(ReservedNotHeld) { early } else { mcasts.len() };
        for mcast in &mcasts[..held] {
            self.order.receive(mcast.clone()).expect("the quota is within the slots");
        }
        cx.sequenced += mcasts.len() as u64;
        cx.stats.originated += mcasts.len() as u64;
        if !mcasts.is_empty() {
            token.originator = cx.me.node;
        }
        flow::contribute(token, sent);
        self.contribution = sent;
        let late = mcasts.split_off(early);
        mcasts.into_iter().for_each(|mcast| cx.transmit_all(Packet::Mcast(mcast)));
        if defect!(FilledLater) { late::filled_later(&late) } else { late }
    }

    /// The aru is lowered by whoever has received less, and raised only by whoever lowered it.
    fn update_aru(&mut self, cx: &Context, token: &mut Token) {
        let aru = self.order.window.aru();
        let mine = token.aru_by.is_none_or(|node| node == cx.me.node) || defect!(AruRaisedByAnyone);
        if aru < token.aru && !defect!(AruNotLowered) || mine {
            token.aru = aru;
            token.aru_by = (aru < token.seq).then_some(cx.me.node);
        }
        self.arus = [self.arus[1], token.aru];
        // The safe line: every member had received this when it last let the token pass. Two
        // visits, since the first may tell of an aru that somebody is about to lower.
        let before = if defect!(SafeAtFirstVisit) { u64::MAX } else { self.arus[0] };
        self.order.safe = self.order.safe.max(before.min(self.arus[1]));
    }

    /// Requests what was announced before this rotation and has not come.
    fn request_missing(&mut self, cx: &mut Context, token: &mut Token) {
        let (ring, window) = (self.order.ring, &self.order.window);
        token.rtr.keep_only(ring, token.aru);
        let announced = if defect!(TailNotRequested) { window.high_seq() } else { token.seq };
        let missing = window.missing(self.previous_seq.min(announced));
        let (pace, rtr) = ((&self.terms, self.rotation.smoothed), (&mut token.rtr, ring));
        cx.stats.requested += self.missing.request(cx.now, pace, rtr, missing);
        self.missing.complete(window.aru());
        self.missing.announce(cx.now, token.seq);
    }

    fn forward(&mut self, cx: &mut Context, mut token: Token) {
        token.token_seq += 1;
        token.rtr.fit(cx.config.packet_bytes_max);
        if self.next == cx.me {
            // A ring of one paces itself: at once while there is something to do.
            self.token_seq = token.token_seq;
            let busy = !cx.backlog.is_empty() || self.order.safe < token.seq;
            let pause = if busy { Duration::ZERO } else { self.terms.token_park() };
            self.holding = Holding::Parked { token, release_at: cx.now + pause };
            return;
        }
        let back = self.order.members.find(token.originator);
        let next = match back.filter(|back| defect!(ParkedBounces) && *back != cx.me) {
            Some(back) if token.idle > 0 => back,
            _ => self.next,
        };
        let mut mark = TokenMark::away(&token);
        mark.parker = self.parker(cx, &token);
        let (_, longest) = self.terms.token_retransmit_bounds();
        let every = self.rotation.token_retransmit(&self.terms);
        let packet = Packet::Token(token.into());
        let resend = Resend::start(cx, next, packet, every, longest);
        self.holding = Holding::Sent { resend, token: mark };
    }

    /// Delivers what this visit allows, own unordered messages among it, and drops what every
    /// member has received.
    fn deliver(&mut self, cx: &mut Context, announced: u64) {
        let sent = u64::from(self.contribution.packets);
        self.deliver_sent(cx, announced, announced + sent);
        let safe = if defect!(ReleasedEarly) { self.arus[1] } else { self.order.safe };
        self.order.window.release(safe.min(self.order.high_delivered));
        self.resent.release(self.order.window.released());
    }

    /// Delivers what was sent under these numbers, and what is next in order.
    fn deliver_sent(&mut self, cx: &mut Context, before: u64, last: u64) {
        for seq in before + 1..=last {
            self.order.deliver_unordered(cx, seq);
        }
        self.order.deliver(cx);
    }

    pub(crate) fn check(&self) {
        self.order.check();
        if let Holding::Parked { token, .. } | Holding::Kept { token, .. } = &self.holding {
            assert!(token.seq >= self.order.window.high_seq());
        }
    }
}

/// Whether a token says what no member of this ring can say. The ring is then given up, not the
/// process (P14).
pub(crate) fn out_of_range(order: &Order, token: &Token) -> bool {
    let window = &order.window;
    let known = |node| order.members.find(node).is_some();
    token.seq > window.last_slot()
        || token.seq < window.high_seq()
        || token.seq >= SEQ_MAX
        || token.token_seq >= SEQ_MAX
        || token.aru < order.safe
        || !token.aru_by.is_none_or(known)
        || token.aru_by.is_none() && token.aru != token.seq
        || !known(token.originator)
}
