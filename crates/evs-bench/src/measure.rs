//! One run: clients are started together, told when to begin, and heard to the end.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use evs_testkit::netns::{self, Network};
use serde_json::Value as Json;

use crate::Tools;
use crate::cluster::{Cluster, dying_with_us};
use crate::loader::{Line, Loader, Measured};
use crate::plan::{Case, Metric, Position, System, Timing, Workload};
use crate::sample::{Outcome, Value};
use crate::session::{RATE, Session, words};
use crate::stop::{Stop, now_ns};
use crate::usage::{cpu_seconds, resident_bytes};

/// Runs the load generators in C against a cluster. Once they are told to begin, something else may
/// be done meanwhile.
///
/// # Errors
/// A client cannot be run, or a signal came. What the system does wrong is an outcome, and so is
/// what cannot be done meanwhile.
pub(crate) fn with_c(
    tools: &Tools,
    session: &Session,
    case: Case,
    timing: Timing,
    group: &str,
    meanwhile: Meanwhile<'_>,
    stop: &Stop,
) -> anyhow::Result<Outcome> {
    let Session { cluster, nodes, .. } = session;
    let mut loaders = Vec::new();
    for node in 1..=*nodes {
        let mut command = cluster.client(tools, node);
        command.args(words(case, node, *nodes, timing, group));
        loaders.push(Loader::spawn(node, command)?);
    }
    let outcome = go(&mut loaders, &cluster.pids(), case, timing, meanwhile, stop);
    let outcome = outcome.and_then(|run| match run {
        Run::Cannot(why) => Ok(Outcome::Cannot(why)),
        Run::Finished { measured, used } => {
            one_order(&measured)?;
            let mut values = figures(case, &measured)?;
            if !case.workload.is_stall() {
                values.extend(least_share(&measured[0].shares));
                values.extend(used.per(measured[0].messages));
            }
            Ok(Outcome::Measured(values))
        }
    });
    loaders.into_iter().for_each(Loader::end);
    fault(outcome, Some(cluster), stop)
}

/// Runs bare processes, without a system.
///
/// # Errors
/// As [`with_c`].
pub(crate) fn with_nothing(
    tools: &Tools,
    system: System,
    network: &Network,
    nodes: u8,
    case: Case,
    timing: Timing,
    stop: &Stop,
) -> anyhow::Result<Outcome> {
    let name = system.name();
    let mode = format!("mode={}", name.rsplit('-').next().unwrap_or(name));
    let mut loaders = Vec::new();
    for node in 1..=nodes {
        let mut command = netns::command(&network.namespace(node), &tools.raw);
        command.arg(&mode).args(words(case, node, nodes, timing, "raw"));
        let address = network.address(node).to_string();
        let last = address.rfind('.').context("an IPv4 address")?;
        command.arg(format!("network={}", &address[..=last]));
        loaders.push(Loader::spawn(node, command)?);
    }
    let outcome = go(&mut loaders, &[], case, timing, NOTHING, stop).and_then(|run| match run {
        Run::Cannot(why) => Ok(Outcome::Cannot(why)),
        Run::Finished { mut measured, .. } => {
            if case.workload == Workload::ThroughputOne {
                // What it sends does not come back to the sender.
                measured.remove(0);
            }
            figures(case, &measured).map(Outcome::Measured)
        }
    });
    loaders.into_iter().for_each(Loader::end);
    fault(outcome, None, stop)
}

/// Runs `evs bench` against all daemons of a cluster.
///
/// # Errors
/// As [`with_c`].
pub(crate) fn with_rust(
    tools: &Tools,
    session: &Session,
    case: Case,
    timing: Timing,
    stop: &Stop,
) -> anyhow::Result<Outcome> {
    let cluster = &session.cluster;
    let mut command = dying_with_us(&tools.evs);
    evs_bench(&mut command, case, timing, &cluster.sockets());
    let daemons = cluster.pids();
    let before = cpu_seconds(&daemons);
    let client = Loader::spawn(1, command)?;
    let deadline = Instant::now() + time_of(timing) + patience(timing);
    let outcome = (|| {
        stop.pause(time_of(timing).mul_f64(0.75))?;
        let resident = [&daemons[..], &[client.pid()]].map(resident_bytes);
        let line = client.line(deadline, stop)?;
        let report: Json = serde_json::from_str(&line).with_context(|| line.clone())?;
        client.until_over(deadline, stop)?;
        let cpu = [cpu_seconds(&daemons) - before, cpu_seconds(&[client.pid()])];
        let mut values = rust_figures(case, &report)?;
        let messages = report["messages"].as_u64().context("it counts messages")?;
        values.extend(Used { cpu, resident }.per(messages));
        Ok(Outcome::Measured(values))
    })();
    fault(outcome, Some(cluster), stop)
}

