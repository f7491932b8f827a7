//! The parked token (`docs/protocol.md` §5), in rotations and hops of simulated time: what a
//! message costs on a quiet ring, and what the quiet ring costs.

use evs_model::Guarantee::{Agreed, Safe};
use evs_sim::script::Script;
use evs_sim::world::{Kind, Nanos, World};
use totem::PacketKind::{Mcast, Parked, Token, Wake};

const US: Nanos = 1_000;
const MS: Nanos = 1_000_000;
/// What a datagram takes at the most, from one node's turn to the other's.
const HOP: Nanos = 150 * US;

fn idle(nodes: u32, parker: u32) -> Script {
    let mut script = World::script(nodes);
    script.send(parker, Agreed, 1).run_for(200);
    script
}

#[test]
fn a_lone_senders_message_costs_one_multicast_and_no_waiting() {
    for nodes in 2..=16 {
        let mut script = idle(nodes, 1);
        let all: Vec<u32> = (1..=nodes).collect();
        for _ in 0..20 {
            assert_eq!(script.latency(1, Agreed, &[1]), 0, "it waits for nobody");
            script.run_for(20);
            let everywhere = script.latency(1, Agreed, &all);
            assert!(everywhere <= HOP, "{everywhere} ns to all {nodes}");
            script.run_for(20);
        }
        script.finish();
    }
}

/// The next message is handed over as soon as the last one has come back, as by a client that waits
/// for each of its own.
#[test]
fn a_lone_sender_of_one_message_after_the_other_seldom_waits() {
    for nodes in [2, 3, 8, 16] {
        for pause in [20 * US, 60 * US] {
            let mut script = idle(nodes, 1);
            let mut waited = Vec::new();
            for _ in 0..300 {
                waited.push(script.latency(1, Agreed, &[1]));
                let until = script.world_seen().now() + pause;
                script.world().run_until(until);
            }
            waited.sort_unstable();
            let (median, worst) = (waited[150], waited[299]);
            println!("{nodes} nodes, {pause} ns apart: {median} ns, at worst {worst} ns");
            assert_eq!(median, 0);
            let now_and_then = waited.iter().filter(|took| **took > 0).count();
            assert!(now_and_then <= 300 / 20, "{now_and_then} of 300 wait");
            assert!(worst <= (u64::from(nodes) + 2) * HOP, "{worst} ns");
            script.finish();
        }
    }
}

/// Whose next message does not come while the token would be kept does not keep it: it rests again
/// when that message comes.
#[test]
fn a_lone_sender_who_takes_its_time_never_waits() {
    for nodes in [2, 3, 8, 16] {
        let mut script = idle(nodes, 1);
        for _ in 0..100 {
            assert_eq!(script.latency(1, Agreed, &[1]), 0, "{nodes} nodes");
            let until = script.world_seen().now() + 4 * u64::from(nodes) * HOP;
            script.world().run_until(until);
        }
        script.finish();
    }
}

#[test]
fn anybody_else_waits_for_a_wake_request_and_the_hops() {
    for nodes in [2, 3, 8] {
        for parker in 1..=nodes {
            for from in (1..=nodes).filter(|from| *from != parker) {
                let mut script = idle(nodes, parker);
                let took = script.latency(from, Agreed, &[from]);
                let hops = (from + nodes - parker) % nodes;
                assert!(took <= u64::from(hops + 1) * HOP, "{took} ns from {parker} to {from}");
            }
        }
    }
}

/// As while it is parked: a lone sender gives the token away when it is asked for it.
#[test]
fn anybody_else_is_served_while_a_lone_sender_sends() {
    for nodes in [2, 3, 8] {
        let mut script = idle(nodes, 1);
        for _ in 0..20 {
            (0..10).for_each(|_| {
                script.latency(1, Agreed, &[1]);
                let until = script.world_seen().now() + 60 * US;
                script.world().run_until(until);
            });
            let took = script.latency(2, Agreed, &[2]);
            assert!(took <= (2 * u64::from(nodes) + 2) * HOP, "{took} ns, {nodes} nodes");
        }
        script.finish();
    }
}

#[test]
fn a_lost_wake_request_or_word_of_parking_costs_no_configuration() {
    for kind in [Wake, Parked, Token, Mcast] {
        let mut script = idle(3, 1);
        let before = script.configurations(1);
        for round in 0..30 {
            script.aim(evs_sim::world::Aim::at(Kind::Ring(kind)).count(1 + round % 3).lost());
            script.send(1 + round % 3, Agreed, 1).send(1 + round % 3, Safe, 1).run_for(100);
        }
        script.run_for(100);
        assert_eq!(script.configurations(1), before, "{kind:?}");
        assert!((1..=3).all(|id| script.delivered(id) == 61), "{kind:?}");
        script.finish();
    }
}

/// Every quarter of the detection target the token goes round once, and word of its being parked
/// goes out once; nothing else.
#[test]
fn an_idle_ring_sends_four_rotations_in_a_detection_target() {
    for nodes in [2, 3, 8, 16] {
        let mut script = idle(nodes, 1);
        script.run_for(300);
        let kinds = [Mcast, Parked, Token, Wake].map(Kind::Ring);
        let count = |script: &Script| kinds.map(|k| script.world_seen().traffic().datagrams(k));
        let (before, begin) = (count(&script), script.world_seen().now());
        script.run_for(100 * 200);
        let targets = (script.world_seen().now() - begin) / (200 * MS);
        let after = count(&script);
        let sent: Vec<u64> =
            after.iter().zip(before).map(|(after, before)| after - before).collect();
        println!("{nodes} nodes, {targets} targets: data, parked, token, wake {sent:?}");
        assert!(sent[1] <= 4 * targets && sent[2] <= 4 * targets * u64::from(nodes), "{sent:?}");
        assert_eq!((sent[0], sent[3]), (0, 0));
        script.finish();
    }
}
