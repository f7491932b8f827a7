//! A processor under test among [`Puppets`]: the actions that an input is made of, and what must
//! hold after each, whatever was said.
//!
//! Input: who it is, when it starts, what it had stored, its settings (a byte each); then actions,
//! each with its number in front. `form` and `rotate` are what well-meaning peers do in many steps;
//! the others are single packets whose fields lie near the right ones, or any bytes.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write as _};
use std::time::Duration;

use bytes::Bytes;
use evs_model::{Instant, MEMBERS_MAX, Members, NodeId, Processor, RingId};
use evs_net::PAYLOAD_BYTES_MAX;
use totem::wire::{Packet, PacketKind, Parked, Recovered, Standing, Token, Wake};
use totem::{Config, Destination, Discard, Origins, ROWS_MAX, Ring, SEQ_MAX, StateKind};

use crate::input::Input;
use crate::op::{self, LEAVE_INDEED};
use crate::packet::round_trip;
use crate::puppets::Puppets;
use crate::{Seen, pieces, trace};

/// What is under test: a ring, or a service over one.
pub(crate) trait Subject: fmt::Debug {
    fn ring(&self) -> &Ring;
    fn handle_packet(&mut self, now: Instant, from: Processor, packet: Packet);
    fn handle_timeout(&mut self, now: Instant);
    fn handle_reachability(&mut self, now: Instant, heard: Members);
    fn poll_timeout(&self) -> Option<Instant>;
    fn leave(&mut self, now: Instant);
    /// What the application above does. Returns the bytes that it hands over.
    fn act(&mut self, now: Instant, input: &mut Input<'_>, seen: &mut Seen) -> usize;
    /// The next effect; what is delivered has been judged.
    fn poll_effect(&mut self, seen: &mut Seen) -> Option<Effect>;
    /// A peer spoke in this processor's name.
    fn note_forgery(&mut self);
    fn check(&self);
}

/// What a subject does towards its peers.
#[derive(Debug)]
pub(crate) enum Effect {
    Delivered,
    Distrust(Processor),
    Persist(u64),
    Transition(StateKind, StateKind),
    Transmit(Destination, Packet),
}

/// Edges between states that can be reached, as landmarks.
const EDGES: [(StateKind, StateKind); 9] = [
    (StateKind::Gather, StateKind::Commit),
    (StateKind::Commit, StateKind::Recovery),
    (StateKind::Recovery, StateKind::Operational),
    (StateKind::Operational, StateKind::Gather),
    (StateKind::Commit, StateKind::Gather),
    (StateKind::Recovery, StateKind::Gather),
    (StateKind::Gather, StateKind::Left),
    (StateKind::Recovery, StateKind::Left),
    (StateKind::Operational, StateKind::Left),
];

/// Reasons to throw a packet away that peers can give; not `TooManyRows`, for which an input would
/// have to be very long.
const REASONS: [Discard; 12] = [
    Discard::Duplicate,
    Discard::ForeignRing,
    Discard::NotMember,
    Discard::OutOfWindow,
    Discard::Mismatch,
    Discard::AbsurdSeq,
    Discard::Frozen,
    Discard::Terms,
    Discard::WrongState,
    Discard::SeqExhausted,
    Discard::NumbersExhausted,
    Discard::Pieces,
];

/// Counters of a ring that must have counted something.
const COUNTERS: [&str; 6] =
    ["requested", "retransmitted", "recovered", "sent again", "installed twice", "distrusted"];

const EDGES_AT: usize = StateKind::ALL.len() * PacketKind::ALL.len();
const REASONS_AT: usize = EDGES_AT + EDGES.len();
const COUNTERS_AT: usize = REASONS_AT + REASONS.len();
/// The first landmark that is a subject's own.
pub(crate) const OWN_AT: usize = COUNTERS_AT + COUNTERS.len();

/// Every state with every kind of packet, every edge, every reason; then the subject's own.
pub(crate) fn landmarks(own: &[&str]) -> Vec<String> {
    let arms = StateKind::ALL
        .iter()
        .flat_map(|state| PacketKind::ALL.iter().map(move |kind| format!("{kind:?} in {state}")));
    let edges = EDGES.iter().map(|(from, to)| format!("from {from} to {to}"));
    let reasons = REASONS.iter().map(|reason| reason.name().to_owned());
    let rest = COUNTERS.iter().chain(own).map(|name| (*name).to_owned());
    arms.chain(edges).chain(reasons).chain(rest).collect()
}

/// The settings and the start that an input chooses.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) me: Processor,
    pub(crate) now: Instant,
    pub(crate) stored: u64,
    pub(crate) config: Config,
}

