//! Networks of network namespaces: hosts with one interface each, on one switch, or with several,
//! each on a switch of its own; all inside this machine and apart from its own network. They can be
//! cut, made lossy and slow.
//!
//! Responsible for: making and removing namespaces, and what goes wrong in a network.
//! Not responsible for: what runs in them (see [`Setup::places`](crate::Setup::places)).
//!
//! All of it needs root and the programs of the Debian packages iproute2 and nftables. Namespaces
//! are called `evs-<process id>-<count>-<host>`; those that a killed process left behind are
//! removed by the next one. The switch is a bridge in a namespace of its own, so nothing but the
//! names shows outside.

mod kinds;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context as _, anyhow, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::Place;

/// Where the system keeps the names of namespaces.
const NAMES: &str = "/run/netns";

/// The UDP port of every node: each has a host of its own.
pub(crate) const PORT: u16 = 5405;

/// Most hosts of one network.
const HOSTS_MAX: u8 = 64;

/// The interface of every host on the first link.
pub const INTERFACE: &str = "eth0";

/// A host's interface to which its address was moved.
const MOVED: &str = "moved";

/// Which IP version a network speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Hosts 1 to n on one switch, each a network namespace. Dropping it removes them.
#[derive(Debug)]
pub struct Network {
    prefix: String,
    version: IpVersion,
    hosts: u8,
    links: u8,
    purpose: Purpose,
}

/// What a network is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Purpose {
    /// It can be filtered, and each packet goes alone, so that a lost packet is one, as on a wire.
    Faults,
    /// As fast as the kernel can: batches of packets stay whole, and there is no filter.
    Speed,
}

impl Network {
    /// Makes the namespaces, connects them and gives each host its address; the MTU is 1500.
    ///
    /// # Errors
    /// This process is not root, a program is missing, or the system refuses; nothing is left.
    pub fn new(hosts: u8, version: IpVersion) -> anyhow::Result<Self> {
        Self::with_links(hosts, version, 1)
    }

    /// As [`Network::new`], with so many interfaces at each host, each on a switch of its own.
    ///
    /// # Errors
    /// As there.
    pub fn with_links(hosts: u8, version: IpVersion, links: u8) -> anyhow::Result<Self> {
        Self::with_purpose(hosts, version, links, Purpose::Faults)
    }

    /// As [`Network::new`], for measuring: the kernel may carry batches of packets whole, as it
    /// does by default, and nothing is filtered, so that what needs a filter is refused here.
    ///
    /// # Errors
    /// As there.
    pub fn for_speed(hosts: u8, version: IpVersion) -> anyhow::Result<Self> {
        Self::with_purpose(hosts, version, 1, Purpose::Speed)
    }

