//! The path to one incarnation of a peer over one link: what is known of it in each direction, and
//! how good it is (`docs/protocol.md` §6).
//!
//! In: what comes from the peer. Out: the challenges of mine that it echoes on this link, and how
//! many of the datagrams that left for it had arrived when a challenge did. So loss, and the loss
//! of large datagrams alone, are known one hello later, without any packet for the purpose.

use std::time::Duration;

use evs_model::Instant;

use crate::detection::Lateness;
use crate::flaps::Flaps;
use crate::hello::{Echo, Hello, Losses};
use crate::mtu::{PathMtu, SAFE_DATAGRAM_BYTES};
use crate::parts::{PART_OVERHEAD, Part};
use crate::peer::{RoundTrip, micros};
use crate::reach::MtuCause;
use crate::replay::{Replay, ReplayWindow};

/// One path.
pub(crate) struct Path {
    /// Made when the first datagram comes.
    window: Option<Box<ReplayWindow>>,
    floor: u64,
    /// Both directions work.
    pub(crate) up: bool,
    /// When any authentic datagram came last.
    pub(crate) heard_at: Option<Instant>,
    /// How many of them came, those included that say nothing of losses.
    pub(crate) arrived: u64,
    /// For how long this node stood still since then.
    paused: Duration,
    /// When a hello came last.
    pub(crate) hello_at: Option<Instant>,
    /// When the latest of my challenges was drawn that came back: then this path carried it.
    pub(crate) carried_at: Option<Instant>,
    /// When a fresh challenge of mine came back last, and one of the safe size.
    pub(crate) proven_at: Option<Instant>,
    pub(crate) safe_at: Option<Instant>,
    /// Whether the peer says that it hears me on this link.
    pub(crate) lists_me: bool,
    /// What becomes of what the peer sends on it, by its latest word.
    pub(crate) told: Losses,
    pub(crate) round_trip: Option<RoundTrip>,
    pub(crate) flaps: Flaps,
    /// For how long it is left alone after traffic was moved away from it.
    pub(crate) demotions: Flaps,
    pub(crate) health: Health,
    /// How large a datagram passes.
    pub(crate) mtu: PathMtu,
    /// How late the hellos to all came lately.
    pub(crate) late: Lateness,
    /// When the last of them came, while it was up.
    all_at: Option<Instant>,
    hello_counter: u64,
    challenge: u64,
    stamp: u32,
}

/// How many datagrams, and how many of them were larger than is safe.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    pub(crate) all: u32,
    pub(crate) large: u32,
}

impl Tally {
    const fn count(&mut self, large: bool) {
        self.all = self.all.wrapping_add(1);
        self.large = self.large.wrapping_add(large as u32);
    }

    const fn since(self, before: Self) -> Self {
        Self {
            all: self.all.wrapping_sub(before.all),
            large: self.large.wrapping_sub(before.large),
        }
    }
}

/// What gets through.
#[derive(Debug)]
pub(crate) struct Health {
    /// What left for the peer, and what came from it.
    sent: Tally,
    received: Tally,
    /// What had come when the latest challenge did that was for all.
    received_at_hello: Tally,
    /// My latest challenges, with what had left before each.
    probes: [Option<(u64, Tally)>; PROBES],
    /// What had left and come by the last of them that was echoed.
    settled: Option<(Tally, Tally)>,
    /// Whatever left for the peer.
    pub(crate) departed: u64,
    /// As it was at the last echo, and what of it the kernel has not taken since.
    departed_at_echo: u64,
    unsent: Tally,
    /// By the echoes: in parts of a million, averaged over some hellos.
    pub(crate) echoed_loss_ppm: u32,
    /// The same of small datagrams alone.
    small_loss_ppm: u32,
    /// Large datagrams lost since one came last.
    large_lost: u32,
    /// Not even datagrams of a safe size pass.
    pub(crate) choked: bool,
    /// Padded hellos without an answer, in a row.
    full_missed: u32,
    full_due: Option<u64>,
}

