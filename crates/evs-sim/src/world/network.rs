//! The simulated network: what becomes of one datagram on its way from one node to another.
//!
//! Every copy of a multicast meets its own fate. Nothing here knows what a datagram says; its
//! [`Kind`] is told by the sender's driver, so that faults can be aimed at tokens, joins or data.

use std::fmt;

use totem::PacketKind;

use super::faults::{Fault, Faults};
use super::{Nanos, chance};

/// What a datagram carries, for faults by kind.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// A hello between two endpoints.
    Hello,
    /// A packet of the ring.
    Ring(PacketKind),
}

impl Kind {
    /// How many kinds there are.
    pub const COUNT: usize = PacketKind::ALL.len() + 1;

    /// A number below [`Kind::COUNT`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Hello => PacketKind::ALL.len(),
            Self::Ring(kind) => kind as usize,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hello => "hello",
            Self::Ring(PacketKind::CommitToken) => "commit",
            Self::Ring(PacketKind::Join) => "join",
            Self::Ring(PacketKind::Mcast) => "mcast",
            Self::Ring(PacketKind::MergeDetect) => "merge",
            Self::Ring(PacketKind::Parked) => "parked",
            Self::Ring(PacketKind::Recovered) => "recovered",
            Self::Ring(PacketKind::Token) => "token",
            Self::Ring(PacketKind::Wake) => "wake",
        })
    }
}

/// How all links behave. Probabilities are in parts per million.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Shortest time on the way, in nanoseconds.
    pub delay: Nanos,
    /// Up to so much is added to the delay of each datagram.
    pub jitter: Nanos,
    /// Added to the delay of datagrams of a kind (P5: data later than the token).
    pub lag: [Nanos; Kind::COUNT],
    /// How likely a datagram of a kind is lost.
    pub loss_ppm: [u32; Kind::COUNT],
    /// How likely a datagram comes twice.
    pub duplicate_ppm: u32,
    /// How likely a datagram does not wait behind the one before it.
    pub reorder_ppm: u32,
    /// How likely a datagram is held back, by up to `late`.
    pub late_ppm: u32,
    /// The longest time that a datagram is held back.
    pub late: Nanos,
}

impl Weather {
    /// A local network on a good day: this delay, a tenth of it as jitter, nothing lost.
    #[must_use]
    pub const fn fair(delay: Nanos) -> Self {
        Self {
            delay,
            jitter: delay / 10,
            lag: [0; Kind::COUNT],
            loss_ppm: [0; Kind::COUNT],
            duplicate_ppm: 0,
            reorder_ppm: 0,
            late_ppm: 0,
            late: 0,
        }
    }
}

/// The way from one node to another.
#[derive(Clone, Copy, Debug)]
struct Path {
    open: bool,
    /// Larger datagrams do not pass.
    bytes_max: usize,
    /// How likely a datagram is lost, besides what the weather takes.
    loss_ppm: u32,
    /// Added to the delay.
    slow: Nanos,
    /// When the last datagram arrived that was not reordered.
    last: Nanos,
}

impl Path {
    const NEW: Self = Self { open: true, bytes_max: usize::MAX, loss_ppm: 0, slow: 0, last: 0 };
}

/// A fault aimed at certain datagrams, for scripts.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    /// Only datagrams from this node (counted from 0).
    pub from: Option<usize>,
    /// Only datagrams to this node.
    pub to: Option<usize>,
    /// Only datagrams of this kind.
    pub kind: Option<Kind>,
    /// So many that match pass first.
    pub after: u32,
    /// Then it happens to so many.
    pub count: u32,
    /// What happens.
    pub does: Strike,
}

/// What happens to a datagram that was aimed at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Strike {
    /// It is held back for so long.
    Delay(Nanos),
    /// It is lost.
    Drop,
    /// It comes so many times more.
    Repeat(u32),
}

/// All paths between the nodes of a world.
#[derive(Debug)]
pub(super) struct Network {
    nodes: usize,
    paths: Vec<Path>,
    aims: Vec<Aim>,
    pub(super) weather: Weather,
}

impl Network {
    pub(super) fn new(nodes: usize, weather: Weather) -> Self {
        Self { nodes, paths: vec![Path::NEW; nodes * nodes], aims: Vec::new(), weather }
    }

    fn path(&mut self, from: usize, to: usize) -> &mut Path {
        &mut self.paths[from * self.nodes + to]
    }

