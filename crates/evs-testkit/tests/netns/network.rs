//! The networks themselves.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use evs_testkit::netns::{IpVersion, Network, command};

fn exists(namespace: &str) -> bool {
    Path::new("/run/netns").join(namespace).exists()
}

#[test]
fn a_network_goes_with_a_test_that_panics() -> Result<()> {
    let network = Network::new(2, IpVersion::V4)?;
    let names = [network.namespace(1), network.namespace(2), network.switch()];
    ensure!(names.iter().all(|name| exists(name)), "not all of {names:?} are there");
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _network = network;
        std::panic::resume_unwind(Box::new(()));
    }));
    ensure!(panicked.is_err() && !names.iter().any(|name| exists(name)), "{names:?} are left");
    Ok(())
}

/// A namespace whose name holds the id of a process that is gone.
#[test]
fn what_a_killed_test_left_behind_is_removed_by_the_next() -> Result<()> {
    drop(Network::new(1, IpVersion::V4)?);
    let mut gone = Command::new("true").spawn()?;
    let orphan = format!("evs-{}-0-1", gone.id());
    gone.wait()?;
    ensure!(Command::new("ip").args(["netns", "add", &orphan]).status()?.success());
    let _network = Network::new(1, IpVersion::V4)?;
    ensure!(!exists(&orphan), "{orphan} is left");
    Ok(())
}

#[test]
fn hosts_reach_each_other_and_nobody_else() -> Result<()> {
    for version in [IpVersion::V4, IpVersion::V6] {
        let network = Network::new(2, version)?;
        let other = Network::new(2, version)?;
        other.remove_address(2)?;
        for (network, is_reached) in [(&network, true), (&other, false)] {
            let to = network.address(2);
            let heard = Network::within(&network.namespace(2), || {
                Ok(std::net::UdpSocket::bind((to, 0)).is_ok())
            })?;
            ensure!(heard == is_reached, "{to} of {network:?}");
        }
        let mut inside = command(&network.namespace(1), "ip");
        let links = String::from_utf8(inside.args(["-o", "link"]).output()?.stdout)?;
        ensure!(links.lines().count() == 2, "a host has more than its interface: {links}");
    }
    Ok(())
}
