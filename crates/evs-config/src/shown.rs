//! What a configuration says, defaults included: as TOML, as JSON, and setting by setting.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::{Table, Value};

use crate::{Cluster, Config, LinkSettings, LogFormat, Seal, Transport};

/// Settings by their full names, such as `cluster.detection_ms` or `cluster.nodes[2].address`,
/// where a node goes by its id and a link by its number. No secret is among them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings(pub BTreeMap<String, String>);

/// A setting that two configurations have differently.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// Its full name.
    pub name: String,
    /// What the first says, as it is written in TOML; `None`: nothing.
    pub before: Option<String>,
    /// What the second says.
    pub after: Option<String>,
}

impl Difference {
    /// Whether all nodes must agree on it.
    #[must_use]
    pub fn is_of_cluster(&self) -> bool {
        self.name.starts_with("cluster.")
    }
}

impl Config {
    /// All settings in force.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        flatten("", &Value::Table(self.table()), &mut settings.0);
        settings
    }

    /// The configuration as a complete file: every setting in force, those that have their default
    /// with a word about it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let table = self.table();
        let several = self.cluster.links.len() > 1;
        let defaults = defaults(if several { SEVERAL } else { ONE });
        let (cluster, local) = (&table["cluster"], &table["local"]);
        let mut out = String::new();
        section(&mut out, "[cluster]", cluster, defaults.get("cluster"));
        for array in ["nodes", "links"] {
            let items = cluster.get(array).and_then(Value::as_array).into_iter().flatten();
            let default = defaults["cluster"].get(array).and_then(|items| items.get(0));
            for item in items {
                section(&mut out, &format!("\n[[cluster.{array}]]"), item, default);
            }
        }
        section(&mut out, "\n[local]", local, defaults.get("local"));
        section(&mut out, "\n[local.limits]", &local["limits"], defaults["local"].get("limits"));
        out
    }

    /// As a table of TOML, which a file with these contents would be.
    #[must_use]
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.insert("cluster".to_owned(), Value::Table(self.cluster.table()));
        table.insert("local".to_owned(), Value::Table(self.local_table()));
        table
    }

    fn local_table(&self) -> Table {
        let local = &self.local;
        let path = |path: &std::path::Path| Value::from(path.to_string_lossy().into_owned());
        let format = match local.log_format {
            LogFormat::Auto => "auto",
            LogFormat::Journal => "journal",
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        let numbers = |list: &[u32]| list.iter().map(|n| Value::from(*n)).collect::<Vec<_>>();
        let mut table = Table::from_iter([
            ("node".to_owned(), Value::from(local.node.get())),
            ("key_file".to_owned(), path(&local.key_file)),
            ("socket".to_owned(), path(&local.socket)),
            ("state_dir".to_owned(), path(&local.state_dir)),
            ("log".to_owned(), Value::from(local.log.as_str())),
            ("log_format".to_owned(), Value::from(format)),
            ("allow_uids".to_owned(), numbers(&local.allow_uids).into()),
            ("allow_gids".to_owned(), numbers(&local.allow_gids).into()),
        ]);
        if let Some(interface) = &local.multicast_interface {
            table.insert("multicast_interface".to_owned(), Value::from(interface.as_str()));
        }
        if let Some(priority) = local.realtime_priority {
            table.insert("realtime_priority".to_owned(), Value::from(u32::from(priority)));
        }
        if let Some(lock) = local.lock_memory {
            table.insert("lock_memory".to_owned(), Value::from(lock));
        }
        if let Some(metrics) = local.metrics {
            table.insert("metrics".to_owned(), Value::from(metrics.to_string()));
        }
        let limits = Table::try_from(local.limits).expect("numbers alone");
        table.insert("limits".to_owned(), Value::Table(limits));
        table
    }
}

impl Cluster {
    /// All settings of the section.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        flatten("cluster", &Value::Table(self.table()), &mut settings.0);
        settings
    }

    /// The section as a file of its own, always the same for the same settings.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let table = Value::Table(self.table());
        let file = Table::from_iter([("cluster".to_owned(), table)]);
        toml::to_string(&file).expect("every table can be written")
    }

    /// The section as a table of TOML.
    #[must_use]
    pub fn table(&self) -> Table {
        let cluster = self;
        let seal = match cluster.seal {
            Seal::Aead => "aead",
            Seal::None => "none",
        };
        let detection = u32::try_from(cluster.detection.as_millis()).unwrap_or(u32::MAX);
        let version = u32::try_from(cluster.version).unwrap_or(u32::MAX);
        let mut table = Table::from_iter([
            ("version".to_owned(), Value::from(version)),
            ("name".to_owned(), Value::from(cluster.name.as_str())),
            ("detection_ms".to_owned(), Value::from(detection)),
            ("message_bytes_max".to_owned(), Value::from(cluster.message_bytes_max)),
            ("window_bytes_max".to_owned(), Value::from(cluster.window_bytes_max)),
            ("seal".to_owned(), Value::from(seal)),
        ]);
        let nodes = cluster.nodes().keys().map(|node| {
            let addresses = cluster.links.iter().map(|link| link.addresses[node].to_string());
            let mut addresses: Vec<_> = addresses.collect();
            let (key, value) = match addresses.len() {
                1 => ("address", Value::from(addresses.remove(0))),
                _ => ("addresses", Value::from(addresses)),
            };
            Table::from_iter([("id".to_owned(), Value::from(node.get())), (key.to_owned(), value)])
        });
        table.insert("nodes".to_owned(), nodes.collect::<Vec<_>>().into());
        match &cluster.links[..] {
            [link] => table.extend(link_table(link, false)),
            links => {
                let links: Vec<_> = links.iter().map(|link| link_table(link, true)).collect();
                table.insert("links".to_owned(), links.into());
            }
        }
        table
    }
}

