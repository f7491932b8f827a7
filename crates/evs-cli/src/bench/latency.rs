//! One message in flight: from the call that sends it to its delivery at the same client.

use std::time::{Duration, Instant};

use evs::{Client, Event, Group, MessageId};
use serde_json::json;

use super::{histogram, latency_json, latency_text, nanos};
use crate::args::BenchArgs;
use crate::failure::Failure;
use crate::output::Output;

pub(super) fn run(
    client: &Client,
    group: Group,
    bench: &BenchArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let body = vec![0; bench.size];
    let (mut times, mut messages) = (histogram(), 0u64);
    let begin = Instant::now();
    let warm_from = begin + WARM_UP;
    let end = warm_from + Duration::from_secs_f64(bench.seconds);
    while Instant::now() < end {
        let sent_at = Instant::now();
        let id = client.send(bench.guarantee, &[group], &body)?;
        until_delivered(client, id)?;
        messages += 1;
        if sent_at >= warm_from {
            times.saturating_record(nanos(sent_at.elapsed()));
        }
    }
    let BenchArgs { size, guarantee, seconds, .. } = bench;
    output.print(
        || {
            let what = format!("latency: {size} bytes, {guarantee}, one in flight, {seconds} s");
            format!("{what}\n  {} over {} messages", latency_text(&times), times.len())
        },
        || {
            json!({
                "bench": "latency", "size": size, "guarantee": guarantee.to_string(),
                "seconds": seconds, "messages": messages, "latency_us": latency_json(&times),
            })
        },
    )?;
    Ok(())
}

/// Before anything is measured: caches, and the ring's idea of its own rotation.
const WARM_UP: Duration = Duration::from_millis(100);

fn until_delivered(client: &Client, id: MessageId) -> Result<(), Failure> {
    loop {
        let event = client.recv()?;
        if let Event::Disconnected { reason } = event {
            return Err(Failure::disconnected(reason));
        }
        if matches!(event, Event::Message(message) if message.id == id) {
            return Ok(());
        }
    }
}
