//! `evs key`: the keys of the cluster, at this node. No key is ever printed.

use evs_report::Question;
use serde_json::json;

use crate::args::KeyCommand;
use crate::failure::Failure;
use crate::output::Output;
use crate::report;

pub(crate) fn run(command: &KeyCommand, output: &mut Output) -> Result<(), Failure> {
    let (daemon, question) = match command {
        KeyCommand::Add { daemon, file } => {
            // The daemon has a working directory of its own.
            let file = std::path::absolute(file)?;
            (daemon, Question::KeyAdd { file })
        }
        KeyCommand::Use { daemon, key, force } => {
            (daemon, Question::KeyUse { key: key.clone(), force: *force })
        }
        KeyCommand::Drop { daemon, key, force } => {
            (daemon, Question::KeyDrop { key: key.clone(), force: *force })
        }
        KeyCommand::List(daemon) => (daemon, Question::Keys),
    };
    let (_, answer) = report::ask(daemon, &question)?;
    let keys = answer.keys.unwrap_or_default();
    output.print(
        || {
            let lines = keys.iter().enumerate().map(|(place, key)| match place {
                0 => format!("{key}  seals and opens"),
                _ => format!("{key}  opens"),
            });
            lines.collect::<Vec<_>>().join("\n")
        },
        || json!({ "keys": keys, "warning": answer.warning }),
    )?;
    report::warn(output, answer.warning.as_deref())
}