/// Its arguments.
fn evs_bench(command: &mut Command, case: Case, timing: Timing, sockets: &[PathBuf]) {
    let seconds = time_of(timing).as_secs_f64().to_string();
    let (size, guarantee) = (case.size.to_string(), case.guarantee.name());
    command.args(["--json", "bench", "--size", &size, "--guarantee", guarantee]);
    command.args(["--seconds", &seconds]);
    for (index, socket) in sockets.iter().enumerate() {
        command.arg(if index == 0 { "--socket" } else { "--also" }).arg(socket);
    }
    if case.workload == Workload::LatencyOne {
        command.arg("--latency");
    } else if case.workload == Workload::LatencyRate {
        command.args(["--rate", &RATE.to_string()]);
    } else if case.workload == Workload::ThroughputAll {
        command.arg("--all-send");
    }
}

/// What is done while the load generators run.
pub(crate) type Meanwhile<'a> = &'a dyn Fn() -> anyhow::Result<()>;

/// Nothing is.
pub(crate) const NOTHING: Meanwhile<'_> = &|| Ok(());

/// How a run of load generators ended.
enum Run {
    /// With a result of each.
    Finished { measured: Vec<Measured>, used: Used },
    /// The system does not take such messages.
    Cannot(String),
}

/// What daemons and clients used.
struct Used {
    cpu: [f64; 2],
    resident: [u64; 2],
}

impl Used {
    /// As figures, for so many messages.
    fn per(&self, messages: u64) -> Vec<Value> {
        let millions = messages as f64 / 1e6;
        let mut values = Vec::new();
        for (i, position) in [Position::Daemons, Position::Clients].into_iter().enumerate() {
            let cpu = self.cpu[i] / millions;
            values.push(Value { position, metric: Metric::CpuSecondsPerMillion, value: cpu });
            let bytes = self.resident[i] as f64;
            values.push(Value { position, metric: Metric::ResidentBytes, value: bytes });
        }
        values
    }
}

/// Lets them begin together when all are ready, and waits for all results.
fn go(
    loaders: &mut [Loader],
    daemons: &[u32],
    case: Case,
    timing: Timing,
    meanwhile: Meanwhile<'_>,
    stop: &Stop,
) -> anyhow::Result<Run> {
    let deadline = Instant::now() + READY_MAX;
    for loader in &*loaders {
        match loader.next(deadline, stop)? {
            Line::Ready { .. } => {}
            Line::Cannot { cannot } => return Ok(Run::Cannot(cannot)),
            Line::Broken { broken } => bail!("node {}: {broken}", loader.node()),
            Line::Members { .. } | Line::Result { .. } => bail!("{}", early(loader)),
        }
    }
    let clients: Vec<u32> = loaders.iter().map(Loader::pid).collect();
    let pids = [daemons, &clients];
    let before = pids.map(cpu_seconds);
    let begin = now_ns() + BEGIN_IN_NS;
    loaders.iter_mut().try_for_each(|loader| loader.tell(&format!("go {begin}")))?;
    let deadline = Instant::now() + time_of(timing) + patience(timing);
    meanwhile()?;
    let mut measured: Vec<Option<Measured>> = vec![None; loaders.len()];
    while measured.contains(&None) {
        // Whoever has something to say is heard: one that is broken keeps the others waiting.
        let open: Vec<usize> = (0..loaders.len()).filter(|i| measured[*i].is_none()).collect();
        let waiting: Vec<&Loader> = open.iter().map(|i| &loaders[*i]).collect();
        let heard = Loader::first(&waiting, deadline, stop).with_context(|| case_text(case))?;
        let loader = &loaders[open[heard.0]];
        match heard.1 {
            Line::Result { result } => measured[open[heard.0]] = Some(result),
            Line::Cannot { cannot } => return Ok(Run::Cannot(cannot)),
            Line::Broken { broken } => bail!("node {}: {broken}", loader.node()),
            Line::Members { .. } | Line::Ready { .. } => bail!("{}", early(loader)),
        }
    }
    let measured = measured.into_iter().flatten().collect();
    let after = pids.map(cpu_seconds);
    let resident = pids.map(resident_bytes);
    let used = Used { cpu: [after[0] - before[0], after[1] - before[1]], resident };
    Ok(Run::Finished { measured, used })
}

