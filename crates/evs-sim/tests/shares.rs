//! Fair shares under saturation (`docs/protocol.md` §4): each of n senders without end gets half of
//! an n-th of what is sent at the least, by bytes.

use evs_sim::script::Script;
use evs_sim::world::Options;

/// Sizes of messages, by turns.
const SIZES: [usize; 6] = [1_400, 64, 8_000, 200, 64_000, 1_000];

fn options(nodes: u32, accelerated_packets: u32) -> Options {
    // So little that everybody's client has more at any time.
    Options {
        accelerated_packets,
        window_packets: 2_048,
        window_bytes: 64 << 10,
        client_send_bytes_max: 256 << 10,
        ..Options::fair(1, nodes)
    }
}

fn senders(nodes: u32) -> Vec<(u32, usize)> {
    (1..=nodes).zip(SIZES.into_iter().cycle()).collect()
}

/// How much of a fair share the one with the least of these has, in percent.
#[track_caller]
fn assert_fair(sent: &[u64], what: &str) {
    let (all, least) = (sent.iter().sum::<u64>(), sent.iter().min().copied().unwrap_or_default());
    let share = least * sent.len() as u64 * 100 / all.max(1);
    println!("{what}: the least has {share} % of a fair share");
    assert!(share >= 50, "{what}: {sent:?}");
}

#[test]
fn everybody_has_a_fair_share_from_the_start() {
    for accelerated in [0, 32] {
        for nodes in 2..=16 {
            let mut script = Script::warm(options(nodes, accelerated));
            let senders = senders(nodes);
            script.saturate(&senders, 10);
            let sent = script.saturate(&senders, 20);
            assert_fair(&sent, &format!("{nodes} senders, {accelerated} follow the token"));
        }
    }
}

#[test]
fn who_joins_late_has_a_fair_share_too() {
    for accelerated in [0, 32] {
        for nodes in [2, 3, 5, 8, 16] {
            let mut script = Script::warm(options(nodes, accelerated));
            let senders = senders(nodes);
            let (late, early) = senders.split_last().expect("two at least");
            script.saturate(early, 20);
            // As long as a few rotations take.
            script.saturate(&senders, 10);
            let sent = script.saturate(&senders, 20);
            let what = format!("{} joins {} later, {accelerated}", late.0, early.len());
            assert_fair(&sent, &what);
        }
    }
}

/// Who needs little gets it, and the others share the rest.
#[test]
fn who_needs_little_is_not_kept_waiting() {
    let mut script = Script::warm(options(4, 32));
    let greedy = [(1, 1_400), (2, 1_400), (3, 8_000)];
    script.saturate(&greedy, 20);
    for _ in 0..20 {
        script.send_one(4, evs_model::Guarantee::Agreed, 3_000);
        let (before, all) = (script.delivered(1), script.saturate(&greedy, 5));
        assert!(script.delivered(1) > before);
        assert_fair(&all, "three greedy ones");
    }
    let own = script.world_seen().service(4).map(evs_service::Service::unsent);
    assert_eq!(own, Some(false), "little is sent at once");
    script.finish();
}
