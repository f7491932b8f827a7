//! What is recovered, promised and delivered when rings break: P43, P44, P45, P47, P48.

use std::time::Duration;

use evs_model::Guarantee::{self, Agreed, Fifo, Safe, Unordered};
use evs_net::SEAL_OVERHEAD;
use evs_sim::script::{Detail, Script};
use evs_sim::world::Moment::{After, Enters};
use evs_sim::world::{Aim, Options, World};
use totem::Packet;
use totem::PacketKind::{Mcast, Recovered, Token};
use totem::StateKind::{Commit, Gather, Operational, Recovery};

use crate::attempts::STEPS;
use crate::stage::{ALWAYS, D, MCAST, MS, TOKEN, as_written, delivered_at, left_and_joined_add_up};

/// Messages of this size are packets of their own.
const ONE_PACKET: usize = 1_200;

/// 4 sends two messages, called 7 and 8 here, and dies with the token passed on; then 2 sends one,
/// called 9. Of each message it is given who receives it.
fn a_gap(guarantee: Guarantee, got: [&[u32]; 3]) -> Script {
    let mut script = World::script(4);
    // The token is parked.
    script.run_for(D).from_here();
    for (from, receivers) in [4, 4, 2].into_iter().zip(got) {
        for to in (1..=3).filter(|to| *to != from) {
            // Of the aims at one path, each strikes one message.
            let aim = Aim::at(MCAST).from(from).to(to);
            script.aim(if receivers.contains(&to) { aim.late(0) } else { aim.lost() });
        }
    }
    script.crash_at(4, &[After(Mcast), After(Mcast), After(Token)]);
    script.send_one(4, Agreed, ONE_PACKET).send_one(4, guarantee, ONE_PACKET);
    script.until(D, |world| !world.is_up(4)).send_one(2, guarantee, ONE_PACKET);
    script
}

/// 7 is lost to all, 8 reaches 1 alone, 9 reaches 1 and 3. Nobody can say what 7 was: of its sender
/// nothing more is delivered, of 2 everything.
#[test]
fn p43_past_a_gap_only_what_misses_nothing_is_delivered() {
    let mut script = a_gap(Agreed, [&[], &[1], &[1, 3]]);
    script.until_ring_of(&[1, 2, 3], 3 * D);
    as_written(&script, "p43", Detail::Applications);
    script.finish();
}

/// Whoever holds whichever of the three messages: the survivors deliver the same.
#[test]
fn p43_the_survivors_agree_whoever_holds_what() {
    let sets: [&[u32]; 8] = [&[], &[1], &[2], &[3], &[1, 2], &[1, 3], &[2, 3], &[1, 2, 3]];
    for guarantee in [Unordered, Agreed, Safe] {
        for seven in sets {
            for eight in sets {
                for nine in [&[][..], &[1], &[3]] {
                    let mut script = a_gap(guarantee, [seven, eight, nine]);
                    script.until_ring_of(&[1, 2, 3], 3 * D);
                    let delivered = script.delivered(1);
                    let held = usize::from(!seven.is_empty()) + 1;
                    assert!(delivered >= held, "{seven:?} {eight:?} {nine:?}: {delivered}");
                    assert!([2, 3].iter().all(|id| script.delivered(*id) == delivered));
                    script.finish();
                }
            }
        }
    }
}

/// R = {1, 2, 3, 4}. 3's packet is lost to all others; 1 sends a safe message after it, and 2
/// something that 1 lacks. 3 dies, 4 is cut off; {1, 2} recover, 1 installs their ring and delivers
/// the safe message past the gap; 2 is cut off before it installs; {2, 4} form a ring. What 2 has
/// promised holds: both deliver it.
#[test]
fn p44_a_promise_of_a_failed_recovery_is_kept() {
    let mut script = Script::cold(Options::fair(1, 4));
    // 4 is patient: it forms no ring alone while 2 is busy with 1.
    script.world().detection(4, Duration::from_secs(2));
    script.world().start_all();
    script.until_one_ring(30_000).run_for(D).from_here();
    script.aim(Aim::at(MCAST).from(3).count(3).lost());
    script.aim(Aim::at(MCAST).from(2).to(1).lost());
    script.crash_at(3, &[After(Mcast), After(Token)]);
    script.send_one(3, Agreed, ONE_PACKET).until(D, |world| !world.is_up(3));
    script.send_one(1, Safe, ONE_PACKET).send_one(2, Agreed, ONE_PACKET).run_for(2);

    script.cut(1, 4).isolate_at(1, &[Enters(Operational)]);
    script.until(3 * D, |world| !world.is_trapped(1));
    script.until_ring_of(&[2, 4], 3 * D).run_for(D);
    as_written(&script, "p44", Detail::States);
    script.finish();
}

