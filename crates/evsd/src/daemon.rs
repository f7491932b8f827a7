//! The daemon: one thread, one poll, one node and its clients.
//!
//! Responsible for: the order of work in a turn of the loop (the ring first), signals, when clients
//! are let in, the orderly stop, and the lines of the log about membership.
//! Not responsible for: the ring (`evs-node` and below), a client's session (`clients.rs`).
//!
//! Architecture invariant: nothing on this thread waits for a file, a name server, a log or a
//! client. (The one file that it touches is the socket's own: at the start, at the end, and when
//! its mode changes.)

mod cluster;
mod keys;
mod operate;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use evs_model::{Instant, NodeId, Processor};
use evs_net::LinkId;
use evs_node::{Clock, Node, Output};
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use crate::admission::Admission;
use crate::agreement::Agreement;
use crate::clients::{Clients, Terms};
use crate::config::{Config, Seal};
use crate::files::Files;
use crate::flight::Flight;
use crate::listener::{Claim, Listener};
use crate::log::{Log, RateLimit};
use crate::manager::Manager;
use crate::membership::Membership;
use crate::metrics::{Metrics, Sources};
use crate::privileges::Privileges;
use crate::pulse::Pulse;
use crate::questions::Act;
use crate::watch::Watch;
use crate::{questions, setup, status};
use operate::Operation;

/// How long an orderly stop may take in the ring; its service gives up sending after 2 s.
pub const LEAVE_WITHIN: Duration = Duration::from_millis(2500);

/// How long clients may take to read their last words after that.
pub const FAREWELL_WITHIN: Duration = Duration::from_millis(500);

/// After a failure to accept, the listener is left alone for so long.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The exit code where another node runs with this node's id.
pub const EXIT_DUPLICATE_NODE: u8 = 3;

const SIGNALS: Token = Token(0);
const LISTENER: Token = Token(1);
/// The node has the tokens from here to [`FILES`].
const NODE: Token = Token(2);
const FILES: Token = Token(63);
const CLIENTS: Token = Token(64);

/// Most events taken from the poll at once.
const EVENTS_MAX: usize = 1024;

/// Runs until a signal, or until the node cannot go on. `file` is where the configuration came
/// from.
///
/// # Errors
/// The node cannot be started. Later nothing is an error: it is logged, and the exit code says it.
pub fn run(config: Config, file: &Path, log: &Log) -> anyhow::Result<ExitCode> {
    // First of all, so that no signal is lost or ends the process without order.
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("signals cannot be handled")?;
    let mut daemon = Daemon::start(config, file, log, signals)?;
    let mut events = Events::with_capacity(EVENTS_MAX);
    loop {
        let wait = daemon.wait();
        daemon.pulse.rest(wait);
        if let Err(error) = daemon.poll.poll(&mut events, wait)
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error).context("the poll fails");
        }
        if let Some(code) = daemon.turn(&events) {
            return Ok(ExitCode::from(code));
        }
    }
}

struct Daemon<'a> {
    config: Config,
    file: PathBuf,
    log: &'a Log,
    clock: Clock,
    poll: Poll,
    signals: Signals,
    node: Node,
    clients: Clients,
    admission: Admission,
    claim: Claim,
    phase: Phase,
    /// The listener has, or may have, more clients.
    accept_ready: bool,
    /// Accepting failed; it is tried again at this time.
    accept_again: Option<Instant>,
    accept_log: RateLimit,
    membership: Membership,
    watch: Watch,
    pulse: Pulse,
    metrics: Option<Metrics>,
    manager: Manager,
    privileges: Privileges,
    files: Files,
    operation: Option<Operation>,
    /// Nodes that were taken out of the cluster and have not left yet, until then.
    departing: BTreeMap<NodeId, Instant>,
    /// This node was taken out of the cluster, and leaves when that is written.
    removed: bool,
    /// Why the file does not say what is in force of `[cluster]`.
    cluster_unwritten: Option<String>,
    /// Why the key file does not say what is in force.
    keys_unwritten: Option<String>,
    /// SIGHUP came while something was under way.
    reload_again: bool,
}

/// How far the daemon is.
#[derive(Debug)]
enum Phase {
    /// No regular configuration yet: clients cannot connect.
    Forming,
    /// Clients come and go.
    Serving(Listener),
    /// What was accepted is sent, until this time at most.
    Leaving { until: Instant },
    /// The clients read their last words, until this time at most.
    Farewell { until: Instant, code: u8 },
}

