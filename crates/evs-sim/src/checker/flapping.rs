//! LIVE-3: while who-hears-whom changes, a set whose own paths are sound is interrupted to grow at
//! most once per hold-down of the path to whom it takes in.
//!
//! Seen from outside: somebody is deaf to another for so long that it must have lost it, however
//! patient it is. The first such loss costs no hold-down, the next one D, and each further one
//! twice as much, up to 64 D; ten times as long without one is forgiveness (`docs/protocol.md`
//! §6). Neither takes the other in before that is over. Whatever else was lost on the way makes a
//! hold-down longer, so what is computed here is the least.

use std::collections::BTreeMap;

use evs_model::{Members, Processor};

use super::index::{Index, Track};
use super::stays::ms;
use super::{Violation, violates};
use crate::history::{Circumstances, Span, Time};

/// Longest hold-down, in D.
const LONGEST: Time = 64;
/// All is forgiven after so many hold-downs.
const CALM: Time = 10;
/// Who is deaf for so many D has lost the other: the effective target is twice the target at most.
const LOST: Time = 3;
/// With fewer losses no hold-down is longer than it takes to be sure of the loss.
const LOSSES_MIN: usize = 4;

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    let Some(circumstances) = &index.history.circumstances else { return Ok(()) };
    // Each of several paths has hold-downs of its own.
    if circumstances.links > 1 {
        return Ok(());
    }
    index.tracks.iter().try_for_each(|track| taken_in_in_time(index, track, circumstances))
}

fn taken_in_in_time(
    index: &Index<'_>,
    track: &Track<'_>,
    circumstances: &Circumstances,
) -> Result<(), Violation> {
    let me = track.view.processor;
    for (other, times) in taken_in(track, circumstances) {
        if times.len() < LOSSES_MIN {
            continue;
        }
        for (who, of) in [(me, other), (other, me)] {
            let holds = holds(index, circumstances, who, of);
            let held = |at: &Time| holds.iter().find(|hold| hold.from <= *at && *at < hold.until);
            if let Some((at, hold)) = times.iter().find_map(|at| Some((*at, held(at)?))) {
                let (at, lost, until) = (ms(at), ms(hold.lost), ms(hold.until));
                let losses = hold.losses;
                return Err(violates!(
                    Live3,
                    "{me} took {other} in at {at}, though {who} was deaf to {of} from {lost} on, \
                     for the {losses}th time: the hold-down lasts until {until}"
                ));
            }
        }
    }
    Ok(())
}

/// Whom a processor took in, and when: with each configuration that follows one without the other
/// whose own paths were sound.
fn taken_in(track: &Track<'_>, circumstances: &Circumstances) -> BTreeMap<Processor, Vec<Time>> {
    let mut found: BTreeMap<Processor, Vec<Time>> = BTreeMap::new();
    for (before, after) in track.epochs.iter().zip(track.epochs.iter().skip(1)) {
        let (from, to) = (track.time(before), track.time(after));
        if is_sound(circumstances, before.members, from, to) {
            for other in after.members.difference(before.members).iter() {
                found.entry(other).or_default().push(to);
            }
        }
    }
    found
}

/// Whether all of these heard each other from one time to another.
fn is_sound(circumstances: &Circumstances, members: &Members, from: Time, to: Time) -> bool {
    let mut within = circumstances.spans().filter(|(span, end)| span.from < to && from < *end);
    within.all(|(span, _)| span.is_clique(members))
}

/// The least time in which somebody is held down.
struct Hold {
    /// When it fell silent.
    lost: Time,
    losses: u32,
    /// When its loss is certain.
    from: Time,
    until: Time,
}

/// How long this processor holds that one down, each time that it is deaf to it.
fn holds(
    index: &Index<'_>,
    circumstances: &Circumstances,
    who: Processor,
    of: Processor,
) -> Vec<Hold> {
    let together = |at: Time| {
        let ring = |p: Processor| index.track(p)?.at(at).map(|epoch| epoch.ring);
        let with = |p: Processor, other| index.track(p)?.at(at).map(|e| e.members.contains(other));
        ring(who) == ring(of) && with(who, of) == Some(true)
    };
    let mut path = Path::default();
    for (span, end) in circumstances.spans() {
        path.see(circumstances, span, (who, of), &together);
        if end == circumstances.end {
            path.ends(circumstances, end);
        }
    }
    path.holds
}

/// What becomes of the way to one processor from another.
#[derive(Default)]
struct Path {
    /// Since when nothing but cuts, crashes and pauses disturbs anybody.
    fair_from: Option<Time>,
    /// Since when they hear each other.
    heard_from: Option<Time>,
    /// Since when one is deaf to the other, if it heard it until then.
    silent_from: Option<Time>,
    /// When it ceased to be deaf for the last time.
    whole_from: Time,
    losses: u32,
    /// Of the last loss.
    length: Time,
    holds: Vec<Hold>,
}

