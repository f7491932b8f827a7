//! The daemon's side of the protocol, played by hand: real sockets, and a test that says what the
//! daemon does. It knows nothing of rings; it is no model of the service.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use evs::{
    Bytes, Client, ClientId, ConnectOptions, Group, Groups, Guarantee, Members, Message, MessageId,
    NodeId, Processor, RingId,
};
use evs_ipc::shm::{Bell, Channel, Sizes, Sleep};
use evs_ipc::{
    ClientFrame, CreditLedger, EncodeFrame, FrameReader, Hello, Outcome, PROTOCOL_VERSION,
    ReadOutcome, ServerFrame, Welcome, client_frame_bytes_max, socket,
};
use evs_model::{ConfigurationChange, Event, send_cost};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Nothing here takes long; this only turns a hang into a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;
pub(crate) const CREDIT: u64 = 4 << 20;

/// What may wait for the client.
pub(crate) const EVENT_BYTES_MAX: u64 = 64 << 20;

/// So many messages of the largest size are much more than the credit.
pub(crate) const MORE_THAN_FITS: usize = 32;

/// Pieces of credit of one byte each, many more than a socket holds.
pub(crate) const CREDITS: usize = 100_000;

/// A listening socket in a directory of its own.
pub(crate) struct Daemon {
    pub(crate) path: PathBuf,
    directory: PathBuf,
    listener: UnixListener,
}

impl Daemon {
    pub(crate) fn listen() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("evs-test-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("evsd.sock");
        let listener = UnixListener::bind(&path).expect("a fresh path");
        Self { path, directory, listener }
    }

    pub(crate) fn options(&self) -> ConnectOptions {
        ConnectOptions::new().path(&self.path).timeout(PATIENCE)
    }

    /// Listens again at the same place, as a restarted daemon does.
    pub(crate) fn restart(&mut self) {
        fs::remove_file(&self.path).expect("the old socket");
        self.listener = UnixListener::bind(&self.path).expect("the path is free");
    }

    /// Takes a connection; nothing is said yet.
    pub(crate) fn accept(&self) -> Visitor {
        wait_until_readable(&self.listener);
        let (stream, _) = self.listener.accept().expect("somebody connects");
        stream.set_nonblocking(true).expect("a socket");
        Visitor {
            control: stream.into(),
            reader: FrameReader::new(client_frame_bytes_max(MESSAGE_BYTES_MAX)),
        }
    }

    /// A client and the daemon's side of it.
    pub(crate) fn connect(&self) -> (Client, Peer) {
        self.connect_with(&self.options(), CREDIT)
    }

