use super::families::Family;
use super::*;

fn snapshot() -> Arc<Snapshot> {
    let values = (1_u32..).take(METRICS.len()).map(f64::from).collect();
    let sample = |family: &Family| Sample {
        labels: family.labels.iter().map(|label| format!("a {label}")).collect(),
        value: 0.25,
    };
    Arc::new(Snapshot {
        cluster: "de\"mo".to_owned(),
        values,
        samples: FAMILIES.iter().map(|family| vec![sample(family)]).collect(),
    })
}

#[test]
fn the_text_has_names_types_units_and_labels() {
    let text = render(&snapshot()).expect("written");
    for line in [
        "# TYPE evs_ring_members gauge",
        "evs_ring_members 2.0",
        "# UNIT evs_token_rotation_seconds seconds",
        "evs_token_rotation_seconds 3.0",
        "# TYPE evs_originated_bytes counter",
        "evs_originated_bytes_total 12.0",
        "evs_packets_discarded_total{layer=\"a layer\",reason=\"a reason\"} 0.25",
        "evs_peer_round_trip_seconds{node=\"a node\"} 0.25",
        "evs_path_loss_ratio{node=\"a node\",link=\"a link\"} 0.25",
        "evs_link_received_bytes_total{link=\"a link\"} 0.25",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
    }
    assert!(text.contains("evs_build{cluster=\"de\\\"mo\","), "{text}");
}

/// Whoever writes a rule reads the page.
#[test]
fn every_metric_is_on_its_page_with_its_type_and_help() {
    let page = include_str!("../../../../docs/metrics.md");
    let row = |name: &str, kind: Kind, unit: Of, help: &str| {
        let unit = unit.unit().map_or(String::new(), |unit| format!("_{}", unit.as_str()));
        let (kind, total) = match kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
        };
        format!("| `{name}{unit}{total}` | {kind} | {help} |")
    };
    let plain =
        METRICS.iter().map(|metric| row(metric.name, metric.kind, metric.unit, metric.help));
    let labelled = FAMILIES.iter().map(|one| row(one.name, one.kind, one.unit, one.help));
    let mut rows: Vec<_> = plain.chain(labelled).collect();
    rows.push(row("evs_build", Kind::Gauge, Of::Things, BUILD));
    rows.sort_unstable();
    let mut listed: Vec<_> = page.lines().filter(|line| line.starts_with("| `evs_")).collect();
    listed.sort_unstable();
    assert_eq!(listed, rows);
}
