//! The largest clique of a small graph, deterministically.
//!
//! Bron–Kerbosch with a pivot and a bound. It is exact as long as its budget of steps lasts, which
//! it does for every graph of 16 vertices; beyond, the result is maximal at the least.

use alloc::collections::BTreeMap;

use evs_model::{RingId, defect};

use super::matrix::{Set, bits};

/// Steps before the best clique found so far is taken. A graph of 16 vertices has at most
/// 3^(16/3) < 400 maximal cliques.
const STEPS_MAX: u32 = 20_000;

/// The best clique among these vertices. `adjacent[i]` holds the neighbours of vertex i; `rings[i]`
/// is the ring in which it is.
pub(super) fn largest(adjacent: &[Set], rings: &[Option<RingId>], among: Set) -> Set {
    let mut search = Search { adjacent, rings, steps: 0, best: 0, rank: None };
    search.extend(0, among, 0);
    search.best
}

/// What makes one clique better than another: its size, then how many members of one ring it keeps
/// together, then the lower vertices, which are the lower ids. Nothing in it changes when a ring
/// is formed anew with the same members, or two that lose by turns would do so for ever.
type Rank = (u32, usize, Set);

struct Search<'a> {
    adjacent: &'a [Set],
    rings: &'a [Option<RingId>],
    steps: u32,
    best: Set,
    rank: Option<Rank>,
}

impl Search<'_> {
    /// `chosen` is a clique, `open` may still extend it, `done` would only repeat what was found.
    fn extend(&mut self, chosen: Set, open: Set, done: Set) {
        self.steps += 1;
        let bound = chosen.count_ones() + open.count_ones();
        if self.best != 0 && (bound < self.best.count_ones() || self.steps > STEPS_MAX) {
            return;
        }
        if open == 0 {
            if done == 0 {
                self.offer(chosen);
            }
            return;
        }
        let pivot = bits(open | done).max_by_key(|v| (open & self.adjacent[*v]).count_ones());
        let skip = pivot.map_or(0, |v| self.adjacent[v]);
        let (mut open, mut done) = (open, done);
        for v in bits(open & !skip) {
            let near = self.adjacent[v];
            self.extend(chosen | 1 << v, open & near, done & near);
            open &= !(1 << v);
            done |= 1 << v;
        }
    }

    fn offer(&mut self, clique: Set) {
        let rank = self.rank(clique);
        if self.rank.is_none_or(|best| rank > best) {
            self.best = clique;
            self.rank = Some(rank);
        }
    }

    fn rank(&self, clique: Set) -> Rank {
        let mut kept: BTreeMap<RingId, usize> = BTreeMap::new();
        for ring in bits(clique).filter_map(|v| self.rings[v]) {
            *kept.entry(ring).or_default() += 1;
        }
        let most = kept.into_values().max().filter(|_| !defect!(SwapsEquals)).unwrap_or(0);
        // With the bits reversed, vertex 0 weighs most.
        (clique.count_ones(), most, clique.reverse_bits())
    }
}
