//! The Totem single-ring protocol of one processor: ordering, membership and recovery, sans-I/O.
//!
//! Responsible for: the order of packets in a ring, agreement on the ring's members, and the
//! recovery of a broken ring's packets, so that extended virtual synchrony holds
//! (`docs/contract.md`; Amir, Moser, Melliar-Smith, Agarwal, Ciarfella, "The Totem Single-Ring
//! Ordering and Membership Protocol", ACM TOCS 13(4), 1995; `docs/protocol.md` for what the paper
//! leaves open). Not responsible for: sockets, clocks, threads, files, logs, authentication, who is
//! reachable (`evs-net`); packing, groups and clients (`evs-service`).
//!
//! # Driving it
//!
//! [`Ring`] is one processor, and a value: the same inputs give the same outputs, byte for byte.
//! Inputs are method calls; outputs wait in one queue, in the order in which they take place.
//!
//! ```
//! use evs_model::{Instant, NodeId, Processor};
//! use totem::{Config, Output, Ring};
//!
//! let me = Processor::new(NodeId::new(1).expect("not zero"), 0x5eed);
//! let mut ring = Ring::new(Config::default(), me, 0, 42, Instant::from_nanos(0));
//! let mut installed = None;
//! while installed.is_none() {
//!     // A driver waits here, for this deadline or for a packet.
//!     let (at, _why) = ring.poll_timeout().expect("a processor that has not left has a deadline");
//!     ring.handle_timeout(at);
//!     while let Some(output) = ring.poll_output() {
//!         match output {
//!             Output::Transmit { .. } => { /* send it */ }
//!             Output::Configure(configuration) => installed = Some(configuration),
//!             Output::Deliver(_) | Output::Distrust(_) | Output::Persist(_) => {}
//!             Output::Transition { .. } => {}
//!         }
//!     }
//! }
//! ```
//!
//! The driver's contract: `now` never decreases (an older one is ignored); sockets are read until
//! empty before [`Ring::handle_timeout`] is called, since a token that lies in a receive buffer is
//! not lost; data packets are better handed over before the token that follows them; outputs are
//! executed in order. [`Output::Persist`] is a hint and never waited for.
//!
//! # Where things are
//!
//! | to find | read |
//! | --- | --- |
//! | the table of states and packets, the legal transitions | `ring.rs` |
//! | the token's visit | `operational.rs`, with `flow.rs` |
//! | the parked token | `operational/parked.rs` |
//! | how large the window is | `pace.rs` |
//! | what is held, what is delivered when | `window.rs`, `order.rs` |
//! | joins and consensus; which sets form rings | `gather.rs`, `graph.rs` |
//! | the commit token | `commit.rs`, with `attempt.rs` |
//! | recovery, obligations, the install batch | `recovery.rs`, `recovery/plan.rs`, `old.rs` |
//! | packets that are larger than the path's | `pieces.rs` |
//! | every limit and timeout | `config.rs` |
//! | the packets | `wire/` |

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod attempt;
mod backlog;
mod commit;
mod config;
mod context;
mod flow;
mod gather;
mod graph;
mod left;
mod missing;
mod old;
mod operational;
mod order;
mod output;
mod pace;
mod pieces;
mod recovery;
mod resend;
mod resent;
mod ring;
mod stall;
mod stats;
mod told;
mod window;
pub mod wire;

#[cfg(test)]
mod tests;

pub use config::{
    Config, ConfigError, Origins, PACKET_BYTES_CAP, PACKET_BYTES_MIN, PIECES_MAX, ROWS_MAX,
    RTR_MAX, SEQ_MAX, Terms, WHOLE_BYTES_MAX, WINDOW_BYTES_CAP, WINDOW_PACKETS_CAP,
};
pub use evs_model::Instant;
pub use output::{Cause, Delivery, Destination, Output, StateKind, SubmitError, Timer, TokenSight};
pub use ring::Ring;
pub use stats::{Discard, Held, Stats};
pub use wire::{DecodeError, Packet, PacketKind};
