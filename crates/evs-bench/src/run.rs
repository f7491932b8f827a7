//! The whole: round after round, block after block, one system after the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use evs_testkit::netns::{IpVersion, Network};

use crate::beside::Beside;
use crate::measure::{NOTHING, with_c};
use crate::plan::{
    Block, Case, Client, Extent, Fit, Guarantee, Key, Metric, Plan, Position, Variant, Workload,
    fit,
};
use crate::report::{Head, Report};
use crate::sample::{Outcome, Sample, Samples, Value};
use crate::session::Session;
use crate::stop::Stop;
use crate::workdir::{self, WorkDir};
use crate::{Machine, Tools, measure, plot, stall, table};

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Options {
    /// How much.
    pub extent: Extent,
    /// Only what matches one of these ([`Key::matches`]); empty: everything.
    pub only: Vec<String>,
    /// Whether to go on where an earlier bench ended.
    pub resume: bool,
    /// Where the results go.
    pub dir: PathBuf,
    /// The repository's root.
    pub root: PathBuf,
    /// The command, for the report.
    pub command: String,
}

/// Measures, and writes `report.json`, `report.md` and the plots.
///
/// # Errors
/// Something cannot be run or written, or a signal came; what was measured until then is kept for
/// `resume`.
pub fn run(options: &Options, tools: &Tools) -> anyhow::Result<Report> {
    let stop = Stop::at_signals()?;
    let mut plan = Plan::new(options.extent);
    plan.keep(options.only.clone());
    fs::create_dir_all(&options.dir).with_context(|| options.dir.display().to_string())?;
    let machine = Machine::here(tools, &options.root);
    let conditions = conditions(options, tools, &machine);
    let path = options.dir.join("samples.jsonl");
    let samples = Samples::open(&path, &conditions, options.resume)?;
    workdir::remove_orphans();
    let deadline = plan.seconds_max.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let head = Head {
        extent: options.extent,
        date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M").to_string(),
        machine,
        command: options.command.clone(),
        timing: plan.timing,
    };
    let work = WorkDir::new()?;
    let mut bench =
        Bench { tools, plan: &plan, stop, samples, deadline, work, clusters: 0, runs: 0, round: 1 };
    let measured = bench.measure();
    let complete = measured.as_ref().is_ok_and(|in_time| *in_time);
    let report = Report::new(head, bench.samples.all(), complete);
    write(&options.dir.join("report.json"), &serde_json::to_string_pretty(&report)?)?;
    write(&options.dir.join("report.md"), table::markdown(&report).trim_end())?;
    plot::draw_all(&report, &tools.font, &options.dir)?;
    measured?;
    Ok(report)
}

/// Writes a file of the results.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, format!("{text}\n")).with_context(|| path.display().to_string())
}

/// What runs must have in common to be summed up: one line.
fn conditions(options: &Options, tools: &Tools, machine: &Machine) -> String {
    let programs = [&tools.evsd, &tools.load_evs, &tools.load_cpg, &tools.raw];
    let sizes = programs.map(|path| fs::metadata(path).map_or(0, |file| file.len()));
    let Machine { kernel, corosync, commit, transport, .. } = machine;
    format!("{:?}; {commit}; {transport}; {corosync}; {kernel}; {sizes:?}", options.extent)
}

struct Bench<'a> {
    tools: &'a Tools,
    plan: &'a Plan,
    stop: Stop,
    samples: Samples,
    deadline: Option<Instant>,
    work: WorkDir,
    clusters: u32,
    runs: usize,
    round: u32,
}

