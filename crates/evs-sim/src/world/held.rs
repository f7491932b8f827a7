//! Datagrams that are held back until their receiver has installed so many more rings.

use super::{Datagram, Event, World};

/// Most datagrams held back in one world; further ones are lost.
const HELD_MAX: usize = 1_024;

/// One datagram.
#[derive(Debug)]
pub(super) struct Held {
    to: usize,
    rings: u32,
    datagram: Datagram,
}

impl World {
    pub(super) fn hold(&mut self, to: usize, rings: u32, datagram: Datagram) {
        if self.held.len() < HELD_MAX {
            self.held.push(Held { to, rings, datagram });
        }
    }

    /// Whatever is held back from a node arrives.
    pub fn release(&mut self, id: u32) {
        let node = self.index(id);
        let (due, held) = std::mem::take(&mut self.held).into_iter().partition(|h| h.to == node);
        self.held = held;
        self.arrive_late(due);
    }

    /// A node has installed a ring: what was held back for so long arrives.
    pub(super) fn installed(&mut self, node: usize) {
        let mut due = Vec::new();
        for held in self.held.iter_mut().filter(|held| held.to == node) {
            held.rings = held.rings.saturating_sub(1);
        }
        let mut place = 0;
        while place < self.held.len() {
            if self.held[place].to == node && self.held[place].rings == 0 {
                due.push(self.held.remove(place));
            } else {
                place += 1;
            }
        }
        self.arrive_late(due);
    }

    fn arrive_late(&mut self, due: Vec<Held>) {
        let at = self.now + self.network.weather.delay;
        for Held { to, datagram, .. } in due {
            self.schedule(at, Event::Arrive { to, datagram });
        }
    }
}
