//! Which rows are told to others, where peers have told of more processors than a packet can name.
//!
//! In any cluster that is all of them. But each row may name processors that nobody else names, so
//! rows of which every single one was valid could together make joins that nobody can decode, or
//! that are larger than a datagram.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use evs_model::Processor;

use crate::wire::{NAMED_MAX, Row, named};

/// All rows, if they name no more than [`NAMED_MAX`] processors; else the own one and those to
/// which the shortest chains of who hears whom lead, as many as name no more.
pub(crate) fn told(rows: Vec<Row>, me: Processor) -> Vec<Row> {
    if named(&rows).len() <= NAMED_MAX {
        return rows;
    }
    let mut rows: BTreeMap<Processor, Row> =
        rows.into_iter().map(|row| (row.processor, row)).collect();
    let mut named = BTreeSet::new();
    let mut told = Vec::new();
    let mut near = VecDeque::from([me]);
    while let Some(processor) = near.pop_front() {
        let Some(row) = rows.remove(&processor) else { continue };
        named.extend(row.names());
        if named.len() > NAMED_MAX {
            break;
        }
        near.extend(&row.hears);
        told.push(row);
    }
    told.sort_unstable_by_key(|row| row.processor);
    told
}

#[cfg(test)]
mod tests {
    use evs_model::{MEMBERS_MAX, Members, NodeId, RingId};

    use super::*;
    use crate::config::{PACKET_BYTES_CAP, ROWS_MAX};
    use crate::wire::{Installed, Join, Packet, Standing};

    fn p(node: usize, incarnation: u64) -> Processor {
        let node = u32::try_from(node).ok().and_then(NodeId::new);
        Processor::new(node.expect("not zero"), incarnation)
    }

    /// Row n hears n + 1, and as many others as a row can; each has been in a ring of as many.
    fn rows(incarnations: fn(usize) -> u64) -> Vec<Row> {
        let others = |n, from| (0..MEMBERS_MAX - 1).map(move |i| p(from + i, incarnations(n)));
        let row = |n| {
            let hears = others(n, 1000).chain([p(n + 1, 0)]).collect();
            let members = Members::new(others(n, 2000).collect()).expect("one less than the most");
            Row {
                processor: p(n, 0),
                version: 1,
                hears: Members::new(hears).expect("as many as there can be"),
                installed: Some(Installed { ring: RingId { seq: 1, rep: p(n, 0) }, members }),
                standing: Standing::Operational,
            }
        };
        (1..=ROWS_MAX).map(row).collect()
    }

    fn encoded(rows: Vec<Row>) -> Vec<u8> {
        let proposal = Members::new((1..=MEMBERS_MAX).map(|n| p(n, 0)).collect()).expect("full");
        let join = Join { number: 1, seq: 1, accepted: 1, proposal, rows };
        let packet = Packet::Join(join.into());
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        assert_eq!(Packet::decode(bytes.clone().into()), Ok(packet));
        bytes
    }

    #[test]
    fn as_many_rows_as_there_can_be_are_told_and_fit() {
        let rows = rows(|_| 1);
        assert_eq!(told(rows.clone(), p(1, 0)), rows);
        assert!(encoded(rows).len() < PACKET_BYTES_CAP);
    }

    #[test]
    fn rows_that_name_too_many_are_told_as_far_as_they_fit_the_nearest_first() {
        let rows = rows(|n| n as u64);
        let told = told(rows, p(7, 0));
        assert_eq!(told.iter().map(|row| row.processor).collect::<Vec<_>>(), [p(7, 0), p(8, 0)]);
        encoded(told);
    }
}
