//! What a node can do with and without: a realtime priority for the thread of the ring, off unless
//! configured, and memory that stays in memory, on unless the system refuses. Where that refuses
//! what is configured, the daemon runs on without, and warns of it in its log and its status.

use std::{fmt, fs, io};

use rustix::mm::MlockAllFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::CapabilitySet;
use serde::{Serialize, Serializer};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

use crate::config::Local;

/// What became of each.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Privileges {
    realtime: Outcome,
    memory_locked: Outcome,
}

/// Shown as `off`, `granted`, or `refused: ` with the reason and what to do.
#[derive(Debug, Default)]
enum Outcome {
    #[default]
    Off,
    Granted,
    /// What is configured.
    Refused(String),
    /// What is tried without being configured.
    TriedInVain(String),
}

impl Privileges {
    /// Asks for what is configured, for the calling thread and this process. Threads that it starts
    /// later would be as privileged, so all of them are started before.
    pub(crate) fn ask(local: &Local) -> Self {
        let realtime = local.realtime_priority.map(take_priority);
        let memory_locked = local.lock_memory.unwrap_or(true).then(lock_memory);
        let mut asked =
            Self { realtime: Outcome::of(realtime), memory_locked: Outcome::of(memory_locked) };
        if local.lock_memory.is_none() {
            asked.memory_locked = asked.memory_locked.unasked();
        }
        for what in asked.refused() {
            tracing::warn!(what, "a privilege is refused; going on without");
        }
        if let Outcome::TriedInVain(why) = &asked.memory_locked {
            tracing::info!(why, "memory is not locked");
        }
        asked
    }

    /// What is configured and was refused, in words.
    pub(crate) fn refused(&self) -> impl Iterator<Item = String> {
        let all = [
            ("local.realtime_priority", &self.realtime),
            ("local.lock_memory", &self.memory_locked),
        ];
        let refused = all.into_iter().filter(|(_, what)| matches!(what, Outcome::Refused(_)));
        refused.map(|(key, outcome)| format!("{key} {outcome}"))
    }
}

impl Outcome {
    fn of(result: Option<Result<(), String>>) -> Self {
        match result {
            None => Self::Off,
            Some(Ok(())) => Self::Granted,
            Some(Err(why)) => Self::Refused(why),
        }
    }

    /// Nobody has to be warned.
    fn unasked(self) -> Self {
        match self {
            Self::Refused(why) => Self::TriedInVain(why),
            Self::Off | Self::Granted | Self::TriedInVain(_) => self,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Granted => f.write_str("granted"),
            Self::Refused(why) | Self::TriedInVain(why) => write!(f, "refused: {why}"),
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Among others of the same priority the thread takes turns.
fn take_priority(priority: u8) -> Result<(), String> {
    let why = |error: String| {
        format!("{error}; in the unit, LimitRTPRIO={priority} and RestrictRealtime=no allow it")
    };
    let value = ThreadPriorityValue::try_from(priority).map_err(why)?;
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    let thread = thread_native_id();
    set_thread_priority_and_policy(thread, ThreadPriority::Crossplatform(value), policy)
        .map_err(|error| why(reason(&error)))
}

/// What the system said, in its words.
fn reason(error: &thread_priority::Error) -> String {
    if let thread_priority::Error::OS(code) = error {
        return io::Error::from_raw_os_error(*code).to_string();
    }
    error.to_string()
}

/// The program and all memory that it has are brought into memory and stay there, also what only a
/// fault needs; what it is given later stays from its first use. Only without a limit: with one,
/// memory that is needed later would be refused, and the daemon end.
fn lock_memory() -> Result<(), String> {
    let no_limit = Rlimit { current: None, maximum: None };
    if !is_exempt() && getrlimit(Resource::Memlock).current.is_some() {
        setrlimit(Resource::Memlock, no_limit).map_err(
            |_| "there is a limit on locked memory; in the unit, LimitMEMLOCK=infinity allows it",
        )?;
    }
    let later = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    let locked = rustix::mm::mlockall(MlockAllFlags::CURRENT);
    locked.and_then(|()| rustix::mm::mlockall(later)).map_err(|error| {
        let _ = rustix::mm::munlockall();
        error.to_string()
    })
}

/// Whether the limit on locked memory does not hold for this process. In a user namespace, where
/// not all ids are mapped to themselves, no capability exempts it (user_namespaces(7)).
fn is_exempt() -> bool {
    let ids = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    ids.split_ascii_whitespace().eq(["0", "0", "4294967295"])
        && rustix::thread::capabilities(None)
            .is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_told_in_its_words() {
        let told = reason(&thread_priority::Error::OS(1));
        assert_eq!(told, "Operation not permitted (os error 1)");
    }

    #[test]
    fn what_is_refused_is_named_by_its_key_and_nothing_else_is() {
        let refused = Some(Err("why; what to do".to_owned()));
        let outcomes =
            Privileges { realtime: Outcome::of(refused), memory_locked: Outcome::of(None) };
        let said: Vec<_> = outcomes.refused().collect();
        assert_eq!(said, ["local.realtime_priority refused: why; what to do"]);
        let report = serde_json::to_value(&outcomes).expect("texts");
        assert_eq!(report["memory_locked"], "off");
        assert_eq!(Outcome::of(Some(Ok(()))).to_string(), "granted");
    }

    #[test]
    fn what_is_only_tried_is_shown_where_it_is_refused_and_nobody_is_warned() {
        let refused = Outcome::of(Some(Err("why; what to do".to_owned()))).unasked();
        assert_eq!(refused.to_string(), "refused: why; what to do");
        let outcomes = Privileges { realtime: Outcome::Granted, memory_locked: refused };
        assert_eq!(outcomes.refused().count(), 0);
        assert_eq!(Outcome::Granted.unasked().to_string(), "granted");
    }
}
