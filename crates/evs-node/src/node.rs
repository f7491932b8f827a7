//! The driver: one service over one network.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use evs_model::{ClientId, Event, Group, Groups, Guarantee, Instant, MessageId, NodeId, Processor};
use evs_net::{
    ClusterKey, Detection, EndpointConfig, KeyChangeError, Link, LinkId, Net, NetConfig,
    NetConfigError, NetEvent, PeerError, PeerEvent, SealMode, random_u64,
};
use evs_service::{ClientLimits, ConnectError, RequestError, SendError, Service};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use totem::{Cause, Destination, Packet, StateKind};

use crate::batch::Batch;
use crate::{Clock, Store};

/// Most datagrams handled in one turn; then whoever else uses the thread has a turn.
const DATAGRAMS_PER_TURN: usize = 512;

/// So many turns in a row may leave datagrams unread before timers are looked after all the same:
/// a flood must not stop them.
const TURNS_CUT_SHORT_MAX: u32 = 8;

/// Most sockets of one network: with multicast each link has two.
pub const SOCKETS_MAX: usize = 2 * evs_net::LINKS_MAX;

/// What a node is.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// The cluster's name.
    pub cluster: String,
    /// The seal, the same on all nodes.
    pub seal: SealMode,
    /// A second key, of which what it seals is opened, too: while keys change.
    pub second_key: Option<ClusterKey>,
    /// Its own addresses and its peers', one entry for each link: 1 to 8, the same on all nodes.
    pub links: Vec<Link>,
    /// The limits of the service and of the ring.
    pub service: evs_service::Config,
    /// Where the ring sequence is stored; `None`: nowhere.
    pub state_dir: Option<PathBuf>,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A limit of the service or of the ring.
    #[error(transparent)]
    Service(#[from] evs_service::ConfigError),
    /// The nodes or their addresses.
    #[error(transparent)]
    Net(#[from] NetConfigError),
    /// The second key.
    #[error(transparent)]
    Key(#[from] KeyChangeError),
    /// The system refused a thread or a descriptor.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a node tells its owner, in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Another living process bears this node's id.
    DuplicateNode {
        /// The other process.
        incarnation: u64,
        /// This process is the one that must refuse loudly and stop; else it is the other.
        must_stop: bool,
    },
    /// As [`evs_service::Output::Left`].
    Left {
        /// How many accepted messages were not sent.
        dropped: u64,
    },
    /// The network's address on a link is in use now, or cannot be used and is tried again.
    Network {
        /// Which link.
        link: LinkId,
        /// The address, or what is wrong.
        result: Result<std::net::SocketAddr, String>,
    },
    /// A peer came or went; for the log.
    Peer(PeerEvent),
    /// As [`evs_service::Output::Room`].
    Room {
        /// Whose queue.
        client: ClientId,
        /// Bytes freed.
        bytes: usize,
    },
    /// As [`evs_service::Output::ToClient`].
    ToClient {
        /// Whose stream.
        client: ClientId,
        /// What it sees.
        event: Event,
    },
    /// As [`totem::Output::Transition`]; for the log.
    Transition {
        /// The state that ends.
        from: StateKind,
        /// The state that begins.
        to: StateKind,
        /// Why.
        cause: Cause,
    },
}

/// Counters of the driver since its start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Authentic packets that are no packets of the ring's protocol: a peer's defect.
    pub packets_undecodable: u64,
    /// Turns that left datagrams for the next one.
    pub turns_cut_short: u64,
}

/// One node. For one thread; no method waits for anything.
pub struct Node {
    service: Service,
    net: Net,
    store: Store,
    started: Instant,
    /// The latest time that was told.
    now: Instant,
    registry: Registry,
    first_token: Token,
    /// The network's sockets that are registered, and whether for writing too.
    registered: Option<(u64, bool)>,
    /// A socket has, or may have, datagrams.
    readable: bool,
    cut_short: u32,
    batch: Batch,
    scratch: Vec<u8>,
    outputs: VecDeque<Output>,
    stats: Stats,
}

impl Node {
    /// Starts a new incarnation of this node. The poll's tokens from `first_token` on, of which
    /// there are [`SOCKETS_MAX`], are the node's.
    ///
    /// An address that is not there yet is no error: the node is alone until it is.
    ///
    /// # Errors
    /// A mistake in the configuration, or the system refuses a thread or a descriptor.
    pub fn start(
        config: Config,
        clock: &Clock,
        registry: &Registry,
        first_token: Token,
    ) -> Result<Self, StartError> {
        config.service.validate()?;
        let now = clock.now();
        let me = Processor::new(config.node, random_u64());
        let endpoint = EndpointConfig {
            me,
            peers: peers(&config.links),
            cluster: config.cluster,
            seal: config.seal,
            detection: config.service.totem.detection,
            packet_bytes_max: config.service.totem.packet_bytes_max,
            links: config.links.iter().map(Link::terms).collect(),
        };
        let mut net = NetConfig::new(endpoint, config.links, random_u64());
        net.socket_buffer_bytes = socket_buffer_bytes(config.service.totem.window_bytes);
        let mut net = Net::open(net, now)?;
        if let Some(key) = &config.second_key {
            net.add_key(key)?;
        }
        let store = config.state_dir.as_deref().map_or_else(|| Ok(Store::none()), Store::open)?;
        let service = Service::new(config.service, me, store.stored(), random_u64(), now);
        Ok(Self {
            service,
            net,
            store,
            started: now,
            now,
            registry: registry.try_clone()?,
            first_token,
            registered: None,
            readable: true,
            cut_short: 0,
            batch: Batch::default(),
            scratch: Vec::new(),
            outputs: VecDeque::new(),
            stats: Stats::default(),
        })
    }

    /// One of the node's tokens is ready.
    pub fn handle_ready(&mut self, event: &mio::event::Event) {
        // An error is told by the next read or write.
        self.readable |= event.is_readable() || event.is_error();
        if event.is_writable() {
            self.net.flush();
        }
    }

    /// Reads the sockets until they are empty or the turn's budget is spent, and hands the packets
    /// over: data before the token that came with it, and what came behind the token after it.
    pub fn handle_io(&mut self, now: Instant) {
        if !self.readable {
            return;
        }
        let before = self.net.received();
        let mut drained = false;
        while !drained {
            let received = self.net.received() - before;
            let used = usize::try_from(received).unwrap_or(usize::MAX);
            let Some(budget) = DATAGRAMS_PER_TURN.checked_sub(used).filter(|left| *left > 0) else {
                break;
            };
            let (service, batch, stats) = (&mut self.service, &mut self.batch, &mut self.stats);
            drained = self.net.receive(now, budget, &mut |from, payload| {
                let Ok(packet) = Packet::decode(payload) else {
                    stats.packets_undecodable += 1;
                    return;
                };
                if let Some(packet) = batch.offer(from, packet) {
                    service.handle_packet(now, from, packet);
                }
            });
            self.handle_net_events(now);
        }
        for (from, packet) in self.batch.drain() {
            self.service.handle_packet(now, from, packet);
        }
        self.now = now;
        self.readable = !drained;
        if !drained {
            self.stats.turns_cut_short += 1;
        }
        self.pump();
    }

    /// Looks after the timers, unless the sockets still hold datagrams: what lies there is not
    /// late.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.readable && self.cut_short < TURNS_CUT_SHORT_MAX {
            self.cut_short += 1;
            return;
        }
        self.cut_short = 0;
        self.now = now;
        if self.net.poll_timeout().is_some_and(|due| due <= now) {
            self.net.handle_timeout(now);
            self.handle_net_events(now);
        }
        if self.service.poll_timeout().is_some_and(|due| due <= now) {
            self.service.handle_timeout(now);
        }
        self.pump();
    }

    /// The detection target in force, with the time that agreements take at present.
    #[must_use]
    pub fn detection(&self) -> Detection {
        let rotation = self.service.ring().stats().rotation_ns;
        self.net.endpoint().detection().with_rotation(Duration::from_nanos(rotation))
    }

    /// When [`Node::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.net.poll_timeout().into_iter().chain(self.service.poll_timeout()).min()
    }

    /// Whether [`Node::handle_io`] has something to do without any socket becoming ready.
    #[must_use]
    pub const fn has_work(&self) -> bool {
        self.readable
    }

    /// What is to be told, after any other call; drain it to `None`. Packets leave here too, ahead
    /// of what is told: the token does not wait for clients.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            self.pump();
        }
        self.outputs.pop_front()
    }

    /// This processor.
    #[must_use]
    pub const fn me(&self) -> Processor {
        self.net.endpoint().me()
    }

    /// When the node was started.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// The service: its ring, limits and counters.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// The network: its peers and counters.
    #[must_use]
    pub const fn net(&self) -> &Net {
        &self.net
    }

    /// Counters of the driver.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// Peers, keys and settings: as the methods of [`Net`] and [`Service`] with the same names.
