//! One [`Endpoint`] over the UDP sockets of its [`Link`]s.
//!
//! Every method returns at once; nothing of the network is fatal. The event loop:
//! 1. registers [`Net::sockets`] for reading and writing with its poller, edge-triggered, and does
//!    so again whenever [`Net::generation`] has changed;
//! 2. waits until a socket is ready or [`Net::poll_timeout`] is due;
//! 3. calls [`Net::receive`] and drains [`Net::poll_event`], again and again until `receive`
//!    returns true (or its own limit is reached: then it does not sleep);
//! 4. calls [`Net::handle_timeout`] and drains [`Net::poll_event`];
//! 5. queues what is to be sent and calls [`Net::flush`], in any case: hellos wait there too.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use bytes::Bytes;
use evs_model::{Instant, Members, NodeId, Processor};
use thiserror::Error;

use crate::batch::To;
use crate::inbox::{Inbox, Received};
use crate::link::{Link, LinkError};
use crate::port::Port;
use crate::seal::{Audience, Ticket};
use crate::socket::Sockets;
use crate::versions::{Claim, Foreigners};
use crate::wire::{HEADER_LEN, SEAL_OVERHEAD};
use crate::{
    ClusterKey, ConfigError, Destination, Discard, Endpoint, EndpointConfig, EndpointOutput,
    Foreign, Incoming, KeyChangeError, LinkId, NetStats, PAYLOAD_BYTES_MAX, PeerEvent,
};

/// What a [`Net`] is made of.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Who talks to whom.
    pub endpoint: EndpointConfig,
    /// Over which addresses: one for each of the endpoint's links, in their order.
    pub links: Vec<Link>,
    /// For the challenges; drawn with [`random_u64`](crate::random_u64).
    pub seed: u64,
    /// Most bytes that wait for a busy socket (`send_queue_bytes_max`), for each link; what comes
    /// then is dropped.
    pub send_queue_bytes_max: usize,
    /// Kernel buffer to ask for, per socket and direction. The system may grant less.
    pub socket_buffer_bytes: usize,
}

impl NetConfig {
    /// With the default limits: 4 MiB of send queue, 4 MiB of kernel buffers.
    #[must_use]
    pub const fn new(endpoint: EndpointConfig, links: Vec<Link>, seed: u64) -> Self {
        Self { endpoint, links, seed, send_queue_bytes_max: 4 << 20, socket_buffer_bytes: 4 << 20 }
    }
}