    fn with_purpose(
        hosts: u8,
        version: IpVersion,
        links: u8,
        purpose: Purpose,
    ) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        require()?;
        if !(1..=HOSTS_MAX).contains(&hosts) {
            bail!("a network of {hosts} hosts: it can have 1 to {HOSTS_MAX}");
        }
        remove_orphans();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("evs-{}-{count}", std::process::id());
        let network = Self { prefix, version, hosts, links, purpose };
        network.make()?;
        Ok(network)
    }

    fn make(&self) -> anyhow::Result<()> {
        let switch = self.switch();
        run("ip", ["netns", "add", &switch])?;
        // Snooping would keep multicast from hosts until a router asks, and there is none.
        for link in 0..self.links {
            let bridge = bridge(link);
            let add = ["link", "add", &bridge, "type", "bridge", "mcast_snooping", "0"];
            run("ip", ["-n", &switch].iter().chain(&add))?;
            run("ip", ["-n", &switch, "link", "set", &bridge, "up"])?;
        }
        for host in 1..=self.hosts {
            let namespace = self.namespace(host);
            run("ip", ["netns", "add", &namespace])?;
            run("ip", ["-n", &namespace, "link", "set", "lo", "up"])?;
            if self.purpose == Purpose::Faults {
                self.filter(host, &["add table inet evs", HOOK, OUT])?;
            }
            (0..self.links).try_for_each(|link| self.connect(host, link))?;
        }
        Ok(())
    }

    /// Connects a host to a switch, and gives it its address there.
    fn connect(&self, host: u8, link: u8) -> anyhow::Result<()> {
        self.plug_in(host, &port_of(host, link), &interface(link), link)?;
        self.add_address_on(host, link)
    }

    /// Gives a host an interface, which has no address, at the port of a switch.
    fn plug_in(&self, host: u8, port: &str, interface: &str, link: u8) -> anyhow::Result<()> {
        let (switch, namespace, bridge) = (self.switch(), self.namespace(host), bridge(link));
        let pair = ["link", "add", port, "mtu", "1500", "type", "veth"];
        let peer = ["peer", "name", interface, "mtu", "1500", "netns", &namespace];
        run("ip", ["-n", &switch].iter().chain(&pair).chain(&peer))?;
        run("ip", ["-n", &switch, "link", "set", port, "master", &bridge, "up"])?;
        run("ip", ["-n", &namespace, "link", "set", interface, "up"])?;
        if self.purpose == Purpose::Faults {
            run("ip", ["-n", &namespace, "link", "set", interface, "gso_max_segs", "1"])?;
        }
        Ok(())
    }

    /// The IP version.
    #[must_use]
    pub const fn version(&self) -> IpVersion {
        self.version
    }

    /// The address of a host.
    #[must_use]
    pub const fn address(&self, host: u8) -> IpAddr {
        match self.version {
            IpVersion::V4 => IpAddr::V4(Ipv4Addr::new(10, 77, 0, host)),
            IpVersion::V6 => IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, host as u16)),
        }
    }

    /// The address of a host on one of several links, from 0.
    #[must_use]
    pub const fn address_on(&self, host: u8, link: u8) -> IpAddr {
        match self.version {
            IpVersion::V4 => IpAddr::V4(Ipv4Addr::new(10, 77, link, host)),
            IpVersion::V6 => {
                IpAddr::V6(Ipv6Addr::new(0xfd77, link as u16, 0, 0, 0, 0, 0, host as u16))
            }
        }
    }

    /// The name of a host's namespace.
    #[must_use]
    pub fn namespace(&self, host: u8) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// The name of the switch's namespace.
    #[must_use]
    pub fn switch(&self) -> String {
        format!("{}-switch", self.prefix)
    }

    /// The place of a node that runs on this host.
    #[must_use]
    pub fn place(&self, host: u8) -> Place {
        let address = SocketAddr::new(self.address(host), PORT);
        let more = (1..self.links).map(|link| SocketAddr::new(self.address_on(host, link), PORT));
        Place { namespace: self.namespace(host), address, more: more.collect() }
    }

    // ── what can go wrong ───────────────────────────────────────────────────────────────────────

    /// Takes a host's interface down, as its administrator would.
    ///
    /// # Errors
    /// The system refuses.
    pub fn interface_down(&self, host: u8) -> anyhow::Result<()> {
        run("ip", ["-n", &self.namespace(host), "link", "set", INTERFACE, "down"])
    }

    /// Takes it up again. IPv6 has forgotten its address and gets it back.
    ///
    /// # Errors
    /// The system refuses.
    pub fn interface_up(&self, host: u8) -> anyhow::Result<()> {
        run("ip", ["-n", &self.namespace(host), "link", "set", INTERFACE, "up"])?;
        match self.version {
            IpVersion::V4 => Ok(()),
            IpVersion::V6 => self.add_address(host),
        }
    }

    /// Pulls a host's cable out of the switch.
    ///
    /// # Errors
    /// The system refuses.
    pub fn unplug(&self, host: u8) -> anyhow::Result<()> {
        self.unplug_from(host, 0)
    }

    /// Pulls a host's cable out of the switch of one of several links.
    ///
    /// # Errors
    /// The system refuses.
    pub fn unplug_from(&self, host: u8, link: u8) -> anyhow::Result<()> {
        run("ip", ["-n", &self.switch(), "link", "set", &port_of(host, link), "down"])
    }

    /// Puts it back.
    ///
    /// # Errors
    /// The system refuses.
    pub fn plug_into(&self, host: u8, link: u8) -> anyhow::Result<()> {
        run("ip", ["-n", &self.switch(), "link", "set", &port_of(host, link), "up"])
    }

    /// Sets how long a packet a host's interface of a link takes, in bytes. It begins with 1500.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_mtu(&self, host: u8, link: u8, bytes: u16) -> anyhow::Result<()> {
        let (namespace, bytes) = (self.namespace(host), bytes.to_string());
        run("ip", ["-n", &namespace, "link", "set", &interface(link), "mtu", &bytes])
    }

    /// Takes the switch of a link down, and with it the link of all hosts.
    ///
    /// # Errors
    /// The system refuses.
    pub fn switch_off(&self, link: u8) -> anyhow::Result<()> {
        run("ip", ["-n", &self.switch(), "link", "set", &bridge(link), "down"])
    }

    /// Takes it up again.
    ///
    /// # Errors
    /// The system refuses.
    pub fn switch_on(&self, link: u8) -> anyhow::Result<()> {
        run("ip", ["-n", &self.switch(), "link", "set", &bridge(link), "up"])
    }

    /// Puts it back.
    ///
    /// # Errors
    /// The system refuses.
    pub fn plug(&self, host: u8) -> anyhow::Result<()> {
        self.plug_into(host, 0)
    }

    /// Gives a host its address, which it has from the beginning.
    ///
    /// # Errors
    /// It has it already, or the system refuses.
    pub fn add_address(&self, host: u8) -> anyhow::Result<()> {
        self.add_address_on(host, 0)
    }

    fn add_address_on(&self, host: u8, link: u8) -> anyhow::Result<()> {
        self.address_to(host, link, &interface(link))
    }

    fn address_to(&self, host: u8, link: u8, interface: &str) -> anyhow::Result<()> {
        let (namespace, address) = (self.namespace(host), self.prefixed(host, link));
        let add = ["-n", &namespace, "address", "add", &address, "dev", interface];
        match self.version {
            IpVersion::V4 => run("ip", add),
            // Usable at once, without looking for others that have it.
            IpVersion::V6 => run("ip", add.iter().chain(&["nodad"])),
        }
    }

    /// Takes a host's address away.
    ///
    /// # Errors
    /// It has none, or the system refuses.
    pub fn remove_address(&self, host: u8) -> anyhow::Result<()> {
        let (namespace, address) = (self.namespace(host), self.prefixed(host, 0));
        run("ip", ["-n", &namespace, "address", "del", &address, "dev", INTERFACE])
    }

    /// From now on nothing that `from` sends arrives at a host.
    ///
    /// # Errors
    /// The system refuses.
    pub fn deafen(&self, host: u8, from: u8) -> anyhow::Result<()> {
        let family = self.family();
        let rule = format!("add rule inet evs input {family} saddr {} drop", self.address(from));
        self.filter(host, &[&rule])
    }

    /// From now on nothing that `from` sends arrives at a host on one of its links.
    ///
    /// # Errors
    /// The system refuses.
    pub fn deafen_on(&self, host: u8, from: u8, link: u8) -> anyhow::Result<()> {
        let family = self.family();
        let address = self.address_on(from, link);
        self.filter(host, &[&format!("add rule inet evs input {family} saddr {address} drop")])
    }

    /// From now on so many of a hundred UDP datagrams do not arrive at a host on one of its links.
    ///
    /// # Errors
    /// The system refuses.
    pub fn lose_on(&self, host: u8, link: u8, percent: u8) -> anyhow::Result<()> {
        let chance = format!("numgen random mod 100 < {percent}");
        let on = format!("iifname {} meta l4proto udp {chance}", interface(link));
        self.filter(host, &[&format!("add rule inet evs input {on} counter drop")])
    }

    /// From now on so many of a hundred UDP datagrams do not arrive at a host, at random.
    ///
    /// # Errors
    /// The system refuses.
    pub fn lose(&self, host: u8, percent: u8) -> anyhow::Result<()> {
        let chance = format!("numgen random mod 100 < {percent}");
        self.filter(
            host,
            &[&format!("add rule inet evs input meta l4proto udp {chance} counter drop")],
        )
    }

    /// How many packets a host's rules have dropped at random, since they were last made.
    ///
    /// # Errors
    /// The system refuses.
    pub fn lost(&self, host: u8) -> anyhow::Result<u64> {
        let list = ["netns", "exec", &self.namespace(host), "nft", "list", "table", "inet", "evs"];
        let text = output("ip", list)?;
        let counts = text.split("counter packets ").skip(1);
        Ok(counts.filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok()).sum())
    }

    /// From now on so many of a hundred UDP datagrams that `from` sends do not arrive at a host, at
    /// random.
    ///
    /// # Errors
    /// The system refuses.
    pub fn lose_from(&self, host: u8, from: u8, percent: u8) -> anyhow::Result<()> {
        let of = format!("{} saddr {} meta l4proto udp", self.family(), self.address(from));
        let chance = format!("numgen random mod 100 < {percent}");
        self.filter(host, &[&format!("add rule inet evs input {of} {chance} counter drop")])
    }

    /// From now on a host's own firewall forbids it to send UDP on one of its links.
    ///
    /// # Errors
    /// The system refuses.
    pub fn forbid(&self, host: u8, link: u8) -> anyhow::Result<()> {
        let udp = format!("oifname {} meta l4proto udp", interface(link));
        self.filter(host, &[&format!("add rule inet evs output {udp} drop")])
    }

    /// Gives a host another address in the place of its own, which nobody knows, or its own again.
    ///
    /// # Errors
    /// The system refuses.
    pub fn change_address(&self, host: u8, back: bool) -> anyhow::Result<()> {
        let (own, other) = (self.prefixed(host, 0), self.prefixed(host + HOSTS_MAX, 0));
        let (old, new) = if back { (other, own) } else { (own, other) };
        let namespace = self.namespace(host);
        run("ip", ["-n", &namespace, "address", "del", &old, "dev", INTERFACE])?;
        run("ip", ["-n", &namespace, "address", "add", &new, "dev", INTERFACE])
    }

    /// Moves a host's address to another interface, which it did not have before.
    ///
    /// # Errors
    /// The system refuses; it does so the second time.
    pub fn move_address(&self, host: u8) -> anyhow::Result<()> {
        let (namespace, address) = (self.namespace(host), self.prefixed(host, 0));
        self.plug_in(host, &format!("moved-{host}"), MOVED, 0)?;
        run("ip", ["-n", &namespace, "address", "del", &address, "dev", INTERFACE])?;
        self.address_to(host, 0, MOVED)
    }

    /// From now on what a host sends to the daemons of other ones goes to these addresses instead,
    /// and what comes from them looks as if it came from the others; all of it at one moment.
    ///
    /// Headers are rewritten packet by packet: address translation by connections depends on which
    /// end of a path the kernel saw first.
    ///
    /// # Errors
    /// The system refuses.
    pub fn divert(&self, host: u8, ways: &[(u8, SocketAddr)]) -> anyhow::Result<()> {
        let family = self.family();
        let mut rules = String::from(
            "add table inet divert; \
             add chain inet divert out { type route hook output priority -150; }; \
             add chain inet divert back { type filter hook prerouting priority -300; };",
        );
        for (to, via) in ways {
            let (peer, by, port) = (self.address(*to), via.ip(), via.port());
            write!(
                rules,
                "add rule inet divert out {family} daddr {peer} udp dport {PORT} \
                 {family} daddr set {by} udp dport set {port}; \
                 add rule inet divert back {family} saddr {by} udp sport {port} \
                 {family} saddr set {peer} udp sport set {PORT};"
            )?;
        }
        self.filter(host, &[&rules])
    }

    const fn family(&self) -> &'static str {
        match self.version {
            IpVersion::V4 => "ip",
            IpVersion::V6 => "ip6",
        }
    }

    /// Lets everything through to a host again.
    ///
    /// # Errors
    /// The system refuses.
    pub fn heal(&self, host: u8) -> anyhow::Result<()> {
        self.filter(host, &["flush table inet evs"])
    }

    /// From now on a host sends so much at most; what does not fit a buffer of 50 ms is lost.
    ///
    /// # Errors
    /// The system refuses.
    pub fn limit_rate(&self, host: u8, megabits: u32) -> anyhow::Result<()> {
        let (namespace, rate) = (self.namespace(host), format!("{megabits}mbit"));
        let on = ["-n", &namespace, "qdisc", "replace", "dev", INTERFACE, "root"];
        run("tc", on.iter().chain(&["tbf", "rate", &rate, "burst", "64kb", "latency", "50ms"]))
    }

    /// Lets a host send as fast as it can again.
    ///
    /// # Errors
    /// The system refuses.
    pub fn free_rate(&self, host: u8) -> anyhow::Result<()> {
        let namespace = self.namespace(host);
        run("tc", ["-n", &namespace, "qdisc", "del", "dev", INTERFACE, "root"])
    }

    /// Runs a function in a thread in a namespace: sockets that it makes belong there for ever.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    ///
    /// # Panics
    /// The function panics.
    pub fn within<T: Send>(
        namespace: &str,
        act: impl FnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        let name = Path::new(NAMES).join(namespace);
        let file = File::open(&name).with_context(|| format!("no namespace {namespace}"))?;
        let enter_and_act = || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            act()
        };
        let done = thread::scope(|scope| scope.spawn(enter_and_act).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn filter(&self, host: u8, commands: &[&str]) -> anyhow::Result<()> {
        for command in commands {
            run("ip", ["netns", "exec", &self.namespace(host), "nft", command])?;
        }
        Ok(())
    }

    fn prefixed(&self, host: u8, link: u8) -> String {
        let bits = match self.version {
            IpVersion::V4 => 24,
            IpVersion::V6 => 64,
        };
        format!("{}/{bits}", self.address_on(host, link))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // One that was never made is no matter. Interfaces go with their namespaces.
        for namespace in (1..=self.hosts).map(|host| self.namespace(host)).chain([self.switch()]) {
            let _ = run("ip", ["netns", "delete", &namespace]);
        }
    }
}

