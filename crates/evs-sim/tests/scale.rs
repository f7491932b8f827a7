//! LIVE-5: what it costs to be many.

use std::time::Duration;

use evs_sim::script::Script;
use evs_sim::world::{Nanos, Options, Weather};

const MS: Nanos = 1_000_000;

/// Hops of 0.1 ms, a detection target of 500 ms.
fn many(nodes: u32, seed: u64) -> Script {
    far(nodes, seed, MS / 10)
}

/// The same with hops that take so long.
fn far(nodes: u32, seed: u64, hop: Nanos) -> Script {
    let detection = Duration::from_millis(500);
    let weather = Weather::fair(hop);
    let options = Options { detection, weather, ..Options::fair(seed, nodes) };
    let mut script = Script::cold(options);
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
    exclusion_at(nodes, MS / 10)
}

/// The same with hops that take so long.
fn exclusion_at(nodes: u32, hop: Nanos) -> Nanos {
    let mut script = far(nodes, 7, hop);
    until_one(&mut script, nodes, 20_000);
    let mut slowest = 0;
    // The representative, its successor, somebody, the last.
    for dead in [1, 2, nodes / 2, nodes] {
        let crashed = script.run_for(600).world().now();
        script.crash(dead);
        script.until_one_ring(10_000);
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

/// Six rotations are a quarter of the target where one is 21 ms.
#[test]
fn beyond_a_quarter_of_the_target_a_death_is_told_later_by_the_rotations_alone() {
    for (nodes, hop) in [(8, 2), (16, 2), (32, 2), (64, 2), (8, 4), (16, 4), (32, 4)] {
        let took = exclusion_at(nodes, hop * MS);
        // A datagram may take a tenth longer. Somebody may have been heard a moment before.
        let rotation = u64::from(nodes) * hop * 11 / 10;
        let bound = 500 + 50 + 6 * rotation;
        println!("{nodes} nodes, hops of {hop} ms: {took} ms, the bound is {bound} ms");
        assert!(
            took <= bound,
            "LIVE-5: {took} ms, six rotations of {rotation} ms allow {bound} ms"
        );
    }
}