impl Settings {
    /// What another configuration has differently, by name.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let names: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let differences = names.into_iter().map(|name| Difference {
            name: name.clone(),
            before: self.0.get(name).cloned(),
            after: other.0.get(name).cloned(),
        });
        differences.filter(|difference| difference.before != difference.after).collect()
    }
}

fn link_table(link: &LinkSettings, of_several: bool) -> Table {
    let mut table =
        Table::from_iter([("mtu_bytes".to_owned(), Value::from(u32::from(link.mtu_bytes)))]);
    let transport = match link.transport {
        Transport::Unicast => "unicast",
        Transport::Multicast { group, hops } => {
            table.insert("multicast_address".to_owned(), Value::from(group.to_string()));
            table.insert("multicast_hops".to_owned(), Value::from(u32::from(hops)));
            "multicast"
        }
    };
    table.insert("transport".to_owned(), Value::from(transport));
    if of_several {
        table.insert("priority".to_owned(), Value::from(u32::from(link.priority)));
    }
    table
}

/// Names each value. An item of an array goes by its id, or by its place from 0.
fn flatten(path: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{key}"), value, out);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_table) => {
            for (place, item) in items.iter().enumerate() {
                let id = item.get("id").map_or_else(|| place.to_string(), ToString::to_string);
                flatten(&format!("{path}[{id}]"), item, out);
            }
        }
        Value::Array(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::String(_) => {
            out.insert(path.to_owned(), value.to_string());
        }
    }
}

/// Writes one section; what has its default is marked.
fn section(out: &mut String, header: &str, section: &Value, defaults: Option<&Value>) {
    let _ = writeln!(out, "{header}");
    for (key, value) in section.as_table().into_iter().flatten() {
        let nested = value.is_table()
            || value.as_array().is_some_and(|items| items.iter().any(Value::is_table));
        if nested {
            continue;
        }
        let is_default = !REQUIRED.contains(&key.as_str())
            && defaults.and_then(|defaults| defaults.get(key)) == Some(value);
        let _ = writeln!(out, "{key} = {value}{}", if is_default { " # default" } else { "" });
    }
}

/// Keys without a default.
const REQUIRED: [&str; 5] = ["address", "addresses", "id", "name", "node"];

/// Addresses of one link, and of two.
const ONE: &str = "address = \"192.0.2.1:1\"\n";
const SEVERAL: &str = "addresses = [\"192.0.2.1:1\", \"192.0.2.1:2\"]\n";

/// What a file says that says nothing but what it must.
fn defaults(links: &str) -> Table {
    let key = |_: &std::path::Path| Ok(vec![evs_net::ClusterKey::from_bytes(&[0; 32])]);
    let text =
        format!("[cluster]\nname = \"-\"\n[[cluster.nodes]]\nid = 1\n{links}[local]\nnode = 1");
    Config::parse_with(&text, key).expect("it says what it must").table()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [cluster]
        name = "prices"
        seal = "none"
        detection_ms = 750
        [[cluster.nodes]]
        id = 1
        addresses = ["10.0.0.1:5405", "10.1.0.1:5405"]
        [[cluster.nodes]]
        id = 7
        addresses = ["10.0.0.7:5405", "10.1.0.7:5405"]
        [[cluster.links]]
        transport = "multicast"
        multicast_address = "239.192.7.1:5405"
        [[cluster.links]]
        priority = 3
        [local]
        node = 7
        metrics = "127.0.0.1:9580"
        realtime_priority = 9
        lock_memory = false
        allow_uids = [1000, 1001]
        [local.limits]
        clients_max = 10
    "#;

    #[test]
    fn what_is_shown_is_a_file_that_says_the_same() {
        let shown = Config::parse(FILE).expect("right").to_toml();
        let again = Config::parse(&shown).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        assert_eq!(again.to_toml(), shown);
        for line in [
            "detection_ms = 750",
            "message_bytes_max = 1048576 # default",
            "seal = \"none\"",
            "addresses = [\"10.0.0.7:5405\", \"10.1.0.7:5405\"]",
            "multicast_hops = 1",
            "priority = 3",
            "transport = \"unicast\" # default",
            "node = 7",
            "clients_max = 10",
            "groups_per_client_max = 4096 # default",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
        }
    }

    #[test]
    fn every_key_that_a_file_can_have_is_shown() {
        let shown = Config::parse(FILE).expect("right").to_toml();
        let one = shown.replace("addresses", "address");
        for (_, key) in Config::keys() {
            let there = |text: &str| text.lines().any(|l| l.starts_with(&format!("{key} = ")));
            let alone = ["multicast_interface"].contains(&key);
            assert!(alone || there(&shown) || there(&one), "{key} is not in\n{shown}");
        }
    }

    #[test]
    fn a_difference_is_named_by_node_and_link() {
        let before = Config::parse(FILE).expect("right").settings();
        let text = FILE.replace("10.1.0.7", "10.1.0.8").replace("priority = 3", "priority = 4");
        let text = text.replace("metrics = \"127.0.0.1:9580\"", "");
        let after = Config::parse(&text).expect("right").settings();
        let differences = before.differences(&after);
        let names: Vec<_> = differences.iter().map(|d| (&d.name[..], d.is_of_cluster())).collect();
        assert_eq!(
            names,
            [
                ("cluster.links[1].priority", true),
                ("cluster.nodes[7].addresses", true),
                ("local.metrics", false)
            ]
        );
        assert_eq!(differences[0].before.as_deref(), Some("3"));
        assert_eq!(differences[0].after.as_deref(), Some("4"));
        assert_eq!(differences[2].after, None);
        assert_eq!(before.differences(&before), []);
    }
}
