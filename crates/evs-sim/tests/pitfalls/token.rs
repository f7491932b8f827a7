//! The token, the order, and what is requested: P1 to P8, P11, P12.

use std::collections::BTreeMap;

use evs_model::Guarantee::{Agreed, Fifo, Safe, Unordered};
use evs_sim::script::Script;
use evs_sim::world::Moment::After;
use evs_sim::world::{Aim, Options, World};
use totem::wire::Token;
use totem::{Destination, Packet, PacketKind, StateKind};

use crate::stage::{
    ALWAYS, COMMIT, D, JOIN, MCAST, MERGE, MS, TOKEN, US, WAKE, configurations, delivered_at,
    left_at,
};

/// One lost token is sent again, whatever old packet arrives meanwhile.
#[test]
fn p01_only_a_later_packet_proves_that_the_token_arrived() {
    for step in 0..40 {
        let mut script = World::script(3);
        let before = configurations(&script, &[1, 2, 3]);
        script.aim(Aim::at(MCAST).from(3).to(1).late(step * 50 * US));
        script.aim(Aim::at(TOKEN).from(1).to(2).lost());
        script.send(3, Agreed, 1).run_for(5 * D);
        assert_eq!(script.delivered(2), 1);
        assert_eq!(configurations(&script, &[1, 2, 3]), before, "late by {step} x 50 us");
        script.finish();
    }
}

/// 1 keeps sending the token to 2, who cannot pass it on: that proves nothing about the ring. No
/// join tells 2 so.
#[test]
fn p02_a_repeated_token_does_not_put_off_the_loss() {
    let mut script = World::script(4);
    script.send(1, Agreed, 1).run_for(2);
    let cut = script.world().now();
    script.aim(Aim::at(TOKEN).from(2).to(3).count(ALWAYS).lost());
    script.aim(Aim::at(JOIN).to(2).count(ALWAYS).lost());
    script.aim(Aim::at(MERGE).to(2).count(ALWAYS).lost());
    script.run_for(3 * D);
    for id in 1..=4 {
        let left = left_at(script.world(), id, StateKind::Operational);
        let after = left.map(|at| at.saturating_sub(cut) / MS);
        // Twice the target. The token was on its way, or parked for a quarter of D at the most.
        assert!(after.is_some_and(|ms| ms <= 2 * D + D / 4 + 5), "{id} left after {after:?} ms");
    }
    script.finish();
}

/// Copies of the ring's own token, and a token of the ring before it that acknowledges far more,
/// release nothing that a slow receiver lacks.
#[test]
fn p03_a_token_is_examined_before_it_changes_anything() {
    let mut script = World::script(3);
    script.world().keep(PacketKind::Token);
    script.send(1, Agreed, 600).run_for(50);
    let (.., old) = last_passed(script.world());
    assert!(old.seq >= 30, "the old ring has sequenced more than the new one will");
    script.crash(3).until_ring_of(&[1, 2], 5 * D).start(3).until_one_ring(5 * D);
    let before = configurations(&script, &[1, 2]);
    script.aim(Aim::at(MCAST).to(3).count(ALWAYS).lost());
    for _ in 0..20 {
        script.send_one(1, Agreed, 1_000).send_one(2, Safe, 1_000).run_for(1);
        let (from, to, own) = last_passed(script.world());
        for _ in 0..5 {
            script.world().forge(from, to, &Packet::Token(own.clone().into()));
            script.world().forge(from, to, &Packet::Token(old.clone().into()));
        }
    }
    // The path to 3 is open again.
    script.heal().run_for(D / 2);
    assert_eq!(script.delivered(3), 40);
    assert_eq!(configurations(&script, &[1, 2]), before);
    script.finish();
}

/// The token that was sent last, by whom and to whom.
fn last_passed(world: &World) -> (u32, u32, Token) {
    let last = world.passed().iter().rev().find_map(|passed| {
        let Destination::Node(to) = passed.to else { return None };
        Some((passed.from.node.get(), to.node.get(), passed.token()?.clone()))
    });
    last.expect("a token has passed")
}

/// Whatever is sent twice, a ring never has two tokens of one number.
#[test]
fn p04_a_ring_has_one_token() {
    let mut options = Options::fair(1, 3);
    // Tokens are slow: what they asked for comes before they do.
    options.weather.lag[TOKEN.index()] = 2 * MS;
    let mut script = Script::warm(options);
    script.world().keep(PacketKind::Token);
    for kind in [PacketKind::CommitToken, PacketKind::Token, PacketKind::Recovered] {
        script.world().send_again(kind, 2);
    }
    for round in 0..20 {
        // 1, the representative, lacks something; copies of the commit token are late.
        script.aim(Aim::at(MCAST).to(1).count(ALWAYS).lost());
        for copy in 0..6 {
            let late = Aim::at(COMMIT).to(1).after(2 * copy).late((round + 1) * 400 * US);
            script.aim(late);
        }
        let before = script.delivered(3);
        script.send(3, Agreed, 20).until(D, |world| delivered_at(world, 3) == before + 20);
        script.crash(2).run_for(D / 4).start(2).until_one_ring(10 * D);
        let mut tokens = BTreeMap::new();
        for passed in script.world().passed() {
            if let Some(token) = passed.token() {
                let same = tokens.entry((token.ring, token.token_seq)).or_insert(token);
                assert_eq!(*same, token, "two tokens of one number");
            }
        }
        script.heal();
    }
    script.finish();
}

