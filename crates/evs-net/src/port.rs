//! One link at work: its sockets, and what waits to be sent over them.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use evs_model::{Instant, MEMBERS_MAX, NodeId};
use rustix::io::Errno;

use crate::NetStats;
use crate::batch::{Limits, PeerAddress, Run, SendQueue, Sent, Targets, To};
use crate::link::{Link, Transport, datagram_bytes_max};
use crate::path::is_large;
use crate::socket::Sockets;

/// One link at work.
pub(crate) struct Port {
    pub(crate) link: Link,
    /// In ring order, beginning after this node: who gets the token next gets data first.
    pub(crate) peers: Vec<PeerAddress>,
    pub(crate) sockets: Option<Sockets>,
    pub(crate) last_error: Option<String>,
    queue: SendQueue,
    /// What goes to one peer while a socket is busy: the token never waits behind queued data.
    urgent: SendQueue,
    pub(crate) stats: NetStats,
    socket_buffer_bytes: usize,
    blocked: bool,
    reports: Reports,
    open_at: Instant,
    rejoin_at: Instant,
}

impl Port {
    pub(crate) fn new(
        link: Link,
        me: NodeId,
        (queue_bytes_max, socket_buffer_bytes): (usize, usize),
        now: Instant,
    ) -> Self {
        let mut peers: Vec<_> = link
            .peers
            .iter()
            .map(|(node, address)| PeerAddress {
                node: *node,
                address: *address,
                heard: false,
                narrow: false,
            })
            .collect();
        peers.sort_by_key(|peer| (peer.node < me, peer.node));
        Self {
            link,
            peers,
            sockets: None,
            last_error: None,
            queue: SendQueue::new(queue_bytes_max),
            urgent: SendQueue::new(queue_bytes_max),
            stats: NetStats::default(),
            socket_buffer_bytes,
            blocked: false,
            reports: Reports::default(),
            open_at: now,
            rejoin_at: Instant::NEVER,
        }
    }

    /// Where a peer receives.
    pub(crate) fn address_of(&self, node: NodeId) -> Option<SocketAddr> {
        self.peers.iter().find(|peer| peer.node == node).map(|peer| peer.address)
    }

    pub(crate) fn set_address(&mut self, node: NodeId, address: SocketAddr) -> bool {
        let peer = self.peers.iter_mut().find(|peer| peer.node == node);
        let Some(peer) = peer.filter(|peer| peer.address.is_ipv4() == address.is_ipv4()) else {
            return false;
        };
        peer.address = address;
        true
    }

    /// Sends to this node, too.
    pub(crate) fn add_peer(&mut self, me: NodeId, node: NodeId, address: SocketAddr) {
        self.link.peers.push((node, address));
        self.peers.push(PeerAddress { node, address, heard: false, narrow: false });
        self.peers.sort_by_key(|peer| (peer.node < me, peer.node));
    }

    /// Sends to this node no more.
    pub(crate) fn remove_peer(&mut self, node: NodeId) {
        self.link.peers.retain(|(peer, _)| *peer != node);
        self.peers.retain(|peer| peer.node != node);
    }

    /// The receive buffer in force and that asked for, if it is smaller. The kernel counts what a
    /// datagram takes in its memory, and doubles all sizes for that.
    pub(crate) fn short_buffer(&self) -> Option<(usize, usize)> {
        let given = self.sockets.as_ref()?.sender().buffers().0 / 2;
        (given < self.socket_buffer_bytes).then_some((given, self.socket_buffer_bytes))
    }

    /// Has the kernel asked for other buffers.
    pub(crate) fn set_socket_buffer_bytes(&mut self, bytes: usize) {
        self.socket_buffer_bytes = bytes;
        if let Some(sockets) = &self.sockets {
            sockets.all().for_each(|socket| socket.enlarge_buffers(bytes));
        }
    }

    #[cfg(test)]
    pub(crate) const fn block(&mut self) {
        self.blocked = true;
    }

