//! The bar: by how much this system is to be ahead, and by how much it is.

use crate::plan::{Client, Guarantee, Key, Metric, Position, System, Workload};
use crate::report::{Cell, Report};

/// One comparison of the medians of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What is compared.
    pub what: String,
    /// Ours.
    pub ours: f64,
    /// With whom, and theirs.
    pub other: String,
    /// Theirs.
    pub theirs: f64,
    /// How many times as good ours is: more is better, whatever is compared.
    pub factor: f64,
    /// What the factor is to be at least.
    pub bar: f64,
}

impl Comparison {
    /// Whether the bar is reached.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.factor >= self.bar
    }
}

/// A line of the bar: figures of ours against Corosync's default mode, and against the best of all
/// its modes.
struct Line {
    workloads: &'static [Workload],
    sizes: &'static [u32],
    position: Position,
    metric: Metric,
    /// At least so many times as good as the default.
    default: f64,
    /// And as the best.
    best: f64,
}

const THROUGHPUT: &[Workload] = &[Workload::ThroughputOne, Workload::ThroughputAll];

const LINES: [Line; 7] = [
    Line {
        workloads: THROUGHPUT,
        sizes: &[64, 200],
        position: Position::Slowest,
        metric: Metric::MessagesPerSecond,
        default: 20.0,
        best: 10.0,
    },
    Line {
        workloads: THROUGHPUT,
        sizes: &[1400],
        position: Position::Slowest,
        metric: Metric::MegabytesPerSecond,
        default: 10.0,
        best: 8.0,
    },
    Line {
        workloads: THROUGHPUT,
        sizes: &[8000, 64_000],
        position: Position::Slowest,
        metric: Metric::MegabytesPerSecond,
        default: 8.0,
        best: 6.0,
    },
    Line {
        workloads: &[Workload::LatencyOne],
        sizes: &[64, 1400],
        position: Position::Sender,
        metric: Metric::P50Us,
        default: 3.0,
        best: 1.25,
    },
    Line {
        workloads: &[Workload::LatencyOne],
        sizes: &[64, 1400],
        position: Position::Sender,
        metric: Metric::P99Us,
        default: 3.0,
        best: 1.25,
    },
    Line {
        workloads: &[Workload::LatencyRate],
        sizes: &[64, 1400],
        position: Position::Sender,
        metric: Metric::P99Us,
        default: 3.0,
        best: 1.25,
    },
    Line {
        workloads: THROUGHPUT,
        sizes: &[200],
        position: Position::Daemons,
        metric: Metric::CpuSecondsPerMillion,
        default: 15.0,
        best: 8.0,
    },
];

/// The share of the kernel's ceiling that 64,000 bytes in clear reach at least.
const CEILING_SHARE: f64 = 0.4;

/// Of an equal share, what each of several senders gets through at least.
const SHARE_MIN: f64 = 0.5;

/// What is left of the throughput at least while strangers send to the daemons, and how much of a
/// latency's 99th percentile while a client stands still.
const BESIDE_SHARE: f64 = 0.9;
const BESIDE_TIME: f64 = 1.1;

/// For how many seconds the failure of one of two links may stall delivery: a quarter of the
/// detection target, which is 500 ms by default.
const STALL_SECONDS: f64 = 0.125;

/// What a delivered message may cost at 16 nodes, in terms of 3.
const CROWD_COST: f64 = 2.0;

/// Compares everything that was measured.
#[must_use]
pub fn compare(report: &Report) -> Vec<Comparison> {
    let mut all = Vec::new();
    for line in &LINES {
        for (workload, size) in
            line.workloads.iter().flat_map(|w| line.sizes.iter().map(move |size| (*w, *size)))
        {
            all.extend(line.compare(report, workload, size));
        }
    }
    all.extend(fairness(report));
    all.extend(strangers(report));
    all.extend(stopped(report));
    all.extend(THROUGHPUT.iter().filter_map(|workload| ceiling(report, *workload)));
    all.extend(THROUGHPUT.iter().filter_map(|workload| crowd(report, *workload)));
    all.extend(report.cells.iter().filter_map(stall));
    all
}

impl Line {
    fn compare(&self, report: &Report, workload: Workload, size: u32) -> Vec<Comparison> {
        let Self { position, metric, .. } = *self;
        let median = |system| report.median(&key(system, 3, workload, size), position, metric);
        let Some(ours) = median(System::EvsSealed) else { return Vec::new() };
        let less_is_better =
            !matches!(metric, Metric::MessagesPerSecond | Metric::MegabytesPerSecond);
        let factor = |theirs| if less_is_better { theirs / ours } else { ours / theirs };
        let what = format!("{metric}, {workload}, {size} B");
        let compare = |other: System, theirs, bar| Comparison {
            what: what.clone(),
            ours,
            other: other.name().to_owned(),
            theirs,
            factor: factor(theirs),
            bar,
        };
        let default = System::CorosyncKnetAes256;
        let mut all: Vec<_> = median(default)
            .map(|theirs| compare(default, theirs, self.default))
            .into_iter()
            .collect();
        let modes = System::ALL.iter().filter(|system| system.is_corosync());
        let measured = modes.filter_map(|mode| Some((*mode, median(*mode)?)));
        // The best is the one that ours looks worst against.
        let best = measured.min_by(|a, b| factor(a.1).total_cmp(&factor(b.1)));
        all.extend(best.map(|(mode, theirs)| compare(mode, theirs, self.best)));
        all
    }
}

