//! `evs clients`: who is connected to this daemon.

use serde_json::{Value, json};

use crate::args::Daemon;
use crate::failure::Failure;
use crate::output::Output;
use crate::report::{self, list, plain};

pub(crate) fn run(daemon: &Daemon, output: &mut Output) -> Result<(), Failure> {
    let (_, status) = report::status(daemon)?;
    let clients = &status["clients"];
    if output.is_json() {
        let object = json!({ "clients": clients });
        output.object(object)?;
        return Ok(());
    }
    for line in lines(clients) {
        output.line(&line)?;
    }
    Ok(())
}

fn lines(clients: &Value) -> Vec<String> {
    const FIELDS: [(&str, &str); 8] = [
        ("client", "client"),
        ("name", "name"),
        ("pid", "pid"),
        ("uid", "uid"),
        ("sent", "messages_sent"),
        ("received", "events_delivered"),
        ("to send (B)", "send_bytes_queued"),
        ("to read (B)", "event_bytes_queued"),
    ];
    let row = |client: &Value| FIELDS.iter().map(|(_, key)| plain(&client[key])).collect();
    let rows: Vec<_> = list(&clients["list"]).iter().map(row).collect();
    let mut lines = report::table(&FIELDS.map(|(heading, _)| heading), &rows);
    let all = clients["connected"].as_u64().unwrap_or(0);
    if all > rows.len() as u64 {
        lines.push(format!("and {} more", all - rows.len() as u64));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_a_line_and_what_is_left_out_is_counted() {
        let clients = json!({ "connected": 3, "list": [{ "client": 2, "name": "db\u{1b}" }] });
        let lines = lines(&clients);
        assert!(lines[1].starts_with("2       db"), "{lines:?}");
        assert_eq!(lines[2], "and 2 more");
    }
}
