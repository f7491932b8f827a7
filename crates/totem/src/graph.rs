//! Who hears whom, and which sets of processors should therefore form rings
//! (`docs/protocol.md` §3).
//!
//! There is an edge between two processors exactly when the rows of both say that they hear the
//! other. The graph need not be agreed upon; the configuration is (`gather.rs`).

mod clique;

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use evs_model::{MEMBERS_MAX, Members, Processor, RingId};

use crate::config::ROWS_MAX;
use crate::wire::{Row, Standing};

/// The rows that this processor knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    rows: BTreeMap<Processor, Row>,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Merge {
    Changed,
    Known,
    Full,
}

impl Graph {
    /// Takes a row if it is newer than the one that is known.
    pub(crate) fn merge(&mut self, row: Row) -> Merge {
        match self.rows.get(&row.processor) {
            Some(known) if known.version >= row.version => Merge::Known,
            None if self.rows.len() >= ROWS_MAX => Merge::Full,
            _ => {
                self.rows.insert(row.processor, row);
                Merge::Changed
            }
        }
    }

    /// Puts in the own row, whose version only its owner counts.
    pub(crate) fn replace(&mut self, row: Row) {
        self.rows.insert(row.processor, row);
    }

    /// Drops the rows of processors to which no chain of those who hear each other's word leads:
    /// they are dead or out of reach, and would be learnt again. All that are joined by such
    /// chains must see the same graph, or they would part it in different ways.
    pub(crate) fn prune(&mut self, me: Processor) {
        let mut reached = BTreeSet::from([me]);
        let mut open = alloc::vec![me];
        while let Some(processor) = open.pop() {
            let hears = self.rows.get(&processor).into_iter().flat_map(|row| &row.hears);
            open.extend(hears.filter(|heard| reached.insert(*heard)));
        }
        self.rows.retain(|processor, _| reached.contains(processor));
    }

    pub(crate) fn row(&self, processor: Processor) -> Option<&Row> {
        self.rows.get(&processor)
    }

    /// All rows, in order of their processors.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.rows.values().cloned().collect()
    }

    /// Whether the two hear each other.
    pub(crate) fn edge(&self, p: Processor, q: Processor) -> bool {
        let hears = |a, b| self.rows.get(&a).is_some_and(|row| row.hears.contains(b));
        p == q || (p.node != q.node && hears(p, q) && hears(q, p))
    }

    /// A pair of these that do not hear each other.
    pub(crate) fn broken_pair(&self, members: &Members) -> Option<(Processor, Processor)> {
        let list = members.as_slice();
        list.iter()
            .enumerate()
            .find_map(|(i, p)| list[i + 1..].iter().find(|q| !self.edge(*p, **q)).map(|q| (*p, *q)))
    }

    /// The rule f: the sets into which all known processors should fall. The largest clique first;
    /// ties: most members of one current ring, then lowest ids; then the same among those that are
    /// left.
    pub(crate) fn partition(&self) -> Vec<Members> {
        let present = self.present().map(|row| (row.processor, self.ring_of(row)));
        let mut left: Vec<(Processor, Option<RingId>)> = present.collect();
        left.truncate(MEMBERS_MAX);
        let mut sets = Vec::new();
        while !left.is_empty() {
            let set = self.largest_clique(&left);
            left.retain(|(p, _)| !set.contains(*p));
            sets.push(set);
        }
        sets
    }

    /// The set of the partition that holds this processor.
    pub(crate) fn part_of(&self, me: Processor) -> Members {
        let part = self.partition().into_iter().find(|set| set.contains(me));
        part.unwrap_or_else(|| Members::singleton(me))
    }

    /// The part that a member of this working ring should change to, if the ring should change:
    /// the sorted sizes of the sets must strictly grow, so that a graph that stands still is soon
    /// left alone.
    pub(crate) fn better_part(&self, me: Processor, members: &Members) -> Option<Members> {
        let sets = self.partition();
        let part = sets.iter().find(|set| set.contains(me))?;
        if part == members {
            return None;
        }
        let mut target: Vec<usize> = sets.iter().map(Members::len).collect();
        target.sort_unstable_by(|a, b| b.cmp(a));
        let mut current = self.current_sizes(members);
        current.sort_unstable_by(|a, b| b.cmp(a));
        (target > current).then(|| part.clone())
    }

    /// The ring that a processor is known to have been in last. Its own row may lag behind an
    /// install of which another member tells.
    fn ring_of(&self, row: &Row) -> Option<RingId> {
        self.last_ring(row, |_| true)
    }

    fn last_ring(&self, row: &Row, believed: impl Fn(&Row) -> bool) -> Option<RingId> {
        let told =
            self.present().filter(|other| other.processor == row.processor || believed(other));
        let rings = told.filter_map(|other| other.installed.as_ref());
        rings.filter(|ring| ring.members.contains(row.processor)).map(|ring| ring.ring).max()
    }

    /// The sizes of the sets in which all known processors are at present: the viewer's ring, the
    /// other rings in operation, and one for each processor that is in none.
    fn current_sizes(&self, members: &Members) -> Vec<usize> {
        let operational = |row: &Row| row.standing == Standing::Operational;
        let mut rings: BTreeMap<RingId, usize> = BTreeMap::new();
        let mut sizes = alloc::vec![members.len()];
        for row in self.present().filter(|row| !members.contains(row.processor)) {
            let own = row.installed.as_ref().map(|installed| installed.ring);
            let last = self.last_ring(row, operational);
            match last.filter(|last| operational(row) || Some(*last) != own) {
                Some(ring) => *rings.entry(ring).or_default() += 1,
                None => sizes.push(1),
            }
        }
        sizes.extend(rings.into_values());
        sizes
    }

    /// The rows of those who are not about to leave.
    fn present(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().filter(|row| row.standing != Standing::Leaving)
    }

    fn largest_clique(&self, among: &[(Processor, Option<RingId>)]) -> Members {
        let adjacent = among.iter().map(|(p, _)| {
            let others = among.iter().enumerate().filter(|(_, (q, _))| p != q && self.edge(*p, *q));
            others.fold(0u128, |bits, (i, _)| bits | 1 << i)
        });
        let rings: Vec<_> = among.iter().map(|(_, ring)| *ring).collect();
        let best = clique::largest(&adjacent.collect::<Vec<_>>(), &rings);
        let chosen = among.iter().enumerate().filter(|(i, _)| best >> i & 1 == 1);
        let list = chosen.map(|(_, (p, _))| *p).collect();
        Members::new(list).expect("two incarnations of a node have no edge")
    }
}
