//! Nothing fails here: the ring forms, carries everything, and stays.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use evs_testkit::netns::IpVersion;

use crate::scene::{PATIENT, Stage, THREE};

/// Messages from each member in a test of plain exchange: all sizes come up.
const MESSAGES: u64 = 220;

/// LIVE-2, LIVE-6: everything arrives, and nothing changes.
fn exchange(stage: Stage) -> Result<()> {
    Stage { detection: PATIENT, ..stage }.play(|scene| {
        let (begin, nodes) = (Instant::now(), scene.cluster.nodes());
        scene.until_traffic(&nodes, MESSAGES)?;
        scene.assert_no_change(&nodes, begin)
    })
}

#[test]
fn three_daemons_exchange_messages_of_every_kind() -> Result<()> {
    exchange(THREE)
}

#[test]
fn five_daemons_exchange_messages_of_every_kind() -> Result<()> {
    exchange(Stage { nodes: 5, ..THREE })
}

#[test]
fn daemons_exchange_messages_by_multicast() -> Result<()> {
    exchange(Stage { multicast: true, ..THREE })
}

#[test]
fn daemons_exchange_messages_by_ipv6() -> Result<()> {
    exchange(Stage { version: IpVersion::V6, ..THREE })
}

#[test]
fn daemons_exchange_messages_by_ipv6_multicast() -> Result<()> {
    exchange(Stage { version: IpVersion::V6, multicast: true, ..THREE })
}

/// A path that is narrower than configured cuts packets, and is not dead.
#[test]
fn packets_larger_than_the_path_are_cut_and_arrive() -> Result<()> {
    for version in [IpVersion::V4, IpVersion::V6] {
        exchange(Stage { mtu_bytes: 9000, version, ..THREE })?;
    }
    Ok(())
}

/// LIVE-6: loss is no fault.
fn under_loss(stage: Stage) -> Result<()> {
    const PERCENT: u8 = 5;
    Stage { detection: PATIENT, ..stage }.play(|scene| {
        let nodes = scene.cluster.nodes();
        let begin = Instant::now();
        for host in 1..=3 {
            scene.network.lose(host, PERCENT)?;
        }
        scene.assert_calm(&nodes, Duration::from_secs(5))?;
        scene.until_traffic(&nodes, MESSAGES)?;
        scene.assert_no_change(&nodes, begin)?;
        let lost = (1..=3).map(|host| scene.network.lost(host)).sum::<Result<u64>>()?;
        ensure!(lost > 100, "only {lost} packets were lost");
        println!("{lost} packets lost in {:?}", begin.elapsed());
        Ok(())
    })
}

#[test]
fn five_percent_loss_changes_no_configuration() -> Result<()> {
    under_loss(THREE)
}

#[test]
fn five_percent_loss_of_multicast_changes_no_configuration() -> Result<()> {
    under_loss(Stage { multicast: true, ..THREE })
}

/// LIVE-6: a slow line is no fault. What does not fit its short queue is lost on the way.
#[test]
fn a_slow_line_changes_no_configuration() -> Result<()> {
    Stage { detection: PATIENT, ..THREE }.play(|scene| {
        let nodes = scene.cluster.nodes();
        let begin = Instant::now();
        scene.network.limit_rate(2, 20)?;
        scene.until_traffic(&nodes, 2 * MESSAGES)?;
        scene.assert_no_change(&nodes, begin)
    })
}
