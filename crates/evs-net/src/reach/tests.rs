//! The rules of `docs/protocol.md` §6, one test each.

use std::time::Duration;

use evs_model::Processor;

use crate::testing::{DETECTION, INTERVAL, LATENCY, World, config, processor};
use crate::wire::TO_AT;
use crate::{Discard, DownCause, EndpointConfig, EndpointOutput, PeerEvent};

fn silence(down: &(Processor, DownCause)) -> Duration {
    let DownCause::Silence(silence) = down.1 else {
        panic!("down for another reason: {down:?}");
    };
    silence
}

#[test]
fn two_nodes_that_start_together_hear_each_other_after_three_half_round_trips() {
    let mut world = World::empty();
    world.start(config(1, 100, 2));
    world.start(config(2, 200, 2));
    world.run(LATENCY * 3);
    assert_eq!(world.heard(0), [processor(2, 200)]);
    assert_eq!(world.heard(1), [processor(1, 100)]);
}

#[test]
fn nobody_is_heard_whose_echo_did_not_come_back() {
    let mut world = World::empty();
    world.start(config(1, 100, 2));
    world.start(config(2, 200, 2));
    world.cut(0, 1);
    world.run(DETECTION * 3);
    assert_eq!(world.heard(0), [], "2 is received, but does not hear 1");
    assert_eq!(world.heard(1), []);
}

#[test]
fn the_set_is_told_in_full_on_every_change() {
    let mut world = World::formed(3);
    world.kill(2);
    world.run(DETECTION * 2);
    let told: Vec<_> = world.nodes[0]
        .events
        .iter()
        .filter_map(|(_, event)| {
            if let EndpointOutput::Heard(heard) = event {
                Some(heard.as_slice().to_vec())
            } else {
                None
            }
        })
        .collect();
    assert_eq!(told.last(), Some(&vec![processor(2, 200)]));
    assert!(told.contains(&vec![processor(2, 200), processor(3, 300)]));
}

#[test]
fn a_silent_peer_is_down_after_the_detection_target_and_not_before() {
    let mut world = World::formed(2);
    world.kill(1);
    let took = world.run_until(DETECTION * 2, |world| world.heard(0).is_empty());
    let downs = world.downs(0);
    assert_eq!(downs.len(), 1);
    assert_eq!(silence(&downs[0]), DETECTION);
    assert!(took <= DETECTION, "{took:?}");
    assert!(took >= DETECTION - INTERVAL, "its last hello was at most an interval old: {took:?}");
}

#[test]
fn any_authentic_datagram_keeps_its_sender_up() {
    let mut world = World::formed(2);
    // 1's hellos still reach 2; of what 2 sends, only ring packets arrive.
    world.cut(1, 0);
    for _ in 0..40 {
        let packet = world.sealed(1, b"data");
        assert_eq!(world.inject(1, 0, &packet), Ok(Some(b"data".to_vec())));
        world.run(INTERVAL);
    }
    assert_eq!(world.heard(0), [processor(2, 200)]);
    world.run(DETECTION);
    assert_eq!(world.heard(0), []);
}

#[test]
fn a_discarded_datagram_keeps_nobody_up() {
    let mut world = World::formed(2);
    let replayed = world.sealed(1, b"data");
    assert!(world.inject(1, 0, &replayed).is_ok());
    world.kill(1);
    for _ in 0..20 {
        assert_eq!(world.inject(1, 0, &replayed), Err(Discard::Replayed));
        world.run(INTERVAL);
    }
    assert_eq!(world.heard(0), []);
}

#[test]
fn a_cut_in_one_direction_takes_both_sides_down() {
    let mut world = World::formed(2);
    world.cut(0, 1);
    let took = world.run_until(DETECTION * 2, |world| world.heard(0).is_empty());
    assert_eq!(world.heard(1), []);
    assert!(took <= DETECTION + INTERVAL + LATENCY, "{took:?}");
    assert_eq!(world.downs(0), [(processor(2, 200), DownCause::NotHeardByPeer)]);
    silence(&world.downs(1)[0]);
}

#[test]
fn a_healed_cut_is_noticed_within_an_interval() {
    let mut world = World::formed(2);
    world.cut(0, 1);
    world.cut(1, 0);
    world.run(DETECTION * 5);
    assert_eq!((world.heard(0), world.heard(1)), (vec![], vec![]));
    world.heal();
    world.run(INTERVAL + LATENCY * 3);
    assert_eq!(world.heard(0), [processor(2, 200)]);
    assert_eq!(world.heard(1), [processor(1, 100)]);
}

