//! Sending again what others request (Totem §4), by turns.

use alloc::vec::Vec;

use evs_model::RingId;

use crate::wire::RtrList;

/// What this processor sent again at its last visit of the token, ascending. What is requested
/// again at once did not arrive from here: the path may lose it every time (P55), so the next
/// holder has its turn.
#[derive(Debug, Default)]
pub(crate) struct Resent(Vec<u64>);

impl Resent {
    /// Goes through the requests for this ring, up to a budget of packets. `send` sends one, if it
    /// is held here.
    pub(crate) fn serve(
        &mut self,
        rtr: &mut RtrList,
        ring: RingId,
        budget: u32,
        mut send: impl FnMut(u64) -> bool,
    ) {
        let before = core::mem::take(&mut self.0);
        rtr.serve(ring, budget, |seq| {
            let sent = before.binary_search(&seq).is_err() && send(seq);
            if sent {
                self.0.push(seq);
            }
            sent
        });
    }
}

#[cfg(test)]
mod tests {
    use evs_model::{NodeId, Processor};

    use super::*;

    #[test]
    fn what_did_not_arrive_from_here_is_left_to_the_next_holder_once() {
        let rep = Processor::new(NodeId::new(1).expect("not zero"), 1);
        let ring = RingId { seq: 1, rep };
        let mut resent = Resent::default();
        let mut visit = |requests: &[u64]| {
            let mut rtr = RtrList::default();
            assert!(requests.iter().all(|seq| rtr.request(ring, *seq)));
            let mut sent = Vec::new();
            resent.serve(&mut rtr, ring, 100, |seq| {
                sent.push(seq);
                true
            });
            sent
        };
        assert_eq!(visit(&[3, 4]), [3, 4]);
        assert_eq!(visit(&[4, 7]), [7]);
        assert_eq!(visit(&[4, 7]), [4]);
    }
}
