//! Metrics for Prometheus: OpenMetrics over HTTP, off unless `local.metrics` names an address.
//!
//! Responsible for: what is measured, under which name, with which unit (`docs/metrics.md` lists
//! it), and the text. The loop hands over the numbers once a second and waits for nobody;
//! the text is made by the thread that serves it (`metrics/server.rs`).

mod families;
mod server;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evs_model::Instant;
use evs_node::Node;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::clients::Clients;
use crate::flight::Flight;
use families::{FAMILIES, Sample};

/// How often the numbers are handed over.
const EVERY: Duration = Duration::from_secs(1);

/// Where the numbers come from.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) node: &'a Node,
    pub(crate) clients: &'a Clients,
    pub(crate) flight: &'a Flight,
    pub(crate) log_lines_lost: usize,
}

/// The loop's end.
#[derive(Debug)]
pub(crate) struct Metrics {
    at: Instant,
    shared: Arc<Mutex<Arc<Snapshot>>>,
}

impl Metrics {
    /// Serves from now on. An address that cannot be used is told in the log: a node is of use
    /// without its metrics.
    pub(crate) fn start(address: SocketAddr, cluster: &str, now: Instant) -> Self {
        let empty = Snapshot { cluster: cluster.to_owned(), ..Snapshot::default() };
        let shared = Arc::new(Mutex::new(Arc::new(empty)));
        match server::start(address, Arc::clone(&shared)) {
            Ok(()) => tracing::info!(%address, "metrics can be read"),
            Err(error) => tracing::warn!(
                %address, %error,
                "metrics cannot be served: local.metrics names an address that cannot be used"
            ),
        }
        Self { at: now, shared }
    }

    /// Hands the numbers over, if it is time. While somebody reads them, the next time will do.
    pub(crate) fn handle_timeout(&mut self, now: Instant, sources: &Sources<'_>) {
        if now < self.at {
            return;
        }
        if let Ok(mut shared) = self.shared.try_lock() {
            let cluster = shared.cluster.clone();
            *shared = Arc::new(Snapshot::take(cluster, sources));
            self.at = now + EVERY;
        }
    }
}

/// The numbers of one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    cluster: String,
    /// Those of [`METRICS`].
    values: Vec<f64>,
    /// Those of [`FAMILIES`].
    samples: Vec<Vec<Sample>>,
}

impl Snapshot {
    fn take(cluster: String, sources: &Sources<'_>) -> Self {
        Self {
            cluster,
            values: METRICS.iter().map(|metric| (metric.value)(sources)).collect(),
            samples: FAMILIES.iter().map(|family| family.samples(sources)).collect(),
        }
    }
}

/// The text of a moment.
fn render(snapshot: &Arc<Snapshot>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collected(Arc::clone(snapshot))));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Collected(Arc<Snapshot>);

