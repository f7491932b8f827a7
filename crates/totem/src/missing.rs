//! What is missing, and when it is requested (P5; `docs/protocol.md` §4).
//!
//! A token may overtake data, by much. What it announced and has not come is therefore requested
//! only after a full rotation, and after the longest time by which data has lately been seen to
//! come later than its announcement. Little is requested before requests have shown to be needed,
//! and nothing twice within a time that doubles.

use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

use evs_model::{Instant, RingId};

use crate::config::Terms;
use crate::wire::RtrList;

/// So many visits are remembered at which a token announced something new.
const ANNOUNCEMENTS_MAX: usize = 4_096;
/// At least so many packets count for the longest lateness,
const SAMPLES: u32 = 64;
/// and at least so many detection targets.
const TARGETS: u32 = 4;
/// Most requests of one member that are under way at once.
const ALLOWANCE_MAX: usize = 4_096;

/// What one member knows to be missing in its ring.
#[derive(Debug)]
pub(crate) struct Missing {
    announced: Announced,
    lateness: Lateness,
    requests: Requests,
    /// How many requests may be under way: one more for each that was needed, half as many for
    /// each that was not.
    allowance: usize,
}

/// A packet that came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) seq: u64,
    /// It was sent again on request.
    pub(crate) again: bool,
    /// It was not held before.
    pub(crate) new: bool,
}

impl Missing {
    /// Nothing up to this number is missing.
    pub(crate) fn new(now: Instant, seq: u64) -> Self {
        Self {
            announced: Announced { last: seq, visits: VecDeque::new() },
            lateness: Lateness { longest: [Duration::ZERO; 2], samples: 0, since: now },
            requests: Requests::default(),
            allowance: 1,
        }
    }

    /// A token tells that everything up to here exists.
    pub(crate) fn announce(&mut self, now: Instant, seq: u64) {
        self.announced.add(now, seq);
    }

    pub(crate) fn arrived(&mut self, now: Instant, terms: &Terms, arrival: Arrival) {
        let Arrival { seq, again, new } = arrival;
        let requested = self.requests.end(seq);
        if again {
            if new && requested {
                self.allowance = (self.allowance + 1).min(ALLOWANCE_MAX);
            }
            return;
        }
        // No network doubles datagrams so far up: it was sent again, and need not have been.
        if requested || !new {
            self.allowance = (self.allowance / 2).max(1);
        }
        if seq > self.announced.last {
            self.lateness.take(now, terms, Duration::ZERO);
        } else if let Some(at) = self.announced.at(seq) {
            self.lateness.take(now, terms, now.since(at));
        }
    }

    /// Puts what is due of these numbers, which are missing, on the list of requests; they
    /// ascend. Returns how many it put there.
    pub(crate) fn request(
        &mut self,
        now: Instant,
        (terms, rotation): (&Terms, Duration),
        (rtr, ring): (&mut RtrList, RingId),
        missing: impl Iterator<Item = u64>,
    ) -> u64 {
        let patience = self.lateness.patience(terms);
        let wait = (patience * 3 / 2).max(rotation / 2);
        let mut count = 0;
        for seq in missing {
            if self.announced.at(seq).is_some_and(|at| now.since(at) < patience) {
                break;
            }
            // What others request comes here too.
            if !rtr.contains(ring, seq) {
                if !self.requests.may(now, seq, self.allowance) {
                    continue;
                }
                if !rtr.request(ring, seq) {
                    break;
                }
                count += 1;
            }
            self.requests.begin(now, terms, seq, wait);
        }
        count
    }

    /// Everything up to here has come.
    pub(crate) fn complete(&mut self, aru: u64) {
        self.requests.complete(aru);
    }
}

/// When the tokens told of which numbers.
#[derive(Debug)]
struct Announced {
    last: u64,
    /// The highest number announced at a visit, and the visit's time; both ascend.
    visits: VecDeque<(u64, Instant)>,
}

impl Announced {
    fn add(&mut self, now: Instant, seq: u64) {
        if seq > self.last {
            self.last = seq;
            if self.visits.len() == ANNOUNCEMENTS_MAX {
                self.visits.pop_front();
            }
            self.visits.push_back((seq, now));
        }
    }

    /// When this number was announced; nothing if it was not, or is forgotten.
    fn at(&self, seq: u64) -> Option<Instant> {
        let place = self.visits.partition_point(|(last, _)| *last < seq);
        // Before the first that is remembered there may have been another.
        let known = place > 0 || self.visits.len() < ANNOUNCEMENTS_MAX;
        self.visits.get(place).filter(|_| known).map(|(_, at)| *at)
    }
}

/// By how much data comes later than the token that announced it: the longest time of a while.
#[derive(Debug)]
struct Lateness {
    /// In the while before this one, and in this one.
    longest: [Duration; 2],
    samples: u32,
    since: Instant,
}

impl Lateness {
    fn take(&mut self, now: Instant, terms: &Terms, late: Duration) {
        self.longest[1] = self.longest[1].max(late);
        self.samples = self.samples.saturating_add(1);
        if self.samples >= SAMPLES && now.since(self.since) >= terms.detection * TARGETS {
            self.longest = [self.longest[1], Duration::ZERO];
            (self.samples, self.since) = (0, now);
        }
    }

    /// How long something may be missing before it counts as lost.
    fn patience(&self, terms: &Terms) -> Duration {
        self.longest[0].max(self.longest[1]).min(terms.detection)
    }
}

/// Which numbers were requested, and when each may be requested again.
#[derive(Debug, Default)]
pub(crate) struct Requests(BTreeMap<u64, Request>);

#[derive(Clone, Copy, Debug)]
struct Request {
    again_at: Instant,
    wait: Duration,
}

impl Requests {
    /// Whether this number may be requested now, if so many may be under way.
    pub(crate) fn may(&self, now: Instant, seq: u64, most: usize) -> bool {
        match self.0.get(&seq) {
            Some(request) => now >= request.again_at,
            None => self.0.len() < most,
        }
    }

    /// It is requested: not again for so long, and for twice as long each time.
    pub(crate) fn begin(&mut self, now: Instant, terms: &Terms, seq: u64, wait: Duration) {
        let (shortest, longest) = terms.request_again();
        let wait = match self.0.get(&seq) {
            Some(request) => (request.wait * 2).clamp(shortest, longest.max(wait)),
            None => wait,
        };
        self.0.insert(seq, Request { again_at: now + wait, wait });
    }

    /// It came. Returns whether it was requested.
    fn end(&mut self, seq: u64) -> bool {
        self.0.remove(&seq).is_some()
    }

    /// Everything up to here has come.
    pub(crate) fn complete(&mut self, aru: u64) {
        if self.0.first_key_value().is_some_and(|(first, _)| *first <= aru) {
            self.0 = self.0.split_off(&(aru + 1));
        }
    }
}

#[cfg(test)]
mod tests;
