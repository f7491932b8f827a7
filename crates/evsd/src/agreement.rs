//! How the daemons of a configuration agree on a change of the section `[cluster]`.
//!
//! Responsible for: proposals, verdicts, and versions, as they come in the total order
//! (`docs/decisions/`, 23).
//! Not responsible for: carrying a change out (`daemon/cluster.rs`), the messages (`control.rs`).
//!
//! A proposal is judged by every member of the configuration in which it is delivered. When the
//! last of their verdicts is delivered, and all are for it, it is in force: at the same place of
//! the history everywhere. A new configuration ends what is not decided, and so can its proposer.
//! At its begin each member says which version it has; who has an older one takes over the newest.
//! What is in force each writes to its own file, and says whether it could.
//!
//! No time and no input or output is in here: what goes in comes in the total order, so all members
//! come to the same result.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use evs_model::{Members, Processor};

use crate::config::Cluster;
use crate::control::Telling;

/// Longest text of a section that is told, in bytes: 128 nodes on 8 links have room.
const TEXT_BYTES_MAX: usize = 56 << 10;

/// Most characters that are kept of why a member could not write its file.
const WHY_CHARS_MAX: usize = 400;

/// What follows.
#[derive(Debug)]
pub(crate) enum Step {
    /// This section is in force from here on.
    Apply {
        /// The one before.
        before: Box<Cluster>,
        /// The new one.
        now: Box<Cluster>,
        /// It was this daemon's proposal.
        mine: bool,
    },
    /// This daemon's proposal is dropped, everywhere.
    Refused(String),
    /// These nodes have another section of the same version.
    Differ(Vec<u32>),
    /// A newer section is in force elsewhere, and this node cannot take it over.
    Behind(String),
    /// This node could not write its file, and why.
    Unwritten(u32, String),
    /// To be told to all.
    Tell(Telling),
}

/// What one daemon knows of it.
#[derive(Debug)]
pub(crate) struct Agreement {
    me: Processor,
    /// In force here.
    cluster: Cluster,
    members: Members,
    /// What each member has, as it said at the begin of the configuration.
    versions: BTreeMap<Processor, (u64, String)>,
    /// Nodes with another section than the first of all with its version, and that one.
    differing: Option<(Vec<u32>, u32)>,
    /// Why members could not write their files, this one among them.
    unwritten: BTreeMap<Processor, String>,
    /// Other members that have not said yet whether they could write what was last agreed on.
    writing: BTreeSet<Processor>,
    pending: Option<Pending>,
    /// This daemon's last proposal, until it is decided.
    mine: Option<u64>,
    proposals: u64,
    steps: VecDeque<Step>,
}

#[derive(Debug)]
struct Pending {
    proposer: Processor,
    number: u64,
    cluster: Option<Cluster>,
    verdicts: BTreeMap<Processor, Option<String>>,
}

impl Agreement {
    pub(crate) fn new(me: Processor, cluster: Cluster) -> Self {
        Self {
            me,
            cluster,
            members: Members::default(),
            versions: BTreeMap::new(),
            differing: None,
            unwritten: BTreeMap::new(),
            writing: BTreeSet::new(),
            pending: None,
            mine: None,
            proposals: 0,
            steps: VecDeque::new(),
        }
    }

    /// The section in force.
    #[cfg(test)]
    pub(crate) const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Nodes that have another section in force than the node beside them, of the same version.
    pub(crate) const fn differing(&self) -> Option<&(Vec<u32>, u32)> {
        self.differing.as_ref()
    }

    /// Other members that could not write their files, and why.
    pub(crate) fn unwritten(&self) -> impl Iterator<Item = (u32, &str)> {
        let others = self.unwritten.iter().filter(|(who, _)| **who != self.me);
        others.map(|(who, why)| (who.node.get(), why.as_str()))
    }

    /// Other members that have not said yet whether they could write what was last agreed on.
    pub(crate) fn writing(&self) -> impl Iterator<Item = u32> {
        self.writing.iter().map(|who| who.node.get())
    }

    /// What became of this daemon's file is told to all.
    pub(crate) fn tell_written(&mut self, error: Option<String>) {
        self.note_written(self.me, error.clone());
        let version = self.cluster.version;
        self.steps.push_back(Step::Tell(Telling::Written { version, error }));
    }