impl Path {
    fn see(
        &mut self,
        circumstances: &Circumstances,
        span: &Span,
        (who, of): (Processor, Processor),
        together: &dyn Fn(Time) -> bool,
    ) {
        if !span.fair {
            // What is late or held back may be heard at any time.
            let holds = std::mem::take(&mut self.holds);
            *self = Self { holds, ..Self::default() };
            return;
        }
        let bound = circumstances.bounds.settling();
        let for_long =
            |since: Option<Time>, time: Time| since.is_some_and(|since| since + time <= span.from);
        self.fair_from.get_or_insert(span.from);
        let deaf = span.deaf.get(&who).is_some_and(|deaf| deaf.contains(of));
        if !deaf {
            self.ends(circumstances, span.from);
        } else if for_long(self.heard_from, bound)
            && for_long(self.fair_from, 2 * bound)
            && together(span.from)
        {
            self.silent_from = Some(span.from);
        }
        let edge = span.edge(who, of);
        self.heard_from = self.heard_from.or(Some(span.from)).filter(|_| edge);
    }

    /// If it was deaf, it is so no more.
    fn ends(&mut self, circumstances: &Circumstances, at: Time) {
        let (lost, least) = (LOST * circumstances.bounds.detection, circumstances.bounds.shortest);
        let Some(from) = self.silent_from.take().filter(|from| from + lost <= at) else { return };
        if from + lost >= self.whole_from + CALM * self.length.max(least) {
            (self.losses, self.length) = (0, 0);
        }
        self.losses += 1;
        if self.losses > 1 {
            self.length = (2 * self.length).clamp(least, LONGEST * least);
        }
        self.whole_from = at;
        let (losses, until) = (self.losses, from + self.length);
        self.holds.push(Hold { lost: from, losses, from: from + lost, until });
    }
}

#[cfg(test)]
mod tests {
    use super::super::Property::Live3;
    use super::super::fixture::*;
    use crate::history::{Circumstances, History};

    /// D is 100 ms. 3 hears 1 and 2 for 400 ms, and 1 does not hear 3 for the 300 ms after that,
    /// and so on. 1 and 2 take 3 in so many milliseconds after it is heard again, each time.
    fn flaps(taken_in_after: &[u64]) -> History {
        let begin = || vec![(0, regular(1, &[1, 2, 3]))];
        let (mut pair, mut third, mut graphs) = (begin(), begin(), vec![(0, ALL)]);
        let mut ring = 1;
        for (after, loss) in taken_in_after.iter().zip(0..) {
            let at = 1_400 + 700 * loss;
            graphs.extend([(at, APART), (at + 300, ALL)]);
            pair.extend(goes(at + 110, ring, ring + 1, &[1, 2]));
            third.extend(goes(at + 110, ring, ring + 2, &[3]));
            let at = at + 300 + after;
            pair.extend([(at, transitional(ring + 1, ring + 3, &[1, 2]))]);
            third.extend([(at, transitional(ring + 2, ring + 3, &[3]))]);
            pair.extend([(at, regular(ring + 3, &[1, 2, 3]))]);
            third.extend([(at, regular(ring + 3, &[1, 2, 3]))]);
            ring += 3;
        }
        let mut history =
            calm(vec![timed(1, pair.clone()), timed(2, pair), timed(3, third)], &graphs);
        let circumstances = history.circumstances.as_mut().expect("of a calm world");
        for span in &mut circumstances.spans {
            let deaf = span.hears.iter().filter(|(_, near)| near.is_empty());
            span.deaf = deaf.map(|_| (p(1), members(&[3]))).collect();
        }
        history
    }

    const ALL: Edges<'_> = &[(1, 2), (1, 3), (2, 3)];
    const APART: Edges<'_> = &[(1, 2)];

    #[test]
    fn who_is_held_down_is_not_taken_in() {
        holds(&flaps(&[20, 20, 20, 100]));
        breaks(&flaps(&[20, 20, 20, 99]), Live3, "for the 4th time");
    }

    /// The fourth time it is taken in as soon as before, in other circumstances.
    fn but(change: impl Fn(&mut Circumstances)) -> History {
        let mut history = flaps(&[20, 20, 20, 20]);
        change(history.circumstances.as_mut().expect("of a calm world"));
        history
    }

    /// The second and the third time nobody is deaf for long enough.
    #[test]
    fn what_may_not_have_been_noticed_is_no_loss() {
        holds(&but(|c| (3..=6).for_each(|i| c.spans[i].deaf.clear())));
    }

    #[test]
    fn what_comes_before_a_time_that_was_not_fair_does_not_count() {
        holds(&but(|c| c.spans[4].fair = false));
    }

    #[test]
    fn several_paths_have_hold_downs_of_their_own() {
        holds(&but(|c| c.links = 2));
    }

    #[test]
    fn a_long_calm_is_forgiveness() {
        let later = |history: &mut History| {
            let times =
                |time: &mut u64| *time += if *time > 3_150_000_000 { 800_000_000 } else { 0 };
            history.views.iter_mut().for_each(|view| view.times.iter_mut().for_each(times));
            let circumstances = history.circumstances.as_mut().expect("of a calm world");
            circumstances.spans.iter_mut().for_each(|span| {
                times(&mut span.from);
                span.held = span.from;
            });
        };
        let mut history = flaps(&[20, 20, 20, 20]);
        later(&mut history);
        breaks(&history, Live3, "for the 4th time");
        later(&mut history);
        holds(&history);
    }
}
