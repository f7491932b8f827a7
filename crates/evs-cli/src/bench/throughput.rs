//! As much as goes through: clients that send until told to wait, and clients that receive.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evs::{Client, ClientId, Event, Group, Guarantee, Message, Processor};
use hdrhistogram::Histogram;
use serde_json::json;

use super::{age, histogram, latency_json, latency_text, stamp};
use crate::args::BenchArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::session;

/// How long a receiver waits for the next message that must come.
const SILENCE_MAX: Duration = Duration::from_secs(10);

pub(super) fn run(
    receivers: &[Client],
    group: Group,
    bench: &BenchArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let senders = senders(bench)?;
    let run = Run {
        begin: Instant::now(),
        group,
        bench,
        stop: AtomicBool::new(false),
        total: AtomicU64::new(u64::MAX),
    };
    let result: Result<Vec<Received>, Failure> = thread::scope(|scope| {
        let sending: Vec<_> = senders.iter().map(|c| scope.spawn(|| run.send(c))).collect();
        let receiving: Vec<_> = receivers.iter().map(|c| scope.spawn(|| run.receive(c))).collect();
        let sent: Result<u64, Failure> = sending.into_iter().map(joined).sum();
        // Receivers wait for as much as was sent, or for nothing where sending failed.
        run.total.store(sent.as_ref().copied().unwrap_or(0), Ordering::Relaxed);
        let received: Vec<_> = receiving.into_iter().map(joined).collect();
        sent?;
        received.into_iter().collect()
    });
    report(bench, senders.len(), &result?, output)
}

/// A client for each sender: those at the first daemon, and with `--all-send` at the others.
fn senders(bench: &BenchArgs) -> Result<Vec<Client>, Failure> {
    let mut sockets: Vec<Option<&PathBuf>> = vec![bench.daemon.socket.as_ref()];
    if bench.all_send {
        sockets.extend(bench.also.iter().map(Some));
    }
    let each = usize::from(bench.senders);
    let sockets = sockets.into_iter().flat_map(|socket| std::iter::repeat_n(socket, each));
    sockets.map(|socket| session::open_at(socket.map(PathBuf::as_path))).collect()
}

fn joined<T>(handle: thread::ScopedJoinHandle<'_, Result<T, Failure>>) -> Result<T, Failure> {
    handle.join().unwrap_or_else(|_| Err(Failure::new("a thread of the bench has panicked")))
}

/// What the threads of one run share.
struct Run<'a> {
    begin: Instant,
    group: Group,
    bench: &'a BenchArgs,
    /// Somebody failed: nothing more needs to be sent.
    stop: AtomicBool,
    /// How many messages were sent, once that is known.
    total: AtomicU64,
}

/// What one receiver got.
struct Received {
    node: u32,
    messages: u64,
    /// From the beginning of the run to the last message.
    took: Duration,
    times: Histogram<u64>,
}

impl Run<'_> {
    fn send(&self, client: &Client) -> Result<u64, Failure> {
        let end = self.begin + Duration::from_secs_f64(self.bench.seconds);
        let mut body = vec![0; self.bench.size];
        let mut sent = 0u32;
        while Instant::now() < end && !self.stop.load(Ordering::Relaxed) {
            if let Some(rate) = self.bench.rate {
                let due = self.begin + Duration::from_secs(1) * sent / rate;
                thread::sleep(due.min(end).saturating_duration_since(Instant::now()));
            }
            stamp(&mut body, self.begin);
            client.send(self.bench.guarantee, &[self.group], &body)?;
            sent = sent.saturating_add(1);
        }
        Ok(sent.into())
    }

    fn receive(&self, client: &Client) -> Result<Received, Failure> {
        let received = self.receive_all(client);
        if received.is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
        received
    }

    fn receive_all(&self, client: &Client) -> Result<Received, Failure> {
        let node = client.processor().node.get();
        let mut got = Received { node, messages: 0, took: Duration::ZERO, times: histogram() };
        let mut numbers = Numbers::default();
        let mut heard_at = Instant::now();
        while got.messages < self.total.load(Ordering::Relaxed) {
            match client.recv_timeout(Duration::from_millis(100))? {
                Some(Event::Message(message)) => {
                    heard_at = Instant::now();
                    got.messages += 1;
                    got.took = heard_at - self.begin;
                    if let Some(age) = age(&message.body, self.begin) {
                        got.times.saturating_record(age);
                    }
                    numbers.take(&message)?;
                }
                Some(Event::Disconnected { reason }) => return Err(Failure::disconnected(reason)),
                Some(_) => {}
                None if heard_at.elapsed() > SILENCE_MAX => {
                    let total = match self.total.load(Ordering::Relaxed) {
                        u64::MAX => "the".to_owned(),
                        total => format!("{total}"),
                    };
                    let what = format!("node {node} got {} of {total} messages", got.messages);
                    return Err(Failure::new(format!("{what}, then nothing for {SILENCE_MAX:?}")));
                }
                None => {}
            }
        }
        Ok(got)
    }
}

