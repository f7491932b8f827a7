//! Counters that begin near 2^32 or near the end of their type (P13): nothing wraps.

use evs_model::Guarantee::{Agreed, Safe};

use super::fixtures::{MS, Together, config, p};
use crate::config::{Config, Origins, SEQ_MAX};
use crate::output::StateKind;
use crate::ring::Ring;
use crate::stats::Discard;

/// Processors 1 to 3, of which these have such origins.
fn started(nodes: &[u32], origins: Origins) -> Together {
    let mut together = Together::started(&[1, 2, 3]);
    for node in nodes {
        let config = Config { origins, ..config() };
        config.validate().expect("within range");
        let ring = Ring::new(config, p(*node), 0, u64::from(*node), together.now);
        together.rings.insert(*node, ring);
    }
    together.hear();
    together.run(2_000 * MS);
    together
}

fn regulars(together: &Together, node: u32) -> usize {
    together.histories[&node].iter().filter(|line| line.starts_with("regular")).count()
}

#[test]
fn a_ring_passes_two_to_the_32_with_every_counter() {
    let edge = (1 << 32) - 3;
    let origins =
        Origins { seq: edge, token: edge, row: edge, join: edge, sequenced: edge, cut: edge };
    let mut together = started(&[1, 2, 3], origins);
    let before = together.histories[&1].len();
    for number in 0..10 {
        together.submit(1, "a", if number % 2 == 0 { Agreed } else { Safe });
        together.submit(3, "b", Agreed);
        together.run(20 * MS);
    }
    for node in [1, 2, 3] {
        assert_eq!(together.histories[&node].len(), before + 20);
        assert!(together.rings[&node].progress().1 > 1 << 32);
    }
    together.partition(&[&[1, 2], &[3]]);
    together.run(3_000 * MS);
    assert!([1, 2, 3].iter().all(|n| together.rings[n].state() == StateKind::Operational));
}

#[test]
fn a_ring_whose_sequence_numbers_end_is_formed_anew() {
    for nodes in [1, 3] {
        let origins = Origins { seq: SEQ_MAX - 4, ..Origins::default() };
        let mut together = started(&[1, 2, 3], origins);
        if nodes == 1 {
            together.partition(&[&[1], &[2, 3]]);
            together.run(5_000 * MS);
        }
        let before = regulars(&together, 1);
        for _ in 0..6 {
            together.submit(1, "a", Agreed);
            together.run(300 * MS);
        }
        assert_eq!(together.rings[&1].state(), StateKind::Operational);
        assert_eq!(regulars(&together, 1), before + 1, "of {nodes}");
    }
}

#[test]
fn a_ring_whose_token_numbers_end_is_formed_anew() {
    for nodes in [1, 3] {
        let origins = Origins { token: SEQ_MAX - 40, ..Origins::default() };
        let mut together = started(&[1, 2, 3], origins);
        if nodes == 1 {
            together.partition(&[&[1], &[2, 3]]);
        }
        let before = regulars(&together, 1);
        together.run(20_000 * MS);
        assert_eq!(together.rings[&1].state(), StateKind::Operational);
        assert!(regulars(&together, 1) > before, "of {nodes}");
    }
}

/// A clear refusal: it says nothing more, and the others go on without it.
#[test]
fn who_has_no_numbers_left_for_rows_or_joins_falls_silent() {
    let rows = Origins { row: u64::MAX - 3, ..Origins::default() };
    let joins = Origins { join: u64::MAX - 1, ..Origins::default() };
    for origins in [rows, joins] {
        let mut together = started(&[3], origins);
        for _ in 0..3 {
            together.partition(&[&[1], &[2], &[3]]);
            together.run(3_000 * MS);
            together.heal();
            together.run(3_000 * MS);
        }
        assert!(together.rings[&3].stats().discards(Discard::NumbersExhausted) > 0);
        for node in [1, 2] {
            assert_eq!(together.rings[&node].state(), StateKind::Operational);
            let members = together.rings[&node].members().expect("it is in a ring");
            assert!(members.contains(p(1)) && members.contains(p(2)) && members.len() == 2);
        }
        let before = regulars(&together, 1);
        together.run(20_000 * MS);
        assert!(regulars(&together, 1) <= before + 5, "it disturbs the others ever more seldom");
    }
}
