//! Who is heard (`docs/protocol.md` §6).
//!
//! Each node says hello to all at a tenth of the detection target (of the shortest one, where they
//! differ). A hello carries a fresh random challenge, and echoes the latest challenge of everyone
//! whom its sender hears. A peer is *heard* from the moment at which it echoed a fresh challenge of
//! mine and so said that it hears me, until nothing authentic came from it for the detection
//! target, or it says that it no longer hears me: down if either side says so. So a verdict is
//! about both directions, and a recording of an old incarnation is worth nothing: it cannot echo
//! what was drawn after it.
//!
//! A peer becomes heard only when a hello as large as the largest packet was echoed, so that a path
//! that lets only small packets pass is none. A peer that is lost again and again is held down for
//! longer and longer (`flaps.rs`).
//!
//! A newer incarnation takes over as soon as the older one has missed two hellos: a restart is
//! noticed before the death. Where both stay alive, two processes own one node id. Their peers stay
//! with the one that they hear and tell the other; of the two the one stops that nobody hears; if
//! that does not decide it, the younger; if they are of one age, the one with the higher
//! incarnation.
//!
//! After an own gap above half the target all verdicts wait for a full round of hellos: what looks
//! like the silence of everybody was mine.

use std::collections::VecDeque;
use std::time::Duration;

use evs_model::{Instant, Members, NodeId, Processor, defect};

use crate::hello::{Echo, Hello};
use crate::peer::{Peer, RoundTrip, Session, micros};
use crate::{Destination, Discard};

/// Why a peer is no longer heard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DownCause {
    /// Nothing authentic came from it for so long.
    Silence(Duration),
    /// It says that it does not hear this node.
    NotHeardByPeer,
    /// This newer incarnation of the node is verified, and the older one silent.
    Replaced(u64),
    /// Small packets pass, but it does not get the data that others get, or others not its own.
    Deaf,
}

/// What became of a peer: for the log and for the simulator's trace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerEvent {
    /// It is heard from now on.
    Up {
        /// Who.
        peer: Processor,
        /// The first measured round trip, where the clocks allowed one.
        round_trip: Option<Duration>,
    },
    /// It is not heard any more.
    Down {
        /// Who.
        peer: Processor,
        /// The evidence.
        cause: DownCause,
    },
    /// Two living incarnations claim one node id; this node stays with the first.
    Double {
        /// The incarnation that is heard.
        kept: Processor,
        /// The other one.
        other: u64,
    },
}

/// What [`Reach`] wants done, in this order.
pub(crate) enum Action {
    Say { to: Destination, hello: Hello },
    Heard(Members),
    Peer(PeerEvent),
    Duplicate { incarnation: u64, must_stop: bool },
}

/// Where a sender stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// It bears my own node id.
    Own,
    /// A peer, by position.
    Peer(usize),
}

/// A random number that only who receives it can echo.
#[derive(Clone, Copy)]
struct Challenge {
    value: u64,
    drawn: Instant,
    /// It was sent in hellos as large as the largest packet.
    full: bool,
}

/// The reachability of all peers, without any I/O or cryptography of its own.
pub(crate) struct Reach {
    me: Processor,
    detection: Duration,
    started: Instant,
    /// The latest time seen; time never goes back.
    now: Instant,
    void_until: Instant,
    hello_at: Instant,
    /// From one periodic hello to the next: often enough for the most impatient one that is heard.
    pace: Duration,
    /// No verdict is due before; recomputed when it comes.
    check_at: Instant,
    rng: fastrand::Rng,
    /// My latest challenges, the newest last.
    challenges: VecDeque<Challenge>,
    /// Ascending by node id.
    peers: Vec<Peer>,
    /// A second owner of my node id.
    double: Peer,
    duplicate_reported: Option<(u64, bool)>,
    heard: Members,
    heard_changed: bool,
    pauses: u64,
    actions: VecDeque<Action>,
}

impl Reach {
    /// Peers must be free of duplicates and of `me`.
    pub(crate) fn new(
        me: Processor,
        mut peers: Vec<NodeId>,
        detection: Duration,
        seed: u64,
        now: Instant,
    ) -> Self {
        peers.sort_unstable();
        Self {
            me,
            detection,
            started: now,
            now,
            void_until: now,
            hello_at: now,
            pace: hello_interval(detection),
            check_at: Instant::NEVER,
            rng: fastrand::Rng::with_seed(seed),
            challenges: VecDeque::with_capacity(CHALLENGES_MAX),
            peers: peers.into_iter().map(Peer::new).collect(),
            double: Peer::new(me.node),
            duplicate_reported: None,
            heard: Members::default(),
            heard_changed: false,
            pauses: 0,
            actions: VecDeque::new(),
        }
    }

