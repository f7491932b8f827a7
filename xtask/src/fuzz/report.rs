//! What libFuzzer says of a run, as a table and as JSON.

use std::path::PathBuf;

use serde_json::json;

/// One target's run.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Run {
    pub(super) target: &'static str,
    /// Inputs that were fed.
    execs: u64,
    execs_per_second: u64,
    /// Inputs that reached something new.
    new: u64,
    /// Most memory that was in use.
    peak_mb: u64,
    /// The inputs on which it crashed.
    pub(super) crashes: Vec<PathBuf>,
}

impl Run {
    /// Reads the numbers that libFuzzer prints at its end.
    pub(super) fn read(target: &'static str, said: &str, crashes: Vec<PathBuf>) -> Self {
        let number = |name: &str| {
            let line = said.lines().rev().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim_start_matches(':').trim().parse().ok()).unwrap_or(0)
        };
        Self {
            target,
            execs: number("stat::number_of_executed_units"),
            execs_per_second: number("stat::average_exec_per_sec"),
            new: number("stat::new_units_added"),
            peak_mb: number("stat::peak_rss_mb"),
            crashes,
        }
    }
}

/// The lines of a log that show what went wrong.
pub(super) fn around_panic(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let telling = |line: &&str| line.contains("panicked at") || line.contains("ERROR: libFuzzer");
    let at = lines.iter().position(telling).unwrap_or_else(|| lines.len().saturating_sub(LINES));
    lines[at..].iter().take(LINES).copied().collect::<Vec<_>>().join("\n")
}

pub(super) fn table(runs: &[Run]) -> String {
    let mut text = String::from("target         execs  execs/s    new  peak MiB  crashes");
    for run in runs {
        let crashes = run.crashes.len();
        text.push_str(&format!(
            "\n{:10}  {:>8}  {:>7}  {:>5}  {:>8}  {crashes:>7}",
            run.target, run.execs, run.execs_per_second, run.new, run.peak_mb
        ));
    }
    text
}

pub(super) fn json(runs: &[Run]) -> String {
    let runs: Vec<_> = runs
        .iter()
        .map(|run| {
            json!({
                "target": run.target,
                "execs": run.execs,
                "execs_per_second": run.execs_per_second,
                "new_corpus": run.new,
                "peak_mb": run.peak_mb,
                "crashes": run.crashes,
            })
        })
        .collect();
    json!({ "targets": runs }).to_string()
}

const LINES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_numbers_of_a_log_are_the_runs() {
        let said = "#2 INITED\nstat::number_of_executed_units: 1234\n\
                    stat::average_exec_per_sec:     61\nstat::new_units_added:          7\n";
        let run = Run::read("ring", said, vec![PathBuf::from("crash-1")]);
        assert_eq!((run.execs, run.execs_per_second, run.new, run.peak_mb), (1234, 61, 7, 0));
        assert!(
            table(std::slice::from_ref(&run))
                .ends_with("ring            1234       61      7         0        1")
        );
        assert!(json(&[run]).contains("\"crashes\":[\"crash-1\"]"));
    }
}
