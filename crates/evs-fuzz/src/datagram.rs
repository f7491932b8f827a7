//! Datagrams into a living endpoint: arbitrary bytes, and sealed ones of peers, of strangers and of
//! a second owner of its node id.
//!
//! Input: the seal (a byte), then actions, each with its number in front.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use evs_model::{Instant, NodeId, Processor};
use evs_net::{
    ClusterKey, Discard, Echo, Endpoint, EndpointConfig, EndpointOutput, Hello, Holder, LinkId,
    LinkTerms, Losses, PeerEvent, SealMode, UNFINISHED_PACKETS_MAX,
};

use crate::forge::{Forge, HEADER_BYTES, HELLO, PART, RING, SECRET};
use crate::input::Input;
use crate::{Seen, Target, seeds, trace};

pub(crate) const TARGET: Target =
    Target { name: "datagram", run, bytes_max: 4096, landmarks, seeds: seeds::datagrams };

/// Every reason to drop a datagram, and what becomes of peers.
fn landmarks() -> Vec<String> {
    let discards = Discard::ALL.iter().map(|reason| reason.name().to_owned());
    let more =
        ["handed up", "up", "down", "double", "duplicate", "must stop", "joined", "given up"];
    discards.chain(more.map(str::to_owned)).collect()
}

const HANDED_UP: usize = Discard::ALL.len();
const UP: usize = HANDED_UP + 1;
const DOWN: usize = UP + 1;
const DOUBLE: usize = DOWN + 1;
const DUPLICATE: usize = DOUBLE + 1;
const MUST_STOP: usize = DUPLICATE + 1;
const JOINED: usize = MUST_STOP + 1;
const GIVEN_UP: usize = JOINED + 1;

/// Inputs are as long as it takes to reach anything, not longer.
const ACTIONS_MAX: usize = 400;

fn run(input: &[u8]) -> Seen {
    let mut input = Input::new(input);
    let mut world = World::new(input.u8() & 1 == 0);
    for _ in 0..ACTIONS_MAX {
        if input.is_empty() {
            break;
        }
        let action = input.u8();
        // Apart from the others, so that inputs that were found before keep their meaning.
        if action >= PART_FROM {
            world.part(&mut input);
            continue;
        }
        match action % 9 {
            0 => world.timeout(),
            1 => world.sleep(Duration::from_millis(4 * u64::from(input.u8()))),
            2 => {
                let length = usize::from(input.u8());
                world.hand_over_any(input.bytes(length).to_vec());
            }
            3 => world.ring_packet(&mut input),
            4 => world.hello(&mut input),
            5 => {
                let sender = world.sender(&mut input);
                let length = usize::from(input.u8());
                world.say_hello(sender, input.bytes(length));
            }
            6 => world.replay(&mut input),
            7 => world.own(&mut input),
            _ => world.distrust(&mut input),
        }
    }
    for (i, (_, count)) in world.endpoint.stats().discards().enumerate() {
        world.seen.mark_if(i, count > 0);
    }
    let stats = world.endpoint.stats();
    world.seen.mark_if(JOINED, stats.packets_joined > 0);
    world.seen.mark_if(GIVEN_UP, stats.packets_given_up > 0);
    assert!(world.endpoint.held() <= HELD_MAX, "what is held is bounded");
    world.seen
}

struct World {
    endpoint: Endpoint,
    forge: Forge,
    now: Instant,
    me: Processor,
    /// The challenges of the endpoint's hellos, the latest last.
    challenges: VecDeque<u64>,
    /// The counters that were used.
    counters: BTreeSet<(Processor, u64)>,
    /// The last datagrams that were handed over, the latest first.
    recorded: VecDeque<Vec<u8>>,
    /// What was handed up, by sender and counter.
    handed_up: BTreeSet<(Processor, u64)>,
    /// Somebody may have set a counter back, which no sender does and nobody else can.
    counters_broken: bool,
    sealed: bool,
    seen: Seen,
}

impl World {
    fn new(sealed: bool) -> Self {
        let me = processor(1, 0);
        let now = Instant::from_nanos(5_000_000_000);
        let key = ClusterKey::from_bytes(&SECRET);
        let config = EndpointConfig {
            me,
            peers: [2, 3, 4].map(|node| processor(node, 0).node).to_vec(),
            cluster: CLUSTER.to_owned(),
            seal: if sealed { SealMode::Sealed(key) } else { SealMode::Clear },
            detection: Duration::from_secs(1),
            packet_bytes_max: FULL_BYTES,
            links: vec![LinkTerms::PLAIN],
        };
        Self {
            endpoint: Endpoint::new(config, 42, now),
            forge: Forge::new(CLUSTER, sealed),
            now,
            me,
            challenges: VecDeque::new(),
            counters: BTreeSet::new(),
            recorded: VecDeque::new(),
            handed_up: BTreeSet::new(),
            counters_broken: false,
            sealed,
            seen: Seen::nothing(),
        }
    }

