//! Daemons on hosts of a network, and a member at each.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use evs_model::{ConfigurationChange, RingId};
use evs_sim::checker::{Judged, check, violations};
use evs_sim::history::{History, View};
use evs_testkit::forwarder::Forwarder;
use evs_testkit::netns::{IpVersion, Network};
use evs_testkit::{Cluster, Setup, until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::member::{Change, Member, Wanted};

/// The detection target where somebody is to be found dead.
pub(crate) const DETECTION: Duration = Duration::from_millis(500);

/// The detection target where nobody may be taken for dead, however busy the machine.
pub(crate) const PATIENT: Duration = Duration::from_secs(2);

/// K of the contract: most configurations that one fault may cost.
pub(crate) const CONFIGURATIONS_MAX: usize = 3;

/// Messages of a burst: the client's queue at the daemon holds them.
pub(crate) const BURST: u64 = 100;

/// B of the contract, with an agreement that takes as long as a detection.
pub(crate) const fn bound(detection: Duration) -> Duration {
    detection.saturating_mul(6)
}

/// A cluster in a network, under the eyes of its members.
pub(crate) struct Scene {
    // In the order in which they have to go.
    pub(crate) cluster: Cluster,
    members: Vec<Member>,
    loaded: bool,
    views: Vec<View>,
    /// Ends after everything is judged: without it nothing passes any more.
    pub(crate) forwarder: Option<Forwarder>,
    pub(crate) network: Network,
}

/// How a scene begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage {
    pub(crate) nodes: u8,
    /// Networks that connect all hosts.
    pub(crate) links: u8,
    /// Hosts without a daemon.
    pub(crate) strangers: u8,
    pub(crate) version: IpVersion,
    pub(crate) multicast: bool,
    /// What the daemons take for the network's MTU; it is 1500.
    pub(crate) mtu_bytes: u32,
    pub(crate) detection: Duration,
    /// Whether packets are sealed; in clear text the network can tell one kind from another.
    pub(crate) sealed: bool,
}

/// Three sealed daemons, unicast, IPv4.
pub(crate) const THREE: Stage = Stage {
    nodes: 3,
    links: 1,
    strangers: 0,
    version: IpVersion::V4,
    multicast: false,
    mtu_bytes: 1500,
    detection: DETECTION,
    sealed: true,
};

impl Stage {
    /// Forms the cluster, has a member join at each node, lets the scene play, and judges what the
    /// members saw.
    pub(crate) fn play(self, act: impl FnOnce(&mut Scene) -> Result<()>) -> Result<()> {
        self.play_from_nothing(|scene| {
            scene.form()?;
            scene.load();
            act(scene)
        })
    }

    /// As [`Stage::play`], with no daemon running at the beginning.
    pub(crate) fn play_from_nothing(
        self,
        act: impl FnOnce(&mut Scene) -> Result<()>,
    ) -> Result<()> {
        let network = Network::with_links(self.nodes + self.strangers, self.version, self.links)?;
        let cluster = Cluster::prepare(self.setup(&network))?;
        let (members, views) = (Vec::new(), Vec::new());
        let mut scene = Scene { cluster, members, loaded: false, views, forwarder: None, network };
        let played = act(&mut scene).and_then(|()| scene.judge());
        let judged = played.with_context(|| scene.cluster.logs())?;
        println!("{judged:?}");
        Ok(())
    }

    /// The setup of the cluster on the first hosts of a network.
    pub(crate) fn setup(self, network: &Network) -> Setup {
        let mut cluster_lines = format!("mtu_bytes = {}\n", self.mtu_bytes);
        for link in 0..if self.multicast { self.links } else { 0 } {
            if self.links > 1 {
                cluster_lines += "[[cluster.links]]\n";
            }
            let group = match self.version {
                IpVersion::V4 => format!("239.192.7.{}:5406", link + 1),
                IpVersion::V6 => format!("[ff15::77:{}]:5406", link + 1),
            };
            cluster_lines += "transport = \"multicast\"\n";
            cluster_lines += &format!("multicast_address = \"{group}\"\n");
        }
        Setup {
            sealed: self.sealed,
            detection: self.detection,
            places: (1..=self.nodes).map(|host| network.place(host)).collect(),
            cluster_lines,
            log: "info".to_owned(),
            ..Setup::new(self.nodes.into())
        }
    }
}

impl Scene {
    /// Waits until one of a node's last changes has a reason of this kind, and returns it.
    pub(crate) fn until_reason(&self, node: u32, kind: &str) -> Result<Value> {
        let question = json!({ "ask": "changes", "last": 5 });
        until(&format!("node {node} knows a reason {kind}"), || {
            let answer = self.cluster.ask(node, &question).ok()?;
            let changes = answer["changes"].as_array()?.iter().rev();
            changes.map(|change| &change["trigger"]).find(|why| why["kind"] == kind).cloned()
        })
        .with_context(|| format!("{:#}", self.cluster.ask(node, &question).unwrap_or_default()))
    }

