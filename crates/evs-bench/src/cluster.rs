//! A running cluster of whichever system, and how its clients are run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use evs_testkit::netns::Network;
use evs_testkit::{Cluster as Evs, Setup};
use rustix::process::{Pid, Signal, kill_process};

use crate::corosync::Corosync;
use crate::plan::System;
use crate::{Tools, Transport};

/// Daemons of one system. Dropping it kills them and removes their directories.
#[derive(Debug)]
pub(crate) enum Cluster {
    Evs { cluster: Box<Evs>, library: PathBuf },
    Corosync(Corosync),
}

impl Cluster {
    /// Starts a daemon on each host of the network.
    ///
    /// # Errors
    /// One cannot be run.
    pub(crate) fn start(
        tools: &Tools,
        system: System,
        network: &Network,
        nodes: u8,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        if system.is_corosync() {
            let cluster = Corosync::start(&tools.corosync, system, network, nodes, dir)?;
            return Ok(Self::Corosync(cluster));
        }
        let places: Vec<_> = (1..=nodes).map(|node| network.place(node)).collect();
        // Several links are as by default, whatever the transport of others.
        let has_one_link = places.iter().all(|place| place.more.is_empty());
        let cluster_lines = match tools.transport {
            Transport::Multicast if has_one_link => {
                "transport = \"multicast\"\nmulticast_address = \"239.192.7.1:5406\"".to_owned()
            }
            Transport::Multicast | Transport::Unicast => String::new(),
        };
        let setup = Setup {
            name: BENCH.to_owned(),
            sealed: system == System::EvsSealed,
            dir: Some(dir.to_owned()),
            evsd: Some(tools.evsd.clone()),
            places,
            cluster_lines,
            log: "info".to_owned(),
            ..Setup::new(nodes.into())
        };
        let cluster = Box::new(Evs::start(setup)?);
        Ok(Self::Evs { cluster, library: tools.library.clone() })
    }

    /// A command that runs a client of a node's daemon.
    pub(crate) fn client(&self, tools: &Tools, node: u8) -> Command {
        match self {
            Self::Evs { cluster, library } => {
                let mut command = dying_with_us(&tools.load_evs);
                command.env("EVS_SOCKET", cluster.socket(node.into()));
                command.env("LD_LIBRARY_PATH", library);
                command
            }
            Self::Corosync(cluster) => cluster.command(node, &tools.load_cpg),
        }
    }

    /// The sockets of our daemons, for clients that talk to all of them.
    pub(crate) fn sockets(&self) -> Vec<PathBuf> {
        match self {
            Self::Evs { cluster, .. } => {
                cluster.nodes().into_iter().map(|node| cluster.socket(node)).collect()
            }
            Self::Corosync(_) => Vec::new(),
        }
    }

    /// The process ids of the daemons that run.
    pub(crate) fn pids(&self) -> Vec<u32> {
        match self {
            Self::Evs { cluster, .. } => {
                cluster.running().into_iter().filter_map(|node| cluster.pid(node)).collect()
            }
            Self::Corosync(cluster) => cluster.pids(),
        }
    }

    /// Kills a daemon.
    ///
    /// # Errors
    /// It does not run.
    pub(crate) fn kill(&mut self, node: u8) -> anyhow::Result<()> {
        match self {
            Self::Evs { cluster, .. } => cluster.kill(node.into()),
            Self::Corosync(cluster) => cluster.kill(node),
        }
    }

    /// Sends a signal to a daemon.
    ///
    /// # Errors
    /// It does not run.
    pub(crate) fn signal(&self, node: u8, signal: Signal) -> anyhow::Result<()> {
        let pid = match self {
            Self::Evs { cluster, .. } => cluster.pid(node.into()),
            Self::Corosync(cluster) => cluster.pid(node),
        };
        let Some(pid) = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) else {
            bail!("the daemon of node {node} does not run");
        };
        kill_process(pid, signal).context("a daemon of our own")
    }

    /// Why one of our daemons ended a client's session, in its own words.
    pub(crate) fn complaint(&self) -> Option<String> {
        let Self::Evs { cluster, .. } = self else { return None };
        cluster.nodes().into_iter().find_map(|node| {
            let log = cluster.log(node);
            let line = log.lines().rev().find(|line| line.contains("client disconnected"))?;
            let reason = line.split_once("reason=")?.1;
            let reason = reason.split(" messages_sent=").next().unwrap_or(reason);
            Some(format!("; the daemon of node {node} disconnected its client: {reason}"))
        })
    }

    /// The ends of the daemons' logs, for an error.
    pub(crate) fn logs(&self) -> String {
        match self {
            Self::Evs { cluster, .. } => cluster.logs(),
            Self::Corosync(cluster) => cluster.logs(),
        }
    }
}

/// The name of our clusters.
pub(crate) const BENCH: &str = "bench";

/// A command that is killed when the bench ends, however that comes about.
pub(crate) fn dying_with_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}
