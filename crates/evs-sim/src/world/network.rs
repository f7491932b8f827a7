//! The simulated network: what becomes of one datagram on its way from one node to another.
//!
//! Every copy of a multicast meets its own fate. Nothing here knows what a datagram says; its
//! [`Kind`] is told by the sender's driver, so that faults can be aimed at tokens, joins or data.

use std::fmt;

use evs_net::SAFE_DATAGRAM_BYTES;
use totem::PacketKind;

use super::aim::{Aim, Aims, Strike};
use super::faults::{Fault, Faults};
use super::path::Path;
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

impl Kind {
    /// What traces call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Ring(PacketKind::CommitToken) => "commit",
            Self::Ring(PacketKind::Join) => "join",
            Self::Ring(PacketKind::Mcast) => "mcast",
            Self::Ring(PacketKind::MergeDetect) => "merge",
            Self::Ring(PacketKind::Parked) => "parked",
            Self::Ring(PacketKind::Recovered) => "recovered",
            Self::Ring(PacketKind::Token) => "token",
            Self::Ring(PacketKind::Wake) => "wake",
            Self::Ring(PacketKind::Piece) => "piece",
            Self::Ring(PacketKind::PieceRequest) => "request",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How all links behave. Probabilities are in parts per million.
#[derive(Clone, Debug, Eq, PartialEq)]
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
    /// How likely a datagram for one node comes to another, too, or once more to the same.
    pub stray_ppm: u32,
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
            stray_ppm: 0,
            reorder_ppm: 0,
            late_ppm: 0,
            late: 0,
        }
    }
}

/// All paths between the nodes of a world, on each of its links.
#[derive(Debug)]
pub(super) struct Network {
    nodes: usize,
    links: usize,
    paths: Vec<Path>,
    aims: Aims,
    pub(super) weather: Weather,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fortune {
    /// Copies of it arrive at these times, if at any.
    Arrives(Arrivals),
    /// It is held back until its receiver has installed so many more rings.
    Held(u32),
}

impl Network {
    pub(super) fn new(
        (nodes, links): (usize, usize),
        weather: Weather,
        mut rng: fastrand::Rng,
    ) -> Self {
        let paths = (0..links * nodes * nodes).map(|_| Path::new(rng.fork())).collect();
        Self { nodes, links, paths, aims: Aims::default(), weather }
    }

    /// The way from one node to another on a link, by index.
    pub(super) fn path(&mut self, link: usize, from: usize, to: usize) -> &mut Path {
        let place = self.place(link, from, to);
        &mut self.paths[place]
    }

    /// The ways from one node to another, on every link.
    pub(super) fn paths(&mut self, from: usize, to: usize, change: impl Fn(&mut Path)) {
        (0..self.links).for_each(|link| change(self.path(link, from, to)));
    }

    const fn place(&self, link: usize, from: usize, to: usize) -> usize {
        (link * self.nodes + from) * self.nodes + to
    }

    fn on_each_link(&self, from: usize, to: usize) -> impl Iterator<Item = &Path> {
        (0..self.links).map(move |link| &self.paths[self.place(link, from, to)])
    }

    pub(super) fn aim(&mut self, aim: Aim) {
        self.aims.push(aim);
    }

    /// Whether datagrams pass from one node to another, on one link at least.
    pub(super) fn passes(&self, from: usize, to: usize) -> bool {
        self.on_each_link(from, to).any(|path| path.open)
    }

    /// Whether a path loses no more, and is no slower, than the weather says and this much. Packets
    /// above the safe size are cut where they do not pass.
    pub(super) fn is_fair(&self, from: usize, to: usize, slow_max: Nanos) -> bool {
        let is_fair = |path: &Path| {
            path.bytes_max >= SAFE_DATAGRAM_BYTES
                && path.loss_ppm == 0
                && path.slow <= slow_max
                && path.clog.is_none()
        };
        self.on_each_link(from, to).all(is_fair)
    }

    /// Whether no datagram is aimed at.
    pub(super) const fn aims_at_nothing(&self) -> bool {
        self.aims.is_empty()
    }

