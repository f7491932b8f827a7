use super::*;

const D: Duration = Duration::from_millis(500);
const INTERVAL: Duration = Duration::from_millis(50);
const START: Instant = Instant::from_nanos(0);
const FULL: usize = 1_472;

fn path() -> PathMtu {
    let mut mtu = PathMtu::new(START);
    mtu.begin(START, FULL);
    mtu
}

#[test]
fn the_sizes_that_are_tried_are_few_and_ascend() {
    let sizes = |full| Sizes::up_to(full).above(0).collect::<Vec<_>>();
    assert_eq!(sizes(250), [250], "smaller than what is safe: never cut");
    assert_eq!(sizes(1_452), [1_232, 1_452]);
    assert_eq!(sizes(1_472), [1_232, 1_472], "a step of 20 bytes is not worth it");
    assert_eq!(sizes(8_972), [1_232, 1_452, 8_972]);
    assert_eq!(sizes(65_000), [1_232, 1_452, 8_952, 65_000]);
    let sizes = Sizes::up_to(65_000);
    assert_eq!(sizes.above(1_452).collect::<Vec<_>>(), [8_952, 65_000]);
    assert_eq!(sizes.above(65_000).count(), 0);
    assert_eq!((sizes.safe(), sizes.full()), (1_232, 65_000));
}

#[test]
fn a_path_begins_at_the_safe_size_and_is_raised_by_what_came_back() {
    let mut mtu = path();
    assert_eq!(mtu.limit(), 1_232);
    assert!(mtu.cuts() && !mtu.is_narrow(), "nothing is known against it");
    assert!(mtu.is_due(START));
    assert!(!mtu.passed(START, 1_232) && !mtu.passed(START, 0));
    assert!(mtu.passed(START, FULL));
    assert_eq!((mtu.limit(), mtu.cuts(), mtu.is_due(START + D)), (FULL, false, false));
    assert!(!mtu.passed(START, FULL), "it was known");
}

#[test]
fn where_packets_are_small_nothing_is_cut_or_tried() {
    let mut mtu = PathMtu::new(START);
    mtu.begin(START, 250);
    assert!(!mtu.cuts() && !mtu.is_due(START));
    assert!(!mtu.shrink(START, D));
}

#[test]
fn probes_without_an_answer_become_seldom_and_tell_that_the_path_is_narrow() {
    let mut mtu = path();
    let mut now = START;
    let mut waits = Vec::new();
    let mut told = Vec::new();
    for round in 0..10 {
        assert!(mtu.is_due(now));
        if mtu.probe(now, INTERVAL, D) {
            told.push(round);
        }
        waits.push(mtu.probe_at.since(now).as_millis());
        now = mtu.probe_at;
    }
    assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 4_000, 4_000, 4_000, 4_000]);
    assert_eq!(told, [2], "once, and not for the first ones, which may get lost");
    assert!(mtu.passed(now, FULL) && !mtu.is_narrow());
}

#[test]
fn a_path_shrinks_at_once_and_is_raised_only_after_a_hold_down_that_doubles() {
    let mut mtu = path();
    let mut now = START;
    let mut held = Vec::new();
    for _ in 0..9 {
        assert!(mtu.passed(now, FULL));
        assert!(mtu.shrink(now, D));
        assert_eq!((mtu.limit(), mtu.is_narrow()), (1_232, true));
        assert!(!mtu.shrink(now, D), "it is as small as it gets");
        let until = mtu.probe_at;
        held.push((until.since(now).as_millis() / D.as_millis(), mtu.is_due(now)));
        let before = Instant::from_nanos(until.as_nanos() - 1);
        assert!(!mtu.passed(before, FULL), "held down");
        now = until;
    }
    let targets: Vec<_> = held.iter().map(|(targets, _)| *targets).collect();
    assert_eq!(targets, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
    assert!(held.iter().all(|(_, due)| !due));
}

/// A path that goes down and comes up takes its past along.
#[test]
fn a_path_that_begins_again_begins_at_the_safe_size_and_is_still_held_down() {
    let mut mtu = path();
    assert!(mtu.passed(START, FULL) && mtu.shrink(START, D));
    mtu.begin(START, FULL);
    assert!(!mtu.is_due(START) && !mtu.passed(START, FULL));
    assert!(mtu.is_due(START + D) && mtu.passed(START + D, FULL));
    mtu.begin(START + D, FULL);
    assert_eq!(mtu.limit(), 1_232);
}
