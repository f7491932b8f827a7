//! LIVE-4: a client that does not read changes neither the membership nor the delivery to others;
//! a processor that stands still is excluded once and comes back once.
//!
//! That the membership does not change follows from LIVE-3 and LIVE-6: a client's stalling is no
//! fault there.

use evs_model::{Event, Members, Processor};

use super::index::Index;
use super::stays::{Stay, ms, stays};
use super::{Violation, violates};
use crate::history::{ClientAct, ClientHistory, Entry, View, configuration_of};

pub(super) fn check(index: &Index<'_>) -> Result<(), Violation> {
    for client in &index.history.clients {
        let Some(view) = index.history.views.get(client.view) else { continue };
        nobody_waits_for_another(client, view)?;
    }
    for three in stays(index).windows(3) {
        let [before, apart, after] = three else { continue };
        if let Some(absent) = away_for_a_while(before, apart, after) {
            out_once_and_in_once(index, three, absent)?;
        }
    }
    Ok(())
}

/// A client that reads gets each event as soon as its processor's history has it, whatever the
/// other clients do.
fn nobody_waits_for_another(client: &ClientHistory, view: &View) -> Result<(), Violation> {
    let mut stalled = false;
    // Up to here in the view, it may have waited for itself.
    let mut excused = 0;
    let mut at = 0;
    for step in &client.steps {
        match &step.what {
            ClientAct::Connected => (at, excused) = (step.place, step.place),
            ClientAct::Stalled => stalled = true,
            ClientAct::Reads => (stalled, excused) = (false, step.place),
            ClientAct::Joined(_)
            | ClientAct::Left(_)
            | ClientAct::Disconnected
            | ClientAct::CutOff => {}
            ClientAct::Received(event) => {
                let rest = view.entries.get(at..).unwrap_or_default();
                let Some(found) = rest.iter().position(|entry| shows(entry, event)) else {
                    continue;
                };
                at += found + 1;
                let time = |place: usize| view.times.get(place - 1).copied().unwrap_or(0);
                let late = time(step.place.max(at)).saturating_sub(time(at));
                if at > excused && late > 0 && !stalled {
                    let (name, processor, late) = (client.client, view.processor, ms(late));
                    return Err(violates!(
                        Live4,
                        "{name} at {processor} got entry {at} of the history {late} late"
                    ));
                }
            }
        }
    }
    Ok(())
}

fn shows(entry: &Entry, event: &Event) -> bool {
    match (entry, event) {
        (Entry::Configuration(one), Event::Configuration(two)) => *one == configuration_of(two),
        (Entry::Delivered(one), Event::Message(two)) => one.id == two.id,
        (Entry::Accepted(_) | Entry::Configuration(_) | Entry::Delivered(_), _) => false,
    }
}

/// Who heard nobody for a while, if that was all that happened, and before and after it all heard
/// each other.
fn away_for_a_while(before: &Stay<'_>, apart: &Stay<'_>, after: &Stay<'_>) -> Option<Processor> {
    let follow = before.number + 1 == apart.number && apart.number + 1 == after.number;
    if !follow || before.span.hears != after.span.hears {
        return None;
    }
    let hears = |stay: &Stay<'_>, p: Processor| stay.span.hears.get(&p).cloned();
    let mut changed = before.span.hears.keys().copied().filter(|p| {
        hears(before, *p).is_some_and(|hears| !hears.is_empty())
            && hears(apart, *p).is_some_and(|hears| hears.is_empty())
    });
    let absent = changed.next()?;
    let others_stay = before.span.hears.iter().filter(|(p, _)| **p != absent).all(|(p, near)| {
        let mut near = near.clone();
        near.remove(absent);
        hears(apart, *p) == Some(near)
    });
    let component = before.span.component(absent);
    (changed.next().is_none() && others_stay && before.span.is_clique(&component)).then_some(absent)
}