/// What the sender that got least got of an equal share, where it was least.
fn fairness(report: &Report) -> Option<Comparison> {
    let ours = report.least_shares.iter().filter(|cell| cell.key.system == System::EvsSealed);
    let medians = ours.filter_map(|cell| Some((cell.key, cell.median?)));
    let (key, least) = medians.min_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(Comparison {
        what: format!("the least share of a sender ({key})"),
        ours: least,
        other: "an equal share".to_owned(),
        theirs: 1.0,
        factor: least,
        bar: SHARE_MIN,
    })
}

/// What strangers cost, besides what their sending takes of this machine.
fn strangers(report: &Report) -> Option<Comparison> {
    let (position, metric) = (Position::Slowest, Metric::MegabytesPerSecond);
    let at = |workload| report.median(&key(System::EvsSealed, 3, workload, 1400), position, metric);
    let ours = at(Workload::ThroughputStrangers)?;
    let theirs = at(Workload::ThroughputFlood)?;
    Some(Comparison {
        what: format!("{metric} while strangers send to the daemons, 1400 B"),
        ours,
        other: Workload::ThroughputFlood.name().to_owned(),
        theirs,
        factor: ours / theirs,
        bar: BESIDE_SHARE,
    })
}

/// What a client that stands still costs the others.
fn stopped(report: &Report) -> Option<Comparison> {
    let (position, metric) = (Position::Sender, Metric::P99Us);
    let at = |workload| report.median(&key(System::EvsSealed, 3, workload, 64), position, metric);
    let ours = at(Workload::LatencyStopped)?;
    let theirs = at(Workload::LatencyRate)?;
    Some(Comparison {
        what: format!("{metric} while a client stands still, 64 B"),
        ours,
        other: Workload::LatencyRate.name().to_owned(),
        theirs,
        factor: theirs / ours,
        bar: 1.0 / BESIDE_TIME,
    })
}

/// Large messages in clear against what the kernel carries.
fn ceiling(report: &Report, workload: Workload) -> Option<Comparison> {
    let (position, metric) = (Position::Slowest, Metric::MegabytesPerSecond);
    let ours = report.median(&key(System::EvsClear, 3, workload, 64_000), position, metric)?;
    let raw = Key { client: Client::None, ..key(System::RawUdpGso, 3, workload, 64_000) };
    let theirs = report.median(&raw, position, metric)?;
    Some(Comparison {
        what: format!("{metric} in clear, {workload}, 64000 B"),
        ours,
        other: System::RawUdpGso.name().to_owned(),
        theirs,
        factor: ours / theirs,
        bar: CEILING_SHARE,
    })
}

/// What one delivery costs at 16 nodes, in terms of 3: the CPU time of all daemons and clients for
/// each message at each node.
fn crowd(report: &Report, workload: Workload) -> Option<Comparison> {
    let cost = |nodes: u8| {
        let key = key(System::EvsSealed, nodes, workload, 200);
        let at = |position| report.median(&key, position, Metric::CpuSecondsPerMillion);
        Some((at(Position::Daemons)? + at(Position::Clients)?) / f64::from(nodes))
    };
    let (ours, theirs) = (cost(16)?, cost(3)?);
    Some(Comparison {
        what: format!("CPU seconds of all for a million deliveries, {workload}, 200 B, 16 nodes"),
        ours,
        other: "evs-sealed, 3 nodes".to_owned(),
        theirs,
        factor: theirs / ours,
        bar: 1.0 / CROWD_COST,
    })
}

/// For how long one of two links that fails stalls delivery.
fn stall(cell: &Cell) -> Option<Comparison> {
    let is_ours = cell.key.system == System::EvsSealed && cell.key.workload.is_stall();
    let ours = cell.median.filter(|_| is_ours)?;
    Some(Comparison {
        what: format!("{}, {}", cell.metric, cell.key.workload),
        ours,
        other: "a quarter of the target".to_owned(),
        theirs: STALL_SECONDS,
        factor: STALL_SECONDS / ours,
        bar: 1.0,
    })
}

