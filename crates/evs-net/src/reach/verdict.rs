//! The verdicts: which incarnation is the node's, which paths to it are up, which of them is used.

use std::time::Duration;

use evs_model::{Instant, NodeId, Processor, defect};

use super::{Action, DownCause, HELLO_ROUND, PeerEvent, Reach};
use crate::LinkId;
use crate::path::Tally;
use crate::peer::Session;
use crate::route::{Move, Route};

impl Reach {
    /// Brings the verdict about one peer up to date.
    pub(super) fn settle(&mut self, index: usize) {
        self.settle_burst(index);
        self.settle_candidate(index);
        for link in (0..self.links.len()).filter_map(LinkId::at) {
            self.settle_path(index, link);
        }
        self.settle_peer(index);
        self.choose_route(index);
        self.check_at = self.check_at.min(self.deadline(index));
    }

    /// Nothing happened here for so long, until now: what looks like the silence of everybody was
    /// this node's own. It may have rested for an interval of it.
    pub(super) fn on_pause(&mut self, gap: Duration) {
        let pause = gap.saturating_sub(self.interval());
        self.pauses += 1;
        self.void_until = self.now + self.interval() * HELLO_ROUND;
        if defect!(PauseIsSilence) {
            return;
        }
        for session in self.peers.iter_mut().filter_map(|peer| peer.current.as_mut()) {
            session.paths_mut().iter_mut().for_each(|path| path.excuse(pause));
        }
        self.actions.push_back(Action::Paused(pause));
    }

    /// The kernel did not take so many datagrams for a peer on a link, or for all on it. What that
    /// means is judged at the next timeout: what has come meanwhile may not have been read yet.
    pub(crate) fn on_unsent(&mut self, link: LinkId, to: Option<NodeId>, unsent: Tally) {
        for peer in self.peers.iter_mut().filter(|peer| to.is_none_or(|to| to == peer.node)) {
            if let Some(current) = &mut peer.current {
                current.path_mut(link).health.count_unsent(unsent);
            }
        }
        self.check_at = self.now;
    }

    fn settle_path(&mut self, index: usize, link: LinkId) {
        let (now, void, detection) = (self.now, self.is_void(), self.detection);
        let (full, round) = (self.sizes.full(), self.interval() * HELLO_ROUND);
        let Some(current) = &self.peers[index].current else { return };
        let mut patience = self.silence_max(current.path(link));
        if defect!(SilenceGrows) {
            patience *= u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
        }
        let Some(current) = &mut self.peers[index].current else { return };
        let path = current.path_mut(link);
        let safe_at = if defect!(SmallHellosSuffice) { path.proven_at } else { path.safe_at };
        let proven = safe_at.is_some_and(|at| now.since(at) < detection);
        let held_down = now < path.flaps.until && !defect!(NoHoldDown);
        let silence = path.silence(now);
        // Pauses that follow each other closely do not put a verdict off for ever.
        let silent = silence >= if void { patience + round } else { patience };
        if path.up && silent && !defect!(SilenceUnnoticed) {
            self.take_path_down(index, link, DownCause::Silence(silence));
        } else if path.up && !void && !path.lists_me {
            self.take_path_down(index, link, DownCause::NotHeardByPeer);
        } else if !path.up && proven && path.lists_me && !held_down {
            path.begin(now, full);
            self.note_cuts();
            self.tell_path(index, link, None);
            if self.cuts {
                self.try_on(link, &[index]);
            }
        }
    }

    /// Up with the first path; down with the last, for its reason.
    fn settle_peer(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        let Some(current) = peer.current.as_ref().filter(|_| !peer.up) else { return };
        let Some(path) = current.paths().iter().find(|path| path.up) else { return };
        let round_trip = path.round_trip.map(|trip| trip.latest);
        let processor = Processor::new(peer.node, current.incarnation);
        peer.up = true;
        self.change_heard(|heard| heard.insert(processor).expect("peers are bounded"));
        self.actions.push_back(Action::Peer(PeerEvent::Up { peer: processor, round_trip }));
    }

