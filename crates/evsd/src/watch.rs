//! Signs of trouble that are only counted below, for the log: packets that do not open, packets
//! that the kernel refuses to send.
//!
//! Each sign has one line a minute at most, with the count since the last one. What anybody can
//! cause who can send a datagram has one line a minute together, so that strangers do not fill the
//! log: that of the sign that has waited for longest.

use std::path::Path;
use std::time::Duration;

use evs_model::{Instant, NodeId};
use evs_net::Discard;
use evs_node::Node;

use crate::apart::ApartWatch;
use crate::foreign::ForeignWatch;
use crate::log::RateLimit;
use crate::status::{SEQ_EXHAUSTED, STRAINED};

/// How often the counters are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// For how long the report tells of a sign after it was seen last.
const RECENT: Duration = Duration::from_secs(60);

/// How often one sign is told, and how often one of those that strangers can cause.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The counters as they were told last.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The configuration file, for those who have to change it.
    file: String,
    at: Instant,
    signs: [Seen; SIGNS.len()],
    strangers: RateLimit,
    foreign: ForeignWatch,
    apart: ApartWatch,
}

/// What is known of one sign.
#[derive(Debug)]
struct Seen {
    /// As it was told last, and at the last look.
    told: u64,
    count: u64,
    /// When it was more than at the look before.
    grew_at: Option<Instant>,
    told_at: Option<Instant>,
}

impl Seen {
    fn tell(&mut self, now: Instant, (node, file): (&Node, &str), sign: &Sign) {
        let (new, peer) = (self.count - self.told, sign.whose(node));
        let file = peer.map(|_| file);
        tracing::warn!(count = new, total = self.count, node = peer, file, "{}", sign.what);
        (self.told, self.told_at) = (self.count, Some(now));
    }
}

struct Sign {
    count: fn(&Node) -> u64,
    what: &'static str,
    /// Anybody can cause it who can send a datagram.
    by_strangers: bool,
}

impl Sign {
    /// The node that a sign is about, by the packets' own word.
    fn whose(&self, node: &Node) -> Option<u32> {
        let stranger = node.net().endpoint().stats().stranger;
        stranger.filter(|_| self.what == STRANGER).map(NodeId::get)
    }
}

