//! `evs top`: one node, live.
//!
//! Responsible for: looking at the daemon at intervals, rates, keys, and giving the terminal back
//! however it ends.
//! Not responsible for: what the screen shows (`top/screen.rs`).

mod screen;

use std::time::{Duration, Instant};

use evs::Client;
use evs_report::{Change, Question};
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::{DefaultTerminal, Terminal};
use serde_json::{Value, json};

use crate::args::TopArgs;
use crate::failure::Failure;
use crate::output::{Output, has_terminal};
use crate::report;
use crate::session;
use screen::Look;

/// The size of a screen that is printed as text.
const PLAIN: (u16, u16) = (100, 32);

/// How many of the last changes are asked for.
const CHANGES: u32 = 8;

pub(crate) fn run(top: &TopArgs, output: &mut Output) -> Result<(), Failure> {
    let client = session::open(&top.daemon)?;
    let interval = Duration::from_secs_f64(top.interval);
    let mut eyes = Eyes { client: &client, before: None };
    if top.plain || output.is_json() {
        return plain(top, interval, &mut eyes, output);
    }
    if !has_terminal() {
        let what = "top needs a terminal; --plain prints the screens as text, --json the figures";
        return Err(Failure::new(what));
    }
    let mut terminal = ratatui::init();
    let watched = watch(&mut terminal, top.count, interval, &mut eyes);
    ratatui::restore();
    watched
}

fn plain(
    top: &TopArgs,
    interval: Duration,
    eyes: &mut Eyes<'_>,
    output: &mut Output,
) -> Result<(), Failure> {
    // The first look has no rates yet.
    eyes.look()?;
    for _ in 0..top.count.unwrap_or(u64::MAX) {
        output.flush()?;
        std::thread::sleep(interval);
        let look = eyes.look()?;
        output.print(|| text(&look), || look.json())?;
    }
    Ok(())
}

/// A screen as text, without the blank rest.
fn text(look: &Look) -> String {
    let backend = TestBackend::new(PLAIN.0, PLAIN.1);
    let Ok(mut terminal) = Terminal::new(backend);
    let Ok(_) = terminal.draw(|frame| screen::draw(frame, look));
    let buffer = terminal.backend().buffer();
    let row = |y: u16| (0..PLAIN.0).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    let rows: Vec<_> = (0..PLAIN.1).map(|y| row(y).trim_end().to_owned()).collect();
    let used = rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1);
    rows[..used].join("\n")
}

fn watch(
    terminal: &mut DefaultTerminal,
    count: Option<u64>,
    interval: Duration,
    eyes: &mut Eyes<'_>,
) -> Result<(), Failure> {
    for _ in 0..count.unwrap_or(u64::MAX) {
        let look = eyes.look()?;
        let until = Instant::now() + interval;
        loop {
            terminal.draw(|frame| screen::draw(frame, &look))?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !event::poll(left)? {
                break;
            }
            if let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
                && quits(key.code, key.modifiers)
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn quits(code: KeyCode, modifiers: KeyModifiers) -> bool {
    let control_c = code == KeyCode::Char('c') && modifiers.contains(KeyModifiers::CONTROL);
    control_c || matches!(code, KeyCode::Char('q') | KeyCode::Esc)
}

/// Who looks, and what was seen last.
struct Eyes<'c> {
    client: &'c Client,
    before: Option<(Instant, Value)>,
}

impl Eyes<'_> {
    fn look(&mut self) -> Result<Look, Failure> {
        // The session's own events are of no interest, but must not pile up.
        while self.client.try_recv()?.is_some() {}
        let status: Value = serde_json::from_str(&self.client.status_json()?).unwrap_or_default();
        let question = Question::Changes { last: CHANGES };
        let answer = report::answer(&session::ask(self.client, &question)?)?;
        let mut changes: Vec<Change> = answer.changes.unwrap_or_default();
        changes.extend(answer.pending);
        let now = Instant::now();
        let before = self.before.replace((now, status.clone()));
        let rates = before.map_or(Value::Null, |(at, before)| {
            rates(&before["counters"], &status["counters"], (now - at).as_secs_f64())
        });
        Ok(Look { status, changes, rates })
    }
}

/// Every counter by its rate per second. One that fell, because the daemon started anew, has none.
fn rates(before: &Value, after: &Value, seconds: f64) -> Value {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else {
        let (before, after) = (before.as_u64(), after.as_u64());
        let grown = before.zip(after).and_then(|(before, after)| after.checked_sub(before));
        // A rate is for people.
        #[expect(clippy::cast_precision_loss)]
        let rate = grown.map(|grown| (grown as f64 / seconds * 10.0).round() / 10.0);
        return json!(rate);
    };
    let both = after.iter().filter_map(|(key, after)| Some((key, before.get(key)?, after)));
    both.map(|(key, before, after)| (key.clone(), rates(before, after, seconds))).collect()
}

#[cfg(test)]
mod tests;