impl Node {
    /// As [`Net::add_peer`].
    ///
    /// # Errors
    /// As there.
    pub fn add_peer(&mut self, node: NodeId, addresses: &[SocketAddr]) -> Result<(), PeerError> {
        self.net.add_peer(node, addresses)
    }

    /// As [`Net::remove_peer`].
    pub fn remove_peer(&mut self, now: Instant, node: NodeId) {
        self.net.remove_peer(node);
        self.handle_net_events(now);
    }

    /// Has another detection target from now on: as [`Net::set_detection`] and
    /// [`Service::set_detection`].
    ///
    /// # Errors
    /// It is out of the range of either; nothing has changed.
    pub fn set_detection(
        &mut self,
        now: Instant,
        target: Duration,
    ) -> Result<(), evs_service::ConfigError> {
        // Its range is within that of the network.
        self.service.set_detection(now, target)?;
        self.net.set_detection(now, target).expect("the ring's range is the narrower one");
        self.handle_net_events(now);
        Ok(())
    }

    /// Has another largest window from now on, as [`Service::set_window_bytes`], and asks the
    /// kernel for buffers that fit.
    ///
    /// # Errors
    /// As there.
    pub fn set_window_bytes(&mut self, bytes: u32) -> Result<(), evs_service::ConfigError> {
        self.service.set_window_bytes(bytes)?;
        self.net.set_socket_buffer_bytes(socket_buffer_bytes(bytes));
        Ok(())
    }

