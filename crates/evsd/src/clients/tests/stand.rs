//! A node that is alone in its ring, its clients, and no loop: the test takes the daemon's steps.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use std::{io, iter};

use evs_ipc::{ClientFrame, Hello, STATUS_BYTES_MAX, ServerFrame};
use evs_model::{
    ClientId, DisconnectReason, Event, Group, Groups, Guarantee, Instant, Message, MessageId,
    NodeId, Processor, RingId,
};
use evs_net::{Link, SealMode, Transport};
use evs_node::{Clock, Node, Output};
use evs_testkit::RawClient;
use mio::{Events, Poll, Token};

use super::super::connection::Connection;
use super::super::{Clients, Terms};
use crate::admission::Admission;

/// `client_event_bytes_max` of every client.
const EVENT_BYTES_MAX: u32 = 64 << 10;

const CLIENTS: Token = Token(64);

/// More turns than anything here takes.
const TURNS_MAX: usize = 10_000;

pub(super) struct Stand {
    pub(super) poll: Poll,
    pub(super) node: Node,
    pub(super) clients: Clients,
    /// Goes as the test says, and on to the next deadline in [`Stand::turn`].
    pub(super) now: Instant,
}

/// A client, with its id in the daemon.
pub(super) struct Caller {
    pub(super) raw: RawClient,
    id: Option<ClientId>,
}

impl Stand {
    /// A node with a ring of its own, and nobody connected.
    pub(super) fn new() -> Self {
        let poll = Poll::new().expect("a descriptor");
        let clock = Clock::start();
        let config = evs_node::Config {
            node: NodeId::new(1).expect("not zero"),
            cluster: "stand".to_owned(),
            seal: SealMode::Clear,
            second_key: None,
            links: vec![Link {
                bind: "127.0.0.1:0".parse().expect("an address"),
                peers: Vec::new(),
                transport: Transport::Unicast,
                mtu: 1500,
                priority: 0,
            }],
            service: evs_service::Config::default(),
            state_dir: None,
        };
        let node = Node::start(config, &clock, poll.registry(), Token(0)).expect("it starts");
        let terms = Terms {
            processor: node.me(),
            message_bytes_max: 1 << 20,
            groups_per_client_max: 100,
            client_send_bytes_max: 4 << 20,
            client_event_bytes_max: EVENT_BYTES_MAX,
            first_token: CLIENTS,
        };
        let clients = Clients::new(terms, Admission::new(&[], &[]));
        let mut stand = Self { poll, node, clients, now: clock.now() };
        stand.until("a ring", |stand| stand.node.service().ring().ring_id().is_some());
        stand
    }

    /// A client that was welcomed.
    pub(super) fn connect(&mut self) -> Caller {
        let mut caller = self.knock();
        caller.say(&ClientFrame::Hello(Hello::new("caller")));
        let sessions = self.clients.stats().accepted;
        self.until("a session", |stand| {
            stand.clients.stats().accepted > sessions && !stand.clients.has_work()
        });
        match caller.raw.reply().expect("an answer") {
            Some(ServerFrame::Welcome(welcome)) => caller.id = Some(welcome.client),
            other => panic!("no welcome but {other:?}"),
        }
        caller
    }

    /// A connection that has said nothing.
    pub(super) fn knock(&mut self) -> Caller {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("it can be set");
        self.clients.admit(self.now, OwnedFd::from(ours), self.poll.registry());
        Caller { raw: RawClient::over(theirs).expect("a socket"), id: None }
    }

    /// Has a client join the group that [`send`] sends to.
    pub(super) fn join(&mut self, caller: &mut Caller) {
        caller.say(&ClientFrame::Join { request: 1, groups: groups() });
        self.turn();
        let done = caller.raw.reply().expect("an answer");
        assert!(matches!(done, Some(ServerFrame::Done { .. })), "{done:?}");
    }

    /// A turn of the daemon's loop. Where nothing is to be done, it is the time of the ring's next
    /// deadline.
    pub(super) fn turn(&mut self) {
        let busy = self.look() || self.node.has_work() || self.clients.has_work();
        let idle = !busy && !self.clients.rest();
        if idle && let Some(due) = self.node.poll_timeout() {
            self.now = self.now.max(due);
        }
        self.node.handle_io(self.now);
        self.node.handle_timeout(self.now);
        self.dispatch();
        self.clients.take_turn(self.now, &mut self.node);
        self.dispatch();
        self.flush();
        self.dispatch();
    }

    /// Notes which sockets are ready; returns whether any is.
    pub(super) fn look(&mut self) -> bool {
        let mut events = Events::with_capacity(64);
        self.poll.poll(&mut events, Some(Duration::ZERO)).expect("polled");
        for event in &events {
            if event.token() < CLIENTS {
                self.node.handle_ready(event);
            } else {
                self.clients.handle_event(event);
            }
        }
        !events.is_empty()
    }

