//! What is measured: systems, workloads, sizes, and in which order.

use std::fmt;

use serde::{Deserialize, Serialize};

mod coordinates;

pub use coordinates::{Client, Guarantee, Metric, Position, System, Workload};

/// A system with a kind of client.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Variant {
    /// The system.
    pub system: System,
    /// The clients.
    pub client: Client,
}

/// What one run does, whatever the system.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Case {
    /// What is promised.
    pub guarantee: Guarantee,
    /// What happens.
    pub workload: Workload,
    /// Bytes in a message; 0 where there are none.
    pub size: u32,
}

/// What is measured in a run, without how often: the coordinates of a cell.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Key {
    /// The system.
    pub system: System,
    /// The clients.
    pub client: Client,
    /// What is promised.
    pub guarantee: Guarantee,
    /// How many nodes there are.
    pub nodes: u8,
    /// What happens.
    pub workload: Workload,
    /// Bytes in a message; 0 where there are none.
    pub size: u32,
}

impl Key {
    /// The coordinates of a case with a system.
    #[must_use]
    pub const fn new(variant: Variant, nodes: u8, case: Case) -> Self {
        let Variant { system, client } = variant;
        let Case { guarantee, workload, size } = case;
        Self { system, client, guarantee, nodes, workload, size }
    }

    /// Whether each of these words is one of the coordinates, or begins one of their names. The
    /// number of nodes is written with an n, as in `3n`.
    #[must_use]
    pub fn matches(&self, words: &str) -> bool {
        let (nodes, size) = (format!("{}n", self.nodes), self.size.to_string());
        let names = [
            self.system.name(),
            self.client.name(),
            self.guarantee.name(),
            &nodes,
            self.workload.name(),
            &size,
        ];
        words.split_whitespace().all(|word| {
            names.iter().any(|name| {
                name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            })
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { system, client, guarantee, nodes, workload, size } = self;
        write!(f, "{system} {client} {guarantee} {nodes}n {workload} {size}")
    }
}

/// What a system makes of a case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fit {
    /// It can be measured.
    Runs,
    /// It cannot do this, for this reason.
    Cannot(&'static str),
    /// The case has no meaning with it.
    Senseless,
}

/// What a system makes of a case.
#[must_use]
pub fn fit(variant: Variant, case: Case) -> Fit {
    let Variant { system, client } = variant;
    let runs = |sensible| if sensible { Fit::Runs } else { Fit::Senseless };
    if case.workload.has_something_beside() && variant != c(System::EvsSealed) {
        return Fit::Senseless;
    }
    if case.workload.is_stall() {
        // Of Corosync's transports knet alone has several links.
        let knet = variant == c(System::CorosyncKnetAes256);
        let is_asked = case.workload == Workload::StallLost && knet;
        return runs(is_asked || variant == c(System::EvsSealed));
    }
    if system.is_raw() {
        let sensible = match system == System::RawRing {
            true => case.workload == Workload::LatencyOne && case.size == RING_BYTES,
            false => case.workload.is_throughput(),
        };
        return runs(sensible && case.guarantee == Guarantee::Agreed);
    }
    if system.is_corosync() && case.guarantee == Guarantee::Safe {
        return Fit::Cannot("CPG delivers every message as agreed");
    }
    runs(client == Client::C || case.workload.is_throughput() || case.workload.is_latency())
}

/// Cases that one cluster of each system goes through, one system after the other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Block {
    /// How many nodes.
    pub nodes: u8,
    /// The systems.
    pub variants: Vec<Variant>,
    /// What they do.
    pub cases: Vec<Case>,
}

/// How long things take in one run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// Before anything is counted, in milliseconds.
    pub warm_ms: u32,
    /// What is counted, in milliseconds.
    pub run_ms: u32,
    /// How much longer than that a run may take before it counts as stuck, in seconds.
    pub patience_s: u32,
}

/// What is measured, how often, for how long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Every block is gone through so often; each round goes through all.
    pub rounds: u32,
    /// What is measured.
    pub blocks: Vec<Block>,
    /// How long.
    pub timing: Timing,
    /// After so many seconds no further run begins. `None`: there is no limit but the runs' own.
    pub seconds_max: Option<u64>,
    /// Only what matches one of these is measured; empty: everything.
    pub only: Vec<String>,
    /// Whether stalls are measured only where something is named.
    pub stalls_on_demand: bool,
}

/// What is to be measured in which depth.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// Everything, five times.
    Full,
    /// The most important, three times, within four minutes.
    Quick,
    /// As little as shows that the bench works.
    Tiny,
}

/// The size of the token that is passed round by bare processes.
const RING_BYTES: u32 = 64;

/// All sizes, in bytes.
const SIZES: [u32; 7] = [64, 200, 1000, 1400, 8000, 64_000, 1 << 20];

const fn c(system: System) -> Variant {
    Variant { system, client: Client::C }
}

