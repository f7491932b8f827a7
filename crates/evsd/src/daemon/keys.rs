//! Changing the key of the cluster while it runs: at an operator's word, or because the key file
//! says something else at a reload.
//!
//! Three steps, each on every node before the next (`docs/decisions/`, 19): *add*, *use*, *drop*.
//! One step at a time, for a node that took two would seal what others cannot open yet.

use std::time::Duration;

use evs_model::Instant;
use evs_net::{ClusterKey, KeyChangeError, key_name};

use super::Daemon;
use crate::config::{Config, Seal};
use crate::files::Job;
use crate::questions::{self, Order};

/// How long what members say of their keys may be on its way.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// One step from some keys to others; the first of them seals.
#[derive(Debug)]
pub(super) enum Step<'k> {
    Nothing,
    Add(&'k ClusterKey),
    /// The two change places.
    Use(u16),
    Drop(u16),
}

impl Daemon<'_> {
    /// `evs key use` and `evs key drop`.
    pub(super) fn change_keys(&mut self, now: Instant, order: Order) {
        let (Order::KeyUse(key, force) | Order::KeyDrop(key, force)) = &order else { return };
        let known = self.named(key).map(|key| (key, self.knows(key)));
        // What this node itself lacks, it says at once.
        let objection = match known {
            Ok((key, true)) if !force => self.objection_of_members(&order, key),
            Ok(_) | Err(_) => None,
        };
        match &mut self.operation {
            Some(operation) if objection.is_some() => {
                operation.waits = Some((order, now + TOLD_WITHIN));
            }
            _ => self.carry_out(now, &order),
        }
    }

    /// What a member has done a moment ago is on its way here.
    pub(super) fn go_on_with_keys(&mut self, now: Instant) {
        let Some(operation) = &mut self.operation else { return };
        let Some((order, until)) = operation.waits.take() else { return };
        let (Order::KeyUse(name, _) | Order::KeyDrop(name, _)) = &order else { return };
        let key = self.named(name);
        match key.ok().and_then(|key| self.objection_of_members(&order, key)) {
            None => self.carry_out(now, &order),
            Some(objection) if until <= now => self.finish(now, Err(objection)),
            Some(_) => {
                if let Some(operation) = &mut self.operation {
                    operation.waits = Some((order, until));
                }
            }
        }
    }

    /// Why a step would cut members off, as far as they have said which keys they have.
    fn objection_of_members(&self, order: &Order, key: u16) -> Option<String> {
        let me = self.node.me();
        let (nodes, why) = if matches!(order, Order::KeyUse(..)) {
            let why = "not known to have this key, and could not read what it seals: \
                       `evs key add` there";
            (self.membership.without_key(me, key), why)
        } else {
            let why = "still sealing with it: `evs key use` there";
            (self.membership.sealing_with(me, key), why)
        };
        let nodes: Vec<_> = nodes.iter().map(|node| format!("node {node}")).collect();
        let them = nodes.join(", ");
        (!nodes.is_empty()).then(|| format!("{them}: {why} first, or say --force"))
    }

    fn carry_out(&mut self, now: Instant, order: &Order) {
        let done = match order {
            Order::KeyUse(key, _) => self.named(key).and_then(|key| self.use_key(key)),
            Order::KeyDrop(key, _) => self.named(key).and_then(|key| self.drop_key(key)),
            Order::KeyAdd(_) | Order::NodeAdd(..) | Order::NodeRemove(_) | Order::Reload => return,
        };
        self.write_keys(now, done);
    }

    /// `evs key add`: its file was read.
    pub(super) fn take_key(&mut self, now: Instant, key: &ClusterKey) {
        let done = self.add_key(key);
        self.write_keys(now, done);
    }

    /// What is in force is to be in the key file, too.
    fn write_keys(&mut self, now: Instant, done: Result<Vec<ClusterKey>, String>) {
        match done {
            Ok(mut known) => {
                self.membership.tell_keys(now, &mut self.node);
                known.extend(self.config.keys.iter().cloned());
                let (file, keys) = (self.config.local.key_file.clone(), self.config.keys.clone());
                self.files.give(Job::WriteKeys { file, keys, known });
            }
            Err(error) => self.finish(now, Err(error)),
        }
    }

    /// The key file was written, or why it was not.
    pub(super) fn keys_written(&mut self, now: Instant, result: Result<(), String>) {
        self.keys_unwritten = result.err();
        if let Some(error) = &self.keys_unwritten {
            tracing::warn!(error, "the keys in force are not in the key file");
        }
        self.finish(now, Ok(vec!["local.key_file".to_owned()]));
    }

    /// The step that leads to the keys of a new configuration, or why none does.
    pub(super) fn key_step<'k>(&self, new: &'k Config) -> Result<Step<'k>, String> {
        if new.cluster.seal == Seal::None {
            return Ok(Step::Nothing);
        }
        step(&self.config.keys, &new.keys).ok_or_else(|| {
            let names = |keys: &[ClusterKey]| -> Vec<_> {
                keys.iter().map(|key| questions::key_name(key_name(key))).collect()
            };
            format!(
                "key file {}: keys change one step at a time, each on every node before the next: \
                 the new key below the present one, then the two swapped, then the lower one taken \
                 away; {} in force, and the file has {}",
                new.local.key_file.display(),
                names(&self.config.keys).join(" and "),
                names(&new.keys).join(" and ")
            )
        })
    }

    /// Takes over the keys of a new configuration. Returns whether there was something to do.
    pub(super) fn take_keys(&mut self, new: &Config) -> Result<bool, String> {
        match self.key_step(new)? {
            Step::Nothing => return Ok(false),
            Step::Add(key) => self.add_key(key)?,
            Step::Use(name) => self.use_key(name)?,
            Step::Drop(name) => self.drop_key(name)?,
        };
        Ok(true)
    }

    /// Each of these returns the keys that the key file may have held until now.
    fn add_key(&mut self, key: &ClusterKey) -> Result<Vec<ClusterKey>, String> {
        let before = self.config.keys.clone();
        let name = self.node.add_key(key).map_err(|error| self.said(error))?;
        if !before.contains(key) {
            self.config.keys.push(key.clone());
            tracing::info!(key = questions::key_name(name), "key added");
        }
        Ok(before)
    }

    fn use_key(&mut self, name: u16) -> Result<Vec<ClusterKey>, String> {
        let before = self.config.keys.clone();
        self.node.use_key(name).map_err(|error| {
            let is_unknown = matches!(error, KeyChangeError::Unknown(_));
            let add = if is_unknown { "; `evs key add` the file with it first" } else { "" };
            self.said(error) + add
        })?;
        if before.first().is_some_and(|key| key_name(key) != name) {
            self.config.keys.reverse();
            tracing::info!(key = questions::key_name(name), "key in use");
        }
        Ok(before)
    }

    fn drop_key(&mut self, name: u16) -> Result<Vec<ClusterKey>, String> {
        let before = self.config.keys.clone();
        self.node.drop_key(name).map_err(|error| self.said(error))?;
        self.config.keys.truncate(1);
        tracing::info!(key = questions::key_name(name), "key dropped");
        Ok(before)
    }

    /// Why a step was not taken. Who named a key that is not there is told which are.
    fn said(&self, error: KeyChangeError) -> String {
        let is_unknown = matches!(error, KeyChangeError::Unknown(_));
        if is_unknown { format!("{error}: {}", self.known()) } else { error.to_string() }
    }

    /// The key that an operator named.
    fn named(&self, name: &str) -> Result<u16, String> {
        let parsed = if name.len() == 4 { u16::from_str_radix(name, 16).ok() } else { None };
        parsed.ok_or_else(|| format!("{name:?} is no key's name: {}", self.known()))
    }

    fn knows(&self, key: u16) -> bool {
        self.node.net().endpoint().keys().contains(&key)
    }

    /// Which keys there are.
    fn known(&self) -> String {
        let keys = self.node.net().endpoint().keys().into_iter().map(questions::key_name);
        match &keys.collect::<Vec<_>>()[..] {
            [] => "the cluster is not sealed, and has no keys".to_owned(),
            [only] => format!("{only} is the only one, and in use"),
            [seals, others @ ..] => {
                format!("{seals} is in use, and {} only opens", others.join(" and "))
            }
        }
    }
}

