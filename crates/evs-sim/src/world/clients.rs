//! The clients of a world: what an application can ask of a node, and the note of it.

use bytes::Bytes;
use evs_model::{ClientId, Group, Groups, Guarantee, MessageId};
use evs_service::SendError;

use super::World;
use super::machine::Client;
use crate::history::Submission;

/// A client's session with one incarnation of a node. It is over when that process ends.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Session {
    node: usize,
    boot: u64,
    client: ClientId,
}

/// What became of a message that was handed over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sent {
    /// It was accepted under this name.
    Accepted(MessageId),
    /// There is no room; the session is told when there is.
    Full,
    /// The session is over, or its node stands still or leaves.
    Refused,
}

impl World {
    /// Connects a client to a node, if that is up, awake and has a configuration.
    pub fn connect(&mut self, id: u32) -> Option<Session> {
        let node = self.index(id);
        let now = self.nodes[node].clock.local(self.now);
        let machine = self.nodes[node].awake()?;
        let client = machine.service.connect(now).ok()?;
        let session = self.recorder.connected(machine.view, client);
        machine.clients.insert(client, Client { session, waits_for_room: false });
        let boot = machine.boot;
        self.tell(node, &format_args!("{client} connects"));
        self.after(node);
        Some(Session { node, boot, client })
    }

    /// Whether the session's process is still there.
    #[must_use]
    pub fn is_alive(&self, session: Session) -> bool {
        let machine = self.nodes[session.node].machine.as_ref();
        machine.is_some_and(|m| m.boot == session.boot && m.clients.contains_key(&session.client))
    }

    /// Whether the session was refused for want of room and has not been told otherwise.
    #[must_use]
    pub fn waits_for_room(&self, session: Session) -> bool {
        self.is_alive(session)
            && self.nodes[session.node]
                .machine
                .as_ref()
                .and_then(|machine| machine.clients.get(&session.client))
                .is_some_and(|client| client.waits_for_room)
    }

    /// Joins groups. Returns whether that was possible.
    pub fn join(&mut self, session: Session, groups: &[Group]) -> bool {
        let now = self.nodes[session.node].clock.local(self.now);
        let Some((machine, client)) = self.session(session) else { return false };
        if machine.service.join(now, session.client, groups).is_err() {
            return false;
        }
        self.recorder.joined(client.session, groups);
        self.tell(session.node, &format_args!("{} joins {groups:?}", session.client));
        self.after(session.node);
        true
    }

    /// Leaves groups, all or none of them. Returns whether it left.
    pub fn leave_groups(&mut self, session: Session, groups: &[Group]) -> bool {
        let now = self.nodes[session.node].clock.local(self.now);
        let Some((machine, client)) = self.session(session) else { return false };
        if machine.service.leave_groups(now, session.client, groups).is_err() {
            return false;
        }
        self.recorder.left(client.session, groups);
        self.tell(session.node, &format_args!("{} leaves {groups:?}", session.client));
        self.after(session.node);
        true
    }

    /// Hands over a message.
    pub fn send(
        &mut self,
        session: Session,
        guarantee: Guarantee,
        groups: &Groups,
        body: &Bytes,
    ) -> Sent {
        let now = self.nodes[session.node].clock.local(self.now);
        let packet_bytes = self.options.packet_bytes_max;
        let Some((machine, _)) = self.session(session) else { return Sent::Refused };
        let view = machine.view;
        let packets = packets(body.len(), packet_bytes);
        let sent =
            machine.service.send(now, session.client, guarantee, groups.clone(), body.clone());
        let outcome = match sent {
            Ok(id) => {
                machine.owed_packets += packets;
                let (groups, body) = (groups.clone(), body.clone());
                self.tell(
                    session.node,
                    &format_args!("accepts {id} {guarantee} {} bytes", body.len()),
                );
                self.recorder.accepted(view, Submission { id, guarantee, groups, body });
                Sent::Accepted(id)
            }
            Err(SendError::QueueFull { .. }) => {
                if let Some(client) = machine.clients.get_mut(&session.client) {
                    client.waits_for_room = true;
                }
                Sent::Full
            }
            Err(SendError::Leaving | SendError::TooBig { .. } | SendError::UnknownClient) => {
                Sent::Refused
            }
        };
        self.after(session.node);
        outcome
    }

    /// Ends a session. What it sent is still sent.
    pub fn disconnect(&mut self, session: Session) {
        let now = self.nodes[session.node].clock.local(self.now);
        let Some((machine, client)) = self.session(session) else { return };
        machine.service.disconnect(now, session.client);
        machine.clients.remove(&session.client);
        self.recorder.disconnected(client.session);
        self.tell(session.node, &format_args!("{} disconnects", session.client));
        self.after(session.node);
    }

    /// The process of a session, if it is there and awake.
    fn session(&mut self, session: Session) -> Option<(&mut super::machine::Machine, Client)> {
        let machine = self.nodes[session.node].awake()?;
        let client = *machine.clients.get(&session.client)?;
        (machine.boot == session.boot).then_some((machine, client))
    }
}

/// An upper estimate of the packets that a message of this size takes.
pub(super) const fn packets(bytes: usize, packet_bytes: usize) -> u64 {
    (bytes / (packet_bytes / 2) + 1) as u64
}