impl Start {
    pub(crate) fn read(input: &mut Input<'_>) -> Self {
        let node = u32::from(input.u8()) % 5 + 1;
        let me = Processor::new(NodeId::new(node).expect("not zero"), u64::from(node) * 0x1111);
        let last_hours = u64::MAX - 4 * 3_600_000_000_000;
        let now = input.pick(&[1, (1 << 32) * 1_000_000 - 500_000_000, last_hours]);
        let stored = input.pick(&[0, 7, u64::from(u32::MAX), u64::MAX / 2, u64::MAX - 3]);
        let style = input.u8();
        let config = Config {
            packet_bytes_max: if style & 1 == 0 { 256 } else { 1400 },
            window_packets: 16,
            backlog_packets_max: if style & 2 == 0 { 64 } else { 3 },
            accelerated_packets: if style & 4 == 0 { 32 } else { 0 },
            origins: origins(style >> 3),
            ..Config::default()
        };
        Self { me, now: Instant::from_nanos(now), stored, config }
    }
}

/// Where counters begin: mostly at 0, else near 2^32, or near their end.
fn origins(style: u8) -> Origins {
    let edge = (1 << 32) - 3;
    match style % 4 {
        1 => Origins { seq: edge, token: edge, row: edge, join: edge, sequenced: edge, cut: edge },
        2 => Origins {
            // A ring has numbers for the largest message in the smallest packets: one that had
            // fewer would end before it and begin anew, for ever.
            seq: SEQ_MAX - 24,
            token: SEQ_MAX - 40,
            row: u64::MAX - 20,
            join: u64::MAX - 40,
            sequenced: SEQ_MAX - 2,
            cut: u64::MAX - 10,
        },
        _ => Origins::default(),
    }
}

/// The processor and its peers.
pub(crate) struct World<S> {
    pub(crate) subject: S,
    pub(crate) seen: Seen,
    puppets: Puppets,
    now: Instant,
    state: StateKind,
    persisted: u64,
    /// The last packets that were handed over.
    recorded: VecDeque<(Processor, Packet)>,
    /// Own packets by what they stand for.
    originated: BTreeMap<(RingId, u64), Bytes>,
    cut: pieces::Sent,
    packets: usize,
    bytes: usize,
}

impl<S: Subject> World<S> {
    pub(crate) fn new(subject: S, start: &Start) -> Self {
        let state = subject.ring().state();
        let mut world = Self {
            subject,
            seen: Seen::nothing(),
            puppets: Puppets::new(start.me, start.config.clone(), start.stored),
            now: start.now,
            state,
            persisted: start.stored,
            recorded: VecDeque::new(),
            originated: BTreeMap::new(),
            cut: pieces::Sent::default(),
            packets: 0,
            bytes: 0,
        };
        world.settle();
        world
    }

