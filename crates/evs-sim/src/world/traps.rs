//! Faults that strike one node at an exact moment of its own course, for scripts.

use totem::{PacketKind, StateKind};

use super::World;
use super::step::Effect;
use evs_service::Output;

/// A moment in the course of one process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// Its membership protocol enters this state; nothing that follows from it has been done yet.
    Enters(StateKind),
    /// It is about to send a packet of this kind.
    Before(PacketKind),
    /// It has just sent a packet of this kind.
    After(PacketKind),
}

/// What happens then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Snare {
    /// The process ends, between two outputs.
    Crash,
    /// The node is cut off from all others, both ways.
    Isolate,
    /// The process stands still, once it has done what it is doing.
    Pause,
}

/// A fault that waits for a node to come to these moments, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Trap {
    node: usize,
    moments: Vec<Moment>,
    does: Snare,
}

impl World {
    /// Lays a trap for a node: it springs, once, when the node has come to these moments in this
    /// order.
    pub fn trap(&mut self, id: u32, moments: &[Moment], does: Snare) {
        let node = self.index(id);
        let mut moments = moments.to_vec();
        moments.reverse();
        self.traps.push(Trap { node, moments, does });
    }

    /// Whether a trap that was laid for this node has not sprung.
    #[must_use]
    pub fn is_trapped(&self, id: u32) -> bool {
        let node = self.index(id);
        self.traps.iter().any(|trap| trap.node == node)
    }

    /// What happens to this node before an output is executed.
    pub(super) fn sprung_before(&mut self, node: usize, effect: &Effect) -> Option<Snare> {
        if self.traps.is_empty() {
            return None;
        }
        let moment = match effect {
            Effect::Service(Output::Transition { to, .. }) => Moment::Enters(*to),
            Effect::Service(Output::Transmit { packet, .. }) => Moment::Before(packet.kind()),
            Effect::Service(_) | Effect::Endpoint(_) => return None,
        };
        self.sprung(node, moment)
    }

    /// What happens to this node after it has sent a packet.
    pub(super) fn sprung(&mut self, node: usize, moment: Moment) -> Option<Snare> {
        let mut sprung = None;
        for trap in self.traps.iter_mut().filter(|trap| trap.node == node) {
            trap.moments.pop_if(|next| *next == moment);
            if trap.moments.is_empty() {
                sprung = Some(trap.does);
            }
        }
        self.traps.retain(|trap| !trap.moments.is_empty());
        sprung
    }
}
