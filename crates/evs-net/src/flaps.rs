//! Fast down, slow up: how long a peer that was lost is held down before it is heard again
//! (`docs/protocol.md` §6).

use std::time::Duration;

use evs_model::{Instant, defect};

/// The hold-down of one peer. The first loss costs none; each further one doubles it, until the
/// peer has been heard without a break for ten times as long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flaps {
    hold: Duration,
    lost_before: bool,
    up_at: Instant,
    /// Not heard before.
    pub(crate) until: Instant,
}

impl Flaps {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { hold: Duration::ZERO, lost_before: false, up_at: now, until: now }
    }

    pub(crate) const fn up(&mut self, now: Instant) {
        self.up_at = now;
    }

    /// The peer is lost; `least` is the shortest hold-down for this kind of loss.
    pub(crate) fn down(&mut self, now: Instant, detection: Duration, least: Duration) {
        if now.since(self.up_at) >= self.hold.max(detection) * CALM {
            (self.hold, self.lost_before) = (Duration::ZERO, false);
        }
        let longest = detection * if defect!(HoldDownStays) { 1 } else { HOLD_DOWN_MAX };
        let doubled =
            if self.lost_before { (self.hold * 2).max(detection) } else { Duration::ZERO };
        self.hold = doubled.max(least).min(longest);
        self.lost_before = true;
        self.until = now + self.hold;
    }
}

/// Heard without a break for so many times the hold-down, or the detection target: all is forgiven.
const CALM: u32 = 10;
/// Longest hold-down, in detection targets (`hold_down_max`).
pub(crate) const HOLD_DOWN_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const D: Duration = Duration::from_secs(1);

    /// Loses the peer a moment after it came up; returns for how long it is held down.
    fn lose(flaps: &mut Flaps, now: &mut Instant, up_for: Duration) -> Duration {
        *now = (*now).max(flaps.until);
        flaps.up(*now);
        *now = *now + up_for;
        flaps.down(*now, D, Duration::ZERO);
        flaps.until.since(*now)
    }

    #[test]
    fn the_first_loss_costs_no_hold_down_and_each_further_one_doubles_it_up_to_a_limit() {
        let mut now = Instant::from_nanos(0);
        let mut flaps = Flaps::new(now);
        let held: Vec<u64> = (0..9).map(|_| lose(&mut flaps, &mut now, D).as_secs()).collect();
        assert_eq!(held, [0, 1, 2, 4, 8, 16, 32, 64, 64]);
    }

    #[test]
    fn a_long_quiet_time_is_forgiveness() {
        let mut now = Instant::from_nanos(0);
        let mut flaps = Flaps::new(now);
        let fourth = (0..4).map(|_| lose(&mut flaps, &mut now, D)).last();
        assert_eq!(fourth, Some(D * 4));
        assert_eq!(lose(&mut flaps, &mut now, D * 39), D * 8, "not quite");
        assert_eq!(lose(&mut flaps, &mut now, D * 80), Duration::ZERO);
        assert_eq!(lose(&mut flaps, &mut now, D), D);
    }

    #[test]
    fn a_grave_loss_costs_at_least_what_it_is_worth() {
        let now = Instant::from_nanos(0);
        let mut flaps = Flaps::new(now);
        flaps.down(now, D, D * 2);
        assert_eq!(flaps.until.since(now), D * 2);
        flaps.down(now, D, D * 2);
        assert_eq!(flaps.until.since(now), D * 4);
    }
}
