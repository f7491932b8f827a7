//! Messages on their way to the ring: one bounded queue per client, fair turns among the clients,
//! and packets filled as late as possible.
//!
//! Not responsible for when packets are asked for (`service`) nor for their encoding (`pack`).
//!
//! A message stays here until the packet with its last byte has a sequence number; only then is it
//! *sent* (`docs/contract.md`, "Words"). Packets that a ring had not sequenced when its
//! configuration ended are gone, so whatever is still here begins again from its first byte in the
//! next configuration (EVS-12, P17).
//!
//! At most one message of this processor is in progress: partly in packets and partly not. So a
//! receiver keeps one incomplete ordered message per sender, whatever the number of clients.
//! Whole messages of other clients may go between its pieces.

use alloc::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use evs_model::{ClientId, Groups, Guarantee, defect, send_cost};

use crate::SendError;
use crate::pack::{Content, FRAGMENT_OVERHEAD, Head, Packer, WHOLE_OVERHEAD, packet_guarantee};
use crate::turns::{Turn, Turns};

/// The send queues of all clients, those included that are gone and left messages to be sent.
#[derive(Debug)]
pub(crate) struct Sending {
    client_bytes_max: usize,
    packet_bytes_max: usize,
    /// The number before that of each client's first message.
    origin: u64,
    outboxes: BTreeMap<ClientId, Outbox>,
    turns: Turns,
    /// Packets handed to the ring, counted like `Ring::sequenced`.
    submitted: u64,
    /// The packet with the last byte of a message, and the message's client: in order, at most
    /// what the ring's backlog holds.
    in_flight: VecDeque<(u64, ClientId)>,
    /// Clients with bytes freed that nobody has told them of.
    freed: VecDeque<ClientId>,
    /// Where the next packet is made.
    memory: BytesMut,
}

/// One client's messages that are accepted and not sent.
#[derive(Debug, Default)]
struct Outbox {
    /// Oldest first.
    queue: VecDeque<Outgoing>,
    /// How many at the front of the queue are wholly in packets.
    submitted: usize,
    /// How many bytes of the next one's content are.
    offset: usize,
    /// What the messages in the queue cost.
    queued: usize,
    /// Freed since the client was told.
    freed: usize,
    /// Bytes sent so far, for fair turns.
    served: u64,
    /// The number of the last message accepted.
    number: u64,
    /// The client is gone: nothing is added, and the outbox goes with its last message.
    closed: bool,
}

#[derive(Debug)]
struct Outgoing {
    number: u64,
    guarantee: Guarantee,
    content: Content,
}

impl Outgoing {
    fn cost(&self) -> usize {
        send_cost(self.content.body.len(), self.content.groups.len())
    }

    fn head(&self, client: ClientId) -> Head {
        Head {
            client,
            number: self.number,
            guarantee: self.guarantee,
            groups: u16::try_from(self.content.groups.len()).expect("at most Groups::MAX"),
            total: u32::try_from(self.content.len()).expect("a message is smaller than 4 GiB"),
        }
    }
}

impl Outbox {
    /// The message that is to be put into a packet next.
    fn next(&self) -> Option<&Outgoing> {
        self.queue.get(self.submitted)
    }
}

impl Sending {
    /// `client_bytes_max` bounds each queue; `packet_bytes_max` is the size of a packet body;
    /// `submitted` is what the ring counts as sequenced so far; a client's messages are numbered
    /// from `origin + 1`.
    pub(crate) fn new(
        client_bytes_max: usize,
        packet_bytes_max: usize,
        submitted: u64,
        origin: u64,
    ) -> Self {
        Self {
            client_bytes_max,
            packet_bytes_max,
            origin,
            outboxes: BTreeMap::new(),
            turns: Turns::default(),
            submitted,
            in_flight: VecDeque::new(),
            freed: VecDeque::new(),
            memory: BytesMut::new(),
        }
    }

    /// Bounds each queue anew, by no less than before.
    pub(crate) fn set_client_bytes_max(&mut self, client_bytes_max: usize) {
        self.client_bytes_max = self.client_bytes_max.max(client_bytes_max);
    }

    /// How many clients have a queue.
    pub(crate) fn clients(&self) -> usize {
        self.outboxes.len()
    }

    /// What a client's messages that wait here cost.
    pub(crate) fn queued(&self, client: ClientId) -> Option<usize> {
        self.outboxes.get(&client).map(|outbox| outbox.queued)
    }

