//! Networks that come apart and together.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use evs_testkit::netns::IpVersion;
use serde_json::{Value, json};

use crate::scene::{CONFIGURATIONS_MAX, DETECTION, PATIENT, Scene, Stage, THREE, bound};

/// How a host is cut off and connected again.
type Act = fn(&Scene) -> Result<()>;

/// LIVE-3, R16: both sides go on, and come together again.
fn partition_and_merge(stage: Stage, cut: Act, mend: Act) -> Result<()> {
    stage.play(|scene| {
        scene.until_traffic(&[1, 2, 3], 50)?;
        scene.burst();
        scene.until_traffic(&[1, 2, 3], 10)?;
        let begin = Instant::now();
        cut(scene)?;
        let majority = scene.until_configuration(&[1, 2], begin)?;
        let alone = scene.until_configuration(&[3], begin)?;
        println!("cut: {{1 2}} after {:?}, {{3}} after {:?}", majority - begin, alone - begin);
        let took = majority.max(alone) - begin;
        ensure!(took <= bound(DETECTION), "LIVE-3: the partition took {took:?}");
        for (node, gone) in [(1, 3), (2, 3), (3, 1), (3, 2)] {
            scene.assert_told_of_loss(node, gone, begin)?;
        }
        scene.until_traffic(&[1, 2], 50)?;
        scene.until_traffic(&[3], 50)?;
        assert_few_configurations(scene, begin)?;
        scene.until_named(&[1, 2], "silent", &[3])?;
        assert_alone(scene)?;

        scene.burst();
        let begin = Instant::now();
        mend(scene)?;
        let told = scene.until_configuration(&[1, 2, 3], begin)?;
        println!("mended: one ring after {:?}", told - begin);
        scene.until_traffic(&[1, 2, 3], 50)?;
        scene.until_named(&[1, 2], "merged", &[3])?;
        scene.until_named(&[3], "merged", &[1, 2])?;
        assert_few_configurations(scene, begin)
    })
}

/// Node 3 knows only what it does not hear itself, and says nothing of the path between the others.
fn assert_alone(scene: &Scene) -> Result<()> {
    scene.until_named(&[3], "silent", &[1, 2])?;
    let question = json!({ "ask": "changes", "last": 1 });
    let answer = scene.cluster.ask(3, &question)?;
    let evidence = &answer["changes"][0]["evidence"][0];
    let named = evidence["cause_names"].as_array().context("a list")?;
    let is_three = |node: &Value| node["node"] == 3;
    ensure!(evidence["cause"] == "token_lost" || named.iter().any(is_three), "{evidence}");
    Ok(())
}

fn assert_few_configurations(scene: &Scene, since: Instant) -> Result<()> {
    for node in [1, 2, 3] {
        let count = scene.configurations_since(node, since);
        let changes = || scene.changes_since(node, since);
        ensure!(count <= CONFIGURATIONS_MAX, "LIVE-6: node {node} saw {count}: {:#?}", changes());
    }
    Ok(())
}

#[test]
fn an_interface_goes_down_and_up() -> Result<()> {
    partition_and_merge(THREE, |s| s.network.interface_down(3), |s| s.network.interface_up(3))
}

#[test]
fn a_cable_is_pulled_and_put_back() -> Result<()> {
    partition_and_merge(THREE, |s| s.network.unplug(3), |s| s.network.plug(3))
}

#[test]
fn an_interface_of_a_multicast_ring_goes_down_and_up() -> Result<()> {
    let stage = Stage { multicast: true, ..THREE };
    partition_and_merge(stage, |s| s.network.interface_down(3), |s| s.network.interface_up(3))
}

