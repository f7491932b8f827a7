//! Plays scenario files (`scenarios/`): what happens to a network is written so that a person can
//! read it ([`words`]), and what real clients saw is held against the contract at the end.

pub(crate) mod words;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path as FilePath;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use evs_testkit::forwarder::{Forwarder, Way};
use evs_testkit::netns::IpVersion;
use evs_testkit::until;
use rustix::process::Signal;
use serde_json::Value;

use crate::member::nodes_of;
use crate::scene::{CONFIGURATIONS_MAX, DETECTION, Scene, Stage, THREE, bound};
use words::{Act, Path, Scenario, Step, Trouble, Wish};

/// A scenario that is being played.
struct Play {
    nodes: u8,
    detection: Duration,
    /// Paths on which nothing does not arrive.
    broken: BTreeSet<(u8, u8)>,
    dead: BTreeSet<u32>,
    /// When something was done last.
    done: Instant,
}

/// Plays a text.
pub(crate) fn play(text: &str) -> Result<()> {
    let scenario = Scenario::parse(text)?;
    let detection = scenario.detection.unwrap_or(DETECTION);
    let stage = Stage {
        nodes: scenario.nodes,
        links: scenario.links.unwrap_or(1),
        strangers: scenario.forwarder.into(),
        version: if scenario.ipv6 { IpVersion::V6 } else { IpVersion::V4 },
        multicast: scenario.multicast,
        detection,
        ..THREE
    };
    stage.play(|scene| {
        let mut play = Play {
            nodes: stage.nodes,
            detection,
            broken: BTreeSet::new(),
            dead: BTreeSet::new(),
            done: Instant::now(),
        };
        if scenario.forwarder {
            scene.forwarder = Some(Forwarder::start(&scene.network, stage.nodes)?);
        }
        for (line, step) in &scenario.steps {
            play.step(scene, step).with_context(|| format!("line {line}: {step:?}"))?;
        }
        if let Some(forwarder) = &scene.forwarder {
            println!("{:?}", forwarder.forwarded());
        }
        Ok(())
    })
}

impl Play {
    fn step(&mut self, scene: &mut Scene, step: &Step) -> Result<()> {
        match step {
            Step::Expect(Wish::Traffic(count)) => self.traffic(scene, *count),
            Step::Expect(Wish::Calm(time)) => scene.assert_calm(&self.awake(), *time),
            Step::Expect(Wish::Rings(sets)) => self.until_rings(scene, sets),
            Step::Expect(Wish::Settled) => self.until_settled(scene),
            Step::Expect(Wish::NoChange) => scene.assert_no_change(&self.awake(), self.done),
            Step::Expect(Wish::Told(trouble, from, to)) => told(scene, *trouble, *from, *to),
            Step::Do(act) => {
                self.done = Instant::now();
                self.act(scene, act)
            }
        }
    }

    fn act(&mut self, scene: &mut Scene, act: &Act) -> Result<()> {
        let network = &scene.network;
        let on = |path: Path, each: &mut dyn FnMut(u8, u8) -> Result<()>| {
            path.pairs(self.nodes).into_iter().try_for_each(|(from, to)| each(from, to))
        };
        match act {
            Act::Burst => scene.burst(),
            Act::Cut(path) => on(*path, &mut |from, to| network.deafen(to, from))?,
            Act::Large(bytes, path) => {
                on(*path, &mut |from, to| network.drop_large_from(to, from, *bytes))?;
            }
            Act::Lose(percent, path) => {
                on(*path, &mut |from, to| network.lose_from(to, from, *percent))?;
            }
            Act::Delay { delay, jitter, reorder, duplicate, on: path } => {
                let forwarder = scene.forwarder.as_ref().context("there is no forwarder")?;
                let way = Way {
                    delay: *delay,
                    jitter: *jitter,
                    reorder_percent: *reorder,
                    duplicate_percent: *duplicate,
                };
                path.pairs(self.nodes).iter().for_each(|(from, to)| forwarder.set(*from, *to, way));
            }
            Act::Heal => {
                (1..=self.nodes).try_for_each(|host| network.heal(host))?;
                scene.forwarder.iter().for_each(Forwarder::heal);
                self.broken.clear();
            }
            Act::Unplug(host) => network.unplug(*host)?,
            Act::Plug(host) => network.plug(*host)?,
            Act::Kill(host) => {
                self.dead.insert((*host).into());
                scene.kill((*host).into())?;
            }
            Act::Start(host) => {
                let node = (*host).into();
                scene.cluster.start_node(node)?;
                self.dead.remove(&node);
                scene.connect(node)?;
                scene.load();
            }
            Act::Stop(host) => drop(scene.signal((*host).into(), Signal::STOP)?),
            Act::Continue(host) => drop(scene.signal((*host).into(), Signal::CONT)?),
        }
        if let Act::Cut(path) = act {
            self.broken.extend(path.pairs(self.nodes));
        }
        Ok(())
    }

    fn awake(&self) -> Vec<u32> {
        (1..=u32::from(self.nodes)).filter(|node| !self.dead.contains(node)).collect()
    }

    /// Everybody receives from everybody in its ring.
    fn traffic(&self, scene: &Scene, count: u64) -> Result<()> {
        rings_of(scene, &self.awake()).iter().try_for_each(|ring| scene.until_traffic(ring, count))
    }

    fn until_rings(&self, scene: &Scene, sets: &[Vec<u32>]) -> Result<()> {
        for set in sets {
            let told = scene.until_configuration(set, self.done)?;
            let took = told - self.done;
            println!("{set:?} after {took:?}");
            ensure!(took <= bound(self.detection), "LIVE-3: {set:?} took {took:?}");
        }
        Ok(())
    }

