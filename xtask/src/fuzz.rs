//! Fuzzing: `cargo xtask fuzz`. What is fuzzed is in `crates/evs-fuzz`; this builds it for
//! libFuzzer, runs one target after the other within bounds, and sums up.
//!
//! Everything that is made lies below the target directory, but what `--keep` and `--seeds` add to
//! the committed corpora.

mod corpus;
mod report;
mod tools;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use evs_fuzz::{TARGETS, Target};

use crate::cargo;
use report::Run;

/// What `cargo xtask fuzz` is asked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Runs this target only.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Prints the result as one JSON object.
    #[arg(long)]
    json: bool,
    /// Adds what reached something new to the committed corpus, which is minimised.
    #[arg(long)]
    keep: bool,
    /// Adds the inputs to begin with to the committed corpora, and runs nothing.
    #[arg(long)]
    seeds: bool,
    /// Feeds this file to the target once, without libFuzzer, and shows each step.
    #[arg(long, value_name = "FILE", requires = "target")]
    replay: Option<PathBuf>,
}

/// Fuzzes.
///
/// # Errors
/// A target crashed, or something that is needed cannot be had.
pub(crate) fn run(options: &Options) -> Result<()> {
    let targets = chosen(options.target.as_deref())?;
    if let Some(file) = &options.replay {
        return replay(targets[0], file);
    }
    if options.seeds {
        return targets.iter().try_for_each(|target| corpus::add_seeds(target));
    }
    let binaries = tools::build()?;
    let mut runs = Vec::new();
    for target in targets {
        if !options.json {
            eprintln!("{}: {} s", target.name, options.seconds);
        }
        let binary = binaries.join(target.name);
        let run = fuzz(target, &binary, options.seconds)?;
        if options.keep {
            corpus::keep(target, &binary)?;
        }
        runs.push(run);
    }
    println!("{}", if options.json { report::json(&runs) } else { report::table(&runs) });
    let crashes: Vec<&Run> = runs.iter().filter(|run| !run.crashes.is_empty()).collect();
    for run in &crashes {
        for file in &run.crashes {
            let (name, file) = (run.target, file.display());
            eprintln!("replay: cargo xtask fuzz --target {name} --replay {file}");
        }
    }
    match crashes.len() {
        0 => Ok(()),
        count => bail!("{count} targets crashed"),
    }
}

fn chosen(name: Option<&str>) -> Result<Vec<&'static Target>> {
    let Some(name) = name else { return Ok(TARGETS.iter().collect()) };
    let Some(target) = evs_fuzz::target(name) else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        bail!("no target {name:?}; there are: {}", names.join(", "));
    };
    Ok(vec![target])
}

/// Feeds one file, and shows each step. A panic shows itself.
fn replay(target: &Target, file: &Path) -> Result<()> {
    let input = fs::read(file).with_context(|| file.display().to_string())?;
    evs_fuzz::trace::show();
    let seen = (target.run)(&input);
    println!("{} takes these {} bytes. They reach:", target.name, input.len());
    for (i, landmark) in (target.landmarks)().iter().enumerate().filter(|(i, _)| seen.has(*i)) {
        println!("{i:4} {landmark}");
    }
    Ok(())
}

/// Runs one target.
fn fuzz(target: &Target, binary: &Path, seconds: u32) -> Result<Run> {
    let scratch = corpus::scratch(target)?;
    let crashes = made(below("crashes")?.join(target.name))?;
    let log = made(below("logs")?)?.join(format!("{}.log", target.name));
    let before = files(&crashes)?;
    let mut command = Command::new(binary);
    // What is found goes to the first directory; the second is read only.
    command.arg(&scratch).arg(corpus::committed(target));
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-max_len={}", target.bytes_max));
    command.arg(format!("-artifact_prefix={}/", crashes.display()));
    command.args(LIMITS);
    let output = File::create(&log).with_context(|| log.display().to_string())?;
    command.stdout(output.try_clone()?).stderr(output);
    let status = command.status().with_context(|| format!("cannot run {}", binary.display()))?;
    let said = fs::read(&log).with_context(|| log.display().to_string())?;
    let said = String::from_utf8_lossy(&said);
    let new = |file: &PathBuf| !before.contains(file) && is_crash(file);
    let crashes: Vec<PathBuf> = files(&crashes)?.into_iter().filter(new).collect();
    if !crashes.is_empty() {
        eprintln!("{}", report::around_panic(&said));
    } else if !status.success() {
        bail!("{} ended with {status}; see {}", target.name, log.display());
    }
    Ok(Run::read(target.name, &said, crashes))
}

/// Whether libFuzzer kept this input because something went wrong; what was only slow, on a busy
/// machine, is no crash.
fn is_crash(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with("slow-unit-")
}

/// Memory, the time of one input, and what is said at the end.
const LIMITS: [&str; 3] = ["-rss_limit_mb=1024", "-timeout=20", "-print_final_stats=1"];

/// A directory for what fuzzing makes.
fn below(name: &str) -> Result<PathBuf> {
    Ok(cargo::target_dir()?.join("fuzz").join(name))
}

/// The directory, which exists now.
fn made(dir: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    Ok(dir)
}

/// The files in a directory, in order.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let mut files: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    Ok(files)
}
