//! The functions that C calls.
//!
//! Each checks what it was given, in this order: the handle, pointers and values, sizes. It then
//! does its work in safe code. The manual pages list every error of each function.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint, c_void};
use std::io::IoSlice;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::{mem, ptr, slice};

use evs::{Configuration, Group, Groups, Guarantee, Target};
use libc::iovec;

use crate::abi::{self, GroupKey, Handle};
use crate::deliver::Callbacks;
use crate::dispatch::{Mode, dispatch};
use crate::handles;
use crate::instance::Instance;
use crate::status::Status;

/// Most groups in one call of join or leave.
const REQUEST_GROUPS_MAX: usize = 50;

/// Most places that one message is gathered from: the system's `IOV_MAX`.
const IOVECS_MAX: usize = 1024;

/// Opens a session with the daemon of this host; see evs_initialize(3).
///
/// # Safety
/// `handle` is null or to a handle, `callbacks` is null or to callbacks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evs_initialize(
    handle: *mut Handle,
    callbacks: *const abi::Callbacks,
) -> Status {
    guard(|| {
        if handle.is_null() {
            return Err(Status::InvalidParam);
        }
        // SAFETY: the caller says that it is null or to callbacks.
        let callbacks = unsafe { callbacks.as_ref() }.copied().unwrap_or_default();
        let opened = handles::insert(Instance::connect(Callbacks::Plain(callbacks))?);
        // SAFETY: not null, so to a handle.
        unsafe { handle.write(opened) };
        Ok(())
    })
}

/// Ends a session; see evs_finalize(3).
#[unsafe(no_mangle)]
pub extern "C" fn evs_finalize(handle: Handle) -> Status {
    guard(|| {
        // Whom no other thread uses is just dropped. To end it aloud would disturb the other side
        // of a fork, which shares its descriptors.
        if let Err(in_use) = Arc::try_unwrap(handles::remove(handle)?) {
            in_use.finalize();
        }
        Ok(())
    })
}

/// The descriptor to poll; see evs_fd_get(3).
///
/// # Safety
/// `fd` is null or to an int.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evs_fd_get(handle: Handle, fd: *mut c_int) -> Status {
    guard(|| {
        let instance = handles::find(handle)?;
        // SAFETY: the caller says that it is null or to an int.
        unsafe { put(fd, instance.fd()) }
    })
}

/// What was attached to the handle; see evs_context_get(3).
///
/// # Safety
/// `context` is null or to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evs_context_get(handle: Handle, context: *mut *mut c_void) -> Status {
    guard(|| {
        let instance = handles::find(handle)?;
        // SAFETY: the caller says that it is null or to a pointer.
        unsafe { put(context, instance.context()) }
    })
}

/// Attaches a pointer to the handle; see evs_context_set(3).
#[unsafe(no_mangle)]
pub extern "C" fn evs_context_set(handle: Handle, context: *mut c_void) -> Status {
    guard(|| {
        handles::find(handle)?.set_context(context);
        Ok(())
    })
}

/// Runs callbacks; see evs_dispatch(3).
#[unsafe(no_mangle)]
pub extern "C" fn evs_dispatch(handle: Handle, flags: c_uint) -> Status {
    guard(|| {
        let instance = handles::find(handle)?;
        let mode = Mode::from_c(flags).ok_or(Status::InvalidParam)?;
        dispatch(&instance, handle, mode)
    })
}

/// Joins groups; see evs_join(3).
///
/// # Safety
/// `groups` is null or to `count` groups.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evs_join(handle: Handle, groups: *const GroupKey, count: usize) -> Status {
    guard(|| {
        let instance = handles::find(handle)?;
        // SAFETY: the caller says that it is null or to so many groups.
        let groups = unsafe { read_groups(groups, count, REQUEST_GROUPS_MAX) }?;
        Ok(instance.client.join(&groups)?)
    })
}

/// Leaves groups; see evs_leave(3).
///
/// # Safety
/// `groups` is null or to `count` groups.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evs_leave(
    handle: Handle,
    groups: *const GroupKey,
    count: usize,
) -> Status {
    guard(|| {
        let instance = handles::find(handle)?;
        // SAFETY: the caller says that it is null or to so many groups.
        let groups = unsafe { read_groups(groups, count, REQUEST_GROUPS_MAX) }?;
        Ok(instance.client.leave(&groups)?)
    })
}

/// Sends to the joined groups; see evs_mcast_joined(3).
///
/// # Safety
/// `parts` is null or to `count` iovecs, each with as many bytes as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evs_mcast_joined(
    handle: Handle,
    guarantee: c_uint,
    parts: *const iovec,
    count: c_uint,
) -> Status {
    guard(|| {
        let instance = handles::find(handle)?;
        // SAFETY: the caller says that it is null or to so many iovecs, and what they hold.
        unsafe { mcast(&instance, guarantee, Target::Joined, parts, count) }
    })
}

