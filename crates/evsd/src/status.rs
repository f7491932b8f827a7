//! The status report: one JSON object with a version.
//!
//! Responsible for: its fields. Adding one is no new version; `schema` changes when a field
//! changes its meaning or goes.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use evs_config::LinkSettings;
use evs_model::{Instant, Members, NodeId, Processor};
use evs_net::{LinkId, PeerStatus, ip_packet_bytes};
use evs_node::Node;
use serde::Serialize;

use crate::agreement::Agreement;
use crate::clients::{ClientStatus, Clients, ClientsStats};
use crate::config::{Config, Limits, Transport};
use crate::flight::Flight;
use crate::foreign::{ForeignNode, Spoken};
use crate::privileges::Privileges;
use crate::questions::key_name;
use crate::units::{micros, millis};
use crate::watch::Watch;

/// The version of the report.
pub(crate) const SCHEMA: u32 = 1;

/// Most clients that the report lists one by one (`status_clients_max`).
pub(crate) const STATUS_CLIENTS_MAX: usize = 1024;

/// Where the report comes from.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    /// The time of the report.
    pub(crate) now: Instant,
    /// The configuration in force.
    pub(crate) config: &'a Config,
    /// The node.
    pub(crate) node: &'a Node,
    /// Its clients.
    pub(crate) clients: &'a Clients,
    /// `forming`, `serving` or `leaving`.
    pub(crate) phase: &'static str,
    /// What the system gave and refused.
    pub(crate) privileges: &'a Privileges,
    /// Log lines dropped so far.
    pub(crate) log_lines_lost: usize,
    /// The flight recorder.
    pub(crate) flight: &'a Flight,
    /// Why the configuration file does not say what is in force of `[cluster]`.
    pub(crate) cluster_unwritten: Option<&'a str>,
    /// What is known of the others' sections `[cluster]`.
    pub(crate) agreement: &'a Agreement,
    /// The signs of trouble.
    pub(crate) watch: &'a Watch,
    /// Why the key file does not say what is in force.
    pub(crate) keys_unwritten: Option<&'a str>,
    /// Messages of other daemons that made no sense.
    pub(crate) tellings_malformed: u64,
}

/// Writes the report.
#[must_use]
pub(crate) fn report(sources: &Sources<'_>) -> String {
    let report = Report::new(sources);
    // Nothing in it can fail to be written: keys are texts and numbers are whole.
    serde_json::to_string(&report).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    version: &'static str,
    uptime_ms: u64,
    phase: &'static str,
    cluster: &'a str,
    /// How often the section `[cluster]` was changed while the cluster ran.
    cluster_version: u64,
    processor: Identity,
    address: String,
    seal: &'static str,
    /// The names of the keys, the one that seals first.
    keys: Vec<String>,
    /// The versions of the wire format, and of the protocol with clients.
    wire: Spoken,
    ipc: Spoken,
    foreign_versions: Vec<ForeignNode>,
    transport: &'static str,
    ring: Ring,
    last_change: Option<LastChange<'a>>,
    links: Vec<Link>,
    peers: Vec<Peer>,
    counters: Counters,
    clients: ClientList<'a>,
    limits: ReportedLimits,
    privileges: &'a Privileges,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Identity {
    node: u32,
    /// In hexadecimal: many readers of JSON cannot hold 64 bits in a number.
    incarnation: String,
}

#[derive(Serialize)]
struct RingName {
    seq: u64,
    rep: Identity,
    /// As it stands in logs.
    text: String,
}

#[derive(Serialize)]
struct Ring {
    state: String,
    /// The configuration in force; `null` before the first.
    id: Option<RingName>,
    members: Vec<Identity>,
    detection_ms: u64,
    detection_effective_ms: u64,
    /// How late hellos came and left, at the worst of late.
    hellos_late_us: u64,
    own_hellos_late_us: u64,
    rotation_us: u64,
    backlog_packets: usize,
}

#[derive(Serialize)]
struct Peer {
    node: u32,
    address: Option<String>,
    heard: bool,
    incarnation: Option<String>,
    last_heard_ms: Option<u64>,
    round_trip_us: Option<RoundTrip>,
    /// The link that data takes.
    link: u8,
    paths: Vec<Path>,
}

