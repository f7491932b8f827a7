//! Writes down what applications see while a world runs.

use evs_model::{ClientId, Event, Group, Processor};

use super::Nanos;
use crate::history::{
    Circumstances, ClientAct, ClientHistory, ClientStep, End, Entry, History, Scope, Start,
    Submission, View, configuration_of,
};

/// A history in the making.
#[derive(Debug)]
pub(super) struct Recorder {
    history: History,
    /// The time.
    pub(super) now: Nanos,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Self { history: History { every_send: true, ..History::default() }, now: 0 }
    }

    /// A processor starts. Returns the index of its view.
    pub(super) fn birth(&mut self, processor: Processor, stored_by: Option<usize>) -> usize {
        self.history.views.push(View {
            processor,
            scope: Scope::All,
            start: Start::Birth { stored_by },
            entries: Vec::new(),
            times: Vec::new(),
            end: End::Running,
            settled: None,
        });
        self.history.views.len() - 1
    }

    pub(super) fn end(&mut self, view: usize, end: End) {
        self.history.views[view].end = end;
    }

    pub(super) fn settled(&mut self, view: usize) {
        let view = &mut self.history.views[view];
        view.settled = Some(view.entries.len());
    }

    /// The observer of a processor received this.
    pub(super) fn observed(&mut self, view: usize, event: &Event) {
        let entry = match event {
            Event::Configuration(change) => Entry::Configuration(configuration_of(change)),
            Event::Message(message) => Entry::Delivered(message.clone()),
            Event::Disconnected(_) => return,
        };
        self.push(view, entry);
    }

    pub(super) fn accepted(&mut self, view: usize, submission: Submission) {
        self.push(view, Entry::Accepted(submission));
    }

    /// A session begins. Returns its index.
    pub(super) fn connected(&mut self, view: usize, client: ClientId) -> usize {
        self.history.clients.push(ClientHistory { client, view, steps: Vec::new() });
        let session = self.history.clients.len() - 1;
        self.act(session, ClientAct::Connected);
        session
    }

    pub(super) fn joined(&mut self, session: usize, groups: &[Group]) {
        self.act(session, ClientAct::Joined(groups.to_vec()));
    }

    pub(super) fn left(&mut self, session: usize, groups: &[Group]) {
        self.act(session, ClientAct::Left(groups.to_vec()));
    }

    pub(super) fn received(&mut self, session: usize, event: Event) {
        self.act(session, ClientAct::Received(event));
    }

    pub(super) fn stalled(&mut self, session: usize) {
        self.act(session, ClientAct::Stalled);
    }

    pub(super) fn reads(&mut self, session: usize) {
        self.act(session, ClientAct::Reads);
    }

    /// A session ends; whether the client was cut off from events that it had not read.
    pub(super) fn disconnected(&mut self, session: usize, cut_off: bool) {
        self.act(session, if cut_off { ClientAct::CutOff } else { ClientAct::Disconnected });
    }

    fn push(&mut self, view: usize, entry: Entry) {
        self.history.views[view].entries.push(entry);
        self.history.views[view].times.push(self.now);
    }

    /// What was done to the world meanwhile.
    pub(super) fn conclude(&mut self, circumstances: Circumstances) {
        self.history.circumstances = Some(circumstances);
    }

    fn act(&mut self, session: usize, what: ClientAct) {
        let client = &mut self.history.clients[session];
        let place = self.history.views[client.view].entries.len();
        client.steps.push(ClientStep { place, what });
    }

    pub(super) const fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn into_history(self) -> History {
        self.history
    }
}