/// The one step that leads from some keys to others, if one does.
fn step<'k>(from: &[ClusterKey], to: &'k [ClusterKey]) -> Option<Step<'k>> {
    match (from, to) {
        (from, to) if from == to => Some(Step::Nothing),
        ([seals], [first, new]) if seals == first => Some(Step::Add(new)),
        ([seals, other], [first, second]) if seals == second && other == first => {
            Some(Step::Use(key_name(first)))
        }
        ([seals, other], [only]) if seals == only => Some(Step::Drop(key_name(other))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_change_by_one_step_and_never_by_two() {
        let [a, b, c] = [1, 2, 3].map(|byte| ClusterKey::from_bytes(&[byte; 32]));
        let step = |from: &[&ClusterKey], to: &[&ClusterKey]| {
            let [from, to] = [from, to].map(|keys| keys.iter().copied().cloned().collect());
            let (from, to): (Vec<_>, Vec<_>) = (from, to);
            super::step(&from, &to).map(|step| match step {
                Step::Nothing => "nothing".to_owned(),
                Step::Add(key) => format!("add {:04x}", key_name(key)),
                Step::Use(name) => format!("use {name:04x}"),
                Step::Drop(name) => format!("drop {name:04x}"),
            })
        };
        let said = |what: &str, key| Some(format!("{what} {:04x}", key_name(key)));
        assert_eq!(step(&[&a], &[&a]).as_deref(), Some("nothing"));
        assert_eq!(step(&[&a], &[&a, &b]), said("add", &b));
        assert_eq!(step(&[&a, &b], &[&b, &a]), said("use", &b));
        assert_eq!(step(&[&b, &a], &[&b]), said("drop", &a));
        assert_eq!(step(&[&a], &[&b]), None, "the others know nothing of b");
        assert_eq!(step(&[&a], &[&b, &a]), None, "the others may know nothing of b");
        assert_eq!(step(&[&a, &b], &[&b]), None, "the others may still seal with a");
        assert_eq!(step(&[&a, &b], &[&a, &c]), None);
    }
}
