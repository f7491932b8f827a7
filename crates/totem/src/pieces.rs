//! Packets that are larger than the path's (`docs/protocol.md` §3): cut, and put together again.
//!
//! Joins, merge probes and commit tokens grow with the cluster. What does not fit into a packet of
//! the path is cut into pieces that do. A receiver that got some of them, and nothing more for a
//! while, asks for those that are missing; the sender keeps what it cut last for that. So the loss
//! of one piece costs one piece and a moment, not the packet.
//!
//! A receiver holds one packet of each sender, the newest, for as long as the detection target
//! after its last piece. One that is complete is held as well: the sender of a commit token who
//! waits for an answer repeats the last piece alone, and the token is handled once more.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use evs_model::{Instant, MEMBERS_MAX, Members, NodeId, Processor};

use crate::config::{PIECES_MAX, Terms, WHOLE_BYTES_MAX};
use crate::output::Destination;
use crate::stats::Discard;
use crate::wire::{Bitmap, PIECE_OVERHEAD, Packet, PacketKind, Piece, PieceRequest};

/// Of how many senders the pieces are kept: as many as can be in a ring.
const SENDERS_MAX: usize = MEMBERS_MAX;

#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// The number of the packet that was cut last.
    cuts: u64,
    /// What was cut last, to all and to one.
    to_all: Option<Cut>,
    to_one: Option<Cut>,
    from: BTreeMap<NodeId, Assembly>,
}

/// An own packet that was cut.
#[derive(Debug)]
struct Cut {
    id: u64,
    to: Destination,
    whole: Bytes,
    /// Bytes in each piece but the last.
    each: usize,
}

/// A peer's packet, as far as it has come.
#[derive(Debug)]
struct Assembly {
    from: Processor,
    id: u64,
    /// How many there are.
    count: u16,
    /// Those that have come; nothing is set aside for the others.
    pieces: BTreeMap<u16, Bytes>,
    bytes: usize,
    /// When to ask for what is missing.
    ask_at: Instant,
    pause: Duration,
    /// When it is forgotten.
    until: Instant,
}

impl Pieces {
    /// Nothing has been cut; the first one has the number after this one.
    pub(crate) fn after(cuts: u64) -> Self {
        Self { cuts, ..Self::default() }
    }

    /// Cuts a packet that does not fit into `packet_bytes_max`, and keeps it; returns its number.
    /// Tokens, data and the small packets are made so that they fit. An error if all numbers are
    /// used.
    pub(crate) fn cut(
        &mut self,
        to: Destination,
        packet: &Packet,
        packet_bytes_max: usize,
    ) -> Result<Option<u64>, Discard> {
        if !may_be_cut(packet.kind()) {
            return Ok(None);
        }
        let mut whole = Vec::new();
        packet.encode(&mut whole);
        if whole.len() <= packet_bytes_max {
            return Ok(None);
        }
        assert!(whole.len() <= WHOLE_BYTES_MAX, "what a packet may hold is bounded");
        self.cuts = self.cuts.checked_add(1).ok_or(Discard::NumbersExhausted)?;
        let each = packet_bytes_max - PIECE_OVERHEAD;
        let cut = Cut { id: self.cuts, to, whole: whole.into(), each };
        match to {
            Destination::All => self.to_all = Some(cut),
            Destination::Node(_) => self.to_one = Some(cut),
        }
        Ok(Some(self.cuts))
    }

