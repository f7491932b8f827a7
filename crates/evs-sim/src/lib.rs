//! A seeded world around the code that ships, and the judge of what applications saw in it.
//!
//! Responsible for:
//! - [`checker`]: the properties of `docs/contract.md`, one file each, held against a
//!   [`history::History`]. Tests on real daemons use the same judge for what real clients recorded.
//! - [`body`]: message contents that prove themselves.
//!
//! Not responsible for: any protocol. Nothing here is a mock of one.

#![forbid(unsafe_code)]

pub mod body;
pub mod checker;
pub mod history;
