//! What one processor delivers, held against as much of `docs/contract.md` as one processor alone
//! can be held to, whatever its peers say.

use std::collections::BTreeSet;

use evs_model::{Configuration, Guarantee, Members, Processor, RingId};
use totem::{Delivery, Origins};

/// The history of one processor so far.
#[derive(Debug)]
pub(crate) struct History {
    me: Processor,
    /// What stands before a ring's first number.
    origin: u64,
    regular: Option<(RingId, Members)>,
    /// The transitional configuration that was delivered last, if it still lasts.
    transitional: Option<(RingId, Members)>,
    /// What was delivered in the regular configuration and its transitional one.
    delivered: BTreeSet<u64>,
    /// All of it was delivered up to here.
    contiguous: u64,
    /// The highest number that was delivered in its place.
    in_order: u64,
    /// Own packets that were delivered, counted as those that were sequenced.
    pub(crate) returned: u64,
    /// Whether a peer spoke in this processor's name: then nothing can be said of own packets.
    pub(crate) forged: bool,
    pub(crate) installs: u64,
    pub(crate) past_gap: bool,
}

impl History {
    pub(crate) const fn new(me: Processor, origins: &Origins) -> Self {
        Self {
            me,
            origin: origins.seq,
            regular: None,
            transitional: None,
            delivered: BTreeSet::new(),
            contiguous: 0,
            in_order: 0,
            returned: origins.sequenced,
            forged: false,
            installs: 0,
            past_gap: false,
        }
    }

    /// EVS-2: a regular configuration first; then always a transitional one and a regular one.
    /// `sequenced` is how many own packets ever got a number.
    pub(crate) fn configure(&mut self, configuration: Configuration, sequenced: u64) {
        match configuration {
            Configuration::Transitional { from, to, members } => {
                let Some((ring, old)) = &self.regular else {
                    panic!("the first configuration is regular");
                };
                assert!(self.transitional.is_none(), "one transitional configuration at a time");
                assert_eq!(from, *ring, "it follows the last regular configuration");
                assert!(to.seq > from.seq, "ring ids grow");
                assert!(members.contains(self.me) && members.is_subset(old));
                self.transitional = Some((to, members));
            }
            Configuration::Regular { ring, members } => {
                assert!(members.contains(self.me), "one is a member of what one installs");
                assert_eq!(members.rep(), Some(ring.rep), "the lowest represents");
                assert_eq!(self.regular.is_some(), self.transitional.is_some());
                if let Some((to, transitional)) = self.transitional.take() {
                    assert_eq!(to, ring, "it was announced");
                    assert!(transitional.is_subset(&members));
                }
                // EVS-3: what was sent in a configuration is delivered before the next.
                assert!(self.forged || self.returned == sequenced, "own packets are delivered");
                self.regular = Some((ring, members));
                self.delivered.clear();
                (self.contiguous, self.in_order) = (self.origin, self.origin);
                self.installs += 1;
            }
        }
    }

    /// EVS-1, EVS-6, EVS-9: once, in its configuration, in its place.
    pub(crate) fn deliver(&mut self, delivery: &Delivery) {
        let seq = delivery.seq;
        let Some((ring, members)) = &self.regular else {
            panic!("nothing is delivered before the first configuration");
        };
        assert_eq!(delivery.ring, *ring, "in the configuration in which it was sent");
        assert!(members.contains(delivery.sender), "of a member");
        assert!(self.delivered.insert(seq), "{seq} is delivered once");
        if delivery.guarantee == Guarantee::Unordered {
            assert!(self.transitional.is_none(), "unordered messages are delivered in R");
        } else {
            assert!(seq > self.in_order, "{seq} comes after {}", self.in_order);
            self.in_order = seq;
        }
        while self.delivered.contains(&(self.contiguous + 1)) {
            self.contiguous += 1;
        }
        let gap = delivery.guarantee != Guarantee::Unordered && self.contiguous < seq;
        assert!(!gap || self.transitional.is_some(), "no gap before {seq} in R");
        self.past_gap |= gap;
        self.returned += u64::from(delivery.sender == self.me);
    }
}
