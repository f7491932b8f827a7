//! `evs status`: the daemon's report, for people or as it is.

use serde_json::Value;

use crate::args::Daemon;
use crate::failure::Failure;
use crate::output::{Mark, Output};
use crate::report::{self, list, plain};

pub(crate) fn run(daemon: &Daemon, output: &mut Output) -> Result<(), Failure> {
    let (json, report) = report::status(daemon)?;
    if output.is_json() {
        output.line(&json)?;
        return Ok(());
    }
    for line in lines(&report) {
        let bad = line.starts_with("warning: ") || line.contains("NOT HEARD");
        let bad = bad || line.starts_with("  BROKEN");
        output.marked(if bad { Mark::Bad } else { Mark::None }, &line)?;
    }
    Ok(())
}

/// What a person looks for first. A field that this version of the command does not know is in
/// `--json`; one that the daemon does not know shows as `?`.
fn lines(report: &Value) -> Vec<String> {
    let mut lines = head(report);
    lines.push(format!("clients {}", plain(&report["clients"]["connected"])));
    let last = &report["last_change"];
    if last.is_object() {
        let (number, at, why) = (plain(&last["change"]), plain(&last["at"]), plain(&last["why"]));
        lines.push(format!("last change {number}, {at}: {why} (`evs why`)"));
    }
    for each in list(&report["peers"]) {
        lines.push(peer(each));
        lines.extend(troubles(report, each));
    }
    lines.extend(
        list(&report["warnings"]).iter().map(|warning| format!("warning: {}", plain(warning))),
    );
    lines
}

/// Which node this is, and its ring.
pub(crate) fn head(report: &Value) -> Vec<String> {
    let ring = &report["ring"];
    vec![
        format!(
            "node {} of cluster {}: {}, up {}, evsd {}",
            plain(&report["processor"]["node"]),
            plain(&report["cluster"]),
            plain(&report["phase"]),
            age(&report["uptime_ms"]),
            plain(&report["version"]),
        ),
        format!(
            "ring {}: {}, members {}",
            plain(&ring["id"]["text"]),
            plain(&ring["state"]),
            nodes(&ring["members"]),
        ),
        format!(
            "rotation {} µs, detection target {} ms (in force {} ms), seal {}, {}",
            plain(&ring["rotation_us"]),
            plain(&ring["detection_ms"]),
            plain(&ring["detection_effective_ms"]),
            plain(&report["seal"]),
            plain(&report["transport"]),
        ),
    ]
}

fn peer(peer: &Value) -> String {
    let heard = if peer["heard"] == true { "heard" } else { "NOT HEARD" };
    let mut line = format!("peer {} at {}: {heard}", plain(&peer["node"]), plain(&peer["address"]));
    if let Some(ms) = peer["last_heard_ms"].as_u64() {
        line.push_str(&format!(", last {ms} ms ago"));
    }
    if let Some(trip) = peer["round_trip_us"]["smoothed"].as_u64() {
        line.push_str(&format!(", round trip {trip} µs"));
    }
    line
}

/// What is wrong with the paths to a peer, a line each.
pub(crate) fn troubles(report: &Value, peer: &Value) -> impl Iterator<Item = String> {
    let target = report["ring"]["detection_ms"].as_u64().unwrap_or(u64::MAX);
    list(&peer["paths"]).iter().filter_map(move |path| trouble(peer, path, target))
}

/// What is wrong with the path to a peer, and in which direction.
fn trouble(peer: &Value, path: &Value, target: u64) -> Option<String> {
    let (peer, link) = (plain(&peer["node"]), plain(&path["link"]));
    let loss = path["loss_ppm"].as_u64().unwrap_or(0);
    let told = path["loss_from_peer_ppm"].as_u64().unwrap_or(0);
    let silent = path["last_heard_ms"].as_u64().is_none_or(|ms| ms >= target);
    let what = if path["narrow"] == true {
        let cut = match path["mtu_bytes"].as_u64().filter(|_| path["up"] == true) {
            Some(mtu) => format!("; they are cut to {mtu} B"),
            None => String::new(),
        };
        format!("large packets from here to {peer} get lost{cut}")
    } else if path["up"] != true && silent {
        format!("nothing comes from {peer} to here")
    } else if path["up"] != true && path["heard_by_peer"] == false {
        format!("nothing gets from here to {peer}, as it says")
    } else if path["up"] != true {
        format!("held down for {} ms yet", plain(&path["held_down_ms"]))
    } else if loss >= LOSS_TOLD_PPM {
        let back = match told {
            LOSS_TOLD_PPM.. => format!(", and {} % of those from there", told / 10_000),
            _ => String::new(),
        };
        format!("{} % of the packets from here to {peer} get lost{back}", loss / 10_000)
    } else if path["narrow_from_peer"] == true {
        format!("large packets from {peer} to here get lost, as it says; it cuts them")
    } else if told >= LOSS_TOLD_PPM {
        format!("{} % of the packets from {peer} to here get lost, as it says", told / 10_000)
    } else {
        return None;
    };
    Some(format!("  BROKEN on link {link}: {what}"))
}

