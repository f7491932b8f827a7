//! What happens in the scenarios.

use evs_model::Guarantee::{Agreed, Safe};
use totem::wire::{MergeDetect, Packet};
use totem::{PacketKind, StateKind};

use crate::script::Script;
use crate::world::{Aim, Kind, Moment, Options, Origins, Snare, World};

const fn at(kind: PacketKind) -> Aim {
    Aim::at(Kind::Ring(kind))
}

/// P12: the ring is idle, and the token is parked elsewhere. Waiting for its release would take up
/// to a quarter of the detection target.
pub(super) fn a_lost_wake_request_is_repeated() {
    for phase in 0..10 {
        let mut script = World::script(3);
        script.send(1, Agreed, 1).run_for(500 + 5 * phase);
        script.aim(at(PacketKind::Wake).lost()).send(2, Agreed, 1).run_for(10);
        assert_eq!(script.delivered(3), 2, "a message waits on an idle ring");
        script.finish();
    }
}

/// LIVE-3: a network that heals link by link, faster than an eighth of the detection target after
/// each other. Everybody was alone, and nobody changes more than twice on the way.
pub(super) fn paths_that_heal_one_after_another_cost_few_configurations() {
    for phase in 0..20 {
        let mut script = World::script(5);
        script.partition(&[&[1], &[2], &[3], &[4], &[5]]).run_for(1_000 + 3 * phase);
        let before: Vec<usize> = (1..=5).map(|id| script.regular_configurations(id)).collect();
        script.partition(&[&[1, 2], &[3], &[4], &[5]]).run_for(20);
        script.partition(&[&[1, 2, 3], &[4], &[5]]).run_for(20);
        script.partition(&[&[1, 2, 3, 4], &[5]]).run_for(20);
        script.heal().until_one_ring(1_000);
        for (id, before) in (1..=5).zip(before) {
            let changes = script.regular_configurations(id) - before;
            assert!(changes <= 2, "{id} changed {changes} times, phase {phase}");
        }
        script.finish();
    }
}

/// LIVE-6: three newcomers hear 5, and are a larger set with it; their paths to 4, its companion,
/// are the last to heal.
pub(super) fn a_companion_whose_paths_heal_last_is_waited_for() {
    for phase in 0..20 {
        let mut script = World::script(5);
        script.partition(&[&[4, 5], &[1], &[2], &[3]]).run_for(1_000 + 3 * phase);
        let before: Vec<usize> = (4..=5).map(|id| script.regular_configurations(id)).collect();
        script.heal().cut(1, 4).cut(2, 4).cut(3, 4).run_for(36);
        script.heal().until_one_ring(1_000);
        for (id, before) in (4..=5).zip(before) {
            assert_eq!(script.regular_configurations(id), before + 1, "{id}, phase {phase}");
        }
        script.finish();
    }
}

/// LIVE-6: two pairs form a ring, and what 2 sends to 3 takes long. Before 3 has installed it, 5
/// leaves its own ring for one with all of them: 3 would part with 4, which has.
pub(super) fn a_ring_is_installed_by_all_before_it_is_left_for_a_better_one() {
    for phase in 0..50 {
        let mut script = World::script(5);
        script.partition(&[&[1, 2], &[3, 4], &[5]]).run_for(1_000).slow(2, 3, 60_000);
        script.partition(&[&[1, 2, 3, 4], &[5]]).run_for(60 + 4 * phase);
        script.partition(&[&[1, 2, 3, 4, 5]]).until_one_ring(1_000);
        let seen = [3, 4].map(|id| script.regular_configurations(id));
        assert_eq!(seen[0], seen[1], "3 and 4 go together, phase {phase}");
        script.finish();
    }
}

/// LIVE-3: 4 starts, and hears 1 and 3, which hear each other; with 4 they are a larger set than 1
/// and 2. They follow it while it waits for them, before it has given them up and forms a ring
/// alone.
pub(super) fn who_starts_is_waited_for_though_companions_part() {
    for phase in 0..20 {
        let mut script = World::script(4);
        script.partition(&[&[1, 2], &[3], &[4]]).crash(4).run_for(1_000 + 3 * phase);
        script.heal().cut(2, 3).cut(2, 4).run_for(1_000);
        let before = script.regular_configurations(1);
        script.start(4).until_ring_of(&[1, 3, 4], 1_000);
        assert_eq!(script.regular_configurations(4), 1, "at once with the others, phase {phase}");
        assert_eq!(script.regular_configurations(1), before + 1, "phase {phase}");
        script.finish();
    }
}