    /// Messages accepted and not sent.
    pub(crate) fn messages(&self) -> usize {
        self.outboxes.values().map(|outbox| outbox.queue.len()).sum()
    }

    /// Whether something waits to be put into a packet.
    pub(crate) fn has_next(&self) -> bool {
        self.turns.pick(None).is_some()
    }

    pub(crate) fn open(&mut self, client: ClientId) {
        let outbox = Outbox { number: self.origin, ..Outbox::default() };
        let before = self.outboxes.insert(client, outbox);
        assert!(before.is_none(), "a client id is used once");
    }

    /// The client is gone. What was accepted is still sent (EVS-3).
    pub(crate) fn close(&mut self, client: ClientId) {
        if let Some(outbox) = self.outboxes.get_mut(&client) {
            outbox.closed = true;
            outbox.freed = 0;
            let begun = outbox.submitted > 0 || outbox.offset > 0;
            if defect!(SendsDieWithClient)
                && !begun
                && let Some(message) = outbox.next()
            {
                let packet = packet_guarantee(message.guarantee);
                self.turns.remove(Turn { served: outbox.served, client, packet });
                outbox.queue.clear();
            }
            if outbox.queue.is_empty() {
                self.outboxes.remove(&client);
            }
        }
    }

    /// Accepts a message; returns its number.
    pub(crate) fn push(
        &mut self,
        client: ClientId,
        guarantee: Guarantee,
        groups: Groups,
        body: Bytes,
    ) -> Result<u64, SendError> {
        let max = self.client_bytes_max;
        let outbox = self.outboxes.get_mut(&client).ok_or(SendError::UnknownClient)?;
        let cost = send_cost(body.len(), groups.len());
        if outbox.queued > 0 && outbox.queued.saturating_add(cost) > max {
            return Err(SendError::QueueFull { max });
        }
        outbox.number = outbox.number.checked_add(1).ok_or(SendError::NumbersUsed)?;
        let message =
            Outgoing { number: outbox.number, guarantee, content: Content { groups, body } };
        outbox.queued += cost;
        let overtakes = defect!(FifoOvertakes)
            && guarantee == Guarantee::Fifo
            && outbox.queue.len() > outbox.submitted + 1;
        let place = outbox.queue.len() - usize::from(overtakes);
        outbox.queue.insert(place, message);
        if outbox.submitted + 1 == outbox.queue.len() {
            // It had nothing to send: it saved up nothing, and owes what it owed.
            outbox.served = outbox.served.max(self.turns.clock());
            enter(&mut self.turns, self.packet_bytes_max, client, outbox);
        }
        Ok(outbox.number)
    }

    /// Fills the next packet and counts it as submitted.
    pub(crate) fn next_packet(&mut self) -> Option<(Bytes, Guarantee)> {
        let packet = self.turns.pick(None)?.packet;
        let memory = core::mem::take(&mut self.memory);
        let mut packer = Packer::new(memory, self.packet_bytes_max);
        self.submitted += 1;
        while let Some(turn) = self.turns.pick(Some(packet)) {
            if !self.put(turn, &mut packer) {
                break;
            }
        }
        let (body, memory) = packer.finish();
        self.memory = memory;
        Some((body, packet))
    }

    /// Puts a message, or the piece of it that fits, into the packet. Returns whether more may
    /// follow it there.
    fn put(&mut self, turn: Turn, packer: &mut Packer) -> bool {
        let client = turn.client;
        let outbox = self.outboxes.get_mut(&client).expect("who has a turn has an outbox");
        let message = outbox.next().expect("who has a turn has a message to send");
        let (head, offset, end) = (message.head(client), outbox.offset, message.content.len());
        let room = packer.room();
        let worthwhile = packer.is_empty() || room > self.packet_bytes_max / 4;
        let (to, cost) = if offset == 0 && WHOLE_OVERHEAD + end <= room {
            packer.whole(head, &message.content);
            (end, WHOLE_OVERHEAD + end)
        } else if worthwhile && self.turns.may_be_in_progress(turn)
            || offset > 0 && FRAGMENT_OVERHEAD + end - offset <= room
        {
            let to = end.min(offset + room - FRAGMENT_OVERHEAD);
            packer.fragment(head, &message.content, offset..to);
            (to, FRAGMENT_OVERHEAD + to - offset)
        } else {
            return false;
        };
        self.turns.remove(turn);
        outbox.served += cost as u64;
        if to < end {
            outbox.offset = to;
            self.turns.set_in_progress(Turn { served: outbox.served, ..turn });
            return false;
        }
        outbox.offset = 0;
        outbox.submitted += 1;
        self.in_flight.push_back((self.submitted, client));
        enter(&mut self.turns, self.packet_bytes_max, client, outbox);
        true
    }

