//! The event loop's body: one `evs_service::Service` over one `evs_net::Net`.
//!
//! Responsible for: the only clock of the project; the order of work in a turn (sockets before
//! timers, data before the token that came with it); executing what the service wants; stable
//! storage of the ring sequence.
//! Not responsible for: the loop itself and its poll, clients and their sockets, configuration
//! files (`evsd`).
//!
//! The owner has a `mio::Poll` and one thread:
//! ```text
//! loop {
//!     poll, until Node::poll_timeout; not at all if Node::has_work
//!     for the node's tokens: Node::handle_ready
//!     Node::handle_io(now); drain Node::poll_output
//!     Node::handle_timeout(now); drain Node::poll_output
//!     requests of clients: Node::send and so on; drain Node::poll_output
//! }
//! ```

#![forbid(unsafe_code)]

mod batch;
mod clock;
mod node;
mod store;

pub use clock::Clock;
pub use node::{Config, Node, Output, SOCKETS_MAX, StartError, Stats};
pub use store::Store;
