//! Which faults strike when: drawn from the seed, some often, some not at all.
//!
//! Only a policy: every move is one command of [`World`].

use std::fmt;

use totem::PacketKind;

use crate::plots::Plots;
use crate::retargets::Retargets;
use crate::selection::{FaultId, Source, stream};
use crate::world::{Aim, Backlog, Disk, Fault, Frozen, Kind, Nanos, Options, World};

/// The moves, each with a weight that is drawn for each run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Move {
    Aim,
    Buffer,
    ClockRate,
    Clog,
    Crash,
    CrashMidStep,
    CutLarge,
    CutOneWay,
    CutPair,
    DiskGoesOn,
    DiskStalls,
    Heal,
    Isolate,
    Leave,
    Lossy,
    Partition,
    Pause,
    Restart,
    RestartFast,
    Resume,
    Slow,
    Weather,
}

impl Move {
    const ALL: [Self; 22] = [
        Self::Aim,
        Self::Buffer,
        Self::ClockRate,
        Self::Clog,
        Self::Crash,
        Self::CrashMidStep,
        Self::CutLarge,
        Self::CutOneWay,
        Self::CutPair,
        Self::DiskGoesOn,
        Self::DiskStalls,
        Self::Heal,
        Self::Isolate,
        Self::Leave,
        Self::Lossy,
        Self::Partition,
        Self::Pause,
        Self::Restart,
        Self::RestartFast,
        Self::Resume,
        Self::Slow,
        Self::Weather,
    ];

    /// Moves that undo others are always possible, or a run would end in ruins at once.
    const fn undoes(self) -> bool {
        matches!(self, Self::DiskGoesOn | Self::Heal | Self::Restart | Self::Resume)
    }
}

/// A node that starts again soon.
#[derive(Debug)]
struct Restart {
    at: Nanos,
    node: u32,
    rng: fastrand::Rng,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The course of faults of one run.
#[derive(Debug)]
pub struct Chaos {
    seed: u64,
    /// When moves are made, and which; always as many numbers for each, whether it strikes or not.
    times: fastrand::Rng,
    /// What the present move is like.
    rng: fastrand::Rng,
    moves: u32,
    weights: [u32; Move::ALL.len()],
    detection: Nanos,
    delay: Nanos,
    interval: Nanos,
    next: Nanos,
    plots: Plots,
    retargets: Retargets,
    /// When which node starts again that was restarted faster than its death can be noticed.
    restarts: Vec<Restart>,
    until: Nanos,
}

impl Chaos {
    /// What the world's seed says.
    #[must_use]
    pub fn draw(options: &Options) -> Self {
        let mut rng = fastrand::Rng::with_seed(options.seed ^ 0x6368_616f_7321_2121);
        let detection = u64::try_from(options.detection.as_nanos()).unwrap_or(u64::MAX);
        let weights = Move::ALL.map(|kind| match kind.undoes() {
            true => rng.u32(2..=12),
            false => [0, 0, 1, 3, 9][rng.usize(0..5)],
        });
        let interval = detection * [1, 2, 4, 10, 30][rng.usize(0..5)] / 4;
        // Many nodes make many events in the same time.
        let until = detection * if options.nodes <= 16 { rng.u64(8..=40) } else { rng.u64(3..=8) };
        let next = rng.u64(0..=interval * 2);
        let delay = options.weather.delay;
        let plots = Plots::draw(options);
        // Beside plots there is little else, or they would be foiled.
        let interval = if plots.any() { interval * 4 } else { interval };
        Self {
            seed: options.seed,
            times: rng.clone(),
            rng,
            moves: 0,
            weights,
            detection,
            delay,
            interval,
            next,
            plots,
            retargets: Retargets::draw(options),
            restarts: Vec::new(),
            until,
        }
    }

    /// When the faults stop.
    #[must_use]
    pub const fn until(&self) -> Nanos {
        self.until
    }

    /// When something strikes next.
    #[must_use]
    pub fn next(&self) -> Nanos {
        let first = self.next.min(self.plots.next()).min(self.retargets.next());
        self.restarts.iter().map(|restart| restart.at).fold(first, Nanos::min)
    }

