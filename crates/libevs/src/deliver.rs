//! Calling back into C.

use std::ffi::{c_uint, c_void};

use evs::{DisconnectReason, Event, Message};

use crate::abi::{self, Handle};
use crate::lists::Lists;
use crate::typed::{self, List, TypedCallbacks, end_number};

/// The callbacks of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Callbacks {
    /// Those of the original.
    Plain(abi::Callbacks),
    /// Those of the extended interface.
    Typed(TypedCallbacks),
}

/// What a callback is to be told.
#[derive(Debug)]
pub(crate) enum Told {
    /// A message.
    Message(Message),
    /// A configuration, as the original tells it.
    Lists(Lists),
    /// A configuration, as it is.
    Typed(Event),
}

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

    pub(crate) fn tell(&mut self, told: &Told) {
        match (self.callbacks, told) {
            (Callbacks::Plain(callbacks), Told::Message(message)) => {
                self.deliver(callbacks, message);
            }
            (Callbacks::Plain(callbacks), Told::Lists(lists)) => self.confchg(callbacks, lists),
            (Callbacks::Typed(callbacks), Told::Message(message)) => {
                self.typed_message(callbacks, message);
            }
            (Callbacks::Typed(callbacks), Told::Typed(event)) => self.typed(callbacks, event),
            // A session has callbacks of one kind, and is told what they take.
            (Callbacks::Plain(_), Told::Typed(_)) | (Callbacks::Typed(_), Told::Lists(_)) => {}
        }
    }

    /// The session is over. The original has no callback for that.
    pub(crate) fn end(&self, reason: DisconnectReason) {
        let Callbacks::Typed(TypedCallbacks { end: Some(end), .. }) = self.callbacks else {
            return;
        };
        // SAFETY: the program gave this function for this purpose; all it gets is two numbers.
        #[allow(unsafe_code)]
        unsafe {
            end(self.handle, end_number(Some(reason)));
        }
    }

    fn deliver(&mut self, callbacks: abi::Callbacks, message: &Message) {
        let Some(deliver) = callbacks.deliver else { return };
        let body = self.align(&message.body);
        // SAFETY: the program gave this function for this purpose; `body` points to as many bytes
        // as the number after it says, and they stay where they are during the call.
        #[allow(unsafe_code)]
        unsafe {
            deliver(self.handle, message.id.sender.node.get(), body, message.body.len());
        }
    }

    fn confchg(&self, callbacks: abi::Callbacks, lists: &Lists) {
        let Some(confchg) = callbacks.confchg else { return };
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

    fn typed_message(&mut self, callbacks: TypedCallbacks, message: &Message) {
        let Some(callback) = callbacks.message else { return };
        let told = typed::Message {
            body: self.align(&message.body),
            size: message.body.len(),
            sender: message.id.sender.into(),
            client: message.id.client.0,
            number: message.id.number,
            ring: message.ring.into(),
            seq: message.seq,
            guarantee: message.guarantee as c_uint,
            groups: message.groups.as_bytes().as_ptr().cast(),
            group_count: message.groups.len(),
        };
        // SAFETY: the program gave this function for this purpose; `told` and what it points to,
        // in the lengths that it says, stay where they are during the call. A group is 32 bytes
        // without alignment.
        #[allow(unsafe_code)]
        unsafe {
            callback(self.handle, &raw const told);
        }
    }

    fn typed(&self, callbacks: TypedCallbacks, event: &Event) {
        match event {
            Event::Regular { ring, members, left, joined, reason } => {
                let Some(callback) = callbacks.regular else { return };
                let lists = [members, left, joined].map(List::new);
                let [members, left, joined] = lists.each_ref().map(List::for_c);
                let (ring, reason) = ((*ring).into(), (*reason).into());
                let told = typed::Regular { ring, members, left, joined, reason };
                // SAFETY: the program gave this function for this purpose; `told` and its lists
                // stay where they are during the call.
                #[allow(unsafe_code)]
                unsafe {
                    callback(self.handle, &raw const told);
                }
            }
            Event::Transitional { from, to, members, left, reason } => {
                let Some(callback) = callbacks.transitional else { return };
                let lists = [members, left].map(List::new);
                let [members, left] = lists.each_ref().map(List::for_c);
                let (from, to) = ((*from).into(), (*to).into());
                let told =
                    typed::Transitional { from, to, members, left, reason: (*reason).into() };
                // SAFETY: the program gave this function for this purpose; `told` and its lists
                // stay where they are during the call.
                #[allow(unsafe_code)]
                unsafe {
                    callback(self.handle, &raw const told);
                }
            }
            Event::Message(_) | Event::Gap { .. } | Event::Disconnected { .. } | _ => {}
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
    use evs::{Bytes, ClientId, Groups, Guarantee, MessageId, NodeId, Processor, RingId};

    use super::*;

    fn message(node: u32, body: Bytes) -> Message {
        let sender = Processor::new(NodeId::new(node).expect("not zero"), 7);
        Message {
            id: MessageId { sender, client: ClientId(1), number: 1 },
            groups: Groups::new(&[]).expect("none"),
            guarantee: Guarantee::Agreed,
            ring: RingId { seq: 1, rep: sender },
            seq: 1,
            body,
        }
    }

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
        let callbacks = abi::Callbacks { deliver: Some(check), confchg: None };
        let mut caller = Caller::new(Callbacks::Plain(callbacks), 1);
        let bytes = Bytes::from(bytes);
        for start in 1..17 {
            for end in start..bytes.len() {
                let node = u32::try_from(start).expect("small");
                caller.tell(&Told::Message(message(node, bytes.slice(start..end))));
            }
        }
    }
}
