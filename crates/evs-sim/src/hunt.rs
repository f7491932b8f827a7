//! The hunt for one deliberate defect: seeds are run until one notices it.
//!
//! A run in which nothing is wrong passes; so whatever fails in a run with a defect has found it.

use std::fmt;
use std::panic::catch_unwind;

use evs_model::mutation::{Defect, activate};

use crate::run::{Asked, Failure, last_panic, run, violations_of};
use crate::scenarios::SCENARIOS;
use crate::world::Options;

/// What noticed a defect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Catch {
    /// The property that is broken: the one at which the defect is aimed, if it is among those of
    /// the run; `NOPANIC` if the code itself noticed.
    pub by: String,
    /// How many seeds it took; 0 if a scenario noticed.
    pub seeds: u64,
    /// The scenario that noticed, if it was one.
    pub scenario: Option<&'static str>,
    /// What was found.
    pub found: String,
}

/// This build has no defects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotBuiltIn;

impl fmt::Display for NotBuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no defect can be switched on in this build: it lacks `--cfg evs_mutation`")
    }
}

impl std::error::Error for NotBuiltIn {}

/// Switches the defect on, for good, and runs the scenarios and then up to so many seeds until one
/// of them fails.
///
/// # Errors
/// The build has no defects.
pub fn hunt(defect: Defect, first: u64, seeds: u64) -> Result<Option<Catch>, NotBuiltIn> {
    if !activate(defect) {
        return Err(NotBuiltIn);
    }
    Ok(by_scenario(defect).or_else(|| by_seed(defect, first, seeds)))
}

/// The scenarios that were made for this defect.
fn by_scenario(defect: Defect) -> Option<Catch> {
    let aimed = SCENARIOS.iter().filter(|scenario| scenario.defects.contains(&defect));
    aimed.into_iter().find_map(|scenario| {
        catch_unwind(scenario.play).err()?;
        let found = last_panic();
        let by = defect.breaks().to_owned();
        Some(Catch { by, seeds: 0, scenario: Some(scenario.name), found })
    })
}

/// A world of many nodes takes as long as hundreds of small ones, and notices no more.
fn few_nodes(seed: u64) -> Option<u32> {
    let drawn = Options::draw(seed, None).nodes;
    (drawn > NODES_MAX).then_some(3 + drawn % 5)
}

/// Most nodes of a world in which a defect is looked for.
const NODES_MAX: u32 = 7;

/// So many seeds more are run after the first that notices something, for one that notices that the
/// property is broken at which the defect is aimed.
const MORE: u64 = 30;

fn by_seed(defect: Defect, first: u64, seeds: u64) -> Option<Catch> {
    let mut caught: Option<Catch> = None;
    for i in 0..seeds {
        if caught
            .as_ref()
            .is_some_and(|catch| catch.by == defect.breaks() || i > catch.seeds + MORE)
        {
            break;
        }
        let catch = try_seed(defect, first.wrapping_add(i), i + 1);
        let better = catch.as_ref().is_some_and(|catch| catch.by == defect.breaks());
        if better || caught.is_none() {
            caught = catch;
        }
    }
    caught
}

fn try_seed(defect: Defect, seed: u64, seeds: u64) -> Option<Catch> {
    let asked = Asked { nodes: few_nodes(seed), ..Asked::default() };
    let failure = run(seed, &asked, None).failure?;
    let judged = matches!(failure, Failure::Contract(_));
    let others = if judged { violations_of(seed, &asked) } else { Vec::new() };
    let aimed = others.iter().find(|v| v.property.to_string() == defect.breaks());
    let found = aimed.map_or_else(|| failure.to_string(), ToString::to_string);
    let by = found.split(' ').next().unwrap_or_default().to_owned();
    let nodes = asked.nodes.map_or_else(String::new, |nodes| format!(" --nodes {nodes}"));
    let found = format!("--seed {seed:#x}{nodes}: {found}");
    Some(Catch { by, seeds, scenario: None, found })
}