impl Phase {
    const fn name(&self) -> &'static str {
        match self {
            Self::Forming => "forming",
            Self::Serving(_) => "serving",
            Self::Leaving { .. } | Self::Farewell { .. } => "leaving",
        }
    }
}

impl<'a> Daemon<'a> {
    fn start(
        config: Config,
        file: &Path,
        log: &'a Log,
        mut signals: Signals,
    ) -> anyhow::Result<Self> {
        let claim = Claim::take(&config.local.socket)?;
        setup::raise_descriptor_limit(config.local.limits.clients_max);
        let poll = Poll::new().context("the poll cannot be created")?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        let clock = Clock::start();
        let node = Node::start(setup::node_config(&config), &clock, poll.registry(), NODE)
            .context("the node cannot be started")?;
        let flight = Flight::start(
            node.me(),
            config.cluster.detection,
            &config.local.state_dir,
            clock.now(),
        );
        let agreement = Agreement::new(node.me(), config.cluster.clone());
        let admission = Admission::new(&config.local.allow_uids, &config.local.allow_gids);
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            cluster = config.cluster.name,
            node = %config.local.node,
            processor = %node.me(),
            address = %config.address(),
            nodes = config.cluster.nodes().len(),
            "evsd starts"
        );
        if config.cluster.seal == Seal::None {
            tracing::warn!("{}", status::CLEAR_TEXT);
        }
        let mut daemon = Self {
            log,
            clock,
            files: Files::start(poll.registry(), FILES).context("a thread cannot be started")?,
            operation: None,
            departing: BTreeMap::new(),
            removed: false,
            cluster_unwritten: None,
            keys_unwritten: None,
            reload_again: false,
            poll,
            signals,
            clients: Clients::new(terms(&config, node.me()), admission.clone()),
            node,
            admission,
            claim,
            phase: Phase::Forming,
            accept_ready: false,
            accept_again: None,
            accept_log: RateLimit::new(Duration::from_secs(10)),
            membership: Membership::new(flight, agreement),
            watch: Watch::new(clock.now(), file),
            pulse: Pulse::new(clock.now(), config.cluster.detection),
            metrics: config
                .local
                .metrics
                .map(|at| Metrics::start(at, &config.cluster.name, clock.now())),
            manager: Manager::start(clock.now()),
            privileges: Privileges::default(),
            file: file.to_owned(),
            config,
        };
        daemon.privileges = Privileges::ask(&daemon.config.local);
        // That may have taken long, and nobody could miss this node yet.
        daemon.pulse = Pulse::new(daemon.clock.now(), daemon.config.cluster.detection);
        Ok(daemon)
    }

    /// How long the poll may wait.
    fn wait(&mut self) -> Option<Duration> {
        let busy = self.node.has_work()
            || self.clients.has_work()
            || (self.accept_ready && matches!(self.phase, Phase::Serving(_)))
            // Last: whoever does not sleep need not be rung for.
            || self.clients.rest();
        if busy {
            return Some(Duration::ZERO);
        }
        let phase = match &self.phase {
            Phase::Forming | Phase::Serving(_) => None,
            Phase::Leaving { until } | Phase::Farewell { until, .. } => Some(*until),
        };
        let timeouts = [
            self.node.poll_timeout(),
            self.clients.poll_timeout(),
            self.manager.poll_timeout(),
            self.accept_again,
            self.departing.values().min().copied(),
            self.operation.as_ref().and_then(|operation| operation.ends_at),
            self.operation.as_ref().and_then(|operation| Some(operation.waits.as_ref()?.1)),
            phase,
        ];
        let next = timeouts.into_iter().flatten().fold(self.watch.poll_timeout(), Instant::min);
        Some(next.since(self.clock.now()))
    }

    /// One turn of the loop: the ring first, then its timers, then the clients. Returns the exit
    /// code at the end of all turns.
    fn turn(&mut self, events: &Events) -> Option<u8> {
        let now = self.clock.now();
        if let Some(pause) = self.pulse.beat(now) {
            self.membership.note_pause(now, pause);
        }
        let mut signalled = false;
        for event in events {
            match event.token() {
                SIGNALS => signalled = true,
                LISTENER => self.accept_ready = true,
                FILES => {}
                token if token < CLIENTS => self.node.handle_ready(event),
                _ => self.clients.handle_event(event),
            }
        }
        self.node.handle_io(now);
        self.dispatch(now);
        self.node.handle_timeout(now);
        self.dispatch(now);
        self.membership.look_for_first(now, &mut self.node);
        self.membership.tell_waiting(now, &mut self.node);
        self.take_steps(now);
        self.end_proposal(now);
        self.go_on_with_keys(now);
        self.part_with_removed(now);
        self.dispatch(now);

        self.accept(now);
        self.clients.take_turn(now, &mut self.node);
        self.dispatch(now);
        self.answer(now);
        self.take_files(now);
        self.clients.handle_timeout(now);
        self.watch.handle_timeout(now, &self.node);
        let (phase, node) = (self.phase.name(), &self.node);
        self.manager.handle_timeout(now, || {
            let members = node.service().ring().members().map_or(0, evs_model::Members::len);
            format!("{phase}; a ring of {members}")
        });
        if let Some(metrics) = &mut self.metrics {
            let sources = Sources {
                node: &self.node,
                clients: &self.clients,
                flight: self.membership.flight(),
                log_lines_lost: self.log.lines_lost(),
            };
            metrics.handle_timeout(now, &sources);
        }
        self.clients.flush(now, &mut self.node, self.poll.registry());
        self.dispatch(now);

        if signalled && let Some(code) = self.handle_signals(now) {
            return Some(code);
        }
        self.step(now)
    }

    /// Carries out what the node says.
    fn dispatch(&mut self, now: Instant) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::ToClient { client, event } if self.membership.control().is(client) => {
                    self.membership.take(now, &mut self.node, &event);
                    self.take_steps(now);
                }
                Output::ToClient { client, event } => {
                    self.clients.deliver(now, &mut self.node, client, &event);
                }
                Output::Room { client, bytes } => self.clients.give_room(client, bytes),
                Output::Transition { from, to, cause } => {
                    let edge = (from, to);
                    let reason = self.membership.note_transition(now, &self.node, edge, cause);
                    reason.into_iter().for_each(|reason| self.clients.set_reason(reason));
                }
                Output::Left { dropped } => self.handle_left(now, dropped),
                Output::Peer(event) => self.membership.note_peer(now, event),
                Output::Network { link, result: Ok(address) } => {
                    tracing::info!(%link, %address, "network in use");
                    self.warn_of_short_buffer(link);
                }
                Output::Network { link, result: Err(error) } => {
                    tracing::warn!(%link, error, "the network cannot be used; trying again");
                }
                Output::DuplicateNode { incarnation, must_stop } => {
                    self.handle_duplicate(now, incarnation, must_stop);
                }
            }
        }
    }
}

