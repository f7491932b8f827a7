//! The configuration file: what it says, and every way in which it can be wrong.
//!
//! Responsible for: reading the TOML file (`evsd.toml` beside this crate describes each key with
//! its unit, default and range), checking all of it, and naming file, line and key of every
//! mistake, all of them in one go; showing and comparing what it says (`shown.rs`), and making one
//! out of a Corosync file (`corosync/`).
//! Not responsible for: opening anything but the configuration file and the key file; carrying out
//! what it says (`evsd`).
//!
//! The file has two halves. `[cluster]` says what all nodes must agree on and reads the same on
//! each of them; `[local]` is this node's own.

#![forbid(unsafe_code)]

mod cluster;
pub mod corosync;
mod filter;
mod links;
mod reader;
mod shown;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use evs_model::NodeId;
use evs_net::{CLUSTER_NAME_BYTES_MAX, ClusterKey, KeyError};

pub use links::LinkSettings;
use links::Words;
pub use reader::Mistake;
use reader::{Document, Found, Section};
pub use shown::{Difference, Settings};

/// Where `evsd` looks for its configuration unless told otherwise.
pub const DEFAULT_FILE: &str = "/etc/evs/evsd.toml";

/// A configuration in which every value has been checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// What all nodes agree on.
    pub cluster: Cluster,
    /// What concerns this node alone.
    pub local: Local,
    /// The cluster's keys, out of [`Local::key_file`]: the one that seals, and while keys change
    /// the other one. None exactly with [`Seal::None`].
    pub keys: Vec<ClusterKey>,
}

/// The section `[cluster]`: the same on every node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cluster {
    /// How often the section was changed while the cluster ran. The daemons write it.
    pub version: u64,
    /// The cluster's name, 1 to [`CLUSTER_NAME_BYTES_MAX`] bytes. Packets of another cluster are
    /// dropped.
    pub name: String,
    /// How soon a dead node is noticed.
    pub detection: Duration,
    /// The largest message that a client may send, in bytes.
    pub message_bytes_max: u32,
    /// How much is sent at the most in one rotation of the token, in bytes.
    pub window_bytes_max: u32,
    /// Whether packets are sealed.
    pub seal: Seal,
    /// The links, 1 to 8; each has an address of every node.
    pub links: Vec<LinkSettings>,
}

impl Cluster {
    /// All nodes with their addresses on the first link; this one is among them.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<NodeId, SocketAddr> {
        &self.links[0].addresses
    }
}

/// Whether packets are sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Seal {
    /// Encrypted and authenticated with the key in the key file.
    Aead,
    /// Clear text: whoever reaches the network reads and forges everything.
    None,
}

/// How packets for all nodes travel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Transport {
    /// One copy to the address of each node.
    #[default]
    Unicast,
    /// One copy to a multicast address; packets for one node go to that node's address.
    Multicast {
        /// The address and port, the same on all nodes.
        group: SocketAddr,
        /// How many routers may pass a packet on, plus one.
        hops: u8,
    },
}

/// The section `[local]`: this node's own.
#[derive(Clone, Debug)]
pub struct Local {
    /// This node's id; it is in [`Cluster::nodes`].
    pub node: NodeId,
    /// The file with the cluster's key; unused with [`Seal::None`].
    pub key_file: PathBuf,
    /// The Unix socket for clients.
    pub socket: PathBuf,
    /// The directory for what survives a restart.
    pub state_dir: PathBuf,
    /// The network interface for multicast; `None`: the one with this node's address.
    pub multicast_interface: Option<String>,
    /// What is logged: a level, or directives such as `info,evsd::membership=debug`.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// Where metrics are served by HTTP; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// The realtime priority of the ring's thread, 1 to 99; `None`: none.
    pub realtime_priority: Option<u8>,
    /// Whether memory that is used stays in memory; `None`: if the system allows it.
    pub lock_memory: Option<bool>,
    /// Users that may connect besides root and the daemon's own.
    pub allow_uids: Vec<u32>,
    /// Groups whose members may connect besides the group `evs`.
    pub allow_gids: Vec<u32>,
    /// What clients may use.
    pub limits: Limits,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// As for the journal where standard error is the journal, otherwise as text.
    Auto,
    /// To the journal, each line with its fields.
    Journal,
    /// One line of text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The section `[local.limits]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Limits {
    /// Most clients at one time.
    pub clients_max: u32,
    /// Most groups that one client can have joined.
    pub groups_per_client_max: u32,
    /// Most bytes that one client can have handed over and not yet sent.
    pub client_send_bytes_max: u32,
    /// A client for which so many bytes of events wait when another comes is disconnected.
    pub client_event_bytes_max: u32,
}

