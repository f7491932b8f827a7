//! What applications saw, written down for people: one block for each process, one line for each
//! configuration and for each run of messages.
//!
//! Nothing in it depends on a seed or on exact times: a process is its node's number, with a mark
//! for each restart; regular configurations are numbered as they first appear; a message is its
//! sender and the sender's count.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use evs_model::{ConfigurationChange, Event, Guarantee, Members, MessageId, Processor, RingId};

use crate::history::End;
use crate::world::{Note, Noted};

/// What a transcript shows besides configurations and messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Detail {
    /// Nothing.
    Applications,
    /// Each change of a state of the membership protocol, and its cause.
    States,
}

/// Writes the transcript of what was noted from `from` on.
pub(super) fn transcript(journal: &[Note], from: usize, detail: Detail) -> String {
    let mut names = Names::default();
    let mut blocks: Vec<(Processor, Block)> = Vec::new();
    for (place, note) in journal.iter().enumerate() {
        names.meet(note);
        if !blocks.iter().any(|(processor, _)| *processor == note.processor) {
            blocks.push((note.processor, Block::default()));
        }
        let block = blocks.iter_mut().find(|(processor, _)| *processor == note.processor);
        if let Some((_, block)) = block
            && place >= from
        {
            block.note(&names, note, detail);
        }
    }
    blocks.sort_by_key(|(processor, _)| (processor.node, names.restarts(*processor)));
    let mut text = String::new();
    for (processor, mut block) in blocks {
        block.end_run();
        if !block.lines.is_empty() {
            let _ = writeln!(text, "{}", names.processor(processor));
            block.lines.iter().for_each(|line| text.extend(["  ", line, "\n"]));
        }
    }
    text
}

/// How things are called.
#[derive(Debug, Default)]
struct Names {
    incarnations: Vec<Processor>,
    rings: Vec<RingId>,
    clients: BTreeMap<(Processor, u64), u64>,
}

impl Names {
    fn meet(&mut self, note: &Note) {
        if !self.incarnations.contains(&note.processor) {
            self.incarnations.push(note.processor);
        }
        if let Noted::Saw(Event::Configuration(change)) = &note.what {
            let ring = match change {
                ConfigurationChange::Regular { ring, .. } => ring,
                ConfigurationChange::Transitional { to, .. } => to,
            };
            if !self.rings.contains(ring) {
                self.rings.push(*ring);
            }
        }
        if let Noted::Saw(Event::Message(message)) = &note.what {
            let sender = message.id.sender;
            let place = self.clients.keys().filter(|(p, _)| *p == sender).count() as u64;
            self.clients.entry((sender, message.id.client.0)).or_insert(place);
        }
    }

    fn restarts(&self, processor: Processor) -> usize {
        let same = self.incarnations.iter().filter(|p| p.node == processor.node);
        same.take_while(|p| **p != processor).count()
    }

    fn processor(&self, processor: Processor) -> String {
        format!("{}{}", processor.node, "'".repeat(self.restarts(processor)))
    }

    fn members(&self, members: &Members) -> String {
        let names: Vec<String> = members.iter().map(|p| self.processor(p)).collect();
        names.join(" ")
    }

    fn ring(&self, ring: RingId) -> String {
        let place = self.rings.iter().position(|known| *known == ring);
        place.map_or_else(|| String::from("R?"), |place| format!("R{}", place + 1))
    }

    fn message(&self, id: MessageId) -> String {
        let client = self.clients.get(&(id.sender, id.client.0)).copied().unwrap_or(0);
        let sender = self.processor(id.sender);
        if client == 0 {
            format!("{sender}.{}", id.number)
        } else {
            format!(
                "{sender}.{}.{}",
                (b'a' + u8::try_from(client).unwrap_or(25)) as char,
                id.number
            )
        }
    }

    fn configuration(&self, change: &ConfigurationChange) -> String {
        let (mut line, left) = match change {
            ConfigurationChange::Regular { ring, members, left, .. } => {
                (format!("{} {{{}}}", self.ring(*ring), self.members(members)), left)
            }
            ConfigurationChange::Transitional { from, to, members, left } => {
                let (from, to) = (self.ring(*from), self.ring(*to));
                (format!("T({from}, {to}) {{{}}}", self.members(members)), left)
            }
        };
        if !left.is_empty() {
            let _ = write!(line, ", left {}", self.members(left));
        }
        if let ConfigurationChange::Regular { joined, .. } = change
            && !joined.is_empty()
        {
            let _ = write!(line, ", joined {}", self.members(joined));
        }
        line
    }
}

/// The lines about one process.
#[derive(Debug, Default)]
struct Block {
    lines: Vec<String>,
    run: Option<Run>,
}

/// Messages of one client that follow each other.
#[derive(Debug)]
struct Run {
    guarantee: Guarantee,
    first: (MessageId, String),
    last: (MessageId, String),
}

impl Block {
    fn note(&mut self, names: &Names, note: &Note, detail: Detail) {
        if let Noted::Saw(Event::Message(message)) = &note.what {
            self.message(message.guarantee, message.id, names.message(message.id));
            return;
        }
        let line = match &note.what {
            Noted::Started => Some(String::from("starts")),
            Noted::Ended(End::Left { dropped: 0 }) => Some(String::from("leaves")),
            Noted::Ended(End::Left { dropped }) => Some(format!("leaves, dropped {dropped}")),
            Noted::Ended(End::Crashed | End::Running) => Some(String::from("crashes")),
            Noted::Moved { from, to, cause } if detail == Detail::States => {
                Some(format!("{from} -> {to}: {}", self::cause(names, *cause)))
            }
            Noted::Saw(Event::Configuration(change)) => Some(names.configuration(change)),
            Noted::Moved { .. } | Noted::Saw(Event::Disconnected(_) | Event::Message(_)) => None,
        };
        if let Some(line) = line {
            self.end_run();
            self.lines.push(line);
        }
    }

    fn message(&mut self, guarantee: Guarantee, id: MessageId, name: String) {
        if let Some(run) = &mut self.run
            && run.guarantee == guarantee
            && (run.last.0.sender, run.last.0.client) == (id.sender, id.client)
            && run.last.0.number + 1 == id.number
        {
            run.last = (id, name);
            return;
        }
        self.end_run();
        self.run = Some(Run { guarantee, first: (id, name.clone()), last: (id, name) });
    }

    fn end_run(&mut self) {
        let Some(Run { guarantee, first, last }) = self.run.take() else { return };
        let line = if first.0 == last.0 {
            format!("{guarantee} {}", first.1)
        } else {
            format!("{guarantee} {} to {}", first.1, last.1)
        };
        self.lines.push(line);
    }
}

fn cause(names: &Names, cause: totem::Cause) -> String {
    use totem::Cause as C;
    match cause {
        C::PathLost(p, q) => {
            format!("{} and {} no longer hear each other", names.processor(p), names.processor(q))
        }
        C::MemberLeft(p) => format!("{} left in order", names.processor(p)),
        C::MemberGathers(p) => format!("{} gathers anew", names.processor(p)),
        C::Growth(p) => format!("{} can be heard by all", names.processor(p)),
        C::CommitComplete
        | C::CommitToken
        | C::Consensus
        | C::Leave
        | C::OutOfRange
        | C::Recovered
        | C::TokenLost => cause.to_string(),
    }
}
