//! One of two links fails while all nodes send: for how long nothing is delivered.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use evs_testkit::netns::{IpVersion, Network};
use serde_json::Value as Json;

use crate::Tools;
use crate::cluster::Cluster;
use crate::measure::with_c;
use crate::plan::{Case, System, Timing, Workload};
use crate::sample::Outcome;
use crate::session::Session;
use crate::stop::{GLANCE, Stop};

/// Forms a cluster with two links, loads it, and lets the first link fail. The longest time without
/// a message counts; a change of the configuration, and a fault that nobody noticed, are faults.
///
/// # Errors
/// The network cannot be made, a client cannot be run, or a signal came.
pub(crate) fn measure(
    tools: &Tools,
    system: System,
    nodes: u8,
    case: Case,
    dir: &Path,
    stop: &Stop,
) -> anyhow::Result<Outcome> {
    let network = Network::with_links(nodes, IpVersion::V4, 2)?;
    let session = formed(tools, system, &network, nodes, dir, stop);
    let session = match session {
        Ok(session) => session,
        Err(error) => {
            stop.check()?;
            eprintln!("{error:#}");
            return Ok(Outcome::Fault(format!("{error:#}")));
        }
    };
    let fail = || {
        stop.pause(Duration::from_millis(TIMING.warm_ms.into()) + BEGUN)?;
        // The load may have moved it, on a machine that does something else, too.
        until_sound(&session, tools, AGAIN_MAX, stop)?;
        fail(&network, case.workload, nodes)
    };
    let outcome = with_c(tools, &session, case, TIMING, "stall", &fail, stop)?;
    if !matches!(outcome, Outcome::Measured(_)) {
        return Ok(outcome);
    }
    let noticed = until_noticed(&session, case.workload, stop);
    stop.check()?;
    Ok(noticed.map_or_else(|error| Outcome::Fault(format!("{error:#}")), |()| outcome))
}

/// A cluster that has formed, with two links that are sound. The second one comes later: data takes
/// the first, and stays there.
fn formed(
    tools: &Tools,
    system: System,
    network: &Network,
    nodes: u8,
    dir: &Path,
    stop: &Stop,
) -> anyhow::Result<Session> {
    network.switch_off(1)?;
    let mut session = Session::start(tools, system, network, nodes, dir, stop)?;
    session.without_watchers();
    network.switch_on(1)?;
    until_sound(&session, tools, SETTLED_MAX, stop)?;
    Ok(session)
}

/// Waits until both links are sound, and data takes the first one.
fn until_sound(session: &Session, tools: &Tools, max: Duration, stop: &Stop) -> anyhow::Result<()> {
    let nodes = session.nodes;
    let is_sound = || match &session.cluster {
        Cluster::Evs { cluster, .. } => (1..=nodes).all(|node| {
            let status = cluster.status(node.into());
            status.is_ok_and(|status| all_paths(&status, nodes, is_sound))
        }),
        Cluster::Corosync(cluster) => (1..=nodes).all(|node| {
            let mut tool =
                cluster.command(node, &tools.corosync.with_file_name("corosync-cfgtool"));
            let told = tool.arg("-n").output();
            told.is_ok_and(|told| are_connected(&String::from_utf8_lossy(&told.stdout), nodes))
        }),
    };
    until("all paths are sound, and data takes the first link", max, stop, is_sound)
        .inspect_err(|_| eprintln!("{}", session.cluster.logs()))
}

/// Lets the first link fail.
fn fail(network: &Network, workload: Workload, nodes: u8) -> anyhow::Result<()> {
    let each = |act: &dyn Fn(u8) -> anyhow::Result<()>| (1..=nodes).try_for_each(act);
    if workload == Workload::StallOneway {
        network.deafen_on(1, 2, 0)
    } else if workload == Workload::StallLossy {
        each(&|host| network.lose_on(host, 0, LOST_PERCENT))
    } else if workload == Workload::StallSlow {
        each(&|host| network.limit_rate(host, SLOW_MEGABITS))
    } else if workload == Workload::StallSmall {
        each(&|host| network.drop_large(host, 0, SMALL_BYTES))
    } else {
        network.switch_off(0)
    }
}

/// Waits until every one of our daemons that is concerned says what is wrong with the first link.
fn until_noticed(session: &Session, workload: Workload, stop: &Stop) -> anyhow::Result<()> {
    let Cluster::Evs { cluster, .. } = &session.cluster else { return Ok(()) };
    let nodes = session.nodes;
    until("the daemons know what is wrong with the first link", SETTLED_MAX, stop, || {
        (1..=nodes).all(|node| {
            let status = cluster.status(node.into());
            let is_like = |peer: &Json| is_noticed(workload, node, peer);
            status.is_ok_and(|status| all_paths(&status, nodes, is_like))
        })
    })
}

/// Whether what a daemon says of each of its peers is like this.
fn all_paths(status: &Json, nodes: u8, is_like: impl Fn(&Json) -> bool) -> bool {
    let peers = status["peers"].as_array().map_or(&[][..], Vec::as_slice);
    peers.len() + 1 == usize::from(nodes) && peers.iter().all(is_like)
}

