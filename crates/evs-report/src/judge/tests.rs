use super::*;

fn node(node: u32) -> Node {
    Node { node, incarnation: format!("{node:016x}") }
}

fn again(node: u32) -> Node {
    Node { node, incarnation: format!("{:016x}", node + 100) }
}

fn saw(by: u32, cause: Cause, saw: &[Sight]) -> Evidence {
    Evidence { node: node(by), cause, saw: saw.to_vec(), ..Evidence::default() }
}

/// Node 1 goes from 1 2 3 to these.
fn change(members: &[Node], evidence: Vec<Evidence>) -> Change {
    let before = [node(1), node(2), node(3)];
    let of = |all: &[Node], without: &[Node]| -> Vec<_> {
        all.iter().filter(|node| !without.contains(node)).cloned().collect()
    };
    Change {
        me: node(1),
        from: Some("1".to_owned()),
        to: Some("2".to_owned()),
        members: members.to_vec(),
        left: of(&before, members),
        joined: of(members, &before),
        together: members.iter().filter(|node| before.contains(node)).cloned().collect(),
        evidence,
        ..Change::default()
    }
}

fn silent(peer: u32) -> Sight {
    Sight::Silent { at_us: -3, peer: node(peer), silence_us: 500_000 }
}

fn still(pause_us: u64) -> Pause {
    Pause { pause_us, starved_us: Some(2), major_faults: None }
}

#[test]
fn who_leaves_in_order_is_the_reason_even_if_only_one_was_told() {
    let mut told = saw(2, Cause::MemberLeft, &[]);
    told.cause_names = vec![node(3)];
    let change = change(&[node(1), node(2)], vec![saw(1, Cause::MemberAsked, &[]), told]);
    assert_eq!(judge(&change), Trigger::Left { node: node(3) });
}

#[test]
fn who_fell_silent_is_named_with_those_who_noticed_and_those_who_did_not() {
    let evidence = vec![saw(1, Cause::MemberAsked, &[]), saw(2, Cause::PathLost, &[silent(3)])];
    let noticed_by = vec![Noticed { node: node(2), silence_us: 500_000 }];
    let not_noticed_by = vec![node(1)];
    assert_eq!(
        judge(&change(&[node(1), node(2)], evidence)),
        Trigger::Silent { node: node(3), nodes: vec![node(3)], noticed_by, not_noticed_by }
    );
}

#[test]
fn all_who_fell_silent_are_named_and_nobody_who_only_went_with_them() {
    let evidence = vec![saw(1, Cause::PathLost, &[silent(3), silent(2)])];
    let noticed_by = vec![Noticed { node: node(1), silence_us: 500_000 }];
    let (nodes, not_noticed_by) = (vec![node(2), node(3)], Vec::new());
    assert_eq!(
        judge(&change(&[node(1)], evidence)),
        Trigger::Silent { node: node(2), nodes, noticed_by, not_noticed_by }
    );
    let trigger = judge(&change(&[node(1)], vec![saw(1, Cause::PathLost, &[silent(3)])]));
    assert!(
        matches!(&trigger, Trigger::Silent { nodes, .. } if *nodes == [node(3)]),
        "{trigger:?}"
    );
}

/// The word of one host came, that of another did not.
#[test]
fn who_fell_silent_when_others_died_is_named_beside_them() {
    let refused = |peer| Sight::Refused { at_us: -3, peer: node(peer), silence_us: 15_000 };
    let noticed_by = || vec![Noticed { node: node(1), silence_us: 15_000 }];
    let both = vec![saw(1, Cause::PathLost, &[refused(2), refused(3), silent(3)])];
    let (nodes, silent_too) = (vec![node(2), node(3)], Vec::new());
    let expected =
        Trigger::Died { node: node(2), nodes, silent: silent_too, noticed_by: noticed_by() };
    assert_eq!(judge(&change(&[node(1)], both)), expected);

    let one = vec![saw(1, Cause::PathLost, &[silent(2), refused(3)])];
    let (nodes, silent_too) = (vec![node(3)], vec![node(2)]);
    let expected =
        Trigger::Died { node: node(3), nodes, silent: silent_too, noticed_by: noticed_by() };
    assert_eq!(judge(&change(&[node(1)], one)), expected);
}

/// Its host told one of them; the other one missed it, or heard nothing from the host either.
#[test]
fn whose_host_says_that_nobody_listens_there_died() {
    let refused = Sight::Refused { at_us: -3, peer: node(3), silence_us: 15_000 };
    let evidence = vec![
        saw(1, Cause::PathLost, &[silent(3)]),
        saw(2, Cause::PathLost, std::slice::from_ref(&refused)),
    ];
    let noticed_by = vec![Noticed { node: node(2), silence_us: 15_000 }];
    assert_eq!(
        judge(&change(&[node(1), node(2)], evidence)),
        Trigger::Died { node: node(3), nodes: vec![node(3)], silent: Vec::new(), noticed_by }
    );
    // A pause here does not hide it.
    let paused = Sight::Paused { at_us: -1, pause: still(300_000) };
    let evidence = vec![saw(1, Cause::TokenLost, &[paused]), saw(2, Cause::PathLost, &[refused])];
    let trigger = judge(&change(&[node(1), node(2)], evidence));
    assert!(matches!(trigger, Trigger::Died { .. }), "{trigger:?}");
}

#[test]
fn a_path_that_is_dead_in_one_direction_is_named_with_the_direction() {
    let told = Sight::NotHeardByPeer { at_us: -1, peer: node(3) };
    let evidence = vec![saw(1, Cause::MemberAsked, &[]), saw(2, Cause::PathLost, &[told])];
    let trigger = judge(&change(&[node(1), node(2)], evidence));
    assert_eq!(trigger, Trigger::OneWay { from: node(2), to: node(3) });
}

