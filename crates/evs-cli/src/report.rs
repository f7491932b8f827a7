//! The daemon's reports, read from JSON: what tables and stories are made of.
//!
//! A field that this version of the command does not know is passed over; one that the daemon does
//! not know shows as `?`.

use std::io::Write as _;

use evs_report::{Answer, Question};
use serde_json::Value;

use crate::args::Daemon;
use crate::failure::Failure;
use crate::output::Output;
use crate::session;

/// The status report: as it came, and taken apart.
pub(crate) fn status(daemon: &Daemon) -> Result<(String, Value), Failure> {
    let json = session::open(daemon)?.status_json()?;
    let report = serde_json::from_str(&json).map_err(senseless)?;
    Ok((json, report))
}

/// The answer to a question: as it came, and taken apart.
pub(crate) fn ask(daemon: &Daemon, question: &Question) -> Result<(String, Answer), Failure> {
    let json = session::ask(&session::open(daemon)?, question)?;
    let answer = answer(&json)?;
    Ok((json, answer))
}

/// Takes an answer apart; one that says why there is none is a failure.
pub(crate) fn answer(json: &str) -> Result<Answer, Failure> {
    let answer: Answer = serde_json::from_str(json).map_err(senseless)?;
    match answer.error {
        Some(error) if answer.forbidden => Err(Failure::forbidden(error)),
        Some(error) => Err(Failure::new(error)),
        None => Ok(answer),
    }
}

/// Tells of what was done, but not as it should be: after everything else, and not as a part of it.
pub(crate) fn warn(output: &mut Output, warning: Option<&str>) -> Result<(), Failure> {
    let Some(warning) = warning.filter(|_| !output.is_json()) else { return Ok(()) };
    output.flush()?;
    // Where not even that can be written, the daemon's log has it.
    let _ = writeln!(std::io::stderr(), "evs: warning: {}", printable(warning));
    Ok(())
}

fn senseless(error: serde_json::Error) -> Failure {
    Failure::new(format!("the daemon's answer is no JSON of the right form: {error}"))
}

/// A text without its quotes, anything else as it is.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Null => "?".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// What a peer or a client may have put there must not reach the terminal as control codes.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// The elements of a list; none if it is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[][..], Vec::as_slice)
}

/// Rows below a heading, each column as wide as its widest cell.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(heading[column].chars().count())
    };
    let widths: Vec<_> = (0..heading.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut heading.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_columns_as_wide_as_their_cells() {
        let rows = [vec!["1".to_owned(), "a long cell".to_owned()], vec!["22".to_owned()]];
        let lines = table(&["id", "name", "x"], &rows);
        assert_eq!(lines, ["id  name         x", "1   a long cell", "22"]);
    }

    #[test]
    fn an_answer_that_says_why_there_is_none_is_a_failure() {
        assert!(answer(r#"{"error":"no change 9"}"#).is_err());
        assert!(answer("nonsense").is_err());
        assert!(answer("{}").is_ok());
    }
}
