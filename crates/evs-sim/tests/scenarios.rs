//! Scenarios with a name. Each ends with the faults gone, the world settled and the whole history
//! held against the contract.

use evs_model::Guarantee::{self, Agreed, Fifo, Safe, Unordered};
use evs_sim::checker::check;
use evs_sim::script::Script;
use evs_sim::world::{Options, World};

const ALL: [Guarantee; 4] = [Unordered, Fifo, Agreed, Safe];

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

#[test]
fn an_orderly_leave_sends_what_was_accepted() {
    let mut script = World::script(3);
    script.send(2, Safe, 200).leave(2).run_for(1_500);
    assert!(!script.world().is_up(2));
    assert_eq!(script.delivered(1), 200);
    script.finish();
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

/// P36: 3 wakes up with a receive buffer full of a predecessor of 1, which it still hears. As long
/// as it does not hear the new 1, it does not tell it so.
#[test]
fn who_wakes_up_after_another_was_restarted_is_taken_in_once() {
    for ms in 0..20 {
        let mut script = World::script(3);
        script.pause(3).run_for(50 + ms).partition(&[&[1, 2], &[3]]).crash(1).run_for(300);
        script.start(1).run_for(1_500);
        let before = script.configurations(1);
        script.heal().resume(3).until_one_ring(2_000);
        assert_eq!(script.configurations(1), before + 2, "one transitional and one regular");
        script.finish();
    }
}
