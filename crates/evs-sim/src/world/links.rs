//! What can be done to the paths between the nodes of a world.
//!
//! Nodes are named by their ids, from 1.

use super::faults::Fault;
use super::path::{Clog, Path};
use super::{Aim, Nanos, Weather, World};

impl World {
    /// Nothing passes from one node to another.
    pub fn cut_one_way(&mut self, from: u32, to: u32) {
        let (from, to) = (self.index(from), self.index(to));
        self.paths(from, to, |path| path.open = false);
        self.faults.count(Fault::CutOneWay);
        self.tell(from, &format_args!("is cut off from {}", to + 1));
    }

    /// Nothing passes between two nodes.
    pub fn cut(&mut self, one: u32, two: u32) {
        let (one, two) = (self.index(one), self.index(two));
        self.paths(one, two, |path| path.open = false);
        self.paths(two, one, |path| path.open = false);
        self.faults.count(Fault::CutPair);
        self.tell(one, &format_args!("and {} are cut off from each other", two + 1));
    }

    /// No datagram larger than this passes from one node to another.
    pub fn cut_large(&mut self, from: u32, to: u32, bytes_max: usize) {
        let (from, to) = (self.index(from), self.index(to));
        self.paths(from, to, |path| path.bytes_max = bytes_max);
        self.faults.count(Fault::CutLarge);
        self.tell(from, &format_args!("loses datagrams over {bytes_max} bytes to {}", to + 1));
    }

    /// So many datagrams from one node to another are lost, in parts per million.
    pub fn lossy(&mut self, from: u32, to: u32, ppm: u32) {
        let (from, to) = (self.index(from), self.index(to));
        self.paths(from, to, |path| path.loss_ppm = ppm);
        self.faults.count(Fault::Lossy);
        self.tell(from, &format_args!("loses {ppm} ppm to {}", to + 1));
    }

    /// Everything from one node to another takes longer by this.
    pub fn slow(&mut self, from: u32, to: u32, by: Nanos) {
        let (from, to) = (self.index(from), self.index(to));
        self.paths(from, to, |path| path.slow = by);
        self.faults.count(Fault::Slow);
        self.tell(from, &format_args!("is slower by {} us to {}", by / 1_000, to + 1));
    }

    /// The path from one node to another carries so many bytes in a second; what waits for it is
    /// at most so many bytes, and what finds no room is dropped.
    pub fn clog(&mut self, from: u32, to: u32, bytes_per_second: u64, buffer_bytes: u64) {
        let (from, to) = (self.index(from), self.index(to));
        self.paths(from, to, |path| path.clog = Some(Clog::new(bytes_per_second, buffer_bytes)));
        self.faults.count(Fault::Clog);
        let what = format_args!("sends {bytes_per_second} bytes/s to {}", to + 1);
        self.tell(from, &what);
    }

    /// Parts the nodes: they hear each other exactly if they are on the same side. A node that is
    /// on no side hears nobody.
    pub fn partition(&mut self, sides: &[&[u32]]) {
        let side = |id: u32| sides.iter().position(|side| side.contains(&id));
        for one in 1..=self.len() {
            for two in 1..=self.len() {
                let together = side(one).is_some() && side(one) == side(two);
                let (from, to) = (self.index(one), self.index(two));
                self.paths(from, to, |path| path.open = together);
            }
        }
        self.faults.count(Fault::Partition);
        if self.is_heard() {
            self.note(&format!("-- partition {sides:?}"));
        }
    }

    /// Opens every path: sides merge.
    pub fn heal(&mut self) {
        self.network.heal();
        self.disturb();
        self.faults.count(Fault::Merge);
        self.note("-- every path is open");
    }

    /// From here on all links behave like this.
    pub fn weather(&mut self, weather: Weather) {
        if self.is_heard() {
            self.note(&format!("-- {weather:?}"));
        }
        self.network.weather = weather;
        self.disturb();
        self.faults.count(Fault::Weather);
    }

    /// Strikes certain datagrams.
    pub fn aim(&mut self, aim: Aim) {
        if self.is_heard() {
            self.note(&format!("-- {aim:?}"));
        }
        self.network.aim(aim);
        self.disturb();
        self.faults.count(Fault::Aim);
    }

    /// The ways from one node to another, by index, about to be changed on every link.
    pub(super) fn paths(&mut self, from: usize, to: usize, change: impl Fn(&mut Path)) {
        self.disturb();
        self.network.paths(from, to, change);
    }

    /// Something happens to the way from one node to another on one link alone, from 0.
    pub fn link_fault(&mut self, link: usize, from: u32, to: u32, fault: LinkFault) {
        let (from, to) = (self.index(from), self.index(to));
        self.disturb();
        let path = self.network.path(link, from, to);
        match fault {
            LinkFault::Cut => path.open = false,
            LinkFault::Large(bytes_max) => path.bytes_max = bytes_max,
            LinkFault::Loss(ppm) => path.loss_ppm = ppm,
            LinkFault::Slow(by) => path.slow = by,
            LinkFault::None => path.heal(),
        }
        self.faults.count(Fault::Link);
        self.tell(from, &format_args!("has {fault:?} on link {link} to {}", to + 1));
    }
}

/// What can be wrong with one of several links, on the way from one node to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkFault {
    /// Nothing passes.
    Cut,
    /// Only datagrams up to this size pass.
    Large(usize),
    /// So many datagrams are lost, in parts per million.
    Loss(u32),
    /// Everything takes longer by this.
    Slow(Nanos),
    /// All is well again.
    None,
}
