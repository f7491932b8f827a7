//! A client that sends and notes down everything that happens to it, in order.
//!
//! One thread does both, so that what it had received when it sent is known exactly (EVS-5).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use evs::{Bytes, Client, ConnectOptions, Event, Group, Groups, Guarantee, Processor, RingId};
use evs_model::{ConfigurationChange, DisconnectReason, Message};
use evs_sim::body::{body, tag_of};
use evs_sim::history::{Recorded, Submission};

/// Messages that a client has under way.
pub(super) const UNDER_WAY_MAX: u64 = 32;

/// The group of all clients.
pub(super) const GROUP: &str = "demo";

/// One client of one daemon.
pub(super) struct Recorder {
    index: u8,
    node: u32,
    processor: Processor,
    shared: Arc<Shared>,
    thread: JoinHandle<Result<()>>,
}

/// What a client has recorded when it ends.
pub(super) struct Recording {
    pub(super) node: u32,
    pub(super) processor: Processor,
    pub(super) entries: Vec<Recorded>,
    pub(super) sent: u64,
    pub(super) delivered: u64,
    pub(super) bytes: u64,
    /// It was still connected at the end.
    pub(super) running: bool,
}

/// A configuration, and when the client was told.
#[derive(Clone, Debug)]
pub(super) struct Installed {
    pub(super) at: Instant,
    pub(super) ring: RingId,
    nodes: Vec<u32>,
}

/// What the client is asked to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
enum Wanted {
    Listen,
    Send,
    SendLast,
    End,
}

#[derive(Default)]
struct Shared {
    wanted: AtomicU8,
    log: Mutex<Log>,
    changed: Condvar,
}

#[derive(Default)]
struct Log {
    entries: Vec<Recorded>,
    installed: Vec<Installed>,
    /// Clients whose last message has come.
    last_of: BTreeSet<u8>,
    sent: u64,
    delivered: u64,
    own_delivered: u64,
    bytes: u64,
    ended: bool,
}

impl Recorder {
    /// Connects, joins the group, and listens.
    pub(super) fn start(index: usize, node: u32, socket: &Path) -> Result<Self> {
        let client = connect(socket)?;
        client.join(&[group()])?;
        let index = u8::try_from(index).context("too many clients")?;
        let processor = client.processor();
        let shared = Arc::new(Shared::default());
        let worker = Worker { index, client, shared: Arc::clone(&shared) };
        let thread = thread::spawn(move || {
            let result = worker.run();
            worker.shared.log().ended = true;
            worker.shared.changed.notify_all();
            result
        });
        Ok(Self { index, node, processor, shared, thread })
    }

    pub(super) const fn index(&self) -> u8 {
        self.index
    }

    pub(super) const fn node(&self) -> u32 {
        self.node
    }

    /// Sends from now on, as fast as its messages come back.
    pub(super) fn send(&self) {
        self.want(Wanted::Send);
    }

    /// Sends its last message, which is marked as such.
    pub(super) fn finish(&self) {
        self.want(Wanted::SendLast);
    }

    pub(super) fn is_connected(&self) -> bool {
        !self.shared.log().ended
    }

    pub(super) fn delivered(&self) -> u64 {
        self.shared.log().delivered
    }

    /// Waits for a configuration of exactly these nodes that came after a point in time.
    pub(super) fn until_members(
        &self,
        nodes: &[u32],
        since: Instant,
        deadline: Instant,
    ) -> Result<Installed> {
        self.until(deadline, |log| {
            let last = log.installed.last()?;
            (last.at >= since && last.nodes == nodes).then(|| last.clone())
        })
    }

    /// Waits for the last message of each of these clients.
    pub(super) fn until_last_of(&self, clients: &[u8], deadline: Instant) -> Result<()> {
        let all = |log: &Log| clients.iter().all(|c| log.last_of.contains(c)).then_some(());
        self.until(deadline, all).with_context(|| {
            let log = self.shared.log();
            let missing: Vec<_> = clients.iter().filter(|c| !log.last_of.contains(c)).collect();
            format!("lost: at node {} the last message of clients {missing:?}", self.node)
        })
    }

    /// Ends the client and returns what it has recorded.
    pub(super) fn end(self) -> Result<Recording> {
        self.want(Wanted::End);
        let running = !self.shared.log().ended;
        self.thread.join().map_err(|_| anyhow!("a client has panicked"))??;
        let log = std::mem::take(&mut *self.shared.log());
        Ok(Recording {
            node: self.node,
            processor: self.processor,
            entries: log.entries,
            sent: log.sent,
            delivered: log.delivered,
            bytes: log.bytes,
            running,
        })
    }

    fn want(&self, wanted: Wanted) {
        self.shared.wanted.store(wanted as u8, Ordering::Relaxed);
    }

