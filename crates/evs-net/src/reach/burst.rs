//! A peer of which the network says that nobody listens at its port (ICMP): it is asked at once,
//! and several times. Such a report may come from anybody, and about somebody else at that host;
//! only the silence that follows is a verdict.

use std::time::Duration;

use evs_model::NodeId;

use super::{DownCause, Place, Reach};
use crate::LinkId;
use crate::peer::Burst;

impl Reach {
    /// The network says that a peer is not there.
    pub(crate) fn on_refused(&mut self, node: NodeId) {
        let Some(Place::Peer(index)) = self.find(node) else { return };
        let (now, detection) = (self.now, self.detection);
        let peer = &mut self.peers[index];
        let Some(current) = peer.current.as_ref().filter(|_| peer.up) else { return };
        if peer.burst.is_some() || now < peer.burst_after {
            return;
        }
        let trips = current.paths().iter().filter(|path| path.up).filter_map(|p| p.round_trip);
        let slowest = trips.map(|trip| trip.smoothed + trip.deviation * 4).max();
        let every = slowest.unwrap_or_default().max(EVERY_MIN).min(detection / 8);
        peer.burst = Some(Burst { since: now, every, left: QUESTIONS, next: now });
        self.settle(index);
        self.tell_heard();
    }

    /// Asks again, or has the answer, or none.
    pub(super) fn settle_burst(&mut self, index: usize) {
        let (now, void, detection) = (self.now, self.is_void(), self.detection);
        let peer = &mut self.peers[index];
        let (Some(burst), Some(current)) = (&mut peer.burst, &peer.current) else { return };
        let silence = now.since(current.heard_at);
        let answered = current.heard_at > burst.since || !peer.up;
        if answered {
            peer.burst = None;
            peer.burst_after = now + detection / 4;
        } else if now >= burst.next && burst.left == 0 && !void {
            peer.burst = None;
            let links = (0..self.links.len()).filter_map(LinkId::at);
            let up = |link: &LinkId| {
                let current = self.peers[index].current.as_ref();
                current.is_some_and(|current| current.path(*link).up)
            };
            for link in links.filter(up).collect::<Vec<_>>() {
                self.take_path_down(index, link, DownCause::Refused(silence));
            }
        } else if now >= burst.next {
            // Where this process stood still it may be the one that missed the answers.
            burst.left = if burst.left == 0 { QUESTIONS } else { burst.left } - 1;
            burst.next = now + burst.every;
            self.ask(index);
        }
    }

    /// A padded hello on every path, for such are answered: of the size that every path carries,
    /// since longer ones may be lost on one that has just become narrow.
    fn ask(&mut self, index: usize) {
        for link in (0..self.links.len()).filter_map(LinkId::at) {
            let peer = &self.peers[index];
            if peer.current.as_ref().is_none_or(|current| !current.path(link).up) {
                continue;
            }
            let challenge = self.draw_challenge(link, self.sizes.safe());
            self.say_to(index, link, challenge);
        }
    }
}

/// Questions, each a round trip after the one before, but not less than this time.
const QUESTIONS: u32 = 4;
const EVERY_MIN: Duration = Duration::from_millis(5);
