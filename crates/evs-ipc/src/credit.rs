//! The arithmetic of the send credit, the same on both ends.

/// A message was sent for which there was no credit: its sender broke the protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a message that costs {cost} bytes was sent with {spent} of {total} outstanding")]
pub struct Overdrawn {
    /// What it costs.
    pub cost: u64,
    /// What was outstanding before it.
    pub spent: u64,
    /// The whole credit.
    pub total: u64,
}

/// A client's view: how much it has sent that the daemon has not given back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Credit {
    total: u64,
    spent: u64,
}

impl Credit {
    /// Nothing is outstanding.
    #[must_use]
    pub const fn new(total: u64) -> Self {
        Self { total, spent: 0 }
    }

    /// Whether a message of this cost may be sent: it fits, or nothing is outstanding.
    #[must_use]
    pub const fn allows(&self, cost: u64) -> bool {
        self.spent == 0 || cost <= self.total.saturating_sub(self.spent)
    }

    /// A message is sent.
    ///
    /// # Errors
    /// It is not allowed; nothing has changed.
    pub const fn take(&mut self, cost: u64) -> Result<(), Overdrawn> {
        if !self.allows(cost) {
            return Err(Overdrawn { cost, spent: self.spent, total: self.total });
        }
        self.spent = self.spent.saturating_add(cost);
        Ok(())
    }

    /// Credit came back. Returns `false`, and changes nothing, if it is more than was outstanding:
    /// then the other end broke the protocol.
    #[must_use]
    pub const fn give(&mut self, bytes: u64) -> bool {
        match self.spent.checked_sub(bytes) {
            Some(spent) => {
                self.spent = spent;
                true
            }
            None => false,
        }
    }

    /// What is outstanding, in bytes.
    #[must_use]
    pub const fn spent(&self) -> u64 {
        self.spent
    }

    /// The whole credit, in bytes.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }
}

/// The daemon's view of one client: the client's own, and what is free but not yet said.
///
/// Credit is given back in lumps of an eighth, so that its frames cost next to nothing; and
/// at once when nothing is outstanding but the client might believe that its largest message does
/// not fit. A client that waits is therefore always told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CreditLedger {
    client: Credit,
    withheld: u64,
    cost_max: u64,
}

impl CreditLedger {
    /// For a client that was granted `total` and whose dearest message costs `cost_max`.
    #[must_use]
    pub const fn new(total: u64, cost_max: u64) -> Self {
        Self { client: Credit::new(total), withheld: 0, cost_max }
    }

    /// The client sent a message.
    ///
    /// # Errors
    /// It was not allowed to: it broke the protocol. Nothing has changed.
    pub const fn take(&mut self, cost: u64) -> Result<(), Overdrawn> {
        self.client.take(cost)
    }

    /// So many bytes of its messages have left the send queue.
    ///
    /// # Panics
    /// If they were never in it.
    pub const fn free(&mut self, bytes: u64) {
        self.withheld += bytes;
        assert!(self.withheld <= self.client.spent(), "more freed than was taken");
    }

    /// What is to be said to the client now in a `Credit` frame; ask after every turn in which
    /// something was freed. The amount counts as said.
    #[must_use]
    pub const fn due(&mut self) -> Option<u64> {
        let idle = self.withheld == self.client.spent();
        let starves = idle && self.client.total.saturating_sub(self.withheld) < self.cost_max;
        let lump = self.withheld >= self.client.total / LUMP_DIVISOR;
        if self.withheld == 0 || !(lump || starves) {
            return None;
        }
        let due = self.withheld;
        self.withheld = 0;
        self.client.spent -= due;
        Some(due)
    }
}

/// A lump is this part of the whole credit.
const LUMP_DIVISOR: u64 = 8;
