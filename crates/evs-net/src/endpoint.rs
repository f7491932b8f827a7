//! One node's end of the cluster's network, without the network.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use evs_model::{Instant, MEMBERS_MAX, Members, NodeId, Processor, Versions};
use thiserror::Error;

use crate::detection::Detection;
use crate::hello::{DETECTION_MS_MAX, DETECTION_MS_MIN, Hello};
use crate::keys::{KeyChangeError, Keyring, self_test};
use crate::mtu::Sizes;
use crate::path::{Tally, is_large};
use crate::peer::Session;
use crate::reach::{Action, PeerEvent, Place, Reach};
use crate::seal::{Audience, Cuts, Opener, SealError, SealMode, Sealer, Ticket};
use crate::wire::{CLUSTER_NAME_BYTES_MAX, DATAGRAM_BYTES_MAX, Header, Kind};
use crate::{Discard, EndpointStats, LINKS_MAX, LinkId, Links};

pub use status::{PathStatus, PeerStatus};

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
    /// Silence after which a peer is down, from 10 ms to 60 s; up to twice as long where hellos
    /// come late ([`Detection`]). Default of the daemon: 500 ms.
    pub detection: Duration,
    /// The size of the largest packets that the layer above sends, in bytes: this much is tried on
    /// every path, and what does not pass whole is cut.
    pub packet_bytes_max: usize,
    /// The links, 1 to [`LINKS_MAX`], the same on all nodes.
    pub links: Vec<LinkTerms>,
}

/// What is to be known of a link for choosing among several.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LinkTerms {
    /// Of two links without fault the one with the higher priority is used.
    pub priority: u8,
    /// What goes to all leaves once and reaches everybody on the link (multicast).
    pub shared: bool,
}

impl LinkTerms {
    /// Unicast, of priority 0.
    pub const PLAIN: Self = Self { priority: 0, shared: false };
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
        if !(1..=LINKS_MAX).contains(&self.links.len()) {
            return Err(ConfigError::Links(self.links.len()));
        }
        if let SealMode::Sealed(key) = &self.seal {
            self_test(key, &self.cluster).map_err(ConfigError::Key)?;
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
    /// The key is not to be used.
    #[error(transparent)]
    Key(KeyChangeError),
    /// No link, or too many.
    #[error("{0} links: there must be 1 to {LINKS_MAX}")]
    Links(usize),
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
    /// From where the datagrams of a path are counted.
    counted: u32,
    reach: Reach,
    stats: EndpointStats,
    outputs: VecDeque<EndpointOutput>,
}

/// An authentic, fresh ring packet of a processor that is heard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Incoming<'d> {
    /// Who sealed it.
    pub from: Processor,
    /// What it carries.
    pub payload: Cow<'d, [u8]>,
}

/// Where a hello goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destination {
    /// To all peers.
    All,
    /// To the peers whose ids lie in this range, ends included.
    Among(u32, u32),
    /// To the address of one peer.
    Node(NodeId),
    /// Back to the address from which the datagram came that was handled last. An incarnation that
    /// is not heard may stand anywhere, a second owner of a node id surely does.
    Source,
}