/// LIVE-6: 1 is cut off from 2 and dies before 3 has noticed that anything is wrong. To 3, the pair
/// {1, 3} is the largest that is whole until 1 has been silent to it as well.
pub(super) fn a_companion_who_notices_later_is_waited_for() {
    for later in (10..200).step_by(10) {
        let mut script = World::script(3);
        let before: Vec<usize> = (2..=3).map(|id| script.regular_configurations(id)).collect();
        script.cut(1, 2).run_for(later).crash(1);
        script.until_ring_of(&[2, 3], 1_000);
        for (id, before) in (2..=3).zip(before) {
            assert_eq!(script.regular_configurations(id), before + 1, "{id}, {later} ms later");
        }
        script.finish();
    }
}

/// P44, decision 3: 1, 2 and 3 recover, 3 has all and promises to deliver what 1 sent, and 1 dies.
/// 2 and 3 recover; 3 installs and keeps its promise; 2 is cut off before it does, and has made the
/// promise its own.
pub(super) fn a_promise_made_for_another_is_passed_on() {
    let played = (0..40).filter(|moment| a_promise_is_passed_on_from(*moment)).count();
    assert!(played >= 5, "{played} of 40 moments end as they should");
}

/// 1 dies so many steps of 25 microseconds after it has found that all agree. Returns whether 3
/// then installed a ring that 2 did not.
fn a_promise_is_passed_on_from(moment: u64) -> bool {
    let mut script = Script::warm(Options { refusals: true, ..Options::fair(1, 4) });
    // 4's last message is lost, everything of 1 comes after it, and 2 lacks something of 3.
    script.aim(at(PacketKind::Mcast).from(4).count(3).lost());
    script.aim(at(PacketKind::Mcast).from(3).to(2).lost());
    script.crash_at(4, &[Moment::After(PacketKind::Mcast), Moment::After(PacketKind::Token)]);
    script.send_one(4, Agreed, 1_200).until(200, |world| !world.is_up(4));
    script.send_one(1, Safe, 1_200).send_one(3, Agreed, 1_200).until_in(1, StateKind::Commit);
    script.world().run_for(25_000 * moment);
    // The token that would tell 2 to install as well is lost.
    script.crash(1).aim(at(PacketKind::Token).from(3).to(2).lost());
    script.until_in(3, StateKind::Gather).until_in(3, StateKind::Operational);
    let behind = script.world().state(2) == Some(StateKind::Recovery);
    script.partition(&[&[2], &[3]]).run_for(3 * 200).heal().run_for(200).finish();
    behind
}

/// P21.
pub(super) fn an_absurd_ring_sequence_is_not_believed() {
    let mut script = World::script(3);
    let mad = MergeDetect { seq: u64::MAX, rows: Vec::new() };
    script.world().forge(3, 1, &Packet::MergeDetect(mad.into()));
    script.run_for(50).crash(2).until_one_ring(5_000).finish();
}

/// LIVE-2.
pub(super) fn an_orderly_leave_sends_what_was_accepted() {
    let mut script = World::script(3);
    script.send(2, Safe, 200).leave(2).run_for(1_500);
    assert_eq!(script.delivered(1), 200, "what was accepted is sent");
    script.finish();
}

/// EVS-6: somebody without the key hands 3 the tokens that are for 2, and both have much to send.
pub(super) fn a_token_that_comes_to_two_is_used_by_one() {
    let mut script = World::script(3);
    for hop in 0..30 {
        script.send(2, Agreed, 5).send(3, Agreed, 5);
        script.aim(at(PacketKind::Token).from(1).to(2).after(hop).stray_to(3)).run_for(50);
    }
    script.finish();
}

/// P1, LIVE-6: while others send, and data is later than the token.
pub(super) fn a_token_that_is_lost_costs_no_configuration() {
    let mut script = World::script(3);
    let mut weather = script.world().options().weather.clone();
    weather.lag[Kind::Ring(PacketKind::Mcast).index()] = 3 * weather.delay / 2;
    weather.reorder_ppm = 1_000_000;
    script.world().weather(weather);
    let before = script.configurations(1);
    for hop in 0..30 {
        script.send(1, Agreed, 20).send(3, Safe, 20);
        script.aim(at(PacketKind::Token).after(hop).lost()).run_for(100);
    }
    assert_eq!(script.configurations(1), before, "a lost token is no fault");
    script.finish();
}

