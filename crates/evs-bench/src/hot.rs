//! What is done for every message, alone, for a program that counts instructions: processors in
//! memory, without sockets, sealing or clocks.
//!
//! A count is that of so many units more, so what comes before the first unit does not matter.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use evs_model::{ClientId, Event, Group, Groups, Guarantee, Instant, Members, NodeId, Processor};
use evs_service::{Config, Output, Service};
use totem::{Destination, Packet};

/// What is counted: its name, what a unit is, and what does so many of them.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Its name.
    pub name: &'static str,
    /// What a unit is.
    pub unit: &'static str,
    /// Does so many units, and returns a number that depends on all of them.
    pub run: fn(u32) -> u64,
}

/// Everything that is counted.
pub const ALL: [Work; 5] = [
    Work {
        name: "token-visit",
        unit: "a visit of the token in a ring of three, with one message of 64 bytes to send",
        run: token_visits,
    },
    Work {
        name: "message",
        unit: "a message of 200 bytes among 100, from one of three services to all of them",
        run: messages,
    },
    Work {
        name: "pack",
        unit: "a message of 200 bytes among 100, packed and delivered by a service that is alone",
        run: packs,
    },
    Work {
        name: "decode-data",
        unit: "a data packet, read",
        run: |units| decodes(units, |packet| matches!(packet, Packet::Mcast(_))),
    },
    Work {
        name: "decode-token",
        unit: "a token, read",
        run: |units| decodes(units, |packet| matches!(packet, Packet::Token(_))),
    },
];

fn token_visits(units: u32) -> u64 {
    let mut world = World::form(3);
    let body = Bytes::from_static(&[7; 64]);
    let until = world.visits + u64::from(units);
    while world.visits < until {
        world.turn(|world, to| world.send(to, &body));
    }
    world.delivered
}

fn messages(units: u32) -> u64 {
    batches(World::form(3), units)
}

fn packs(units: u32) -> u64 {
    batches(World::form(1), units)
}

/// Sends in batches, each when all have the one before.
fn batches(mut world: World, units: u32) -> u64 {
    let body = Bytes::from_static(&[7; 200]);
    for _ in 0..units.div_ceil(BATCH) {
        let until = world.delivered + u64::from(BATCH) * world.services.len() as u64;
        (0..BATCH).for_each(|_| world.send(0, &body));
        while world.delivered < until {
            world.turn(|_, _| ());
        }
    }
    world.delivered
}

fn decodes(units: u32, wanted: fn(&Packet) -> bool) -> u64 {
    let mut world = World::form(3);
    let body = Bytes::from_static(&[7; 1200]);
    let packet = loop {
        world.turn(|world, to| world.send(to, &body));
        if let Some((.., packet)) = world.flight.iter().find(|(.., packet)| wanted(packet)) {
            break packet.clone();
        }
    };
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    let bytes = Bytes::from(bytes);
    let read = (0..units).map(|_| Packet::decode(std::hint::black_box(bytes.clone())));
    read.filter(|read| std::hint::black_box(read).is_ok()).count() as u64
}

/// Services that have formed a ring, each with a client that has joined the group.
struct World {
    now: Instant,
    services: Vec<Service>,
    clients: Vec<ClientId>,
    groups: Groups,
    /// What was sent and has not arrived: to whom, from whom, what.
    flight: VecDeque<(usize, Processor, Packet)>,
    visits: u64,
    delivered: u64,
}

impl World {
    fn form(nodes: u8) -> Self {
        let now = Instant::from_nanos(0);
        let group = Group::named("g").expect("short");
        let mut world = Self {
            now,
            services: (0..nodes)
                .map(|i| Service::new(Config::default(), processor(i), 0, i.into(), now))
                .collect(),
            clients: Vec::new(),
            groups: Groups::new(&[group]).expect("one"),
            flight: VecDeque::new(),
            visits: 0,
            delivered: 0,
        };
        for i in 0..nodes {
            let others = (0..nodes).filter(|j| *j != i).map(processor).collect();
            let heard = Members::new(others).expect("few");
            world.services[usize::from(i)].handle_reachability(now, heard);
            world.drain(i.into());
        }
        let formed = |service: &Service| {
            service.ring().members().is_some_and(|members| members.len() == usize::from(nodes))
        };
        while !world.services.iter().all(formed) {
            world.turn(|_, _| ());
        }
        for service in &mut world.services {
            let client = service.connect(world.now).expect("a ring is there");
            service.join(world.now, client, &[group]).expect("one group");
            world.clients.push(client);
        }
        world
    }

    fn send(&mut self, from: usize, body: &Bytes) {
        let (client, groups) = (self.clients[from], self.groups.clone());
        let sent =
            self.services[from].send(self.now, client, Guarantee::Agreed, groups, body.clone());
        sent.expect("there is room for a batch");
        self.drain(from);
    }

    /// The next packet arrives, or if there is none the next time comes. `before_token` happens
    /// before a processor gets the token.
    fn turn(&mut self, before_token: impl Fn(&mut Self, usize)) {
        let Some((to, from, packet)) = self.flight.pop_front() else {
            return self.let_time_pass();
        };
        if matches!(packet, Packet::Token(_)) {
            self.visits += 1;
            // None before the clients are there.
            if !self.clients.is_empty() {
                before_token(self, to);
            }
        }
        self.now = self.now + HOP;
        self.services[to].handle_packet(self.now, from, packet);
        self.drain(to);
    }

    fn let_time_pass(&mut self) {
        let due = self.services.iter().filter_map(Service::poll_timeout).min();
        self.now = self.now.max(due.expect("a service that serves has a deadline"));
        for i in 0..self.services.len() {
            self.services[i].handle_timeout(self.now);
            self.drain(i);
        }
    }

    fn drain(&mut self, from: usize) {
        let me = processor_of(from);
        while let Some(output) = self.services[from].poll_output() {
            match output {
                Output::Transmit { to, packet } => {
                    for other in (0..self.services.len()).filter(|other| *other != from) {
                        let is_to = |node| node == processor_of(other);
                        if matches!(to, Destination::All)
                            || matches!(to, Destination::Node(node) if is_to(node))
                        {
                            self.flight.push_back((other, me, packet.clone()));
                        }
                    }
                }
                Output::ToClient { event: Event::Message(_), .. } => self.delivered += 1,
                Output::ToClient { .. }
                | Output::Distrust(_)
                | Output::Left { .. }
                | Output::Persist(_)
                | Output::Room { .. }
                | Output::Transition { .. } => {}
            }
        }
    }
}

fn processor(index: u8) -> Processor {
    Processor::new(NodeId::new(u32::from(index) + 1).expect("not zero"), 1)
}

fn processor_of(index: usize) -> Processor {
    processor(u8::try_from(index).expect("a world is small"))
}

/// How long a packet is under way.
const HOP: Duration = Duration::from_micros(1);

/// Messages that wait for the token together.
const BATCH: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_counted_does_its_units() {
        for work in ALL {
            let (some, more) = ((work.run)(200), (work.run)(400));
            assert!(some > 0 && more > some, "{}: {some}, then {more}", work.name);
        }
        assert_eq!(messages(200), 600);
        assert_eq!(packs(200), 200);
    }
}