fn out_once_and_in_once(
    index: &Index<'_>,
    three: &[Stay<'_>],
    absent: Processor,
) -> Result<(), Violation> {
    let [before, apart, after] = three else { return Ok(()) };
    for other in before.span.component(absent).iter().filter(|p| *p != absent) {
        let Some(track) = index.track(other) else { continue };
        let stays = [(apart, "excluded"), (after, "taken back")];
        for (stay, what) in stays {
            let changes = track.between(stay.span.from, stay.end);
            let seen: Vec<&Members> = changes.map(|epoch| epoch.members).collect();
            if seen.len() > 1 {
                let at = ms(stay.span.from);
                return Err(violates!(
                    Live4,
                    "{absent}, which was away, is {what} by {other} from {at} on by more than one \
                     configuration: {seen:?}"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use evs_model::{ClientId, ConfigurationChange, Members};

    use super::super::Property::Live4;
    use super::super::fixture::*;
    use super::*;
    use crate::history::{ClientStep, History};

    /// Processor 1 delivers two messages; client 2 joined before them and did this.
    fn client(acts: Vec<(usize, ClientAct)>) -> History {
        let letters = [agreed(1, 1, 1, 1), agreed(1, 2, 1, 2)];
        let mut entries = vec![regular(1, &[1])];
        entries.extend(letters.iter().map(|letter| letter.accepted()));
        entries.extend(letters.iter().map(|letter| letter.delivered()));
        let first = Event::Configuration(ConfigurationChange::Regular {
            ring: ring(1),
            members: members(&[1]),
            left: Members::default(),
            joined: Members::default(),
        });
        let begin = [
            (3, ClientAct::Connected),
            (3, ClientAct::Received(first)),
            (3, ClientAct::Joined(vec![group("g")])),
        ];
        let steps = begin.into_iter().chain(acts);
        let steps = steps.map(|(place, what)| ClientStep { place, what }).collect();
        let entries = entries.into_iter().enumerate().map(|(ms, entry)| (ms as u64, entry));
        let clients = vec![ClientHistory { client: ClientId(2), view: 0, steps }];
        History { clients, ..history(vec![timed(1, entries.collect())]) }
    }

    fn message(number: u64) -> ClientAct {
        ClientAct::Received(Event::Message(agreed(1, number, 1, number).message()))
    }

    #[test]
    fn who_reads_is_served_at_once() {
        holds(&client(vec![(4, message(1)), (5, message(2))]));
        breaks(&client(vec![(5, message(1)), (5, message(2))]), Live4, "1.000 ms late");
    }

    #[test]
    fn who_stalled_is_served_when_it_reads() {
        holds(&client(vec![
            (3, ClientAct::Stalled),
            (5, ClientAct::Reads),
            (5, message(1)),
            (5, message(2)),
        ]));
    }

    const ALL: Edges<'_> = &[(1, 2), (1, 3), (2, 3)];

    /// 3 hears nobody from 5 s to 10 s; the others go on like this.
    fn away(others: Vec<(u64, Entry)>) -> History {
        let begin = vec![(0, regular(1, &[1, 2, 3]))];
        let third = [begin.clone(), goes(5_100, 1, 2, &[3])].concat();
        let back = |from| {
            vec![
                (10_100, transitional(from, 9, if from == 2 { &[3] } else { &[1, 2] })),
                (10_100, regular(9, &[1, 2, 3])),
            ]
        };
        let last = if others.is_empty() { 1 } else { others.len() as u64 / 2 + 2 };
        let others = [begin, others, back(last)].concat();
        let views =
            vec![timed(1, others.clone()), timed(2, others), timed(3, [third, back(2)].concat())];
        calm(views, &[(0, ALL), (5_000, &[(1, 2)]), (10_000, ALL)])
    }

    #[test]
    fn once_out_and_once_in_is_legal() {
        holds(&away(goes(5_100, 1, 3, &[1, 2])));
    }

    #[test]
    fn out_twice_is_noticed() {
        let twice = [goes(5_100, 1, 3, &[1, 2]), goes(5_200, 3, 4, &[1, 2])].concat();
        breaks(&away(twice), Live4, "is excluded by 1/0001 from 5000.000 ms");
    }
}
