//! Client of the EVS group-communication daemon.
//!
//! Processes on several hosts join named groups and multicast to them. All of them see the same
//! messages and the same changes of membership in the same order, through crashes, partitions and
//! merges (extended virtual synchrony; `docs/contract.md` says what exactly is promised).
//!
//! ```no_run
//! use evs::{Client, Event, Group, Guarantee};
//!
//! let client = Client::connect()?;
//! let group = Group::named("greetings").expect("at most 32 bytes");
//! client.join(&[group])?;
//! let id = client.send(Guarantee::Agreed, &[group], b"hello")?;
//! loop {
//!     match client.recv()? {
//!         Event::Regular { ring, members, .. } => println!("{ring}: {members}"),
//!         Event::Message(message) if message.id == id => break,
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Responsible for: the connection to one daemon on this host, its stream of [`Event`]s, sending
//! with back-pressure, waiting (blocking in [`Client`], async in `evs::tokio` with the feature
//! `tokio`), and coming back after the daemon's restart ([`ReconnectingClient`]).
//! Not responsible for: the protocol between hosts, order, membership; all that is the daemon's.
//!
//! There are no hidden threads and no signal handlers. What arrives waits in memory that is shared
//! with the daemon until a call takes it.

#![forbid(unsafe_code)]

mod client;
mod control;
mod error;
mod event;
mod events;
mod handshake;
mod lent;
mod options;
mod readiness;
mod reconnect;
mod requests;
#[cfg(feature = "tokio")]
pub mod tokio;
mod wait;
mod why;

pub use bytes::Bytes;
pub use client::{Arrived, Client};
pub use control::{Limits, Target};
pub use error::{Closed, ConnectError, RequestError, SendError, TryAgain};
pub use event::{DisconnectReason, Event};
pub use evs_ipc::PROTOCOL_VERSION;
pub use evs_model::{
    ChangeReason, ClientId, Configuration, Group, Groups, Guarantee, Members, Message, MessageId,
    NodeId, Processor, RingId, Versions,
};
pub use lent::{Lent, Read};
pub use options::ConnectOptions;
pub use reconnect::ReconnectingClient;