impl Daemon<'_> {
    fn warn_of_short_buffer(&self, link: LinkId) {
        if let Some((given, wanted)) = self.node.net().short_buffer(link) {
            tracing::warn!(%link, given, wanted, "the kernel gives a small receive buffer");
        }
    }
}

/// What clients are told that they may use.
fn terms(config: &Config, processor: Processor) -> Terms {
    Terms {
        processor,
        message_bytes_max: config.cluster.message_bytes_max,
        groups_per_client_max: config.local.limits.groups_per_client_max,
        client_send_bytes_max: config.local.limits.client_send_bytes_max,
        client_event_bytes_max: config.local.limits.client_event_bytes_max,
        first_token: CLIENTS,
    }
}

/// Coming and going of clients.
impl Daemon<'_> {
    /// Lets clients in once the first regular configuration exists (a client that connects earlier
    /// could be told nothing).
    fn open(&mut self) -> anyhow::Result<()> {
        let mut listener =
            self.claim.listen(self.admission.socket_mode(), self.admission.group())?;
        self.poll.registry().register(listener.source(), LISTENER, Interest::READABLE)?;
        tracing::info!(socket = %self.config.local.socket.display(), "clients can connect");
        self.manager.ready();
        self.accept_ready = true;
        self.phase = Phase::Serving(listener);
        Ok(())
    }

    fn accept(&mut self, now: Instant) {
        let Phase::Serving(listener) = &self.phase else { return };
        if self.accept_again.take_if(|again| *again <= now).is_some() {
            self.accept_ready = true;
        }
        if !self.accept_ready {
            return;
        }
        match self.clients.accept(now, listener, self.poll.registry()) {
            Ok(more) => self.accept_ready = more,
            Err(error) => {
                self.accept_ready = false;
                self.accept_again = Some(now + ACCEPT_AGAIN_AFTER);
                if let Some(suppressed) = self.accept_log.admit(now) {
                    tracing::warn!(%error, suppressed, "clients cannot be taken on");
                }
            }
        }
    }

    /// Answers what clients have asked.
    fn answer(&mut self, now: Instant) {
        for question in self.clients.take_questions() {
            let (json, act) = match &question.text {
                None => (self.status(now), Act::None),
                Some(text) => {
                    let about = (&self.config, &self.node);
                    questions::answer(now, &self.membership, about, question.uid, text)
                }
            };
            if let Act::Operate(order) = act {
                self.operate(now, question, order);
                continue;
            }
            self.clients.answer(now, &mut self.node, &question, json);
            if act == Act::Leave && matches!(self.phase, Phase::Forming | Phase::Serving(_)) {
                tracing::info!(uid = question.uid, "asked to leave by a client");
                self.leave(now);
            }
        }
    }

    fn status(&self, now: Instant) -> String {
        status::report(&status::Sources {
            now,
            config: &self.config,
            node: &self.node,
            clients: &self.clients,
            phase: self.phase.name(),
            privileges: &self.privileges,
            log_lines_lost: self.log.lines_lost(),
            flight: self.membership.flight(),
            cluster_unwritten: self.cluster_unwritten.as_deref(),
            agreement: self.membership.agreement(),
            watch: &self.watch,
            keys_unwritten: self.keys_unwritten.as_deref(),
            tellings_malformed: self.membership.control().malformed(),
        })
    }
}