impl Watch {
    pub(crate) fn new(now: Instant, file: &Path) -> Self {
        let seen = |_| Seen { told: 0, count: 0, grew_at: None, told_at: None };
        Self {
            file: file.display().to_string(),
            at: now + EVERY,
            signs: std::array::from_fn(seen),
            strangers: RateLimit::new(TOLD_EVERY),
            foreign: ForeignWatch::default(),
            apart: ApartWatch::new(),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, node: &Node) {
        if now < self.at {
            return;
        }
        self.at = now + EVERY;
        self.apart.look(now, node, &self.file);
        for (sign, seen) in SIGNS.iter().zip(&mut self.signs) {
            let count = (sign.count)(node);
            if count > std::mem::replace(&mut seen.count, count) {
                seen.grew_at = Some(now);
            }
            let due = seen.told_at.is_none_or(|at| now.since(at) >= TOLD_EVERY);
            if !sign.by_strangers && due && count > seen.told {
                seen.tell(now, (node, &self.file), sign);
            }
        }
        self.tell_of_strangers(now, node);
    }

    fn tell_of_strangers(&mut self, now: Instant, node: &Node) {
        let foreign = self.foreign.news(now, node);
        let signs = SIGNS.iter().zip(&mut self.signs);
        let waits = |(sign, seen): &(&Sign, &mut Seen)| sign.by_strangers && seen.count > seen.told;
        let first = signs.filter(waits).min_by_key(|(_, seen)| seen.told_at);
        let first_at = first.as_ref().map(|(_, seen)| seen.told_at);
        if foreign.is_none() && first.is_none() || self.strangers.admit(now).is_none() {
            return;
        }
        match (foreign, first) {
            (Some(nodes), first) if first.is_none() || Some(self.foreign.told_at()) < first_at => {
                self.foreign.tell(now, node, &nodes);
            }
            (_, Some((sign, seen))) => seen.tell(now, (node, &self.file), sign),
            (_, None) => {}
        }
    }

    /// The signs of the last minute, for the report: what they are, and whose packets it was if
    /// that is known.
    pub(crate) fn recent(&self, now: Instant, node: &Node) -> Vec<String> {
        let signs = SIGNS.iter().zip(&self.signs);
        let recent =
            signs.filter(|(_, seen)| seen.grew_at.is_some_and(|at| now.since(at) < RECENT));
        let foreign = crate::foreign::warning(now, node);
        recent
            .map(|(sign, seen)| match sign.whose(node) {
                Some(peer) => {
                    let (what, file, count) = (sign.what, &self.file, seen.count);
                    format!("{what} (node {peer}; this one's file is {file}): {count} so far")
                }
                None => format!("{}: {} so far", sign.what, seen.count),
            })
            .chain(foreign)
            .chain(self.apart.warning(now, &self.file))
            .collect()
    }

    pub(crate) const fn poll_timeout(&self) -> Instant {
        self.at
    }
}

fn discarded(node: &Node, reason: Discard) -> u64 {
    node.net().endpoint().stats().discarded(reason)
}

/// What is told of a node that is in nobody's list, or no longer.
const STRANGER: &str = "packets dropped of a node that is not in [[cluster.nodes]]: if it was \
                        added while this node was away, copy [cluster] from the file of another \
                        node, and restart this one";

const SIGNS: [Sign; 16] = [
    Sign {
        count: |node| node.service().ring().stats().discards(totem::Discard::SeqExhausted),
        what: SEQ_EXHAUSTED,
        by_strangers: false,
    },
    Sign {
        count: |node| node.service().ring().stats().discards(totem::Discard::NumbersExhausted),
        what: "this daemon's numbers are used up and the others learn nothing more: restart it",
        by_strangers: false,
    },
    Sign {
        count: |node| node.net().endpoint().stats().seals_refused,
        what: "packets not sealed: too long, or all packet counters are used (then restart evsd)",
        by_strangers: false,
    },
    Sign {
        count: |node| node.net().endpoint().stats().strained,
        what: STRAINED,
        by_strangers: false,
    },
    Sign {
        count: |node| discarded(node, Discard::Unauthenticated),
        what: "packets dropped that do not open: a forger, or changed on their way",
        by_strangers: true,
    },
    Sign {
        count: |node| discarded(node, Discard::Key),
        what: "packets dropped that are sealed with a key that this node does not have",
        by_strangers: true,
    },
    Sign {
        count: |node| discarded(node, Discard::Link),
        what: "packets dropped that came on another link than they name: compare the order of the \
               addresses in [[cluster.nodes]] with that of the other nodes",
        by_strangers: true,
    },
    Sign {
        count: |node| discarded(node, Discard::Cluster),
        what: "packets dropped of a cluster with another name (cluster.name)",
        by_strangers: true,
    },
    Sign {
        count: |node| discarded(node, Discard::Seal),
        what: "packets dropped whose seal differs from this node's (cluster.seal)",
        by_strangers: true,
    },
    Sign { count: |node| discarded(node, Discard::Stranger), what: STRANGER, by_strangers: true },
    Sign {
        count: |node| {
            let senseless = discarded(node, Discard::BadHello) + discarded(node, Discard::BadPart);
            senseless + node.stats().packets_undecodable
        },
        what: "authentic packets dropped that make no sense: a peer is defective",
        by_strangers: false,
    },
    Sign {
        count: |node| node.net().stats().send_failures.not_permitted,
        what: "packets not sent: the system forbids it; look at the firewall",
        by_strangers: false,
    },
    Sign {
        count: |node| node.net().stats().send_failures.too_large,
        what: "packets not sent: longer than the interface takes, and cut from now on; raise its \
               MTU or lower cluster.mtu_bytes",
        by_strangers: false,
    },
    Sign {
        count: |node| node.net().stats().send_failures.unreachable,
        what: "packets not sent: there is no way to the peer; look at interfaces, addresses, \
               routes",
        by_strangers: false,
    },
    Sign {
        count: |node| node.net().stats().send_failures.no_buffers,
        what: "packets not sent: the system has no memory for them; look at the interface's queue",
        by_strangers: false,
    },
    Sign {
        count: |node| node.net().stats().queue_full,
        what: "packets not sent: the network is too slow and the send queue full",
        by_strangers: false,
    },
];
