//! A cluster of daemons.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use evs_net::ClusterKey;
use rustix::process::{Pid, Signal, kill_process};

use crate::{NextVersion, RawClient, evsd_binary, netns, until};

/// What kind of cluster is wanted.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many nodes: their ids are 1 to this number. With [`Setup::places`] those count.
    pub nodes: u32,
    /// The cluster's name.
    pub name: String,
    /// Whether packets are sealed.
    pub sealed: bool,
    /// The detection target; short by default, as tests wait for deaths.
    pub detection: Duration,
    /// Where everything is put. `None`: a temporary directory that goes with the cluster.
    pub dir: Option<PathBuf>,
    /// The daemon's binary. `None`: [`evsd_binary`].
    pub evsd: Option<PathBuf>,
    /// Where each node runs, from node 1 on. Empty: all on loopback.
    pub places: Vec<Place>,
    /// More lines for the section `[cluster]` of every node.
    pub cluster_lines: String,
    /// More lines for the section `[local]` of every node.
    pub local_lines: String,
    /// The level of the daemons' logs.
    pub log: String,
}

impl Setup {
    /// A sealed unicast cluster of this many nodes in a temporary directory.
    #[must_use]
    pub fn new(nodes: u32) -> Self {
        Self {
            nodes,
            name: "test".to_owned(),
            sealed: true,
            detection: Duration::from_millis(500),
            dir: None,
            evsd: None,
            places: Vec::new(),
            cluster_lines: String::new(),
            local_lines: String::new(),
            log: "debug".to_owned(),
        }
    }
}

/// Which build of the daemon runs on a node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Build {
    /// The binary.
    pub evsd: PathBuf,
    /// Of a build that claims the next version: whether it forgets those before.
    pub alone: bool,
}

/// Where a node runs: a network namespace, and the address that it has there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The name of the namespace.
    pub namespace: String,
    /// The node's UDP address.
    pub address: SocketAddr,
    /// Its addresses on further links.
    pub more: Vec<SocketAddr>,
}

/// Daemons as processes on loopback or in network namespaces. Dropping it kills them all.
#[derive(Debug)]
pub struct Cluster {
    setup: Setup,
    dir: PathBuf,
    dir_is_ours: bool,
    evsd: PathBuf,
    /// Nodes that run another build than `evsd`.
    builds: BTreeMap<u32, Build>,
    addresses: BTreeMap<u32, SocketAddr>,
    running: BTreeMap<u32, Child>,
}

impl Cluster {
    /// Writes the files and starts every node. Does not wait for anything to form.
    ///
    /// # Errors
    /// A file cannot be written, or the daemon cannot be run.
    pub fn start(setup: Setup) -> anyhow::Result<Self> {
        let mut cluster = Self::prepare(setup)?;
        for node in cluster.nodes() {
            cluster.start_node(node)?;
        }
        Ok(cluster)
    }

    /// Writes the files and starts nothing.
    ///
    /// # Errors
    /// A file cannot be written, or the daemon cannot be built.
    pub fn prepare(setup: Setup) -> anyhow::Result<Self> {
        let evsd = match &setup.evsd {
            Some(named) => named.clone(),
            None => evsd_binary()?,
        };
        let (dir, dir_is_ours) = match &setup.dir {
            Some(named) => (std::path::absolute(named)?, false),
            None => (temporary_dir()?, true),
        };
        let addresses = match setup.places.len() {
            0 => free_addresses(setup.nodes)?,
            _ => (1..).zip(setup.places.iter().map(|place| place.address)).collect(),
        };
        let (builds, running) = (BTreeMap::new(), BTreeMap::new());
        let cluster = Self { setup, dir, dir_is_ours, evsd, builds, addresses, running };
        cluster.write_files()?;
        Ok(cluster)
    }

    /// The ids of all nodes, running or not.
    #[must_use]
    pub fn nodes(&self) -> Vec<u32> {
        self.addresses.keys().copied().collect()
    }

    /// The ids of the nodes that were started and not stopped since.
    #[must_use]
    pub fn running(&self) -> Vec<u32> {
        self.running.keys().copied().collect()
    }

    /// The directory with everything.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A node's UDP address.
    ///
    /// # Panics
    /// There is no such node.
    #[must_use]
    pub fn address(&self, node: u32) -> SocketAddr {
        self.addresses[&node]
    }

    fn place(&self, node: u32) -> Option<&Place> {
        let index = usize::try_from(node).ok()?.checked_sub(1)?;
        self.setup.places.get(index)
    }

    /// A node's socket for clients.
    #[must_use]
    pub fn socket(&self, node: u32) -> PathBuf {
        self.node_dir(node).join("evsd.sock")
    }

