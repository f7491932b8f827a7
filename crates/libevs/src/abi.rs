//! The types that cross the border, as C lays them out (`include/corosync/evs.h`).

use std::ffi::{c_uint, c_ulonglong, c_void};

/// `evs_handle_t`, and `hdb_handle_t` in the callbacks.
pub type Handle = u64;

/// `struct evs_group`: 32 bytes, compared whole.
pub type GroupKey = [u8; 32];

/// `struct evs_ring_id`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct RingId {
    /// The representative's node id.
    pub nodeid: c_uint,
    /// The ring's sequence as one number ([`evs_model::RingId::c_seq`]).
    pub seq: c_ulonglong,
}

impl From<evs_model::RingId> for RingId {
    fn from(ring: evs_model::RingId) -> Self {
        Self { nodeid: ring.rep.node.get(), seq: ring.c_seq() }
    }
}

/// `evs_deliver_fn_t`: handle, sender's node id, message, its length in bytes.
// SAFETY: the caller passes a message of that length, valid during the call.
pub type DeliverFn = unsafe extern "C" fn(Handle, c_uint, *const c_void, usize);

/// `evs_confchg_fn_t`: handle; members, left and joined, each a list and its length; ring id.
// SAFETY: the caller passes lists of those lengths and a ring id, valid during the call.
pub type ConfchgFn = unsafe extern "C" fn(
    Handle,
    *const c_uint,
    usize,
    *const c_uint,
    usize,
    *const c_uint,
    usize,
    *const RingId,
);

/// `evs_callbacks_t`. A null callback consumes its events.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Callbacks {
    /// Called for each message.
    pub deliver: Option<DeliverFn>,
    /// Called for each configuration.
    pub confchg: Option<ConfchgFn>,
}

const _: () = {
    assert!(size_of::<RingId>() == 16);
    assert!(std::mem::offset_of!(RingId, seq) == 8);
    assert!(size_of::<Callbacks>() == 2 * size_of::<usize>());
    assert!(size_of::<GroupKey>() == evs_model::Group::LEN);
};