    pub(crate) const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Where a datagram is queued: behind the others, but ahead of those that wait for a busy
    /// socket if it is for one peer.
    pub(crate) const fn queue_for(&mut self, to: To) -> &mut SendQueue {
        match to {
            To::Address(_) if self.blocked => &mut self.urgent,
            To::Address(_) | To::Heard | To::Wide | To::Narrow | To::Everybody => &mut self.queue,
        }
    }

    /// Queues a datagram that is sealed already.
    pub(crate) fn push(&mut self, to: To, datagram: &[u8]) {
        let write = |bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(datagram);
            Ok::<_, std::convert::Infallible>(())
        };
        if self.queue_for(to).push(to, datagram.len(), write).is_none() {
            self.stats.queue_full += 1;
        }
    }

    /// The same, where one peer is, if that is known.
    pub(crate) fn push_to(&mut self, address: Option<SocketAddr>, datagram: &[u8]) {
        if let Some(address) = address {
            self.push(To::Address(address), datagram);
        }
    }

    /// The same, for each peer whose id is in this range.
    pub(crate) fn push_among(&mut self, ids: RangeInclusive<u32>, datagram: &[u8]) {
        for place in 0..self.peers.len() {
            let PeerAddress { node, address, .. } = self.peers[place];
            if ids.contains(&node.get()) {
                self.push(To::Address(address), datagram);
            }
        }
    }

    /// A call that receives failed.
    pub(crate) const fn note_failure(&mut self) {
        self.reports.pending = true;
    }

    /// The shortest datagram since the last call that was longer than the interface takes.
    pub(crate) const fn too_long(&mut self) -> Option<usize> {
        self.reports.too_long.take()
    }

    /// What the kernel did not take since the last call: for which peer, or `None` for the group;
    /// how many of a safe size, and how many larger ones.
    pub(crate) fn unsent(&mut self) -> Vec<(Option<NodeId>, (u32, u32))> {
        let unsent = std::mem::take(&mut self.reports.unsent);
        let group = self.sockets.as_ref().and_then(Sockets::group_address);
        let of = |(to, count): (SocketAddr, (u32, u32))| {
            let peer = self.peers.iter().find(|peer| peer.address == to);
            let whom = if group == Some(to) { None } else { Some(peer?.node) };
            Some((whom, count))
        };
        unsent.into_iter().filter_map(of).collect()
    }

    /// The peers at whose hosts nobody listens at some port, as the network says.
    pub(crate) fn refusals(&mut self) -> Vec<NodeId> {
        if !std::mem::take(&mut self.reports.pending) {
            return Vec::new();
        }
        let sender = self.sockets.as_ref().map(Sockets::sender);
        let hosts = std::iter::from_fn(|| sender?.refusal()).take(REFUSALS_MAX);
        let mut hosts: Vec<IpAddr> = hosts.collect();
        hosts.sort_unstable();
        hosts.dedup();
        let peers = self.peers.iter();
        peers.filter(|p| hosts.contains(&p.address.ip())).map(|p| p.node).collect()
    }

    /// Sends what is queued, in order, until the socket is busy; first what must not wait.
    pub(crate) fn flush(&mut self) {
        let Some(sockets) = &self.sockets else {
            self.stats.no_socket += (self.queue.len() + self.urgent.len()) as u64;
            self.queue.clear();
            self.urgent.clear();
            self.blocked = false;
            return;
        };
        let targets = Targets { peers: &self.peers, group: sockets.group_address() };
        let limits = Limits {
            datagrams: sockets.sender().segments_max(),
            segment: datagram_bytes_max(self.link.mtu, self.link.is_ipv6()),
        };
        let (stats, reports) = (&mut self.stats, &mut self.reports);
        let mut send =
            |to, bytes: &[u8], run: &Run| send_run(stats, reports, sockets, to, bytes, run);
        let all = self.urgent.flush(&targets, limits, &mut send)
            && self.queue.flush(&targets, limits, &mut send);
        self.blocked = !all;
        self.stats.blocked += u64::from(!all);
        self.stats.segments_max = sockets.sender().segments_max();
    }

    /// Opens the sockets if that is due. `None`: nothing to tell.
    pub(crate) fn open_if_due(&mut self, now: Instant) -> Option<Result<SocketAddr, String>> {
        if self.sockets.is_some() || now < self.open_at {
            return None;
        }
        match Sockets::open(&self.link, self.socket_buffer_bytes) {
            Ok(sockets) => {
                let (receive, send) = sockets.sender().buffers();
                self.stats.receive_buffer_bytes = receive;
                self.stats.send_buffer_bytes = send;
                if let Transport::Multicast(_) = self.link.transport {
                    self.rejoin_at = now + REJOIN_EVERY;
                }
                self.last_error = None;
                let local = sockets.local();
                self.sockets = Some(sockets);
                Some(Ok(local))
            }
            Err(error) => {
                self.stats.open_failures += 1;
                self.open_at = now + OPEN_EVERY;
                let error = error.to_string();
                let is_new = self.last_error.as_ref() != Some(&error);
                self.last_error = Some(error.clone());
                is_new.then_some(Err(error))
            }
        }
    }

    /// While nobody is heard on this link, the group may have been forgotten with an interface that
    /// went away.
    pub(crate) fn rejoin_if_due(&mut self, now: Instant, anybody_heard: bool) {
        if now < self.rejoin_at {
            return;
        }
        self.rejoin_at = now + REJOIN_EVERY;
        if anybody_heard {
            return;
        }
        if let Some(Err(_)) = self.sockets.as_ref().map(Sockets::rejoin) {
            self.stats.join_failures += 1;
        }
    }

    pub(crate) fn due(&self) -> Instant {
        let open = if self.sockets.is_none() { self.open_at } else { Instant::NEVER };
        open.min(self.rejoin_at)
    }
}

