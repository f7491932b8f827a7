//! Why a configuration came about: the question, and what becomes of the answer.

use evs_model::RingId;

use crate::RequestError;

/// Asks for the record of the change that led to this ring.
pub(crate) fn question(ring: RingId) -> String {
    serde_json::json!({ "ask": "change", "which": ring.to_string() }).to_string()
}

/// The daemon's answer, if it has such a record.
pub(crate) fn answer(json: String) -> Result<String, RequestError> {
    let parsed = serde_json::from_str::<serde_json::Value>(&json).unwrap_or_default();
    if parsed["changes"][0].is_object() {
        return Ok(json);
    }
    let said = parsed["error"].as_str().unwrap_or("the daemon has no record of it").to_owned();
    Err(RequestError::UnknownConfiguration { said })
}
