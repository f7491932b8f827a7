use super::*;

const D: Duration = Duration::from_secs(1);
const PATIENCE: Patience = Patience { interval: Duration::from_millis(50), detection: D };

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

/// Paths that are up and were proven at this time.
fn sound(count: usize, now: Instant) -> Vec<Path> {
    let path = |_| {
        let mut path = Path::new(now);
        (path.up, path.heard_at, path.carried_at) = (true, Some(now), Some(now));
        path
    };
    (0..count).map(path).collect()
}

fn link(id: u8) -> LinkId {
    LinkId::new(id).expect("there are eight")
}

#[test]
fn of_sound_paths_the_one_of_the_highest_priority_is_used_and_the_next_for_copies() {
    let mut paths = sound(3, at(0));
    let terms = [1, 9, 5].map(|priority| LinkTerms { priority, shared: false });
    let mut route = Route::new();
    assert_eq!(route.twice(), Links::one(LinkId::FIRST), "before anything is known");
    assert_eq!(route.choose(at(1), &mut paths, &terms, PATIENCE), None);
    assert_eq!(route.best(), link(1));
    assert_eq!(route.twice(), Links::one(link(1)).and(link(2)));
}

#[test]
fn a_path_that_is_down_is_no_second() {
    let mut paths = sound(2, at(0));
    paths[1].up = false;
    let mut route = Route::new();
    route.choose(at(1), &mut paths, &[LinkTerms::PLAIN; 2], PATIENCE);
    assert_eq!(route.twice(), Links::one(LinkId::FIRST));
}

#[test]
fn a_path_with_a_fault_is_better_than_one_with_a_graver_fault() {
    let terms = [LinkTerms::PLAIN; 2];
    let mut paths = sound(2, at(0));
    let mut route = Route::new();
    route.choose(at(1), &mut paths, &terms, PATIENCE);
    paths[0].health.echoed_loss_ppm = 50_000;
    let moved = route.choose(at(2), &mut paths, &terms, PATIENCE).expect("one is sound");
    assert_eq!(moved.trouble, Trouble::Loss(50_000));
    paths[1].health.choked = true;
    let moved = route.choose(at(3), &mut paths, &terms, PATIENCE).expect("loss is less");
    assert_eq!((moved.from, moved.to), (link(1), link(0)), "though the hold-down is not over");
}

#[test]
fn the_choice_is_due_when_a_path_becomes_doubtful() {
    let paths = sound(2, at(0));
    let route = Route::new();
    assert_eq!(route.due(at(1), &paths, PATIENCE), at(125), "two hellos and a half");
    assert_eq!(route.due(at(126), &paths, PATIENCE), Instant::NEVER);
}
