//! Sending again what others request (Totem §4), by turns.

use alloc::collections::BTreeSet;

use evs_model::RingId;

use crate::wire::RtrList;

/// What this processor sent again when it was requested last. What is requested once more did not
/// arrive from here: the path may lose it every time (P55), so the next holder has its turn.
#[derive(Debug, Default)]
pub(crate) struct Resent(BTreeSet<u64>);

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
        rtr.serve(ring, budget, |seq| {
            let sent = !self.0.remove(&seq) && send(seq);
            if sent {
                self.0.insert(seq);
            }
            sent
        });
    }

    /// Everybody has everything up to here.
    pub(crate) fn release(&mut self, to: u64) {
        if self.0.first().is_some_and(|first| *first <= to) {
            self.0 = self.0.split_off(&(to + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

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
