//! `cargo xtask mutate`: every deliberate defect is looked for by the simulation.
//!
//! The simulator is built once with `--cfg evs_mutation`, into a directory of its own. Each defect
//! is one process of it: the scenarios that were made for the defect, then seed after seed, until
//! something notices it. So the number of seeds is the same on every machine. A defect that
//! survives is a hole in the tests.

mod hunt;
mod table;

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Result, bail};
use clap::Args;
use evs_model::mutation::Defect;

use hunt::Hunt;

/// How far each defect is looked for.
const SEEDS: u64 = 2_000;
const SEEDS_QUICK: u64 = 300;

/// Defects that only one of several hundred seeds notices; the quick run leaves them out.
const RARE: &[Defect] = &[
    Defect::ObligationsForgotten,
    Defect::ObligationsIgnored,
    Defect::ObligationsLate,
    Defect::ObligationsNarrow,
    Defect::ObligationsNeverTaken,
];

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Leaves out the defects that need many seeds.
    #[arg(long)]
    quick: bool,
    /// Looks only for the defects whose names hold this text.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How many seeds are run for each defect at most: 2,000, or 300 if quick.
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Options {
    /// The part that every change passes.
    pub(crate) const fn quick() -> Self {
        Self { quick: true, only: None, seeds: None, json: false }
    }
}

/// Looks for the defects, prints the table, and returns how many were found.
///
/// # Errors
/// A defect survives, a scenario does not notice one for which it was made, a property has none
/// that its checker noticed, or the simulator cannot be built or run.
pub(crate) fn run(options: &Options) -> Result<u64> {
    let chosen = chosen(options);
    if chosen.is_empty() {
        bail!("no defect's name holds {:?}", options.only.as_deref().unwrap_or_default());
    }
    let seeds = options.seeds.unwrap_or(if options.quick { SEEDS_QUICK } else { SEEDS });
    let simulator = hunt::build()?;
    let hunts = hunt_all(&chosen, |defect| hunt::hunt(&simulator, defect, seeds))?;
    if options.json {
        println!("{}", table::json(&hunts));
    } else {
        println!("{}", table::render(&hunts));
    }
    let survivors: Vec<&str> =
        hunts.iter().filter(|hunt| hunt.caught_by.is_none()).map(|h| h.defect.name()).collect();
    if !survivors.is_empty() {
        bail!("not found within {seeds} seeds: {}", survivors.join(", "));
    }
    let blind = |hunt: &Hunt| (!hunt.blind.is_empty()).then(|| hunt.to_string());
    let blind: Vec<String> = hunts.iter().filter_map(blind).collect();
    if !blind.is_empty() {
        bail!("scenarios that were made for a defect do not notice it: {}", blind.join("; "));
    }
    let unproven = table::unproven(&hunts);
    if !unproven.is_empty() && options.only.is_none() {
        bail!("no defect was seen to break {}", unproven.join(", "));
    }
    Ok(hunts.len() as u64)
}

fn chosen(options: &Options) -> Vec<Defect> {
    let wanted = |defect: &&Defect| {
        let named = options.only.as_ref().is_none_or(|text| defect.name().contains(text));
        named && !(options.quick && RARE.contains(defect))
    };
    Defect::ALL.iter().filter(wanted).copied().collect()
}

/// Hunts on all cores, those first that take longest; the results are in the order given.
fn hunt_all(defects: &[Defect], hunt: impl Fn(Defect) -> Result<Hunt> + Sync) -> Result<Vec<Hunt>> {
    let mut order: Vec<usize> = (0..defects.len()).collect();
    order.sort_by_key(|i| !RARE.contains(&defects[*i]));
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Result<Hunt>)>> = Mutex::default();
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(place) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = hunt(defects[*place]);
                    let mut results = results.lock().expect("no hunter panics");
                    eprintln!("{:>3}/{} {}", results.len() + 1, defects.len(), shown(&result));
                    results.push((*place, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no hunter panics");
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

fn shown(result: &Result<Hunt>) -> String {
    match result {
        Ok(hunt) => hunt.to_string(),
        Err(error) => format!("error: {error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(quick: bool, only: Option<&str>) -> Options {
        Options { quick, only: only.map(str::to_owned), seeds: None, json: false }
    }

    #[test]
    fn the_quick_run_leaves_out_what_is_rare_and_nothing_else() {
        let (all, quick) = (chosen(&options(false, None)), chosen(&options(true, None)));
        assert_eq!(all, Defect::ALL);
        assert_eq!(quick.len() + RARE.len(), all.len());
        assert!(!quick.contains(&RARE[0]));
    }

    #[test]
    fn a_part_of_a_name_chooses() {
        let chosen = chosen(&options(false, Some("LateIn")));
        assert_eq!(chosen, [Defect::LateInCommit, Defect::LateInRecovery]);
    }

    #[test]
    fn there_are_forty_defects_at_the_least_and_no_name_is_used_twice() {
        let mut names: Vec<&str> = Defect::ALL.iter().map(|defect| defect.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert!(names.len() >= 40 && names.len() == Defect::ALL.len());
    }
}
