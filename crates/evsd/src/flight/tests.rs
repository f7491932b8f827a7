use evs_model::NodeId;

use super::*;

fn processor(node: u32) -> Processor {
    Processor::new(NodeId::new(node).expect("not zero"), u64::from(node) * 16)
}

fn members(nodes: &[u32]) -> Members {
    Members::new(nodes.iter().map(|node| processor(*node)).collect()).expect("few")
}

fn ring(seq: u64) -> RingId {
    RingId { seq, rep: processor(1) }
}

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

const DETECTION: Duration = Duration::from_secs(1);
const COUNTED: Counted = Counted { sent: 0, got: 0, restarted: 0 };

/// Node 1 in a ring with 2 and 3 since the second second.
fn flight() -> Flight {
    let mut flight = Flight::start(processor(1), DETECTION, Path::new("/proc/none"), at(1000));
    flight.install(at(2000), (ring(1), &members(&[1, 2, 3])), COUNTED);
    flight
}

fn give_up(flight: &mut Flight, now: Instant, cause: totem::Cause, token_seq: u64) {
    let token = totem::TokenSight {
        ring: ring(1),
        token_seq,
        silence: DETECTION,
        passed_to: Some(processor(2)),
        arrived: true,
    };
    let edge = (StateKind::Operational, StateKind::Gather);
    flight.note_transition(now, edge, cause, Some(&token));
}

fn latest(flight: &Flight) -> &Change {
    flight.latest().expect("there is one")
}

fn silent(peer: u32) -> PeerEvent {
    PeerEvent::Down { peer: processor(peer), cause: DownCause::Silence(DETECTION) }
}

#[test]
fn a_token_that_nobody_is_missed_for_is_where_it_was_last_seen() {
    let mut flight = flight();
    give_up(&mut flight, at(9000), totem::Cause::TokenLost, 7);
    flight.install(at(9010), (ring(2), &members(&[1, 2, 3])), COUNTED);
    let (last_at, passed_to) = (Some(processor(1).into()), Some(processor(2).into()));
    assert_eq!(
        latest(&flight).trigger,
        Trigger::TokenLost { without: vec![], number: 7, last_at, passed_to }
    );

    let token = TokenSight { number: 8, ..TokenSight::default() };
    let node: evs_report::Node = processor(2).into();
    let evidence = Evidence { node: node.clone(), token: Some(token), ..Evidence::default() };
    flight.note_evidence(&ring(2).to_string(), evidence);
    let last_at = Some(node);
    let trigger = Trigger::TokenLost { without: vec![], number: 8, last_at, passed_to: None };
    assert_eq!(latest(&flight).trigger, trigger);
}

#[test]
fn a_state_out_of_bounds_is_the_reason() {
    let mut flight = flight();
    give_up(&mut flight, at(9000), totem::Cause::OutOfRange, 7);
    flight.install(at(9010), (ring(2), &members(&[1, 2, 3])), COUNTED);
    assert_eq!(latest(&flight).trigger, Trigger::OutOfRange);
}

#[test]
fn a_peer_to_which_no_data_passes_is_named() {
    let mut flight = flight();
    let cause = DownCause::Deaf;
    flight.note_peer(at(8999), &PeerEvent::Down { peer: processor(3), cause });
    give_up(&mut flight, at(9000), totem::Cause::PathLost(processor(1), processor(3)), 7);
    flight.install(at(9010), (ring(2), &members(&[1, 2])), COUNTED);
    let (node, noticed_by) = (processor(3).into(), processor(1).into());
    assert_eq!(latest(&flight).trigger, Trigger::Deaf { node, noticed_by });
}

#[test]
fn a_change_has_its_times_states_and_what_was_exchanged() {
    let mut flight = flight();
    flight.note_peer(at(8990), &silent(3));
    give_up(&mut flight, at(9000), totem::Cause::PathLost(processor(1), processor(3)), 7);
    let steps = [
        (9003, StateKind::Gather, StateKind::Commit, totem::Cause::Consensus),
        (9004, StateKind::Commit, StateKind::Gather, totem::Cause::TokenLost),
        (9005, StateKind::Gather, StateKind::Commit, totem::Cause::CommitToken),
    ];
    for (ms, from, to, cause) in steps {
        flight.note_transition(at(ms), (from, to), cause, None);
    }
    flight.note_together(&members(&[1, 2]));
    let counted = Counted { sent: 4, got: 2, restarted: 1 };
    flight.install(at(9010), (ring(2), &members(&[1, 2])), counted);
    let change = latest(&flight);
    assert_eq!((change.change, change.took_us, change.attempts), (2, 10_000, 2));
    assert_eq!(change.recovery, Recovery { sent: 4, got: 2, restarted: 1 });
    let times: Vec<_> = change.timeline.iter().map(|step| step.at_us).collect();
    assert_eq!(times, [0, 3000, 4000, 5000]);
    let saw = &change.evidence[0].saw;
    assert!(matches!(&saw[..], [Sight::Silent { at_us: -10_000, .. }]), "{saw:?}");
    assert_eq!(change.together.len(), 2);
}

