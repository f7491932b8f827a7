//! A client that sends, and notes down everything that happens to it.
//!
//! One thread does both, so that what it had received when it sent is known exactly (EVS-5).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use evs::{Client, ConnectOptions, DisconnectReason, Event, SendError};
use evs_model::{ConfigurationChange, Group, Groups, Guarantee, Members, Message, Processor};
use evs_sim::body::{body, tag_of};
use evs_sim::history::{Recorded, Start, Submission, View};
use evs_testkit::{DEADLINE, until};

/// Own messages that are under way at a time.
const UNDER_WAY_MAX: u64 = 8;

/// Between two messages of one client, so that it has some to the end of a long test, too.
fn send_every() -> Duration {
    let seconds = std::env::var("EVS_NETNS_SECONDS").ok().and_then(|named| named.parse().ok());
    let per_message = Duration::from_secs(seconds.unwrap_or(0)) * 2;
    (per_message / u32::try_from(SENDS_MAX).unwrap_or(u32::MAX)).max(Duration::from_millis(4))
}

/// Most messages of one client.
const SENDS_MAX: u64 = 20_000;

/// How long a client that has nothing to do waits for an event.
const IDLE: Duration = Duration::from_millis(20);

/// Set in the tag of a client's last message.
const LAST: u64 = 1 << 63;

/// A client of one daemon.
pub(crate) struct Member {
    node: u32,
    processor: Processor,
    saw_all: bool,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// A configuration event, and when it came.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) at: Instant,
    pub(crate) change: ConfigurationChange,
}

impl Change {
    /// The members, if it is a regular configuration.
    pub(crate) fn regular(&self) -> Option<&Members> {
        match &self.change {
            ConfigurationChange::Regular { members, .. } => Some(members),
            ConfigurationChange::Transitional { .. } => None,
        }
    }

    /// Whether it is a regular configuration of exactly these nodes.
    pub(crate) fn is_of(&self, nodes: &[u32]) -> bool {
        self.regular().is_some_and(|members| nodes_of(members) == nodes)
    }
}

/// What a client has noted down.
#[derive(Default)]
pub(crate) struct Log {
    stream: Vec<Recorded>,
    pub(crate) changes: Vec<Change>,
    /// Messages received, by the node that sent them.
    pub(crate) from: BTreeMap<u32, u64>,
    /// Nodes whose client's last message has come.
    pub(crate) last_of: BTreeSet<u32>,
    /// Messages sent, and those of them that have come back.
    pub(crate) sent: u64,
    pub(crate) returned: u64,
    /// The longest time without a message since [`Log::begin_stalls`], and since when none came.
    stall: Duration,
    quiet_since: Option<Instant>,
    pub(crate) end: Option<(Instant, DisconnectReason)>,
    failure: Option<String>,
}

impl Log {
    /// Stalls are measured from now on.
    pub(crate) fn begin_stalls(&mut self) {
        (self.stall, self.quiet_since) = (Duration::ZERO, Some(Instant::now()));
    }

    /// The longest time in which no message came, until now.
    pub(crate) fn longest_stall(&self) -> Duration {
        self.stall.max(self.quiet_since.map_or(Duration::ZERO, |since| since.elapsed()))
    }
}

#[derive(Default)]
struct Shared {
    wanted: AtomicU8,
    /// Messages to be sent as fast as they are accepted.
    burst: AtomicU64,
    log: Mutex<Log>,
    changed: Condvar,
}

/// What a client is asked to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Wanted {
    /// Receive.
    Listen,
    /// Send all the time, too.
    Load,
    /// Send the last message, then receive.
    Last,
    /// Leave.
    End,
}

impl Member {
    /// Connects to a node as soon as that lets clients in, and joins the group. `before_all` says
    /// that nobody has sent anything yet: this member sees every message of its configuration.
    pub(crate) fn connect(node: u32, socket: &Path, before_all: bool) -> Result<Self> {
        let options = ConnectOptions::new().path(socket).name(format!("member {node}"));
        let client =
            until(&format!("node {node} takes clients"), || Client::connect_with(&options).ok())?;
        client.join(&[group()])?;
        let processor = client.processor();
        let shared = Arc::new(Shared::default());
        let worker = Worker { node, client, shared: Arc::clone(&shared) };
        let thread = thread::Builder::new().name(format!("member-{node}")).spawn(move || {
            let result = worker.run();
            worker.shared.log().failure = result.err().map(|error| format!("{error:#}"));
            worker.shared.changed.notify_all();
        })?;
        Ok(Self { node, processor, saw_all: before_all, shared, thread: Some(thread) })
    }

