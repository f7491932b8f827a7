//! `cargo xtask bench`: builds what is measured and what measures, and runs the bench.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use evs_bench::plan::{Extent, Plan};
use evs_bench::{Tools, Transport};

use crate::cargo;
use crate::{build, debian};

/// What is measured, and how much.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The most important only: three nodes, three runs, four minutes. Stalls are measured where
    /// `--only` has them.
    #[arg(long)]
    quick: bool,

    /// As little as shows that the bench works; the figures mean nothing.
    #[arg(long, conflicts_with = "quick")]
    tiny: bool,

    /// Only what has all these words among its coordinates, as in "evs-sealed throughput-one 3n
    /// 1400"; a word may be the beginning of a name, as in "corosync". May be repeated: then it is
    /// enough to match one of them.
    #[arg(long, value_name = "WORDS")]
    only: Vec<String>,

    /// Goes on where an earlier bench of the same build ended.
    #[arg(long)]
    resume: bool,

    /// How our daemons reach each other.
    #[arg(long, value_enum, default_value_t = Over::Multicast)]
    transport: Over,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Over {
    Unicast,
    Multicast,
}

/// Measures, and says where the results are.
///
/// # Errors
/// Something cannot be built, run or written, or one of our runs lost a message, took one out of
/// order or got stuck.
pub(crate) fn run(options: &Options) -> Result<()> {
    let extent = match (options.quick, options.tiny) {
        (true, _) => Extent::Quick,
        (_, true) => Extent::Tiny,
        _ => Extent::Full,
    };
    let dir = cargo::target_dir()?.join("bench");
    measure(options, extent, &dir).map(drop)
}

/// The gate: measures as little as shows that everything works, and holds the report against what
/// is documented. Returns how many figures it has.
///
/// # Errors
/// As [`run`]; or the report is not as it should be.
pub(crate) fn gate() -> Result<u64> {
    let options = Options {
        quick: false,
        tiny: true,
        only: Vec::new(),
        resume: false,
        transport: Over::Multicast,
    };
    let dir = cargo::target_dir()?.join("ci-bench");
    let report = measure(&options, Extent::Tiny, &dir)?;
    let missing = report.missing(&Plan::new(Extent::Tiny));
    if let Some(first) = missing.first() {
        bail!("{} cells have no figure, as {first}", missing.len());
    }
    for name in ["report.md", "throughput-one-megabytes.svg", "throughput-one-megabytes.png"] {
        let path = dir.join(name);
        if !std::fs::metadata(&path).is_ok_and(|file| file.len() > 0) {
            bail!("nothing was written to {}", path.display());
        }
    }
    let path = dir.join("report.json");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(evs_bench::report::check(&text)? as u64)
}

fn measure(options: &Options, extent: Extent, dir: &Path) -> Result<evs_bench::report::Report> {
    if !debian::is_root() {
        bail!("the bench needs network namespaces, which only root can make: run this as root");
    }
    debian::ensure()?;
    let tools = tools(dir, options.transport)?;
    let words = std::env::args().skip(1).map(|word| match word.contains(' ') {
        true => format!("{word:?}"),
        false => word,
    });
    let command = ["cargo xtask".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ");
    let options = evs_bench::Options {
        extent,
        only: options.only.clone(),
        resume: options.resume,
        dir: dir.to_owned(),
        root: cargo::root(),
        command,
    };
    let report = evs_bench::run(&options, &tools)?;
    println!("the results are in {}", dir.display());
    let ours: Vec<_> = report.faults.iter().filter(|f| f.key.system.is_ours()).collect();
    if let Some(first) = ours.first() {
        bail!("{} of our runs went wrong, as {}: {}", ours.len(), first.key, first.fault);
    }
    Ok(report)
}

/// Builds everything.
fn tools(dir: &Path, over: Over) -> Result<Tools> {
    let built = build::release()?;
    let library = build::shared_library(&built)?;
    let programs = dir.join("programs");
    std::fs::create_dir_all(&programs).with_context(|| programs.display().to_string())?;
    let include = cargo::root().join("crates/libevs/include");
    let load_evs = compile(&programs, "load_evs", &["load.c", "api_evs.c"], |cc| {
        cc.arg("-I").arg(include).arg("-L").arg(&library).arg("-levs");
    })?;
    let load_cpg = compile(&programs, "load_cpg", &["load.c", "api_cpg.c"], |cc| {
        cc.arg("-lcpg");
    })?;
    let raw = compile(&programs, "raw", &["raw.c"], |cc| {
        cc.arg("-lpthread");
    })?;
    let flood = compile(&programs, "flood", &["flood.c"], |_| {})?;
    let transport = match over {
        Over::Unicast => Transport::Unicast,
        Over::Multicast => Transport::Multicast,
    };
    let corosync = debian::find("corosync").context("installed above")?;
    Ok(Tools {
        evsd: built.evsd,
        evs: built.evs,
        library,
        load_evs,
        load_cpg,
        raw,
        flood,
        corosync,
        font: debian::FONT.into(),
        transport,
    })
}

fn compile(
    dir: &Path,
    name: &str,
    sources: &[&str],
    more: impl FnOnce(&mut Command),
) -> Result<PathBuf> {
    let program = dir.join(name);
    let from = cargo::root().join("crates/evs-bench/c");
    let mut command = Command::new("cc");
    command.args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program);
    command.args(sources.iter().chain(&["tools.c"]).map(|source| from.join(source)));
    more(&mut command);
    cargo::run(&mut command)?;
    Ok(program)
}
