//! The hunt for one deliberate defect: seeds are run until one notices it.
//!
//! A run in which nothing is wrong passes; so whatever fails in a run with a defect has found it.

use std::fmt;
use std::panic::catch_unwind;

use evs_model::mutation::{Defect, activate};

use crate::checker::Property;
use crate::run::{Asked, Failure, last_panic, run, violations_of};
use crate::scenarios::SCENARIOS;
use crate::world::Options;

/// What noticed a defect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Catch {
    /// The property that the judge says is broken: the one at which the defect is aimed, if it is
    /// among those of the run. `SCENARIO` if not the judge noticed, but what a scenario asserts by
    /// itself; `NOPANIC` if the code itself did.
    pub by: String,
    /// How many seeds it took; 0 if a scenario noticed.
    pub seeds: u64,
    /// The scenario that noticed, if it was one.
    pub scenario: Option<&'static str>,
    /// What was found.
    pub found: String,
}

/// What became of the hunt for one defect.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hunt {
    /// What noticed it; nothing if it survived.
    pub catch: Option<Catch>,
    /// The scenarios that were made for it and did not notice it.
    pub blind: Vec<&'static str>,
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
/// of them fails. Calls `begins` with the name of each before it runs, so that one that never ends
/// is known.
///
/// # Errors
/// The build has no defects.
pub fn hunt(
    defect: Defect,
    first: u64,
    seeds: u64,
    begins: impl Fn(&str),
) -> Result<Hunt, NotBuiltIn> {
    if !activate(defect) {
        return Err(NotBuiltIn);
    }
    let mut hunt = by_scenario(defect, &begins);
    hunt.catch = hunt.catch.or_else(|| by_seed(defect, (first, seeds), &begins));
    Ok(hunt)
}

/// The scenarios that were made for this defect. Of those that notice it rather one in which the
/// judge does, and says that the property is broken at which the defect is aimed.
fn by_scenario(defect: Defect, begins: &dyn Fn(&str)) -> Hunt {
    let mut hunt = Hunt::default();
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.defects.contains(&defect)) {
        begins(scenario.name);
        let Err(panic) = catch_unwind(scenario.play) else {
            hunt.blind.push(scenario.name);
            continue;
        };
        let said = panic.downcast::<String>().map_or_else(|_| last_panic(), |said| *said);
        let (by, found) = noticed_by(defect, &said);
        if hunt.catch.is_none() || by == defect.breaks() {
            hunt.catch = Some(Catch { by, seeds: 0, scenario: Some(scenario.name), found });
        }
    }
    hunt
}

/// Who says so with which a scenario ends: a property if it was the judge, a line for each.
fn noticed_by(defect: Defect, said: &str) -> (String, String) {
    let named = |line: &&str| Property::ALL.iter().any(|p| word(line) == p.to_string());
    let lines = || said.lines().filter(named);
    let aimed = lines().find(|line| word(line) == defect.breaks());
    match aimed.or_else(|| lines().next()) {
        Some(line) => (word(line).to_owned(), line.to_owned()),
        None => (String::from("SCENARIO"), said.to_owned()),
    }
}

/// The first word of a line, which names who noticed.
fn word(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
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

fn by_seed(defect: Defect, (first, seeds): (u64, u64), begins: &dyn Fn(&str)) -> Option<Catch> {
    let mut caught: Option<Catch> = None;
    for i in 0..seeds {
        if caught
            .as_ref()
            .is_some_and(|catch| catch.by == defect.breaks() || i > catch.seeds + MORE)
        {
            break;
        }
        let seed = first.wrapping_add(i);
        begins(&format!("{seed:#x}"));
        let catch = try_seed(defect, seed, i + 1);
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
    let by = word(&found).to_owned();
    let nodes = asked.nodes.map_or_else(String::new, |nodes| format!(" --nodes {nodes}"));
    let found = format!("--seed {seed:#x}{nodes}: {found}");
    Some(Catch { by, seeds, scenario: None, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scenario_asserts_by_itself_is_not_the_judges_finding() {
        let by = |said| noticed_by(Defect::NoHoldDown, said).0;
        assert_eq!(by("LIVE-1 1/0001 had settled\nLIVE-3 1/0001 had settled"), "LIVE-3");
        assert_eq!(by("LIVE-1 1/0001 had settled"), "LIVE-1");
        assert_eq!(by("21 changes for 40 of the path"), "SCENARIO");
        assert_eq!(by("assertion failed: LIVE-3"), "SCENARIO");
    }
}
