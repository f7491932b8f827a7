//! What a node says: hellos to all, and answers to those that it does not hear yet.

use std::time::Duration;

use super::{Action, CHALLENGES_MAX, Challenge, MtuCause, Place, Reach, hello_interval};
use crate::hello::{DETECTION_MS_MAX, Echo, HELLO_ECHOES_MAX, Hello, Holder};
use crate::path::Path;
use crate::peer::{Answers, micros};
use crate::{Destination, LinkId};

impl Reach {
    /// The periodic hello, on every link.
    pub(super) fn say_to_all(&mut self) {
        let now = self.now;
        self.keep_time();
        for link in (0..self.links.len()).filter_map(LinkId::at) {
            self.say_on(link);
        }
        for peer in self.peers.iter_mut().chain([&mut self.double]) {
            peer.answers = Answers::default();
        }
        if self.links.len() > 1 && now >= self.full_at {
            self.full_at = now + self.detection;
            self.prove_paths();
        }
        self.try_larger();
        let detection = self.detection;
        self.double.candidate.take_if(|double| now.since(double.heard_at) >= detection);
        self.pace = self.needed_pace();
        // Spread, so that nodes that started together do not speak together for ever.
        let spread = u64::try_from(self.pace.as_nanos() / SPREAD).unwrap_or(u64::MAX);
        let early = Duration::from_nanos(self.rng.u64(0..=spread));
        self.hello_at = now + (self.pace - early);
    }

    /// Notes how late this hello leaves, unless that was a pause.
    fn keep_time(&mut self) {
        if !self.is_void() {
            self.late.note(self.now.since(self.hello_at), self.detection);
        }
        let (times, was) = self.strained;
        let is = self.detection().is_strained();
        self.strained = (times + u64::from(is && !was), is);
    }

    /// As many datagrams as the peers need: where there is one for each of them anyway, everybody
    /// gets the one that speaks about it.
    fn say_on(&mut self, link: LinkId) {
        let (now, detection) = (self.now, self.detection);
        let challenge = self.draw_challenge(link, 0);
        let echoes: Vec<Echo> =
            self.peers.iter().filter_map(|peer| peer.echo(link, now, detection)).collect();
        let parts = echoes.len().div_ceil(HELLO_ECHOES_MAX).max(1);
        let shared = self.links[link.place()].shared;
        for current in self.peers.iter_mut().filter_map(|peer| peer.current.as_mut()) {
            let health = &mut current.path_mut(link).health;
            health.probe(challenge.value);
            let copies = if shared { parts } else { 1 };
            (0..copies).for_each(|_| health.count_hello(false));
        }
        let mut lowest = 1;
        for part in 0..parts {
            let start = part * HELLO_ECHOES_MAX;
            let end = (start + HELLO_ECHOES_MAX).min(echoes.len());
            let highest = if part + 1 == parts { u32::MAX } else { echoes[end - 1].node.get() };
            let hello = self.hello(challenge, (lowest, highest), echoes[start..end].to_vec(), None);
            let among = Destination::Among(lowest, highest);
            let to = if shared || parts == 1 { Destination::All } else { among };
            self.actions.push_back(Action::Say { link, to, hello, size: 0 });
            lowest = highest.saturating_add(1);
        }
        if shared {
            self.say_to_neighbours(link, challenge);
        }
    }

    /// Of what is sent to all no host says that nobody listens there: so the next peers of the ring
    /// get hellos of their own.
    fn say_to_neighbours(&mut self, link: LinkId, challenge: Challenge) {
        let me = self.me.node;
        let up = (0..self.peers.len()).filter(|index| self.peers[*index].up);
        let mut next: Vec<usize> = up.collect();
        next.sort_unstable_by_key(|index| {
            let node = self.peers[*index].node;
            (node < me, node)
        });
        for index in next.into_iter().take(NEIGHBOURS_MAX) {
            self.say_to(index, link, challenge);
        }
    }

