//! Scenarios with a name. Each ends with the faults gone, the world settled and the whole history
//! held against the contract.

use evs_model::Guarantee::{self, Agreed, Fifo, Safe, Unordered};
use evs_sim::checker::check;
use evs_sim::script::Script;
use evs_sim::world::{Aim, Kind, Options, Origins, Strike, World};
use totem::PacketKind;

const ALL: [Guarantee; 4] = [Unordered, Fifo, Agreed, Safe];

/// So many data packets from one node are lost on the way to each of these.
fn lose_data(world: &mut World, from: u32, to: &[u32], count: u32) {
    for id in to {
        world.aim(Aim {
            from: Some(from as usize - 1),
            to: Some(*id as usize - 1),
            kind: Some(Kind::Ring(PacketKind::Mcast)),
            after: 0,
            count,
            does: Strike::Drop,
        });
    }
}

#[test]
fn three_form_one_ring_and_deliver_every_guarantee() {
    let mut script = World::script(3);
    for guarantee in ALL {
        (1..=3).for_each(|id| {
            script.send(id, guarantee, 20);
        });
    }
    script.run_for(500);
    assert!((1..=3).all(|id| script.delivered(id) == 240));
    script.finish();
}

#[test]
fn a_node_alone_serves_its_clients() {
    let mut script = World::script(1);
    script.send(1, Safe, 10).run_for(100);
    assert_eq!(script.delivered(1), 10);
    script.finish();
}

#[test]
fn messages_of_every_size_around_the_packet_are_whole() {
    let mut script = World::script(3);
    for bytes in [0, 1, 1_200, 1_300, 1_399, 1_400, 1_401, 2_800, 70_000, 1 << 20] {
        script.send_one(1, Agreed, bytes).send_one(2, Safe, bytes);
    }
    script.run_for(4_000);
    assert_eq!(script.delivered(3), 20);
    script.finish();
}

#[test]
fn without_a_fault_there_is_one_configuration() {
    let mut script = World::script(5);
    let before = script.configurations(1);
    for _ in 0..20 {
        script.send(2, Agreed, 30).send(4, Safe, 30).run_for(500);
    }
    assert_eq!(script.configurations(1), before);
    script.finish();
}

#[test]
fn a_survivor_delivers_two_configurations_for_one_crash() {
    let mut script = World::script(3);
    let before = script.configurations(1);
    script.send(3, Safe, 50).run_for(1).crash(3).run_for(2_000);
    assert_eq!(script.configurations(1), before + 2, "one transitional and one regular");
    script.finish();
}

#[test]
fn two_sides_work_apart_and_merge() {
    let mut script = World::script(5);
    script.send(1, Safe, 20).partition(&[&[1, 2], &[3, 4, 5]]).run_for(2_000);
    script.send(2, Safe, 20).send(4, Agreed, 20).run_for(500).heal().run_for(2_000);
    assert!(script.world().is_one_ring());
    script.finish();
}

#[test]
fn busy_sides_merge_too() {
    let mut script = World::script(4);
    script.partition(&[&[1, 2], &[3, 4]]).run_for(2_000);
    script.send(1, Agreed, 2_000).send(4, Safe, 2_000).run_for(5).heal().run_for(3_000);
    assert!(script.world().is_one_ring());
    script.finish();
}

/// P40.
#[test]
fn three_sides_merge_while_one_joins_and_one_leaves() {
    let mut script = World::script(7);
    script.crash(7).partition(&[&[1, 2], &[3, 4], &[5, 6]]).run_for(3_000);
    (1..=6).for_each(|id| {
        script.send(id, Agreed, 20);
    });
    script.heal().start(7).leave(5).run_for(6_000);
    assert!(script.world().is_one_ring());
    script.finish();
}

/// P19.
#[test]
fn a_restart_faster_than_its_death_is_noticed_is_a_new_member() {
    for id in 1..=3 {
        let mut script = World::script(3);
        script.send(id, Safe, 30).run_for(1).crash(id).run_for(5).start_wiped(id);
        script.until_one_ring(5_000).send(id, Safe, 5).run_for(200).finish();
    }
}

#[test]
fn an_orderly_leave_sends_what_was_accepted() {
    let mut script = World::script(3);
    script.send(2, Safe, 200).leave(2).run_for(1_500);
    assert!(!script.world().is_up(2));
    assert_eq!(script.delivered(1), 200);
    script.finish();
}

/// P29.
#[test]
fn three_of_five_leave_together() {
    let mut script = World::script(5);
    script.send(1, Agreed, 50).leave(1).leave(3).leave(4).run_for(2_000);
    assert!(script.world().is_one_ring());
    script.finish();
}