impl Path {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            window: None,
            floor: 0,
            up: false,
            heard_at: None,
            arrived: 0,
            paused: Duration::ZERO,
            hello_at: None,
            carried_at: None,
            proven_at: None,
            safe_at: None,
            lists_me: false,
            round_trip: None,
            flaps: Flaps::new(now),
            demotions: Flaps::new(now),
            health: Health::new(),
            mtu: PathMtu::new(now),
            late: Lateness::new(),
            all_at: None,
            hello_counter: 0,
            challenge: 0,
            stamp: 0,
            told: Losses { loss_ppm: 0, narrow: false },
        }
    }

    /// Something authentic came.
    pub(crate) const fn hear(&mut self, now: Instant) {
        self.heard_at = Some(now);
        self.arrived += 1;
        self.paused = Duration::ZERO;
    }

    /// This node stood still, and could not have heard anything.
    pub(crate) const fn excuse(&mut self, pause: Duration) {
        self.paused = self.paused.saturating_add(pause);
        // Nor is the next hello late.
        self.all_at = None;
    }

    /// For how long nothing authentic has come, own pauses not counted.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        let silence = self.heard_at.map_or(Duration::ZERO, |at| now.since(at));
        silence.saturating_sub(self.paused)
    }

    /// Whether a datagram with this counter would be new.
    pub(crate) fn check(&self, counter: u64) -> Result<(), Replay> {
        match &self.window {
            Some(window) => window.check(counter),
            None if counter <= self.floor => Err(Replay::TooOld),
            None => Ok(()),
        }
    }

    /// Takes the counter of an authentic datagram, once.
    pub(crate) fn accept(&mut self, counter: u64) -> Result<(), Replay> {
        let floor = self.floor;
        let window = self.window.get_or_insert_with(|| {
            let mut window = Box::new(ReplayWindow::new());
            window.close_up_to(floor);
            window
        });
        window.accept(counter)
    }

    /// Refuses everything up to this counter from now on.
    pub(crate) fn close_up_to(&mut self, counter: u64) {
        self.floor = self.floor.max(counter);
        if let Some(window) = &mut self.window {
            window.close_up_to(counter);
        }
    }

    /// Takes over what a hello says; returns whether it is the latest one on this path. A hello
    /// that was overtaken by a later one says nothing new.
    pub(crate) fn update(&mut self, now: Instant, counter: u64, hello: &Hello) -> bool {
        if counter <= self.hello_counter {
            return false;
        }
        self.hello_at = Some(now);
        self.hello_counter = counter;
        self.challenge = hello.challenge;
        self.stamp = hello.stamp;
        // Answers may carry the challenge of the last hello to all once more.
        if !hello.is_answer() {
            self.health.received_at_hello = self.health.received;
        }
        true
    }

    /// What is echoed to the peer on this link.
    pub(crate) fn echo(&self, now: Instant) -> (u64, u32, Tally) {
        let waited = micros(now).wrapping_sub(self.hello_at.map_or(0, micros));
        (self.challenge, self.stamp.wrapping_add(waited), self.health.received_at_hello)
    }

    /// A hello to all came, which are due at this interval. `None`: this process stood still, and
    /// knows nothing about the time.
    pub(crate) fn keep_time(&mut self, now: Instant, due: Option<Patience>) {
        let last = self.all_at.replace(now).filter(|_| self.up);
        let (Some(last), Some(due)) = (last, due) else { return };
        let since = now.since(last);
        // Several hellos may speak to all at a time.
        if since >= due.interval / 2 {
            self.late.note(since.saturating_sub(due.interval), due.detection);
        }
    }

    /// The path has come up.
    pub(crate) fn begin(&mut self, now: Instant, full: usize) {
        self.up = true;
        self.mtu.begin(now, full);
        self.all_at = None;
        self.flaps.up(now);
        self.health.begin();
    }

    /// A round trip: the stamp that came back is mine, moved on by the time it waited there.
    pub(crate) fn measure(&mut self, now: Instant, echo: Echo, detection: Duration) {
        let sample = Duration::from_micros(u64::from(micros(now).wrapping_sub(echo.stamp)));
        // Rounding on both sides can make it slightly negative, which wraps.
        if sample < detection {
            self.round_trip =
                Some(self.round_trip.map_or_else(|| RoundTrip::first(sample), |t| t.next(sample)));
        }
    }

    /// A hello of mine came back that was padded to this size, if it was: that may change how large
    /// a datagram is sent.
    pub(crate) fn resize(
        &mut self,
        now: Instant,
        (echo, size): (Echo, usize),
        detection: Duration,
    ) -> Option<MtuCause> {
        let was_narrow = self.mtu.is_narrow();
        let large_is_lost = self.health.settle(echo);
        if self.mtu.passed(now, size) {
            self.health.resized();
            return Some(if was_narrow { MtuCause::Healed } else { MtuCause::Found });
        }
        (large_is_lost && self.shrink(now, detection)).then_some(MtuCause::Lost)
    }

    /// What it carries has to be found out anew.
    pub(crate) fn unprove(&mut self, now: Instant, full: usize) {
        self.mtu.begin(now, full);
        self.health.resized();
    }

    /// Large datagrams get lost. Returns whether smaller ones are sent from now on.
    pub(crate) fn shrink(&mut self, now: Instant, detection: Duration) -> bool {
        let shrinks = self.mtu.shrink(now, detection);
        if shrinks {
            self.health.resized();
        }
        shrinks
    }

    /// What becomes of what is sent on it.
    pub(crate) fn losses(&self) -> Losses {
        let narrow = self.mtu.is_narrow() || self.health.choked;
        Losses { loss_ppm: self.health.loss_ppm(), narrow }
    }

    /// How good it is for what is to be sent now; of two, the lower one is the better one.
    pub(crate) fn grade(&self, now: Instant, patience: Patience) -> Grade {
        let trip = self.round_trip;
        Grade {
            down: !self.up,
            choked: self.health.choked,
            silent: self.doubtful_at(patience).is_none_or(|at| now >= at),
            loss: match self.health.loss_ppm() {
                0..30_000 => 0,
                30_000..120_000 => 1,
                120_000.. => 2,
            },
            narrow: self.mtu.is_narrow(),
            slowness: trip.map_or(0, |trip| {
                let share = trip.smoothed.as_nanos() * 100 / patience.detection.as_nanos().max(1);
                match share {
                    0 => 0,
                    1..5 => 1,
                    5..25 => 2,
                    25.. => 3,
                }
            }),
        }
    }

    /// When it becomes doubtful unless something comes, or comes back.
    pub(crate) fn doubtful_at(&self, patience: Patience) -> Option<Instant> {
        let (heard, carried) = (self.heard_at?, self.carried_at?);
        let trip = self.round_trip.map_or(Duration::ZERO, |t| t.smoothed + t.deviation * 4);
        let jitter = self.round_trip.map_or(Duration::ZERO, |t| t.deviation * 4);
        let inward = heard + (patience.interval * 5 / 2 + jitter);
        let outward = carried + (patience.interval * 3 + trip);
        Some(inward.min(outward))
    }
}

