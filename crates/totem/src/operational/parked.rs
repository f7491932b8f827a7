//! The parked token (`docs/protocol.md` §5): while nobody sends, it stays with whoever sent last.
//!
//! Parking delays a visit, and nothing else: the token goes on from where it was parked.

use evs_model::{Instant, Processor, defect};

use crate::context::Context;
use crate::ring::Next;
use crate::stats::Discard;
use crate::wire::{Packet, Parked, Token, Wake};

use super::Operational;
use super::holding::Holding;

impl Operational {
    /// Packets wait: the token is used if it is here, and asked for if it is parked elsewhere.
    pub(crate) fn on_submit(&mut self, cx: &mut Context) {
        match &mut self.holding {
            Holding::Parked { .. } => self.release(cx),
            Holding::Kept { .. } => self.send_more(cx),
            Holding::Sent { .. } | Holding::Away { .. } => self.ask(cx),
        }
    }

    /// Asks for the token, if it may rest with somebody and was not asked for.
    pub(super) fn ask(&mut self, cx: &mut Context) {
        if let Holding::Sent { token, .. } | Holding::Away { token } = &mut self.holding
            && token.wake_at == Instant::NEVER
        {
            token.ask(cx, self.order.ring, self.terms.wake());
        }
    }

    pub(crate) fn on_wake(&mut self, cx: &mut Context, wake: Wake) -> Next {
        if wake.ring != self.order.ring {
            cx.discard(Discard::ForeignRing);
            return Next::Stay;
        }
        match &mut self.holding {
            Holding::Parked { .. } => self.release(cx),
            Holding::Kept { .. } => self.let_go(cx),
            Holding::Sent { token, .. } | Holding::Away { token } => token.woken = true,
        }
        Next::Stay
    }

    pub(crate) fn on_parked(&mut self, cx: &mut Context, parked: Parked) -> Next {
        if parked.ring != self.order.ring {
            cx.discard(Discard::ForeignRing);
        } else if self.mark().is_some_and(|mark| parked.token_seq >= mark.token_seq) {
            self.token_arrived();
            self.sight_at = cx.now;
            self.rotation.visit_at = None;
        }
        Next::Stay
    }

    /// Whether the token rests here.
    pub(crate) const fn rests(&self) -> bool {
        matches!(self.holding, Holding::Parked { .. } | Holding::Kept { .. })
    }

    /// Whether a packet that is submitted now is sent at once, or fetches the token.
    pub(crate) fn idle(&self) -> bool {
        match &self.holding {
            Holding::Parked { .. } | Holding::Kept { .. } => true,
            Holding::Sent { token, .. } | Holding::Away { token } => token.parker.is_some(),
        }
    }

    /// Counts the visits at which there was nothing to do for anybody.
    pub(super) fn count_idle(&self, cx: &Context, token: &mut Token) {
        let quiet = self.contribution.packets == 0
            && cx.backlog.is_empty()
            && token.rtr.is_empty()
            && token.aru == token.seq;
        token.idle = if quiet { token.idle.saturating_add(1) } else { 0 };
    }

    /// Whom to ask for this token: another one, with whom it may rest. That is its last originator,
    /// once it went round idle for a rotation, or if nobody else sends.
    pub(super) fn parker(&self, cx: &Context, token: &Token) -> Option<Processor> {
        let idle = token.idle as usize >= self.order.members.len();
        (idle || token.lone)
            .then(|| self.order.members.find(token.originator))
            .flatten()
            .filter(|node| *node != cx.me)
    }

    pub(super) fn may_park(&self, cx: &Context, token: &Token) -> bool {
        let rotation = self.order.members.len();
        let too_soon = defect!(ParkedTooSoon) && token.idle as usize + 1 >= rotation;
        token.originator == cx.me.node
            && (too_soon || token.idle as usize >= 2 * rotation && self.stable())
            && cx.backlog.is_empty()
            && !self.woken()
    }

    pub(super) fn park(&mut self, cx: &mut Context, token: Token) {
        self.tell_parked(cx, token.token_seq);
        let for_ever = defect!(ParkedForEver);
        let release_at = if for_ever { Instant::NEVER } else { cx.now + self.terms.token_park() };
        self.holding = Holding::Parked { token, release_at };
        self.rotation.visit_at = None;
    }

    fn tell_parked(&self, cx: &mut Context, token_seq: u64) {
        if defect!(ParkedUntold) {
            return;
        }
        cx.transmit_all(Packet::Parked(Parked { ring: self.order.ring, token_seq }));
    }

    /// The parked token resumes its way with the visit that was delayed.
    pub(super) fn release(&mut self, cx: &mut Context) {
        let holding = core::mem::replace(&mut self.holding, Holding::nowhere());
        if let Holding::Parked { token, .. } = holding {
            self.sight_at = cx.now;
            self.visit(cx, token);
        }
    }

    /// Whether somebody asked for the token since it was passed on.
    pub(super) fn woken(&self) -> bool {
        self.mark().is_some_and(|mark| mark.woken)
    }

    /// The predecessor sends the token again as long as it does not know that it arrived.
    pub(super) fn on_duplicate_token(&mut self, cx: &mut Context, token: &Token) {
        cx.discard(Discard::Duplicate);
        let here = matches!(self.holding, Holding::Parked { .. } | Holding::Kept { .. });
        if here && token.token_seq == self.token_seq && self.next != cx.me {
            self.tell_parked(cx, token.token_seq);
        }
    }
}
