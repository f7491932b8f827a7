//! What outlives the states: who this processor is, whom it hears, what waits to be sent.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use evs_model::{Instant, Members, Processor, RingId, defect};

use crate::backlog::Backlog;

use crate::config::Config;
use crate::graph::{Graph, Merge};
use crate::output::{Cause, Destination, Output, TokenSight};
use crate::pieces::Pieces;
use crate::ring::Next;
use crate::stats::{Discard, Held, Stats};
use crate::told::told;
use crate::wire::{Installed, MergeDetect, Packet, Piece, PieceRequest, Row, Standing};

/// A join's ring sequence that is this much above all that is known is no ring's (P21): the
/// sequence grows by one at each change, and by a block at each start.
const SEQ_JUMP_MAX: u64 = 1 << 32;

/// The three ring sequences, never one (P22).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RingSeqs {
    /// The highest used, accepted or seen anywhere.
    pub(crate) seen: u64,
    /// The highest of a ring that this processor proposed or agreed to.
    pub(crate) accepted: u64,
}

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) me: Processor,
    pub(crate) now: Instant,
    pub(crate) rng: fastrand::Rng,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) stats: Stats,
    pub(crate) graph: Graph,
    pub(crate) seqs: RingSeqs,
    /// The ring that was installed last.
    pub(crate) installed: Option<Installed>,
    pub(crate) backlog: Backlog,
    pub(crate) pieces: Pieces,
    /// How many own packets got a sequence number.
    pub(crate) sequenced: u64,
    /// Of the ring in operation that was given up last.
    pub(crate) token_sight: Option<TokenSight>,
    /// Whom this processor hears, by the word of `evs-net`.
    heard: Members,
    /// Who was silent in the attempts to form a ring, although heard; until when they are left
    /// out of the own row.
    given_up: Vec<GivenUp>,
    version: u64,
    /// The own row has changed and there is no version left under which to tell it.
    untold: bool,
    joins: u64,
    standing: Standing,
    /// The settings changed while a ring was being formed, and are in force when it works.
    pub(crate) reset: bool,
}

#[derive(Clone, Copy, Debug)]
struct GivenUp {
    processor: Processor,
    since: Instant,
    pause: Duration,
    until: Instant,
}

impl Context {
    pub(crate) fn new(config: Config, me: Processor, stored: u64, seed: u64, now: Instant) -> Self {
        let mut context = Self {
            me,
            now,
            rng: fastrand::Rng::with_seed(seed),
            outputs: VecDeque::new(),
            stats: Stats::default(),
            graph: Graph::default(),
            seqs: RingSeqs {
                seen: if defect!(StoredSeqIgnored) { 0 } else { stored },
                accepted: 0,
            },
            installed: None,
            backlog: Backlog::default(),
            pieces: Pieces::after(config.origins.cut),
            sequenced: config.origins.sequenced,
            token_sight: None,
            heard: Members::default(),
            given_up: Vec::new(),
            version: config.origins.row,
            untold: false,
            joins: config.origins.join,
            standing: Standing::Gathering,
            reset: false,
            config,
        };
        context.publish_row();
        context
    }

