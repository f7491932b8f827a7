//! The section `[cluster]` by itself: as the daemons agree on it, and as each of them writes it
//! into its own file.

use std::net::SocketAddr;

use evs_model::NodeId;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, TableLike, Value, value};

use crate::reader::{Document, Section};
use crate::{Cluster, Difference, Mistake};

impl Cluster {
    /// Checks the text of a file as far as it is about the cluster.
    ///
    /// # Errors
    /// Every mistake there, in the order of their lines.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let document = Document::new(text);
        let table = document.parse();
        let mut cluster = None;
        if document.is_sound() {
            let mut root = Section::root(&document, &table);
            cluster = Some(crate::cluster(&document, root.section("cluster", true)));
            // It is for somebody else to look at.
            let _ = root.section("local", false);
            root.finish();
        }
        let mistakes = document.finish();
        cluster.filter(|_| mistakes.is_empty()).ok_or(mistakes)
    }

    /// The same with one more node.
    ///
    /// # Errors
    /// What is wrong with that.
    pub fn with_node(&self, node: NodeId, addresses: &[SocketAddr]) -> Result<Self, String> {
        if self.nodes().contains_key(&node) {
            return Err(format!("node {node} is one of the cluster's already"));
        }
        if addresses.len() != self.links.len() {
            let (given, links) = (addresses.len(), self.links.len());
            return Err(format!("{given} addresses for {links} links: there must be one for each"));
        }
        let mut cluster = self.clone();
        for (link, address) in cluster.links.iter_mut().zip(addresses) {
            link.addresses.insert(node, *address);
        }
        cluster.checked()
    }

    /// The same without a node.
    ///
    /// # Errors
    /// What is wrong with that.
    pub fn without_node(&self, node: NodeId) -> Result<Self, String> {
        if !self.nodes().contains_key(&node) {
            let known: Vec<_> = self.nodes().keys().take(16).map(ToString::to_string).collect();
            return Err(format!("node {node} is none of the cluster's: {}", known.join(", ")));
        }
        let mut cluster = self.clone();
        for link in &mut cluster.links {
            link.addresses.remove(&node);
        }
        if cluster.nodes().is_empty() {
            return Err(format!("node {node} is the only one: use `evs leave`"));
        }
        cluster.checked()
    }

    /// By the same rules as a file.
    fn checked(self) -> Result<Self, String> {
        Self::parse(&self.to_toml()).map_err(|mistakes| {
            let said: Vec<_> =
                mistakes.into_iter().map(|m| format!("{}: {}", m.key, m.what)).collect();
            said.join("; ")
        })
    }

    /// What another section has differently, by name, but for the version.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut differences = self.settings().differences(&other.settings());
        differences.retain(|difference| difference.name != "cluster.version");
        differences
    }

    /// Whether a setting can differ while the daemons run: a node comes or goes, or it is one of
    /// those that concern no packet that is under way. What a node is reached by does not change.
    #[must_use]
    pub fn can_become(&self, other: &Self, difference: &Difference) -> bool {
        if self.links.len() != other.links.len() {
            return false;
        }
        if AT_ONCE.contains(&difference.name.as_str()) || is_priority(&difference.name) {
            return true;
        }
        let node = difference.name.strip_prefix("cluster.nodes[");
        let Some(id) = node.and_then(|rest| rest.split(']').next()?.parse().ok()) else {
            return false;
        };
        let Some(node) = NodeId::new(id) else { return false };
        self.nodes().contains_key(&node) != other.nodes().contains_key(&node)
    }

    /// Puts what can change while daemons run of this section, and its version, into the text of a
    /// configuration file, and leaves all else as it is, comments included. What it says already it
    /// is not told again.
    ///
    /// # Errors
    /// The text is none, or its section would not come out as this one.
    pub fn write_into(&self, text: &str) -> Result<String, String> {
        let mut document: DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| error.message().to_owned())?;
        let section = document.get_mut("cluster").and_then(Item::as_table_like_mut);
        let section = section.ok_or("it has no section [cluster]")?;
        section.insert("version", value(i64::try_from(self.version).unwrap_or(i64::MAX)));
        if let Ok(there) = Self::parse(text) {
            self.write_settings(&there, section);
        }
        let nodes = section.get_mut("nodes").ok_or("it has no [[cluster.nodes]]")?;
        match nodes {
            Item::ArrayOfTables(tables) => self.write_nodes(tables),
            // Written in one line, or as nobody would: then all anew.
            Item::None | Item::Value(_) | Item::Table(_) => {
                let mut tables = ArrayOfTables::new();
                self.write_nodes(&mut tables);
                *nodes = Item::ArrayOfTables(tables);
            }
        }
        let text = document.to_string();
        match Self::parse(&text) {
            Ok(written) if written.version == self.version && written.says(self) => Ok(text),
            Ok(_) => Err("the rest of its section [cluster] is not what is in force".to_owned()),
            Err(mistakes) => Err(mistakes.first().map_or_else(String::new, ToString::to_string)),
        }
    }

    fn says(&self, other: &Self) -> bool {
        self.differences(other).is_empty()
    }

    fn write_settings(&self, there: &Self, section: &mut dyn TableLike) {
        let millis = |cluster: &Self| i64::try_from(cluster.detection.as_millis());
        let numbers = [
            ("detection_ms", millis(self).unwrap_or(i64::MAX), millis(there).unwrap_or(i64::MAX)),
            ("message_bytes_max", self.message_bytes_max.into(), there.message_bytes_max.into()),
            ("window_bytes_max", self.window_bytes_max.into(), there.window_bytes_max.into()),
        ];
        for (key, number, _) in numbers.into_iter().filter(|(_, number, there)| number != there) {
            set(section, key, number);
        }
        let links = self.links.iter().zip(&there.links).map(|(link, there)| {
            (link.priority != there.priority).then_some(i64::from(link.priority))
        });
        let links: Vec<_> = links.collect();
        if self.links.len() > 1 && links.iter().any(Option::is_some) {
            write_priorities(&links, section);
        }
    }

    fn write_nodes(&self, tables: &mut ArrayOfTables) {
        let id = |table: &Table| {
            let id = table.get("id").and_then(Item::as_integer)?;
            u32::try_from(id).ok().and_then(NodeId::new)
        };
        tables.retain(|table| id(table).is_some_and(|node| self.nodes().contains_key(&node)));
        let known: Vec<_> = tables.iter().filter_map(id).collect();
        for node in self.nodes().keys().filter(|node| !known.contains(node)) {
            let mut table = Table::new();
            table.insert("id", value(i64::from(node.get())));
            let addresses = self.links.iter().map(|link| link.addresses[node].to_string());
            let addresses: Vec<_> = addresses.collect();
            match &addresses[..] {
                [one] => table.insert("address", value(one)),
                several => table.insert("addresses", value(several.iter().collect::<Array>())),
            };
            tables.push(table);
        }
    }
}

