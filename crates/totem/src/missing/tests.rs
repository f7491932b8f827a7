use alloc::vec::Vec;

use evs_model::{NodeId, Processor};

use super::*;
use crate::config::Config;

const MS: Duration = Duration::from_millis(1);
const RING: RingId = RingId { seq: 1, rep: Processor::new(NodeId::new(1).expect("not zero"), 1) };

/// A member whose token comes every millisecond; the target is a second.
struct Member {
    missing: Missing,
    now: Instant,
    terms: Terms,
}

impl Member {
    fn new() -> Self {
        let now = Instant::from_nanos(5);
        Self { missing: Missing::new(now, 0), now, terms: Config::default().terms() }
    }

    /// The token comes, announces everything up to here, and takes requests of these.
    fn visit(&mut self, announces: u64, lacks: &[u64]) -> Vec<u64> {
        self.now = self.now + MS;
        let mut rtr = RtrList::default();
        let (now, pace) = (self.now, (&self.terms, MS));
        self.missing.request(now, pace, (&mut rtr, RING), lacks.iter().copied());
        self.missing.announce(now, announces);
        rtr.as_slice().iter().flat_map(|range| range.first..=range.last).collect()
    }

    fn arrived(&mut self, seq: u64, again: bool) {
        self.missing.arrived(self.now, &self.terms, Arrival { seq, again, new: true });
    }
}

#[test]
fn more_is_requested_when_requests_were_needed_and_less_when_not() {
    let mut member = Member::new();
    let all: Vec<u64> = (1..=100).collect();
    member.visit(100, &[]);
    for (first, last) in [(1, 1), (2, 3), (4, 7), (8, 15)] {
        let requested = member.visit(100, &all[first - 1..]);
        assert_eq!(requested, all[first - 1..last]);
        requested.into_iter().for_each(|seq| member.arrived(seq, true));
    }
    // 16 to 31 are requested, and come late instead of again.
    let requested = member.visit(100, &all[15..]);
    assert_eq!(requested.len(), 16);
    requested.into_iter().for_each(|seq| member.arrived(seq, false));
    member.now = member.now + MS * 100;
    assert_eq!(member.visit(100, &all[31..]), [32]);
}

#[test]
fn what_is_late_is_waited_for_as_long_as_it_was_late_before() {
    let mut member = Member::new();
    member.visit(1, &[]);
    member.now = member.now + MS * 20;
    member.arrived(1, false);
    member.visit(2, &[]);
    for visit in 1..=19 {
        assert!(member.visit(2, &[2]).is_empty(), "{visit} ms after it was announced");
    }
    assert_eq!(member.visit(2, &[2]), [2]);
}

#[test]
fn what_was_late_once_is_forgotten() {
    let mut member = Member::new();
    member.visit(1, &[]);
    member.now = member.now + MS * 300;
    member.arrived(1, false);
    assert_eq!(member.missing.lateness.patience(&member.terms), MS * 300);
    for _ in 0..2 {
        member.now = member.now + member.terms.detection * TARGETS;
        (0..SAMPLES).for_each(|seq| member.arrived(u64::from(seq) + 10, false));
    }
    assert_eq!(member.missing.lateness.patience(&member.terms), Duration::ZERO);
}

#[test]
fn nothing_is_waited_for_longer_than_the_target() {
    let mut member = Member::new();
    member.visit(1, &[]);
    member.now = member.now + MS * 1_900;
    member.arrived(1, false);
    assert_eq!(member.missing.lateness.patience(&member.terms), MS * 1_000);
}

#[test]
fn the_same_is_requested_at_times_that_double_up_to_a_bound() {
    let mut member = Member::new();
    member.visit(1, &[]);
    let made: Vec<u32> = (1..=1_000).filter(|_| !member.visit(1, &[1]).is_empty()).collect();
    let gaps: Vec<u32> = made.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps[..6], [1, 5, 10, 20, 40, 50]);
    assert!(gaps[6..].iter().all(|gap| *gap == 50));
    assert!(made.len() >= 20, "twenty copies within the target");
}

#[test]
fn what_another_member_requests_is_not_requested_twice() {
    let mut member = Member::new();
    member.visit(1, &[]);
    let mut rtr = RtrList::default();
    rtr.request(RING, 1);
    member.now = member.now + MS;
    let (now, pace) = (member.now, (&member.terms, MS));
    assert_eq!(member.missing.request(now, pace, (&mut rtr, RING), [1].into_iter()), 0);
    assert_eq!(rtr.as_slice().len(), 1);
}

#[test]
fn memory_of_announcements_is_bounded() {
    let mut member = Member::new();
    for seq in 1..=2 * ANNOUNCEMENTS_MAX as u64 {
        member.visit(seq, &[]);
    }
    assert_eq!(member.missing.announced.visits.len(), ANNOUNCEMENTS_MAX);
    assert_eq!(member.missing.announced.at(1), None);
    assert_eq!(member.missing.announced.at(2 * ANNOUNCEMENTS_MAX as u64), Some(member.now));
}
