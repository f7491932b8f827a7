//! The report for people: Markdown.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::bar::compare;
use crate::plan::{Client, Guarantee, Key, Metric, Position, System, Workload};
use crate::report::Report;
use crate::session::RATE;

/// The whole report.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut text = String::from("# What the bench measured\n\n");
    head(&mut text, report);
    the_bar(&mut text, report);
    let places: BTreeSet<_> =
        report.cells.iter().map(|cell| (cell.key.nodes, cell.key.guarantee)).collect();
    for (nodes, guarantee) in places {
        let part = Part { report, nodes, guarantee };
        part.throughput(&mut text, Workload::ThroughputOne, "node 1 sends");
        part.throughput(&mut text, Workload::ThroughputAll, "all nodes send");
        let strangers = "node 1 sends, and a stranger does, 1 Gbit/s to the daemons";
        part.throughput(&mut text, Workload::ThroughputStrangers, strangers);
        let flood = "node 1 sends, and a stranger does, 1 Gbit/s to a port that nobody has";
        part.throughput(&mut text, Workload::ThroughputFlood, flood);
        part.latency(&mut text, Workload::LatencyOne, "one message in flight");
        part.latency(&mut text, Workload::LatencyRate, &format!("{RATE} messages/s"));
        let stopped = format!("{RATE} messages/s, beside a client that stands still");
        part.latency(&mut text, Workload::LatencyStopped, &stopped);
        part.failures(&mut text);
        part.stalls(&mut text);
    }
    faults(&mut text, report);
    text
}

fn head(text: &mut String, report: &Report) {
    let machine = &report.machine;
    let gibibytes = machine.memory_bytes as f64 / f64::from(1 << 30);
    let rows = [
        ["when", &format!("{} UTC", report.date)],
        ["command", &format!("`{}`", report.command)],
        ["machine", &format!("{} × {}, {gibibytes:.0} GiB", machine.processors, machine.processor)],
        ["kernel", &format!("{}, {}", machine.kernel, machine.system)],
        ["ours", &format!("{}, commit {}", machine.evsd, machine.commit)],
        ["transport of ours", &machine.transport],
        ["Corosync", &machine.corosync],
        ["compilers", &format!("{}; {}", machine.rustc, machine.cc)],
        ["a run", &format!("{} ms, after {} ms of warm-up", report.run_ms, report.warm_ms)],
        ["load before", &machine.load.to_string()],
    ];
    table(text, &["", ""], rows.iter().map(|row| row.map(str::to_owned).to_vec()));
    if !report.complete {
        text.push_str("Not everything was measured as often as it should be.\n\n");
    }
    text.push_str("Figures are medians of all runs, each run on a cluster beside the others'.\n\n");
}

fn the_bar(text: &mut String, report: &Report) {
    let all = compare(report);
    if all.is_empty() {
        return;
    }
    let met = all.iter().filter(|comparison| comparison.is_met()).count();
    let _ = write!(text, "## The bar: {met} of {} reached\n\n", all.len());
    let rows = all.iter().map(|c| {
        let result = if c.is_met() { "yes" } else { "**no**" };
        vec![
            c.what.clone(),
            figure(c.ours),
            format!("{} {}", c.other, figure(c.theirs)),
            format!("{:.2} ×", c.factor),
            format!("{} ×", figure(c.bar)),
            result.to_owned(),
        ]
    });
    table(text, &["what", "ours", "against", "better by", "bar", "reached"], rows);
}

fn faults(text: &mut String, report: &Report) {
    if report.faults.is_empty() {
        text.push_str("Nothing was lost, reordered, damaged or stuck in any run.\n");
        return;
    }
    text.push_str("## Runs in which something went wrong\n\n");
    let rows = report
        .faults
        .iter()
        .map(|fault| vec![fault.key.to_string(), fault.round.to_string(), escaped(&fault.fault)]);
    table(text, &["run", "round", "what"], rows);
}

/// The part of a report about one number of nodes and one guarantee.
struct Part<'a> {
    report: &'a Report,
    nodes: u8,
    guarantee: Guarantee,
}

