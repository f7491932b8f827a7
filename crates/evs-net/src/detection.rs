//! How patient this node is with the silence of a peer (`docs/protocol.md` §6): the detection
//! target that the operator set, and more where hellos are known to come or leave late.
//!
//! In: how late each periodic hello came, and how late each of mine left. Out: the time of silence
//! that is a verdict, from the target to twice the target. On a network and a machine that keep
//! their times it is the target, and soon again once they do.

use std::time::Duration;

use evs_model::defect;

/// The detection target in force, and what it follows from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Detection {
    /// The operator's setting.
    pub target: Duration,
    /// How long a processor may be silent at present before it is excluded: the largest for any
    /// peer that is heard.
    pub effective: Duration,
    /// How late the hellos of peers came lately, at the worst.
    pub late: Duration,
    /// How late this node's own hellos left lately, at the worst: it was not woken in time. More
    /// than half the target is a pause, which is counted as such.
    pub own_late: Duration,
}

impl Detection {
    /// The same where one rotation of the token takes so long: six of them make an agreement, of
    /// which a quarter of the target is allowed for.
    #[must_use]
    pub fn with_rotation(mut self, rotation: Duration) -> Self {
        self.effective += (rotation * 6).saturating_sub(self.target / 4);
        self
    }

    /// Whether hellos are so late that more patience would be due than a node ever has.
    #[must_use]
    pub fn is_strained(&self) -> bool {
        let late = self.late.max(self.own_late);
        late > Duration::ZERO && patience(self.target, late) >= longest(self.target)
    }
}

/// The greatest delay of late. It fades with every hello that is in time: to a half after 44 of
/// them, so that a pause is forgotten soon (D27).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lateness(Duration);

impl Lateness {
    pub(crate) const fn new() -> Self {
        Self(Duration::ZERO)
    }

    /// One more hello was so late, if at all. What is beyond the target is a fault, which says
    /// nothing of the next hello.
    pub(crate) fn note(&mut self, late: Duration, target: Duration) {
        let faded = if defect!(PatienceNeverFades) { self.0 } else { self.0 - self.0 / FADES };
        self.0 = late.min(target).max(faded);
    }

    pub(crate) const fn worst(self) -> Duration {
        self.0
    }
}

/// After how much silence a peer is down whose hellos are so late: twice the delay is to fit in, of
/// which a quarter of the target always does.
pub(crate) fn patience(target: Duration, late: Duration) -> Duration {
    (target + (late * 2).saturating_sub(target / 4)).min(longest(target))
}

/// The longest silence that any peer is granted.
pub(crate) fn longest(target: Duration) -> Duration {
    target * 2
}

/// A hello that is in time takes this part of what is remembered.
const FADES: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const T: Duration = Duration::from_millis(500);
    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn on_a_network_that_keeps_its_times_the_target_is_what_was_set() {
        for late in [0, 1, 30, 62] {
            assert_eq!(patience(T, MS(late)), T, "{late} ms");
        }
    }

    #[test]
    fn twice_the_delay_fits_in_and_never_more_than_twice_the_target() {
        assert_eq!(patience(T, MS(100)), MS(575));
        assert_eq!(patience(T, MS(200)), MS(775));
        assert_eq!(patience(T, MS(400)), T * 2);
        assert_eq!(patience(T, T), T * 2);
    }

    #[test]
    fn six_rotations_count_beyond_a_quarter_of_the_target() {
        let quiet = Detection { target: T, effective: T, ..Detection::default() };
        assert_eq!(quiet.with_rotation(MS(20)).effective, T);
        assert_eq!(quiet.with_rotation(MS(40)).effective, MS(615));
    }

    #[test]
    fn d27_a_pause_is_forgotten_within_fifteen_targets_of_hellos() {
        let mut late = Lateness::default();
        late.note(Duration::from_secs(3_600), T);
        assert_eq!(late.worst(), T, "what is beyond the target is a fault");
        let hellos = (1..).find(|_| {
            late.note(Duration::ZERO, T);
            patience(T, late.worst()) == T
        });
        assert_eq!(hellos, Some(133), "at ten in a target");
        late.note(MS(7), T);
        assert!(late.worst() < T / 8);
    }

    #[test]
    fn it_is_strained_where_more_patience_would_be_due_than_there_is() {
        let detection = |late| Detection { target: T, late, ..Detection::default() };
        assert!(!detection(Duration::ZERO).is_strained());
        assert!(!detection(MS(312)).is_strained());
        assert!(detection(MS(313)).is_strained());
        let own = Detection { own_late: T, ..detection(Duration::ZERO) };
        assert!(own.is_strained());
    }
}
