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
            "schema": status["schema"],
            "transport": status["transport"],
            "seal": status["seal"],
            "address": status["address"],
            "links": status["peers"],
        });
        output.line(&object.to_string())?;
        return Ok(());
    }
    let peers = list(&status["peers"]);
    let rows: Vec<_> = peers.iter().map(row).collect();
    let lines = report::table(&["node", "address", "state", "last packet", "round trip"], &rows);
    for (i, line) in lines.iter().enumerate() {
        let down = i > 0 && peers[i - 1]["heard"] != true;
        output.marked(if down { Mark::Bad } else { Mark::None }, line)?;
    }
    Ok(())
}

fn row(peer: &Value) -> Vec<String> {
    let ms = peer["last_heard_ms"].as_u64();
    let trip = &peer["round_trip_us"];
    let trip = match (trip["smoothed"].as_u64(), trip["minimum"].as_u64()) {
        (Some(smoothed), Some(minimum)) => format!("{smoothed} µs (least {minimum})"),
        _ => "?".to_owned(),
    };
    vec![
        plain(&peer["node"]),
        plain(&peer["address"]),
        if peer["heard"] == true { "heard" } else { "NOT HEARD" }.to_owned(),
        ms.map_or_else(|| "never".to_owned(), |ms| format!("{ms} ms ago")),
        trip,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_was_never_heard_says_so() {
        let peer = json!({ "node": 2, "address": "10.0.0.2:5405", "heard": false });
        assert_eq!(row(&peer), ["2", "10.0.0.2:5405", "NOT HEARD", "never", "?"]);
    }
}