    /// Does all that an input says.
    pub(crate) fn run(&mut self, input: &mut Input<'_>) {
        while !input.is_empty() && self.packets < PACKETS_MAX {
            self.step(input);
        }
        let mut size = Size(0);
        write!(size, "{:?}", self.subject).expect("counting does not fail");
        assert!(size.0 <= SIZE_MAX + 64 * self.bytes, "{} characters of state", size.0);
        let held = self.subject.ring().held();
        assert!(held.rows <= ROWS_MAX && held.peers <= 4 * MEMBERS_MAX && held.outputs == 0);
        self.note_stats();
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match op::of(input.u8()) {
            op::DEADLINE => self.deadline(),
            op::SLEEP => self.sleep(input.u8()),
            op::HEAR => {
                let heard = self.puppets.others(input.u8());
                self.hear(heard);
            }
            op::ACT | op::ACT_TOO => {
                trace::step(format_args!("{:?} {} application", self.now, self.state));
                self.bytes += self.subject.act(self.now, input, &mut self.seen);
                self.packets += 1;
                self.settle();
            }
            op::FORM => self.form(input.u8(), input.u8(), input.u8()),
            op::ROTATE => self.rotate(input.u8(), input.u8()),
            op::TOKEN => {
                let token = self.puppets.any_token(self.subject.ring(), input);
                self.hand_over_from_any(input, token.map(|token| Packet::Token(token.into())));
            }
            op::MCAST => {
                let mcast = self.puppets.any_mcast(self.subject.ring(), input);
                self.hand_over_from_any(input, mcast.map(Packet::Mcast));
            }
            op::RECOVERED => {
                let ring = self.puppets.known_ring(input.u8());
                let mcast = self.puppets.any_mcast(self.subject.ring(), input);
                let recovered = ring.zip(mcast).map(|(ring, mcast)| Recovered { ring, mcast });
                self.hand_over_from_any(input, recovered.map(Packet::Recovered));
            }
            op::COMMIT => {
                let commit = self.puppets.any_commit(self.subject.ring(), input);
                self.hand_over_from_any(input, Some(Packet::CommitToken(commit.into())));
            }
            op::JOIN => {
                let join = self.puppets.any_join(input);
                self.hand_over_from_any(input, Some(Packet::Join(join.into())));
            }
            op::MERGE => {
                let merge = self.puppets.any_merge(input);
                self.hand_over_from_any(input, Some(Packet::MergeDetect(merge.into())));
            }
            op::PARKED => {
                let token_seq = self.puppets.token.as_ref().map_or(0, |token| token.token_seq);
                let ring = self.puppets.known_ring(input.u8());
                let token_seq = input.near(token_seq);
                let parked = ring.map(|ring| Packet::Parked(Parked { ring, token_seq }));
                self.hand_over_from_any(input, parked);
            }
            op::WAKE => {
                let ring = self.puppets.known_ring(input.u8());
                self.hand_over_from_any(input, ring.map(|ring| Packet::Wake(Wake { ring })));
            }
            op::RAW => {
                let length = usize::from(input.u8());
                let packet = Packet::decode(Bytes::copy_from_slice(input.bytes(length))).ok();
                self.hand_over_from_any(input, packet);
            }
            op::AGAIN => {
                let back = usize::from(input.u8());
                if let Some((from, packet)) = self.recorded.iter().rev().nth(back).cloned() {
                    self.hand_over(from, packet);
                }
            }
            op::PIECES => {
                let (puppets, ring) = (&mut self.puppets, self.subject.ring());
                let (from, packets) = pieces::of_peer(puppets, ring, input);
                packets.into_iter().for_each(|packet| self.hand_over(from, packet));
            }
            // Seldom: nothing much happens afterwards.
            _ => {
                if input.u8() == LEAVE_INDEED {
                    trace::step(format_args!("{:?} {} leaves", self.now, self.state));
                    self.subject.leave(self.now);
                    self.settle();
                }
            }
        }
    }

    // ── what well-meaning peers do ──────────────────────────────────────────────────────────

