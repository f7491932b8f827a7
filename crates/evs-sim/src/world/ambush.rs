//! Faults that wait for a node to change its state: the membership protocol is at its most fragile
//! in the moments around a transition, which faults at random times seldom meet.

use totem::PacketKind;

use super::faults::Fault;
use super::{Aim, Event, Kind, Nanos, World, chance};

/// The end of an ambush.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mend {
    /// A path is open again.
    Open { from: usize, to: usize },
    /// A paused process goes on.
    Resume { node: usize, boot: u64 },
}

impl World {
    /// A node has changed its state: perhaps something strikes right now.
    pub(super) fn ambush(&mut self, node: usize) {
        if !chance(&mut self.ambush_rng, self.options.ambush_ppm) {
            return;
        }
        self.faults.count(Fault::Ambush);
        let detection = u64::try_from(self.options.detection.as_nanos()).unwrap_or(u64::MAX);
        let longest = [detection / 50, detection * 3][self.ambush_rng.usize(0..2)];
        let later = self.now + self.ambush_rng.u64(0..=longest);
        let other = self.ambush_rng.usize(0..self.nodes.len());
        match self.ambush_rng.u32(0..6) {
            0 => {
                let outputs = self.ambush_rng.u32(0..20);
                let id = self.nodes[node].id.get();
                self.crash_after(id, outputs);
            }
            1 => self.pause_until(node, later),
            2 => self.lose_tokens(node),
            3 => self.cut_until(node, other, later),
            4 => {
                self.cut_until(node, other, later);
                self.cut_until(other, node, later);
            }
            _ => {
                let mute = self.ambush_rng.bool();
                for peer in 0..self.nodes.len() {
                    let (from, to) = if mute { (node, peer) } else { (peer, node) };
                    self.cut_until(from, to, later);
                }
            }
        }
    }

    /// Nothing passes from one node to another for a while.
    fn cut_until(&mut self, from: usize, to: usize, until: Nanos) {
        if from != to {
            self.path(from, to).open = false;
            self.tell(from, &format_args!("is ambushed: cut off from {}", to + 1));
            self.schedule(until, Event::Mend(Mend::Open { from, to }));
        }
    }

    /// The process stands still for a while, from after this step on.
    fn pause_until(&mut self, node: usize, until: Nanos) {
        let id = self.nodes[node].id.get();
        self.pause(id);
        if let Some(machine) = &self.nodes[node].machine {
            let boot = machine.boot;
            self.schedule(until, Event::Mend(Mend::Resume { node, boot }));
        }
    }

    fn lose_tokens(&mut self, node: usize) {
        let kind = [PacketKind::Token, PacketKind::CommitToken][self.ambush_rng.usize(0..2)];
        let (after, count) = (self.ambush_rng.u32(0..3), self.ambush_rng.u32(1..30));
        self.tell(node, &format_args!("is ambushed: loses {count} of {kind:?}"));
        let id = self.nodes[node].id.get();
        self.aim(Aim::at(Kind::Ring(kind)).from(id).after(after).count(count).lost());
    }

    pub(super) fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Open { from, to } => self.path(from, to).open = true,
            Mend::Resume { node, boot } => {
                let machine = self.nodes[node].machine.as_ref();
                if machine.is_some_and(|machine| machine.boot == boot) {
                    let id = self.nodes[node].id.get();
                    let timers_first = self.ambush_rng.bool();
                    self.resume(id, super::Backlog::Kept, timers_first);
                }
            }
        }
    }
}
