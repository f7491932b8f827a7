//! One run: a seed becomes a world, faults strike, then they stop and the world has to settle;
//! then the checker judges what applications saw.

use std::cell::RefCell;
use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::chaos::Chaos;
use crate::checker::{Judged, Violation, check, violations};
use crate::coverage::Coverage;
use crate::history::{Entry, View};
use crate::lone::strike_alone;
use crate::selection::Selection;
use crate::workload::Workload;
use crate::world::{Faults, Frozen, Nanos, Options, Stop, Struck, StruckFaults, World};

/// One of so many seeds is run twice: the two must be the same, event by event.
const TWICE: u64 = 16;

/// How one run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// How many nodes the world had.
    pub nodes: u32,
    /// What was asked for besides the seed.
    pub asked: Asked,
    /// Events that happened.
    pub events: u64,
    /// Simulated time, in nanoseconds.
    pub time: Nanos,
    /// How long after the last fault the last configuration came, in nanoseconds.
    pub settled_after: Option<Nanos>,
    /// Two runs of one seed share it.
    pub hash: u64,
    /// What the checker looked at.
    pub judged: Judged,
    /// Which faults struck.
    pub faults: Faults,
    /// What the state machines came through.
    pub coverage: Coverage,
    /// What went wrong, if anything did.
    pub failure: Option<Failure>,
}

/// What can go wrong in a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// A property of the contract is broken.
    Contract(Violation),
    /// The code that is simulated panicked.
    Panic(String),
    /// A client was refused for want of room and never told that there is some.
    NoRoom,
    /// The world stopped itself.
    Stopped(Stop),
    /// The faults stopped, and yet nothing could be judged of what came then.
    Skipped,
    /// Two runs of the seed differed.
    NotDeterministic,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contract(violation) => violation.fmt(f),
            Self::Panic(message) => write!(f, "NOPANIC {message}"),
            Self::NoRoom => f.write_str("LIVE-2 a client that found no room was never woken"),
            Self::Stopped(stop) => stop.fmt(f),
            Self::Skipped => f.write_str("SKIPPED the judge had nothing to say of the last phase"),
            Self::NotDeterministic => f.write_str("REPLAY two runs of this seed differ"),
        }
    }
}

/// The two lines that a failure prints.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, nodes, .. } = self;
        let Some(failure) = &self.failure else {
            return write!(f, "seed={seed:#x} nodes={nodes} ok");
        };
        writeln!(f, "seed={seed:#x} nodes={nodes} violation={failure}")?;
        write!(f, "reproduce: cargo xtask sim --seed {seed:#x}")?;
        if let Some(nodes) = self.asked.nodes {
            write!(f, " --nodes {nodes}")?;
        }
        if self.asked.frozen == Frozen::Graph {
            f.write_str(" --frozen-graphs")?;
        }
        self.asked.selection.fmt(f)?;
        f.write_str(" --trace")
    }
}

/// What is asked for of runs, besides their seeds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Asked {
    /// How many nodes, if the seed does not decide.
    pub nodes: Option<u32>,
    /// How the network is left in the end.
    pub frozen: Frozen,
    /// Which of the faults that the seed draws strike.
    pub selection: Selection,
}

impl Asked {
    /// What the world of this seed is made of.
    fn options(&self, seed: u64) -> Options {
        let drawn = Options { frozen: self.frozen, ..Options::draw(seed, self.nodes) };
        drawn.with(self.selection.clone())
    }
}

/// Runs one seed; a share of all seeds twice. Trace lines go to `lines`, if given.
#[must_use]
pub fn run(seed: u64, asked: &Asked, lines: Option<Box<dyn Write>>) -> Outcome {
    let traced = lines.is_some();
    let mut outcome = run_once(seed, asked, lines, None);
    if seed.is_multiple_of(TWICE) && outcome.failure.is_none() && !traced {
        let again = run_once(seed, asked, None, None);
        if again.hash != outcome.hash || again.events != outcome.events {
            outcome.failure = Some(Failure::NotDeterministic);
        }
    }
    outcome
}

/// Runs one seed once, and tells which faults struck.
#[must_use]
pub fn replay(seed: u64, asked: &Asked) -> (Outcome, Vec<Struck>) {
    let list = StruckFaults::default();
    let outcome = run_once(seed, asked, None, Some(&list));
    (outcome, list.take())
}

fn run_once(
    seed: u64,
    asked: &Asked,
    lines: Option<Box<dyn Write>>,
    struck: Option<&StruckFaults>,
) -> Outcome {
    let options = asked.options(seed);
    let mut outcome = Outcome {
        seed,
        nodes: options.nodes,
        asked: asked.clone(),
        events: 0,
        time: 0,
        settled_after: None,
        hash: 0,
        judged: Judged::default(),
        faults: Faults::default(),
        coverage: Coverage::default(),
        failure: None,
    };
    // The world is dropped on the way out of a panic, and nothing of it is used afterwards.
    let course = catch_unwind(AssertUnwindSafe(|| play(options, lines, struck)));
    match course {
        Ok(course) => {
            outcome.events = course.world.events();
            outcome.time = course.world.now();
            outcome.settled_after = Some(course.settled_after);
            outcome.hash = course.world.hash();
            outcome.faults = course.world.faults().clone();
            outcome.coverage = course.world.coverage();
            match judge(course) {
                Ok(judged) => outcome.judged = judged,
                Err(failure) => outcome.failure = Some(failure),
            }
        }
        Err(_) => outcome.failure = Some(Failure::Panic(last_panic())),
    }
    outcome
}

