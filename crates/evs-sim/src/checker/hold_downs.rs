//! How long somebody may be held down when a span begins: what the contract allows, computed from
//! what was done to the world. What the implementation says of itself shortens it, no more.
//!
//! The first loss of a path costs none and each further one doubles it, from D to 64 D; who is
//! heard and does not join is left out for 2 D at first (`docs/protocol.md` §3, §6). The judge
//! counts every change of the world as a loss of each path, and what came of a time that was not
//! fair as 64 D. Ten times as long without a change begin anew.

use crate::history::{Circumstances, Time};

/// Longest hold-down, in D.
const LONGEST: Time = 64;
/// All is forgiven after so many hold-downs.
const CALM: Time = 10;

/// For each span, until when somebody may be held down at the latest.
pub(super) fn held_until(circumstances: &Circumstances) -> Vec<Time> {
    let mut state = HoldDown::default();
    let spans = circumstances.spans();
    spans
        .enumerate()
        .map(|(number, (span, end))| {
            // D is the target in effect.
            let bounds = &circumstances.bounds;
            let effective = bounds.detection + span.patience.believed(bounds);
            state.detection = state.detection.max(effective);
            if number > 0 {
                state.change();
            }
            let noticed = span.from + state.detection;
            state.rest(end - span.from, span.fair);
            span.held.min(noticed + state.longest)
        })
        .collect()
}

#[derive(Debug, Default)]
struct HoldDown {
    detection: Time,
    longest: Time,
    calm: Time,
}

impl HoldDown {
    /// Something was done to the world.
    fn change(&mut self) {
        let max = LONGEST * self.detection;
        if self.calm >= CALM * self.longest.max(self.detection) + self.longest {
            self.longest = 0;
        }
        self.longest = (2 * self.longest).clamp(2 * self.detection, max);
    }

    /// Nothing is done for so long.
    fn rest(&mut self, time: Time, fair: bool) {
        self.calm = if fair { time } else { 0 };
        if !fair {
            self.longest = LONGEST * self.detection;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;
    use crate::history::History;

    const MS: Time = 1_000_000;

    /// One processor, to whose world something is done at these times, in milliseconds; by its own
    /// word it is held down for ever. D is 100 ms.
    fn history_of(changes: &[u64]) -> History {
        let graphs: Vec<(u64, Edges<'_>)> = changes.iter().map(|ms| (*ms, [].as_slice())).collect();
        let mut history = calm(vec![timed(1, vec![(0, regular(1, &[1]))])], &graphs);
        let circumstances = history.circumstances.as_mut().expect("of a calm world");
        circumstances.spans.iter_mut().for_each(|span| span.held = Time::MAX);
        history
    }

    /// For how long beyond D each span may be held, in milliseconds.
    fn held(history: &History) -> Vec<u64> {
        let circumstances = history.circumstances.as_ref().expect("of a calm world");
        let until = held_until(circumstances).into_iter().zip(&circumstances.spans);
        until.map(|(until, span)| (until - span.from) / MS - 100).collect()
    }

    #[test]
    fn each_change_doubles_what_is_allowed_up_to_64_d() {
        let changes: Vec<u64> = (0..9).map(|i| 150 * i).collect();
        let allowed = [0, 200, 400, 800, 1_600, 3_200, 6_400, 6_400, 6_400];
        assert_eq!(held(&history_of(&changes)), allowed);
    }

    #[test]
    fn a_long_calm_is_forgiveness() {
        assert_eq!(held(&history_of(&[0, 5_000, 7_000, 12_000, 14_000])), [0, 200, 400, 200, 400]);
    }

    #[test]
    fn after_a_time_that_was_not_fair_anything_is_allowed() {
        let mut history = history_of(&[0, 1_000, 2_000]);
        history.circumstances.as_mut().expect("of a calm world").spans[1].fair = false;
        assert_eq!(held(&history), [0, 6_400, 6_400]);
    }

    #[test]
    fn what_the_implementation_says_counts_if_it_is_less() {
        let mut history = history_of(&[0, 1_000]);
        let spans = &mut history.circumstances.as_mut().expect("of a calm world").spans;
        spans.iter_mut().for_each(|span| span.held = span.from + 150 * MS);
        assert_eq!(held(&history), [0, 50]);
    }
}