/// Sends to groups; see evs_mcast_groups(3).
///
/// # Safety
/// `groups` is null or to `group_count` groups, `parts` is null or to `count` iovecs, each with as
/// many bytes as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evs_mcast_groups(
    handle: Handle,
    guarantee: c_uint,
    groups: *const GroupKey,
    group_count: usize,
    parts: *const iovec,
    count: c_uint,
) -> Status {
    guard(|| {
        let instance = handles::find(handle)?;
        // SAFETY: the caller says that it is null or to so many groups.
        let groups = unsafe { read_groups(groups, group_count, Groups::MAX) }?;
        // SAFETY: the caller says that it is null or to so many iovecs, and what they hold.
        unsafe { mcast(&instance, guarantee, Target::Groups(&groups), parts, count) }
    })
}

/// The last dispatched configuration; see evs_membership_get(3).
///
/// # Safety
/// `local` is null or to a node id; `entries` is null or to a number; `list` is null or has room
/// for `*entries` node ids.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evs_membership_get(
    handle: Handle,
    local: *mut c_uint,
    list: *mut c_uint,
    entries: *mut usize,
) -> Status {
    guard(|| {
        let instance = handles::find(handle)?;
        if entries.is_null() {
            return Err(Status::InvalidParam);
        }
        if instance.client.is_over() {
            return Err(Status::Library);
        }
        let (Configuration::Regular { members, .. } | Configuration::Transitional { members, .. }) =
            instance.client.configuration();
        let mut count = members.len();
        if !list.is_null() {
            // SAFETY: not null, so to a number.
            count = count.min(unsafe { entries.read() });
            for (i, member) in members.iter().take(count).enumerate() {
                // SAFETY: not null, so there is room for `*entries` of them, and `i` is below.
                unsafe { list.add(i).write(member.node.get()) };
            }
        }
        // SAFETY: not null, so to a number.
        unsafe { entries.write(count) };
        if !local.is_null() {
            // SAFETY: not null, so to a node id.
            unsafe { local.write(instance.client.processor().node.get()) };
        }
        Ok(())
    })
}

/// No panic crosses the border to C.
pub(crate) fn guard(call: impl FnOnce() -> Result<(), Status>) -> Status {
    // After a panic nothing is left half done: what is shared is behind locks that survive one.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => Status::Ok,
        Ok(Err(status)) => status,
        Err(panic) => {
            // What was thrown could panic again when it is dropped.
            mem::forget(panic);
            Status::Library
        }
    }
}

/// Writes a result.
///
/// # Safety
/// `place` is null or to a `T`.
pub(crate) unsafe fn put<T>(place: *mut T, value: T) -> Result<(), Status> {
    if place.is_null() {
        return Err(Status::InvalidParam);
    }
    // SAFETY: not null, so to a T, as the caller says.
    unsafe { place.write(value) };
    Ok(())
}

/// Copies group keys.
///
/// # Safety
/// `groups` is null or to `count` groups.
unsafe fn read_groups(
    groups: *const GroupKey,
    count: usize,
    limit: usize,
) -> Result<Vec<Group>, Status> {
    if groups.is_null() && count > 0 {
        return Err(Status::InvalidParam);
    }
    if count > limit {
        return Err(Status::TooManyGroups);
    }
    // SAFETY: to so many groups, as the caller says; bytes need no alignment.
    let keys = unsafe { slice_of(groups, count) };
    Ok(keys.iter().map(|key| Group(*key)).collect())
}

/// Sends a message that stands in several places.
///
/// # Safety
/// `parts` is null or to `count` iovecs, each with as many bytes as it says.
unsafe fn mcast(
    instance: &Instance,
    guarantee: c_uint,
    target: Target<'_>,
    parts: *const iovec,
    count: c_uint,
) -> Result<(), Status> {
    let guarantee = u8::try_from(guarantee).ok().and_then(|g| Guarantee::try_from(g).ok());
    let guarantee = guarantee.ok_or(Status::InvalidParam)?;
    let count = count as usize;
    if (parts.is_null() && count > 0) || count > IOVECS_MAX {
        return Err(Status::InvalidParam);
    }
    // SAFETY: to so many iovecs, as the caller says.
    let parts = unsafe { slice_of(parts, count) };
    if parts.iter().any(|part| part.iov_base.is_null() && part.iov_len > 0) {
        return Err(Status::InvalidParam);
    }
    let bytes = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.iov_len));
    if bytes > instance.client.limits().message_bytes_max {
        return Err(Status::TooBig);
    }
    let parts: Vec<_> = parts
        .iter()
        .filter(|part| part.iov_len > 0)
        .map(|part| {
            // SAFETY: not null, and of this length, as the caller says; the limit is far below
            // half the address space.
            IoSlice::new(unsafe { slice::from_raw_parts(part.iov_base.cast(), part.iov_len) })
        })
        .collect();
    instance.client.try_send_vectored(guarantee, target, &parts)?;
    Ok(())
}

/// A slice that is empty if there is nothing, wherever the pointer points.
///
/// # Safety
/// `first` is to `count` values, or `count` is 0.
unsafe fn slice_of<'a, T>(first: *const T, count: usize) -> &'a [T] {
    let first = if count == 0 { ptr::NonNull::dangling().as_ptr() } else { first };
    // SAFETY: to so many values, as the caller says; of none, any aligned address will do.
    unsafe { slice::from_raw_parts(first, count) }
}
