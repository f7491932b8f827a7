//! LIVE-5: what it costs to be many.

use std::time::Duration;

use evs_sim::script::Script;
use evs_sim::world::{Nanos, Options};

const MS: Nanos = 1_000_000;

/// Hops of 0.1 ms, a detection target of 500 ms.
fn many(nodes: u32, seed: u64) -> Script {
    let mut script = Script::cold(Options {
        detection: Duration::from_millis(500),
        ..Options::fair(seed, nodes)
    });
    script.world().start_all();
    script
}

/// All start at once and find each other; returns the most regular configurations of anybody.
fn until_one(script: &mut Script, nodes: u32, ms: Nanos) -> usize {
    script.until_one_ring(ms);
    (1..=nodes).map(|id| script.regular_configurations(id)).max().expect("there are some")
}

/// The longest time until a survivor of a crash is told of it, in milliseconds.
fn exclusion(nodes: u32) -> Nanos {
    let mut script = many(nodes, 7);
    until_one(&mut script, nodes, 5_000);
    let mut slowest = 0;
    // The representative, its successor, somebody, the last.
    for dead in [1, 2, nodes / 2, nodes] {
        let crashed = script.run_for(600).world().now();
        script.crash(dead);
        script.until_one_ring(5_000);
        slowest = slowest.max((script.world().now() - crashed) / MS);
    }
    slowest
}

#[test]
fn sixty_four_that_start_at_once_are_one_within_five_seconds() {
    for seed in 1..=3 {
        let configurations = until_one(&mut many(64, seed), 64, 5_000);
        assert!(configurations <= 4, "{configurations} configurations");
    }
}

#[test]
fn a_hundred_and_twenty_eight_that_start_at_once_are_one_within_ten_seconds() {
    let configurations = until_one(&mut many(128, 1), 128, 10_000);
    assert!(configurations <= 4, "{configurations} configurations");
}

#[test]
fn a_death_is_told_as_soon_among_sixty_four_as_among_eight() {
    let (few, many) = (exclusion(8), exclusion(64));
    println!("8: {few} ms, 64: {many} ms");
    assert!(many * 4 <= few * 5, "LIVE-5: {many} ms among 64, {few} ms among 8");
}
