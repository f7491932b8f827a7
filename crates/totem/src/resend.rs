//! A packet that is sent again until there is evidence that it arrived.

use core::time::Duration;

use evs_model::{Instant, Processor, defect};

use crate::context::Context;
use crate::wire::Packet;

#[derive(Debug)]
pub(crate) struct Resend {
    pub(crate) at: Instant,
    to: Processor,
    packet: Packet,
    /// Its number, if it was cut.
    cut: Option<u64>,
    every: Duration,
    every_max: Duration,
}

impl Resend {
    /// Sends a packet, and again after `every`, which doubles up to `every_max`.
    pub(crate) fn start(
        cx: &mut Context,
        to: Processor,
        packet: Packet,
        every: Duration,
        every_max: Duration,
    ) -> Self {
        let cut = cx.transmit(to, packet.clone());
        Self { at: cx.now + every, to, packet, cut, every, every_max }
    }

    /// Sends it again if it is time.
    pub(crate) fn on_timeout(&mut self, cx: &mut Context) {
        if cx.now >= self.at {
            cx.stats.token_retransmits += 1;
            let silent = defect!(TokenNotRepeated);
            if !silent && !self.cut.is_some_and(|id| cx.remind(self.to, id)) {
                self.cut = cx.transmit(self.to, self.packet.clone());
            }
            self.every = (self.every * 2).min(self.every_max);
            self.at = cx.now + self.every;
        }
    }
}
