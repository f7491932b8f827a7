//! The functions that the original did not have (`include/evs/evs_ext.h`).

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::os::fd::AsRawFd;

use crate::abi::Handle;
use crate::deliver::Callbacks;
use crate::entry::{guard, put};
use crate::handles;
use crate::instance::Instance;
use crate::status::Status;
use crate::typed::{Processor, Ring, TypedCallbacks, Version, end_number, version};

/// Opens a session with typed callbacks; see evs_typed_initialize(3).
///
/// # Safety
/// `handle` is null or to a handle, `callbacks` is null or to `size` bytes that hold callbacks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evs_typed_initialize(
    handle: *mut Handle,
    callbacks: *const TypedCallbacks,
    size: usize,
    context: *mut c_void,
) -> Status {
    guard(|| {
        if handle.is_null() {
            return Err(Status::InvalidParam);
        }
        // SAFETY: the caller says that it is null or to so many bytes.
        let callbacks = unsafe { read_callbacks(callbacks, size) }?;
        let instance = Instance::connect(Callbacks::Typed(callbacks))?;
        instance.set_context(context);
        // SAFETY: not null, so to a handle.
        unsafe { handle.write(handles::insert(instance)) };
        Ok(())
    })
}

/// Reads callbacks that may be those of an earlier or a later header.
///
/// # Safety
/// `callbacks` is null or to `size` bytes, which hold callbacks.
unsafe fn read_callbacks(
    callbacks: *const TypedCallbacks,
    size: usize,
) -> Result<TypedCallbacks, Status> {
    let one = size_of::<*const c_void>();
    if callbacks.is_null() {
        return Ok(TypedCallbacks::default());
    }
    if size == 0 || !size.is_multiple_of(one) {
        return Err(Status::InvalidParam);
    }
    if size > size_of::<TypedCallbacks>() {
        // A later header's: this library does not know when to call those.
        return Err(Status::NotSupported);
    }
    let mut read = TypedCallbacks::default();
    // SAFETY: to so many bytes, as the caller says; they are not more than the copy has. It
    // consists of nullable function pointers of one size, and a whole number of them is copied.
    unsafe {
        let to = (&raw mut read).cast::<u8>();
        to.copy_from_nonoverlapping(callbacks.cast(), size);
    }
    Ok(read)
}

/// Who the session is; see evs_self_get(3).
///
/// # Safety
/// `processor` is null or to a processor, `client` is null or to a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evs_self_get(
    handle: Handle,
    processor: *mut Processor,
    client: *mut u64,
) -> Status {
    guard(|| {
        let instance = handles::find(handle)?;
        if !processor.is_null() {
            // SAFETY: not null, so to a processor.
            unsafe { processor.write(instance.client.processor().into()) };
        }
        if !client.is_null() {
            // SAFETY: not null, so to a number.
            unsafe { client.write(instance.client.client_id().0) };
        }
        Ok(())
    })
}

/// Why the session ended; see evs_end_get(3).
///
/// # Safety
/// `reason` is null or to a reason.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evs_end_get(handle: Handle, reason: *mut c_uint) -> Status {
    guard(|| {
        let instance = handles::find(handle)?;
        // SAFETY: the caller says that it is null or to a reason.
        unsafe { put(reason, end_number(instance.end())) }
    })
}

/// The descriptor to poll after `CS_ERR_TRY_AGAIN` of a send; see evs_room_fd_get(3).
///
/// # Safety
/// `fd` is null or to an int.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evs_room_fd_get(handle: Handle, fd: *mut c_int) -> Status {
    guard(|| {
        let instance = handles::find(handle)?;
        if fd.is_null() {
            return Err(Status::InvalidParam);
        }
        let room = instance.client.room_fd().map_err(|_| Status::NoResources)?;
        // SAFETY: not null, so to an int.
        unsafe { put(fd, room.as_raw_fd()) }
    })
}

/// Why a configuration came about; see evs_why_get(3).
///
/// # Safety
/// `ring` is null or to a ring, `size` is null or to a number, `json` is null or to so many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evs_why_get(
    handle: Handle,
    ring: *const Ring,
    json: *mut c_char,
    size: *mut usize,
) -> Status {
    guard(|| {
        let instance = handles::find(handle)?;
        // SAFETY: the caller says that they are null or to a ring and a number.
        let (ring, size) = unsafe { (ring.as_ref(), size.as_mut()) };
        let (Some(ring), Some(size)) = (ring, size) else { return Err(Status::InvalidParam) };
        if json.is_null() && *size > 0 {
            return Err(Status::InvalidParam);
        }
        let ring = evs::RingId::try_from(*ring).map_err(|()| Status::InvalidParam)?;
        let text = instance.client.why_json(ring)?;
        let room = std::mem::replace(size, text.len() + 1);
        if room <= text.len() {
            return Err(Status::NoSpace);
        }
        // SAFETY: not null, for it has room for more than nothing: for the text and its end, as the
        // caller says.
        unsafe {
            json.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len());
            json.add(text.len()).write(0);
        }
        Ok(())
    })
}

/// Which library this is; see evs_version_get(3).
///
/// # Safety
/// `place` is null or to a version.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evs_version_get(place: *mut Version) -> Status {
    guard(|| {
        // SAFETY: the caller says that it is null or to a version.
        unsafe { put(place, version()) }
    })
}
