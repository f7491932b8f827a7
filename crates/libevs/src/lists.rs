//! The lists of the old configuration callback.
//!
//! The service gives left and joined relative to the last *regular* configuration. The old callback
//! has no argument for the kind; it is told in two steps instead. A transitional configuration
//! names those that left, and the regular one that follows names those that joined since: on every
//! node, each member list is the one before without the left and with the joined.

use std::ffi::c_uint;

use evs::{Event, Members};

use crate::abi::RingId;

/// What one call of the configuration callback says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Lists {
    pub(crate) ring: RingId,
    pub(crate) members: Vec<c_uint>,
    pub(crate) left: Vec<c_uint>,
    pub(crate) joined: Vec<c_uint>,
}

/// What has to be remembered between the two steps.
#[derive(Debug, Default)]
pub(crate) struct Split {
    /// The members of the transitional configuration that was the last one.
    transitional: Option<Members>,
}

impl Split {
    /// The lists for an event; `None` if it is no configuration.
    pub(crate) fn lists(&mut self, event: &Event) -> Option<Lists> {
        match event {
            Event::Transitional { from, members, left, .. } => {
                self.transitional = Some(members.clone());
                Some(Lists {
                    ring: (*from).into(),
                    members: nodes(members),
                    left: nodes(left),
                    joined: nodes(&Members::default()),
                })
            }
            Event::Regular { ring, members, joined, .. } => {
                let joined = match self.transitional.take() {
                    Some(transitional) => members.difference(&transitional),
                    // The copy with which a session begins.
                    None => joined.clone(),
                };
                Some(Lists {
                    ring: (*ring).into(),
                    members: nodes(members),
                    left: nodes(&Members::default()),
                    joined: nodes(&joined),
                })
            }
            Event::Message(_) | Event::Gap { .. } | Event::Disconnected { .. } | _ => None,
        }
    }
}

/// Ascending node ids. There is memory behind an empty list too: C may look at its address.
fn nodes(members: &Members) -> Vec<c_uint> {
    let mut nodes = Vec::with_capacity(members.len().max(1));
    nodes.extend(members.iter().map(|member| member.node.get()));
    nodes
}

#[cfg(test)]
mod tests {
    use evs::{ChangeReason, NodeId, Processor, RingId as Ring};

    use super::*;

    fn p(node: u32, incarnation: u64) -> Processor {
        Processor::new(NodeId::new(node).expect("not zero"), incarnation)
    }

    fn members(list: &[Processor]) -> Members {
        Members::new(list.to_vec()).expect("valid")
    }

    fn ring(seq: u64) -> Ring {
        Ring { seq, rep: p(1, 7) }
    }

    fn regular(seq: u64, list: &[Processor], left: &[Processor], joined: &[Processor]) -> Event {
        Event::Regular {
            ring: ring(seq),
            members: members(list),
            left: members(left),
            joined: members(joined),
            reason: ChangeReason::TokenLost,
        }
    }

    fn transitional(seq: u64, list: &[Processor], left: &[Processor]) -> Event {
        Event::Transitional {
            from: ring(seq),
            to: ring(seq + 1),
            members: members(list),
            left: members(left),
            reason: ChangeReason::TokenLost,
        }
    }

    /// R11.
    #[test]
    fn the_first_configuration_has_all_others_as_joined() {
        let all = [p(1, 1), p(2, 1), p(3, 1)];
        let event = regular(1, &all, &[], &[p(1, 1), p(3, 1)]);
        let lists = Split::default().lists(&event).expect("a configuration");
        assert_eq!(lists.members, [1, 2, 3]);
        assert_eq!((lists.left, lists.joined), (vec![], vec![1, 3]));
        assert_eq!(lists.ring, RingId { nodeid: 1, seq: 1 << 24 | 7 });
    }

    /// R14: the death of 3.
    #[test]
    fn a_death_is_told_by_the_transitional_configuration_alone() {
        let mut split = Split::default();
        let rest = [p(1, 1), p(2, 1)];
        let first = split.lists(&transitional(1, &rest, &[p(3, 1)])).expect("a configuration");
        assert_eq!(first.members, [1, 2]);
        assert_eq!((first.left, first.joined), (vec![3], vec![]));
        // R18: it carries the id of the ring that ends.
        assert_eq!(first.ring.seq >> 24, 1);
        let second = split.lists(&regular(2, &rest, &[p(3, 1)], &[])).expect("a configuration");
        assert_eq!(second.members, [1, 2]);
        assert_eq!((second.left, second.joined), (vec![], vec![]));
        assert_eq!(second.ring.seq >> 24, 2);
    }

    /// R15: 3 comes back.
    #[test]
    fn a_newcomer_is_told_by_the_regular_configuration_alone() {
        let mut split = Split::default();
        let old = [p(1, 1), p(2, 1)];
        let first = split.lists(&transitional(2, &old, &[])).expect("a configuration");
        assert_eq!((first.left, first.joined), (vec![], vec![]));
        let all = [p(1, 1), p(2, 1), p(3, 2)];
        let second = split.lists(&regular(3, &all, &[], &[p(3, 2)])).expect("a configuration");
        assert_eq!((second.left, second.joined), (vec![], vec![3]));
    }

    /// A restart faster than its detection, and a member that took a detour: both left and joined.
    #[test]
    fn who_does_not_go_along_leaves_and_joins() {
        let mut split = Split::default();
        let first = split.lists(&transitional(1, &[p(1, 1)], &[p(2, 1), p(3, 1)]));
        assert_eq!(first.expect("a configuration").left, [2, 3]);
        let all = [p(1, 1), p(2, 1), p(3, 2)];
        let second = split.lists(&regular(2, &all, &[p(3, 1)], &[p(3, 2)]));
        assert_eq!(second.expect("a configuration").joined, [2, 3]);
    }
}