    /// Takes note of how many packets the ring has sequenced; returns how many messages are sent
    /// with them.
    pub(crate) fn settle(&mut self, sequenced: u64) -> u64 {
        assert!(sequenced <= self.submitted, "the ring sequences what was submitted");
        let mut sent = 0;
        while let Some(&(packet, client)) = self.in_flight.front()
            && packet <= sequenced
        {
            self.in_flight.pop_front();
            self.release(client);
            sent += 1;
        }
        sent
    }

    /// Forgets a client's oldest message, which is sent.
    fn release(&mut self, client: ClientId) {
        let outbox = self.outboxes.get_mut(&client).expect("a message in flight has an outbox");
        let message = outbox.queue.pop_front().expect("a message in flight is in its queue");
        let cost = message.cost();
        outbox.submitted -= 1;
        outbox.queued -= cost;
        if !outbox.closed {
            if outbox.freed == 0 {
                self.freed.push_back(client);
            }
            outbox.freed += cost;
        } else if outbox.queue.is_empty() {
            self.outboxes.remove(&client);
        }
    }

    /// The next client that has room again, and how many bytes since it was told last.
    pub(crate) fn pop_freed(&mut self) -> Option<(ClientId, usize)> {
        while let Some(client) = self.freed.pop_front() {
            // A client that is gone meanwhile is told nothing.
            if let Some(outbox) = self.outboxes.get_mut(&client)
                && outbox.freed > 0
            {
                return Some((client, core::mem::take(&mut outbox.freed)));
            }
        }
        None
    }

    /// A regular configuration was installed, and the ring dropped its backlog: everything that is
    /// not sent begins again, each client's messages in their order. Returns how many messages had
    /// begun in vain.
    pub(crate) fn restart(&mut self, sequenced: u64, packet_bytes_max: usize) -> usize {
        let settled = self.in_flight.front().is_none_or(|(packet, _)| *packet > sequenced);
        assert!(settled, "what was sequenced is settled before the rest begins again");
        self.packet_bytes_max = packet_bytes_max;
        self.submitted = sequenced;
        if defect!(BacklogForgotten) {
            while let Some((_, client)) = self.in_flight.pop_front() {
                self.release(client);
            }
        }
        self.in_flight.clear();
        self.turns.clear();
        let mut begun = 0;
        for (client, outbox) in &mut self.outboxes {
            begun += outbox.submitted + usize::from(outbox.offset > 0);
            if !defect!(MessageContinued) || outbox.submitted > 0 {
                outbox.offset = 0;
            }
            outbox.submitted = 0;
            enter(&mut self.turns, packet_bytes_max, *client, outbox);
        }
        begun
    }

    /// Asserts what always holds.
    pub(crate) fn check(&self) {
        let mut waiting = 0;
        let mut in_flight = 0;
        for outbox in self.outboxes.values() {
            let queued: usize = outbox.queue.iter().map(Outgoing::cost).sum();
            assert_eq!(queued, outbox.queued, "the bytes of a queue are those of its messages");
            assert!(outbox.submitted <= outbox.queue.len(), "what is in packets is in the queue");
            assert!(!outbox.closed || !outbox.queue.is_empty(), "nothing is kept for nobody");
            assert!(
                queued <= self.client_bytes_max || outbox.queue.len() == 1,
                "a queue is within its limit unless it holds one large message"
            );
            waiting += usize::from(outbox.next().is_some());
            in_flight += outbox.submitted;
        }
        assert_eq!(waiting, self.turns.len(), "who has something to send has a turn");
        assert_eq!(in_flight, self.in_flight.len(), "messages in packets are in flight");
    }
}

/// Queues the client for its turn if it has something to put into packets.
fn enter(turns: &mut Turns, packet_bytes_max: usize, client: ClientId, outbox: &Outbox) {
    if let Some(message) = outbox.next() {
        let packet = packet_guarantee(message.guarantee);
        let long = WHOLE_OVERHEAD + message.content.len() > packet_bytes_max;
        turns.insert(Turn { served: outbox.served, client, packet }, long);
    }
}

#[cfg(test)]
mod tests;
