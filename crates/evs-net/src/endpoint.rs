//! One node's end of the cluster's network, without the network.

use std::collections::VecDeque;
use std::time::Duration;

use evs_model::{Instant, MEMBERS_MAX, Members, NodeId, Processor};
use thiserror::Error;

use crate::hello::{DETECTION_MS_MAX, DETECTION_MS_MIN, Hello};
use crate::peer::{RoundTrip, Session};
use crate::reach::{Action, PeerEvent, Place, Reach};
use crate::replay::Replay;
use crate::seal::{Keyring, SealError, SealMode, Sealer};
use crate::wire::{CLUSTER_NAME_BYTES_MAX, Header, Kind};
use crate::{Discard, EndpointStats};

/// Who this node is, whom it talks to, and how.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// This node and its incarnation, which must be drawn anew at every start
    /// ([`random_u64`](crate::random_u64)): the uniqueness of nonces rests on it.
    pub me: Processor,
    /// The other nodes of the cluster, in any order, without this one.
    pub peers: Vec<NodeId>,
    /// The cluster's name, of 1 to [`CLUSTER_NAME_BYTES_MAX`] bytes.
    pub cluster: String,
    /// The seal, the same on all nodes.
    pub seal: SealMode,
    /// Silence after which a peer is down, from 10 ms to 60 s. Default of the daemon: 1 s.
    pub detection: Duration,
    /// The size of the largest packets that the layer above sends as data, in bytes: who does not
    /// get packets of this size is not heard.
    pub packet_bytes_max: usize,
}

impl EndpointConfig {
    /// Shortest detection target.
    pub const DETECTION_MIN: Duration = Duration::from_millis(DETECTION_MS_MIN as u64);
    /// Longest detection target.
    pub const DETECTION_MAX: Duration = Duration::from_millis(DETECTION_MS_MAX as u64);
    /// Most peers: with this node they make one full configuration.
    pub const PEERS_MAX: usize = MEMBERS_MAX - 1;

    /// Checks every limit.
    ///
    /// # Errors
    /// The first limit that is not kept.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.cluster.is_empty() || self.cluster.len() > CLUSTER_NAME_BYTES_MAX {
            return Err(ConfigError::ClusterName(self.cluster.len()));
        }
        if self.peers.len() > Self::PEERS_MAX {
            return Err(ConfigError::TooManyPeers(self.peers.len()));
        }
        if !(Self::DETECTION_MIN..=Self::DETECTION_MAX).contains(&self.detection) {
            return Err(ConfigError::Detection(self.detection));
        }
        let mut nodes = self.peers.clone();
        nodes.push(self.me.node);
        nodes.sort_unstable();
        match nodes.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(ConfigError::NodeTwice(pair[0])),
            None => Ok(()),
        }
    }
}

/// What is wrong with an [`EndpointConfig`].
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ConfigError {
    /// The cluster's name is empty or too long.
    #[error("a cluster name of {0} bytes: it must have 1 to {CLUSTER_NAME_BYTES_MAX}")]
    ClusterName(usize),
    /// The detection target is out of range.
    #[error("a detection target of {0:?}: it must be 10 ms to 60 s")]
    Detection(Duration),
    /// A node is listed twice, or this node is among its own peers.
    #[error("node {0} is listed twice")]
    NodeTwice(NodeId),
    /// More peers than a configuration can hold.
    #[error("{0} peers, the limit is {max}", max = EndpointConfig::PEERS_MAX)]
    TooManyPeers(usize),
}

/// One node's end: seals what goes out, opens what comes in, knows who is heard.
///
/// Inputs are `handle_*` and `seal`; after each of them `poll_output` is drained to `None`. Time
/// is an argument; an older one is taken as the latest seen. Not shared between threads.
pub struct Endpoint {
    me: Processor,
    keyring: Keyring,
    sealer: Sealer,
    reach: Reach,
    packet_bytes_max: usize,
    stats: EndpointStats,
    outputs: VecDeque<EndpointOutput>,
}

/// An authentic, fresh ring packet of a processor that is heard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Incoming<'d> {
    /// Who sealed it.
    pub from: Processor,
    /// What it carries.
    pub payload: &'d [u8],
}

/// Where a hello goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destination {
    /// To all peers.
    All,
    /// Back to the address from which the datagram came that was handled last. An incarnation that
    /// is not heard may stand anywhere, a second owner of a node id surely does.
    Source,
}