impl Part<'_> {
    fn throughput(&self, text: &mut String, workload: Workload, how: &str) {
        let sizes = self.sizes(workload);
        if sizes.is_empty() {
            return;
        }
        let rate = |key: &Key| {
            let at = |metric| self.report.median(key, Position::Slowest, metric);
            Some(format!(
                "{} ({})",
                figure(at(Metric::MessagesPerSecond)?),
                figure(at(Metric::MegabytesPerSecond)?)
            ))
        };
        let cpu = |key: &Key| {
            let at = |p| self.report.median(key, p, Metric::CpuSecondsPerMillion);
            Some(format!("{} + {}", figure(at(Position::Daemons)?), figure(at(Position::Clients)?)))
        };
        let memory = |key: &Key| {
            let at = |position| {
                let bytes = self.report.median(key, position, Metric::ResidentBytes)?;
                Some(figure(bytes / 1e6))
            };
            Some(format!("{} + {}", at(Position::Daemons)?, at(Position::Clients)?))
        };
        self.heading(text, &format!("Throughput, {how}: messages/s (MB/s) at the slowest node"));
        self.by_size(text, workload, &sizes, &rate);
        text.push_str("CPU seconds of all daemons + all clients for a million messages:\n\n");
        self.by_size(text, workload, &sizes, &cpu);
        if workload == Workload::ThroughputAll {
            let share = |key: &Key| {
                self.report.median(key, Position::Slowest, Metric::LeastShare).map(figure)
            };
            text.push_str(
                "What the sender with the fewest messages got through, 1 being fair:\n\n",
            );
            self.by_size(text, workload, &sizes, &share);
        }
        text.push_str("Resident memory of all daemons + all clients, MB:\n\n");
        self.by_size(text, workload, &sizes, &memory);
    }

    fn latency(&self, text: &mut String, workload: Workload, how: &str) {
        let sizes = self.sizes(workload);
        if sizes.is_empty() {
            return;
        }
        let at = |position| {
            move |key: &Key| {
                let at = |metric| self.report.median(key, position, metric).map(figure);
                let (p50, p99) = (at(Metric::P50Us)?, at(Metric::P99Us)?);
                Some(format!("{p50} / {p99} / {}", at(Metric::P999Us)?))
            }
        };
        self.heading(text, &format!("Latency, {how}: p50 / p99 / p99.9 at the sender, µs"));
        self.by_size(text, workload, &sizes, &at(Position::Sender));
        text.push_str("One way, at the farthest node, µs:\n\n");
        self.by_size(text, workload, &sizes, &at(Position::Farthest));
        text.push_str("CPU seconds of all daemons for a million messages:\n\n");
        let cpu = |key: &Key| {
            let cell = self.report.median(key, Position::Daemons, Metric::CpuSecondsPerMillion);
            cell.map(figure)
        };
        self.by_size(text, workload, &sizes, &cpu);
    }

    fn failures(&self, text: &mut String) {
        let heading = "Failure and formation: seconds until the next configuration";
        self.seconds(text, heading, |w| w.is_failover() || w == Workload::Form);
    }

    fn stalls(&self, text: &mut String) {
        let heading = "One of two links fails while all nodes send: the longest time without a \
                       message at the slowest node, seconds";
        self.seconds(text, heading, Workload::is_stall);
    }

    /// A row for each system, a column for each of these workloads, with the seconds of each.
    fn seconds(&self, text: &mut String, heading: &str, of: fn(Workload) -> bool) {
        let sized = |w: &Workload| of(*w).then(|| Some((*w, *self.sizes(*w).first()?))).flatten();
        let workloads: Vec<_> = Workload::ALL.iter().filter_map(sized).collect();
        if workloads.is_empty() {
            return;
        }
        self.heading(text, heading);
        let rows = self.variants(of).into_iter();
        let rows = rows.map(|(system, client)| {
            let cell = |(workload, size): &(Workload, u32)| {
                let key = self.key(system, client, *workload, *size);
                let seconds = self.report.median(&key, Position::Slowest, Metric::Seconds);
                seconds.map_or_else(|| self.absent(&key), figure)
            };
            let cells = workloads.iter().map(cell);
            std::iter::once(name(system, client)).chain(cells).collect()
        });
        let header: Vec<_> =
            std::iter::once("").chain(workloads.iter().map(|(w, _)| w.name())).collect();
        table(text, &header, rows);
    }

    fn heading(&self, text: &mut String, what: &str) {
        let _ = write!(text, "## {} nodes, {}. {what}\n\n", self.nodes, self.guarantee);
    }

    /// A row for each system, a column for each size.
    fn by_size(
        &self,
        text: &mut String,
        workload: Workload,
        sizes: &BTreeSet<u32>,
        told: &dyn Fn(&Key) -> Option<String>,
    ) {
        let mut rows = Vec::new();
        for (system, client) in self.variants(|w| w == workload) {
            let keys = sizes.iter().map(|size| self.key(system, client, workload, *size));
            let cells: Vec<_> =
                keys.map(|key| told(&key).ok_or_else(|| self.absent(&key))).collect();
            // A system of which this is not measured at all has no row.
            if cells.iter().any(|cell| cell.as_ref().is_ok_and(|c| !c.is_empty()))
                || cells.iter().any(|cell| cell.as_ref().is_err_and(|c| c != ABSENT))
            {
                let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|absent| absent));
                rows.push(std::iter::once(name(system, client)).chain(cells).collect());
            }
        }
        let sizes: Vec<_> = sizes.iter().map(|size| format!("{size} B")).collect();
        let header: Vec<_> = std::iter::once("").chain(sizes.iter().map(String::as_str)).collect();
        table(text, &header, rows.into_iter());
    }

    /// Why there is no figure, if that is known.
    fn absent(&self, key: &Key) -> String {
        self.report.reason(key).map_or_else(|| ABSENT.to_owned(), escaped)
    }

    fn key(&self, system: System, client: Client, workload: Workload, size: u32) -> Key {
        let (nodes, guarantee) = (self.nodes, self.guarantee);
        Key { system, client, guarantee, nodes, workload, size }
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        let here = (self.nodes, self.guarantee);
        let keys = self.report.cells.iter().map(|cell| &cell.key);
        keys.filter(move |key| (key.nodes, key.guarantee) == here)
    }

    fn sizes(&self, workload: Workload) -> BTreeSet<u32> {
        self.keys().filter(|key| key.workload == workload).map(|key| key.size).collect()
    }

    fn variants(&self, of: impl Fn(Workload) -> bool) -> BTreeSet<(System, Client)> {
        self.keys().filter(|key| of(key.workload)).map(|key| (key.system, key.client)).collect()
    }
}

