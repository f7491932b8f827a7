//! What every single run gave, kept in a file as soon as it is known, so that a bench that was
//! interrupted goes on where it was.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::plan::{Key, Metric, Position};

/// One figure of a run.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Value {
    /// Where.
    pub position: Position,
    /// What.
    pub metric: Metric,
    /// In the metric's unit.
    pub value: f64,
}

/// What came of a run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Figures, and nothing was wrong.
    Measured(Vec<Value>),
    /// The system cannot do this.
    Cannot(String),
    /// Something was lost, out of order, damaged or stuck.
    Fault(String),
}

/// One run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Sample {
    /// What was measured.
    #[serde(flatten)]
    pub key: Key,
    /// In which round, from 1.
    pub round: u32,
    /// What came of it.
    pub outcome: Outcome,
}

/// All runs so far, in memory and in a file.
#[derive(Debug)]
pub(crate) struct Samples {
    path: PathBuf,
    file: File,
    all: Vec<Sample>,
    done: BTreeSet<(Key, u32)>,
}

impl Samples {
    /// Opens the file: an empty one, or what an earlier bench of the same conditions left there.
    ///
    /// # Errors
    /// It cannot be written, or what is there was measured in another way.
    pub(crate) fn open(path: &Path, conditions: &str, resume: bool) -> anyhow::Result<Self> {
        let shown = || path.display().to_string();
        let (mut all, mut fresh) = (Vec::new(), true);
        if resume && path.exists() {
            let text = fs::read_to_string(path).with_context(shown)?;
            let mut lines = text.lines();
            if lines.next() != Some(conditions) {
                bail!(
                    "{} was measured under other conditions (extent, daemon, or a tool of the \
                     bench has changed): run without --resume",
                    shown()
                );
            }
            // The last line may have been cut short.
            all.extend(lines.map_while(|line| serde_json::from_str::<Sample>(line).ok()));
            fresh = false;
        }
        let done = all.iter().map(|sample: &Sample| (sample.key, sample.round)).collect();
        let file = File::create(path).with_context(shown)?;
        let mut samples = Self { path: path.to_owned(), file, all: Vec::new(), done };
        samples.write(conditions)?;
        if !fresh {
            for sample in all {
                samples.write(&serde_json::to_string(&sample)?)?;
                samples.all.push(sample);
            }
        }
        Ok(samples)
    }

    /// Whether this run has been made.
    pub(crate) fn has(&self, key: &Key, round: u32) -> bool {
        self.done.contains(&(*key, round))
    }

    /// Keeps a run.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn add(&mut self, sample: Sample) -> anyhow::Result<()> {
        self.write(&serde_json::to_string(&sample)?)?;
        self.done.insert((sample.key, sample.round));
        self.all.push(sample);
        Ok(())
    }

    /// All runs, in the order in which they were made.
    pub(crate) fn all(&self) -> &[Sample] {
        &self.all
    }

    fn write(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.file, "{line}").with_context(|| self.path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Client, Guarantee, System, Workload};

    fn sample(round: u32) -> Sample {
        let key = Key {
            system: System::CorosyncUdp,
            client: Client::C,
            guarantee: Guarantee::Agreed,
            nodes: 3,
            workload: Workload::ThroughputOne,
            size: 64,
        };
        let value =
            Value { position: Position::Slowest, metric: Metric::MessagesPerSecond, value: 1234.5 };
        Sample { key, round, outcome: Outcome::Measured(vec![value]) }
    }

    #[test]
    fn what_was_measured_is_there_after_an_interruption_and_a_cut_line_is_not() {
        let dir = std::env::temp_dir().join(format!("evs-bench-samples-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        let path = dir.join("samples.jsonl");
        let mut samples = Samples::open(&path, "as now", false).expect("new");
        samples.add(sample(1)).expect("written");
        let mut file = File::options().append(true).open(&path).expect("there");
        file.write_all(b"{\"system\":\"coro").expect("written");
        let samples = Samples::open(&path, "as now", true).expect("resumed");
        assert_eq!(samples.all(), [sample(1)]);
        assert!(samples.has(&sample(1).key, 1) && !samples.has(&sample(1).key, 2));
        let error = Samples::open(&path, "otherwise", true).expect_err("not the same");
        assert!(error.to_string().contains("other conditions"), "{error}");
        assert!(Samples::open(&path, "otherwise", false).expect("anew").all().is_empty());
        fs::remove_dir_all(&dir).expect("removed");
    }
}