#[test]
fn a_lossy_network_takes_nobody_down() {
    let mut world = World::formed(3);
    let mut rng = fastrand::Rng::with_seed(3);
    // Each interval one direction in five is dead.
    for _ in 0..300 {
        world.heal();
        for from in 0..3 {
            for to in 0..3 {
                if rng.u8(..5) == 0 {
                    world.cut(from, to);
                }
            }
        }
        world.run(INTERVAL);
    }
    assert!((0..3).all(|index| world.downs(index).is_empty()));
}

#[test]
fn nodes_with_different_detection_targets_do_not_lose_each_other() {
    let mut world = World::empty();
    world.start(config(1, 100, 2));
    world.start(EndpointConfig { detection: DETECTION * 30, ..config(2, 200, 2) });
    world.run(DETECTION * 60);
    assert_eq!((world.downs(0), world.downs(1)), (vec![], vec![]));
    let sent = world.nodes[1].endpoint.stats().hellos_sealed;
    // The impatient one is gone: the patient one falls back to its own pace.
    world.kill(0);
    world.run(DETECTION * 60);
    assert_eq!(world.heard(1), []);
    let more = world.nodes[1].endpoint.stats().hellos_sealed - sent;
    assert!(sent > 550 && more < sent * 3 / 4, "{sent}, then {more}");
}

#[test]
fn the_round_trip_is_measured() {
    let mut world = World::formed(2);
    world.run(DETECTION * 3);
    let peer = world.nodes[0].endpoint.peers().next().expect("one peer");
    let trip = peer.round_trip.expect("measured");
    for measured in [trip.latest, trip.minimum, trip.smoothed] {
        let off = measured.abs_diff(LATENCY * 2);
        assert!(off <= Duration::from_micros(3), "rounded to microseconds twice: {measured:?}");
    }
    assert!(trip.deviation < LATENCY, "{:?}", trip.deviation);
}

#[test]
fn a_restarted_node_is_heard_long_before_its_death_would_be_noticed() {
    for phase in 0..20 {
        let mut world = World::formed(3);
        world.run(DETECTION + INTERVAL * phase / 20);
        world.kill(1);
        let new = world.start(config(2, 201, 3));
        let took = world.run_until(DETECTION, |world| {
            let hears = |index: usize| world.heard(index).contains(&processor(2, 201));
            hears(0) && hears(2) && world.heard(new).len() == 2
        });
        assert!(took <= INTERVAL * 5 / 2 + LATENCY * 2, "{took:?}");
        assert_eq!(world.downs(0), [(processor(2, 200), DownCause::Replaced(201))]);
        assert_eq!(world.heard(0), [processor(2, 201), processor(3, 300)]);
    }
}

#[test]
fn a_restart_is_not_taken_for_a_duplicate() {
    let mut world = World::formed(3);
    for incarnation in 0..20 {
        let old = world.nodes.len() - 1;
        world.kill(if incarnation == 0 { 1 } else { old });
        let new = world.start(config(2, 1_000 + incarnation, 3));
        world.run(DETECTION);
        assert_eq!(world.duplicates(new), []);
    }
    let doubles = |(_, event): &(_, EndpointOutput)| {
        matches!(event, EndpointOutput::Peer(PeerEvent::Double { .. }))
    };
    assert!(!world.nodes[0].events.iter().any(doubles));
    assert_eq!(world.heard(0), [processor(2, 1_019), processor(3, 300)]);
}

#[test]
fn the_recording_of_an_old_incarnation_is_worth_nothing() {
    let mut world = World::formed(2);
    world.run(DETECTION);
    let recorded = std::mem::take(&mut world.recorded);
    world.kill(1);
    world.start(config(2, 201, 2));
    world.run(DETECTION * 2);
    for (from, datagram) in recorded.iter().filter(|(from, _)| *from == 1) {
        let _ = world.inject(*from, 0, datagram);
        world.run(INTERVAL / 20);
    }
    assert_eq!(world.heard(0), [processor(2, 201)]);
    assert_eq!(world.downs(0), [(processor(2, 200), DownCause::Replaced(201))]);
}

