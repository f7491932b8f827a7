//! Largest sets that all hear each other, by the plainest search there is: the judge's own, so that
//! the implementation's (`crates/totem/src/graph/clique.rs`) is not its own judge.

use evs_model::{Members, Processor};

/// A largest set of these in which there is an edge between any two. Exponential: for few.
pub(super) fn largest_clique(
    of: &[Processor],
    edge: impl Fn(Processor, Processor) -> bool,
) -> Members {
    let mut best = Vec::new();
    extend(&mut Vec::new(), of, &edge, &mut best);
    Members::new(best).expect("a subset of processors of different nodes")
}

fn extend(
    chosen: &mut Vec<Processor>,
    open: &[Processor],
    edge: &impl Fn(Processor, Processor) -> bool,
    best: &mut Vec<Processor>,
) {
    if chosen.len() > best.len() {
        best.clone_from(chosen);
    }
    for (place, next) in open.iter().enumerate() {
        if chosen.len() + open.len() - place <= best.len() {
            return;
        }
        let rest = &open[place + 1..];
        let near: Vec<Processor> =
            rest.iter().copied().filter(|p| p.node != next.node && edge(*next, *p)).collect();
        chosen.push(*next);
        extend(chosen, &near, edge, best);
        chosen.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{members, p};
    use super::*;

    #[test]
    fn the_largest_of_several_is_found() {
        let all: Vec<Processor> = (1..=7).map(p).collect();
        let edges = [(1, 2), (2, 3), (3, 4), (4, 5), (3, 5), (5, 6), (6, 7), (3, 6), (4, 6)];
        let edge = |a: Processor, b: Processor| {
            let (a, b) = (a.node.get(), b.node.get());
            edges.contains(&(a.min(b), a.max(b)))
        };
        assert_eq!(largest_clique(&all, edge), members(&[3, 4, 5, 6]));
        assert_eq!(largest_clique(&all[..1], edge), members(&[1]));
        assert_eq!(largest_clique(&[], edge), members(&[]));
    }
}
