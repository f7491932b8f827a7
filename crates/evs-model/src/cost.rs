//! What a message costs in a client's send queue: one formula for both ends of a session.

use crate::Group;

/// Bytes that a queued message counts for besides its body and its groups.
pub const SEND_OVERHEAD: usize = 64;

/// Bytes that a message counts for in its client's send queue (`client_send_bytes_max`).
///
/// A client computes the same number as its daemon, so it knows without asking whether there is
/// room: a message is taken if nothing of the client is queued, or if it fits beside what is.
#[must_use]
pub const fn send_cost(body_bytes: usize, groups: usize) -> usize {
    body_bytes.saturating_add(groups.saturating_mul(Group::LEN)).saturating_add(SEND_OVERHEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_message_costs_its_overhead() {
        assert_eq!(send_cost(0, 0), SEND_OVERHEAD);
        assert_eq!(send_cost(100, 2), 228);
    }
}
