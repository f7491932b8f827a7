//! For how long nothing made hellos late: after that no processor has a reason to be patient with
//! the silence of another (`docs/protocol.md` §6).
//!
//! In: what is done to the world. Out: that time, beside what the processors say of themselves; the
//! judge compares the two.

use std::time::Duration;

use super::{Kind, Nanos, Weather, World};
use crate::history::{Patience, Span};

/// The longest hold-down is 64 D, by the slowest clock: whoever is heard again after it may
/// remember how late hellos were before.
const HOLD_DOWN: Nanos = 72;

/// Since when all hellos have been in time.
#[derive(Debug)]
pub(super) struct Calm {
    /// Nothing if something may delay them now.
    from: Option<Nanos>,
    /// When something was done to the world last.
    done_at: Nanos,
    /// The shortest and the longest detection target that a node ever had.
    targets: (Nanos, Nanos),
}

impl Calm {
    pub(super) fn new(target: Duration) -> Self {
        Self { from: None, done_at: 0, targets: (nanos(target), nanos(target)) }
    }

    /// Something was done to the world, which may make hellos late from now on, or not.
    pub(super) fn done(&mut self, now: Nanos, punctual: bool) {
        (self.from, self.done_at) = (punctual.then_some(now), now);
    }

    /// A node is given this target: what is late for one of them is in time for another.
    pub(super) fn retarget(&mut self, target: Duration) {
        let (least, largest) = self.targets;
        self.targets = (least.min(nanos(target)), largest.max(nanos(target)));
        self.from = None;
    }

    /// Something that came alone made one late.
    pub(super) fn interrupted(&mut self, now: Nanos) {
        self.from = self.from.map(|_| now);
    }
}

impl World {
    /// By how much some node's effective detection target may be above the setting: by its word, as
    /// far as what was done to the world explains it.
    #[must_use]
    pub fn patience(&self) -> Nanos {
        self.told_patience().believed(&self.bounds())
    }

    /// What the nodes say of it.
    pub(super) fn told_patience(&self) -> Patience {
        let machines = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        let detections = machines.map(|machine| machine.endpoint.detection());
        let above = detections.map(|d| d.effective.saturating_sub(d.target)).max();
        Patience { told: by_any_clock(above.map_or(0, nanos)), calm: self.calm_for() }
    }

    /// The most that it can be: an effective target is twice the target at the most.
    pub(super) fn patience_max(&self) -> Nanos {
        let (least, largest) = self.calm.targets;
        by_any_clock(2 * largest - least)
    }

    /// For how long all hellos have been in time.
    fn calm_for(&self) -> Nanos {
        let calm = self.calm.from.map_or(0, |from| self.now - from);
        // Who of several paths is held down is not seen from outside.
        let hidden = if self.options.links > 1 { HOLD_DOWN } else { 0 };
        calm.saturating_sub(hidden * self.bounds().detection)
    }

    /// Who is heard by a node has changed: what it remembers of the other may be old, unless it is
    /// heard later than any hold-down explains.
    pub(super) fn remember(&mut self) {
        if self.now <= self.calm.done_at + HOLD_DOWN * self.bounds().detection {
            self.calm.interrupted(self.now);
        }
    }

    /// Whether every hello is in time: none is lost, and all that can delay one, besides clocks
    /// that run wrong, is less than a tenth of the target. An eighth makes nobody patient.
    pub(super) fn is_punctual(&self, span: &Span) -> bool {
        let Weather { jitter, loss_ppm, late_ppm, late, .. } = &self.network.weather;
        let late = if *late_ppm > 0 { *late } else { 0 };
        let own = self.options.reading_delay + self.options.timer_delay;
        span.fair
            && span.stopped.is_empty()
            && loss_ppm[Kind::Hello.index()] == 0
            && jitter + late + own < self.bounds().shortest / 10
    }
}

/// A time that a node measures may take so long: its clock may run slower than the world's.
const fn by_any_clock(time: Nanos) -> Nanos {
    time / 4 * 5
}

fn nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Aim, Backlog, Options};

    const MS: Nanos = 1_000_000;

    /// Three nodes whose target is 200 ms, and who have formed a ring.
    fn world() -> World {
        let mut world = World::new(Options::fair(1, 3), None);
        world.start_all();
        world.run_for(1_000 * MS);
        world
    }

    /// For how long it is calm, in milliseconds, a second after this was done to it.
    fn calm_after(act: impl FnOnce(&mut World)) -> u64 {
        let mut world = world();
        act(&mut world);
        world.run_for(1_000 * MS);
        world.calm_for() / MS
    }

    #[test]
    fn it_is_calm_where_nothing_makes_hellos_late() {
        assert!(calm_after(|_| {}) >= 1_900);
        assert_eq!(calm_after(|world| world.slow(1, 2, MS)), 1_000);
        let twice = Weather { duplicate_ppm: 1_000, ..Weather::fair(MS / 10) };
        assert_eq!(calm_after(|world| world.weather(twice)), 1_000);
    }

    #[test]
    fn it_is_not_where_something_does() {
        let late = Weather { late_ppm: 1, late: 25 * MS, ..Weather::fair(MS) };
        assert_eq!(calm_after(|world| world.weather(late)), 0);
        let mut lossy = Weather::fair(MS);
        lossy.loss_ppm[Kind::Hello.index()] = 1;
        assert_eq!(calm_after(|world| world.weather(lossy)), 0);
        assert_eq!(calm_after(|world| world.lossy(1, 2, 1)), 0);
        assert_eq!(calm_after(|world| world.aim(Aim::at(Kind::Hello).after(1_000))), 0);
        assert_eq!(calm_after(|world| world.effort(1, 1)), 0);
        assert_eq!(calm_after(|world| world.pause(1)), 0);
        assert_eq!(calm_after(|world| world.set_detection(1, Duration::from_millis(400))), 0);
    }

    #[test]
    fn it_begins_when_what_made_them_late_ends() {
        let paused = |world: &mut World| {
            world.pause(1);
            world.run_for(100 * MS);
            world.resume(1, Backlog::Kept, false);
        };
        assert_eq!(calm_after(paused), 1_000);
    }

    #[test]
    fn it_begins_anew_when_somebody_is_heard_again_or_no_more() {
        assert_eq!(calm_after(|world| world.crash(3)), 800);
        let calm = calm_after(|world| {
            world.cut(1, 2);
            world.run_for(1_000 * MS);
            world.heal();
        });
        assert!((900..1_000).contains(&calm), "{calm} ms");
    }

    /// A hello from 1 to 2 comes 150 ms late. What nodes say of themselves is no more than what was
    /// done to them explains.
    #[test]
    fn nodes_are_patient_as_long_as_they_have_reason() {
        let mut world = world();
        assert_eq!(world.told_patience().told, 0);
        world.slow(1, 2, 150 * MS);
        world.run_for(400 * MS);
        let told = world.told_patience();
        assert!(told.told > 150 * MS && told.told <= world.bounds().patience(told.calm));
        assert_eq!(world.patience(), told.told);
        world.slow(1, 2, 0);
        world.run_for(39 * 200 * MS);
        assert_eq!(world.bounds().patience(world.calm_for()), 250 * MS, "they might be, still");
        world.run_for(200 * MS);
        assert_eq!(world.bounds().patience(world.calm_for()), 0);
        assert_eq!(world.told_patience().told, 0);
    }
}
