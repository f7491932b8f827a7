//! The words that every layer shares: processors, rings, configurations, guarantees, groups and
//! the events that a client sees.
//!
//! Responsible for: the types, their invariants (a member list is sorted and holds one incarnation
//! of a node), and what can be computed from them alone (who left, who joined).
//! Not responsible for: any wire format, any protocol, any clock.
//!
//! The terms are those of the papers (Moser et al., "Extended Virtual Synchrony", ICDCS 1994;
//! Amir et al., "The Totem Single-Ring Ordering and Membership Protocol", TOCS 1995) and of
//! `docs/contract.md`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "next-version")]
extern crate std;

mod configuration;
mod cost;
mod event;
mod group;
mod identity;
mod members;
pub mod mutation;
mod time;
mod versions;

pub use configuration::{Configuration, Guarantee, UnknownGuarantee};
pub use cost::{SEND_OVERHEAD, send_cost};
pub use event::{
    ChangeReason, ClientId, ConfigurationChange, DisconnectReason, Event, Message, MessageId,
};
pub use group::{Group, Groups, GroupsError};
pub use identity::{NodeId, Processor, RingId};
pub use members::{MEMBERS_MAX, Members, MembersError};
pub use time::Instant;
pub use versions::Versions;