    /// As [`Net::set_priorities`].
    pub fn set_priorities(&mut self, now: Instant, priorities: &[u8]) {
        self.net.set_priorities(now, priorities);
    }

    /// As [`Service::set_message_bytes_max`].
    ///
    /// # Errors
    /// As there.
    pub fn set_message_bytes_max(&mut self, bytes: usize) -> Result<(), evs_service::ConfigError> {
        self.service.set_message_bytes_max(bytes)
    }

    /// As [`Net::add_key`].
    ///
    /// # Errors
    /// As there.
    pub fn add_key(&mut self, key: &ClusterKey) -> Result<u16, KeyChangeError> {
        self.net.add_key(key)
    }

    /// As [`Net::use_key`].
    ///
    /// # Errors
    /// As there.
    pub fn use_key(&mut self, name: u16) -> Result<(), KeyChangeError> {
        self.net.use_key(name)
    }

    /// As [`Net::drop_key`].
    ///
    /// # Errors
    /// As there.
    pub fn drop_key(&mut self, name: u16) -> Result<(), KeyChangeError> {
        self.net.drop_key(name)
    }
}

/// What clients ask for: as the methods of [`Service`] with the same names.
impl Node {
    /// As [`Service::connect`].
    ///
    /// # Errors
    /// As there.
    pub fn connect(&mut self, now: Instant) -> Result<ClientId, ConnectError> {
        self.service.connect(now)
    }

    /// As [`Service::disconnect`].
    pub fn disconnect(&mut self, now: Instant, client: ClientId) {
        self.service.disconnect(now, client);
    }

    /// As [`Service::join`].
    ///
    /// # Errors
    /// As there.
    pub fn join(
        &mut self,
        now: Instant,
        client: ClientId,
        groups: &[Group],
    ) -> Result<(), RequestError> {
        self.service.join(now, client, groups)
    }

    /// As [`Service::leave_groups`].
    ///
    /// # Errors
    /// As there.
    pub fn leave_groups(
        &mut self,
        now: Instant,
        client: ClientId,
        groups: &[Group],
    ) -> Result<(), RequestError> {
        self.service.leave_groups(now, client, groups)
    }

