//! The messages of one ring and how far they are delivered (Totem §4.2).
//!
//! Agreed messages are delivered in the order of their sequence numbers without gaps; a safe
//! message only up to the safe line, and whatever follows waits behind it; an unordered message as
//! soon as it is held. What is delivered once a ring has broken is decided in `recovery.rs`.

use evs_model::{Guarantee, Members, Processor, RingId, defect};

use crate::config::Terms;
use crate::context::Context;
use crate::output::{Delivery, Output};
use crate::stats::Discard;
use crate::window::{Insert, Window};
use crate::wire::Mcast;

#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) ring: RingId,
    pub(crate) members: Members,
    pub(crate) window: Window,
    /// Delivered in order up to here.
    pub(crate) high_delivered: u64,
    /// Every member has received everything up to here.
    pub(crate) safe: u64,
}

impl Order {
    /// Nothing is held yet; the first packet is the one after `origin`.
    pub(crate) fn new(ring: RingId, members: Members, terms: &Terms, origin: u64) -> Self {
        let window = Window::new(terms, origin);
        Self { ring, members, window, high_delivered: origin, safe: origin }
    }

    /// Takes a packet of this ring.
    pub(crate) fn receive(&mut self, mcast: Mcast) -> Result<(), Discard> {
        if mcast.ring != self.ring && !defect!(ForeignMcast) {
            return Err(Discard::ForeignRing);
        }
        if self.members.find(mcast.sender).is_none() {
            return Err(Discard::NotMember);
        }
        // What is held is the packet; how it came is no part of it.
        match self.window.insert(Mcast { again: false, ..mcast }) {
            Insert::New => Ok(()),
            Insert::Duplicate => Err(Discard::Duplicate),
            Insert::OutOfWindow => Err(Discard::OutOfWindow),
        }
    }

    /// Delivers a packet that is held at once if it is unordered and was not delivered yet.
    pub(crate) fn deliver_unordered(&mut self, cx: &mut Context, seq: u64) {
        let early = |guarantee| match guarantee {
            Guarantee::Unordered => true,
            Guarantee::Fifo | Guarantee::Agreed => defect!(PastGapInRegular),
            Guarantee::Safe => false,
        };
        let early = self.window.get(seq).is_some_and(|mcast| early(mcast.guarantee));
        if early && !self.window.is_early(seq) {
            self.window.mark_early(seq);
            self.emit(cx, seq);
        }
    }

    /// Delivers what is next in order: up to the first gap, or to the first safe message that is
    /// above the safe line.
    pub(crate) fn deliver(&mut self, cx: &mut Context) {
        while self.high_delivered < self.window.aru() {
            let next = self.high_delivered + 1;
            let mcast = self.window.get(next).expect("what is not delivered is not released");
            if mcast.guarantee == Guarantee::Safe && next > self.safe && !defect!(SafeAtOnce) {
                if defect!(AgreedOvertakesSafe) {
                    self.overtake(cx);
                }
                return;
            }
            self.deliver_next(cx);
        }
    }

    /// Whether all that is received without a gap is delivered: nothing safe waits.
    pub(crate) fn is_delivered(&self) -> bool {
        self.high_delivered == self.window.aru()
    }

    /// Delivers the next number in order, which is held.
    pub(crate) fn deliver_next(&mut self, cx: &mut Context) {
        self.high_delivered += 1;
        if !self.window.is_early(self.high_delivered) || defect!(DeliveredTwice) {
            self.emit(cx, self.high_delivered);
        }
    }

    /// The defect `AgreedOvertakesSafe`: what waits behind a safe message is delivered before it.
    fn overtake(&mut self, cx: &mut Context) {
        for seq in self.high_delivered + 1..=self.window.aru() {
            let safe = self.window.get(seq).is_some_and(|m| m.guarantee == Guarantee::Safe);
            if !safe && !self.window.is_early(seq) {
                self.window.mark_early(seq);
                self.emit(cx, seq);
            }
        }
    }

    /// Delivers a packet that is held beyond a gap.
    pub(crate) fn deliver_past_gap(&mut self, cx: &mut Context, seq: u64) {
        assert!(seq > self.high_delivered, "the order goes on past a gap");
        self.emit(cx, seq);
    }

    /// Who sequenced the packet with this number, if it is held.
    pub(crate) fn sender(&self, seq: u64) -> Option<Processor> {
        self.members.find(self.window.get(seq)?.sender)
    }

    fn emit(&self, cx: &mut Context, seq: u64) {
        let mcast = self.window.get(seq).expect("only what is held is delivered");
        let sender = self.members.find(mcast.sender).expect("checked when it was received");
        cx.outputs.push_back(Output::Deliver(Delivery {
            ring: self.ring,
            seq,
            sender,
            guarantee: mcast.guarantee,
            body: mcast.body.clone(),
        }));
    }

    /// The standing invariants.
    pub(crate) fn check(&self) {
        assert!(self.window.released() <= self.safe.min(self.high_delivered));
        assert!(self.safe <= self.window.aru());
        assert!(self.high_delivered <= self.window.aru());
    }
}