    /// Takes note of the time, and of an own gap (P36). Every input begins with it.
    pub(crate) fn advance(&mut self, now: Instant) -> Instant {
        let now = now.max(self.now);
        if now.since(self.now) > self.detection / 2 {
            self.pauses += 1;
            self.void_until = now + self.interval() * HELLO_ROUND;
        }
        self.now = now;
        now
    }

    pub(crate) fn handle_timeout(&mut self) {
        let now = self.now;
        if now >= self.check_at {
            self.check_at = Instant::NEVER;
            for place in 0..self.peers.len() {
                self.settle(place);
            }
        }
        if now >= self.hello_at {
            self.say_to_all();
        }
        self.tell_heard();
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.hello_at.min(self.check_at)
    }

    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(crate) fn find(&self, node: NodeId) -> Option<Place> {
        if node == self.me.node {
            return Some(Place::Own);
        }
        self.peers.binary_search_by_key(&node, |peer| peer.node).ok().map(Place::Peer)
    }

    pub(crate) fn peer(&mut self, place: Place) -> &mut Peer {
        match place {
            Place::Own => &mut self.double,
            Place::Peer(index) => &mut self.peers[index],
        }
    }

    pub(crate) fn peers(&self) -> &[Peer] {
        &self.peers
    }

    pub(crate) const fn heard(&self) -> &Members {
        &self.heard
    }

    /// The latest time seen.
    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    pub(crate) const fn pauses(&self) -> u64 {
        self.pauses
    }

    /// Takes in an incarnation that was unknown so far, with its first hello. It becomes the
    /// candidate, unless the present candidate is known to be alive and this one is not.
    pub(crate) fn introduce(
        &mut self,
        place: Place,
        session: Session,
        counter: u64,
        hello: &Hello,
    ) -> Result<(), Discard> {
        let proven = self.proof(place, hello).is_some();
        let incarnation = session.incarnation;
        let peer = self.peer(place);
        let occupied = peer.candidate.as_ref().is_some_and(|other| other.proven_at.is_some());
        if occupied && !proven {
            return Err(Discard::ThirdIncarnation);
        }
        peer.candidate = Some(Box::new(session));
        self.on_hello(place, incarnation, counter, hello);
        Ok(())
    }

    /// A hello of a known incarnation.
    pub(crate) fn on_hello(&mut self, place: Place, incarnation: u64, counter: u64, hello: &Hello) {
        let (now, detection) = (self.now, self.detection);
        let proof = self.proof(place, hello);
        let lists_me = self.lists_me(hello);
        let peer = self.peer(place);
        let was_up = peer.hears(incarnation);
        let Some(session) = peer.session(incarnation) else {
            return;
        };
        if session.update(now, counter, hello) {
            session.lists_me = lists_me.unwrap_or(session.lists_me);
        }
        if let Some((echo, challenge)) = proof {
            session.proven_at = Some(now);
            session.alive_at = session.alive_at.max(Some(challenge.drawn));
            if challenge.full {
                session.full_at = Some(now);
            }
            if !was_up {
                // What was sent before the challenge was answered may be a recording.
                session.window.close_up_to(counter);
            }
            session.measure(now, echo, detection);
        }
        if proof.is_some() {
            self.note_claims(place, incarnation, hello);
        }
        if let Place::Peer(index) = place {
            self.settle(index);
            let pace = self.needed_pace_of(index);
            if pace < self.pace {
                self.pace = pace;
                self.hello_at = self.hello_at.min(now + pace);
            }
        }
        // An answer is answered only while it makes its sender known, or to echo a large one: that
        // ends.
        let asks = self.lacks_proof(place, incarnation);
        if hello.full || !was_up && (asks || !hello.is_answer()) {
            self.answer(place, incarnation, asks);
        }
        self.tell_heard();
    }

    /// The layer above has found that a peer does not get data that others get, or the other way
    /// round. It is heard again when large hellos pass both ways and its hold-down is over.
    pub(crate) fn distrust(&mut self, peer: Processor) {
        let Some(Place::Peer(index)) = self.find(peer.node) else { return };
        if self.peers[index].hears(peer.incarnation) {
            self.take_down(index, peer, DownCause::Deaf);
            self.check_at = self.check_at.min(self.deadline(index));
            self.tell_heard();
        }
    }

    /// How many incarnations, challenges and actions are held.
    pub(crate) fn held(&self) -> usize {
        let peers = self.peers.iter().chain([&self.double]);
        let incarnations = peers.flat_map(|peer| peer.current.iter().chain(&peer.candidate));
        incarnations.count() + self.challenges.len() + self.actions.len() + self.heard.len()
    }

