//! Plots: courses of faults that do harm only together and in their order, which faults at random
//! times hardly ever meet. Each is a list of steps whose nodes, counts and distances are drawn
//! from the seed; some steps wait for a node to come to a certain point.

use std::collections::{BTreeMap, VecDeque};

use evs_model::{Groups, Guarantee};
use totem::{PacketKind, StateKind};

use crate::body::body;
use crate::selection::{FaultId, Source};
use crate::world::{Aim, Fault, Kind, Moment, Nanos, Options, Session, Snare, World};

/// The plots of one run, one after the other.
#[derive(Debug)]
pub(crate) struct Plots {
    seed: u64,
    /// When plots begin.
    times: fastrand::Rng,
    /// What the present plot is like.
    rng: fastrand::Rng,
    plots: u32,
    /// A little more than a datagram needs from one node to another.
    hop: Nanos,
    detection: Nanos,
    /// The longest time between two plots.
    pause: Nanos,
    steps: VecDeque<Step>,
    /// When the next step is due.
    at: Nanos,
    /// When a step that waits for a node has waited too long.
    patience: Option<Nanos>,
    sessions: BTreeMap<u32, Session>,
    tag: u64,
}

#[derive(Debug)]
enum Step {
    Crash(u32),
    Cut(u32, u32),
    CutOneWay(u32, u32),
    /// Data on the way from the first to the second is held back.
    HoldData(u32, u32),
    /// So many data packets from the first are lost on the way to the second.
    LoseData(u32, u32, u32),
    Part(Vec<Vec<u32>>),
    Release(u32),
    Send(u32, Guarantee, u32),
    /// The node is cut off from all when it has installed a ring, before it tells anybody.
    TrapAtInstall(u32),
    UntilState(u32, StateKind),
    UntilTrapped(u32),
    Wait(Nanos),
    Whole,
}

impl Plots {
    /// What the world's seed says: no plots in most runs.
    pub(crate) fn draw(options: &Options) -> Self {
        let mut rng = fastrand::Rng::with_seed(options.seed ^ 0x706c_6f74_7321_2121);
        let detection = u64::try_from(options.detection.as_nanos()).unwrap_or(u64::MAX);
        let some = options.nodes >= 3 && rng.u32(0..4) == 0;
        let pause = detection * [1, 4][rng.usize(0..2)];
        let at = if some { rng.u64(detection..=detection * 4) } else { Nanos::MAX };
        Self {
            hop: (options.weather.delay + options.reading_delay).max(1_000),
            detection,
            pause,
            steps: VecDeque::new(),
            at,
            patience: None,
            sessions: BTreeMap::new(),
            tag: 1 << 40,
            seed: options.seed,
            times: rng.clone(),
            rng,
            plots: 0,
        }
    }

    /// Whether this run has any.
    pub(crate) const fn any(&self) -> bool {
        self.at < Nanos::MAX
    }

    /// When the next step is due.
    pub(crate) const fn next(&self) -> Nanos {
        self.at
    }

    /// Takes every step that is due.
    pub(crate) fn strike(&mut self, world: &mut World) {
        while self.at <= world.now() {
            let Some(step) = self.steps.pop_front() else {
                if world.is_one_ring() {
                    self.conceive(world);
                }
                self.at = world.now() + self.times.u64(1..=self.pause);
                continue;
            };
            if !self.take(&step, world) {
                // What has not come to pass is looked for again soon, but not for ever.
                let now = world.now();
                let patience = now + self.detection * 4;
                if now < *self.patience.get_or_insert(patience) {
                    self.steps.push_front(step);
                    self.at = now + self.hop / 4;
                    continue;
                }
                world.heal();
                self.steps.clear();
            }
            self.patience = None;
        }
    }

    /// Draws the next plot.
    fn conceive(&mut self, world: &mut World) {
        let mut ids: Vec<u32> = (1..=world.len()).filter(|id| world.is_up(*id)).collect();
        if ids.len() < 3 {
            return;
        }
        self.plots += 1;
        let id = FaultId { source: Source::Plot, ordinal: self.plots };
        self.rng = id.stream(self.seed);
        self.rng.shuffle(&mut ids);
        let promises = self.rng.bool();
        let name = if promises { "broken promises" } else { "late data" };
        world.strike(id, &name, |world| {
            world.count(Fault::Plot);
            if promises { self.broken_promises(&ids) } else { self.late_data(&ids) }
        });
    }