    /// Waits until one of the last changes of each of these nodes has a reason of this kind that
    /// names exactly these: what others saw comes a moment after the change.
    pub(crate) fn until_named(&self, nodes: &[u32], kind: &str, named: &[u32]) -> Result<()> {
        let question = json!({ "ask": "changes", "last": 5 });
        for node in nodes {
            let ask = || self.cluster.ask(*node, &question);
            until(&format!("node {node} knows a reason {kind} of {named:?}"), || {
                let answer = ask().ok()?;
                let mut reasons = answer["changes"].as_array()?.iter().map(|c| &c["trigger"]);
                reasons.find(|why| why["kind"] == kind && ids(&why["nodes"]) == named).map(drop)
            })
            .with_context(|| format!("{:#}", ask().unwrap_or_default()))?;
        }
        Ok(())
    }

    /// Starts all daemons, waits until they are one ring, and connects a client to each.
    pub(crate) fn form(&mut self) -> Result<()> {
        let nodes = self.cluster.nodes();
        nodes.iter().try_for_each(|node| self.cluster.start_node(*node))?;
        self.cluster.until_members(&nodes)?;
        nodes.into_iter().try_for_each(|node| self.connect(node))
    }

    /// Has a member join at a node. It knows the configuration, and is silent.
    pub(crate) fn connect(&mut self, node: u32) -> Result<()> {
        let member = Member::connect(node, &self.cluster.socket(node), !self.loaded)?;
        member.until("its first event", |log| log.changes.first().map(drop))?;
        self.members.push(member);
        Ok(())
    }

    /// Has all members send from now on.
    pub(crate) fn load(&mut self) {
        self.loaded = true;
        self.members.iter().for_each(|member| member.want(Wanted::Load));
    }

    /// Has every member hand over many messages at once, so that what happens next happens amid
    /// fragments and full windows.
    pub(crate) fn burst(&self) {
        self.members.iter().for_each(|member| member.burst(BURST));
    }

    /// The member at a node.
    pub(crate) fn member(&self, node: u32) -> &Member {
        let found = self.members.iter().find(|member| member.node() == node);
        found.unwrap_or_else(|| panic!("there is a member at node {node}"))
    }

    /// The members at these nodes.
    pub(crate) fn members(&self, nodes: &[u32]) -> Vec<&Member> {
        nodes.iter().map(|node| self.member(*node)).collect()
    }

    /// Kills a daemon, and waits for the end of its member's stream.
    pub(crate) fn kill(&mut self, node: u32) -> Result<Instant> {
        let at = Instant::now();
        self.cluster.kill(node)?;
        self.retire(node)?;
        Ok(at)
    }

    /// Waits for the end of a member's stream, whose daemon is gone, and keeps what it saw.
    pub(crate) fn retire(&mut self, node: u32) -> Result<()> {
        self.member(node).until("the end of its session", |log| log.end.map(drop))?;
        let index = self.members.iter().position(|member| member.node() == node);
        let member = self.members.remove(index.context("there is a member")?);
        self.views.push(member.into_view()?);
        Ok(())
    }

    pub(crate) fn signal(&self, node: u32, signal: Signal) -> Result<Instant> {
        let at = Instant::now();
        self.cluster.signal(node, signal)?;
        Ok(at)
    }

    /// Waits until each of these nodes' members has received so many further messages from each of
    /// these nodes.
    pub(crate) fn until_traffic(&self, nodes: &[u32], messages: u64) -> Result<()> {
        let begun: Vec<_> =
            self.members(nodes).iter().map(|member| member.log().from.clone()).collect();
        for (member, before) in self.members(nodes).into_iter().zip(begun) {
            let count = |from: Option<&u64>| from.copied().unwrap_or(0);
            member.until(&format!("{messages} messages from each of {nodes:?}"), |log| {
                let has = |node| count(log.from.get(node)) - count(before.get(node)) >= messages;
                nodes.iter().all(has).then_some(())
            })?;
        }
        Ok(())
    }

    /// Waits until a regular configuration of exactly these nodes is the last that each of their
    /// members has seen, and it came after the given time. Returns when the last one was told.
    pub(crate) fn until_configuration(&self, nodes: &[u32], since: Instant) -> Result<Instant> {
        let mut told = since;
        for member in self.members(nodes) {
            let change = member.until(&format!("a configuration of {nodes:?}"), |log| {
                let last = log.changes.last()?;
                (last.at >= since && last.is_of(nodes)).then(|| last.clone())
            })?;
            told = told.max(change.at);
        }
        Ok(told)
    }

