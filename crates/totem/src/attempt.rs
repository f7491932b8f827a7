//! An attempt to form a ring, from the moment this processor agreed to it until the ring is
//! installed: what Commit and Recovery have in common.
//!
//! Within an attempt edges only vanish; new ones wait for the next (`docs/protocol.md` §3).

use core::time::Duration;

use evs_model::{Instant, Members, Processor, RingId};

use crate::config::Terms;
use crate::context::Context;
use crate::output::{Cause, Timer};
use crate::resend::Resend;
use crate::ring::Next;
use crate::wire::{CommitToken, Join, Packet, Token};

#[derive(Debug)]
pub(crate) struct Attempt {
    /// As it was passed on.
    commit: CommitToken,
    next: Processor,
    /// The commit token, or the token, to the next member; a member alone needs none.
    resend: Option<Resend>,
    loss_at: Instant,
}

impl Attempt {
    /// Passes the commit token on to the next member, unless this is the only one.
    pub(crate) fn pass_on(cx: &mut Context, mut commit: CommitToken) -> Self {
        let next = commit.members.next_after(cx.me).expect("agreed to as a member");
        let loss_at = cx.now + commit.terms.token_loss();
        if next != cx.me {
            commit.hop = commit.hop.saturating_add(1);
        }
        let packet = Packet::CommitToken(commit.clone().into());
        let mut attempt = Self { commit, next, resend: None, loss_at };
        attempt.send(cx, packet);
        attempt
    }

    /// Passes the token on to the next member.
    pub(crate) fn forward(&mut self, cx: &mut Context, mut token: Token) {
        token.token_seq += 1;
        token.rtr.fit(cx.config.packet_bytes_max);
        self.send(cx, Packet::Token(token.into()));
    }

    /// The token was seen: the attempt goes on.
    pub(crate) fn token_seen(&mut self, cx: &Context) {
        self.loss_at = cx.now + self.commit.terms.token_loss();
    }

    /// The token may have come while this processor stood still.
    pub(crate) fn excuse(&mut self, cx: &Context, pause: Duration) {
        self.loss_at = (self.loss_at + pause).min(cx.now + self.commit.terms.token_loss());
    }

    pub(crate) const fn commit(&self) -> &CommitToken {
        &self.commit
    }

    pub(crate) const fn ring(&self) -> RingId {
        self.commit.ring
    }

    pub(crate) const fn members(&self) -> &Members {
        &self.commit.members
    }

    pub(crate) const fn terms(&self) -> Terms {
        self.commit.terms
    }

    /// The next member after this processor.
    pub(crate) const fn next(&self) -> Processor {
        self.next
    }

    /// Whether this processor is the only member.
    pub(crate) const fn is_alone(&self) -> bool {
        self.commit.members.len() == 1
    }

    /// A join of a member that was sent after it had agreed to this ring tells that it gave it up.
    pub(crate) fn on_join(&self, cx: &mut Context, from: Processor, join: &Join) -> Next {
        if !cx.see_seq(join.seq) {
            return Next::Stay;
        }
        cx.merge_rows(&join.rows);
        let gone = self.members().contains(from) && join.accepted >= self.ring().seq;
        let gathers = gone.then_some(Cause::MemberGathers(from));
        cx.broken(self.members()).or(gathers).map_or(Next::Stay, Next::Gather)
    }

    /// The attempt fails if a member leaves, or two of them no longer hear each other.
    pub(crate) fn on_row_change(&self, cx: &Context) -> Next {
        cx.broken(self.members()).map_or(Next::Stay, Next::Gather)
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

    fn send(&mut self, cx: &mut Context, packet: Packet) {
        let (_, longest) = self.terms().token_retransmit_bounds();
        let every = self.terms().token_retransmit();
        if self.next != cx.me {
            self.resend = Some(Resend::start(cx, self.next, packet, every, longest));
        }
    }
}
