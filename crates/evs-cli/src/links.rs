//! `evs links`: the ways to the other nodes.

use serde_json::{Value, json};

use crate::args::Daemon;
use crate::failure::Failure;
use crate::output::{Mark, Output};
use crate::report::{self, list, plain};

pub(crate) fn run(daemon: &Daemon, output: &mut Output) -> Result<(), Failure> {
    let (_, status) = report::status(daemon)?;
    if output.is_json() {
        let object = json!({
            "transport": status["transport"],
            "seal": status["seal"],
            "address": status["address"],
            "links": status["links"],
            "peers": status["peers"],
        });
        output.object(object)?;
        return Ok(());
    }
    let rows: Vec<_> = list(&status["peers"]).iter().flat_map(rows).collect();
    let cells: Vec<_> = rows.iter().map(|(_, cells)| cells.clone()).collect();
    let heading =
        ["node", "link", "address", "state", "mtu", "last packet", "round trip", "loss", "data"];
    let lines = report::table(&heading, &cells);
    for (i, line) in lines.iter().enumerate() {
        let works = i == 0 || rows[i - 1].0;
        output.marked(if works { Mark::None } else { Mark::Bad }, line)?;
    }
    Ok(())
}

/// A row for each path to a peer, and whether the path works.
fn rows(peer: &Value) -> Vec<(bool, Vec<String>)> {
    list(&peer["paths"]).iter().map(|path| row(peer, path)).collect()
}

fn row(peer: &Value, path: &Value) -> (bool, Vec<String>) {
    let ms = path["last_heard_ms"].as_u64();
    let trip = &path["round_trip_us"];
    let trip = match (trip["smoothed"].as_u64(), trip["minimum"].as_u64()) {
        (Some(smoothed), Some(minimum)) => format!("{smoothed} µs (least {minimum})"),
        _ => "?".to_owned(),
    };
    let works = path["up"] == true;
    let state = match (works, path["narrow"] == true, path["heard_by_peer"] == true) {
        (true, false, _) => "works".to_owned(),
        (true, true, _) => "works, large packets are cut".to_owned(),
        (false, true, _) => "NO DATA: large packets are lost".to_owned(),
        // Nothing from there: whether it hears this node, it cannot say.
        (false, false, true) => "DOWN from the node".to_owned(),
        (false, false, false) => "DOWN".to_owned(),
    };
    let held = path["held_down_ms"].as_u64().filter(|ms| *ms > 0);
    let state = match held {
        Some(ms) => format!("{state}, held down for {ms} ms"),
        None => state,
    };
    let loss = path["loss_ppm"].as_u64();
    let loss = loss
        .map_or_else(|| "?".to_owned(), |ppm| format!("{}.{:02} %", ppm / 10_000, ppm / 100 % 100));
    let takes_data = peer["heard"] == true && peer["link"] == path["link"];
    let cells = vec![
        plain(&peer["node"]),
        plain(&path["link"]),
        plain(&path["address"]),
        state,
        plain(&path["mtu_bytes"]),
        ms.map_or_else(|| "never".to_owned(), |ms| format!("{ms} ms ago")),
        trip,
        loss,
        if takes_data { "here" } else { "" }.to_owned(),
    ];
    (works, cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_a_row_that_says_what_is_wrong_with_it() {
        let peer = json!({
            "node": 2, "heard": true, "link": 1,
            "paths": [
                { "link": 0, "address": "10.0.0.2:5405", "up": false, "loss_ppm": 1_000_000 },
                { "link": 1, "address": "10.1.0.2:5405", "up": true, "last_heard_ms": 4,
                  "mtu_bytes": 1_500, "round_trip_us": { "smoothed": 90, "minimum": 70 },
                  "loss_ppm": 12_300 },
                { "link": 2, "up": false, "narrow": true, "held_down_ms": 500 },
                { "link": 3, "up": true, "narrow": true, "mtu_bytes": 1_260 },
            ],
        });
        let rows = rows(&peer);
        assert!(!rows[0].0 && rows[1].0 && !rows[2].0);
        let cells = ["2", "0", "10.0.0.2:5405", "DOWN", "?", "never", "?", "100.00 %", ""];
        assert_eq!(rows[0].1, cells);
        let works = ["works", "1500", "4 ms ago", "90 µs (least 70)", "1.23 %", "here"];
        assert_eq!(rows[1].1[3..], works);
        assert_eq!(rows[2].1[3], "NO DATA: large packets are lost, held down for 500 ms");
        assert_eq!(rows[3].1[3..5], ["works, large packets are cut", "1260"]);
    }
}
