//! What a daemon tells of itself beyond its status: why each configuration came about.
//!
//! Responsible for: the JSON of these reports and its version, the judgement that turns what
//! several nodes saw into one reason, and the text that tells it to people.
//! Not responsible for: collecting what was seen (`evsd`), printing it (`evs-cli`).
//!
//! The fields are described in `docs/reports.md`. A reader takes no offence at fields that it does
//! not know, and has a default for those that it misses.

#![forbid(unsafe_code)]

mod change;
mod judge;
mod story;

pub use change::{
    Answer, Cause, Change, Evidence, GROUP_CLIENTS_MAX, GROUPS_MAX, JoinedGroup, Node, Noticed,
    PathSign, Pause, Question, Recovery, SCHEMA, Sight, Step, TokenSight, Trigger,
};
pub use judge::judge;
pub use story::{headline, headline_of, story};
