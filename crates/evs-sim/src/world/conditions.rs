//! What a world is like from the start, one trait at a time: each can be set back to what a fair
//! world has.

use super::Options;
use crate::selection::{FaultId, Selection, Source};

/// A trait of a world, and how it becomes that of a fair one.
struct Condition {
    name: &'static str,
    mend: fn(&mut Options, &Options),
}

/// The fields that a condition is made of.
macro_rules! conditions {
    ($($name:literal: $($($field:ident).+),+;)*) => {
        &[$(Condition {
            name: $name,
            mend: |options, fair| {
                $(options.$($field).+.clone_from(&fair.$($field).+);)+
            },
        },)*]
    };
}

/// All of them; the ordinal is the place in this list, from 1.
const CONDITIONS: &[Condition] = conditions! {
    "datagrams are lost": weather.loss_ppm;
    "datagrams come twice": weather.duplicate_ppm;
    "datagrams stray": weather.stray_ppm;
    "datagrams overtake others": weather.reorder_ppm;
    "datagrams are late": weather.late_ppm, weather.late;
    "a kind of datagram lags": weather.lag;
    "delays vary": weather.jitter;
    "receive buffers are small": inbox_max;
    "datagrams are read late": reading_delay;
    "timers run late": timer_delay;
    "tokens are read before data": data_first;
    "batches are handed over in any order": shuffle_ppm;
    "timers run before what has arrived": timers_first_ppm;
    "outputs are executed after a batch": batched_outputs;
    "clocks run wrong": clock_skew_ppm;
    "clocks begin somewhere": clock_origin;
    "counters begin high": origins;
    "disks are slow": disk_delay;
    "clients may send little ahead": client_send_bytes_max;
    "clients may read little behind": client_event_bytes_max;
    "windows are of another size":
        window_packets, window_bytes, accelerated_packets, backlog_packets_max;
    "packets are of another size": packet_bytes_max;
    "datagrams are sealed": sealed;
    "there are several links": links;
};

impl Options {
    /// These options without the conditions that are not selected.
    #[must_use]
    pub(crate) fn with(mut self, selection: Selection) -> Self {
        let fair = self.fair_twin();
        for (id, condition) in conditions() {
            if !selection.strikes(id) {
                (condition.mend)(&mut self, &fair);
            }
        }
        self.selection = selection;
        self
    }

    /// The names of the conditions in which this differs from a fair world, and what they are.
    pub(super) fn conditions(&self) -> impl Iterator<Item = (FaultId, &'static str)> + '_ {
        let fair = self.fair_twin();
        let differs = move |condition: &Condition| {
            let mut mended = self.clone();
            (condition.mend)(&mut mended, &fair);
            mended != *self
        };
        conditions().filter(move |(_, c)| differs(c)).map(|(id, condition)| (id, condition.name))
    }

    /// A fair world with as many nodes, as fast a network and the same detection target.
    fn fair_twin(&self) -> Self {
        let weather = super::Weather::fair(self.weather.delay);
        let fair = Self::fair(self.seed, self.nodes);
        Self { weather, detection: self.detection, refusals: self.refusals, ..fair }
    }
}

fn conditions() -> impl Iterator<Item = (FaultId, &'static Condition)> {
    let id = |ordinal| FaultId { source: Source::Condition, ordinal };
    (1..).map(id).zip(CONDITIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_without_its_conditions_is_a_fair_one() {
        for seed in 0..50 {
            let drawn = Options::draw(seed, None);
            let named: Vec<FaultId> = drawn.conditions().map(|(id, _)| id).collect();
            let selection = Selection { without: named.into_iter().collect(), ..Selection::ALL };
            let mended = drawn.with(selection);
            assert_eq!(mended.conditions().count(), 0);
            let fair = Options {
                selection: mended.selection.clone(),
                ambush_ppm: mended.ambush_ppm,
                ..mended.fair_twin()
            };
            assert_eq!(mended, fair);
        }
    }
}