    /// What follows from what came in.
    pub(crate) fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Proposes what is to be in force next. The answer is a step.
    ///
    /// # Errors
    /// Why it makes no sense to ask the others.
    pub(crate) fn propose(&mut self, cluster: &Cluster) -> Result<(), String> {
        let version = self.cluster.version + 1;
        let text = Cluster { version, ..cluster.clone() }.to_toml();
        if let Some(objection) = self.objection(&text) {
            return Err(objection);
        }
        self.proposals += 1;
        self.mine = Some(self.proposals);
        let telling = Telling::Propose { number: self.proposals, cluster: text };
        self.steps.push_back(Step::Tell(telling));
        Ok(())
    }

    /// This daemon's proposal is to end, if it is not decided before that is delivered. The answer
    /// is a step.
    pub(crate) fn withdraw(&mut self) {
        if let Some(number) = self.mine {
            self.steps.push_back(Step::Tell(Telling::Withdraw { number }));
        }
    }

    /// This daemon's proposal was told nobody.
    pub(crate) const fn forget(&mut self) {
        self.mine = None;
    }

    /// A configuration is in force.
    pub(crate) fn install(&mut self, members: &Members) {
        self.members = members.clone();
        self.versions.clear();
        self.differing = None;
        let pending = self.pending.take();
        if pending.is_some_and(|pending| pending.proposer == self.me) {
            self.refuse("the membership changed before all had answered: try again".to_owned());
        }
        let (version, mark) = (self.cluster.version, mark(&self.cluster));
        self.steps.push_back(Step::Tell(Telling::Version { version, mark }));
        self.unwritten.retain(|who, _| *who == self.me || members.contains(*who));
        self.writing.retain(|who| members.contains(*who));
        // Whoever is new does not know it.
        if let Some(why) = self.unwritten.get(&self.me) {
            let error = Some(why.clone());
            self.steps.push_back(Step::Tell(Telling::Written { version, error }));
        }
    }

    /// What a daemon told of this, at its place in the order.
    pub(crate) fn hear(&mut self, from: Processor, telling: Telling) {
        match telling {
            Telling::Version { version, mark } => self.hear_version(from, version, mark),
            Telling::Propose { number, cluster } => self.hear_proposal(from, number, &cluster),
            Telling::Verdict { of, number, objection } => {
                self.hear_verdict(from, (of, number), objection);
            }
            Telling::Adopt { cluster } => self.adopt(&cluster),
            Telling::Withdraw { number } => self.hear_withdrawal(from, number),
            Telling::Written { version, error } => self.hear_written(from, version, error),
            Telling::Evidence { .. } | Telling::Keys { .. } | Telling::Other => {}
        }
    }

    fn hear_version(&mut self, from: Processor, version: u64, mark: String) {
        if !self.members.contains(from) || self.versions.insert(from, (version, mark)).is_some() {
            return;
        }
        if self.versions.len() < self.members.len() {
            return;
        }
        // All have told, and all know that here.
        let newest = self.versions.values().map(|(version, _)| *version).max().unwrap_or_default();
        let mut holders = self.versions.iter().filter(|(_, held)| held.0 == newest);
        if let Some((first, held)) = holders.next() {
            let others: Vec<_> =
                holders.filter(|(_, other)| other.1 != held.1).map(|(p, _)| p.node.get()).collect();
            if !others.is_empty() {
                self.differing = Some((others.clone(), first.node.get()));
                self.steps.push_back(Step::Differ(others));
            }
            let is_behind = self.versions.values().any(|(version, _)| *version < newest);
            if *first == self.me && is_behind {
                let cluster = self.cluster.to_toml();
                self.steps.push_back(Step::Tell(Telling::Adopt { cluster }));
            }
        }
    }

    fn adopt(&mut self, text: &str) {
        let Ok(cluster) = Cluster::parse(text) else { return };
        if cluster.version <= self.cluster.version {
            return;
        }
        match self.forbidding(&cluster) {
            Some(why) => self.steps.push_back(Step::Behind(why)),
            None => self.apply(cluster, false),
        }
    }

    fn hear_proposal(&mut self, from: Processor, number: u64, text: &str) {
        if !self.members.contains(from) {
            return;
        }
        if self.pending.is_some() {
            if from == self.me {
                self.refuse("another change of the cluster is under way: try again".to_owned());
            }
            return;
        }
        let objection = self.objection(text);
        let cluster = Cluster::parse(text).ok();
        self.pending = Some(Pending { proposer: from, number, cluster, verdicts: BTreeMap::new() });
        let of = from.node.get();
        self.steps.push_back(Step::Tell(Telling::Verdict { of, number, objection }));
    }

