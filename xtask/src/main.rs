//! The repository's own chores: `cargo xtask <task>`.
//!
//! Responsible for: the gates that every change passes (`ci`, `quick`, `tidy`), running the
//! simulator and the fuzzer, the installation, and the demonstration (`cargo demo`).
//! Not responsible for: anything that an installed system needs.

#![forbid(unsafe_code)]

mod bench;
mod build;
mod cargo;
mod ci;
mod counts;
mod debian;
mod demo;
mod fuzz;
mod install;
mod libevs;
mod manual;
mod mutate;
mod package;
mod soak;
mod steps;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version, about = "The repository's own chores")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Runs the tests of the C interface, which compile C programs against an installed tree.
    Abi,
    /// Measures this system beside Corosync and the kernel's own limits, as root.
    Bench(bench::Options),
    /// Runs every gate in order, the fastest first, and stops at the first that fails.
    Ci {
        /// Runs only the gates whose names hold this text.
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
    },
    /// Counts the instructions that the path of a message takes, with callgrind, and compares them
    /// with those that are written down.
    Counts(counts::Options),
    /// Shows three daemons and their clients through a crash, a return and an orderly leave.
    Demo(demo::Options),
    /// Fuzzes every decoder, and living processors, for a while each.
    Fuzz(fuzz::Options),
    /// Builds everything and installs it below a directory.
    Install(install::Options),
    /// Runs the rings between daemon and clients in all orders that two threads can have.
    Loom,
    /// Looks for every deliberate defect with the simulation; fails if one survives.
    Mutate(mutate::Options),
    /// Runs the tests in network namespaces, as root.
    Netns,
    /// Builds the Debian packages into `debian` below Cargo's target directory.
    Package,
    /// Runs the gates of the inner loop: format, lints, tidy, unit tests, 100 simulated seeds.
    Quick,
    /// Runs the simulator in release mode; arguments are handed on to it.
    Sim {
        /// Arguments of the simulator; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Does for long what the gates do for seconds: cut paths, busy cores, loss, pauses, daemons
    /// killed under a C program.
    Soak(soak::Options),
    /// Checks what no compiler checks: words, sizes, dependencies, citations.
    Tidy,
}

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Abi => ci::abi().map(drop),
        Task::Bench(options) => bench::run(&options),
        Task::Ci { only } => return ci::ci(only.as_deref()),
        Task::Counts(options) => counts::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Install(options) => install::run(&options),
        Task::Mutate(options) => mutate::run(&options).map(drop),
        Task::Loom => ci::loom().map(drop),
        Task::Netns => ci::netns().map(drop),
        Task::Package => package::run(),
        Task::Quick => return ci::quick(),
        Task::Sim { args } => ci::sim(&args).map(drop),
        Task::Soak(options) => soak::run(&options),
        Task::Tidy => tidy::run().map(drop),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
