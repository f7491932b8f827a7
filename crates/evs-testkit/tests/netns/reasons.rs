//! Why did that happen? For the faults that only a network can make: what `evs why` says, on every
//! node that they concern (`docs/reports.md` has a table of all reasons and their tests).

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use evs_testkit::{evs_binary, until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::scene::{PATIENT, Scene, Stage, THREE};

/// What `evs why --json` says of the configuration that a node's member was told of last.
fn why(scene: &Scene, node: u32) -> Result<Value> {
    let mut command = Command::new(evs_binary()?);
    command.args(["why", "--json", &scene.last_ring(node)?.to_string()]);
    let output = command.arg("--socket").arg(scene.cluster.socket(node)).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "evs why fails on node {node}: {said}");
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let change = answer["changes"].get(0).context("one change")?;
    ensure!(change["to"] == scene.last_ring(node)?.to_string(), "another change: {change:#}");
    Ok(change.clone())
}

/// Waits until nodes give a reason like this for the configuration that they were told of last:
/// what others saw comes a moment after it.
fn until_why(scene: &Scene, nodes: &[u32], is_it: impl Fn(&Value) -> bool) -> Result<()> {
    for node in nodes {
        until(&format!("node {node} knows the reason"), || {
            why(scene, *node).ok().filter(|change| is_it(&change["trigger"])).map(drop)
        })
        .with_context(|| format!("node {node} says {:#}", why(scene, *node).unwrap_or_default()))?;
    }
    Ok(())
}

/// Waits until somebody has given up its configuration, so that an agreement is under way.
fn until_given_up(scene: &Scene) -> Result<()> {
    let question = json!({ "ask": "change", "which": null });
    until("a configuration is given up", || {
        let is_pending = |node: &u32| {
            let answer = scene.cluster.ask(*node, &question);
            answer.is_ok_and(|answer| answer["pending"].is_object())
        };
        scene.cluster.nodes().iter().any(is_pending).then_some(())
    })
}

/// P9, P10: hellos pass, and so does every small packet; what is large does not reach node 3, nor
/// do the parts that it is cut into.
#[test]
fn a_node_that_gets_no_large_packet_is_deaf_for_those_who_go_on() -> Result<()> {
    THREE.play(|scene| {
        scene.until_traffic(&[1, 2, 3], 20)?;
        let begin = Instant::now();
        scene.network.drop_large(3, 0, 600)?;
        scene.burst();
        scene.until_configuration(&[1, 2], begin)?;
        scene.until_configuration(&[3], begin)?;
        until_why(scene, &[1, 2], |why| {
            let noticed_by = why["noticed_by"]["node"].as_u64();
            why["kind"] == "deaf" && why["node"]["node"] == 3 && matches!(noticed_by, Some(1 | 2))
        })?;
        // It hears them, and is not told what they have against it.
        until_why(scene, &[3], |why| {
            let without = (&why["without"][0]["node"], &why["without"][1]["node"]);
            why["kind"] == "token_lost" && without == (&json!(1), &json!(2))
        })?;
        let begin = Instant::now();
        scene.network.heal(3)?;
        scene.until_configuration(&[1, 2, 3], begin)?;
        scene.until_traffic(&[1, 2, 3], 20)
    })
}

/// Everybody hears everybody, and only the token is lost between 2 and 3.
#[test]
fn a_token_that_is_lost_without_anybody_being_missed_is_told_with_its_last_place() -> Result<()> {
    Stage { sealed: false, ..THREE }.play(|scene| {
        scene.until_traffic(&[1, 2, 3], 20)?;
        let begin = Instant::now();
        scene.network.lose_tokens_from(3, 2)?;
        until_given_up(scene)?;
        scene.network.heal(3)?;
        scene.until_configuration(&[1, 2, 3], begin)?;
        until_why(scene, &[1, 2, 3], |why| {
            let at_last = why["last_at"]["node"] == 2 && why["passed_to"]["node"] == 3;
            let all_came = why["without"] == json!([]);
            why["kind"] == "token_lost" && at_last && all_came
        })?;
        scene.until_traffic(&[1, 2, 3], 20)
    })
}

/// P36: all nodes of a machine stand still with it; who dies then is named all the same.
#[test]
fn who_dies_after_everybody_stood_still_is_named() -> Result<()> {
    let all = [1, 2, 3];
    Stage { detection: PATIENT, ..THREE }.play(|scene| {
        scene.until_traffic(&all, 20)?;
        for node in all {
            scene.signal(node, Signal::STOP)?;
        }
        scene.until_change(&all, PATIENT)?;
        for node in all {
            scene.signal(node, Signal::CONT)?;
        }
        for node in all {
            scene.cluster.until_logged(node, &["this process stood still"])?;
        }
        let killed = scene.kill(3)?;
        scene.until_configuration(&[1, 2], killed)?;
        until_why(scene, &[1, 2], |why| why["kind"] == "died" && why["node"]["node"] == 3)?;
        for node in [1, 2] {
            let change = why(scene, node)?;
            let saw = change["evidence"][0]["saw"].as_array().context("a list")?;
            ensure!(saw.iter().any(|sight| sight["what"] == "paused"), "{change:#}");
        }
        scene.until_traffic(&[1, 2], 20)
    })
}

/// A packet that is spoiled on its way, where no seal protects it.
#[test]
fn a_token_that_is_out_of_all_bounds_is_told_as_the_reason_by_all() -> Result<()> {
    Stage { sealed: false, detection: PATIENT, ..THREE }.play(|scene| {
        scene.until_traffic(&[1, 2, 3], 20)?;
        let begin = Instant::now();
        scene.network.spoil_a_token(3)?;
        scene.until_configuration(&[1, 2, 3], begin)?;
        until_why(scene, &[1, 2, 3], |why| why["kind"] == "out_of_range")?;
        scene.until_traffic(&[1, 2, 3], 20)
    })
}