#[test]
fn a_recording_made_before_my_restart_is_worth_nothing() {
    let mut world = World::formed(2);
    for _ in 0..20 {
        world.send(1, 0, b"old");
        world.run(INTERVAL);
    }
    let recorded = std::mem::take(&mut world.recorded);
    world.kill(0);
    let new = world.start(config(1, 101, 2));
    world.run(DETECTION);
    assert_eq!(world.heard(new), [processor(2, 200)], "2 lives on");
    for (from, datagram) in recorded.iter().filter(|(from, _)| *from == 1) {
        assert!(world.inject(*from, new, datagram).is_err());
    }
    assert_eq!(world.nodes[new].packets, []);
}

#[test]
fn a_recording_alone_brings_nobody_up() {
    let mut world = World::formed(2);
    world.run(DETECTION);
    let recorded = std::mem::take(&mut world.recorded);
    world.kill(0);
    world.kill(1);
    let new = world.start(config(1, 101, 2));
    for (from, datagram) in recorded.iter().filter(|(from, _)| *from == 1) {
        let _ = world.inject(*from, new, datagram);
        world.run(INTERVAL / 10);
    }
    assert_eq!(world.nodes[new].events, []);
}

#[test]
fn the_echo_of_a_challenge_older_than_the_detection_target_is_worth_nothing() {
    let mut world = World::formed(2);
    // A hello that was never delivered, of a process that has died since.
    world.cut(1, 0);
    world.run(INTERVAL * 2);
    let (_, late) = world.recorded.iter().rfind(|(from, _)| *from == 1).expect("sent").clone();
    world.kill(1);
    world.run(DETECTION * 3 / 2);
    assert_eq!(world.heard(0), []);
    assert_eq!(world.inject(1, 0, &late), Ok(None), "authentic, and not seen before");
    assert_eq!(world.heard(0), []);
}

#[test]
fn answers_to_recordings_are_bounded() {
    let mut world = World::formed(2);
    world.run(DETECTION * 30);
    let recorded = std::mem::take(&mut world.recorded);
    world.kill(0);
    world.kill(1);
    let new = world.start(config(1, 101, 2));
    world.run(LATENCY);
    let sent = world.nodes[new].endpoint.stats().hellos_sealed;
    for (from, datagram) in recorded.iter().filter(|(from, _)| *from == 1) {
        let _ = world.inject(*from, new, datagram);
    }
    let answers = world.nodes[new].endpoint.stats().hellos_sealed - sent;
    assert!((1..=4).contains(&answers), "{answers} answers");
}

/// A token, for example: two would have it.
#[test]
fn what_is_for_one_is_nothing_to_another() {
    let mut world = World::formed(3);
    world.recorded.clear();
    world.send_urgent(0, 1, b"a token");
    let (_, datagram) = world.recorded.last().expect("sent").clone();
    assert_eq!(world.inject(0, 2, &datagram), Err(Discard::Misdirected));
    let mut readdressed = datagram.clone();
    readdressed[TO_AT] = 3;
    assert_eq!(world.inject(0, 2, &readdressed), Err(Discard::Unauthenticated));
    readdressed[TO_AT] = 0;
    assert_eq!(world.inject(0, 2, &readdressed), Err(Discard::Unauthenticated));
    assert_eq!(world.inject(0, 1, &datagram), Ok(Some(b"a token".to_vec())));
}

#[test]
fn after_an_own_pause_nobody_is_taken_down_before_a_full_round_of_hellos() {
    for pause in [DETECTION * 6 / 10, DETECTION * 3 / 2, DETECTION * 3, DETECTION * 30] {
        let mut world = World::formed(3);
        world.pause(0);
        world.run(pause);
        world.resume(0);
        world.run(DETECTION * 2);
        assert_eq!(world.downs(0), [], "{pause:?}");
        assert_eq!(world.heard(0), [processor(2, 200), processor(3, 300)], "{pause:?}");
        assert_eq!(world.heard(1), [processor(1, 100), processor(3, 300)], "{pause:?}");
        assert_eq!(world.nodes[0].endpoint.stats().pauses, 1, "{pause:?}");
        let told = |(_, event): &(_, EndpointOutput)| {
            if let EndpointOutput::Paused(pause) = event { Some(*pause) } else { None }
        };
        let told: Vec<_> = world.nodes[0].events.iter().filter_map(told).collect();
        let [told] = told[..] else { panic!("{pause:?} is told as {told:?}") };
        assert!(told + INTERVAL >= pause && told <= pause, "{pause:?}: {told:?}");
    }
}

#[test]
fn after_an_own_pause_a_dead_peer_is_found_after_that_round() {
    let mut world = World::formed(2);
    world.pause(0);
    world.kill(1);
    world.run(DETECTION * 3);
    world.resume(0);
    let took = world.run_until(DETECTION * 2, |world| world.heard(0).is_empty());
    assert!(took >= INTERVAL * 3, "{took:?}");
    assert!(took <= DETECTION + INTERVAL, "{took:?}");
}