    /// Makes every move that is due.
    pub fn strike(&mut self, world: &mut World) {
        let now = world.now();
        for restart in self.restarts.extract_if(.., |restart| restart.at <= now) {
            let mut rng = restart.rng;
            Self::restart(&mut rng, world, restart.node);
        }
        self.plots.strike(world);
        self.retargets.strike(world);
        if self.next <= now {
            let total: u32 = self.weights.iter().sum();
            let mut drawn = self.times.u32(0..total.max(1));
            let chosen = Move::ALL.iter().zip(self.weights).find(|(_, weight)| {
                let found = drawn < *weight;
                drawn = drawn.saturating_sub(*weight);
                found
            });
            self.moves += 1;
            let id = FaultId { source: Source::Move, ordinal: self.moves };
            if let Some((chosen, _)) = chosen {
                self.rng = id.stream(self.seed);
                world.strike(id, chosen, |world| self.make(*chosen, world));
            }
            self.next = now + self.times.u64(1..=self.interval * 2);
        }
    }

    fn make(&mut self, chosen: Move, world: &mut World) {
        let id = self.node(world);
        let other = self.node(world);
        match chosen {
            Move::Aim => self.aim(world),
            Move::Buffer => world.buffer(id, [2, 16, 256, 4_096][self.rng.usize(0..4)]),
            Move::ClockRate => world.clock_rate(id, self.rng.i64(-100_000..=100_000)),
            Move::Clog if id != other => {
                let rate = [20_000, 200_000, 2_000_000][self.rng.usize(0..3)];
                // What waits is through within four times the detection target at the most.
                let time = self.rng.u64(self.detection / 20..=self.detection * 4);
                world.clog(id, other, rate, rate * (time / 1_000) / 1_000_000);
            }
            Move::Crash => world.crash(id),
            Move::CrashMidStep => world.crash_after(id, self.rng.u32(0..60)),
            Move::CutLarge if id != other => {
                // Some of them above what is safe: then nothing may come of it.
                let sizes = [100, 200, 500, 1_232, 1_300, 1_440];
                world.cut_large(id, other, sizes[self.rng.usize(0..sizes.len())]);
            }
            Move::CutOneWay if id != other => world.cut_one_way(id, other),
            Move::CutPair if id != other => world.cut(id, other),
            Move::Lossy if id != other => {
                world.lossy(id, other, [50_000, 300_000, 700_000][self.rng.usize(0..3)]);
            }
            Move::Clog | Move::CutLarge | Move::CutOneWay | Move::CutPair | Move::Lossy => {}
            Move::DiskGoesOn => world.disk_goes_on(id),
            Move::DiskStalls => {
                let time = [self.detection, self.detection * 20, Nanos::MAX];
                world.disk_stalls(id, time[self.rng.usize(0..3)]);
            }
            Move::Heal => world.heal(),
            Move::Isolate => {
                let rest: Vec<u32> = (1..=world.len()).filter(|other| *other != id).collect();
                world.partition(&[&[id], &rest]);
            }
            Move::Leave => world.leave(id),
            Move::Partition => self.partition(world),
            Move::Pause => world.pause(id),
            Move::Restart => {
                let down: Vec<u32> = (1..=world.len()).filter(|id| !world.is_up(*id)).collect();
                if let Some(id) = self.rng.choice(&down) {
                    Self::restart(&mut self.rng, world, *id);
                }
            }
            Move::RestartFast => {
                world.crash(id);
                world.count(Fault::RestartFast);
                let soon = self.rng.u64(0..=self.detection / 2);
                let rng = self.rng.fork();
                self.restarts.push(Restart { at: world.now() + soon, node: id, rng });
            }
            Move::Resume => {
                let paused: Vec<u32> =
                    (1..=world.len()).filter(|id| world.is_paused(*id)).collect();
                if let Some(id) = self.rng.choice(&paused) {
                    let backlog = [Backlog::Kept, Backlog::Lost][self.rng.usize(0..2)];
                    let timers_first = self.rng.bool();
                    world.resume(*id, backlog, timers_first);
                }
            }
            Move::Slow if id != other => world.slow(id, other, self.rng.u64(0..self.detection / 2)),
            Move::Slow => {}
            Move::Weather => {
                let weather = Options::draw_weather(&mut self.rng, self.delay, self.detection);
                world.weather(weather);
            }
        }
    }