/// Effects, to be executed in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EndpointOutput {
    /// Send this datagram. It is sealed; it may be lost.
    Hello {
        /// Where to.
        to: Destination,
        /// The whole datagram.
        datagram: Vec<u8>,
    },
    /// Whom this node hears from now on, without itself: the full set.
    Heard(Members),
    /// For the log and the trace; may be ignored.
    Peer(PeerEvent),
    /// Another living process bears this node's id. Told once, and again if the answer changes.
    DuplicateNode {
        /// The other process.
        incarnation: u64,
        /// This process is the one that must refuse loudly and stop; else it is the other.
        must_stop: bool,
    },
}

/// What is known of a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeerStatus {
    /// The node.
    pub node: NodeId,
    /// Its last verified incarnation.
    pub incarnation: Option<u64>,
    /// Whether that incarnation is heard.
    pub heard: bool,
    /// When anything authentic came from it last.
    pub heard_at: Option<Instant>,
    /// How far away it is.
    pub round_trip: Option<RoundTrip>,
}

impl Endpoint {
    /// An endpoint that hears nobody yet and says hello at its first timeout, which is due at once.
    ///
    /// `seed` gives the challenges; a daemon draws it with [`random_u64`](crate::random_u64).
    ///
    /// # Panics
    /// The configuration does not [`validate`](EndpointConfig::validate).
    #[must_use]
    pub fn new(config: EndpointConfig, seed: u64, now: Instant) -> Self {
        let valid = config.validate();
        assert!(valid.is_ok(), "the configuration was validated: {valid:?}");
        let keyring = Keyring::new(&config.seal, &config.cluster);
        Self {
            me: config.me,
            sealer: keyring.sealer(config.me),
            keyring,
            packet_bytes_max: config.packet_bytes_max,
            reach: Reach::new(config.me, config.peers, config.detection, seed, now),
            stats: EndpointStats::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Counts packets as if so many had been sent: for simulations of what happens where the
    /// counter nears its end. To be called at the start only, since no counter is used twice.
    #[must_use]
    pub const fn with_counters_used(mut self, used: u64) -> Self {
        self.sealer.set_used(used);
        self
    }

    /// Takes one datagram: checks the header, authenticates and decrypts it in place, checks its
    /// counter, and consumes it if it is a hello. Returns a ring packet of a processor that is
    /// heard.
    ///
    /// # Errors
    /// Why the datagram was dropped; already counted.
    pub fn handle_datagram<'d>(
        &mut self,
        now: Instant,
        datagram: &'d mut [u8],
    ) -> Result<Option<Incoming<'d>>, Discard> {
        self.reach.advance(now);
        let result = self.receive(datagram);
        match &result {
            Ok(Some(_)) => self.stats.packets_received += 1,
            Ok(None) => self.stats.hellos_received += 1,
            Err(reason) => self.stats.count(*reason),
        }
        self.execute();
        result
    }

    /// Appends one sealed datagram that carries a ring packet; the same bytes are for every peer.
    ///
    /// # Errors
    /// The payload is too long, or every counter is used; nothing was appended.
    pub fn seal(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let result = self.sealer.seal(Kind::Ring, payload, out);
        match result {
            Ok(()) => self.stats.packets_sealed += 1,
            Err(_) => self.stats.seals_refused += 1,
        }
        result
    }

    /// The layer above has found that small packets pass between this node and a peer, but data
    /// does not. The peer is taken down, and comes back when large packets pass both ways and its
    /// hold-down is over. Nothing happens if it is not heard.
    pub fn distrust(&mut self, peer: Processor) {
        self.reach.distrust(peer);
        self.execute();
    }

    /// How long the longest hold-down of a peer that is not heard still lasts.
    #[must_use]
    pub fn held_down_for(&self) -> Duration {
        self.reach.held_down_for()
    }

