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
