//! Who is heard (`docs/protocol.md` §6).
//!
//! Each node says hello to all on every link, at a tenth of the detection target (of the shortest
//! one, where they differ), or at a twentieth where there are several links. A hello carries a
//! fresh random challenge, and echoes the latest challenge of everyone whom its sender hears on
//! that link. A path is *up* from the moment at which the peer echoed a fresh challenge of mine on
//! it and so said that it hears me, until nothing authentic came over it for the detection target,
//! or the peer says that it no longer hears me there: down if either side says so. So a verdict is
//! about both directions, and a recording of an old incarnation is worth nothing: it cannot echo
//! what was drawn after it. A peer is *heard* while one path to it is up.
//!
//! A path comes up only when a hello of the safe size was echoed on it: one that lets only smaller
//! packets pass is none. How much more passes is found out thereafter (`sizes.rs`). A path that
//! is lost again and again is held down for longer and longer (`flaps.rs`). Long before a path is
//! down, traffic has left it for a better one (`route.rs`).
//!
//! A newer incarnation takes over as soon as the older one has missed two hellos: a restart is
//! noticed before the death. Where both stay alive, two processes own one node id. Their peers stay
//! with the one that they hear and tell the other; of the two the one stops that nobody hears; if
//! that does not decide it, the younger; if they are of one age, the one with the higher
//! incarnation.
//!
//! After an own gap above half the target all verdicts wait for a full round of hellos, and it does
//! not count as silence: what looks like the silence of everybody was mine.

use std::collections::VecDeque;
use std::time::Duration;

use evs_model::{Instant, Members, NodeId, Processor, Versions, defect};

use crate::detection::{Detection, Lateness, patience};
use crate::hello::{Echo, Hello, Losses};
use crate::mtu::Sizes;
use crate::path::{Path, Patience};
use crate::peer::{Peer, Session};
use crate::route::Route;
use crate::{Destination, Discard, LinkId, LinkTerms, Links, Trouble};

/// Why a peer is no longer heard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DownCause {
    /// Nothing authentic came from it for so long, own pauses not counted.
    Silence(Duration),
    /// The network says that nobody listens there, and it has not answered for so long, though it
    /// was asked several times.
    Refused(Duration),
    /// It says that it does not hear this node.
    NotHeardByPeer,
    /// This newer incarnation of the node is verified, and the older one silent.
    Replaced(u64),
    /// It is no peer any more.
    Removed,
    /// Small packets pass, but it does not get the data that others get, or others not its own.
    Deaf,
}

