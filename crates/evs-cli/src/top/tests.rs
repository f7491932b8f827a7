use std::fs;
use std::path::Path;

use super::*;

#[test]
fn a_screen_shows_members_rates_links_clients_and_changes() {
    let status = json!({
        "version": "0.1.0", "uptime_ms": 61_000, "phase": "serving", "cluster": "demo",
        "processor": { "node": 1 }, "seal": "aead", "transport": "unicast",
        "ring": {
            "state": "operational", "id": { "text": "4@1/9f3a" }, "detection_ms": 1000,
            "members": [{ "node": 1 }, { "node": 3 }], "rotation_us": 130, "backlog_packets": 2,
        },
        "peers": [
            { "node": 2, "address": "10.0.0.2:5405", "heard": false, "last_heard_ms": 5000 },
            { "node": 3, "address": "10.0.0.3:5405", "heard": true, "last_heard_ms": 3,
              "round_trip_us": { "smoothed": 120, "deviation": 9 } },
        ],
        "clients": { "connected": 1, "list": [{ "client": 2, "name": "db\u{1b}", "pid": 77 }] },
        "warnings": ["clear text"],
    });
    let rates = json!({ "service": { "messages_sent": 1200.4 }, "ring": { "tokens": 7000.0 } });
    let changes = vec![Change { change: 4, at: "17:30".to_owned(), ..Change::default() }];
    let screen = text(&Look { status, changes, rates });
    for piece in [
        "ring 4@1/9f3a: operational, members 1 3",
        "warning: clear text",
        "messages sent 1200, delivered -;",
        "tokens 7000",
        "2 packets wait for the token",
        "2      10.0.0.2:5405                NOT HEARD",
        "3      10.0.0.3:5405                heard      3          120        9",
        "db",
        "4  17:30  members : not known",
    ] {
        assert!(screen.contains(piece), "{piece:?} is not in\n{screen}");
    }
    assert!(!screen.contains('\u{1b}'), "a client's name commands no terminal");
}

#[test]
fn a_rate_is_growth_by_time_and_a_daemon_that_started_anew_has_none() {
    let before = json!({ "ring": { "tokens": 100, "gathers": 7 }, "lost": 0 });
    let after = json!({ "ring": { "tokens": 350, "gathers": 1, "new": 3 }, "lost": 1 });
    let expected = json!({ "ring": { "tokens": 125.0, "gathers": null }, "lost": 0.5 });
    assert_eq!(rates(&before, &after, 2.0), expected);
}

#[test]
fn q_escape_and_control_c_quit() {
    assert!(quits(KeyCode::Char('q'), KeyModifiers::NONE));
    assert!(quits(KeyCode::Esc, KeyModifiers::NONE));
    assert!(quits(KeyCode::Char('c'), KeyModifiers::CONTROL));
    assert!(!quits(KeyCode::Char('c'), KeyModifiers::NONE));
}

