//! `evs listen`: everything that is delivered, as it comes.

use evs::Event;

use crate::args::ListenArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::{events, session};

pub(crate) fn run(listen: &ListenArgs, output: &mut Output) -> Result<(), Failure> {
    let client = session::open(&listen.daemon)?;
    client.join(&listen.groups)?;
    let mut left = listen.count.unwrap_or(u64::MAX);
    while left > 0 {
        let event = session::next(&client, output)?;
        output.print(|| events::text(&event), || events::json(&event))?;
        if let Event::Disconnected { reason } = event {
            output.flush()?;
            return Err(Failure::disconnected(reason));
        }
        left -= u64::from(matches!(event, Event::Message(_)));
    }
    Ok(())
}
