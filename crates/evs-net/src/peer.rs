//! What is known of one peer: at most two of its incarnations, and the paths to each.

use std::time::Duration;

use evs_model::{Instant, NodeId, Processor, Versions};

use crate::hello::{Echo, Hello};
use crate::parts::{Part, Put, Unfinished};
use crate::path::Path;
use crate::replay::{Replay, ReplayWindow};
use crate::route::Route;
use crate::seal::Opener;
use crate::wire::Header;
use crate::{Discard, LINKS_MAX, LinkId};

/// One node of the list of peers, or this node itself as a second owner of its id sees it.
pub(crate) struct Peer {
    pub(crate) node: NodeId,
    /// The verified incarnation, if there ever was one; kept while it is silent, for its window.
    pub(crate) current: Option<Box<Session>>,
    /// Another incarnation that introduced itself and has not taken the place of `current`.
    pub(crate) candidate: Option<Box<Session>>,
    /// When `current` took the place of another incarnation, of which nothing is remembered: not
    /// even which counters were received.
    pub(crate) replaced_at: Option<Instant>,
    /// Whether `current` is heard: over one path at least.
    pub(crate) up: bool,
    /// Which of its paths are used.
    pub(crate) route: Route,
    /// It is being asked whether it is there.
    pub(crate) burst: Option<Burst>,
    /// It is not asked again before.
    pub(crate) burst_after: Instant,
    /// Hellos answered on each link since the last periodic one.
    pub(crate) answers: Answers,
    /// The candidate that was reported as a second owner of this node id.
    pub(crate) double_reported: Option<u64>,
    /// How long this peer has been saying that another incarnation owns *my* node id.
    pub(crate) claim: Option<Claim>,
}

/// How many hellos were answered on each link: those of the verified incarnation by themselves, so
/// that recordings of others do not use up what is due to it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Answers {
    pub(crate) current: [u32; LINKS_MAX],
    pub(crate) others: [u32; LINKS_MAX],
}

/// Questions in short order to a peer of which the network says that it is not there.
#[derive(Clone, Copy)]
pub(crate) struct Burst {
    pub(crate) since: Instant,
    pub(crate) every: Duration,
    pub(crate) left: u32,
    /// When the next one is due, or after the last one the verdict.
    pub(crate) next: Instant,
}

/// A peer's word that a living incarnation other than mine owns my node id.
#[derive(Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) incarnation: u64,
    pub(crate) since: Instant,
    pub(crate) latest: Instant,
}

impl Peer {
    pub(crate) const fn new(node: NodeId) -> Self {
        Self {
            node,
            current: None,
            candidate: None,
            replaced_at: None,
            up: false,
            route: Route::new(),
            burst: None,
            burst_after: Instant::from_nanos(0),
            answers: Answers { current: [0; LINKS_MAX], others: [0; LINKS_MAX] },
            double_reported: None,
            claim: None,
        }
    }

    pub(crate) fn session(&mut self, incarnation: u64) -> Option<&mut Session> {
        let either = self.current.iter_mut().chain(&mut self.candidate);
        either.map(Box::as_mut).find(|session| session.incarnation == incarnation)
    }

    /// Whether this incarnation is the one that is heard.
    pub(crate) fn hears(&self, incarnation: u64) -> bool {
        self.up && self.current.as_ref().is_some_and(|s| s.incarnation == incarnation)
    }

    pub(crate) fn processor(&self) -> Option<Processor> {
        self.current.as_ref().map(|session| Processor::new(self.node, session.incarnation))
    }

    /// The incarnation to be named in hellos to all on a link: the one that is heard, or the one
    /// from which a hello came last.
    pub(crate) fn echo(&self, link: LinkId, now: Instant, detection: Duration) -> Option<Echo> {
        let fresh = |session: &Session| {
            session.path(link).hello_at.is_some_and(|at| now.since(at) < detection)
        };
        let session = match &self.current {
            Some(current) if self.up => {
                Some(current.as_ref()).filter(|current| current.path(link).up || fresh(current))
            }
            current => current
                .iter()
                .chain(&self.candidate)
                .map(Box::as_ref)
                .filter(|session| fresh(session))
                .max_by_key(|session| session.path(link).hello_at),
        };
        session.map(|session| session.echo(self.node, link, now))
    }
}