fn case_text(case: Case) -> String {
    format!("{} of {} bytes", case.workload, case.size)
}

fn early(loader: &Loader) -> String {
    format!("the client of node {} says something that it is not time for", loader.node())
}

/// What went wrong in the system is an outcome; a signal is not.
fn fault(
    outcome: anyhow::Result<Outcome>,
    cluster: Option<&Cluster>,
    stop: &Stop,
) -> anyhow::Result<Outcome> {
    stop.check()?;
    Ok(outcome.unwrap_or_else(|error| {
        let reason = cluster.and_then(Cluster::complaint);
        if let Some(cluster) = cluster {
            eprintln!("{error:#}\n{}", cluster.logs());
        }
        Outcome::Fault(format!("{error:#}{}", reason.unwrap_or_default()))
    }))
}

/// Every node got all messages, in the same order.
fn one_order(measured: &[Measured]) -> anyhow::Result<()> {
    let first = measured.first().context("there are nodes")?;
    for other in measured {
        let same = (&first.order, first.messages, &first.shares)
            == (&other.order, other.messages, &other.shares);
        ensure!(same, "two nodes do not agree about all messages or their order");
    }
    ensure!(first.messages > 0, "no message was delivered");
    Ok(())
}

/// What is told of the results of all nodes, the sender's first.
fn figures(case: Case, measured: &[Measured]) -> anyhow::Result<Vec<Value>> {
    if case.workload.is_stall() {
        let longest = measured.iter().map(|one| one.gap_ns).max();
        let value = longest.context("there are nodes")? as f64 / 1e9;
        return Ok(vec![Value { position: Position::Slowest, metric: Metric::Seconds, value }]);
    }
    if !case.workload.is_throughput() {
        let mut values = times(Position::Sender, measured.first())?;
        // Bare processes take the times at one of them.
        let others = measured.iter().skip(1).filter(|m| m.samples > 0);
        if let Some(farthest) = others.max_by(|a, b| a.p50_us.total_cmp(&b.p50_us)) {
            values.extend(times(Position::Farthest, Some(farthest))?);
        }
        return Ok(values);
    }
    let mut slowest = f64::INFINITY;
    for one in measured {
        ensure!(one.window_ns > 0, "nothing was delivered after the warm-up");
        slowest = slowest.min(one.window_messages as f64 / (one.window_ns as f64 / 1e9));
    }
    Ok(rates(slowest, case.size))
}

/// What the sender with the fewest messages got through, of several.
fn least_share(shares: &[u64]) -> Option<Value> {
    let (least, all) = (*shares.iter().min()?, shares.iter().sum::<u64>());
    let value = (least * shares.len() as u64) as f64 / all as f64;
    let (position, metric) = (Position::Slowest, Metric::LeastShare);
    (shares.len() > 1).then_some(Value { position, metric, value })
}

fn rates(messages_per_second: f64, size: u32) -> Vec<Value> {
    let position = Position::Slowest;
    let megabytes = messages_per_second * f64::from(size) / 1e6;
    vec![
        Value { position, metric: Metric::MessagesPerSecond, value: messages_per_second },
        Value { position, metric: Metric::MegabytesPerSecond, value: megabytes },
    ]
}

fn times(position: Position, measured: Option<&Measured>) -> anyhow::Result<Vec<Value>> {
    let measured = measured.filter(|m| m.samples > 0).context("no time was taken")?;
    let all = [
        (Metric::P50Us, measured.p50_us),
        (Metric::P99Us, measured.p99_us),
        (Metric::P999Us, measured.p999_us),
    ];
    Ok(all.map(|(metric, value)| Value { position, metric, value }).to_vec())
}

