//! A cluster that has formed, seen by a client at every node, and what its clients measure.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use evs_testkit::netns::Network;
use rustix::process::Signal;

use crate::Tools;
use crate::cluster::Cluster;
use crate::loader::{Line, Loader};
use crate::plan::{Case, Guarantee, System, Timing, Workload};
use crate::stop::{Stop, now_ns};

/// A cluster and its watchers.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) cluster: Cluster,
    pub(crate) nodes: u8,
    /// From the start of the first daemon until all clients saw all nodes, in seconds.
    pub(crate) formed_after: f64,
    watchers: Vec<Loader>,
}

impl Session {
    /// Starts the daemons, and a client at each that waits for all to be there.
    ///
    /// # Errors
    /// Something cannot be run, the cluster does not form, or a signal came.
    pub(crate) fn start(
        tools: &Tools,
        system: System,
        network: &Network,
        nodes: u8,
        dir: &Path,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let begin = now_ns();
        let cluster = Cluster::start(tools, system, network, nodes, dir)?;
        let mut watchers = Vec::new();
        for node in 1..=nodes {
            let mut command = cluster.client(tools, node);
            command.args([format!("node={node}"), format!("nodes={nodes}")]);
            command.args(["workload=watch", "group=watch"]);
            watchers.push(Loader::spawn(node, command)?);
        }
        let mut session = Self { cluster, nodes, formed_after: 0.0, watchers };
        let deadline = Instant::now() + FORM_MAX;
        let formed_at = session.until_members(nodes, nodes, deadline, stop);
        let formed_at = formed_at.with_context(|| {
            format!("{system} does not form of {nodes} nodes\n{}", session.cluster.logs())
        })?;
        session.formed_after = formed_at.saturating_sub(begin) as f64 / 1e9;
        Ok(session)
    }

    /// Ends the clients that watch: they take no part in what is measured.
    pub(crate) fn without_watchers(&mut self) {
        self.watchers.drain(..).for_each(Loader::end);
    }

    /// Waits until the first so many nodes see this number of members, and returns when the last
    /// of them did.
    fn until_members(
        &self,
        nodes: u8,
        members: u8,
        deadline: Instant,
        stop: &Stop,
    ) -> anyhow::Result<u64> {
        let mut last = 0;
        for watcher in self.watchers.iter().take(nodes.into()) {
            loop {
                let line = watcher.next(deadline, stop)?;
                let Line::Members { members: seen, at } = line else {
                    bail!("the watcher of node {} says {line:?}", watcher.node());
                };
                if seen == u32::from(members) {
                    last = last.max(at);
                    break;
                }
            }
        }
        Ok(last)
    }

    /// Lets the last node fail, and returns after how many seconds the last of the others was in
    /// its next configuration.
    ///
    /// # Errors
    /// They are in none in time, or a signal came.
    pub(crate) fn fail(
        mut self,
        workload: Workload,
        network: &Network,
        stop: &Stop,
    ) -> anyhow::Result<f64> {
        // Nothing is left of the start.
        stop.pause(SETTLE)?;
        let victim = self.nodes;
        let begin = now_ns();
        if workload == Workload::FailoverLink {
            network.interface_down(victim)?;
        } else if workload == Workload::FailoverTerm {
            self.cluster.signal(victim, Signal::TERM)?;
        } else if workload == Workload::FailoverStop {
            self.cluster.signal(victim, Signal::STOP)?;
        } else {
            self.cluster.kill(victim)?;
        }
        let deadline = Instant::now() + FAILOVER_MAX;
        let at = self.until_members(victim - 1, victim - 1, deadline, stop);
        let at = at.with_context(|| self.cluster.logs())?;
        if workload == Workload::FailoverLink {
            network.interface_up(victim)?;
        }
        Ok(at.saturating_sub(begin) as f64 / 1e9)
    }
}

/// The words that tell a load generator what to do.
pub(crate) fn words(case: Case, node: u8, nodes: u8, timing: Timing, group: &str) -> Vec<String> {
    let workload = if case.workload.is_stall() {
        "stall"
    } else if case.workload == Workload::LatencyOne {
        "latency"
    } else if case.workload.is_latency() {
        "rate"
    } else {
        "throughput"
    };
    let guarantee = match case.guarantee {
        Guarantee::Agreed => "agreed",
        Guarantee::Safe => "safe",
    };
    vec![
        format!("node={node}"),
        format!("nodes={nodes}"),
        format!("senders={}", case.workload.senders(nodes)),
        format!("group={group}"),
        format!("workload={workload}"),
        format!("size={}", case.size),
        format!("guarantee={guarantee}"),
        format!("warm_ms={}", timing.warm_ms),
        format!("run_ms={}", timing.run_ms),
        format!("rate={}", if case.workload.is_stall() { STALL_RATE } else { RATE }),
    ]
}

/// The moderate rate: messages in a second, the same for all.
pub const RATE: u32 = 1000;

/// What each node sends in a second while a link fails: traffic at every moment, and so little that
/// queues of the own machine are not taken for a slow link.
const STALL_RATE: u32 = 2000;

/// How long a cluster may take to form, and to go on after a failure. Corosync takes 10 s for the
/// latter with many nodes.
const FORM_MAX: Duration = Duration::from_secs(40);
const FAILOVER_MAX: Duration = Duration::from_secs(40);

/// How long a new cluster is left alone before something is done to it.
const SETTLE: Duration = Duration::from_millis(300);
