//! What many runs came to.

use std::fmt;
use std::time::Duration;

use evs_sim::checker::{Judged, Property};
use evs_sim::coverage::{Coverage, Gap};
use evs_sim::world::{Fault, Faults, Nanos};
use evs_sim::{Asked, Outcome};
use rustix::time::{ClockId, clock_gettime};

/// The sum of all runs.
#[derive(Debug)]
pub(crate) struct Total {
    seed: u64,
    /// Whether cells that were not met are failures, however few runs there were.
    complete: bool,
    /// Whether the runs are such that they meet every cell, if they are many.
    ordinary: bool,
    runs: u64,
    /// Runs that came before the judge.
    judged_runs: u64,
    /// Runs in which the processors once had no reason to be patient.
    calm_runs: u64,
    events: u64,
    time: Nanos,
    judged: Judged,
    faults: Faults,
    pub(crate) coverage: Coverage,
    slowest: Nanos,
    core_time: Duration,
    pub(crate) failures: Vec<Outcome>,
    gaps: Vec<Gap>,
}

impl Total {
    pub(crate) fn new(seed: u64, asked: &Asked, complete: bool) -> Self {
        Self {
            seed,
            complete,
            ordinary: *asked == Asked::default(),
            runs: 0,
            judged_runs: 0,
            calm_runs: 0,
            events: 0,
            time: 0,
            judged: Judged::default(),
            faults: Faults::default(),
            coverage: Coverage::default(),
            slowest: 0,
            core_time: Duration::ZERO,
            failures: Vec::new(),
            gaps: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, outcome: Outcome) {
        self.runs += 1;
        self.judged_runs += u64::from(outcome.judged.views > 0);
        self.calm_runs += u64::from(outcome.judged.calm > 0);
        self.events += outcome.events;
        self.time += outcome.time;
        self.judged.views += outcome.judged.views;
        self.judged.configurations += outcome.judged.configurations;
        self.judged.deliveries += outcome.judged.deliveries;
        self.judged.accepted += outcome.judged.accepted;
        self.faults.add(&outcome.faults);
        self.coverage.add(&outcome.coverage);
        self.slowest = self.slowest.max(outcome.settled_after.unwrap_or(0));
        if outcome.failure.is_some() {
            self.failures.push(outcome);
        }
    }

    /// All runs are over.
    pub(crate) fn conclude(&mut self) {
        self.failures.sort_by_key(|outcome| outcome.seed);
        self.core_time = core_time();
        self.gaps = self.coverage.gaps();
        let enough = self.ordinary && self.runs >= Coverage::RUNS_MIN;
        if !(self.complete || enough) {
            // Few runs prove nothing about what they did not meet.
            self.gaps.retain(|gap| matches!(gap, Gap::Impossible(..)));
        }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.failures.is_empty() && self.gaps.is_empty()
    }

    fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let runs = self.runs as f64;
        runs / self.core_time.as_secs_f64().max(0.001)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let faults: serde_json::Map<String, serde_json::Value> = Fault::ALL
            .iter()
            .map(|fault| (fault.name().to_owned(), self.faults.of(*fault).into()))
            .collect();
        let cells: serde_json::Map<String, serde_json::Value> = Coverage::cells()
            .filter(|cell| self.coverage.of(*cell) > 0)
            .map(|cell| (cell.to_string(), self.coverage.of(cell).into()))
            .collect();
        let failure = |outcome: &Outcome| {
            serde_json::json!({
                "seed": format!("{:#x}", outcome.seed),
                "nodes": outcome.nodes,
                "violation": outcome.failure.as_ref().map(ToString::to_string),
            })
        };
        serde_json::json!({
            "seed": format!("{:#x}", self.seed),
            "runs": self.runs,
            "runs_per_core_second": self.rate(),
            "simulated_seconds": self.time / 1_000_000_000,
            "events": self.events,
            "processors": self.judged.views,
            "configurations": self.judged.configurations,
            "messages_accepted": self.judged.accepted,
            "messages_delivered": self.judged.deliveries,
            "properties": Property::ALL.map(|property| property.to_string()),
            "runs_judged": self.judged_runs,
            "runs_calm": self.calm_runs,
            "slowest_settle_ms": self.slowest / 1_000_000,
            "faults": faults,
            "coverage": cells,
            "coverage_gaps": self.gaps.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "failures": self.failures.iter().map(failure).collect::<Vec<_>>(),
        })
    }
}

/// The summary for people.
impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, seed, events, judged, faults, coverage, .. } = self;
        let Self { judged_runs, calm_runs, .. } = self;
        let (properties, rate) = (Property::ALL.len(), self.rate());
        writeln!(f, "runs            {runs} from seed {seed:#x}, {rate:.1} per core-second")?;
        writeln!(f, "simulated       {} s, {events} events", self.time / 1_000_000_000)?;
        writeln!(f, "processors      {}", judged.views)?;
        writeln!(f, "configurations  {} delivered", judged.configurations)?;
        let Judged { accepted, deliveries, .. } = judged;
        writeln!(f, "messages        {accepted} accepted, {deliveries} delivered")?;
        writeln!(f, "faults          {faults}")?;
        writeln!(
            f,
            "properties      {properties} judged in {judged_runs} runs, {calm_runs} of them calm"
        )?;
        writeln!(f, "coverage        {coverage}")?;
        writeln!(f, "slowest settle  {} ms after the last fault", self.slowest / 1_000_000)?;
        for gap in &self.gaps {
            writeln!(f, "{gap}")?;
        }
        write!(f, "failures        {}", self.failures.len() + self.gaps.len())?;
        for failure in self.failures.iter().filter(|_| self.failures.len() > 1) {
            write!(f, "\n{failure}")?;
        }
        Ok(())
    }
}

/// How long all threads of this process together have been on a core.
fn core_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(used.tv_sec), u32::try_from(used.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}
