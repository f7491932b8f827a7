//! Faults that wait for a node to change its state: the membership protocol is at its most fragile
//! in the moments around a transition, which faults at random times seldom meet.

use totem::PacketKind;

use super::faults::Fault;
use super::{Aim, Event, Kind, Nanos, World, chance};
use crate::selection::{FaultId, Source};

/// The end of an ambush.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mend {
    /// A path is open again.
    Open { from: usize, to: usize },
    /// A paused process goes on.
    Resume { node: usize, boot: u64, timers_first: bool },
}

impl World {
    /// A node has changed its state: perhaps something strikes right now.
    pub(super) fn ambush(&mut self, node: usize) {
        if self.options.ambush_ppm == 0 {
            return;
        }
        let transitions = self.nodes[node].transitions;
        self.nodes[node].transitions = transitions.wrapping_add(1);
        let ordinal = transitions.wrapping_mul(self.len()).wrapping_add(self.nodes[node].id.get());
        let id = FaultId { source: Source::Ambush, ordinal };
        let mut rng = id.stream(self.options.seed);
        if chance(&mut rng, self.options.ambush_ppm) {
            self.strike(id, &"ambush", |world| world.spring(node, &mut rng));
        }
    }

    fn spring(&mut self, node: usize, rng: &mut fastrand::Rng) {
        self.faults.count(Fault::Ambush);
        let detection = u64::try_from(self.options.detection.as_nanos()).unwrap_or(u64::MAX);
        let longest = [detection / 50, detection * 3][rng.usize(0..2)];
        let later = self.now + rng.u64(0..=longest);
        let other = rng.usize(0..self.nodes.len());
        match rng.u32(0..6) {
            0 => {
                let (id, outputs) = (self.nodes[node].id.get(), rng.u32(0..20));
                self.tell(node, &format_args!("is ambushed: crashes {outputs} outputs later"));
                self.crash_after(id, outputs);
            }
            1 => self.pause_until(node, later, rng.bool()),
            2 => self.lose_tokens(node, rng),
            3 => self.cut_until(node, other, later),
            4 => {
                self.cut_until(node, other, later);
                self.cut_until(other, node, later);
            }
            _ => {
                let mute = rng.bool();
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
            self.paths(from, to, |path| path.open = false);
            self.tell(from, &format_args!("is ambushed: cut off from {}", to + 1));
            self.schedule(until, Event::Mend(Mend::Open { from, to }));
        }
    }

    /// The process stands still for a while, from after this step on.
    fn pause_until(&mut self, node: usize, until: Nanos, timers_first: bool) {
        let id = self.nodes[node].id.get();
        self.pause(id);
        if let Some(machine) = &self.nodes[node].machine {
            let boot = machine.boot;
            self.schedule(until, Event::Mend(Mend::Resume { node, boot, timers_first }));
        }
    }

    fn lose_tokens(&mut self, node: usize, rng: &mut fastrand::Rng) {
        let kind = [PacketKind::Token, PacketKind::CommitToken][rng.usize(0..2)];
        let (after, count) = (rng.u32(0..3), rng.u32(1..30));
        self.tell(node, &format_args!("is ambushed: loses {count} of {kind:?}"));
        let id = self.nodes[node].id.get();
        self.aim(Aim::at(Kind::Ring(kind)).from(id).after(after).count(count).lost());
    }

    pub(super) fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Open { from, to } => self.paths(from, to, |path| path.open = true),
            Mend::Resume { node, boot, timers_first } => {
                let machine = self.nodes[node].machine.as_ref();
                if machine.is_some_and(|machine| machine.boot == boot) {
                    let id = self.nodes[node].id.get();
                    self.resume(id, super::Backlog::Kept, timers_first);
                }
            }
        }
    }
}
