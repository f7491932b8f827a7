//! Daemons that die, stop, stand still and come back.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use evs::{ConnectOptions, DisconnectReason};
use rustix::process::Signal;

use crate::member::{Log, Wanted};
use crate::scene::{BURST, CONFIGURATIONS_MAX, DETECTION, PATIENT, Scene, Stage, THREE, bound};

#[test]
fn a_killed_daemon_is_excluded_and_rejoins() -> Result<()> {
    killed_and_back(THREE)
}

#[test]
fn a_killed_daemon_is_excluded_and_rejoins_among_five_by_multicast() -> Result<()> {
    killed_and_back(Stage { nodes: 5, multicast: true, ..THREE })
}

fn killed_and_back(stage: Stage) -> Result<()> {
    stage.play(|scene| {
        let all = scene.cluster.nodes();
        let others: Vec<u32> = all.iter().copied().filter(|node| *node != 2).collect();
        scene.until_traffic(&all, 50)?;

        scene.burst();
        scene.until_traffic(&all, 10)?;
        let killed = scene.kill(2)?;
        let told = scene.until_configuration(&others, killed)?;
        println!("kill -9: the others' configuration after {:?}", told - killed);
        ensure!(told - killed <= bound(DETECTION), "LIVE-3: it took {:?}", told - killed);
        for node in &others {
            scene.assert_told_of_loss(*node, 2, killed)?;
            let configurations = scene.configurations_since(*node, killed);
            ensure!(configurations <= CONFIGURATIONS_MAX, "LIVE-6: {configurations} for one death");
        }
        scene.until_named(&others, "died", &[2])?;
        scene.until_traffic(&others, 50)?;

        let started = come_back(scene, 2)?;
        let told = scene.until_configuration(&all, started)?;
        println!("rejoined {:?} after the start", told - started);
        scene.until_traffic(&all, 50)
    })
}

/// Starts a node again, with a member.
fn come_back(scene: &mut Scene, node: u32) -> Result<Instant> {
    let started = Instant::now();
    scene.cluster.start_node(node)?;
    scene.connect(node)?;
    scene.load();
    Ok(started)
}

/// The representative and another one: the restarted processor is another one than before, and
/// nobody goes on with its predecessor (P19, EVS-2).
#[test]
fn a_restart_faster_than_detection_is_a_death_and_a_newcomer() -> Result<()> {
    const LONG: Duration = Duration::from_secs(4);
    Stage { detection: LONG, ..THREE }.play(|scene| {
        let all = scene.cluster.nodes();
        for node in [3, 1] {
            scene.until_traffic(&all, 50)?;
            scene.burst();
            scene.until_traffic(&all, 10)?;
            let before = scene.member(node).processor();
            let killed = scene.kill(node)?;
            come_back(scene, node)?;
            let after = scene.member(node).processor();
            let told = scene.until_configuration(&all, killed)?;
            println!("restart of {node}: in one ring {:?} after its death", told - killed);
            ensure!(told - killed < LONG, "that was no faster than detection");
            for other in all.iter().filter(|other| **other != node) {
                scene.assert_told_of_loss(*other, node, killed)?;
                let changes = scene.changes_since(*other, killed);
                let regular: Vec<_> = changes.iter().filter_map(|c| c.regular()).collect();
                ensure!(regular.len() <= CONFIGURATIONS_MAX, "LIVE-6: {changes:#?}");
                ensure!(regular.iter().all(|m| !m.contains(before)), "a dead member: {changes:#?}");
                ensure!(regular.last().is_some_and(|m| m.contains(after)), "{changes:#?}");
            }
        }
        scene.until_traffic(&all, 50)
    })
}

/// LIVE-2: what was accepted is sent; R17: and peers need no timeout to see the leave.
#[test]
fn sigterm_under_load_is_seen_without_a_timeout() -> Result<()> {
    /// Ten times what it takes.
    const WITHIN: Duration = Duration::from_millis(500);
    // A timeout would take at least this long.
    Stage { detection: Duration::from_secs(10), ..THREE }.play(|scene| {
        scene.until_traffic(&[1, 2, 3], 50)?;
        let leaver = scene.member(2).processor();
        let (accepted, at) = burst_and_stop(scene, 2)?;
        let told = scene.until_configuration(&[1, 3], at)?;
        println!("SIGTERM: the others' configuration after {:?}", told - at);
        ensure!(told - at <= WITHIN, "the leave took {:?}", told - at);
        for node in [1, 3] {
            scene.assert_told_of_loss(node, 2, at)?;
            ensure!(scene.configurations_since(node, at) == 1, "LIVE-6: more than one for a leave");
            let ring = format!("ring={} ", scene.last_ring(node)?);
            let change = scene.cluster.until_logged(node, &["membership changed", &ring])?;
            let cause = format!("cause=\"{leaver} left in order\"");
            ensure!(change.contains(&cause), "node {node} names another cause: {change}");
        }
        let status = scene.cluster.until_exit(2)?;
        ensure!(status.code() == Some(0), "it ended with {status}");
        let reason = scene.member(2).until("its end", |log| log.end.map(|(_, reason)| reason))?;
        ensure!(reason == DisconnectReason::Shutdown, "the client was told {reason}");
        scene.retire(2)?;
        for node in [1, 3] {
            let from = scene.member(node).log().from.get(&2).copied().unwrap_or(0);
            ensure!(from >= accepted, "LIVE-2: node {node} has {from} of {accepted} accepted");
        }
        scene.until_traffic(&[1, 3], 50)
    })
}