    /// The configurations that a node's member was told since then.
    pub(crate) fn changes_since(&self, node: u32, since: Instant) -> Vec<Change> {
        let log = self.member(node).log();
        log.changes.iter().filter(|change| change.at >= since).cloned().collect()
    }

    /// The ring of the last regular configuration that a node's member was told of.
    pub(crate) fn last_ring(&self, node: u32) -> Result<RingId> {
        let log = self.member(node).log();
        let ring = log.changes.iter().rev().find_map(|change| match &change.change {
            ConfigurationChange::Regular { ring, .. } => Some(*ring),
            ConfigurationChange::Transitional { .. } => None,
        });
        ring.with_context(|| format!("node {node}'s member was told of no configuration"))
    }

    /// How many regular configurations a node's member was told since then.
    pub(crate) fn configurations_since(&self, node: u32, since: Instant) -> usize {
        self.changes_since(node, since).iter().filter(|change| change.regular().is_some()).count()
    }

    /// Asserts that nothing has changed for any of these nodes since then.
    pub(crate) fn assert_no_change(&self, nodes: &[u32], since: Instant) -> Result<()> {
        for node in nodes {
            let changes = self.changes_since(*node, since);
            ensure!(changes.is_empty(), "LIVE-6: without a fault node {node} saw {changes:#?}");
        }
        Ok(())
    }

    /// Waits until somebody at these nodes is told of a change, for so long at most.
    pub(crate) fn until_change(&self, nodes: &[u32], within: Duration) -> Result<()> {
        let since = Instant::now();
        let newer = |changes: &[Change]| changes.last().is_some_and(|change| change.at >= since);
        if let Some(member) = self.members(nodes).first() {
            member.look_for(within, |log| newer(&log.changes).then_some(()))?;
        }
        Ok(())
    }

    /// Asserts that nothing changes for any of these nodes for so long.
    pub(crate) fn assert_calm(&self, nodes: &[u32], time: Duration) -> Result<()> {
        let since = Instant::now();
        let newer = |changes: &[Change]| changes.last().is_some_and(|change| change.at >= since);
        for member in self.members(nodes) {
            let left = time.saturating_sub(since.elapsed());
            member.look_for(left, |log| newer(&log.changes).then_some(()))?;
        }
        self.assert_no_change(nodes, since)
    }

    /// Asserts that the first two events since then are as a death or a leave is told: the
    /// transitional configuration of those who stay, with who is gone, then the regular one, in
    /// which somebody else is new, or nobody.
    pub(crate) fn assert_told_of_loss(&self, node: u32, gone: u32, since: Instant) -> Result<()> {
        let changes = self.changes_since(node, since);
        let told = changes.iter().map(|change| &change.change).collect::<Vec<_>>();
        let (
            Some(ConfigurationChange::Transitional { members, left, .. }),
            Some(ConfigurationChange::Regular { left: regular_left, .. }),
        ) = (told.first(), told.get(1))
        else {
            bail!("EVS-2: node {node} was told of a loss like this: {changes:#?}");
        };
        let names = |m: &evs_model::Members| crate::member::nodes_of(m);
        ensure!(names(left).contains(&gone), "the transitional one names no {gone}: {changes:#?}");
        ensure!(!names(members).contains(&gone), "{gone} is in the transitional one: {changes:#?}");
        ensure!(names(regular_left).contains(&gone), "the regular one forgot {gone}: {changes:#?}");
        Ok(())
    }

    /// Lets everybody send a last message, waits until everybody has all of them, and holds what
    /// everybody saw against the contract.
    fn judge(&mut self) -> Result<Judged> {
        let nodes: Vec<u32> = self.members.iter().map(Member::node).collect();
        self.members.iter().for_each(|member| member.want(Wanted::Last));
        for member in &self.members {
            member.until("everybody's last message", |log| {
                nodes.iter().all(|node| log.last_of.contains(node)).then_some(())
            })?;
        }
        for member in self.members.drain(..) {
            self.views.push(member.into_view()?);
        }
        let views = std::mem::take(&mut self.views);
        let history = History { views, every_send: true, ..History::default() };
        match check(&history) {
            Ok(judged) => Ok(judged),
            Err(_) => {
                let all: Vec<_> = violations(&history).iter().map(ToString::to_string).collect();
                bail!("the contract is broken:\n{}", all.join("\n"));
            }
        }
    }
}

/// The ids of a list of nodes.
fn ids(nodes: &Value) -> Vec<u32> {
    let ids = nodes.as_array().into_iter().flatten().filter_map(|node| node["node"].as_u64());
    ids.filter_map(|id| u32::try_from(id).ok()).collect()
}
