//! Metrics, read by a real Prometheus.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use evs_testkit::{Cluster, DEADLINE, Setup, until};
use serde_json::Value;

use super::setup;

/// A TCP address that is free at this moment.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound")
}

/// One daemon with metrics, in a cluster of two.
fn measured() -> (Cluster, SocketAddr) {
    let address = free_address();
    let mut cluster = Cluster::prepare(setup(2)).expect("files");
    let lines = format!("[local]\nmetrics = \"{address}\"\n");
    let text = cluster.config(1).replace("[local]\n", &lines);
    std::fs::write(cluster.config_file(1), text).expect("written");
    for node in [1, 2] {
        cluster.start_node(node).expect("it starts");
    }
    cluster.until_members(&[1, 2]).expect("one ring");
    (cluster, address)
}

/// Sends bytes, and returns all that comes back.
fn talk(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    talk(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
}

struct Prometheus(Child);

impl Prometheus {
    fn start(dir: &Path, target: SocketAddr, listen: SocketAddr) -> Self {
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/evs.rules.yml");
        let config = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\nrule_files: [{rules:?}]\n\
             scrape_configs:\n  - job_name: evs\n    static_configs: [{{ targets: [{:?}] }}]\n",
            target.to_string()
        );
        let file = dir.join("prometheus.yml");
        std::fs::write(&file, config).expect("written");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", dir.join("tsdb").display()));
        command.arg(format!("--web.listen-address={listen}"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("the Debian package prometheus is installed"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The value of a query that has one result.
fn query(prometheus: SocketAddr, query: &str) -> Option<String> {
    let answer = get(prometheus, &format!("/api/v1/query?query={query}")).ok()?;
    let json: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    Some(json["data"]["result"][0]["value"][1].as_str()?.to_owned())
}

#[test]
fn prometheus_reads_the_metrics_and_takes_the_rules() {
    let (cluster, address) = measured();
    let listen = free_address();
    let _prometheus = Prometheus::start(cluster.dir(), address, listen);
    for (asked, value) in [
        ("up", "1"),
        ("evs_ring_members", "2"),
        ("evs_peer_heard", "1"),
        ("evs_path_up%7Bnode=%222%22,link=%220%22%7D", "1"),
        ("evs_path_chosen%7Blink=%220%22%7D", "1"),
        ("evs_path_loss_ratio", "0"),
        ("evs_link_usable", "1"),
        ("evs_link_received_bytes_total%3Ebool%200", "1"),
        ("evs_ring_operational", "1"),
        ("evs_build", "1"),
        ("evs_tokens_total%3Ebool%200", "1"),
    ] {
        let found = until(&format!("{asked} is {value}"), || {
            (query(listen, asked)? == value).then_some(())
        });
        found.unwrap_or_else(|error| panic!("{error}: {:?}", get(address, "/metrics")));
    }
    let rules = get(listen, "/api/v1/rules").expect("an answer");
    assert!(rules.contains("EvsPeerNotHeard"), "{rules}");
}

#[test]
fn metrics_are_off_unless_they_are_asked_for_and_nothing_else_is_served() {
    let (cluster, address) = measured();
    let text = get(address, "/metrics").expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("application/openmetrics-text") && text.ends_with("# EOF\n"), "{text}");
    assert!(get(address, "/").expect("an answer").starts_with("HTTP/1.1 404 "));
    assert!(talk(address, "nonsense\r\n\r\n").expect("an answer").starts_with("HTTP/1.1 400 "));
    let endless = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(16 << 10));
    // The answer may be lost with what was not read.
    let refused = talk(address, &endless);
    assert!(refused.is_err() || refused.is_ok_and(|text| !text.contains("200 OK")));
    assert!(cluster.log(1).contains("metrics can be read"));
    assert!(!cluster.log(2).contains("metrics"), "{}", cluster.log(2));
}

/// A node is of use without its metrics.
#[test]
fn an_address_for_metrics_that_is_taken_is_told_and_the_node_goes_on() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    let local_lines = format!("metrics = \"{address}\"");
    let cluster = Cluster::start(Setup { local_lines, ..setup(1) }).expect("it starts");
    cluster.until_members(&[1]).expect("a ring of one");
    super::until_logged(&cluster, 1, &["WARN", "local.metrics names an address"]);
}
