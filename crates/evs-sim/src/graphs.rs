//! Networks in which not everybody hears everybody (LIVE-3, P34): a world whose paths are cut in
//! some pattern and left alone, and the judge of where its processors settle.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use evs_model::{Configuration, Guarantee};

use crate::checker::violations;
use crate::history::{Entry, View};
use crate::script::Script;
use crate::world::{Nanos, Options};

/// K of the contract: most regular configurations that one change of the network may cost.
pub const CONFIGURATIONS_MAX: usize = 3;

/// The detection target in these worlds.
pub const DETECTION: Duration = Duration::from_secs(1);

/// Directed paths that are cut: from, to.
pub type Cuts = BTreeSet<(u32, u32)>;

/// One network and what happens to it: it is whole, its paths are cut once or more often, and then
/// it stays as it is.
#[derive(Clone, Debug)]
pub struct Graph {
    /// How many processors there are.
    pub nodes: u32,
    /// What is cut, and for how many thousandths of the detection target it stays so. The last
    /// one stays.
    pub cuts: Vec<(Cuts, Nanos)>,
    /// For the jitter of the world.
    pub seed: u64,
}

/// How a world settled.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settled {
    /// Who ended up with whom.
    pub sets: Vec<Vec<u32>>,
    /// The most regular configurations that anybody was told since the last cut.
    pub configurations: usize,
    /// How long after the last cut the last configuration came, in nanoseconds.
    pub after: Nanos,
}

impl Graph {
    /// One pattern of cuts in a whole network.
    #[must_use]
    pub fn cut(nodes: u32, cuts: Cuts) -> Self {
        Self { nodes, cuts: vec![(cuts, 0)], seed: 1 }
    }

    /// Every ordered pair of 3 to 7 nodes, cut one way and both ways.
    pub fn every_pair() -> impl Iterator<Item = Self> {
        let pairs =
            |nodes| (1..=nodes).flat_map(move |from| (1..=nodes).map(move |to| (nodes, from, to)));
        let pairs = (3..=7).flat_map(pairs).filter(|(_, from, to)| from != to);
        pairs.flat_map(|(nodes, from, to)| {
            let one_way = Self::cut(nodes, Cuts::from([(from, to)]));
            let both_ways =
                (from < to).then(|| Self::cut(nodes, Cuts::from([(from, to), (to, from)])));
            std::iter::once(one_way).chain(both_ways)
        })
    }

