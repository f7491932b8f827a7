//! LIVE-6, for long: what is no fault changes no configuration, however long it lasts. For some
//! seconds here, for hours in `cargo xtask soak --what calm` (`EVS_NETNS_SECONDS`).
//!
//! Each case ends with a line `soak: …`, which says what was done to it, the longest
//! time without a message, and how many configurations changed.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use evs_testkit::forwarder::{Forwarder, Way};
use rustix::process::Signal;
use std::process::{Child, Command, Stdio};

use crate::scene::{DETECTION, Scene, Stage, THREE};

/// How often a soak looks at what came.
const LOOK: Duration = Duration::from_millis(50);

/// For how long: a few seconds, unless the environment wants more.
fn time() -> Result<Duration> {
    let seconds = std::env::var("EVS_NETNS_SECONDS").map_or(Ok(6), |named| named.parse())?;
    Ok(Duration::from_secs(seconds))
}

/// Nothing changes for so long. Returns the longest time in which the member of some node got no
/// message.
fn stays(scene: &Scene, time: Duration) -> Result<Duration> {
    let begin = Instant::now();
    let nodes = scene.cluster.nodes();
    begin_stalls(scene, &nodes);
    while begin.elapsed() < time {
        scene.until_change(&nodes, LOOK)?;
        scene.assert_no_change(&nodes, begin)?;
    }
    Ok(longest_stall(scene, &nodes))
}

fn begin_stalls(scene: &Scene, nodes: &[u32]) {
    nodes.iter().for_each(|node| scene.member(*node).log().begin_stalls());
}

fn longest_stall(scene: &Scene, nodes: &[u32]) -> Duration {
    let stalls = nodes.iter().map(|node| scene.member(*node).log().longest_stall());
    stalls.max().unwrap_or_default()
}

fn told(what: &str, time: Duration, stall: Duration, changes: usize) {
    let (seconds, stall) = (time.as_secs(), stall.as_millis());
    println!(
        "soak: {what}: {seconds} s, longest stall {stall} ms, {changes} configurations changed"
    );
}

/// Programs that use all of every core, until this is dropped.
struct Hogs(Vec<Child>);

impl Hogs {
    fn start() -> Result<Self> {
        let cores = thread::available_parallelism()?.get();
        let hog = |_| {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "--", "sh", "-c", "while :; do :; done"]);
            command.stdin(Stdio::null()).spawn()
        };
        Ok(Self((0..cores).map(hog).collect::<Result<_, _>>()?))
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            let _ = hog.kill();
            let _ = hog.wait();
        }
    }
}

#[test]
fn three_daemons_stay_together_where_all_cores_are_busy_with_other_work() -> Result<()> {
    THREE.play(|scene| {
        let hogs = Hogs::start()?;
        let (time, begin) = (time()?, Instant::now());
        let stall = stays(scene, time)?;
        told("all cores busy", begin.elapsed(), stall, 0);
        drop(hogs);
        Ok(())
    })
}

#[test]
fn three_daemons_stay_together_at_a_loss_of_five_in_a_hundred() -> Result<()> {
    THREE.play(|scene| {
        (1..=3).try_for_each(|host| scene.network.lose(host, 5))?;
        let time = time()?;
        let stall = stays(scene, time)?;
        let lost = (1..=3).map(|host| scene.network.lost(host)).sum::<Result<u64>>()?;
        told(&format!("5 % loss ({lost} packets)"), time, stall, 0);
        Ok(())
    })
}

#[test]
fn seven_daemons_stay_together_far_apart_with_jitter_and_loss() -> Result<()> {
    Stage { nodes: 7, strangers: 1, ..THREE }.play(|scene| {
        let forwarder = Forwarder::start(&scene.network, 7)?;
        let (delay, jitter) = (Duration::from_millis(15), Duration::from_millis(20));
        let pairs = (1..=7).flat_map(|from| (1..=7).map(move |to| (from, to)));
        for (from, to) in pairs.filter(|(from, to)| from != to) {
            forwarder.set(from, to, Way { delay, jitter, ..Way::default() });
        }
        scene.forwarder = Some(forwarder);
        (1..=7).try_for_each(|host| scene.network.lose(host, 1))?;
        scene.until_traffic(&scene.cluster.nodes(), 5)?;
        let time = time()?;
        let stall = stays(scene, time)?;
        told("50 ms there and back, 20 ms jitter, 1 % loss, 7 nodes", time, stall, 0);
        Ok(())
    })
}

/// P36: who stood still is excluded once and comes back once, and accuses nobody.
#[test]
fn a_daemon_that_stands_still_again_and_again_is_excluded_once_each_time() -> Result<()> {
    THREE.play(|scene| {
        let (time, begin) = (time()?, Instant::now());
        let (mut pauses, mut changes, mut stall) = (0, 0, Duration::ZERO);
        let mut own = [0; 3];
        while pauses == 0 || begin.elapsed() < time {
            let node = [1, 2, 3][pauses % 3];
            let others: Vec<u32> = [1, 2, 3].into_iter().filter(|other| *other != node).collect();
            begin_stalls(scene, &others);
            let stopped = scene.signal(node, Signal::STOP)?;
            scene.until_configuration(&others, stopped)?;
            scene.until_change(&others, (2 * DETECTION).saturating_sub(stopped.elapsed()))?;
            let resumed = scene.signal(node, Signal::CONT)?;
            scene.until_configuration(&[1, 2, 3], resumed)?;
            scene.until_traffic(&[1, 2, 3], 10)?;
            stall = stall.max(longest_stall(scene, &others));
            for other in [1, 2, 3] {
                let count = scene.configurations_since(other, stopped);
                ensure!(count <= 2, "one exclusion, one return, but node {other} saw {count}");
                changes += count;
            }
            scene.cluster.until_logged(node, &["this process stood still"])?;
            // A peer that is taken for silent would be one whose answers lay in the queue.
            let blamed = scene.cluster.log(node);
            let blamed = blamed.lines().filter(|line| line.contains("not heard: silent")).count();
            ensure!(
                blamed <= pauses - own[node as usize - 1],
                "node {node} takes others for silent"
            );
            own[node as usize - 1] += 1;
            pauses += 1;
            scene.assert_calm(&[1, 2, 3], DETECTION)?;
        }
        told(&format!("{pauses} pauses"), begin.elapsed(), stall, changes);
        Ok(())
    })
}