/// Everything that a run breaks, if it comes as far as the checker.
pub(crate) fn violations_of(seed: u64, asked: &Asked) -> Vec<Violation> {
    let play = || play(asked.options(seed), None, None);
    let course = catch_unwind(AssertUnwindSafe(play));
    course.map_or_else(|_| Vec::new(), |mut course| violations(course.world.conclude()))
}

/// A run that is over.
struct Course {
    world: World,
    settled_after: Nanos,
    forgotten: bool,
}

fn judge(mut course: Course) -> Result<Judged, Failure> {
    if let Some(stop) = course.world.stopped() {
        return Err(Failure::Stopped(stop.clone()));
    }
    let judged = check(course.world.conclude()).map_err(Failure::Contract)?;
    if course.forgotten {
        return Err(Failure::NoRoom);
    }
    if judged.skipped {
        return Err(Failure::Skipped);
    }
    Ok(judged)
}

/// Faults, then calm.
fn play(options: Options, lines: Option<Box<dyn Write>>, struck: Option<&StruckFaults>) -> Course {
    let mut chaos = Chaos::draw(&options);
    let mut workload = Workload::draw(&options);
    let mut world = World::new(options, lines);
    if let Some(list) = struck {
        world.keep_struck(list.clone());
    }
    if world.is_heard() {
        let options = format!("-- {:?}", world.options());
        world.note(&options);
    }
    world.start_all();
    loop {
        let next = chaos.next().min(workload.next()).min(chaos.until());
        world.run_until(next);
        if world.stopped().is_some() || world.now() >= chaos.until() {
            break;
        }
        if workload.next() <= world.now() {
            workload.act(&mut world);
        }
        chaos.strike(&mut world);
    }
    chaos.end(&mut world);
    let quiet = quiet_time(world.len());
    let settled_after = settle(&mut world, &mut workload, quiet);
    strike_alone(&mut world, &mut workload);
    let forgotten = workload.forgotten(&world).is_some();
    Course { world, settled_after, forgotten }
}

/// The liveness phase. B passes; from then on nothing may change, and what is sent arrives. Returns
/// how long it took until the last configuration.
pub(crate) fn settle(world: &mut World, workload: &mut Workload, quiet: Nanos) -> Nanos {
    world.freeze();
    let began = world.now();
    rest(world);
    drain(world);
    world.mark_settled();
    workload.probe(world);
    world.run_for(quiet / 2);
    workload.probe(world);
    world.run_for(quiet / 2);
    drain(world);
    world.read_all();
    let last = world.history().views.iter().filter_map(last_configuration).max();
    last.unwrap_or(0).saturating_sub(began)
}

/// Until B has passed, which begins when nobody is held down any more for what happened before.
pub(crate) fn rest(world: &mut World) {
    world.run_for(world.patience() + world.bounds().settling());
    if world.settles_at() > world.now() {
        world.run_until(world.settles_at());
    }
}

/// Until everything that was accepted is sent, or should be, and everybody knows of it.
pub(crate) fn drain(world: &mut World) {
    let until = world.now() + world.draining_time();
    while world.draining_time() > 0 && world.now() < until && world.stopped().is_none() {
        world.run_for((until - world.now()).min(world.bounds().detection));
    }
    world.run_for(world.bounds().agreement());
}

/// When this view shows its last configuration.
fn last_configuration(view: &View) -> Option<Nanos> {
    let place = view.entries.iter().rposition(|e| matches!(e, Entry::Configuration(_)))?;
    view.times.get(place).copied()
}

/// How long nothing may change in the end of an ordinary run. Many nodes make many events in the
/// same time.
const fn quiet_time(nodes: u32) -> Nanos {
    const SECOND: Nanos = 1_000_000_000;
    match nodes {
        0..=7 => 30 * SECOND,
        8..=16 => 10 * SECOND,
        17..=48 => 3 * SECOND,
        _ => SECOND,
    }
}

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Makes panics of runs silent and remembered with their place, for [`Failure::Panic`]. For
/// binaries; it replaces the hook of the whole process.
pub fn remember_panics() {
    std::panic::set_hook(Box::new(|info| {
        let message = info.to_string().replace('\n', " ");
        LAST_PANIC.with(|last| *last.borrow_mut() = message);
    }));
}

pub(crate) fn last_panic() -> String {
    let message = LAST_PANIC.with(|last| last.take());
    if message.is_empty() { String::from("a panic, printed above") } else { message }
}
