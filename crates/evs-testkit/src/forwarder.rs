//! A user-space forwarder of UDP datagrams, for what a kernel without netem cannot do to them:
//! delay, jitter, reordering, duplication.
//!
//! It runs on a host of its own. The filter of every other host hands what is for a node to it (see
//! [`Network::divert`]), and what comes back looks as if it came straight from the node: daemons
//! notice nothing, but that a host behind it says of no port that nobody listens there.

use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::netns::{Network, PORT};

/// What happens to datagrams on the way from one host to another. The default is nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Way {
    /// Each takes so long.
    pub delay: Duration,
    /// And up to so much longer, at random, without overtaking others.
    pub jitter: Duration,
    /// So many of a hundred are held back for up to 20 ms more, and others overtake them.
    pub reorder_percent: u8,
    /// So many of a hundred arrive twice.
    pub duplicate_percent: u8,
}

/// What a forwarder has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Forwarded {
    /// Datagrams that were sent on.
    pub datagrams: u64,
    /// Those that were held back for others.
    pub reordered: u64,
    /// Second copies.
    pub duplicated: u64,
    /// Datagrams dropped because too many waited, or the kernel did not take them.
    pub dropped: u64,
}

/// A forwarder at work. Dropping it ends it; the hosts go on talking to it, to no effect.
#[derive(Debug)]
pub struct Forwarder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    ways: Mutex<BTreeMap<(u8, u8), Way>>,
    done: Mutex<Forwarded>,
    end: AtomicBool,
}

/// The way of datagrams from one host to another, at the forwarder.
#[derive(Debug)]
struct Leg {
    from: u8,
    to: u8,
    /// Where datagrams of `from` for `to` come in.
    socket: UdpSocket,
    /// Which leg's socket the other host knows as this one's sender.
    back: usize,
    target: SocketAddr,
    /// When the one before is due.
    last: Instant,
}

/// A datagram that waits. The earliest one is the greatest.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Waiting {
    due: std::cmp::Reverse<(Instant, u64)>,
    leg: usize,
    bytes: Vec<u8>,
}

impl Forwarder {
    /// Forwards between hosts 1 to `nodes`, whose filters hand their datagrams over from now on. It
    /// runs on the host after them.
    ///
    /// # Errors
    /// There is no such host, or the system refuses.
    pub fn start(network: &Network, nodes: u8) -> anyhow::Result<Self> {
        let host = nodes + 1;
        let pairs: Vec<(u8, u8)> = (1..=nodes)
            .flat_map(|from| (1..=nodes).map(move |to| (from, to)))
            .filter(|(from, to)| from != to)
            .collect();
        let legs = Network::within(&network.namespace(host), || {
            pairs
                .iter()
                .map(|pair| Leg::open(network, host, &pairs, *pair))
                .collect::<Result<_, _>>()
        })?;
        let shared = Arc::new(Shared::default());
        let mut worker = Worker {
            legs,
            waiting: BinaryHeap::new(),
            held_bytes: 0,
            serial: 0,
            random: fastrand::Rng::new(),
            shared: Arc::clone(&shared),
        };
        let mut ways: BTreeMap<u8, Vec<(u8, SocketAddr)>> = BTreeMap::new();
        for leg in &worker.legs {
            ways.entry(leg.from).or_default().push((leg.to, leg.socket.local_addr()?));
        }
        let thread = thread::Builder::new().name("forwarder".to_owned()).spawn(move || {
            while !worker.shared.end.load(Ordering::Relaxed) {
                worker.turn();
            }
        })?;
        // It is at work before anything comes.
        let forwarder = Self { shared, thread: Some(thread) };
        ways.iter().try_for_each(|(host, ways)| network.divert(*host, ways))?;
        Ok(forwarder)
    }

    /// From now on this happens to what one host sends to another.
    pub fn set(&self, from: u8, to: u8, way: Way) {
        self.shared.ways.lock().unwrap_or_else(PoisonError::into_inner).insert((from, to), way);
    }

    /// From now on nothing happens to anything.
    pub fn heal(&self) {
        self.shared.ways.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What it has done so far.
    #[must_use]
    pub fn forwarded(&self) -> Forwarded {
        *self.shared.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panics in no case that is worth more than the test that it serves.
            let _ = thread.join();
        }
    }
}