/// One incarnation that introduced itself with an authentic hello.
pub(crate) struct Session {
    pub(crate) incarnation: u64,
    pub(crate) opener: Opener,
    /// One for each link.
    paths: Vec<Path>,
    /// Which payloads came that travel in several copies.
    copies: Option<Box<ReplayWindow>>,
    /// Packets that came in part.
    pub(crate) unfinished: Unfinished,
    /// When it introduced itself.
    pub(crate) since: Instant,
    /// When any authentic datagram of it came last.
    pub(crate) heard_at: Instant,
    /// When it last echoed a fresh challenge of mine.
    pub(crate) proven_at: Option<Instant>,
    /// When the latest challenge that it echoed was drawn: then it was alive, or later.
    pub(crate) alive_at: Option<Instant>,
    /// Of its latest hello: when it came, and what it said.
    pub(crate) hello_at: Instant,
    /// How long it waits for a sign of life of mine.
    pub(crate) detection: Duration,
    /// What it speaks, by its latest hello.
    pub(crate) versions: Option<Versions>,
    age_ms: u64,
}

impl Session {
    pub(crate) fn new(incarnation: u64, opener: Opener, links: usize, now: Instant) -> Self {
        Self {
            incarnation,
            opener,
            paths: (0..links).map(|_| Path::new(now)).collect(),
            copies: None,
            unfinished: Unfinished::default(),
            since: now,
            heard_at: now,
            proven_at: None,
            alive_at: None,
            hello_at: now,
            detection: Duration::MAX,
            versions: None,
            age_ms: 0,
        }
    }

    /// The link is one of those that there are.
    pub(crate) fn path(&self, link: LinkId) -> &Path {
        &self.paths[link.place()]
    }

    pub(crate) fn path_mut(&mut self, link: LinkId) -> &mut Path {
        &mut self.paths[link.place()]
    }

    pub(crate) fn paths(&self) -> &[Path] {
        &self.paths
    }

    pub(crate) fn paths_mut(&mut self) -> &mut [Path] {
        &mut self.paths
    }

    /// Whether a datagram is worth opening, by its header alone: it claims to be one that has not
    /// come before.
    pub(crate) fn check(&self, header: &Header) -> Result<(), Discard> {
        self.path(header.link).check(header.counter).map_err(discard)?;
        match &self.copies {
            Some(copies) if header.is_copy() => copies.check(header.payload_number()),
            _ => Ok(()),
        }
        .map_err(|replay| match replay {
            Replay::Seen => Discard::Duplicate,
            Replay::TooOld => Discard::TooOld,
        })
    }

    /// Takes note of an authentic datagram that passed the check.
    pub(crate) fn accept(&mut self, header: &Header, now: Instant) -> Result<(), Discard> {
        let path = self.path_mut(header.link);
        path.accept(header.counter).map_err(discard)?;
        path.hear(now);
        self.heard_at = now;
        if header.is_copy() {
            let copies = self.copies.get_or_insert_default();
            // It was checked; a defect of the check is no harm here.
            let _ = copies.accept(header.payload_number());
        }
        Ok(())
    }

    /// Takes in a part of a packet; returns the packet if that was the last one that it lacked.
    pub(crate) fn join(
        &mut self,
        header: &Header,
        payload: &[u8],
    ) -> Result<Option<Vec<u8>>, Discard> {
        let (part, bytes) = Part::decode(payload).ok_or(Discard::BadPart)?;
        let is_copy = header.copies.count > 1;
        if is_copy && self.copies.as_ref().is_some_and(|seen| seen.check(part.number).is_err()) {
            return Err(Discard::Duplicate);
        }
        match self.unfinished.put(header.link, part, bytes) {
            Put::Waits => Ok(None),
            Put::Misfit => Err(Discard::BadPart),
            Put::Whole(packet) => {
                if is_copy {
                    // It was checked.
                    let _ = self.copies.get_or_insert_default().accept(part.number);
                }
                Ok(Some(packet))
            }
        }
    }