/// The last number of each sender: ordered messages come without gaps.
#[derive(Default)]
struct Numbers(BTreeMap<(Processor, ClientId), u64>);

impl Numbers {
    fn take(&mut self, message: &Message) -> Result<(), Failure> {
        let id = message.id;
        let last = self.0.entry((id.sender, id.client)).or_insert(0);
        if message.guarantee != Guarantee::Unordered && id.number != *last + 1 {
            return Err(Failure::new(format!("message {id} came after number {last}")));
        }
        *last = id.number;
        Ok(())
    }
}

fn report(
    bench: &BenchArgs,
    senders: usize,
    received: &[Received],
    output: &mut Output,
) -> Result<(), Failure> {
    let rate = |got: &Received| got.messages as f64 / got.took.as_secs_f64().max(1e-9);
    let slowest = received.iter().min_by(|a, b| rate(a).total_cmp(&rate(b)));
    let slowest = slowest.ok_or_else(|| Failure::new("nobody received"))?;
    let messages = rate(slowest);
    let megabytes = messages * bench.size as f64 / 1e6;
    let BenchArgs { size, guarantee, .. } = bench;
    output.print(
        || {
            let receivers = received.len();
            let times = match slowest.times.is_empty() {
                true => String::new(),
                false => format!("\n  from send to delivery: {}", latency_text(&slowest.times)),
            };
            format!(
                "throughput: {size} bytes, {guarantee}, {senders} senders, {receivers} receivers, \
                 {:.1} s\n  {messages:.0} messages/s, {megabytes:.1} MB/s at the slowest \
                 (node {}, {} messages){times}",
                slowest.took.as_secs_f64(),
                slowest.node,
                slowest.messages,
            )
        },
        || {
            json!({
                "bench": "throughput", "size": size, "guarantee": guarantee.to_string(),
                "senders": senders, "receivers": received.len(),
                "seconds": slowest.took.as_secs_f64(), "messages": slowest.messages,
                "messages_per_second": messages, "megabytes_per_second": megabytes,
                "slowest_node": slowest.node, "latency_us": latency_json(&slowest.times),
                "receivers_latency_us":
                    received.iter().map(|got| latency_json(&got.times)).collect::<Vec<_>>(),
            })
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use evs::{Bytes, Groups, MessageId, NodeId, RingId};

    use super::*;

    fn message(number: u64, guarantee: Guarantee) -> Message {
        let sender = Processor::new(NodeId::new(1).expect("not zero"), 5);
        Message {
            id: MessageId { sender, client: ClientId(1), number },
            groups: Groups::default(),
            guarantee,
            ring: RingId { seq: 1, rep: sender },
            seq: 1,
            body: Bytes::new(),
        }
    }

    #[test]
    fn a_message_that_is_missing_is_noticed() {
        let mut numbers = Numbers::default();
        assert!(numbers.take(&message(1, Guarantee::Agreed)).is_ok());
        assert!(numbers.take(&message(3, Guarantee::Agreed)).is_err());
        assert!(numbers.take(&message(9, Guarantee::Unordered)).is_ok());
    }
}