    /// How long the longest hold-down still lasts.
    pub(crate) fn held_down_for(&self) -> Duration {
        let sessions = self.peers.iter().filter(|peer| !peer.up).filter_map(|p| p.current.as_ref());
        sessions.map(|s| s.flaps.until.since(self.now)).max().unwrap_or_default()
    }

    const fn interval(&self) -> Duration {
        hello_interval(self.detection)
    }

    fn is_void(&self) -> bool {
        self.now < self.void_until && !defect!(PauseBlamesOthers)
    }

    /// Whether this incarnation is not heard, and has not shown of late that it gets large packets.
    fn lacks_proof(&mut self, place: Place, incarnation: u64) -> bool {
        let (now, detection) = (self.now, self.detection);
        let peer = self.peer(place);
        let up = peer.hears(incarnation);
        let full_at = peer.session(incarnation).and_then(|session| session.full_at);
        !up && full_at.is_none_or(|at| now.since(at) >= detection)
    }

    /// The echo of a challenge that I drew no longer than the detection target ago, and the
    /// challenge.
    ///
    /// Nor before the sender's node had another incarnation: of the one that was replaced a
    /// recording may echo what was drawn until then, and its counters are forgotten.
    fn proof(&self, place: Place, hello: &Hello) -> Option<(Echo, Challenge)> {
        let echo = hello.about(self.me.node)??;
        let replaced_at = match place {
            Place::Own => None,
            Place::Peer(index) => self.peers[index].replaced_at,
        };
        let fresh = |challenge: &&Challenge| {
            challenge.value == echo.challenge
                && self.now.since(challenge.drawn) < self.detection
                && replaced_at.is_none_or(|replaced_at| challenge.drawn > replaced_at)
        };
        let challenge = self.challenges.iter().find(fresh)?;
        (echo.incarnation == self.me.incarnation).then_some((echo, *challenge))
    }

    /// Whether the hello says that its sender hears me; `None`: it does not speak about me.
    fn lists_me(&self, hello: &Hello) -> Option<bool> {
        let Some(echo) = hello.about(self.me.node)? else { return Some(false) };
        let mine = echo.incarnation == self.me.incarnation;
        if hello.is_answer() && !mine {
            // To a late hello of my predecessor.
            return None;
        }
        Some(mine && !hello.other && hello.holder.is_none())
    }

    /// Brings the verdict about one peer up to date.
    fn settle(&mut self, index: usize) {
        self.settle_candidate(index);
        let (now, void, detection) = (self.now, self.is_void(), self.detection);
        let peer = &mut self.peers[index];
        if let Some(current) = &mut peer.current {
            let processor = Processor::new(peer.node, current.incarnation);
            let silence = now.since(current.heard_at);
            let full_at =
                if defect!(SmallHellosSuffice) { current.proven_at } else { current.full_at };
            let proven = full_at.is_some_and(|at| now.since(at) < detection);
            let held_down = now < current.flaps.until && !defect!(NoHoldDown);
            if peer.up && !void && silence >= detection && !defect!(SilenceUnnoticed) {
                self.take_down(index, processor, DownCause::Silence(silence));
            } else if peer.up && !void && !current.lists_me {
                self.take_down(index, processor, DownCause::NotHeardByPeer);
            } else if !peer.up && proven && current.lists_me && !held_down {
                let round_trip = current.round_trip.map(|trip| trip.latest);
                peer.up = true;
                current.flaps.up(now);
                self.change_heard(|heard| heard.insert(processor).expect("peers are bounded"));
                let event = PeerEvent::Up { peer: processor, round_trip };
                self.actions.push_back(Action::Peer(event));
            }
        }
        self.check_at = self.check_at.min(self.deadline(index));
    }

    /// Forgets a candidate that fell silent, and lets a living one take the place of an incarnation
    /// that is not heard or just fell silent.
    fn settle_candidate(&mut self, index: usize) {
        let (now, void, detection) = (self.now, self.is_void(), self.detection);
        let grace = grace(self.detection);
        let peer = &mut self.peers[index];
        let Some(candidate) = &mut peer.candidate else {
            return;
        };
        let other = candidate.incarnation;
        if candidate.proven_at.is_some_and(|at| now.since(at) >= detection) {
            candidate.proven_at = None;
        }
        if candidate.proven_at.is_none() {
            if now.since(candidate.heard_at) >= detection {
                peer.candidate = None;
            }
            return;
        }
        // A restart looks like two living processes too, but only for a moment: what the dead one
        // sent may come late, but it cannot echo what was drawn after its successor came.
        let since = candidate.since;
        let is_new = now.since(since) < detection;
        let lives = |kept: &Session| {
            now.since(kept.heard_at) < grace && (is_new || kept.was_alive_after(since))
        };
        let kept = peer.current.as_ref().filter(|_| peer.up);
        let Some(kept) = kept.filter(|kept| void || lives(kept)) else {
            self.replace(index);
            return;
        };
        if !is_new && peer.double_reported != Some(other) {
            peer.double_reported = Some(other);
            let kept = Processor::new(peer.node, kept.incarnation);
            self.actions.push_back(Action::Peer(PeerEvent::Double { kept, other }));
        }
    }

