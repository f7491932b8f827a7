//! The report: one cell for each figure, over all runs.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::Machine;
use crate::plan::{
    Client, Extent, Guarantee, Key, Metric, Plan, Position, System, Timing, Workload,
};
use crate::sample::{Outcome, Sample};
use crate::stats::Spread;

/// One figure with its place.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Cell {
    /// Whose figure it is, and under which load.
    #[serde(flatten)]
    pub key: Key,
    /// Where it was measured.
    pub position: Position,
    /// What it is.
    pub metric: Metric,
    /// The median of all runs; null where there is no figure.
    pub median: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// How many runs gave a figure.
    pub runs: usize,
    /// Why there is no figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A run in which something was lost, out of order, damaged or stuck.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Fault {
    /// In what.
    #[serde(flatten)]
    pub key: Key,
    /// In which round.
    pub round: u32,
    /// What was wrong.
    pub fault: String,
}

/// Everything that was measured.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    /// How much was to be measured.
    pub extent: Extent,
    /// When the bench began or was resumed, in UTC.
    pub date: String,
    /// On what, and of what.
    pub machine: Machine,
    /// The command that made it.
    pub command: String,
    /// Milliseconds of each run before anything counts.
    pub warm_ms: u32,
    /// Milliseconds that count.
    pub run_ms: u32,
    /// Whether everything was measured as often as it should be.
    pub complete: bool,
    /// The figures.
    pub cells: Vec<Cell>,
    /// What the sender with the fewest messages got through where several send, 1 being an equal
    /// share of all.
    pub least_shares: Vec<Cell>,
    /// What went wrong in which run.
    pub faults: Vec<Fault>,
}

/// What a report says besides its figures.
#[derive(Clone, Debug)]
pub struct Head {
    /// See [`Report::extent`].
    pub extent: Extent,
    /// See [`Report::date`].
    pub date: String,
    /// See [`Report::machine`].
    pub machine: Machine,
    /// See [`Report::command`].
    pub command: String,
    /// How long each run was.
    pub timing: Timing,
}

impl Report {
    /// Sums up.
    #[must_use]
    pub fn new(head: Head, samples: &[Sample], complete: bool) -> Self {
        let Head { extent, date, machine, command, timing } = head;
        let Timing { warm_ms, run_ms, .. } = timing;
        let faults = faults(samples);
        let (least_shares, cells) =
            cells(samples).into_iter().partition(|cell| cell.metric == Metric::LeastShare);
        Self {
            extent,
            date,
            machine,
            command,
            warm_ms,
            run_ms,
            complete,
            cells,
            least_shares,
            faults,
        }
    }

    /// The median of one figure.
    #[must_use]
    pub fn median(&self, key: &Key, position: Position, metric: Metric) -> Option<f64> {
        self.cell(key, position, metric)?.median
    }

    /// One figure.
    #[must_use]
    pub fn cell(&self, key: &Key, position: Position, metric: Metric) -> Option<&Cell> {
        let wanted = (key, position, metric);
        let all = self.cells.iter().chain(&self.least_shares);
        all.into_iter().find(|cell| (&cell.key, cell.position, cell.metric) == wanted)
    }

    /// What of a plan has neither a figure nor a reason, and what of ours has no figure.
    #[must_use]
    pub fn missing(&self, plan: &Plan) -> Vec<String> {
        let variants = plan.blocks.iter().flat_map(|b| b.variants.iter().map(move |v| (b, *v)));
        let keys = variants.flat_map(|(block, variant)| plan.cases_of(block, variant));
        let missing = keys.filter(|(key, _)| {
            let (position, metric) = key.workload.headline();
            let cell = self.cell(key, position, metric);
            cell.is_none_or(|cell| cell.runs == 0 && key.system.is_ours())
        });
        missing.map(|(key, _)| key.to_string()).collect()
    }

    /// Why there is no figure for this.
    #[must_use]
    pub fn reason(&self, key: &Key) -> Option<&str> {
        let of_key = self.cells.iter().filter(|cell| cell.key == *key);
        of_key.into_iter().find_map(|cell| cell.reason.as_deref())
    }
}