    fn hear_verdict(&mut self, from: Processor, of: (u32, u64), objection: Option<String>) {
        let Some(pending) = &mut self.pending else { return };
        if (pending.proposer.node.get(), pending.number) != of || !self.members.contains(from) {
            return;
        }
        pending.verdicts.insert(from, objection);
        if pending.verdicts.len() < self.members.len() {
            return;
        }
        let Some(Pending { proposer, cluster, verdicts, .. }) = self.pending.take() else { return };
        let mine = proposer == self.me;
        let against: Vec<_> = verdicts
            .iter()
            .filter_map(|(who, why)| Some(format!("node {}: {}", who.node, why.as_ref()?)))
            .collect();
        match cluster {
            Some(cluster) if against.is_empty() => {
                // All take it over as a whole.
                self.differing = None;
                self.apply(cluster, mine);
                let others = self.members.iter().filter(|who| *who != self.me);
                self.writing = others.collect();
            }
            Some(_) | None => {
                if mine {
                    self.refuse(against.join("\n"));
                }
            }
        }
    }

    /// What is not decided here is decided nowhere: no verdict after this counts.
    fn hear_withdrawal(&mut self, from: Processor, number: u64) {
        let is_it = |pending: &mut Pending| (pending.proposer, pending.number) == (from, number);
        let Some(pending) = self.pending.take_if(is_it) else { return };
        if from == self.me {
            let silent = self.members.iter().filter(|who| !pending.verdicts.contains_key(who));
            let silent: Vec<_> = silent.map(|who| who.node.to_string()).collect();
            self.refuse(format!("not answered in time by node {}", silent.join(", ")));
        }
    }

    fn hear_written(&mut self, from: Processor, version: u64, error: Option<String>) {
        // What it is itself it knew before it told it.
        if from == self.me || !self.members.contains(from) {
            return;
        }
        if version >= self.cluster.version {
            self.writing.remove(&from);
        }
        let error = error.map(|why| why.chars().take(WHY_CHARS_MAX).collect());
        self.note_written(from, error);
    }

    fn note_written(&mut self, who: Processor, error: Option<String>) {
        let Some(why) = error else {
            self.unwritten.remove(&who);
            return;
        };
        let is_news = self.unwritten.insert(who, why.clone()).is_none();
        if is_news && who != self.me {
            self.steps.push_back(Step::Unwritten(who.node.get(), why));
        }
    }

    fn apply(&mut self, cluster: Cluster, mine: bool) {
        if mine {
            self.mine = None;
        }
        let before = Box::new(std::mem::replace(&mut self.cluster, cluster.clone()));
        self.steps.push_back(Step::Apply { before, now: Box::new(cluster), mine });
    }

    fn refuse(&mut self, why: String) {
        if self.mine.take().is_some() {
            self.steps.push_back(Step::Refused(why));
        }
    }

    /// What this node has against a section as the next one.
    fn objection(&self, text: &str) -> Option<String> {
        if text.len() > TEXT_BYTES_MAX {
            let bytes = text.len();
            return Some(format!("the section has {bytes} bytes, the limit is {TEXT_BYTES_MAX}"));
        }
        let cluster = match Cluster::parse(text) {
            Ok(cluster) => cluster,
            Err(mistakes) => {
                let first = mistakes.first().map(ToString::to_string);
                return Some(first.unwrap_or_default());
            }
        };
        let (base, mine) = (cluster.version.wrapping_sub(1), self.cluster.version);
        if base != mine {
            return Some(format!(
                "the change is based on version {base} of [cluster], and {mine} is in force here"
            ));
        }
        self.forbidding(&cluster)
    }

    /// What in a section cannot change while this node runs.
    fn forbidding(&self, cluster: &Cluster) -> Option<String> {
        let differences = self.cluster.differences(cluster);
        let fixed = differences.iter().filter(|change| !self.cluster.can_become(cluster, change));
        let names: Vec<_> = fixed.map(|change| change.name.as_str()).collect();
        let them = names.join(", ");
        (!names.is_empty()).then(|| format!("needs a restart of every node: {them}"))
    }
}

/// What tells one section from another: FNV-1a, of 64 bits.
fn mark(cluster: &Cluster) -> String {
    let step = |mark: u64, byte: u8| (mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mark = cluster.to_toml().bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{mark:016x}")
}

#[cfg(test)]
mod tests;
