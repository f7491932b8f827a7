//! A configuration out of one of Corosync, 1.x to 3.x (`corosync.conf(5)`).
//!
//! What has a counterpart is taken over; all else is told with its line and what becomes of it. A
//! value that cannot be known here, such as the address behind a name, is left to fill in, in a
//! form that no check lets pass.

mod file;
mod remarks;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use file::{Entry, Section};
pub use file::{SyntaxError, TEXT_BYTES_MAX};

/// What came out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Import {
    /// The text of an `evsd.toml`.
    pub text: String,
    /// What was not simply taken over, in the order of the lines.
    pub notes: Vec<Note>,
    /// How many values are left to fill in.
    pub to_fill_in: usize,
}

/// Something to know about the import.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Note {
    /// The line of Corosync's file, from 1; 0: about the file as a whole.
    pub line: usize,
    /// The setting there, such as `totem.token`.
    pub setting: String,
    /// What becomes of it.
    pub what: String,
}

/// What the file does not say.
pub struct Circumstances<'c> {
    /// The id of the node that the configuration is for; `None`: the one with an address of this
    /// host.
    pub node: Option<u32>,
    /// The address behind a host's name, if it may be looked up.
    pub resolve: &'c dyn Fn(&str) -> Option<IpAddr>,
    /// Whether an address is one of this host.
    pub is_here: &'c dyn Fn(IpAddr) -> bool,
}

/// Translates a file of Corosync.
///
/// # Errors
/// The text is no such file.
pub fn import(text: &str, circumstances: &Circumstances<'_>) -> Result<Import, SyntaxError> {
    let root = Section::parse(text)?;
    let none =
        || SyntaxError { line: 1, what: "no section `totem`: no file of Corosync".to_owned() };
    let totem = root.merged("totem").ok_or_else(none)?;
    let mut import = Translation { circumstances, notes: Vec::new(), to_fill_in: 0 };
    let text = import.translate(&root, &totem);
    import.remark(&root, "", &TAKEN);
    let Translation { mut notes, to_fill_in, .. } = import;
    notes.sort();
    Ok(Import { text, notes, to_fill_in })
}

/// Section and key of what is taken over, or told about where that is done.
const TAKEN: [(&str, &[&str]); 6] = [
    ("totem", &["cluster_name", "netmtu", "nodeid", "token", "transport"]),
    (
        "totem.interface",
        &["knet_link_priority", "linknumber", "mcastaddr", "mcastport", "ringnumber", "ttl"],
    ),
    ("totem.interface.member", &["memberaddr"]),
    ("nodelist.node", &["nodeid"]),
    ("logging", &["debug"]),
    ("uidgid", &["gid", "uid"]),
];

/// Most links that Corosync has.
const RINGS: usize = 8;

const PORT: &str = "5405";

struct Translation<'c> {
    circumstances: &'c Circumstances<'c>,
    notes: Vec<Note>,
    to_fill_in: usize,
}

/// A node as it is found in the file.
struct Node {
    id: u32,
    /// As they are written, by the number of their link.
    addresses: BTreeMap<usize, String>,
    line: usize,
}

/// What a link is like.
struct Link {
    /// Its number in the file.
    number: usize,
    port: String,
    multicast: Option<(String, String)>,
    priority: Option<u32>,
}

