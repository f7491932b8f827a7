//! What the scripts share: short names, transcripts in files, and what is measured.

use std::collections::BTreeMap;
use std::path::PathBuf;

use evs_model::{ConfigurationChange, Event, Members, Processor, RingId};
use evs_sim::history::Entry;
use evs_sim::script::{Detail, Script};
use evs_sim::world::{Kind, Nanos, Note, Noted, World};
use totem::{PacketKind, StateKind};

pub(crate) const COMMIT: Kind = Kind::Ring(PacketKind::CommitToken);
pub(crate) const JOIN: Kind = Kind::Ring(PacketKind::Join);
pub(crate) const MCAST: Kind = Kind::Ring(PacketKind::Mcast);
pub(crate) const MERGE: Kind = Kind::Ring(PacketKind::MergeDetect);
pub(crate) const TOKEN: Kind = Kind::Ring(PacketKind::Token);
pub(crate) const WAKE: Kind = Kind::Ring(PacketKind::Wake);

/// Every time from here on.
pub(crate) const ALWAYS: u32 = u32::MAX;

pub(crate) const US: Nanos = 1_000;
pub(crate) const MS: Nanos = 1_000_000;
/// The detection target of scripts, in milliseconds.
pub(crate) const D: Nanos = 200;

/// Compares what applications saw with the transcript of this name; writes it with `UPDATE=1`.
#[track_caller]
pub(crate) fn as_written(script: &Script, name: &str, detail: Detail) {
    let found = script.transcript(detail);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/pitfalls/transcripts")
        .join(name)
        .with_extension("txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &found).expect("the transcripts can be written");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} differs; found:\n{found}", path.display());
}

/// How many configurations each of these nodes has delivered.
pub(crate) fn configurations(script: &Script, ids: &[u32]) -> Vec<usize> {
    ids.iter().map(|id| script.configurations(*id)).collect()
}

/// When a node last left this state for another, in nanoseconds.
pub(crate) fn left_at(world: &World, id: u32, state: StateKind) -> Option<Nanos> {
    let left = |note: &&Note| {
        note.processor.node.get() == id
            && matches!(note.what, Noted::Moved { from, .. } if from == state)
    };
    world.journal().iter().rev().find(left).map(|note| note.at)
}

/// How many messages the present process of a node has delivered.
pub(crate) fn delivered_at(world: &World, id: u32) -> usize {
    let view = world.history().views.iter().rfind(|view| view.processor.node.get() == id);
    let entries = view.map_or(&[][..], |view| &view.entries);
    entries.iter().filter(|entry| matches!(entry, Entry::Delivered(_))).count()
}

/// A regular configuration, as the client that is in every group saw it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Regular {
    pub(crate) ring: RingId,
    pub(crate) members: Members,
    pub(crate) left: Members,
    pub(crate) joined: Members,
}

/// The regular configurations that the present process of a node delivered, from this place of the
/// journal on.
pub(crate) fn regulars(world: &World, id: u32, from: usize) -> Vec<Regular> {
    let processor = world.service(id).map(|service| service.ring().me());
    let mine = world.journal()[from..].iter().filter(|note| Some(note.processor) == processor);
    mine.filter_map(|note| {
        let Noted::Saw(Event::Configuration(change)) = &note.what else { return None };
        let ConfigurationChange::Regular { ring, members, left, joined } = change.clone() else {
            return None;
        };
        Some(Regular { ring, members, left, joined })
    })
    .collect()
}

/// Who runs at a node now.
#[track_caller]
pub(crate) fn processor(world: &World, id: u32) -> Processor {
    world.service(id).expect("the node is up").ring().me()
}

/// JL: in every process's stream, each regular configuration is the one before it without those
/// that left and with those that joined.
#[track_caller]
pub(crate) fn left_and_joined_add_up(world: &World) {
    let mut last: BTreeMap<Processor, Members> = BTreeMap::new();
    for note in world.journal() {
        let Noted::Saw(Event::Configuration(change)) = &note.what else { continue };
        let ConfigurationChange::Regular { members, left, joined, .. } = change else { continue };
        let own = Members::singleton(note.processor);
        let before = last.insert(note.processor, members.clone()).unwrap_or(own);
        assert!(left.is_subset(&before), "{} left, but were not in {before}", left);
        let stayed = before.difference(left);
        assert_eq!(members.difference(&stayed), *joined, "at {}", note.processor);
        assert!(stayed.is_subset(members), "{stayed} are not in {members}");
    }
}

/// How often a node has agreed to a ring, from this place of the journal on.
pub(crate) fn attempts(world: &World, id: u32, from: usize) -> usize {
    let agreed = |note: &&Note| {
        note.processor.node.get() == id
            && matches!(note.what, Noted::Moved { to: StateKind::Commit, .. })
    };
    world.journal()[from..].iter().filter(agreed).count()
}