/// Why there is no [`Net`]: a mistake of the operator. (That an address is not there yet is none.)
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum NetConfigError {
    /// About nodes and sealing.
    #[error(transparent)]
    Endpoint(#[from] ConfigError),
    /// About addresses.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The endpoint is to choose among another number of links.
    #[error("{0} links with addresses, and {1} to choose from")]
    Links(usize, usize),
    /// The send queue could not hold one datagram.
    #[error("a send queue of {0} bytes: send_queue_bytes_max must be 65000 at least")]
    SendQueue(usize),
}

/// Why a node does not become a peer.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum PeerError {
    /// About the node.
    #[error(transparent)]
    Node(#[from] ConfigError),
    /// About one of its addresses.
    #[error(transparent)]
    Address(#[from] LinkError),
    /// Too few addresses, or too many.
    #[error("{0} addresses for {1} links: there must be one for each")]
    Addresses(usize, usize),
}

/// What happened on the network besides ring packets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NetEvent {
    /// Whom this node hears from now on, without itself: the full set.
    Heard(Members),
    /// As [`EndpointOutput::Paused`].
    Paused(Duration),
    /// For the log.
    Peer(PeerEvent),
    /// Another living process bears this node's id.
    DuplicateNode {
        /// The other process.
        incarnation: u64,
        /// This process is the one that must refuse loudly and stop; else it is the other.
        must_stop: bool,
    },
    /// The sockets of a link are open at this address; they are new, see [`Net::generation`].
    Opened(LinkId, SocketAddr),
    /// The sockets of a link cannot be opened, for this reason; it is tried again twice a second,
    /// and told again if the reason changes.
    NotOpen(LinkId, String),
}

/// One node's network: an [`Endpoint`] and its sockets. For one thread.
pub struct Net {
    endpoint: Endpoint,
    /// One for each link.
    ports: Vec<Port>,
    generation: u64,
    inbox: Inbox,
    events: VecDeque<NetEvent>,
    received: u64,
    foreigners: Foreigners,
}

impl Net {
    /// Opens the sockets, or begins trying to: an address that is not there yet is no error.
    ///
    /// # Errors
    /// The configuration can never work.
    pub fn open(config: NetConfig, now: Instant) -> Result<Self, NetConfigError> {
        config.endpoint.validate()?;
        config.links.iter().try_for_each(Link::validate)?;
        if config.links.len() != config.endpoint.links.len() {
            let (addresses, choice) = (config.links.len(), config.endpoint.links.len());
            return Err(NetConfigError::Links(addresses, choice));
        }
        if config.send_queue_bytes_max < crate::DATAGRAM_BYTES_MAX {
            return Err(NetConfigError::SendQueue(config.send_queue_bytes_max));
        }
        let me = config.endpoint.me.node;
        let limits = (config.send_queue_bytes_max, config.socket_buffer_bytes);
        let ports = config.links.into_iter().map(|link| Port::new(link, me, limits, now));
        let mut net = Self {
            ports: ports.collect(),
            endpoint: Endpoint::new(config.endpoint, config.seed, now),
            generation: 0,
            inbox: Inbox::new(),
            events: VecDeque::new(),
            received: 0,
            foreigners: Foreigners::default(),
        };
        net.open_ports(now);
        Ok(net)
    }

    /// The sockets to watch: none while the address is not there.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let open = self.ports.iter().flat_map(|port| &port.sockets);
        open.flat_map(Sockets::all).map(crate::socket::Bound::fd)
    }

    /// Changes whenever [`sockets`](Self::sockets) returns new ones.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The address at which this node receives on a link, while its sockets are open.
    #[must_use]
    pub fn local_address(&self, link: LinkId) -> Option<SocketAddr> {
        self.ports.get(link.place())?.sockets.as_ref().map(Sockets::local)
    }

    /// What the kernel gave of the receive buffer that a link's sockets asked for, and how much
    /// they asked for, in bytes: if it gave less.
    #[must_use]
    pub fn short_buffer(&self, link: LinkId) -> Option<(usize, usize)> {
        self.ports.get(link.place())?.short_buffer()
    }

    /// Why sockets are not open, with the link whose they are.
    pub fn open_errors(&self) -> impl Iterator<Item = (LinkId, &str)> {
        let errors = self.ports.iter().enumerate();
        errors.filter_map(|(place, port)| Some((LinkId::at(place)?, port.last_error.as_deref()?)))
    }

    /// Hands up ring packets, until nothing is left (true), or about `budget` datagrams were
    /// handled, or something happened that is to be drained from [`poll_event`](Self::poll_event)
    /// first (false: call again before sleeping). A datagram counts whatever becomes of it.
    pub fn receive(
        &mut self,
        now: Instant,
        budget: usize,
        deliver: &mut dyn FnMut(Processor, Bytes),
    ) -> bool {
        // Before the echoes that tell what else became of what was sent.
        self.look_for_reports(now);
        for _ in 0..budget {
            if !self.events.is_empty() {
                return false;
            }
            let Some(Received { link, source, mut datagram }) = self.inbox.next(&mut self.ports)
            else {
                if self.inbox.is_drained() {
                    self.look_for_reports(now);
                    return self.events.is_empty();
                }
                continue;
            };
            self.received += 1;
            // The counters of the endpoint say what was dropped, and why.
            match self.endpoint.handle_datagram(now, link, datagram.bytes_mut()) {
                Ok(Some(Incoming { from, payload: Cow::Borrowed(payload) })) => {
                    let end = HEADER_LEN + payload.len();
                    deliver(from, datagram.part(HEADER_LEN..end));
                }
                Ok(Some(Incoming { from, payload: Cow::Owned(joined) })) => {
                    deliver(from, joined.into());
                }
                Err(Discard::Version) => {
                    if let Some(claim) = Claim::of(datagram.bytes_mut()) {
                        let peer = |node: &NodeId| self.endpoint.is_peer(*node);
                        self.foreigners.note(now, source, claim.version, claim.node.filter(peer));
                    }
                }
                Ok(None) | Err(_) => {}
            }
            self.execute(Some(source));
        }
        false
    }

    /// Queues a payload for every peer that is heard, on the link that leads to it. What cannot be
    /// queued is dropped and counted.
    pub fn send_all(&mut self, payload: &[u8]) {
        // Counted by the endpoint, if there are no counters left.
        let Ok(tickets) = self.endpoint.copies_for_all(payload.len()) else {
            return;
        };
        for ticket in tickets {
            let to = match ticket.audience() {
                Audience::All => To::Heard,
                Audience::Wide => To::Wide,
                Audience::Narrow => To::Narrow,
            };
            if !self.queue_payload(to, ticket, payload) {
                return;
            }
        }
    }

    /// Queues a payload for one peer, twice if there are two links that lead to it: what goes to
    /// one peer must not be lost. What cannot be queued is dropped and counted.
    pub fn send_to(&mut self, node: NodeId, payload: &[u8]) {
        let Ok(tickets) = self.endpoint.copies_for(node, payload.len(), true) else {
            return;
        };
        for ticket in tickets {
            let port = &mut self.ports[ticket.link().place()];
            match port.address_of(node) {
                Some(address) => {
                    if !self.queue_payload(To::Address(address), ticket, payload) {
                        return;
                    }
                }
                None => port.stats.no_address += 1,
            }
        }
    }

    /// Sends what is queued, in order, until a socket is busy: then the rest waits for the next
    /// call, which is due when the socket is writable. What is for one peer leaves ahead of what
    /// waits then: the token never waits behind queued data.
    pub fn flush(&mut self) {
        self.ports.iter_mut().for_each(Port::flush);
    }

    /// Whether a socket was busy at the last [`flush`](Self::flush), so that something waits for
    /// it to become writable.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.ports.iter().any(Port::is_blocked)
    }

    /// As [`Endpoint::distrust`]; the event that tells the new set is due at once.
    pub fn distrust(&mut self, peer: Processor) {
        self.endpoint.distrust(peer);
        self.execute(None);
    }

    /// Hellos, silence, and opening the sockets. To be called after [`receive`](Self::receive)
    /// found nothing more.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.open_ports(now);
        self.look_for_reports(now);
        self.endpoint.handle_timeout(now);
        self.execute(None);
        for (place, port) in self.ports.iter_mut().enumerate() {
            let is_up = |peer: crate::PeerStatus| peer.paths.get(place).is_some_and(|p| p.up);
            let anybody = now >= port.due() && self.endpoint.peers().any(is_up);
            port.rejoin_if_due(now, anybody);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout().into_iter().chain(self.ports.iter().map(Port::due)).min()
    }

    /// What happened; to be drained to `None` after every call.
    pub fn poll_event(&mut self) -> Option<NetEvent> {
        self.events.pop_front()
    }

    /// Counters since the start, of all links together.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        self.ports.iter().fold(NetStats::default(), |sum, port| sum.and(&port.stats))
    }

    /// Counters since the start, by link.
    pub fn link_stats(&self) -> impl Iterator<Item = &NetStats> {
        self.ports.iter().map(|port| &port.stats)
    }

    /// Datagrams received so far, whatever became of them.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Of whom datagrams come whose version this node does not speak. It is their own word, and
    /// nobody has checked it. A peer of which something authentic came since is not among them.
    pub fn foreign(&self) -> impl Iterator<Item = Foreign> {
        let heard_since = |note: &Foreign| {
            let node = note.node;
            let mut peers = self.endpoint.peers().filter(move |peer| Some(peer.node) == node);
            peers.any(|peer| peer.heard_at.is_some_and(|at| at >= note.at))
        };
        self.foreigners.iter().copied().filter(move |note| !heard_since(note))
    }

    /// As [`Endpoint::add_key`].
    ///
    /// # Errors
    /// As there.
    pub fn add_key(&mut self, key: &ClusterKey) -> Result<u16, KeyChangeError> {
        self.endpoint.add_key(key)
    }

    /// As [`Endpoint::use_key`].
    ///
    /// # Errors
    /// As there.
    pub fn use_key(&mut self, name: u16) -> Result<(), KeyChangeError> {
        self.endpoint.use_key(name)
    }

    /// As [`Endpoint::drop_key`].
    ///
    /// # Errors
    /// As there.
    pub fn drop_key(&mut self, name: u16) -> Result<(), KeyChangeError> {
        self.endpoint.drop_key(name)
    }

    /// What decides: who is heard, what was dropped and why.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The links it runs over.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.ports.iter().map(|port| &port.link)
    }

    /// Talks to this node from now on, at these addresses: one for each link.
    ///
    /// # Errors
    /// It is a peer already, there are as many as there can be, or the addresses are not those of
    /// the links; nothing has changed.
    pub fn add_peer(&mut self, node: NodeId, addresses: &[SocketAddr]) -> Result<(), PeerError> {
        if addresses.len() != self.ports.len() {
            return Err(PeerError::Addresses(addresses.len(), self.ports.len()));
        }
        for (port, address) in self.ports.iter().zip(addresses) {
            let mine = port.link.bind.ip();
            if address.is_ipv4() != mine.is_ipv4() {
                return Err(LinkError::Version(address.ip(), mine).into());
            }
        }
        self.endpoint.add_peer(node)?;
        let me = self.endpoint.me().node;
        for (port, address) in self.ports.iter_mut().zip(addresses) {
            port.add_peer(me, node, *address);
        }
        Ok(())
    }

    /// Talks to this node no more, and takes nothing from it. Returns whether it was a peer.
    pub fn remove_peer(&mut self, node: NodeId) -> bool {
        let was_peer = self.endpoint.remove_peer(node);
        self.ports.iter_mut().for_each(|port| port.remove_peer(node));
        self.foreigners.forget(node);
        self.execute(None);
        was_peer
    }

    /// A peer receives at another address of a link from now on. Returns whether there is such a
    /// peer.
    pub fn set_peer_address(&mut self, link: LinkId, node: NodeId, address: SocketAddr) -> bool {
        self.ports.get_mut(link.place()).is_some_and(|port| port.set_address(node, address))
    }

    /// As [`Endpoint::set_detection`].
    ///
    /// # Errors
    /// As there.
    pub fn set_detection(&mut self, now: Instant, target: Duration) -> Result<(), ConfigError> {
        self.endpoint.set_detection(now, target)
    }

    /// As [`Endpoint::set_priorities`].
    pub fn set_priorities(&mut self, now: Instant, priorities: &[u8]) {
        for (port, priority) in self.ports.iter_mut().zip(priorities) {
            port.link.priority = *priority;
        }
        self.endpoint.set_priorities(now, priorities);
    }

    /// Asks the kernel for buffers of another size, for each socket that is open and each that is
    /// opened later. See [`Net::short_buffer`] for what it gives.
    pub fn set_socket_buffer_bytes(&mut self, bytes: usize) {
        self.ports.iter_mut().for_each(|port| port.set_socket_buffer_bytes(bytes));
    }

    /// The network says that nobody listens at a peer's port: that is worth asking the peer. Or an
    /// interface takes no datagrams of some length, or none at all.
    fn look_for_reports(&mut self, now: Instant) {
        for (place, port) in self.ports.iter_mut().enumerate() {
            let Some(link) = LinkId::at(place) else { continue };
            if let Some(bytes) = port.too_long() {
                self.endpoint.handle_too_long(now, link, bytes);
            }
            for (peer, unsent) in port.unsent() {
                self.endpoint.handle_unsent(now, (link, peer), unsent);
            }
        }
        for place in 0..self.ports.len() {
            for node in self.ports[place].refusals() {
                self.endpoint.handle_refused(now, node);
            }
        }
        self.execute(None);
    }

    fn open_ports(&mut self, now: Instant) {
        for (place, port) in self.ports.iter_mut().enumerate() {
            let (Some(link), Some(result)) = (LinkId::at(place), port.open_if_due(now)) else {
                continue;
            };
            self.events.push_back(match result {
                Ok(local) => NetEvent::Opened(link, local),
                Err(error) => NetEvent::NotOpen(link, error),
            });
            self.generation += u64::from(port.sockets.is_some());
        }
    }

    /// Carries out what the endpoint wants; `source` is where the last datagram came from.
    fn execute(&mut self, source: Option<SocketAddr>) {
        let mut moved = false;
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                EndpointOutput::Hello { link, to, datagram } => {
                    let port = &mut self.ports[link.place()];
                    match to {
                        Destination::All => port.push(To::Everybody, &datagram),
                        Destination::Among(first, last) => port.push_among(first..=last, &datagram),
                        Destination::Node(node) => {
                            port.push_to(port.address_of(node), &datagram);
                        }
                        Destination::Source => port.push_to(source, &datagram),
                    }
                }
                EndpointOutput::Heard(heard) => {
                    moved = true;
                    self.events.push_back(NetEvent::Heard(heard));
                }
                EndpointOutput::Paused(pause) => {
                    self.events.push_back(NetEvent::Paused(pause));
                }
                EndpointOutput::Peer(event) => {
                    moved |= matches!(
                        event,
                        PeerEvent::Moved { .. } | PeerEvent::Mtu { .. } | PeerEvent::PathUp { .. }
                    );
                    self.events.push_back(NetEvent::Peer(event));
                }
                EndpointOutput::DuplicateNode { incarnation, must_stop } => {
                    self.events.push_back(NetEvent::DuplicateNode { incarnation, must_stop });
                }
            }
        }
        if moved {
            self.aim();
        }
    }

    /// Has data for all leave for each peer over one link, from now on: what is queued was meant
    /// for others.
    fn aim(&mut self) {
        self.flush();
        for (place, port) in self.ports.iter_mut().enumerate() {
            let Some(link) = LinkId::at(place) else { continue };
            for peer in &mut port.peers {
                let heard = self.endpoint.heard().find(peer.node).is_some();
                peer.heard = heard && self.endpoint.leads_to(link, Audience::All, peer.node);
                peer.narrow = self.endpoint.leads_to(link, Audience::Narrow, peer.node);
            }
        }
    }

    /// Returns whether the payload is one that can be sealed; the endpoint counts if not.
    fn queue_payload(&mut self, to: To, ticket: Ticket, payload: &[u8]) -> bool {
        let len = ticket.payload_bytes(payload.len()).min(PAYLOAD_BYTES_MAX) + SEAL_OVERHEAD;
        let (endpoint, port) = (&mut self.endpoint, &mut self.ports[ticket.link().place()]);
        let queue = port.queue_for(to);
        match queue.push(to, len, |bytes| endpoint.seal(ticket, payload, bytes)) {
            Some(result) => result.is_ok(),
            None => {
                port.stats.queue_full += 1;
                true
            }
        }
    }
}

#[cfg(test)]
mod tests;
