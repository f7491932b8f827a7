//! How a session ends.

use evs_model::{DisconnectReason, Instant};
use evs_node::Node;

use super::connection::{Connection, Fault, Phase, Session};
use super::{Clients, ENDING_QUEUES, LINGER, TRANSIENT_MAX};

impl Clients {
    /// A client that broke the protocol, or whose socket broke.
    pub(super) fn punish(&mut self, now: Instant, node: &mut Node, slot: usize, fault: &Fault) {
        if let Fault::Io(error) = fault {
            return self.drop_gone(now, node, slot, &error.to_string());
        }
        self.stats.protocol_errors += 1;
        let peer = self.slots[slot].connection.as_ref().map(|c| (c.peer.pid, c.peer.uid));
        let (pid, uid) = peer.unwrap_or_default();
        let client = self.session(slot).map(|session| session.client.0);
        if let Some(suppressed) = self.broken_log.admit(now) {
            tracing::warn!(
                client, pid, uid, error = %fault, suppressed,
                "client broke the protocol and is disconnected"
            );
        }
        self.end(now, node, slot, DisconnectReason::ProtocolError);
    }

    /// Ends a session, and tells the client why.
    pub(super) fn end(
        &mut self,
        now: Instant,
        node: &mut Node,
        slot: usize,
        reason: DisconnectReason,
    ) {
        if reason == DisconnectReason::TooSlow {
            self.take_accepted(now, node, slot);
        }
        let Some(connection) = &mut self.slots[slot].connection else { return };
        match connection.phase {
            Phase::Session(_) => {}
            Phase::Ending { .. } => return,
            Phase::Hello { .. } => return self.remove(slot),
        }
        let until = now + LINGER;
        let ending = Phase::Ending { until, events: None };
        let Phase::Session(session) = std::mem::replace(&mut connection.phase, ending) else {
            unreachable!("it was a session a few lines above");
        };
        let Session { client, mut events, welcome, sent, events_count, .. } = *session;
        node.disconnect(now, client);
        self.by_id.remove(&client);
        let name = &connection.name;
        let (messages_sent, events_delivered) = (sent, events_count);
        if reason == DisconnectReason::TooSlow {
            if let Some(suppressed) = self.slow_log.admit(now) {
                tracing::warn!(
                    %client, name, %reason, messages_sent, events_delivered, suppressed,
                    "client disconnected"
                );
            }
        } else if let Some(suppressed) = self.session_log.admit(now) {
            tracing::info!(
                %client, name, %reason, messages_sent, events_delivered, suppressed,
                "client disconnected"
            );
        }
        self.deadlines.insert((until, slot));
        if welcome.is_some() {
            // It has no memory to be told in.
            return self.remove(slot);
        }
        events.push_last(reason);
        connection.phase = Phase::Ending { until, events: Some(events) };
        self.mark_dirty(slot);
        self.mark_ready(slot);
    }

    /// A client that cannot be woken: it has closed its sockets, but what it sent before may still
    /// wait.
    pub(super) fn drop_unreachable(
        &mut self,
        now: Instant,
        node: &mut Node,
        slot: usize,
        why: &str,
    ) {
        self.take_accepted(now, node, slot);
        self.drop_gone(now, node, slot, why);
    }

    /// Takes all that a client has sent, before its session ends: it was told that this is
    /// accepted. It can write no more, so what its socket and its ring hold bounds it.
    fn take_accepted(&mut self, now: Instant, node: &mut Node, slot: usize) {
        if self.session(slot).is_some()
            && let Some(connection) = &mut self.slots[slot].connection
        {
            connection.hang_up();
            self.serve(now, slot, usize::MAX, node);
        }
    }

    /// A client whose socket is closed.
    pub(super) fn drop_gone(&mut self, now: Instant, node: &mut Node, slot: usize, why: &str) {
        if let Some(session) = self.session(slot) {
            let client = session.client;
            let (sent, events) = (session.sent, session.events_count);
            node.disconnect(now, client);
            self.by_id.remove(&client);
            if let Some(suppressed) = self.session_log.admit(now) {
                tracing::info!(
                    %client, why, messages_sent = sent, events_delivered = events, suppressed,
                    "client left"
                );
            }
        }
        self.remove(slot);
    }

    /// A connection has run out of time, or must make room for another.
    pub(super) fn expire(&mut self, slot: usize) {
        if let Some(connection) = &self.slots[slot].connection
            && matches!(connection.phase, Phase::Hello { .. })
        {
            self.stats.silent += 1;
            tracing::debug!(pid = connection.peer.pid, "a client said no Hello and is dropped");
        }
        self.remove(slot);
    }

    /// Closes connections that are being ended until there is room for another: for its place, and
    /// for what may have to wait for it.
    pub(super) fn make_room(&mut self) {
        while self.deadlines.len() >= TRANSIENT_MAX
            && let Some(&(_, slot)) = self.deadlines.first()
        {
            self.expire(slot);
        }
        let bytes_max = ENDING_QUEUES * self.terms.client_event_bytes_max as usize;
        while self.ending_bytes() > bytes_max {
            let holder = self.ending().find_map(|(slot, bytes)| (bytes > 0).then_some(slot));
            self.expire(holder.expect("somebody holds these bytes"));
        }
    }

    /// Bytes that are kept for connections that are being ended.
    pub(super) fn ending_bytes(&self) -> usize {
        self.ending().map(|(_, bytes)| bytes).sum()
    }

    /// How many bytes are kept for each connection that has a deadline, the nearest first.
    fn ending(&self) -> impl Iterator<Item = (usize, usize)> {
        self.deadlines.iter().filter_map(|(_, slot)| {
            let connection = self.slots[*slot].connection.as_ref()?;
            Some((*slot, connection.bytes_left()))
        })
    }

    pub(super) fn remove(&mut self, slot: usize) {
        self.forget_deadline(slot);
        if let Some(connection) = self.slots[slot].connection.take() {
            connection.withdraw();
            self.free.push(slot);
        }
    }

    pub(super) fn forget_deadline(&mut self, slot: usize) {
        let deadline = self.slots[slot].connection.as_ref().and_then(Connection::deadline);
        if let Some(until) = deadline {
            self.deadlines.remove(&(until, slot));
        }
    }
}