const fn rust(system: System) -> Variant {
    Variant { system, client: Client::Rust }
}

const fn raw(system: System) -> Variant {
    Variant { system, client: Client::None }
}

fn cases(workload: Workload, guarantee: Guarantee, sizes: &[u32]) -> Vec<Case> {
    sizes.iter().map(|&size| Case { guarantee, workload, size }).collect()
}

fn agreed(workload: Workload, sizes: &[u32]) -> Vec<Case> {
    cases(workload, Guarantee::Agreed, sizes)
}

impl Plan {
    /// What is measured in this extent.
    #[must_use]
    pub fn new(extent: Extent) -> Self {
        match extent {
            Extent::Full => Self::full(),
            Extent::Quick => Self::quick(),
            Extent::Tiny => Self::tiny(),
        }
    }

    fn full() -> Self {
        use Workload::{
            LatencyOne, LatencyRate, LatencyStopped, ThroughputAll, ThroughputFlood, ThroughputOne,
            ThroughputStrangers,
        };
        let clustered = [
            c(System::EvsSealed),
            c(System::CorosyncKnetAes256),
            rust(System::EvsSealed),
            c(System::CorosyncUdp),
            c(System::EvsClear),
            c(System::CorosyncKnetNone),
            c(System::CorosyncUdpu),
        ];
        let raws = [raw(System::RawUdp), raw(System::RawUdpGso)];
        let with_raws = [&clustered[..], &raws].concat();
        let mut blocks = vec![
            Block {
                nodes: 3,
                variants: with_raws.clone(),
                cases: [
                    agreed(ThroughputOne, &SIZES),
                    agreed(ThroughputFlood, &[1400]),
                    agreed(ThroughputStrangers, &[1400]),
                ]
                .concat(),
            },
            Block { nodes: 3, variants: with_raws, cases: agreed(ThroughputAll, &SIZES) },
            Block {
                nodes: 3,
                variants: [&clustered[..], &[raw(System::RawRing)]].concat(),
                cases: [
                    agreed(LatencyOne, &[64, 1400, 8000]),
                    agreed(LatencyRate, &[64, 1400]),
                    agreed(LatencyStopped, &[64]),
                ]
                .concat(),
            },
            Block {
                nodes: 3,
                variants: clustered.to_vec(),
                cases: [
                    cases(ThroughputOne, Guarantee::Safe, &[200, 1400, 64_000]),
                    cases(ThroughputAll, Guarantee::Safe, &[200, 1400, 64_000]),
                    cases(LatencyOne, Guarantee::Safe, &[64, 1400]),
                ]
                .concat(),
            },
            Block {
                nodes: 3,
                variants: clustered.iter().copied().filter(|v| v.client == Client::C).collect(),
                cases: failures(),
            },
            stalls(),
        ];
        for nodes in [5, 8, 16] {
            let systems = [
                System::EvsSealed,
                System::CorosyncKnetAes256,
                System::CorosyncUdp,
                System::EvsClear,
            ];
            blocks.push(Block {
                nodes,
                variants: systems.map(c).to_vec(),
                cases: [ThroughputOne, ThroughputAll, LatencyOne]
                    .map(|workload| agreed(workload, &[200, 8000]))
                    .concat(),
            });
        }
        for nodes in [8, 16] {
            blocks.push(Block {
                nodes,
                variants: [System::EvsSealed, System::CorosyncKnetAes256].map(c).to_vec(),
                cases: failures(),
            });
        }
        let timing = Timing { warm_ms: 500, run_ms: 2000, patience_s: 45 };
        let (seconds_max, only, stalls_on_demand) = (None, Vec::new(), false);
        Self { rounds: 5, blocks, timing, seconds_max, only, stalls_on_demand }
    }

    fn quick() -> Self {
        use Workload::{LatencyOne, LatencyRate, ThroughputAll, ThroughputOne};
        let variants = vec![
            c(System::EvsSealed),
            c(System::CorosyncKnetAes256),
            c(System::CorosyncUdp),
            raw(System::RawUdp),
            raw(System::RawUdpGso),
            raw(System::RawRing),
        ];
        let sizes = [64, 1400, 8000, 64_000];
        let cases = [
            agreed(ThroughputOne, &sizes),
            agreed(ThroughputAll, &sizes),
            agreed(LatencyOne, &[64, 1400]),
            agreed(LatencyRate, &[1400]),
        ];
        let timing = Timing { warm_ms: 200, run_ms: 800, patience_s: 8 };
        let blocks = vec![Block { nodes: 3, variants, cases: cases.concat() }, stalls()];
        let (seconds_max, only, stalls_on_demand) = (Some(QUICK_SECONDS), Vec::new(), true);
        Self { rounds: 3, blocks, timing, seconds_max, only, stalls_on_demand }
    }

