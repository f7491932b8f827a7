//! EVS-10, groups, and EVS-11, one stream: what a client received is exactly what follows from its
//! processor's history and the points in it at which the client connected, joined and left.

use std::collections::BTreeMap;

use evs_model::{Configuration, ConfigurationChange, Event, Group, Members, Message};

use super::index::Index;
use super::{Property, Violation, violates};
use crate::history::{ClientAct, ClientHistory, End, Entry, View};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    for client in &index.history.clients {
        let Some(view) = index.history.views.get(client.view) else { continue };
        compare(client, view, &expected(client, view))?;
    }
    Ok(())
}

/// What the client has to receive, in order.
fn expected(client: &ClientHistory, view: &View) -> Vec<Event> {
    let mut session = Session::default();
    let mut at = 0;
    for step in &client.steps {
        let place = step.place.min(view.entries.len());
        session.follow(&view.entries[at.min(place)..place]);
        at = place;
        match &step.what {
            ClientAct::Connected => session.connect(view, place),
            ClientAct::Joined(groups) => {
                groups.iter().for_each(|group| *session.joined.entry(*group).or_insert(0) += 1);
            }
            ClientAct::Left(groups) => groups.iter().for_each(|group| session.leave(*group)),
            ClientAct::Received(_) | ClientAct::Reads | ClientAct::Stalled => {}
            ClientAct::Disconnected | ClientAct::CutOff => return session.events,
        }
    }
    session.follow(&view.entries[at..]);
    session.events
}

/// A client as its processor's history makes it.
#[derive(Default)]
struct Session {
    connected: bool,
    /// How often it has joined each group.
    joined: BTreeMap<Group, u32>,
    /// The members of the last regular configuration it saw.
    members: Members,
    events: Vec<Event>,
}

impl Session {
    fn connect(&mut self, view: &View, place: usize) {
        self.connected = true;
        let current = view.entries[..place].iter().rev().find_map(|entry| match entry {
            Entry::Configuration(Configuration::Regular { ring, members }) => {
                Some((*ring, members))
            }
            Entry::Configuration(Configuration::Transitional { .. })
            | Entry::Accepted(_)
            | Entry::Delivered(_) => None,
        });
        if let Some((ring, members)) = current {
            let own = Members::singleton(view.processor);
            self.events.push(Event::Configuration(ConfigurationChange::Regular {
                ring,
                members: members.clone(),
                left: Members::default(),
                joined: members.difference(&own),
            }));
            self.members = members.clone();
        }
    }

    fn leave(&mut self, group: Group) {
        if let Some(count) = self.joined.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.joined.remove(&group);
            }
        }
    }

    fn follow(&mut self, entries: &[Entry]) {
        if !self.connected {
            return;
        }
        for entry in entries {
            match entry {
                Entry::Accepted(_) => {}
                Entry::Configuration(configuration) => self.configuration(configuration),
                Entry::Delivered(message) => self.message(message),
            }
        }
    }

    fn configuration(&mut self, configuration: &Configuration) {
        let change = match configuration.clone() {
            Configuration::Regular { ring, members } => {
                let left = self.members.difference(&members);
                let joined = members.difference(&self.members);
                self.members = members.clone();
                ConfigurationChange::Regular { ring, members, left, joined }
            }
            Configuration::Transitional { from, to, members } => {
                let left = self.members.difference(&members);
                ConfigurationChange::Transitional { from, to, members, left }
            }
        };
        self.events.push(Event::Configuration(change));
    }

    fn message(&mut self, message: &Message) {
        if message.groups.iter().any(|group| self.joined.contains_key(&group)) {
            self.events.push(Event::Message(message.clone()));
        }
    }
}

fn compare(client: &ClientHistory, view: &View, expected: &[Event]) -> Result<(), Violation> {
    let received = client.steps.iter().filter_map(|step| match &step.what {
        ClientAct::Received(event) => Some(event),
        ClientAct::Connected
        | ClientAct::Joined(_)
        | ClientAct::Left(_)
        | ClientAct::Reads
        | ClientAct::Stalled
        | ClientAct::Disconnected
        | ClientAct::CutOff => None,
    });
    let cut_off = client.steps.iter().any(|step| step.what == ClientAct::CutOff);
    let name = format!("{} at {}", client.client, view.processor);
    let mut expected = expected.iter();
    for (i, got) in received.enumerate() {
        match expected.next() {
            Some(want) if want == got => {}
            Some(want) => {
                let (property, got, want) = (property_of(want, got), brief(got), brief(want));
                let text = format!("{name}: event {i} is {got}, it should be {want}");
                return Err(Violation { property, text });
            }
            None => {
                let got = brief(got);
                return Err(violates!(Evs10, "{name}: event {i} is {got}, nothing should follow"));
            }
        }
    }
    match expected.next() {
        // A crash may come between handing one event to two clients.
        Some(want) if view.end != End::Crashed && !cut_off => {
            let (property, want) = (property_of(want, want), brief(want));
            Err(Violation { property, text: format!("{name}: {want} is missing at the end") })
        }
        Some(_) | None => Ok(()),
    }
}

/// A wrong configuration breaks EVS-11, a wrong message EVS-10.
const fn property_of(want: &Event, got: &Event) -> Property {
    match (want, got) {
        (Event::Message(_), _) | (_, Event::Message(_)) => Property::Evs10,
        (
            Event::Configuration(_) | Event::Disconnected(_),
            Event::Configuration(_) | Event::Disconnected(_),
        ) => Property::Evs11,
    }
}

/// An event without its body.
fn brief(event: &Event) -> String {
    match event {
        Event::Configuration(change) => format!("{change:?}"),
        Event::Message(message) => format!("message {} to {:?}", message.id, message.groups),
        Event::Disconnected(reason) => format!("disconnected: {reason}"),
    }
}

#[cfg(test)]
mod tests;