/// P36.
#[test]
fn a_pause_of_any_length_ends_in_one_ring() {
    for pause in [80, 180, 300, 600, 3_000] {
        let mut script = World::script(3);
        script.send(1, Safe, 20).pause(1).run_for(pause).resume(1);
        script.until_one_ring(10_000).send(1, Safe, 5).run_for(300).finish();
    }
}

/// P34.
#[test]
fn a_pair_that_cannot_hear_each_other_does_not_stop_the_third() {
    let mut script = World::script(3);
    script.cut(1, 3).run_for(3_000);
    let before = (1..=3).map(|id| script.configurations(id)).collect::<Vec<_>>();
    script.send(2, Safe, 10).run_for(10_000);
    let after = (1..=3).map(|id| script.configurations(id)).collect::<Vec<_>>();
    assert_eq!(before, after, "nothing changes while who hears whom does not");
    assert!((1..=3).any(|id| script.delivered(id) >= 10));
    script.finish();
}

/// P34: 1 could be in a set as large as the ring that works without it; it waits quietly.
#[test]
fn a_newcomer_that_one_member_cannot_hear_changes_nothing() {
    let mut script = World::script(5);
    script.crash(1).run_for(2_000).cut(1, 3).start(1).run_for(3_000);
    let before = (2..=5).map(|id| script.configurations(id)).collect::<Vec<_>>();
    script.send(2, Safe, 10).run_for(10_000);
    let after = (2..=5).map(|id| script.configurations(id)).collect::<Vec<_>>();
    assert_eq!(before, after, "nothing changes while who hears whom does not");
    script.finish();
}

/// P34: whoever restarts beside whichever broken pair, it ends.
#[test]
fn restarts_beside_a_broken_pair_come_to_rest() {
    for (one, two) in [(1, 2), (1, 3), (2, 4), (4, 5)] {
        for restarted in 1..32_u32 {
            let mut script = World::script(5);
            script.cut(one, two);
            let chosen = (1..=5).filter(|id| restarted >> (id - 1) & 1 == 1);
            chosen.for_each(|id| {
                script.crash(id).run_for(7).start(id);
            });
            script.run_for(4_000);
            let before = (1..=5).map(|id| script.configurations(id)).collect::<Vec<_>>();
            script.run_for(2_000);
            let after = (1..=5).map(|id| script.configurations(id)).collect::<Vec<_>>();
            assert_eq!(before, after, "{one} and {two} cut, {restarted:b} restarted");
            script.finish();
        }
    }
}

/// P45: 3 is excluded but still heard by 1, and its message reaches 1 late, at any moment of the
/// exclusion.
#[test]
fn a_message_that_comes_after_it_was_reported_missing_is_delivered_by_all_or_none() {
    for half_ms in 0..120 {
        let mut script = World::script(3);
        let delay = 190_000_000 + half_ms * 500_000;
        for to in [0, 1] {
            script.aim(Aim {
                from: Some(2),
                to: Some(to),
                kind: Some(Kind::Ring(PacketKind::Mcast)),
                after: 0,
                count: 1,
                does: Strike::Delay(delay),
            });
        }
        script.send(3, Agreed, 1).cut(2, 3).run_for(1_000).finish();
    }
}

#[test]
fn a_path_that_is_cut_one_way_counts_as_cut() {
    let mut script = World::script(4);
    script.cut_one_way(1, 3).run_for(3_000);
    let before = script.configurations(2);
    script.run_for(10_000);
    assert_eq!(script.configurations(2), before);
    script.finish();
}

/// P43: 4 sends, all but 1 lose it, 4 crashes: the others agree on what is left.
#[test]
fn what_one_survivor_holds_all_deliver() {
    let mut script = World::script(4);
    lose_data(script.world(), 4, &[2, 3], 50);
    script.send(4, Agreed, 3).send(2, Agreed, 3).run_for(2).crash(4).run_for(2_000);
    assert_eq!(script.delivered(1), script.delivered(2));
    script.finish();
}

/// P23: each commit token of an attempt lost once, or again and again.
#[test]
fn an_attempt_survives_the_loss_of_any_commit_token() {
    for hop in 0..8 {
        for count in [1, 20] {
            let mut script = World::script(4);
            script.aim(Aim {
                from: None,
                to: None,
                kind: Some(Kind::Ring(PacketKind::CommitToken)),
                after: hop,
                count,
                does: Strike::Drop,
            });
            script.send(1, Safe, 20).run_for(1).crash(4).run_for(3_000);
            assert!(script.world().is_one_ring(), "commit token {hop} lost {count} times");
            script.finish();
        }
    }
}

/// P25: one member of three, or the only other one, crashes between any two outputs of a
/// membership change.
#[test]
fn a_crash_between_any_two_outputs_is_survived() {
    for outputs in 0..60 {
        let mut script = World::script(4);
        script.send(2, Safe, 5).send(1, Agreed, 5).run_for(1).crash(4).run_for(150);
        script.crash_after(1 + outputs % 3, outputs).run_for(1_500);
        script.finish();
    }
}