/// What a path is measured by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From one hello to the next.
    pub(crate) interval: Duration,
    pub(crate) detection: Duration,
}

/// What is wrong with a path, the gravest first. The default is a path without fault.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Grade {
    pub(crate) down: bool,
    pub(crate) choked: bool,
    pub(crate) silent: bool,
    pub(crate) loss: u8,
    pub(crate) narrow: bool,
    pub(crate) slowness: u8,
}

impl Health {
    const fn new() -> Self {
        let none = Tally { all: 0, large: 0 };
        Self {
            sent: none,
            received: none,
            received_at_hello: none,
            probes: [None; PROBES],
            settled: None,
            departed: 0,
            departed_at_echo: 0,
            unsent: none,
            echoed_loss_ppm: 0,
            small_loss_ppm: 0,
            large_lost: 0,
            choked: false,
            full_missed: 0,
            full_due: None,
        }
    }

    /// Counts from this number on.
    pub(crate) const fn count_from(&mut self, count: u32) {
        let tally = Tally { all: count, large: count };
        (self.sent, self.received, self.received_at_hello) = (tally, tally, tally);
    }

    /// The path has come up: what was sent before may have been refused for good reasons.
    pub(crate) const fn begin(&mut self) {
        (self.settled, self.echoed_loss_ppm, self.small_loss_ppm) = (None, 0, 0);
        (self.departed_at_echo, self.unsent) = (self.departed, Tally { all: 0, large: 0 });
        (self.large_lost, self.choked) = (0, false);
        (self.full_due, self.full_missed) = (None, 0);
        self.probes = [None; PROBES];
    }

