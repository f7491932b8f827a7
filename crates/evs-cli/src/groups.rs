//! `evs groups`: what clients of this node have joined.

use evs_report::{Answer, Question};

use crate::args::Daemon;
use crate::failure::Failure;
use crate::output::Output;
use crate::report::{self, printable};

pub(crate) fn run(daemon: &Daemon, output: &mut Output) -> Result<(), Failure> {
    let (json, answer) = report::ask(daemon, &Question::Groups)?;
    if output.is_json() {
        output.line(&json)?;
        return Ok(());
    }
    for line in lines(&answer) {
        output.line(&line)?;
    }
    Ok(())
}

fn lines(answer: &Answer) -> Vec<String> {
    let groups = answer.groups.as_deref().unwrap_or_default();
    let row = |group: &evs_report::JoinedGroup| {
        let mut first: Vec<_> = group.first.iter().map(u64::to_string).collect();
        if group.clients > first.len() {
            first.push(format!("and {} more", group.clients - first.len()));
        }
        vec![printable(&group.group), group.clients.to_string(), first.join(" ")]
    };
    let rows: Vec<_> = groups.iter().map(row).collect();
    let mut lines = report::table(&["group", "joined by", "clients"], &rows);
    let all = answer.groups_joined.unwrap_or(0);
    if all > groups.len() {
        lines.push(format!("and {} more", all - groups.len()));
    }
    lines
}
