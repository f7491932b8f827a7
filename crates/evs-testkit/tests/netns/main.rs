//! Real daemons in network namespaces, with real clients whose recorded streams are held against
//! the contract (`docs/contract.md`) after everything that happens here.
//!
//! Needs root; `evs_testkit::netns` says what else.

mod calm;
mod chaos;
mod crash;
mod cut;
mod errors;
mod fast;
mod graphs;
mod links;
mod member;
mod network;
mod reasons;
mod scenario;
mod scene;
mod soak;
mod stranger;
