//! The life of the packages in a fresh system with an init of its own: installed, used, upgraded,
//! removed, purged.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use evs_testkit::until;

use super::base;
use super::machine::Machine;

/// How much the unit exposes at most, as `systemd-analyze security` counts; README.md names it.
const EXPOSURE_MAX: f64 = 1.7;

/// What one does with the packages.
const INSTALL: &str = "apt-get install -y --no-install-recommends /srv/evs/evsd_*.deb \
     /srv/evs/evs-tools_*.deb /srv/evs/libevs4_*.deb /srv/evs/libevs-dev_*.deb";

/// One node, on its own loopback.
const CONFIGURE: &str = r#"
    ip link set lo up
    cat >/etc/evs/evsd.toml <<'END'
[cluster]
name = "trial"
[[cluster.nodes]]
id = 1
address = "127.0.0.1:5405"
[local]
node = 1
END
    evs keygen /etc/evs/key
    chown evs /etc/evs/key
    systemctl start evsd"#;

/// A program that talks to both worlds, for the headers have to go together.
const BOTH: &str = r#"
    cat >/tmp/both.c <<'END'
#include <corosync/cpg.h>
#include <corosync/evs.h>
int main(void) { return CS_OK == 1 && sizeof(cpg_handle_t) == sizeof(evs_handle_t) ? 0 : 1; }
END
    cc -Wall -Wextra -Werror -o /tmp/both /tmp/both.c $(pkg-config --cflags --libs libevs)
    /tmp/both
    rm /tmp/both /tmp/both.c"#;

/// The smallest program, as its reader compiles it; it runs until the daemon goes.
const HELLO: &str = r#"
    cc -Wall -Wextra -Werror -o /tmp/hello /usr/share/doc/libevs-dev/examples/hello.c \
        $(pkg-config --cflags --libs libevs)
    nohup stdbuf -oL /tmp/hello >/tmp/hello.out 2>&1 &
    echo $! >/tmp/hello.pid"#;

/// Installed, the unit, used, privileged, upgraded, removed, purged.
const STEPS: u64 = 7;

/// Goes through all of it; returns how many things were looked at.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn run(dir: &Path) -> Result<u64> {
    let machine = Machine::boot("trial", &base::ensure(dir)?, dir, None)?;
    let before = files(&machine)?;
    let life = || -> Result<()> {
        installed(&machine).context("installing")?;
        check_unit(&machine).context("the unit")?;
        used(&machine).context("using")?;
        privileged(&machine).context("privileges")?;
        upgraded(&machine).context("upgrading")?;
        removed(&machine).context("removing")
    };
    life().with_context(|| {
        machine
            .sh("journalctl --sync; journalctl --no-pager --unit evsd --lines 20")
            .unwrap_or_default()
    })?;
    let left: Vec<_> = files(&machine)?.difference(&before).cloned().collect();
    ensure!(left.is_empty(), "purging leaves {left:?}");
    println!("installed, used, upgraded, removed and purged in a fresh system");
    Ok(STEPS)
}

/// Nothing runs before it is configured, and everything is prepared for that.
fn installed(machine: &Machine) -> Result<()> {
    machine.sh(INSTALL)?;
    machine.sh("systemctl is-enabled evsd && ! systemctl is-active evsd")?;
    expect(machine, "stat -c '%U %G %a' /var/lib/evs", "evs evs 750")?;
    expect(machine, "getent passwd evs | cut -d: -f6,7", "/var/lib/evs:/usr/sbin/nologin")?;
    expect(machine, "systemctl show evsd -P Type -P ConditionResult", "notify\nno")
}

