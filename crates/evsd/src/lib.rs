//! The daemon of one node.
//!
//! Responsible for: the configuration file, client connections and who may have one, the status
//! report, logs, signals, and the loop that drives `evs-node`.
//! Not responsible for: the ring and its messages (`evs-node` and the layers below it), the frames
//! of clients (`evs-ipc`).
//!
//! | to find | read |
//! | --- | --- |
//! | the loop, the orderly stop | `daemon.rs` |
//! | a client's life | `clients.rs`, `clients/connection.rs` |
//! | why a configuration came about | `flight.rs`, with `evs-report` |
//! | every key of the configuration | `config.rs`, `evsd.toml` and `man/` beside this crate |

#![forbid(unsafe_code)]

pub mod admission;
pub mod args;
pub mod clients;
pub mod config;
mod control;
pub mod daemon;
pub mod flight;
pub mod listener;
pub mod log;
mod membership;
mod metrics;
mod questions;
pub mod setup;
mod status;
mod units;
mod watch;