fn key(system: System, nodes: u8, workload: Workload, size: u32) -> Key {
    let (client, guarantee) = (Client::C, Guarantee::Agreed);
    Key { system, client, guarantee, nodes, workload, size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{report, value};
    use crate::sample::{Outcome, Sample};

    fn sample(system: System, workload: Workload, size: u32, figure: f64) -> Sample {
        let (position, metric) = match workload.is_latency() {
            true => (Position::Sender, Metric::P99Us),
            false => (Position::Slowest, Metric::MegabytesPerSecond),
        };
        let client = if system.is_raw() { Client::None } else { Client::C };
        let key = Key { client, ..key(system, 3, workload, size) };
        let outcome = Outcome::Measured(vec![value(position, metric, figure)]);
        Sample { key, round: 1, outcome }
    }

    #[test]
    fn ours_is_held_against_the_default_and_against_the_best_mode() {
        let one = |system, figure| sample(system, Workload::ThroughputOne, 1400, figure);
        let all = compare(&report(&[
            one(System::EvsSealed, 300.0),
            one(System::CorosyncKnetAes256, 20.0),
            one(System::CorosyncUdp, 50.0),
            one(System::CorosyncUdpu, 10.0),
        ]));
        let told: Vec<_> =
            all.iter().map(|c| (c.other.as_str(), c.factor, c.bar, c.is_met())).collect();
        let wanted =
            [("corosync-knet-aes256", 15.0, 10.0, true), ("corosync-udp", 6.0, 8.0, false)];
        assert_eq!(told, wanted);
    }

    #[test]
    fn of_times_less_is_better() {
        let one = |system, figure| sample(system, Workload::LatencyOne, 64, figure);
        let all = compare(&report(&[
            one(System::EvsSealed, 100.0),
            one(System::CorosyncKnetAes256, 400.0),
            one(System::CorosyncUdp, 110.0),
        ]));
        let told: Vec<_> = all.iter().map(|c| (c.factor, c.is_met())).collect();
        assert_eq!(told, [(4.0, true), (1.1, false)]);
    }

    #[test]
    fn large_messages_in_clear_are_held_against_the_kernel() {
        let all = compare(&report(&[
            sample(System::EvsClear, Workload::ThroughputOne, 64_000, 500.0),
            sample(System::RawUdpGso, Workload::ThroughputOne, 64_000, 2000.0),
        ]));
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].factor, all[0].bar, all[0].is_met()), (0.25, 0.4, false));
    }

    #[test]
    fn what_goes_on_beside_costs_a_tenth_at_most() {
        let sealed = |workload, size, figure| sample(System::EvsSealed, workload, size, figure);
        let all = compare(&report(&[
            sealed(Workload::ThroughputStrangers, 1400, 95.0),
            sealed(Workload::ThroughputFlood, 1400, 100.0),
            sealed(Workload::LatencyStopped, 64, 120.0),
            sealed(Workload::LatencyRate, 64, 100.0),
        ]));
        let told: Vec<_> = all.iter().map(|c| (c.ours, c.theirs, c.is_met())).collect();
        assert_eq!(told, [(95.0, 100.0, true), (120.0, 100.0, false)]);
    }

    #[test]
    fn a_link_that_fails_stalls_delivery_for_a_quarter_of_the_target_at_most() {
        let stall = |system, workload, seconds| {
            let key = key(system, 3, workload, 300);
            let values = vec![value(Position::Slowest, Metric::Seconds, seconds)];
            Sample { key, round: 1, outcome: Outcome::Measured(values) }
        };
        let all = compare(&report(&[
            stall(System::EvsSealed, Workload::StallLost, 0.1),
            stall(System::EvsSealed, Workload::StallSlow, 0.25),
            stall(System::CorosyncKnetAes256, Workload::StallLost, 2.0),
        ]));
        let told: Vec<_> = all.iter().map(|c| (c.what.as_str(), c.factor, c.is_met())).collect();
        let wanted = [("seconds, stall-lost", 1.25, true), ("seconds, stall-slow", 0.5, false)];
        assert_eq!(told, wanted);
    }

    #[test]
    fn each_sender_gets_half_of_an_equal_share_at_least() {
        let share = |size, share| {
            let key = key(System::EvsSealed, 3, Workload::ThroughputAll, size);
            let values = vec![value(Position::Slowest, Metric::LeastShare, share)];
            Sample { key, round: 1, outcome: Outcome::Measured(values) }
        };
        let all = compare(&report(&[share(64, 0.9), share(200, 0.4)]));
        let told: Vec<_> = all.iter().map(|c| (c.factor, c.is_met())).collect();
        assert_eq!(told, [(0.4, false)]);
    }

    #[test]
    fn a_crowd_may_cost_twice_as_much_for_each_delivery() {
        let cost = |nodes, daemons: f64| {
            let metric = Metric::CpuSecondsPerMillion;
            let values = vec![
                value(Position::Daemons, metric, daemons),
                value(Position::Clients, metric, f64::from(nodes)),
            ];
            let key = key(System::EvsSealed, nodes, Workload::ThroughputOne, 200);
            Sample { key, round: 1, outcome: Outcome::Measured(values) }
        };
        let all = compare(&report(&[cost(3, 3.0), cost(16, 64.0)]));
        let crowd = all.last().expect("compared");
        assert_eq!((crowd.ours, crowd.theirs, crowd.is_met()), (5.0, 2.0, false));
    }
}
