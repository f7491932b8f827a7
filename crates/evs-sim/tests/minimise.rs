//! A failing run is cut down to the faults that it takes, and the line that is printed replays it.

use evs_sim::minimise::{NotMinimised, minimise, minimise_with};
use evs_sim::selection::{FaultSet, Source};
use evs_sim::world::{Fault, Struck};
use evs_sim::{Asked, Failure, Outcome, replay};

/// A judge for whom a run fails in which something crashed and something else was cut.
fn crash_and_cut(seed: u64, asked: &Asked) -> (Outcome, Vec<Struck>) {
    let (mut outcome, struck) = replay(seed, asked);
    let did = |fault| outcome.faults.of(fault) > 0;
    let crash = did(Fault::Crash) || did(Fault::CrashMidStep);
    let cut = did(Fault::CutOneWay) || did(Fault::CutPair);
    outcome.failure = (crash && cut).then_some(Failure::NoRoom);
    (outcome, struck)
}

fn of(nodes: u32) -> Asked {
    Asked { nodes: Some(nodes), ..Asked::default() }
}

/// The first seed that fails, in a world of 3.
fn failing() -> u64 {
    let fails = |seed: &u64| {
        let (outcome, struck) = crash_and_cut(*seed, &of(3));
        outcome.failure.is_some() && struck.len() > 50
    };
    (1..).find(fails).expect("most do")
}

/// What is asked for by the printed line.
fn asked_by(line: &str) -> Asked {
    let (_, only) = line.split_once(" --only ").expect("it names the faults");
    let only: FaultSet = only.split(' ').next().expect("a list").parse().expect("it is valid");
    let mut asked = of(3);
    asked.selection.only = Some(only);
    asked
}

#[test]
fn the_fewest_faults_are_found_and_the_printed_line_fails_in_the_same_way() {
    let seed = failing();
    let found = minimise_with(seed, &of(3), 1_000, crash_and_cut).expect("it fails");
    assert!(found.minimal && found.of > 50);
    let sources: Vec<Source> = found.faults.iter().map(|fault| fault.id.source).collect();
    assert!((1..=2).contains(&sources.len()), "one crash and one cut: {found}");
    assert!(sources.iter().all(|s| [Source::Move, Source::Ambush, Source::Plot].contains(s)));
    let line = found.to_string().lines().last().expect("a line that replays it").to_owned();
    assert!(line.starts_with("reproduce: ") && line.ends_with(" --trace"), "{line}");
    let (replayed, struck) = crash_and_cut(seed, &asked_by(&line));
    assert_eq!(replayed.failure, Some(Failure::NoRoom));
    assert_eq!((replayed.hash, struck), (found.outcome.hash, found.faults));
}

#[test]
fn it_ends_after_so_many_runs_and_says_so() {
    let found = minimise_with(failing(), &of(3), 3, crash_and_cut).expect("it fails");
    assert!(!found.minimal && found.attempts == 3);
    assert!(found.to_string().starts_with("not yet minimal"));
}

#[test]
fn a_run_that_does_not_fail_is_refused() {
    assert_eq!(minimise(1, &of(3), 10).err(), Some(NotMinimised::Passes));
}

#[test]
fn what_one_fault_is_does_not_depend_on_whether_another_strikes() {
    let (_, all) = replay(failing(), &of(3));
    let moves = |list: &[Struck]| -> Vec<(String, u64, String)> {
        let moves = list.iter().filter(|fault| fault.id.source == Source::Move);
        let kind = |what: &str| what.split(':').next().unwrap_or_default().to_owned();
        moves.map(|fault| (fault.id.to_string(), fault.at, kind(&fault.what))).collect()
    };
    let mut asked = of(3);
    asked.selection.without = "m1,a1-100000".parse().expect("a list");
    let (_, rest) = replay(failing(), &asked);
    assert_eq!(moves(&rest), moves(&all)[1..]);
}
