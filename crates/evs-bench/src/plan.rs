//! What is measured: systems, workloads, sizes, and in which order.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An enumeration whose values have names, in the report as in the command line.
macro_rules! named {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $value:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(
            Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
        )]
        pub enum $name { $($(#[$what])* #[serde(rename = $text)] $value,)* }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$value),*];

            /// Its name in the report.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$value => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

named! {
    /// What is measured.
    System {
        /// Ours as it is by default: every packet sealed.
        EvsSealed = "evs-sealed",
        /// Ours in clear.
        EvsClear = "evs-clear",
        /// Corosync with its default transport, encrypted and authenticated.
        CorosyncKnetAes256 = "corosync-knet-aes256",
        /// The same in clear.
        CorosyncKnetNone = "corosync-knet-none",
        /// Corosync over unicast UDP, in clear.
        CorosyncUdpu = "corosync-udpu",
        /// Corosync over multicast UDP, in clear.
        CorosyncUdp = "corosync-udp",
        /// Multicast datagrams of the message's size, without order or repair.
        RawUdp = "raw-udp",
        /// The same in batches that the kernel cuts and puts together (GSO, GRO).
        RawUdpGso = "raw-udp-gso",
        /// A token passed round by blocking processes.
        RawRing = "raw-ring",
    }
}

named! {
    /// What kind of client talks to the system.
    Client {
        /// The load generator in C.
        C = "c",
        /// `evs bench`.
        Rust = "rust",
        /// There is no daemon, and so no client.
        None = "none",
    }
}

named! {
    /// What is promised about each message.
    Guarantee {
        /// One order on all nodes.
        Agreed = "agreed",
        /// In that order, and only when every member has it.
        Safe = "safe",
    }
}

named! {
    /// What the clients do, or what goes wrong.
    Workload {
        /// Node 1 sends as much as it may.
        ThroughputOne = "throughput-one",
        /// All nodes do.
        ThroughputAll = "throughput-all",
        /// Node 1 has one message in flight.
        LatencyOne = "latency-one",
        /// Node 1 sends at a fixed rate.
        LatencyRate = "latency-rate",
        /// The same while one more client, at the last node, stands still.
        LatencyStopped = "latency-stopped",
        /// Node 1 sends as much as it may, while a stranger with another key sends to the daemons
        /// as fast as a line of 1 Gbit/s carries it.
        ThroughputStrangers = "throughput-strangers",
        /// The same, but the stranger sends to where nobody listens: what it takes of the machine
        /// by itself.
        ThroughputFlood = "throughput-flood",
        /// The daemon of the last node is killed.
        FailoverKill = "failover-kill",
        /// The interface of the last node goes down.
        FailoverLink = "failover-link",
        /// The daemon of the last node is asked to end.
        FailoverTerm = "failover-term",
        /// The daemon of the last node stands still.
        FailoverStop = "failover-stop",
        /// All daemons start at once.
        Form = "form",
    }
}

named! {
    /// Where something is measured.
    Position {
        /// At the client that sent.
        Sender = "sender",
        /// At the node that got it last.
        Farthest = "farthest",
        /// At the node that was slowest of all.
        Slowest = "slowest",
        /// In all daemons together.
        Daemons = "daemons",
        /// In all clients together.
        Clients = "clients",
    }
}

named! {
    /// What is measured.
    Metric {
        /// Delivered messages in a second.
        MessagesPerSecond = "messages_per_second",
        /// Their bytes, in millions.
        MegabytesPerSecond = "megabytes_per_second",
        /// The median time from sending to delivery, in microseconds.
        P50Us = "p50_us",
        /// What 99 of 100 messages do not exceed.
        P99Us = "p99_us",
        /// What 999 of 1000 do not exceed.
        P999Us = "p999_us",
        /// CPU time, user and system, for a million messages.
        CpuSecondsPerMillion = "cpu_seconds_per_million",
        /// Memory that is resident at the end of the run.
        ResidentBytes = "resident_bytes",
        /// A time in seconds.
        Seconds = "seconds",
        /// The least that one of several senders got through, 1 being an equal share; not a cell
        /// of the report, but beside them.
        LeastShare = "least_share",
    }
}

impl System {
    /// Whether it is this project's.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::EvsSealed | Self::EvsClear)
    }

    /// Whether it is Corosync, in whichever mode.
    #[must_use]
    pub const fn is_corosync(self) -> bool {
        matches!(
            self,
            Self::CorosyncKnetAes256
                | Self::CorosyncKnetNone
                | Self::CorosyncUdpu
                | Self::CorosyncUdp
        )
    }

    /// Whether it is the bare kernel.
    #[must_use]
    pub const fn is_raw(self) -> bool {
        !self.is_ours() && !self.is_corosync()
    }
}

impl Workload {
    /// Whether it measures how much goes through.
    #[must_use]
    pub const fn is_throughput(self) -> bool {
        matches!(
            self,
            Self::ThroughputOne
                | Self::ThroughputAll
                | Self::ThroughputStrangers
                | Self::ThroughputFlood
        )
    }

    /// Whether it measures how soon messages are there.
    #[must_use]
    pub const fn is_latency(self) -> bool {
        matches!(self, Self::LatencyOne | Self::LatencyRate | Self::LatencyStopped)
    }

    /// Whether something goes on beside the clients that are measured. Only ours is asked for that.
    #[must_use]
    pub const fn has_something_beside(self) -> bool {
        matches!(self, Self::LatencyStopped | Self::ThroughputStrangers | Self::ThroughputFlood)
    }

    /// Whether something goes wrong in it.
    #[must_use]
    pub const fn is_failover(self) -> bool {
        matches!(
            self,
            Self::FailoverKill | Self::FailoverLink | Self::FailoverTerm | Self::FailoverStop
        )
    }

    /// How many nodes send.
    #[must_use]
    pub const fn senders(self, nodes: u8) -> u8 {
        match self {
            Self::ThroughputAll => nodes,
            Self::ThroughputOne
            | Self::ThroughputStrangers
            | Self::ThroughputFlood
            | Self::LatencyOne
            | Self::LatencyRate
            | Self::LatencyStopped
            | Self::FailoverKill
            | Self::FailoverLink
            | Self::FailoverTerm
            | Self::FailoverStop
            | Self::Form => 1,
        }
    }

    /// Where and what tells of a run in one figure; what a cell without a figure is told by.
    #[must_use]
    pub const fn headline(self) -> (Position, Metric) {
        match self {
            Self::ThroughputOne
            | Self::ThroughputAll
            | Self::ThroughputStrangers
            | Self::ThroughputFlood => (Position::Slowest, Metric::MessagesPerSecond),
            Self::LatencyOne | Self::LatencyRate | Self::LatencyStopped => {
                (Position::Sender, Metric::P50Us)
            }
            Self::FailoverKill
            | Self::FailoverLink
            | Self::FailoverTerm
            | Self::FailoverStop
            | Self::Form => (Position::Slowest, Metric::Seconds),
        }
    }
}

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
        let timing = Timing { warm_ms: 500, run_ms: 2000, patience_s: 45 };
        Self { rounds: 5, blocks, timing, seconds_max: None, only: Vec::new() }
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
        let blocks = vec![Block { nodes: 3, variants, cases: cases.concat() }];
        let seconds_max = Some(QUICK_SECONDS);
        Self { rounds: 3, blocks, timing, seconds_max, only: Vec::new() }
    }

    fn tiny() -> Self {
        use Workload::{FailoverTerm, LatencyOne, LatencyRate, ThroughputAll, ThroughputOne};
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
        ];
        let timing = Timing { warm_ms: 20, run_ms: 80, patience_s: 20 };
        let blocks = vec![Block { nodes: 3, variants, cases: cases.concat() }];
        Self { rounds: 1, blocks, timing, seconds_max: None, only: Vec::new() }
    }

    /// Leaves only what matches one of these, if there are any ([`Key::matches`]).
    pub fn keep(&mut self, only: Vec<String>) {
        self.only = only;
    }

    /// Whether a case with a system belongs to what is measured.
    #[must_use]
    pub fn wants(&self, key: &Key) -> bool {
        self.only.is_empty() || self.only.iter().any(|words| key.matches(words))
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

/// After this no further run begins with `--quick`, so that it ends within four minutes.
const QUICK_SECONDS: u64 = 215;
