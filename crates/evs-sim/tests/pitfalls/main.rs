//! The pitfalls of `docs/pitfalls.md`, each as a script by its number, asserting what it would
//! break. A script ends with the faults gone, the world settled and the whole history held against
//! the contract.
//!
//! `UPDATE=1 cargo test -p evs-sim --test pitfalls` writes the transcripts anew.

mod attempts;
mod churn;
mod flow;
mod identity;
mod loss;
mod membership;
mod messages;
mod numbers;
mod pauses;
mod promises;
mod recovery;
mod stage;
mod stream;
mod token;
mod wire;