/// Why a configuration cannot be used: every mistake, with its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    /// The configuration file.
    pub file: PathBuf,
    /// At least one, in the order of their lines.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.mistakes.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:{}{mistake}", self.file.display(), mistake.line.map_or(" ", |_| ""))?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The longest path that a Unix socket can have, in bytes.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Most entries in `allow_uids` and in `allow_gids`.
const ALLOW_MAX: usize = 256;

/// Where to get a file from that is not there.
const NO_FILE: &str = "; begin with a copy of /etc/evs/evsd.toml.example, or with what \
                       `evs config import` makes of a file of Corosync";

/// Longest configuration file that is read, in bytes (`config_bytes_max`).
pub const CONFIG_BYTES_MAX: usize = 1 << 20;

/// Reads a configuration file, or another one of its kind.
///
/// # Errors
/// It cannot be read, is no text, or is longer than [`CONFIG_BYTES_MAX`]: of an endless one no more
/// is read than that.
pub fn read(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let limit = CONFIG_BYTES_MAX as u64 + 1;
    if File::open(file)?.take(limit).read_to_end(&mut bytes)? > CONFIG_BYTES_MAX {
        let why = format!("longer than {CONFIG_BYTES_MAX} bytes, the limit (config_bytes_max)");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    String::from_utf8(bytes).map_err(|error| {
        let text = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = text.iter().filter(|byte| **byte == b'\n').count() + 1;
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not UTF-8"))
    })
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// Every mistake in the file, or why it cannot be read.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::load_with(file, ClusterKey::load_all)
    }

    /// As [`Config::load`], with something else to read the key file ([`Config::parse_with`]).
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(
        file: &Path,
        read_key: impl FnOnce(&Path) -> Result<Vec<ClusterKey>, KeyError>,
    ) -> Result<Self, ConfigError> {
        let wrong = |mistakes| ConfigError { file: file.to_owned(), mistakes };
        let text = read(file).map_err(|error| {
            let hint = if error.kind() == io::ErrorKind::NotFound { NO_FILE } else { "" };
            let what = format!("cannot be read: {error}{hint}");
            wrong(vec![Mistake { line: None, key: String::new(), what }])
        })?;
        Self::parse_with(&text, read_key).map_err(wrong)
    }

    /// Checks the text of a configuration file, the key file that it names included.
    ///
    /// # Errors
    /// Every mistake in the text, in the order of their lines.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        Self::parse_with(text, ClusterKey::load_all)
    }

    /// As [`Config::parse`], with something else to read the key file. It is asked once at most,
    /// and only if nothing is wrong with the text as far as it was read.
    ///
    /// # Errors
    /// As [`Config::parse`].
    pub fn parse_with(
        text: &str,
        read_key: impl FnOnce(&Path) -> Result<Vec<ClusterKey>, KeyError>,
    ) -> Result<Self, Vec<Mistake>> {
        let document = Document::new(text);
        let config = Self::read(&document, read_key);
        let mistakes = document.finish();
        config.filter(|_| mistakes.is_empty()).ok_or(mistakes)
    }

    /// Every key that a configuration can have, after its section: what the reader asks for.
    #[must_use]
    pub fn keys() -> Vec<(String, &'static str)> {
        let document = Document::new("[[cluster.nodes]]\n[[cluster.links]]");
        // One that is far from complete: every key is asked for all the same.
        let _ = Self::read(&document, ClusterKey::load_all);
        let mut keys = document.known();
        let sections: BTreeSet<_> = keys.iter().map(|(section, _)| section.clone()).collect();
        keys.retain(|(section, key)| !sections.contains(&reader::join(section, key)));
        keys
    }

    /// What the document says; `None` only if a mistake was reported.
    fn read(
        document: &Document<'_>,
        read_key: impl FnOnce(&Path) -> Result<Vec<ClusterKey>, KeyError>,
    ) -> Option<Self> {
        let table = document.parse();
        if !document.is_sound() {
            return None;
        }
        let mut root = Section::root(document, &table);
        let cluster = cluster(document, root.section("cluster", true));
        let local = local(document, root.section("local", true), &cluster, read_key);
        root.finish();
        local.map(|(local, keys)| Self { cluster, local, keys })
    }

    /// This node's own address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.cluster.nodes()[&self.local.node]
    }
}

