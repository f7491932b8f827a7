//! A living ring: `totem::Ring` among peers that may say anything.

use std::collections::BTreeMap;

use bytes::Bytes;
use evs_model::{Guarantee, Instant, Members, Processor};
use totem::{Output, Packet, Ring, SubmitError};

use crate::history::History;
use crate::input::Input;
use crate::world::{Effect, OWN_AT, Start, Subject, World, landmarks};
use crate::{Seen, Target, seeds};

pub(crate) const TARGET: Target = Target {
    name: "ring",
    run,
    bytes_max: 2048,
    landmarks: || landmarks(&["own packet returned", "past a gap", "refused", "forged"]),
    seeds: seeds::rings,
};

const RETURNED: usize = OWN_AT;
const PAST_GAP: usize = OWN_AT + 1;
const REFUSED: usize = OWN_AT + 2;
const FORGED: usize = OWN_AT + 3;

fn run(input: &[u8]) -> Seen {
    let mut input = Input::new(input);
    let start = Start::read(&mut input);
    let ring = Ring::new(start.config.clone(), start.me, start.stored, 42, start.now);
    let subject = Watched {
        ring,
        history: History::new(start.me, &start.config.origins),
        submitted: BTreeMap::new(),
        submissions: 0,
    };
    let mut world = World::new(subject, &start);
    world.run(&mut input);
    let history = &world.subject.history;
    world.seen.mark_if(RETURNED, history.returned > start.config.origins.sequenced);
    world.seen.mark_if(PAST_GAP, history.past_gap);
    world.seen.mark_if(FORGED, history.forged);
    world.seen
}

/// A ring and the judge of what it delivers.
#[derive(Debug)]
struct Watched {
    ring: Ring,
    history: History,
    /// What was accepted and has not come back.
    submitted: BTreeMap<Bytes, Guarantee>,
    submissions: u32,
}

impl Subject for Watched {
    fn ring(&self) -> &Ring {
        &self.ring
    }

    fn handle_packet(&mut self, now: Instant, from: Processor, packet: Packet) {
        self.ring.handle_packet(now, from, packet);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.ring.handle_timeout(now);
    }

    fn handle_reachability(&mut self, now: Instant, heard: Members) {
        self.ring.handle_reachability(now, heard);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.ring.poll_timeout().map(|(due, _)| due)
    }

    fn leave(&mut self, now: Instant) {
        self.ring.leave(now);
    }

    /// Submits a few packets, each with a body of its own.
    fn act(&mut self, now: Instant, input: &mut Input<'_>, seen: &mut Seen) -> usize {
        let guarantee = Guarantee::try_from(input.u8() & 3).expect("two bits");
        let (count, padding) = (input.u8() % 8 + 1, usize::from(input.u8()));
        for _ in 0..count {
            self.submissions += 1;
            let mut body = self.submissions.to_le_bytes().to_vec();
            body.resize(body.len() + padding, 0);
            let body = Bytes::from(body);
            match self.ring.submit(now, body.clone(), guarantee) {
                Ok(()) => {
                    self.submitted.insert(body, guarantee);
                }
                Err(error) => {
                    let too_long = body.len() > self.ring.body_bytes_max();
                    assert!(!too_long || error != SubmitError::BacklogFull);
                    seen.mark(REFUSED);
                }
            }
        }
        usize::from(count) * (4 + padding)
    }

    fn poll_effect(&mut self, _: &mut Seen) -> Option<Effect> {
        Some(match self.ring.poll_output()? {
            Output::Configure(configuration) => {
                self.history.configure(configuration, self.ring.sequenced());
                Effect::Delivered
            }
            Output::Deliver(delivery) => {
                self.history.deliver(&delivery);
                let own = delivery.sender == self.ring.me() && !self.history.forged;
                if own {
                    let submitted = self.submitted.remove(&delivery.body);
                    assert_eq!(submitted, Some(delivery.guarantee), "submitted, and not returned");
                }
                Effect::Delivered
            }
            Output::Distrust(peer) => Effect::Distrust(peer),
            Output::Persist(seq) => Effect::Persist(seq),
            Output::Transition { from, to, .. } => Effect::Transition(from, to),
            Output::Transmit { to, packet } => Effect::Transmit(to, packet),
        })
    }

    fn note_forgery(&mut self) {
        self.history.forged = true;
    }

    fn check(&self) {
        self.ring.check();
    }
}