    pub(crate) fn connect_with(&self, options: &ConnectOptions, credit: u64) -> (Client, Peer) {
        thread::scope(|scope| {
            let peer = scope.spawn(|| self.accept().welcome(credit));
            let client = Client::connect_with(options).expect("the daemon welcomes");
            (client, peer.join().expect("the daemon's side"))
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A connection before the Welcome.
pub(crate) struct Visitor {
    pub(crate) control: OwnedFd,
    pub(crate) reader: FrameReader,
}

impl Visitor {
    pub(crate) fn hello(&mut self) -> Hello {
        match read(&self.control, &mut self.reader) {
            Some(ClientFrame::Hello(hello)) => hello,
            other => panic!("no Hello: {other:?}"),
        }
    }

    pub(crate) fn say(&self, frame: &ServerFrame) {
        write_all(&self.control, &encoded(frame));
    }

    /// The usual: Hello, first event, Welcome.
    pub(crate) fn welcome(mut self, credit: u64) -> Peer {
        self.hello();
        let (mut peer, theirs, file) = self.open(credit);
        peer.deliver(&regular(1, &[1, 2, 3]));
        let welcome = encoded(&ServerFrame::Welcome(welcome(credit)));
        let fds = [theirs.as_fd(), file.as_fd()];
        let sent = socket::send_with_fds(&peer.control, &welcome, fds);
        assert_eq!(sent.expect("connected"), Some(welcome.len()));
        peer
    }

    /// The session, before the Welcome: with the client's end of the bell and the memory.
    pub(crate) fn open(self, credit: u64) -> (Peer, OwnedFd, OwnedFd) {
        let (bell, theirs) = socket::pair().expect("descriptors");
        let (channel, file) = Channel::create(welcome(credit).rings).expect("memory");
        let peer = Peer {
            control: self.control,
            bell,
            channel,
            reader: self.reader,
            copies: BytesMut::new(),
            delivered: 0,
        };
        (peer, theirs, file)
    }
}

/// The daemon's side of a session.
pub(crate) struct Peer {
    pub(crate) control: OwnedFd,
    pub(crate) bell: OwnedFd,
    pub(crate) channel: Channel,
    pub(crate) reader: FrameReader,
    copies: BytesMut,
    delivered: u64,
}

impl Peer {
    /// The next frame of the client, message or request; `None` when it is gone.
    pub(crate) fn read(&mut self) -> Option<ClientFrame> {
        loop {
            if let Some(frame) = self.try_read() {
                return Some(frame);
            }
            if let Some(frame) = self.reader.next_frame().expect("well-formed") {
                return Some(ClientFrame::decode(frame).expect("well-formed"));
            }
            match self.reader.read_from(&self.control).expect("a socket") {
                ReadOutcome::Bytes(_) => {}
                ReadOutcome::Blocked => {
                    if self.channel.consumer.sleep() == Sleep::Asleep {
                        wait_for_either(&self.control, &self.bell);
                        socket::heard(&self.bell, false).expect("a socket");
                    }
                }
                // What it wrote into the ring before that comes first.
                ReadOutcome::Closed => return self.try_read(),
            }
        }
    }

    /// The next message, if there is one.
    pub(crate) fn try_read(&mut self) -> Option<ClientFrame> {
        let limit = client_frame_bytes_max(MESSAGE_BYTES_MAX);
        let frame = self.channel.consumer.copy_next(&mut self.copies, limit).expect("honest");
        frame.map(|frame| ClientFrame::decode(frame).expect("well-formed"))
    }

    pub(crate) fn read_send(&mut self) -> (Guarantee, Groups, Bytes) {
        match self.read() {
            Some(ClientFrame::Send { guarantee, groups, body }) => (guarantee, groups, body),
            other => panic!("no Send: {other:?}"),
        }
    }

    /// Reads a join or leave and answers it.
    pub(crate) fn answer(&mut self, outcome: Outcome) -> Groups {
        match self.read() {
            Some(
                ClientFrame::Join { request, groups } | ClientFrame::Leave { request, groups },
            ) => {
                self.say(&ServerFrame::Done { request, outcome });
                groups
            }
            other => panic!("no request: {other:?}"),
        }
    }

    pub(crate) fn say(&self, frame: &ServerFrame) {
        write_all(&self.control, &encoded(frame));
    }

    /// Gives credit back in more pieces than the socket holds: the client has to read them before
    /// this side goes on.
    pub(crate) fn say_more_than_fits(&self) {
        let all = encoded(&ServerFrame::Credit { bytes: 1 }).repeat(CREDITS);
        let first = socket::write_vectored(&self.control, &[IoSlice::new(&all)]);
        let fits = first.expect("connected").unwrap_or(0);
        assert!(fits < all.len(), "the socket holds {fits} bytes: this shows nothing");
        write_all(&self.control, &all[fits..]);
    }

    /// Writes an event and wakes the client, unless that is gone. Returns whether there was room.
    pub(crate) fn try_deliver(&mut self, event: &impl EncodeFrame) -> bool {
        let delivered = self.write(&encoded(event));
        self.ring();
        delivered
    }

    pub(crate) fn deliver(&mut self, event: &impl EncodeFrame) {
        assert!(self.try_deliver(event), "there is room");
    }

    /// Writes an event, or what is none, and wakes nobody.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.channel.producer.push([bytes]).expect("an honest client")
    }

    /// Writes a part of an event, as a daemon that is killed meanwhile.
    pub(crate) fn write_without_an_end(&mut self, part: &[u8]) {
        let head = self.channel.producer.written();
        assert!(self.write(part));
        self.channel.producer.forge_head(head);
    }

    /// Wakes the client if it sleeps.
    pub(crate) fn ring(&self) {
        if self.channel.producer.bell() == Bell::Ring {
            let _ = socket::ring(&self.bell);
        }
    }

    /// Delivers a message with the next sequence number.
    pub(crate) fn deliver_message(&mut self, body: impl Into<Bytes>) {
        self.delivered += 1;
        self.deliver(&Event::Message(message(self.delivered, body)));
    }
}

pub(crate) fn encoded(frame: &impl EncodeFrame) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&mut out);
    assert_eq!(out.len(), frame.encoded_len());
    out
}

pub(crate) fn read(control: &OwnedFd, reader: &mut FrameReader) -> Option<ClientFrame> {
    loop {
        if let Some(frame) = reader.next_frame().expect("well-formed") {
            return Some(ClientFrame::decode(frame).expect("well-formed"));
        }
        match reader.read_from(control).expect("a socket") {
            ReadOutcome::Bytes(_) => {}
            ReadOutcome::Blocked => wait_until_readable(control),
            ReadOutcome::Closed => return None,
        }
    }
}

/// Writes all of it, waiting for room.
pub(crate) fn write_all(socket: &OwnedFd, bytes: &[u8]) {
    assert!(try_write_all(socket, bytes), "the client is gone");
}

/// Writes all of it, waiting for room, unless the client is gone.
pub(crate) fn try_write_all(socket: &OwnedFd, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match socket::write_vectored(socket, &[IoSlice::new(bytes)]) {
            Ok(Some(written)) => bytes = &bytes[written..],
            Ok(None) => wait_for(socket, PollFlags::OUT),
            Err(_) => return false,
        }
    }
    true
}