/// Settings that change while the daemons run. (So do `cluster.links[…].priority`.)
const AT_ONCE: [&str; 3] =
    ["cluster.detection_ms", "cluster.message_bytes_max", "cluster.window_bytes_max"];

fn is_priority(name: &str) -> bool {
    name.starts_with("cluster.links[") && name.ends_with("].priority")
}

/// The key and what stands beside it stay as they are.
fn set(table: &mut dyn TableLike, key: &str, number: i64) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(there) => {
            let decor = there.decor().clone();
            *there = number.into();
            *there.decor_mut() = decor;
        }
        None => {
            table.insert(key, value(number));
        }
    }
}

/// One for each link, where it is to change. Where there are no sections for links, all are as
/// those without one.
fn write_priorities(priorities: &[Option<i64>], section: &mut dyn TableLike) {
    let links = section.entry("links").or_insert_with(|| {
        let tables = priorities.iter().map(|_| Table::new());
        Item::ArrayOfTables(tables.collect())
    });
    let changed = priorities.iter().enumerate().filter_map(|(place, new)| Some((place, (*new)?)));
    for (place, priority) in changed {
        match links {
            Item::ArrayOfTables(tables) => {
                if let Some(table) = tables.get_mut(place) {
                    set(table, "priority", priority);
                }
            }
            Item::Value(Value::Array(tables)) => {
                if let Some(Value::InlineTable(table)) = tables.get_mut(place) {
                    set(table, "priority", priority);
                }
            }
            Item::None | Item::Value(_) | Item::Table(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    const FILE: &str = r#"# Ours.
[cluster]
name = "prices" # as on the sign
seal = "none"

# The first host.
[[cluster.nodes]]
id = 1
address = "10.0.0.1:5405" # in the cellar

[[cluster.nodes]]
id = 7
address = "10.0.0.7:5405"

[local] # below the nodes
node = 7
log = "debug"
"#;

    fn node(id: u32) -> NodeId {
        NodeId::new(id).expect("not zero")
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_node_comes_and_goes_in_the_file_and_all_else_stays() {
        let first = Cluster::parse(FILE).expect("right");
        assert_eq!(first.version, 0);
        let more = first.with_node(node(3), &[address("10.0.0.3:5405")]).expect("a new one");
        let more = Cluster { version: 1, ..more };
        let text = more.write_into(FILE).expect("it can be written");
        assert_eq!(Cluster::parse(&text).expect("right"), more);
        for kept in
            ["# Ours.", "# as on the sign", "# The first host.", "# in the cellar", "# below"]
        {
            assert!(text.contains(kept), "{kept} is not in\n{text}");
        }
        assert_eq!(Config::parse(&text).expect("right").local.log, "debug");
        let fewer = Cluster { version: 2, ..more.without_node(node(1)).expect("there") };
        let text = fewer.write_into(&text).expect("it can be written");
        assert_eq!(Cluster::parse(&text).expect("right"), fewer);
        assert!(!text.contains("in the cellar"), "{text}");
        assert_eq!(
            more.write_into(&more.write_into(FILE).expect("once")).expect("twice"),
            more.write_into(FILE).expect("once")
        );
    }

    #[test]
    fn nodes_in_one_line_and_several_links_are_written_too() {
        let text = r#"
            [cluster]
            name = "x"
            nodes = [{ id = 1, addresses = ["10.0.0.1:1", "10.1.0.1:1"] }]
        "#;
        let cluster = Cluster::parse(text).expect("right");
        let addresses = [address("10.0.0.2:1"), address("10.1.0.2:1")];
        let more = cluster.with_node(node(2), &addresses).expect("a new one");
        let written = more.write_into(text).expect("it can be written");
        assert_eq!(Cluster::parse(&written).expect("right"), more);
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_is_wrong() {
        let cluster = Cluster::parse(FILE).expect("right");
        let add = |id, addresses: &[&str]| {
            let addresses: Vec<_> = addresses.iter().map(|a| address(a)).collect();
            cluster.with_node(node(id), &addresses).expect_err("wrong")
        };
        assert!(add(7, &["10.0.0.9:1"]).contains("already"));
        assert!(add(2, &[]).contains("0 addresses for 1 links"));
        assert!(add(2, &["10.0.0.1:5405"]).contains("node 1's address already"));
        assert!(add(2, &["[::1]:5405"]).contains("IPv"));
        assert!(cluster.without_node(node(2)).expect_err("none").contains("none of the cluster's"));
        let alone = cluster.without_node(node(1)).expect("one is left");
        assert!(alone.without_node(node(7)).expect_err("the last").contains("evs leave"));
    }

    #[test]
    fn a_file_that_says_something_else_besides_is_left_alone() {
        let cluster = Cluster { version: 1, ..Cluster::parse(FILE).expect("right") };
        let other = FILE.replace("prices", "wares");
        assert!(cluster.write_into(&other).expect_err("another name").contains("in force"));
        assert!(cluster.write_into("[cluster").is_err());
        assert!(cluster.write_into("[local]").expect_err("none").contains("[cluster]"));
    }

    #[test]
    fn settings_change_in_the_file_where_they_stand_and_are_added_where_they_do_not() {
        let text = FILE.replace("seal = ", "detection_ms = 700 # patient\nseal = ");
        let cluster = Cluster::parse(&text).expect("right");
        let other = Cluster {
            version: 3,
            detection: std::time::Duration::from_millis(1_500),
            window_bytes_max: 1 << 20,
            message_bytes_max: 2_048,
            ..cluster.clone()
        };
        let written = other.write_into(&text).expect("it can be written");
        assert_eq!(Cluster::parse(&written).expect("right"), other);
        for line in ["detection_ms = 1500 # patient", "window_bytes_max = 1048576", "# in the cel"]
        {
            assert!(written.contains(line), "{line} is not in\n{written}");
        }
        let same = Cluster { version: 4, ..cluster }.write_into(&text).expect("it can be written");
        assert!(!same.contains("window_bytes_max"), "a default stays unsaid: {same}");
    }

    #[test]
    fn priorities_change_in_the_file_however_the_links_stand_there() {
        let base = r#"
            [cluster]
            name = "x"
            nodes = [{ id = 1, addresses = ["10.0.0.1:1", "10.1.0.1:1"] }]
        "#;
        let inline = format!("{base}\nlinks = [{{ mtu_bytes = 9000 }}, {{ priority = 3 }}]\n");
        let sections = format!(
            "{base}\n[[cluster.links]]\nmtu_bytes = 9000 # jumbo\n[[cluster.links]]\npriority = 3\n"
        );
        for text in [base, &inline, &sections] {
            let before = Cluster::parse(text).expect("right");
            let mut other = Cluster { version: 1, ..before.clone() };
            (other.links[0].priority, other.links[1].priority) = (9, 0);
            let written = other.write_into(text).expect("it can be written");
            assert_eq!(Cluster::parse(&written).expect("right"), other, "{written}");
            assert_eq!(written.contains("# jumbo"), text.contains("# jumbo"));
        }
    }

    #[test]
    fn only_nodes_and_what_concerns_no_packet_change_while_daemons_run() {
        let cluster = Cluster::parse(FILE).expect("right");
        let can = |text: &str| {
            let other = Cluster::parse(text).expect("right");
            let differences = cluster.differences(&other);
            assert!(!differences.is_empty());
            differences.iter().all(|difference| cluster.can_become(&other, difference))
        };
        assert!(can(&FILE.replace("id = 1", "id = 2")), "one comes, another goes");
        assert!(!can(&FILE.replace("10.0.0.1", "10.0.0.2")), "it is reached elsewhere");
        for line in ["detection_ms = 1000", "message_bytes_max = 2048", "window_bytes_max = 65536"]
        {
            assert!(can(&FILE.replace("seal = ", &format!("{line}\nseal = "))), "{line}");
        }
        for line in
            ["mtu_bytes = 1400", "transport = \"multicast\"\nmulticast_address = \"239.1.1.1:5\""]
        {
            assert!(!can(&FILE.replace("seal = ", &format!("{line}\nseal = "))), "{line}");
        }
        assert!(!can(&FILE.replace("\"none\"", "\"aead\"")));
        assert!(!can(&FILE.replace("prices", "wares")));
        let versioned = FILE.replace("name = \"prices\"", "version = 4\nname = \"prices\"");
        assert_eq!(cluster.differences(&Cluster::parse(&versioned).expect("right")), []);
    }
}