/// A machine that stands still takes all its processes with it, some for a little longer.
#[test]
fn p36_an_own_pause_does_not_count_as_the_silence_of_others() {
    for (mine, others) in [(109, 174), (60, 120), (300, 380)] {
        let mut world = World::formed(3);
        world.pause(0);
        world.pause(1);
        world.run(DETECTION * mine / 100);
        world.resume(0);
        world.run(DETECTION * (others - mine) / 100);
        assert_eq!(world.downs(0), [], "{mine} {others}");
        world.resume(1);
        world.run(DETECTION * 2);
        assert_eq!(world.downs(0), [], "{mine} {others}");
        assert_eq!(world.heard(0), [processor(2, 200), processor(3, 300)], "{mine} {others}");
    }
}

/// Awake for less than a round at a time, or for more: nobody lives for ever.
#[test]
fn pauses_that_follow_each_other_put_a_verdict_off_by_as_much_and_a_round() {
    for (pause, awake) in [(55, 10), (55, 35), (300, 20)] {
        let mut world = World::formed(2);
        world.kill(1);
        let (mut slept, begin) = (Duration::ZERO, world.now);
        while !world.heard(0).is_empty() {
            world.pause(0);
            world.run(DETECTION * pause / 100);
            slept += DETECTION * pause / 100;
            world.resume(0);
            world.run(DETECTION * awake / 100);
            let awake = world.now - begin - slept;
            assert!(awake <= DETECTION + INTERVAL * 5, "{pause} {awake:?}");
        }
        let [(_, DownCause::Silence(silence))] = world.downs(0)[..] else { panic!("one is down") };
        assert!(silence >= DETECTION && silence <= DETECTION + INTERVAL * 4, "{silence:?}");
    }
}

/// What was silence before a pause of one's own, and after it, is all of one silence.
#[test]
fn an_own_pause_ends_no_silence() {
    let mut world = World::formed(2);
    world.kill(1);
    world.run(DETECTION * 6 / 10);
    world.pause(0);
    world.run(DETECTION * 2);
    world.resume(0);
    let took = world.run_until(DETECTION * 2, |world| world.heard(0).is_empty());
    assert!(took >= INTERVAL * 3 && took <= DETECTION * 4 / 10 + INTERVAL, "{took:?}");
}

#[test]
fn the_pause_of_one_takes_it_down_and_up_again_on_the_others() {
    let mut world = World::formed(3);
    world.pause(0);
    world.run(DETECTION * 2);
    assert_eq!(world.heard(1), [processor(3, 300)]);
    world.resume(0);
    world.run(INTERVAL);
    assert_eq!(world.heard(1), [processor(1, 100), processor(3, 300)]);
}

#[test]
fn a_full_cluster_fits_into_hellos_of_bounded_size() {
    let mut world = World::empty();
    let count = 128;
    // One node is enough to look at; the others are its 127 peers.
    for id in 1..=count {
        world.start(EndpointConfig { packet_bytes_max: 1_000, ..config(id, u64::from(id), count) });
    }
    world.run(INTERVAL * 2);
    assert_eq!(world.heard(0).len(), 127);
    assert_eq!(world.heard(127).len(), 127);
    let longest = world.recorded.iter().map(|(_, datagram)| datagram.len()).max();
    assert!(longest.expect("some") <= 1280 - 48, "{longest:?}");
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    let run = || {
        let mut world = World::formed(3);
        world.run(DETECTION);
        world.kill(1);
        world.start(config(2, 201, 3));
        world.run(DETECTION);
        world.recorded
    };
    assert_eq!(run(), run());
}

#[test]
fn nothing_is_due_in_the_past_for_long() {
    let mut world = World::formed(3);
    world.kill(2);
    world.start_elsewhere(config(2, 222, 3));
    world.cut(0, 1);
    for _ in 0..2_000 {
        let due = world.nodes[0].endpoint.poll_timeout().expect("hellos never end");
        world.run(due.since(world.now));
        let endpoint = &mut world.nodes[0].endpoint;
        endpoint.handle_timeout(world.now);
        while endpoint.poll_output().is_some() {}
        assert!(endpoint.poll_timeout().expect("hellos never end") > world.now);
    }
}

mod burst;
mod doubles;
mod links;
mod patience;
mod settings;
mod sizes;

