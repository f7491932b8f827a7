//! `evs`: see the library of this crate.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    evs_cli::run(&evs_cli::Args::parse())
}
