//! The group-communication service of one processor: clients, groups and whole messages on top of
//! one [`totem::Ring`]. Sans-I/O, `no_std`, a value like the ring itself.
//!
//! Responsible for: sessions and their event streams; groups; packing small messages into one
//! packet and cutting large ones; sending whole again what a configuration change interrupted;
//! bounded send queues with a wake-up after every refusal, and fair turns among the clients; the
//! orderly leave. Not responsible for: order and membership (`totem`), clocks, sockets and files
//! (`evs-node`), what a client that does not read costs (`evsd`).
//!
//! # The driver
//!
//! Inputs are the methods `handle_*` and the clients' verbs; effects are taken from
//! [`Service::poll_output`], in order, until it returns `None`, after every batch of inputs. The
//! driver calls [`Service::handle_timeout`] when [`Service::poll_timeout`] is due; a call too early
//! has no effect. The rules of [`totem`]'s driver hold here too: read the sockets before the
//! timers, hand over data packets before the token.
//!
//! Messages wait in the service, not in the ring, and become packets at the last moment: right
//! before the token is handled, or at the end of a batch of inputs if the ring is idle. So many
//! small messages share a packet, and a single one waits for nobody.
//!
//! Everything that one input causes is translated within that input. A join or a leave of a group
//! therefore takes effect between two points of the history, never inside the batch "rest of R,
//! T(R, R'), rest, R'" (EVS-10).
//!
//! ```
//! use evs_model::{Event, Group, Groups, Guarantee, Instant, NodeId, Processor};
//! use evs_service::{Config, ConnectError, Output, Service};
//!
//! let me = Processor::new(NodeId::new(1).expect("not zero"), 0x5eed);
//! let mut now = Instant::from_nanos(0);
//! let mut service = Service::new(Config::default(), me, 0, 42, now);
//! let client = loop {
//!     match service.connect(now) {
//!         Ok(client) => break client,
//!         Err(ConnectError::NotReady) => now = service.poll_timeout().expect("it listens"),
//!         Err(error) => panic!("{error}"),
//!     }
//!     service.handle_timeout(now);
//! };
//!
//! let group = Group::named("prices").expect("a short name");
//! let groups = Groups::new(&[group]).expect("one group");
//! service.join(now, client, &[group])?;
//! let id = service.send(now, client, Guarantee::Safe, groups, "4711".into())?;
//!
//! let mut received = None;
//! while received.is_none() {
//!     now = service.poll_timeout().expect("a ring has a deadline");
//!     service.handle_timeout(now);
//!     while let Some(output) = service.poll_output() {
//!         // A driver executes every output: packets are sent, the others go where they say.
//!         if let Output::ToClient { event: Event::Message(message), .. } = output {
//!             received = Some(message);
//!         }
//!     }
//! }
//! assert_eq!(received.map(|message| (message.id, message.body)), Some((id, "4711".into())));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod configurations;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod groups;
mod memory;
mod pack;
mod reassembly;
mod sending;
mod service;
mod sessions;
mod stats;
mod turns;

pub use config::{
    CLIENT_SEND_BYTES_CAP, CLIENTS_CAP, ClientLimits, Config, ConfigError, DRAIN_MAX,
    GROUPS_PER_CLIENT_CAP, MESSAGE_BYTES_CAP, Origins,
};
pub use error::{ConnectError, RequestError, SendError};
pub use service::{Output, Service};
pub use stats::Stats;

#[cfg(test)]
mod tests;