/// The path to a peer on one link.
#[derive(Serialize)]
struct Path {
    link: usize,
    address: Option<String>,
    up: bool,
    /// From the peer: how long ago anything came.
    last_heard_ms: Option<u64>,
    /// To the peer: whether it says that it hears this node there.
    heard_by_peer: bool,
    datagrams_sent: u64,
    datagrams_received: u64,
    round_trip_us: Option<RoundTrip>,
    /// Of what is sent to the peer.
    loss_ppm: u32,
    /// Large packets to the peer get lost, and are cut.
    narrow: bool,
    /// The same of what the peer sends, by its word.
    loss_from_peer_ppm: u32,
    narrow_from_peer: bool,
    /// The largest IP packet that is sent to the peer here.
    mtu_bytes: usize,
    held_down_ms: u64,
}

#[derive(Serialize)]
struct Link {
    address: Option<String>,
    transport: &'static str,
    mtu_bytes: u16,
    priority: u8,
    error: Option<String>,
    counters: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct RoundTrip {
    latest: u64,
    minimum: u64,
    smoothed: u64,
    deviation: u64,
}

#[derive(Serialize)]
struct Counters {
    net: BTreeMap<&'static str, u64>,
    net_discards: BTreeMap<&'static str, u64>,
    ring: BTreeMap<&'static str, u64>,
    ring_discards: BTreeMap<&'static str, u64>,
    service: BTreeMap<&'static str, u64>,
    node: BTreeMap<&'static str, u64>,
    clients: ClientsStats,
    log_lines_lost: usize,
    records_lost: u64,
    tellings_malformed: u64,
}

/// The change that led to the configuration in force.
#[derive(Serialize)]
struct LastChange<'a> {
    change: u64,
    at: &'a str,
    why: String,
}

#[derive(Serialize)]
struct ClientList<'a> {
    connected: usize,
    /// The first [`STATUS_CLIENTS_MAX`] of them.
    list: Vec<ClientStatus<'a>>,
}

#[derive(Serialize)]
struct ReportedLimits {
    message_bytes_max: u32,
    packet_bytes_max: usize,
    #[serde(flatten)]
    local: Limits,
}

impl<'a> Report<'a> {
    fn new(sources: &Sources<'a>) -> Self {
        let Sources { now, config, node, clients, phase, .. } = *sources;
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            uptime_ms: millis(now.since(node.started())),
            phase,
            cluster: &config.cluster.name,
            cluster_version: config.cluster.version,
            processor: node.me().into(),
            address: config.address().to_string(),
            seal: if node.net().endpoint().is_sealed() { "aead" } else { "none" },
            keys: node.net().endpoint().keys().into_iter().map(key_name).collect(),
            wire: Spoken::wire(node),
            ipc: Spoken::of(evs_ipc::spoken()),
            foreign_versions: crate::foreign::nodes(now, node),
            transport: transport(config.cluster.links[0].transport),
            ring: Ring::new(node),
            last_change: sources.flight.latest().map(|change| LastChange {
                change: change.change,
                at: &change.at,
                why: evs_report::headline_of(&change.trigger),
            }),
            links: links(config, node),
            peers: peers(now, config, node),
            counters: Counters::new(sources),
            clients: ClientList {
                connected: clients.len(),
                list: clients.status(node).take(STATUS_CLIENTS_MAX).collect(),
            },
            limits: ReportedLimits {
                message_bytes_max: config.cluster.message_bytes_max,
                packet_bytes_max: node.service().config().totem.packet_bytes_max,
                local: config.local.limits,
            },
            privileges: sources.privileges,
            warnings: warnings(sources),
        }
    }
}

impl Ring {
    fn new(node: &Node) -> Self {
        let ring = node.service().ring();
        let detection = node.detection();
        Self {
            state: ring.state().to_string(),
            id: ring.ring_id().map(|id| RingName {
                seq: id.seq,
                rep: id.rep.into(),
                text: id.to_string(),
            }),
            members: ring.members().map_or_else(Vec::new, identities),
            detection_ms: millis(detection.target),
            detection_effective_ms: millis(detection.effective),
            hellos_late_us: micros(detection.late),
            own_hellos_late_us: micros(detection.own_late),
            rotation_us: ring.stats().rotation_ns / 1000,
            backlog_packets: ring.backlog(),
        }
    }
}

