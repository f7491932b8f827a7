//! What is noticed long before the detection target.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use crate::scene::{Stage, THREE};

/// So long that nothing here can be its doing.
const TARGET: Duration = Duration::from_secs(20);

/// Ten times what is promised for the death of a daemon, and for its leave.
const DEATH_MAX: Duration = Duration::from_secs(1);
const LEAVE_MAX: Duration = Duration::from_millis(500);

/// The host lives and says that nobody listens at the daemon's port.
#[test]
fn the_death_of_a_daemon_alone_is_noticed_at_once() -> Result<()> {
    for links in [1, 2] {
        Stage { detection: TARGET, links, ..THREE }.play(|scene| {
            scene.until_traffic(&[1, 2, 3], 50)?;
            let killed = Instant::now();
            scene.cluster.kill(2)?;
            let told = scene.until_configuration(&[1, 3], killed)?;
            println!("told after {:?}", told.duration_since(killed));
            ensure!(told.duration_since(killed) <= DEATH_MAX, "{:?}", told.duration_since(killed));
            scene.retire(2)?;
            let evidence = ["the host says that nobody listens there", "peer=2/"];
            for node in [1, 3] {
                scene.cluster.until_logged(node, &evidence)?;
                let reason = scene.until_reason(node, "died")?;
                ensure!(reason["node"]["node"] == 2, "{reason}");
            }
            scene.until_traffic(&[1, 3], 50)
        })?;
    }
    Ok(())
}

#[test]
fn a_leave_is_noticed_at_once() -> Result<()> {
    Stage { detection: TARGET, ..THREE }.play(|scene| {
        scene.until_traffic(&[1, 2, 3], 50)?;
        let told = scene.signal(2, Signal::TERM)?;
        let known = scene.until_configuration(&[1, 3], told)?;
        println!("told after {:?}", known.duration_since(told));
        ensure!(known.duration_since(told) <= LEAVE_MAX, "{:?}", known.duration_since(told));
        scene.cluster.until_exit(2)?;
        scene.retire(2)?;
        scene.until_traffic(&[1, 3], 50)
    })
}