/// LIVE-6: one datagram of data in twenty is lost.
pub(super) fn lost_data_costs_no_configuration() {
    let mut script = World::script(3);
    let mut weather = script.world().options().weather.clone();
    weather.loss_ppm[Kind::Ring(PacketKind::Mcast).index()] = 50_000;
    script.world().weather(weather);
    let before = script.configurations(1);
    for _ in 0..30 {
        script.send(1, Agreed, 20).send(3, Safe, 20).run_for(100);
    }
    script.finish();
    assert_eq!(script.configurations(1), before, "lost data is no fault");
}

/// P13, LIVE-6: the token's numbers pass 2^32.
pub(super) fn a_number_beyond_2_to_the_32_is_like_any_other() {
    let fair = Options::fair(1, 3);
    let origins = Origins { token: (1 << 32) - 100, ..fair.origins };
    let mut script = Script::cold(Options { origins, ..fair });
    script.world().start_all();
    script.until_one_ring(5_000);
    let before = script.configurations(1);
    for _ in 0..20 {
        script.send(1, Agreed, 20).send(3, Safe, 20).run_for(100);
    }
    script.finish();
    assert_eq!(script.configurations(1), before, "a large number is no fault");
}

/// P26: a join by which a ring was to be formed comes when it stands.
pub(super) fn a_join_from_before_the_ring_does_not_break_it() {
    let mut script = World::script(3);
    let before = script.configurations(1);
    script.aim(at(PacketKind::Join).to(1).held(1)).crash(3).run_for(2_000);
    assert_eq!(script.configurations(1), before + 2, "one transitional and one regular");
    script.finish();
}

/// P6.
pub(super) fn the_tail_of_a_burst_is_repaired_without_further_traffic() {
    let mut script = World::script(3);
    script.aim(at(PacketKind::Mcast).from(1).to(3).lost()).send(1, Agreed, 1).run_for(60);
    assert_eq!(script.delivered(3), 1, "the last message is not requested");
    script.finish();
}

/// LIVE-3: all that 3 sends is lost but its hellos. The others go on without it.
pub(super) fn who_is_heard_but_does_not_join_is_left_out() {
    let mut script = World::script(4);
    for kind in PacketKind::ALL {
        script.aim(at(kind).from(3).count(u32::MAX).lost());
    }
    script.crash(4).run_for(400);
    assert_eq!(script.world().configuration(1).map(|(_, members)| members), Some(2));
    let before = script.configurations(1);
    script.run_for(200);
    assert_eq!(script.configurations(1), before, "it is left out for a while");
    script.finish();
}

/// LIVE-3: 3 is left out as before, and 5 leaves a moment later: what follows does not wait for 3
/// once more.
pub(super) fn who_was_left_out_is_not_waited_for_again() {
    let mut script = World::script(5);
    for kind in PacketKind::ALL {
        script.aim(at(kind).from(3).count(u32::MAX).lost());
    }
    script.crash(4).until_ring_of(&[1, 2, 5], 400);
    script.world().leave(5);
    script.run_for(50);
    let members = script.world().configuration(1).map(|(_, members)| members);
    assert_eq!(members, Some(2), "an agreement among those who join takes no time");
    script.finish();
}

/// LIVE-1: what 3 had sent while it lived is played back again and again.
pub(super) fn a_dead_processor_does_not_live_on_in_its_recording() {
    let mut script = World::script(3);
    let before = script.configurations(1);
    script.world().record(3);
    script.send(3, Agreed, 5).run_for(300).crash(3);
    for _ in 0..300 {
        script.world().play_back();
        script.run_for(20);
    }
    assert_eq!(script.configurations(1), before + 2, "one transitional and one regular");
    script.finish();
}