    /// All paths as they were at the start, and nothing aimed at.
    pub(super) fn heal(&mut self) {
        self.paths.iter_mut().for_each(Path::heal);
        self.aims.clear();
    }

    /// What becomes of this datagram, which is for one node or for several.
    pub(super) fn send(
        &mut self,
        faults: &mut Faults,
        now: Nanos,
        (from, to, for_one): (usize, usize, bool),
        (link, kind, bytes): (usize, Kind, usize),
    ) -> Fortune {
        let place = self.place(link, from, to);
        let weather = &self.weather;
        let path = &mut self.paths[place];
        let mut lose = |fault| {
            faults.count(fault);
            Fortune::Arrives(Arrivals::NONE)
        };
        if !path.open {
            return lose(Fault::Cut);
        }
        if bytes > path.bytes_max {
            return lose(Fault::TooBig);
        }
        let strike = self.aims.strike(from, to, kind);
        let lost = chance(&mut path.rng, weather.loss_ppm[kind.index()]);
        if strike == Some(Strike::Drop) || lost || chance(&mut path.rng, path.loss_ppm) {
            return lose(Fault::Lost);
        }
        if let Some(Strike::Hold(rings)) = strike {
            faults.count(Fault::Held);
            return Fortune::Held(rings);
        }
        let Some(sent) = path.clog.as_mut().map_or(Some(now), |clog| clog.pass(now, bytes)) else {
            return lose(Fault::Clogged);
        };
        let mut arrivals = Arrivals::NONE;
        arrivals.push(arrival(weather, path, faults, sent, kind));
        let mut repeats = 0;
        match strike {
            Some(Strike::Delay(by)) => {
                faults.count(Fault::Late);
                arrivals.at[0] += by;
            }
            Some(Strike::Repeat(times)) => repeats = times,
            Some(Strike::Stray(other)) => arrivals.other = Some(other),
            Some(Strike::Drop | Strike::Hold(_)) | None => {}
        }
        if for_one && chance(&mut path.rng, weather.stray_ppm) {
            arrivals.other = Some(path.rng.usize(0..self.nodes));
        }
        arrivals.other = arrivals.other.filter(|other| *other != from);
        arrivals.other.iter().for_each(|_| faults.count(Fault::Stray));
        repeats += u32::from(chance(&mut path.rng, weather.duplicate_ppm));
        for _ in 0..repeats {
            faults.count(Fault::Duplicated);
            arrivals.push(arrival(weather, path, faults, sent, kind));
        }
        Fortune::Arrives(arrivals)
    }
}

fn arrival(
    weather: &Weather,
    path: &mut Path,
    faults: &mut Faults,
    sent: Nanos,
    kind: Kind,
) -> Nanos {
    let mut at = sent + weather.delay + path.slow;
    if weather.jitter > 0 {
        at += path.rng.u64(0..=weather.jitter);
    }
    let reordered = chance(&mut path.rng, weather.reorder_ppm);
    let late = weather.late > 0 && chance(&mut path.rng, weather.late_ppm);
    if late {
        faults.count(Fault::Late);
        at += path.rng.u64(0..=weather.late);
    }
    if reordered {
        faults.count(Fault::Reordered);
    } else if !late {
        at = at.max(path.last);
        path.last = at;
    }
    // The other kinds overtake the one that lags behind.
    at + weather.lag[kind.index()]
}

/// When the copies of one datagram arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrivals {
    at: [Nanos; Self::MAX],
    len: usize,
    /// A copy of the first comes to this node, too.
    other: Option<usize>,
}

impl Arrivals {
    /// Most copies of one datagram; further ones are not made.
    const MAX: usize = 8;
    const NONE: Self = Self { at: [0; Self::MAX], len: 0, other: None };

    fn push(&mut self, at: Nanos) {
        if let Some(place) = self.at.get_mut(self.len) {
            *place = at;
            self.len += 1;
        }
    }

    /// Where they arrive, and when.
    pub(super) fn iter(&self, to: usize) -> impl Iterator<Item = (usize, Nanos)> + '_ {
        let stray = self.other.map(|other| (other, self.at[0]));
        self.at[..self.len].iter().map(move |at| (to, *at)).chain(stray)
    }
}
