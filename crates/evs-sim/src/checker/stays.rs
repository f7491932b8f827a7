//! Times in which the world was left alone for long enough that everything must have settled:
//! what LIVE-1, LIVE-3, LIVE-5 and LIVE-6 speak of.

use evs_model::{Members, Processor};

use super::hold_downs::held_until;
use super::index::{Epoch, Index, Track};
use crate::history::{Span, Time};

/// A span in which only what is no fault happened, longer than B.
pub(super) struct Stay<'a> {
    /// Its place among all spans.
    pub(super) number: usize,
    pub(super) span: &'a Span,
    /// B after its beginning, or after the last hold-down.
    pub(super) settled: Time,
    pub(super) end: Time,
}

/// All stays of a history, in order.
pub(super) fn stays<'a>(index: &Index<'a>) -> Vec<Stay<'a>> {
    let Some(circumstances) = &index.history.circumstances else { return Vec::new() };
    let bound = circumstances.bounds.settling();
    let held = held_until(circumstances);
    let stay = |(number, ((span, end), held)): (usize, ((&'a Span, Time), Time))| {
        let settled = held + bound;
        (span.fair && settled < end).then_some(Stay { number, span, settled, end })
    };
    circumstances.spans().zip(held).enumerate().filter_map(stay).collect()
}

impl<'a> Stay<'a> {
    /// The tracks of all processors that are up.
    pub(super) fn tracks<'i>(
        &self,
        index: &'i Index<'a>,
    ) -> impl Iterator<Item = (Processor, &'i Track<'a>)> {
        self.span.hears.keys().filter_map(|p| Some((*p, index.track(*p)?)))
    }

    /// Whether a processor is up and not standing still.
    pub(super) fn is_awake(&self, processor: Processor) -> bool {
        self.span.hears.contains_key(&processor) && !self.span.stopped.contains(processor)
    }

    /// The processors that must settle as one: they all hear each other, and hear nobody else.
    pub(super) fn cliques(&self) -> Vec<Members> {
        let awake = self.span.hears.keys().filter(|p| self.is_awake(**p));
        let mut components: Vec<Members> = awake.map(|p| self.span.component(*p)).collect();
        components.sort();
        components.dedup();
        components.retain(|component| self.span.is_clique(component));
        components
    }
}

impl<'a> Track<'a> {
    /// When a configuration was delivered.
    pub(super) fn time(&self, epoch: &Epoch<'_>) -> Time {
        self.view.times.get(epoch.place).copied().unwrap_or(0)
    }

    /// The configuration that was in force just before a time.
    pub(super) fn at(&self, time: Time) -> Option<&Epoch<'a>> {
        self.epochs.iter().rev().find(|epoch| self.time(epoch) < time)
    }

    /// The configurations delivered from one time on, and before another.
    pub(super) fn between(&self, from: Time, to: Time) -> impl Iterator<Item = &Epoch<'a>> {
        self.epochs.iter().filter(move |epoch| {
            let time = self.time(epoch);
            from <= time && time < to
        })
    }
}

/// A time as it is told, in milliseconds.
pub(super) fn ms(time: Time) -> String {
    format!("{}.{:03} ms", time / 1_000_000, time / 1_000 % 1_000)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::fixture::*;

    /// One processor, alone; after 50 s perhaps something disturbs it, and after 60 s everything
    /// has to be settled.
    fn skipped(disturbed: bool) -> bool {
        let alone = vec![timed(1, vec![(0, regular(1, &[1]))])];
        let mut history = calm(alone, &[(0, &[]), (50_000, &[])]);
        let circumstances = history.circumstances.as_mut().expect("of a calm world");
        circumstances.spans[1].fair = !disturbed;
        circumstances.settled = Some(60_000_000_000);
        check(&history).expect("legal").skipped
    }

    #[test]
    fn an_end_that_nobody_can_judge_is_noticed() {
        assert!(!skipped(false));
        assert!(skipped(true));
    }
}
