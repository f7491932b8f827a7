//! One [`Endpoint`] over the UDP sockets of one [`Link`].
//!
//! Every method returns at once; nothing of the network is fatal. The event loop:
//! 1. registers [`Net::sockets`] for reading and writing with its poller, edge-triggered, and does
//!    so again whenever [`Net::generation`] has changed;
//! 2. waits until a socket is ready or [`Net::poll_timeout`] is due;
//! 3. calls [`Net::receive`] and drains [`Net::poll_event`], again and again until `receive`
//!    returns true (or its own limit is reached: then it does not sleep);
//! 4. calls [`Net::handle_timeout`] and drains [`Net::poll_event`];
//! 5. queues what is to be sent and calls [`Net::flush`], in any case: hellos wait there too.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use bytes::Bytes;
use evs_model::{Instant, Members, NodeId, Processor};
use thiserror::Error;

use crate::batch::{Limits, PeerAddress, Run, SendQueue, Sent, Targets, To};
use crate::inbox::Inbox;
use crate::link::{Link, LinkError, Transport, datagram_bytes_max};
use crate::socket::Sockets;
use crate::wire::SEAL_OVERHEAD;
use crate::{
    ConfigError, Destination, Endpoint, EndpointConfig, EndpointOutput, PAYLOAD_BYTES_MAX,
    PeerEvent,
};

/// What a [`Net`] is made of.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Who talks to whom.
    pub endpoint: EndpointConfig,
    /// Over which addresses.
    pub link: Link,
    /// For the challenges; drawn with [`random_u64`](crate::random_u64).
    pub seed: u64,
    /// Most bytes that wait for a busy socket (`send_queue_bytes_max`); what comes then is dropped.
    pub send_queue_bytes_max: usize,
    /// Kernel buffer to ask for, per socket and direction. The system may grant less.
    pub socket_buffer_bytes: usize,
}

impl NetConfig {
    /// With the default limits: 4 MiB of send queue, 8 MiB of kernel buffers.
    #[must_use]
    pub const fn new(endpoint: EndpointConfig, link: Link, seed: u64) -> Self {
        Self { endpoint, link, seed, send_queue_bytes_max: 4 << 20, socket_buffer_bytes: 8 << 20 }
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
    /// The send queue could not hold one datagram.
    #[error("a send queue of {0} bytes: send_queue_bytes_max must be 65000 at least")]
    SendQueue(usize),
}

/// What happened on the network besides ring packets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NetEvent {
    /// Whom this node hears from now on, without itself: the full set.
    Heard(Members),
    /// For the log.
    Peer(PeerEvent),
    /// Another living process bears this node's id.
    DuplicateNode {
        /// The other process.
        incarnation: u64,
        /// This process is the one that must refuse loudly and stop; else it is the other.
        must_stop: bool,
    },
    /// The sockets are open at this address; they are new, see [`Net::generation`].
    Opened(SocketAddr),
    /// The sockets cannot be opened, for this reason; it is tried again twice a second, and told
    /// again if the reason changes.
    NotOpen(String),
}

/// Datagrams that the kernel did not take, by reason. They are lost; the protocol repeats them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SendFailures {
    /// No memory for them (ENOBUFS, ENOMEM).
    pub no_buffers: u64,
    /// A firewall (EPERM, EACCES).
    pub not_permitted: u64,
    /// Larger than the path takes (EMSGSIZE).
    pub too_large: u64,
    /// No way there, or none from this address (EHOSTUNREACH, ENETUNREACH, ENETDOWN,
    /// EADDRNOTAVAIL).
    pub unreachable: u64,
    /// Nobody listens there (ECONNREFUSED).
    pub refused: u64,
    /// Anything else.
    pub other: u64,
}

