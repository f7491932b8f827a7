//! `evs node`: who belongs to the cluster.

use evs_report::Question;
use serde_json::json;

use crate::args::NodeCommand;
use crate::failure::Failure;
use crate::output::Output;
use crate::report;

pub(crate) fn run(command: &NodeCommand, output: &mut Output) -> Result<(), Failure> {
    let (daemon, question, done) = match command {
        NodeCommand::Add { daemon, node, addresses } => (
            daemon,
            Question::NodeAdd { node: *node, addresses: addresses.clone() },
            format!("node {node} is one of the cluster's: it can be started"),
        ),
        NodeCommand::Remove { daemon, node } => (
            daemon,
            Question::NodeRemove { node: *node },
            format!("node {node} is none of the cluster's any more"),
        ),
    };
    let (_, answer) = report::ask(daemon, &question)?;
    let changed = answer.changed.unwrap_or_default();
    output.print(|| done, || json!({ "changed": changed, "warning": answer.warning }))?;
    report::warn(output, answer.warning.as_deref())
}
