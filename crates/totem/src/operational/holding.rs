//! Where the token is, and how long a rotation takes.

use core::time::Duration;

use evs_model::{Instant, Processor, RingId, defect};

use crate::config::Terms;
use crate::context::Context;
use crate::output::TokenSight;
use crate::resend::Resend;
use crate::wire::{Packet, Token, Wake};

use super::Operational;

/// Where the token is.
#[derive(Debug)]
pub(super) enum Holding {
    /// Passed on, and not known to have arrived.
    Sent { resend: Resend, token: TokenMark },
    /// Passed on, and known to have arrived.
    Away { token: TokenMark },
    /// Parked here.
    Parked { token: Token, release_at: Instant },
    /// Kept here at the end of a visit.
    Kept { token: Token, kept: Kept },
}

/// Since when the token is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// The highest number on the token when it came.
    pub(super) announced: u64,
    pub(super) sent_at: Instant,
    pub(super) end_at: Instant,
}

impl Holding {
    /// While the token is worked with.
    pub(super) const fn nowhere() -> Self {
        Self::Away { token: TokenMark::nowhere() }
    }
}

/// What is remembered of a token that was passed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenMark {
    pub(super) token_seq: u64,
    pub(super) seq: u64,
    /// Who may be asked for it: another one, with whom it may rest.
    pub(super) parker: Option<Processor>,
    /// When to ask the parker for it again.
    pub(super) wake_at: Instant,
    /// Somebody asked for it before it came.
    pub(super) woken: bool,
}

/// The time of one rotation, measured while the token is not parked.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    pub(super) visit_at: Option<Instant>,
    pub(super) smoothed: Duration,
    /// The quickest of late, which grows by an eighth with each that is slower.
    quick: Duration,
    /// The slowest of late, which shrinks by a sixteenth with each that is quicker.
    slow: Duration,
}

impl Operational {
    pub(super) fn token_arrived(&mut self) {
        if let Holding::Sent { token, .. } = self.holding {
            self.holding = Holding::Away { token };
        }
    }

    pub(super) fn mark(&self) -> Option<&TokenMark> {
        match &self.holding {
            Holding::Sent { token, .. } | Holding::Away { token } => Some(token),
            Holding::Parked { .. } | Holding::Kept { .. } => None,
        }
    }

    /// When the ring is given up unless the token is seen.
    pub(super) fn loss_at(&self) -> Instant {
        let loss_at = |terms| self.sight_at + self.rotation.token_loss(&terms);
        let by_old = loss_at(Terms { detection: self.patience, ..self.terms });
        loss_at(self.terms).max(by_old.min(self.patient_until))
    }

    /// The token may have come while this processor stood still.
    pub(crate) fn excuse(&mut self, cx: &Context, pause: Duration) {
        self.sight_at = (self.sight_at + pause).min(cx.now);
    }

    /// What is known of the token, for whoever asks why the ring was given up.
    pub(crate) fn token_sight(&self, now: Instant) -> TokenSight {
        let here = matches!(self.holding, Holding::Parked { .. } | Holding::Kept { .. });
        TokenSight {
            ring: self.order.ring,
            token_seq: self.token_seq,
            silence: now.since(self.sight_at),
            passed_to: (!here).then_some(self.next),
            arrived: matches!(self.holding, Holding::Away { .. }),
        }
    }
}

impl TokenMark {
    pub(super) fn away(token: &Token) -> Self {
        Self {
            token_seq: token.token_seq,
            seq: token.seq,
            parker: None,
            wake_at: Instant::NEVER,
            woken: false,
        }
    }

    const fn nowhere() -> Self {
        Self { token_seq: 0, seq: 0, parker: None, wake_at: Instant::NEVER, woken: false }
    }

    /// Asks the parker for the token, and again later.
    pub(super) fn ask(&mut self, cx: &mut Context, ring: RingId, every: Duration) {
        if let Some(parker) = self.parker {
            cx.transmit(parker, Packet::Wake(Wake { ring }));
            self.wake_at = if defect!(WakeNotRepeated) { Instant::NEVER } else { cx.now + every };
        }
    }

    pub(super) fn on_timeout(&mut self, cx: &mut Context, ring: RingId, every: Duration) {
        if cx.now >= self.wake_at {
            self.ask(cx, ring, every);
        }
    }
}

impl Rotation {
    pub(super) fn measure(&mut self, cx: &mut Context) {
        if let Some(before) = self.visit_at.replace(cx.now) {
            let sample = cx.now - before;
            self.smoothed =
                if self.smoothed.is_zero() { sample } else { (self.smoothed * 7 + sample) / 8 };
            self.slow = sample.max(self.slow * 15 / 16);
            self.quick = if self.quick.is_zero() { sample } else { sample.min(self.quick * 9 / 8) };
            cx.stats.rotation_ns = u64::try_from(self.smoothed.as_nanos()).unwrap_or(u64::MAX);
        }
    }

    /// The quickest of late; none as long as none was measured.
    pub(super) const fn quick(&self) -> Duration {
        self.quick
    }

    /// How long the token may be out of sight before the ring is given up: longer where rotations
    /// have been slow, within bounds. Who died is noticed without the token.
    pub(super) fn token_loss(&self, terms: &Terms) -> Duration {
        let (shortest, longest) = terms.working_token_loss();
        (self.slow * 3).clamp(shortest, longest)
    }

    /// When the token is sent again: four quick rotations, within bounds. Slow ones are slow
    /// because tokens were late or lost, and must not make its copies rarer.
    pub(super) fn token_retransmit(&self, terms: &Terms) -> Duration {
        if self.quick.is_zero() {
            return terms.token_retransmit();
        }
        let (shortest, longest) = terms.token_retransmit_bounds();
        (self.quick * 4).clamp(shortest, longest)
    }
}
