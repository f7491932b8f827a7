//! Hand-made histories for the checkers' own tests.
//!
//! A letter names a message: `a` is number 1 of client 1 of its sender. A view is written as a
//! list of entries, top to bottom, as a reader of the contract would on paper.

use std::collections::BTreeMap;

use bytes::Bytes;
use evs_model::{
    ClientId, Configuration, Group, Groups, Guarantee, Members, Message, MessageId, NodeId,
    Processor, RingId,
};

use super::{Property, check, violations};
use crate::bounds::Bounds;
use crate::history::{
    Circumstances, End, Entry, History, Patience, Scope, Span, Start, Submission, View,
};

/// The only incarnation of a node.
pub(super) fn p(node: u32) -> Processor {
    Processor::new(NodeId::new(node).expect("tests use no 0"), u64::from(node))
}

/// The ring of this sequence, formed by node 1.
pub(super) fn ring(seq: u64) -> RingId {
    RingId { seq, rep: p(1) }
}

pub(super) fn members(nodes: &[u32]) -> Members {
    Members::new(nodes.iter().map(|n| p(*n)).collect()).expect("tests list a node once")
}

pub(super) fn regular(seq: u64, nodes: &[u32]) -> Entry {
    Entry::Configuration(Configuration::Regular { ring: ring(seq), members: members(nodes) })
}

pub(super) fn transitional(from: u64, to: u64, nodes: &[u32]) -> Entry {
    let members = members(nodes);
    Entry::Configuration(Configuration::Transitional { from: ring(from), to: ring(to), members })
}

/// A message of the fixture: its sender and number name it, ring and seq are its place.
#[derive(Clone, Copy)]
pub(super) struct Letter {
    pub(super) sender: u32,
    pub(super) number: u64,
    pub(super) guarantee: Guarantee,
    pub(super) ring: u64,
    pub(super) seq: u64,
}

pub(super) fn agreed(sender: u32, number: u64, ring: u64, seq: u64) -> Letter {
    Letter { sender, number, guarantee: Guarantee::Agreed, ring, seq }
}

impl Letter {
    pub(super) fn with(self, guarantee: Guarantee) -> Self {
        Self { guarantee, ..self }
    }

    fn id(self) -> MessageId {
        MessageId { sender: p(self.sender), client: ClientId(1), number: self.number }
    }

    fn body(self) -> Bytes {
        crate::body::body(u64::from(self.sender) << 32 | self.number, 40)
    }

    /// Handed over by a client of the sender.
    pub(super) fn accepted(self) -> Entry {
        let (id, guarantee) = (self.id(), self.guarantee);
        Entry::Accepted(Submission { id, guarantee, groups: groups(), body: self.body() })
    }

    pub(super) fn message(self) -> Message {
        Message {
            id: self.id(),
            groups: groups(),
            guarantee: self.guarantee,
            ring: ring(self.ring),
            seq: self.seq,
            body: self.body(),
        }
    }

    pub(super) fn delivered(self) -> Entry {
        Entry::Delivered(self.message())
    }
}

pub(super) fn group(name: &str) -> Group {
    Group::named(name).expect("tests use short names")
}

pub(super) fn groups() -> Groups {
    Groups::new(&[group("g")]).expect("one is no more than the limit")
}

/// A complete view of a processor that was still up when the recording ended.
pub(super) fn view(node: u32, entries: Vec<Entry>) -> View {
    View {
        processor: p(node),
        scope: Scope::All,
        start: Start::Birth { stored_by: None },
        entries,
        times: Vec::new(),
        end: End::Running,
        settled: None,
    }
}

/// The same, in which everything after these entries comes when nothing may change any more.
pub(super) fn settled(node: u32, entries: Vec<Entry>) -> View {
    View { settled: Some(entries.len()), ..view(node, entries) }
}

/// Two that are settled in one configuration.
pub(super) fn settled_pair() -> History {
    history((1..=2).map(|node| settled(node, vec![regular(1, &[1, 2])])).collect())
}

/// The same as [`view`], with the time of each entry, in milliseconds.
pub(super) fn timed(node: u32, entries: Vec<(u64, Entry)>) -> View {
    let times = entries.iter().map(|(ms, _)| ms * 1_000_000).collect();
    let entries = entries.into_iter().map(|(_, entry)| entry).collect();
    View { times, ..view(node, entries) }
}

/// From one ring to another at this time, together with these, who are all its members.
pub(super) fn goes(ms: u64, from: u64, to: u64, nodes: &[u32]) -> Vec<(u64, Entry)> {
    vec![(ms, transitional(from, to, nodes)), (ms, regular(to, nodes))]
}

/// Who hears whom, both ways.
pub(super) type Edges<'a> = &'a [(u32, u32)];

/// Views of processors that are all up for 100 s, and who hears whom from which time on, in
/// milliseconds. The detection target is 100 ms, the effective one 200 ms at the most; B is less
/// than 400 ms.
pub(super) fn calm(views: Vec<View>, graphs: &[(u64, Edges<'_>)]) -> History {
    let nodes: Vec<u32> = views.iter().map(|view| view.processor.node.get()).collect();
    let spans = graphs.iter().map(|(ms, edges)| {
        let near = |node: u32| {
            let edge =
                |other: &u32| edges.contains(&(node, *other)) || edges.contains(&(*other, node));
            members(&nodes.iter().copied().filter(edge).collect::<Vec<_>>())
        };
        let hears = nodes.iter().map(|node| (p(*node), near(*node))).collect();
        let from = ms * 1_000_000;
        Span {
            from,
            held: from,
            patience: Patience::default(),
            hears,
            deaf: BTreeMap::new(),
            stopped: Members::default(),
            still: true,
            fair: true,
        }
    });
    let detection = 100_000_000;
    let bounds =
        Bounds { detection, shortest: detection, hop: 100_000, nodes: 3, patience: detection };
    let circumstances = Circumstances {
        bounds,
        links: 1,
        spans: spans.collect(),
        end: 100_000_000_000,
        patience: Patience::default(),
        settled: None,
    };
    History { circumstances: Some(circumstances), ..history(views) }
}

pub(super) fn history(views: Vec<View>) -> History {
    History { views, every_send: true, ..History::default() }
}

/// The history is legal.
#[track_caller]
pub(super) fn holds(history: &History) {
    if let Err(violation) = check(history) {
        panic!("a legal history was refused: {violation}");
    }
}

/// The history breaks this property, and the text says so.
#[track_caller]
pub(super) fn breaks(history: &History, property: Property, text: &str) {
    let found = violations(history);
    let Some(violation) = found.iter().find(|violation| violation.property == property) else {
        panic!("{property} was not noticed, only {found:?}");
    };
    assert!(violation.text.contains(text), "{violation} does not say {text:?}");
}
