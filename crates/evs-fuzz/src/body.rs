//! Packet bodies: messages and pieces of messages.

use evs_service::fuzzing;

use crate::{Seen, Target, seeds, seen};

pub(crate) const TARGET: Target = Target {
    name: "body",
    run,
    bytes_max: 8192,
    landmarks: || seen::names(&["whole", "piece", "ordered", "unordered", "malformed", "dropped"]),
    seeds: seeds::bodies,
};

fn run(input: &[u8]) -> Seen {
    let found = fuzzing::packet_bodies(input);
    let counts =
        [found.whole, found.pieces, found.ordered, found.unordered, found.malformed, found.dropped];
    let mut seen = Seen::nothing();
    counts.into_iter().enumerate().for_each(|(i, count)| seen.mark_if(i, count > 0));
    seen
}
