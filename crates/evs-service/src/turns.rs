//! Whose turn it is to fill the next bytes of a packet.
//!
//! The client that has been served the fewest bytes goes first, then the lowest id: a round robin
//! in bytes. A client that had nothing to send starts level with the others and saves up nothing.
//!
//! A message that does not fit into a packet of its own is *long*; long messages wait in a line of
//! their own for the one place of the message in progress, so that they block each other and
//! nobody else.

use alloc::collections::BTreeSet;

use evs_model::{ClientId, Guarantee};

/// A client whose next message waits.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Turn {
    /// Bytes that the client has been served.
    pub(crate) served: u64,
    pub(crate) client: ClientId,
    /// The guarantee of the packet that its next message needs.
    pub(crate) packet: Guarantee,
}

/// Every client with something to send, exactly once.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    unordered: BTreeSet<Turn>,
    agreed: BTreeSet<Turn>,
    safe: BTreeSet<Turn>,
    long: BTreeSet<Turn>,
    in_progress: Option<Turn>,
    clock: u64,
}

impl Turns {
    /// How many clients wait.
    pub(crate) fn len(&self) -> usize {
        let lines = [&self.unordered, &self.agreed, &self.safe, &self.long];
        lines.iter().map(|line| line.len()).sum::<usize>() + usize::from(self.in_progress.is_some())
    }

    /// What the client whose turn came last had been served; grows for ever.
    pub(crate) const fn clock(&self) -> u64 {
        self.clock
    }

    /// The next one, among all or among those that need such a packet.
    pub(crate) fn pick(&self, packet: Option<Guarantee>) -> Option<Turn> {
        let place = self.in_progress.or_else(|| self.long.first().copied());
        [&self.unordered, &self.agreed, &self.safe]
            .into_iter()
            .filter_map(|line| line.first().copied())
            .chain(place)
            .filter(|turn| packet.is_none_or(|packet| packet == turn.packet))
            .min()
    }

    pub(crate) fn insert(&mut self, turn: Turn, long: bool) {
        let line = if long { &mut self.long } else { self.line(turn.packet) };
        assert!(line.insert(turn), "a client has one turn");
    }

    /// The turn is taken.
    pub(crate) fn remove(&mut self, turn: Turn) {
        if self.in_progress == Some(turn) {
            self.in_progress = None;
        } else {
            let waited = self.line(turn.packet).remove(&turn) || self.long.remove(&turn);
            assert!(waited, "a turn is taken once");
        }
        self.clock = self.clock.max(turn.served);
    }

    /// Whether this client's message may be, or remain, the one that is partly in packets.
    pub(crate) fn may_be_in_progress(&self, turn: Turn) -> bool {
        self.in_progress.is_none_or(|current| current == turn)
    }

    /// The client's message is partly in packets; its rest waits for the next turn.
    pub(crate) fn set_in_progress(&mut self, turn: Turn) {
        let before = self.in_progress.replace(turn);
        assert!(before.is_none(), "one message is in progress at a time");
    }

    /// Nobody waits. The clock goes on.
    pub(crate) fn clear(&mut self) {
        *self = Self { clock: self.clock, ..Self::default() };
    }

    fn line(&mut self, packet: Guarantee) -> &mut BTreeSet<Turn> {
        match packet {
            Guarantee::Unordered => &mut self.unordered,
            Guarantee::Fifo | Guarantee::Agreed => &mut self.agreed,
            Guarantee::Safe => &mut self.safe,
        }
    }
}

#[cfg(test)]
mod tests;
