//! What goes on beside the clients that are measured: somebody who stands still, or a stranger.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use evs_model::{NodeId, Processor};
use evs_net::{
    ClusterKey, Endpoint, EndpointConfig, EndpointOutput, LinkTerms, SealMode, random_u64,
};
use evs_testkit::netns::{self, Network};
use rustix::process::{Pid, Signal, kill_process};

use crate::Tools;
use crate::cluster::{BENCH, Cluster};
use crate::loader::{Line, Loader};
use crate::plan::{Timing, Workload};
use crate::session::Session;
use crate::stop::Stop;

/// A process that does its part of the workload until this is dropped.
#[derive(Debug)]
pub(crate) struct Beside {
    process: Loader,
    workload: Workload,
}

impl Beside {
    /// Starts what the workload has beside the clients, if anything.
    ///
    /// # Errors
    /// It cannot be run, or a signal came.
    pub(crate) fn start(
        tools: &Tools,
        session: &Session,
        network: &Network,
        (workload, timing): (Workload, Timing),
        group: &str,
        stop: &Stop,
    ) -> anyhow::Result<Option<Self>> {
        let flood = |port| flood(tools, session, network, timing, port, stop);
        let process = if workload == Workload::LatencyStopped {
            stopped(tools, session, group, stop)?
        } else if workload == Workload::ThroughputStrangers {
            flood(None)?
        } else if workload == Workload::ThroughputFlood {
            flood(Some(NOBODYS_PORT))?
        } else {
            return Ok(None);
        };
        Ok(Some(Self { process, workload }))
    }

    /// Makes sure that it has taken part.
    ///
    /// # Errors
    /// It has ended, or the daemons dropped fewer of a stranger's datagrams than a tenth of its
    /// line.
    pub(crate) fn end(mut self, session: &Session, timing: Timing) -> anyhow::Result<()> {
        ensure!(self.process.is_running(), "what went on beside has ended");
        let Cluster::Evs { cluster, .. } = &session.cluster else { return Ok(()) };
        if self.workload == Workload::ThroughputStrangers {
            let status = cluster.status(1)?;
            let dropped = status["counters"]["net_discards"]["unauthenticated"].as_u64();
            let each_second = u64::from(LINE_MEGABITS) * 125_000 / FLOOD_BYTES as u64;
            let others = u64::from(session.nodes - 1);
            let sent = each_second * u64::from(timing.run_ms) / 1_000 / others;
            let dropped = dropped.context("it is counted")?;
            ensure!(dropped >= sent / 10, "of the stranger's datagrams {dropped} arrived");
        }
        Ok(())
    }
}

/// One more member of the group, at the last node, which stands still.
fn stopped(tools: &Tools, session: &Session, group: &str, stop: &Stop) -> anyhow::Result<Loader> {
    let mut command = session.cluster.client(tools, session.nodes);
    command.args([format!("node={}", session.nodes), format!("nodes={}", session.nodes)]);
    command.args(["workload=watch".to_owned(), format!("group={group}")]);
    let client = Loader::spawn(session.nodes, command)?;
    let line = client.next(Instant::now() + READY_MAX, stop)?;
    ensure!(
        matches!(line, Line::Members { .. }),
        "the client that is to stand still says {line:?}"
    );
    let pid = i32::try_from(client.pid()).ok().and_then(Pid::from_raw).context("a process id")?;
    kill_process(pid, Signal::STOP).context("a client of our own")?;
    Ok(client)
}

/// A stranger at the last host, who sends to all other hosts as fast as a line of 1 Gbit/s carries
/// it: to the daemons, or to a port at which nobody listens (`c/flood.c`).
fn flood(
    tools: &Tools,
    session: &Session,
    network: &Network,
    timing: Timing,
    port: Option<u16>,
    stop: &Stop,
) -> anyhow::Result<Loader> {
    let Cluster::Evs { cluster, .. } = &session.cluster else {
        unreachable!("only ours is asked for this (plan::fit)");
    };
    let last = session.nodes;
    let mut command = netns::command(&network.namespace(last), &tools.flood);
    let address = network.address(last).to_string();
    let prefix = &address[..=address.rfind('.').context("an IPv4 address")?];
    let port = port.unwrap_or_else(|| cluster.address(1).port());
    let hello = hello(cluster, last)?;
    let start: String = hello.iter().map(|byte| format!("{byte:02x}")).collect();
    let seconds_max = (timing.warm_ms + timing.run_ms) / 1000 + timing.patience_s + 1;
    command.args([
        format!("hosts={}", last - 1),
        format!("network={prefix}"),
        format!("port={port}"),
        format!("size={FLOOD_BYTES}"),
        format!("megabits={LINE_MEGABITS}"),
        format!("seconds_max={seconds_max}"),
        format!("start={start}"),
    ]);
    let stranger = Loader::spawn(last, command)?;
    let line = stranger.next(Instant::now() + READY_MAX, stop)?;
    ensure!(matches!(line, Line::Ready { .. }), "the stranger says {line:?}");
    Ok(stranger)
}

/// What costs a receiver the most, once zeros follow it: somebody has seen a hello of this cluster,
/// and so all of the header is right, and only opening the datagram tells that it is forged.
fn hello(cluster: &evs_testkit::Cluster, nodes: u8) -> anyhow::Result<Vec<u8>> {
    let key = ClusterKey::load(&cluster.key_file())?;
    let id = |node: u8| NodeId::new(node.into()).context("nodes begin with 1");
    let config = EndpointConfig {
        me: Processor::new(id(nodes)?, random_u64()),
        peers: (1..nodes).map(id).collect::<anyhow::Result<_>>()?,
        cluster: BENCH.to_owned(),
        seal: SealMode::Sealed(key),
        detection: Duration::from_millis(500),
        packet_bytes_max: 1_400,
        links: vec![LinkTerms::PLAIN],
    };
    let now = evs_model::Instant::from_nanos(1_000_000_000);
    let mut endpoint = Endpoint::new(config, 1, now);
    endpoint.handle_timeout(now);
    while let Some(output) = endpoint.poll_output() {
        if let EndpointOutput::Hello { datagram, .. } = output {
            return Ok(datagram);
        }
    }
    anyhow::bail!("an endpoint begins with a hello")
}

/// How long until such a process is there.
const READY_MAX: Duration = Duration::from_secs(20);
/// A port of which the bench makes no use (discard).
const NOBODYS_PORT: u16 = 9;
/// What the stranger's line carries.
const LINE_MEGABITS: u32 = 1_000;
/// A datagram of the flood: a full Ethernet packet.
const FLOOD_BYTES: usize = 1_450;
