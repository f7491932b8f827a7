//! What is noticed long before the detection target.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::scene::{Scene, Stage, THREE};

/// So long that nothing here can be its doing.
const TARGET: Duration = Duration::from_secs(20);

/// Ten times what is promised for the death of a daemon, and for its leave.
const DEATH_MAX: Duration = Duration::from_secs(1);
const LEAVE_MAX: Duration = Duration::from_millis(500);

/// The host lives and says that nobody listens at the daemon's port.
fn a_daemon_dies(scene: &mut Scene, told_within: Duration) -> Result<()> {
    let killed = Instant::now();
    scene.cluster.kill(2)?;
    let told = scene.until_configuration(&[1, 3], killed)?;
    println!("told after {:?}", told.duration_since(killed));
    ensure!(told.duration_since(killed) <= told_within, "{:?}", told.duration_since(killed));
    scene.retire(2)?;
    let evidence = ["the host says that nobody listens there", "peer=2/"];
    for node in [1, 3] {
        scene.cluster.until_logged(node, &evidence)?;
        let reason = scene.until_reason(node, "died")?;
        ensure!(reason["node"]["node"] == 2, "{reason}");
    }
    Ok(())
}

#[test]
fn the_death_of_a_daemon_alone_is_noticed_at_once() -> Result<()> {
    for links in [1, 2] {
        Stage { detection: TARGET, links, ..THREE }.play(|scene| {
            scene.until_traffic(&[1, 2, 3], 50)?;
            a_daemon_dies(scene, DEATH_MAX)?;
            scene.until_traffic(&[1, 3], 50)
        })?;
    }
    Ok(())
}

/// Of multicasts no host says that. Each node also says its hellos, which come ten times in a
/// target, to each of the others alone, and finds out by itself, though nobody sends anything.
#[test]
fn the_death_of_a_daemon_alone_is_noticed_with_multicast_too() -> Result<()> {
    let detection = TARGET / 2;
    Stage { detection, multicast: true, ..THREE }.play_from_nothing(|scene| {
        scene.form()?;
        a_daemon_dies(scene, detection / 10 * 4)?;
        scene.load();
        scene.until_traffic(&[1, 3], 50)
    })
}

/// What is promised for the death of a host: twice the target in force.
const HOST_DEATH_TARGETS: u32 = 2;

/// However many they are: nothing here grows with the ring.
#[test]
fn the_death_of_a_host_is_noticed_within_the_same_time_by_two_and_by_fifteen() -> Result<()> {
    for nodes in [3, 8, 16] {
        let stage = Stage { nodes, ..THREE };
        stage.play(|scene| {
            let all = scene.cluster.nodes();
            let (gone, others) = all.split_last().context("there are nodes")?;
            scene.until_traffic(&all, 5)?;
            let effective = effective_target(scene, others)?;
            let died = Instant::now();
            scene.network.unplug(u8::try_from(*gone)?)?;
            scene.kill(*gone)?;
            let told = scene.until_configuration(others, died)?;
            let (took, promised) = (told.duration_since(died), HOST_DEATH_TARGETS * effective);
            println!("{nodes} nodes: told after {took:?}, the target in force is {effective:?}");
            ensure!(took <= 10 * promised, "{took:?}");
            scene.until_named(others, "silent", &[*gone])?;
            scene.until_traffic(others, 5)
        })?;
    }
    Ok(())
}

/// The greatest of the targets in force at these nodes.
fn effective_target(scene: &Scene, nodes: &[u32]) -> Result<Duration> {
    let mut greatest = Duration::ZERO;
    for node in nodes {
        let status = scene.cluster.status(*node)?;
        let millis = status["ring"]["detection_effective_ms"].as_u64().context("it is told")?;
        greatest = greatest.max(Duration::from_millis(millis));
    }
    Ok(greatest)
}

#[test]
fn a_leave_is_noticed_at_once() -> Result<()> {
    Stage { detection: TARGET, ..THREE }.play(|scene| {
        scene.until_traffic(&[1, 2, 3], 50)?;
        let told = scene.signal(2, Signal::TERM)?;
        let known = scene.until_configuration(&[1, 3], told)?;
        println!("told after {:?}", known.duration_since(told));
        ensure!(known.duration_since(told) <= LEAVE_MAX, "{:?}", known.duration_since(told));
        scene.cluster.until_exit(2)?;
        scene.retire(2)?;
        scene.until_traffic(&[1, 3], 50)
    })
}
