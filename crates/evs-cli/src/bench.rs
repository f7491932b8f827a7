//! `evs bench`: what the running daemons do, measured by clients.
//!
//! Responsible for: loading a running cluster through ordinary sessions, in a group of the run's
//! own, and saying how fast messages came back; checking on the way that none is missing and that
//! each sender's come in order.
//! Not responsible for: comparing. A figure means something beside another one of the same machine
//! and minute.

mod latency;
mod throughput;

use std::time::{Duration, Instant};

use evs::{Client, Group};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::args::BenchArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::session;

pub(crate) fn run(bench: &BenchArgs, output: &mut Output) -> Result<(), Failure> {
    let first = session::open(&bench.daemon)?;
    let limit = first.limits().message_bytes_max;
    if bench.size > limit {
        let what = format!("--size {}: the limit (message_bytes_max) is {limit}", bench.size);
        return Err(Failure::new(what));
    }
    let group = own_group(&first);
    let mut clients = vec![first];
    for socket in &bench.also {
        clients.push(session::open_at(Some(socket))?);
    }
    for client in &clients {
        client.join(&[group])?;
    }
    if bench.latency {
        latency::run(&clients[0], group, bench, output)
    } else {
        throughput::run(&clients, group, bench, output)
    }
}

/// A group that no other run uses: a client's name is never used twice.
fn own_group(client: &Client) -> Group {
    let mut group = Group::named("evs bench").expect("short");
    group.0[16..24].copy_from_slice(&client.processor().incarnation.to_le_bytes());
    group.0[24..].copy_from_slice(&client.client_id().0.to_le_bytes());
    group
}

/// A message's body: when it was sent, where it has room for that.
fn stamp(body: &mut [u8], since: Instant) {
    if let Some(head) = body.first_chunk_mut::<8>() {
        *head = nanos(since.elapsed()).to_le_bytes();
    }
}

/// How long ago a message was sent, by its stamp.
fn age(body: &[u8], since: Instant) -> Option<u64> {
    let sent = u64::from_le_bytes(*body.first_chunk::<8>()?);
    nanos(since.elapsed()).checked_sub(sent)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Times in nanoseconds, from 1 µs to 10 min, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 600_000_000_000, 3).expect("the bounds are in order")
}

fn latency_text(times: &Histogram<u64>) -> String {
    let at = |quantile| micros(times.value_at_quantile(quantile));
    format!("p50 {} p99 {} max {}", at(0.5), at(0.99), micros(times.max()))
}

fn latency_json(times: &Histogram<u64>) -> Value {
    let at = |quantile| times.value_at_quantile(quantile) / 1000;
    json!({
        "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999),
        "max": times.max() / 1000, "count": times.len(),
    })
}

fn micros(nanos: u64) -> String {
    match nanos / 1000 {
        us @ 0..10_000 => format!("{us} µs"),
        us => format!("{} ms", us / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_needs_eight_bytes() {
        let since = Instant::now();
        let mut body = [0; 8];
        stamp(&mut body, since);
        assert!(age(&body, since).is_some());
        stamp(&mut body[..7], since);
        assert_eq!(age(&body[..7], since), None);
    }

    #[test]
    fn times_are_told_in_units_that_can_be_read() {
        assert_eq!([micros(950_000), micros(12_345_678)], ["950 µs", "12 ms"]);
    }
}