/// The end.
impl Daemon<'_> {
    /// The first SIGTERM or SIGINT starts the orderly stop, the second ends it.
    fn handle_signals(&mut self, now: Instant) -> Option<u8> {
        let pending: Vec<_> = self.signals.pending().collect();
        for signal in pending {
            if signal == SIGHUP {
                self.reload_by_signal();
                continue;
            }
            match self.phase {
                Phase::Forming | Phase::Serving(_) => {
                    tracing::info!(signal, "told to stop");
                    self.leave(now);
                }
                Phase::Leaving { .. } | Phase::Farewell { .. } => {
                    tracing::warn!(signal, "second signal: stopping at once");
                    return Some(1);
                }
            }
        }
        None
    }

    fn leave(&mut self, now: Instant) {
        tracing::info!(clients = self.clients.len(), "leaving the ring");
        self.manager.stopping();
        self.clients.take_last(now, &mut self.node);
        self.phase = Phase::Leaving { until: now + LEAVE_WITHIN };
        self.node.leave(now);
        self.dispatch(now);
    }

    fn handle_left(&mut self, now: Instant, dropped: u64) {
        if dropped > 0 {
            tracing::warn!(dropped, "left the ring; accepted messages were dropped");
        } else {
            tracing::info!("left the ring; every accepted message was sent");
        }
        self.say_farewell(now, 0);
    }

    /// Another process bears this node's id. The one that must stop stops loudly; the other goes
    /// on and says so.
    fn handle_duplicate(&mut self, now: Instant, other: u64, must_stop: bool) {
        let node = self.config.local.node;
        let other = format!("{other:016x}");
        if !must_stop {
            tracing::warn!(
                %node, other_incarnation = other,
                "another process runs with this node's id and has to stop; give it an id of its own"
            );
            return;
        }
        tracing::error!(
            %node, address = %self.config.address(), other_incarnation = other,
            "another process runs with this node's id and was there first; this one stops. \
             Give this host an id of its own: local.node in its configuration, and an entry in \
             [[cluster.nodes]] of every node"
        );
        self.say_farewell(now, EXIT_DUPLICATE_NODE);
    }

    fn say_farewell(&mut self, now: Instant, code: u8) {
        if matches!(self.phase, Phase::Farewell { .. }) {
            return;
        }
        self.clients.end_all(now, &mut self.node);
        self.phase = Phase::Farewell { until: now + FAREWELL_WITHIN, code };
    }

    /// What the phase demands at the end of a turn; the exit code after the last one.
    fn step(&mut self, now: Instant) -> Option<u8> {
        match self.phase {
            Phase::Forming if self.membership.has_begun() => {
                if let Err(error) = self.open() {
                    tracing::error!(
                        socket = %self.config.local.socket.display(),
                        error = format!("{error:#}"),
                        "the socket for clients cannot be created; this node stops"
                    );
                    self.say_farewell(now, 1);
                }
                None
            }
            Phase::Leaving { until } if until <= now => {
                tracing::warn!("the ring was not left in time; stopping");
                self.say_farewell(now, 1);
                None
            }
            Phase::Farewell { until, code } => {
                self.clients.flush(now, &mut self.node, self.poll.registry());
                (until <= now || !self.clients.has_unsaid()).then_some(code)
            }
            Phase::Forming | Phase::Serving(_) | Phase::Leaving { .. } => None,
        }
    }
}
