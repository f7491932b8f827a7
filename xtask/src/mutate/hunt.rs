//! One defect, one process of the simulator.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use evs_model::mutation::Defect;
use serde_json::Value;

use crate::cargo::{self, cargo};

/// A defect may make a scenario or a seed run for ever; that counts as noticed after so long. Each
/// takes some seconds at the most.
const PATIENCE: Duration = Duration::from_secs(600);

/// What became of one defect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Hunt {
    pub(crate) defect: Defect,
    /// The property that was seen to be broken; `None`: the defect survived.
    pub(crate) caught_by: Option<String>,
    /// How many seeds were run.
    pub(crate) seeds: u64,
    /// The scenario that noticed, if it was one.
    pub(crate) scenario: Option<String>,
    /// What was found.
    pub(crate) found: Option<String>,
    /// The scenarios that were made for it and did not notice it.
    pub(crate) blind: Vec<String>,
}

impl fmt::Display for Hunt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { defect, caught_by, seeds, scenario, blind, .. } = self;
        let name = defect.name();
        if !blind.is_empty() {
            write!(f, "({} did not notice) ", blind.join(", "))?;
        }
        match (caught_by, scenario) {
            (None, _) => write!(f, "{name} survived {seeds} seeds"),
            (Some(by), Some(scenario)) => write!(f, "{name}: {by}, by {scenario}"),
            (Some(by), None) => write!(f, "{name}: {by}, after {seeds} seeds"),
        }
    }
}

/// Builds the simulator with defects, apart from every other build.
pub(crate) fn build() -> Result<PathBuf> {
    let dir = cargo::target_dir()?.join("mutation");
    let mut command = cargo(["build", "--quiet", "--release", "--locked", "--package", "evs-sim"]);
    command.arg("--target-dir").arg(&dir).env("RUSTFLAGS", "--cfg evs_mutation");
    cargo::run(&mut command)?;
    Ok(dir.join("release").join("evs-sim"))
}

/// Looks for one defect.
pub(crate) fn hunt(simulator: &Path, defect: Defect, seeds: u64) -> Result<Hunt> {
    let mut child = Command::new(simulator)
        .args(["--mutation", defect.name(), "--runs", &seeds.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| simulator.display().to_string())?;
    let Some(said) = listen(&mut child) else {
        child.kill()?;
        child.wait()?;
        let caught_by = Some(String::from("HANG"));
        return Ok(Hunt {
            defect,
            caught_by,
            seeds: 0,
            scenario: None,
            found: None,
            blind: Vec::new(),
        });
    };
    let status = child.wait()?;
    if !status.success() {
        bail!("the simulator failed with {}: {status}", defect.name());
    }
    report(defect, &said).with_context(|| format!("the simulator printed {said:?}"))
}

/// What a process tells.
enum Told {
    /// It has begun something.
    Begins,
    /// All that it has to say.
    Ends(String),
}

/// What a process prints, unless it tells for too long of nothing that it has begun.
fn listen(child: &mut Child) -> Option<String> {
    let stderr = BufReader::new(child.stderr.take().expect("piped above"));
    let mut stdout = child.stdout.take().expect("piped above");
    let (tells, told) = mpsc::channel();
    let begins = tells.clone();
    thread::spawn(move || {
        stderr.lines().map_while(Result::ok).for_each(|_| drop(begins.send(Told::Begins)));
    });
    thread::spawn(move || {
        let mut text = String::new();
        let _ = stdout.read_to_string(&mut text);
        let _ = tells.send(Told::Ends(text));
    });
    wait(&told, PATIENCE)
}

fn wait(told: &mpsc::Receiver<Told>, patience: Duration) -> Option<String> {
    loop {
        match told.recv_timeout(patience).ok()? {
            Told::Begins => {}
            Told::Ends(text) => return Some(text),
        }
    }
}

fn report(defect: Defect, said: &str) -> Result<Hunt> {
    let report: Value = serde_json::from_str(said)?;
    let text = |key: &str| report[key].as_str().map(str::to_owned);
    let blind = report["blind"].as_array().into_iter().flatten();
    Ok(Hunt {
        defect,
        caught_by: text("caught_by"),
        blind: blind.filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        seeds: report["seeds"].as_u64().context("it does not say how many seeds were run")?,
        scenario: text("scenario"),
        found: text("found"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever all that it begins takes together.
    #[test]
    fn only_a_process_that_begins_nothing_for_long_hangs() {
        let (tells, told) = mpsc::channel();
        let say = |what| tells.send(what).expect("somebody listens");
        (0..1_000).for_each(|_| say(Told::Begins));
        say(Told::Ends(String::from("done")));
        assert_eq!(wait(&told, Duration::ZERO).as_deref(), Some("done"));
        say(Told::Begins);
        assert_eq!(wait(&told, Duration::ZERO), None);
    }

    #[test]
    fn the_simulators_report_is_read() {
        let said = r#"{"name":"SafeAtOnce","caught_by":"EVS-7","seeds":3,"scenario":null}"#;
        let hunt = report(Defect::SafeAtOnce, said).expect("valid");
        assert_eq!((hunt.caught_by.as_deref(), hunt.seeds), (Some("EVS-7"), 3));
        assert_eq!(hunt.to_string(), "SafeAtOnce: EVS-7, after 3 seeds");
        assert!(report(Defect::SafeAtOnce, "{}").is_err());
        let said = r#"{"name":"SafeAtOnce","caught_by":"EVS-7","seeds":3,"blind":["a","b"]}"#;
        assert_eq!(report(Defect::SafeAtOnce, said).expect("valid").blind, ["a", "b"]);
    }
}
