//! The token of a lone sender (`docs/protocol.md` §5): whoever sends alone, and little, keeps the
//! token for a moment at the end of its visit, in which its next message may come. That message
//! then costs no rotation either.
//!
//! To the others this is a visit that takes longer, and to the rules of the visit too: all that is
//! sent meanwhile is sent in it, within its quota.

use alloc::vec::Vec;

use evs_model::{Instant, defect};

use crate::context::Context;
use crate::flow::{self, Contribution};
use crate::wire::{Mcast, Packet, Token};

use super::Operational;
use super::holding::{Holding, Kept};

/// Whoever sends more packets at once sends much.
const KEPT_PACKETS: u32 = 4;

impl Operational {
    /// Whether nobody else has sent for a rotation, waits, or misses anything. `announced` is the
    /// highest number on the token when it came.
    pub(super) fn is_lone(&self, token: &Token, announced: u64) -> bool {
        token.fcc == self.contribution.cost
            && token.busy == 0
            && token.rtr.is_empty()
            && token.aru == announced
    }

    /// Whether the token is kept at the end of its visit: it is the lone sender's, who has sent a
    /// few packets and was not asked for the token. Not if one is safe: that waits for the token to
    /// go round. And only if something was sent at the visit before, too: whose messages do not
    /// follow each other so soon would keep it in vain, and it would rest only later.
    pub(super) fn may_keep(
        &mut self,
        cx: &mut Context,
        token: &Token,
        announced: u64,
        before: Contribution,
    ) -> bool {
        let follows = before.packets > 0;
        let few = (1..=KEPT_PACKETS).contains(&self.contribution.packets) && self.next != cx.me;
        let unmeasured = self.rotation.quick().is_zero();
        if !token.lone || !few || !follows || unmeasured || self.woken() {
            return false;
        }
        self.deliver_sent(cx, announced, token.seq);
        self.order.is_delivered()
    }

    pub(super) fn keep(&mut self, cx: &Context, token: Token, announced: u64) {
        let kept = Kept { announced, sent_at: cx.now, end_at: cx.now + self.terms.token_keep() };
        self.holding = Holding::Kept { token, kept };
    }

    /// When the kept token goes on: once nothing was sent for two quick rotations, and in any case
    /// after a fiftieth of the detection target.
    pub(super) fn kept_until(&self, kept: &Kept) -> Instant {
        if defect!(KeptForEver) {
            return Instant::NEVER;
        }
        kept.end_at.min(kept.sent_at + self.rotation.quick() * 2)
    }

    /// Sends what waits while the token is kept. It goes on if that is more than a few packets or
    /// than the quota allows, if something safe is among it, and if message follows message: these
    /// are better packed, and sent once in a rotation.
    pub(super) fn send_more(&mut self, cx: &mut Context) {
        let holding = core::mem::replace(&mut self.holding, Holding::nowhere());
        let Holding::Kept { mut token, mut kept } = holding else {
            self.holding = holding;
            return;
        };
        let before = token.seq;
        flow::withdraw(&mut token, self.contribution);
        let late = self.originate(cx, &mut token, self.contribution);
        self.deliver_sent(cx, before, token.seq);
        let few = token.seq - before <= u64::from(KEPT_PACKETS);
        let streams = !few || cx.now.since(kept.sent_at) < self.terms.stream();
        kept.sent_at = cx.now;
        let goes = streams || self.contribution.busy || !self.order.is_delivered();
        if goes && !defect!(KeptForEver) {
            self.go_on(cx, token, kept.announced, late);
        } else {
            late.into_iter().for_each(|mcast| cx.transmit_all(Packet::Mcast(mcast)));
            self.holding = Holding::Kept { token, kept };
        }
    }

    /// The kept token goes on.
    pub(super) fn let_go(&mut self, cx: &mut Context) {
        let holding = core::mem::replace(&mut self.holding, Holding::nowhere());
        if let Holding::Kept { token, kept } = holding {
            self.go_on(cx, token, kept.announced, Vec::new());
        }
    }

    fn go_on(&mut self, cx: &mut Context, token: Token, announced: u64, late: Vec<Mcast>) {
        self.sight_at = cx.now;
        self.rotation.visit_at = Some(cx.now);
        self.end_visit(cx, token, announced, late);
    }
}