fn cells(samples: &[Sample]) -> Vec<Cell> {
    let mut figures: BTreeMap<Key, BTreeMap<(Position, Metric), Vec<f64>>> = BTreeMap::new();
    let mut reasons: BTreeMap<Key, &str> = BTreeMap::new();
    for sample in samples {
        match &sample.outcome {
            Outcome::Measured(values) => {
                let of_key = figures.entry(sample.key).or_default();
                for value in values {
                    of_key.entry((value.position, value.metric)).or_default().push(value.value);
                }
            }
            Outcome::Cannot(reason) | Outcome::Fault(reason) => {
                reasons.entry(sample.key).or_insert(reason);
            }
        }
    }
    let mut cells = Vec::new();
    for (key, of_key) in &figures {
        for ((position, metric), runs) in of_key {
            let spread = Spread::of(runs);
            cells.push(Cell {
                key: *key,
                position: *position,
                metric: *metric,
                median: spread.map(|s| s.median),
                min: spread.map(|s| s.min),
                max: spread.map(|s| s.max),
                runs: runs.len(),
                reason: None,
            });
        }
    }
    for (key, reason) in reasons.iter().filter(|(key, _)| !figures.contains_key(key)) {
        let (position, metric) = key.workload.headline();
        let reason = reason.lines().next().map(str::to_owned);
        let (median, min, max, runs) = (None, None, None, 0);
        cells.push(Cell { key: *key, position, metric, median, min, max, runs, reason });
    }
    cells.sort_by_key(|cell| (cell.key, cell.position, cell.metric));
    cells
}

fn faults(samples: &[Sample]) -> Vec<Fault> {
    let fault = |sample: &Sample| match &sample.outcome {
        Outcome::Fault(fault) => {
            let fault = fault.lines().next().unwrap_or_default().to_owned();
            Some(Fault { key: sample.key, round: sample.round, fault })
        }
        Outcome::Measured(_) | Outcome::Cannot(_) => None,
    };
    samples.iter().filter_map(fault).collect()
}

/// Looks whether a text is a report: every name and value as documented, every figure in order.
/// Returns how many cells it has.
///
/// # Errors
/// It is none; the error names the first cell that is wrong.
pub fn check(text: &str) -> anyhow::Result<usize> {
    let report: Json = serde_json::from_str(text).context("the report is no JSON")?;
    let cells = report["cells"].as_array().context("the report has no array `cells`")?;
    ensure!(!cells.is_empty(), "the report has no cells");
    let mut seen = Vec::new();
    for cell in cells {
        let place = check_cell(cell).with_context(|| format!("a cell is wrong: {cell}"))?;
        ensure!(!seen.contains(&place), "a cell is there twice: {cell}");
        seen.push(place);
    }
    Ok(cells.len())
}

/// The coordinates of a cell that is as it must be.
fn check_cell(cell: &Json) -> anyhow::Result<Vec<String>> {
    let fields = cell.as_object().context("it is no object")?;
    let known = |name: &&String| FIELDS.contains(&name.as_str()) || *name == "reason";
    if let Some(stranger) = fields.keys().find(|name| !known(name)) {
        bail!("nobody knows the field {stranger:?}");
    }
    let allowed = |name: &str, values: Vec<&str>| match cell[name].as_str() {
        Some(value) if values.contains(&value) => Ok(()),
        _ => Err(anyhow::anyhow!("`{name}` is none of {values:?}")),
    };
    allowed("system", System::ALL.iter().map(|v| v.name()).collect())?;
    allowed("client", Client::ALL.iter().map(|v| v.name()).collect())?;
    allowed("guarantee", Guarantee::ALL.iter().map(|v| v.name()).collect())?;
    allowed("workload", Workload::ALL.iter().map(|v| v.name()).collect())?;
    allowed("position", Position::ALL.iter().map(|v| v.name()).collect())?;
    let metrics = Metric::ALL.iter().filter(|metric| **metric != Metric::LeastShare);
    allowed("metric", metrics.map(|v| v.name()).collect())?;
    for name in ["nodes", "size", "runs"] {
        ensure!(cell[name].is_u64(), "`{name}` is no number");
    }
    let figure = |name: &str| cell[name].as_f64();
    match (figure("min"), figure("median"), figure("max"), cell["runs"].as_u64()) {
        (Some(min), Some(median), Some(max), Some(1..)) => {
            ensure!(0.0 <= min && min <= median && median <= max, "its figures are not in order");
            ensure!(!fields.contains_key("reason"), "it has a figure and a reason for none");
        }
        (None, None, None, Some(0)) => {
            ensure!(cell["reason"].is_string(), "it has no figure, and no reason for that");
        }
        _ => bail!("it has some figures and not others"),
    }
    let place = FIELDS.iter().take(PLACE_FIELDS).map(|name| cell[*name].to_string());
    Ok(place.collect())
}

