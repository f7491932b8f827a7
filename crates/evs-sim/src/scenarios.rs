//! Scenarios that were made for certain deliberate defects, which seeds meet too seldom.
//!
//! Each ends by holding the history against the contract, or asserts what it is about; so it
//! panics if something is wrong. `tests/aimed.rs` plays all of them.

use evs_model::mutation::Defect;

/// A course of events with a name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// The defects that it notices.
    pub defects: &'static [Defect],
    /// Plays it; panics if something is wrong.
    pub play: fn(),
}

/// All of them.
pub const SCENARIOS: &[Scenario] = &[];
