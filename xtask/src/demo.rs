//! `cargo demo`: real daemons, real clients in Rust and C, a crash, a return, an orderly leave.
//!
//! Responsible for: the story and how it is told; the verdict over what the clients recorded.
//! Not responsible for: starting daemons (`evs-testkit`), judging histories (`evs-sim`).

mod c_client;
mod keep;
mod recorder;
mod screen;
mod verdict;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use evs_testkit::{Cluster, Setup};

use crate::build::{self, Built};
use c_client::CClient;
use recorder::Recorder;
use screen::Screen;

/// What the demonstration is to do.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Forms the cluster and leaves it running in the foreground until Ctrl-C.
    #[arg(long)]
    keep: bool,

    /// Puts everything under this directory and leaves it there; without it, under a temporary one.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// How many daemons, 3 to 16.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=16))]
    nodes: u32,
}

/// How long all clients send before anything happens.
const UNDISTURBED: Duration = Duration::from_secs(3);

/// How long they go on after each change.
const BETWEEN: Duration = Duration::from_millis(700);

/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(15);

/// Shows it all.
///
/// # Errors
/// Something cannot be built or started, did not happen, or the histories break the contract.
pub(crate) fn run(options: &Options) -> Result<()> {
    build::need_c_compiler()?;
    println!("building evsd, evs and libevs (optimised)");
    let built = build::release()?;
    let screen = Screen::new();
    let mut cluster = start(options, &built, &screen)?;
    if options.keep {
        return keep::until_interrupted(&mut cluster, &built, &screen);
    }
    let story = Story::begin(cluster, &built, screen)?;
    story.tell()
}

fn start(options: &Options, built: &Built, screen: &Screen) -> Result<Cluster> {
    let setup = Setup {
        name: "demo".to_owned(),
        detection: Duration::from_secs(1),
        dir: options.dir.clone(),
        evsd: Some(built.evsd.clone()),
        log: "info".to_owned(),
        ..Setup::new(options.nodes)
    };
    let begin = Instant::now();
    let cluster = Cluster::start(setup)?;
    let where_to = cluster.dir().display();
    screen.tell(format!("{} daemons on loopback, sealed, under {where_to}", options.nodes));
    cluster.until_members(&cluster.nodes())?;
    screen.tell(format!("one ring of all nodes, {} after the start", seconds(begin.elapsed())));
    Ok(cluster)
}

/// The cluster, its clients, and what has happened so far.
struct Story {
    screen: Screen,
    cluster: Cluster,
    /// In the order of their starts; those of dead daemons stay for the verdict.
    clients: Vec<Recorder>,
    c_client: CClient,
    sending_since: Instant,
}

impl Story {
    /// Starts the clients, one for each daemon and one in C beside that of node 1.
    fn begin(cluster: Cluster, built: &Built, screen: Screen) -> Result<Self> {
        let library = build::shared_library(built)?;
        let program = c_client::compile(&library, cluster.dir())?;
        let clients = cluster
            .nodes()
            .into_iter()
            .enumerate()
            .map(|(index, node)| Recorder::start(index, node, &cluster.socket(node)))
            .collect::<Result<Vec<_>>>()?;
        let c_client = CClient::start(&program, &library, &cluster.socket(1))?;
        Ok(Self { screen, cluster, clients, c_client, sending_since: Instant::now() })
    }

    fn tell(mut self) -> Result<()> {
        self.all_send()?;
        self.kill(2)?;
        self.restart(2)?;
        self.stop(3)?;
        self.finish()
    }

    fn all_send(&mut self) -> Result<()> {
        let (rust, nodes) = (self.clients.len(), self.cluster.nodes());
        self.screen.tell(format!("{rust} clients in Rust and one in C (at node 1) send at once"));
        self.sending_since = Instant::now();
        self.clients.iter().for_each(Recorder::send);
        self.c_client.send()?;
        self.pass(UNDISTURBED)?;
        let delivered = self.clients[0].delivered();
        let rate = delivered as f64 / self.sending_since.elapsed().as_secs_f64();
        let nodes = nodes.len();
        self.screen.tell(format!("{rate:.0} messages/s, each delivered at all {nodes} nodes"));
        Ok(())
    }

    fn kill(&mut self, node: u32) -> Result<()> {
        self.screen.tell(format!("kill -9 of node {node}"));
        let at = Instant::now();
        self.cluster.kill(node)?;
        self.changed(at)?;
        self.pass(BETWEEN)
    }

    fn restart(&mut self, node: u32) -> Result<()> {
        self.screen.tell(format!("node {node} starts again: another processor, by the contract"));
        let at = Instant::now();
        self.cluster.start_node(node)?;
        self.changed(at)?;
        let socket = self.cluster.socket(node);
        let client = Recorder::start(self.clients.len(), node, &socket)?;
        client.send();
        self.clients.push(client);
        self.screen.tell(format!("a client at node {node} joins the group and sends"));
        self.pass(BETWEEN)
    }

    fn stop(&mut self, node: u32) -> Result<()> {
        self.screen.tell(format!("SIGTERM to node {node}: it sends what it took, and leaves"));
        let at = Instant::now();
        let status = self.cluster.stop(node)?;
        if !status.success() {
            bail!("node {node} did not stop in order: {status}");
        }
        self.changed(at)?;
        self.pass(BETWEEN)
    }

    /// Waits until every client that was there before is told of exactly the running nodes, and
    /// tells how long each took.
    fn changed(&self, since: Instant) -> Result<()> {
        let nodes = self.cluster.running();
        let survivors = self.clients.iter().filter(|client| client.is_connected());
        let survivors: Vec<&Recorder> =
            survivors.filter(|client| nodes.contains(&client.node())).collect();
        let deadline = since + PATIENCE;
        let mut told = Vec::new();
        let mut ring = None;
        for client in survivors {
            let installed = client.until_members(&nodes, since, deadline).with_context(|| {
                format!("the client at node {} saw no {nodes:?}", client.node())
            })?;
            told.push(format!("{} {}", client.node(), seconds(installed.at - since)));
            ring = Some(installed.ring);
        }
        let ring = ring.map_or_else(String::new, |ring| ring.to_string());
        let nodes = screen::list(&nodes);
        self.screen.tell(format!("ring {ring} of nodes {nodes}; at node {}", told.join(", ")));
        Ok(())
    }

    /// Lets time pass in which everybody sends. A client that ends in it ends the story.
    fn pass(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.c_client.check()?;
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Ends the sending, waits for the last message of everybody who is there, and judges.
    fn finish(mut self) -> Result<()> {
        let sent_for = self.sending_since.elapsed();
        let live: Vec<usize> =
            (0..self.clients.len()).filter(|i| self.clients[*i].is_connected()).collect();
        live.iter().for_each(|i| self.clients[*i].finish());
        self.c_client.finish()?;
        let mut last_from: Vec<u8> =
            live.iter().map(|i| self.clients[*i].index()).collect::<Vec<_>>();
        last_from.push(c_client::INDEX);
        let deadline = Instant::now() + PATIENCE;
        for i in &live {
            self.clients[*i].until_last_of(&last_from, deadline)?;
        }
        self.c_client.until_last_of(&last_from, deadline)?;
        self.screen.tell("the last message of every client has come everywhere".to_owned());
        let histories = self.clients.into_iter().map(Recorder::end).collect::<Result<Vec<_>>>()?;
        let c_history = self.c_client.end()?;
        drop(self.cluster);
        verdict::pronounce(histories, &c_history, sent_for)
    }
}

/// `0.12 s`
fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
