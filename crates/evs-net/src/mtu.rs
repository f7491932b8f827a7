//! How large a datagram passes on a path (`docs/protocol.md` §6).
//!
//! A path begins with a size that every network carries, and is raised to what a hello of that size
//! has proven by coming back. It falls to the safe size at once when large datagrams get lost and
//! small ones do not, and is raised again after a hold-down that grows while that happens again and
//! again. Packets above the size are cut (`parts.rs`); nothing waits for any of this.

use std::time::Duration;

use evs_model::{Instant, defect};

use crate::flaps::Flaps;
use crate::link::datagram_bytes_max;

/// Longest datagram that is taken to pass wherever anything does (`safe_datagram_bytes`): with the
/// headers of IPv6 and UDP the smallest MTU that IPv6 allows.
pub const SAFE_DATAGRAM_BYTES: usize = datagram_bytes_max(1280, true);

/// The sizes that are tried, in bytes of a datagram, ascending: the safe one first, that of the
/// largest packet last.
pub(crate) struct Sizes(Vec<usize>);

impl Sizes {
    /// The largest packet fills a datagram of so many bytes.
    pub(crate) fn up_to(full: usize) -> Self {
        let usual = [1500, 9000].map(|mtu| datagram_bytes_max(mtu, true));
        let safe = SAFE_DATAGRAM_BYTES.min(full);
        let steps = usual.into_iter().filter(|size| size + STEP_MIN <= full);
        let mut sizes: Vec<usize> = [safe].into_iter().chain(steps).chain([full]).collect();
        sizes.dedup();
        Self(sizes)
    }

    /// What a path must carry to be one.
    pub(crate) fn safe(&self) -> usize {
        self.0[0]
    }

    pub(crate) fn full(&self) -> usize {
        self.0[self.0.len() - 1]
    }

    /// What is tried on a path that carries so much.
    pub(crate) fn above(&self, limit: usize) -> impl Iterator<Item = usize> + use<> {
        let place = self.0.partition_point(|size| *size <= limit);
        let mut above = [0; STEPS_MAX];
        above[..self.0.len() - place].copy_from_slice(&self.0[place..]);
        above.into_iter().take(self.0.len() - place)
    }
}

/// What passes on one path to a peer.
#[derive(Debug)]
pub(crate) struct PathMtu {
    /// Larger datagrams are not sent.
    limit: usize,
    full: usize,
    flaps: Flaps,
    /// Rounds of probes without an answer, in a row.
    missed: u32,
    probe_at: Instant,
}

impl PathMtu {
    pub(crate) const fn new(now: Instant) -> Self {
        let limit = SAFE_DATAGRAM_BYTES;
        Self { limit, full: 0, flaps: Flaps::new(now), missed: 0, probe_at: now }
    }

    /// The path has come up, perhaps another one than before.
    pub(crate) fn begin(&mut self, now: Instant, full: usize) {
        (self.limit, self.full, self.missed) = (SAFE_DATAGRAM_BYTES, full, 0);
        self.probe_at = now.max(self.flaps.until);
    }

    /// In bytes of a datagram.
    pub(crate) fn limit(&self) -> usize {
        self.limit.min(self.full.max(SAFE_DATAGRAM_BYTES))
    }

    /// Whether packets of full size are cut.
    pub(crate) const fn cuts(&self) -> bool {
        self.limit < self.full
    }

    /// Whether it is known that packets of full size do not pass.
    pub(crate) const fn is_narrow(&self) -> bool {
        self.cuts() && self.missed >= MISSED_MAX
    }

    /// Whether larger sizes are to be tried now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.cuts() && now >= self.probe_at
    }

    /// They are, and again after a while that doubles. Returns whether it just became clear that
    /// none of those before came back.
    pub(crate) fn probe(&mut self, now: Instant, interval: Duration, detection: Duration) -> bool {
        let was_narrow = self.is_narrow();
        let wait = (interval * 2).saturating_mul(1 << self.missed.min(WAIT_DOUBLED_MAX));
        self.probe_at = now + wait.min(detection * PROBE_WAIT_MAX);
        // The answer to the latest one may be on its way.
        self.missed = self.missed.saturating_add(1);
        !was_narrow && self.is_narrow()
    }

    /// A hello of this size came back. Returns whether more passes than was known.
    pub(crate) fn passed(&mut self, now: Instant, size: usize) -> bool {
        let raised = self.cuts() && size > self.limit && now >= self.flaps.until;
        if raised {
            (self.limit, self.missed) = (size, 0);
            self.flaps.up(now);
        }
        raised
    }

    /// Large datagrams get lost. Returns whether less is sent than before.
    pub(crate) fn shrink(&mut self, now: Instant, detection: Duration) -> bool {
        if self.limit() <= SAFE_DATAGRAM_BYTES || defect!(MtuNeverShrinks) {
            return false;
        }
        self.limit = SAFE_DATAGRAM_BYTES;
        self.flaps.down(now, detection, detection);
        (self.missed, self.probe_at) = (MISSED_MAX, self.flaps.until);
        true
    }
}

/// What a step must bring, in bytes.
const STEP_MIN: usize = 64;
/// Most sizes that are tried.
const STEPS_MAX: usize = 4;
/// Rounds of probes that may stay without an answer, the latest one included.
const MISSED_MAX: u32 = 3;
/// Longest time from one round of probes to the next, in detection targets.
const PROBE_WAIT_MAX: u32 = 8;
const WAIT_DOUBLED_MAX: u32 = 10;

#[cfg(test)]
mod tests;