    /// Forms a ring with these: joins, both rotations of the commit token, recovery, install; or as
    /// many of these steps as `steps` says, from 1 on.
    fn form(&mut self, mask: u8, style: u8, steps: u8) {
        let steps = if (1..=4).contains(&steps) { steps } else { u8::MAX };
        let members = self.puppets.with_me(mask);
        let others = self.puppets.others(mask);
        self.hear(others.clone());
        for from in &others {
            let rows = self.puppets.rows(&members, Standing::Gathering, style & 192);
            let join = self.puppets.join(&members, rows);
            self.hand_over(from, Packet::Join(join.into()));
        }
        let Some(from) = others.rep() else {
            return (0..4).for_each(|_| self.deadline());
        };
        if steps > 1 && members.rep() == Some(self.puppets.me) {
            // It waits until the proposal has stood for long enough.
            for _ in 0..8 {
                if self.state == StateKind::Gather {
                    self.deadline();
                }
            }
        } else if steps > 1 {
            let commit = self.puppets.first_commit(self.subject.ring(), &members, style);
            self.hand_over(from, Packet::CommitToken(commit.into()));
        }
        for _ in 3..=steps.min(4) {
            if let Some(commit) = self.puppets.returned_commit(self.subject.ring(), style) {
                self.hand_over(from, Packet::CommitToken(commit.into()));
            }
        }
        for round in 0..4 {
            if steps > 4 && self.state == StateKind::Recovery {
                self.recover(from, round > 0 || style & 128 == 0);
            }
        }
    }

    /// The token goes round in recovery: what is requested is sent, others say that they are
    /// complete.
    fn recover(&mut self, from: Processor, complete: bool) {
        let Some(mut token) = self.puppets.last_token() else { return };
        let Some(members) = self.puppets.members_of(token.ring).cloned() else { return };
        for range in token.rtr.as_slice().to_vec() {
            for seq in range.first..=range.last.min(range.first.saturating_add(15)) {
                if let Some(mcast) = self.puppets.mcast(range.ring, seq) {
                    let recovered = Recovered { ring: token.ring, mcast };
                    self.hand_over(from, Packet::Recovered(recovered));
                }
            }
        }
        token.rtr = totem::wire::RtrList::default();
        token.token_seq = token.token_seq.saturating_add(members.len() as u64);
        if let (true, Some(place)) = (complete, members.index_of(self.puppets.me)) {
            token.complete |= !(1 << place) & ((1 << members.len()) - 1);
        }
        self.hand_over(from, Packet::Token(token.into()));
    }

    /// The token goes round: the others send so many packets, of which some are lost, send again
    /// what is requested, and acknowledge what they have.
    fn rotate(&mut self, style: u8, lost: u8) {
        let Some(mut token) = self.puppets.last_token() else { return };
        let Some(members) = self.puppets.members_of(token.ring).cloned() else { return };
        let Some(from) = members.iter().find(|p| *p != self.puppets.me) else { return };
        let burst = u64::from(style & 7);
        let fresh = (1..=burst).filter(|i| lost >> (i - 1) & 1 == 0).map(|i| token.seq + i);
        let missed = token.rtr.as_slice().iter().filter(|_| style & 8 == 0);
        let missed = missed.flat_map(|range| range.first..=range.last.min(range.first + 15));
        let numbers: Vec<u64> = missed.chain(fresh).collect();
        for seq in numbers {
            if let Some(mcast) = self.puppets.mcast(token.ring, seq) {
                self.hand_over(from, Packet::Mcast(mcast));
            }
        }
        self.acknowledge(&mut token, &members, burst, style);
        if style & 128 != 0 {
            let (ring, token_seq) = (token.ring, token.token_seq);
            self.hand_over(from, Packet::Parked(Parked { ring, token_seq }));
        }
        self.hand_over(from, Packet::Token(token.into()));
    }

