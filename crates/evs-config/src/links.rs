//! The links of the cluster: `[[cluster.nodes]]` with their addresses, and `[[cluster.links]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use evs_model::{MEMBERS_MAX, NodeId};
use evs_net::LINKS_MAX;

use super::reader::{Document, Found, Section};
use super::{Transport, choice, family, node_address, node_id, socket_address};

/// One link, over which every node reaches every other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkSettings {
    /// How packets for all nodes travel.
    pub transport: Transport,
    /// The largest IP packet that every path of the link carries, in bytes.
    pub mtu_bytes: u16,
    /// Of two links without fault data takes the one with the higher priority.
    pub priority: u8,
    /// The address of every node. One address family.
    pub addresses: BTreeMap<NodeId, SocketAddr>,
}

/// The addresses of one node, one for each link.
struct NodeAddresses {
    node: NodeId,
    id: Found<u64>,
    /// How many were given, right or wrong.
    said: usize,
    addresses: Vec<Found<SocketAddr>>,
}

/// Reads the nodes and the links. What is wrong is reported. There is one link at least, which is
/// empty if nothing could be read. `base` is what `[cluster]` says: about the first link, unless
/// links have sections of their own.
pub(super) fn links(
    document: &Document<'_>,
    nodes: Vec<Section<'_>>,
    links: Vec<Section<'_>>,
    (mtu, base): (&Found<u64>, &Words),
) -> Vec<LinkSettings> {
    let nodes = self::nodes(document, nodes);
    let count = nodes.first().map_or(1, |node| node.said.max(1));
    for node in nodes.iter().filter(|node| node.said != count) {
        let what = format!(
            "node {} has {} addresses, but the first node has {count}: \
             every node needs one for each link",
            node.node, node.said
        );
        document.report(node.id.mistake(what));
    }
    if let (Some(_), false) = (base.kind.line, links.is_empty()) {
        let what = "has its place in [[cluster.links]], where there is one";
        document.report(base.kind.mistake(what));
    }
    let mut sections = links.into_iter();
    let links = (0..count)
        .map(|place| {
            let addresses = column(document, &nodes, place);
            let base = (place == 0).then_some(base);
            link(document, sections.next(), (mtu, base), addresses)
        })
        .collect();
    for section in sections {
        section.refuse(&format!("is one link too many: the nodes have {count} addresses each"));
    }
    links
}

fn nodes(document: &Document<'_>, sections: Vec<Section<'_>>) -> Vec<NodeAddresses> {
    let (mut ids, mut nodes) = (BTreeSet::new(), Vec::new());
    let (mut used, mut sections_read) = (BTreeMap::new(), 0);
    for mut section in sections {
        let id = section.number_required("id", 0..=u64::from(u32::MAX), "id = 1");
        let several = section.texts("addresses", LINKS_MAX);
        let texts = match several {
            None => {
                let one = section.text_required("address", "address = \"10.0.0.1:5405\"");
                one.into_iter().collect()
            }
            Some(several) => {
                if let Some(one) = section.text("address") {
                    let what = "stands beside `addresses`: one of the two says it all";
                    document.report(one.mistake(what));
                }
                several
            }
        };
        section.finish();
        let node = id.as_ref().and_then(|id| node_id(document, id));
        if let (Some(id), Some(node)) = (&id, node)
            && !ids.insert(node)
        {
            document.report(id.mistake(format!("node {node} is listed twice")));
        }
        let said = texts.len();
        let addresses: Vec<_> =
            texts.into_iter().filter_map(|text| address(document, &text)).collect();
        for found in &addresses {
            let used = used.entry(found.value).or_insert((node, sections_read));
            if *used != (node, sections_read) {
                let what = match used.0 {
                    Some(other) => format!("{} is node {other}'s address already", found.value),
                    None => format!("{} stands there twice", found.value),
                };
                document.report(found.mistake(what));
            }
        }
        sections_read += 1;
        let (Some(id), Some(node)) = (id, node) else { continue };
        if nodes.len() == MEMBERS_MAX {
            let what = format!("is one node too many, the limit (members_max) is {MEMBERS_MAX}");
            document.report(id.mistake(what));
            break;
        }
        if said > 0 && nodes.iter().all(|other: &NodeAddresses| other.node != node) {
            nodes.push(NodeAddresses { node, id, said, addresses });
        }
    }
    nodes
}