/// What is told of the report of `evs bench`.
fn rust_figures(case: Case, report: &Json) -> anyhow::Result<Vec<Value>> {
    if case.workload.is_throughput() {
        let rate = report["messages_per_second"].as_f64();
        return Ok(rates(rate.context("it tells of messages in a second")?, case.size));
    }
    let told = |times: &Json| {
        let at = |quantile: &str| times[quantile].as_f64();
        let (p50_us, p99_us, p999_us) = (at("p50")?, at("p99")?, at("p999")?);
        Some(Measured { samples: 1, p50_us, p99_us, p999_us, ..Measured::default() })
    };
    // With one in flight there is one client, the sender; otherwise one at each daemon.
    let receivers: Vec<_> = match report["receivers_latency_us"].as_array() {
        Some(all) => all.iter().filter_map(told).collect(),
        None => told(&report["latency_us"]).into_iter().collect(),
    };
    figures(case, &receivers)
}

fn time_of(timing: Timing) -> Duration {
    Duration::from_millis((timing.warm_ms + timing.run_ms).into())
}

fn patience(timing: Timing) -> Duration {
    Duration::from_secs(timing.patience_s.into())
}

/// How long clients may take until all are there.
const READY_MAX: Duration = Duration::from_secs(20);

/// When they begin after they are told so: all have heard it by then.
const BEGIN_IN_NS: u64 = 20_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Guarantee;

    fn case(workload: Workload) -> Case {
        Case { guarantee: Guarantee::Agreed, workload, size: 1000 }
    }

    fn node(messages: u64, order: &str) -> Measured {
        let mut node = Measured { messages, order: order.to_owned(), ..Measured::default() };
        (node.window_messages, node.window_ns, node.shares) = (messages, 500_000_000, vec![1, 2]);
        node
    }

    #[test]
    fn throughput_is_that_of_the_slowest_node() {
        let values = figures(case(Workload::ThroughputAll), &[node(900, ""), node(800, "")]);
        let values: Vec<f64> = values.expect("rates").iter().map(|v| v.value).collect();
        assert_eq!(values, [1600.0, 1.6]);
    }

    #[test]
    fn latency_is_that_of_the_sender_and_of_the_farthest_of_the_others() {
        let at = |p50_us| Measured { samples: 9, p50_us, ..Measured::default() };
        let values = figures(case(Workload::LatencyOne), &[at(70.0), at(40.0), at(50.0)]);
        let values = values.expect("times");
        let p50 = |wanted| {
            let of = |v: &&Value| (v.position, v.metric) == (wanted, Metric::P50Us);
            values.iter().find(of).map(|v| v.value)
        };
        assert_eq!((p50(Position::Sender), p50(Position::Farthest)), (Some(70.0), Some(50.0)));
    }

    #[test]
    fn a_stall_is_the_longest_time_without_a_message_at_any_node() {
        let at = |gap_ns| Measured { gap_ns, ..Measured::default() };
        let values = figures(case(Workload::StallLost), &[at(7_000_000), at(90_000_000), at(0)]);
        let values = values.expect("a time");
        let told: Vec<_> = values.iter().map(|v| (v.position, v.metric, v.value)).collect();
        assert_eq!(told, [(Position::Slowest, Metric::Seconds, 0.09)]);
    }

    #[test]
    fn nodes_that_differ_in_order_or_number_are_noticed() {
        assert!(one_order(&[node(9, "a"), node(9, "a")]).is_ok());
        assert!(one_order(&[node(9, "a"), node(9, "b")]).is_err());
        assert!(one_order(&[node(9, "a"), node(8, "a")]).is_err());
        assert!(one_order(&[node(0, "a")]).is_err());
    }

    #[test]
    fn a_share_is_told_in_terms_of_an_equal_one() {
        let told = |shares: &[u64]| least_share(shares).map(|share| share.value);
        assert_eq!(told(&[100, 100, 100]), Some(1.0));
        assert_eq!(told(&[10, 30, 80]), Some(0.25));
        assert_eq!(told(&[100]), None);
    }

    #[test]
    fn the_clients_and_the_daemons_use_is_told_for_a_million_messages() {
        let used = Used { cpu: [2.0, 1.0], resident: [7, 8] };
        let values: Vec<f64> = used.per(500_000).iter().map(|v| v.value).collect();
        assert_eq!(values, [4.0, 7.0, 2.0, 8.0]);
    }
}
