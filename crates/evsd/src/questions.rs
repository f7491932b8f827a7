//! What clients ask of the daemon beyond its status, and the answers: JSON both ways
//! (`docs/reports.md`).

use evs_model::Instant;
use evs_report::{Answer, Question, SCHEMA};

use crate::flight::Flight;

/// Answers a question. One that makes no sense is answered with what would be right.
#[must_use]
pub(crate) fn answer(now: Instant, flight: &Flight, text: &str) -> String {
    let answer = match serde_json::from_str::<Question>(text) {
        Ok(question) => flight.answer(now, &question),
        Err(error) => Answer {
            schema: SCHEMA,
            error: Some(format!("this daemon does not know the question: {error}")),
            ..Answer::default()
        },
    };
    // Nothing in it can fail to be written: keys are texts and numbers are whole.
    serde_json::to_string(&answer).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}