    /// One to three patterns that follow each other, each with a density of its own.
    #[must_use]
    pub fn draw(nodes: u32, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x6772_6170_6873_2121);
        let mut cuts = Vec::new();
        for _ in 0..rng.u32(1..=3) {
            let density = [5, 20, 50, 80][rng.usize(0..4)];
            let mut pattern = Cuts::new();
            for from in 1..=nodes {
                for to in (1..=nodes).filter(|to| *to != from) {
                    if rng.u32(0..100) < density {
                        pattern.insert((from, to));
                    }
                }
            }
            cuts.push((pattern, rng.u64(0..5_000)));
        }
        Self { nodes, cuts, seed }
    }

    /// Whether two processors hear each other in the end.
    fn edge(&self, one: u32, two: u32) -> bool {
        let cuts = &self.cuts.last().expect("there is a last pattern").0;
        !cuts.contains(&(one, two)) && !cuts.contains(&(two, one))
    }

    fn is_clique(&self, set: &[u32]) -> bool {
        set.iter().all(|one| set.iter().all(|two| one == two || self.edge(*one, *two)))
    }

    /// The size of a largest set in which all hear each other.
    fn largest(&self) -> usize {
        let sets = (1u32..1 << self.nodes)
            .map(|bits| (1..=self.nodes).filter(|i| bits >> (i - 1) & 1 == 1).collect::<Vec<_>>());
        sets.filter(|set| self.is_clique(set)).map(|set| set.len()).max().unwrap_or(0)
    }

    /// Plays it, and holds what happened against LIVE-3: within B and at most K configurations
    /// each, disjoint sets that hear each other, one of which is a largest; then nothing changes
    /// for so long.
    ///
    /// # Errors
    /// What is broken.
    pub fn play(&self, quiet: Nanos) -> Result<Settled, Broken> {
        let fair = Options::fair(self.seed, self.nodes);
        let mut script = Script::cold(Options { detection: DETECTION, ..fair });
        let detection = script.detection();
        script.world().start_all();
        script.until_one_ring(5_000);
        // The cut meets hellos and probes at any moment of their period.
        self.traffic(&mut script, detection / 100 * (self.seed % 100));
        for (cuts, thousandths) in &self.cuts {
            script.world().heal();
            for (from, to) in cuts {
                script.world().cut_one_way(*from, *to);
            }
            self.traffic(&mut script, detection / 1_000 * thousandths);
        }
        let frozen = script.world().now();
        let before = entries(&script);
        let bound = frozen
            + script.world().held_down_for()
            + script.world().patience()
            + self.bound(detection);
        let mut last = before.clone();
        let mut changed = frozen;
        while script.world().now() < bound && script.world().stopped().is_none() {
            self.traffic(&mut script, detection / 100);
            let now = entries(&script);
            if now != last {
                changed = script.world().now();
                last = now;
            }
        }
        let broken = |what: String| Broken { graph: self.clone(), what };
        let settled = self.judge(&mut script, &before, changed - frozen).map_err(broken)?;
        let calm = entries(&script);
        self.rest(&mut script, quiet).map_err(broken)?;
        if let Some(id) = (1..=self.nodes).find(|id| {
            let at = *id as usize - 1;
            entries(&script)[at] != calm[at]
        }) {
            let change = regulars(view(&script, id)).last().copied().cloned();
            return Err(broken(format!("{id} had settled and then was told of {change:?}")));
        }
        // While it changed, too: whose paths were sound was interrupted only to grow.
        let found = violations(script.world().conclude());
        if let Some(violation) = found.into_iter().next() {
            return Err(broken(violation.to_string()));
        }
        Ok(settled)
    }

    /// Now and then somebody sends while this time passes.
    fn rest(&self, script: &mut Script, quiet: Nanos) -> Result<(), String> {
        let end = script.world().now() + quiet;
        let step = 5 * script.detection();
        while script.world().now() < end {
            if let Some(stop) = script.world().stopped() {
                return Err(format!("and then the world stopped: {stop}"));
            }
            let id = 1 + u32::try_from(script.world().now() / step).unwrap_or(0) % self.nodes;
            let _ = script.try_send(id, Guarantee::Safe, 100);
            let left = end - script.world().now();
            script.world().run_for(step.min(left));
        }
        Ok(())
    }

    /// Everybody sends every now and then while this time passes.
    fn traffic(&self, script: &mut Script, time: Nanos) {
        let end = script.world().now() + time;
        let step = script.detection() / 100;
        while script.world().now() < end && script.world().stopped().is_none() {
            for id in 1..=self.nodes {
                let _ = script.try_send(id, Guarantee::Safe, 100);
            }
            let left = end - script.world().now();
            script.world().run_for(step.min(left));
        }
    }

    /// B of the contract, without hold-downs: three times the detection target and the time of one
    /// agreement, which is about six rotations and two join intervals (a tenth of the target).
    fn bound(&self, detection: Nanos) -> Nanos {
        let hop = 200_000;
        3 * (detection + detection / 10 + 6 * u64::from(self.nodes) * hop)
    }

    fn judge(
        &self,
        script: &mut Script,
        before: &[usize],
        after: Nanos,
    ) -> Result<Settled, String> {
        let mut sets: BTreeSet<Vec<u32>> = BTreeSet::new();
        let mut most = 0;
        for id in 1..=self.nodes {
            if script.world().configuration(id).is_none() {
                return Err(format!("{id} is in no ring"));
            }
            let seen = regulars(view(script, id));
            let count = seen.len() - before[id as usize - 1];
            if count > CONFIGURATIONS_MAX {
                return Err(format!("{id} was told of {count} configurations: {seen:#?}"));
            }
            most = most.max(count);
            let Some(Configuration::Regular { members, .. }) = seen.last() else {
                return Err(format!("{id} was told of no configuration"));
            };
            let set: Vec<u32> = members.iter().map(|p| p.node.get()).collect();
            if !set.contains(&id) {
                return Err(format!("{id} is in {set:?}"));
            }
            sets.insert(set);
        }
        let sets: Vec<Vec<u32>> = sets.into_iter().collect();
        if sets.iter().map(Vec::len).sum::<usize>() != self.nodes as usize {
            return Err(format!("the sets overlap: {sets:?}"));
        }
        if let Some(set) = sets.iter().find(|set| !self.is_clique(set)) {
            return Err(format!("not all hear each other in {set:?} of {sets:?}"));
        }
        let largest = self.largest();
        if sets.iter().map(Vec::len).max() != Some(largest) {
            return Err(format!("{sets:?}, and there is a set of {largest}"));
        }
        Ok(Settled { sets, configurations: most, after })
    }
}

/// How many regular configurations each node was told of.
fn entries(script: &Script) -> Vec<usize> {
    let views = &script.history().views;
    views.iter().map(|view| regulars(view).len()).collect()
}

/// Nobody starts twice here, so the views are in order of the nodes.
fn view(script: &Script, id: u32) -> &View {
    &script.history().views[id as usize - 1]
}

fn regulars(view: &View) -> Vec<&Configuration> {
    view.entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Configuration(configuration @ Configuration::Regular { .. }) => {
                Some(configuration)
            }
            Entry::Configuration(_) | Entry::Accepted(_) | Entry::Delivered(_) => None,
        })
        .collect()
}

/// What LIVE-3 forbids.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Where.
    pub graph: Graph,
    /// What.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LIVE-3 {}\nin {:?}", self.what, self.graph)
    }
}

impl std::error::Error for Broken {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_that_stops_has_not_rested() {
        let mut script = Script::cold(Options::fair(1, 2));
        script.world().start_all();
        script.until_one_ring(5_000);
        let graph = Graph::cut(2, Cuts::new());
        assert_eq!(graph.rest(&mut script, 1_000_000_000), Ok(()));
        script.world().stop();
        let stopped = graph.rest(&mut script, 1_000_000_000).expect_err("no time passes any more");
        assert!(stopped.contains("the world stopped: NET"), "{stopped}");
    }
}
