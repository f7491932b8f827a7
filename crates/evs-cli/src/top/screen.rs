//! What the screen shows.

use evs_report::{Change, headline};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Row, Table};
use serde_json::{Value, json};

use crate::output::shows_colours;
use crate::report::{list, plain, printable};
use crate::status::{head, troubles};

/// What was seen at one moment.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) status: Value,
    pub(super) changes: Vec<Change>,
    /// Per second, by the names of the counters; null at the first look.
    pub(super) rates: Value,
}

impl Look {
    pub(super) fn json(&self) -> Value {
        json!({ "status": self.status, "rates": self.rates })
    }
}

/// Most clients on the screen: those for which most waits.
const CLIENTS_SHOWN: usize = 8;

pub(super) fn draw(frame: &mut Frame<'_>, look: &Look) {
    let status = &look.status;
    let top: Vec<_> = head(status).into_iter().map(Line::raw).collect();
    let warnings: Vec<_> = list(&status["warnings"]).iter().map(|w| bad(plain(w))).collect();
    let (peers, clients) = (list(&status["peers"]), busiest(status));
    let broken = peers.iter().flat_map(|peer| troubles(status, peer));
    let broken: Vec<_> = broken.map(|line| Line::styled(line, alarm())).collect();
    let rows = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    let areas = Layout::vertical([
        Constraint::Length(rows(top.len() + warnings.len()) + 1),
        Constraint::Length(4),
        Constraint::Length(rows(peers.len()) + 1),
        Constraint::Length(rows(broken.len()) + 1),
        Constraint::Length(rows(clients.len()) + 2),
        Constraint::Min(0),
    ])
    .split(frame.area());
    frame.render_widget(Paragraph::new([top, warnings].concat()), areas[0]);
    frame.render_widget(Paragraph::new(traffic(look)), areas[1]);
    frame.render_widget(links(peers), areas[2]);
    frame.render_widget(Paragraph::new(broken), areas[3]);
    frame.render_widget(client_table(&clients), areas[4]);
    frame.render_widget(Paragraph::new(history(&look.changes)), areas[5]);
}

fn traffic(look: &Look) -> Vec<Line<'static>> {
    let rate = |group: &str, name: &str| {
        let rate = look.rates[group][name].as_f64();
        rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"))
    };
    let ring = &look.status["ring"];
    vec![
        heading("per second"),
        Line::raw(format!(
            "messages sent {}, delivered {}; packets {}, bytes {}; tokens {}",
            rate("service", "messages_sent"),
            rate("service", "messages_delivered"),
            rate("ring", "packets_originated"),
            rate("ring", "bytes_originated"),
            rate("ring", "tokens"),
        )),
        Line::raw(format!(
            "retransmitted {}, requested {}; rotation {} µs; {} packets wait for the token",
            rate("ring", "packets_retransmitted"),
            rate("ring", "packets_requested"),
            plain(&ring["rotation_us"]),
            plain(&ring["backlog_packets"]),
        )),
    ]
}

fn links(peers: &[Value]) -> Table<'static> {
    let rows = peers.iter().map(|peer| {
        let heard = peer["heard"] == true;
        let row = Row::new([
            plain(&peer["node"]),
            plain(&peer["address"]),
            if heard { "heard" } else { "NOT HEARD" }.to_owned(),
            plain(&peer["last_heard_ms"]),
            plain(&peer["round_trip_us"]["smoothed"]),
            plain(&peer["round_trip_us"]["deviation"]),
        ]);
        if heard { row } else { row.style(alarm()) }
    });
    let header = ["node", "address", "state", "last (ms)", "trip (µs)", "± (µs)"];
    Table::new(rows, [6, 28, 10, 10, 10, 10].map(Constraint::Length))
        .header(Row::new(header).style(strong()))
}

fn client_table(clients: &[&Value]) -> Table<'static> {
    let fields = [
        "client",
        "name",
        "pid",
        "messages_sent",
        "events_delivered",
        "send_bytes_queued",
        "event_bytes_queued",
    ];
    let rows = clients.iter().map(|client| Row::new(fields.map(|key| plain(&client[key]))));
    let header = ["client", "name", "pid", "sent", "received", "to send (B)", "to read (B)"];
    Table::new(rows.collect::<Vec<_>>(), [8, 20, 8, 12, 12, 12, 12].map(Constraint::Length))
        .header(Row::new(header).style(strong()))
}

/// The clients for which most waits, and then those that do most.
fn busiest(status: &Value) -> Vec<&Value> {
    let mut clients: Vec<_> = list(&status["clients"]["list"]).iter().collect();
    let number = |client: &Value, key: &str| client[key].as_u64().unwrap_or(0);
    clients.sort_by_key(|client| {
        let waits = number(client, "send_bytes_queued") + number(client, "event_bytes_queued");
        let does = number(client, "messages_sent") + number(client, "events_delivered");
        std::cmp::Reverse((waits, does))
    });
    clients.truncate(CLIENTS_SHOWN);
    clients
}

/// The newest first.
fn history(changes: &[Change]) -> Vec<Line<'static>> {
    let lines = changes.iter().rev().map(|change| Line::raw(printable(&headline(change))));
    std::iter::once(heading("last changes")).chain(lines).collect()
}

fn heading(text: &'static str) -> Line<'static> {
    Line::styled(text, strong())
}

fn bad(text: String) -> Line<'static> {
    Line::styled(format!("warning: {text}"), alarm())
}

fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// What should not be overlooked; without colours it is inverted.
fn alarm() -> Style {
    if shows_colours() { Style::new().red() } else { Style::new().reversed() }
}
