//! Whether the thread of the ring stood still, and with what: what the kernel counts of a thread
//! tells a stopped process from one that got no processor, and from one that waited for the disk.
//!
//! The counters are read once a second and after a pause, so that a turn of the loop costs no call
//! for them. What they tell of a pause is therefore that of the second before it, too.

use std::fs;
use std::time::Duration;

use evs_model::Instant;
use evs_report::Pause;
use nix::sys::resource::{UsageWho, getrusage};

use crate::units::micros;

/// How often the kernel's counters are read.
const EVERY: Duration = Duration::from_secs(1);

/// Notices when the thread that it was made on stands still: it was stopped, starved of the
/// processor, held up by a disk, or slept with its machine.
#[derive(Debug)]
pub(crate) struct Pulse {
    at: Instant,
    rest: Duration,
    pause: Duration,
    counted: Counted,
    counted_at: Instant,
}

impl Pulse {
    /// What lasts at least half a detection target is a pause: others may have missed this node.
    pub(crate) fn new(now: Instant, detection: Duration) -> Self {
        Self {
            at: now,
            rest: Duration::ZERO,
            pause: detection / 2,
            counted: Counted::read(),
            counted_at: now,
        }
    }

    /// Another detection target is in force.
    pub(crate) fn set_detection(&mut self, detection: Duration) {
        self.pause = detection / 2;
    }

    /// The loop rests until something happens, for so long at most.
    pub(crate) const fn rest(&mut self, most: Option<Duration>) {
        self.rest = match most {
            Some(most) => most,
            None => Duration::MAX,
        };
    }

    /// The loop goes on. Returns for how long it stood still, if it did: beyond its rest, and with
    /// the work before that.
    pub(crate) fn beat(&mut self, now: Instant) -> Option<Pause> {
        self.beat_with(now, Counted::read)
    }

    fn beat_with(&mut self, now: Instant, read: impl FnOnce() -> Counted) -> Option<Pause> {
        let since = now.since(std::mem::replace(&mut self.at, now));
        let late = since.saturating_sub(self.rest);
        let is_pause = late >= self.pause;
        if !is_pause && now.since(self.counted_at) < EVERY {
            return None;
        }
        let before = std::mem::replace(&mut self.counted, read());
        self.counted_at = now;
        is_pause.then(|| self.counted.pause(before, late))
    }
}

/// What the kernel has counted of the calling thread; `None`: it does not say.
#[derive(Clone, Copy, Debug)]
struct Counted {
    starved: Option<Duration>,
    major_faults: Option<u64>,
}

impl Counted {
    fn read() -> Self {
        let starved = fs::read_to_string("/proc/thread-self/schedstat").ok();
        let usage = getrusage(UsageWho::RUSAGE_THREAD).ok();
        Self {
            starved: starved.as_deref().and_then(run_delay),
            major_faults: usage.and_then(|usage| u64::try_from(usage.major_page_faults()).ok()),
        }
    }

    /// A pause of so long, from what was counted before it to this.
    fn pause(self, before: Self, late: Duration) -> Pause {
        let starved = self.starved.zip(before.starved);
        let starved = starved.map(|(now, before)| now.saturating_sub(before).min(late));
        let faults = self.major_faults.zip(before.major_faults);
        Pause {
            pause_us: micros(late),
            starved_us: starved.map(micros),
            major_faults: faults.map(|(now, before)| now.saturating_sub(before)),
        }
    }
}

/// The second of the three figures: for how many nanoseconds the thread was ready and did not run
/// (the kernel's `Documentation/scheduler/sched-stats.rst`). A kernel that does not count says that
/// it never ran either, which is the first one.
fn run_delay(schedstat: &str) -> Option<Duration> {
    let mut figures = schedstat.split_ascii_whitespace().map(str::parse::<u64>);
    let (Ok(ran), Ok(waited)) = (figures.next()?, figures.next()?) else { return None };
    (ran > 0).then(|| Duration::from_nanos(waited))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DETECTION: Duration = Duration::from_millis(500);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_millis(ms)
    }

    fn counted(starved_ms: u64, major_faults: u64) -> Counted {
        let starved = Some(Duration::from_millis(starved_ms));
        Counted { starved, major_faults: Some(major_faults) }
    }

    #[test]
    fn a_rest_is_no_pause_and_what_lasts_half_the_target_beyond_it_is() {
        let mut pulse = Pulse::new(at(0), DETECTION);
        pulse.rest(Some(Duration::from_millis(700)));
        assert_eq!(pulse.beat(at(700)), None);
        assert_eq!(pulse.beat(at(1649)), None, "249 ms too late");
        let pause = pulse.beat(at(2599)).expect("250 ms too late");
        assert_eq!(pause.pause_us, 250_000);
        pulse.rest(None);
        assert_eq!(pulse.beat(at(60_000)), None, "nothing was due");
        pulse.rest(Some(Duration::ZERO));
        pulse.set_detection(Duration::from_secs(2));
        assert_eq!(pulse.beat(at(60_999)), None);
        assert!(pulse.beat(at(61_999)).is_some());
    }

    #[test]
    fn what_was_counted_more_than_a_second_before_a_pause_is_no_part_of_it() {
        let mut pulse = Pulse::new(at(0), DETECTION);
        pulse.counted = counted(0, 0);
        assert_eq!(pulse.beat_with(at(200), || panic!("it is read once a second")), None);
        pulse.rest(Some(DETECTION * 2));
        assert_eq!(pulse.beat_with(at(1100), || counted(700, 70)), None);
        pulse.rest(Some(Duration::ZERO));
        let pause = pulse.beat_with(at(1900), || counted(1000, 75)).expect("800 ms");
        assert_eq!((pause.starved_us, pause.major_faults), (Some(300_000), Some(5)));
    }

    #[test]
    fn a_pause_is_told_with_what_was_counted_since_the_last_look() {
        let late = Duration::from_millis(800);
        let pause = counted(5300, 47).pause(counted(5000, 7), late);
        assert_eq!((pause.starved_us, pause.major_faults), (Some(300_000), Some(40)));
        let pause = counted(7000, 7).pause(counted(5000, 7), late);
        assert_eq!((pause.starved_us, pause.major_faults), (Some(800_000), Some(0)));
        let unknown = Counted { starved: None, major_faults: None };
        let pause = unknown.pause(counted(5000, 7), late);
        assert_eq!((pause.starved_us, pause.major_faults), (None, None));
    }

    #[test]
    fn the_kernel_says_how_long_a_thread_was_ready_and_did_not_run() {
        assert_eq!(run_delay("8123 4567 89\n"), Some(Duration::from_nanos(4567)));
        for unknown in ["", "1", "1 x 2", "0 0 0"] {
            assert_eq!(run_delay(unknown), None, "{unknown:?}");
        }
        assert!(Counted::read().major_faults.is_some(), "Linux counts them of each thread");
    }
}
