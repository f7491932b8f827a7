//! What of an endpoint changes while it runs: its peers, its keys, some settings.

use std::time::Duration;

use evs_model::{Instant, NodeId};

use super::{ConfigError, Endpoint, EndpointConfig, Place};
use crate::{ClusterKey, KeyChangeError};

impl Endpoint {
    /// The names of the keys, the one that seals first; none in clear text.
    #[must_use]
    pub fn keys(&self) -> Vec<u16> {
        self.keyring.ids()
    }

    /// Whether this node talks to that one.
    #[must_use]
    pub fn is_peer(&self, node: NodeId) -> bool {
        matches!(self.reach.find(node), Some(Place::Peer(_)))
    }

    /// Talks to this node from now on.
    ///
    /// # Errors
    /// It is a peer already, or this node itself; or there are as many as there can be.
    pub fn add_peer(&mut self, node: NodeId) -> Result<(), ConfigError> {
        if self.reach.peers().len() == EndpointConfig::PEERS_MAX {
            return Err(ConfigError::TooManyPeers(EndpointConfig::PEERS_MAX + 1));
        }
        if self.reach.add_peer(node) { Ok(()) } else { Err(ConfigError::NodeTwice(node)) }
    }

    /// Talks to this node no more, and takes nothing from it. Returns whether it was a peer.
    pub fn remove_peer(&mut self, node: NodeId) -> bool {
        let was_peer = self.reach.remove_peer(node);
        self.execute();
        was_peer
    }

    /// Opens what this key seals from now on, besides what the present one does. Returns its name.
    ///
    /// # Errors
    /// Nothing has changed.
    pub fn add_key(&mut self, key: &ClusterKey) -> Result<u16, KeyChangeError> {
        self.keyring.add(key)
    }

    /// Seals with the key of this name from now on. The counters of packets go on.
    ///
    /// # Errors
    /// Nothing has changed.
    pub fn use_key(&mut self, name: u16) -> Result<(), KeyChangeError> {
        self.keyring.use_key(name)?;
        self.sealer.take_key(&self.keyring);
        Ok(())
    }

    /// Opens nothing any more that the key of this name seals.
    ///
    /// # Errors
    /// Nothing has changed.
    pub fn drop_key(&mut self, name: u16) -> Result<(), KeyChangeError> {
        self.keyring.drop_key(name)
    }

    /// Has another detection target from now on. To be called by all nodes, each in its own time:
    /// nobody is taken for dead because of that.
    ///
    /// All peers are told by a hello that is due at once, and again by each later one; whoever
    /// hears it speaks as often as the new target needs, whatever its own target. A *raised* target
    /// counts for the silence of peers at once. A *lowered* one counts once the old one has passed
    /// from now: until then peers may speak at their old pace, and are judged, measured and listed
    /// as heard by the old target, so that one that dies meanwhile is noticed as before. Hold-downs
    /// and questions that are under way end as they began.
    ///
    /// # Errors
    /// It is out of range; nothing has changed.
    pub fn set_detection(&mut self, now: Instant, target: Duration) -> Result<(), ConfigError> {
        if !(EndpointConfig::DETECTION_MIN..=EndpointConfig::DETECTION_MAX).contains(&target) {
            return Err(ConfigError::Detection(target));
        }
        self.reach.set_detection(now, target);
        Ok(())
    }

    /// Gives the links other priorities, in their order: traffic moves at the next
    /// [`Endpoint::handle_timeout`], which is due at once. A link without a new one keeps its own.
    pub fn set_priorities(&mut self, now: Instant, priorities: &[u8]) {
        self.reach.set_priorities(now, priorities);
    }
}