/// Safe messages; the ring breaks, 1 alone installs the next one, 2 and 3 time out in recovery and
/// form another, which 3 alone installs: what 1 and 3 delivered on the way, 2 delivers.
#[test]
fn p44_promises_are_kept_over_two_failed_recoveries() {
    let mut script = World::script(3);
    script.run_for(D).from_here();
    // 1 lacks what 2 sent: it is the last to hold everything, and the first to install.
    script.aim(Aim::at(MCAST).from(2).to(1).lost());
    script.aim(Aim::at(TOKEN).from(3).after(1).count(ALWAYS).lost());
    script.send_one(1, Safe, ONE_PACKET).send_one(2, Safe, ONE_PACKET);
    script.send_one(3, Safe, ONE_PACKET).until_in(1, Gather).heal();

    script.isolate_at(1, &[Enters(Operational)]).until(3 * D, |world| !world.is_trapped(1));
    script.isolate_at(3, &[Enters(Gather), Enters(Operational)]);
    script.until(3 * D, |world| !world.is_trapped(3)).until_ring_of(&[2], 3 * D).run_for(D);
    as_written(&script, "p44-two-levels", Detail::Applications);
    script.finish();
}

/// Generalised: any messages, lost to anybody; deaths, cuts, and nodes that are cut off at any step
/// of any attempt, one after the other.
#[test]
fn p44_promises_are_kept_whatever_fails() {
    for seed in 0..400 {
        broken_promises(seed).finish();
    }
}

fn broken_promises(seed: u64) -> Script {
    let mut rng = fastrand::Rng::with_seed(seed);
    let nodes = rng.u32(3..=5);
    let mut script = Script::cold(Options::fair(seed, nodes));
    // The patient ones form no ring alone while somebody is still heard.
    for id in (1..=nodes).filter(|_| rng.u32(0..3) == 0) {
        script.world().detection(id, Duration::from_secs(1));
    }
    script.world().start_all();
    script.until_one_ring(30_000).run_for(D);

    let messages: Vec<u32> = (0..rng.u32(2..=6)).map(|_| rng.u32(1..=nodes)).collect();
    for from in &messages {
        for to in (1..=nodes).filter(|to| to != from) {
            let aim = Aim::at(MCAST).from(*from).to(to);
            script.aim(if rng.u32(0..3) == 0 { aim.lost() } else { aim.late(0) });
        }
    }
    if rng.bool() {
        script.crash_at(rng.u32(1..=nodes), &[After(Mcast), After(Token)]);
    } else {
        let lost = Aim::at(TOKEN).from(rng.u32(1..=nodes)).after(rng.u32(1..=3));
        script.aim(lost.count(ALWAYS).lost());
    }
    for from in messages {
        let guarantee = [Unordered, Fifo, Agreed, Safe][rng.usize(0..4)];
        if script.try_send(from, guarantee, ONE_PACKET) {
            script.run_for(rng.u64(0..=1));
        }
    }
    script.run_for(rng.u64(1..=D)).heal();
    for _ in 0..rng.u32(1..=3) {
        let isolated = rng.u32(1..=nodes);
        script.isolate_at(isolated, STEPS[rng.usize(0..STEPS.len())]);
        if rng.bool() {
            script.cut(rng.u32(1..=nodes), isolated % nodes + 1);
        }
        script.run_for(rng.u64(D / 10..=2 * D));
        if rng.u32(0..3) == 0 {
            script.heal();
        }
    }
    script
}

