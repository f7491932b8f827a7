//! `evs reload`: the daemon reads its configuration again.

use evs_report::Question;
use serde_json::json;

use crate::args::Daemon;
use crate::failure::Failure;
use crate::output::Output;
use crate::report;

pub(crate) fn run(daemon: &Daemon, output: &mut Output) -> Result<(), Failure> {
    let (_, answer) = report::ask(daemon, &Question::Reload)?;
    let changed = answer.changed.unwrap_or_default();
    output.print(
        || match &changed[..] {
            [] => "the file says what is in force".to_owned(),
            changed => format!("in force now: {}", changed.join(", ")),
        },
        || json!({ "changed": changed, "warning": answer.warning }),
    )?;
    report::warn(output, answer.warning.as_deref())
}
