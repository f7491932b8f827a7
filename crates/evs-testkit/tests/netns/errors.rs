//! D34, D25: what the kernel does not send is counted, shown and told, and never tried in a loop.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use evs_testkit::netns::Network;
use evs_testkit::until;

use crate::scene::{CONFIGURATIONS_MAX, DETECTION, PATIENT, Scene, Stage, THREE};

/// Calls that fail in some seconds, if they are made when they are due.
const TRIES_MAX: u64 = 20_000;

/// Waits until a node's status has counted such failures, and warns of them.
fn until_told(scene: &Scene, node: u32, counter: &str, warning: &str) -> Result<()> {
    until(&format!("node {node} tells of {counter}"), || {
        let status = scene.cluster.status(node).ok()?;
        let count = status["links"][0]["counters"][counter].as_u64()?;
        let warns = status["warnings"].to_string().contains(warning);
        (count > 0 && warns).then_some(())
    })
    .with_context(|| format!("{:#}", scene.cluster.status(node).unwrap_or_default()))?;
    scene.cluster.until_logged(node, &["WARN", warning])?;
    Ok(())
}

fn count(scene: &Scene, node: u32, counter: &str) -> Result<u64> {
    let status = scene.cluster.status(node)?;
    status["links"][0]["counters"][counter].as_u64().context("it is counted")
}

/// Something takes node 3 off the others; it is alone, knows why, and comes back by itself.
fn isolated(
    fault: fn(&Network) -> Result<()>,
    (counter, warning): (&str, &str),
    end: fn(&Network) -> Result<()>,
) -> Result<()> {
    THREE.play(|scene| {
        scene.until_traffic(&[1, 2, 3], 20)?;
        let processor = scene.cluster.status(3)?["processor"].clone();
        let begin = Instant::now();
        fault(&scene.network)?;
        scene.until_configuration(&[1, 2], begin)?;
        scene.until_configuration(&[3], begin)?;
        until_told(scene, 3, counter, warning)?;
        scene.assert_calm(&[1, 2, 3], 4 * DETECTION)?;
        let tries = count(scene, 3, counter)?;
        ensure!(tries <= TRIES_MAX, "{tries} tries in {:?}", begin.elapsed());
        let lines = scene.cluster.log(3).matches(warning).count();
        ensure!(lines == 1, "D24: {lines} lines tell of it in {:?}", begin.elapsed());
        let begin = Instant::now();
        end(&scene.network)?;
        scene.until_configuration(&[1, 2, 3], begin)?;
        let same = scene.cluster.status(3)?["processor"] == processor;
        ensure!(same, "D25: the identity is the configuration's");
        scene.until_traffic(&[1, 2, 3], 20)
    })
}

#[test]
fn d34_a_firewall_that_forbids_to_send_is_counted_told_and_survived() -> Result<()> {
    isolated(
        |network| network.forbid(3, 0),
        ("not_sent_not_permitted", "the system forbids it"),
        |network| network.heal(3),
    )
}

#[test]
fn d25_an_interface_that_is_down_is_told_and_survived() -> Result<()> {
    isolated(
        |network| network.interface_down(3),
        ("not_sent_unreachable", "there is no way to the peer"),
        |network| network.interface_up(3),
    )
}

#[test]
fn d25_an_address_that_changes_is_told_and_survived() -> Result<()> {
    isolated(
        |network| network.change_address(3, false),
        ("not_sent_unreachable", "there is no way to the peer"),
        |network| network.change_address(3, true),
    )
}

/// Identity is from the configuration only: the same node goes on, or is back at once.
#[test]
fn d25_an_address_that_moves_to_another_interface_is_followed() -> Result<()> {
    for multicast in [false, true] {
        Stage { multicast, ..THREE }.play(|scene| {
            scene.until_traffic(&[1, 2, 3], 20)?;
            let processor = scene.cluster.status(3)?["processor"].clone();
            let begin = Instant::now();
            scene.network.move_address(3)?;
            scene.until_change(&[1, 2, 3], 2 * DETECTION)?;
            scene.until_traffic(&[1, 2, 3], 50)?;
            for node in [1, 2, 3] {
                let count = scene.configurations_since(node, begin);
                println!("node {node} saw {count} configurations");
                ensure!(count <= CONFIGURATIONS_MAX, "LIVE-6: node {node} saw {count}");
            }
            let same = scene.cluster.status(3)?["processor"] == processor;
            ensure!(same, "D25: the identity is the configuration's");
            Ok(())
        })?;
    }
    Ok(())
}

/// The queue of the interface is short, and the kernel says when it is full.
#[test]
fn d34_a_full_queue_of_the_interface_is_counted_told_and_changes_nothing() -> Result<()> {
    Stage { detection: PATIENT, ..THREE }.play(|scene| {
        scene.until_traffic(&[1, 2, 3], 20)?;
        let begin = Instant::now();
        scene.network.limit_rate(2, 5)?;
        scene.burst();
        until_told(scene, 2, "not_sent_no_buffers", "the system has no memory for them")?;
        scene.until_traffic(&[1, 2, 3], 50)?;
        scene.assert_no_change(&[1, 2, 3], begin)
    })
}
