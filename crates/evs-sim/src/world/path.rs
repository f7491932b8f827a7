//! The way from one node to another: whether it is open, how large a datagram passes, how fast.

use super::Nanos;

const SECOND: u128 = 1_000_000_000;

/// The way from one node to another, in one direction.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) open: bool,
    /// Larger datagrams do not pass.
    pub(super) bytes_max: usize,
    /// How likely a datagram is lost, besides what the weather takes.
    pub(super) loss_ppm: u32,
    /// Added to the delay.
    pub(super) slow: Nanos,
    pub(super) clog: Option<Clog>,
    /// When the last datagram arrived that was not reordered.
    pub(super) last: Nanos,
    /// What becomes of the datagrams of this path depends on no other.
    pub(super) rng: fastrand::Rng,
}

/// A narrow place: datagrams go through one after the other, and those that find no room to wait
/// are dropped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clog {
    pub(super) bytes_per_second: u64,
    pub(super) buffer_bytes: u64,
    /// When all that waits will be through.
    free_at: Nanos,
}

impl Path {
    pub(super) const fn new(rng: fastrand::Rng) -> Self {
        Self { open: true, bytes_max: usize::MAX, loss_ppm: 0, slow: 0, clog: None, last: 0, rng }
    }

    /// As it was at the start. What is still on the way, in some queue, may be overtaken.
    pub(super) fn heal(&mut self) {
        *self = Self::new(self.rng.clone());
    }
}

impl Clog {
    pub(super) fn new(bytes_per_second: u64, buffer_bytes: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), buffer_bytes, free_at: 0 }
    }

    /// When a datagram of this size is through; `None` if there is no room for it to wait.
    pub(super) fn pass(&mut self, now: Nanos, bytes: usize) -> Option<Nanos> {
        let rate = u128::from(self.bytes_per_second);
        let waiting = u128::from(self.free_at.saturating_sub(now)) * rate / SECOND;
        if waiting > 0 && waiting + bytes as u128 > u128::from(self.buffer_bytes) {
            return None;
        }
        let takes = u64::try_from(bytes as u128 * SECOND / rate).unwrap_or(Nanos::MAX);
        self.free_at = self.free_at.max(now).saturating_add(takes);
        Some(self.free_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_place_takes_one_after_the_other_and_drops_what_has_no_room() {
        let mut clog = Clog::new(1_000_000, 2_500);
        assert_eq!(clog.pass(0, 1_000), Some(1_000_000), "a millisecond for a thousand bytes");
        assert_eq!(clog.pass(0, 1_000), Some(2_000_000));
        assert_eq!(clog.pass(0, 1_000), None, "2,000 bytes wait");
        assert_eq!(clog.pass(1_000_000, 1_000), Some(3_000_000), "one is through");
        assert_eq!(clog.pass(9_000_000, 5_000), Some(14_000_000), "nothing waits: it goes at once");
    }
}