    /// A payload of so many bytes left in so many parts, or as a whole if they are none.
    pub(crate) fn count_payload(&mut self, bytes: usize, parts: u8, overhead: usize) {
        if parts == 0 {
            return self.count_sent(is_large(bytes + overhead));
        }
        let part = Part::of(bytes, parts);
        for index in 0..parts {
            let length = Part { index, ..part }.range().len() + PART_OVERHEAD;
            self.count_sent(is_large(length + overhead));
        }
    }

    const fn count_sent(&mut self, large: bool) {
        self.departed += 1;
        self.sent.count(large);
    }

    /// Of a payload that travels in several copies it says nothing that one did not come.
    pub(crate) fn count_copy(&mut self, parts: u8) {
        self.departed += u64::from(parts.max(1));
    }

    /// A hello left. Whether a padded one arrives is not known beforehand.
    pub(crate) const fn count_hello(&mut self, padded: bool) {
        if padded {
            self.departed += 1;
        } else {
            self.count_sent(false);
        }
    }

    /// The kernel did not take so many of those that were to leave.
    pub(crate) const fn count_unsent(&mut self, unsent: Tally) {
        self.unsent.all = self.unsent.all.saturating_add(unsent.all);
        self.unsent.large = self.unsent.large.saturating_add(unsent.large);
    }

    /// The share that gets lost, in parts of a million: by the echoes, and by what the kernel did
    /// not take since the last one. That is known at once.
    pub(crate) fn loss_ppm(&self) -> u32 {
        if self.unsent.all < UNSENT_MIN {
            return self.echoed_loss_ppm;
        }
        let departed = u32::try_from(self.departed - self.departed_at_echo).unwrap_or(u32::MAX);
        let unsent = self.unsent.all.min(departed);
        averaged(self.echoed_loss_ppm, unsent, departed).max(self.echoed_loss_ppm)
    }

    pub(crate) const fn count_received(&mut self, large: bool) {
        self.received.count(large);
    }

    /// A hello with this challenge is about to leave.
    pub(crate) fn probe(&mut self, challenge: u64) {
        self.probes.rotate_right(1);
        self.probes[0] = Some((challenge, self.sent));
    }

    /// A hello of the size that is in use is about to leave; the one before it is late by now.
    /// Returns whether so many stayed without an answer that this size does not pass.
    pub(crate) fn probe_full(&mut self, challenge: u64) -> bool {
        if self.full_due.replace(challenge).is_some() {
            self.full_missed += 1;
        }
        self.full_missed >= self.enough() - 1
    }

    /// A hello of the size that is in use, or of a larger one, came back.
    pub(crate) const fn passed(&mut self) {
        (self.full_due, self.full_missed, self.choked) = (None, 0, false);
    }

    /// Nothing of what was learnt about the size in use holds for the one that is now.
    const fn resized(&mut self) {
        (self.full_due, self.full_missed, self.large_lost) = (None, 0, 0);
    }