/// LIVE-3: 1 gets nothing of 3 but its hellos; 3 hears 1 well. The row of 1 alone parts them.
pub(super) fn two_are_parted_although_one_hears_the_other() {
    let mut script = World::script(3);
    for kind in PacketKind::ALL {
        script.aim(at(kind).from(3).to(1).count(u32::MAX).lost());
    }
    script.run_for(700);
    assert_eq!(script.world().configuration(2).map(|(_, members)| members), Some(2));
    script.finish();
}

/// LIVE-3, P34: with 1 there could be a set as large as the ring that works without it.
pub(super) fn a_newcomer_that_a_member_cannot_hear_changes_nothing() {
    let mut script = World::script(5);
    script.crash(1).run_for(2_000).cut(1, 3).run_for(100);
    let before = script.configurations(2);
    let after = script.start(1).run_for(5_000).configurations(2);
    script.finish();
    assert_eq!(after, before, "equals are not swapped");
}

/// LIVE-1: the silence of a dead processor is noticed, and there is one change for it.
pub(super) fn a_dead_processor_is_gone_for_good() {
    let mut script = World::script(3);
    let before = script.run_for(1_000).configurations(1);
    script.crash(3).run_for(10_000).finish();
    assert_eq!(script.configurations(1), before + 2, "one transitional and one regular");
}

/// LIVE-5: it takes no longer for four than for one.
pub(super) fn several_that_do_not_join_are_left_out_at_once() {
    let mut script = World::script(7);
    for id in 3..=6 {
        script.aim(at(PacketKind::Join).from(id).count(u32::MAX).lost());
    }
    script.crash(7).run_for(600);
    assert_eq!(script.world().configuration(1).map(|(_, members)| members), Some(2));
    script.finish();
}

/// LIVE-5: of eleven the death is noticed as soon as of one.
pub(super) fn many_dead_are_excluded_as_soon_as_one() {
    for dead in [1, 11] {
        let mut script = World::script(12);
        script.run_for(1_000);
        (2..2 + dead).for_each(|id| script.world().crash(id));
        script.run_for(2_000).finish();
    }
}

/// LIVE-4: 3 stands still for long enough to be excluded, and goes on.
pub(super) fn who_stood_still_is_out_once_and_back_once() {
    for phase in 0..10 {
        let mut script = World::script(3);
        script.run_for(2_000 + 7 * phase).pause(3).run_for(2_000 + 13 * phase);
        script.resume(3).run_for(2_000).finish();
    }
}

/// LIVE-4, P36: 1 stands still for less than the detection target, and has heard nothing of 2 for a
/// while before. That it then lacks a sign of 2 for too long is its own fault.
pub(super) fn who_stood_still_does_not_blame_others() {
    let mut script = World::script(3);
    script.send(1, Agreed, 1).run_for(500);
    let before = [1, 2, 3].map(|id| script.configurations(id));
    for kind in [Kind::Hello, Kind::Ring(PacketKind::MergeDetect)] {
        script.aim(Aim::at(kind).from(2).to(1).count(u32::MAX).lost());
    }
    script.run_for(40);
    script.world().trap(1, &[Moment::After(PacketKind::Token)], Snare::Pause);
    while !script.world().is_paused(1) {
        script.run_for(1);
    }
    script.run_for(170).heal().resume_timers_first(1).run_for(1_000);
    let after = [1, 2, 3].map(|id| script.configurations(id));
    assert_eq!(before, after, "a pause below the detection target is no fault");
    script.finish();
}

/// LIVE-6, P36: a machine stands still with all its nodes, and 3 goes on a little later than the
/// others.
pub(super) fn who_goes_on_first_does_not_miss_who_goes_on_last() {
    for pause in [220, 600] {
        let mut script = World::script(3);
        script.send(1, Agreed, 1).run_for(500);
        let before = [1, 2, 3].map(|id| script.configurations(id));
        script.pause(1).pause(2).pause(3).run_for(pause);
        script.resume(1).resume(2).run_for(140).resume(3).run_for(1_000);
        let after = [1, 2, 3].map(|id| script.configurations(id));
        assert_eq!(before, after, "a pause of all is no fault of one");
        script.finish();
    }
}

/// LIVE-3, P10, P55: only small packets pass.
pub(super) fn a_path_that_large_packets_do_not_pass_is_left_alone() {
    let mut script = World::script(2);
    script.cut_large(1, 2, 500).cut_large(2, 1, 500);
    let send = |script: &mut Script| {
        for id in 1..=2 {
            script.try_send(id, Agreed, 1_000);
        }
        script.run_for(100);
    };
    (0..30).for_each(|_| send(&mut script));
    let before = script.configurations(2);
    (0..60).for_each(|_| send(&mut script));
    assert_eq!(script.configurations(2), before, "nothing changes while who hears whom does not");
    script.finish();
}

