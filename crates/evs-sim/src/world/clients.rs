//! The clients of a world: what an application can ask of a node, and the note of it.

use bytes::Bytes;
use evs_model::{ClientId, Event, Group, Groups, Guarantee, MessageId};
use evs_service::SendError;

use super::World;
use super::faults::Fault;
use super::machine::{Client, Machine};
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
        machine.clients.insert(client, Client::new(session));
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
        let Some((machine, recorded)) = self.session(session) else { return false };
        if machine.service.join(now, session.client, groups).is_err() {
            return false;
        }
        self.recorder.joined(recorded, groups);
        self.tell(session.node, &format_args!("{} joins {groups:?}", session.client));
        self.after(session.node);
        true
    }

    /// Leaves groups, all or none of them. Returns whether it left.
    pub fn leave_groups(&mut self, session: Session, groups: &[Group]) -> bool {
        let now = self.nodes[session.node].clock.local(self.now);
        let Some((machine, recorded)) = self.session(session) else { return false };
        if machine.service.leave_groups(now, session.client, groups).is_err() {
            return false;
        }
        self.recorder.left(recorded, groups);
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
            Err(
                SendError::Leaving
                | SendError::NumbersUsed
                | SendError::TooBig { .. }
                | SendError::UnknownClient,
            ) => Sent::Refused,
        };
        self.after(session.node);
        outcome
    }

    /// Ends a session in order: the client reads what there is for it. What it sent is still sent.
    pub fn disconnect(&mut self, session: Session) {
        self.read(session);
        self.end_session(session, "disconnects", false);
    }

    /// The client's process ends. What it sent is still sent; what it had not read, nobody reads.
    pub fn kill(&mut self, session: Session) {
        if self.end_session(session, "dies", true) {
            self.faults.count(Fault::ClientDeath);
        }
    }

    /// Returns whether there was such a session.
    fn end_session(&mut self, session: Session, how: &str, cut_off: bool) -> bool {
        let now = self.nodes[session.node].clock.local(self.now);
        let Some((machine, recorded)) = self.session(session) else { return false };
        machine.service.disconnect(now, session.client);
        machine.clients.remove(&session.client);
        self.recorder.disconnected(recorded, cut_off);
        self.tell(session.node, &format_args!("{} {how}", session.client));
        self.after(session.node);
        true
    }

    /// The client stops reading. When `client_event_bytes_max` bytes wait for it, it is
    /// disconnected, as the daemon does it.
    pub fn stall(&mut self, session: Session) {
        let Some(client) = self.client(session) else { return };
        client.stalled = true;
        let recorded = client.session;
        self.recorder.stalled(recorded);
        self.faults.count(Fault::ClientStall);
        self.tell(session.node, &format_args!("{} stops reading", session.client));
    }

    /// The client reads what there is, and goes on reading.
    pub fn read(&mut self, session: Session) {
        let Some(client) = self.client(session) else { return };
        client.stalled = false;
        client.unread_bytes = 0;
        let (recorded, unread) = (client.session, std::mem::take(&mut client.unread));
        self.recorder.reads(recorded);
        for event in unread {
            self.recorder.received(recorded, event);
        }
    }

    /// Hands an event to a client, or to its queue if it does not read.
    pub(super) fn hand_over(&mut self, node: usize, id: ClientId, event: Event) {
        let unread_max = self.options.client_event_bytes_max;
        let Some(machine) = self.nodes[node].machine.as_mut() else { return };
        let Some(client) = machine.clients.get_mut(&id) else { return };
        if machine.too_slow.contains(&id) {
            return;
        }
        if !client.stalled {
            self.recorder.received(client.session, event);
            return;
        }
        client.unread_bytes += EVENT_OVERHEAD
            + match &event {
                Event::Message(message) => message.body.len(),
                Event::Configuration(_) | Event::Disconnected(_) => 0,
            };
        if client.unread_bytes <= unread_max {
            client.unread.push_back(event);
        } else {
            machine.too_slow.push(id);
        }
    }

    /// Every client reads what there is for it.
    pub fn read_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.read_all_at(node);
        }
    }

    fn read_all_at(&mut self, node: usize) {
        let Some(machine) = self.nodes[node].machine.as_ref() else { return };
        let boot = machine.boot;
        let stalled = machine.clients.iter().filter(|(_, client)| client.stalled);
        let stalled: Vec<ClientId> = stalled.map(|(client, _)| *client).collect();
        stalled.into_iter().for_each(|client| self.read(Session { node, boot, client }));
    }

    /// A process ends in order: its clients may read what there is.
    pub(super) fn last_words(&mut self, node: usize) {
        self.read_all_at(node);
        let Some(machine) = self.nodes[node].machine.as_mut() else { return };
        for id in std::mem::take(&mut machine.too_slow) {
            if let Some(client) = machine.clients.get(&id) {
                self.recorder.disconnected(client.session, true);
            }
        }
    }

    /// Clients that did not read for too long are disconnected. They may read what there is.
    pub(super) fn end_slow_clients(&mut self, node: usize) {
        let Some(machine) = self.nodes[node].awake() else { return };
        let boot = machine.boot;
        for client in std::mem::take(&mut machine.too_slow) {
            let session = Session { node, boot, client };
            self.faults.count(Fault::ClientTooSlow);
            self.read(session);
            self.end_session(session, "is too slow", true);
        }
    }

    /// The process of a session, if it is there and awake, and the session's place in the history.
    fn session(&mut self, session: Session) -> Option<(&mut Machine, usize)> {
        let machine = self.nodes[session.node].awake()?;
        let recorded = machine.clients.get(&session.client)?.session;
        (machine.boot == session.boot).then_some((machine, recorded))
    }

    /// The client of a session, if it is there, whether or not its daemon stands still.
    fn client(&mut self, session: Session) -> Option<&mut Client> {
        let machine = self.nodes[session.node].machine.as_mut()?;
        let same = machine.boot == session.boot;
        machine.clients.get_mut(&session.client).filter(|_| same)
    }
}

/// What an event costs of a client's queue besides its body, in bytes.
const EVENT_OVERHEAD: usize = 64;

/// An upper estimate of the packets that a message of this size takes.
pub(super) const fn packets(bytes: usize, packet_bytes: usize) -> u64 {
    (bytes / (packet_bytes / 2) + 1) as u64
}
