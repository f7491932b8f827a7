use super::*;

fn snapshot() -> Arc<Snapshot> {
    let values = (1_u32..).take(METRICS.len()).map(f64::from).collect();
    Arc::new(Snapshot {
        cluster: "de\"mo".to_owned(),
        values,
        discards: vec![("net", "stranger", 3)],
        peers: vec![Peer { node: 2, heard: true, round_trip: Some(Duration::from_micros(250)) }],
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
        "evs_packets_discarded_total{layer=\"net\",reason=\"stranger\"} 3",
        "evs_peer_heard{node=\"2\"} 1",
        "evs_peer_round_trip_seconds{node=\"2\"} 0.00025",
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
    let mut rows: Vec<_> = METRICS
        .iter()
        .map(|metric| {
            let unit = metric.unit.unit().map_or(String::new(), |u| format!("_{}", u.as_str()));
            let (kind, total) = match metric.kind {
                Kind::Counter => ("counter", "_total"),
                Kind::Gauge => ("gauge", ""),
            };
            format!("| `{}{unit}{total}` | {kind} | {} |", metric.name, metric.help)
        })
        .collect();
    rows.push(format!("| `evs_build` | gauge | {BUILD} |"));
    rows.push(format!("| `{}_total` | counter | {} |", DISCARDS.0, DISCARDS.1));
    rows.push(format!("| `{}` | gauge | {} |", HEARD.0, HEARD.1));
    rows.push(format!("| `{}_seconds` | gauge | {} |", TRIP.0, TRIP.1));
    rows.sort_unstable();
    let mut listed: Vec<_> = page.lines().filter(|line| line.starts_with("| `evs_")).collect();
    listed.sort_unstable();
    assert_eq!(listed, rows);
}
