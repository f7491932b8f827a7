use super::*;
use crate::{Cause, Noticed, Recovery, Step, TokenSight};

fn node(node: u32) -> Node {
    Node { node, incarnation: format!("{node:016x}") }
}

fn silent(peer: u32, at_us: i64) -> Sight {
    Sight::Silent { at_us, peer: node(peer), silence_us: 512_345 }
}

fn lost() -> Change {
    let step = |at_us, state: &str, cause: &str| Step {
        at_us,
        state: state.to_owned(),
        cause: cause.to_owned(),
    };
    let token = TokenSight { number: 77, silence_us: 490_000, ..TokenSight::default() };
    Change {
        change: 17,
        at: "2026-11-22T17:30:00.123Z".to_owned(),
        me: node(1),
        from: Some("7@1/9f3a".to_owned()),
        to: Some("8@1/9f3a".to_owned()),
        members: vec![node(1), node(2)],
        left: vec![node(3)],
        joined: Vec::new(),
        together: vec![node(1), node(2)],
        trigger: Trigger::Silent {
            node: node(3),
            nodes: vec![node(3)],
            noticed_by: vec![Noticed { node: node(1), silence_us: 512_345 }],
            not_noticed_by: Vec::new(),
        },
        took_us: 14_000,
        attempts: 1,
        timeline: vec![
            step(0, "gather", "1/9f3a and 3/0c11 no longer hear each other"),
            step(12_300, "commit", "consensus reached"),
            step(13_100, "recovery", "commit token complete"),
            step(14_000, "operational", "recovery complete"),
        ],
        recovery: Recovery { sent: 3, got: 1, restarted: 2 },
        evidence: vec![
            Evidence { node: node(1), saw: vec![silent(3, -20)], ..Evidence::default() },
            Evidence {
                node: node(2),
                cause: Cause::MemberAsked,
                cause_names: vec![node(1)],
                took_us: 13_500,
                token: Some(token),
                ..Evidence::default()
            },
        ],
    }
}

#[test]
fn a_change_is_told_as_a_short_story() {
    let expected = "\
change 17 of node 1, at 2026-11-22T17:30:00.123Z
why: node 3 fell silent
     node 1 had heard nothing for 512 ms
     its process or its host has failed, or its network
members: 1 2; left: 3
ring: 7@1/9f3a -> 8@1/9f3a

what happened at node 1:
     -0.020 ms  node 3 not heard for 512 ms
     +0.000 ms  gather: 1/9f3a and 3/0c11 no longer hear each other
    +12.300 ms  commit: consensus reached
    +13.100 ms  recovery: commit token complete
    +14.000 ms  operational: recovery complete
recovery: 3 packets sent to others, 1 got from them, 2 messages begun anew

what the others saw:
  node 2: node 1 asked for a new agreement; last sign of the token 490 ms before (number 77); \
agreed within 13.5 ms
";
    assert_eq!(story(&lost()), expected);
}

#[test]
fn whoever_is_left_alone_is_told_of_all_and_to_look_at_its_own_network_too() {
    let mut alone = Change { members: vec![node(1)], together: vec![node(1)], ..lost() };
    alone.left = vec![node(2), node(3)];
    alone.trigger = crate::judge(&Change {
        evidence: vec![Evidence {
            node: node(1),
            saw: [2, 3].map(|id| silent(id, -20)).to_vec(),
            ..Evidence::default()
        }],
        ..alone.clone()
    });
    let expected = "\
why: nodes 2 and 3 fell silent
     node 1 had heard nothing for 512 ms
     their processes or their hosts have failed, or their network, or this node's own network
";
    assert!(story(&alone).contains(expected), "{}", story(&alone));
}

/// A daemon of an earlier version named one only.
#[test]
fn a_record_of_an_earlier_version_is_told_as_it_was() {
    let (node, noticed_by) = (node(3), Vec::<Noticed>::new());
    let json = serde_json::json!({ "kind": "died", "node": node, "noticed_by": noticed_by });
    let trigger: Trigger = serde_json::from_value(json).expect("it is taken");
    assert_eq!(headline_of(&trigger), "evsd of node 3 died");
    let Trigger::Died { node, nodes, noticed_by, .. } = trigger else { panic!("{trigger:?}") };
    let trigger = Trigger::Died { node, nodes, silent: vec![super::tests::node(4)], noticed_by };
    assert_eq!(headline_of(&trigger), "evsd of node 3 died, and node 4 fell silent");
}

#[test]
fn a_headline_is_one_line() {
    let expected = "17  2026-11-22T17:30:00.123Z  members 1 2: node 3 fell silent";
    assert_eq!(headline(&lost()), expected);
}

/// A reader of this version meets a record of a later one.
#[test]
fn a_record_of_a_later_version_is_told_as_far_as_it_is_known() {
    let json = serde_json::json!({
        "change": 2, "to": "x", "news": [1], "trigger": { "kind": "solar_flare", "size": 3 },
        "evidence": [{ "cause": "tired", "saw": [{ "what": "ghost", "at_us": 5 }] }],
    });
    let change: Change = serde_json::from_value(json).expect("it is taken");
    assert!(story(&change).contains("why: not known"), "{}", story(&change));
}

#[test]
fn a_record_survives_being_written_and_read() {
    let json = serde_json::to_string(&lost()).expect("written");
    assert_eq!(serde_json::from_str::<Change>(&json).expect("read"), lost());
}

#[test]
fn a_pause_is_told_with_what_the_kernel_counted_and_what_to_do() {
    let told = |starved_us, major_faults| {
        let pause = Pause { pause_us: 1_074_000, starved_us, major_faults };
        let evidence = Evidence {
            node: node(3),
            saw: vec![Sight::Paused { at_us: -5, pause }],
            ..Evidence::default()
        };
        let trigger = Trigger::Paused { node: node(3), pause };
        story(&Change { trigger, evidence: vec![evidence], ..lost() })
    };
    let starved = told(Some(900_000), Some(41));
    for part in [
        "node 3 stood still for 1074 ms",
        "stood still for 1074 ms, 900 ms of it ready to run, with 41 major page faults",
        "and had no processor",
        "local.realtime_priority",
    ] {
        assert!(starved.contains(part), "{part}: {starved}");
    }
    let faulted = told(Some(20_000), Some(1));
    assert!(faulted.contains("1 major page fault, which may be why"), "{faulted}");
    for unknown in [told(None, None), told(Some(0), Some(0))] {
        assert!(
            unknown.contains("the process was stopped, its machine asleep or overloaded"),
            "{unknown}"
        );
        assert!(!unknown.contains("ready to run") && !unknown.contains("fault"), "{unknown}");
    }
}
