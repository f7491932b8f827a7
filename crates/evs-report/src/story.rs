//! A change, told to people.

use std::fmt::Write as _;

use crate::{Change, Evidence, Node, PathSign, Pause, Sight, Trigger};

/// One line: when, who is in, and why.
#[must_use]
pub fn headline(change: &Change) -> String {
    let when = if change.at.is_empty() { "under way" } else { &change.at };
    let members = nodes(&change.members);
    format!("{}  {when}  members {members}: {}", change.change, headline_of(&change.trigger))
}

/// All that is known, on a few lines.
#[must_use]
pub fn story(change: &Change) -> String {
    let mut text = String::new();
    // A string takes everything that is written to it.
    let _ = tell(change, &mut text);
    text
}

fn tell(change: &Change, out: &mut String) -> std::fmt::Result {
    let me = change.me.node;
    match &change.to {
        Some(_) => {
            writeln!(out, "change {} of node {me}, at {}", change.change, change.at)?;
        }
        None if change.trigger == Trigger::Stopped => {
            writeln!(out, "change {} of node {me}, at {}", change.change, change.at)?;
        }
        None => writeln!(out, "node {me} is agreeing on a new configuration")?,
    }
    writeln!(out, "why: {}", headline_of(&change.trigger))?;
    for line in details(change) {
        writeln!(out, "     {line}")?;
    }
    write!(out, "members: {}", nodes(&change.members))?;
    for (what, list) in [("left", &change.left), ("joined", &change.joined)] {
        if !list.is_empty() {
            write!(out, "; {what}: {}", nodes(list))?;
        }
    }
    writeln!(out)?;
    let name = |ring: &Option<String>| ring.clone().unwrap_or_else(|| "none".to_owned());
    writeln!(out, "ring: {} -> {}", name(&change.from), name(&change.to))?;

    writeln!(out, "\nwhat happened at node {me}:")?;
    for (at_us, line) in timeline(change) {
        writeln!(out, "  {:>12}  {line}", moment(at_us))?;
    }
    let recovery = &change.recovery;
    if change.from.is_some() && change.to.is_some() {
        writeln!(
            out,
            "recovery: {} packets sent to others, {} got from them, {} messages begun anew",
            recovery.sent, recovery.got, recovery.restarted
        )?;
    }
    if change.evidence.iter().any(|evidence| evidence.node != change.me) {
        writeln!(out, "\nwhat the others saw:")?;
        for evidence in change.evidence.iter().filter(|evidence| evidence.node != change.me) {
            writeln!(out, "  node {}: {}", evidence.node.node, seen(evidence))?;
        }
    }
    let told = |node: &&Node| change.evidence.iter().all(|evidence| evidence.node != **node);
    let silent: Vec<_> = change.members.iter().filter(told).cloned().collect();
    if change.to.is_some() && !silent.is_empty() {
        writeln!(out, "\nnot told yet by: {}", nodes(&silent))?;
    }
    Ok(())
}

/// Why, as a clause.
#[must_use]
pub fn headline_of(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Started => "evsd started here".to_owned(),
        Trigger::Left { node } => format!("node {} left in order", node.node),
        Trigger::Removed { node } => {
            format!("an operator took node {} out of the cluster", node.node)
        }
        Trigger::Restarted { node, .. } => format!("evsd of node {} was restarted", node.node),
        Trigger::Silent { node, nodes, .. } => {
            format!("{} fell silent", listed(all(node, nodes)))
        }
        Trigger::Died { node, nodes, silent, .. } => {
            let died = format!("evsd of {} died", listed(all(node, nodes)));
            match silent.is_empty() {
                true => died,
                false => format!("{died}, and {} fell silent", listed(silent)),
            }
        }
        Trigger::OneWay { from, to } => {
            format!("node {} no longer heard node {}", to.node, from.node)
        }
        Trigger::Deaf { node, noticed_by } => format!(
            "data no longer passed between nodes {} and {}, though small packets did",
            noticed_by.node, node.node
        ),
        Trigger::Paused { node, pause } => {
            format!("node {} stood still for {}", node.node, span(pause.pause_us))
        }
        Trigger::TokenLost { without, .. } if !without.is_empty() => {
            format!("the token was lost, and {} went on without this node", listed(without))
        }
        Trigger::TokenLost { .. } => "the token was lost, and nobody was missed".to_owned(),
        Trigger::Joined { nodes: new } => format!("{} started", listed(new)),
        Trigger::Merged { nodes: back, absent_us } => match absent_us {
            Some(absent) => format!("{} can be heard again, after {}", listed(back), span(*absent)),
            None => format!("{} can be heard", listed(back)),
        },
        Trigger::Stopped => "evsd was stopped here".to_owned(),
        Trigger::OutOfRange => "what a peer sent was out of all bounds".to_owned(),
        Trigger::Unknown => "not known".to_owned(),
    }
}