/// Effects, to be executed in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EndpointOutput {
    /// Send this datagram. It is sealed; it may be lost.
    Hello {
        /// On which link.
        link: LinkId,
        /// Where to.
        to: Destination,
        /// The whole datagram.
        datagram: Vec<u8>,
    },
    /// Whom this node hears from now on, without itself: the full set.
    Heard(Members),
    /// This node stood still for so long, until just now: others were not silent meanwhile (P36).
    Paused(Duration),
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
        let full = config.packet_bytes_max + keyring.common().overhead();
        let links = (config.links, Sizes::up_to(full.min(DATAGRAM_BYTES_MAX)));
        Self {
            me: config.me,
            sealer: Sealer::new(&keyring, config.me),
            counted: 0,
            keyring,
            reach: Reach::new(config.me, config.peers, links, config.detection, seed, now),
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

    /// Counts what leaves and comes on each path from this number on, which goes round: for
    /// simulations of what happens where it does. To be called at the start only.
    #[must_use]
    pub const fn with_traffic_counted(mut self, counted: u32) -> Self {
        self.counted = counted;
        self
    }

    /// Speaks these versions of the wire format, which all have the layout of this one: for tests
    /// and simulations of what adjacent versions do. To be called at the start only.
    #[must_use]
    pub fn with_versions(mut self, versions: Versions) -> Self {
        self.keyring.set_versions(versions);
        self.reach.set_versions(versions);
        self.sealer = Sealer::new(&self.keyring, self.me);
        self
    }

    /// The versions of the wire format that are understood, and the one in which this node speaks
    /// at present.
    #[must_use]
    pub const fn versions(&self) -> (Versions, u8) {
        (self.reach.versions(), self.sealer.version())
    }

    /// Takes one datagram that came on a link: checks the header and the counter, authenticates and
    /// decrypts it in place, and consumes it if it is a hello. Returns a ring packet of a processor
    /// that is heard.
    ///
    /// # Errors
    /// Why the datagram was dropped; already counted.
    pub fn handle_datagram<'d>(
        &mut self,
        now: Instant,
        link: LinkId,
        datagram: &'d mut [u8],
    ) -> Result<Option<Incoming<'d>>, Discard> {
        self.reach.advance(now);
        let result = self.receive(link, datagram);
        match &result {
            Ok(Some(_)) => self.stats.packets_received += 1,
            Ok(None) => self.sealer.set_version(self.reach.speaks()),
            Err(reason) => self.stats.count(*reason),
        }
        self.execute();
        result
    }

    /// The right to seal a payload for everybody who is heard, once for each link that leads to
    /// somebody: all must be used, each on its link. Nobody gets two of them, but on links that are
    /// shared, where the second is dropped.
    ///
    /// # Errors
    /// Every counter is used.
    pub fn copies_for_all(
        &mut self,
        bytes: usize,
    ) -> Result<impl Iterator<Item = Ticket> + use<>, SealError> {
        let links = self.reach.links_to_heard();
        let alone = links.len() == 1 || !self.reach.is_shared(links);
        let overhead = self.keyring.common().overhead();
        let cuts = self.reach.cuts_for_all(links, bytes, overhead);
        if alone {
            self.reach.count_sent(links, &cuts, bytes, overhead);
        } else {
            self.reach.count_copies(None, links, &cuts);
        }
        self.copies(links, None, alone, cuts)
    }

    /// The right to seal a payload for one peer, of which nobody else takes it; if it must not be
    /// lost, for two links where there are two: the second copy is dropped.
    ///
    /// # Errors
    /// Every counter is used.
    pub fn copies_for(
        &mut self,
        node: NodeId,
        bytes: usize,
        urgent: bool,
    ) -> Result<impl Iterator<Item = Ticket> + use<>, SealError> {
        let route = self.reach.route(node);
        let links = if urgent { route.twice() } else { Links::one(route.best()) };
        let overhead = self.keyring.common().overhead();
        let cuts = self.reach.cuts_for(node, links, bytes, overhead);
        if links.len() == 1 {
            self.reach.count_sent_to((node, route.best()), &cuts, bytes, overhead);
        } else {
            self.reach.count_copies(Some(node), links, &cuts);
        }
        self.copies(links, Some(node), false, cuts)
    }

    /// Whether what of data for all is for these goes to this node over this link.
    #[must_use]
    pub fn leads_to(&self, link: LinkId, audience: Audience, node: NodeId) -> bool {
        self.reach.route(node).best() == link
            && match audience {
                Audience::All => true,
                Audience::Wide => !self.reach.is_cut(link, node),
                Audience::Narrow => self.reach.is_cut(link, node),
            }
    }

    fn copies(
        &mut self,
        links: Links,
        to: Option<NodeId>,
        alone: bool,
        cuts: Cuts,
    ) -> Result<impl Iterator<Item = Ticket> + use<>, SealError> {
        let copies = self.sealer.copies_cut(links, to, alone, cuts);
        self.stats.seals_refused += u64::from(copies.is_err());
        copies
    }

    /// Appends one sealed datagram that carries a ring packet.
    ///
    /// # Errors
    /// The payload is too long; nothing was appended.
    pub fn seal(
        &mut self,
        ticket: Ticket,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        let result = self.sealer.seal(&ticket, Kind::Ring, payload, out);
        match result {
            Ok(()) if ticket.is_part() => self.stats.parts_sealed += 1,
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

    /// The network says that nobody listens where this peer should be. Anybody may say so: the peer
    /// is asked, several times in short order, and is down if it does not answer.
    pub fn handle_refused(&mut self, now: Instant, peer: NodeId) {
        self.reach.advance(now);
        self.reach.on_refused(peer);
        self.execute();
    }

    /// The kernel refused a datagram of so many bytes on a link (EMSGSIZE): its interface takes
    /// less. What is as long is cut there from now on, until it passes again.
    pub fn handle_too_long(&mut self, now: Instant, link: LinkId, bytes: usize) {
        self.reach.advance(now);
        self.reach.on_too_long(link, bytes);
        self.execute();
    }

    /// The kernel did not take datagrams for a peer on a link, or for all on it if none is named:
    /// so many of a safe size, and so many larger ones. That is a loss which needs no echo to be
    /// known; the next timeout, which is due at once, acts on it. (What is too long is none of
    /// them.)
    pub fn handle_unsent(
        &mut self,
        now: Instant,
        (link, peer): (LinkId, Option<NodeId>),
        (small, large): (u32, u32),
    ) {
        self.reach.advance(now);
        let unsent = Tally { all: small.saturating_add(large), large };
        self.reach.on_unsent(link, peer, unsent);
        self.execute();
    }

    /// The detection target in force, and why it is what it is.
    #[must_use]
    pub fn detection(&self) -> Detection {
        self.reach.detection()
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
        self.sealer.set_version(self.reach.speaks());
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
        let now = self.reach.now();
        self.reach.peers().iter().map(move |peer| {
            let (current, link) = (peer.current.as_ref(), peer.route.best());
            let paths = current.map_or_else(Vec::new, |session| {
                session.paths().iter().map(|path| PathStatus::new(path, now)).collect()
            });
            PeerStatus {
                node: peer.node,
                incarnation: current.map(|session| session.incarnation),
                heard: peer.up,
                heard_at: current.map(|session| session.heard_at),
                round_trip: current.and_then(|session| session.path(link).round_trip),
                link,
                paths,
            }
        })
    }

    fn receive<'d>(
        &mut self,
        link: LinkId,
        datagram: &'d mut [u8],
    ) -> Result<Option<Incoming<'d>>, Discard> {
        let header = Header::decode(datagram, self.keyring.common())?;
        if header.link != link || link.place() >= self.reach.links() {
            return Err(Discard::Link);
        }
        if header.is_for_another(self.me.node) {
            return Err(Discard::Misdirected);
        }
        if !self.keyring.knows(header.key) {
            return Err(Discard::Key);
        }
        let from = header.sender;
        if from == self.me {
            return Err(Discard::Own);
        }
        let Some(place) = self.reach.find(from.node) else {
            self.stats.stranger = Some(from.node);
            return Err(Discard::Stranger);
        };
        let large = is_large(datagram.len());
        let now = self.reach.now();
        let peer = self.reach.peer(place);
        let up = peer.hears(from.incarnation);
        let Some(session) = peer.session(from.incarnation) else {
            return self.receive_introduction(place, &header, datagram).map(|()| None);
        };
        session.check(&header)?;
        let payload = session.opener.open(&self.keyring, &header, datagram)?;
        session.accept(&header, now)?;
        let path = session.path_mut(link);
        let hello = match header.kind {
            Kind::Hello => Some(Hello::decode(payload).map_err(|_| Discard::BadHello)?),
            Kind::Ring | Kind::Part => None,
        };
        // Padded ones try what may not pass: that they get lost says nothing about the rest.
        if header.copies.count == 1 && hello.as_ref().is_none_or(|hello| !hello.full) {
            path.health.count_received(large);
        }
        match (header.kind, hello) {
            (Kind::Ring | Kind::Part, _) if !up => Err(Discard::NotHeard),
            (Kind::Part, _) => {
                self.stats.parts_received += 1;
                let packet = session.join(&header, payload);
                self.stats.packets_given_up += std::mem::take(&mut session.unfinished.given_up);
                let packet = packet?;
                self.stats.packets_joined += u64::from(packet.is_some());
                Ok(packet.map(|packet| Incoming { from, payload: Cow::Owned(packet) }))
            }
            (_, None) => Ok(Some(Incoming { from, payload: Cow::Borrowed(payload) })),
            (_, Some(hello)) => {
                self.stats.hellos_received += 1;
                self.reach.on_hello(place, from.incarnation, (link, header.counter), &hello);
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
        let mut opener = Opener::new(&self.keyring, header.sender);
        let payload = opener.open(&self.keyring, header, datagram)?;
        let (now, links) = (self.reach.now(), self.reach.links());
        let mut session = Session::new(header.sender.incarnation, opener, links, now);
        session.paths_mut().iter_mut().for_each(|path| path.health.count_from(self.counted));
        session.accept(header, now)?;
        let hello = Hello::decode(payload).map_err(|_| Discard::BadHello)?;
        self.reach.introduce(place, session, (header.link, header.counter), &hello)?;
        self.stats.hellos_received += 1;
        Ok(())
    }

    /// Seals the hellos that are due and puts all effects into the queue.
    fn execute(&mut self) {
        self.stats.pauses = self.reach.pauses();
        self.stats.strained = self.reach.strained();
        while let Some(action) = self.reach.poll_action() {
            let output = match action {
                Action::Say { link, to, hello, size } => {
                    let mut payload = Vec::new();
                    let padded = size.saturating_sub(self.keyring.common().overhead());
                    hello.encode(padded, &mut payload);
                    let mut datagram = Vec::new();
                    let whom = (link, hello.addressee());
                    if self.sealer.seal_one(whom, Kind::Hello, &payload, &mut datagram).is_err() {
                        self.stats.seals_refused += 1;
                        continue;
                    }
                    self.stats.hellos_sealed += 1;
                    EndpointOutput::Hello { link, to, datagram }
                }
                Action::Heard(heard) => EndpointOutput::Heard(heard),
                Action::Paused(pause) => EndpointOutput::Paused(pause),
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

/// Far above what one input can cause: a few for each peer, and the hellos.
const OUTPUTS_MAX: usize = 16 * LINKS_MAX * MEMBERS_MAX;

mod changes;
mod status;
#[cfg(test)]
mod tests;
