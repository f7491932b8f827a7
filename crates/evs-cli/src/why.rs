//! `evs why`: why a configuration came about.

use evs_report::{Answer, Question, headline, story};

use crate::args::WhyArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::session;

pub(crate) fn run(why: &WhyArgs, output: &mut Output) -> Result<(), Failure> {
    let question = if why.list {
        Question::Changes { last: why.last }
    } else {
        Question::Change { which: why.change.clone() }
    };
    let client = session::open(&why.daemon)?;
    let json = session::ask(&client, &question)?;
    let answer: Answer = serde_json::from_str(&json)
        .map_err(|error| Failure::new(format!("the daemon's answer makes no sense: {error}")))?;
    if let Some(error) = answer.error {
        return Err(Failure::new(error));
    }
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
        return all.map(|change| plain(&headline(change))).collect();
    }
    all.flat_map(|change| story(change).lines().map(plain).collect::<Vec<_>>()).collect()
}

/// What a peer may have put there must not reach the terminal as control codes.
fn plain(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).collect()
}
