//! `evs events`: the recorded changes of configuration, and those that come.

use std::collections::VecDeque;

use evs::{Client, Event};
use evs_report::{Change, Question, headline};

use crate::args::EventsArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::report::{answer, printable};
use crate::session;

pub(crate) fn run(events: &EventsArgs, output: &mut Output) -> Result<(), Failure> {
    let client = session::open(&events.daemon)?;
    let mut printed = Printed::default();
    printed.print(changes(&client, events.last)?, output)?;
    if !events.follow {
        return Ok(());
    }
    loop {
        let event = session::next(&client, output)?;
        if let Event::Disconnected { reason } = event {
            output.flush()?;
            return Err(Failure::disconnected(reason));
        }
        if matches!(event, Event::Regular { .. }) {
            printed.print(changes(&client, CATCH_UP)?, output)?;
        }
    }
}

/// The daemon keeps no more.
const CATCH_UP: u32 = 256;

fn changes(client: &Client, last: u32) -> Result<Vec<Change>, Failure> {
    let answer = answer(&session::ask(client, &Question::Changes { last })?)?;
    Ok(answer.changes.unwrap_or_default())
}

/// What was printed, so that nothing is printed twice.
#[derive(Default)]
struct Printed {
    last: u64,
}

impl Printed {
    fn print(&mut self, changes: Vec<Change>, output: &mut Output) -> Result<(), Failure> {
        let mut new: VecDeque<_> = changes.into();
        while let Some(change) = new.pop_front() {
            if change.change <= self.last {
                continue;
            }
            self.last = change.change;
            output.print(
                || printable(&headline(&change)),
                || serde_json::to_value(&change).unwrap_or_default(),
            )?;
        }
        Ok(())
    }
}
