//! Inputs to begin with: packets and bodies of real traffic, a frame of each kind, files as they
//! are written, and short lives of a processor.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use evs_ipc::shm::Sizes;
use evs_ipc::{ClientFrame, EncodeFrame, Explained, Outcome, Refusal, ServerFrame, Welcome};
use evs_model::{
    ChangeReason, ClientId, ConfigurationChange, DisconnectReason, Event, Groups, Guarantee,
    Instant, Members, Message, MessageId, NodeId, Processor, RingId,
};
use evs_net::ClusterKey;
use evs_node::Store;
use evs_service::{Config, Output, Service};
use totem::wire::Piece;
use totem::{Destination, Packet};

use crate::op::{self, LEAVE_INDEED};
use crate::packet::round_trip;
use crate::pieces::request;
use crate::records::group;

type Seeds = Vec<(String, Vec<u8>)>;

fn named(seeds: &[(&str, &[u8])]) -> Seeds {
    seeds.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

/// The first packet of each kind, and the longest.
pub(crate) fn packets() -> Seeds {
    let mut seeds: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for packet in traffic() {
        let mut encoded = Vec::new();
        packet.encode(&mut encoded);
        let kind = format!("{:?}", packet.kind()).to_lowercase();
        let first = seeds.entry(format!("{kind}-first")).or_insert_with(|| encoded.clone()).len();
        let longest = format!("{kind}-longest");
        if encoded.len() > seeds.get(&longest).map_or(first, Vec::len) {
            seeds.insert(longest, encoded);
        }
    }
    let piece = Piece { id: 7, index: 1, count: 3, bytes: Bytes::from_static(b"part") };
    let missing = request(7, &[0b101, 1]).expect("one");
    for (name, packet) in
        [("piece", Packet::Piece(piece)), ("piecerequest", Packet::PieceRequest(missing))]
    {
        seeds.insert(format!("{name}-first"), round_trip(&packet));
    }
    seeds.into_iter().collect()
}

/// Bodies of data packets, in rows of four.
pub(crate) fn bodies() -> Seeds {
    let mcasts = traffic().into_iter().filter_map(|packet| match packet {
        Packet::Mcast(mcast) => Some(mcast),
        Packet::CommitToken(_)
        | Packet::Join(_)
        | Packet::MergeDetect(_)
        | Packet::Parked(_)
        | Packet::Piece(_)
        | Packet::PieceRequest(_)
        | Packet::Recovered(_)
        | Packet::Token(_)
        | Packet::Wake(_) => None,
    });
    let rows: Vec<Vec<u8>> = mcasts
        .map(|mcast| {
            let packet = [0, 3, 1, 2][mcast.guarantee as usize];
            let sender = u8::try_from(mcast.sender.get()).expect("small") << 2;
            let length = u16::try_from(mcast.body.len()).expect("short").to_le_bytes();
            [&[packet | sender], &length[..], &mcast.body[..]].concat()
        })
        .collect();
    let rows = rows.chunks(4).enumerate().take(12);
    rows.map(|(i, row)| (format!("bodies-{i}"), row.concat())).collect()
}

/// Every frame of both directions.
pub(crate) fn streams() -> Seeds {
    let groups = Groups::new(&[group(0), group(1)]).expect("two");
    let body = Bytes::from_static(b"body");
    let to_daemon = [
        ClientFrame::Hello(evs_ipc::Hello::new("fuzz")),
        ClientFrame::Join { request: 1, groups: groups.clone() },
        ClientFrame::Leave { request: 2, groups: groups.clone() },
        ClientFrame::Send {
            guarantee: Guarantee::Safe,
            groups: groups.clone(),
            body: body.clone(),
        },
        ClientFrame::Status { request: 3 },
        ClientFrame::Ask { request: 4, question: "{}".to_owned() },
    ];
    let welcome = Welcome {
        version: evs_ipc::PROTOCOL_VERSION,
        processor: processor(1),
        client: ClientId(7),
        message_bytes_max: 1 << 20,
        joined_groups_max: 64,
        credit: 1 << 22,
        rings: Sizes::for_bytes(1 << 22, 1 << 25),
    };
    let control = [
        ServerFrame::Welcome(welcome),
        ServerFrame::refused(Refusal::Version),
        ServerFrame::Done { request: 1, outcome: Outcome::NotJoined },
        ServerFrame::Credit { bytes: 1000 },
        ServerFrame::StatusReply { request: 3, json: "{}".to_owned() },
    ];
    let ring = |seq| RingId { seq, rep: processor(1) };
    let members = Members::new(vec![processor(1), processor(2)]).expect("two");
    let events = [
        Event::Configuration(ConfigurationChange::Regular {
            ring: ring(5),
            members: members.clone(),
            left: Members::default(),
            joined: members.clone(),
        }),
        Event::Configuration(ConfigurationChange::Transitional {
            from: ring(5),
            to: ring(6),
            members: Members::singleton(processor(1)),
            left: members,
        }),
        Event::Message(Message {
            id: MessageId { sender: processor(2), client: ClientId(1), number: 9 },
            groups,
            guarantee: Guarantee::Agreed,
            ring: ring(5),
            seq: 17,
            body,
        }),
        Event::Disconnected(DisconnectReason::Shutdown),
    ];
    let reasons = [
        ChangeReason::TokenLost,
        ChangeReason::PathLost(processor(1), processor(2)),
        ChangeReason::MemberLeft(processor(2)),
        ChangeReason::MemberAsked(processor(2)),
        ChangeReason::Growth(processor(3)),
        ChangeReason::OutOfRange,
    ];
    let explained = reasons.map(|reason| Explained { event: &events[1], reason });
    vec![
        ("explained".to_owned(), stream(2, &explained)),
        ("to-daemon".to_owned(), stream(0, &to_daemon)),
        ("control".to_owned(), stream(1, &control)),
        ("events".to_owned(), stream(2, &events)),
    ]
}

fn stream(direction: u8, frames: &[impl EncodeFrame]) -> Vec<u8> {
    let mut stream = vec![direction, 2, 7];
    frames.iter().for_each(|frame| frame.encode(&mut stream));
    stream
}

pub(crate) fn configs() -> Seeds {
    let example = include_str!("../../evs-config/evsd.toml");
    let keys = example.lines().filter(|line| !line.starts_with('#') || line.contains(" = "));
    let keys: String = keys.filter(|line| !line.is_empty()).map(|l| format!("{l}\n")).collect();
    let every = keys.replace("# ", "");
    let multicast = "transport = \"multicast\"\nmulticast_address = \"[ff05::7]:5405\"\n";
    let ipv6 = format!(
        "[cluster]\nname = \"a\"\nseal = \"none\"\nmtu_bytes = 65535\n{multicast}\
         [[cluster.nodes]]\nid = 4294967295\naddress = \"[fd00::1]:5405\"\n\
         [local]\nnode = 4294967295\nallow_uids = [0, 0x3e8]\n"
    );
    named(&[
        ("example", keys.as_bytes()),
        ("every-key", every.as_bytes()),
        ("ipv6", ipv6.as_bytes()),
        ("unknown", b"[cluster]\nnam = 'a'\n[local.limits]\nclients_max = 0\nnode = 1.5\n"),
        ("wrong-kinds", b"cluster = 1\nlocal = [{}, 1979-05-27]\n"),
    ])
}

pub(crate) fn stored() -> Seeds {
    let key = ClusterKey::from_bytes(&[0xa5; ClusterKey::LEN]);
    named(&[
        ("ring-sequence", Store::line(0x1234_5678_9abc_def0).as_bytes()),
        ("key", key.to_text().as_bytes()),
        ("key-in-capitals", key.to_text().to_uppercase().replace("EVS-KEY", "evs-key").as_bytes()),
    ])
}

/// Hellos that make peers heard, a restart, a second owner of the node id.
pub(crate) fn datagrams() -> Seeds {
    let hello = |sender: u8, style: u8| [4, sender, style, 0, 9, 9];
    let begin = [&[0, 0][..], &hello(1, 0), &hello(1, 0), &hello(1, 0)].concat();
    let up = [&begin[..], &[3, 1, 0, 2, 7, 7], &[0, 0]].concat();
    let restart = [&up[..], &hello(9, 0), &[0, 0, 0], &hello(9, 0), &hello(1, 0)].concat();
    let claim: Vec<u8> = (0..16).flat_map(|_| [&hello(8, 64)[..], &[1, 25]].concat()).collect();
    let owner = [&up[..], &claim].concat();
    // The first incarnation is replaced; then what it said is said once more.
    let packet = [3, 1, 50, 1, 7];
    let replays = [1, 65, 1, 65, 6, 2, 0, 0, 6, 2, 0, 0];
    let recording = [&[0, 0], &hello(1, 0)[..], &packet, &hello(9, 0), &replays].concat();
    let holder = (0..16).flat_map(|_| [4, 1, 16, 0, 5, 50, 9, 9, 1, 25]);
    // Two of two and three of three, the second packet the other way round.
    let of = |packet: u8, count: u8, index: u8| [250, 1, index << 3 | count, packet];
    let parts = [&up[..], &of(5, 2, 0), &of(6, 3, 2), &of(5, 2, 1), &of(6, 3, 1), &of(6, 3, 0)];
    let parts = parts.concat();
    let unfinished = (0..20).flat_map(|packet| of(packet, 2, 0));
    let unfinished: Vec<u8> = up.iter().copied().chain(unfinished).collect();
    named(&[
        ("up", &up),
        ("clear", &[&[1], &up[1..]].concat()),
        ("recording-of-a-replaced-incarnation", &recording),
        ("restart", &restart),
        ("deaf", &[&up[..], &[8, 1], &hello(1, 0), &[1, 250, 1, 250], &hello(1, 0)].concat()),
        ("second-owner", &owner),
        ("parts", &parts),
        ("parts-that-never-end", &unfinished),
        ("a-part-that-fits-nothing", &[&up[..], &[250, 1, 2, 5], &[250, 1, 2, 5]].concat()),
        ("a-part-of-none", &[&up[..], &[250, 1, 0, 5]].concat()),
        ("two-copies", &[&up[..], &[3, 1, 0, 34, 7, 7]].concat()),
        ("another-link", &[&up[..], &[6, 0, 22, 0]].concat()),
        ("another-version", &[&up[..], &[6, 0, 3, 0]].concat()),
        ("another-seal", &[&up[..], &[6, 0, 5, 0]].concat()),
        ("another-magic", &[&up[..], &[6, 0, 1, 0]].concat()),
        ("another-kind", &[&up[..], &[6, 0, 4, 13]].concat()),
        ("another-counter", &[&up[..], &[6, 0, 37, 0]].concat()),
        ("for-one", &[&up[..], &[3, 1, 0, 66, 7, 7]].concat()),
        ("for-another", &[&up[..], &[3, 1, 0, 130, 7, 7], &[6, 0, 26, 2]].concat()),
        ("another-key", &[&up[..], &[6, 0, 24, 0]].concat()),
        ("holder", &up.iter().copied().chain(holder).collect::<Vec<u8>>()),
        (
            "replays",
            &[&up[..], &[6, 0, 0, 0, 6, 1, 9, 1, 7, 3, 1, 2, 3, 2, 4, 1, 2, 3, 4]].concat(),
        ),
    ])
}

/// A ring that forms, sends, loses something, breaks, recovers, merges and leaves.
pub(crate) fn rings() -> Seeds {
    lives(&[op::ACT, 2, 5, 20], &[op::ACT, 3, 1, 0])
}

/// The same with clients.
pub(crate) fn services() -> Seeds {
    let connect = [op::ACT, 0, 0, op::ACT, 0, 0, op::ACT, 2, 3, op::ACT, 10, 1];
    let send = [&connect[..], &[op::ACT, 5, 1, 6, 20, op::ACT, 13, 3, 14, 200]].concat();
    lives(&send, &[op::ACT, 4, 1, op::ACT, 5, 2, 3, 0, op::ACT, 1, 0, op::ACT, 9, 0])
}

/// Lives of processors 1 to 3, in which the application does these things.
fn lives(first: &[u8], second: &[u8]) -> Seeds {
    let ready = [op::FORM, 0b11, 32, 0];
    let turns = [op::ROTATE, 3, 0, op::ROTATE, 2, 1, op::ROTATE, 0, 0, op::ROTATE, 0, 0];
    let idle = [op::ROTATE, 0, 0].repeat(6);
    let breaks = [op::FORM, 0b1, 2, 0, op::ROTATE, 1, 0, op::FORM, 0b111, 0, 0, op::ROTATE, 0, 0];
    let mut seeds = Vec::new();
    for node in 0..3 {
        let start = [node, 0, 0, 0];
        let busy = [&start, &ready[..], first, &turns, second, &turns].concat();
        let parks = [&start, &ready[..], first, &turns, &idle, &[op::DEADLINE], second].concat();
        let recovers = [&busy[..], &breaks, first, &turns, &[op::SLEEP, 200]].concat();
        let lost = [&busy[..], &[op::DEADLINE; 12], &breaks].concat();
        let leaves = [&busy[..], &[op::LEAVE, LEAVE_INDEED], &turns, &[op::DEADLINE; 3]].concat();
        let stops: Vec<u8> = (1..=4)
            .flat_map(|steps| {
                let stop = [op::FORM, 1, 0, steps, op::WAKE, 0, 0, op::MCAST, 2, 0, 0, 0, 1];
                let more = [op::MERGE, 1, 0, 0, 0, 1, op::PARKED, 2, 0, 1, op::TOKEN, 0, 0, 0];
                [&stop[..], &more].concat()
            })
            .collect();
        let stops = [&busy[..], &stops].concat();
        let pieces: Vec<u8> = (1..=5)
            .flat_map(|steps| {
                // A probe that lacks a piece, a request, pieces of another size, and a whole probe.
                let part = [op::PIECES, 1, 0, 1, 0, 1, 0, 0, 0, 1, op::PIECES, 3, 0, 1, 0, 2, 5, 1];
                let whole = [op::PIECES, 1, 0, 2, 0, 1, 0, 0, 0, 0, op::SLEEP, 1];
                let other = [op::PIECES, 1, 0, 1, 10, 1, 0, 0, 0, 0];
                [&[op::FORM, 1, 0, steps], &part[..], &other, &whole].concat()
            })
            .collect();
        let pieces =
            [&busy[..], &pieces, &[op::LEAVE, LEAVE_INDEED], &pieces[..pieces.len() / 5]].concat();
        let alone = [&start[..], &[op::DEADLINE; 30], first, &[op::DEADLINE; 4]].concat();
        let stranger = [op::TOKEN, 50, 9, 1, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0, op::DEADLINE];
        let stranger = [&start[..], &[op::DEADLINE; 30], &stranger].concat();
        let deaf = [&busy[..], first, &[op::SLEEP, 4, op::ROTATE, 16, 0].repeat(24)].concat();
        let token = [op::SLEEP, 4, op::TOKEN, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0].repeat(24);
        let lacks = [&busy[..], &[op::FORM, 1, 2, 4], &token].concat();
        // What it brings along is changed on the way round.
        let changed = [op::FORM, 1, 0, 2, op::COMMIT, 0, 64, 0, 0, 0, node.min(1), 5, 0, 0];
        let changed = [&busy[..], &changed, &[0, 0, 0, 0, 0], &token].concat();
        let lives = [
            ("busy", busy),
            ("parks", parks),
            ("recovers", recovers),
            ("token-lost", lost),
            ("leaves", leaves),
            ("alone", alone),
            ("stops", stops),
            ("pieces", pieces),
            ("deaf", deaf),
            ("lacks", lacks),
            ("entry-changed", changed),
            ("token-of-a-stranger", stranger),
        ];
        seeds.extend(lives.map(|(name, life)| (format!("{name}-{}", node + 1), life)));
    }
    seeds
}

fn processor(node: u32) -> Processor {
    Processor::new(NodeId::new(node).expect("not zero"), u64::from(node) * 0x1111)
}

/// What three processors say to each other: they form a ring, send messages of all guarantees and
/// sizes, lose some of them, and lose one processor.
fn traffic() -> Vec<Packet> {
    let mut network = Network::start();
    network.run(Duration::from_secs(3));
    for node in 1..=3 {
        network.send(node);
    }
    network.run(Duration::from_millis(400));
    // Then it becomes so bad that recovery has something to do.
    network.lost_of = 2;
    for node in 1..=3 {
        network.send(node);
    }
    network.run(Duration::from_millis(1));
    network.crash(3);
    network.run(Duration::from_secs(3));
    network.sent
}

struct Network {
    now: Instant,
    services: BTreeMap<Processor, Service>,
    flying: VecDeque<(Instant, Processor, Processor, Packet)>,
    sent: Vec<Packet>,
    data: u32,
    /// Of so many data packets one is lost to one of the others.
    lost_of: u32,
}

impl Network {
    fn start() -> Self {
        let now = Instant::from_nanos(1);
        let mut config = Config::default();
        config.totem.packet_bytes_max = 256;
        let service = |node| Service::new(config.clone(), processor(node), 0, node.into(), now);
        let services = (1..=3).map(|node| (processor(node), service(node))).collect();
        let mut network =
            Self { now, services, flying: VecDeque::new(), sent: Vec::new(), data: 0, lost_of: 7 };
        network.hear();
        network
    }

    fn hear(&mut self) {
        let all: Vec<Processor> = self.services.keys().copied().collect();
        for me in &all {
            let others = all.iter().copied().filter(|p| p != me).collect();
            let heard = Members::new(others).expect("few");
            let service = self.services.get_mut(me).expect("listed");
            service.handle_reachability(self.now, heard);
            self.drain(*me);
        }
    }

    fn crash(&mut self, node: u32) {
        self.services.remove(&processor(node));
        self.hear();
    }

    fn send(&mut self, node: u32) {
        let (me, now) = (processor(node), self.now);
        let service = self.services.get_mut(&me).expect("alive");
        let client = service.connect(now).expect("a ring is there");
        let groups = Groups::new(&[group(0)]).expect("one");
        for (i, length) in [0, 7, 300, 20].into_iter().enumerate() {
            let guarantee = Guarantee::try_from(u8::try_from(i).expect("small")).expect("four");
            let body = vec![b'x'; length].into();
            service.send(now, client, guarantee, groups.clone(), body).expect("room");
        }
        let body = vec![b'y'; 300].into();
        service.send(now, client, Guarantee::Unordered, groups, body).expect("room");
        self.drain(me);
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = |(me, service): (&Processor, &Service)| Some((service.poll_timeout()?, *me));
            let timer = self.services.iter().filter_map(due).min();
            let packet = self.flying.front().map(|(at, ..)| *at);
            match (packet, timer) {
                (Some(at), _) if at <= end && timer.is_none_or(|(due, _)| at <= due) => {
                    let (at, from, to, packet) = self.flying.pop_front().expect("there is one");
                    self.now = at;
                    if let Some(service) = self.services.get_mut(&to) {
                        service.handle_packet(at, from, packet);
                        self.drain(to);
                    }
                }
                (_, Some((at, me))) if at <= end => {
                    self.now = self.now.max(at);
                    let service = self.services.get_mut(&me).expect("listed");
                    service.handle_timeout(self.now);
                    self.drain(me);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn drain(&mut self, me: Processor) {
        let service = self.services.get_mut(&me).expect("alive");
        let mut sent = Vec::new();
        while let Some(output) = service.poll_output() {
            if let Output::Transmit { to, packet } = output {
                sent.push((to, packet));
            }
        }
        let all: Vec<Processor> = self.services.keys().copied().collect();
        for (to, packet) in sent {
            self.data += u32::from(matches!(packet, Packet::Mcast(_)));
            let loses =
                matches!(packet, Packet::Mcast(_)) && self.data.is_multiple_of(self.lost_of);
            let others = all.iter().filter(|p| match to {
                Destination::All => **p != me,
                Destination::Node(one) => **p == one,
            });
            for (i, other) in others.enumerate() {
                if !(loses && i == 0) {
                    let at = self.now + Duration::from_micros(100);
                    self.flying.push_back((at, me, *other, packet.clone()));
                }
            }
            self.sent.push(packet);
        }
    }
}
