//! `evsd`: see the library of this crate.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use evsd::args::Args;
use evsd::config::Config;
use evsd::daemon;
use evsd::log::{self, Log};

/// The exit code where the command line or the configuration is wrong.
const EXIT_CONFIG: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(file) = args.to_check() {
        return check(file);
    }
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    let log = match Log::start(&config.local.log, config.local.log_format) {
        Ok(log) => log,
        Err(error) => return refuse(&error),
    };
    log::abort_on_panic();
    match daemon::run(config, &args.config, &log) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "evsd cannot run");
            ExitCode::FAILURE
        }
    }
}

fn check(file: &Path) -> ExitCode {
    match Config::load(file) {
        Ok(config) => {
            let (cluster, node) = (&config.cluster, config.local.node);
            let line = format!(
                "{}: valid: node {node} of cluster {:?} with {} nodes\n",
                file.display(),
                cluster.name,
                cluster.nodes().len()
            );
            let _ = std::io::stdout().write_all(line.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &dyn std::fmt::Display) -> ExitCode {
    let _ = std::io::stderr().write_all(format!("{error}\n").as_bytes());
    ExitCode::from(EXIT_CONFIG)
}