/// Reads `[cluster]`. What is wrong is reported and gets a placeholder, which nobody ever sees.
fn cluster(document: &Document<'_>, mut section: Section<'_>) -> Cluster {
    let version = section.number_or("version", 0..=u64::from(u32::MAX), 0);
    let name = section.text_required("name", "name = \"demo\"");
    let detection = section.number_or("detection_ms", 50..=60_000, 500);
    let message = section.number_or("message_bytes_max", 1024..=16 << 20, 1 << 20);
    let window = section.number_or("window_bytes_max", 64 << 10..=64 << 20, 2 << 20);
    let mtu = section.number_or("mtu_bytes", 1280..=65_535, 1500);
    let seal = section.text_or("seal", "aead");
    let words = Words::read(&mut section);
    let nodes = section.sections_required("nodes");
    let links = section.sections("links");
    section.finish();
    Cluster {
        version: version.value,
        name: name.map_or_else(String::new, |name| self::name(document, name)),
        detection: Duration::from_millis(detection.value),
        message_bytes_max: narrow(message.value),
        window_bytes_max: narrow(window.value),
        seal: choice(document, &seal, &[("aead", Seal::Aead), ("none", Seal::None)]),
        links: links::links(document, nodes, links, (&mtu, &words)),
    }
}

fn name(document: &Document<'_>, name: Found<String>) -> String {
    if name.value.is_empty() || name.value.len() > CLUSTER_NAME_BYTES_MAX {
        let what =
            format!("has {} bytes, the range is 1 to {CLUSTER_NAME_BYTES_MAX}", name.value.len());
        document.report(name.mistake(what));
    } else if name.value.chars().any(char::is_control) {
        document.report(name.mistake("holds a control character"));
    }
    name.value
}

fn node_id(document: &Document<'_>, id: &Found<u64>) -> Option<NodeId> {
    let node = u32::try_from(id.value).ok().and_then(NodeId::new);
    if node.is_none() {
        document.report(id.mistake("is 0, which names nobody; node ids start at 1"));
    }
    node
}

/// Parses the address of a node: one host's, with its port. Names are not looked up, because a
/// daemon that starts before its name server would not find its peers.
///
/// # Errors
/// Why it is none.
pub fn node_address(text: &str) -> Result<SocketAddr, String> {
    let address = socket_address(text, "10.0.0.1:5405")?;
    if address.ip().is_multicast() {
        Err(format!("{address} is a multicast address; a node has an address of its own"))
    } else if address.ip().is_unspecified() {
        Err(format!("{address} is no host's address; say the one that the other nodes can reach"))
    } else {
        Ok(address)
    }
}

fn socket_address(text: &str, like: &str) -> Result<SocketAddr, String> {
    let Ok(address) = text.parse::<SocketAddr>() else {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        let port = like.rsplit(':').next().unwrap_or_default();
        return Err(match bare.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => format!("the port is missing, like \"{ip}:{port}\""),
            Ok(IpAddr::V6(ip)) => format!("the port is missing, like \"[{ip}]:{port}\""),
            Err(_) => {
                let text: String = text.chars().take(64).collect();
                format!("{text:?} is no IP address with a port, like {like:?}")
            }
        });
    };
    if address.port() == 0 {
        return Err(format!("the port is 0, like {like:?} would be right"));
    }
    Ok(address)
}

