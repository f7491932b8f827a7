//! What an operator has the running daemon do: read its configuration again.
//!
//! One thing at a time. It is done as a whole or not at all, and whoever asked is told why not;
//! so is the log.

use evs_model::Instant;
use evs_report::Answer;
use evs_service::ClientLimits;

use super::{Daemon, Phase, terms};
use crate::clients::Question;
use crate::config::{Config, Difference};
use crate::files::{Done, Job};
use crate::questions::Order;
use crate::status::KEYS_UNWRITTEN;
use crate::{questions, setup};

/// What is under way.
#[derive(Debug)]
pub(super) struct Operation {
    /// Who asked; `None`: a signal.
    by: Option<Question>,
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
            return self.tell(now, Some(&by), Err(busy.to_owned()));
        }
        match order {
            Order::KeyAdd(file) if file.is_absolute() => {
                self.operation = Some(Operation { by: Some(by) });
                self.files.give(Job::LoadKey(file));
            }
            Order::KeyAdd(file) => {
                let error = format!("{} is no absolute path", file.display());
                self.tell(now, Some(&by), Err(error));
            }
            Order::KeyUse(_) | Order::KeyDrop(_) => {
                self.operation = Some(Operation { by: Some(by) });
                self.change_keys(now, &order);
            }
            Order::Reload => self.reload(Some(by)),
        }
    }

    fn reload(&mut self, by: Option<Question>) {
        // One job at a time, so there is room.
        self.files.give(Job::Load(self.file.clone()));
        self.operation = Some(Operation { by });
    }

    /// The thread with the files has done something.
    pub(super) fn take_files(&mut self, now: Instant) {
        while let Some(done) = self.files.take() {
            match done {
                Done::Loaded(Ok(config)) => {
                    let outcome = self.apply(*config);
                    self.finish(now, outcome);
                }
                Done::Loaded(Err(error)) => self.finish(now, Err(error.to_string())),
                Done::KeyLoaded(Ok(key)) => self.take_key(now, &key),
                Done::KeyLoaded(Err(error)) => self.finish(now, Err(error.to_string())),
                Done::KeysWritten(result) => self.keys_written(now, result),
            }
        }
    }

    pub(super) fn finish(&mut self, now: Instant, outcome: Outcome) {
        let Some(operation) = self.operation.take() else { return };
        self.tell(now, operation.by.as_ref(), outcome);
        if std::mem::take(&mut self.reload_again) {
            self.reload(None);
        }
    }

    fn tell(&mut self, now: Instant, by: Option<&Question>, outcome: Outcome) {
        let uid = by.map(|question| question.uid);
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
        let Some(question) = by else { return };
        let answer = match outcome {
            Ok(changed) => Answer {
                accepted: true,
                changed: Some(changed),
                warning: self.keys_unwritten.as_ref().map(|why| format!("{KEYS_UNWRITTEN}: {why}")),
                ..questions::keys(&self.node)
            },
            Err(error) => {
                let error = format!("nothing has changed: {error}");
                Answer { error: Some(error), ..questions::empty() }
            }
        };
        self.clients.answer(now, &mut self.node, question, questions::json(&answer));
    }

    /// Takes over a configuration as a whole, or says why not.
    fn apply(&mut self, config: Config) -> Outcome {
        if !matches!(self.phase, Phase::Forming | Phase::Serving(_)) {
            return Err("this node leaves".to_owned());
        }
        let differences = self.config.settings().differences(&config.settings());
        refuse_the_rest(&self.file.display().to_string(), &differences)?;
        // What can fail comes first.
        let local = &config.local;
        let admission = self.admission.clone().allowing(&local.allow_uids, &local.allow_gids);
        if let Phase::Serving(listener) = &self.phase {
            listener.set_mode(admission.socket_mode()).map_err(|error| {
                let socket = local.socket.display();
                format!("the mode of the socket {socket} cannot be changed: {error}")
            })?;
        }
        // Nothing after this can fail.
        let rekeyed = match self.take_keys(&config) {
            Ok(rekeyed) => rekeyed,
            Err(error) => {
                if let Phase::Serving(listener) = &self.phase {
                    // It could be changed a moment ago.
                    let _ = listener.set_mode(self.admission.socket_mode());
                }
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
