//! Whole services: one alone, and several over a network in memory.

mod changes;
mod clients;
mod leave;
mod messages;
mod net;
