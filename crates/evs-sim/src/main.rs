//! `evs-sim`: runs seeds of the simulation, on all cores, and prints what broke.
//!
//! `cargo xtask sim` calls it. Responsible for: arguments, spreading runs over threads, and the
//! summary. Not responsible for: anything that happens inside a run.

#![forbid(unsafe_code)]

mod total;

use std::io::BufWriter;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clap::Parser;
use evs_model::mutation::{Defect, activate};
use evs_sim::coverage::Tables;
use evs_sim::hunt::{NotBuiltIn, hunt};
use evs_sim::minimise::minimise;
use evs_sim::selection::{FaultSet, Selection};
use evs_sim::sweep::sweep;
use evs_sim::world::{Frozen, NODES_MAX};
use evs_sim::{Asked, remember_panics, run};
use total::Total;

/// Failures after which no further runs are begun.
const FAILURES_MAX: usize = 20;

/// Runs the real service in a seeded world and holds what applications saw against the contract.
#[derive(Debug, Parser)]
#[command(name = "evs-sim", version)]
struct Args {
    /// The seed of the first run; the others follow it. Decimal, or hexadecimal after 0x.
    #[arg(long, default_value = "1", value_parser = seed)]
    seed: u64,
    /// How many runs.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Print every event of a single run.
    #[arg(long)]
    trace: bool,
    /// Replay a failing seed again and again, leaving out faults and acts of clients as long as it
    /// fails in the same way; ends with the fewest, and the line that replays them.
    #[arg(long, conflicts_with_all = ["runs", "trace", "json"])]
    minimise: bool,
    /// Most runs that it takes to minimise.
    #[arg(long, value_name = "N", default_value_t = 1_000, requires = "minimise")]
    attempts: u32,
    /// Of all faults let only these strike. They are named by source and ordinal, as in m3,m7-12:
    /// a is an ambush, m a move, p a plot, w a condition of the world. The acts of clients, u, are
    /// left alone unless some are named; u0 is none.
    #[arg(long, value_name = "FAULTS")]
    only: Option<FaultSet>,
    /// Let these faults not strike.
    #[arg(long, value_name = "FAULTS")]
    without: Option<FaultSet>,
    /// How many nodes each world has, instead of what its seed says.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    nodes: Option<u32>,
    /// Instead of seeds: every pair of 3 to 7 nodes cut one way and both ways, and so many random
    /// graphs of each size.
    #[arg(long, conflicts_with_all = ["runs", "trace", "nodes"])]
    graphs: Option<u64>,
    /// For how many simulated seconds nothing may change once a graph has settled.
    #[arg(long, default_value_t = 30, requires = "graphs")]
    quiet: u64,
    /// Leave the network in some graph in the end, instead of healing every path.
    #[arg(long)]
    frozen_graphs: bool,
    /// Print which states met which packets, and every change of state, with the reasons for what
    /// cannot be; fail if something is missing. From 2,000 runs on that is a failure anyway.
    #[arg(long, conflicts_with_all = ["graphs", "trace", "minimise"])]
    coverage: bool,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
    /// How many runs at a time; as many as there are cores if not given.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Looks for a deliberate defect, seed by seed, and prints as JSON what noticed it; with
    /// --trace or --minimise, replays a seed with it. Needs a build with `--cfg evs_mutation`.
    #[arg(long, value_name = "NAME", value_parser = defect)]
    mutation: Option<Defect>,
}

fn defect(name: &str) -> Result<Defect, String> {
    let found = Defect::ALL.iter().find(|defect| defect.name() == name);
    found.copied().ok_or_else(|| String::from("there is no such defect"))
}

impl Args {
    fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.threads.map_or(cores, NonZeroUsize::get)
    }
}

