//! `cargo xtask sim --graphs N`: every pair of 3 to 7 nodes cut one way and both ways, and N random
//! graphs of each size (LIVE-3).

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::graphs::{Broken, DETECTION, Graph, Settled};
use crate::world::Nanos;

/// What all graphs came to.
#[derive(Debug, Default)]
pub struct Sweep {
    /// How many graphs were played.
    pub graphs: usize,
    /// The most regular configurations that anybody was told after the last cut.
    pub configurations: usize,
    /// The longest time from the last cut to the last configuration, in nanoseconds.
    pub slowest: Nanos,
    /// What broke.
    pub broken: Vec<Broken>,
}

/// Plays them all on so many threads; nothing may change for `quiet` nanoseconds after each has
/// settled.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "each world is one thread; several are several")]
pub fn sweep(random: u64, seed: u64, quiet: Nanos, threads: usize) -> Sweep {
    let drawn = (3..=7)
        .flat_map(|nodes| (0..random).map(move |i| Graph::draw(nodes, seed.wrapping_add(i))));
    let graphs: Vec<Graph> = Graph::every_pair().chain(drawn).collect();
    let next = AtomicUsize::new(0);
    let sweep = Mutex::new(Sweep::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(graph) = graphs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let played = graph.play(quiet);
                    sweep.lock().expect("nobody panics with it").add(played);
                }
            });
        }
    });
    sweep.into_inner().expect("nobody panics with it")
}

impl Sweep {
    fn add(&mut self, played: Result<Settled, Broken>) {
        self.graphs += 1;
        match played {
            Ok(settled) => {
                self.configurations = self.configurations.max(settled.configurations);
                self.slowest = self.slowest.max(settled.after);
            }
            Err(broken) => self.broken.push(broken),
        }
    }
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.broken.iter().try_for_each(|broken| writeln!(f, "{broken}"))?;
        let Self { graphs, configurations, slowest, broken } = self;
        let (slowest, broken) = (slowest / 1_000_000, broken.len());
        let target = DETECTION.as_millis();
        write!(
            f,
            "{graphs} graphs, {broken} broken; at most {configurations} configurations each, \
             settled within {slowest} ms of the last cut (detection target {target} ms)"
        )
    }
}