/// P34, P55: a path that lets small packets pass is none.
#[test]
fn a_peer_that_gets_small_packets_only_is_not_heard() {
    let mut world = World::empty();
    world.bytes_max = 1_000;
    world.start(config(1, 100, 2));
    world.start(config(2, 200, 2));
    world.run(DETECTION * 10);
    assert_eq!((world.heard(0), world.heard(1)), (vec![], vec![]));
    let large = world.recorded.iter().filter(|(_, datagram)| datagram.len() > 1_000).count();
    assert!(large < 10 * 10 * 2 * 5, "answers are bounded: {large}");
    world.bytes_max = usize::MAX;
    world.run(INTERVAL * 2);
    assert_eq!(world.heard(0), [processor(2, 200)]);
    assert_eq!(world.heard(1), [processor(1, 100)]);
}

/// P9, P10
#[test]
fn a_peer_found_deaf_is_down_and_back_after_large_packets_passed_and_twice_the_target() {
    let mut world = World::formed(2);
    world.distrust(0, processor(2, 200));
    assert_eq!(world.downs(0), [(processor(2, 200), DownCause::Deaf)]);
    let held = world.run_until(DETECTION * 4, |world| !world.heard(0).is_empty());
    assert!(held >= DETECTION * 2 && held <= DETECTION * 2 + INTERVAL, "{held:?}");
    world.distrust(0, processor(2, 200));
    let held = world.run_until(DETECTION * 8, |world| !world.heard(0).is_empty());
    assert!(held >= DETECTION * 4, "twice as long the second time: {held:?}");
}

#[test]
fn a_peer_that_is_lost_again_and_again_is_held_down_for_longer_and_longer() {
    let mut world = World::formed(2);
    let mut held = Vec::new();
    for _ in 0..4 {
        world.cut(1, 0);
        world.run_until(DETECTION * 2, |world| world.heard(0).is_empty());
        world.heal();
        let took = world.run_until(DETECTION * 20, |world| !world.heard(0).is_empty());
        held.push(took.as_millis() / DETECTION.as_millis());
    }
    assert_eq!(held, [0, 1, 2, 4]);
}

/// What a dead incarnation said just before its end echoes challenges that are still fresh. Its
/// successor has taken its place since, and with it went the memory of its counters.
#[test]
fn a_recording_of_a_predecessor_brings_nobody_back() {
    let mut world = World::formed(2);
    let packet = world.sealed(1, b"data");
    assert!(world.inject(1, 0, &packet).is_ok());
    let recorded = world.recorded.clone();
    world.kill(1);
    let new = world.start(config(2, 201, 2));
    world.run_until(DETECTION, |world| world.heard(0) == [processor(2, 201)]);
    // The successor falls silent for as long as it takes to be replaced.
    world.cut(new, 0);
    world.run(DETECTION * 3 / 10);
    for (_, datagram) in recorded.iter().filter(|(from, _)| *from == 1) {
        let _ = world.inject(1, 0, datagram);
    }
    assert_eq!(world.heard(0), [processor(2, 201)]);
    assert!(world.inject(1, 0, &packet).is_err(), "it was handed up before");
}

/// A processor wakes up and takes my dead predecessor for alive until a round of hellos has passed.
/// It does not tell me meanwhile that it hears me, now in an answer and then not in a hello.
#[test]
fn who_still_hears_my_predecessor_does_not_say_that_it_hears_me() {
    let mut world = World::formed(2);
    world.pause(0);
    world.run(INTERVAL * 3);
    world.kill(1);
    world.cut(0, 1);
    world.run(DETECTION * 2);
    world.heal();
    let new = world.start(config(2, 201, 2));
    world.resume(0);
    world.run(DETECTION * 2);
    assert_eq!(world.heard(new), [processor(1, 100)]);
    assert_eq!(world.heard(0), [processor(2, 201)]);
    assert_eq!(world.downs(new), []);
}

#[test]
fn an_answer_to_my_predecessor_says_nothing_about_me() {
    let mut world = World::formed(2);
    world.run(DETECTION);
    let (_, late) = world.recorded.iter().rfind(|(from, _)| *from == 1).expect("sent").clone();
    world.kill(1);
    let new = world.start(config(2, 201, 2));
    world.run(DETECTION * 2);
    // It comes from the address that is now the successor's.
    let _ = world.inject(new, 0, &late);
    world.run(DETECTION * 2);
    assert_eq!(world.downs(new), []);
}