pub(crate) fn wait_until_readable(fd: impl AsFd) {
    wait_for(fd, PollFlags::IN);
}

fn wait_for_either(one: impl AsFd, other: impl AsFd) {
    let timeout = Timespec { tv_sec: 20, tv_nsec: 0 };
    let mut fds = [PollFd::new(&one, PollFlags::IN), PollFd::new(&other, PollFlags::IN)];
    let ready = poll(&mut fds, Some(&timeout)).expect("descriptors");
    assert!(ready > 0, "nothing happens");
}

fn wait_for(fd: impl AsFd, flags: PollFlags) {
    let deadline = Instant::now() + PATIENCE;
    let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
    while poll(&mut [PollFd::new(&fd, flags)], Some(&timeout)).unwrap_or(0) == 0 {
        assert!(Instant::now() < deadline, "nothing happens");
    }
}

pub(crate) fn is_readable(fd: impl AsFd) -> bool {
    let timeout = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)).expect("a descriptor") > 0
}

pub(crate) fn processor(node: u32) -> Processor {
    Processor::new(NodeId::new(node).expect("not zero"), 0x1000 + u64::from(node))
}

pub(crate) fn members(nodes: &[u32]) -> Members {
    Members::new(nodes.iter().map(|node| processor(*node)).collect()).expect("distinct")
}

pub(crate) fn ring(seq: u64) -> RingId {
    RingId { seq, rep: processor(1) }
}

pub(crate) fn group(name: &str) -> Group {
    Group::named(name).expect("short")
}

pub(crate) fn welcome(credit: u64) -> Welcome {
    Welcome {
        version: PROTOCOL_VERSION,
        processor: processor(1),
        client: ClientId(7),
        message_bytes_max: u32::try_from(MESSAGE_BYTES_MAX).expect("small"),
        joined_groups_max: 4096,
        credit,
        rings: Sizes::for_bytes(
            credit.max(send_cost(MESSAGE_BYTES_MAX, Groups::MAX) as u64),
            EVENT_BYTES_MAX,
        ),
    }
}

pub(crate) fn regular(seq: u64, nodes: &[u32]) -> Event {
    Event::Configuration(ConfigurationChange::Regular {
        ring: ring(seq),
        members: members(nodes),
        left: Members::default(),
        joined: members(&nodes[1..]),
    })
}

pub(crate) fn message(seq: u64, body: impl Into<Bytes>) -> Message {
    Message {
        id: MessageId { sender: processor(2), client: ClientId(9), number: seq },
        groups: Groups::new(&[group("g")]).expect("one"),
        guarantee: Guarantee::Agreed,
        ring: ring(1),
        seq,
        body: body.into(),
    }
}

/// A daemon's side that does what is asked: it answers requests, gives credit back, and delivers
/// each message to its sender, in the order of sending. Returns when the client is gone.
pub(crate) fn echo(mut peer: Peer, credit: u64) {
    let mut ledger = CreditLedger::new(credit, send_cost(MESSAGE_BYTES_MAX, Groups::MAX) as u64);
    let mut number = 0;
    while let Some(frame) = peer.read() {
        match frame {
            ClientFrame::Hello(_) => panic!("a second Hello"),
            ClientFrame::Join { request, .. } | ClientFrame::Leave { request, .. } => {
                let done = ServerFrame::Done { request, outcome: Outcome::Done };
                try_write_all(&peer.control, &encoded(&done));
            }
            ClientFrame::Status { request } | ClientFrame::Ask { request, .. } => {
                let reply = ServerFrame::StatusReply { request, json: "{}".into() };
                try_write_all(&peer.control, &encoded(&reply));
            }
            ClientFrame::Send { guarantee, groups, body } => {
                let cost = send_cost(body.len(), groups.len()) as u64;
                ledger.take(cost).expect("within the credit");
                number += 1;
                let id = MessageId { sender: processor(1), client: ClientId(7), number };
                let message = Message { id, groups, guarantee, ring: ring(1), seq: number, body };
                while !peer.try_deliver(&Event::Message(message.clone())) {
                    thread::yield_now();
                }
                ledger.free(cost);
                if let Some(bytes) = ledger.due() {
                    try_write_all(&peer.control, &encoded(&ServerFrame::Credit { bytes }));
                }
            }
        }
    }
}

/// The sequence number of a message event.
pub(crate) fn seq_of(event: &evs::Event) -> u64 {
    let evs::Event::Message(message) = event else { panic!("no message: {event:?}") };
    message.seq
}
