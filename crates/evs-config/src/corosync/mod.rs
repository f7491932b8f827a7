//! A configuration out of one of Corosync, 1.x to 3.x (`corosync.conf(5)`).
//!
//! What has a counterpart is taken over; all else is told with its line and what becomes of it. A
//! value that cannot be known here, such as the address behind a name, is left to fill in, in a
//! form that no check lets pass.

mod file;
mod remarks;
#[cfg(test)]
mod tests;

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
    let mut import = Translation { circumstances, notes: Vec::new(), to_fill_in: 0 };
    let text = import.translate(&root);
    import.remark(&root, "", &TAKEN);
    let Translation { mut notes, to_fill_in, .. } = import;
    notes.sort();
    Ok(Import { text, notes, to_fill_in })
}

/// Section and key of what is taken over, or told about where that is done.
const TAKEN: [(&str, &[&str]); 5] = [
    ("totem", &["cluster_name", "netmtu", "nodeid", "token", "transport"]),
    (
        "totem.interface",
        &["knet_link_priority", "linknumber", "mcastaddr", "mcastport", "ringnumber", "ttl"],
    ),
    ("totem.interface.member", &["memberaddr"]),
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
    /// As they are written, one for each link.
    addresses: Vec<String>,
    line: usize,
}

/// What a link is like.
struct Link {
    port: String,
    multicast: Option<(String, String)>,
    priority: Option<u32>,
}

