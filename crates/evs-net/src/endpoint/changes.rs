//! What of an endpoint changes while it runs: its peers, its keys, and what is told of its paths.

use evs_model::{Instant, NodeId};

use super::{ConfigError, Endpoint, EndpointConfig, PathStatus, Place};
use crate::path::Path;
use crate::{ClusterKey, KeyChangeError};

impl Endpoint {
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
}

impl PathStatus {
    pub(super) fn new(path: &Path, now: Instant) -> Self {
        Self {
            up: path.up,
            heard_at: path.heard_at,
            heard_by_peer: path.lists_me,
            round_trip: path.round_trip,
            loss_ppm: path.health.loss_ppm,
            narrow: path.mtu.is_narrow() || path.health.choked,
            datagram_bytes_max: path.mtu.limit(),
            held_down: path.flaps.until.since(now),
        }
    }
}
