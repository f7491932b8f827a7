//! The contract as a judge of histories: one file for each property of `docs/contract.md`.
//!
//! Responsible for: saying, of what applications saw, which property it breaks and how.
//! Not responsible for: recording it ([`crate::history`]), or knowing anything of the protocol. No
//! checker looks at a packet, a token or a state of the implementation.
//!
//! EVS-11 is covered as far as configurations and messages go: a client's stream is held against
//! its processor's ([`Property::Evs10`]'s checker). Where an application cannot see a thing
//! ("has received the message"), the checker judges what follows from it.

mod basic;
mod causality;
mod cliques;
mod configurations;
mod fifo;
#[cfg(test)]
mod fixture;
mod flapping;
mod groups;
mod hold_downs;
mod index;
mod live1;
mod live2;
mod live3;
mod live4;
mod live5;
mod live6;
mod order;
mod patience;
mod safe;
mod self_delivery;
mod stays;
mod synchrony;
mod unordered;
mod whole;

use std::fmt;

use crate::history::History;
use index::Index;

/// A property of the contract.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Property {
    /// Basic delivery.
    Evs1,
    /// Configurations.
    Evs2,
    /// Self-delivery.
    Evs3,
    /// Virtual synchrony.
    Evs4,
    /// Causality.
    Evs5,
    /// Agreed order.
    Evs6,
    /// Safe delivery.
    Evs7,
    /// FIFO.
    Evs8,
    /// Unordered.
    Evs9,
    /// Groups.
    Evs10,
    /// One stream.
    Evs11,
    /// Whole messages.
    Evs12,
    /// A quiet network settles.
    Live1,
    /// What was accepted is delivered.
    Live2,
    /// A network that is not whole settles in largest sets.
    Live3,
    /// Who stalls or stands still hurts nobody else.
    Live4,
    /// The dead are excluded in time.
    Live5,
    /// Continuity.
    Live6,
}

impl Property {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Evs1,
        Self::Evs2,
        Self::Evs3,
        Self::Evs4,
        Self::Evs5,
        Self::Evs6,
        Self::Evs7,
        Self::Evs8,
        Self::Evs9,
        Self::Evs10,
        Self::Evs11,
        Self::Evs12,
        Self::Live1,
        Self::Live2,
        Self::Live3,
        Self::Live4,
        Self::Live5,
        Self::Live6,
    ];
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Evs1 => "EVS-1",
            Self::Evs2 => "EVS-2",
            Self::Evs3 => "EVS-3",
            Self::Evs4 => "EVS-4",
            Self::Evs5 => "EVS-5",
            Self::Evs6 => "EVS-6",
            Self::Evs7 => "EVS-7",
            Self::Evs8 => "EVS-8",
            Self::Evs9 => "EVS-9",
            Self::Evs10 => "EVS-10",
            Self::Evs11 => "EVS-11",
            Self::Evs12 => "EVS-12",
            Self::Live1 => "LIVE-1",
            Self::Live2 => "LIVE-2",
            Self::Live3 => "LIVE-3",
            Self::Live4 => "LIVE-4",
            Self::Live5 => "LIVE-5",
            Self::Live6 => "LIVE-6",
        })
    }
}

/// A property that a history breaks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// How, in one line.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.property, self.text)
    }
}

impl std::error::Error for Violation {}

/// How many things a check looked at: a history in which nothing happened proves nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Judged {
    /// Views.
    pub views: usize,
    /// Configurations delivered, over all views.
    pub configurations: usize,
    /// Messages delivered, over all views.
    pub deliveries: usize,
    /// Messages accepted.
    pub accepted: usize,
    /// Changes of the world that came alone, with everything settled before and after: what LIVE-4
    /// to LIVE-6 judge.
    pub alone: usize,
    /// Times at which no processor had a reason to be patient, and all were asked.
    pub calm: usize,
    /// Whether the faults stopped, and nothing could be judged of what came then.
    pub skipped: bool,
}

/// Holds a history against every property.
///
/// # Errors
/// The first property that it breaks, and how.
pub fn check(history: &History) -> Result<Judged, Violation> {
    let index = Index::new(history)?;
    PROPERTIES.iter().try_for_each(|property| property(&index))?;
    Ok(index.judged())
}

/// The first violation of each property that a history breaks; one defect often breaks several.
#[must_use]
pub fn violations(history: &History) -> Vec<Violation> {
    match Index::new(history) {
        Ok(index) => PROPERTIES.iter().filter_map(|property| property(&index).err()).collect(),
        Err(violation) => vec![violation],
    }
}

type Checker = fn(&Index<'_>) -> Result<(), Violation>;

/// One function for each property, those first that others are easier to read without.
const PROPERTIES: [Checker; 17] = [
    basic::check,
    configurations::check,
    whole::check,
    order::check,
    fifo::check,
    unordered::check,
    synchrony::check,
    self_delivery::check,
    safe::check,
    causality::check,
    groups::check,
    live1::check,
    live2::check,
    live3::check,
    live4::check,
    live5::check,
    live6::check,
];

/// A violation of one property; the text is formatted at the place of the check.
macro_rules! violates {
    ($property:ident, $($text:tt)*) => {
        $crate::checker::Violation {
            property: $crate::checker::Property::$property,
            text: format!($($text)*),
        }
    };
}
use violates;