fn name(system: System, client: Client) -> String {
    match client {
        Client::Rust => format!("{system} (Rust)"),
        Client::C | Client::None => system.to_string(),
    }
}

/// What stands where nothing was measured.
const ABSENT: &str = "–";

/// Three digits that mean something, and thousands set apart.
#[must_use]
pub fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        v if v < 0.01 => 4,
        v if v < 1.0 => 3,
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    let plain = format!("{value:.decimals$}");
    let (whole, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let rest = rest.trim_end_matches('0').trim_end_matches('.');
    grouped + rest
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

fn table(text: &mut String, header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let _ = writeln!(text, "| {} |", header.join(" | "));
    let _ = writeln!(text, "|{}", " --- |".repeat(header.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{report, value};
    use crate::sample::{Outcome, Sample};

    fn sample(system: System, size: u32, outcome: Outcome) -> Sample {
        let (client, guarantee) = (Client::C, Guarantee::Agreed);
        let workload = Workload::ThroughputOne;
        let key = Key { system, client, guarantee, nodes: 3, workload, size };
        Sample { key, round: 1, outcome }
    }

    fn rates(messages: f64, megabytes: f64) -> Outcome {
        let at = Position::Slowest;
        Outcome::Measured(vec![
            value(at, Metric::MessagesPerSecond, messages),
            value(at, Metric::MegabytesPerSecond, megabytes),
        ])
    }

    #[test]
    fn figures_have_the_digits_that_mean_something() {
        let told = [0.0, 0.0042, 0.25, 1.5, 12.34, 640.0, 32_355.4, 1_234_567.0].map(figure);
        let wanted = ["0", "0.0042", "0.25", "1.5", "12.3", "640", "32,355", "1,234,567"];
        assert_eq!(told, wanted);
    }

    #[test]
    fn each_system_has_a_row_and_what_it_cannot_do_is_told_in_its_place() {
        let text = markdown(&report(&[
            sample(System::EvsSealed, 64, rates(640_000.0, 40.96)),
            sample(System::EvsSealed, 1400, rates(100_000.0, 140.0)),
            sample(System::CorosyncUdp, 64, rates(32_000.0, 2.05)),
            sample(System::CorosyncUdp, 1400, Outcome::Cannot("too | long".to_owned())),
        ]));
        assert!(text.contains("|  | 64 B | 1400 B |\n"), "{text}");
        assert!(text.contains("| evs-sealed | 640,000 (41) | 100,000 (140) |\n"), "{text}");
        assert!(text.contains("| corosync-udp | 32,000 (2.05) | too \\| long |\n"), "{text}");
        assert!(text.contains("Nothing was lost"), "{text}");
    }

    #[test]
    fn stalls_have_a_table_of_their_own() {
        let stall = |system, workload, seconds| {
            let (client, guarantee, nodes, size) = (Client::C, Guarantee::Agreed, 3, 300);
            let key = Key { system, client, guarantee, nodes, workload, size };
            let values = vec![value(Position::Slowest, Metric::Seconds, seconds)];
            Sample { key, round: 1, outcome: Outcome::Measured(values) }
        };
        let text = markdown(&report(&[
            stall(System::EvsSealed, Workload::StallLost, 0.072),
            stall(System::EvsSealed, Workload::StallSlow, 0.081),
            stall(System::CorosyncKnetAes256, Workload::StallLost, 1.9),
        ]));
        assert!(text.contains("3 nodes, agreed. One of two links fails"), "{text}");
        assert!(text.contains("|  | stall-lost | stall-slow |\n"), "{text}");
        assert!(text.contains("| evs-sealed | 0.072 | 0.081 |\n"), "{text}");
        assert!(text.contains("| corosync-knet-aes256 | 1.9 | – |\n"), "{text}");
        assert!(!text.contains("Failure and formation"), "{text}");
    }

    #[test]
    fn the_bar_is_told_with_its_result() {
        let text = markdown(&report(&[
            sample(System::EvsSealed, 64, rates(640_000.0, 41.0)),
            sample(System::CorosyncKnetAes256, 64, rates(64_000.0, 4.1)),
        ]));
        assert!(text.contains("## The bar: 1 of 2 reached"), "{text}");
        assert!(text.contains("| 10.00 × | 20 × | **no** |"), "{text}");
        assert!(text.contains("| 10.00 × | 10 × | yes |"), "{text}");
    }
}