    pub(super) fn take_path_down(&mut self, index: usize, link: LinkId, cause: DownCause) {
        let (now, detection) = (self.now, self.detection);
        let Some(current) = &mut self.peers[index].current else { return };
        let path = current.path_mut(link);
        path.up = false;
        // Who says that it does not hear me holds me down itself, if it has a reason to.
        let least = match cause {
            DownCause::Silence(_) | DownCause::Refused(_) => Some(Duration::ZERO),
            DownCause::Deaf => Some(detection * 2),
            DownCause::NotHeardByPeer | DownCause::Removed | DownCause::Replaced(_) => None,
        };
        if let Some(least) = least {
            path.flaps.down(now, detection, least);
            path.safe_at = None;
        }
        let is_last = !current.paths().iter().any(|path| path.up);
        self.note_cuts();
        self.tell_path(index, link, Some(cause));
        if let Some(processor) = self.peers[index].processor()
            && is_last
        {
            self.take_down(index, processor, cause);
        }
    }

    /// With one link the verdict about the peer says it all.
    fn tell_path(&mut self, index: usize, link: LinkId, down: Option<DownCause>) {
        let Some(peer) = self.peers[index].processor().filter(|_| self.links.len() > 1) else {
            return;
        };
        let event = match down {
            None => PeerEvent::PathUp { peer, link },
            Some(cause) => PeerEvent::PathDown { peer, link, cause },
        };
        self.actions.push_back(Action::Peer(event));
    }

    fn choose_route(&mut self, index: usize) {
        if self.links.len() == 1 {
            return;
        }
        let (now, patience) = (self.now, self.patience());
        let void = self.is_void();
        let peer = &mut self.peers[index];
        let Some(current) = peer.current.as_mut().filter(|_| !void) else { return };
        let moved = peer.route.choose(now, current.paths_mut(), &self.links, patience);
        let Some(peer) = peer.processor().filter(|_| peer.up) else { return };
        if let Some(Move { from, to, trouble }) = moved {
            self.actions.push_back(Action::Peer(PeerEvent::Moved { peer, from, to, trouble }));
        }
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
        peer.route = Route::new();
        if let (true, Some(old)) = (was_up, old) {
            self.take_down(index, old, DownCause::Replaced(incarnation));
            // The new one learns at once that it is heard.
            self.hello_at = self.now;
        }
    }

    fn take_down(&mut self, index: usize, peer: Processor, cause: DownCause) {
        self.peers[index].up = false;
        self.change_heard(|heard| heard.remove(peer));
        self.actions.push_back(Action::Peer(PeerEvent::Down { peer, cause }));
    }

    /// When the verdict about a peer may change without any input.
    fn deadline(&self, index: usize) -> Instant {
        let peer = &self.peers[index];
        let mut deadline = Instant::NEVER;
        let mut due = |at: Instant| deadline = deadline.min(at);
        if let Some(burst) = &peer.burst {
            due(burst.next);
        }
        let current = peer.current.as_ref().filter(|_| peer.up);
        if let Some(current) = current.filter(|_| !defect!(SilenceUnnoticed)) {
            for path in current.paths().iter().filter(|path| path.up) {
                let patience = self.silence_max(path);
                let silent_for =
                    |most: Duration| self.now + most.saturating_sub(path.silence(self.now));
                let latest = silent_for(patience + self.interval() * HELLO_ROUND);
                due(silent_for(patience).max(self.void_until).min(latest));
                if !path.lists_me {
                    due(self.void_until);
                }
            }
            if self.links.len() > 1 {
                let change = peer.route.due(self.now, current.paths(), self.patience());
                due(change.max(self.void_until));
            }
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

/// Silence after which a newer incarnation takes over: one lost hello is not enough, two are.
const fn grace(detection: Duration) -> Duration {
    detection.checked_div(4).expect("four is not zero")
}