    /// At some datagrams of one kind, perhaps on one path only.
    fn aim(&mut self, world: &mut World) {
        let kinds = PacketKind::ALL.len();
        let drawn = self.rng.usize(0..=kinds);
        let kind = PacketKind::ALL.get(drawn).map_or(Kind::Hello, |kind| Kind::Ring(*kind));
        let mut aim = Aim::at(kind).after(self.rng.u32(0..8)).count(self.rng.u32(1..=12));
        if self.rng.bool() {
            aim = aim.from(self.node(world));
        }
        if self.rng.bool() {
            aim = aim.to(self.node(world));
        }
        world.aim(match self.rng.u32(0..4) {
            0 => aim.lost(),
            1 => aim.late(self.rng.u64(0..self.detection * 4)),
            2 => aim.repeated(self.rng.u32(1..=4)),
            _ => aim.held(self.rng.u32(1..=3)),
        });
    }

    fn partition(&mut self, world: &mut World) {
        let mut ids: Vec<u32> = (1..=world.len()).collect();
        self.rng.shuffle(&mut ids);
        let count = self.rng.usize(2..=4);
        let mut sides: Vec<Vec<u32>> = vec![Vec::new(); count];
        for id in ids {
            sides[self.rng.usize(0..count)].push(id);
        }
        let sides: Vec<&[u32]> = sides.iter().map(Vec::as_slice).collect();
        world.partition(&sides);
    }

    fn restart(rng: &mut fastrand::Rng, world: &mut World, id: u32) {
        if world.is_up(id) {
            return;
        }
        let (disk, fault) = match rng.u32(0..6) {
            0 => (Disk::Wiped, Fault::RestartWiped),
            1 => (Disk::Older(rng.u32(1..=10)), Fault::RestartRolledBack),
            _ => (Disk::Kept, Fault::RestartKept),
        };
        world.count(fault);
        world.start(id, disk);
    }

    fn node(&mut self, world: &World) -> u32 {
        self.rng.u32(1..=world.len())
    }

    /// The network as it stays: often whole, or with one pair cut, or in sides, or full of holes.
    fn cut_for_good(&mut self, world: &mut World) {
        match self.rng.u32(0..10) {
            0..4 => {}
            4..6 => {
                let (one, two) = (self.node(world), self.node(world));
                Self::cut_path(world, one, two);
                if self.rng.bool() {
                    Self::cut_path(world, two, one);
                }
            }
            6 => self.partition(world),
            _ => {
                let percent = [5, 20, 50][self.rng.usize(0..3)];
                let both_ways = self.rng.bool();
                for one in 1..=world.len() {
                    for two in (1..=world.len()).filter(|two| *two != one) {
                        if self.rng.u32(0..100) < percent {
                            Self::cut_path(world, one, two);
                            if both_ways {
                                Self::cut_path(world, two, one);
                            }
                        }
                    }
                }
            }
        }
    }

    fn cut_path(world: &mut World, from: u32, to: u32) {
        if from != to {
            world.cut_one_way(from, to);
        }
    }

    /// Faults stop: the network is quiet and, unless it is frozen in some graph, whole. Who was
    /// paused goes on, most of those that are down start.
    pub fn end(&mut self, world: &mut World) {
        self.rng = stream(self.seed, 'e', 0);
        world.disarm();
        world.heal();
        world.weather(crate::world::Weather::fair(self.delay));
        world.resume_all();
        self.retargets.end(world);
        self.restarts.clear();
        if world.options().frozen != Frozen::Whole {
            self.cut_for_good(world);
        }
        if world.options().origins.are_near_the_end() {
            world.count(Fault::Renewed);
            world.renew();
            return;
        }
        for id in 1..=world.len() {
            if self.rng.u32(0..8) > 0 {
                Self::restart(&mut self.rng, world, id);
            }
        }
    }
}