/// Counters of one [`Net`] since it began, and what the kernel granted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NetStats {
    /// Datagrams received, whatever became of them.
    pub datagrams_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Datagrams that the kernel took; one for three peers counts three times.
    pub datagrams_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// System calls that sent something.
    pub send_calls: u64,
    /// System calls that received something.
    pub receive_calls: u64,
    /// System calls for receiving that failed.
    pub receive_failures: u64,
    /// Datagrams that the kernel did not take.
    pub send_failures: SendFailures,
    /// Times that a socket was busy.
    pub blocked: u64,
    /// Datagrams dropped because the send queue was full.
    pub queue_full: u64,
    /// Datagrams dropped because no socket is open.
    pub no_socket: u64,
    /// Datagrams for a node that is no peer.
    pub no_address: u64,
    /// Times that the sockets could not be opened.
    pub open_failures: u64,
    /// Times that the multicast group could not be joined again.
    pub join_failures: u64,
    /// Most datagrams per system call of sending; 1 where the kernel or the interface cannot
    /// segment, for instance because the MTU of the link is above that of the interface.
    pub segments_max: usize,
    /// The kernel's receive buffer in force, in bytes.
    pub receive_buffer_bytes: usize,
    /// The kernel's send buffer in force, in bytes.
    pub send_buffer_bytes: usize,
}

/// One node's network: an [`Endpoint`] and its sockets. For one thread.
pub struct Net {
    endpoint: Endpoint,
    link: Link,
    /// In ring order, beginning after this node: who gets the token next gets data first.
    peers: Vec<PeerAddress>,
    socket_buffer_bytes: usize,
    sockets: Option<Sockets>,
    generation: u64,
    last_error: Option<String>,
    open_at: Instant,
    rejoin_at: Instant,
    inbox: Inbox,
    queue: SendQueue,
    blocked: bool,
    events: VecDeque<NetEvent>,
    stats: NetStats,
}

impl Net {
    /// Opens the sockets, or begins trying to: an address that is not there yet is no error.
    ///
    /// # Errors
    /// The configuration can never work.
    pub fn open(config: NetConfig, now: Instant) -> Result<Self, NetConfigError> {
        config.endpoint.validate()?;
        config.link.validate()?;
        if config.send_queue_bytes_max < crate::DATAGRAM_BYTES_MAX {
            return Err(NetConfigError::SendQueue(config.send_queue_bytes_max));
        }
        let me = config.endpoint.me.node;
        let mut peers: Vec<_> = config
            .link
            .peers
            .iter()
            .map(|(node, address)| PeerAddress { node: *node, address: *address, heard: false })
            .collect();
        peers.sort_by_key(|peer| (peer.node < me, peer.node));
        let mut net = Self {
            endpoint: Endpoint::new(config.endpoint, config.seed, now),
            link: config.link,
            peers,
            socket_buffer_bytes: config.socket_buffer_bytes,
            sockets: None,
            generation: 0,
            last_error: None,
            open_at: now,
            rejoin_at: Instant::NEVER,
            inbox: Inbox::new(),
            queue: SendQueue::new(config.send_queue_bytes_max),
            blocked: false,
            events: VecDeque::new(),
            stats: NetStats::default(),
        };
        net.try_open(now);
        Ok(net)
    }