impl Translation<'_> {
    fn translate(&mut self, root: &Section) -> String {
        let empty = Section::default();
        let totem = root.all("totem").next().unwrap_or(&empty);
        let mut out = String::from("[cluster]\n");
        self.name(totem, &mut out);
        self.detection(totem, &mut out);
        self.number(totem, ("netmtu", "mtu_bytes"), 1280..=65_535, &mut out);

        let mut nodes = self.nodes(root, totem);
        let count = nodes.iter().map(|node| node.addresses.len()).max().unwrap_or(1).max(1);
        let links: Vec<_> = (0..count).map(|link| self.link(root, totem, link)).collect();
        if let [link] = &links[..] {
            transport(link, &mut out);
        }
        if nodes.is_empty() {
            let what = "nodes that find each other by multicast are not listed in the file: list \
                        them in [[cluster.nodes]]";
            self.note(totem.line, "nodelist", what);
            for id in [1, 2] {
                nodes.push(Node { id, addresses: vec![format!("node{id}")], line: 0 });
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
        self.local(root, totem, here, &mut out);
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

    fn detection(&mut self, totem: &Section, out: &mut String) {
        self.number(totem, ("token", "detection_ms"), 50..=60_000, out);
        if let Some(token) = totem.get("token") {
            let what = "taken over as cluster.detection_ms, from which all other times are \
                        derived; it includes what Corosync adds with consensus and \
                        token_coefficient";
            self.note(token.line, "totem.token", what);
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

    /// The nodes: of the list, else the members of the first interface.
    fn nodes(&mut self, root: &Section, totem: &Section) -> Vec<Node> {
        let mut nodes = Vec::new();
        for (place, section) in root.all("nodelist").flat_map(|list| list.all("node")).enumerate() {
            let address = |ring| section.get(&format!("ring{ring}_addr"));
            let addresses = (0..RINGS).map_while(address).map(|entry| entry.value.clone());
            let id = self.node_id(section, place);
            nodes.push(Node { id, addresses: addresses.collect(), line: section.line });
        }
        if nodes.is_empty() {
            let interface = totem.all("interface").next();
            let members = interface.into_iter().flat_map(|interface| interface.all("member"));
            for (id, member) in (1..).zip(members) {
                let addresses = member.get("memberaddr").map(|entry| entry.value.clone());
                let addresses = addresses.into_iter().collect();
                nodes.push(Node { id, addresses, line: member.line });
            }
            if let Some(first) = nodes.first() {
                let what = "members have no ids there: they are numbered from 1 in their order, \
                            which must be the same on all nodes";
                self.note(first.line, "totem.interface.member", what);
            }
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

    fn link(&mut self, root: &Section, totem: &Section, link: usize) -> Link {
        let number = link.to_string();
        let is_it = |interface: &&Section| {
            let said = interface.get("linknumber").or_else(|| interface.get("ringnumber"));
            said.map_or("0", |entry| &entry.value) == number
        };
        let empty = Section::default();
        let interface = totem.all("interface").find(is_it).unwrap_or(&empty);
        let value = |key| interface.get(key).map(|entry: &Entry| entry.value.clone());
        // Corosync 3 speaks knet unless told otherwise; those before it, which need no list of
        // nodes, multicast by UDP.
        let named = totem.get("transport").map(|entry| entry.value.as_str());
        let listed = root.all("nodelist").next().is_some();
        let group = value("mcastaddr").filter(|_| match named {
            Some(transport) => transport == "udp",
            None => !listed,
        });
        if named == Some("iba") && link == 0 {
            let line = totem.get("transport").map_or(0, |entry| entry.line);
            self.note(line, "totem.transport", "no InfiniBand of its own: packets travel by UDP");
        }
        let port = value("mcastport").unwrap_or_else(|| PORT.to_owned());
        if link == 0 {
            let what = format!(
                "port {port} is Corosync's, too: both cannot run on one host at the same time \
                 unless one of them gets another"
            );
            self.note(interface.line, "totem.interface.mcastport", &what);
        }
        Link {
            multicast: group.map(|group| (group, value("ttl").unwrap_or_else(|| "1".to_owned()))),
            port,
            priority: value("knet_link_priority").and_then(|p| p.parse().ok()),
        }
    }

    /// The addresses of a node, one for each link, with their ports.
    fn addresses(&mut self, node: &Node, links: &[Link]) -> Vec<String> {
        let mut addresses = Vec::with_capacity(links.len());
        for (place, link) in links.iter().enumerate() {
            let said = node.addresses.get(place).map_or("", |address| address);
            let name = if said.is_empty() { "no address" } else { said };
            let known: Option<IpAddr> =
                said.parse().ok().or_else(|| (self.circumstances.resolve)(said));
            addresses.push(match (known, &link.port) {
                (Some(ip), port) => with_port(&ip.to_string(), port),
                (None, port) => {
                    self.to_fill_in += 1;
                    let setting = format!("node {}, ring{place}_addr", node.id);
                    let what = format!("{name:?} is no IP address: fill it in");
                    self.note(node.line, &setting, &what);
                    format!("FILL IN the IP address of {name}:{port}")
                }
            });
        }
        addresses
    }

    fn local(&mut self, root: &Section, totem: &Section, here: Option<u32>, out: &mut String) {
        let named = totem.get("nodeid").and_then(|entry| entry.value.parse().ok());
        let node = self.circumstances.node.or(named).or(here);
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
        let logging = root.all("logging").next();
        let debug = logging.and_then(|logging| logging.get("debug"));
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
        let here = taken.iter().find(|(name, _)| *name == path).map_or(&[] as &[_], |(_, k)| *k);
        for entry in &section.entries {
            let is_address = path == "nodelist.node"
                && (entry.key == "nodeid"
                    || entry.key.starts_with("ring") && entry.key.ends_with("_addr"));
            if here.contains(&entry.key.as_str()) || is_address {
                continue;
            }
            if let Some(remark) = remarks::remark(path, &entry.key) {
                self.note(entry.line, &format!("{path}.{}", entry.key), remark);
            }
        }
        for below in &section.sections {
            let dot = if path.is_empty() { "" } else { "." };
            self.remark(below, &format!("{path}{dot}{}", below.name), taken);
        }
    }

    fn note(&mut self, line: usize, setting: &str, what: &str) {
        self.notes.push(Note { line, setting: setting.to_owned(), what: what.to_owned() });
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
