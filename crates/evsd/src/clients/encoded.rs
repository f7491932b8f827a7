//! Events as bytes: each is encoded once, however many clients it is for.

use evs_ipc::{EncodeFrame as _, Explained};
use evs_model::{ChangeReason, Event, MessageId, RingId};

/// The event that was encoded last, in memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    head: Vec<u8>,
    /// Which message it is, and its place.
    message: Option<(MessageId, RingId, u64)>,
}

impl Encoded {
    pub(super) const fn new() -> Self {
        Self { head: Vec::new(), message: None }
    }

    /// The bytes of an event, a configuration with its reason if there is one: what stands before
    /// a message's body, and that.
    pub(super) fn encode<'a>(
        &'a mut self,
        event: &'a Event,
        reason: Option<ChangeReason>,
    ) -> (&'a [u8], &'a [u8]) {
        if let Event::Message(message) = event {
            let this = Some((message.id, message.ring, message.seq));
            if self.message != this {
                self.head.clear();
                event.encode_head(&mut self.head);
                self.message = this;
            }
            return (&self.head, &message.body);
        }
        self.message = None;
        self.head.clear();
        match reason {
            Some(reason) => Explained { event, reason }.encode(&mut self.head),
            None => event.encode(&mut self.head),
        }
        (&self.head, &[])
    }
}
