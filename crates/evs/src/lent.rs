//! Messages that are read where they lie.

use evs_model::{ClientId, Group, Guarantee, MessageId, Processor, RingId};

use crate::events::LentMessage;
use crate::{Client, Event};

/// An event, a message among them without a copy ([`Client::try_read`]).
#[derive(Debug)]
pub enum Read<'a> {
    /// A message.
    Message(Lent<'a>),
    /// Everything else.
    Event(Event),
}

/// A message that lies where the daemon has put it. Dropping it gives its place back.
#[derive(Debug)]
pub struct Lent<'a> {
    pub(crate) client: &'a Client,
    /// There until it is given back.
    pub(crate) message: Option<LentMessage>,
}

impl Lent<'_> {
    /// Which message it is.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.parts().view.id
    }

    /// Whose daemon sent it.
    #[must_use]
    pub fn sender(&self) -> Processor {
        self.id().sender
    }

    /// The session there.
    #[must_use]
    pub fn sending_client(&self) -> ClientId {
        self.id().client
    }

    /// How it was ordered.
    #[must_use]
    pub fn guarantee(&self) -> Guarantee {
        self.parts().view.guarantee
    }

    /// The configuration in which it was sent.
    #[must_use]
    pub fn ring(&self) -> RingId {
        self.parts().view.ring
    }

    /// Its place in that.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.parts().view.seq
    }

    /// The content. It begins at a multiple of 16 bytes.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        let LentMessage { bytes, view } = self.parts();
        &bytes[view.body.clone()]
    }

    /// To whom it was sent.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = Group> {
        self.group_keys().as_chunks().0.iter().map(|key| Group(*key))
    }

    /// The keys of the groups, one after the other.
    #[must_use]
    pub fn group_keys(&self) -> &[u8] {
        let LentMessage { bytes, view } = self.parts();
        &bytes[view.groups.clone()]
    }

    pub(crate) fn into_message(mut self) -> Option<LentMessage> {
        self.message.take()
    }

    const fn parts(&self) -> &LentMessage {
        self.message.as_ref().expect("there until it is given back, which takes this value")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            self.client.give_back(message);
        }
    }
}