fn address(document: &Document<'_>, found: &Found<String>) -> Option<Found<SocketAddr>> {
    match node_address(&found.value) {
        Ok(value) => Some(Found { value, line: found.line, key: found.key.clone() }),
        Err(what) => {
            document.report(found.mistake(what));
            None
        }
    }
}

/// The addresses of all nodes on one link, of one family.
fn column(
    document: &Document<'_>,
    nodes: &[NodeAddresses],
    place: usize,
) -> BTreeMap<NodeId, SocketAddr> {
    let mut known: BTreeMap<NodeId, SocketAddr> = BTreeMap::new();
    for NodeAddresses { node, addresses, .. } in nodes {
        let Some(found) = addresses.get(place) else { continue };
        let address = found.value;
        if addresses[..place].iter().any(|before| before.value == address) {
            document.report(found.mistake(format!("{address} stands for two links")));
        }
        if let Some((other, before)) = known.iter().find(|(_, k)| k.is_ipv4() != address.is_ipv4())
        {
            let what = format!(
                "{address} is {}, but node {other} has {before}: \
                 all addresses of a link must be of one family, IPv4 or IPv6",
                family(&address)
            );
            document.report(found.mistake(what));
        }
        known.entry(*node).or_insert(address);
    }
    known
}

/// One link; the first one without a section of its own is as `[cluster]` says.
fn link(
    document: &Document<'_>,
    section: Option<Section<'_>>,
    (mtu, base): (&Found<u64>, Option<&Words>),
    addresses: BTreeMap<NodeId, SocketAddr>,
) -> LinkSettings {
    let mtu_bytes = |mtu: u64| u16::try_from(mtu).expect("the range ends at 65535");
    let Some(mut section) = section else {
        let transport = base.and_then(|base| base.check(document, &addresses));
        let transport = transport.unwrap_or_default();
        return LinkSettings { transport, mtu_bytes: mtu_bytes(mtu.value), priority: 0, addresses };
    };
    let transport = Words::read(&mut section);
    let mtu = section.number_or("mtu_bytes", 1280..=65_535, mtu.value);
    let priority = section.number_or("priority", 0..=255, 0);
    section.finish();
    LinkSettings {
        transport: transport.check(document, &addresses).unwrap_or_default(),
        mtu_bytes: mtu_bytes(mtu.value),
        priority: u8::try_from(priority.value).expect("its range ends at 255"),
        addresses,
    }
}

/// What a section says about the transport.
pub(super) struct Words {
    kind: Found<String>,
    group: Option<Found<String>>,
    hops: Found<u64>,
}

impl Words {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            kind: section.text_or("transport", "unicast"),
            group: section.text("multicast_address"),
            hops: section.number_or("multicast_hops", 1..=255, 1),
        }
    }

    /// `None` only if something was reported.
    pub(super) fn check(
        &self,
        document: &Document<'_>,
        nodes: &BTreeMap<NodeId, SocketAddr>,
    ) -> Option<Transport> {
        let kinds = [("unicast", false), ("multicast", true)];
        let multicast = choice(document, &self.kind, &kinds);
        let Some(found) = &self.group else {
            if multicast {
                let what = "needs the key `multicast_address`, like \"239.192.7.1:5405\"";
                document.report(self.kind.mistake(what));
            }
            return (!multicast).then_some(Transport::Unicast);
        };
        let group = match socket_address(&found.value, "239.192.7.1:5405") {
            Ok(group) => group,
            Err(what) => {
                document.report(found.mistake(what));
                return None;
            }
        };
        if !multicast {
            document.report(found.mistake("is of use only with transport = \"multicast\""));
        } else if !group.ip().is_multicast() {
            document.report(found.mistake(format!("{group} is no multicast address")));
        } else if let Some(other) = nodes.values().find(|node| node.is_ipv4() != group.is_ipv4()) {
            let what = format!("{group} is {}, but the nodes have {other}", family(&group));
            document.report(found.mistake(what));
        }
        let hops = u8::try_from(self.hops.value).expect("its range ends at 255");
        Some(Transport::Multicast { group, hops })
    }
}