/// What the kernel had to say of what was sent.
#[derive(Default)]
struct Reports {
    /// A call failed: the network may have reported something.
    pending: bool,
    /// The shortest datagram that was longer than the interface takes.
    too_long: Option<usize>,
    /// What else was not taken, by where it was to go: how many of a safe size, how many larger.
    unsent: BTreeMap<SocketAddr, (u32, u32)>,
}

impl Reports {
    /// A datagram was not sent.
    fn note(&mut self, error: &io::Error, to: SocketAddr, bytes: usize) {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        if errno == Some(Errno::MSGSIZE) {
            self.too_long = Some(self.too_long.map_or(bytes, |shortest| shortest.min(bytes)));
        } else if self.unsent.len() < UNSENT_MAX || self.unsent.contains_key(&to) {
            let (small, large) = self.unsent.entry(to).or_default();
            *(if is_large(bytes) { large } else { small }) += 1;
        }
    }
}

fn send_run(
    stats: &mut NetStats,
    reports: &mut Reports,
    sockets: &Sockets,
    to: SocketAddr,
    bytes: &[u8],
    run: &Run,
) -> Sent {
    let mut result = send(stats, sockets, to, bytes, run.segment);
    if result.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
        // What another datagram has met may be reported here, once: this one has not been tried.
        reports.pending = true;
        result = send(stats, sockets, to, bytes, run.segment);
    }
    match result {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Sent::Busy,
        Err(error) if run.datagrams == 1 => {
            stats.send_failures.count(&error);
            reports.note(&error, to, bytes.len());
        }
        // Segmentation may be what the kernel did not like: one by one.
        Err(_) => {
            for datagram in bytes.chunks(run.segment) {
                if let Err(error) = send(stats, sockets, to, datagram, datagram.len()) {
                    stats.send_failures.count(&error);
                    reports.note(&error, to, datagram.len());
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

/// Hosts that are read of in one go.
const REFUSALS_MAX: usize = 256;
/// Destinations of which is known how much was not sent: all peers, and some that are none.
const UNSENT_MAX: usize = 2 * MEMBERS_MAX;
/// How often opening the sockets is tried.
const OPEN_EVERY: Duration = Duration::from_millis(500);
/// How often the multicast group is joined again while nobody is heard.
const REJOIN_EVERY: Duration = Duration::from_secs(5);
