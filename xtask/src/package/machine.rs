//! A running system of its own, with its own init: processes, files, network and names are apart
//! from those of this machine, and nothing of it is left when it is dropped.
//!
//! Not responsible for: its network, which `evs_testkit::netns` makes.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use evs_testkit::until;

/// The script that the system begins with.
const BOOT: &str = include_str!("boot.sh");

/// What a command finds around it.
const ENVIRONMENT: [&str; 3] =
    ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"];

/// How large its shared memory is: far less than a daemon for many clients would fill.
const SHM: &str = "64k";

/// One system. Dropping it ends all that runs in it.
#[derive(Debug)]
pub(super) struct Machine {
    name: String,
    unshare: Child,
    /// The process that is its init.
    init: u32,
}

impl Machine {
    /// Boots a system over the files in `base`, which see `share` as `/srv/evs`; in a network
    /// namespace that is there, or in one of its own, where only the loopback is.
    ///
    /// # Errors
    /// The system does not come up: this process is not root, or may not make namespaces.
    pub(super) fn boot(
        name: &str,
        base: &Path,
        share: &Path,
        namespace: Option<&str>,
    ) -> Result<Self> {
        let scratch = share.join("machines").join(name);
        fs::create_dir_all(&scratch).with_context(|| scratch.display().to_string())?;
        // Whatever becomes of this process, the system ends with it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        match namespace {
            Some(name) => {
                let network = format!("--net=/run/netns/{name}");
                command.args(["nsenter", &network, "unshare"]);
            }
            None => {
                command.args(["unshare", "--net"]);
            }
        }
        command.args(["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork"]);
        command.args(["--kill-child", "sh", "-c", BOOT, "boot"]);
        command.arg(base).arg(&scratch).arg(share).arg(SHM);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut unshare = command.spawn().context("cannot run setpriv")?;
        let init = until("the first process of a system", || match unshare.try_wait() {
            Ok(None) => child_of(unshare.id()).map(Some),
            Ok(Some(_)) | Err(_) => Some(None),
        })?;
        let init = init.with_context(|| format!("the system {name} could not be made"))?;
        let machine = Self { name: name.to_owned(), unshare, init };
        let ready = "[ \"$(systemctl is-system-running)\" = running ]";
        until("a system that runs", || machine.sh(ready).ok()).with_context(|| {
            let failed = machine.sh("systemctl --failed --no-legend; systemctl list-jobs");
            format!("{}: {}", machine.name, failed.unwrap_or_default())
        })?;
        Ok(machine)
    }

    /// Runs a script, which ends at its first failure, as root; returns what it wrote.
    ///
    /// # Errors
    /// It failed; the error says what it wrote to both its outputs.
    pub(super) fn sh(&self, script: &str) -> Result<String> {
        let init = self.init.to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &init, "--all", "env", "-i"]).args(ENVIRONMENT);
        command.args(["sh", "-euc", &format!("cd /\n{script}")]).stdin(Stdio::null());
        let output = command.output().context("cannot run nsenter")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let more = String::from_utf8_lossy(&output.stderr);
            bail!("{}: {}: {script}\n{text}{more}", self.name, output.status);
        }
        Ok(text)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

/// The process that another one has begun.
fn child_of(process: u32) -> Option<u32> {
    let file = format!("/proc/{process}/task/{process}/children");
    fs::read_to_string(file).ok()?.split(' ').next()?.parse().ok()
}