impl Args {
    fn asked(&self) -> Asked {
        let frozen = if self.frozen_graphs { Frozen::Graph } else { Frozen::Whole };
        let without = self.without.clone().unwrap_or_default();
        let selection = Selection { only: self.only.clone(), without };
        Asked { nodes: self.nodes, frozen, selection }
    }
}

fn seed(text: &str) -> Result<u64, std::num::ParseIntError> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    remember_panics();
    if let Some(defect) = args.mutation.filter(|_| args.trace || args.minimise)
        && !activate(defect)
    {
        eprintln!("error: {NotBuiltIn}");
        return ExitCode::FAILURE;
    }
    if args.trace {
        return trace(&args);
    }
    if args.minimise {
        return fewest(&args);
    }
    if let Some(defect) = args.mutation {
        return mutation(&args, defect);
    }
    if let Some(random) = args.graphs {
        return graphs(&args, random);
    }
    let total = run_all(&args);
    if args.json {
        println!("{}", total.json());
    } else {
        if args.coverage {
            println!("{}", Tables(&total.coverage));
        }
        println!("{total}");
    }
    if total.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Networks in which not everybody hears everybody.
fn graphs(args: &Args, random: u64) -> ExitCode {
    let sweep = sweep(random, args.seed, args.quiet.saturating_mul(1_000_000_000), args.threads());
    if args.json {
        let broken: Vec<String> = sweep.broken.iter().map(ToString::to_string).collect();
        let summary = serde_json::json!({
            "graphs": sweep.graphs,
            "configurations_max": sweep.configurations,
            "slowest_settle_ms": sweep.slowest / 1_000_000,
            "broken": broken,
        });
        println!("{summary}");
    } else {
        println!("{sweep}");
    }
    if sweep.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One run, with its events on standard output.
fn trace(args: &Args) -> ExitCode {
    let out = Box::new(BufWriter::with_capacity(1 << 16, std::io::stdout()));
    let outcome = run(args.seed, &args.asked(), Some(out));
    println!("{outcome}");
    if outcome.failure.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One failing run with ever fewer faults.
fn fewest(args: &Args) -> ExitCode {
    match minimise(args.seed, &args.asked(), args.attempts) {
        Ok(found) => {
            println!("{found}");
            if found.minimal {
                return ExitCode::SUCCESS;
            }
            eprintln!("error: {} runs are not enough (--attempts)", found.attempts);
        }
        Err(error) => eprintln!("error: {error}"),
    }
    ExitCode::FAILURE
}

/// Up to `runs` seeds, one after the other, until one notices the defect.
fn mutation(args: &Args, defect: Defect) -> ExitCode {
    let begins = |what: &str| eprintln!("runs {what}");
    let hunt = match hunt(defect, args.seed, args.runs, begins) {
        Ok(hunt) => hunt,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let catch = hunt.catch.as_ref();
    let report = serde_json::json!({
        "name": defect.name(),
        "caught_by": catch.map(|catch| &catch.by),
        "seeds": catch.map_or(args.runs, |catch| catch.seeds),
        "scenario": catch.and_then(|catch| catch.scenario),
        "found": catch.map(|catch| &catch.found),
        "blind": hunt.blind,
    });
    println!("{report}");
    ExitCode::SUCCESS
}

#[expect(clippy::disallowed_methods, reason = "each run is one thread; several runs are several")]
fn run_all(args: &Args) -> Total {
    let asked = args.asked();
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let total = Mutex::new(Total::new(args.seed, &asked, args.coverage));
    let threads = args.threads();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= args.runs || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = run(args.seed.wrapping_add(i), &asked, None);
                    let mut total = total.lock().expect("no run panics while it holds the total");
                    if outcome.failure.is_some() && !args.json {
                        println!("{outcome}");
                    }
                    total.add(outcome);
                    stop.store(total.failures.len() >= FAILURES_MAX, Ordering::Relaxed);
                }
            });
        }
    });
    let mut total = total.into_inner().expect("no run panics while it holds the total");
    total.conclude();
    total
}
