//! The data packets of one ring, by sequence number: which are held, which are missing.
//!
//! Not responsible for the order of delivery (`order.rs`) or for who may send (`flow.rs`).

use alloc::collections::VecDeque;

use evs_model::MEMBERS_MAX;

use crate::config::Terms;
use crate::wire::{Bitmap, Mcast};

/// How many slots a window has when so many packets may be sent in one rotation. Flow control lets
/// twice the rotation's packets be in flight above the aru; the safe line, up to which packets are
/// released, lags behind by two rotations. In each rotation every member may send one packet above
/// the limit (`flow.rs`).
pub(crate) const fn slots(window_packets: u32) -> usize {
    4 * window_packets as usize + 2 * MEMBERS_MAX
}

/// What became of a packet that was put into the window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Insert {
    /// It is held.
    New,
    /// It was held before, or is released.
    Duplicate,
    /// Its number is beyond the last slot.
    OutOfWindow,
}

/// Packets from `released + 1` on. Everything up to `aru` has been received, everything up to
/// `released` was received by all and dropped.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    slots: VecDeque<Option<Slot>>,
    slots_max: usize,
    released: u64,
    aru: u64,
}

#[derive(Clone, Debug)]
struct Slot {
    mcast: Mcast,
    /// Delivered ahead of its place in the order, as unordered messages are.
    early: bool,
}

impl Window {
    /// A window whose first packet is the one after `origin`.
    pub(crate) fn new(terms: &Terms, origin: u64) -> Self {
        let slots_max = slots(terms.window_packets);
        Self { slots: VecDeque::new(), slots_max, released: origin, aru: origin }
    }

    /// All received up to here.
    pub(crate) const fn aru(&self) -> u64 {
        self.aru
    }

    /// Everything up to here is dropped.
    pub(crate) const fn released(&self) -> u64 {
        self.released
    }

    /// The highest number held: known by possession, never by hearsay (P7).
    pub(crate) fn high_seq(&self) -> u64 {
        self.released + self.slots.len() as u64
    }

    /// How many places there are, filled or not.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The highest number that there is a slot for.
    pub(crate) fn last_slot(&self) -> u64 {
        self.released.saturating_add(self.slots_max as u64)
    }

    /// The packet with this number, if it is held.
    pub(crate) fn get(&self, seq: u64) -> Option<&Mcast> {
        Some(&self.slots.get(self.slot(seq)?)?.as_ref()?.mcast)
    }

    /// Whether this packet was delivered ahead of its place.
    pub(crate) fn is_early(&self, seq: u64) -> bool {
        let slot = self.slot(seq).and_then(|slot| self.slots.get(slot)?.as_ref());
        slot.is_some_and(|slot| slot.early)
    }

    /// Notes that this packet, which is held, is delivered ahead of its place.
    pub(crate) fn mark_early(&mut self, seq: u64) {
        let slot = self.slot(seq).and_then(|slot| self.slots.get_mut(slot)?.as_mut());
        slot.expect("only what is held is delivered").early = true;
    }

    /// Takes a packet.
    pub(crate) fn insert(&mut self, mcast: Mcast) -> Insert {
        let seq = mcast.seq;
        if seq > self.last_slot() {
            return Insert::OutOfWindow;
        }
        let Some(slot) = self.slot(seq) else { return Insert::Duplicate };
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        if self.slots[slot].is_some() {
            return Insert::Duplicate;
        }
        self.slots[slot] = Some(Slot { mcast, early: false });
        while self.get(self.aru + 1).is_some() {
            self.aru += 1;
        }
        Insert::New
    }

    /// The numbers up to `to` that have not been received.
    pub(crate) fn missing(&self, to: u64) -> impl Iterator<Item = u64> + '_ {
        (self.aru + 1..=to).filter(|seq| self.get(*seq).is_none())
    }

    /// The numbers above `from` that are held.
    pub(crate) fn held_after(&self, from: u64) -> impl Iterator<Item = u64> + '_ {
        (from.max(self.released) + 1..=self.high_seq()).filter(|seq| self.get(*seq).is_some())
    }

    /// Which numbers above `aru` are held.
    pub(crate) fn bitmap(&self) -> Bitmap {
        let mut held = Bitmap::default();
        for seq in self.held_after(self.aru) {
            held.set(usize::try_from(seq - self.aru - 1).expect("a window fits into memory"));
        }
        held
    }

    /// Drops everything up to here, which all members have received.
    pub(crate) fn release(&mut self, to: u64) {
        assert!(to <= self.aru, "only what was received is released");
        while self.released < to {
            self.slots.pop_front();
            self.released += 1;
        }
    }

    fn slot(&self, seq: u64) -> Option<usize> {
        usize::try_from(seq.checked_sub(self.released + 1)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use evs_model::{Guarantee, NodeId, Processor, RingId};

    use super::*;
    use crate::config::Config;

    fn window() -> Window {
        Window::new(&Config { window_packets: 16, ..Config::default() }.terms(), 0)
    }

    fn mcast(seq: u64) -> Mcast {
        let sender = NodeId::new(1).expect("not zero");
        Mcast {
            ring: RingId { seq: 1, rep: Processor::new(sender, 0) },
            seq,
            sender,
            guarantee: Guarantee::Agreed,
            again: false,
            body: Bytes::new(),
        }
    }

    #[test]
    fn a_hole_holds_back_the_aru_until_it_is_filled() {
        let mut window = window();
        for seq in [1, 2, 4, 7] {
            assert_eq!(window.insert(mcast(seq)), Insert::New);
        }
        assert_eq!((window.aru(), window.high_seq()), (2, 7));
        assert!(window.missing(7).eq([3, 5, 6]));
        assert!(window.held_after(2).eq([4, 7]));
        window.insert(mcast(3));
        assert_eq!(window.aru(), 4);
    }

    #[test]
    fn the_bitmap_starts_at_the_first_number_not_received() {
        let mut window = window();
        for seq in [1, 3, 5] {
            window.insert(mcast(seq));
        }
        let held = window.bitmap();
        assert_eq!(held.len(), 4);
        assert!([false, true, false, true].iter().enumerate().all(|(i, b)| held.get(i) == *b));
    }

    #[test]
    fn what_is_released_is_gone_and_counts_as_received() {
        let mut window = window();
        for seq in 1..=3 {
            window.insert(mcast(seq));
        }
        window.release(2);
        assert_eq!(window.get(2), None);
        assert_eq!(window.insert(mcast(2)), Insert::Duplicate);
        assert_eq!(window.insert(mcast(3)), Insert::Duplicate);
        assert_eq!(window.high_seq(), 3);
    }

    #[test]
    fn a_number_beyond_the_last_slot_is_refused() {
        let mut window = window();
        assert_eq!(window.last_slot(), 320);
        assert_eq!(window.insert(mcast(321)), Insert::OutOfWindow);
        assert_eq!(window.insert(mcast(320)), Insert::New);
        assert_eq!(window.insert(mcast(u64::MAX)), Insert::OutOfWindow);
    }
}