    /// The pieces of a packet that was cut, if it is still kept.
    pub(crate) fn of(&self, id: u64) -> impl DoubleEndedIterator<Item = Packet> + '_ {
        let cut = self.kept(id);
        let count = cut.map_or(0, Cut::count);
        (0..count).filter_map(move |index| Some(cut?.piece(index)))
    }

    /// The pieces that a peer asks for. None if it asks for what it was not sent, or for what has
    /// been replaced by something newer.
    pub(crate) fn requested(
        &self,
        by: Processor,
        request: &PieceRequest,
    ) -> Result<Vec<Packet>, Discard> {
        let sent = |cut: &&Cut| cut.to == Destination::All || cut.to == Destination::Node(by);
        let cut = self.kept(request.id).filter(sent).ok_or(Discard::Duplicate)?;
        let count = usize::from(cut.count());
        if request.missing.len() > count {
            return Err(Discard::Pieces);
        }
        let missing = |index: &u16| request.missing.get(usize::from(*index));
        Ok((0..cut.count()).filter(missing).map(|index| cut.piece(index)).collect())
    }

    /// Takes a piece. Returns the packet, if this completes it or asks for it once more.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        terms: &Terms,
        from: Processor,
        piece: &Piece,
    ) -> Result<Option<Packet>, Discard> {
        let known = self.from.get(&from.node).filter(|known| known.from == from);
        if known.is_some_and(|known| piece.id < known.id) {
            return Err(Discard::Duplicate);
        }
        if known.is_none_or(|known| piece.id > known.id) {
            self.make_room(from.node);
            self.from.insert(from.node, Assembly::new(now, terms, from, piece));
        }
        let assembly = self.from.get_mut(&from.node).expect("it is known, or was put there");
        let taken = assembly.take(now, terms, piece);
        if taken == Err(Discard::Pieces) {
            self.from.remove(&from.node);
        }
        taken
    }

    /// Forgets what is over, and returns what to ask of whom.
    pub(crate) fn on_timeout(&mut self, now: Instant) -> Vec<(Processor, PieceRequest)> {
        self.from.retain(|_, assembly| now < assembly.until);
        let due = self.from.values_mut().filter(|a| a.lacks() && now >= a.ask_at);
        due.map(|assembly| (assembly.from, assembly.ask(now))).collect()
    }

    /// When [`Pieces::on_timeout`] is due.
    pub(crate) fn deadline(&self) -> Instant {
        self.from.values().map(Assembly::deadline).min().unwrap_or(Instant::NEVER)
    }

    /// Forgets those who are not heard any more.
    pub(crate) fn keep_only(&mut self, heard: &Members) {
        self.from.retain(|_, assembly| heard.contains(assembly.from));
    }

    /// How many pieces it holds, of its own packets and of the others'.
    pub(crate) fn held(&self) -> usize {
        let own = [&self.to_all, &self.to_one].into_iter().flatten();
        let own: usize = own.map(|cut| usize::from(cut.count())).sum();
        own + self.from.values().map(|a| a.pieces.len()).sum::<usize>()
    }

    pub(crate) fn check(&self) {
        assert!(self.from.len() <= SENDERS_MAX);
        for assembly in self.from.values() {
            assert!(assembly.bytes <= WHOLE_BYTES_MAX && assembly.pieces.len() <= PIECES_MAX);
            assert!(assembly.pieces.len() <= usize::from(assembly.count));
        }
    }

    fn kept(&self, id: u64) -> Option<&Cut> {
        [&self.to_all, &self.to_one].into_iter().flatten().find(|cut| cut.id == id)
    }

    /// With too many senders, the one whose pieces would be forgotten first makes room.
    fn make_room(&mut self, newcomer: NodeId) {
        if self.from.len() >= SENDERS_MAX && !self.from.contains_key(&newcomer) {
            let oldest = self.from.iter().min_by_key(|(_, assembly)| assembly.until);
            let oldest = *oldest.expect("there are SENDERS_MAX of them").0;
            self.from.remove(&oldest);
        }
    }
}

/// Whether packets of this kind may be larger than the path's.
const fn may_be_cut(kind: PacketKind) -> bool {
    matches!(kind, PacketKind::CommitToken | PacketKind::Join | PacketKind::MergeDetect)
}

impl Cut {
    fn count(&self) -> u16 {
        let count = self.whole.len().div_ceil(self.each);
        u16::try_from(count).expect("WHOLE_BYTES_MAX is PIECES_MAX of the smallest pieces")
    }

    fn piece(&self, index: u16) -> Packet {
        let start = usize::from(index) * self.each;
        let end = self.whole.len().min(start + self.each);
        let bytes = self.whole.slice(start..end);
        Packet::Piece(Piece { id: self.id, index, count: self.count(), bytes })
    }
}

impl Assembly {
    fn new(now: Instant, terms: &Terms, from: Processor, piece: &Piece) -> Self {
        Self {
            from,
            id: piece.id,
            count: piece.count,
            pieces: BTreeMap::new(),
            bytes: 0,
            ask_at: now,
            pause: terms.piece_request(),
            until: now,
        }
    }

    fn take(
        &mut self,
        now: Instant,
        terms: &Terms,
        piece: &Piece,
    ) -> Result<Option<Packet>, Discard> {
        if piece.count != self.count {
            return Err(Discard::Pieces);
        }
        self.until = now + terms.piece_memory();
        let last = piece.index + 1 == self.count;
        if last {
            // What comes from here on was asked for, or the sender repeats itself.
            self.pause = terms.piece_request();
        }
        self.ask_at = now + self.pause;
        if self.pieces.contains_key(&piece.index) {
            let again = last && !self.lacks();
            return if again { self.whole().map(Some) } else { Err(Discard::Duplicate) };
        }
        self.bytes += piece.bytes.len();
        if self.bytes > WHOLE_BYTES_MAX {
            return Err(Discard::Pieces);
        }
        // A copy: the datagram may share the memory of many others.
        self.pieces.insert(piece.index, Bytes::copy_from_slice(&piece.bytes));
        if self.lacks() { Ok(None) } else { self.whole().map(Some) }
    }

    /// Whether pieces are missing.
    fn lacks(&self) -> bool {
        self.pieces.len() < usize::from(self.count)
    }

    /// The packet. It is of a kind that is cut, or the pieces are refused.
    fn whole(&self) -> Result<Packet, Discard> {
        let mut whole = Vec::with_capacity(self.bytes);
        self.pieces.values().for_each(|bytes| whole.extend_from_slice(bytes));
        let packet = Packet::decode(whole.into()).ok();
        packet.filter(|packet| may_be_cut(packet.kind())).ok_or(Discard::Pieces)
    }

    fn ask(&mut self, now: Instant) -> PieceRequest {
        self.pause *= 2;
        self.ask_at = now + self.pause;
        let mut missing = Bitmap::default();
        let lacking = (0..self.count).filter(|index| !self.pieces.contains_key(index));
        lacking.for_each(|index| missing.set(usize::from(index)));
        PieceRequest { id: self.id, missing }
    }

    fn deadline(&self) -> Instant {
        if self.lacks() { self.ask_at.min(self.until) } else { self.until }
    }
}

#[cfg(test)]
mod tests;