/// LIVE-6, D29, D30: large packets no longer pass between any two, and nobody says so.
pub(super) fn large_packets_that_get_lost_are_cut() {
    let mut script = World::script(3);
    let before = script.configurations(2);
    let send = |script: &mut Script, ms: u32| {
        for _ in 0..ms / 5 {
            (1..=3).for_each(|id| {
                script.try_send(id, Agreed, 3_000);
            });
            script.run_for(5);
        }
    };
    send(&mut script, 200);
    for (from, to) in (1..=3).flat_map(|from| (1..=3).map(move |to| (from, to))) {
        script.cut_large(from, to, 1_300);
    }
    send(&mut script, 1_000);
    let delivered = script.run_for(200).delivered(2);
    script.finish();
    assert_eq!(script.configurations(2), before, "packets are cut, and pass");
    assert!(delivered >= 600, "{delivered}");
}

/// LIVE-3: a ring is split for a path that flaps at most once in each hold-down.
pub(super) fn a_path_that_comes_and_goes_is_used_ever_more_seldom() {
    let mut script = World::script(3);
    let before = script.configurations(2);
    for _ in 0..20 {
        script.cut(1, 3).run_for(650).heal().run_for(750);
    }
    let changes = (script.configurations(2) - before) / 2;
    script.finish();
    assert!(changes <= 20, "{changes} changes for 40 of the path");
}

/// LIVE-2, P9: no data reaches 3, though tokens and hellos do.
pub(super) fn who_gets_no_data_does_not_stop_the_others() {
    let mut script = World::script(4);
    script.aim(at(PacketKind::Mcast).to(3).count(u32::MAX).lost());
    script.send(1, Safe, 10).run_for(2_000);
    assert!([1, 2, 4].iter().all(|id| script.delivered(*id) == 10), "one stops all");
    script.finish();
}

/// LIVE-2: each of n senders without end gets half of an n-th at least, whatever the size of its
/// messages and whoever was first.
pub(super) fn a_window_is_shared_by_all_who_fill_it() {
    let sizes = [8_000, 200, 1_400, 64_000];
    let mut senders = vec![(1, sizes[0])];
    let options = Options {
        window_packets: 2_048,
        window_bytes: 64 << 10,
        client_send_bytes_max: 256 << 10,
        ..Options::fair(1, 4)
    };
    let mut script = Script::warm(options);
    for id in 2..=4 {
        script.saturate(&senders, 20);
        senders.push((id, sizes[id as usize - 1]));
    }
    script.saturate(&senders, 5);
    let sent = script.saturate(&senders, 30);
    let all: u64 = sent.iter().sum();
    assert!(sent.iter().all(|sent| sent * 8 >= all), "unfair shares: {sent:?}");
    script.finish();
}

/// LIVE-2: receive buffers hold 64 datagrams, and a window up to 1,024 packets.
pub(super) fn a_window_that_overflows_receivers_shrinks() {
    let options = Options {
        inbox_max: 64,
        window_packets: 1_024,
        client_send_bytes_max: 1 << 20,
        ..Options::fair(1, 3)
    };
    let mut script = Script::warm(options);
    for id in 1..=3 {
        script.world().effort(id, 20_000);
    }
    let senders = [(1, 1_200), (2, 1_200), (3, 1_200)];
    script.saturate(&senders, 100);
    let count = |script: &mut Script| {
        let stats = |id| script.world_seen().service(id).map(|service| service.ring().stats());
        let counts = (1..=3).filter_map(stats).map(|stats| (stats.originated, stats.retransmits));
        counts.fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1))
    };
    let before = count(&mut script);
    script.saturate(&senders, 200);
    let after = count(&mut script);
    let (sent, again) = (after.0 - before.0, after.1 - before.1);
    assert!(sent > 1_000 && again * 10 <= sent, "{again} of {sent} are sent again");
    script.finish();
}

