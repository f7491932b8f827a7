//! How large datagrams are: what is cut for whom, and what is tried.

use evs_model::{NodeId, Processor};

use super::{Action, MtuCause, PeerEvent, Place, Reach};
use crate::mtu::SAFE_DATAGRAM_BYTES;
use crate::parts::{PART_OVERHEAD, PARTS_MAX};
use crate::path::Path;
use crate::peer::Peer;
use crate::seal::{Audience, Cut, Cuts};
use crate::{Destination, LINKS_MAX, LinkId, Links};

impl Reach {
    /// How a payload for all who are heard leaves over these links. A datagram has `overhead` more
    /// bytes than what it carries.
    pub(crate) fn cuts_for_all(&self, links: Links, bytes: usize, overhead: usize) -> Cuts {
        let mut cuts = [Cut::WHOLE; LINKS_MAX];
        if !self.cuts || bytes + overhead <= SAFE_DATAGRAM_BYTES {
            return cuts;
        }
        for link in links.iter() {
            let (mut limit, mut anybody_wide) = (usize::MAX, false);
            for peer in self.peers.iter().filter(|peer| peer.up && peer.route.best() == link) {
                let Some(current) = &peer.current else { continue };
                let mtu = &current.path(link).mtu;
                anybody_wide |= !mtu.cuts();
                limit = if mtu.cuts() { limit.min(mtu.limit()) } else { limit };
            }
            if bytes + overhead > limit {
                let shared = self.links[link.place()].shared;
                cuts[link.place()] = Cut {
                    whole: Some(Audience::Wide).filter(|_| anybody_wide && !shared),
                    parts: parts(bytes, limit, overhead),
                    others: if shared { Audience::All } else { Audience::Narrow },
                };
            }
        }
        cuts
    }

    /// How a payload for one peer leaves over these links.
    pub(crate) fn cuts_for(
        &self,
        node: NodeId,
        links: Links,
        bytes: usize,
        overhead: usize,
    ) -> Cuts {
        let mut cuts = [Cut::WHOLE; LINKS_MAX];
        if !self.cuts || bytes + overhead <= SAFE_DATAGRAM_BYTES {
            return cuts;
        }
        let Some(Place::Peer(index)) = self.find(node) else { return cuts };
        let Some(current) = &self.peers[index].current else { return cuts };
        for link in links.iter() {
            let mtu = &current.path(link).mtu;
            if mtu.cuts() && bytes + overhead > mtu.limit() {
                let parts = parts(bytes, mtu.limit(), overhead);
                cuts[link.place()] = Cut { whole: None, parts, others: Audience::All };
            }
        }
        cuts
    }

    /// Takes note that a payload left for all who are heard over these links.
    pub(crate) fn count_sent(&mut self, links: Links, cuts: &Cuts, bytes: usize, overhead: usize) {
        for peer in self.peers.iter_mut().filter(|peer| peer.up) {
            let link = peer.route.best();
            let Some(current) = peer.current.as_mut().filter(|_| links.contains(link)) else {
                continue;
            };
            let path = current.path_mut(link);
            path.health.count_payload(bytes, parts_on(path, cuts[link.place()]), overhead);
        }
    }

    /// Takes note that a payload left for one peer.
    pub(crate) fn count_sent_to(
        &mut self,
        (node, link): (NodeId, LinkId),
        cuts: &Cuts,
        bytes: usize,
        overhead: usize,
    ) {
        if let Some(Place::Peer(index)) = self.find(node)
            && let Some(current) = &mut self.peers[index].current
        {
            let parts = cuts[link.place()].parts;
            current.path_mut(link).health.count_payload(bytes, parts, overhead);
        }
    }

    /// Takes note that a payload left in a copy on each of these links, for one peer or for all who
    /// are heard: those to whom each link leads, or that share it.
    pub(crate) fn count_copies(&mut self, to: Option<NodeId>, links: Links, cuts: &Cuts) {
        let is_meant = |peer: &&mut Peer| to.map_or(peer.up, |node| peer.node == node);
        for peer in self.peers.iter_mut().filter(is_meant) {
            let best = peer.route.best();
            let Some(current) = &mut peer.current else { continue };
            let leads =
                |link: &LinkId| to.is_some() || *link == best || self.links[link.place()].shared;
            for link in links.iter().filter(leads) {
                let path = current.path_mut(link);
                let parts = parts_on(path, cuts[link.place()]);
                path.health.count_copy(parts);
            }
        }
    }

    /// Whether packets of full size are cut for this node on this link.
    pub(crate) fn is_cut(&self, link: LinkId, node: NodeId) -> bool {
        let Some(Place::Peer(index)) = self.find(node) else { return false };
        let current = self.peers[index].current.as_ref();
        current.is_some_and(|current| current.path(link).mtu.cuts())
    }