#[test]
fn a_successor_of_the_same_node_is_a_restart() {
    let change = change(&[node(1), node(2), again(3)], vec![saw(1, Cause::PathLost, &[])]);
    let by = again(3).incarnation;
    assert_eq!(judge(&change), Trigger::Restarted { node: node(3), by });
}

#[test]
fn a_restart_is_known_before_the_successor_is_in() {
    let sight = Sight::Restarted { at_us: -1, peer: node(3), by: "f".to_owned() };
    let change = change(&[node(1), node(2)], vec![saw(1, Cause::PathLost, &[sight])]);
    assert_eq!(judge(&change), Trigger::Restarted { node: node(3), by: "f".to_owned() });
}

#[test]
fn who_stood_still_itself_does_not_blame_those_who_parted_with_it() {
    let paused = Sight::Paused { at_us: -1, pause: still(3_000_000) };
    let parts = |peer| Sight::NotHeardByPeer { at_us: 3, peer: node(peer) };
    let evidence = vec![saw(1, Cause::TokenLost, &[paused, parts(2), parts(3)])];
    let trigger = judge(&change(&[node(1)], evidence));
    assert_eq!(trigger, Trigger::Paused { node: node(1), pause: still(3_000_000) });
}

#[test]
fn a_pause_here_does_not_hide_a_death_that_another_noticed() {
    let paused = Sight::Paused { at_us: -1, pause: still(300_000) };
    let evidence = vec![saw(1, Cause::TokenLost, &[paused]), saw(2, Cause::PathLost, &[silent(3)])];
    let trigger = judge(&change(&[node(1), node(2)], evidence));
    assert!(matches!(trigger, Trigger::Silent { .. }), "{trigger:?}");
}

/// On a machine that stands still everybody did; and the change takes long enough for a pause to
/// come after the verdict, too.
#[test]
fn a_pause_of_everybody_does_not_hide_a_death() {
    let paused = |at_us| Sight::Paused { at_us, pause: still(300_000) };
    let refused = Sight::Refused { at_us: -3, peer: node(3), silence_us: 15_000 };
    let judged = |sights: &[Sight]| {
        let evidence =
            vec![saw(1, Cause::PathLost, sights), saw(2, Cause::TokenLost, &[paused(-9)])];
        judge(&change(&[node(1), node(2)], evidence))
    };
    for sights in [[paused(-9), silent(3)], [silent(3), paused(9)]] {
        let trigger = judged(&sights);
        let Trigger::Silent { nodes, .. } = &trigger else { panic!("{trigger:?}") };
        assert_eq!(*nodes, [node(3)]);
    }
    let trigger = judged(&[paused(-9), refused]);
    assert!(matches!(&trigger, Trigger::Died { nodes, .. } if *nodes == [node(3)]), "{trigger:?}");
}

/// The node that comes back tells where it was.
#[test]
fn who_comes_back_after_a_pause_tells_of_it() {
    let paused = Sight::Paused { at_us: -1, pause: still(3_000_000) };
    let mut change = change(
        &[node(1), node(2), node(3)],
        vec![saw(1, Cause::Growth, &[]), saw(3, Cause::TokenLost, &[paused])],
    );
    change.joined = vec![node(3)];
    assert_eq!(judge(&change), Trigger::Paused { node: node(3), pause: still(3_000_000) });
}

#[test]
fn newcomers_are_told_from_those_who_come_back() {
    let four = node(4);
    let members = [node(1), node(2), node(3), four.clone()];
    let fresh = change(&members, vec![saw(1, Cause::Growth, &[]), saw(4, Cause::None, &[])]);
    assert_eq!(judge(&fresh), Trigger::Joined { nodes: vec![four.clone()] });

    let heard = |absent_us| Sight::Heard { at_us: -1, peer: four.clone(), absent_us };
    let back = change(&members, vec![saw(1, Cause::Growth, &[heard(Some(7))])]);
    assert_eq!(judge(&back), Trigger::Merged { nodes: vec![four.clone()], absent_us: Some(7) });

    // It had a configuration before, of its own.
    let elsewhere = vec![saw(1, Cause::Growth, &[heard(None)]), saw(4, Cause::Growth, &[])];
    let trigger = judge(&change(&members, elsewhere));
    assert_eq!(trigger, Trigger::Merged { nodes: vec![four], absent_us: None });
}

#[test]
fn a_lost_token_is_where_its_number_was_highest() {
    let token =
        |number, to| TokenSight { number, passed_to: Some(node(to)), ..TokenSight::default() };
    let with = |by, number, to| Evidence {
        token: Some(token(number, to)),
        ..saw(by, Cause::TokenLost, &[])
    };
    let all = [node(1), node(2), node(3)];
    let change = change(&all, vec![with(1, 7, 2), with(2, 8, 3), with(3, 6, 1)]);
    let (last_at, passed_to) = (Some(node(2)), Some(node(3)));
    let without = Vec::new();
    assert_eq!(judge(&change), Trigger::TokenLost { without, number: 8, last_at, passed_to });
}

/// The others know why they went on without it, and it does not.
#[test]
fn whoever_is_left_alone_after_a_lost_token_says_who_did_not_come_along() {
    let change = change(&[node(1), node(2)], vec![saw(1, Cause::TokenLost, &[])]);
    let trigger = judge(&change);
    assert!(
        matches!(&trigger, Trigger::TokenLost { without, .. } if *without == [node(3)]),
        "{trigger:?}"
    );
}

#[test]
fn without_any_evidence_nothing_is_claimed() {
    assert_eq!(judge(&change(&[node(1), node(2)], Vec::new())), Trigger::Unknown);
}