/// A command that runs a program in a namespace, and kills it when the calling thread ends, so that
/// a killed test leaves nothing behind. Its process id is the program's own.
#[must_use]
pub fn command(namespace: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, "setpriv", "--pdeathsig", "KILL", "--"]);
    command.arg(program);
    command
}

/// The chain that rules are put into: what arrives for the host itself.
const HOOK: &str = "add chain inet evs input { type filter hook input priority 0; }";

/// The same for what leaves it: who sends is told that it may not.
const OUT: &str = "add chain inet evs output { type filter hook output priority 0; }";

/// The switch's end of a host's cable.
fn port_of(host: u8, link: u8) -> String {
    format!("port{host}-{link}")
}

/// A host's end of it.
fn interface(link: u8) -> String {
    format!("eth{link}")
}

fn bridge(link: u8) -> String {
    format!("br{link}")
}

/// Whether there is all that this module needs.
fn require() -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("network namespaces can be made by root only, and this process is not root");
    }
    let programs =
        [("ip", "iproute2"), ("tc", "iproute2"), ("nft", "nftables"), ("setpriv", "util-linux")];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    match programs.iter().find(|(program, _)| !is_there(program)) {
        None => Ok(()),
        Some((program, package)) => {
            bail!("the program {program} is not in the path (Debian package {package})")
        }
    }
}

/// Removes what processes left behind that were killed. What ran in there was killed with them.
fn remove_orphans() {
    let names = fs::read_dir(NAMES).into_iter().flatten().flatten();
    for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
        let mut parts = name.split('-');
        let (Some("evs"), Some(Ok(pid))) = (parts.next(), parts.next().map(str::parse::<u32>))
        else {
            continue;
        };
        if !Path::new("/proc").join(pid.to_string()).exists() {
            let _ = run("ip", ["netns", "delete", &name]);
        }
    }
}

fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> anyhow::Result<()> {
    output(program, args).map(drop)
}

fn output<S: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = S>,
) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.args(args);
    let output = command.output().with_context(|| format!("{program} cannot be run"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    Err(anyhow!("`{program} {}` failed: {}", words.join(" "), said.trim()))
}
