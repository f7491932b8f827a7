//! Many things at once, and one after the other before the last is over.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use evs_testkit::netns::IpVersion;
use rustix::process::Signal;

use crate::scene::{Scene, Stage, THREE};

/// Short, so that much fits into the time.
const DETECTION: Duration = Duration::from_millis(250);

/// Acts of a run.
const ACTS: usize = 30;

/// What has been done and not undone.
#[derive(Default)]
struct Chaos {
    random: fastrand::Rng,
    dead: BTreeSet<u32>,
    stopped: BTreeSet<u32>,
    unplugged: BTreeSet<u32>,
    filtered: BTreeSet<u32>,
}

/// All safety properties through anything, and at the end one ring (LIVE-1).
fn chaos(stage: Stage, seed: u64) -> Result<()> {
    // A seed of one's own repeats the acts, though not what the network makes of them.
    let seed = std::env::var("EVS_NETNS_SEED").map_or(Ok(seed), |named| named.parse())?;
    println!("EVS_NETNS_SEED={seed}");
    Stage { detection: DETECTION, ..stage }.play(|scene| {
        let all = scene.cluster.nodes();
        let mut chaos = Chaos { random: fastrand::Rng::with_seed(seed), ..Chaos::default() };
        let begin = Instant::now();
        scene.until_traffic(&all, 20)?;
        for _ in 0..ACTS {
            let act = chaos.act(scene)?;
            println!("{:6.3} {act}", begin.elapsed().as_secs_f64());
            let pause = DETECTION * 3 * chaos.random.u32(0..100) / 100;
            scene.until_change(&chaos.awake(&all), pause)?;
        }
        chaos.end(scene)?;
        let ended = Instant::now();
        for member in scene.members(&all) {
            member.until(&format!("one ring of {all:?}"), |log| {
                log.changes.last().is_some_and(|change| change.is_of(&all)).then_some(())
            })?;
        }
        println!("one ring {:?} after the last act", ended.elapsed());
        scene.until_traffic(&all, 50)?;
        scene.assert_calm(&all, 4 * DETECTION)
    })
}

impl Chaos {
    fn act(&mut self, scene: &mut Scene) -> Result<String> {
        let nodes = scene.cluster.nodes();
        let node = nodes[self.random.usize(..nodes.len())];
        let host = u8::try_from(node)?;
        let kind = self.random.u8(..12);
        Ok(match kind {
            _ if self.dead.contains(&node) => {
                self.rise(scene, node)?;
                format!("start {node}")
            }
            _ if self.stopped.contains(&node) => {
                self.stopped.remove(&node);
                scene.signal(node, Signal::CONT)?;
                format!("SIGCONT {node}")
            }
            0 | 1 => {
                self.dead.insert(node);
                scene.kill(node)?;
                format!("kill -9 {node}")
            }
            2 => {
                self.dead.insert(node);
                scene.cluster.stop(node)?;
                scene.retire(node)?;
                format!("SIGTERM {node}")
            }
            3 => {
                self.dead.insert(node);
                scene.kill(node)?;
                self.rise(scene, node)?;
                format!("kill -9 {node} and start")
            }
            4 => {
                self.stopped.insert(node);
                scene.signal(node, Signal::STOP)?;
                format!("SIGSTOP {node}")
            }
            5..=7 if self.unplugged.remove(&node) => {
                scene.network.plug(host)?;
                format!("plug {node}")
            }
            5..=7 => {
                self.unplugged.insert(node);
                scene.network.unplug(host)?;
                format!("unplug {node}")
            }
            8.. if self.filtered.remove(&node) => {
                scene.network.heal(host)?;
                format!("heal {node}")
            }
            8 | 9 => {
                self.filtered.insert(node);
                scene.network.lose(host, 20)?;
                format!("20 % loss at {node}")
            }
            10.. => {
                self.filtered.insert(node);
                let others: Vec<u32> = nodes.into_iter().filter(|other| *other != node).collect();
                let from = others[self.random.usize(..others.len())];
                scene.network.deafen(host, u8::try_from(from)?)?;
                format!("{node} does not hear {from}")
            }
        })
    }

    fn rise(&mut self, scene: &mut Scene, node: u32) -> Result<()> {
        scene.cluster.start_node(node)?;
        self.dead.remove(&node);
        scene.connect(node)?;
        scene.load();
        scene.burst();
        Ok(())
    }

    fn awake(&self, all: &[u32]) -> Vec<u32> {
        let awake = |node: &&u32| !self.dead.contains(node) && !self.stopped.contains(node);
        all.iter().filter(awake).copied().collect()
    }

    /// Undoes everything.
    fn end(&mut self, scene: &mut Scene) -> Result<()> {
        for node in std::mem::take(&mut self.unplugged) {
            scene.network.plug(u8::try_from(node)?)?;
        }
        for node in std::mem::take(&mut self.filtered) {
            scene.network.heal(u8::try_from(node)?)?;
        }
        for node in std::mem::take(&mut self.stopped) {
            scene.signal(node, Signal::CONT)?;
        }
        for node in self.dead.clone() {
            self.rise(scene, node)?;
        }
        Ok(())
    }
}

#[test]
fn anything_may_happen_to_five_daemons() -> Result<()> {
    chaos(Stage { nodes: 5, ..THREE }, 1)
}

#[test]
fn anything_may_happen_to_three_daemons_by_ipv6_multicast() -> Result<()> {
    chaos(Stage { multicast: true, version: IpVersion::V6, ..THREE }, 2)
}