impl Translation<'_> {
    fn translate(&mut self, root: &Section, totem: &Section) -> String {
        let mut out = String::from("[cluster]\n");
        self.name(totem, &mut out);
        self.detection(root, totem, &mut out);
        self.number(totem, ("netmtu", "mtu_bytes"), 1280..=65_535, &mut out);

        let mut nodes = self.nodes(root, totem);
        let links = self.links(root, totem, &nodes);
        if let [link] = &links[..] {
            transport(link, &mut out);
        }
        if nodes.is_empty() {
            let what = "nodes that find each other by multicast are not listed in the file: list \
                        them in [[cluster.nodes]]";
            self.note(totem.line, "nodelist", what);
            for id in [1, 2] {
                let name = |link: &Link| (link.number, format!("node{id}"));
                nodes.push(Node { id, addresses: links.iter().map(name).collect(), line: 0 });
            }
        }
        let mut here = None;
        for node in &nodes {
            let addresses = self.addresses(node, &links);
            let known = addresses.iter().filter_map(|text| text.parse::<SocketAddr>().ok());
            if known.map(|address| address.ip()).any(|ip| (self.circumstances.is_here)(ip)) {
                here = here.or(Some(node.id));
            }
            let _ = write!(out, "\n[[cluster.nodes]]\nid = {}\n", node.id);
            let _ = match &addresses[..] {
                [address] => writeln!(out, "address = {}", quoted(address)),
                several => writeln!(out, "addresses = {}", toml::Value::from(several.to_vec())),
            };
        }
        for link in links.iter().filter(|_| links.len() > 1) {
            out.push_str("\n[[cluster.links]]\n");
            transport(link, &mut out);
            if let Some(priority) = link.priority {
                let _ = writeln!(out, "priority = {priority}");
            }
        }
        let named = totem.get("nodeid").and_then(|entry| entry.value.parse().ok());
        let node = self.circumstances.node.or(named);
        if let Some(node) = node.filter(|node| nodes.iter().all(|known| known.id != *node)) {
            let what = format!("there is no node {node} among [[cluster.nodes]]");
            self.note(0, "local.node", &what);
        }
        self.local(root, node.or(here), &mut out);
        out
    }

    fn name(&mut self, totem: &Section, out: &mut String) {
        let name = totem.get("cluster_name");
        if name.is_none() {
            let what = "the file names no cluster; \"corosync\" stands for it, the same on all \
                        nodes";
            self.note(totem.line, "totem.cluster_name", what);
        }
        let name = name.map_or("corosync", |entry| &entry.value);
        let _ = writeln!(out, "name = {}", quoted(name));
    }

    fn detection(&mut self, root: &Section, totem: &Section, out: &mut String) {
        self.number(totem, ("token", "detection_ms"), 50..=60_000, out);
        if let Some(token) = totem.get("token") {
            let what = "taken over as cluster.detection_ms, from which all other times are \
                        derived; nothing is added to it for consensus, or with token_coefficient \
                        for more nodes";
            self.note(token.line, "totem.token", what);
        } else {
            let ms = if is_knet(root, totem) { 3000 } else { 1000 };
            let _ = writeln!(out, "detection_ms = {ms}");
            let what = format!(
                "not in the file: {ms} ms, Corosync's default ({}), stand in \
                 cluster.detection_ms; without it there it would be 500 ms",
                if ms == 3000 { "since 3.1, 1000 ms before" } else { "until 3.0, 3000 ms since" }
            );
            self.note(totem.line, "totem.token", &what);
        }
    }

    /// A number that both have, each under a name of its own.
    fn number(
        &mut self,
        section: &Section,
        (theirs, ours): (&str, &str),
        range: std::ops::RangeInclusive<u32>,
        out: &mut String,
    ) {
        let Some(entry) = section.get(theirs) else { return };
        let setting = format!("{}.{theirs}", section.name);
        let Ok(number) = entry.value.parse::<u32>() else {
            self.note(entry.line, &setting, "no number: the default stands");
            return;
        };
        let within = number.clamp(*range.start(), *range.end());
        if within != number {
            let what = format!("{number} is out of the range of {ours}: {within} stands for it");
            self.note(entry.line, &setting, &what);
        }
        let _ = writeln!(out, "{ours} = {within}");
    }

    /// The nodes: of the list, else the members of the interfaces.
    fn nodes(&mut self, root: &Section, totem: &Section) -> Vec<Node> {
        let mut nodes = Vec::new();
        for (place, section) in root.all("nodelist").flat_map(|list| list.all("node")).enumerate() {
            let address = |entry: &Entry| Some((ring(&entry.key)?, entry.value.clone()));
            let addresses = section.entries.iter().filter_map(address).collect();
            let id = self.node_id(section, place);
            nodes.push(Node { id, addresses, line: section.line });
        }
        let listed = !nodes.is_empty();
        let mut first = None;
        for interface in totem.all("interface") {
            let Some(ring) = number(interface) else { continue };
            for (place, member) in interface.all("member").enumerate() {
                first = first.or(Some(member.line));
                let Some(address) = member.get("memberaddr").filter(|_| !listed) else { continue };
                if nodes.len() <= place {
                    let id = u32::try_from(place + 1).unwrap_or(u32::MAX);
                    nodes.push(Node { id, addresses: BTreeMap::new(), line: member.line });
                }
                if let Some(node) = nodes.get_mut(place) {
                    node.addresses.entry(ring).or_insert_with(|| address.value.clone());
                }
            }
        }
        if let Some(line) = first {
            let what = if listed {
                "not used: the nodelist says who there is"
            } else {
                "members have no ids there: they are numbered from 1 in their order, which must \
                 be the same on all nodes and in all interfaces"
            };
            self.note(line, "totem.interface.member", what);
        }
        nodes
    }

    fn node_id(&mut self, section: &Section, place: usize) -> u32 {
        let id = section.get("nodeid").and_then(|entry| entry.value.parse().ok());
        id.filter(|id| *id > 0).unwrap_or_else(|| {
            let id = u32::try_from(place + 1).unwrap_or(u32::MAX);
            let what = format!("has no nodeid: it is node {id} by its place in the list");
            self.note(section.line, "nodelist.node", &what);
            id
        })
    }

    /// The links that nodes have addresses on; where none is listed, those with an interface.
    fn links(&mut self, root: &Section, totem: &Section, nodes: &[Node]) -> Vec<Link> {
        let mut interfaces = BTreeMap::new();
        for interface in totem.all("interface") {
            let known = number(interface);
            match known {
                Some(ring) if !interfaces.contains_key(&ring) => {
                    interfaces.insert(ring, interface);
                }
                Some(ring) => {
                    let what = format!("another one of link {ring}: the first counts");
                    self.note(interface.line, "totem.interface", &what);
                }
                None => {
                    let what = format!("its number is none, 0 to {}: it is left out", RINGS - 1);
                    self.note(interface.line, "totem.interface", &what);
                }
            }
        }
        let mut rings: BTreeSet<_> = nodes.iter().flat_map(|node| node.addresses.keys()).collect();
        if nodes.is_empty() {
            rings.extend(interfaces.keys());
        }
        if rings.is_empty() {
            rings.insert(&0);
        }
        for (ring, interface) in interfaces.iter().filter(|(ring, _)| !rings.contains(ring)) {
            let what = format!("no node has an address on link {ring}: it is left out");
            self.note(interface.line, "totem.interface", &what);
        }
        let empty = Section::default();
        let mut links = Vec::with_capacity(rings.len());
        for (place, ring) in rings.iter().enumerate() {
            let interface = interfaces.get(*ring).copied().unwrap_or(&empty);
            if place != **ring {
                let what = format!("link {ring} there is link {place} here");
                self.note(interface.line, "totem.interface.linknumber", &what);
            }
            let link = self.link(interface, **ring, (root, totem));
            if link.priority.is_some() && rings.len() == 1 {
                let what = "left out: of one link only it means nothing";
                self.note(interface.line, "totem.interface.knet_link_priority", what);
            }
            links.push(link);
        }
        self.transport(root, totem, &links);
        links
    }

    fn link(
        &mut self,
        interface: &Section,
        number: usize,
        (root, totem): (&Section, &Section),
    ) -> Link {
        let unused = match totem.get("transport") {
            Some(_) => "",
            None => "; Corosync 1 and 2 would multicast, as transport = \"multicast\" does here",
        };
        let value = |key| interface.get(key).map(|entry: &Entry| entry.value.clone());
        let group = value("mcastaddr").filter(|_| is_multicast(root, totem));
        for key in ["mcastaddr", "ttl"] {
            if let Some(entry) = interface.get(key).filter(|_| group.is_none()) {
                let what = format!("{} is not used: packets go to each node{unused}", entry.value);
                self.note(entry.line, &format!("totem.interface.{key}"), &what);
            }
        }
        let port = value("mcastport").unwrap_or_else(|| PORT.to_owned());
        if number == 0 {
            let what = format!(
                "port {port} is Corosync's, too: both cannot run on one host at the same time \
                 unless one of them gets another"
            );
            self.note(interface.line, "totem.interface.mcastport", &what);
        }
        let priority = interface.get("knet_link_priority").and_then(|entry| {
            let priority = entry.value.parse().ok();
            if priority.is_none() {
                let setting = "totem.interface.knet_link_priority";
                self.note(entry.line, setting, "no number: the default stands");
            }
            priority
        });
        let hops = value("ttl").unwrap_or_else(|| "1".to_owned());
        Link { number, port, multicast: group.map(|group| (group, hops)), priority }
    }

    /// What is told about how packets travel.
    fn transport(&mut self, root: &Section, totem: &Section, links: &[Link]) {
        let entry = totem.get("transport");
        let what = match entry.map(|entry| entry.value.as_str()) {
            Some("iba") => "no InfiniBand of its own: packets travel by UDP",
            Some("knet" | "udp" | "udpu") | None => {
                let group = |link: &Link| link.multicast.is_some();
                if !is_multicast(root, totem) || links.iter().all(group) {
                    return;
                }
                "no multicast address in the file, for which Corosync takes one of its own: \
                 packets go to each node; transport = \"multicast\" takes a multicast_address"
            }
            Some(_) => "unknown; packets go to each node by UDP",
        };
        self.note(entry.map_or(totem.line, |entry| entry.line), "totem.transport", what);
    }

    /// The addresses of a node, one for each link, with their ports.
    fn addresses(&mut self, node: &Node, links: &[Link]) -> Vec<String> {
        let mut addresses = Vec::with_capacity(links.len());
        for link in links {
            let said = node.addresses.get(&link.number).map_or("", |address| address);
            let known: Option<IpAddr> =
                said.parse().ok().or_else(|| (self.circumstances.resolve)(said));
            addresses.push(match (known, &link.port) {
                (Some(ip), port) => with_port(&ip.to_string(), port),
                (None, port) => {
                    self.to_fill_in += 1;
                    let setting = format!("node {}, ring{}_addr", node.id, link.number);
                    if said.is_empty() {
                        self.note(node.line, &setting, "no address: fill it in");
                        let node = node.id;
                        format!("FILL IN the IP address of node {node} on this link:{port}")
                    } else {
                        let what = format!("{said:?} is no IP address: fill it in");
                        self.note(node.line, &setting, &what);
                        format!("FILL IN the IP address of {said}:{port}")
                    }
                }
            });
        }
        addresses
    }

    fn local(&mut self, root: &Section, node: Option<u32>, out: &mut String) {
        out.push_str("\n[local]\n");
        match node {
            Some(node) => {
                let _ = writeln!(out, "node = {node}");
            }
            None => {
                self.to_fill_in += 1;
                out.push_str("node = \"FILL IN the id of this node\"\n");
                self.note(0, "local.node", "no node has an address of this host: fill its id in");
            }
        }
        let logging = root.merged("logging").unwrap_or_default();
        let debug = logging.get("debug");
        if debug.is_some_and(|entry| ["on", "trace"].contains(&entry.value.as_str())) {
            out.push_str("log = \"debug\"\n");
        }
        for (key, ours) in [("uid", "allow_uids"), ("gid", "allow_gids")] {
            let entries = root.all("uidgid").flat_map(|section| &section.entries);
            let mut numbers = Vec::new();
            for entry in entries.filter(|entry| entry.key == key) {
                match entry.value.parse::<u32>() {
                    Ok(number) => numbers.push(number),
                    Err(_) => {
                        let what = format!("{:?} is a name: add its number", entry.value);
                        self.note(entry.line, &format!("uidgid.{key}"), &what);
                    }
                }
            }
            if !numbers.is_empty() {
                let _ = writeln!(out, "{ours} = {numbers:?}");
            }
        }
    }

    /// Tells about every setting that is not among those taken over.
    fn remark(&mut self, section: &Section, path: &str, taken: &[(&str, &[&str])]) {
        let dot = if path.is_empty() { "" } else { "." };
        let here = taken.iter().find(|(name, _)| *name == path).map_or(&[] as &[_], |(_, k)| *k);
        for entry in &section.entries {
            let is_address = path == "nodelist.node" && ring(&entry.key).is_some();
            if here.contains(&entry.key.as_str()) || is_address {
                continue;
            }
            if let Some(remark) = remarks::remark(path, &entry.key) {
                self.note(entry.line, &format!("{path}{dot}{}", entry.key), remark);
            }
        }
        for below in &section.sections {
            self.remark(below, &format!("{path}{dot}{}", below.name), taken);
        }
    }

    fn note(&mut self, line: usize, setting: &str, what: &str) {
        self.notes.push(Note { line, setting: setting.to_owned(), what: what.to_owned() });
    }
}