    /// The sockets to watch: none while the address is not there.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().flat_map(Sockets::all).map(crate::socket::Bound::fd)
    }

    /// Changes whenever [`sockets`](Self::sockets) returns new ones.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The address at which this node receives, while the sockets are open.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.sockets.as_ref().map(Sockets::local)
    }

    /// Why the sockets are not open.
    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
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
        for _ in 0..budget {
            if !self.events.is_empty() {
                return false;
            }
            let Some(sockets) = &self.sockets else {
                return true;
            };
            let Some((source, datagram)) = self.inbox.next(sockets, &mut self.stats) else {
                if self.inbox.is_drained() {
                    return true;
                }
                continue;
            };
            // The counters of the endpoint say what was dropped, and why.
            if let Ok(Some(packet)) = self.endpoint.handle_datagram(now, datagram) {
                deliver(packet.from, Bytes::copy_from_slice(packet.payload));
            }
            self.execute(Some(source));
        }
        false
    }

    /// Queues a payload for every peer that is heard. What cannot be queued is dropped and counted.
    pub fn send_all(&mut self, payload: &[u8]) {
        self.queue_payload(To::Heard, payload);
    }

    /// Queues a payload for one peer. What cannot be queued is dropped and counted.
    pub fn send_to(&mut self, node: NodeId, payload: &[u8]) {
        match self.peers.iter().find(|peer| peer.node == node).map(|peer| peer.address) {
            Some(address) => self.queue_payload(To::Address(address), payload),
            None => self.stats.no_address += 1,
        }
    }

    /// Sends what is queued, in order, until a socket is busy: then the rest waits for the next
    /// call, which is due when the socket is writable.
    pub fn flush(&mut self) {
        let Some(sockets) = &self.sockets else {
            self.stats.no_socket += self.queue.len() as u64;
            self.queue.clear();
            self.blocked = false;
            return;
        };
        let targets = Targets { peers: &self.peers, group: sockets.group_address() };
        let limits = Limits {
            datagrams: sockets.sender().segments_max(),
            segment: datagram_bytes_max(self.link.mtu, self.link.is_ipv6()),
        };
        let stats = &mut self.stats;
        let all = self
            .queue
            .flush(&targets, limits, |to, bytes, run| send_run(stats, sockets, to, bytes, run));
        self.blocked = !all;
        self.stats.blocked += u64::from(!all);
        self.stats.segments_max = sockets.sender().segments_max();
    }

    /// Whether a socket was busy at the last [`flush`](Self::flush), so that something waits for
    /// it to become writable.
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// As [`Endpoint::distrust`]; the event that tells the new set is due at once.
    pub fn distrust(&mut self, peer: Processor) {
        self.endpoint.distrust(peer);
        self.execute(None);
    }

    /// Hellos, silence, and opening the sockets. To be called after [`receive`](Self::receive)
    /// found nothing more.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.sockets.is_none() && now >= self.open_at {
            self.try_open(now);
        }
        self.endpoint.handle_timeout(now);
        self.execute(None);
        if now >= self.rejoin_at {
            self.rejoin(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let open = self.sockets.is_none().then_some(self.open_at);
        self.endpoint.poll_timeout().into_iter().chain(open).chain([self.rejoin_at]).min()
    }

    /// What happened; to be drained to `None` after every call.
    pub fn poll_event(&mut self) -> Option<NetEvent> {
        self.events.pop_front()
    }

    /// Counters since the start.
    #[must_use]
    pub const fn stats(&self) -> &NetStats {
        &self.stats
    }

    /// What decides: who is heard, what was dropped and why.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The link it runs over.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// A peer receives at another address from now on. Returns whether there is such a peer.
    pub fn set_peer_address(&mut self, node: NodeId, address: SocketAddr) -> bool {
        let peer = self.peers.iter_mut().find(|peer| peer.node == node);
        let Some(peer) = peer.filter(|peer| peer.address.is_ipv4() == address.is_ipv4()) else {
            return false;
        };
        peer.address = address;
        true
    }

    fn try_open(&mut self, now: Instant) {
        match Sockets::open(&self.link, self.socket_buffer_bytes) {
            Ok(sockets) => {
                let (receive, send) = sockets.sender().buffers();
                self.stats.receive_buffer_bytes = receive;
                self.stats.send_buffer_bytes = send;
                if let Transport::Multicast(_) = self.link.transport {
                    self.rejoin_at = now + REJOIN_EVERY;
                }
                self.generation += 1;
                self.last_error = None;
                self.events.push_back(NetEvent::Opened(sockets.local()));
                self.sockets = Some(sockets);
            }
            Err(error) => {
                self.stats.open_failures += 1;
                self.open_at = now + OPEN_EVERY;
                let error = error.to_string();
                if self.last_error.as_ref() != Some(&error) {
                    self.last_error = Some(error.clone());
                    self.events.push_back(NetEvent::NotOpen(error));
                }
            }
        }
    }

    /// While nobody is heard, the group may have been forgotten with an interface that went away.
    fn rejoin(&mut self, now: Instant) {
        self.rejoin_at = now + REJOIN_EVERY;
        if !self.endpoint.heard().is_empty() {
            return;
        }
        if let Some(Err(_)) = self.sockets.as_ref().map(Sockets::rejoin) {
            self.stats.join_failures += 1;
        }
    }

    /// Carries out what the endpoint wants; `source` is where the last datagram came from.
    fn execute(&mut self, source: Option<SocketAddr>) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                EndpointOutput::Hello { to, datagram } => {
                    let to = match (to, source) {
                        (Destination::All, _) => To::Everybody,
                        (Destination::Source, Some(source)) => To::Address(source),
                        (Destination::Source, None) => continue,
                    };
                    let write = |bytes: &mut Vec<u8>| {
                        bytes.extend_from_slice(&datagram);
                        Ok::<_, std::convert::Infallible>(())
                    };
                    if self.queue.push(to, datagram.len(), write).is_none() {
                        self.stats.queue_full += 1;
                    }
                }
                EndpointOutput::Heard(heard) => {
                    for peer in &mut self.peers {
                        peer.heard = heard.find(peer.node).is_some();
                    }
                    self.events.push_back(NetEvent::Heard(heard));
                }
                EndpointOutput::Peer(event) => self.events.push_back(NetEvent::Peer(event)),
                EndpointOutput::DuplicateNode { incarnation, must_stop } => {
                    self.events.push_back(NetEvent::DuplicateNode { incarnation, must_stop });
                }
            }
        }
    }

    fn queue_payload(&mut self, to: To, payload: &[u8]) {
        let len = payload.len().min(PAYLOAD_BYTES_MAX) + SEAL_OVERHEAD;
        let endpoint = &mut self.endpoint;
        // A payload that cannot be sealed is counted by the endpoint.
        if self.queue.push(to, len, |bytes| endpoint.seal(payload, bytes)).is_none() {
            self.stats.queue_full += 1;
        }
    }
}

