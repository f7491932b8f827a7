//! Steps in order: each named and timed, the first failure ends them, a table sums them up.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

/// One step: what it is called, and what it does. It returns how many things it has checked.
pub(crate) struct Step {
    name: &'static str,
    act: Box<dyn FnOnce() -> Result<u64>>,
}

impl Step {
    pub(crate) fn new(name: &'static str, act: impl FnOnce() -> Result<u64> + 'static) -> Self {
        Self { name, act: Box::new(act) }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }
}

enum Outcome {
    Passed(u64),
    Failed,
    NotRun,
}

/// Runs the steps up to the first that fails, and sums up.
pub(crate) fn run(steps: Vec<Step>) -> ExitCode {
    let count = steps.len();
    let begin = Instant::now();
    let mut table: Vec<(&str, Duration, Outcome)> = Vec::with_capacity(count);
    let mut failure = None;
    for (i, step) in steps.into_iter().enumerate() {
        if failure.is_some() {
            table.push((step.name, Duration::ZERO, Outcome::NotRun));
            continue;
        }
        println!("\n── {}/{count} {} ──", i + 1, step.name);
        let start = Instant::now();
        let outcome = match (step.act)() {
            Ok(checked) => Outcome::Passed(checked),
            Err(error) => {
                eprintln!("error: {error:#}");
                failure = Some((step.name, error));
                Outcome::Failed
            }
        };
        table.push((step.name, start.elapsed(), outcome));
    }
    println!("\n{}", render(&table));
    if let Some((name, error)) = &failure {
        println!("failed at {name}: {error:#}");
    }
    println!("{:.0} s in all", begin.elapsed().as_secs_f64());
    // The last line reads like a test runner's.
    println!("{}", totals(&table));
    if failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn render(table: &[(&str, Duration, Outcome)]) -> String {
    let width = table.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    let mut text = format!("{:width$}  {:>8}  {:>7}  result", "step", "seconds", "checked");
    for (name, took, outcome) in table {
        let seconds = took.as_secs_f64();
        let (seconds, checked, result) = match outcome {
            Outcome::Passed(checked) => (format!("{seconds:.1}"), checked.to_string(), "passed"),
            Outcome::Failed => (format!("{seconds:.1}"), String::new(), "FAILED"),
            Outcome::NotRun => (String::new(), String::new(), "not run"),
        };
        text.push_str(&format!("\n{name:width$}  {seconds:>8}  {checked:>7}  {result}"));
    }
    text
}

fn totals(table: &[(&str, Duration, Outcome)]) -> String {
    let passed: u64 = table
        .iter()
        .map(|(_, _, outcome)| match outcome {
            Outcome::Passed(checked) => *checked,
            Outcome::Failed | Outcome::NotRun => 0,
        })
        .sum();
    let failed = table.iter().filter(|(_, _, o)| matches!(o, Outcome::Failed)).count();
    format!("{passed} passed, {failed} failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_counts_what_was_checked_and_what_failed() {
        let second = Duration::from_secs(1);
        let mut table = vec![("fmt", second, Outcome::Passed(1))];
        table.push(("test", second, Outcome::Passed(41)));
        assert_eq!(totals(&table), "42 passed, 0 failed");
        table.push(("sim", second, Outcome::Failed));
        table.push(("demo", Duration::ZERO, Outcome::NotRun));
        assert_eq!(totals(&table), "42 passed, 1 failed");
        assert!(render(&table).ends_with("demo                     not run"));
    }
}