    fn tiny() -> Self {
        use Workload::{
            FailoverTerm, LatencyOne, LatencyRate, StallLost, ThroughputAll, ThroughputOne,
        };
        let variants = vec![
            c(System::EvsSealed),
            rust(System::EvsSealed),
            c(System::CorosyncUdp),
            raw(System::RawUdpGso),
            raw(System::RawRing),
        ];
        let cases = [
            agreed(ThroughputOne, &[1400, 64_000]),
            agreed(ThroughputAll, &[200]),
            cases(ThroughputOne, Guarantee::Safe, &[200]),
            agreed(LatencyOne, &[64]),
            agreed(LatencyRate, &[64]),
            agreed(FailoverTerm, &[0]),
            agreed(StallLost, &[STALL_BYTES]),
        ];
        let timing = Timing { warm_ms: 20, run_ms: 80, patience_s: 20 };
        let blocks = vec![Block { nodes: 3, variants, cases: cases.concat() }];
        let (seconds_max, only, stalls_on_demand) = (None, Vec::new(), false);
        Self { rounds: 1, blocks, timing, seconds_max, only, stalls_on_demand }
    }

    /// Leaves only what matches one of these, if there are any ([`Key::matches`]).
    pub fn keep(&mut self, only: Vec<String>) {
        self.only = only;
    }

    /// Whether a case with a system belongs to what is measured.
    #[must_use]
    pub fn wants(&self, key: &Key) -> bool {
        if self.only.is_empty() {
            return !(self.stalls_on_demand && key.workload.is_stall());
        }
        self.only.iter().any(|words| key.matches(words))
    }

    /// Every system of a block with its cases that are wanted and have a meaning.
    pub fn cases_of<'a>(
        &'a self,
        block: &'a Block,
        variant: Variant,
    ) -> impl Iterator<Item = (Key, Case)> + 'a {
        let keyed = block.cases.iter().map(move |c| (Key::new(variant, block.nodes, *c), *c));
        keyed.filter(move |(key, case)| self.wants(key) && fit(variant, *case) != Fit::Senseless)
    }

    /// How many runs there are in all.
    #[must_use]
    pub fn runs(&self) -> usize {
        let all = self.blocks.iter().flat_map(|b| b.variants.iter().map(move |v| (b, *v)));
        let cases = all.flat_map(|(block, variant)| {
            self.cases_of(block, variant).map(move |(_, case)| fit(variant, case))
        });
        cases.filter(|fit| *fit == Fit::Runs).count() * self.rounds as usize
    }
}

/// What goes wrong, and the start.
fn failures() -> Vec<Case> {
    use Workload::{FailoverKill, FailoverLink, FailoverStop, FailoverTerm, Form};
    [Form, FailoverKill, FailoverLink, FailoverTerm, FailoverStop]
        .map(|workload| Case { guarantee: Guarantee::Agreed, workload, size: 0 })
        .to_vec()
}

/// One of two links fails.
fn stalls() -> Block {
    use Workload::{StallLossy, StallLost, StallOneway, StallSlow, StallSmall};
    let workloads = [StallLost, StallOneway, StallLossy, StallSlow, StallSmall];
    Block {
        nodes: 3,
        variants: [System::EvsSealed, System::CorosyncKnetAes256].map(c).to_vec(),
        cases: workloads.map(|workload| agreed(workload, &[STALL_BYTES])).concat(),
    }
}

/// Bytes of most messages while a link fails; the load generator has larger ones among them.
const STALL_BYTES: u32 = 300;

/// After this no further run begins with `--quick`, so that it ends within four minutes.
const QUICK_SECONDS: u64 = 215;

#[cfg(test)]
mod tests {
    use super::*;

    fn stalls_of(plan: &Plan) -> Vec<String> {
        let variants = plan.blocks.iter().flat_map(|b| b.variants.iter().map(move |v| (b, *v)));
        let keys = variants.flat_map(|(block, variant)| plan.cases_of(block, variant));
        let stalls = keys.filter(|(key, _)| key.workload.is_stall());
        stalls.map(|(key, _)| format!("{} {}", key.system, key.workload)).collect()
    }

    #[test]
    fn every_stall_is_measured_with_ours_and_the_loss_of_a_link_with_knet_too() {
        let stalls = stalls_of(&Plan::new(Extent::Full));
        let wanted = [
            "evs-sealed stall-lost",
            "evs-sealed stall-oneway",
            "evs-sealed stall-lossy",
            "evs-sealed stall-slow",
            "evs-sealed stall-small",
            "corosync-knet-aes256 stall-lost",
        ];
        assert_eq!(stalls, wanted);
    }

    #[test]
    fn the_quick_bench_measures_stalls_only_if_something_is_named() {
        let mut plan = Plan::new(Extent::Quick);
        assert_eq!(stalls_of(&plan), [""; 0]);
        plan.keep(vec!["evs-sealed stall".to_owned()]);
        assert_eq!(stalls_of(&plan).len(), 5);
        plan.keep(vec!["throughput-one".to_owned()]);
        assert_eq!(stalls_of(&plan), [""; 0]);
    }
}
