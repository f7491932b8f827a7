//! Histories as real clients record them: streams that start in the middle.

use std::collections::BTreeMap;

use evs_model::Guarantee::{Agreed, Safe};
use evs_model::{Event, Group};
use evs_sim::checker::{Property, check, violations};
use evs_sim::history::{ClientAct, Entry, History, Recorded, Scope, View};
use evs_sim::world::World;

/// What the clients of a world would have recorded themselves.
fn recorded(history: &History) -> History {
    let mut views = Vec::new();
    for client in &history.clients {
        let view = &history.views[client.view];
        let mut groups: Vec<Group> = Vec::new();
        let mut stream: Vec<(usize, Recorded)> = Vec::new();
        for step in &client.steps {
            match &step.what {
                ClientAct::Joined(joined) => groups.extend(joined),
                ClientAct::Received(event) => {
                    stream.push((step.place, Recorded::Event(event.clone())));
                }
                ClientAct::Connected
                | ClientAct::Left(_)
                | ClientAct::Stalled
                | ClientAct::Reads
                | ClientAct::Disconnected
                | ClientAct::CutOff => {}
            }
        }
        for (place, entry) in view.entries.iter().enumerate() {
            if let Entry::Accepted(submission) = entry
                && submission.id.client == client.client
            {
                stream.push((place, Recorded::Accepted(submission.clone())));
            }
        }
        stream.sort_by_key(|(place, _)| *place);
        let stream = stream.into_iter().map(|(_, item)| item).collect();
        let running = view.end == evs_sim::history::End::Running;
        views.push(View::recorded(view.processor, groups, stream, running).expect("begins well"));
    }
    History { views, ..History::default() }
}

fn world_with_a_partition() -> History {
    let mut script = World::script(3);
    (1..=3).for_each(|id| {
        script.send(id, Agreed, 10).send(id, Safe, 10);
    });
    script.run_for(100).partition(&[&[1, 2], &[3]]).run_for(1_000);
    script.send(1, Safe, 10).send(3, Agreed, 10).run_for(300).heal().run_for(2_000);
    script.send(2, Agreed, 10).run_for(500);
    recorded(script.history())
}

#[test]
fn what_clients_record_is_judged() {
    let history = world_with_a_partition();
    let judged = check(&history).expect("the contract is kept");
    assert_eq!(judged.views, 3);
    assert!(judged.configurations >= 9 && judged.deliveries > 100, "{judged:?}");
}

#[test]
fn a_message_that_one_client_lost_is_noticed() {
    let mut history = world_with_a_partition();
    let entries = &mut history.views[0].entries;
    let last = entries.iter().rposition(|e| matches!(e, Entry::Delivered(_))).expect("some");
    entries.remove(last - 1);
    let found: BTreeMap<Property, String> =
        violations(&history).into_iter().map(|v| (v.property, v.text)).collect();
    assert!(found.contains_key(&Property::Evs6), "{found:?}");
}

#[test]
fn a_stream_that_begins_with_a_message_is_refused() {
    let history = world_with_a_partition();
    let message = history.views[0].entries.iter().find_map(|entry| match entry {
        Entry::Delivered(message) => Some(message.clone()),
        Entry::Accepted(_) | Entry::Configuration(_) => None,
    });
    let stream = vec![Recorded::Event(Event::Message(message.expect("some")))];
    let processor = history.views[0].processor;
    assert!(View::recorded(processor, World::groups(), stream, true).is_err());
    assert!(matches!(&history.views[0].scope, Scope::Groups(groups) if groups.len() == 1));
}