fn send_run(
    stats: &mut NetStats,
    sockets: &Sockets,
    to: SocketAddr,
    bytes: &[u8],
    run: &Run,
) -> Sent {
    match send(stats, sockets, to, bytes, run.segment) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Sent::Busy,
        Err(error) if run.datagrams == 1 => stats.send_failures.count(&error),
        // Segmentation may be what the kernel did not like: one by one.
        Err(_) => {
            for datagram in bytes.chunks(run.segment) {
                if let Err(error) = send(stats, sockets, to, datagram, datagram.len()) {
                    stats.send_failures.count(&error);
                }
            }
        }
    }
    Sent::Done
}

fn send(
    stats: &mut NetStats,
    sockets: &Sockets,
    to: SocketAddr,
    bytes: &[u8],
    segment: usize,
) -> io::Result<()> {
    sockets.sender().send(to, bytes, segment)?;
    stats.send_calls += 1;
    stats.datagrams_sent += bytes.len().div_ceil(segment) as u64;
    stats.bytes_sent += bytes.len() as u64;
    Ok(())
}

impl SendFailures {
    fn count(&mut self, error: &io::Error) {
        use rustix::io::Errno;
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        let counter = match errno {
            Some(Errno::NOBUFS | Errno::NOMEM | Errno::AGAIN) => &mut self.no_buffers,
            Some(Errno::PERM | Errno::ACCESS) => &mut self.not_permitted,
            Some(Errno::MSGSIZE) => &mut self.too_large,
            Some(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::NETDOWN | Errno::ADDRNOTAVAIL) => {
                &mut self.unreachable
            }
            Some(Errno::CONNREFUSED) => &mut self.refused,
            _ => &mut self.other,
        };
        *counter += 1;
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.no_buffers
            + self.not_permitted
            + self.too_large
            + self.unreachable
            + self.refused
            + self.other
    }
}

/// How often opening the sockets is tried.
const OPEN_EVERY: Duration = Duration::from_millis(500);
/// How often the multicast group is joined again while nobody is heard.
const REJOIN_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
