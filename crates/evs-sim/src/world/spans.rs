//! Writes down what is done to the world: who can hear whom from when on, and whether the rest is
//! within the limits in which nothing may change.

use std::collections::BTreeMap;

use evs_model::Members;

use super::{Nanos, Weather, World};
use crate::bounds::Bounds;
use crate::history::{Circumstances, History, Span};

/// Loss of up to so much is no fault, in parts per million.
const LOSS_MAX_PPM: u32 = 50_000;
/// Datagrams that a receive buffer must hold at least.
const INBOX_MIN: usize = 1_024;

/// The spans so far.
#[derive(Debug, Default)]
pub(super) struct Spans {
    spans: Vec<Span>,
    /// Something was done since the last span began.
    pub(super) disturbed: bool,
    /// When everything had to be settled.
    pub(super) settled: Option<Nanos>,
}

impl World {
    /// What may take how long in this world.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let options = &self.options;
        let detection = u64::try_from(options.detection.as_nanos()).unwrap_or(u64::MAX);
        let slow = detection / 1_000_000 * u64::from(options.clock_skew_ppm.min(100_000));
        let weather = &options.weather;
        // In the end there is fair weather, whatever there was in the beginning.
        let jitter = weather.jitter.max(Weather::fair(weather.delay).jitter);
        Bounds {
            detection: detection + slow,
            shortest: detection - slow,
            hop: weather.delay + jitter + options.reading_delay,
            nodes: self.len(),
            patience: self.patience_max(),
        }
    }

    /// Adds to the history what was done to this world: then it can be judged whole.
    pub fn conclude(&mut self) -> &History {
        self.survey();
        self.recorder.conclude(Circumstances {
            bounds: self.bounds(),
            links: self.options.links,
            spans: self.spans.spans.clone(),
            patience: self.told_patience(),
            end: self.now,
            settled: self.spans.settled,
        });
        self.history()
    }

    /// From here on nothing is done to this world any more.
    pub fn freeze(&mut self) {
        self.spans.disturbed = true;
        self.survey();
    }

    /// When everything must have settled, by what is known of hold-downs so far: no earlier than
    /// the judge says.
    pub(crate) fn settles_at(&self) -> Nanos {
        let held = self.spans.spans.last().map_or(0, |span| span.held);
        held + self.bounds().settling()
    }

    /// Something is done to this world.
    pub(super) fn disturb(&mut self) {
        self.spans.disturbed = true;
    }

    /// Notes who hears whom, if that may have changed.
    pub(super) fn survey(&mut self) {
        if !std::mem::take(&mut self.spans.disturbed) {
            return;
        }
        let mut span = self.span();
        span.held = span.from + self.held_down_for().max(self.patience());
        self.calm.done(self.now, self.is_punctual(&span));
        let limit = self.bounds().pause();
        let spans = &mut self.spans.spans;
        // What lasted no time did not happen.
        spans.pop_if(|last| last.from == span.from);
        if spans.last().is_some_and(|last| same(last, &span)) {
            return;
        }
        // A short pause is no fault.
        if let [.., before, pause] = spans.as_slice()
            && pause.fair
            && span.from - pause.from <= limit
            && pause.stopped.len() == before.stopped.len() + 1
            && same(before, &span)
        {
            spans.pop();
            return;
        }
        spans.push(span);
    }

    /// Who is heard by a node has changed: somebody may be held down from now on.
    pub(super) fn hold_down(&mut self) {
        let (held, bound) = (self.now + self.held_down_for(), self.bounds().settling());
        // What happens after the bound excuses nothing.
        if let Some(span) = self.spans.spans.last_mut().filter(|s| self.now <= s.from + bound) {
            span.held = span.held.max(held);
        }
    }

    fn span(&self) -> Span {
        let up: Vec<usize> =
            (0..self.nodes.len()).filter(|node| self.nodes[*node].machine.is_some()).collect();
        let name = |node: usize| self.nodes[node].machine.as_ref().map(|m| m.endpoint.me());
        let speaks = |node: usize| {
            let machine = self.nodes[node].machine.as_ref();
            machine.is_some_and(|machine| !machine.paused && !machine.mute)
        };
        let list = |of: Vec<usize>| {
            let names = of.into_iter().filter_map(name).collect();
            Members::new(names).expect("one process of each node, and not too many")
        };
        let (mut hears, mut deaf) = (BTreeMap::new(), BTreeMap::new());
        for one in &up {
            let edges = up.iter().filter(|two| {
                *two != one
                    && speaks(*one)
                    && speaks(**two)
                    && self.network.passes(*one, **two)
                    && self.network.passes(**two, *one)
            });
            let near = list(edges.copied().collect());
            hears.extend(name(*one).map(|name| (name, near)));
            let silent = up.iter().filter(|two| {
                *two != one && speaks(*one) && !(speaks(**two) && self.network.passes(**two, *one))
            });
            let silent = list(silent.copied().collect());
            deaf.extend(name(*one).filter(|_| !silent.is_empty()).map(|name| (name, silent)));
        }
        let stopped = list(up.iter().copied().filter(|node| !speaks(*node)).collect());
        Span {
            from: self.now,
            held: self.now,
            patience: self.told_patience(),
            hears,
            deaf,
            stopped,
            still: self.is_still(),
            fair: self.is_fair(&up),
        }
    }

    /// Whether nothing but cuts, crashes and pauses disturbs those that are up.
    fn is_fair(&self, up: &[usize]) -> bool {
        let limit = self.bounds().pause();
        let pairs = || up.iter().flat_map(|one| up.iter().map(move |two| (*one, *two)));
        self.weather_is_fair(limit)
            && !self.options.origins.are_near_the_end()
            && self.network.aims_at_nothing()
            && self.ring_seqs_are_near(up)
            && up.iter().all(|node| {
                let node = &self.nodes[*node];
                node.inbox_max >= INBOX_MIN && node.effort == 0 && node.detection.is_none()
            })
            && pairs().all(|(one, two)| one == two || self.network.is_fair(one, two, limit / 4))
    }

    /// Processors whose ring sequences are far apart do not believe each other (P21).
    fn ring_seqs_are_near(&self, up: &[usize]) -> bool {
        let machines = || up.iter().filter_map(|node| self.nodes[*node].machine.as_ref());
        let highest = machines().map(|machine| machine.stored).max().unwrap_or(0);
        let lowest = machines().map(|machine| machine.stored).min().unwrap_or(0);
        highest - lowest < 1 << 31
    }

    /// Whether nothing is lost or delayed, and six rotations stay below a quarter of the detection
    /// target (LIVE-5).
    fn is_still(&self) -> bool {
        let Weather { lag, loss_ppm, late_ppm, .. } = &self.network.weather;
        6 * self.bounds().rotation() <= self.bounds().pause()
            && *late_ppm == 0
            && lag.iter().all(|lag| *lag == 0)
            && loss_ppm.iter().all(|loss| *loss == 0)
    }

    fn weather_is_fair(&self, limit: Nanos) -> bool {
        let Weather { delay, jitter, lag, loss_ppm, late_ppm, late, .. } = &self.network.weather;
        let slowest = lag.iter().max().copied().unwrap_or(0);
        let late = if *late_ppm > 0 { *late } else { 0 };
        *delay + *jitter <= self.bounds().hop
            && slowest + late <= limit
            && loss_ppm.iter().all(|loss| *loss <= LOSS_MAX_PPM)
    }
}

fn same(one: &Span, two: &Span) -> bool {
    one.hears == two.hears
        && one.deaf == two.deaf
        && one.stopped == two.stopped
        && (one.still, one.fair) == (two.still, two.fair)
}