/// `docs/protocol.md` §2: R = {1, 2, 3, 4}; 3's packet is lost to all others; 1 sends a safe one
/// after it; 3 crashes and 4 is cut off; 1 installs with 2, 2 does not come so far; 2 and 4 meet.
#[test]
fn a_promise_of_a_failed_recovery_is_kept() {
    for outputs in 0..40 {
        let mut script = World::script(4);
        lose_data(script.world(), 3, &[1, 2, 4], 1);
        script.send(3, Agreed, 1).run_for(1).send(1, Safe, 1).run_for(1);
        script.crash(3).partition(&[&[1, 2], &[4]]).run_for(150);
        script.crash_after(1, outputs).run_for(100);
        script.partition(&[&[1], &[2, 4]]).run_for(1_500).finish();
    }
}

/// P45: a data packet that its receiver gets only after the ring that it belongs to is two rings
/// old.
#[test]
fn a_packet_that_comes_two_rings_late_changes_nothing() {
    for held in 1..=3 {
        let mut script = World::script(3);
        script.aim(Aim::at(Kind::Ring(PacketKind::Mcast)).from(1).to(3).held(held));
        script.send(1, Agreed, 1).run_for(20).crash(2).run_for(600).start(2);
        script.until_one_ring(5_000).send(1, Safe, 3).crash(2).run_for(1_000).finish();
    }
}

#[test]
fn a_narrow_path_delays_and_loses_but_breaks_nothing() {
    let mut script = World::script(3);
    script.clog(1, 3, 200_000, 4_000).send(1, Agreed, 100).send(3, Safe, 20).run_for(5_000);
    script.finish();
}

#[test]
fn a_small_receive_buffer_loses_but_breaks_nothing() {
    let mut script = World::script(3);
    script.buffer(2, 2).send(1, Agreed, 300).send(3, Safe, 100).run_for(3_000).finish();
}

/// P20: what was to be stored is lost, or an old state of the disk comes back.
#[test]
fn ring_ids_stay_unique_without_what_was_stored() {
    let mut script = World::script(3);
    for round in 0..6 {
        script.disk_stalls(1).crash(2).run_for(600).start(2).until_one_ring(5_000);
        script.send(1, Safe, 3).run_for(1).crash(1).run_for(round * 60);
        if round % 2 == 0 {
            script.start(1);
        } else {
            script.start_older(1, 5);
        }
        script.disk_goes_on(1).until_one_ring(5_000);
    }
    script.finish();
}

#[test]
fn clocks_that_are_off_by_a_tenth_change_nothing() {
    let mut script = World::script(3);
    let before = script.configurations(1);
    script.clock_rate(1, 100_000).clock_rate(3, -100_000);
    script.send(1, Safe, 50).send(3, Agreed, 50).run_for(20_000);
    assert_eq!(script.configurations(1), before);
    script.finish();
}

/// LIVE-4.
#[test]
fn a_client_that_does_not_read_hurts_nobody_else() {
    let mut script = World::script(3);
    script.send(2, Agreed, 1).stall_client(2);
    let before = script.configurations(1);
    for _ in 0..60 {
        script.send(1, Agreed, 1_000).run_for(200);
    }
    script.read_client(2).send(2, Safe, 1).run_for(100);
    assert_eq!(script.configurations(1), before);
    assert_eq!(script.delivered(2), 60_002);
    script.finish();
}

/// The monotonic clock comes to the end of 64 bits of nanoseconds: everything stands still.
#[test]
fn at_the_end_of_time_nothing_breaks() {
    let clock_origin = u64::MAX - 2_500_000_000;
    let mut script = Script::cold(Options { clock_origin, ..Options::fair(1, 3) });
    script.world().start_all();
    script.run_for(2_000).send(1, Agreed, 10).send(2, Safe, 10).run_for(5_000);
    let judged = check(script.history()).expect("the contract is kept");
    assert!(judged.deliveries > 0);
}

/// P13: every counter passes 2^32 while messages flow and nodes come and go.
#[test]
fn counters_pass_two_to_the_32() {
    let edge = (1 << 32) - 5;
    let origins = Origins {
        ring: edge,
        seq: edge,
        token: edge,
        row: edge,
        join: edge,
        sequenced: edge,
        client: edge,
        message: edge,
        sealed: edge,
    };
    let mut script = Script::cold(Options { origins, ..Options::fair(1, 3) });
    script.world().start_all();
    script.until_one_ring(5_000).send(1, Safe, 50).send(2, Agreed, 50).crash(3).run_for(1_000);
    script.start(3).until_one_ring(5_000).partition(&[&[1], &[2, 3]]).run_for(2_000);
    script.send(1, Agreed, 50).heal().run_for(2_000).finish();
}