impl Collector for Collected {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let snapshot = &self.0;
        let info = [("cluster", snapshot.cluster.as_str()), ("version", VERSION)];
        let mut family = to.encode_descriptor("evs_build", BUILD, None, MetricType::Gauge)?;
        ConstGauge::new(1_i64).encode(family.encode_family(&info)?)?;
        for (metric, value) in METRICS.iter().zip(&snapshot.values) {
            let kind = metric.kind.of();
            let unit = metric.unit.unit();
            let family = to.encode_descriptor(metric.name, metric.help, unit.as_ref(), kind)?;
            encode(metric.kind, *value, family)?;
        }
        for (family, samples) in FAMILIES.iter().zip(&snapshot.samples) {
            let (kind, unit) = (family.kind.of(), family.unit.unit());
            let mut to = to.encode_descriptor(family.name, family.help, unit.as_ref(), kind)?;
            for sample in samples {
                let labels: Vec<_> =
                    family.labels.iter().copied().zip(sample.labels.iter().cloned()).collect();
                encode(family.kind, sample.value, to.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn encode(kind: Kind, value: f64, to: MetricEncoder<'_>) -> fmt::Result {
    match kind {
        Kind::Counter => ConstCounter::new(value).encode(to),
        Kind::Gauge => ConstGauge::new(value).encode(to),
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
const BUILD: &str = "Always 1; the labels say which cluster and which version";

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Counter,
    Gauge,
}

impl Kind {
    const fn of(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
        }
    }
}

/// What is counted or measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Of {
    Things,
    Bytes,
    Seconds,
}

impl Of {
    const fn unit(self) -> Option<Unit> {
        match self {
            Self::Things => None,
            Self::Bytes => Some(Unit::Bytes),
            Self::Seconds => Some(Unit::Seconds),
        }
    }
}

#[derive(Clone, Copy)]
struct Metric {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    unit: Of,
    value: fn(&Sources<'_>) -> f64,
}

const fn counter(name: &'static str, help: &'static str, value: fn(&Sources<'_>) -> f64) -> Metric {
    Metric { name, help, kind: Kind::Counter, unit: Of::Things, value }
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&Sources<'_>) -> f64) -> Metric {
    Metric { name, help, kind: Kind::Gauge, unit: Of::Things, value }
}

const fn in_unit(unit: Of, metric: Metric) -> Metric {
    Metric { unit, ..metric }
}

/// A count as a number of Prometheus; beyond 2^53 it is rounded.
#[expect(clippy::cast_precision_loss)]
const fn count(count: u64) -> f64 {
    count as f64
}

fn ring<'a>(sources: &Sources<'a>) -> &'a totem::Stats {
    sources.node.service().ring().stats()
}

fn detection(sources: &Sources<'_>) -> evs_net::Detection {
    sources.node.detection()
}

static METRICS: [Metric; 30] = [
    gauge("evs_ring_operational", "Whether messages are ordered now: 1 or 0", |s| {
        f64::from(s.node.service().ring().state() == totem::StateKind::Operational)
    }),
    gauge("evs_ring_members", "Members of the configuration in force", |s| {
        let members = s.node.service().ring().members();
        members.map_or(0.0, |members| count(members.len() as u64))
    }),
    in_unit(
        Of::Seconds,
        gauge("evs_token_rotation", "The smoothed time of one rotation of the token", |s| {
            Duration::from_nanos(ring(s).rotation_ns).as_secs_f64()
        }),
    ),
    gauge("evs_backlog_packets", "Packets that wait for the token", |s| {
        count(s.node.service().ring().backlog() as u64)
    }),
    in_unit(
        Of::Bytes,
        gauge(
            "evs_window",
            "Bytes that all may send in one rotation of the token at present",
            |s| f64::from(ring(s).window_bytes),
        ),
    ),
    gauge("evs_clients_connected", "Clients with a session", |s| count(s.clients.len() as u64)),
    counter("evs_configurations", "Regular configurations installed", |s| count(ring(s).installs)),
    counter("evs_gathers", "Times that an agreement on members was begun", |s| {
        count(ring(s).gathers)
    }),
    counter("evs_tokens", "Tokens accepted", |s| count(ring(s).tokens)),
    counter("evs_token_retransmits", "Tokens sent again", |s| count(ring(s).token_retransmits)),
    counter("evs_packets_originated", "Data packets sent for the first time", |s| {
        count(ring(s).originated)
    }),
    in_unit(
        Of::Bytes,
        counter("evs_originated", "Bytes in data packets sent for the first time", |s| {
            count(ring(s).originated_bytes)
        }),
    ),
    counter("evs_packets_retransmitted", "Data packets sent again on request", |s| {
        count(ring(s).retransmits)
    }),
    counter("evs_packets_requested", "Data packets requested, because they were missing", |s| {
        count(ring(s).requested)
    }),
    counter("evs_packets_recovered", "Old packets sent to others in recovery", |s| {
        count(ring(s).recovered)
    }),
    counter("evs_peers_found_deaf", "Times that data did not get through to a peer", |s| {
        count(ring(s).distrusts)
    }),
    counter("evs_messages_accepted", "Messages taken from clients, and the daemon's own", |s| {
        count(s.node.service().stats().messages_accepted)
    }),
    counter("evs_messages_sent", "Own messages that got their place in the order", |s| {
        count(s.node.service().stats().messages_sent)
    }),
    counter("evs_messages_delivered", "Messages delivered to this node", |s| {
        count(s.node.service().stats().messages_delivered)
    }),
    counter("evs_copies_delivered", "Copies of messages handed to clients", |s| {
        count(s.node.service().stats().copies_delivered)
    }),
    counter("evs_clients_accepted", "Sessions that began", |s| count(s.clients.stats().accepted)),
    counter("evs_clients_refused", "Connections refused, for any reason", |s| {
        let stats = s.clients.stats();
        count(stats.refused_access + stats.refused_other)
    }),
    counter("evs_clients_refused_version", "Of them, for want of a common version", |s| {
        count(s.clients.stats().refused_version)
    }),
    counter("evs_clients_too_slow", "Sessions ended because the client did not read", |s| {
        count(s.clients.stats().too_slow)
    }),
    counter("evs_pauses", "Times that this process stood still", |s| {
        count(s.node.net().endpoint().stats().pauses)
    }),
    counter("evs_log_lines_lost", "Log lines dropped because the log was too slow", |s| {
        count(s.log_lines_lost as u64)
    }),
    counter("evs_records_lost", "Changes that the flight recorder's file lacks", |s| {
        count(s.flight.lost())
    }),
    in_unit(
        Of::Seconds,
        gauge("evs_detection_target", "The detection target that was set", |s| {
            detection(s).target.as_secs_f64()
        }),
    ),
    in_unit(
        Of::Seconds,
        gauge("evs_detection_effective", "The detection target in force", |s| {
            detection(s).effective.as_secs_f64()
        }),
    ),
    in_unit(
        Of::Seconds,
        gauge("evs_hellos_late", "How late hellos came or left lately, at the worst", |s| {
            detection(s).late.max(detection(s).own_late).as_secs_f64()
        }),
    ),
];

#[cfg(test)]
mod tests;