    /// A peer in one of two incarnations and a half, a stranger, a second owner of the own id, or
    /// the endpoint itself.
    fn sender(&self, input: &mut Input<'_>) -> Processor {
        let byte = input.u8();
        processor(u32::from(byte & 7) % 5 + 1, u64::from(byte >> 3) % 4)
    }

    /// The sender's next counter.
    fn next_counter(&self, sender: Processor) -> u64 {
        let used = self.counters.range((sender, 0)..=(sender, u64::MAX)).next_back();
        used.map_or(1, |(_, used)| used.saturating_add(1))
    }

    fn sealed(&mut self, kind: u8, sender: Processor, counter: u64, payload: &[u8]) -> Vec<u8> {
        self.counters.insert((sender, counter));
        self.forge.seal(kind, sender, counter, payload)
    }

    fn ring_packet(&mut self, input: &mut Input<'_>) {
        let sender = self.sender(input);
        // It may have been overtaken, or others may have been lost. No counter is used twice.
        let counter = input.near(self.next_counter(sender));
        if !self.counters.insert((sender, counter)) {
            return;
        }
        let style = input.u8();
        let payload = input.bytes(usize::from(style & 31)).to_vec();
        let twice = style & 32 != 0 && self.counters.insert((sender, counter.saturating_add(1)));
        let copies: &[u8] = if twice { &[0x10, 0x11] } else { &[0] };
        let me = self.me.node.get();
        let to = [0, me, me + 1, u32::MAX][usize::from(style >> 6)];
        let mut handed_up = Vec::new();
        for (place, copy) in (0..).zip(copies) {
            let counter = counter.saturating_add(place);
            let datagram = self.forge.seal_copy(RING, sender, (counter, *copy, to), &payload);
            handed_up.extend(self.hand_over(datagram));
        }
        assert!(handed_up.len() <= 1, "of two copies one is handed up");
        assert!(to <= me || handed_up.is_empty(), "what is for another is dropped");
        for (from, handed_up) in handed_up {
            assert_eq!(from, sender);
            assert_eq!(handed_up, payload);
        }
    }

    /// A part of a packet: of one of a few packets, whose bytes all tell which. Its head may be
    /// anything.
    fn part(&mut self, input: &mut Input<'_>) {
        let sender = self.sender(input);
        let (style, number) = (input.u8(), u64::from(input.u8()));
        let (count, index) = (u16::from(style & 7), u16::from(style >> 3 & 7));
        // What is put together is as long, and says of which packet it is.
        let total = if style & 64 == 0 { 24 } else { u16::from(input.u8()) };
        let mut payload = number.to_le_bytes().to_vec();
        payload.extend_from_slice(&total.to_le_bytes());
        payload.extend_from_slice(&[input_byte(index), input_byte(count)]);
        let each = total.div_ceil(count.max(1));
        let length = total.saturating_sub(each * index).min(each);
        let length = if style & 128 == 0 { length } else { u16::from(input.u8()) };
        payload.extend((0..length).map(|_| input_byte(number.try_into().unwrap_or(0))));
        let datagram = self.sealed(PART, sender, self.next_counter(sender), &payload);
        if let Some((from, packet)) = self.hand_over(datagram) {
            assert_eq!(from, sender);
            assert_eq!(packet.len(), usize::from(total));
            let one = packet.iter().all(|byte| u64::from(*byte) == number);
            assert!(one || self.counters_broken, "nothing is mixed: {packet:?} of {number}");
        }
    }