    fn replace(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        let (was_up, old) = (peer.up, peer.processor());
        let Some(candidate) = peer.candidate.take().filter(|_| !defect!(RestartUnnoticed)) else {
            return;
        };
        let incarnation = candidate.incarnation;
        if peer.current.replace(candidate).is_some() {
            peer.replaced_at = Some(self.now);
        }
        peer.claim = None;
        if let (true, Some(old)) = (was_up, old) {
            self.take_down(index, old, DownCause::Replaced(incarnation));
            // The new one learns at once that it is heard.
            self.hello_at = self.now;
        }
    }

    fn take_down(&mut self, index: usize, peer: Processor, cause: DownCause) {
        let (now, detection) = (self.now, self.detection);
        self.peers[index].up = false;
        // Who says that it does not hear me holds me down itself, if it has a reason to.
        let least = match cause {
            DownCause::Silence(_) => Some(Duration::ZERO),
            DownCause::Deaf => Some(detection * 2),
            DownCause::NotHeardByPeer | DownCause::Replaced(_) => None,
        };
        if let (Some(least), Some(session)) = (least, self.peers[index].session(peer.incarnation)) {
            session.flaps.down(now, detection, least);
            session.full_at = None;
        }
        self.change_heard(|heard| heard.remove(peer));
        self.actions.push_back(Action::Peer(PeerEvent::Down { peer, cause }));
    }

    fn change_heard(&mut self, change: impl FnOnce(&mut Members) -> bool) {
        self.heard_changed |= change(&mut self.heard);
    }

    fn tell_heard(&mut self) {
        if std::mem::take(&mut self.heard_changed) {
            self.actions.push_back(Action::Heard(self.heard.clone()));
        }
    }

    /// When the verdict about a peer may change without any input.
    fn deadline(&self, index: usize) -> Instant {
        let peer = &self.peers[index];
        let mut deadline = Instant::NEVER;
        let mut due = |at: Instant| deadline = deadline.min(at);
        let current = peer.current.as_ref().filter(|_| peer.up);
        if let Some(current) = current.filter(|_| !defect!(SilenceUnnoticed)) {
            let silence = if current.lists_me { self.detection } else { Duration::ZERO };
            due((current.heard_at + silence).max(self.void_until));
        }
        if let Some(candidate) = &peer.candidate {
            match (candidate.proven_at, current) {
                (None, _) => due(candidate.heard_at + self.detection),
                (Some(proven_at), current) => {
                    due(proven_at + self.detection);
                    if let Some(current) = current {
                        let grace = grace(self.detection);
                        due((current.heard_at + grace).max(self.void_until));
                    }
                    if peer.double_reported != Some(candidate.incarnation) {
                        due(candidate.since + self.detection);
                    }
                }
            }
        }
        deadline
    }
}

impl Session {
    /// A round trip: the stamp that came back is mine, moved on by the time it waited there.
    fn measure(&mut self, now: Instant, echo: Echo, detection: Duration) {
        let sample = Duration::from_micros(u64::from(micros(now).wrapping_sub(echo.stamp)));
        // Rounding on both sides can make it slightly negative, which wraps.
        if sample < detection {
            self.round_trip =
                Some(self.round_trip.map_or_else(|| RoundTrip::first(sample), |t| t.next(sample)));
        }
    }
}

/// How often hellos are sent at this detection target.
pub(crate) const fn hello_interval(detection: Duration) -> Duration {
    detection.checked_div(10).expect("ten is not zero")
}

/// Silence after which a newer incarnation takes over: one lost hello is not enough, two are.
const fn grace(detection: Duration) -> Duration {
    detection.checked_div(4).expect("four is not zero")
}

/// Challenges remembered: more than are drawn in one detection target.
const CHALLENGES_MAX: usize = 32;
/// Hello intervals in which every living peer was heard again.
const HELLO_ROUND: u32 = 3;

mod ownership;
mod speak;
#[cfg(test)]
mod tests;
