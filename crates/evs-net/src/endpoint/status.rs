//! What is known of peers and of the paths to them, for reports.

use std::time::Duration;

use evs_model::{Instant, NodeId};

use crate::LinkId;
use crate::hello::Losses;
use crate::path::Path;
use crate::peer::RoundTrip;

/// What is known of a peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerStatus {
    /// The node.
    pub node: NodeId,
    /// Its last verified incarnation.
    pub incarnation: Option<u64>,
    /// Whether that incarnation is heard.
    pub heard: bool,
    /// When anything authentic came from it last.
    pub heard_at: Option<Instant>,
    /// How far away it is, on the link that is used.
    pub round_trip: Option<RoundTrip>,
    /// The link on which data goes to it.
    pub link: LinkId,
    /// The path on each link, in order.
    pub paths: Vec<PathStatus>,
}

/// What is known of one of the paths to a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PathStatus {
    /// Both directions work.
    pub up: bool,
    /// When anything authentic came over it last: the direction from the peer.
    pub heard_at: Option<Instant>,
    /// Whether the peer says that it hears this node there: the other direction. It may be unable
    /// to say so if the first one is broken.
    pub heard_by_peer: bool,
    /// Datagrams that were meant for this incarnation of the peer.
    pub sent: u64,
    /// Authentic datagrams that came from it; of copies only the first counts.
    pub received: u64,
    /// How long there and back takes.
    pub round_trip: Option<RoundTrip>,
    /// What becomes of datagrams to the peer.
    pub to_peer: Losses,
    /// The same of those from the peer, by its latest word.
    pub from_peer: Losses,
    /// The longest datagram that is sent on it, in bytes.
    pub datagram_bytes_max: usize,
    /// It is held down for so long yet after it was lost again and again.
    pub held_down: Duration,
}

impl PathStatus {
    pub(super) fn new(path: &Path, now: Instant) -> Self {
        Self {
            up: path.up,
            heard_at: path.heard_at,
            heard_by_peer: path.lists_me,
            sent: path.health.departed,
            received: path.arrived,
            round_trip: path.round_trip,
            to_peer: path.losses(),
            from_peer: path.told,
            datagram_bytes_max: path.mtu.limit(),
            held_down: path.flaps.until.since(now),
        }
    }
}