fn details(change: &Change) -> Vec<String> {
    match &change.trigger {
        Trigger::Silent { nodes, noticed_by, not_noticed_by, .. } => {
            let several = nodes.len() > 1;
            let who = |noticed: &crate::Noticed| {
                format!("node {} had heard nothing for {}", noticed.node.node, {
                    span(noticed.silence_us)
                })
            };
            let mut lines: Vec<_> = noticed_by.iter().map(who).collect();
            if !not_noticed_by.is_empty() {
                let others = listed(not_noticed_by);
                let missed = if several { "any of them" } else { "it" };
                lines.push(format!("{others} did not miss {missed}: look at the way between them"));
            } else if !change.together.is_empty() {
                let theirs = match several {
                    true => "their processes or their hosts have failed, or their network",
                    false => "its process or its host has failed, or its network",
                };
                let alone = change.together.iter().all(|node| *node == change.me);
                let own = if alone { ", or this node's own network" } else { "" };
                lines.push(format!("{theirs}{own}"));
            }
            lines
        }
        Trigger::Died { nodes, noticed_by, .. } => {
            let (host, end) = match nodes.len() {
                0 | 1 => ("its host", "it crashed or was killed: see its log and its host's"),
                _ => (
                    "their hosts",
                    "they crashed or were killed: see their logs and those of their hosts",
                ),
            };
            let who = |noticed: &crate::Noticed| {
                format!(
                    "node {} was told by {host} that nobody listens there, and had heard nothing \
                     for {}",
                    noticed.node.node,
                    span(noticed.silence_us)
                )
            };
            let mut lines: Vec<_> = noticed_by.iter().map(who).collect();
            lines.push(end.to_owned());
            lines
        }
        Trigger::OneWay { from, to } => {
            vec![format!(
                "packets from node {} to node {} are lost; the other way they pass",
                from.node, to.node
            )]
        }
        Trigger::Deaf { .. } => {
            vec!["is the network's MTU what cluster.mtu_bytes says?".to_owned()]
        }
        Trigger::Paused { pause, .. } => vec![held_up(*pause)],
        Trigger::TokenLost { without, .. } if !without.is_empty() => {
            vec!["they are heard: their `evs why` says what they have against this node".to_owned()]
        }
        Trigger::TokenLost { last_at: Some(last), passed_to: Some(next), number, .. } => {
            vec![format!(
                "token {number} was last seen at node {}, which passed it on to node {}",
                last.node, next.node
            )]
        }
        Trigger::TokenLost { last_at: Some(last), number, .. } => {
            vec![format!("token {number} was last seen at node {}", last.node)]
        }
        Trigger::TokenLost { .. }
        | Trigger::Started
        | Trigger::Left { .. }
        | Trigger::Removed { .. }
        | Trigger::Restarted { .. }
        | Trigger::Joined { .. }
        | Trigger::Merged { .. }
        | Trigger::OutOfRange
        | Trigger::Stopped
        | Trigger::Unknown => Vec::new(),
    }
}

/// What this node saw and did, in order.
fn timeline(change: &Change) -> Vec<(i64, String)> {
    let own = change.evidence.iter().find(|evidence| evidence.node == change.me);
    let saw = own.map_or(&[][..], |own| &own.saw);
    let sights = saw.iter().filter_map(|sight| Some((at(sight)?, sighted(sight))));
    let steps = change.timeline.iter().map(|step| {
        let cause = if step.cause.is_empty() { String::new() } else { format!(": {}", step.cause) };
        (step.at_us, format!("{}{cause}", step.state))
    });
    let mut all: Vec<_> = sights.chain(steps).collect();
    all.sort_by_key(|(at, _)| *at);
    all
}

fn at(sight: &Sight) -> Option<i64> {
    match sight {
        Sight::Silent { at_us, .. }
        | Sight::Refused { at_us, .. }
        | Sight::NotHeardByPeer { at_us, .. }
        | Sight::Deaf { at_us, .. }
        | Sight::Restarted { at_us, .. }
        | Sight::Heard { at_us, .. }
        | Sight::PathDown { at_us, .. }
        | Sight::PathUp { at_us, .. }
        | Sight::Paused { at_us, .. }
        | Sight::Removed { at_us, .. } => Some(*at_us),
        Sight::Other => None,
    }
}

