//! The measuring bench: this system beside Corosync and the kernel's own limits, in one run.
//!
//! Responsible for: what is measured in which order ([`plan`]); clusters in network namespaces; one
//! load generator in C for all systems (`c/`), which checks every message; medians; the report as
//! JSON, Markdown and plots.
//! Not responsible for: building what is measured (`xtask`), and what the figures mean
//! (`docs/performance.md`).
//!
//! The whole needs root. Everything is bounded in time; what it starts it ends, also at an error or
//! a signal, and what a killed bench leaves behind the next one removes.

#![forbid(unsafe_code)]

pub mod bar;
mod beside;
mod cluster;
mod corosync;
pub mod hot;
mod loader;
mod machine;
mod measure;
pub mod plan;
pub mod plot;
pub mod report;
mod run;
pub mod sample;
mod session;
mod stall;
pub mod stats;
mod stop;
pub mod table;
mod usage;
mod workdir;

use std::path::PathBuf;

pub use machine::Machine;
pub use run::{Options, run};
pub use session::RATE;

/// The programs that are measured and that measure.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Our daemon.
    pub evsd: PathBuf,
    /// Our command.
    pub evs: PathBuf,
    /// The directory of our library for C programs.
    pub library: PathBuf,
    /// The load generator with that library.
    pub load_evs: PathBuf,
    /// The load generator with Corosync's library.
    pub load_cpg: PathBuf,
    /// What measures the kernel.
    pub raw: PathBuf,
    /// A stranger on the network.
    pub flood: PathBuf,
    /// Corosync's daemon.
    pub corosync: PathBuf,
    /// The font of the plots.
    pub font: PathBuf,
    /// How our daemons reach each other.
    pub transport: Transport,
}

/// How our daemons reach each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// A packet for all nodes is sent to each of them: the daemon's default.
    Unicast,
    /// It is sent once.
    Multicast,
}

impl Transport {
    /// Its name in the daemon's configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unicast => "unicast",
            Self::Multicast => "multicast",
        }
    }
}