/// Why datagrams on a path are as large as they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MtuCause {
    /// The path is new, and this size was tried and came back.
    Found,
    /// Large datagrams get lost, small ones do not.
    Lost,
    /// This node's interface takes no large datagrams.
    Refused,
    /// The path is new, and nothing larger came back.
    Unproven,
    /// Large datagrams pass again.
    Healed,
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
    /// One of several paths to it is sound from now on.
    PathUp {
        /// Who.
        peer: Processor,
        /// On which link.
        link: LinkId,
    },
    /// One of several paths to it is not.
    PathDown {
        /// Who.
        peer: Processor,
        /// On which link.
        link: LinkId,
        /// The evidence. Silence is about the direction from the peer, that the peer does not hear
        /// this node about the other one.
        cause: DownCause,
    },
    /// What is sent to it takes another link from now on.
    Moved {
        /// Who.
        peer: Processor,
        /// The link that is left.
        from: LinkId,
        /// The link that is taken.
        to: LinkId,
        /// What is wrong with the former.
        trouble: Trouble,
    },
    /// Datagrams to it are larger, or smaller, from now on.
    Mtu {
        /// Who.
        peer: Processor,
        /// On which link.
        link: LinkId,
        /// The longest datagram that is sent, in bytes.
        bytes: usize,
        /// Why.
        cause: MtuCause,
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
    Say { link: LinkId, to: Destination, hello: Hello, size: usize },
    Heard(Members),
    Paused(Duration),
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

/// A random number that only who receives it can echo, on one link.
#[derive(Clone, Copy)]
struct Challenge {
    value: u64,
    link: LinkId,
    drawn: Instant,
    /// It was sent in hellos that were padded to so many bytes; 0: in others.
    size: usize,
}

/// The reachability of all peers, without any I/O or cryptography of its own.
pub(crate) struct Reach {
    me: Processor,
    /// One for each link, of which there is one at least.
    links: Vec<LinkTerms>,
    sizes: Sizes,
    /// Packets of full size are cut for somebody.
    cuts: bool,
    /// The detection target as it is set: what this node says of itself, and its pace.
    target: Duration,
    /// By which others are judged: the target, or a longer one of before for a while.
    detection: Duration,
    lowered_at: Instant,
    started: Instant,
    /// The latest time seen; time never goes back.
    now: Instant,
    void_until: Instant,
    hello_at: Instant,
    /// When all paths are next to be shown large packets.
    full_at: Instant,
    /// From one periodic hello to the next: often enough for the most impatient one that is heard.
    pace: Duration,
    /// No verdict is due before; recomputed when it comes.
    check_at: Instant,
    rng: fastrand::Rng,
    /// My latest challenges, of all links, the newest last.
    challenges: VecDeque<Challenge>,
    /// Ascending by node id.
    peers: Vec<Peer>,
    /// A second owner of my node id.
    double: Peer,
    duplicate_reported: Option<(u64, bool)>,
    heard: Members,
    heard_changed: bool,
    pauses: u64,
    /// How late hellos left lately.
    late: Lateness,
    /// Times that more patience was due than there is, and whether that is so now.
    strained: (u64, bool),
    /// The versions of the wire format that this node speaks.
    versions: Versions,
    actions: VecDeque<Action>,
}

impl Reach {
    /// Peers must be free of duplicates and of `me`.
    pub(crate) fn new(
        me: Processor,
        mut peers: Vec<NodeId>,
        (links, sizes): (Vec<LinkTerms>, Sizes),
        detection: Duration,
        seed: u64,
        now: Instant,
    ) -> Self {
        peers.sort_unstable();
        let pace = hello_interval(detection, links.len());
        let challenges = VecDeque::with_capacity(CHALLENGES_MAX * links.len());
        Self {
            me,
            links,
            sizes,
            cuts: false,
            target: detection,
            detection,
            lowered_at: now,
            started: now,
            now,
            void_until: now,
            hello_at: now,
            full_at: now,
            pace,
            check_at: Instant::NEVER,
            rng: fastrand::Rng::with_seed(seed),
            challenges,
            peers: peers.into_iter().map(Peer::new).collect(),
            double: Peer::new(me.node),
            duplicate_reported: None,
            heard: Members::default(),
            heard_changed: false,
            pauses: 0,
            late: Lateness::new(),
            strained: (0, false),
            versions: crate::spoken(),
            actions: VecDeque::new(),
        }
    }

    pub(crate) const fn set_versions(&mut self, versions: Versions) {
        self.versions = versions;
    }

    pub(crate) const fn versions(&self) -> Versions {
        self.versions
    }

    /// The detection target as it is set.
    pub(crate) const fn target(&self) -> Duration {
        self.target
    }

    /// Takes note of the time, and of an own gap (P36). Every input begins with it.
    pub(crate) fn advance(&mut self, now: Instant) -> Instant {
        let now = now.max(self.now);
        self.lower(now);
        let gap = now.since(self.now);
        self.now = now;
        if gap > self.detection / 2 && !defect!(PauseBlamesOthers) {
            self.on_pause(gap);
        }
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

    /// How patient this node is at present, and why.
    pub(crate) fn detection(&self) -> Detection {
        let target = self.target;
        let heard = self.peers.iter().filter(|peer| peer.up).filter_map(|p| p.current.as_ref());
        let paths = heard.flat_map(|session| session.paths()).filter(|path| path.up);
        let late = paths.map(|path| path.late.worst()).max().unwrap_or_default();
        let own_late = self.late.worst();
        let effective = patience(self.detection, late.max(own_late));
        Detection { target, effective, late, own_late }
    }

    /// How much silence on a path is a verdict: more than the target where its hellos come late, or
    /// mine leave late.
    fn silence_max(&self, path: &Path) -> Duration {
        patience(self.detection, path.late.worst().max(self.late.worst()))
    }

    pub(crate) const fn strained(&self) -> u64 {
        self.strained.0
    }

    /// How many links there are.
    pub(crate) const fn links(&self) -> usize {
        self.links.len()
    }

    /// The links over which data for all who are heard goes.
    pub(crate) fn links_to_heard(&self) -> Links {
        let heard = self.peers.iter().filter(|peer| peer.up);
        let links: Links = heard.map(|peer| peer.route.best()).collect();
        if links.is_empty() { Links::one(LinkId::FIRST) } else { links }
    }

    /// How a node is reached.
    pub(crate) fn route(&self, node: NodeId) -> Route {
        match self.find(node) {
            Some(Place::Peer(index)) => self.peers[index].route,
            Some(Place::Own) | None => Route::new(),
        }
    }

    /// Whether one payload may reach somebody twice if it leaves over several links for all.
    pub(crate) fn is_shared(&self, links: Links) -> bool {
        links.iter().any(|link| self.links[link.place()].shared)
    }

    /// Takes in an incarnation that was unknown so far, with its first hello. It becomes the
    /// candidate, unless the present candidate is known to be alive and this one is not.
    pub(crate) fn introduce(
        &mut self,
        place: Place,
        session: Session,
        (link, counter): (LinkId, u64),
        hello: &Hello,
    ) -> Result<(), Discard> {
        let proven = self.proof(place, link, hello).is_some();
        let incarnation = session.incarnation;
        let peer = self.peer(place);
        let occupied = peer.candidate.as_ref().is_some_and(|other| other.proven_at.is_some());
        if occupied && !proven {
            return Err(Discard::ThirdIncarnation);
        }
        peer.candidate = Some(Box::new(session));
        self.on_hello(place, incarnation, (link, counter), hello);
        Ok(())
    }

    /// A hello of a known incarnation.
    pub(crate) fn on_hello(
        &mut self,
        place: Place,
        incarnation: u64,
        (link, counter): (LinkId, u64),
        hello: &Hello,
    ) {
        let (now, detection) = (self.now, self.detection);
        let (safe, full) = (self.sizes.safe(), self.sizes.full());
        let due = Some(self.patience()).filter(|_| !self.is_void());
        let proof = self.proof(place, link, hello);
        let (lists_me, told) = (self.lists_me(hello), self.told(hello));
        let peer = self.peer(place);
        let peer_was_up = peer.hears(incarnation);
        let Some(session) = peer.session(incarnation) else {
            return;
        };
        let was_up = peer_was_up && session.path(link).up;
        let mut resized = None;
        if session.update(now, link, counter, hello) {
            let path = session.path_mut(link);
            path.lists_me = lists_me.unwrap_or(path.lists_me);
            path.told = told.unwrap_or(path.told);
            if !hello.is_answer() {
                path.keep_time(now, due);
            }
        }
        if let Some((echo, challenge)) = proof {
            session.proven_at = Some(now);
            session.alive_at = session.alive_at.max(Some(challenge.drawn));
            // What was sent before the challenge was answered may be a recording.
            if !peer_was_up {
                session.paths_mut().iter_mut().for_each(|path| path.close_up_to(counter));
            } else if !was_up {
                session.path_mut(link).close_up_to(counter);
            }
            let path = session.path_mut(link);
            path.proven_at = Some(now);
            path.carried_at = path.carried_at.max(Some(challenge.drawn));
            path.measure(now, echo, detection);
            if challenge.size >= safe {
                path.safe_at = Some(now);
            }
            if challenge.size >= path.mtu.limit().min(full) {
                path.health.passed();
            }
            resized = path.resize(now, (echo, challenge.size), detection);
        }
        if proof.is_some() {
            self.note_claims(place, incarnation, hello);
        }
        if let Place::Peer(index) = place {
            self.tell_mtu(index, link, resized.filter(|_| was_up));
            self.settle(index);
            let pace = self.needed_pace_of(index);
            if pace < self.pace {
                self.pace = pace;
                self.hello_at = self.hello_at.min(now + pace);
            }
        }
        // An answer is answered only while it makes its sender known, or to echo a large one: that
        // ends.
        let asks = self.lacks_proof(place, link, incarnation);
        if hello.full || !was_up && (asks || !hello.is_answer()) {
            self.answer(place, link, incarnation, asks);
        }
        self.tell_heard();
    }

    /// The layer above has found that a peer does not get data that others get, or the other way
    /// round. The path that data takes is up again when hellos of the safe size pass both ways and
    /// its hold-down is over.
    pub(crate) fn distrust(&mut self, peer: Processor) {
        let Some(Place::Peer(index)) = self.find(peer.node) else { return };
        if self.peers[index].hears(peer.incarnation) {
            let link = self.peers[index].route.best();
            self.take_path_down(index, link, DownCause::Deaf);
            self.settle(index);
            self.tell_heard();
        }
    }

    /// How many incarnations, challenges and actions are held.
    pub(crate) fn held(&self) -> usize {
        let peers = self.peers.iter().chain([&self.double]);
        let incarnations = peers.flat_map(|peer| peer.current.iter().chain(&peer.candidate));
        let unfinished = incarnations.clone().map(|session| session.unfinished.len());
        unfinished.sum::<usize>()
            + incarnations.count()
            + self.challenges.len()
            + self.actions.len()
            + self.heard.len()
    }

    /// How long the longest hold-down still lasts.
    pub(crate) fn held_down_for(&self) -> Duration {
        let sessions = self.peers.iter().filter(|peer| !peer.up).filter_map(|p| p.current.as_ref());
        let held = |s: &Session| s.paths().iter().map(|p| p.flaps.until.since(self.now)).min();
        sessions.filter_map(|session| held(session)).max().unwrap_or_default()
    }

    /// From one hello of mine to the next.
    const fn interval(&self) -> Duration {
        hello_interval(self.target, self.links.len())
    }

    /// What others are measured by.
    const fn patience(&self) -> Patience {
        let interval = hello_interval(self.detection, self.links.len());
        Patience { interval, detection: self.detection }
    }

    fn is_void(&self) -> bool {
        self.now < self.void_until
    }

    /// Whether the path to this incarnation is not up, and has not shown of late that it carries
    /// packets of the safe size.
    fn lacks_proof(&mut self, place: Place, link: LinkId, incarnation: u64) -> bool {
        let (now, detection) = (self.now, self.detection);
        let peer = self.peer(place);
        let heard = peer.hears(incarnation);
        let Some(path) = peer.session(incarnation).map(|session| session.path(link)) else {
            return true;
        };
        !(heard && path.up) && path.safe_at.is_none_or(|at| now.since(at) >= detection)
    }

    /// The echo of a challenge that I drew no longer than the detection target ago, and the
    /// challenge.
    ///
    /// Nor before the sender's node had another incarnation: of the one that was replaced a
    /// recording may echo what was drawn until then, and its counters are forgotten.
    fn proof(&self, place: Place, link: LinkId, hello: &Hello) -> Option<(Echo, Challenge)> {
        let echo = hello.about(self.me.node)??;
        let replaced_at = match place {
            Place::Own => None,
            Place::Peer(index) => self.peers[index].replaced_at,
        };
        let fresh = |challenge: &&Challenge| {
            challenge.value == echo.challenge
                && challenge.link == link
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

    /// What becomes of the sender's datagrams to me, by its word.
    fn told(&self, hello: &Hello) -> Option<Losses> {
        let echo = hello.about(self.me.node)??;
        (echo.incarnation == self.me.incarnation).then_some(echo.losses)
    }

    fn change_heard(&mut self, change: impl FnOnce(&mut Members) -> bool) {
        self.heard_changed |= change(&mut self.heard);
    }

    fn tell_heard(&mut self) {
        if std::mem::take(&mut self.heard_changed) {
            self.actions.push_back(Action::Heard(self.heard.clone()));
        }
    }
}

/// How often hellos are sent at this detection target, over so many links. Where there are several,
/// traffic is to leave one that is dead within a quarter of the target.
pub(crate) const fn hello_interval(detection: Duration, links: usize) -> Duration {
    let parts = if links > 1 { 20 } else { 10 };
    detection.checked_div(parts).expect("it is not zero")
}

/// Challenges remembered for each link: more than are drawn in one detection target.
const CHALLENGES_MAX: usize = 128;
/// Hello intervals in which every living peer was heard again.
const HELLO_ROUND: u32 = 3;

mod burst;
mod ownership;
mod roster;
mod settings;
mod sizes;
mod speak;
#[cfg(test)]
mod tests;
mod verdict;