impl Counters {
    fn new(sources: &Sources<'_>) -> Self {
        let Sources { node, clients, log_lines_lost, .. } = *sources;
        let endpoint = node.net().endpoint().stats();
        let ring = node.service().ring().stats();
        let service = node.service().stats();
        Self {
            net: [
                ("packets_received", endpoint.packets_received),
                ("packets_sealed", endpoint.packets_sealed),
                ("hellos_received", endpoint.hellos_received),
                ("parts_sealed", endpoint.parts_sealed),
                ("parts_received", endpoint.parts_received),
                ("packets_joined", endpoint.packets_joined),
                ("packets_given_up", endpoint.packets_given_up),
                ("hellos_sealed", endpoint.hellos_sealed),
                ("pauses", endpoint.pauses),
                ("detection_strained", endpoint.strained),
            ]
            .into(),
            net_discards: endpoint.discards().map(|(why, count)| (why.name(), count)).collect(),
            ring: [
                ("tokens", ring.tokens),
                ("token_retransmits", ring.token_retransmits),
                ("packets_originated", ring.originated),
                ("bytes_originated", ring.originated_bytes),
                ("packets_retransmitted", ring.retransmits),
                ("peers_found_deaf", ring.distrusts),
                ("packets_requested", ring.requested),
                ("packets_recovered", ring.recovered),
                ("configurations", ring.installs),
                ("gathers", ring.gathers),
            ]
            .into(),
            ring_discards: totem::Discard::ALL
                .into_iter()
                .map(|why| (why.name(), ring.discards(why)))
                .collect(),
            service: [
                ("messages_accepted", service.messages_accepted),
                ("messages_sent", service.messages_sent),
                ("messages_restarted", service.messages_restarted),
                ("messages_dropped", service.messages_dropped),
                ("messages_delivered", service.messages_delivered),
                ("copies_delivered", service.copies_delivered),
                ("packets_submitted", service.packets_submitted),
                ("records_malformed", service.records_malformed),
                ("fragments_dropped", service.fragments_dropped),
            ]
            .into(),
            node: [
                ("packets_undecodable", node.stats().packets_undecodable),
                ("turns_cut_short", node.stats().turns_cut_short),
            ]
            .into(),
            clients: *clients.stats(),
            log_lines_lost,
            records_lost: sources.flight.lost(),
            tellings_malformed: sources.tellings_malformed,
        }
    }
}

impl From<Processor> for Identity {
    fn from(processor: Processor) -> Self {
        Self { node: processor.node.get(), incarnation: format!("{:016x}", processor.incarnation) }
    }
}

fn identities(members: &Members) -> Vec<Identity> {
    members.iter().map(Identity::from).collect()
}

fn peers(now: Instant, config: &Config, node: &Node) -> Vec<Peer> {
    let peers = node.net().endpoint().peers();
    peers
        .map(|peer| Peer {
            node: peer.node.get(),
            address: config.cluster.nodes().get(&peer.node).map(ToString::to_string),
            heard: peer.heard,
            incarnation: peer.incarnation.map(|incarnation| format!("{incarnation:016x}")),
            last_heard_ms: peer.heard_at.map(|at| millis(now.since(at))),
            round_trip_us: peer.round_trip.map(RoundTrip::from),
            link: peer.link.get(),
            paths: paths(now, config, &peer),
        })
        .collect()
}

impl From<evs_net::RoundTrip> for RoundTrip {
    fn from(trip: evs_net::RoundTrip) -> Self {
        Self {
            latest: micros(trip.latest),
            minimum: micros(trip.minimum),
            smoothed: micros(trip.smoothed),
            deviation: micros(trip.deviation),
        }
    }
}

fn paths(now: Instant, config: &Config, peer: &PeerStatus) -> Vec<Path> {
    let places = peer.paths.iter().zip(&config.cluster.links).enumerate();
    places
        .map(|(link, (path, settings))| Path {
            link,
            address: settings.addresses.get(&peer.node).map(ToString::to_string),
            up: path.up,
            last_heard_ms: path.heard_at.map(|at| millis(now.since(at))),
            heard_by_peer: path.heard_by_peer,
            datagrams_sent: path.sent,
            datagrams_received: path.received,
            round_trip_us: path.round_trip.map(RoundTrip::from),
            loss_ppm: path.to_peer.loss_ppm,
            narrow: path.to_peer.narrow,
            loss_from_peer_ppm: path.from_peer.loss_ppm,
            narrow_from_peer: path.from_peer.narrow,
            mtu_bytes: path_mtu(path.datagram_bytes_max, settings, peer.node),
            held_down_ms: millis(path.held_down),
        })
        .collect()
}

