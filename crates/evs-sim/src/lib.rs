//! A seeded world around the code that ships, and the judge of what applications saw in it.
//!
//! Responsible for:
//! - [`checker`]: the properties of `docs/contract.md`, one file each, held against a
//!   [`history::History`]. Tests on real daemons use the same judge for what real clients recorded.
//! - [`body`]: message contents that prove themselves.
//! - [`world`]: nodes (`evs_net::Endpoint` and `evs_service::Service`), network, disks, clocks,
//!   clients, under one seed.
//! - [`fn@run`]: one seeded run, from chaos to calm; [`chaos`] and [`workload`] draw what happens.
//! - [`selection`] and [`minimise`]: a seed replayed with some of its faults.
//! - [`hunt`] and [`scenarios`]: whether a deliberate defect is noticed.
//! - [`coverage`]: which states met which packets.
//! - [`script`]: the same world for scenarios with a name.
//! - [`graphs`] and [`sweep`]: networks in which not everybody hears everybody.
//!
//! Not responsible for: any protocol. Nothing here is a mock of one.

#![forbid(unsafe_code)]

pub mod body;
pub mod bounds;
pub mod chaos;
pub mod checker;
pub mod coverage;
pub mod graphs;
pub mod history;
pub mod hunt;
mod lone;
pub mod minimise;
mod plots;
mod retargets;
mod run;
pub mod scenarios;
pub mod script;
pub mod selection;
pub mod sweep;
pub mod workload;
pub mod world;

pub use run::{Asked, Failure, Outcome, remember_panics, replay, run};
