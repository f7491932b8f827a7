//! Nodes that this one and they hear each other with, and that stay in another ring all the same:
//! for the log and the report.
//!
//! Who can hear all members joins them within a few detection targets. Who does not has a member
//! that it does not hear: a broken path between these two, or a list that lacks that member,
//! because it was added while the other was away.

use std::collections::BTreeMap;
use std::time::Duration;

use evs_model::{Instant, NodeId};
use evs_node::Node;

use crate::log::RateLimit;

/// Besides four detection targets, after which rings that can be one are.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is told.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Since when which nodes are apart: at most as many as are in the list.
#[derive(Debug)]
pub(crate) struct ApartWatch {
    since: BTreeMap<NodeId, Instant>,
    patience: Duration,
    limit: RateLimit,
}

impl ApartWatch {
    pub(crate) fn new() -> Self {
        let limit = RateLimit::new(TOLD_EVERY);
        Self { since: BTreeMap::new(), patience: PATIENCE, limit }
    }

    /// `file` is this node's configuration file.
    pub(crate) fn look(&mut self, now: Instant, node: &Node, file: &str) {
        let ring = node.service().ring();
        let endpoint = node.net().endpoint();
        self.patience = PATIENCE + endpoint.detection().target * 4;
        let Some(members) = ring.members() else { return };
        let heard = endpoint.peers().filter(|peer| peer.heard).map(|peer| peer.node);
        let apart = heard.filter(|peer| members.find(*peer).is_none());
        self.note(now, apart.collect());
        let Some(nodes) = self.named(now) else { return };
        if let Some(suppressed) = self.limit.admit(now) {
            tracing::warn!(nodes, file, suppressed, "{}", self::APART);
        }
    }

    /// The warning of the report.
    pub(crate) fn warning(&self, now: Instant, file: &str) -> Option<String> {
        self.named(now).map(|nodes| format!("{APART}: {nodes}; this one's file is {file}"))
    }

    fn note(&mut self, now: Instant, apart: Vec<NodeId>) {
        self.since.retain(|node, _| apart.contains(node));
        for node in apart {
            self.since.entry(node).or_insert(now);
        }
    }

    fn named(&self, now: Instant) -> Option<String> {
        let long = self.since.iter().filter(|(_, since)| now.since(**since) >= self.patience);
        let names: Vec<_> = long.map(|(node, _)| format!("node {node}")).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

/// What is told of nodes that stay apart.
const APART: &str = "nodes are heard and hear this one, and stay in another ring: two nodes do not \
                     hear each other (evs links), or one was away when another was added, and \
                     warns of it: copy [cluster] from the file of another node into that one's, \
                     and restart it";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_after_a_while_apart_and_no_more_once_it_is_not() {
        let start = Instant::from_nanos(1);
        let id = |id| NodeId::new(id).expect("not zero");
        let mut watch = ApartWatch::new();
        watch.note(start, vec![id(3), id(4)]);
        assert_eq!(watch.warning(start + PATIENCE / 2, "/f"), None);
        watch.note(start + PATIENCE, vec![id(3)]);
        let told = watch.warning(start + PATIENCE, "/f").expect("long enough");
        assert!(told.ends_with("restart it: node 3; this one's file is /f"), "{told}");
        watch.note(start + PATIENCE, vec![]);
        watch.note(start + PATIENCE, vec![id(3)]);
        assert_eq!(watch.warning(start + PATIENCE, "/f"), None, "it counts anew");
    }
}