    /// What the others write on a token that goes round.
    fn acknowledge(&self, token: &mut Token, members: &Members, burst: u64, style: u8) {
        let me = self.puppets.me.node;
        let hops = members.len() as u64 - 1;
        token.token_seq = token.token_seq.saturating_add(hops);
        token.seq = token.seq.saturating_add(burst);
        if token.aru_by != Some(me) {
            token.aru = if style & 16 == 0 { token.seq } else { token.aru };
            let other = members.iter().map(|p| p.node).find(|node| *node != me);
            token.aru_by = other.filter(|_| token.aru < token.seq);
        }
        if style & 8 == 0 {
            token.rtr = totem::wire::RtrList::default();
        }
        if burst > 0 {
            token.originator =
                members.iter().map(|p| p.node).find(|node| *node != me).unwrap_or(me);
            token.idle = 0;
        } else if style & 32 == 0 {
            token.idle = token.idle.saturating_add(u32::try_from(hops).expect("few"));
        }
        if style & 64 != 0 {
            (token.fcc, token.busy) = (100 << 10, 100);
        }
    }

    // ── inputs ──────────────────────────────────────────────────────────────────────────────

    fn hand_over_from_any(&mut self, input: &mut Input<'_>, packet: Option<Packet>) {
        let from = self.puppets.puppet(input.u8());
        if let Some(packet) = packet {
            self.hand_over(from, packet);
        }
    }

    /// Hands a packet over as the network would: encoded and decoded.
    fn hand_over(&mut self, from: Processor, packet: Packet) {
        let mut encoded = Vec::new();
        packet.encode(&mut encoded);
        self.bytes += encoded.len();
        self.packets += 1;
        let Ok(packet) = Packet::decode(encoded.into()) else { return };
        let me = self.puppets.me.node;
        let forged = match &packet {
            Packet::Mcast(mcast) => mcast.sender == me,
            Packet::Recovered(recovered) => recovered.mcast.sender == me,
            Packet::CommitToken(_)
            | Packet::Join(_)
            | Packet::MergeDetect(_)
            | Packet::Parked(_)
            | Packet::Piece(_)
            | Packet::PieceRequest(_)
            | Packet::Token(_)
            | Packet::Wake(_) => false,
        };
        if forged {
            self.subject.note_forgery();
        }
        if self.recorded.len() == RECORDED_MAX {
            self.recorded.pop_front();
        }
        self.recorded.push_back((from, packet.clone()));
        trace::step(format_args!("{:?} {} <- {from} {packet:?}", self.now, self.state));
        self.subject.handle_packet(self.now, from, packet);
        self.settle();
    }

    fn hear(&mut self, heard: Members) {
        trace::step(format_args!("{:?} {} hears {heard}", self.now, self.state));
        self.subject.handle_reachability(self.now, heard);
        self.packets += 1;
        self.settle();
    }

    /// Waits for the next deadline. What is due once it was looked after is due later.
    fn deadline(&mut self) {
        for _ in 0..SPINS_MAX {
            let Some(due) = self.subject.poll_timeout().filter(|due| *due < Instant::NEVER) else {
                return;
            };
            self.now = self.now.max(due);
            trace::step(format_args!("{:?} {} deadline", self.now, self.state));
            self.subject.handle_timeout(self.now);
            self.packets += 1;
            self.settle();
            if self.subject.poll_timeout().is_none_or(|due| due > self.now) {
                return;
            }
        }
        panic!("it spins");
    }

    /// Sleeps for up to four seconds, or hears of an older time, which is ignored.
    fn sleep(&mut self, time: u8) {
        let now = match time {
            0..=247 => {
                self.now = self.now + Duration::from_millis(16 * u64::from(time));
                self.now
            }
            248..=255 => Instant::from_nanos(self.now.as_nanos() / 2),
        };
        trace::step(format_args!("{now:?} {} slept", self.state));
        self.subject.handle_timeout(now);
        self.packets += 1;
        self.settle();
    }

    // ── what must hold ──────────────────────────────────────────────────────────────────────