/// Its hardening is what the documents say.
fn check_unit(machine: &Machine) -> Result<()> {
    let warnings = machine.sh("systemd-analyze verify --man=no evsd.service 2>&1")?;
    ensure!(warnings.is_empty(), "systemd-analyze verify says {warnings}");
    let analyse = "systemd-analyze security --offline=true --no-pager evsd.service";
    let table = machine.sh(analyse)?;
    let last = table.lines().last().unwrap_or_default();
    let exposure = last.split(": ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    let exposure: f64 = exposure.with_context(|| format!("no number in {last:?}"))?;
    ensure!(exposure <= EXPOSURE_MAX, "the unit exposes {exposure}, more than {EXPOSURE_MAX}");
    Ok(())
}

/// A node, a program in C, a message.
fn used(machine: &Machine) -> Result<()> {
    machine.sh(CONFIGURE)?;
    running(machine)?;
    unprivileged(machine)?;
    machine.sh(BOTH)?;
    machine.sh(HELLO)?;
    let heard = "grep -q 'hello from C' /tmp/hello.out";
    until("a message that a program in C sent", || machine.sh(heard).ok())?;
    machine.sh("evs send greetings --message 'from the shell'")?;
    let heard = "grep -q 'from the shell' /tmp/hello.out";
    until("a message that the shell sent", || machine.sh(heard).ok())?;
    machine.sh("evs why && evs members")?;
    // The log is in the journal, field by field.
    machine.sh("journalctl -u evsd EVS_CAUSE=start -o cat | grep '^membership changed ring='")?;
    expect(machine, "journalctl -u evsd EVS_CAUSE=start -o cat --output-fields=PRIORITY", "6")
}

/// The daemon runs as its own user, says so to its manager, and orders messages.
fn running(machine: &Machine) -> Result<()> {
    expect(machine, "systemctl is-active evsd", "active")?;
    expect(machine, "ps -o user= -p $(systemctl show -P MainPID evsd)", "evs")?;
    let operational = || machine.sh("evs status | grep -i operational").ok();
    until("a node that is operational", operational).map(drop)
}

/// It has no capability, and cannot come to one.
fn unprivileged(machine: &Machine) -> Result<()> {
    let capabilities = "grep -c -E '^Cap(Prm|Eff|Bnd|Amb):\\s0+$' \
         /proc/$(systemctl show -P MainPID evsd)/status";
    expect(machine, capabilities, "4")
}

/// What is optional and cannot be had is said and does no harm; it is granted to a unit that allows
/// it.
fn privileged(machine: &Machine) -> Result<()> {
    expect(machine, "systemctl show -P LimitMEMLOCK evsd", "infinity")?;
    machine.sh(LIMIT)?;
    machine.sh("printf 'realtime_priority = 5\\nlock_memory = true\\n' >>/etc/evs/evsd.toml")?;
    machine.sh("systemctl restart evsd")?;
    running(machine)?;
    let status = machine.sh("evs status")?;
    for key in ["local.realtime_priority refused: ", "local.lock_memory refused: "] {
        ensure!(status.contains(key), "{key}is not in {status}");
    }
    machine.sh(ALLOW)?;
    machine.sh("systemctl restart evsd")?;
    running(machine)?;
    let status = machine.sh("evs status")?;
    ensure!(!status.contains("refused: "), "refused all the same: {status}");
    let thread = "chrt --pid $(systemctl show -P MainPID evsd)";
    let is_realtime = machine.sh(thread)?;
    ensure!(is_realtime.contains("SCHED_RR") && is_realtime.contains(": 5"), "{is_realtime}");
    let locked = "grep VmLck: /proc/$(systemctl show -P MainPID evsd)/status";
    ensure!(!machine.sh(locked)?.contains(" 0 kB"), "no memory is locked");
    machine.sh("rm -r /etc/systemd/system/evsd.service.d && systemctl daemon-reload").map(drop)
}

/// Memory cannot be locked.
const LIMIT: &str = r#"
    mkdir /etc/systemd/system/evsd.service.d
    printf '[Service]\nLimitMEMLOCK=64K\n' >/etc/systemd/system/evsd.service.d/limit.conf
    systemctl daemon-reload"#;

/// Allows what is optional: by capabilities, for a system inside another cannot raise its limits.
const ALLOW: &str = r#"
    mkdir -p /etc/systemd/system/evsd.service.d
    cat >/etc/systemd/system/evsd.service.d/allow.conf <<'END'
[Service]
RestrictRealtime=no
AmbientCapabilities=CAP_SYS_NICE CAP_IPC_LOCK
CapabilityBoundingSet=CAP_SYS_NICE CAP_IPC_LOCK
END
    systemctl daemon-reload"#;

/// Once more over itself: the node comes back by itself, and what the administrator wrote stays.
fn upgraded(machine: &Machine) -> Result<()> {
    machine.sh("echo '# mine' | tee -a /etc/evs/evsd.toml >>/etc/evs/evsd.toml.example")?;
    let kept = "cat /etc/evs/* | sha256sum";
    let (key, process) = (machine.sh(kept)?, machine.sh("systemctl show -P MainPID evsd")?);
    machine.sh(&INSTALL.replace("install -y", "install -y --reinstall"))?;
    ensure!(machine.sh(kept)? == key, "a file in /etc/evs has changed");
    running(machine)?;
    let now = machine.sh("systemctl show -P MainPID evsd")?;
    ensure!(now != process, "the old daemon still runs");
    // The program in C was told, and ended well.
    let ended = "! kill -0 $(cat /tmp/hello.pid) 2>/dev/null";
    until("a program in C that ends with its daemon", || machine.sh(ended).ok())?;
    machine.sh("rm /tmp/hello*").map(drop)
}

/// First what was installed, then what was written.
fn removed(machine: &Machine) -> Result<()> {
    let packages = "evsd evs-tools libevs4 libevs-dev";
    machine.sh(&format!("apt-get remove -y {packages}"))?;
    machine.sh("! systemctl is-active evsd && test -f /etc/evs/key -a ! -e /usr/sbin/evsd")?;
    machine.sh(&format!("dpkg --purge {packages}"))?;
    machine.sh("! ldconfig -p | grep libevs").map(drop)
}

fn expect(machine: &Machine, script: &str, expected: &str) -> Result<()> {
    let said = machine.sh(script)?;
    ensure!(said.trim() == expected, "{script}: {:?} instead of {expected:?}", said.trim());
    Ok(())
}

/// The files of the system, without those that change by themselves and those of the users, of whom
/// the daemon's stays.
fn files(machine: &Machine) -> Result<BTreeSet<String>> {
    let list = machine.sh("find / -xdev")?;
    let own = list.lines().filter(|file| !CHANGING.iter().any(|begin| file.starts_with(begin)));
    Ok(own.map(str::to_owned).collect())
}

/// What a package manager, a journal and a user database write.
const CHANGING: [&str; 10] = [
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/.pwd.lock",
    "/tmp/systemd-private-",
    "/var/cache/",
    "/var/lib/apt/",
    "/var/lib/dpkg/",
    "/var/log/",
];