/// 3 is excluded, since 2 does not hear it, but 1 does. A message of 3, lost at first, reaches 1 in
/// each state of the change: both deliver it, or none.
#[test]
fn p45_what_comes_after_it_was_reported_missing_is_dropped() {
    for guarantee in [Unordered, Agreed, Safe] {
        for state in [Gather, Commit, Recovery] {
            for (hears, deaf) in [(1, 2), (2, 1)] {
                let mut script = World::script(3);
                script.run_for(D).world().keep(Mcast);
                script.aim(Aim::at(MCAST).from(3).count(ALWAYS).lost());
                script.aim(Aim::at(TOKEN).from(3).after(1).count(ALWAYS).lost());
                script.send_one(3, guarantee, ONE_PACKET).until(D, |w| !w.passed().is_empty());
                script.cut(3, deaf).until_in(hears, state);
                let late = script.world().passed().first().map(|passed| passed.packet.clone());
                let late = late.expect("3 has sent it");
                assert!(matches!(late, Packet::Mcast(_)));
                script.world().forge(3, hears, &late);
                script.until_ring_of(&[1, 2], 3 * D);
                let (one, two) = (script.delivered(1), script.delivered(2));
                assert_eq!(one, two, "{guarantee} in {state} at {hears}");
                assert_eq!(one == 1, state == Gather, "{guarantee} in {state} at {hears}");
                script.run_for(D).finish();
            }
        }
    }
}

/// The same by the network's delay, at any moment of the exclusion.
#[test]
fn p45_a_late_message_is_delivered_by_all_or_none() {
    for half_ms in 0..120 {
        let mut script = World::script(3);
        let delay = 190 * MS + half_ms * MS / 2;
        for to in [1, 2] {
            script.aim(Aim::at(MCAST).from(3).to(to).late(delay));
        }
        script.send(3, Agreed, 1).cut(2, 3).run_for(1_000).finish();
    }
}

/// The token of a recovery is lost after any number of hops; the next attempt has somebody more,
/// who holds what the others lack and lacks what they hold.
#[test]
fn p47_nothing_is_counted_over_from_a_failed_recovery() {
    for hops in 0..12 {
        let mut script = World::script(5);
        script.run_for(D);
        for (from, to) in [(4, 1), (4, 2), (5, 3), (1, 5), (2, 5)] {
            script.aim(Aim::at(MCAST).from(from).to(to).count(2).lost());
        }
        script.crash_at(4, &[After(Mcast), After(Token)]);
        for from in [5, 1, 2, 4] {
            script.send_one(from, Safe, ONE_PACKET);
        }
        script.until(D, |world| !world.is_up(4)).partition(&[&[1, 2, 3]]);
        script.until_in(1, Recovery);
        script.aim(Aim::at(TOKEN).after(hops).count(ALWAYS).lost());
        script.run_for(D / 2).heal().until_ring_of(&[1, 2, 3, 5], 5 * D);
        let delivered = script.delivered(1);
        assert!(delivered >= 3, "{delivered} after {hops} hops");
        left_and_joined_add_up(script.world());
        script.run_for(D).finish();
    }
}

/// Full packets are outstanding, and the path carries them exactly: they still fit when recovery
/// wraps them.
#[test]
fn p48_a_recovered_packet_is_no_larger_than_any() {
    for packet_bytes_max in [256, 1_400, 9_000] {
        for sealed in [false, true] {
            let options = Options { packet_bytes_max, sealed, ..Options::fair(1, 4) };
            let mut script = Script::warm(options);
            script.run_for(D);
            for (from, to) in (1..=4).flat_map(|from| (1..=4).map(move |to| (from, to))) {
                script.cut_large(from, to, packet_bytes_max.max(700) + SEAL_OVERHEAD);
            }
            script.aim(Aim::at(MCAST).from(4).to(1).count(20).lost());
            script.aim(Aim::at(MCAST).from(4).to(2).count(20).lost());
            script.world().keep(Recovered);
            (0..8).for_each(|_| {
                script.send_one(4, Agreed, 3 * packet_bytes_max);
            });
            script.until(D, |world| delivered_at(world, 3) >= 3).crash(4);
            script.until_ring_of(&[1, 2, 3], 3 * D);
            let largest = script.world().passed().iter().map(|passed| {
                let mut bytes = Vec::new();
                passed.packet.encode(&mut bytes);
                bytes.len()
            });
            assert_eq!(largest.max(), Some(packet_bytes_max), "the largest recovered packet");
            assert!(script.delivered(1) >= 3);
            script.finish();
        }
    }
}