    fn settle(&mut self) {
        self.subject.check();
        let mut effects = 0;
        while let Some(effect) = self.subject.poll_effect(&mut self.seen) {
            effects += 1;
            trace::step(format_args!("    {effect:?}"));
            match effect {
                Effect::Delivered => {}
                Effect::Distrust(peer) => assert_ne!(peer.node, self.puppets.me.node),
                Effect::Persist(seq) => {
                    assert!(seq > self.persisted, "the sequence that is stored grows");
                    self.persisted = seq;
                }
                Effect::Transition(from, to) => {
                    assert_eq!(from, self.state);
                    assert_ne!(from, to);
                    self.state = to;
                    let edge = EDGES.iter().position(|edge| *edge == (from, to));
                    edge.into_iter().for_each(|edge| self.seen.mark(EDGES_AT + edge));
                }
                Effect::Transmit(to, packet) => self.sent(to, &packet),
            }
        }
        assert_eq!(self.state, self.subject.ring().state());
        let effects_max = EFFECTS_BESIDES + 4 * self.packets + self.bytes / 4;
        assert!(effects <= effects_max, "{effects} effects of one input");
        self.puppets.look(self.subject.ring());
    }

    fn sent(&mut self, to: Destination, packet: &Packet) {
        assert_ne!(to, Destination::Node(self.puppets.me), "nothing is sent to oneself");
        let encoded = round_trip(packet);
        assert!(encoded.len() <= PAYLOAD_BYTES_MAX, "what is sent fits into a datagram");
        match packet {
            Packet::Mcast(mcast) if mcast.sender == self.puppets.me.node => {
                let place = (mcast.ring, mcast.seq);
                let before = self.originated.insert(place, mcast.body.clone());
                let same = before.is_none_or(|before| before == mcast.body);
                assert!(same, "what {} stands for is fixed when it is reserved", mcast.seq);
            }
            Packet::Token(token) => {
                let last = self.puppets.token.as_ref().filter(|last| last.ring == token.ring);
                let again =
                    last.is_none_or(|last| last.token_seq < token.token_seq || *last == **token);
                assert!(again, "a token is passed on once, or the same again");
            }
            Packet::CommitToken(commit) => {
                let last = self.puppets.commit.as_ref();
                let grows = last.is_none_or(|last| last.ring.seq <= commit.ring.seq);
                assert!(grows, "ring sequences grow from attempt to attempt");
            }
            Packet::Piece(piece) => {
                if let Some(whole) = self.cut.take(piece) {
                    return self.sent(to, &whole);
                }
            }
            Packet::Mcast(_)
            | Packet::Join(_)
            | Packet::MergeDetect(_)
            | Packet::Parked(_)
            | Packet::PieceRequest(_)
            | Packet::Recovered(_)
            | Packet::Wake(_) => {}
        }
        self.puppets.learn(packet);
    }

    fn note_stats(&mut self) {
        let stats = self.subject.ring().stats();
        let arms = StateKind::ALL
            .iter()
            .flat_map(|state| PacketKind::ALL.iter().map(|kind| stats.received(*state, *kind)));
        arms.enumerate().for_each(|(at, count)| self.seen.mark_if(at, count > 0));
        for (at, reason) in REASONS.iter().enumerate() {
            self.seen.mark_if(REASONS_AT + at, stats.discards(*reason) > 0);
        }
        let counters = [
            stats.requested,
            stats.retransmits,
            stats.recovered,
            stats.token_retransmits,
            stats.installs / 2,
            stats.distrusts,
        ];
        for (at, count) in counters.into_iter().enumerate() {
            self.seen.mark_if(COUNTERS_AT + at, count > 0);
        }
    }
}

/// Counts the characters of a description: a measure of what is held in memory.
struct Size(usize);

impl fmt::Write for Size {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// Inputs per run; more reach nothing new and take long.
const PACKETS_MAX: usize = 600;
/// How often a deadline may be due at one time: a ring of one sends its whole backlog.
const SPINS_MAX: usize = 200;
const RECORDED_MAX: usize = 16;
/// Effects of one input besides those in proportion to what came in.
const EFFECTS_BESIDES: usize = 64;
/// The size of a processor that was told nothing.
const SIZE_MAX: usize = 64 << 10;