impl Bench<'_> {
    /// Goes through the plan; returns whether there was time for all of it.
    fn measure(&mut self) -> anyhow::Result<bool> {
        let begin = Instant::now();
        println!("{} runs", self.plan.runs());
        for round in 1..=self.plan.rounds {
            self.round = round;
            for block in &self.plan.blocks {
                if !self.block(block)? {
                    println!("no time is left after round {round} had begun");
                    return Ok(false);
                }
            }
            let minutes = begin.elapsed().as_secs_f64() / 60.0;
            println!("round {round} of {} is over after {minutes:.1} min", self.plan.rounds);
        }
        Ok(true)
    }

    /// One system after the other; each round begins with another one.
    fn block(&mut self, block: &Block) -> anyhow::Result<bool> {
        let wanted = |v: &Variant| self.plan.cases_of(block, *v).any(|(key, _)| self.is_open(&key));
        let mut variants: Vec<Variant> = block.variants.iter().copied().filter(wanted).collect();
        if variants.is_empty() {
            return Ok(true);
        }
        let turn = self.round as usize - 1;
        let at = turn % variants.len();
        variants.rotate_left(at);
        let network = Network::for_speed(block.nodes, IpVersion::V4)?;
        for variant in variants {
            if !self.variant(block, variant, &network)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn variant(
        &mut self,
        block: &Block,
        variant: Variant,
        network: &Network,
    ) -> anyhow::Result<bool> {
        let cases: Vec<(Key, Case)> = self.plan.cases_of(block, variant).collect();
        let mut session = None;
        for (key, case) in cases {
            if !self.is_open(&key) {
                continue;
            }
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
            let outcome = match fit(variant, case) {
                Fit::Cannot(why) => Outcome::Cannot(why.to_owned()),
                Fit::Runs | Fit::Senseless => {
                    self.case(variant, case, block.nodes, network, &mut session)?
                }
            };
            if matches!(outcome, Outcome::Fault(_)) {
                // Whatever state it is in: the next case gets a new one.
                session = None;
            }
            self.keep(key, outcome)?;
        }
        Ok(true)
    }

    fn case(
        &mut self,
        variant: Variant,
        case: Case,
        nodes: u8,
        network: &Network,
        session: &mut Option<Session>,
    ) -> anyhow::Result<Outcome> {
        let (tools, timing) = (self.tools, self.plan.timing);
        if case.workload.is_stall() {
            let dir = self.cluster_dir()?;
            return stall::measure(tools, variant.system, nodes, case, &dir, &self.stop);
        }
        if variant.system.is_raw() {
            let system = variant.system;
            return measure::with_nothing(tools, system, network, nodes, case, timing, &self.stop);
        }
        if session.is_none() || case.workload.is_failover() || case.workload == Workload::Form {
            *session = None;
            match self.session(variant, nodes, network) {
                Ok(formed) => *session = Some(formed),
                Err(error) => {
                    self.stop.check()?;
                    eprintln!("{error:#}");
                    return Ok(Outcome::Fault(format!("{error:#}")));
                }
            }
        }
        let formed = session.as_mut().expect("made above");
        if case.workload == Workload::Form {
            return Ok(seconds(formed.formed_after));
        }
        if case.workload.is_failover() {
            let failed =
                session.take().expect("made above").fail(case.workload, network, &self.stop);
            self.stop.check()?;
            return Ok(failed.map_or_else(|error| Outcome::Fault(format!("{error:#}")), seconds));
        }
        formed.without_watchers();
        if variant.client == Client::Rust {
            return measure::with_rust(tools, formed, case, timing, &self.stop);
        }
        let group = format!("bench-{}", self.runs);
        let what = (case.workload, timing);
        let beside = Beside::start(tools, formed, network, what, &group, &self.stop)?;
        let outcome = with_c(tools, formed, case, timing, &group, NOTHING, &self.stop)?;
        let ended = beside.map_or(Ok(()), |beside| beside.end(formed, timing));
        Ok(ended.map_or_else(|error| Outcome::Fault(format!("{error:#}")), |()| outcome))
    }

    /// Starts a cluster, and keeps how long that took if that is not known yet in this round.
    fn session(
        &mut self,
        variant: Variant,
        nodes: u8,
        network: &Network,
    ) -> anyhow::Result<Session> {
        let (system, dir) = (variant.system, self.cluster_dir()?);
        let session = Session::start(self.tools, system, network, nodes, &dir, &self.stop)?;
        let case = Case { guarantee: Guarantee::Agreed, workload: Workload::Form, size: 0 };
        let key = Key::new(Variant { system, client: Client::C }, nodes, case);
        if !self.samples.has(&key, self.round) {
            let outcome = seconds(session.formed_after);
            self.samples.add(Sample { key, round: self.round, outcome })?;
        }
        Ok(session)
    }

    /// A new directory for the files of a cluster.
    fn cluster_dir(&mut self) -> anyhow::Result<PathBuf> {
        self.clusters += 1;
        let dir = self.work.path().join(self.clusters.to_string());
        fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
        Ok(dir)
    }

    /// Whether a case is wanted and has not been measured in this round.
    fn is_open(&self, key: &Key) -> bool {
        self.plan.wants(key) && !self.samples.has(key, self.round)
    }

    fn keep(&mut self, key: Key, outcome: Outcome) -> anyhow::Result<()> {
        self.runs += 1;
        println!("{:>2} {key}: {}", self.round, told(&key, &outcome));
        if self.samples.has(&key, self.round) {
            return Ok(());
        }
        self.samples.add(Sample { key, round: self.round, outcome })
    }
}

fn seconds(value: f64) -> Outcome {
    let (position, metric) = (Position::Slowest, Metric::Seconds);
    Outcome::Measured(vec![Value { position, metric, value }])
}

/// A run in a few words.
fn told(key: &Key, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Cannot(why) => format!("cannot: {why}"),
        Outcome::Fault(fault) => format!("FAULT: {}", fault.lines().next().unwrap_or_default()),
        Outcome::Measured(values) => {
            let at = |metric, position| {
                let of = |v: &&Value| (v.metric, v.position) == (metric, position);
                values.iter().find(of).map_or(0.0, |v| v.value)
            };
            if key.workload.is_throughput() {
                let rate = at(Metric::MessagesPerSecond, Position::Slowest);
                let megabytes = at(Metric::MegabytesPerSecond, Position::Slowest);
                format!("{rate:.0} messages/s, {megabytes:.1} MB/s")
            } else if key.workload.is_latency() {
                let p50 = at(Metric::P50Us, Position::Sender);
                format!("p50 {p50:.0} µs, p99 {:.0} µs", at(Metric::P99Us, Position::Sender))
            } else {
                format!("{:.3} s", at(Metric::Seconds, Position::Slowest))
            }
        }
    }
}