    /// LIVE-3: disjoint sets that hear each other, one of which is a largest such set, within the
    /// bound and at most K configurations each; and then nothing changes.
    fn until_settled(&self, scene: &Scene) -> Result<()> {
        let nodes = self.awake();
        let largest = self.largest_clique(&nodes);
        let rings = until(&format!("rings that hear each other, one of {largest}"), || {
            let rings = rings_of(scene, &nodes);
            let agreed: usize = rings.iter().map(Vec::len).sum();
            let sound = agreed == nodes.len() && rings.iter().all(|ring| self.is_clique(ring));
            (sound && rings.iter().any(|ring| ring.len() == largest)).then_some(rings)
        })
        .with_context(|| format!("{:?} are cut: {:?}", self.broken, rings_of(scene, &nodes)))?;
        let took = self.done.elapsed();
        println!("{:?} cut: {rings:?} after {took:?}", self.broken);
        ensure!(took <= bound(self.detection), "LIVE-3: it took {took:?}");
        scene.assert_calm(&nodes, 2 * self.detection)?;
        for node in &nodes {
            let count = scene.configurations_since(*node, self.done);
            ensure!(count <= CONFIGURATIONS_MAX, "LIVE-6: node {node} saw {count}");
        }
        self.traffic(scene, 10)
    }

    fn is_clique(&self, ring: &[u32]) -> bool {
        let broken = |(one, two): &(u8, u8)| {
            ring.contains(&u32::from(*one)) && ring.contains(&u32::from(*two))
        };
        !self.broken.iter().any(broken)
    }

    /// The size of the largest set of nodes that all hear each other: there are few of them.
    fn largest_clique(&self, nodes: &[u32]) -> usize {
        let subsets = (0..1_u32 << nodes.len()).map(|bits| {
            let chosen = nodes.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1);
            chosen.map(|(_, node)| *node).collect::<Vec<u32>>()
        });
        subsets.filter(|set| self.is_clique(set)).map(|set| set.len()).max().unwrap_or(0)
    }
}

/// The rings in which nodes are by their own word, if all members of each agree on it.
fn rings_of(scene: &Scene, nodes: &[u32]) -> Vec<Vec<u32>> {
    let ring = |node: &u32| {
        let log = scene.member(*node).log();
        log.changes.last().and_then(|change| change.regular().map(nodes_of))
    };
    let sets: Vec<Option<Vec<u32>>> = nodes.iter().map(ring).collect();
    let all: BTreeSet<Vec<u32>> = sets.iter().flatten().cloned().collect();
    let agreed = |set: &Vec<u32>| {
        let mut members = nodes.iter().zip(&sets).filter(|(node, _)| set.contains(node));
        members.all(|(_, own)| own.as_ref() == Some(set))
    };
    all.into_iter().filter(agreed).collect()
}

/// Waits until both ends of a path say what is wrong with it, and in which direction.
fn told(scene: &Scene, trouble: Trouble, from: u8, to: u8) -> Result<()> {
    let (from, to) = (u32::from(from), u32::from(to));
    let path = |node: u32, peer: u32| -> Option<(Value, u64)> {
        let status = scene.cluster.status(node).ok()?;
        let peers = status["peers"].as_array()?;
        let of = peers.iter().find(|entry| entry["node"] == peer)?;
        Some((of["paths"][0].clone(), status["ring"]["detection_ms"].as_u64()?))
    };
    let silent =
        |path: &Value, target| path["last_heard_ms"].as_u64().is_none_or(|ms| ms >= target);
    until(&format!("both ends say that {from} -> {to} is {trouble:?}"), || {
        let ((at_to, target), (at_from, _)) = (path(to, from)?, path(from, to)?);
        match trouble {
            // Who does not hear cannot say so, if it is not heard either.
            Trouble::Silent => {
                silent(&at_to, target)
                    && (at_from["heard_by_peer"] == false || silent(&at_from, target))
            }
            // What arrives is counted at one end, judged at the other, and told to the first.
            Trouble::Narrow => {
                let narrow = at_from["narrow"] == true && at_to["narrow_from_peer"] == true;
                narrow || at_from["up"] == false
            }
            Trouble::Lossy => {
                let there = at_from["loss_ppm"].as_u64()?;
                there.min(at_to["loss_from_peer_ppm"].as_u64()?) >= 100_000
            }
        }
        .then_some(())
    })
    .with_context(|| format!("at {to}: {:?}; at {from}: {:?}", path(to, from), path(from, to)))
}

/// Plays a file of the directory `scenarios`.
fn file(name: &str) -> Result<()> {
    let dir = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/netns/scenarios");
    let file = dir.join(name);
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    play(&text).with_context(|| file.display().to_string())
}

/// One test for each file.
macro_rules! scenarios {
    ($($name:ident: $file:literal,)*) => {
        $(#[test]
        fn $name() -> Result<()> {
            file($file)
        })*

        #[test]
        fn every_scenario_file_is_played() -> Result<()> {
            let dir = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/netns/scenarios");
            for entry in fs::read_dir(dir)? {
                let name = entry?.file_name().into_string().unwrap_or_default();
                ensure!([$($file),*].contains(&name.as_str()), "{name} is played by no test");
            }
            Ok(())
        }
    };
}

scenarios! {
    a_path_that_drops_large_packets_settles: "large.txt",
    a_path_that_loses_half_of_all_packets_settles: "half.txt",
    far_apart_with_jitter_and_loss_nothing_changes: "far.txt",
    packets_that_overtake_and_double_change_nothing: "disorder.txt",
    paths_cut_one_after_the_other_settle: "cuts.txt",
}