/// Ends the load at a node, hands over a burst all at once, and sends SIGTERM. Returns how many
/// messages were accepted in all, and when the signal was sent.
fn burst_and_stop(scene: &Scene, node: u32) -> Result<(u64, Instant)> {
    let member = scene.member(node);
    member.want(Wanted::Listen);
    let settled = |log: &Log| (log.sent == log.returned).then_some(log.sent);
    let sent = member.until("its own messages", settled)?;
    member.burst(BURST);
    member.until("the burst is accepted", |log| (log.sent == sent + BURST).then_some(()))?;
    let at = scene.signal(node, Signal::TERM)?;
    Ok((sent + BURST, at))
}

/// LIVE-4: a stopped processor is excluded once and comes back once.
#[test]
fn a_stopped_daemon_is_excluded_once_and_comes_back_once() -> Result<()> {
    THREE.play(|scene| {
        scene.until_traffic(&[1, 2, 3], 50)?;
        scene.burst();
        let stopped = scene.signal(3, Signal::STOP)?;
        let told = scene.until_configuration(&[1, 2], stopped)?;
        println!("SIGSTOP: excluded after {:?}", told - stopped);
        ensure!(told - stopped <= bound(DETECTION), "LIVE-3: it took {:?}", told - stopped);
        scene.until_named(&[1, 2], "silent", &[3])?;
        scene.until_traffic(&[1, 2], 100)?;
        scene.assert_calm(&[1, 2], 3 * DETECTION)?;

        let continued = scene.signal(3, Signal::CONT)?;
        let told = scene.until_configuration(&[1, 2, 3], continued)?;
        println!("SIGCONT: back after {:?}", told - continued);
        ensure!(told - continued <= bound(DETECTION), "LIVE-3: it took {:?}", told - continued);
        scene.until_traffic(&[1, 2, 3], 50)?;
        scene.assert_calm(&[1, 2, 3], 4 * DETECTION)?;
        for node in [1, 2] {
            let changes = scene.changes_since(node, stopped);
            let regular = changes.iter().filter(|change| change.regular().is_some()).count();
            ensure!(regular == 2, "LIVE-4: node {node} saw {changes:#?}");
        }
        let reason = scene.until_reason(3, "paused")?;
        ensure!(reason["node"]["node"] == 3, "the stopped one says {reason}");
        let own = scene.configurations_since(3, stopped);
        ensure!(own <= CONFIGURATIONS_MAX, "LIVE-6: the stopped one saw {own} configurations");
        Ok(())
    })
}

/// LIVE-6: a pause of less than half the detection target is no fault, whoever pauses.
#[test]
fn a_short_pause_changes_no_configuration() -> Result<()> {
    let nodes = [1, 2, 3];
    Stage { detection: PATIENT, ..THREE }.play(|scene| {
        let begin = Instant::now();
        for node in nodes {
            scene.until_traffic(&nodes, 50)?;
            scene.burst();
            scene.signal(node, Signal::STOP)?;
            scene.until_change(&nodes, PATIENT / 3)?;
            scene.signal(node, Signal::CONT)?;
        }
        scene.until_traffic(&nodes, 50)?;
        scene.assert_no_change(&nodes, begin)
    })
}

/// R30: whoever waits for a daemon that is killed learns it at once, after what had arrived.
#[test]
fn a_client_of_a_killed_daemon_learns_it_at_once() -> Result<()> {
    THREE.play(|scene| {
        scene.until_traffic(&[1, 2, 3], 20)?;
        let killed = Instant::now();
        scene.cluster.kill(2)?;
        let (at, reason) = scene.member(2).until("its end", |log| log.end)?;
        ensure!(reason == DisconnectReason::Lost, "it was told {reason}");
        ensure!(at - killed <= Duration::from_secs(1), "it took {:?}", at - killed);
        scene.retire(2)?;
        let socket = scene.cluster.socket(2);
        let options = ConnectOptions::new().path(&socket);
        let refused = evs::Client::connect_with(&options).map(drop);
        ensure!(refused.is_err_and(|error| error.is_temporary()), "nobody should listen");
        scene.until_configuration(&[1, 3], killed).map(drop)
    })
}