fn sighted(sight: &Sight) -> String {
    match sight {
        Sight::Silent { peer, silence_us, .. } => {
            format!("node {} not heard for {}", peer.node, span(*silence_us))
        }
        Sight::Refused { peer, silence_us, .. } => format!(
            "nobody listens at node {}, says its host; not heard for {}",
            peer.node,
            span(*silence_us)
        ),
        Sight::NotHeardByPeer { peer, .. } => {
            format!("node {} says that it does not hear this node", peer.node)
        }
        Sight::Deaf { peer, .. } => format!("no data passes to or from node {}", peer.node),
        Sight::Restarted { peer, .. } => format!("node {} runs a new evsd", peer.node),
        Sight::Heard { peer, absent_us: Some(absent), .. } => {
            format!("node {} heard again, after {}", peer.node, span(*absent))
        }
        Sight::Heard { peer, .. } => format!("node {} heard", peer.node),
        Sight::PathDown { peer, link, sign, .. } => {
            let sign = match sign {
                PathSign::Silent => "nothing comes from it",
                PathSign::Refused => "its host says that nobody listens there",
                PathSign::NotHeardByPeer => "it says that it does not hear this node",
                PathSign::Deaf => "large packets are lost",
                PathSign::Restarted => "it runs a new evsd",
                PathSign::Other => "of a kind that a later version knows",
            };
            format!("link {link} to node {} lost: {sign}", peer.node)
        }
        Sight::PathUp { peer, link, .. } => format!("link {link} to node {} works", peer.node),
        Sight::Removed { peer, .. } => {
            format!("an operator took node {} out of the cluster", peer.node)
        }
        Sight::Paused { pause, .. } => stood_still(pause),
        Sight::Other => "something that a later version knows".to_owned(),
    }
}

/// With what the kernel counted meanwhile, where it counted anything.
fn stood_still(pause: &Pause) -> String {
    let mut told = format!("stood still for {}", span(pause.pause_us));
    if let Some(starved) = pause.starved_us.filter(|starved| *starved > 0) {
        let _ = write!(told, ", {} of it ready to run", span(starved));
    }
    if let Some(faults) = pause.major_faults.filter(|faults| *faults > 0) {
        let _ = write!(told, ", with {}", page_faults(faults));
    }
    told
}

/// What held a process up, by what its kernel counted.
fn held_up(pause: Pause) -> String {
    let starved = pause.starved_us.filter(|starved| starved.saturating_mul(2) >= pause.pause_us);
    let faults = pause.major_faults.filter(|faults| *faults > 0);
    match (starved, faults) {
        (Some(starved), _) => format!(
            "it was ready to run for {} of that and had no processor: its host is overloaded, or \
             it may use no more (local.realtime_priority puts evsd before other programs)",
            span(starved)
        ),
        (None, Some(faults)) => format!(
            "it had {}, which may be why: a host that is short of memory reads evsd's own from its \
             disk (local.lock_memory prevents that)",
            page_faults(faults)
        ),
        (None, None) => {
            "the process was stopped, its machine asleep or overloaded, or a disk held it up"
                .to_owned()
        }
    }
}

fn page_faults(count: u64) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} major page fault{s}")
}

fn seen(evidence: &Evidence) -> String {
    let mut parts = vec![cause(evidence)];
    parts.extend(evidence.saw.iter().filter(|sight| at(sight).is_some()).map(sighted));
    if let Some(token) = &evidence.token {
        let silence = span(token.silence_us);
        parts.push(format!("last sign of the token {silence} before (number {})", token.number));
    }
    parts.push(format!("agreed within {}", span(evidence.took_us)));
    parts.join("; ")
}

fn cause(evidence: &Evidence) -> String {
    use crate::Cause as C;
    let names = listed(&evidence.cause_names);
    match evidence.cause {
        C::None => format!("had just started, {} before", span(evidence.up_us)),
        C::TokenLost => "the token did not come round in time".to_owned(),
        C::PathLost => format!("{names} no longer heard each other"),
        C::MemberLeft => format!("{names} left in order"),
        C::MemberAsked => format!("{names} asked for a new agreement"),
        C::Growth => format!("{names} can be heard by all"),
        C::OutOfRange => "a peer's state was out of all bounds".to_owned(),
        C::Other => "a cause that a later version knows".to_owned(),
    }
}

/// All that are meant; a record of an earlier version has the first of them only.
fn all<'t>(first: &'t Node, nodes: &'t [Node]) -> &'t [Node] {
    if nodes.is_empty() { std::slice::from_ref(first) } else { nodes }
}

/// The ids of nodes, as in a list of members.
fn nodes(nodes: &[Node]) -> String {
    nodes.iter().map(|node| node.node.to_string()).collect::<Vec<_>>().join(" ")
}

/// The ids of nodes, as in a sentence.
fn listed(list: &[Node]) -> String {
    match list {
        [] => "nobody".to_owned(),
        [one] => format!("node {}", one.node),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|node| node.node.to_string()).collect();
            format!("nodes {} and {}", first.join(", "), last.node)
        }
    }
}

/// A length of time, with about three digits.
fn span(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..100_000 => format!("{}.{} ms", us / 1_000, us / 100 % 10),
        100_000..10_000_000 => format!("{} ms", us / 1_000),
        10_000_000..600_000_000 => format!("{} s", us / 1_000_000),
        _ => format!("{} min", us / 60_000_000),
    }
}

/// A moment, seen from the beginning of the change.
fn moment(us: i64) -> String {
    let sign = if us < 0 { "-" } else { "+" };
    let us = us.unsigned_abs();
    format!("{sign}{}.{:03} ms", us / 1_000, us % 1_000)
}

#[cfg(test)]
mod tests;