    /// Says hello where that is due, and judges silence. To be called after the receive queue was
    /// read, so that a pause of this process is not taken for one of its peers.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.reach.advance(now);
        self.reach.handle_timeout();
        self.execute();
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.reach.poll_timeout())
    }

    /// The next effect. To be drained to `None` after every input.
    pub fn poll_output(&mut self) -> Option<EndpointOutput> {
        self.outputs.pop_front()
    }

    /// How many things are held that come and go: incarnations of peers, challenges, and what is to
    /// be done. For tests and the simulator.
    #[must_use]
    pub fn held(&self) -> usize {
        self.outputs.len() + self.reach.held()
    }

    /// Counters since the start.
    #[must_use]
    pub const fn stats(&self) -> &EndpointStats {
        &self.stats
    }

    /// This processor.
    #[must_use]
    pub const fn me(&self) -> Processor {
        self.me
    }

    /// Whom this node hears now, without itself.
    #[must_use]
    pub const fn heard(&self) -> &Members {
        self.reach.heard()
    }

    /// Whether datagrams are sealed; else `seal = "none"`.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.keyring.common().sealed
    }

    /// What is known of each peer, ascending by node id.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> + '_ {
        self.reach.peers().iter().map(|peer| PeerStatus {
            node: peer.node,
            incarnation: peer.current.as_ref().map(|session| session.incarnation),
            heard: peer.up,
            heard_at: peer.current.as_ref().map(|session| session.heard_at),
            round_trip: peer.current.as_ref().and_then(|session| session.round_trip),
        })
    }

    fn receive<'d>(&mut self, datagram: &'d mut [u8]) -> Result<Option<Incoming<'d>>, Discard> {
        let header = Header::decode(datagram, self.keyring.common())?;
        let from = header.sender;
        if from == self.me {
            return Err(Discard::Own);
        }
        let place = self.reach.find(from.node).ok_or(Discard::Stranger)?;
        let now = self.reach.now();
        let peer = self.reach.peer(place);
        let up = peer.hears(from.incarnation);
        let Some(session) = peer.session(from.incarnation) else {
            return self.receive_introduction(place, &header, datagram).map(|()| None);
        };
        let payload = session.opener.open(&header, datagram)?;
        accept(session, header.counter)?;
        session.heard_at = now;
        match header.kind {
            Kind::Ring if up => Ok(Some(Incoming { from, payload })),
            Kind::Ring => Err(Discard::NotHeard),
            Kind::Hello => {
                let hello = Hello::decode(payload).map_err(|_| Discard::BadHello)?;
                self.reach.on_hello(place, from.incarnation, header.counter, &hello);
                Ok(None)
            }
        }
    }

    /// The first hello of an incarnation: the only thing for which a key is derived.
    fn receive_introduction(
        &mut self,
        place: Place,
        header: &Header,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        if header.kind != Kind::Hello {
            return Err(Discard::UnknownIncarnation);
        }
        let opener = self.keyring.opener(header.sender);
        let payload = opener.open(header, datagram)?;
        let mut session = Session::new(header.sender.incarnation, opener, self.reach.now());
        accept(&mut session, header.counter)?;
        let hello = Hello::decode(payload).map_err(|_| Discard::BadHello)?;
        self.reach.introduce(place, session, header.counter, &hello)
    }

    /// Seals the hellos that are due and puts all effects into the queue.
    fn execute(&mut self) {
        self.stats.pauses = self.reach.pauses();
        while let Some(action) = self.reach.poll_action() {
            let output = match action {
                Action::Say { to, hello } => {
                    let mut payload = Vec::new();
                    hello.encode(self.packet_bytes_max, &mut payload);
                    let mut datagram = Vec::new();
                    if self.sealer.seal(Kind::Hello, &payload, &mut datagram).is_err() {
                        self.stats.seals_refused += 1;
                        continue;
                    }
                    self.stats.hellos_sealed += 1;
                    EndpointOutput::Hello { to, datagram }
                }
                Action::Heard(heard) => EndpointOutput::Heard(heard),
                Action::Peer(event) => EndpointOutput::Peer(event),
                Action::Duplicate { incarnation, must_stop } => {
                    EndpointOutput::DuplicateNode { incarnation, must_stop }
                }
            };
            self.outputs.push_back(output);
        }
        assert!(self.outputs.len() <= OUTPUTS_MAX, "outputs are drained after every input");
    }
}

fn accept(session: &mut Session, counter: u64) -> Result<(), Discard> {
    session.window.accept(counter).map_err(|replay| match replay {
        Replay::Seen => Discard::Replayed,
        Replay::TooOld => Discard::TooOld,
    })
}

/// Far above what one input can cause: a few for each peer, and the hellos.
const OUTPUTS_MAX: usize = 16 * MEMBERS_MAX;

#[cfg(test)]
mod tests;
