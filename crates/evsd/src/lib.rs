//! The daemon of one node.
//!
//! Responsible for: client connections and who may have one, the status report, logs, signals, and
//! the loop that drives `evs-node`.
//! Not responsible for: the configuration file (`evs-config`), the ring and its messages
//! (`evs-node` and the layers below it), the frames of clients (`evs-ipc`).
//!
//! | to find | read |
//! | --- | --- |
//! | the loop, the orderly stop | `daemon.rs` |
//! | what an operator has done at run time | `daemon/operate.rs`, `files.rs` |
//! | a client's life | `clients.rs`, `clients/connection.rs` |
//! | why a configuration came about | `flight.rs`, with `evs-report` |
//! | every key of the configuration | `evs-config`, with `evsd.toml` and `man/` beside it |

#![forbid(unsafe_code)]

pub mod admission;
mod agreement;
mod apart;
pub mod args;
pub mod clients;
mod control;
pub mod daemon;
mod files;
pub mod flight;
mod foreign;
mod journal;
pub mod listener;
pub mod log;
mod manager;
mod membership;
mod metrics;
mod privileges;
mod pulse;
mod questions;
pub mod setup;
mod status;
mod units;
mod watch;

pub use evs_config as config;
