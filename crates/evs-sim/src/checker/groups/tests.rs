//! A client held against its processor, with joins and leaves at every kind of place.

use evs_model::{ClientId, ConfigurationChange, Event, Members};

use super::super::Property::{Evs10, Evs11};
use super::super::fixture::*;
use crate::history::{ClientAct, ClientHistory, ClientStep, End, History};

fn first() -> Event {
    Event::Configuration(ConfigurationChange::Regular {
        ring: ring(1),
        members: members(&[1, 2]),
        left: Members::default(),
        joined: members(&[2]),
    })
}

fn message(number: u64) -> Event {
    Event::Message(agreed(1, number, 1, number).message())
}

/// Processor 1 delivers messages 1 to 4, then goes on alone; the client did this.
fn client(acts: Vec<(usize, ClientAct)>) -> History {
    let letters: Vec<Letter> = (1..=4).map(|n| agreed(1, n, 1, n)).collect();
    let mut entries = vec![regular(1, &[1, 2])];
    entries.extend(letters.iter().map(|letter| letter.accepted()));
    entries.extend(letters.iter().map(|letter| letter.delivered()));
    entries.extend([transitional(1, 2, &[1]), regular(2, &[1])]);
    let steps = acts.into_iter().map(|(place, what)| ClientStep { place, what }).collect();
    let mut history = history(vec![view(1, entries)]);
    history.clients = vec![ClientHistory { client: ClientId(2), view: 0, steps }];
    history
}

/// Joins after message 1 and leaves after message 3; then the configurations.
fn session(between: Vec<Event>, after: Vec<Event>) -> History {
    let g = vec![group("g")];
    let mut acts = vec![
        (5, ClientAct::Connected),
        (5, ClientAct::Received(first())),
        (6, ClientAct::Joined(g.clone())),
    ];
    acts.extend(between.into_iter().map(|event| (7, ClientAct::Received(event))));
    acts.push((8, ClientAct::Left(g)));
    acts.extend(after.into_iter().map(|event| (11, ClientAct::Received(event))));
    client(acts)
}

fn configurations() -> Vec<Event> {
    vec![
        Event::Configuration(ConfigurationChange::Transitional {
            from: ring(1),
            to: ring(2),
            members: members(&[1]),
            left: members(&[2]),
        }),
        Event::Configuration(ConfigurationChange::Regular {
            ring: ring(2),
            members: members(&[1]),
            left: members(&[2]),
            joined: Members::default(),
        }),
    ]
}

#[test]
fn what_lies_between_join_and_leave_is_received() {
    holds(&session(vec![message(2), message(3)], configurations()));
}

#[test]
fn a_message_before_the_join_is_noticed() {
    let history = session(vec![message(1), message(2), message(3)], configurations());
    breaks(&history, Evs10, "event 1 is message 1/0001:c1:1");
}

#[test]
fn a_message_after_the_leave_is_noticed() {
    let history = session(vec![message(2), message(3), message(4)], configurations());
    breaks(&history, Evs10, "message 1/0001:c1:4");
}

#[test]
fn a_message_that_comes_twice_is_noticed() {
    let history = session(vec![message(2), message(2), message(3)], configurations());
    breaks(&history, Evs10, "it should be message 1/0001:c1:3");
}

#[test]
fn a_lost_message_is_noticed() {
    breaks(&session(vec![message(3)], configurations()), Evs10, "should be message 1/0001:c1:2");
}

#[test]
fn a_group_joined_twice_needs_two_leaves() {
    let g = vec![group("g")];
    let mut acts = vec![
        (1, ClientAct::Connected),
        (1, ClientAct::Received(first())),
        (1, ClientAct::Joined(g.clone())),
        (1, ClientAct::Joined(g.clone())),
        (1, ClientAct::Left(g)),
    ];
    acts.extend((1..=4).map(|n| (9, ClientAct::Received(message(n)))));
    acts.push((9, ClientAct::Disconnected));
    holds(&client(acts));
}

#[test]
fn a_session_that_begins_without_a_configuration_is_noticed() {
    let acts = vec![
        (9, ClientAct::Connected),
        (11, ClientAct::Received(configurations()[0].clone())),
        (11, ClientAct::Received(configurations()[1].clone())),
    ];
    breaks(&client(acts), Evs11, "event 0");
}

#[test]
fn a_wrong_list_of_who_left_is_noticed() {
    let mut events = configurations();
    if let Event::Configuration(ConfigurationChange::Regular { left, .. }) = &mut events[1] {
        *left = Members::default();
    }
    breaks(&session(vec![message(2), message(3)], events), Evs11, "event 4");
}

#[test]
fn a_missing_end_is_noticed_unless_the_processor_failed() {
    let mut history = session(vec![message(2), message(3)], vec![]);
    breaks(&history, Evs11, "missing at the end");
    history.views[0].end = End::Crashed;
    holds(&history);
}
