//! Nodes that speak another version of the wire format, by their datagrams' own word: for the log
//! and the report.
//!
//! Nothing of such a datagram can be checked: anybody can send one. So what is told of them is
//! bounded, and its line shares the limit of what strangers can cause (`watch.rs`).

use std::time::Duration;

use evs_model::{Instant, Versions};
use evs_net::{Discard, Foreign};
use evs_node::Node;
use serde::Serialize;

use crate::units::millis;

/// Whether nodes of another version were told of.
#[derive(Debug, Default)]
pub(crate) struct ForeignWatch {
    /// How many of their datagrams were dropped when that was told last, and when that was.
    told: u64,
    told_at: Option<Instant>,
}

/// A node of another version, for the report.
#[derive(Serialize)]
pub(crate) struct ForeignNode {
    /// `null`: it is in no list.
    node: Option<u32>,
    address: String,
    version: u8,
    packets: u64,
    last_ms: u64,
}

/// What this node speaks with others, for the report.
#[derive(Serialize)]
pub(crate) struct Spoken {
    lowest: u16,
    highest: u16,
    /// In which it speaks at present.
    in_use: Option<u8>,
}

impl ForeignWatch {
    /// Whom there is to tell of.
    pub(crate) fn news(&self, now: Instant, node: &Node) -> Option<String> {
        let total = node.net().endpoint().stats().discarded(Discard::Version);
        if total == self.told { None } else { named(now, node) }
    }

    pub(crate) const fn told_at(&self) -> Option<Instant> {
        self.told_at
    }

    pub(crate) fn tell(&mut self, now: Instant, node: &Node, nodes: &str) {
        let total = node.net().endpoint().stats().discarded(Discard::Version);
        let count = total - std::mem::replace(&mut self.told, total);
        self.told_at = Some(now);
        let versions = node.net().endpoint().versions().0;
        tracing::warn!(count, total, nodes, %versions, "{}", self::FOREIGN);
    }
}

/// The warning of the report.
pub(crate) fn warning(now: Instant, node: &Node) -> Option<String> {
    let versions = node.net().endpoint().versions().0;
    named(now, node).map(|nodes| format!("{FOREIGN}: {nodes}; this node speaks {versions}"))
}

pub(crate) fn nodes(now: Instant, node: &Node) -> Vec<ForeignNode> {
    let recent = recent(now, node);
    recent
        .map(|note| ForeignNode {
            node: note.node.map(evs_model::NodeId::get),
            address: note.source.to_string(),
            version: note.version,
            packets: note.datagrams,
            last_ms: millis(now.since(note.at)),
        })
        .collect()
}

impl Spoken {
    pub(crate) fn wire(node: &Node) -> Self {
        let (versions, in_use) = node.net().endpoint().versions();
        Self { in_use: Some(in_use), ..Self::of(versions) }
    }

    pub(crate) const fn of(versions: Versions) -> Self {
        Self { lowest: versions.lowest(), highest: versions.highest(), in_use: None }
    }
}

fn recent(now: Instant, node: &Node) -> impl Iterator<Item = Foreign> {
    node.net().foreign().filter(move |note| now.since(note.at) < RECENT)
}

/// Who they are; `None`: nobody of late.
fn named(now: Instant, node: &Node) -> Option<String> {
    let mut names: Vec<_> = recent(now, node).take(NAMED_MAX + 1).map(name).collect();
    if names.len() > NAMED_MAX {
        names[NAMED_MAX] = "and others".to_owned();
    }
    (!names.is_empty()).then(|| names.join(", "))
}

fn name(note: Foreign) -> String {
    let Foreign { version, source, .. } = note;
    match note.node {
        Some(node) => format!("node {node} at {source} speaks {version}"),
        None => format!("{source}, which is no node of the list, speaks {version}"),
    }
}

/// What is told where two nodes have no version in common.
pub(crate) const FOREIGN: &str = "packets dropped of another version of evsd's wire format: \
                                  install the same release of evsd on all nodes";

/// For how long a node is told of after its last datagram.
const RECENT: Duration = Duration::from_secs(60);
/// So many are named in one text.
const NAMED_MAX: usize = 8;
