//! The graph as bits, so that a cluster of 128 costs microseconds.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use evs_model::{MEMBERS_MAX, Members, Processor, RingId, defect};

use crate::wire::{Row, Standing};

/// A set of the processors of a [`Matrix`]: bit i is the i-th of them.
pub(super) type Set = u128;

/// Those who are not about to leave, and who of them has an edge with whom.
pub(super) struct Matrix {
    /// Ascending.
    pub(super) processors: Vec<Processor>,
    pub(super) adjacent: Vec<Set>,
    /// The ring that each is known to have been in last. Its own row may lag behind an install of
    /// which another member tells.
    pub(super) rings: Vec<Option<RingId>>,
    /// The ring in operation in which each is, as far as that is known.
    pub(super) working: Vec<Option<RingId>>,
}

impl Matrix {
    /// Of rows that ascend by processor.
    pub(super) fn new<'a>(rows: impl Iterator<Item = &'a Row>) -> Self {
        let present = |row: &&Row| row.standing != Standing::Leaving;
        let rows: Vec<&Row> = rows.filter(present).take(MEMBERS_MAX).collect();
        let processors: Vec<Processor> = rows.iter().map(|row| row.processor).collect();
        let hears: Vec<Set> = rows.iter().map(|row| set_of(&processors, &row.hears)).collect();
        let operational = |row: &&Row| row.standing == Standing::Operational;
        let rings = last_rings(&processors, rows.iter().copied());
        let told = last_rings(&processors, rows.iter().copied().filter(operational));
        let working = rows.iter().zip(told).map(|(row, told)| {
            let own = row.installed.as_ref().map(|installed| installed.ring);
            // Who tells that it has left its last ring, or a later one, knows better.
            told.filter(|_| operational(row) || told > own)
        });
        let working = working.collect();
        let mut adjacent = alloc::vec![0; hears.len()];
        for (i, heard) in hears.iter().enumerate() {
            let both = |j: &usize| hears[*j] >> i & 1 == 1 || defect!(OneRowIsAnEdge);
            for j in bits(*heard).filter(both) {
                if processors[i].node != processors[j].node {
                    adjacent[i] |= 1 << j;
                    adjacent[j] |= 1 << i;
                }
            }
        }
        Self { processors, adjacent, rings, working }
    }

    pub(super) fn set_of(&self, members: &Members) -> Set {
        set_of(&self.processors, members)
    }

    pub(super) fn members(&self, set: Set) -> Members {
        let list = bits(set).map(|i| self.processors[i]).collect();
        Members::new(list).expect("two incarnations of a node have no edge")
    }
}

/// For each processor the highest ring of which any of these rows says that it is a member.
fn last_rings<'a>(
    processors: &[Processor],
    rows: impl Iterator<Item = &'a Row>,
) -> Vec<Option<RingId>> {
    let installed = rows.filter_map(|row| row.installed.as_ref());
    let rings: BTreeMap<RingId, &Members> = installed.map(|i| (i.ring, &i.members)).collect();
    let mut last = alloc::vec![None; processors.len()];
    for (ring, members) in rings {
        bits(set_of(processors, members)).for_each(|i| last[i] = Some(ring));
    }
    last
}

/// Both ascend, so one walk along the two finds what they share.
fn set_of(processors: &[Processor], members: &Members) -> Set {
    let mut set = 0;
    let mut members = members.iter().peekable();
    for (i, processor) in processors.iter().enumerate() {
        while members.next_if(|member| member < processor).is_some() {}
        if members.peek() == Some(processor) {
            set |= 1 << i;
        }
    }
    set
}

/// The positions in a set, ascending.
pub(super) fn bits(mut set: Set) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let lowest = set.trailing_zeros() as usize;
        (set != 0).then(|| {
            set &= set - 1;
            lowest
        })
    })
}