/// Reads `[local]` and the key file. `None` only if something was reported.
fn local(
    document: &Document<'_>,
    mut section: Section<'_>,
    cluster: &Cluster,
    read_key: impl FnOnce(&Path) -> Result<Vec<ClusterKey>, KeyError>,
) -> Option<(Local, Vec<ClusterKey>)> {
    let node = section.number_required("node", 0..=u64::from(u32::MAX), "node = 1");
    let key_file = section.text_or("key_file", "/etc/evs/key");
    let socket = section.text_or("socket", "/run/evs/evsd.sock");
    let state_dir = section.text_or("state_dir", "/var/lib/evs");
    let interface = section.text("multicast_interface");
    let log = section.text_or("log", "info");
    let format = section.text_or("log_format", "auto");
    let metrics = section.text("metrics");
    let realtime = section.number("realtime_priority", 1..=99);
    let lock_memory = section.flag("lock_memory");
    let allow_uids = section.numbers("allow_uids", ALLOW_MAX);
    let allow_gids = section.numbers("allow_gids", ALLOW_MAX);
    let limits = limits(section.section("limits", false));
    section.finish();

    for path in [&key_file, &socket, &state_dir] {
        if !Path::new(&path.value).is_absolute() {
            document.report(path.mistake("is no absolute path; it must start with /"));
        }
    }
    if socket.value.len() > SOCKET_PATH_BYTES_MAX {
        let bytes = socket.value.len();
        let what = format!("has {bytes} bytes, a socket's path can have {SOCKET_PATH_BYTES_MAX}");
        document.report(socket.mistake(what));
    }
    if let Err(what) = filter::check(&log.value) {
        document.report(log.mistake(what));
    }
    let formats = [
        ("auto", LogFormat::Auto),
        ("journal", LogFormat::Journal),
        ("text", LogFormat::Text),
        ("json", LogFormat::Json),
    ];
    let log_format = choice(document, &format, &formats);
    let keys = keys(document, &key_file, cluster.seal, read_key);
    let node = own_node(document, node?, cluster)?;
    let local = Local {
        node,
        key_file: key_file.value.into(),
        socket: socket.value.into(),
        state_dir: state_dir.value.into(),
        multicast_interface: interface.map(|interface| interface.value),
        log: log.value,
        log_format,
        metrics: metrics.and_then(|found| metrics_address(document, &found)),
        realtime_priority: realtime.and_then(|found| u8::try_from(found.value).ok()),
        lock_memory,
        allow_uids,
        allow_gids,
        limits,
    };
    Some((local, keys))
}

/// Any address of this host, or all of them.
fn metrics_address(document: &Document<'_>, found: &Found<String>) -> Option<SocketAddr> {
    let address = socket_address(&found.value, "127.0.0.1:9580");
    address.map_err(|what| document.report(found.mistake(what))).ok()
}

/// Reads the key file, unless there are mistakes already: one of them may be its path.
fn keys(
    document: &Document<'_>,
    file: &Found<String>,
    seal: Seal,
    read_key: impl FnOnce(&Path) -> Result<Vec<ClusterKey>, KeyError>,
) -> Vec<ClusterKey> {
    if seal == Seal::None || !document.is_sound() {
        return Vec::new();
    }
    read_key(Path::new(&file.value)).unwrap_or_else(|error| {
        document.report(file.mistake(error.to_string()));
        Vec::new()
    })
}

fn own_node(document: &Document<'_>, id: Found<u64>, cluster: &Cluster) -> Option<NodeId> {
    let node = node_id(document, &id)?;
    // With a mistake in the list, this node may be the very entry that could not be read.
    if document.is_sound() && !cluster.nodes().contains_key(&node) {
        let known: Vec<_> = cluster.nodes().keys().take(16).map(ToString::to_string).collect();
        let what = format!("node {node} is not in [[cluster.nodes]]: {}", known.join(", "));
        document.report(id.mistake(what));
    }
    Some(node)
}

fn limits(mut section: Section<'_>) -> Limits {
    let clients = section.number_or("clients_max", 1..=16_384, 1_024);
    let groups = section.number_or("groups_per_client_max", 1..=65_536, 4096);
    let send = section.number_or("client_send_bytes_max", 64 << 10..=1 << 30, 4 << 20);
    let event = section.number_or("client_event_bytes_max", 64 << 10..=1 << 30, 16 << 20);
    section.finish();
    Limits {
        clients_max: narrow(clients.value),
        groups_per_client_max: narrow(groups.value),
        client_send_bytes_max: narrow(send.value),
        client_event_bytes_max: narrow(event.value),
    }
}

/// One of a few words; the first stands in for a word that is none of them.
fn choice<T: Copy>(document: &Document<'_>, found: &Found<String>, words: &[(&str, T)]) -> T {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == found.value) {
        return *value;
    }
    let known: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    let given: String = found.value.chars().take(64).collect();
    document.report(found.mistake(format!("is {given:?}, not {}", known.join(" or "))));
    words[0].1
}

const fn family(address: &SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("every range in this file ends below 2^32")
}
