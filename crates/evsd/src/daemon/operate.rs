//! What an operator has the running daemon do: read its configuration again.
//!
//! One thing at a time. It is done as a whole or not at all, and whoever asked is told why not;
//! so is the log.

use std::time::Duration;

use evs_model::Instant;
use evs_report::Answer;
use evs_service::ClientLimits;

use super::{Daemon, Phase, terms};
use crate::admission::Admission;
use crate::clients::Question;
use crate::config::{Config, Difference};
use crate::files::{Done, Job};
use crate::questions::Order;
use crate::status::{CLUSTER_UNWRITTEN, KEYS_UNWRITTEN, other_unwritten};
use crate::{questions, setup};

/// How long the others may take, beyond the time that they have to agree, to say whether they could
/// write their files: with that, less than a request of a client may take (10 s).
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);

/// What is under way.
#[derive(Debug)]
pub(super) struct Operation {
    /// Who asked; `None`: a signal.
    by: Option<Question>,
    /// What is to be in force when the others have agreed.
    config: Option<Box<Config>>,
    /// What has changed, while the section `[cluster]` is being written.
    agreed: Option<Vec<String>>,
    /// What has changed, while the others write it.
    written: Option<Vec<String>>,
    /// Until when they may say so.
    written_by: Option<Instant>,
    /// What they could not write.
    others: Option<String>,
    /// Why the section `[local]` is what it was, though the others have agreed.
    failed: Option<String>,
    /// When a proposal is withdrawn that is not decided by then, or nobody waits any more for what
    /// the others write.
    pub(super) ends_at: Option<Instant>,
    /// A step with the keys to which members have an objection, and for how long it waits.
    pub(super) waits: Option<(Order, Instant)>,
}

impl Operation {
    const fn of(by: Option<Question>) -> Self {
        Self {
            by,
            config: None,
            agreed: None,
            written: None,
            written_by: None,
            others: None,
            failed: None,
            ends_at: None,
            waits: None,
        }
    }

    /// Whether all have agreed, and it is being written.
    pub(super) const fn is_agreed(&self) -> bool {
        self.agreed.is_some() || self.written.is_some()
    }
}

/// What an operation came to: the names of the settings that changed, or why nothing did.
type Outcome = Result<Vec<String>, String>;

/// Settings that a reload changes. All others need a restart.
const AT_ONCE: [&str; 8] = [
    "local.allow_gids",
    "local.allow_uids",
    "local.key_file",
    "local.limits.client_event_bytes_max",
    "local.limits.client_send_bytes_max",
    "local.limits.clients_max",
    "local.limits.groups_per_client_max",
    "local.log",
];