    /// A hello as a peer would say it, which hears the endpoint, but for what the input changes.
    fn hello(&mut self, input: &mut Input<'_>) {
        let sender = self.sender(input);
        let (style, more) = (input.u8(), input.u8());
        let back = if style & 1 == 0 { 0 } else { usize::from(input.u8()) };
        let challenge = self.challenges.iter().rev().nth(back).copied().unwrap_or(0);
        let echo = |node: NodeId, incarnation, challenge| Echo {
            node,
            incarnation,
            challenge,
            received: 0,
            received_large: 0,
            losses: Losses::default(),
            stamp: u32::try_from(self.now.as_nanos() / 1000 % (1 << 32)).expect("modulo 2^32"),
        };
        let mut echoes = vec![echo(self.me.node, self.me.incarnation, challenge)];
        if style & 2 != 0 {
            echoes[0].incarnation ^= u64::from(input.u8());
        }
        if style & 4 != 0 {
            let others = u32::from(input.u8());
            let node = |n| NodeId::new(1000 + n).expect("not zero");
            echoes.extend((0..others % 32).map(|n| echo(node(n), n.into(), input.u8().into())));
        }
        let covers = if style & 8 == 0 { (1, u32::MAX) } else { (1, u32::from(input.u8())) };
        if covers.1 < echoes.last().map_or(0, |echo| echo.node.get()) {
            echoes.clear();
        }
        let holder = (style & 16 != 0).then(|| Holder {
            incarnation: u64::from(input.u8()),
            age_ms: u64::from(input.u8()) * 100,
        });
        let hello = Hello {
            challenge: input.u8().into(),
            age_ms: if style & 32 == 0 { 100 } else { input.u16().into() },
            stamp: input.u8().into(),
            heard: u16::from(style >> 6 & 1),
            detection_ms: if style & 128 == 0 { 1000 } else { input.u16() },
            covers,
            versions: evs_net::spoken(),
            echoes,
            full: more & 1 != 0,
            other: more & 4 != 0,
            holder,
        };
        let mut payload = Vec::new();
        hello.encode(if more & 2 == 0 { FULL_BYTES } else { more.into() }, &mut payload);
        self.say_hello(sender, &payload);
    }

    fn say_hello(&mut self, sender: Processor, payload: &[u8]) {
        let datagram = self.sealed(HELLO, sender, self.next_counter(sender), payload);
        self.hand_over(datagram);
    }

    /// Once more what was handed over before, perhaps with a bit flipped.
    fn replay(&mut self, input: &mut Input<'_>) {
        let back = usize::from(input.u8()) % RECORDED_MAX;
        let Some(mut datagram) = self.recorded.get(back).cloned() else { return };
        let flip = usize::from(input.u16());
        if flip > 0 && !datagram.is_empty() {
            let at = flip % datagram.len();
            datagram[at] ^= 1 << (flip >> 8 & 7);
            return self.hand_over_any(datagram);
        }
        self.hand_over(datagram);
    }

    /// What nobody sealed. In clear text that cannot be told from the rest.
    fn hand_over_any(&mut self, datagram: Vec<u8>) {
        self.counters_broken |= !self.sealed;
        self.hand_over(datagram);
    }

    /// Something that the endpoint seals itself comes back, by multicast for instance.
    fn own(&mut self, input: &mut Input<'_>) {
        let length = usize::from(input.u8() & 31);
        let payload = input.bytes(length);
        let mut datagram = Vec::new();
        let tickets = self.endpoint.copies_for_all(payload.len()).expect("counters");
        for ticket in tickets.take(1) {
            self.endpoint.seal(ticket, payload, &mut datagram).expect("a short payload");
        }
        assert_eq!(self.forge.open(self.me, &datagram), payload, "sealed as described");
        assert_eq!(self.hand_over(datagram), None, "nobody hears oneself");
    }

    /// The layer above finds a peer deaf.
    fn distrust(&mut self, input: &mut Input<'_>) {
        let sender = self.sender(input);
        self.endpoint.distrust(sender);
        assert!(!self.endpoint.heard().contains(sender));
        self.drain();
    }

    fn sleep(&mut self, time: Duration) {
        self.now = self.now + time;
        self.endpoint.handle_timeout(self.now);
        self.drain();
    }

    fn timeout(&mut self) {
        let due = self.endpoint.poll_timeout().expect("there is always a next hello");
        self.now = self.now.max(due);
        for _ in 0..4 {
            self.endpoint.handle_timeout(self.now);
            self.drain();
            if self.endpoint.poll_timeout().is_some_and(|due| due > self.now) {
                return;
            }
        }
        panic!("a deadline that was looked after stays due");
    }

