//! The effective detection target (`docs/protocol.md` §6): slow, lossy and jittery networks cost no
//! configuration, and a death is found within twice the target that is published.

use std::time::Duration;

use evs_model::Guarantee::{Agreed, Safe};
use evs_sim::script::Script;
use evs_sim::world::{Nanos, Options, Weather, World};

const MS: Nanos = 1_000_000;

/// So many nodes at a detection target in milliseconds, in a weather that begins once they are one.
fn formed(seed: u64, nodes: u32, target: u64, weather: &Weather) -> Script {
    let detection = Duration::from_millis(target);
    let weather = weather.clone();
    let options = Options { detection, weather, ..Options::fair(seed, nodes) };
    let mut script = Script::cold(options);
    script.world().start_all();
    script.until_one_ring(target * 60).run_for(target * 10);
    script
}

fn weather(delay: Nanos, jitter: Nanos, loss_ppm: u32) -> Weather {
    let mut weather = Weather::fair(delay);
    weather.jitter = jitter;
    weather.loss_ppm.fill(loss_ppm);
    weather
}

/// Everybody sends while so many seconds pass; returns how many configurations that cost.
fn cost(script: &mut Script, nodes: u32, seconds: u64) -> usize {
    let count = |script: &Script| (1..=nodes).map(|id| script.configurations(id)).sum::<usize>();
    let before = count(script);
    for turn in 0..seconds * 20 {
        for id in 1..=nodes {
            let _ = script.try_send(id, if turn % 2 == 0 { Agreed } else { Safe }, 400);
        }
        script.run_for(50);
    }
    count(script) - before
}

/// The most by which a published target is above the setting, in milliseconds.
fn above(script: &mut Script) -> u128 {
    let world: &World = script.world();
    let all = (1..=world.len()).filter_map(|id| world.target_in_force(id));
    all.map(|d| (d.effective - d.target).as_millis()).max().expect("somebody lives")
}

/// Crashes one and returns how long the others take to go on, in milliseconds.
fn exclusion(script: &mut Script, nodes: u32) -> u128 {
    let others: Vec<u32> = (1..nodes).collect();
    let begin = script.world().now();
    script.crash(nodes).until_ring_of(&others, 20_000);
    u128::from((script.world().now() - begin) / MS)
}

#[test]
fn seven_nodes_fifty_milliseconds_apart_with_jitter_and_loss_stay_together() {
    for seed in 0..2 {
        let far = weather(25 * MS, 20 * MS, 10_000);
        let mut script = formed(seed, 7, 500, &far);
        assert_eq!(cost(&mut script, 7, 60), 0);
        script.finish();
    }
}

#[test]
fn five_in_a_hundred_lost_cost_no_configuration() {
    for nodes in [3, 7] {
        let mut script = formed(5, nodes, 500, &weather(MS / 10, MS / 10, 50_000));
        assert_eq!(cost(&mut script, nodes, 60), 0);
        script.finish();
    }
}

#[test]
fn a_target_of_100_ms_holds_on_a_quiet_network() {
    let mut script = formed(1, 3, 100, &Weather::fair(MS / 10));
    assert_eq!((cost(&mut script, 3, 60), above(&mut script)), (0, 0));
    let took = exclusion(&mut script, 3);
    assert!(took <= 200, "LIVE-5: {took} ms");
    script.finish();
}

/// The setting is a tenth of what the network would need to be noticed in time.
#[test]
fn where_hellos_come_late_the_target_rises_and_a_death_is_found_within_twice_of_it() {
    let mut jittery = weather(5 * MS, 5 * MS, 0);
    jittery.late_ppm = 100_000;
    jittery.late = 60 * MS;
    for seed in 0..4 {
        let mut script = formed(seed, 3, 100, &jittery);
        assert_eq!(cost(&mut script, 3, 30), 0, "seed {seed}");
        let above = above(&mut script);
        assert!(above >= 50, "seed {seed}: {above} ms");
        let took = exclusion(&mut script, 3);
        assert!(took <= 2 * (100 + above), "seed {seed}: {took} ms, {above} ms above the setting");
    }
}
