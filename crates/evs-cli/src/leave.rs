//! `evs leave`: the orderly stop of this node.

use evs_report::Question;
use serde_json::json;

use crate::args::Daemon;
use crate::failure::Failure;
use crate::output::Output;
use crate::report;

pub(crate) fn run(daemon: &Daemon, output: &mut Output) -> Result<(), Failure> {
    report::ask(daemon, &Question::Leave)?;
    output.print(
        || "this node leaves, and its daemon stops".to_owned(),
        || json!({ "leaving": true }),
    )?;
    Ok(())
}