    /// Messages of a node are lost and it dies; others send after the gap. One of those that
    /// recover installs the next ring alone; the rest meet others, and so again
    /// (`docs/protocol.md` §2, P43, P44).
    fn broken_promises(&mut self, ids: &[u32]) {
        let (lost, rest) = (ids[0], &ids[1..]);
        let count = self.rng.u32(1..=3);
        for id in rest {
            if self.rng.u32(0..8) > 0 {
                self.steps.push_back(Step::LoseData(lost, *id, count));
            }
        }
        self.send(lost, count);
        self.wait(6);
        for _ in 0..self.rng.u32(1..=3) {
            let sender = rest[self.rng.usize(0..rest.len())];
            let count = self.rng.u32(1..=2);
            self.send(sender, count);
            self.wait(3);
        }
        let near = self.rng.usize(1..=rest.len());
        let (mut near, mut far) = (rest[..near].to_vec(), rest[near..].to_vec());
        if self.rng.u32(0..4) > 0 {
            self.steps.push_back(Step::Crash(lost));
        }
        for _ in 0..self.rng.u32(1..=3) {
            self.steps.push_back(Step::Part(vec![near.clone(), far.clone()]));
            if near.len() < 2 {
                break;
            }
            let alone = near.remove(self.rng.usize(0..near.len()));
            self.steps.push_back(Step::TrapAtInstall(alone));
            self.steps.push_back(Step::UntilTrapped(alone));
            near.append(&mut far);
            self.rng.shuffle(&mut near);
            let stay = self.rng.usize(1..=near.len());
            far = near.split_off(stay);
        }
        self.steps.push_back(Step::Part(vec![near, far]));
        self.steps.push_back(Step::Wait(self.rng.u64(0..=self.detection * 2)));
        self.steps.push_back(Step::Whole);
    }

    /// Two members lose each other, and what one of them had sent reaches a third only while the
    /// ring is being formed without it (P45).
    fn late_data(&mut self, ids: &[u32]) {
        let (sender, deaf, late) = (ids[0], ids[1], ids[2]);
        self.steps.push_back(Step::HoldData(sender, late));
        for other in &ids[3..] {
            self.steps.push_back(Step::LoseData(sender, *other, u32::MAX));
        }
        self.steps.push_back(Step::LoseData(sender, deaf, u32::MAX));
        let count = self.rng.u32(1..=3);
        self.send(sender, count);
        self.wait(6);
        self.steps.push_back(match self.rng.u32(0..4) {
            0 => Step::CutOneWay(sender, deaf),
            1 => Step::CutOneWay(deaf, sender),
            _ => Step::Cut(sender, deaf),
        });
        let states = [StateKind::Gather, StateKind::Commit, StateKind::Recovery];
        self.steps.push_back(Step::UntilState(late, states[self.rng.usize(0..3)]));
        self.wait(2);
        self.steps.push_back(Step::Release(late));
        self.steps.push_back(Step::Wait(self.rng.u64(0..=self.detection * 2)));
        self.steps.push_back(Step::Whole);
    }

    fn send(&mut self, id: u32, count: u32) {
        let all = [Guarantee::Unordered, Guarantee::Fifo, Guarantee::Agreed, Guarantee::Safe];
        let guarantee = if self.rng.bool() { Guarantee::Safe } else { all[self.rng.usize(0..4)] };
        self.steps.push_back(Step::Send(id, guarantee, count));
    }

    fn wait(&mut self, hops_max: u64) {
        self.steps.push_back(Step::Wait(self.rng.u64(0..=self.hop * hops_max)));
    }

    /// Takes one step. Returns whether what it waits for has come to pass.
    fn take(&mut self, step: &Step, world: &mut World) -> bool {
        match step {
            Step::Crash(id) => world.crash(*id),
            Step::Cut(one, two) => world.cut(*one, *two),
            Step::CutOneWay(from, to) => world.cut_one_way(*from, *to),
            Step::HoldData(from, to) => {
                world.aim(data().from(*from).to(*to).count(u32::MAX).held(u32::MAX));
            }
            Step::LoseData(from, to, count) => {
                world.aim(data().from(*from).to(*to).count(*count).lost());
            }
            Step::Part(sides) => {
                let sides: Vec<&[u32]> = sides.iter().map(Vec::as_slice).collect();
                world.partition(&sides);
            }
            Step::Release(id) => world.release(*id),
            Step::Send(id, guarantee, count) => {
                (0..*count).for_each(|_| self.hand_over(world, *id, *guarantee));
            }
            Step::TrapAtInstall(id) => {
                let moments =
                    [Moment::Enters(StateKind::Operational), Moment::Before(PacketKind::Token)];
                world.trap(*id, &moments, Snare::Isolate);
            }
            Step::UntilState(id, state) => return world.state(*id) == Some(*state),
            Step::UntilTrapped(id) => return !world.is_trapped(*id),
            Step::Wait(time) => self.at = world.now() + time,
            Step::Whole => world.heal(),
        }
        true
    }

    fn hand_over(&mut self, world: &mut World, id: u32, guarantee: Guarantee) {
        let known = self.sessions.get(&id).copied().filter(|session| world.is_alive(*session));
        let Some(session) = known.or_else(|| world.connect(id)) else { return };
        self.sessions.insert(id, session);
        self.tag += 1;
        let groups = Groups::new(&World::groups()[..1]).expect("one group is within the limit");
        let _ = world.send(session, guarantee, &groups, &body(self.tag, 100));
    }
}

const fn data() -> Aim {
    Aim::at(Kind::Ring(PacketKind::Mcast))
}