    /// Takes over what a hello says of its sender; returns whether it is the latest one on its
    /// link. A hello that was overtaken by a later one says nothing new.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        link: LinkId,
        counter: u64,
        hello: &Hello,
    ) -> bool {
        if !self.path_mut(link).update(now, counter, hello) {
            return false;
        }
        self.hello_at = now;
        self.detection = Duration::from_millis(u64::from(hello.detection_ms));
        self.versions = Some(hello.versions);
        self.age_ms = hello.age_ms;
        true
    }

    /// Whether it was certainly alive after this time, however late its datagrams come.
    pub(crate) fn was_alive_after(&self, time: Instant) -> bool {
        self.alive_at.is_some_and(|at| at > time)
    }

    pub(crate) fn echo(&self, node: NodeId, link: LinkId, now: Instant) -> Echo {
        let (challenge, stamp, received) = self.path(link).echo(now);
        Echo {
            node,
            incarnation: self.incarnation,
            challenge,
            stamp,
            received: received.all,
            received_large: received.large,
            losses: self.path(link).losses(),
        }
    }

    /// Milliseconds since its start, by its own word and the time since.
    pub(crate) fn age_ms(&self, now: Instant) -> u64 {
        let since = u64::try_from(now.since(self.hello_at).as_millis()).unwrap_or(u64::MAX);
        self.age_ms.saturating_add(since)
    }
}

const fn discard(replay: Replay) -> Discard {
    match replay {
        Replay::Seen => Discard::Replayed,
        Replay::TooOld => Discard::TooOld,
    }
}

/// How long a datagram and its answer take, in the manner of RFC 6298.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RoundTrip {
    /// The last one.
    pub latest: Duration,
    /// The shortest one of this incarnation.
    pub minimum: Duration,
    /// Average in which the latest counts an eighth.
    pub smoothed: Duration,
    /// Average deviation from it.
    pub deviation: Duration,
}

impl RoundTrip {
    pub(crate) fn first(sample: Duration) -> Self {
        Self { latest: sample, minimum: sample, smoothed: sample, deviation: sample / 2 }
    }

    pub(crate) fn next(self, sample: Duration) -> Self {
        let off = self.smoothed.abs_diff(sample);
        Self {
            latest: sample,
            minimum: self.minimum.min(sample),
            smoothed: (self.smoothed * 7 + sample) / 8,
            deviation: (self.deviation * 3 + off) / 4,
        }
    }
}

/// The clock as it travels in stamps.
#[expect(clippy::cast_possible_truncation, reason = "stamps count modulo 2^32")]
pub(crate) const fn micros(now: Instant) -> u32 {
    (now.as_nanos() / 1_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SealMode;
    use crate::hello::Losses;
    use crate::keys::Keyring;
    use crate::testing::processor;

    #[test]
    fn a_hello_that_was_overtaken_says_nothing_new() {
        let at = Instant::from_nanos(1_000_000_000);
        let keyring = Keyring::new(&SealMode::Clear, "test");
        let opener = Opener::new(&keyring, processor(2, 7));
        let mut session = Session::new(7, opener, 1, at);
        let link = LinkId::FIRST;
        let hello = |challenge| Hello {
            challenge,
            age_ms: 5,
            stamp: 100,
            heard: 0,
            detection_ms: 1_000,
            covers: (1, 9),
            versions: crate::spoken(),
            echoes: Vec::new(),
            full: false,
            other: false,
            holder: None,
        };
        assert!(session.update(at, link, 4, &hello(44)));
        assert!(!session.update(at, link, 3, &hello(33)));
        let later = at + Duration::from_millis(2);
        let expected = Echo {
            node: processor(2, 7).node,
            incarnation: 7,
            challenge: 44,
            stamp: 2_100,
            received: 0,
            received_large: 0,
            losses: Losses::default(),
        };
        assert_eq!(session.echo(expected.node, link, later), expected, "and it waited for 2 ms");
        assert_eq!(session.age_ms(later), 7);
    }

    #[test]
    fn a_round_trip_follows_its_samples_slowly_and_keeps_the_shortest() {
        let ms = Duration::from_millis;
        let mut trip = RoundTrip::first(ms(8));
        trip = trip.next(ms(16));
        assert_eq!(trip.latest, ms(16));
        assert_eq!(trip.minimum, ms(8));
        assert_eq!(trip.smoothed, ms(9));
        assert_eq!(trip.deviation, ms(5));
        for _ in 0..200 {
            trip = trip.next(ms(2));
        }
        assert_eq!(trip.minimum, ms(2));
        assert!(trip.smoothed < Duration::from_micros(2_001), "{:?}", trip.smoothed);
    }
}
