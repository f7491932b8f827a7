//! The three ways of dispatching.

use evs::DisconnectReason;

use crate::abi::Handle;
use crate::deliver::Caller;
use crate::instance::{FinalizedBy, Instance, Next};
use crate::status::Status;

/// `cs_dispatch_flags_t`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// Waits until one callback has run.
    One,
    /// Runs what has arrived at the time of the call.
    All,
    /// Runs callbacks until the handle is finalized or the session is over.
    Blocking,
}

impl Mode {
    pub(crate) const fn from_c(flags: u32) -> Option<Self> {
        match flags {
            1 => Some(Self::One),
            2 => Some(Self::All),
            3 => Some(Self::Blocking),
            _ => None,
        }
    }
}

/// Runs callbacks. No lock is held meanwhile.
///
/// # Errors
/// [`Status::Library`] if another thread finalized the handle or the session is over;
/// [`Status::InShutdown`] instead if it was over before the call, by an orderly stop of the daemon.
pub(crate) fn dispatch(instance: &Instance, handle: Handle, mode: Mode) -> Result<(), Status> {
    let arrived = (mode == Mode::All).then(|| instance.client.arrived());
    let caller = Caller::new(instance.callbacks, handle);
    let mut waited = false;
    // What is being told keeps its place in the ring until its callback has returned.
    let mut last = None;
    loop {
        match instance.next(last.take(), arrived) {
            Next::Tell(told) => {
                caller.tell(&told);
                last = Some(told);
            }
            Next::Nothing if arrived.is_some() => return Ok(()),
            Next::Nothing => {
                instance.wait();
                waited = true;
                continue;
            }
            Next::End(reason) => {
                caller.end(reason);
                return Err(over(instance, waited));
            }
            Next::Over => return Err(over(instance, waited)),
        }
        if mode == Mode::One {
            return Ok(());
        }
        match instance.finalized() {
            Some(FinalizedBy::ThisThread) => return Ok(()),
            Some(FinalizedBy::Another) => return Err(Status::Library),
            None => {}
        }
    }
}

fn over(instance: &Instance, waited: bool) -> Status {
    let before_the_call = !waited && instance.finalized().is_none();
    if before_the_call && instance.end() == Some(DisconnectReason::Shutdown) {
        Status::InShutdown
    } else {
        Status::Library
    }
}
