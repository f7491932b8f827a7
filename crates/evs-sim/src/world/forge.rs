//! What passed on the wire, and what a faulty holder of the key might put there.

use bytes::Bytes;
use evs_model::Processor;
use totem::wire::Token;
use totem::{Destination, Packet, PacketKind};

use super::{Datagram, Event, Kind, Nanos, World};

/// A packet of the ring that was sent.
#[derive(Clone, Debug)]
pub struct Passed {
    /// When.
    pub at: Nanos,
    /// By whom.
    pub from: Processor,
    /// To whom.
    pub to: Destination,
    /// What.
    pub packet: Packet,
}

impl Passed {
    /// The token, if it was one.
    #[must_use]
    pub fn token(&self) -> Option<&Token> {
        if let Packet::Token(token) = &self.packet { Some(token) } else { None }
    }
}

/// How many datagrams were sent, by kind. A datagram to all counts once.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    datagrams: [u64; Kind::COUNT],
    bytes: [u64; Kind::COUNT],
}

impl Traffic {
    /// Datagrams of this kind.
    #[must_use]
    pub const fn datagrams(&self, kind: Kind) -> u64 {
        self.datagrams[kind.index()]
    }

    /// Their bytes.
    #[must_use]
    pub const fn bytes(&self, kind: Kind) -> u64 {
        self.bytes[kind.index()]
    }

    /// Datagrams of every kind.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.datagrams.iter().sum()
    }

    pub(super) fn count(&mut self, datagram: &Datagram) {
        self.datagrams[datagram.kind.index()] += 1;
        self.bytes[datagram.kind.index()] += datagram.bytes.len() as u64;
    }
}

/// What is kept of packets that pass, and which of them are multiplied.
#[derive(Debug, Default)]
pub(super) struct Wire {
    keep: Vec<PacketKind>,
    passed: Vec<Passed>,
    pub(super) again: Vec<(PacketKind, u32)>,
    traffic: Traffic,
    /// Whose datagrams are recorded, and those recorded so far.
    tape: Option<(usize, Vec<Datagram>)>,
}

/// Most datagrams that are recorded.
const TAPE_MAX: usize = 1_024;

impl Wire {
    pub(super) fn pass(&mut self, at: Nanos, from: Processor, to: Destination, packet: &Packet) {
        if self.keep.contains(&packet.kind()) {
            self.passed.push(Passed { at, from, to, packet: packet.clone() });
        }
    }

    /// Takes note of a datagram that is sent, to one or to all.
    pub(super) fn note(&mut self, datagram: &Datagram) {
        self.traffic.count(datagram);
        if let Some((from, tape)) = &mut self.tape
            && *from == datagram.from
            && tape.len() < TAPE_MAX
        {
            tape.push(datagram.clone());
        }
    }

    /// How often a packet is sent instead of once.
    pub(super) fn times(&self, kind: PacketKind) -> u32 {
        1 + self.again.iter().filter(|(k, _)| *k == kind).map(|(_, times)| times).sum::<u32>()
    }
}

impl World {
    /// From here on packets of this kind are kept when they are sent.
    pub fn keep(&mut self, kind: PacketKind) {
        self.wire.keep.push(kind);
    }

    /// The packets that were kept, in the order in which they were sent.
    #[must_use]
    pub fn passed(&self) -> &[Passed] {
        &self.wire.passed
    }

    /// What was sent so far, by all.
    #[must_use]
    pub const fn traffic(&self) -> &Traffic {
        &self.wire.traffic
    }

    /// From here on every packet of this kind is sent so many times more, sealed anew each time:
    /// as a sender does that repeats it, not as a network does that doubles datagrams.
    pub fn send_again(&mut self, kind: PacketKind, times: u32) {
        self.wire.again.push((kind, times));
    }

    /// From here on a node's datagrams are recorded.
    pub fn record(&mut self, id: u32) {
        self.wire.tape = Some((self.index(id), Vec::new()));
    }

    /// What was recorded comes once more, all of it, to everybody but its sender: somebody without
    /// the key plays it back.
    pub fn play_back(&mut self) {
        let Some((from, tape)) = &self.wire.tape else { return };
        let (from, tape) = (*from, tape.clone());
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            for datagram in &tape {
                self.schedule(self.now, Event::Arrive { to, datagram: datagram.clone() });
            }
        }
    }

    /// A node sends this to another, whatever it is: a holder of the key that does not follow the
    /// protocol. It arrives at once, ahead of all that is under way.
    pub fn forge(&mut self, from: u32, to: u32, packet: &Packet) {
        let mut payload = Vec::new();
        packet.encode(&mut payload);
        self.forge_bytes(from, to, &payload);
    }

    /// As [`World::forge`], with any bytes at all.
    pub fn forge_bytes(&mut self, from: u32, to: u32, payload: &[u8]) {
        let (from, to) = (self.index(from), self.index(to));
        let Some(machine) = self.nodes[from].machine.as_mut() else { return };
        let mut bytes = Vec::new();
        let tickets = machine.endpoint.copies_for_all(payload.len());
        let Some(ticket) = tickets.ok().and_then(|mut tickets| tickets.next()) else { return };
        let link = ticket.link();
        if machine.endpoint.seal(ticket, payload, &mut bytes).is_err() {
            return;
        }
        let kind = Packet::decode(Bytes::copy_from_slice(payload))
            .map_or(Kind::Hello, |packet| Kind::Ring(packet.kind()));
        let datagram = Datagram { from, link, kind, bytes: bytes.into(), forged: true };
        self.tell(from, &format_args!("forges {kind} to {}", to + 1));
        self.schedule(self.now, Event::Arrive { to, datagram });
    }
}