impl Leg {
    fn open(
        network: &Network,
        host: u8,
        pairs: &[(u8, u8)],
        (from, to): (u8, u8),
    ) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::new(network.address(host), 0))?;
        socket.set_nonblocking(true)?;
        let target = SocketAddr::new(network.address(to), PORT);
        let back = pairs.iter().position(|pair| *pair == (to, from)).unwrap_or_default();
        Ok(Self { from, to, socket, back, target, last: Instant::now() })
    }
}

struct Worker {
    legs: Vec<Leg>,
    waiting: BinaryHeap<Waiting>,
    held_bytes: usize,
    serial: u64,
    random: fastrand::Rng,
    shared: Arc<Shared>,
}

impl Worker {
    /// Waits until something comes or is due, and does what is to be done then.
    fn turn(&mut self) {
        let now = Instant::now();
        let rest = self
            .waiting
            .peek()
            .map_or(TURN_MAX, |next| next.due.0.0.saturating_duration_since(now).min(TURN_MAX));
        let nanos = rest.subsec_nanos().into();
        let rest = Timespec { tv_sec: 0, tv_nsec: nanos };
        let mut sockets: Vec<PollFd<'_>> =
            self.legs.iter().map(|leg| PollFd::new(&leg.socket, PollFlags::IN)).collect();
        // A signal, or a refusal that the next call tells of: the next turn sees to it.
        let _ = poll(&mut sockets, Some(&rest));
        let ready: Vec<usize> =
            (0..sockets.len()).filter(|leg| !sockets[*leg].revents().is_empty()).collect();
        drop(sockets);
        for leg in ready {
            self.receive(leg);
        }
        self.send_due();
    }

    fn receive(&mut self, leg: usize) {
        let mut buffer = vec![0; 65_536];
        for _ in 0..BATCH {
            match self.legs[leg].socket.recv(&mut buffer) {
                Ok(count) => self.take(leg, &buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody listens where the last one went.
                Err(_) => {}
            }
        }
    }

    /// Decides what becomes of a datagram.
    fn take(&mut self, leg: usize, bytes: &[u8]) {
        let (from, to) = (self.legs[leg].from, self.legs[leg].to);
        let ways = self.shared.ways.lock().unwrap_or_else(PoisonError::into_inner);
        let way = ways.get(&(from, to)).copied().unwrap_or_default();
        drop(ways);
        let mut part = |most: Duration| most.mul_f64(self.random.f64());
        let due = Instant::now() + way.delay + part(way.jitter);
        let back = part(HELD_BACK_MAX);
        let late = self.random.u8(0..100) < way.reorder_percent;
        let twice = self.random.u8(0..100) < way.duplicate_percent;
        let in_order = due.max(self.legs[leg].last);
        let due = if late { due + back } else { in_order };
        if !late {
            self.legs[leg].last = in_order;
        }
        self.count(|done| {
            done.reordered += u64::from(late);
            done.duplicated += u64::from(twice);
        });
        for _ in 0..1 + u8::from(twice) {
            if self.held_bytes + bytes.len() > HELD_BYTES_MAX {
                self.count(|done| done.dropped += 1);
                return;
            }
            self.held_bytes += bytes.len();
            self.serial += 1;
            let due = std::cmp::Reverse((due, self.serial));
            self.waiting.push(Waiting { due, leg, bytes: bytes.to_vec() });
        }
    }

    fn send_due(&mut self) {
        let now = Instant::now();
        while self.waiting.peek().is_some_and(|next| next.due.0.0 <= now) {
            let Some(Waiting { leg, bytes, .. }) = self.waiting.pop() else { return };
            self.held_bytes -= bytes.len();
            let Leg { back, target, .. } = self.legs[leg];
            let sent = self.legs[back].socket.send_to(&bytes, target).is_ok();
            self.count(|done| {
                done.datagrams += u64::from(sent);
                done.dropped += u64::from(!sent);
            });
        }
    }

    fn count(&self, change: impl FnOnce(&mut Forwarded)) {
        change(&mut self.shared.done.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Longest rest, after which a forwarder sees that it is to end.
const TURN_MAX: Duration = Duration::from_millis(100);

/// Datagrams taken from one socket before the next one has its turn.
const BATCH: usize = 64;

/// Longest time for which others may overtake a datagram.
const HELD_BACK_MAX: Duration = Duration::from_millis(20);

/// Most bytes that wait.
const HELD_BYTES_MAX: usize = 64 << 20;