/// The fields of a cell; first those that say where it belongs.
const FIELDS: [&str; 12] = [
    "system",
    "client",
    "guarantee",
    "nodes",
    "workload",
    "size",
    "position",
    "metric",
    "median",
    "min",
    "max",
    "runs",
];
const PLACE_FIELDS: usize = 8;

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::sample::Value;

    fn key(system: System) -> Key {
        let (client, guarantee) = (Client::C, Guarantee::Agreed);
        Key { system, client, guarantee, nodes: 3, workload: Workload::ThroughputOne, size: 64 }
    }

    fn run(system: System, round: u32, rate: f64) -> Sample {
        let (position, metric) = Workload::ThroughputOne.headline();
        let values = vec![Value { position, metric, value: rate }];
        Sample { key: key(system), round, outcome: Outcome::Measured(values) }
    }

    pub(crate) fn value(position: Position, metric: Metric, value: f64) -> Value {
        Value { position, metric, value }
    }

    /// A report of these runs alone.
    pub(crate) fn report(samples: &[Sample]) -> Report {
        let head = Head {
            extent: Extent::Quick,
            date: "2026-01-01".to_owned(),
            machine: Machine::default(),
            command: "cargo xtask bench".to_owned(),
            timing: Timing { warm_ms: 1, run_ms: 2, patience_s: 3 },
        };
        Report::new(head, samples, true)
    }

    #[test]
    fn runs_become_one_cell_with_their_median() {
        let runs = [3.0, 1.0, 8.0].map(|rate| run(System::EvsSealed, 1, rate));
        let report = report(&runs);
        let text = serde_json::to_value(&report).expect("JSON")["cells"].clone();
        let wanted = json!([{
            "system": "evs-sealed", "client": "c", "guarantee": "agreed", "nodes": 3,
            "workload": "throughput-one", "size": 64, "position": "slowest",
            "metric": "messages_per_second", "median": 3.0, "min": 1.0, "max": 8.0, "runs": 3,
        }]);
        assert_eq!(text, wanted);
    }

    #[test]
    fn what_a_system_cannot_do_is_a_cell_with_a_reason() {
        let outcome = Outcome::Cannot("too long\nfor it".to_owned());
        let report = report(&[Sample { key: key(System::RawUdp), round: 1, outcome }]);
        assert_eq!(report.reason(&key(System::RawUdp)), Some("too long"));
        assert_eq!((report.cells[0].median, report.cells[0].runs), (None, 0));
        assert!(report.faults.is_empty());
        let text = serde_json::to_string(&report).expect("JSON");
        assert_eq!(check(&text).expect("a report"), 1);
    }

    #[test]
    fn a_run_with_a_fault_counts_in_no_median_and_is_told() {
        let outcome = Outcome::Fault("lost".to_owned());
        let bad = Sample { key: key(System::EvsSealed), round: 2, outcome };
        let report = report(&[run(System::EvsSealed, 1, 5.0), bad]);
        assert_eq!((report.cells.len(), report.cells[0].runs), (1, 1));
        assert_eq!((report.faults.len(), report.faults[0].round), (1, 2));
    }

    #[test]
    fn shares_stand_beside_the_cells() {
        let (key, at) = (key(System::EvsSealed), Position::Slowest);
        let values = vec![value(at, Metric::LeastShare, 0.9), value(at, Metric::P50Us, 7.0)];
        let outcome = Outcome::Measured(values);
        let report = report(&[Sample { key, round: 1, outcome }]);
        assert_eq!((report.cells.len(), report.least_shares.len()), (1, 1));
        assert_eq!(report.median(&key, at, Metric::LeastShare), Some(0.9));
        assert_eq!(check(&serde_json::to_string(&report).expect("JSON")).expect("a report"), 1);
    }

    #[test]
    fn what_was_not_measured_is_named() {
        let mut plan = Plan::new(Extent::Quick);
        plan.keep(vec!["evs-sealed throughput-one 64".to_owned()]);
        let all_of_it = report(&[run(System::EvsSealed, 1, 5.0)]);
        assert_eq!(all_of_it.missing(&plan), [""; 0]);
        let missing = report(&[run(System::CorosyncUdp, 1, 5.0)]).missing(&plan);
        assert_eq!(missing, ["evs-sealed c agreed 3n throughput-one 64"]);
    }

    #[test]
    fn a_report_that_is_not_as_documented_is_refused() {
        let good = serde_json::to_value(report(&[run(System::EvsClear, 1, 5.0)])).expect("JSON");
        assert!(check(&good.to_string()).is_ok());
        let spoilt = |name: &str, value: Json| {
            let mut bad = good.clone();
            bad["cells"][0][name] = value;
            check(&bad.to_string()).is_err()
        };
        assert!(spoilt("system", json!("evs")));
        assert!(spoilt("metric", json!("messages")));
        assert!(spoilt("median", json!(null)));
        assert!(spoilt("median", json!(6.0)));
        assert!(spoilt("runs", json!(0)));
        assert!(spoilt("nodes", json!("three")));
        assert!(spoilt("colour", json!("red")));
        assert!(check(&json!({"cells": []}).to_string()).is_err());
        let twice = json!({"cells": [good["cells"][0], good["cells"][0]]});
        assert!(check(&twice.to_string()).is_err());
    }
}
