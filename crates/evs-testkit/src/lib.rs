//! Clusters of real daemons as processes, on loopback or in network namespaces: for integration
//! tests of every crate and for `cargo demo`.
//!
//! Responsible for: addresses that are free, a fresh key, one directory per node with its
//! configuration, socket, state and log; starting, killing and stopping daemons; reading their
//! status; waiting for a condition until a deadline; networks that can be broken ([`netns`]).
//! Not responsible for: what clients do (`evs`), and what is right (`evs-sim` has the checker).
//!
//! ```no_run
//! use evs_testkit::{Cluster, Setup};
//!
//! let mut cluster = Cluster::start(Setup::new(3)).expect("three daemons");
//! cluster.until_members(&[1, 2, 3]).expect("one ring");
//! cluster.kill(2).expect("it ran");
//! cluster.until_members(&[1, 3]).expect("the others go on");
//! // Everything is killed and removed when the cluster is dropped.
//! ```

#![forbid(unsafe_code)]

mod binary;
mod client;
mod cluster;
pub mod forwarder;
pub mod netns;
mod wait;

pub use binary::{NextVersion, evs_binary, evsd_binary};
pub use client::RawClient;
pub use cluster::{Build, Cluster, Place, Setup, until_exit};
pub use wait::{DEADLINE, until};
