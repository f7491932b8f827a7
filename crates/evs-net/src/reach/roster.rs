//! Who the peers are, changed while the node runs.

use evs_model::NodeId;

use super::{Action, DownCause, PeerEvent, Place, Reach};
use crate::peer::Peer;

impl Reach {
    /// Listens to this node from now on. Returns whether that is new.
    pub(crate) fn add_peer(&mut self, node: NodeId) -> bool {
        if node == self.me.node {
            return false;
        }
        let Err(place) = self.peers.binary_search_by_key(&node, |peer| peer.node) else {
            return false;
        };
        self.peers.insert(place, Peer::new(node));
        true
    }

    /// Knows nothing of this node from now on; one that is heard is down. Returns whether it was a
    /// peer.
    pub(crate) fn remove_peer(&mut self, node: NodeId) -> bool {
        let Some(Place::Peer(index)) = self.find(node) else { return false };
        let peer = self.peers.remove(index);
        if let Some(processor) = peer.processor().filter(|_| peer.up) {
            self.change_heard(|heard| heard.remove(processor));
            let down = PeerEvent::Down { peer: processor, cause: DownCause::Removed };
            self.actions.push_back(Action::Peer(down));
        }
        self.tell_heard();
        true
    }
}
