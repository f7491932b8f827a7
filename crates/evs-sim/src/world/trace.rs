//! What happened, event by event: a hash that two runs of one seed must share, and, on demand, one
//! aligned line for each event.

use std::fmt;
use std::io::Write;

use evs_model::Event as ClientEvent;
use totem::Packet;

use super::{Datagram, Nanos};

/// Where trace lines go, and their hash.
pub(super) struct Trace {
    hash: u64,
    lines: Option<Box<dyn Write>>,
}

/// The state of a node, as every line shows it.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) node: String,
    pub(super) state: String,
    pub(super) ring: String,
    pub(super) aru: String,
    pub(super) seq: String,
}

impl Trace {
    pub(super) fn new(lines: Option<Box<dyn Write>>) -> Self {
        let mut trace = Self { hash: FNV_OFFSET, lines };
        let text = |text: &str| text.to_owned();
        let (node, state, ring) = (text("node"), text("state"), text("ring"));
        let shown = Shown { node, state, ring, aru: text("aru"), seq: text("seq") };
        trace.write(&"time (ms)", &shown, &"what");
        trace
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) const fn is_shown(&self) -> bool {
        self.lines.is_some()
    }

    /// Mixes numbers that describe an event into the hash (FNV-1a, a word at a time).
    pub(super) fn mix(&mut self, words: &[u64]) {
        for word in words {
            self.hash = (self.hash ^ word).wrapping_mul(FNV_PRIME);
            self.hash ^= self.hash >> 29;
        }
    }

    /// Mixes a datagram that a node reads into the hash, byte for byte.
    pub(super) fn mix_read(&mut self, now: Nanos, node: usize, datagram: &Datagram) {
        self.mix(&[now, node as u64, datagram.kind.index() as u64]);
        self.mix_bytes(&datagram.bytes);
    }

    /// Mixes bytes into the hash.
    pub(super) fn mix_bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(&[u64::from_le_bytes(word)]);
        }
    }

    /// One line about a node. Call only if [`Trace::is_shown`], which saves the formatting.
    pub(super) fn line(&mut self, now: Nanos, shown: Option<Shown>, what: &dyn fmt::Display) {
        let time = format_args!("{}.{:03}", now / 1_000_000, now / 1_000 % 1_000).to_string();
        let nobody = || Shown { node: String::from("-"), ..Shown::default() };
        self.write(&time, &shown.unwrap_or_else(nobody), what);
    }

    /// Columns are as wide as numbers near 2^32 are; those near the end of 64 bits push the rest.
    fn write(&mut self, time: &dyn fmt::Display, shown: &Shown, what: &dyn fmt::Display) {
        let Some(out) = &mut self.lines else { return };
        let Shown { node, state, ring, aru, seq } = shown;
        // A trace that nobody reads any more is no reason to stop the run.
        let _ = writeln!(
            out,
            "{time:>11} {node:>4} {state:<13} {ring:<19} {aru:>10} {seq:>10}  {what}"
        );
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// A packet in a trace line: what a reader of the protocol looks for.
pub(super) fn brief(packet: &Packet) -> String {
    match packet {
        Packet::Token(t) => {
            format!("token {} #{} seq {} aru {} rtr {:?}", t.ring, t.token_seq, t.seq, t.aru, t.rtr)
        }
        Packet::Mcast(m) => {
            format!("mcast {} {} {} {} bytes", m.ring, m.seq, m.guarantee, m.body.len())
        }
        Packet::Piece(p) => format!("piece {} of {} of #{}", p.index + 1, p.count, p.id),
        Packet::CommitToken(_)
        | Packet::Join(_)
        | Packet::MergeDetect(_)
        | Packet::Parked(_)
        | Packet::PieceRequest(_)
        | Packet::Recovered(_)
        | Packet::Wake(_) => format!("{packet:?}"),
    }
}

/// What a client saw, in a trace line.
pub(super) fn shown_event(event: &ClientEvent) -> String {
    match event {
        ClientEvent::Configuration(change) => format!("** {change:?}"),
        ClientEvent::Message(m) => {
            format!("** {} {} seq {} {} bytes", m.id, m.guarantee, m.seq, m.body.len())
        }
        ClientEvent::Disconnected(reason) => format!("** disconnected: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::super::{Kind, Options, World};
    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Page(Rc<RefCell<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn datagrams_that_differ_in_one_byte_differ_in_the_hash() {
        let hash = |last: u8| {
            let bytes: Vec<u8> = (0..40).chain([last]).collect();
            let link = evs_net::LinkId::FIRST;
            let (from, forged) = (0, false);
            let datagram = Datagram { from, link, kind: Kind::Hello, bytes: bytes.into(), forged };
            let mut trace = Trace::new(None);
            trace.mix_read(1, 0, &datagram);
            trace.hash()
        };
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
    }

    #[test]
    fn every_event_is_one_aligned_line() {
        let page = Page::default();
        let mut world = World::new(Options::fair(1, 3), Some(Box::new(page.clone())));
        world.start_all();
        world.run_for(1_000_000_000);
        world.pause(2);
        world.crash(3);
        world.run_for(1_000_000_000);
        let text = String::from_utf8(page.0.take()).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() > 100 && lines[0].ends_with("  what"), "{}", lines[0]);
        let whats = lines[0].len() - "what".len();
        let starts = [12, 17, 31, 51, 62];
        for line in &lines {
            assert!(starts.iter().all(|at| line.as_bytes()[at - 1] == b' '), "{line}");
            assert!(line[..whats].ends_with("  ") && !line[whats..].starts_with(' '), "{line}");
        }
        for shown in [" gather ", " operational ", " (operational) "] {
            assert!(text.contains(shown), "no line shows{shown}");
        }
    }
}
