//! Running programs: in the repository's root, with what they print shown as it comes.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("xtask stands in the repository's root").to_owned()
}

/// Cargo, with these arguments.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(args);
    command
}

/// Runs a command to its end.
///
/// # Errors
/// It cannot be started, or says that it failed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    let status = command.status().with_context(|| format!("cannot run `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// Runs a command that runs tests, shows what it prints, and returns how many tests passed.
///
/// # Errors
/// It cannot be started, or says that it failed.
pub(crate) fn run_tests(command: &mut Command) -> Result<u64> {
    Ok(run_reporting(command, None)?.0)
}

/// As [`run_tests`]; returns besides what stands behind this word in the lines of its output.
///
/// # Errors
/// It cannot be started, or says that it failed.
pub(crate) fn run_reporting(
    command: &mut Command,
    report: Option<&str>,
) -> Result<(u64, Vec<String>)> {
    let line = shown(command);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{line}`"))?;
    let out = child.stdout.take().expect("piped above");
    let err = child.stderr.take().expect("piped above");
    let err = thread::spawn(move || copy_and_count(err, std::io::stderr(), |_| ()));
    let mut lines = Vec::new();
    let passed = copy_and_count(out, std::io::stdout(), |line| {
        // The name of a test may stand before what the test prints.
        if let Some((_, told)) = report.and_then(|report| line.split_once(report)) {
            lines.push(told.trim_end().to_owned());
        }
    });
    let passed = passed + err.join().expect("copying lines does not panic");
    let status = child.wait()?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok((passed, lines))
}

/// Runs a command and returns what it prints on its standard output.
///
/// # Errors
/// It cannot be started, or says that it failed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = shown(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed: {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed no text"))
}

/// What Cargo knows of the workspace's own packages.
///
/// # Errors
/// Cargo cannot read the workspace.
pub(crate) fn metadata() -> Result<Value> {
    let text = output(&mut cargo(["metadata", "--format-version=1", "--no-deps", "--locked"]))?;
    serde_json::from_str(&text).context("cargo metadata printed no JSON")
}

/// Where Cargo puts what it builds.
///
/// # Errors
/// Cargo cannot read the workspace.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let metadata = metadata()?;
    let dir = metadata["target_directory"].as_str().context("cargo metadata names no target")?;
    Ok(dir.into())
}

/// The names of the workspace's packages.
///
/// # Errors
/// Cargo cannot read the workspace.
pub(crate) fn packages() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut names: Vec<String> =
        packages.iter().filter_map(|p| p["name"].as_str()).map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let program = Path::new(words[0].as_ref()).file_name().map(OsStr::to_string_lossy);
    let program = program.unwrap_or_default();
    std::iter::once(program).chain(words.iter().skip(1).cloned()).collect::<Vec<_>>().join(" ")
}

fn copy_and_count(from: impl Read, mut to: impl Write, mut look: impl FnMut(&str)) -> u64 {
    let mut passed = 0;
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
        // Nobody may be reading any more; the tests run on.
        let _ = to.write_all(&line);
        let text = String::from_utf8_lossy(&line);
        passed += passed_in(&text);
        look(&text);
        line.clear();
    }
    passed
}

/// How many tests a test runner says have passed, in the line in which it sums them up.
fn passed_in(line: &str) -> u64 {
    let summary = line.contains("test result: ") || line.contains(" tests run: ");
    let Some((before, _)) = line.split_once(" passed").filter(|_| summary) else { return 0 };
    before.rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summaries_of_both_test_runners_are_counted() {
        let cargo = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured";
        assert_eq!(passed_in(cargo), 12);
        let nextest = "     Summary [   0.004s] 345 tests run: 345 passed, 2 skipped";
        assert_eq!(passed_in(nextest), 345);
        assert_eq!(passed_in("the tests passed"), 0);
    }
}
