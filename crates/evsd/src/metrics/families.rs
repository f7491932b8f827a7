//! What is measured for each reason, peer, link or path.

use evs_net::{LinkId, PathStatus, PeerStatus};

use super::{Kind, Of, Sources, count};

/// A metric with labels.
#[derive(Clone, Copy)]
pub(crate) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Of,
    pub(super) labels: &'static [&'static str],
    samples: fn(&Sources<'_>) -> Vec<Sample>,
}

/// One of its values, with those of its labels.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(super) labels: Vec<String>,
    pub(super) value: f64,
}

impl Family {
    pub(super) fn samples(&self, sources: &Sources<'_>) -> Vec<Sample> {
        (self.samples)(sources)
    }
}

const PEER: &[&str] = &["node"];
const LINK: &[&str] = &["link"];
const PATH: &[&str] = &["node", "link"];

pub(super) static FAMILIES: [Family; 17] = [
    Family {
        name: "evs_packets_discarded",
        help: "Packets without effect, by reason",
        kind: Kind::Counter,
        unit: Of::Things,
        labels: &["layer", "reason"],
        samples: discards,
    },
    Family {
        name: "evs_peer_heard",
        help: "Whether a peer is heard: 1 or 0",
        kind: Kind::Gauge,
        unit: Of::Things,
        labels: PEER,
        samples: |s| peers(s, |peer| Some(flag(peer.heard))),
    },
    Family {
        name: "evs_peer_round_trip",
        help: "The smoothed round trip to a peer",
        kind: Kind::Gauge,
        unit: Of::Seconds,
        labels: PEER,
        samples: |s| peers(s, |peer| Some(peer.round_trip?.smoothed.as_secs_f64())),
    },
    Family {
        name: "evs_path_up",
        help: "Whether a peer is heard on a link, and hears this node there: 1 or 0",
        kind: Kind::Gauge,
        unit: Of::Things,
        labels: PATH,
        samples: |s| paths(s, |_, _, path| Some(flag(path.up))),
    },
    Family {
        name: "evs_path_chosen",
        help: "Whether what is sent to a peer takes this link: 1 or 0",
        kind: Kind::Gauge,
        unit: Of::Things,
        labels: PATH,
        samples: |s| paths(s, |peer, link, _| Some(flag(usize::from(peer.link.get()) == link))),
    },
    Family {
        name: "evs_path_narrow",
        help: "Whether large packets to a peer get lost on a link: 1 or 0",
        kind: Kind::Gauge,
        unit: Of::Things,
        labels: PATH,
        samples: |s| paths(s, |_, _, path| Some(flag(path.to_peer.narrow))),
    },
    Family {
        name: "evs_path_datagram",
        help: "The longest datagram that is sent to a peer on a link",
        kind: Kind::Gauge,
        unit: Of::Bytes,
        labels: PATH,
        samples: |s| paths(s, |_, _, path| Some(count(path.datagram_bytes_max as u64))),
    },
    Family {
        name: "evs_path_datagrams_sent",
        help: "Datagrams that were meant for a peer on a link, since the peer started",
        kind: Kind::Counter,
        unit: Of::Things,
        labels: PATH,
        samples: |s| paths(s, |_, _, path| Some(count(path.sent))),
    },
    Family {
        name: "evs_path_datagrams_received",
        help: "Authentic datagrams that came from a peer on a link, since the peer started",
        kind: Kind::Counter,
        unit: Of::Things,
        labels: PATH,
        samples: |s| paths(s, |_, _, path| Some(count(path.received))),
    },
    Family {
        name: "evs_path_loss_ratio",
        help: "The part of what is sent to a peer on a link that gets lost, 0 to 1",
        kind: Kind::Gauge,
        unit: Of::Things,
        labels: PATH,
        samples: |s| paths(s, |_, _, path| Some(f64::from(path.to_peer.loss_ppm) / 1e6)),
    },
    Family {
        name: "evs_path_round_trip",
        help: "The smoothed round trip to a peer on a link",
        kind: Kind::Gauge,
        unit: Of::Seconds,
        labels: PATH,
        samples: |s| paths(s, |_, _, path| Some(path.round_trip?.smoothed.as_secs_f64())),
    },
    Family {
        name: "evs_link_usable",
        help: "Whether the sockets of a link are open: 1 or 0",
        kind: Kind::Gauge,
        unit: Of::Things,
        labels: LINK,
        samples: usable,
    },
    Family {
        name: "evs_link_datagrams_received",
        help: "Datagrams received on a link, whatever became of them",
        kind: Kind::Counter,
        unit: Of::Things,
        labels: LINK,
        samples: |s| links(s, |stats| stats.datagrams_received),
    },
    Family {
        name: "evs_link_received",
        help: "Bytes received on a link",
        kind: Kind::Counter,
        unit: Of::Bytes,
        labels: LINK,
        samples: |s| links(s, |stats| stats.bytes_received),
    },
    Family {
        name: "evs_link_datagrams_sent",
        help: "Datagrams sent on a link; one for three peers counts three times",
        kind: Kind::Counter,
        unit: Of::Things,
        labels: LINK,
        samples: |s| links(s, |stats| stats.datagrams_sent),
    },
    Family {
        name: "evs_link_sent",
        help: "Bytes sent on a link",
        kind: Kind::Counter,
        unit: Of::Bytes,
        labels: LINK,
        samples: |s| links(s, |stats| stats.bytes_sent),
    },
    Family {
        name: "evs_link_datagrams_not_sent",
        help: "Datagrams that the system did not take, by reason",
        kind: Kind::Counter,
        unit: Of::Things,
        labels: &["link", "reason"],
        samples: not_sent,
    },
];

const fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

fn discards(sources: &Sources<'_>) -> Vec<Sample> {
    let net = sources.node.net().endpoint().stats();
    let net = net.discards().map(|(why, count)| ("net", why.name(), count));
    let ring = sources.node.service().ring().stats();
    let ring = totem::Discard::ALL.iter().map(|why| ("ring", why.name(), ring.discards(*why)));
    net.chain(ring)
        .map(|(layer, reason, times)| Sample {
            labels: vec![layer.to_owned(), reason.to_owned()],
            value: count(times),
        })
        .collect()
}

fn peers(sources: &Sources<'_>, value: impl Fn(&PeerStatus) -> Option<f64>) -> Vec<Sample> {
    let peers = sources.node.net().endpoint().peers();
    peers
        .filter_map(|peer| {
            Some(Sample { labels: vec![peer.node.to_string()], value: value(&peer)? })
        })
        .collect()
}

fn paths(
    sources: &Sources<'_>,
    value: impl Fn(&PeerStatus, usize, &PathStatus) -> Option<f64>,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    for peer in sources.node.net().endpoint().peers() {
        for (link, path) in peer.paths.iter().enumerate() {
            let labels = vec![peer.node.to_string(), link.to_string()];
            samples.extend(value(&peer, link, path).map(|value| Sample { labels, value }));
        }
    }
    samples
}

fn links(sources: &Sources<'_>, value: fn(&evs_net::NetStats) -> u64) -> Vec<Sample> {
    let stats = sources.node.net().link_stats().enumerate();
    stats
        .map(|(link, stats)| Sample { labels: vec![link.to_string()], value: count(value(stats)) })
        .collect()
}

fn usable(sources: &Sources<'_>) -> Vec<Sample> {
    let net = sources.node.net();
    let closed: Vec<LinkId> = net.open_errors().map(|(link, _)| link).collect();
    let open = |link| LinkId::at(link).is_some_and(|id| !closed.contains(&id));
    let places = 0..net.link_stats().count();
    places.map(|link| Sample { labels: vec![link.to_string()], value: flag(open(link)) }).collect()
}

fn not_sent(sources: &Sources<'_>) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (link, stats) in sources.node.net().link_stats().enumerate() {
        for (reason, times) in stats.not_sent() {
            let labels = vec![link.to_string(), reason.to_owned()];
            samples.push(Sample { labels, value: count(times) });
        }
    }
    samples
}
