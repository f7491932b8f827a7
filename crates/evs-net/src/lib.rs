//! Packets between the nodes of one cluster: links, sealing, replay windows, and who is heard.
//!
//! Responsible for: turning payloads into sealed datagrams and back; telling an authentic, fresh
//! datagram of a peer from everything else, at the price of one fixed-size check and one AEAD
//! operation; knowing which peers are heard (`docs/protocol.md` §6), in which incarnation, and how
//! far away they are; noticing a second owner of this node's id; UDP sockets and batched system
//! calls.
//! Not responsible for: what a payload means (it is bytes here), retransmission, order, membership.
//!
//! Two halves. The sans-I/O half is [`Endpoint`] and what it is made of: no clock, no socket, no
//! global; the same inputs give the same outputs, byte for byte, and the simulator runs this very
//! code. The I/O half is [`Net`]: one `Endpoint` over the UDP sockets of its [`Link`]s.
//!
//! ```text
//! datagram ─► header ─► known sender? ─► new? ─► AEAD ─► replay window ─┬─► hello: stays here
//!            (38 bytes)  (node id)   (counter)                          ├─► ring packet: goes up
//!                                                                       └─► part of one: waits
//! ```
//!
//! Architecture invariants: nothing of a datagram but its fixed header is looked at before it is
//! authenticated; whatever is dropped is a counter with a reason ([`Discard`]), never a log line;
//! memory per peer is bounded by two incarnations, and by what of incomplete packets is kept.

#![forbid(unsafe_code)]

mod batch;
mod detection;
mod discard;
mod endpoint;
mod flaps;
mod hello;
mod inbox;
mod key;
mod keys;
mod link;
mod links;
mod mtu;
mod net;
mod parts;
mod path;
mod peer;
mod port;
mod reach;
mod replay;
mod route;
mod seal;
mod socket;
mod stats;
#[cfg(test)]
mod testing;
mod versions;
mod wire;

pub use detection::Detection;
pub use discard::{Discard, EndpointStats};
pub use endpoint::{
    ConfigError, Destination, Endpoint, EndpointConfig, EndpointOutput, Incoming, LinkTerms,
    PathStatus, PeerStatus,
};
pub use hello::{Echo, HELLO_ECHOES_MAX, Hello, HelloError, Holder, Losses};
pub use key::{ClusterKey, KeyError, random_u64};
pub use keys::{KEYS_MAX, KeyChangeError, key_name};
pub use link::{Link, LinkError, Multicast, Transport, ip_packet_bytes, payload_bytes_max};
pub use links::{LINKS_MAX, LinkId, Links};
pub use mtu::SAFE_DATAGRAM_BYTES;
pub use net::{Net, NetConfig, NetConfigError, NetEvent, PeerError};
pub use parts::{UNFINISHED_BYTES_MAX, UNFINISHED_PACKETS_MAX};
pub use peer::RoundTrip;
pub use reach::{DownCause, MtuCause, PeerEvent};
pub use replay::{Replay, ReplayWindow};
pub use route::Trouble;
pub use seal::{Audience, SealError, SealMode, Ticket};
pub use stats::{NetStats, SendFailures};
pub use versions::{Foreign, spoken};
pub use wire::{CLUSTER_NAME_BYTES_MAX, DATAGRAM_BYTES_MAX, PAYLOAD_BYTES_MAX, SEAL_OVERHEAD};