/// The shortest target that is meant for use, with the reason, though a busy machine may exclude
/// somebody before.
#[test]
fn a_target_of_a_tenth_of_a_second_finds_a_host_that_is_gone() -> Result<()> {
    const SHORT: Duration = Duration::from_millis(100);
    Stage { detection: SHORT, ..THREE }.play(|scene| {
        scene.until_traffic(&[1, 2, 3], 50)?;
        let status = scene.cluster.status(1)?["ring"].clone();
        let (target, effective) = (&status["detection_ms"], &status["detection_effective_ms"]);
        let in_range = effective.as_u64().is_some_and(|ms| (100..=400).contains(&ms));
        ensure!(target == 100 && in_range, "{status:#}");
        let begin = Instant::now();
        scene.network.unplug(3)?;
        let told = scene.until_configuration(&[1, 2], begin)?;
        println!("a target of {SHORT:?}, {effective} ms: excluded after {:?}", told - begin);
        ensure!(told - begin <= 20 * SHORT, "LIVE-5: it took {:?}", told - begin);
        scene.until_named(&[1, 2], "silent", &[3])?;
        scene.until_named(&[3], "silent", &[1, 2])?;
        let begin = Instant::now();
        scene.network.plug(3)?;
        scene.until_configuration(&[1, 2, 3], begin)?;
        scene.until_traffic(&[1, 2, 3], 50)
    })
}

/// IPv6 forgets the address with the interface, and gets it back.
#[test]
fn an_interface_with_ipv6_goes_down_and_up() -> Result<()> {
    let stage = Stage { version: IpVersion::V6, ..THREE };
    partition_and_merge(stage, |s| s.network.interface_down(3), |s| s.network.interface_up(3))
}

/// D25: the identity is the configuration's, whatever the interface has.
#[test]
fn an_address_goes_and_comes_back() -> Result<()> {
    partition_and_merge(THREE, |s| s.network.remove_address(3), |s| s.network.add_address(3))
}

/// LIVE-3: 3 does not hear 2, and all else is sound. Two go on together, the third is out, and
/// that is that.
#[test]
fn a_cut_of_one_direction_settles() -> Result<()> {
    THREE.play(|scene| {
        scene.until_traffic(&[1, 2, 3], 50)?;
        let begin = Instant::now();
        scene.network.deafen(3, 2)?;
        let told = scene.until_configuration(&[1, 2], begin)?;
        let alone = scene.until_configuration(&[3], begin)?;
        let took = told.max(alone) - begin;
        println!("one direction cut: settled after {took:?}");
        ensure!(took <= bound(DETECTION), "LIVE-3: it took {took:?}");
        assert_few_configurations(scene, begin)?;
        // P34: both logs name the path and its direction.
        scene.cluster.until_logged(3, &["peer not heard: silent", "peer=2/"])?;
        scene.cluster.until_logged(2, &["it says that it does not hear this node", "peer=3/"])?;
        // Those who go on know it by what node 2 is told, node 3 by itself.
        for node in [1, 2] {
            let reason = scene.until_reason(node, "one_way")?;
            ensure!(reason["from"]["node"] == 2 && reason["to"]["node"] == 3, "{reason}");
        }
        scene.until_named(&[3], "silent", &[2])?;
        scene.assert_calm(&[1, 2, 3], 8 * DETECTION)?;
        scene.until_traffic(&[1, 2], 50)?;
        scene.until_traffic(&[3], 50)?;

        let begin = Instant::now();
        scene.network.heal(3)?;
        let told = scene.until_configuration(&[1, 2, 3], begin)?;
        println!("healed: one ring after {:?}", told - begin);
        scene.until_traffic(&[1, 2, 3], 50)?;
        assert_few_configurations(scene, begin)
    })
}

/// D26: a daemon that starts before its network is alone, lets clients in, and joins later.
#[test]
fn a_daemon_that_starts_before_its_network_joins_when_that_is_there() -> Result<()> {
    Stage { detection: PATIENT, ..THREE }.play_from_nothing(|scene| {
        scene.network.remove_address(3)?;
        for node in [1, 2, 3] {
            scene.cluster.start_node(node)?;
        }
        let begin = Instant::now();
        for node in [1, 2, 3] {
            scene.connect(node)?;
        }
        scene.load();
        scene.until_configuration(&[1, 2], begin)?;
        scene.until_configuration(&[3], begin)?;
        scene.until_traffic(&[1, 2], 20)?;
        scene.until_traffic(&[3], 20)?;
        let warnings = scene.cluster.status(3)?["warnings"].to_string();
        ensure!(warnings.contains("link 0 cannot be used: cannot bind"), "it warns {warnings}");

        let begin = Instant::now();
        scene.network.add_address(3)?;
        let told = scene.until_configuration(&[1, 2, 3], begin)?;
        println!("address added: one ring after {:?}", told - begin);
        scene.until_traffic(&[1, 2, 3], 50)
    })
}
