//! The memory that a daemon shares with one of its clients: two rings of frames, one for each
//! direction, in a file without a name.
//!
//! The daemon makes the file, which cannot change its size from then on, and passes it on with the
//! Welcome. It believes nothing of what stands there: see `ring.rs`. A client believes the daemon
//! so far that what was written for it stays as it is until it is released.

#[cfg(not(loom))]
mod channel;
#[cfg(loom)]
mod model;
mod ring;
mod sizes;
#[cfg(not(loom))]
mod space;

#[cfg(all(loom, test))]
mod loom_tests;

#[cfg(not(loom))]
pub use channel::{Channel, Lent};
pub use ring::{Bell, Broken, Consumer, Producer, Sleep};
pub use sizes::Sizes;

#[cfg(all(test, not(loom)))]
mod tests;
