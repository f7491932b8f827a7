//! How large the window is at present (`docs/protocol.md` §4): it grows while nothing is lost, and
//! shrinks when something had to be sent again.
//!
//! The ring's representative decides, once in a rotation; the token tells all. Nothing depends on
//! it but the pace: whatever a token says is brought into its bounds by whoever reads it.

use evs_model::defect;

use crate::config::Terms;
use crate::wire::Token;

/// How many rotations after it shrank the window stays as it is: what is sent again then was lost
/// before.
const REST: u8 = 2;

/// What the representative remembers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How large the window was when something was lost last. It grows fast up to three quarters
    /// of it, and slowly beyond.
    lost_at: u32,
    /// Rotations left until it may change.
    rest: u8,
}

impl Default for Pace {
    fn default() -> Self {
        Self { lost_at: u32::MAX, rest: 0 }
    }
}

impl Pace {
    /// Sets the window for the rotation that begins, from what the last one took and lost.
    pub(crate) fn adapt(&mut self, token: &mut Token, terms: &Terms) {
        let window = terms.window(token.window);
        let again = core::mem::take(&mut token.again);
        let next = if self.rest > 0 {
            self.rest -= 1;
            window
        } else if again > 0 && !defect!(WindowNeverShrinks) {
            (self.lost_at, self.rest) = (window, REST);
            window - again.clamp(window / 8, window / 2)
        } else if token.fcc < window / 2 || defect!(WindowNeverGrows) {
            // It was not used: that nothing was lost says nothing.
            window
        } else if window < self.lost_at / 4 * 3 {
            window.saturating_add(window / 4)
        } else {
            window.saturating_add(terms.window_bytes / 256)
        };
        token.window = terms.window(next);
    }
}

#[cfg(test)]
mod tests {
    use evs_model::{NodeId, Processor, RingId};

    use super::*;
    use crate::config::{Config, Origins};

    fn terms() -> Terms {
        Config { window_bytes: 1 << 20, ..Config::default() }.terms()
    }

    fn token(window: u32) -> Token {
        let rep = Processor::new(NodeId::new(1).expect("not zero"), 0);
        let ring = RingId { seq: 1, rep };
        let fcc = terms().window(window);
        Token { window, fcc, ..Token::first(ring, &Origins::default()) }
    }

    /// The window after so many rotations that are full and lose so much each.
    fn after(pace: &mut Pace, mut window: u32, rotations: u32, again: u32) -> u32 {
        for _ in 0..rotations {
            let mut token = Token { again, ..token(window) };
            pace.adapt(&mut token, &terms());
            assert_eq!(token.again, 0, "it counts once");
            window = token.window;
        }
        window
    }

    #[test]
    fn it_begins_at_a_sixteenth_and_grows_to_the_largest_while_nothing_is_lost() {
        let mut pace = Pace::default();
        assert_eq!(terms().window(0), 1 << 16);
        assert_eq!(after(&mut pace, 0, 1, 0), (1 << 16) + (1 << 14));
        assert_eq!(after(&mut pace, 0, 14, 0), 1 << 20);
        assert_eq!(after(&mut pace, 1 << 20, 100, 0), 1 << 20);
    }

    #[test]
    fn what_is_sent_again_shrinks_it_by_an_eighth_to_a_half_and_to_a_sixteenth_at_the_least() {
        let window = 1 << 19;
        assert_eq!(after(&mut Pace::default(), window, 1, 1), window / 8 * 7);
        assert_eq!(after(&mut Pace::default(), window, 1, window / 4), window / 4 * 3);
        assert_eq!(after(&mut Pace::default(), window, 1, u32::MAX), window / 2);
        assert_eq!(after(&mut Pace::default(), window, 1_000, 1), 1 << 16);
    }

    #[test]
    fn one_loss_shrinks_it_once_however_long_its_copies_take() {
        let window = 1 << 19;
        let mut pace = Pace::default();
        assert_eq!(after(&mut pace, window, 3, 1), window / 8 * 7);
    }

    #[test]
    fn near_to_what_was_too_much_it_grows_slowly() {
        let mut pace = Pace::default();
        let shrunk = after(&mut pace, 1 << 19, 3, 1);
        assert_eq!(after(&mut pace, shrunk, 1, 0), shrunk + (1 << 12));
    }

    #[test]
    fn a_window_that_is_not_used_stays_as_it_is() {
        let mut token = Token { fcc: (1 << 18) - 1, ..token(1 << 19) };
        Pace::default().adapt(&mut token, &terms());
        assert_eq!(token.window, 1 << 19);
    }
}