/// The IP packet of a datagram of so many bytes on a link.
fn path_mtu(datagram: usize, link: &LinkSettings, peer: NodeId) -> usize {
    let ipv6 = link.addresses.get(&peer).is_some_and(SocketAddr::is_ipv6);
    ip_packet_bytes(datagram, ipv6)
}

fn links(config: &Config, node: &Node) -> Vec<Link> {
    let errors: BTreeMap<_, _> = node.net().open_errors().collect();
    let places = config.cluster.links.iter().zip(node.net().link_stats()).enumerate();
    places
        .map(|(place, (link, stats))| Link {
            address: link.addresses.get(&config.local.node).map(ToString::to_string),
            transport: transport(link.transport),
            mtu_bytes: link.mtu_bytes,
            priority: link.priority,
            error: LinkId::at(place).and_then(|id| errors.get(&id)).map(ToString::to_string),
            counters: [
                ("datagrams_received", stats.datagrams_received),
                ("bytes_received", stats.bytes_received),
                ("datagrams_sent", stats.datagrams_sent),
                ("bytes_sent", stats.bytes_sent),
                ("receive_failures", stats.receive_failures),
                ("open_failures", stats.open_failures),
            ]
            .map(|(name, count)| (name.to_owned(), count))
            .into_iter()
            .chain(stats.not_sent().map(|(why, count)| (format!("not_sent_{why}"), count)))
            .collect(),
        })
        .collect()
}

const fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Unicast => "unicast",
        Transport::Multicast { .. } => "multicast",
    }
}

fn warnings(sources: &Sources<'_>) -> Vec<String> {
    let Sources { node, log_lines_lost, .. } = *sources;
    let mut warnings: Vec<_> = sources.privileges.refused().collect();
    if let Some(why) = sources.cluster_unwritten {
        warnings.push(format!("{CLUSTER_UNWRITTEN}: {why}"));
    }
    let others = sources.agreement.unwritten();
    warnings.extend(others.map(|(node, why)| other_unwritten(node, why)));
    if let Some((nodes, first)) = sources.agreement.differing() {
        let nodes: Vec<_> = nodes.iter().map(|node| format!("node {node}")).collect();
        warnings.push(format!("{} and node {first} {DIFFERENT}", nodes.join(", ")));
    }
    if let Some(why) = sources.keys_unwritten {
        warnings.push(format!("{KEYS_UNWRITTEN}: {why}"));
    }
    if !node.net().endpoint().is_sealed() {
        warnings.push(CLEAR_TEXT.to_owned());
    }
    for (link, error) in node.net().open_errors() {
        warnings.push(format!("link {link} cannot be used: {error}; trying again"));
    }
    warnings.extend(sources.watch.recent(sources.now, node));
    if log_lines_lost > 0 {
        warnings.push(format!("{log_lines_lost} log lines were lost: the log is too slow"));
    }
    warnings
}

/// What a node is told that can form no ring any more, in the log and in the report.
pub(crate) const SEQ_EXHAUSTED: &str = "no ring can be formed: its sequence would be above the \
                                        maximum; stop all nodes, remove the files in their \
                                        local.state_dir, and start them";

/// What a node is told whose detection target does not fit its network, in the log and in the
/// report.
pub(crate) const STRAINED: &str = "hellos come or leave so late that cluster.detection_ms is too \
                                   short, though peers are given twice that time: raise it, or \
                                   look for what delays this machine or the network";

/// What a node is told that would come back with other keys.
pub(crate) const KEYS_UNWRITTEN: &str = "the key file does not say which keys are in force, and \
                                         this node would come back with others";

/// What a node is told that would come back with an older cluster.
pub(crate) const CLUSTER_UNWRITTEN: &str = "the configuration file does not say what is in force \
                                            of [cluster], and this node would come back with that";

/// What the others are told then.
pub(crate) fn other_unwritten(node: u32, why: &str) -> String {
    format!(
        "the configuration file of node {node} does not say what is in force of [cluster], and \
         that node would come back with what it says; mend it and `evs reload` there: {why}"
    )
}

/// What all nodes are told where some would not run with the settings of the others.
const DIFFERENT: &str = "have different sections [cluster] of one version: compare their files, \
                         make one say what the other says, and reload it there; where that needs a \
                         restart, restart that node";

/// What a cluster without a seal is told, in the log and in the report.
pub(crate) const CLEAR_TEXT: &str = "cluster.seal is \"none\": packets are clear text; \
                                     whoever reaches the network can read and forge every message";
