//! From the words of the configuration file to those of the layers below.

use evs_net::{Link, Multicast, SealMode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{Config, LinkSettings, Transport};
use crate::control::BYTES_MAX;

/// What the node is to be.
#[must_use]
pub fn node_config(config: &Config) -> evs_node::Config {
    let links: Vec<_> = config.cluster.links.iter().map(|link| self::link(config, link)).collect();
    // Any packet may have to take any link.
    let packet_bytes = links.iter().map(Link::payload_bytes_max).min().unwrap_or_default();
    let service = evs_service::Config {
        totem: totem::Config {
            detection: config.cluster.detection,
            packet_bytes_max: packet_bytes.min(totem::PACKET_BYTES_CAP),
            window_bytes: config.cluster.window_bytes_max,
            ..totem::Config::default()
        },
        // One more: the daemons' own conversation (`control.rs`).
        clients_max: config.local.limits.clients_max as usize + 1,
        groups_per_client_max: config.local.limits.groups_per_client_max as usize,
        // What clients may use of it they are told, and held to. The daemons' own messages fit.
        client_send_bytes_max: (config.local.limits.client_send_bytes_max as usize)
            .max(4 * BYTES_MAX),
        message_bytes_max: (config.cluster.message_bytes_max as usize).max(BYTES_MAX),
        origins: evs_service::Origins::default(),
    };
    evs_node::Config {
        node: config.local.node,
        cluster: config.cluster.name.clone(),
        seal: config.keys.first().cloned().map_or(SealMode::Clear, SealMode::Sealed),
        second_key: config.keys.get(1).cloned(),
        links,
        service,
        state_dir: Some(config.local.state_dir.clone()),
    }
}

fn link(config: &Config, settings: &LinkSettings) -> Link {
    let me = config.local.node;
    let peers = settings.addresses.iter().filter(|(node, _)| **node != me);
    Link {
        bind: settings.addresses[&me],
        peers: peers.map(|(node, address)| (*node, *address)).collect(),
        transport: match settings.transport {
            Transport::Unicast => evs_net::Transport::Unicast,
            Transport::Multicast { group, hops } => evs_net::Transport::Multicast(Multicast {
                group,
                // With several links it is that of the link's own address.
                interface: config
                    .local
                    .multicast_interface
                    .clone()
                    .filter(|_| config.cluster.links.len() == 1),
                hops,
            }),
        },
        mtu: usize::from(settings.mtu_bytes),
        priority: settings.priority,
    }
}

/// Raises the limit on open descriptors, as far as the system allows, to what so many clients need.
pub(crate) fn raise_descriptor_limit(clients_max: u32) {
    let needed = u64::from(clients_max) * DESCRIPTORS_PER_CLIENT + DESCRIPTORS_BESIDES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    let raised = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    if raised < needed {
        tracing::warn!(
            needed,
            allowed = raised,
            "the limit on open files is too low for local.limits.clients_max"
        );
    }
}

/// The control socket, the bell, the shared memory, and the client's end of the bell for a moment.
const DESCRIPTORS_PER_CLIENT: u64 = 4;
/// Everything else: connections without a session, network sockets, the log, the poll.
const DESCRIPTORS_BESIDES: u64 = 512;