fn still(seconds: u64) -> Pause {
    Pause { pause_us: seconds * 1_000_000, starved_us: Some(3), major_faults: Some(4) }
}

/// A pause of this morning does not explain a death of tonight.
#[test]
fn what_was_seen_long_before_is_no_part_of_a_change() {
    let mut flight = flight();
    flight.note_pause(at(3000), still(2));
    flight.note_peer(at(59_990), &silent(3));
    give_up(&mut flight, at(60_000), totem::Cause::TokenLost, 7);
    flight.install(at(60_010), (ring(2), &members(&[1, 2])), COUNTED);
    assert!(matches!(latest(&flight).trigger, Trigger::Silent { .. }));
    assert_eq!(latest(&flight).evidence[0].saw.len(), 1);
}

/// A node that stood still may be alone for a while before it is back, and can tell others.
#[test]
fn who_parted_for_its_own_pause_says_so_when_it_is_back() {
    let mut flight = flight();
    let own = Trigger::Paused { node: processor(1).into(), pause: still(2) };
    flight.note_pause(at(12_000), still(2));
    give_up(&mut flight, at(12_010), totem::Cause::TokenLost, 7);
    flight.install(at(12_020), (ring(2), &members(&[1])), COUNTED);
    assert_eq!(latest(&flight).trigger, own);
    give_up(&mut flight, at(60_000), totem::Cause::Growth(processor(3)), 9);
    let members_again = members(&[1, 2, 3]);
    let (evidence, _) = flight.install(at(60_010), (ring(3), &members_again), COUNTED);
    assert_eq!(latest(&flight).trigger, own);
    assert!(
        matches!(&evidence.saw[..], [Sight::Paused { at_us: -48_000_000, .. }]),
        "{evidence:?}"
    );
    give_up(&mut flight, at(61_000), totem::Cause::Growth(processor(4)), 11);
    flight.install(at(61_010), (ring(4), &members(&[1, 2, 3, 4])), COUNTED);
    assert!(matches!(latest(&flight).trigger, Trigger::Joined { .. } | Trigger::Merged { .. }));
    assert_eq!(latest(&flight).evidence[0].saw.len(), 0);
}

/// Whom it is back with knows already, or was not left for it.
#[test]
fn an_own_pause_is_told_once_and_to_those_who_were_left_for_it() {
    let mut flight = flight();
    flight.note_pause(at(2100), still(9));
    flight.note_pause(at(12_000), still(2));
    give_up(&mut flight, at(12_010), totem::Cause::TokenLost, 7);
    flight.install(at(12_020), (ring(2), &members(&[1, 2])), COUNTED);
    let trigger = &latest(&flight).trigger;
    assert!(matches!(trigger, Trigger::Paused { pause, .. } if *pause == still(2)), "{trigger:?}");
    let mut join = |ms, seq, nodes: &[u32]| {
        give_up(&mut flight, at(ms), totem::Cause::Growth(processor(4)), seq);
        let (evidence, trigger) =
            flight.install(at(ms + 10), (ring(seq), &members(nodes)), COUNTED);
        (evidence.saw.len(), matches!(trigger, Trigger::Paused { .. }))
    };
    assert_eq!(join(60_000, 3, &[1, 2, 4]), (0, false), "4 is new");
    assert_eq!(join(70_000, 4, &[1, 2, 3, 4]), (0, false), "it came too late");
}

#[test]
fn a_peer_that_is_heard_again_was_away_for_so_long() {
    let mut flight = flight();
    flight.note_peer(at(10_000), &silent(3));
    give_up(&mut flight, at(10_000), totem::Cause::TokenLost, 7);
    flight.install(at(10_010), (ring(2), &members(&[1, 2])), COUNTED);
    flight.note_peer(at(15_000), &PeerEvent::Up { peer: processor(3), round_trip: None });
    give_up(&mut flight, at(15_000), totem::Cause::Growth(processor(3)), 9);
    flight.install(at(15_010), (ring(3), &members(&[1, 2, 3])), COUNTED);
    let (nodes, absent_us) = (vec![processor(3).into()], Some(5_000_000));
    assert_eq!(latest(&flight).trigger, Trigger::Merged { nodes, absent_us });
}