/// Whether all paths to a peer are sound, and data takes the first.
fn is_sound(peer: &Json) -> bool {
    let paths = peer["paths"].as_array().map_or(&[][..], Vec::as_slice);
    let is_sound = |path: &Json| {
        path["up"] == true && path["heard_by_peer"] == true && path["narrow"] == false
    };
    peer["link"] == 0 && paths.len() == 2 && paths.iter().all(is_sound)
}

/// Whether a node says of a peer what it should after the first link has failed.
fn is_noticed(workload: Workload, node: u8, peer: &Json) -> bool {
    let path = &peer["paths"][0];
    if workload == Workload::StallOneway {
        match (node, peer["node"].as_u64()) {
            (1, Some(2)) => path["up"] == false,
            (2, Some(1)) => path["heard_by_peer"] == false,
            _ => path["up"] == true,
        }
    } else if workload == Workload::StallSmall {
        path["up"] == true && path["narrow"] == true
    } else if workload == Workload::StallLost {
        path["up"] == false
    } else {
        peer["link"] == 1
    }
}

/// Whether Corosync's tool has two links to each of the others, and all are connected.
fn are_connected(text: &str, nodes: u8) -> bool {
    let links = || text.lines().filter(|line| line.trim_start().starts_with("LINK:"));
    let is_connected = |line: &str| line.split_whitespace().any(|word| word == "connected");
    links().count() == 2 * (usize::from(nodes) - 1) && links().all(is_connected)
}

/// Asks again and again.
fn until(what: &str, max: Duration, stop: &Stop, is_so: impl Fn() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + max;
    while !is_so() {
        if Instant::now() >= deadline {
            bail!("waited {max:?} in vain until {what}");
        }
        stop.pause(GLANCE)?;
    }
    Ok(())
}

/// Long enough for what comes late: a link that is taken back too early, for one.
const TIMING: Timing = Timing { warm_ms: 500, run_ms: 5000, patience_s: 30 };

/// By then the warm-up, which begins soon after the clients are told so, is over.
const BEGUN: Duration = Duration::from_millis(100);

/// How long links may take until they are told from each other.
const SETTLED_MAX: Duration = Duration::from_secs(20);

/// The same once more, under load.
const AGAIN_MAX: Duration = Duration::from_secs(2);

/// Of a hundred packets.
const LOST_PERCENT: u8 = 50;
/// What a link that is slow carries.
const SLOW_MEGABITS: u32 = 1;
/// The longest packet, headers included, that a small link carries: that of a tunnel, or less.
const SMALL_BYTES: u16 = 1_300;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(up: bool, heard_by_peer: bool, narrow: bool) -> Json {
        json!({ "up": up, "heard_by_peer": heard_by_peer, "narrow": narrow })
    }

    fn peer(node: u8, link: u8, first: Json) -> Json {
        json!({ "node": node, "link": link, "paths": [first, path(true, true, false)] })
    }

    #[test]
    fn nothing_fails_before_all_paths_are_sound_and_the_first_link_is_used() {
        let sound = peer(2, 0, path(true, true, false));
        let status = |last: Json| json!({ "peers": [sound.clone(), last] });
        assert!(all_paths(&status(sound.clone()), 3, is_sound));
        assert!(!all_paths(&status(sound.clone()), 4, is_sound));
        assert!(!all_paths(&json!({}), 3, is_sound));
        let one_link = json!({ "node": 3, "link": 0, "paths": [path(true, true, false)] });
        for unsound in [
            peer(3, 1, path(true, true, false)),
            peer(3, 0, path(false, true, false)),
            peer(3, 0, path(true, false, false)),
            peer(3, 0, path(true, true, true)),
            one_link,
        ] {
            assert!(!all_paths(&status(unsound.clone()), 3, is_sound), "{unsound}");
        }
    }

    #[test]
    fn a_fault_that_nobody_noticed_is_none() {
        use Workload::{StallLossy, StallLost, StallOneway, StallSlow, StallSmall};
        let whole = peer(2, 0, path(true, true, false));
        for workload in [StallLost, StallOneway, StallLossy, StallSlow, StallSmall] {
            assert!(!is_noticed(workload, 1, &whole), "{workload}");
        }
        let (lost, small) = (path(false, false, false), path(true, true, true));
        assert!(is_noticed(StallLost, 1, &peer(2, 1, lost.clone())));
        assert!(is_noticed(StallSmall, 1, &peer(2, 1, small)));
        assert!(is_noticed(StallLossy, 1, &peer(2, 1, path(true, true, false))));
        assert!(is_noticed(StallSlow, 1, &peer(2, 1, path(true, true, false))));
        assert!(is_noticed(StallOneway, 1, &peer(2, 1, lost)));
        assert!(is_noticed(StallOneway, 2, &peer(1, 1, path(true, false, false))));
        assert!(is_noticed(StallOneway, 3, &whole));
    }

    #[test]
    fn corosync_is_asked_whether_both_links_to_all_others_are_connected() {
        let line = "   LINK: 0 udp (10.77.0.1->10.77.0.2) enabled connected mtu: 1397\n";
        let broken = "   LINK: 0 udp (10.77.0.1->10.77.0.2) enabled mtu: 1397\n";
        assert!(are_connected(&line.repeat(4), 3));
        assert!(!are_connected(&line.repeat(3), 3));
        assert!(!are_connected(&(line.repeat(3) + broken), 3));
    }
}
