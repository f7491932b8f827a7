//! `evs why`: why a configuration came about.

use evs_report::{Question, headline, story};

use crate::args::WhyArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::report::{self, printable};

pub(crate) fn run(why: &WhyArgs, output: &mut Output) -> Result<(), Failure> {
    let question = if why.list {
        Question::Changes { last: why.last }
    } else {
        Question::Change { which: why.change.clone() }
    };
    let (json, answer) = report::ask(&why.daemon, &question)?;
    if output.is_json() {
        output.line(&json)?;
        return Ok(());
    }
    let changes = answer.changes.unwrap_or_default();
    for line in lines(why.list, &changes, answer.pending.as_ref()) {
        output.line(&line)?;
    }
    Ok(())
}

fn lines(
    list: bool,
    changes: &[evs_report::Change],
    pending: Option<&evs_report::Change>,
) -> Vec<String> {
    let all = changes.iter().chain(pending);
    if list {
        return all.map(|change| printable(&headline(change))).collect();
    }
    all.flat_map(|change| story(change).lines().map(printable).collect::<Vec<_>>()).collect()
}