/// Nothing follows the last packet of a burst: the token itself tells that it is missing.
#[test]
fn p06_the_lost_tail_of_a_burst_is_requested() {
    for guarantee in [Unordered, Fifo, Agreed, Safe] {
        for (count, to) in [(1, 2), (1, 3), (20, 2), (20, 3)] {
            let mut script = World::script(3);
            let tail = packets_of_a_burst(count) - 1;
            script.aim(Aim::at(MCAST).from(1).to(to).after(tail).lost());
            script.send(1, guarantee, count);
            // Two rotations, and two more for what is safe.
            script.run_for(3);
            assert_eq!(script.delivered(to), count as usize, "{guarantee} to {to}");
            script.finish();
        }
    }
}

/// How many packets a burst of so many small messages takes, when one node sends.
fn packets_of_a_burst(count: u32) -> u32 {
    let mut script = World::script(3);
    script.world().keep(PacketKind::Mcast);
    script.send(1, Agreed, count).run_for(20);
    u32::try_from(script.world().passed().len()).expect("a few")
}

/// 3 has seen the token of the whole burst, but not its second half, when 1 dies: it must not
/// claim to hold it.
#[test]
fn p07_the_highest_sequence_comes_from_packets_held() {
    for lost in 0..10 {
        let mut script = World::script(3);
        script.aim(Aim::at(MCAST).from(1).to(3).after(lost).count(ALWAYS).lost());
        for _ in 0..10 {
            script.send_one(1, Agreed, 1_200);
        }
        script.aim(Aim::at(TOKEN).from(3).after(1).count(ALWAYS).lost());
        script.until(D, |world| delivered_at(world, 2) == 10).crash(1);
        assert!(script.delivered(3) <= lost as usize);
        script.heal().until_ring_of(&[2, 3], 3 * D);
        assert_eq!(script.delivered(3), 10, "2 held them all; {lost} reached 3");
        script.finish();
    }
}

/// A node that misses more than any window for a moment, and then hears again, catches up.
#[test]
fn p08_a_large_gap_is_repaired_without_a_new_ring() {
    let mut script = World::script(3);
    let before = configurations(&script, &[1, 2, 3]);
    for lost in [50, 300, 450, 500, ALWAYS] {
        script.aim(Aim::at(MCAST).to(3).count(lost).lost());
        (0..1_000).for_each(|_| {
            script.send_one(1, Agreed, 1_200);
        });
        script.run_for(D / 8).heal().run_for(D);
        assert_eq!(script.delivered(3), script.delivered(1));
    }
    assert_eq!(script.delivered(3), 5_000);
    assert_eq!(configurations(&script, &[1, 2, 3]), before);
    script.finish();
}

/// Two receivers have more holes than a token can list, and one packet is lost to all, whose
/// sender dies: nothing is requested for ever.
#[test]
fn p11_requests_that_nobody_can_serve_do_not_clog_the_token() {
    let mut script = World::script(4);
    script.run_for(D);
    // The token is parked at 1, who sends one packet at once and the others in its next visit: the
    // second packet is lost to all, then every other one to 2 or to 3. All else reaches 4.
    for to in [2, 3, 4] {
        script.aim(Aim::at(MCAST).from(1).to(to).after(1).lost());
    }
    for to in [2, 3] {
        script.aim(Aim::at(MCAST).from(1).to(to).after(to - 1).lost());
        (0..39).for_each(|_| {
            script.aim(Aim::at(MCAST).from(1).to(to).after(1).lost());
        });
    }
    script.crash_at(1, &[After(PacketKind::Token), After(PacketKind::Token)]);
    for _ in 0..90 {
        script.send_one(1, Agreed, 1_200);
    }
    script.until(D, |world| !world.is_up(1)).until_ring_of(&[2, 3, 4], 3 * D);
    for id in [2, 3, 4] {
        assert_eq!(script.delivered(id), 1, "the second packet is lost: nothing past it is owed");
    }
    script.send(3, Agreed, 5).run_for(20);
    let idle = requested(script.world(), &[2, 3, 4]);
    script.run_for(D);
    assert_eq!(requested(script.world(), &[2, 3, 4]), idle, "nothing is missing any more");
    script.finish();
}

fn requested(world: &World, ids: &[u32]) -> u64 {
    let of = |id: &u32| world.service(*id).map_or(0, |service| service.ring().stats().requested);
    ids.iter().map(of).sum()
}

/// A message on an idle ring waits for one wake request, however many of them are lost; and a ring
/// that is idle is quiet.
#[test]
fn p12_an_idle_token_is_fetched_and_an_idle_ring_is_quiet() {
    for lost in 0..20 {
        let mut script = World::script(5);
        // At any time of its stay where it is parked.
        script.run_for(D + 13 * Into::<u64>::into(lost));
        let began = script.world().now();
        script.aim(Aim::at(WAKE).count(lost).lost());
        script.send(4, Agreed, 1);
        script.until(D, |world| (1..=5).all(|id| delivered_at(world, id) == 1));
        let took = (script.world().now() - began) / MS;
        // A request is repeated every hundredth of D; in any case the token is let go after a
        // quarter.
        let bound = (D / 4 + 3).min(Into::<u64>::into(lost) * (D / 100) + 3);
        assert!(took <= bound, "{took} ms after {lost} lost requests, at most {bound}");
        script.finish();
    }
    let mut script = World::script(5);
    script.run_for(D);
    let (before, busy) = (script.world().traffic().total(), script.world().now());
    script.run_for(10_000);
    let seconds = (script.world().now() - busy) / (1_000 * MS);
    let each = (script.world().traffic().total() - before) / seconds / 5;
    // Ten hellos in D, two merge probes, four releases of the token.
    assert!(each <= 20 * 1_000 / D, "{each} datagrams a second from each idle node");
    script.finish();
}
