//! Runs of whole seeds, as `cargo xtask sim` does them by the thousand.

use evs_sim::{Asked, run};

fn of(nodes: u32) -> Asked {
    Asked { nodes: Some(nodes), ..Asked::default() }
}

#[test]
fn some_seeds_keep_the_contract() {
    let (mut alone, mut calm) = (0, 0);
    for seed in 0..30 {
        let outcome = run(seed, &Asked::default(), None);
        assert!(outcome.failure.is_none(), "{outcome}");
        assert!(outcome.judged.configurations > 0, "nothing happened: {outcome}");
        alone += outcome.judged.alone;
        calm += outcome.judged.calm;
    }
    assert!(alone >= 20, "{alone} changes of the world came alone in 30 runs");
    assert!(calm >= 10, "{calm} times no processor had a reason to be patient in 30 runs");
}

#[test]
fn a_seed_decides_everything() {
    let (one, two) = (run(77, &of(4), None), run(77, &of(4), None));
    assert_eq!((one.hash, one.events, one.faults), (two.hash, two.events, two.faults));
    assert_ne!(one.hash, run(78, &of(4), None).hash);
}

#[test]
fn every_number_of_nodes_from_one_to_seven_runs() {
    for nodes in 1..=7 {
        let outcome = run(1_000 + u64::from(nodes), &of(nodes), None);
        assert!(outcome.failure.is_none(), "{outcome}");
    }
}
