//! Counters: what was taken, sent and delivered, and what was thrown away and why.

/// Counters of one service since its start. They only grow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Messages taken from clients.
    pub messages_accepted: u64,
    /// Own messages that got their place in a configuration's order.
    pub messages_sent: u64,
    /// Own messages begun in one configuration and sent whole again in the next.
    pub messages_restarted: u64,
    /// Own messages delivered to this processor itself.
    pub messages_returned: u64,
    /// Messages accepted but not sent, or not delivered here, when an orderly leave ended.
    pub messages_dropped: u64,
    /// Messages delivered to this processor, whether or not a client wanted them.
    pub messages_delivered: u64,
    /// Copies of messages handed to clients.
    pub copies_delivered: u64,
    /// Packets handed to the ring.
    pub packets_submitted: u64,
    /// Messages refused because a client's send queue was full.
    pub sends_refused: u64,
    /// Packets received whose rest could not be read.
    pub records_malformed: u64,
    /// Incomplete messages given up at a new configuration.
    pub partials_ended: u64,
    /// Fragments received that continue nothing, or contradict what they continue.
    pub fragments_dropped: u64,
}