    /// The peer has echoed a challenge, and says what had come when it did. Returns whether large
    /// datagrams get lost, though small ones do not.
    #[must_use]
    pub(crate) fn settle(&mut self, echo: Echo) -> bool {
        let mut probes = self.probes.iter();
        let Some(place) = probes.position(|p| p.is_some_and(|(c, _)| c == echo.challenge)) else {
            return false;
        };
        let Some((_, sent)) = self.probes[place] else { return false };
        self.probes[place..].fill(None);
        let unsent = std::mem::take(&mut self.unsent);
        self.departed_at_echo = self.departed;
        let received = Tally { all: echo.received, large: echo.received_large };
        if let Some((sent_before, received_before)) = self.settled.replace((sent, received)) {
            let (sent, received) = (sent.since(sent_before), received.since(received_before));
            return self.judge(sent, received, unsent);
        }
        false
    }

    fn judge(&mut self, sent: Tally, received: Tally, unsent: Tally) -> bool {
        if sent.all == 0 || received.all > u32::MAX / 2 {
            return false;
        }
        let lost = sent.all.saturating_sub(received.all);
        let lost_large = sent.large.saturating_sub(received.large);
        let (small, lost_small) = (sent.all - sent.large, lost.saturating_sub(lost_large));
        // What has not left says nothing about sizes.
        let lost_large = lost_large.saturating_sub(unsent.large);
        let large_is_lost =
            self.large_is_lost(sent, received, lost_large) && lost_small <= small / SMALL_LOST_MAX;
        self.echoed_loss_ppm = averaged(self.echoed_loss_ppm, lost, sent.all);
        self.small_loss_ppm = averaged(self.small_loss_ppm, lost_small, small);
        large_is_lost
    }

    /// Whether so many large ones were lost that it cannot be what small ones suffer, too: all of
    /// late, or a large part at once.
    fn large_is_lost(&mut self, sent: Tally, received: Tally, lost: u32) -> bool {
        let (ppm, enough) = (self.small_loss_ppm, self.enough());
        if received.large == 0 {
            self.large_lost = self.large_lost.saturating_add(lost);
            return lost > 0 && self.large_lost >= enough;
        }
        // Those that came may have come before.
        self.large_lost = lost;
        let chance = u64::from(sent.large) * (u64::from(ppm) * 4 + MILLION / 4);
        lost >= enough && u64::from(lost) * MILLION >= chance
    }

    /// So many in a row are not lost by chance.
    const fn enough(&self) -> u32 {
        match self.small_loss_ppm {
            0..10_000 => LARGE_MIN,
            10_000..50_000 => 5,
            50_000..150_000 => 8,
            150_000..350_000 => 13,
            350_000.. => 24,
        }
    }
}

/// Whether a datagram of this size may be too large for some network.
pub(crate) const fn is_large(bytes: usize) -> bool {
    bytes > SAFE_DATAGRAM_BYTES
}

/// An average in which one datagram says little, and some dozens say nearly all.
fn averaged(before: u32, lost: u32, sent: u32) -> u32 {
    if sent == 0 {
        return before;
    }
    let ppm = u64::from(lost) * MILLION / u64::from(sent);
    let weight = u64::from(sent.clamp(1, WEIGHT_MAX));
    let average = u64::from(before) * (WEIGHT - weight) + ppm * weight;
    u32::try_from(average / WEIGHT).unwrap_or(0)
}

/// My challenges on a path that are remembered for counting.
const PROBES: usize = 6;
/// Large datagrams lost that make a path narrow, where small ones are not lost.
const LARGE_MIN: u32 = 3;
/// So many that the kernel did not take are more than chance.
const UNSENT_MIN: u32 = 8;
/// One of so many small ones may be lost meanwhile.
const SMALL_LOST_MAX: u32 = 8;
/// The average over so many datagrams; one hello counts for this much of it at most.
const WEIGHT: u64 = 64;
const WEIGHT_MAX: u32 = 48;
const MILLION: u64 = 1_000_000;

#[cfg(test)]
mod tests;