/// The number of the link that a key of a node is the address on.
fn ring(key: &str) -> Option<usize> {
    let number = key.strip_prefix("ring")?.strip_suffix("_addr")?.parse().ok();
    number.filter(|number| *number < RINGS)
}

/// The number of the link that an interface is.
fn number(interface: &Section) -> Option<usize> {
    let said = interface.get("linknumber").or_else(|| interface.get("ringnumber"));
    let number = said.map_or(Some(0), |entry| entry.value.parse().ok());
    number.filter(|number| *number < RINGS)
}

/// Corosync 3 speaks knet unless told otherwise; those before it need no list of nodes.
fn is_knet(root: &Section, totem: &Section) -> bool {
    match totem.get("transport") {
        Some(entry) => entry.value == "knet",
        None => root.all("nodelist").next().is_some(),
    }
}

/// Whether Corosync sends a packet for all once.
fn is_multicast(root: &Section, totem: &Section) -> bool {
    match totem.get("transport") {
        Some(entry) => entry.value == "udp",
        None => !is_knet(root, totem),
    }
}

/// A text as TOML writes it, whatever is in it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// An address with its port; what is no address stays as it is said, for the check to name.
fn with_port(address: &str, port: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        Ok(IpAddr::V4(_)) | Err(_) => format!("{address}:{port}"),
    }
}

fn transport(link: &Link, out: &mut String) {
    if let Some((group, hops)) = &link.multicast {
        let _ = writeln!(out, "transport = \"multicast\"");
        let group = quoted(&with_port(group, &link.port));
        let _ = writeln!(out, "multicast_address = {group}");
        // A number stays one; the check names anything else.
        let hops = hops.parse::<u8>().map_or_else(|_| quoted(hops), |hops| hops.to_string());
        let _ = writeln!(out, "multicast_hops = {hops}");
    }
}