    /// Where there is a choice of paths, each has to show now and then that it carries packets of
    /// the size that would be sent on it, before it is needed.
    fn prove_paths(&mut self) {
        let (now, detection, full) = (self.now, self.detection, self.sizes.full());
        for link in (0..self.links.len()).filter_map(LinkId::at) {
            for size in self.sizes.above(0) {
                let mut challenge = None;
                for index in 0..self.peers.len() {
                    let peer = &mut self.peers[index];
                    let current = peer.current.as_mut().filter(|_| peer.up);
                    let path = current.map(|current| current.path_mut(link));
                    let in_use = |path: &&mut Path| path.up && path.mtu.limit().min(full) == size;
                    if path.filter(in_use).is_none() {
                        continue;
                    }
                    let challenge =
                        *challenge.get_or_insert_with(|| self.draw_challenge(link, size));
                    let Some(current) = &mut self.peers[index].current else { continue };
                    let path = current.path_mut(link);
                    let mut cause = None;
                    if path.health.probe_full(challenge.value) {
                        let shrinks = path.shrink(now, detection);
                        path.health.choked |= !shrinks;
                        cause = shrinks.then_some(MtuCause::Lost);
                    }
                    self.tell_mtu(index, link, cause);
                    self.say_to(index, link, challenge);
                }
            }
        }
    }

    pub(super) fn needed_pace_of(&self, index: usize) -> Duration {
        let heard = self.peers[index].current.as_ref().filter(|_| self.peers[index].up);
        heard.map_or(Duration::MAX, |session| hello_interval(session.detection, self.links.len()))
    }

    /// Nodes may have different targets, while a setting is being changed: each is spoken to as
    /// often as it needs.
    fn needed_pace(&self) -> Duration {
        let needs = (0..self.peers.len()).map(|index| self.needed_pace_of(index));
        needs.fold(self.interval(), Duration::min)
    }

    /// Answers one incarnation where its hello came from, with one of the safe size if it is asked
    /// for an echo.
    pub(super) fn answer(&mut self, place: Place, link: LinkId, incarnation: u64, asks: bool) {
        let (now, safe) = (self.now, self.sizes.safe());
        let peer = self.peer(place);
        let is_current = peer.current.as_ref().is_some_and(|s| s.incarnation == incarnation);
        let answers = &mut peer.answers;
        let answers = if is_current { &mut answers.current } else { &mut answers.others };
        if answers[link.place()] >= ANSWERS_MAX {
            return;
        }
        answers[link.place()] += 1;
        let node = peer.node;
        let Some(session) = peer.session(incarnation) else { return };
        let size = if asks { safe } else { 0 };
        session.path_mut(link).health.count_hello(size > 0);
        let (echo, since) = (session.echo(node, link, now), session.since);
        let holder = peer.current.as_ref().filter(|holder| {
            peer.up && holder.incarnation != incarnation && holder.was_alive_after(since)
        });
        let holder = holder.map(|s| Holder { incarnation: s.incarnation, age_ms: s.age_ms(now) });
        // As long as another incarnation is heard, this one is not: the hellos to all say so too.
        let other = peer.up && !peer.hears(incarnation);
        let newest = self
            .challenges
            .iter()
            .rfind(|challenge| challenge.link == link && challenge.size == size)
            .copied();
        let fresh = newest.filter(|challenge| now.since(challenge.drawn) <= self.interval());
        let challenge = fresh.unwrap_or_else(|| self.draw_challenge(link, size));
        let covers = (node.get(), node.get());
        let hello = Hello { other, ..self.hello(challenge, covers, vec![echo], holder) };
        self.actions.push_back(Action::Say { link, to: Destination::Source, hello, size });
    }

    pub(super) fn hello(
        &self,
        challenge: Challenge,
        covers: (u32, u32),
        echoes: Vec<Echo>,
        holder: Option<Holder>,
    ) -> Hello {
        Hello {
            challenge: challenge.value,
            age_ms: self.age_ms(),
            stamp: micros(self.now),
            heard: u16::try_from(self.heard.len()).unwrap_or(u16::MAX),
            detection_ms: u16::try_from(self.target.as_millis()).unwrap_or(DETECTION_MS_MAX),
            covers,
            versions: self.versions,
            echoes,
            full: challenge.size > 0,
            other: false,
            holder,
        }
    }

    pub(super) fn draw_challenge(&mut self, link: LinkId, size: usize) -> Challenge {
        if self.challenges.len() == CHALLENGES_MAX * self.links.len() {
            self.challenges.pop_front();
        }
        let challenge = Challenge { value: self.rng.u64(..), link, drawn: self.now, size };
        self.challenges.push_back(challenge);
        challenge
    }

    pub(super) fn age_ms(&self) -> u64 {
        u64::try_from(self.now.since(self.started).as_millis()).unwrap_or(u64::MAX)
    }
}

/// Peers that get hellos of their own on a link that is shared.
const NEIGHBOURS_MAX: usize = 16;
/// Answers to the verified incarnation of a peer, and as many to others of its node, on one link
/// between two periodic hellos.
const ANSWERS_MAX: u32 = 4;
/// The periodic hello comes up to this fraction of the interval early.
const SPREAD: u128 = 8;