    /// Takes turns until something is so.
    fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..TURNS_MAX {
            if is_so(self) {
                return;
            }
            self.turn();
        }
        panic!("{what}: not in {TURNS_MAX} turns");
    }

    /// Takes turns until a session has ended.
    pub(super) fn until_gone(&mut self, caller: &Caller) {
        let id = caller.id();
        self.until("an end", |stand| !stand.clients.by_id.contains_key(&id));
    }

    fn dispatch(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::ToClient { client, event } => {
                    self.clients.deliver(self.now, &mut self.node, client, &event);
                }
                Output::Room { client, bytes } => self.clients.give_room(client, bytes),
                Output::DuplicateNode { .. }
                | Output::Left { .. }
                | Output::Network { .. }
                | Output::Peer(_)
                | Output::Transition { .. } => {}
            }
        }
    }

    pub(super) fn flush(&mut self) {
        self.clients.flush(self.now, &mut self.node, self.poll.registry());
    }

    /// Delivers events to a client until it is disconnected because it reads none.
    pub(super) fn overfeed(&mut self, caller: &Caller) {
        let event = large_event();
        while self.clients.by_id.contains_key(&caller.id()) {
            self.clients.deliver(self.now, &mut self.node, caller.id(), &event);
        }
    }

    /// Has a client ask for reports that it does not read, until its requests are left unread and
    /// its replies have little room left.
    pub(super) fn fill_replies(&mut self, caller: &mut Caller) {
        for request in 0..TURNS_MAX {
            let bytes =
                if self.connection(caller).has_said_all() { 30_000 } else { STATUS_BYTES_MAX };
            caller.say(&ClientFrame::Status { request: u32::try_from(request).expect("small") });
            self.turn();
            self.give_reports(&"x".repeat(bytes));
            self.flush();
            if self.connection(caller).must_pause() {
                return;
            }
        }
        panic!("its replies never wait");
    }

    /// Gives this report to all who asked for one.
    pub(super) fn give_reports(&mut self, json: &str) {
        for question in self.clients.take_questions() {
            self.clients.answer(self.now, &mut self.node, &question, json.to_owned());
        }
    }

    fn connection(&self, caller: &Caller) -> &Connection {
        let slot = self.clients.by_id[&caller.id()];
        self.clients.slots[slot].connection.as_ref().expect("a session")
    }

    /// All that a client can still read; returns why its session ended, if it is told.
    pub(super) fn last_words(&mut self, caller: &mut Caller) -> Option<DisconnectReason> {
        loop {
            self.turn();
            match caller.raw.event().expect("events") {
                Some(Event::Disconnected(reason)) => return Some(reason),
                Some(_) => {}
                None => return None,
            }
        }
    }

    /// The bodies of the first so many messages that a client receives.
    pub(super) fn bodies(&mut self, caller: &mut Caller, count: usize) -> Vec<Vec<u8>> {
        // The first event is the configuration.
        let wanted = 1 + count as u64;
        self.until("messages", |stand| {
            let mut all = stand.clients.status(&stand.node);
            let status = all.find(|status| status.client == caller.id().0);
            status.expect("a session").events_delivered >= wanted
        });
        self.flush();
        let events = iter::repeat_with(|| caller.raw.event().expect("an event"));
        let bodies = events.filter_map(|event| match event.expect("a session") {
            Event::Message(message) => Some(message.body.to_vec()),
            Event::Configuration(_) | Event::Disconnected(_) => None,
        });
        bodies.take(count).collect()
    }
}

impl Caller {
    pub(super) fn id(&self) -> ClientId {
        self.id.expect("it was welcomed")
    }

    pub(super) fn say(&mut self, frame: &ClientFrame) {
        self.try_say(frame).expect("the socket takes it");
    }

    /// Sends three messages: 1, 2 and 3.
    pub(super) fn say_three(&mut self) {
        for number in 1..=3 {
            self.say(&send(&[number]));
        }
    }

    pub(super) fn try_say(&mut self, frame: &ClientFrame) -> io::Result<()> {
        self.raw.send(frame)
    }
}

/// A message to the group.
pub(super) fn send(body: &[u8]) -> ClientFrame {
    let body = body.to_vec().into();
    ClientFrame::Send { guarantee: Guarantee::Agreed, groups: groups(), body }
}

fn groups() -> Groups {
    Groups::new(&[Group::named("stand").expect("short")]).expect("one")
}

/// An event that takes its place in a client's queue.
pub(super) fn large_event() -> Event {
    let sender = Processor::new(NodeId::new(2).expect("not zero"), 1);
    Event::Message(Message {
        id: MessageId { sender, client: ClientId(1), number: 1 },
        groups: groups(),
        guarantee: Guarantee::Agreed,
        ring: RingId { seq: 1, rep: sender },
        seq: 1,
        body: vec![0; 10_000].into(),
    })
}