    /// Hands a datagram over; returns what the endpoint hands up.
    fn hand_over(&mut self, datagram: Vec<u8>) -> Option<(Processor, Vec<u8>)> {
        self.recorded.truncate(RECORDED_MAX - 1);
        self.recorded.push_front(datagram.clone());
        let mut bytes = datagram.clone();
        trace::step(format_args!("{:?} <- {datagram:02x?}", self.now));
        let result = self.endpoint.handle_datagram(self.now, LinkId::FIRST, &mut bytes);
        trace::step(format_args!("    {result:?}"));
        let incoming = result.ok().flatten().map(|i| (i.from, i.payload.into_owned()));
        if let Some((from, _)) = &incoming {
            assert!(self.endpoint.heard().contains(*from), "of processors that are heard");
            let counter = &datagram[HEADER_BYTES - 8..HEADER_BYTES];
            let counter = u64::from_le_bytes(counter.try_into().expect("eight bytes"));
            let first = self.handed_up.insert((*from, counter));
            assert!(first || self.counters_broken, "handed up once");
            self.seen.mark(HANDED_UP);
        }
        self.drain();
        incoming
    }

    fn drain(&mut self) {
        let mut count = 0;
        while let Some(output) = self.endpoint.poll_output() {
            count += 1;
            trace::step(format_args!("    {output:?}"));
            match output {
                EndpointOutput::Hello { datagram, .. } => self.note_hello(&datagram),
                EndpointOutput::Heard(heard) => {
                    assert_eq!(&heard, self.endpoint.heard());
                    let peer = |p: Processor| (2..=4).contains(&p.node.get());
                    assert!(heard.iter().all(peer), "peers alone are heard");
                }
                EndpointOutput::Paused(pause) => assert!(!pause.is_zero()),
                EndpointOutput::Peer(event) => self.seen.mark(match event {
                    PeerEvent::Up { .. } => UP,
                    PeerEvent::Down { .. } => DOWN,
                    PeerEvent::Double { .. } => DOUBLE,
                    PeerEvent::PathUp { .. }
                    | PeerEvent::PathDown { .. }
                    | PeerEvent::Mtu { .. }
                    | PeerEvent::Moved { .. } => {
                        panic!("there is one link, and packets are small")
                    }
                }),
                EndpointOutput::DuplicateNode { incarnation, must_stop } => {
                    assert_ne!(incarnation, self.me.incarnation);
                    self.seen.mark(if must_stop { MUST_STOP } else { DUPLICATE });
                }
            }
        }
        assert!(count <= OUTPUTS_MAX, "one input has few effects");
    }

    /// What the endpoint says is short, sealed as described, and echoes nobody unknown.
    fn note_hello(&mut self, datagram: &[u8]) {
        assert!(datagram.len() <= HELLO_BYTES_MAX, "a hello fits into any IPv6 packet");
        let payload = self.forge.open(self.me, datagram);
        let hello = Hello::decode(&payload).expect("what is sent can be decoded");
        let mut again = Vec::new();
        hello.encode(payload.len(), &mut again);
        assert_eq!(again, payload);
        if self.challenges.len() == CHALLENGES_MAX {
            self.challenges.pop_front();
        }
        self.challenges.push_back(hello.challenge);
    }
}

fn input_byte(value: u16) -> u8 {
    u8::try_from(value).expect("taken from a byte")
}

fn processor(node: u32, incarnation: u64) -> Processor {
    Processor::new(NodeId::new(node).expect("not zero"), incarnation)
}

const CLUSTER: &str = "fuzz";
/// The size of a full hello.
const FULL_BYTES: usize = 200;
/// Actions from this on are a part.
const PART_FROM: u8 = 248;
const RECORDED_MAX: usize = 16;
/// Incarnations, challenges, and unfinished packets of three peers, and some more.
const HELD_MAX: usize = 8 + 128 + 6 * UNFINISHED_PACKETS_MAX + 16;
const CHALLENGES_MAX: usize = 64;
const OUTPUTS_MAX: usize = 16;
/// 1,280 bytes without the headers of IPv6 and UDP.
const HELLO_BYTES_MAX: usize = 1280 - 48;

#[cfg(test)]
mod tests {
    use super::*;

    /// The description of the seal in `docs/wire.md` is enough to be understood.
    #[test]
    fn a_hello_that_is_sealed_as_described_makes_its_sender_heard() {
        for sealed in [true, false] {
            let mut world = World::new(sealed);
            world.timeout();
            let input = [1, 0, 0, 9, 9, 1, 0, 0, 9, 9, 1, 0, 0, 9, 9];
            let mut input = Input::new(&input);
            (0..3).for_each(|_| world.hello(&mut input));
            assert_eq!(world.endpoint.heard().as_slice(), [processor(2, 0)], "sealed: {sealed}");
            let datagram = world.sealed(RING, processor(2, 0), 9, b"payload");
            let handed_up = Some((processor(2, 0), b"payload".to_vec()));
            assert_eq!(world.hand_over(datagram.clone()), handed_up);
            assert_eq!(world.hand_over(datagram), None, "a copy");
        }
    }
}
