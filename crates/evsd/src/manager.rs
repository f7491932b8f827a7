//! What the service manager is told (sd_notify(3)): that clients can connect, what the daemon is
//! doing, that it stops, and, again and again, that its loop goes round (the watchdog).
//!
//! Not responsible for: what the manager does about it. Without one (`NOTIFY_SOCKET` is not set)
//! nothing is done here.

use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::Duration;

use evs_model::Instant;
use sd_notify::NotifyState;

/// How often the line about the state is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Most lines that wait for a manager that does not read; more are dropped. The watchdog's are said
/// again.
const LINES_MAX: usize = 16;

/// The way to the service manager. Nothing here waits for it: a thread does.
#[derive(Debug)]
pub(crate) struct Manager {
    lines: Option<SyncSender<Line>>,
    /// Half of the time within which the manager wants to hear.
    watchdog: Option<Duration>,
    alive_at: Instant,
    state_at: Instant,
    state: String,
}

#[derive(Debug)]
enum Line {
    Alive,
    Ready,
    State(String),
    Stopping,
}

impl Manager {
    /// Finds the manager, if there is one.
    pub(crate) fn start(now: Instant) -> Self {
        let there = std::env::var_os("NOTIFY_SOCKET").is_some();
        let (lines, inbox) = mpsc::sync_channel(LINES_MAX);
        let thread = there.then(|| {
            let tell = move || inbox.iter().for_each(|line| tell(&line));
            thread::Builder::new().name("evs-manager".to_owned()).spawn(tell)
        });
        if let Some(Err(error)) = &thread {
            tracing::warn!(%error, "no thread for the service manager; it is told nothing");
        }
        let lines = matches!(thread, Some(Ok(_))).then_some(lines);
        let watchdog = sd_notify::watchdog_enabled().filter(|_| lines.is_some());
        Self {
            lines,
            watchdog: watchdog.map(|within| within / 2),
            alive_at: now,
            state_at: now,
            state: String::new(),
        }
    }

    /// Clients can connect.
    pub(crate) fn ready(&self) {
        self.say(Line::Ready);
    }

    /// The orderly stop begins.
    pub(crate) fn stopping(&self) {
        self.say(Line::Stopping);
    }

    /// Says what is due. `state` makes the line about the state.
    pub(crate) fn handle_timeout(&mut self, now: Instant, state: impl FnOnce() -> String) {
        if let Some(every) = self.watchdog
            && self.alive_at <= now
        {
            self.alive_at = now + every;
            self.say(Line::Alive);
        }
        if self.lines.is_some() && self.state_at <= now {
            self.state_at = now + EVERY;
            let state = state();
            if state != self.state {
                self.say(Line::State(state.clone()));
                self.state = state;
            }
        }
    }

    /// When [`Manager::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let alive = self.watchdog.map(|_| self.alive_at);
        let state = self.lines.as_ref().map(|_| self.state_at);
        alive.into_iter().chain(state).min()
    }

    fn say(&self, line: Line) {
        if let Some(lines) = &self.lines {
            let _ = lines.try_send(line);
        }
    }
}

fn tell(line: &Line) {
    let told = match line {
        Line::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
        Line::Ready => sd_notify::notify(&[NotifyState::Ready]),
        Line::State(state) => sd_notify::notify(&[NotifyState::Status(state)]),
        Line::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
    };
    if let Err(error) = told {
        tracing::debug!(%error, ?line, "the service manager does not listen");
    }
}