    pub(crate) const fn node(&self) -> u32 {
        self.node
    }

    pub(crate) const fn processor(&self) -> Processor {
        self.processor
    }

    pub(crate) fn want(&self, wanted: Wanted) {
        self.shared.wanted.store(wanted as u8, Ordering::Relaxed);
    }

    /// Has the client send so many messages as fast as they are accepted.
    pub(crate) fn burst(&self, messages: u64) {
        self.shared.burst.store(messages, Ordering::Relaxed);
    }

    /// Looks at what has been noted down so far.
    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.shared.log()
    }

    /// Waits until the notes hold what is looked for, for so long at most.
    pub(crate) fn look_for<T>(
        &self,
        within: Duration,
        mut look: impl FnMut(&Log) -> Option<T>,
    ) -> Result<Option<T>> {
        let deadline = Instant::now() + within;
        let mut log = self.log();
        loop {
            if let Some(failure) = &log.failure {
                bail!("the client of node {}: {failure}", self.node);
            }
            if let Some(found) = look(&log) {
                return Ok(Some(found));
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return Ok(None);
            };
            let woken = self.shared.changed.wait_timeout(log, left);
            log = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the notes hold what is looked for.
    pub(crate) fn until<T>(&self, what: &str, look: impl FnMut(&Log) -> Option<T>) -> Result<T> {
        let found = self.look_for(DEADLINE, look)?;
        found.with_context(|| {
            let log = self.log();
            let (changes, from, node) = (&log.changes, &log.from, self.node);
            format!(
                "the client of node {node} waited {DEADLINE:?} in vain: {what}\n\
                 it had messages from {from:?} and {changes:#?}"
            )
        })
    }

    /// Ends the client, if it has not ended, and returns what the checker wants to see.
    pub(crate) fn into_view(mut self) -> Result<View> {
        self.end();
        let log = std::mem::take(&mut *self.shared.log());
        if let Some(failure) = log.failure {
            bail!("the client of node {}: {failure}", self.node);
        }
        let running = log.end.is_none();
        let mut view = View::recorded(self.processor, [group()], log.stream, running)?;
        if self.saw_all {
            view.start = Start::Birth { stored_by: None };
        }
        view.settled = running.then_some(view.entries.len());
        Ok(view)
    }

    fn end(&mut self) {
        self.want(Wanted::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> Wanted {
        let all = [Wanted::Listen, Wanted::Load, Wanted::Last, Wanted::End];
        all[usize::from(self.wanted.load(Ordering::Relaxed)).min(3)]
    }
}

/// The half that runs in the client's own thread.
struct Worker {
    node: u32,
    client: Client,
    shared: Arc<Shared>,
}

impl Worker {
    fn run(&self) -> Result<()> {
        let (mut last_sent, send_every) = (false, send_every());
        let mut next = Instant::now();
        loop {
            let now = Instant::now();
            let wanted = self.shared.wanted();
            while self.shared.burst.load(Ordering::Relaxed) > 0 && self.send(false)? {
                self.shared.burst.fetch_sub(1, Ordering::Relaxed);
            }
            let has_room = {
                let log = self.shared.log();
                log.sent < SENDS_MAX && log.sent - log.returned < UNDER_WAY_MAX
            };
            match wanted {
                Wanted::Load if has_room && next <= now => {
                    self.send(false)?;
                    next = now + send_every;
                }
                Wanted::Last if !last_sent => last_sent = self.send(true)?,
                Wanted::End => return Ok(()),
                Wanted::Load | Wanted::Listen | Wanted::Last => {}
            }
            let wait = if wanted == Wanted::Load && has_room {
                next.saturating_duration_since(Instant::now())
            } else {
                IDLE
            };
            let mut event = self.client.recv_timeout(wait)?;
            while let Some(received) = event {
                if !self.note(received)? {
                    return Ok(());
                }
                event = self.client.try_recv()?;
            }
        }
    }

    /// Sends a message, if there is room. Returns whether there was.
    fn send(&self, last: bool) -> Result<bool> {
        let number = self.shared.log().sent + 1;
        let (guarantee, bytes) = if last { (Guarantee::Safe, 100) } else { kind(number) };
        let body = body(self.tag(number, last), bytes);
        let id = match self.client.try_send(guarantee, &[group()], &body) {
            Ok(id) => id,
            // If it is closed, the event that says why is on its way, or waits already.
            Err(SendError::QueueFull | SendError::Closed(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        ensure!(id.number == number, "message {number} of this client was named {id}");
        let groups = Groups::new(&[group()])?;
        let body = digest(&body);
        let mut log = self.shared.log();
        log.sent = number;
        log.stream.push(Recorded::Accepted(Submission { id, guarantee, groups, body }));
        Ok(true)
    }

    /// Notes an event down. Returns whether more can come.
    fn note(&self, event: Event) -> Result<bool> {
        let at = Instant::now();
        let mut log = self.shared.log();
        let (event, goes_on) = match event {
            Event::Message(message) => {
                if let Some(since) = log.quiet_since.replace(at) {
                    log.stall = log.stall.max(at - since);
                }
                (self.note_message(&mut log, message)?, true)
            }
            Event::Regular { ring, members, left, joined, .. } => {
                let change = ConfigurationChange::Regular { ring, members, left, joined };
                log.changes.push(Change { at, change: change.clone() });
                (evs_model::Event::Configuration(change), true)
            }
            Event::Transitional { from, to, members, left, .. } => {
                let change = ConfigurationChange::Transitional { from, to, members, left };
                log.changes.push(Change { at, change: change.clone() });
                (evs_model::Event::Configuration(change), true)
            }
            Event::Disconnected { reason } => {
                log.end = Some((at, reason));
                (evs_model::Event::Disconnected(evs_model::DisconnectReason::Shutdown), false)
            }
            other @ (Event::Gap { .. } | _) => bail!("an event that was not asked for: {other:?}"),
        };
        log.stream.push(Recorded::Event(event));
        self.shared.changed.notify_all();
        Ok(goes_on)
    }

    /// A message proves by its body that it is whole and which one it is (EVS-12); a digest of it
    /// is kept.
    fn note_message(&self, log: &mut Log, message: Message) -> Result<evs_model::Event> {
        let id = message.id;
        let tag = tag_of(&message.body).with_context(|| format!("EVS-12: {id}"))?;
        let sender = id.sender.node.get();
        if let Some(tag) = tag {
            let (node, number, last) = untag(tag);
            let named = (sender, id.number);
            ensure!((node, number) == named, "EVS-12: {id} has the body of {node}:{number}");
            if last {
                log.last_of.insert(node);
            }
        }
        *log.from.entry(sender).or_default() += 1;
        let own = id.sender == self.client.processor() && id.client == self.client.client_id();
        log.returned += u64::from(own);
        let body = digest(&message.body);
        Ok(evs_model::Event::Message(Message { body, ..message }))
    }

    fn tag(&self, number: u64, last: bool) -> u64 {
        u64::from(self.node) << 32 | number | if last { LAST } else { 0 }
    }
}

fn untag(tag: u64) -> (u32, u64, bool) {
    let node = u32::try_from((tag & !LAST) >> 32).unwrap_or(0);
    (node, tag & 0xffff_ffff, tag & LAST != 0)
}

/// All guarantees in turn; small messages mostly, some of a packet or some packets, a few large.
fn kind(number: u64) -> (Guarantee, usize) {
    const ALL: [Guarantee; 4] =
        [Guarantee::Unordered, Guarantee::Fifo, Guarantee::Agreed, Guarantee::Safe];
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let spread = usize::try_from(spread).unwrap_or(0);
    let bytes = match number % 101 {
        0 => 300_000,
        1 | 51 => spread % 100_000,
        2..=12 => spread % 5_000,
        13..=15 => 0,
        _ => spread % 200,
    };
    (ALL[usize::try_from(number % 4).unwrap_or(0)], bytes)
}

/// A body in few bytes: histories are long, and the body has already shown that it is whole.
fn digest(body: &Bytes) -> Bytes {
    let head = &body[..body.len().min(12)];
    let length = (body.len() as u64).to_le_bytes();
    Bytes::from([head, &length].concat())
}

/// The group of all members.
pub(crate) fn group() -> Group {
    Group::named("netns").expect("at most 32 bytes")
}

/// The node ids of a set of members.
pub(crate) fn nodes_of(members: &Members) -> Vec<u32> {
    members.iter().map(|member| member.node.get()).collect()
}
