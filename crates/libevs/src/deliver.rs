//! Calling back into C.

use std::ffi::{c_uint, c_void};
use std::ptr;

use evs::{DisconnectReason, Event, Lent};

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
pub(crate) enum Told<'a> {
    /// A message, where the daemon has put it.
    Message(Lent<'a>),
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
}

/// As wide and as aligned as anything that C programs put into messages.
type Unit = u128;

impl Caller {
    pub(crate) const fn new(callbacks: Callbacks, handle: Handle) -> Self {
        Self { callbacks, handle }
    }

    pub(crate) fn tell(&self, told: &Told<'_>) {
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

    fn deliver(&self, callbacks: abi::Callbacks, message: &Lent<'_>) {
        let Some(deliver) = callbacks.deliver else { return };
        let body = message.body();
        // SAFETY: the program gave this function for this purpose; `body` points to as many bytes
        // as the number after it says, and they stay where they are during the call.
        #[allow(unsafe_code)]
        unsafe {
            deliver(self.handle, message.sender().node.get(), place(body), body.len());
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

    fn typed_message(&self, callbacks: TypedCallbacks, message: &Lent<'_>) {
        let Some(callback) = callbacks.message else { return };
        let told = typed::Message {
            body: place(message.body()),
            size: message.body().len(),
            sender: message.sender().into(),
            client: message.sending_client().0,
            number: message.id().number,
            ring: message.ring().into(),
            seq: message.seq(),
            guarantee: message.guarantee() as c_uint,
            groups: message.group_keys().as_ptr().cast(),
            group_count: message.groups().len(),
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
}

/// The message where a struct can be laid over it: programs do that. It lies so in the ring; of an
/// empty one only the address is looked at.
fn place(body: &[u8]) -> *const c_void {
    let aligned = body.as_ptr().cast::<Unit>().is_aligned();
    assert!(aligned || body.is_empty(), "a body begins 64 bytes and its groups after its frame");
    if body.is_empty() {
        ptr::NonNull::<Unit>::dangling().as_ptr().cast()
    } else {
        body.as_ptr().cast()
    }
}
