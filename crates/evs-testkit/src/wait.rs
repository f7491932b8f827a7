//! Waiting for a condition.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

/// How long a test waits for what must happen: far longer than it takes, even on a machine that
/// does ten other things.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Asks again and again until the answer is there.
///
/// # Errors
/// There was none within [`DEADLINE`]; the error names what was waited for.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("waited {DEADLINE:?} in vain: {what}");
        }
        thread::park_timeout(Duration::from_millis(5));
    }
}