/// The cluster of `docs/operating.md`, as node 1 sees it.
fn healthy() -> Look {
    let peer = |node: u32, last_heard_ms: u32, (smoothed, deviation): (u32, u32)| {
        json!({
            "node": node, "address": format!("10.77.0.{node}:5405"), "heard": true,
            "last_heard_ms": last_heard_ms,
            "round_trip_us": { "smoothed": smoothed, "deviation": deviation },
            "paths": [{ "link": 0, "up": true, "last_heard_ms": last_heard_ms }],
        })
    };
    let status = json!({
        "version": "0.1.0", "uptime_ms": 7_513_000, "phase": "serving", "cluster": "demo",
        "processor": { "node": 1 }, "seal": "aead", "transport": "unicast",
        "ring": {
            "state": "operational", "id": { "text": "8@1/61a90f3c27b5d8e4" },
            "members": [{ "node": 1 }, { "node": 2 }, { "node": 3 }],
            "rotation_us": 212, "detection_ms": 500, "detection_effective_ms": 500,
            "backlog_packets": 3,
        },
        "peers": [peer(2, 4, (171, 23)), peer(3, 11, (188, 31))],
        "clients": { "connected": 2, "list": [
            { "client": 4, "name": "evs", "pid": 2203, "messages_sent": 0,
              "events_delivered": 1, "send_bytes_queued": 0, "event_bytes_queued": 0 },
            { "client": 2, "name": "orders", "pid": 1871, "messages_sent": 9_114_023,
              "events_delivered": 27_340_911, "send_bytes_queued": 2800,
              "event_bytes_queued": 1400 },
        ] },
        "warnings": [],
    });
    let rates = json!({
        "service": { "messages_sent": 1204.0, "messages_delivered": 3611.0 },
        "ring": { "packets_originated": 1204.0, "bytes_originated": 1_685_600.0,
                  "tokens": 4718.0, "packets_retransmitted": 0.0, "packets_requested": 0.0 },
    });
    let changes = [
        (1, "09:12:04", &[1][..], json!({ "kind": "started" })),
        (2, "09:12:05", &[1, 2], json!({ "kind": "joined", "nodes": [node(2)] })),
        (3, "09:12:09", &[1, 2, 3], json!({ "kind": "joined", "nodes": [node(3)] })),
    ];
    let changes = changes.map(|(number, at, members, trigger)| {
        change(number, &format!("2026-03-02T{at}.318Z"), members, trigger)
    });
    Look { status, changes: changes.into(), rates }
}

/// The same after the network of node 3 has failed.
fn broken() -> Look {
    let mut look = healthy();
    let status = &mut look.status;
    status["ring"]["id"]["text"] = json!("12@1/61a90f3c27b5d8e4");
    status["ring"]["members"] = json!([{ "node": 1 }, { "node": 2 }]);
    status["ring"]["rotation_us"] = json!(139);
    let peer = &mut status["peers"][1];
    (peer["heard"], peer["last_heard_ms"]) = (json!(false), json!(8341));
    peer["paths"] = json!([{ "link": 0, "up": false, "last_heard_ms": 8341 }]);
    let trigger = json!({ "kind": "silent", "node": node(3), "nodes": [node(3)],
        "noticed_by": [], "not_noticed_by": [] });
    look.changes.push(change(4, "2026-03-02T11:17:09.702Z", &[1, 2], trigger));
    look.rates["service"]["messages_delivered"] = json!(2408.0);
    look.rates["ring"]["tokens"] = json!(7194.0);
    look
}

fn node(node: u32) -> Value {
    json!({ "node": node, "incarnation": "9e5a" })
}

fn change(number: u64, at: &str, members: &[u32], trigger: Value) -> Change {
    let members: Vec<_> = members.iter().copied().map(node).collect();
    let of = "a record as a daemon writes it";
    let members = serde_json::from_value(json!(members)).expect(of);
    let trigger = serde_json::from_value(trigger).expect(of);
    Change { change: number, at: at.to_owned(), members, trigger, ..Change::default() }
}

/// `UPDATE=1` writes them anew.
#[test]
fn the_screens_in_the_documents_are_what_is_drawn() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating.md");
    let mut page = fs::read_to_string(&file).expect("the document is there");
    for (name, look) in [("healthy", healthy()), ("broken", broken())] {
        let begin = format!("\n```screen {name}\n");
        let (before, rest) = page.split_once(&begin).expect("the document has this screen");
        let (shown, after) = rest.split_once("```\n").expect("it has an end");
        let drawn = text(&look) + "\n";
        assert!(!drawn.contains('?') && !drawn.contains('…'), "all is told:\n{drawn}");
        if std::env::var_os("UPDATE").is_some() {
            page = format!("{before}{begin}{drawn}```\n{after}");
            fs::write(&file, &page).expect("the document can be written");
        } else {
            assert!(shown == drawn, "screen {name} differs (UPDATE=1 writes it); drawn:\n{drawn}");
        }
    }
}
