//! Calling back into C.

use std::ffi::c_void;

use crate::abi::{Callbacks, Handle};
use crate::lists::Lists;

/// Runs the callbacks of one dispatch.
#[derive(Debug)]
pub(crate) struct Caller {
    callbacks: Callbacks,
    handle: Handle,
    /// Memory for messages that do not lie as C wants them.
    aligned: Vec<Unit>,
}

/// As wide and as aligned as anything that C programs put into messages.
type Unit = u128;

impl Caller {
    pub(crate) const fn new(callbacks: Callbacks, handle: Handle) -> Self {
        Self { callbacks, handle, aligned: Vec::new() }
    }

    pub(crate) fn deliver(&mut self, node: u32, body: &[u8]) {
        let Some(deliver) = self.callbacks.deliver else { return };
        let message = self.align(body);
        // SAFETY: the program gave this function for this purpose; `message` points to
        // `body.len()` bytes that stay where they are during the call.
        #[allow(unsafe_code)]
        unsafe {
            deliver(self.handle, node, message, body.len());
        }
    }

    pub(crate) fn confchg(&self, lists: &Lists) {
        let Some(confchg) = self.callbacks.confchg else { return };
        let Lists { ring, members, left, joined } = lists;
        // SAFETY: the program gave this function for this purpose; each pointer is to as many
        // elements as the number after it says, and they stay where they are during the call.
        #[allow(unsafe_code)]
        unsafe {
            confchg(
                self.handle,
                members.as_ptr(),
                members.len(),
                left.as_ptr(),
                left.len(),
                joined.as_ptr(),
                joined.len(),
                ring,
            );
        }
    }

    /// The message where a struct can be laid over it. Programs do that; but in the stream one
    /// message begins where the one before it ends.
    fn align(&mut self, body: &[u8]) -> *const c_void {
        if !body.is_empty() && body.as_ptr().cast::<Unit>().is_aligned() {
            return body.as_ptr().cast();
        }
        self.aligned.clear();
        self.aligned.reserve(body.len().div_ceil(size_of::<Unit>()).max(1));
        let place: *mut u8 = self.aligned.as_mut_ptr().cast();
        // SAFETY: the reserved memory holds at least `body.len()` bytes, nothing is known of them,
        // and they do not overlap with the body.
        #[allow(unsafe_code)]
        unsafe {
            place.copy_from_nonoverlapping(body.as_ptr(), body.len());
        }
        place.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts what is right about a message: its bytes, where it lies.
    // SAFETY: called with a valid message only.
    #[allow(unsafe_code)]
    unsafe extern "C" fn check(_: Handle, node: u32, message: *const c_void, bytes: usize) {
        assert!(message.cast::<Unit>().is_aligned());
        // SAFETY: the caller says that the message has so many bytes.
        let body = unsafe { std::slice::from_raw_parts(message.cast::<u8>(), bytes) };
        assert!(body.iter().zip(node..).all(|(byte, want)| u32::from(*byte) == want));
    }

    #[test]
    fn a_message_is_aligned_wherever_it_comes_from() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut caller = Caller::new(Callbacks { deliver: Some(check), confchg: None }, 1);
        for start in 0..17 {
            for end in start..bytes.len() {
                caller.deliver(u32::try_from(start).expect("small"), &bytes[start..end]);
            }
        }
    }
}
