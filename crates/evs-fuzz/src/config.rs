//! The configuration file: it is refused with its mistakes, or the daemon can start with it.

use evs_net::{ClusterKey, EndpointConfig, PAYLOAD_BYTES_MAX};
use evsd::config::{Config, Mistake, Seal};
use evsd::setup::node_config;

use crate::{Seen, Target, seeds, seen};

pub(crate) const TARGET: Target = Target {
    name: "config",
    run,
    bytes_max: 8192,
    landmarks: || seen::names(&["clear", "sealed", "refused"]),
    seeds: seeds::configs,
};

fn run(input: &[u8]) -> Seen {
    let mut seen = Seen::nothing();
    let Ok(text) = str::from_utf8(input) else { return seen };
    // The key file is fuzzed with what else is stored; here every path has one.
    match Config::parse_with(text, |_| Ok(vec![ClusterKey::from_bytes(&[7; 32])])) {
        Ok(config) => {
            seen.mark(usize::from(config.cluster.seal == Seal::Aead));
            starts(&config);
        }
        Err(mistakes) => {
            seen.mark(2);
            names_places(text, &mistakes);
        }
    }
    seen
}

/// What passed the checks passes those of the layers below.
fn starts(config: &Config) {
    assert_eq!(!config.keys.is_empty(), config.cluster.seal == Seal::Aead);
    let node = node_config(config);
    assert_eq!(node.service.validate(), Ok(()));
    assert!(node.links.iter().all(|link| link.validate() == Ok(())));
    let endpoint = EndpointConfig {
        me: evs_model::Processor::new(node.node, 1),
        peers: node.links[0].peers.iter().map(|(node, _)| *node).collect(),
        cluster: node.cluster,
        seal: node.seal,
        detection: node.service.totem.detection,
        packet_bytes_max: node.service.totem.packet_bytes_max,
        links: node.links.iter().map(evs_net::Link::terms).collect(),
    };
    assert_eq!(endpoint.validate(), Ok(()));
    assert!(node.service.totem.packet_bytes_max <= PAYLOAD_BYTES_MAX, "a full packet is sealed");
    assert_eq!(config.address(), node.links[0].bind);
}

/// Every mistake has a text of bounded length, and a place that exists.
fn names_places(text: &str, mistakes: &[Mistake]) {
    assert!(!mistakes.is_empty(), "a refusal says why");
    assert!(mistakes.is_sorted_by_key(|mistake| mistake.line));
    let lines = text.split('\n').count();
    for mistake in mistakes {
        assert!(!mistake.what.is_empty());
        assert!(mistake.line.is_none_or(|line| (1..=lines).contains(&line)), "{mistake}");
        assert!(mistake.to_string().len() <= text.len() + WHAT_BYTES_MAX, "{mistake}");
    }
}

/// What a mistake may say besides what the file says.
const WHAT_BYTES_MAX: usize = 1024;
