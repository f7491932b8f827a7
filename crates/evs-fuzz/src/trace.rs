//! What an input means, step by step, for whoever looks at one that failed.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

static SHOWN: AtomicBool = AtomicBool::new(false);

/// Shows every step from now on, on standard error. For one input at a time.
pub fn show() {
    SHOWN.store(true, Ordering::Relaxed);
}

/// Shows a step, if steps are shown.
pub(crate) fn step(what: fmt::Arguments<'_>) {
    if SHOWN.load(Ordering::Relaxed) {
        eprintln!("{what}");
    }
}