impl Daemon<'_> {
    /// SIGHUP. One that comes while something is under way is not forgotten.
    pub(super) fn reload_by_signal(&mut self) {
        if self.operation.is_some() {
            self.reload_again = true;
        } else {
            self.reload(None);
        }
    }

    /// An operator wants something done.
    pub(super) fn operate(&mut self, now: Instant, by: Question, order: Order) {
        if self.operation.is_some() {
            let busy = "another change is under way: try again";
            return self.tell(now, &Operation::of(Some(by)), Err(busy.to_owned()));
        }
        match order {
            Order::KeyAdd(file) if file.is_absolute() => {
                self.operation = Some(Operation::of(Some(by)));
                self.files.give(Job::LoadKey(file));
            }
            Order::KeyAdd(file) => {
                let error = format!("{} is no absolute path", file.display());
                self.tell(now, &Operation::of(Some(by)), Err(error));
            }
            Order::KeyUse(..) | Order::KeyDrop(..) => {
                self.operation = Some(Operation::of(Some(by)));
                self.change_keys(now, order);
            }
            Order::NodeAdd(node, addresses) => {
                self.operation = Some(Operation::of(Some(by)));
                self.add_node(now, node, &addresses);
            }
            Order::NodeRemove(node) => {
                self.operation = Some(Operation::of(Some(by)));
                self.remove_node(now, node);
            }
            Order::Reload => self.reload(Some(by)),
        }
    }

    fn reload(&mut self, by: Option<Question>) {
        // One job at a time, so there is room.
        self.files.give(Job::Load(self.file.clone()));
        self.operation = Some(Operation::of(by));
    }

    /// The thread with the files has done something.
    pub(super) fn take_files(&mut self, now: Instant) {
        while let Some(done) = self.files.take() {
            match done {
                Done::Loaded(Ok((config, stale))) => self.take_config(now, config, stale),
                Done::Loaded(Err(error)) => self.finish(now, Err(error.to_string())),
                Done::KeyLoaded(Ok(key)) => self.take_key(now, &key),
                Done::KeyLoaded(Err(error)) => self.finish(now, Err(error.to_string())),
                Done::KeysWritten(result) => self.keys_written(now, result),
                Done::ClusterWritten(result) => self.cluster_written(now, result),
            }
        }
    }

    /// A file was read. What it changes of the cluster the others are asked about first. A stale
    /// one changes nothing of it: it could not be written when they last agreed.
    fn take_config(&mut self, now: Instant, mut config: Box<Config>, stale: bool) {
        let (file, force) = (config.cluster.version, self.config.cluster.version);
        let is_same = self.config.cluster.differences(&config.cluster).is_empty();
        if is_same && file == force && self.cluster_unwritten.take().is_some() {
            self.membership.agreement_mut().tell_written(None);
            self.take_steps(now);
        }
        if is_same || (stale && self.cluster_unwritten.is_some()) {
            config.cluster = self.config.cluster.clone();
        }
        let outcome = match self.check(&config) {
            Err(error) => Err(error),
            Ok(()) if self.config.cluster == config.cluster => {
                let outcome = self.apply(*config);
                match (outcome, &mut self.operation) {
                    (Ok(changed), Some(operation)) if self.cluster_unwritten.is_some() => {
                        operation.agreed = Some(changed);
                        return self.write_cluster(now, self.config.cluster.clone());
                    }
                    (outcome, _) => outcome,
                }
            }
            Ok(()) if file != force => Err(format!(
                "{}: cluster.version is {file}, and {force} is in force: somebody has changed the \
                 cluster since; `evs config diff` shows what differs",
                self.file.display()
            )),
            Ok(()) => {
                let cluster = config.cluster.clone();
                if let Some(operation) = &mut self.operation {
                    operation.config = Some(config);
                }
                return self.propose(now, Ok(cluster));
            }
        };
        self.finish(now, outcome);
    }

    /// The others have agreed, and what was agreed on is in force and being written.
    pub(super) fn agreed(&mut self, mut changed: Vec<String>) {
        let Some(mut operation) = self.operation.take() else { return };
        operation.written_by = operation.ends_at.take().map(|at| at + WRITTEN_WITHIN);
        if let Some(mut config) = operation.config.take() {
            config.cluster = self.config.cluster.clone();
            match self.apply(*config) {
                Ok(more) => changed.extend(more),
                Err(error) => {
                    tracing::warn!(error, "the section [local] is not reloaded");
                    operation.failed = Some(error);
                }
            }
        }
        operation.agreed = Some(changed);
        self.operation = Some(operation);
    }

    /// What is in force was written here, as far as it could be. The others say so of theirs.
    pub(super) fn written(&mut self, now: Instant) {
        if let Some(operation) = &mut self.operation
            && let Some(changed) = operation.agreed.take()
        {
            operation.written = Some(changed);
            operation.ends_at = operation.written_by;
        }
        self.end_writing(now);
    }

    /// All have said what became of their files, or had their time for it.
    pub(super) fn end_writing(&mut self, now: Instant) {
        let agreement = self.membership.agreement();
        let Some(operation) = &mut self.operation else { return };
        let waits = operation.ends_at.is_some_and(|at| now < at);
        if operation.written.is_none() || (waits && agreement.writing().next().is_some()) {
            return;
        }
        let missed = agreement.unwritten().map(|(node, why)| other_unwritten(node, why));
        let silent = agreement.writing().map(|node| {
            format!("node {node} has not said whether it could write its file: see its status")
        });
        let all: Vec<_> = missed.chain(silent).collect();
        operation.others = (!all.is_empty()).then(|| all.join("; "));
        let changed = operation.written.take().unwrap_or_default();
        self.finish(now, Ok(changed));
        if self.removed {
            self.leave_removed(now);
        }
    }

    pub(super) fn finish(&mut self, now: Instant, outcome: Outcome) {
        let Some(operation) = self.operation.take() else { return };
        self.tell(now, &operation, outcome);
        if std::mem::take(&mut self.reload_again) {
            self.reload(None);
        }
    }

    fn tell(&mut self, now: Instant, operation: &Operation, outcome: Outcome) {
        let uid = operation.by.as_ref().map(|question| question.uid);
        match &outcome {
            Ok(changed) if changed.is_empty() => {
                tracing::info!(uid, "configuration read again: it says what is in force");
            }
            Ok(changed) => {
                tracing::info!(uid, changed = changed.join(", "), "configuration reloaded");
            }
            Err(error) => {
                tracing::warn!(uid, error, "the configuration is not reloaded: nothing has changed")
            }
        }
        let Some(question) = &operation.by else { return };
        let answer = match outcome {
            Ok(changed) => Answer {
                accepted: true,
                changed: Some(changed),
                warning: self.warning(operation),
                ..questions::keys(&self.node)
            },
            Err(error) => {
                let error = format!("nothing has changed: {error}");
                Answer { error: Some(error), ..questions::empty() }
            }
        };
        self.clients.answer(now, &mut self.node, question, questions::json(&answer));
    }

    /// What is not in force that the file says, and the other way round.
    fn warning(&self, operation: &Operation) -> Option<String> {
        let all = [
            ("the section [local] is not reloaded", &operation.failed),
            (KEYS_UNWRITTEN, &self.keys_unwritten),
            (CLUSTER_UNWRITTEN, &self.cluster_unwritten),
        ];
        let said =
            |(what, why): (&str, &Option<String>)| Some(format!("{what}: {}", why.as_ref()?));
        let all = all.into_iter().filter_map(said).chain(operation.others.clone());
        let all: Vec<_> = all.collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Whether a configuration can be taken over as a whole, as far as it can be known beforehand.
    fn check(&self, config: &Config) -> Result<(), String> {
        if !matches!(self.phase, Phase::Forming | Phase::Serving(_)) {
            return Err("this node leaves".to_owned());
        }
        let mut differences = self.config.settings().differences(&config.settings());
        let (mine, theirs) = (&self.config.cluster, &config.cluster);
        differences
            .retain(|change| change.name != "cluster.version" && !mine.can_become(theirs, change));
        refuse_the_rest(&self.file.display().to_string(), &differences)?;
        self.key_step(config)?;
        // As it is: whether it can be set.
        self.set_socket_mode(&self.admission)
    }

    fn set_socket_mode(&self, admission: &Admission) -> Result<(), String> {
        let Phase::Serving(listener) = &self.phase else { return Ok(()) };
        listener.set_mode(admission.socket_mode()).map_err(|error| {
            let socket = self.config.local.socket.display();
            format!("the mode of the socket {socket} cannot be changed: {error}")
        })
    }

    /// Takes over what a configuration says of this node, as a whole, or says why not.
    fn apply(&mut self, config: Config) -> Outcome {
        let differences = self.config.settings().differences(&config.settings());
        // What can fail comes first.
        let local = &config.local;
        let admission = self.admission.clone().allowing(&local.allow_uids, &local.allow_gids);
        self.set_socket_mode(&admission)?;
        // Nothing after this can fail.
        let rekeyed = match self.take_keys(&config) {
            Ok(rekeyed) => rekeyed,
            Err(error) => {
                // It could be changed a moment ago.
                let _ = self.set_socket_mode(&self.admission);
                return Err(error);
            }
        };
        let limits = ClientLimits {
            // One more: the daemons' own conversation.
            clients_max: local.limits.clients_max as usize + 1,
            groups_per_client_max: local.limits.groups_per_client_max as usize,
            client_send_bytes_max: local.limits.client_send_bytes_max as usize,
        };
        self.log.set_filter(&local.log);
        let limits = self.node.set_client_limits(limits);
        assert_eq!(limits, Ok(()), "the ranges of the file are within those of the service");
        setup::raise_descriptor_limit(local.limits.clients_max);
        self.admission = admission.clone();
        self.clients.set_terms(terms(&config, self.node.me()), admission);
        self.config = config;
        self.keys_unwritten = None;
        if rekeyed {
            self.membership.tell_keys(self.clock.now(), &mut self.node);
        }
        let mut changed: Vec<_> = differences.into_iter().map(|change| change.name).collect();
        if rekeyed && !changed.iter().any(|name| name == "local.key_file") {
            changed.push("local.key_file".to_owned());
        }
        Ok(changed)
    }
}

/// Names what cannot change while the daemon runs.
fn refuse_the_rest(file: &str, differences: &[Difference]) -> Result<(), String> {
    let fixed = differences.iter().filter(|change| !AT_ONCE.contains(&change.name.as_str()));
    let lines: Vec<_> = fixed
        .map(|change| {
            let says =
                |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
            let (before, after) = (says(&change.before), says(&change.after));
            let restart =
                if change.is_of_cluster() { "a restart of every node" } else { "a restart" };
            format!("{file}: {} needs {restart}: {before} is in force, not {after}", change.name)
        })
        .collect();
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}
