//! A thousand reloads of files edited at random, right and wrong, while clients send: real daemons
//! on loopback, judged by the contract.

#[path = "../netns/member.rs"]
#[allow(dead_code, reason = "the tests in namespaces use more of it")]
mod member;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use evs_config::Cluster as Section;
use evs_model::NodeId;
use evs_net::ClusterKey;
use evs_sim::checker::{check, violations};
use evs_sim::history::History;
use evs_testkit::{Cluster, Setup, until};
use member::{Member, Wanted};
use serde_json::{Value, json};

const NODES: [u32; 3] = [1, 2, 3];

/// Nodes that are taken in and out, and never run.
const SPARE: std::ops::RangeInclusive<u32> = 4..=9;

const RELOADS: u32 = 1_000;

/// One reload in so many happens on two nodes at once.
const RACES: u32 = 20;

/// What a node's file becomes.
struct Edit {
    text: String,
    /// What becomes of the key file.
    key: Option<ClusterKey>,
    /// Whether it can be taken over, and then whether it changes the cluster.
    expected: Expected,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expected {
    Local,
    Cluster,
    Refused(&'static str),
}

struct World {
    cluster: Cluster,
    rng: fastrand::Rng,
    version: u64,
    spare: BTreeSet<u32>,
}

#[test]
fn a_thousand_random_reloads_under_traffic_disturb_nobody() {
    let setup = Setup {
        detection: Duration::from_secs(3),
        log: "info".to_owned(),
        cluster_lines: "window_bytes_max = 2097152\nmessage_bytes_max = 1048576".to_owned(),
        local_lines: "allow_uids = [1]\n[local.limits]\nclients_max = 100".to_owned(),
        ..Setup::new(3)
    };
    let cluster = Cluster::start(setup).expect("the daemons start");
    cluster.until_members(&NODES).expect("one ring");
    let seed = evs_net::random_u64();
    println!("seed {seed}");
    let rng = fastrand::Rng::with_seed(seed);
    let mut world = World { cluster, rng, version: 0, spare: BTreeSet::new() };
    let before = world.configurations();
    let connect = |node| Member::connect(node, &world.cluster.socket(node), true);
    let members: Vec<_> = NODES.map(connect).into_iter().map(|m| m.expect("a client")).collect();
    members.iter().for_each(|member| member.want(Wanted::Load));
    let mut reloads = 0;
    while reloads < RELOADS {
        if world.rng.u32(..RACES) == 0 {
            world.race();
            reloads += 2;
        } else {
            world.reload();
            reloads += 1;
        }
    }
    assert!(world.version > u64::from(RELOADS) / 10, "{} changes", world.version);
    for node in NODES {
        world.until_written(node);
        assert_eq!(world.section(node), world.section(1), "node {node}");
    }
    assert_eq!(world.configurations(), before, "{}", world.cluster.logs());
    judge(members, &world.cluster);
}

/// What every client saw is held against the contract, after everybody's last message.
fn judge(members: Vec<Member>, cluster: &Cluster) {
    members.iter().for_each(|member| member.want(Wanted::Last));
    for member in &members {
        let all = member.until("everybody's last message", |log| {
            NODES.iter().all(|node| log.last_of.contains(node)).then_some(log.changes.len())
        });
        let changes = all.unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
        assert_eq!(changes, 1, "the configuration that the session began with");
    }
    let views: Vec<_> = members.into_iter().map(|m| m.into_view().expect("whole")).collect();
    let history = History { views, every_send: true, ..History::default() };
    let broken: Vec<_> = violations(&history).iter().map(ToString::to_string).collect();
    assert!(check(&history).is_ok(), "the contract is broken:\n{}", broken.join("\n"));
}

impl World {
    fn text(&self, node: u32) -> String {
        fs::read_to_string(self.cluster.config_file(node)).expect("there")
    }

    fn write(&self, node: u32, text: &str) {
        fs::write(self.cluster.config_file(node), text).expect("written");
    }

    fn section(&self, node: u32) -> Section {
        let text = self.text(node);
        Section::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes:?} in {text}"))
    }

    /// Each daemon writes its own file, in its own time.
    fn until_written(&self, node: u32) {
        until(&format!("node {node} writes version {}", self.version), || {
            (self.section(node).version == self.version).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.text(node), self.cluster.logs()));
    }

    fn configurations(&self) -> Vec<Value> {
        let status = |node| self.cluster.status(node).expect("it answers");
        NODES.map(|node| status(node)["counters"]["ring"]["configurations"].clone()).to_vec()
    }

    fn ask(&self, node: u32) -> Value {
        self.cluster.ask(node, &json!({ "ask": "reload" })).expect("it answers")
    }

    /// One node's file is edited and read again.
    fn reload(&mut self) {
        let node = self.rng.u32(1..=3);
        self.until_written(node);
        let before = self.text(node);
        let Edit { text, key, expected } = self.edit(node, &before);
        self.write(node, &text);
        let key_file = self.cluster.key_file();
        let keys = fs::read(&key_file).expect("there");
        key.into_iter().for_each(|key| fs::write(&key_file, key.to_text()).expect("written"));
        let answer = self.ask(node);
        fs::write(&key_file, keys).expect("written");
        let error = answer["error"].as_str();
        let about = || format!("node {node}: {answer:#}\n{text}\n{}", self.cluster.logs());
        match expected {
            Expected::Refused(why) => {
                assert!(error.is_some_and(|error| error.contains(why)), "{why}: {}", about());
                assert_eq!(self.text(node), text, "{}", about());
                self.write(node, &before);
            }
            Expected::Local => assert!(error.is_none(), "{}", about()),
            Expected::Cluster => {
                assert!(error.is_none() && answer["warning"].is_null(), "{}", about());
                self.version += 1;
                self.spare = self.spare_of(node);
            }
        }
    }

    /// Two nodes change the cluster at once: one of them wins, or one after the other is too late.
    fn race(&mut self) {
        NODES.iter().for_each(|node| self.until_written(*node));
        let first = self.rng.u32(1..=3);
        let nodes = [first, first % 3 + 1];
        let before = nodes.map(|node| self.text(node));
        for (node, before) in nodes.iter().zip(&before) {
            let text = self.spare_changed(before);
            self.write(*node, &text);
        }
        let world = &*self;
        let answers = thread::scope(|scope| {
            let asked = nodes.map(|node| scope.spawn(move || world.ask(node)));
            asked.map(|asked| asked.join().expect("no panic"))
        });
        let won: Vec<_> = (0..2).filter(|place| answers[*place]["error"].is_null()).collect();
        // Both win if they want the same and the second is late enough to find it in force.
        self.version = nodes
            .iter()
            .map(|node| {
                let status = self.cluster.status(*node).expect("it answers");
                status["cluster_version"].as_u64().expect("a number")
            })
            .max()
            .expect("two");
        assert!(!won.is_empty(), "{answers:#?}");
        self.spare = self.spare_of(nodes[won[0]]);
        // Who lost brings its file up to date, as an operator would.
        for place in (0..2).filter(|place| !won.contains(place)) {
            let winner = self.section(nodes[won[0]]);
            let text = winner.write_into(&before[place]).expect("it can be written");
            self.write(nodes[place], &text);
            let answer = self.ask(nodes[place]);
            assert!(answer["error"].is_null(), "{answer:#}");
        }
    }

    fn spare_of(&self, node: u32) -> BTreeSet<u32> {
        let section = self.section(node);
        section.nodes().keys().map(|node| node.get()).filter(|id| SPARE.contains(id)).collect()
    }

    /// The file with one spare node more, or one less.
    fn spare_changed(&mut self, text: &str) -> String {
        let section = Section::parse(text).expect("right");
        let spare = self.rng.u32(SPARE);
        let node = NodeId::new(spare).expect("not zero");
        let changed = if section.nodes().contains_key(&node) {
            section.without_node(node)
        } else {
            section.with_node(node, &[self.spare_address(spare)])
        };
        changed.expect("sensible").write_into(text).expect("it can be written")
    }

    /// Nobody is there.
    fn spare_address(&self, spare: u32) -> SocketAddr {
        let mut address = self.cluster.address(1);
        let host = u8::try_from(spare).expect("small") + 100;
        address.set_ip(std::net::Ipv4Addr::new(127, 255, 255, host).into());
        address
    }

    fn edit(&mut self, node: u32, text: &str) -> Edit {
        let replaced = |key: &str, value: &str| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            let line = lines.iter_mut().find(|line| line.starts_with(&format!("{key} = ")));
            *line.unwrap_or_else(|| panic!("no {key} in {text}")) = format!("{key} = {value}");
            lines.join("\n") + "\n"
        };
        let number = self.rng.u32(10..1000).to_string();
        let level = ["\"info\"", "\"debug\"", "\"warn\""][self.rng.usize(..3)];
        let mut key = None;
        let (text, expected) = match self.rng.u32(..18) {
            0 => (replaced("log", level), Expected::Local),
            1 => (replaced("allow_uids", &format!("[{number}]")), Expected::Local),
            2 => (replaced("clients_max", &number), Expected::Local),
            3 => (format!("{text}# A word.\n"), Expected::Local),
            4 => (text.replacen("[local]", "[local", 1), Expected::Refused("evsd.toml:")),
            5 => {
                (text.replacen("[local]", "[local]\nlgo = 1", 1), Expected::Refused("unknown key"))
            }
            6 => (replaced("name", "\"other\""), Expected::Refused("needs a restart of every")),
            7 => {
                let both = replaced("clients_max", &number).replacen("/state\"", "/other\"", 1);
                (both, Expected::Refused("local.state_dir needs a restart"))
            }
            8 => {
                let twice = self.cluster.address(2);
                let entry = format!("[[cluster.nodes]]\nid = 99\naddress = \"{twice}\"\n\n[local]");
                (text.replacen("[local]", &entry, 1), Expected::Refused("address already"))
            }
            9 if self.version > 0 => {
                let stale = self.spare_changed(text);
                let version = format!("version = {}", self.version);
                let older = format!("version = {}", self.version - 1);
                (stale.replacen(&version, &older, 1), Expected::Refused("is in force"))
            }
            place @ 10..13 => {
                let (key, least, most) = [
                    ("detection_ms", 2_000, 20_000),
                    ("window_bytes_max", 256 << 10, 8 << 20),
                    ("message_bytes_max", 256 << 10, 4 << 20),
                ][place as usize - 10];
                let changed = replaced(key, &self.rng.u32(least..most).to_string());
                let is_new = changed != text;
                (changed, if is_new { Expected::Cluster } else { Expected::Local })
            }
            13 => {
                // Another key in place of the present one is two steps.
                key = Some(ClusterKey::generate());
                let both = self.spare_changed(&replaced("log", level));
                (both, Expected::Refused("one step at a time"))
            }
            _ => (self.spare_changed(text), Expected::Cluster),
        };
        assert!(NODES.contains(&node));
        Edit { text, key, expected }
    }
}
