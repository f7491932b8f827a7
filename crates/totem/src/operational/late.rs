//! What follows the token (`docs/protocol.md` §4), done wrong.

use alloc::vec::Vec;

use crate::wire::Mcast;

/// The defect `FilledLater`: the numbers are those that were reserved, and what is sent under them
/// is chosen only now.
pub(super) fn filled_later(late: &[Mcast]) -> Vec<Mcast> {
    let numbers = late.iter().map(|mcast| mcast.seq);
    numbers.zip(late.iter().rev()).map(|(seq, mcast)| Mcast { seq, ..mcast.clone() }).collect()
}