    pub(super) fn open(&mut self, from: usize, to: usize, open: bool) {
        self.path(from, to).open = open;
    }

    pub(super) fn bytes_max(&mut self, from: usize, to: usize, bytes: usize) {
        self.path(from, to).bytes_max = bytes;
    }

    pub(super) fn lossy(&mut self, from: usize, to: usize, ppm: u32) {
        self.path(from, to).loss_ppm = ppm;
    }

    pub(super) fn slow(&mut self, from: usize, to: usize, by: Nanos) {
        self.path(from, to).slow = by;
    }

    pub(super) fn aim(&mut self, aim: Aim) {
        self.aims.push(aim);
    }

    /// All paths as they were at the start, and nothing aimed at.
    pub(super) fn heal(&mut self) {
        for path in &mut self.paths {
            *path = Path { last: path.last, ..Path::NEW };
        }
        self.aims.clear();
    }

    /// When copies of this datagram arrive, if any do.
    pub(super) fn send(
        &mut self,
        rng: &mut fastrand::Rng,
        faults: &mut Faults,
        now: Nanos,
        packet: (usize, usize, Kind, usize),
    ) -> Arrivals {
        let (from, to, kind, bytes) = packet;
        let path = *self.path(from, to);
        if !path.open {
            faults.count(Fault::Cut);
            return Arrivals::NONE;
        }
        if bytes > path.bytes_max {
            faults.count(Fault::TooBig);
            return Arrivals::NONE;
        }
        let strike = self.strike(from, to, kind);
        let lost = chance(rng, self.weather.loss_ppm[kind.index()]) || chance(rng, path.loss_ppm);
        if strike == Some(Strike::Drop) || lost {
            faults.count(Fault::Lost);
            return Arrivals::NONE;
        }
        let mut arrivals = Arrivals::NONE;
        arrivals.push(self.arrival(rng, faults, now, (from, to, kind)));
        if let Some(Strike::Delay(by)) = strike {
            faults.count(Fault::Late);
            arrivals.at[0] += by;
        }
        let mut repeats = if let Some(Strike::Repeat(times)) = strike { times } else { 0 };
        repeats += u32::from(chance(rng, self.weather.duplicate_ppm));
        for _ in 0..repeats {
            faults.count(Fault::Duplicated);
            arrivals.push(self.arrival(rng, faults, now, (from, to, kind)));
        }
        arrivals
    }

    fn arrival(
        &mut self,
        rng: &mut fastrand::Rng,
        faults: &mut Faults,
        now: Nanos,
        (from, to, kind): (usize, usize, Kind),
    ) -> Nanos {
        let weather = &self.weather;
        let mut at = now + weather.delay + weather.lag[kind.index()];
        if weather.jitter > 0 {
            at += rng.u64(0..=weather.jitter);
        }
        let reordered = chance(rng, weather.reorder_ppm);
        let late = weather.late > 0 && chance(rng, weather.late_ppm);
        if late {
            faults.count(Fault::Late);
            at += rng.u64(0..=weather.late);
        }
        let path = self.path(from, to);
        at += path.slow;
        if reordered {
            faults.count(Fault::Reordered);
        } else if !late {
            at = at.max(path.last);
            path.last = at;
        }
        at
    }

    fn strike(&mut self, from: usize, to: usize, kind: Kind) -> Option<Strike> {
        let aim = self.aims.iter_mut().find(|aim| {
            aim.count > 0
                && aim.from.is_none_or(|node| node == from)
                && aim.to.is_none_or(|node| node == to)
                && aim.kind.is_none_or(|aimed| aimed == kind)
        })?;
        if aim.after > 0 {
            aim.after -= 1;
            return None;
        }
        aim.count -= 1;
        Some(aim.does)
    }
}

/// When the copies of one datagram arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrivals {
    at: [Nanos; Self::MAX],
    len: usize,
}

impl Arrivals {
    /// Most copies of one datagram; further ones are not made.
    const MAX: usize = 8;
    const NONE: Self = Self { at: [0; Self::MAX], len: 0 };

    fn push(&mut self, at: Nanos) {
        if let Some(place) = self.at.get_mut(self.len) {
            *place = at;
            self.len += 1;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Nanos> + '_ {
        self.at[..self.len].iter().copied()
    }
}
