//! The sliding replay window: each counter of one sender incarnation is accepted once.
//!
//! A bitmap over the counters below the highest one seen, for each link by itself: links may differ
//! in delay by more than the window is wide. It is wide because datagrams of one sender come in
//! through two sockets (multicast and unicast) whose queues are read in turn.

use evs_model::defect;

/// Which counters of one sender incarnation were received.
#[derive(Clone)]
pub struct ReplayWindow {
    top: u64,
    floor: u64,
    seen: [u64; WORDS],
}

/// Why a counter is not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Replay {
    /// It was received before.
    Seen,
    /// It is below the window, so nobody can tell.
    TooOld,
}

impl ReplayWindow {
    /// How far below the highest counter a late one may be.
    pub const WIDTH: u64 = (WORDS as u64 - 1) * WORD_BITS;

    /// A window that has seen nothing. Counters start at 1.
    #[must_use]
    pub const fn new() -> Self {
        Self { top: 0, floor: 0, seen: [0; WORDS] }
    }

    /// Whether [`accept`](Self::accept) would take this counter.
    ///
    /// # Errors
    /// As there.
    pub fn check(&self, counter: u64) -> Result<(), Replay> {
        if !defect!(ReplayAccepted) && counter <= self.floor
            || self.top.saturating_sub(counter) >= Self::WIDTH
        {
            return Err(Replay::TooOld);
        }
        let (word, bit) = place(counter);
        let known = counter <= self.top && self.seen[word] & bit != 0;
        if known && !defect!(ReplayAccepted) { Err(Replay::Seen) } else { Ok(()) }
    }

    /// Accepts a counter, once. To be called for authenticated datagrams only.
    ///
    /// # Errors
    /// It was received before, or is too old to tell; the window is unchanged.
    pub fn accept(&mut self, counter: u64) -> Result<(), Replay> {
        self.check(counter)?;
        if counter > self.top {
            self.advance(counter);
        }
        let (word, bit) = place(counter);
        self.seen[word] |= bit;
        Ok(())
    }

    /// Refuses everything up to and including this counter from now on.
    pub const fn close_up_to(&mut self, counter: u64) {
        if counter > self.floor {
            self.floor = counter;
        }
    }

    /// Moves the top, clearing the words that come into the window.
    fn advance(&mut self, counter: u64) {
        let fresh = (counter / WORD_BITS - self.top / WORD_BITS).min(WORDS as u64);
        for step in 0..fresh {
            let (word, _) = place(counter - step * WORD_BITS);
            self.seen[word] = 0;
        }
        self.top = counter;
    }
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}

fn place(counter: u64) -> (usize, u64) {
    let word = usize::try_from(counter / WORD_BITS % WORDS as u64).expect("below WORDS");
    (word, 1 << (counter % WORD_BITS))
}

const WORDS: usize = 128;
const WORD_BITS: u64 = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_counter_is_accepted_once() {
        let mut window = ReplayWindow::new();
        assert_eq!(window.accept(5), Ok(()));
        assert_eq!(window.accept(5), Err(Replay::Seen));
        assert_eq!(window.accept(4), Ok(()));
        assert_eq!(window.accept(4), Err(Replay::Seen));
    }

    #[test]
    fn counter_zero_does_not_exist() {
        assert_eq!(ReplayWindow::new().accept(0), Err(Replay::TooOld));
    }

    #[test]
    fn a_late_counter_is_accepted_down_to_the_edge_of_the_window() {
        let mut window = ReplayWindow::new();
        let top = 1_000_000;
        window.accept(top).expect("fresh");
        assert_eq!(window.accept(top - ReplayWindow::WIDTH + 1), Ok(()));
        assert_eq!(window.accept(top - ReplayWindow::WIDTH), Err(Replay::TooOld));
    }

    #[test]
    fn the_highest_counter_is_accepted_and_only_once() {
        let mut window = ReplayWindow::new();
        assert_eq!(window.accept(u64::MAX), Ok(()));
        assert_eq!(window.accept(u64::MAX), Err(Replay::Seen));
        assert_eq!(window.accept(u64::MAX - 1), Ok(()));
        assert_eq!(window.accept(1), Err(Replay::TooOld));
    }

    #[test]
    fn a_closed_window_refuses_what_was_never_seen() {
        let mut window = ReplayWindow::new();
        window.accept(10).expect("fresh");
        window.close_up_to(8);
        assert_eq!(window.accept(8), Err(Replay::TooOld));
        assert_eq!(window.accept(9), Ok(()));
        window.close_up_to(3);
        assert_eq!(window.accept(7), Err(Replay::TooOld));
    }

    /// The window against a set that remembers everything, over jumps of every size.
    #[test]
    fn it_agrees_with_a_set_that_forgets_nothing() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut window = ReplayWindow::new();
        let mut seen = BTreeSet::new();
        let mut top = 0u64;
        for _ in 0..50_000 {
            let reach = [1, 3, 100, 2 * ReplayWindow::WIDTH][rng.usize(..4)];
            let counter = (top + rng.u64(0..=reach)).saturating_sub(rng.u64(0..=reach)).max(1);
            let expected = if counter + ReplayWindow::WIDTH <= top {
                Err(Replay::TooOld)
            } else if seen.insert(counter) {
                Ok(())
            } else {
                Err(Replay::Seen)
            };
            assert_eq!(window.accept(counter), expected, "counter {counter}, top {top}");
            top = top.max(counter);
        }
    }
}