    /// As [`Service::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(
        &mut self,
        now: Instant,
        client: ClientId,
        guarantee: Guarantee,
        groups: Groups,
        body: Bytes,
    ) -> Result<MessageId, SendError> {
        self.service.send(now, client, guarantee, groups, body)
    }

    /// As [`Service::set_client_limits`].
    ///
    /// # Errors
    /// As there.
    pub fn set_client_limits(
        &mut self,
        limits: ClientLimits,
    ) -> Result<(), evs_service::ConfigError> {
        self.service.set_client_limits(limits)
    }

    /// As [`Service::leave`]; ends with [`Output::Left`].
    pub fn leave(&mut self, now: Instant) {
        self.service.leave(now);
    }
}

impl Node {
    fn handle_net_events(&mut self, now: Instant) {
        while let Some(event) = self.net.poll_event() {
            match event {
                NetEvent::Heard(heard) => self.service.handle_reachability(now, heard),
                NetEvent::Paused(pause) => self.service.handle_pause(now, pause),
                NetEvent::Peer(event) => self.outputs.push_back(Output::Peer(event)),
                NetEvent::DuplicateNode { incarnation, must_stop } => {
                    self.outputs.push_back(Output::DuplicateNode { incarnation, must_stop });
                }
                NetEvent::Opened(link, address) => {
                    self.readable = true;
                    self.outputs.push_back(Output::Network { link, result: Ok(address) });
                }
                NetEvent::NotOpen(link, error) => {
                    self.outputs.push_back(Output::Network { link, result: Err(error) });
                }
            }
        }
    }

    /// Carries out what the service wants; what is for the owner is kept for it.
    fn pump(&mut self) {
        while let Some(output) = self.service.poll_output() {
            let told = match output {
                evs_service::Output::Distrust(peer) => {
                    self.net.distrust(peer);
                    self.handle_net_events(self.now);
                    continue;
                }
                evs_service::Output::Persist(seq) => {
                    self.store.note(seq);
                    continue;
                }
                evs_service::Output::Transmit { to, packet } => {
                    self.transmit(to, &packet);
                    continue;
                }
                evs_service::Output::Left { dropped } => Output::Left { dropped },
                evs_service::Output::Room { client, bytes } => Output::Room { client, bytes },
                evs_service::Output::ToClient { client, event } => {
                    Output::ToClient { client, event }
                }
                evs_service::Output::Transition { from, to, cause } => {
                    Output::Transition { from, to, cause }
                }
            };
            self.outputs.push_back(told);
        }
        self.net.flush();
        self.watch_sockets();
    }

    fn transmit(&mut self, to: Destination, packet: &Packet) {
        self.scratch.clear();
        packet.encode(&mut self.scratch);
        match to {
            Destination::All => self.net.send_all(&self.scratch),
            Destination::Node(peer) => self.net.send_to(peer.node, &self.scratch),
        }
    }

    /// Keeps the poll's registrations in step with the network's sockets. They are watched for
    /// writing only while one is full, for otherwise every datagram sent would wake the poll.
    fn watch_sockets(&mut self) {
        let wanted = (self.net.generation(), self.net.is_blocked());
        if self.registered == Some(wanted) {
            return;
        }
        let is_new = self.registered.is_none_or(|(generation, _)| generation != wanted.0);
        let interest =
            if wanted.1 { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        for (i, socket) in self.net.sockets().take(SOCKETS_MAX).enumerate() {
            let token = Token(self.first_token.0 + i);
            let fd = socket.as_raw_fd();
            let mut source = SourceFd(&fd);
            // Of the sockets of a new generation some may have been there before.
            let is_known = !is_new || self.registry.register(&mut source, token, interest).is_err();
            let result = if !is_known {
                Ok(())
            } else {
                self.registry.reregister(&mut source, token, interest)
            };
            if let Err(error) = result {
                tracing::error!(%error, "a network socket cannot be polled");
            }
        }
        self.registered = Some(wanted);
    }
}

/// What follows the token of one rotation may come with what precedes that of the next.
const fn socket_buffer_bytes(window_bytes: u32) -> usize {
    2 * window_bytes as usize
}

/// Every node that has an address on any link.
fn peers(links: &[Link]) -> Vec<NodeId> {
    let nodes = links.iter().flat_map(|link| &link.peers).map(|(node, _)| *node);
    nodes.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests;