/// LIVE-2: nothing is lost, so the window grows to the largest.
pub(super) fn a_window_from_which_nothing_is_lost_grows() {
    let options = Options { client_send_bytes_max: 1 << 20, ..Options::fair(1, 3) };
    let mut script = Script::warm(options);
    let senders = [(1, 1_200), (2, 1_200), (3, 1_200)];
    script.saturate(&senders, 30);
    let before = script.saturate(&senders, 10).iter().sum::<u64>();
    // A window of 256 packets in each rotation, of which there are two in a millisecond.
    assert!(before >= 10 * 2 * 200 * 1_200, "{before} bytes in 10 ms");
    script.finish();
}

/// LIVE-2: a safe message is delivered by all within two rotations of the token, wherever it was
/// parked.
pub(super) fn a_safe_message_takes_two_rotations_at_the_most() {
    for nodes in [2, 3, 5, 8] {
        let mut script = World::script(nodes);
        let all: Vec<u32> = (1..=nodes).collect();
        for (from, last) in all.iter().flat_map(|from| all.iter().map(move |last| (*from, *last))) {
            script.send(last, Agreed, 1).run_for(100);
            let took = script.latency(from, Safe, &all);
            // A hop takes 100 to 150 microseconds, the way to the token one and a rotation more.
            let asked = if from == last { 0 } else { u64::from(nodes) };
            let hops = 2 * u64::from(nodes) + asked + 1;
            assert!(took <= hops * 150_000, "{took} ns from {from}, parked at {last} of {nodes}");
            script.run_for(20);
        }
        script.finish();
    }
}

/// LIVE-2: an idle ring sends little. The token goes round once in a quarter of the target, and
/// word of its being parked goes out once.
pub(super) fn an_idle_ring_is_quiet() {
    for nodes in [2, 3, 8, 16] {
        let mut script = World::script(nodes);
        script.send(1, Agreed, 1).run_for(500);
        let kinds = [PacketKind::Token, PacketKind::Parked, PacketKind::Wake, PacketKind::Mcast];
        let count = |script: &mut Script| {
            let traffic = script.world().traffic();
            kinds.iter().map(|kind| traffic.datagrams(Kind::Ring(*kind))).sum::<u64>()
        };
        let before = count(&mut script);
        script.run_for(100 * 200);
        let sent = count(&mut script) - before;
        let most = 100 * 4 * (u64::from(nodes) + 1);
        assert!(sent <= most, "{sent} packets in 100 detection targets, {nodes} nodes");
        script.finish();
    }
}

/// LIVE-6: nobody sends for long.
pub(super) fn a_parked_token_is_not_a_lost_one() {
    let mut script = World::script(3);
    script.send(2, Agreed, 1).run_for(100);
    let before = script.configurations(1);
    script.run_for(20 * 200).finish();
    assert_eq!(script.configurations(1), before, "an idle ring is no fault");
}

/// LIVE-2: a lone sender keeps the token for moments only, so what was lost on the way is missed.
pub(super) fn what_a_lone_sender_sent_last_is_repaired() {
    let mut script = World::script(3);
    script.send(1, Agreed, 1).run_for(100);
    for _ in 0..10 {
        script.latency(1, Agreed, &[1, 2, 3]);
        script.aim(at(PacketKind::Mcast).from(1).to(3).lost());
        let before = script.delivered(3);
        script.send(1, Agreed, 1).run_for(20);
        assert_eq!(script.delivered(3), before + 1, "the last message is not requested");
    }
    script.finish();
}

/// LIVE-6: the nodes get other detection targets while they run, one a little later than the other;
/// the last of them by half of the old target. Between words nobody sends: the token rests.
pub(super) fn other_detection_targets_exclude_nobody() {
    let mut script = World::script(3);
    let before = [1, 2, 3].map(|id| script.configurations(id));
    let mut old = 200;
    for target in [500, 2_000, 200, 60, 2_000, 60, 200] {
        for (id, pause) in [(2, 0), (3, 3), (1, old / 2)] {
            script.run_for(pause);
            script.world().set_detection(id, std::time::Duration::from_millis(target));
            script.send(id, Safe, 3).send(4 - id, Agreed, 3);
        }
        script.run_for(old.max(target) * 3);
        old = target;
    }
    script.finish();
    let after = [1, 2, 3].map(|id| script.configurations(id));
    assert_eq!(before, after, "another detection target is no fault");
}
