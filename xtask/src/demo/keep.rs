//! `--keep`: the cluster to play with.

use std::io::Read as _;
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result};
use evs_testkit::Cluster;

use super::screen::Screen;
use crate::build::Built;

/// Prints what can be done with the cluster, waits for Ctrl-C, and stops the daemons in order.
pub(super) fn until_interrupted(
    cluster: &mut Cluster,
    built: &Built,
    screen: &Screen,
) -> Result<()> {
    let (mut woken, wake) = UnixStream::pair().context("no descriptor left")?;
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let wake = wake.try_clone().context("no descriptor left")?;
        signal_hook::low_level::pipe::register(signal, wake)
            .context("signals cannot be handled")?;
    }
    let evs = built.evs.display();
    println!("\nit runs until Ctrl-C; meanwhile, in other terminals:\n");
    for node in cluster.nodes() {
        println!("  export EVS_SOCKET={}   # node {node}", cluster.socket(node).display());
    }
    println!("  {evs} status");
    println!("  {evs} listen greetings");
    println!("  {evs} send greetings --message hello --guarantee safe");
    println!("  {evs} members --watch");
    println!("  {evs} bench --size 64");
    println!("\nthe daemons, to be killed or stopped:\n");
    for node in cluster.nodes() {
        let pid = cluster.pid(node).map_or_else(|| "gone".to_owned(), |pid| pid.to_string());
        let log = cluster.config_file(node).with_file_name("evsd.log");
        println!("  node {node}: process {pid}, log {}", log.display());
    }
    println!();
    // The byte says no more than that a signal came.
    let _ = woken.read(&mut [0]).context("waiting for a signal")?;
    screen.tell("interrupted: the daemons leave in order".to_owned());
    for node in cluster.nodes() {
        // One that was killed or stopped meanwhile has nothing left to do.
        if cluster.pid(node).is_some() {
            let _ = cluster.stop(node)?;
        }
    }
    Ok(())
}
