//! A change of the section `[cluster]`, carried out at its place in the history.

use std::net::SocketAddr;
use std::time::Duration;

use evs_model::{Instant, NodeId};
use evs_net::LinkId;

use super::operate::Operation;
use super::{Daemon, Phase, terms};
use crate::agreement::Step;
use crate::config::Cluster;
use crate::control::Telling;
use crate::files::Job;
use crate::membership::log_untold;

/// How long a node that was taken out of the cluster may take to leave; then it is parted with.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// How long the members may take to answer a proposal. Less than a request of a client may take
/// (10 s), so that whoever asked is told.
const ANSWERED_WITHIN: Duration = Duration::from_secs(7);

impl Daemon<'_> {
    /// `evs node add`.
    pub(super) fn add_node(&mut self, now: Instant, node: u32, addresses: &[SocketAddr]) {
        let node = NodeId::new(node).ok_or_else(|| "node ids start at 1".to_owned());
        let new = node.and_then(|node| self.config.cluster.with_node(node, addresses));
        self.propose(now, new);
    }

    /// `evs node remove`.
    pub(super) fn remove_node(&mut self, now: Instant, node: u32) {
        let node = NodeId::new(node).ok_or_else(|| "node ids start at 1".to_owned());
        let new = node.and_then(|node| self.config.cluster.without_node(node));
        self.propose(now, new);
    }

    /// Asks all members. The operation goes on when they have answered.
    pub(super) fn propose(&mut self, now: Instant, cluster: Result<Cluster, String>) {
        let ready = match self.phase {
            Phase::Serving(_) => Ok(()),
            Phase::Forming => Err("this node has no configuration yet: try again".to_owned()),
            Phase::Leaving { .. } | Phase::Farewell { .. } => Err("this node leaves".to_owned()),
        };
        let cluster = ready.and(cluster);
        let asked = cluster.and_then(|cluster| self.membership.agreement_mut().propose(&cluster));
        match asked {
            Ok(()) => self.take_steps(now),
            Err(error) => self.finish(now, Err(error)),
        }
    }

    /// Carries out what was agreed on.
    pub(super) fn take_steps(&mut self, now: Instant) {
        while let Some(step) = self.membership.agreement_mut().poll_step() {
            match step {
                Step::Tell(telling) => self.tell_daemons(now, &telling),
                Step::Refused(why) => self.finish(now, Err(why)),
                Step::Apply { before, now: cluster, mine } => {
                    self.apply_cluster(now, *before, *cluster, mine);
                }
                Step::Differ(nodes) => {
                    let nodes = format!("{nodes:?}");
                    tracing::warn!(
                        nodes,
                        "nodes have different sections [cluster] of one version in their files"
                    );
                }
                Step::Behind(error) => tracing::error!(
                    error,
                    "the others have a newer section [cluster], which this node cannot take over"
                ),
                Step::Unwritten(node, error) => tracing::warn!(
                    node,
                    error,
                    "a node could not write the section [cluster] in force to its file"
                ),
            }
        }
        self.end_writing(now);
    }

    /// What nobody can be told of is not proposed; what else cannot be told ends nothing.
    fn tell_daemons(&mut self, now: Instant, telling: &Telling) {
        let told = self.membership.tell(now, &mut self.node, telling);
        match (told, telling) {
            (Ok(()), Telling::Propose { .. }) => {
                if let Some(operation) = &mut self.operation {
                    operation.ends_at = Some(now + ANSWERED_WITHIN);
                }
            }
            (Ok(()), _) => {}
            (Err(error), Telling::Propose { .. }) => {
                self.membership.agreement_mut().forget();
                self.finish(now, Err(format!("the other nodes cannot be asked: {error}")));
            }
            (Err(error), _) => log_untold(&error),
        }
    }

    /// A proposal that not all answer has an end: before the one who asked for it gives up.
    pub(super) fn end_proposal(&mut self, now: Instant) {
        let Some(operation) = &mut self.operation else { return };
        if !operation.is_agreed() && operation.ends_at.take_if(|at| *at <= now).is_some() {
            self.membership.agreement_mut().withdraw();
            self.take_steps(now);
        }
    }

    fn apply_cluster(&mut self, now: Instant, before: Cluster, cluster: Cluster, mine: bool) {
        let changed: Vec<_> =
            before.differences(&cluster).into_iter().map(|change| change.name).collect();
        tracing::info!(
            version = cluster.version,
            changed = changed.join(", "),
            "section [cluster] changed"
        );
        self.apply_settings(now, &before, &cluster);
        let me = self.config.local.node;
        let gone = before.nodes().keys().filter(|node| !cluster.nodes().contains_key(node));
        for node in gone.copied().filter(|node| *node != me) {
            match self.membership.members().find(node) {
                // It leaves in order, by itself: its messages are sent, and nobody waits.
                Some(member) => {
                    self.membership.note_removed(now, member);
                    self.departing.insert(node, now + LEAVES_WITHIN);
                }
                None => self.node.remove_peer(now, node),
            }
        }
        for node in cluster.nodes().keys().filter(|node| !before.nodes().contains_key(node)) {
            let addresses: Vec<_> = cluster.links.iter().map(|l| l.addresses[node]).collect();
            // Removed a moment ago, and again a part of it.
            if self.departing.remove(node).is_some() {
                self.node.remove_peer(now, *node);
            }
            if let Err(error) = self.node.add_peer(*node, &addresses) {
                tracing::error!(%node, %error, "a node of the cluster cannot be talked to");
            }
        }
        let is_member = cluster.nodes().contains_key(&me);
        self.config.cluster = cluster;
        let terms = terms(&self.config, self.node.me());
        self.clients.set_terms(terms, self.admission.clone());
        if mine {
            self.agreed(changed);
        }
        if !is_member {
            tracing::warn!("an operator took this node out of the cluster; it leaves and stops");
            self.removed = true;
        }
        self.write_cluster(now, before);
    }

    /// What is in force is to be in the file, in place of this.
    pub(super) fn write_cluster(&mut self, now: Instant, before: Cluster) {
        let (before, cluster) = (Box::new(before), Box::new(self.config.cluster.clone()));
        let job = Job::WriteCluster { file: self.file.clone(), before, now: cluster };
        if !self.files.give(job) {
            self.cluster_written(now, Err("too much waits to be written".to_owned()));
        }
    }

    /// What concerns the layers below takes effect at once.
    fn apply_settings(&mut self, now: Instant, before: &Cluster, cluster: &Cluster) {
        const RANGE: &str = "the ranges of the file are within those of the layers below";
        if before.detection != cluster.detection {
            self.node.set_detection(now, cluster.detection).expect(RANGE);
            self.membership.set_detection(cluster.detection);
            self.pulse.set_detection(cluster.detection);
        }
        if before.window_bytes_max != cluster.window_bytes_max {
            self.node.set_window_bytes(cluster.window_bytes_max).expect(RANGE);
            for link in self.node.net().links().enumerate().filter_map(|(i, _)| LinkId::at(i)) {
                self.warn_of_short_buffer(link);
            }
        }
        let priorities = |cluster: &Cluster| -> Vec<u8> {
            cluster.links.iter().map(|link| link.priority).collect()
        };
        if priorities(before) != priorities(cluster) {
            self.node.set_priorities(now, &priorities(cluster));
        }
        // Whoever is connected was told more, and may send that.
        let most = self.node.service().config().message_bytes_max;
        let most = most.max(cluster.message_bytes_max as usize);
        self.node.set_message_bytes_max(most).expect(RANGE);
    }

    /// Parts with nodes that were taken out of the cluster, once they have left or had their time.
    pub(super) fn part_with_removed(&mut self, now: Instant) {
        let members = self.membership.members();
        let over = |node: &NodeId, until: Instant| until <= now || members.find(*node).is_none();
        let over: Vec<_> = self.departing.iter().filter(|(node, at)| over(node, **at)).collect();
        let over: Vec<_> = over.into_iter().map(|(node, _)| *node).collect();
        for node in over {
            self.departing.remove(&node);
            self.node.remove_peer(now, node);
        }
    }

    /// The configuration file was written, or why it was not.
    pub(super) fn cluster_written(&mut self, now: Instant, result: Result<(), String>) {
        self.cluster_unwritten = result.err();
        if let Some(error) = &self.cluster_unwritten {
            tracing::warn!(error, "the section [cluster] in force is not in the file");
        }
        self.membership.agreement_mut().tell_written(self.cluster_unwritten.clone());
        self.take_steps(now);
        self.written(now);
        let is_told = !self.operation.as_ref().is_some_and(Operation::is_agreed);
        if is_told && self.removed {
            self.leave_removed(now);
        }
    }

    /// An operator took this node out, and its file says so.
    pub(super) fn leave_removed(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Forming | Phase::Serving(_)) {
            self.removed = false;
            self.leave(now);
        }
    }
}