    fn until<T>(&self, deadline: Instant, mut look: impl FnMut(&Log) -> Option<T>) -> Result<T> {
        let mut log = self.shared.log();
        loop {
            if let Some(found) = look(&log) {
                return Ok(found);
            }
            if log.ended {
                bail!("the client at node {} is disconnected", self.node);
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                bail!("the client at node {} waited in vain", self.node);
            };
            let woken = self.shared.changed.wait_timeout(log, left);
            log = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The half that runs in the client's own thread.
struct Worker {
    index: u8,
    client: Client,
    shared: Arc<Shared>,
}

impl Worker {
    fn run(&self) -> Result<()> {
        let mut last_sent = false;
        loop {
            while let Some(event) = self.client.try_recv()? {
                if !self.note(event)? {
                    return Ok(());
                }
            }
            let wanted = self.shared.wanted();
            let room = {
                let log = self.shared.log();
                log.sent - log.own_delivered < UNDER_WAY_MAX
            };
            if wanted == Wanted::End {
                return Ok(());
            } else if wanted == Wanted::Send && room {
                self.send(false)?;
            } else if wanted == Wanted::SendLast && !last_sent {
                self.send(true)?;
                last_sent = true;
            } else if let Some(event) = self.client.recv_timeout(Duration::from_millis(5))?
                && !self.note(event)?
            {
                return Ok(());
            }
        }
    }

    /// Notes an event down. Returns whether more can come.
    fn note(&self, event: Event) -> Result<bool> {
        let mut log = self.shared.log();
        let (event, goes_on) = match event {
            Event::Message(message) => (self.note_message(&mut log, message)?, true),
            Event::Regular { ring, members, left, joined, .. } => {
                let nodes = members.iter().map(|member| member.node.get()).collect();
                log.installed.push(Installed { at: Instant::now(), ring, nodes });
                let change = ConfigurationChange::Regular { ring, members, left, joined };
                (evs_model::Event::Configuration(change), true)
            }
            Event::Transitional { from, to, members, left, .. } => {
                let change = ConfigurationChange::Transitional { from, to, members, left };
                (evs_model::Event::Configuration(change), true)
            }
            Event::Disconnected { reason: evs::DisconnectReason::TooSlow } => {
                bail!("the client at {} was too slow", self.client.processor())
            }
            Event::Disconnected { .. } => {
                (evs_model::Event::Disconnected(DisconnectReason::Shutdown), false)
            }
            Event::Gap { .. } => bail!("a gap in a session that was never renewed"),
            other => bail!("an event that was not asked for: {other:?}"),
        };
        log.entries.push(Recorded::Event(event));
        self.shared.changed.notify_all();
        Ok(goes_on)
    }

    /// A message proves by its body that it is whole (EVS-12); what is kept of it is its head.
    fn note_message(&self, log: &mut Log, message: Message) -> Result<evs_model::Event> {
        let tag = tag_of(&message.body).with_context(|| format!("EVS-12: {}", message.id))?;
        let tag = Tag(tag.with_context(|| format!("EVS-12: {} has no tag", message.id))?);
        if tag.is_last() {
            log.last_of.insert(tag.client());
        }
        log.delivered += 1;
        log.bytes += message.body.len() as u64;
        let own = message.id.sender == self.client.processor();
        log.own_delivered += u64::from(own && message.id.client == self.client.client_id());
        let body = head(&message.body);
        Ok(evs_model::Event::Message(Message { body, ..message }))
    }

    fn send(&self, last: bool) -> Result<()> {
        let number = self.shared.log().sent + 1;
        let (guarantee, bytes) = if last { (Guarantee::Agreed, 100) } else { kind(number) };
        let body = body(Tag::new(self.index, last, guarantee, number).0, bytes);
        let id = match self.client.send(guarantee, &[group()], &body) {
            Ok(id) => id,
            // The event that says why is on its way, or waits already.
            Err(evs::SendError::Closed(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let groups = Groups::new(&[group()])?;
        let body = head(&body);
        let mut log = self.shared.log();
        log.sent = number;
        log.entries.push(Recorded::Accepted(Submission { id, guarantee, groups, body }));
        Ok(())
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> Wanted {
        let all = [Wanted::Listen, Wanted::Send, Wanted::SendLast, Wanted::End];
        all[usize::from(self.wanted.load(Ordering::Relaxed)).min(3)]
    }
}

/// What a message is, readable in C as well: client, whether it is the client's last, guarantee,
/// number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Tag(pub(super) u64);

impl Tag {
    fn new(client: u8, last: bool, guarantee: Guarantee, number: u64) -> Self {
        Self(
            u64::from(client) << 56
                | u64::from(last) << 48
                | (guarantee as u64) << 40
                | number & 0xff_ffff_ffff,
        )
    }

    pub(super) const fn client(self) -> u8 {
        (self.0 >> 56) as u8
    }

    pub(super) const fn is_last(self) -> bool {
        self.0 >> 48 & 1 == 1
    }

    /// Whether it has a place in the one order: all but unordered ones have.
    pub(super) const fn is_ordered(self) -> bool {
        self.0 >> 40 & 0xff != 0
    }
}

/// Every guarantee, and every size from a line to one that has to be cut.
fn kind(number: u64) -> (Guarantee, usize) {
    let guarantee = match number % 8 {
        0 => Guarantee::Safe,
        1 => Guarantee::Unordered,
        2 => Guarantee::Fifo,
        _ => Guarantee::Agreed,
    };
    let bytes = match number % 64 {
        63 => 20_000,
        n if n % 4 == 3 => 1_000,
        _ => 100,
    };
    (guarantee, bytes)
}

/// Tag and length, which have been checked against the rest.
fn head(body: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&body[..body.len().min(12)])
}

fn group() -> Group {
    Group::named(GROUP).expect("at most 32 bytes")
}

/// A daemon that has just been started takes a moment until it takes clients.
fn connect(socket: &Path) -> Result<Client> {
    let options = ConnectOptions::new().path(socket).name("demo");
    let mut result = Client::connect_with(&options);
    let deadline = Instant::now() + super::PATIENCE;
    while matches!(&result, Err(error) if error.is_temporary()) && Instant::now() < deadline {
        thread::park_timeout(Duration::from_millis(10));
        result = Client::connect_with(&options);
    }
    Ok(result?)
}