/// Loss that is worth a line, in parts of a million: more than a sound network has.
const LOSS_TOLD_PPM: u64 = 30_000;

fn nodes(members: &Value) -> String {
    list(members).iter().map(|member| plain(&member["node"])).collect::<Vec<_>>().join(" ")
}

fn age(ms: &Value) -> String {
    let Some(seconds) = ms.as_u64().map(|ms| ms / 1000) else { return "?".to_owned() };
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_told_in_a_few_lines() {
        let report = json!({
            "version": "0.1.0", "uptime_ms": 61_000, "phase": "serving", "cluster": "demo",
            "processor": { "node": 1 }, "seal": "none", "transport": "unicast",
            "ring": {
                "state": "operational", "id": { "text": "4@1/9f3a" }, "detection_ms": 1000,
                "detection_effective_ms": 1200,
                "members": [{ "node": 1 }, { "node": 3 }], "rotation_us": 130,
            },
            "peers": [{ "node": 2, "address": "10.0.0.2:5405", "heard": false }],
            "last_change": { "change": 4, "at": "17:30", "why": "node 2 fell silent" },
            "clients": { "connected": 2 },
            "warnings": ["clear text"],
        });
        assert_eq!(
            lines(&report),
            [
                "node 1 of cluster demo: serving, up 1 min 1 s, evsd 0.1.0",
                "ring 4@1/9f3a: operational, members 1 3",
                "rotation 130 µs, detection target 1000 ms (in force 1200 ms), seal none, unicast",
                "clients 2",
                "last change 4, 17:30: node 2 fell silent (`evs why`)",
                "peer 2 at 10.0.0.2:5405: NOT HEARD",
                "warning: clear text",
            ]
        );
    }

    #[test]
    fn a_broken_path_is_named_with_its_direction() {
        let paths = [
            json!({ "link": 0, "up": true, "last_heard_ms": 2, "heard_by_peer": true }),
            json!({ "link": 0, "up": false, "last_heard_ms": 900, "heard_by_peer": true }),
            json!({ "link": 1, "up": false, "last_heard_ms": 3, "heard_by_peer": false }),
            json!({ "link": 0, "up": true, "last_heard_ms": 3, "narrow": true,
                    "mtu_bytes": 1_260 }),
            json!({ "link": 0, "up": true, "last_heard_ms": 3, "loss_ppm": 512_000 }),
            json!({ "link": 0, "up": true, "last_heard_ms": 3, "loss_ppm": 512_000,
                    "loss_from_peer_ppm": 60_000 }),
            json!({ "link": 0, "up": true, "last_heard_ms": 3, "loss_from_peer_ppm": 512_000 }),
            json!({ "link": 0, "up": true, "last_heard_ms": 3, "narrow_from_peer": true }),
            json!({ "link": 0, "up": false, "last_heard_ms": 3, "heard_by_peer": true,
                    "held_down_ms": 70 }),
        ];
        let told = paths.map(|path| trouble(&json!({ "node": 2 }), &path, 500));
        let told: Vec<&str> = told.iter().flatten().map(String::as_str).collect();
        assert_eq!(
            told,
            [
                "  BROKEN on link 0: nothing comes from 2 to here",
                "  BROKEN on link 1: nothing gets from here to 2, as it says",
                "  BROKEN on link 0: large packets from here to 2 get lost; they are cut to 1260 B",
                "  BROKEN on link 0: 51 % of the packets from here to 2 get lost",
                "  BROKEN on link 0: 51 % of the packets from here to 2 get lost, and 6 % of those \
                 from there",
                "  BROKEN on link 0: 51 % of the packets from 2 to here get lost, as it says",
                "  BROKEN on link 0: large packets from 2 to here get lost, as it says; it cuts \
                 them",
                "  BROKEN on link 0: held down for 70 ms yet",
            ]
        );
    }

    #[test]
    fn a_report_of_another_version_is_no_error() {
        assert_eq!(lines(&json!({}))[3], "clients ?");
    }

    #[test]
    fn an_age_has_two_units_at_most() {
        let ages = [59_000, 3_600_000, 90_000_000].map(|ms| age(&json!(ms)));
        assert_eq!(ages, ["59 s", "1 h 0 min", "1 d 1 h"]);
    }
}
