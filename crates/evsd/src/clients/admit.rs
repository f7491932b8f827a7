//! How a session begins: credentials, Hello, Welcome or a refusal.

use std::os::fd::OwnedFd;

use evs_ipc::{
    CreditLedger, HELLO_FRAME_BYTES_MAX, Hello, QUESTION_BYTES_MAX, Refusal, ServerFrame, Welcome,
    client_frame_bytes_max, socket,
};
use evs_model::{Groups, Instant, Versions, send_cost};
use evs_node::Node;
use evs_service::ConnectError;
use mio::Registry;

use super::connection::{Connection, Phase, Session};
use super::{Clients, HELLO_WITHIN, rings};

/// Longest frame of a question, the length field included.
const QUESTION_FRAME_BYTES_MAX: usize = QUESTION_BYTES_MAX + 64;

impl Clients {
    pub(super) fn admit(&mut self, now: Instant, control: OwnedFd, registry: &Registry) {
        let peer = match socket::peer_credentials(&control) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::debug!(%error, "a client without credentials is dropped");
                return;
            }
        };
        let admitted = self.admission.admits(&peer);
        self.make_room();
        let until = now + HELLO_WITHIN;
        let slot = self.free_slot();
        let connection = Connection::new(control, peer, HELLO_FRAME_BYTES_MAX, until);
        if let Err(error) = connection.register(registry, self.tokens(slot).control) {
            tracing::debug!(%error, "a client cannot be polled and is dropped");
            self.free.push(slot);
            return;
        }
        self.slots[slot].connection = Some(connection);
        self.deadlines.insert((until, slot));
        if admitted {
            self.mark_ready(slot);
        } else {
            self.stats.refused_access += 1;
            self.refuse(now, slot, Refusal::Access);
        }
    }

    pub(super) fn welcome(&mut self, now: Instant, slot: usize, hello: Hello, node: &mut Node) {
        let spoken = evs_ipc::spoken();
        let Some(common) = spoken.common(hello.versions) else {
            return self.refuse_version(now, slot, hello.versions);
        };
        let (events, requests, theirs, rings) = match rings::open(&self.terms) {
            Ok(opened) => opened,
            Err(error) => {
                if let Some(suppressed) = self.refused_log.admit(now) {
                    tracing::warn!(%error, suppressed, "no shared memory for a client");
                }
                return self.refuse(now, slot, Refusal::TooManyClients);
            }
        };
        let client = match node.connect(now) {
            Ok(client) => client,
            Err(ConnectError::Leaving) => return self.refuse(now, slot, Refusal::Leaving),
            Err(error @ ConnectError::NumbersUsed) => {
                tracing::error!(%error, "no client is taken any more");
                return self.refuse(now, slot, Refusal::Leaving);
            }
            Err(ConnectError::NotReady) => return self.refuse(now, slot, Refusal::NotReady),
            Err(ConnectError::TooManyClients { .. }) => {
                return self.refuse(now, slot, Refusal::TooManyClients);
            }
        };
        let terms = &self.terms;
        let credit = u64::from(terms.client_send_bytes_max);
        let cost_max = send_cost(terms.message_bytes_max as usize, Groups::MAX) as u64;
        let welcome = Welcome {
            version: common.highest(),
            processor: terms.processor,
            client,
            message_bytes_max: terms.message_bytes_max,
            joined_groups_max: terms.groups_per_client_max,
            credit,
            rings,
        };
        let session = Session {
            client,
            events,
            requests,
            credit: CreditLedger::new(credit, cost_max),
            welcome: Some((welcome, theirs)),
            message_bytes_max: terms.message_bytes_max,
            sent: 0,
            events_count: 0,
        };
        // Messages go another way; the longest request names as many groups as one may.
        let frame_bytes_max = client_frame_bytes_max(0).max(QUESTION_FRAME_BYTES_MAX);
        self.forget_deadline(slot);
        let Some(connection) = &mut self.slots[slot].connection else { return };
        connection.set_frame_bytes_max(frame_bytes_max);
        connection.phase = Phase::Session(Box::new(session));
        connection.name = hello.name;
        self.by_id.insert(client, slot);
        self.stats.accepted += 1;
        if let Some(suppressed) = self.session_log.admit(now) {
            let (name, pid, uid) = (&connection.name, connection.peer.pid, connection.peer.uid);
            tracing::info!(%client, name, pid, uid, suppressed, "client connected");
        }
        self.mark_hot(slot);
    }

    /// Both ends name what they speak: the client by the refusal, this one in its log.
    fn refuse_version(&mut self, now: Instant, slot: usize, theirs: Versions) {
        self.stats.refused_version += 1;
        self.refuse_quietly(now, slot, Refusal::Version);
        let Some(connection) = &self.slots[slot].connection else { return };
        if let Some(suppressed) = self.refused_log.admit(now) {
            let (uid, pid, ours) = (connection.peer.uid, connection.peer.pid, evs_ipc::spoken());
            tracing::warn!(
                %theirs, %ours, uid, pid, suppressed,
                "client refused: it speaks no version of the protocol that this daemon speaks; \
                 install the same release of both"
            );
        }
    }

    pub(super) fn refuse(&mut self, now: Instant, slot: usize, reason: Refusal) {
        self.refuse_quietly(now, slot, reason);
        let Some(connection) = &self.slots[slot].connection else { return };
        let (uid, gid, pid) = (connection.peer.uid, connection.peer.gid, connection.peer.pid);
        if let Some(suppressed) = self.refused_log.admit(now) {
            tracing::warn!(%reason, uid, gid, pid, suppressed, "client refused");
        }
    }

    fn refuse_quietly(&mut self, now: Instant, slot: usize, reason: Refusal) {
        let Some(connection) = &mut self.slots[slot].connection else { return };
        let _ = connection.reply(&ServerFrame::refused(reason));
        connection.phase =
            Phase::Ending { until: connection.deadline().unwrap_or(now), events: None };
        if reason != Refusal::Access {
            self.stats.refused_other += 1;
        }
        self.mark_dirty(slot);
    }
}
