//! A set of processors: sorted by node id, at most one incarnation of each node.

use alloc::vec::Vec;
use core::fmt;

use crate::{NodeId, Processor};

/// Most processors that one configuration can hold (`docs/protocol.md` §3).
pub const MEMBERS_MAX: usize = 128;

/// A bounded set of processors in ascending order of node id, which is also the order in which the
/// token visits them. It never holds two incarnations of one node.
#[derive(Clone, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Members(Vec<Processor>);

/// Why a list of processors is no member list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MembersError {
    /// Two incarnations of this node, or the same processor twice.
    Duplicate(NodeId),
    /// More than [`MEMBERS_MAX`].
    TooMany(usize),
}

impl fmt::Display for MembersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(node) => write!(f, "node {node} is listed twice"),
            Self::TooMany(count) => {
                write!(f, "{count} members, the limit (members_max) is {MEMBERS_MAX}")
            }
        }
    }
}

impl core::error::Error for MembersError {}

impl Members {
    /// The set that holds only this processor.
    #[must_use]
    pub fn singleton(me: Processor) -> Self {
        Self(alloc::vec![me])
    }

    /// Sorts the list and checks it.
    ///
    /// # Errors
    /// A node that is listed twice, or more than [`MEMBERS_MAX`] processors.
    pub fn new(mut list: Vec<Processor>) -> Result<Self, MembersError> {
        if list.len() > MEMBERS_MAX {
            return Err(MembersError::TooMany(list.len()));
        }
        // What was on the wire is sorted.
        if list.is_sorted_by(|one, two| one.node < two.node) {
            return Ok(Self(list));
        }
        list.sort_unstable();
        for pair in list.windows(2) {
            if pair[0].node == pair[1].node {
                return Err(MembersError::Duplicate(pair[0].node));
            }
        }
        Ok(Self(list))
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The processors, ascending.
    #[must_use]
    pub fn as_slice(&self) -> &[Processor] {
        &self.0
    }

    /// The processors, ascending.
    pub fn iter(&self) -> core::iter::Copied<core::slice::Iter<'_, Processor>> {
        self.0.iter().copied()
    }

    /// Whether this very incarnation is in the set.
    #[must_use]
    pub fn contains(&self, processor: Processor) -> bool {
        self.index_of(processor).is_some()
    }

    /// The position of a processor in ring order.
    #[must_use]
    pub fn index_of(&self, processor: Processor) -> Option<usize> {
        self.0.binary_search(&processor).ok()
    }

    /// The incarnation of this node that is in the set.
    #[must_use]
    pub fn find(&self, node: NodeId) -> Option<Processor> {
        self.0.binary_search_by_key(&node, |p| p.node).ok().map(|i| self.0[i])
    }

    /// The representative: the lowest node id.
    #[must_use]
    pub fn rep(&self) -> Option<Processor> {
        self.0.first().copied()
    }

    /// The next processor in ring order after a member; a member alone follows itself.
    #[must_use]
    pub fn next_after(&self, member: Processor) -> Option<Processor> {
        let index = self.index_of(member)?;
        Some(self.0[(index + 1) % self.0.len()])
    }

    /// Those that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.iter().filter(|p| other.contains(*p)).collect())
    }

    /// Those that are in this set and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(self.iter().filter(|p| !other.contains(*p)).collect())
    }

    /// Whether every processor of this set is in the other.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.iter().all(|p| other.contains(p))
    }

    /// Adds a processor; another incarnation of its node is replaced. Returns whether the set
    /// changed.
    ///
    /// # Errors
    /// The set is full; it is unchanged.
    pub fn insert(&mut self, processor: Processor) -> Result<bool, MembersError> {
        match self.0.binary_search_by_key(&processor.node, |p| p.node) {
            Ok(i) if self.0[i] == processor => Ok(false),
            Ok(i) => {
                self.0[i] = processor;
                Ok(true)
            }
            Err(_) if self.0.len() >= MEMBERS_MAX => Err(MembersError::TooMany(self.0.len() + 1)),
            Err(i) => {
                self.0.insert(i, processor);
                Ok(true)
            }
        }
    }

    /// Takes out this very incarnation. Returns whether it was there.
    pub fn remove(&mut self, processor: Processor) -> bool {
        let found = self.index_of(processor);
        if let Some(i) = found {
            self.0.remove(i);
        }
        found.is_some()
    }

    /// Keeps those for which the test holds.
    pub fn retain(&mut self, mut keep: impl FnMut(Processor) -> bool) {
        self.0.retain(|p| keep(*p));
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `{1/9f3a 2/0b11}`
impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, member) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{member}")?;
        }
        f.write_str("}")
    }
}

impl<'a> IntoIterator for &'a Members {
    type Item = Processor;
    type IntoIter = core::iter::Copied<core::slice::Iter<'a, Processor>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(node: u32, incarnation: u64) -> Processor {
        Processor::new(NodeId::new(node).expect("not zero"), incarnation)
    }

    #[test]
    fn a_list_is_sorted_and_follows_the_ring() {
        let members = Members::new(alloc::vec![p(3, 1), p(1, 7), p(2, 0)]).expect("valid");
        assert_eq!(members.rep(), Some(p(1, 7)));
        assert_eq!(members.next_after(p(3, 1)), Some(p(1, 7)));
        assert_eq!(members.next_after(p(1, 7)), Some(p(2, 0)));
        assert_eq!(members.next_after(p(1, 8)), None);
    }

    #[test]
    fn two_incarnations_of_a_node_are_refused() {
        let error = Members::new(alloc::vec![p(1, 1), p(1, 2)]).expect_err("one node twice");
        assert_eq!(error, MembersError::Duplicate(p(1, 1).node));
    }

    #[test]
    fn an_insert_replaces_the_older_incarnation() {
        let mut members = Members::singleton(p(1, 1));
        assert_eq!(members.insert(p(1, 2)), Ok(true));
        assert_eq!(members.insert(p(1, 2)), Ok(false));
        assert_eq!(members.as_slice(), [p(1, 2)]);
    }

    #[test]
    fn the_limit_is_kept() {
        let full: Vec<_> = (1..=128).map(|n| p(n, 0)).collect();
        let mut members = Members::new(full.clone()).expect("at the limit");
        assert_eq!(members.insert(p(129, 0)), Err(MembersError::TooMany(129)));
        let mut over = full;
        over.push(p(129, 0));
        assert_eq!(Members::new(over), Err(MembersError::TooMany(129)));
    }
}