    /// A node's configuration file.
    #[must_use]
    pub fn config_file(&self, node: u32) -> PathBuf {
        self.node_dir(node).join("evsd.toml")
    }

    /// The key file of the cluster.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.dir.join("key")
    }

    /// What a node has logged since its first start.
    #[must_use]
    pub fn log(&self, node: u32) -> String {
        fs::read_to_string(self.log_file(node)).unwrap_or_default()
    }

    /// Waits until a node has logged a line with all these pieces, and returns the first such line.
    /// The log is written beside everything else, and may come after what it tells of.
    ///
    /// # Errors
    /// It has not.
    pub fn until_logged(&self, node: u32, pieces: &[&str]) -> anyhow::Result<String> {
        let has_all = |line: &&str| pieces.iter().all(|piece| line.contains(piece));
        until(&format!("node {node} logs {pieces:?}"), || {
            self.log(node).lines().find(has_all).map(str::to_owned)
        })
        .with_context(|| self.logs())
    }

    /// A node's process id, if it runs.
    #[must_use]
    pub fn pid(&self, node: u32) -> Option<u32> {
        self.running.get(&node).map(Child::id)
    }

    /// Has a node run another build from its next start on.
    pub fn install(&mut self, node: u32, build: Build) {
        self.builds.insert(node, build);
    }

    /// Starts a node that does not run.
    ///
    /// # Errors
    /// It cannot be run, or runs already.
    pub fn start_node(&mut self, node: u32) -> anyhow::Result<()> {
        if self.running.contains_key(&node) {
            bail!("node {node} runs already");
        }
        let build = self.builds.get(&node);
        let evsd = build.map_or(&self.evsd, |build| &build.evsd);
        let mut command = match self.place(node) {
            None => Command::new(evsd),
            Some(place) => netns::command(&place.namespace, evsd),
        };
        if build.is_some_and(|build| build.alone) {
            command.env(NextVersion::ALONE, "1");
        }
        let child = self.spawn_as(command, &self.config_file(node), &self.log_file(node))?;
        self.running.insert(node, child);
        Ok(())
    }

    /// Runs a daemon beside the cluster, with a configuration file of the caller's. The caller
    /// ends it.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn spawn(&self, config: &Path, log: &Path) -> anyhow::Result<Child> {
        self.spawn_as(Command::new(&self.evsd), config, log)
    }

    fn spawn_as(&self, mut command: Command, config: &Path, log: &Path) -> anyhow::Result<Child> {
        let log = File::options().create(true).append(true).open(log)?;
        command
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // A Ctrl-C at the terminal is for whoever runs the cluster, which stops it in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} cannot be run", self.evsd.display()))
    }

    /// Kills a node without warning (SIGKILL).
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self, node: u32) -> anyhow::Result<()> {
        let mut child = self.running.remove(&node).context("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Sends a signal to a node.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, node: u32, signal: Signal) -> anyhow::Result<()> {
        let child = self.running.get(&node).context("it does not run")?;
        let pid = Pid::from_child(child);
        Ok(kill_process(pid, signal)?)
    }

    /// Stops a node in order (SIGTERM) and waits for its end.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub fn stop(&mut self, node: u32) -> anyhow::Result<ExitStatus> {
        self.signal(node, Signal::TERM)?;
        self.until_exit(node)
    }

    /// Waits for a node's end.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub fn until_exit(&mut self, node: u32) -> anyhow::Result<ExitStatus> {
        let child = self.running.get_mut(&node).context("it does not run")?;
        let status = until_exit(child)?;
        self.running.remove(&node);
        Ok(status)
    }

    /// A node's status report.
    ///
    /// # Errors
    /// The node cannot be asked.
    pub fn status(&self, node: u32) -> anyhow::Result<serde_json::Value> {
        RawClient::open(&self.socket(node), "testkit")?.0.status()
    }

    /// A node's answer to a question (`docs/reports.md`).
    ///
    /// # Errors
    /// The node cannot be asked.
    pub fn ask(
        &self,
        node: u32,
        question: &serde_json::Value,
    ) -> anyhow::Result<serde_json::Value> {
        RawClient::open(&self.socket(node), "testkit")?.0.ask(question)
    }

    /// Waits until a node lets clients in.
    ///
    /// # Errors
    /// It does not.
    pub fn until_open(&self, node: u32) -> anyhow::Result<()> {
        until(&format!("node {node} lets clients in"), || {
            RawClient::open(&self.socket(node), "testkit").ok().map(drop)
        })
        .with_context(|| self.logs())
    }

    /// Waits until these nodes are in one ring with exactly these members.
    ///
    /// # Errors
    /// They are not.
    pub fn until_members(&self, nodes: &[u32]) -> anyhow::Result<()> {
        until(&format!("one ring of {nodes:?}"), || {
            let rings: Option<Vec<_>> = nodes.iter().map(|node| self.ring(*node, nodes)).collect();
            let rings = rings?;
            rings.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
        })
        .with_context(|| self.logs())
    }

    /// The ring that a node is in, if it is operational and has exactly these members.
    fn ring(&self, node: u32, nodes: &[u32]) -> Option<serde_json::Value> {
        let status = self.status(node).ok()?;
        let members: Vec<u64> = status["ring"]["members"]
            .as_array()?
            .iter()
            .filter_map(|member| member["node"].as_u64())
            .collect();
        let wanted = nodes.iter().map(|node| u64::from(*node));
        let settled = status["ring"]["state"] == "operational" && members.into_iter().eq(wanted);
        settled.then(|| status["ring"]["id"].clone())
    }

    /// The ends of all logs, for the message of a test that fails.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for node in self.nodes() {
            let log = self.log(node);
            let lines: Vec<_> = log.lines().rev().take(LOG_LINES_SHOWN).collect();
            let _ = writeln!(text, "---- log of node {node} (its end)");
            for line in lines.into_iter().rev() {
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }

    fn node_dir(&self, node: u32) -> PathBuf {
        self.dir.join(node.to_string())
    }

    fn log_file(&self, node: u32) -> PathBuf {
        self.node_dir(node).join("evsd.log")
    }

    fn write_files(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.dir).with_context(|| self.dir.display().to_string())?;
        let key = self.key_file();
        if self.setup.sealed && !key.exists() {
            ClusterKey::generate().create(&key)?;
        }
        for node in self.nodes() {
            let dir = self.node_dir(node);
            fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
            let file = self.config_file(node);
            fs::write(&file, self.config(node)).with_context(|| file.display().to_string())?;
        }
        Ok(())
    }

    /// The text of a node's configuration file.
    #[must_use]
    pub fn config(&self, node: u32) -> String {
        let setup = &self.setup;
        let seal = if setup.sealed { "aead" } else { "none" };
        let mut text = format!(
            "[cluster]\nname = {:?}\ndetection_ms = {}\nseal = {seal:?}\n{}\n",
            setup.name,
            setup.detection.as_millis(),
            setup.cluster_lines
        );
        for (id, address) in &self.addresses {
            let more = self.place(*id).map_or(&[][..], |place| &place.more);
            let _ = write!(text, "\n[[cluster.nodes]]\nid = {id}\n");
            let all: Vec<_> = [address].into_iter().chain(more).map(ToString::to_string).collect();
            let _ = match more.len() {
                0 => writeln!(text, "address = \"{address}\""),
                _ => writeln!(text, "addresses = {all:?}"),
            };
        }
        let dir = self.node_dir(node);
        let _ = write!(
            text,
            "\n[local]\nnode = {node}\nkey_file = {:?}\nsocket = {:?}\nstate_dir = {:?}\n\
             log = {:?}\n{}\n",
            self.key_file(),
            self.socket(node),
            dir.join("state"),
            setup.log,
            setup.local_lines
        );
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if self.dir_is_ours {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Waits for the end of a process; one that does not end is killed.
///
/// # Errors
/// It did not end.
pub fn until_exit(child: &mut Child) -> anyhow::Result<ExitStatus> {
    let status = until("the process ends", || child.try_wait().ok().flatten());
    if status.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    status
}

/// A directory whose path is short enough for a socket's.
fn temporary_dir() -> anyhow::Result<PathBuf> {
    let dir = std::env::temp_dir().join(format!("evs-{:012x}", evs_net::random_u64() >> 16));
    fs::create_dir(&dir).with_context(|| format!("{} cannot be created", dir.display()))?;
    Ok(dir)
}

/// One address per node: a random network inside 127.0.0.0/8, so that clusters of tests that run
/// at the same time cannot meet, and ports that are free at this moment.
fn free_addresses(nodes: u32) -> anyhow::Result<BTreeMap<u32, SocketAddr>> {
    let host = Ipv4Addr::new(127, fastrand::u8(1..=254), fastrand::u8(0..=255), 1);
    let sockets: Result<Vec<_>, _> =
        (0..nodes).map(|_| UdpSocket::bind(SocketAddr::from((host, 0)))).collect();
    let sockets = sockets.context("no free port")?;
    let addresses = sockets.iter().map(UdpSocket::local_addr);
    (1..=nodes).zip(addresses).map(|(node, address)| Ok((node, address?))).collect()
}

const LOG_LINES_SHOWN: usize = 40;