#[test]
fn only_members_are_witnesses_and_each_is_heard_once() {
    let mut flight = flight();
    let told = |node: u32| Evidence { node: processor(node).into(), ..Evidence::default() };
    for node in [2, 9, 2] {
        flight.note_evidence(&ring(1).to_string(), told(node));
    }
    flight.note_evidence("another ring", told(3));
    let by: Vec<_> = latest(&flight).evidence.iter().map(|told| told.node.node).collect();
    assert_eq!(by, [1, 2]);
}

/// A record stays short enough for an answer, whatever members say.
#[test]
fn a_long_story_of_a_member_is_left_out() {
    let mut flight = flight();
    let (_, before) = flight.changes[0];
    let empty = Evidence { node: processor(2).into(), ..Evidence::default() };
    let room = CHANGE_BYTES_MAX - before - json_bytes(&empty);
    for (node, length, witnesses) in [(2, room + 1, 1), (2, room, 2), (3, 0, 2)] {
        let (node, at) = (processor(node).into(), "x".repeat(length));
        flight.note_evidence(&ring(1).to_string(), Evidence { node, at, ..Evidence::default() });
        assert_eq!(latest(&flight).evidence.len(), witnesses, "{length}");
    }
    let whole = flight.answer(at(3000), &Question::Change { which: Some(ring(1).to_string()) });
    assert!(json_bytes(&whole) < evs_ipc::STATUS_BYTES_MAX);
}

#[test]
fn the_latest_changes_are_kept_and_things_seen_are_bounded() {
    let mut flight = flight();
    for i in 0..u64::try_from(CHANGES_MAX).expect("small") + 5 {
        let now = at(10_000 + i);
        for _ in 0..2 * SIGHTS_MAX {
            flight.note_pause(now, still(1));
        }
        give_up(&mut flight, now, totem::Cause::TokenLost, i);
        flight.install(now, (ring(i + 2), &members(&[1, 2, 3])), COUNTED);
    }
    let answer = flight.answer(at(20_000), &Question::Changes { last: u32::MAX });
    let changes = answer.changes.expect("an answer");
    assert_eq!(changes.len(), CHANGES_MAX);
    assert_eq!(changes[0].change, 7);
    assert_eq!(latest(&flight).evidence[0].saw.len(), SIGHTS_MAX);
    let gone = flight.answer(at(20_000), &Question::Change { which: Some("6".to_owned()) });
    assert!(gone.error.is_some_and(|error| error.contains("those from 7")));
}

#[test]
fn a_change_that_is_under_way_is_told_as_far_as_it_is_known() {
    let mut flight = flight();
    flight.note_peer(at(8990), &silent(3));
    give_up(&mut flight, at(9000), totem::Cause::TokenLost, 7);
    let answer = flight.answer(at(9500), &Question::Change { which: None });
    let pending = answer.pending.expect("it is under way");
    assert_eq!((pending.to, pending.took_us), (None, 500_000));
}

/// With several links it is of interest which of them went, and in which direction.
#[test]
fn the_links_that_were_lost_before_a_peer_was_are_part_of_its_story() {
    let mut flight = flight();
    let lost = |link: usize, cause| PeerEvent::PathDown {
        peer: processor(3),
        link: evs_net::LinkId::at(link).expect("small"),
        cause,
    };
    flight.note_peer(at(8900), &lost(1, DownCause::NotHeardByPeer));
    flight.note_peer(at(8990), &lost(0, DownCause::Silence(DETECTION)));
    flight.note_peer(at(8990), &silent(3));
    give_up(&mut flight, at(9000), totem::Cause::TokenLost, 7);
    flight.install(at(9010), (ring(2), &members(&[1, 2])), COUNTED);
    let story = evs_report::story(latest(&flight));
    for line in [
        "-100.000 ms  link 1 to node 3 lost: it says that it does not hear this node",
        "-10.000 ms  link 0 to node 3 lost: nothing comes from it",
        "why: node 3 fell silent",
    ] {
        assert!(story.contains(line), "{story}");
    }
}