    /// Tries larger sizes on the paths that have come up, and on those that may have healed.
    pub(super) fn try_larger(&mut self) {
        if !self.cuts {
            return;
        }
        for link in (0..self.links.len()).filter_map(LinkId::at) {
            let is_due = |reach: &Self, index: &usize| {
                let current = reach.peers[*index].current.as_ref();
                let path = current.map(|current| current.path(link));
                path.is_some_and(|path| path.up && path.mtu.is_due(reach.now))
            };
            let places = 0..self.peers.len();
            let due: Vec<usize> = places.filter(|index| is_due(self, index)).collect();
            self.try_on(link, &due);
        }
    }

    /// Says one hello of each larger size to each of these: whatever comes back has passed.
    pub(super) fn try_on(&mut self, link: LinkId, indices: &[usize]) {
        let (now, interval, detection) = (self.now, self.interval(), self.detection);
        for size in self.sizes.above(0) {
            let limit = |reach: &Self, index: usize| {
                let current = reach.peers[index].current.as_ref();
                current.map_or(usize::MAX, |current| current.path(link).mtu.limit())
            };
            let mut smaller = indices.iter().filter(|i| limit(self, **i) < size).peekable();
            if smaller.peek().is_none() {
                continue;
            }
            let smaller: Vec<usize> = smaller.copied().collect();
            let challenge = self.draw_challenge(link, size);
            for index in smaller {
                self.say_to(index, link, challenge);
            }
        }
        for index in indices.iter().copied() {
            let Some(current) = &mut self.peers[index].current else { continue };
            let mtu = &mut current.path_mut(link).mtu;
            let cause = mtu.probe(now, interval, detection).then_some(MtuCause::Unproven);
            self.tell_mtu(index, link, cause);
        }
    }

    /// A hello to one peer alone, of the size of the challenge: a padded one is answered.
    pub(super) fn say_to(&mut self, index: usize, link: LinkId, challenge: super::Challenge) {
        let peer = &mut self.peers[index];
        let Some(current) = &mut peer.current else { return };
        current.path_mut(link).health.count_hello(challenge.size > 0);
        let (node, echo) = (peer.node, current.echo(peer.node, link, self.now));
        let hello = self.hello(challenge, (node.get(), node.get()), vec![echo], None);
        let (to, size) = (Destination::Node(node), challenge.size);
        self.actions.push_back(Action::Say { link, to, hello, size });
    }

    /// The interface of a link takes no datagram of so many bytes.
    pub(crate) fn on_too_long(&mut self, link: LinkId, bytes: usize) {
        let (now, detection) = (self.now, self.detection);
        for index in 0..self.peers.len() {
            let Some(current) = &mut self.peers[index].current else { continue };
            let path = current.path_mut(link);
            let shrinks = path.mtu.limit() >= bytes && path.shrink(now, detection);
            self.tell_mtu(index, link, shrinks.then_some(MtuCause::Refused));
        }
    }

    /// The size for a path may have changed.
    pub(super) fn tell_mtu(&mut self, index: usize, link: LinkId, cause: Option<MtuCause>) {
        let Some(cause) = cause else { return };
        if cause == MtuCause::Lost && self.links[link.place()].shared {
            self.prove_others(index, link);
        }
        self.note_cuts();
        let peer = &self.peers[index];
        let Some(current) = peer.current.as_ref().filter(|_| peer.up) else { return };
        let bytes = current.path(link).mtu.limit();
        let peer = Processor::new(peer.node, current.incarnation);
        self.actions.push_back(Action::Peer(PeerEvent::Mtu { peer, link, bytes, cause }));
    }

    /// On a shared link what one path does not carry is cut for all. So nothing large is sent on
    /// the others, of which more may have the same fault: each has to show once more what it
    /// carries.
    fn prove_others(&mut self, index: usize, link: LinkId) {
        let (now, full) = (self.now, self.sizes.full());
        let mut others = Vec::new();
        for (other, peer) in self.peers.iter_mut().enumerate().filter(|(other, _)| *other != index)
        {
            let Some(current) = &mut peer.current else { continue };
            let path = current.path_mut(link);
            if path.up && !path.mtu.cuts() {
                path.unprove(now, full);
                others.push(other);
            }
        }
        self.try_on(link, &others);
    }

    /// Whether anything has to be cut is known before anything is sent.
    pub(super) fn note_cuts(&mut self) {
        let sessions = self.peers.iter().filter_map(|peer| peer.current.as_ref());
        let mut paths = sessions.flat_map(|session| session.paths());
        self.cuts = paths.any(|path| path.up && path.mtu.cuts());
    }
}

/// In how many parts so many bytes pass where no datagram is longer than the limit.
pub(crate) fn parts(bytes: usize, limit: usize, overhead: usize) -> u8 {
    let each = limit.saturating_sub(overhead + PART_OVERHEAD).max(1);
    let parts = bytes.div_ceil(each).clamp(2, PARTS_MAX);
    u8::try_from(parts).expect("bounded above")
}

/// Into how many parts a payload is cut for the peer at the end of a path; 0: into none.
const fn parts_on(path: &Path, cut: Cut) -> u8 {
    match cut.others {
        Audience::Narrow if !path.mtu.cuts() => 0,
        Audience::Narrow | Audience::All | Audience::Wide => cut.parts,
    }
}