    /// Time never goes backwards: an older `now` is ignored.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    pub(crate) fn discard(&mut self, reason: Discard) {
        self.stats.discard(reason);
    }

    /// Counts a packet that has no effect.
    pub(crate) fn ignore(&mut self, reason: Discard) -> Next {
        self.discard(reason);
        Next::Stay
    }

    /// Takes a merge probe's rows, if its ring sequence is believable. Returns whether the graph
    /// changed.
    pub(crate) fn merge_probe(&mut self, merge: &MergeDetect) -> bool {
        self.see_seq(merge.seq) && self.merge_rows(&merge.rows)
    }

    /// The number of the next join, which is never used again; `None` if it cannot be told.
    pub(crate) fn next_join(&mut self) -> Option<u64> {
        let number = self.joins.checked_add(1).filter(|_| !self.untold);
        match number {
            Some(number) => self.joins = number,
            None => self.discard(Discard::NumbersExhausted),
        }
        number
    }

    /// The rows that others are told.
    pub(crate) fn told(&self) -> Vec<Row> {
        told(self.graph.rows(), self.me)
    }

    /// Tells everybody who hears whom.
    pub(crate) fn probe(&mut self) {
        if self.untold {
            return self.discard(Discard::NumbersExhausted);
        }
        let (seq, rows) = (self.seqs.seen, self.told());
        self.transmit_all(Packet::MergeDetect(MergeDetect { seq, rows }.into()));
    }

    pub(crate) fn transmit_all(&mut self, packet: Packet) {
        self.transmit_to(Destination::All, packet);
    }

    /// Sends a packet to one. Returns its number, if it was cut.
    pub(crate) fn transmit(&mut self, processor: Processor, packet: Packet) -> Option<u64> {
        assert_ne!(processor, self.me, "no packet is addressed to oneself");
        self.transmit_to(Destination::Node(processor), packet)
    }

    /// Reminds a processor of a packet that was cut, by its last piece: what it lacks besides it
    /// asks for. Returns whether the packet was still there.
    pub(crate) fn remind(&mut self, processor: Processor, id: u64) -> bool {
        let last = self.pieces.of(id).next_back();
        let there = last.is_some();
        let to = Destination::Node(processor);
        self.outputs.extend(last.map(|packet| Output::Transmit { to, packet }));
        there
    }

    fn transmit_to(&mut self, to: Destination, packet: Packet) -> Option<u64> {
        let Ok(cut) = self.pieces.cut(to, &packet, self.config.packet_bytes_max) else {
            self.discard(Discard::NumbersExhausted);
            return None;
        };
        match cut {
            None => self.outputs.push_back(Output::Transmit { to, packet }),
            Some(id) => {
                let pieces = self.pieces.of(id);
                self.outputs.extend(pieces.map(|packet| Output::Transmit { to, packet }));
            }
        }
        cut
    }

    /// Takes a piece of a packet. Returns the packet, if it is complete.
    pub(crate) fn take_piece(&mut self, from: Processor, piece: &Piece) -> Option<Packet> {
        let taken = self.pieces.take(self.now, &self.config.terms(), from, piece);
        taken.unwrap_or_else(|reason| {
            self.discard(reason);
            None
        })
    }

    /// Sends the pieces that a peer asks for.
    pub(crate) fn send_pieces(&mut self, from: Processor, request: &PieceRequest) {
        let to = Destination::Node(from);
        match self.pieces.requested(from, request) {
            Err(reason) => self.discard(reason),
            Ok(pieces) => {
                self.outputs
                    .extend(pieces.into_iter().map(|packet| Output::Transmit { to, packet }));
            }
        }
    }

    /// Asks for the pieces that did not come.
    pub(crate) fn request_pieces(&mut self) {
        for (of, request) in self.pieces.on_timeout(self.now) {
            self.transmit(of, Packet::PieceRequest(request));
        }
    }

    /// Finds a peer deaf to data, or oneself to a peer's.
    pub(crate) fn distrust(&mut self, processor: Processor) {
        assert_ne!(processor, self.me, "nobody takes itself for deaf");
        self.stats.distrusts += 1;
        self.outputs.push_back(Output::Distrust(processor));
    }

    /// Takes the rows that a peer sent. Returns whether the graph changed.
    pub(crate) fn merge_rows(&mut self, rows: &[Row]) -> bool {
        let mut changed = false;
        for row in rows {
            // Nobody else knows better whom this processor hears; nor which of its incarnations
            // is alive.
            if row.processor.node == self.me.node {
                continue;
            }
            match self.graph.merge(row) {
                Merge::Changed => changed = true,
                Merge::Known => {}
                Merge::Full => self.discard(Discard::TooManyRows),
            }
        }
        if changed {
            self.graph.prune(self.me);
        }
        changed
    }

    /// Takes a ring sequence that a peer saw. Returns whether it is believable.
    pub(crate) fn see_seq(&mut self, seq: u64) -> bool {
        if self.is_absurd(seq) {
            self.discard(Discard::AbsurdSeq);
            return false;
        }
        self.raise_seen(seq);
        true
    }

    /// Whether a ring sequence is too far above all that is known to be any ring's (P21). Who has
    /// been in no ring yet believes what it is told.
    pub(crate) fn is_absurd(&self, seq: u64) -> bool {
        !defect!(AbsurdSeqBelieved)
            && self.installed.is_some()
            && seq > self.seqs.seen.saturating_add(SEQ_JUMP_MAX)
    }

    /// Agrees to a ring of this sequence.
    pub(crate) fn accept_seq(&mut self, seq: u64) {
        assert!(seq > self.seqs.accepted || defect!(RingSeqReused), "a sequence is used once");
        self.seqs.accepted = seq;
        self.raise_seen(seq);
    }

    fn raise_seen(&mut self, seq: u64) {
        if seq > self.seqs.seen {
            self.seqs.seen = seq;
            self.outputs.push_back(Output::Persist(seq));
        }
    }

    /// Takes over whom `evs-net` hears. Returns whether the own row changed.
    pub(crate) fn hear(&mut self, heard: Members) -> bool {
        self.heard = heard;
        self.heard.retain(|p| p.node != self.me.node);
        self.given_up.retain(|g| self.heard.contains(g.processor));
        self.pieces.keep_only(&self.heard);
        self.publish_row()
    }

    /// Leaves a processor, which is heard but does not join, out of the own row for a while: twice
    /// as long each time, until it has been in a ring with this one. Of those who are not heard
    /// anyhow nothing is remembered: peers can name any number of them.
    pub(crate) fn give_up(&mut self, processor: Processor) {
        if !self.heard.contains(processor) {
            return;
        }
        let first_pause = if defect!(TakenBackAtOnce) {
            Duration::from_micros(1)
        } else {
            self.config.terms().give_up()
        };
        let before = self.given_up.iter().find(|g| g.processor == processor);
        if before.is_some_and(|g| g.until > self.now) {
            return;
        }
        let pause = before.map_or(first_pause, |g| (g.pause * 2).min(first_pause * 32));
        self.given_up.retain(|g| g.processor != processor);
        let (since, until) = (self.now, self.now + pause);
        self.given_up.push(GivenUp { processor, since, pause, until });
        self.publish_row();
    }

    /// Whether a processor was given up in the present attempt, for which it stays so: within an
    /// attempt edges only vanish.
    pub(crate) fn just_given_up(&self, processor: Processor) -> bool {
        let attempt = self.config.terms().consensus();
        self.given_up.iter().any(|g| g.processor == processor && self.now < g.since + attempt)
    }

    /// A sign of life from a processor that may have been given up; it ends a pause of at most this
    /// length. Returns whether the own row changed.
    pub(crate) fn take_back(&mut self, processor: Processor, longest: Duration) -> bool {
        let now = self.now;
        let ends = |g: &&mut GivenUp| g.processor == processor && g.pause <= longest;
        for given_up in self.given_up.iter_mut().filter(ends) {
            given_up.until = now;
        }
        self.publish_row()
    }

    /// Takes back those whose time is over. Returns whether the own row changed.
    pub(crate) fn take_back_due(&mut self) -> bool {
        !self.given_up.is_empty() && self.publish_row()
    }

    /// When the first of those given up is taken back.
    pub(crate) fn take_back_at(&self) -> Instant {
        let later = self.given_up.iter().map(|g| g.until).filter(|until| *until > self.now);
        later.min().unwrap_or(Instant::NEVER)
    }

    /// How long the longest pause of one that was given up still lasts.
    pub(crate) fn left_out_for(&self) -> Duration {
        self.given_up.iter().map(|g| g.until.since(self.now)).max().unwrap_or_default()
    }

    /// Notes the ring that was just installed.
    pub(crate) fn install(&mut self, ring: RingId, members: &Members) {
        self.installed = Some(Installed { ring, members: members.clone() });
        self.given_up.retain(|g| !members.contains(g.processor));
        self.stats.installs += 1;
        self.stand(Standing::Operational);
    }

    /// Hears nobody any more.
    pub(crate) fn leave(&mut self) {
        self.pieces.keep_only(&Members::default());
        self.stand(Standing::Leaving);
    }

    /// Tells what this processor is about from now on.
    pub(crate) fn stand(&mut self, standing: Standing) {
        self.standing = standing;
        self.publish_row();
    }

    /// Whether somebody is heard whose row has not come yet.
    pub(crate) fn hears_unknown(&self) -> bool {
        self.heard.iter().any(|p| self.graph.row(p).is_none())
    }

    /// Why these processors can no longer be one ring, if so: a member leaves, or two do not hear
    /// each other.
    pub(crate) fn broken(&self, members: &Members) -> Option<Cause> {
        let standing = |p| self.graph.row(p).map(|row| row.standing);
        if let Some(leaver) = members.iter().find(|p| standing(*p) == Some(Standing::Leaving)) {
            return Some(Cause::MemberLeft(leaver));
        }
        self.graph.broken_pair(self.me, members).map(|(p, q)| Cause::PathLost(p, q))
    }

    /// How much of everything is held here.
    pub(crate) fn held(&self) -> Held {
        Held {
            slots: 0,
            backlog: self.backlog.len(),
            rows: self.graph.rows().len(),
            peers: self.heard.len() + self.given_up.len(),
            outputs: self.outputs.len(),
            pieces: self.pieces.held(),
        }
    }

    /// Whom the own row says that this processor hears.
    fn hears(&self) -> Members {
        if self.standing == Standing::Leaving {
            return Members::default();
        }
        let mut hears = self.heard.clone();
        hears.retain(|p| !self.given_up.iter().any(|g| g.processor == p && g.until > self.now));
        hears
    }

    fn publish_row(&mut self) -> bool {
        let row = Row {
            processor: self.me,
            version: self.version.saturating_add(1),
            hears: self.hears(),
            installed: self.installed.clone(),
            standing: self.standing,
        };
        let same = |mine: &Row| {
            mine.hears == row.hears
                && mine.installed == row.installed
                && mine.standing == row.standing
        };
        if self.graph.row(self.me).is_some_and(same) {
            return false;
        }
        // With its versions at their end this processor falls silent, rather than let the others
        // wait for one whose row they know as it was.
        self.untold = self.version == u64::MAX;
        self.version = row.version;
        self.graph.replace(row);
        self.graph.prune(self.me);
        true
    }
}
