//! Who hears whom, and which sets of processors should therefore form rings
//! (`docs/protocol.md` §3).
//!
//! There is an edge between two processors exactly when the rows of both say that they hear the
//! other. The graph need not be agreed upon; the configuration is (`gather.rs`).

mod clique;
mod matrix;

#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use evs_model::{Members, Processor, RingId, defect};

use crate::config::ROWS_MAX;
use crate::wire::Row;
use matrix::{Matrix, Set, bits};

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
    pub(crate) fn merge(&mut self, row: &Row) -> Merge {
        match self.rows.get(&row.processor) {
            Some(known) if known.version >= row.version => Merge::Known,
            None if self.rows.len() >= ROWS_MAX => Merge::Full,
            _ => {
                self.rows.insert(row.processor, row.clone());
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
        let known: Vec<Processor> = self.rows.keys().copied().collect();
        let mut reached = alloc::vec![false; known.len()];
        let mut open = alloc::vec![me];
        while let Some(row) = open.pop().and_then(|processor| self.rows.get(&processor)) {
            let mut place = 0;
            for heard in &row.hears {
                // Both ascend.
                place += known[place..].partition_point(|processor| *processor < heard);
                if known.get(place) == Some(&heard)
                    && !core::mem::replace(&mut reached[place], true)
                {
                    open.push(heard);
                }
            }
        }
        let mut reached = known.iter().zip(reached).map(|(p, reached)| reached || *p == me);
        self.rows.retain(|_, _| reached.next().unwrap_or(false));
    }

    pub(crate) fn row(&self, processor: Processor) -> Option<&Row> {
        self.rows.get(&processor)
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
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
    pub(crate) fn broken_pair(
        &self,
        me: Processor,
        members: &Members,
    ) -> Option<(Processor, Processor)> {
        let matrix = Matrix::new(self.rows.values());
        let all = matrix.set_of(members);
        // Nobody leads to a processor without a row, so this one does not hear it. Whom it hears
        // itself is not known.
        if let Some(unknown) = members.iter().find(|p| self.row(*p).is_none()) {
            return Some((me, unknown));
        }
        for (i, p) in bits(all).map(|i| (i, matrix.processors[i])) {
            if let Some(j) = bits(all & !matrix.adjacent[i]).find(|j| *j > i) {
                return Some((p, matrix.processors[j]));
            }
        }
        None
    }

    /// The rule f: the sets into which all known processors should fall. The largest clique first;
    /// ties: most members of one current ring, then lowest ids; then the same among those that are
    /// left.
    #[cfg(test)]
    pub(crate) fn partition(&self) -> Vec<Members> {
        let matrix = Matrix::new(self.rows.values());
        partition(&matrix).into_iter().map(|set| matrix.members(set)).collect()
    }

    /// The set of the partition that holds this processor.
    pub(crate) fn part_of(&self, me: Processor) -> Members {
        let matrix = Matrix::new(self.rows.values());
        let mine = matrix.set_of(&Members::singleton(me));
        let part = partition(&matrix).into_iter().find(|set| set & mine != 0);
        part.map_or_else(|| Members::singleton(me), |set| matrix.members(set))
    }

    /// The part that a member of this working ring should change to, if the ring should change:
    /// the sorted sizes of the sets must strictly grow, so that a graph that stands still is soon
    /// left alone.
    pub(crate) fn better_part(&self, me: Processor, members: &Members) -> Option<Better> {
        let matrix = Matrix::new(self.rows.values());
        let mine = matrix.set_of(&Members::singleton(me));
        let sets = partition(&matrix);
        let part = *sets.iter().find(|set| **set & mine != 0)?;
        if part == matrix.set_of(members) {
            return None;
        }
        let target = sorted(sets.iter().map(|set| set.count_ones() as usize).collect());
        let current = sorted(current_sizes(&matrix, members));
        (target > current || defect!(SwapsEquals))
            .then(|| Better { part: matrix.members(part), parts: parts(&matrix, part) })
    }
}

/// A part of a better partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Better {
    pub(crate) part: Members,
    /// Whether any of its members would part with companions, of its own ring, whom it still
    /// hears. All members must answer alike, or some would wait for others in vain.
    pub(crate) parts: bool,
}

/// Whether members of this set hear some of their last ring who are outside.
fn parts(matrix: &Matrix, set: Set) -> bool {
    let ring_of = |i: usize| matrix.rings[i];
    bits(set).any(|i| {
        let mut outside = bits(matrix.adjacent[i] & !set);
        ring_of(i).is_some() && outside.any(|j| ring_of(j) == ring_of(i))
    })
}

fn partition(matrix: &Matrix) -> Vec<Set> {
    let mut left = matrix.processors.iter().enumerate().fold(0, |set, (i, _)| set | 1 << i);
    let mut sets = Vec::new();
    while left != 0 {
        let set = clique::largest(&matrix.adjacent, &matrix.rings, left);
        left &= !set;
        sets.push(set);
    }
    sets
}

/// The sizes of the sets in which all known processors are at present: the viewer's ring, the
/// other rings in operation, and one for each processor that is in none.
fn current_sizes(matrix: &Matrix, members: &Members) -> Vec<usize> {
    let mut rings: BTreeMap<RingId, usize> = BTreeMap::new();
    let mut sizes = alloc::vec![members.len()];
    let mine = matrix.set_of(members);
    for (i, working) in matrix.working.iter().enumerate() {
        if mine >> i & 1 == 1 {
            continue;
        }
        match working {
            Some(ring) => *rings.entry(*ring).or_default() += 1,
            None => sizes.push(1),
        }
    }
    sizes.extend(rings.into_values());
    sizes
}

/// The largest first.
fn sorted(mut sizes: Vec<usize>) -> Vec<usize> {
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes
}
