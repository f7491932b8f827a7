//! C interface of the service, for programs written for `corosync/evs.h`.
//!
//! The symbols, types, constants and layouts are those that such programs were compiled against;
//! what each call does is written in the manual pages (`man/`). It is a thin layer over the Rust
//! client (`evs`): one handle is one session.
//!
//! Responsible for: checking what C hands over, handles that are never trusted, the dispatch modes,
//! the split of left and joined over two callbacks as the old interface has it, and error numbers.
//! Not responsible for: the connection and its waiting (`evs`), order and membership (the daemon).
//!
//! - No call lets a panic out: it becomes `CS_ERR_LIBRARY`.
//! - No lock is held while a callback runs. A callback may call anything on any handle.
//! - There are no threads, no signal handlers, no large buffers on the stack, and no `SIGPIPE`.
//!
//! The shared library is not made by Cargo, which cannot give it symbol versions: it is linked from
//! the static one with `libevs.map`.

#![deny(unsafe_code)]

mod abi;
mod deliver;
mod dispatch;
mod entry;
mod extension;
mod handles;
mod instance;
mod lists;
mod status;
mod typed;

pub use abi::{Callbacks, ConfchgFn, DeliverFn, GroupKey, Handle, RingId};
pub use entry::{
    evs_context_get, evs_context_set, evs_dispatch, evs_fd_get, evs_finalize, evs_initialize,
    evs_join, evs_leave, evs_mcast_groups, evs_mcast_joined, evs_membership_get,
};
pub use extension::{
    evs_end_get, evs_room_fd_get, evs_self_get, evs_typed_initialize, evs_version_get, evs_why_get,
};
pub use status::Status;
pub use typed::{
    Message, Processor, Processors, Reason, Regular, Ring, Transitional, TypedCallbacks, Version,
};
