//! Corosync daemons, each in its own network namespace and with directories of its own.
//!
//! A Corosync has its place in `/run`, in `/dev/shm` and in `/var/lib/corosync`, and each there but
//! once. So each daemon, and each of its clients, sees directories of its node in their stead: `ip
//! netns exec` gives every program mounts of its own.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use evs_testkit::netns::{self, Network};

use crate::plan::System;
use crate::workdir;

/// Running daemons: dropping it kills them and removes their directories.
#[derive(Debug)]
pub(crate) struct Corosync {
    program: PathBuf,
    dir: PathBuf,
    /// In memory, where the daemons and their clients exchange messages.
    shared: PathBuf,
    namespaces: Vec<String>,
    /// `None`: it was killed.
    running: Vec<Option<Child>>,
}

impl Corosync {
    /// Starts a daemon on every host of the network. Does not wait for anything to form.
    ///
    /// # Errors
    /// A file cannot be written, or the program cannot be run.
    pub(crate) fn start(
        program: &Path,
        system: System,
        network: &Network,
        nodes: u8,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let mine = dir.file_name().and_then(|name| name.to_str()).context("a directory's name")?;
        let mut cluster = Self {
            program: program.to_owned(),
            dir: dir.to_owned(),
            shared: Path::new(SHARED).join(format!("{}-{mine}", workdir::name())),
            namespaces: (1..=nodes).map(|node| network.namespace(node)).collect(),
            running: Vec::new(),
        };
        cluster.write_files(system, network, nodes)?;
        for node in 1..=nodes {
            let child = cluster.start_node(node)?;
            cluster.running.push(Some(child));
        }
        Ok(cluster)
    }

    fn start_node(&self, node: u8) -> anyhow::Result<Child> {
        let log = File::create(self.node_dir(node).join("output"))?;
        let mut command = self.command(node, &self.program);
        command
            .arg("-f")
            .arg("-c")
            .arg(self.node_dir(node).join("corosync.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} cannot be run", self.program.display()))
    }

    /// A command that runs a program where a node's daemon runs. Its process id is the program's.
    pub(crate) fn command(&self, node: u8, program: &Path) -> Command {
        let mut command = netns::command(&self.namespaces[usize::from(node) - 1], "sh");
        command.args(["-c", ENTER, "sh"]).arg(self.node_dir(node)).arg(self.shared_dir(node));
        command.arg(program);
        command
    }

    /// The process ids of the daemons that run.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.running.iter().flatten().map(Child::id).collect()
    }

    pub(crate) fn pid(&self, node: u8) -> Option<u32> {
        self.running[usize::from(node) - 1].as_ref().map(Child::id)
    }

    /// Kills a daemon.
    ///
    /// # Errors
    /// It does not run.
    pub(crate) fn kill(&mut self, node: u8) -> anyhow::Result<()> {
        let running = self.running[usize::from(node) - 1].take();
        let mut child = running.context("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// The ends of the daemons' logs, for an error.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for node in (1..).take(self.namespaces.len()) {
            for name in ["output", "log"] {
                let log = fs::read_to_string(self.node_dir(node).join(name)).unwrap_or_default();
                let lines: Vec<_> = log.lines().rev().take(LOG_LINES_SHOWN).collect();
                let _ = writeln!(text, "---- {name} of node {node} (its end)");
                lines.iter().rev().for_each(|line| text.push_str(&format!("{line}\n")));
            }
        }
        text
    }

    fn node_dir(&self, node: u8) -> PathBuf {
        self.dir.join(node.to_string())
    }

    fn shared_dir(&self, node: u8) -> PathBuf {
        self.shared.join(node.to_string())
    }

    fn write_files(&self, system: System, network: &Network, nodes: u8) -> anyhow::Result<()> {
        let mut key = [0; KEY_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        for node in 1..=nodes {
            let dir = self.node_dir(node);
            for made in [dir.join("run"), dir.join("lib"), self.shared_dir(node)] {
                fs::create_dir_all(&made).with_context(|| made.display().to_string())?;
            }
            fs::write(dir.join("key"), key)?;
            let text = configuration(system, network, nodes, &dir);
            fs::write(dir.join("corosync.conf"), text)?;
        }
        Ok(())
    }
}

impl Drop for Corosync {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.shared);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Everything that is not said has the default of the package.
fn configuration(system: System, network: &Network, nodes: u8, dir: &Path) -> String {
    let (cipher, hash) = match system == System::CorosyncKnetAes256 {
        true => ("aes256", "sha256"),
        false => ("none", "none"),
    };
    let transport = match system.name().split('-').nth(1) {
        Some(named) if system.is_corosync() => named,
        _ => unreachable!("only Corosync is started here"),
    };
    let dir = dir.display();
    let mut text = format!(
        "totem {{\n  version: 2\n  cluster_name: bench\n  transport: {transport}\n  \
         crypto_cipher: {cipher}\n  crypto_hash: {hash}\n  keyfile: {dir}/key\n"
    );
    if transport == "udp" {
        text.push_str(
            "  interface {\n    ringnumber: 0\n    mcastaddr: 239.192.7.3\n    \
             mcastport: 5405\n  }\n",
        );
    }
    let _ = write!(
        text,
        "}}\nlogging {{\n  to_stderr: no\n  to_syslog: no\n  to_logfile: yes\n  \
         logfile: {dir}/log\n  timestamp: hires\n}}\nnodelist {{\n"
    );
    for node in 1..=nodes {
        let _ = write!(text, "  node {{\n    nodeid: {node}\n    name: n{node}\n");
        let place = network.place(node);
        for (link, address) in [&place.address].into_iter().chain(&place.more).enumerate() {
            let _ = writeln!(text, "    ring{link}_addr: {}", address.ip());
        }
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    text
}

/// What runs a program with a node's directories in the place of the system's.
const ENTER: &str = "mount --bind \"$1/run\" /run && mount --bind \"$2\" /dev/shm && \
                     mount --bind \"$1/lib\" /var/lib/corosync && shift 2 && exec \"$@\"";

/// Where memory can be shared by name.
pub(crate) const SHARED: &str = "/dev/shm";

/// As `corosync-keygen` makes it.
const KEY_BYTES: usize = 256;

const LOG_LINES_SHOWN: usize = 10;
