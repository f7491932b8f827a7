//! One processor: the table of states and packets, and every legal change of state.

use core::time::Duration;

use bytes::Bytes;
use evs_model::{Guarantee, Instant, Members, Processor, RingId};

use crate::backlog::Submission;
use crate::commit::Commit;
use crate::config::Config;
use crate::context::Context;
use crate::gather::Gather;
use crate::left::Left;
use crate::old::OldRing;
use crate::operational::Operational;
use crate::order::Order;
use crate::output::{Cause, Output, StateKind, SubmitError, Timer, TokenSight};
use crate::recovery::Recovery;
use crate::stats::{Discard, Held, Stats};
use crate::wire::{CommitToken, MCAST_OVERHEAD, Packet, Token};

/// The state machine of one processor. See the crate's documentation for how to drive it.
#[derive(Debug)]
pub struct Ring {
    context: Context,
    state: State,
    /// Something was submitted, of which the state does not know yet.
    submitted: bool,
}

#[derive(Debug)]
enum State {
    Gather(Gather),
    Commit(Commit),
    Recovery(Recovery),
    Operational(Operational),
    Left(Left),
}

/// What a handler decides: to stay, or where to go.
#[derive(Debug)]
pub(crate) enum Next {
    Stay,
    Gather(Cause),
    Commit(alloc::boxed::Box<CommitToken>, Cause),
    Recovery(alloc::boxed::Box<CommitToken>),
    Operational(alloc::boxed::Box<Token>),
    Left,
}

impl Ring {
    /// Starts a processor: in Gather, alone, listening for others.
    ///
    /// `stored` is the last value that this node executed as [`Output::Persist`], or 0: a hint, of
    /// which nothing but the growth of ring ids across restarts depends. `seed` feeds the jitter of
    /// joins.
    #[must_use]
    pub fn new(config: Config, me: Processor, stored: u64, seed: u64, now: Instant) -> Self {
        let mut context = Context::new(config, me, stored, seed, now);
        let (gather, next) = Gather::enter(&mut context, None, None);
        let mut ring = Self { context, state: State::Gather(gather), submitted: false };
        ring.transition(next);
        ring
    }

    /// Takes a packet of an authenticated sender.
    pub fn handle_packet(&mut self, now: Instant, from: Processor, packet: Packet) {
        let cx = &mut self.context;
        cx.advance(now);
        cx.stats.receive(self.state.kind(), packet.kind());
        if from.node == cx.me.node {
            cx.discard(Discard::NotMember);
            return;
        }
        if let Packet::PieceRequest(request) = &packet {
            return cx.send_pieces(from, request);
        }
        let left = matches!(self.state, State::Left(_));
        let packet = if let (Packet::Piece(piece), false) = (&packet, left) {
            let Some(whole) = cx.take_piece(from, piece) else { return };
            cx.stats.receive(self.state.kind(), whole.kind());
            whole
        } else {
            packet
        };
        // A join that makes this processor gather belongs to the attempt that it starts.
        if let Packet::Join(join) = &packet {
            let next = match &mut self.state {
                State::Gather(_) | State::Left(_) => Next::Stay,
                State::Commit(state) => state.on_join(cx, from, join),
                State::Recovery(state) => state.attempt.on_join(cx, from, join),
                State::Operational(state) => state.on_join(cx, from, join),
            };
            self.transition(next);
        }
        let next = dispatch(&mut self.state, &mut self.context, from, packet);
        self.transition(next);
    }

    /// Acts on whatever is due at this time. Early calls are harmless, late ones cost latency.
    pub fn handle_timeout(&mut self, now: Instant) {
        let cx = &mut self.context;
        cx.advance(now);
        cx.request_pieces();
        let next = match &mut self.state {
            State::Gather(state) => state.on_timeout(cx),
            State::Commit(state) => state.attempt.on_timeout(cx),
            State::Recovery(state) => state.attempt.on_timeout(cx),
            State::Operational(state) => state.on_timeout(cx),
            State::Left(state) => {
                state.on_timeout(cx);
                Next::Stay
            }
        };
        self.transition(next);
    }

    /// Takes the set of processors that this node hears, itself excluded: all of them, whenever
    /// the set changes (`docs/protocol.md` §6). Safety never depends on it.
    pub fn handle_reachability(&mut self, now: Instant, heard: Members) {
        let cx = &mut self.context;
        cx.advance(now);
        if !cx.hear(heard) {
            return;
        }
        let next = match &mut self.state {
            State::Gather(state) => state.on_row_change(cx),
            State::Commit(state) => state.attempt.on_row_change(cx),
            State::Recovery(state) => state.attempt.on_row_change(cx),
            State::Operational(state) => state.on_row_change(cx),
            State::Left(_) => Next::Stay,
        };
        self.transition(next);
    }

    /// This process stood still for so long, until now or just before: neither the token nor a
    /// join was missing meanwhile (P36). To be called before [`Ring::handle_timeout`].
    pub fn handle_pause(&mut self, now: Instant, pause: Duration) {
        let cx = &mut self.context;
        cx.advance(now);
        match &mut self.state {
            State::Commit(Commit { attempt, .. }) | State::Recovery(Recovery { attempt, .. }) => {
                attempt.excuse(cx, pause);
            }
            State::Operational(state) => state.excuse(cx, pause),
            State::Gather(state) => state.excuse(cx, pause),
            State::Left(_) => {}
        }
    }

    /// Hands over one packet's body. It waits in the backlog until it gets a sequence number in
    /// whichever ring is in force then. An idle ring is roused by [`Ring::poll_output`], so that
    /// what is handed over in one batch is sent in one visit. When a regular configuration is
    /// installed the backlog is dropped: what [`Ring::sequenced`] does not count by then must be
    /// submitted again.
    ///
    /// # Errors
    /// The backlog is full, the body too long, or this processor has left. Nothing has changed.
    pub fn submit(
        &mut self,
        now: Instant,
        body: Bytes,
        guarantee: Guarantee,
    ) -> Result<(), SubmitError> {
        let cx = &mut self.context;
        cx.advance(now);
        if matches!(self.state, State::Left(_)) {
            return Err(SubmitError::Left);
        }
        if body.len() > cx.config.packet_bytes_max - MCAST_OVERHEAD {
            return Err(SubmitError::BodyTooLong);
        }
        if !cx.backlog.has_room(&cx.config, body.len()) {
            return Err(SubmitError::BacklogFull);
        }
        cx.backlog.push(Submission { body, guarantee });
        self.submitted = true;
        Ok(())
    }

    /// Leaves in order: the others are told, and need no timeout. What is in the backlog is
    /// dropped; wait for [`Ring::stable`] first. Nothing is taken in afterwards.
    pub fn leave(&mut self, now: Instant) {
        self.context.advance(now);
        self.transition(Next::Left);
    }

    /// The next effect. Drain to `None` after each batch of inputs.
    pub fn poll_output(&mut self) -> Option<Output> {
        let cx = &mut self.context;
        if core::mem::take(&mut self.submitted)
            && !cx.backlog.is_empty()
            && let State::Operational(state) = &mut self.state
        {
            state.on_submit(cx);
        }
        cx.outputs.pop_front()
    }

    /// When [`Ring::handle_timeout`] is due next, and why. `None`: never, until an input arrives.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let state = match &self.state {
            State::Gather(state) => state.deadline(&self.context),
            State::Commit(state) => state.attempt.deadline(),
            State::Recovery(state) => state.attempt.deadline(),
            State::Operational(state) => state.deadline(&self.context),
            State::Left(state) => return state.deadline(),
        };
        let pieces = (self.context.pieces.deadline(), Timer::Pieces);
        Some(if pieces.0 < state.0 { pieces } else { state })
    }

    /// The largest body that [`Ring::submit`] takes, in bytes.
    #[must_use]
    pub const fn body_bytes_max(&self) -> usize {
        self.context.config.packet_bytes_max - MCAST_OVERHEAD
    }

    /// How many packets wait for a sequence number.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.context.backlog.len()
    }

    /// Whether one more packet of full size may join the backlog.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.context.backlog.has_room(&self.context.config, self.body_bytes_max())
    }

    /// How many own packets got a sequence number since the start, in the order submitted.
    #[must_use]
    pub const fn sequenced(&self) -> u64 {
        self.context.sequenced
    }

    /// Whether the token rests here: what is submitted now is sent at once.
    #[must_use]
    pub fn rests(&self) -> bool {
        matches!(&self.state, State::Operational(state) if state.rests())
    }

    /// Whether a packet submitted now is sent at once, or fetches the parked token; otherwise it
    /// waits for the token's next visit.
    #[must_use]
    pub fn idle(&self) -> bool {
        matches!(&self.state, State::Operational(state) if state.idle())
    }

    /// Whether nothing waits, and every member is known to have received all that was sequenced.
    #[must_use]
    pub fn stable(&self) -> bool {
        let stable = matches!(&self.state, State::Operational(state) if state.stable());
        stable && self.context.backlog.is_empty()
    }

    /// Whether this processor has left and told so.
    #[must_use]
    pub const fn gone(&self) -> bool {
        matches!(&self.state, State::Left(state) if state.done())
    }

    /// The state of the membership protocol.
    #[must_use]
    pub const fn state(&self) -> StateKind {
        self.state.kind()
    }

    /// Who this is.
    #[must_use]
    pub const fn me(&self) -> Processor {
        self.context.me
    }

    /// The ring that was installed last.
    #[must_use]
    pub fn ring_id(&self) -> Option<RingId> {
        self.context.installed.as_ref().map(|installed| installed.ring)
    }

    /// The members of the ring that was installed last, whether or not it still stands.
    #[must_use]
    pub fn members(&self) -> Option<&Members> {
        self.last_installed().map(|order| &order.members)
    }

    /// All received up to here, and the highest number held, of the ring that was installed last.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        self.last_installed().map_or((0, 0), |o| (o.window.aru(), o.window.high_seq()))
    }

    /// Where the token was when a ring in operation was given up last.
    #[must_use]
    pub const fn token_sight(&self) -> Option<&TokenSight> {
        self.context.token_sight.as_ref()
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.context.stats
    }

    /// How long a processor that is heard, but did not join, is still left out of the own row; the
    /// longest of them.
    #[must_use]
    pub fn left_out_for(&self) -> Duration {
        self.context.left_out_for()
    }

    /// How much it holds; for tests and the simulator.
    #[must_use]
    pub fn held(&self) -> Held {
        let (new, joins) = match &self.state {
            State::Gather(state) => (0, state.joins()),
            State::Recovery(state) => (state.new_slots(), 0),
            State::Commit(_) | State::Operational(_) | State::Left(_) => (0, 0),
        };
        let slots = self.last_installed().map_or(0, |order| order.window.len());
        let mut held = self.context.held();
        held.slots = slots + new;
        held.peers += joins;
        held
    }

    /// Asserts the standing invariants; for tests and the simulator, after each input.
    pub fn check(&self) {
        let cx = &self.context;
        assert!(cx.backlog.len() <= cx.config.backlog_packets_max);
        assert!(cx.seqs.accepted <= cx.seqs.seen);
        cx.pieces.check();
        if let Some(order) = self.last_installed() {
            order.check();
            assert!(order.members.contains(cx.me));
            assert_eq!(order.members.rep(), Some(order.ring.rep));
        }
        if let State::Operational(state) = &self.state {
            state.check();
            assert_eq!(Some(state.order().ring), cx.installed.as_ref().map(|last| last.ring));
        }
    }

    fn last_installed(&self) -> Option<&Order> {
        let old = match &self.state {
            State::Gather(state) => state.old(),
            State::Commit(state) => state.old(),
            State::Recovery(state) => state.old(),
            State::Operational(state) => return Some(state.order()),
            State::Left(_) => None,
        };
        old.map(|old| &old.order)
    }

    /// The legal edges of the membership protocol (Totem §5, Figure 3), all of them. A state's
    /// `enter` may decide at once where to go from there, as a ring of one does.
    fn transition(&mut self, mut next: Next) {
        loop {
            let cx = &mut self.context;
            let from = self.state.kind();
            let (to, cause) = match &next {
                Next::Stay => return,
                Next::Gather(cause) => (StateKind::Gather, *cause),
                Next::Commit(_, cause) => (StateKind::Commit, *cause),
                Next::Recovery(_) => (StateKind::Recovery, Cause::CommitComplete),
                Next::Operational(_) => (StateKind::Operational, Cause::Recovered),
                Next::Left => (StateKind::Left, Cause::Leave),
            };
            if from != to {
                cx.outputs.push_back(Output::Transition { from, to, cause });
            }
            let state = core::mem::replace(&mut self.state, State::Left(Left::silent()));
            (self.state, next) = match (state, next) {
                (State::Operational(state), Next::Gather(_)) => {
                    cx.token_sight = Some(state.token_sight(cx.now));
                    let old = state.into_old(cx);
                    gather(cx, Some(old), cause)
                }
                (State::Commit(state), Next::Gather(_)) => gather(cx, state.into_old(), cause),
                (State::Recovery(state), Next::Gather(_)) => gather(cx, state.into_old(), cause),
                (State::Gather(state), Next::Commit(token, _)) => {
                    let (old, joins) = state.into_parts();
                    let (state, then) = Commit::enter(cx, old, joins, *token);
                    (State::Commit(state), then)
                }
                (State::Commit(state), Next::Recovery(token)) => {
                    let (state, then) = Recovery::enter(cx, state.into_old(), *token);
                    (State::Recovery(state), then)
                }
                (State::Recovery(state), Next::Operational(token)) => {
                    (State::Operational(state.install(cx, *token)), Next::Stay)
                }
                (State::Left(state), Next::Left) => (State::Left(state), Next::Stay),
                (_, Next::Left) => (State::Left(Left::enter(cx)), Next::Stay),
                (_, next) => unreachable!("invalid transition from {from}: {next:?}"),
            };
        }
    }
}

fn gather(cx: &mut Context, old: Option<OldRing>, cause: Cause) -> (State, Next) {
    let (state, then) = Gather::enter(cx, old, Some(cause));
    (State::Gather(state), then)
}

mod settings;

/// The table: every state, every packet.
fn dispatch(state: &mut State, cx: &mut Context, from: Processor, packet: Packet) -> Next {
    use State as S;
    let wrong = Discard::WrongState;
    match (state, packet) {
        (S::Gather(s), Packet::CommitToken(p)) => s.on_commit_token(cx, *p),
        (S::Gather(s), Packet::Join(p)) => s.on_join(cx, from, *p),
        (S::Gather(s), Packet::Mcast(p)) => s.on_mcast(cx, p),
        (S::Gather(s), Packet::MergeDetect(p)) => s.on_merge_detect(cx, &p),
        (S::Gather(_), Packet::Parked(_)) => cx.ignore(wrong),
        (S::Gather(_), Packet::Recovered(_)) => cx.ignore(wrong),
        (S::Gather(_), Packet::Token(_)) => cx.ignore(wrong),
        (S::Gather(_), Packet::Wake(_)) => cx.ignore(wrong),
        (S::Gather(_), Packet::Piece(_) | Packet::PieceRequest(_)) => Next::Stay, // see above

        (S::Commit(s), Packet::CommitToken(p)) => s.on_commit_token(cx, *p),
        (S::Commit(_), Packet::Join(_)) => Next::Stay, // handled before the table
        (S::Commit(s), Packet::Mcast(p)) => s.on_mcast(cx, p),
        (S::Commit(s), Packet::MergeDetect(p)) => {
            cx.merge_probe(&p);
            s.attempt.on_row_change(cx)
        }
        (S::Commit(_), Packet::Parked(_)) => cx.ignore(wrong),
        (S::Commit(_), Packet::Recovered(_)) => cx.ignore(wrong),
        (S::Commit(_), Packet::Token(_)) => cx.ignore(wrong),
        (S::Commit(_), Packet::Wake(_)) => cx.ignore(wrong),
        (S::Commit(_), Packet::Piece(_) | Packet::PieceRequest(_)) => Next::Stay, // see above

        (S::Recovery(s), Packet::CommitToken(p)) => s.on_commit_token(cx, &p),
        (S::Recovery(_), Packet::Join(_)) => Next::Stay, // handled before the table
        (S::Recovery(s), Packet::Mcast(p)) => s.on_mcast(cx, p),
        (S::Recovery(s), Packet::MergeDetect(p)) => {
            cx.merge_probe(&p);
            s.attempt.on_row_change(cx)
        }
        (S::Recovery(_), Packet::Parked(_)) => cx.ignore(wrong),
        (S::Recovery(s), Packet::Recovered(p)) => s.on_recovered(cx, p),
        (S::Recovery(s), Packet::Token(p)) => s.on_token(cx, from, *p),
        (S::Recovery(_), Packet::Wake(_)) => cx.ignore(wrong),
        (S::Recovery(_), Packet::Piece(_) | Packet::PieceRequest(_)) => Next::Stay, // see above

        (S::Operational(_), Packet::CommitToken(_)) => cx.ignore(Discard::Mismatch),
        (S::Operational(_), Packet::Join(_)) => Next::Stay, // handled before the table
        (S::Operational(s), Packet::Mcast(p)) => s.on_mcast(cx, p),
        (S::Operational(s), Packet::MergeDetect(p)) => s.on_merge_detect(cx, from, &p),
        (S::Operational(s), Packet::Parked(p)) => s.on_parked(cx, p),
        (S::Operational(_), Packet::Recovered(_)) => cx.ignore(Discard::Duplicate),
        (S::Operational(s), Packet::Token(p)) => s.on_token(cx, from, *p),
        (S::Operational(s), Packet::Wake(p)) => s.on_wake(cx, p),
        (S::Operational(_), Packet::Piece(_) | Packet::PieceRequest(_)) => Next::Stay, // see above

        (S::Left(_), _) => cx.ignore(wrong),
    }
}

impl State {
    const fn kind(&self) -> StateKind {
        match self {
            Self::Gather(_) => StateKind::Gather,
            Self::Commit(_) => StateKind::Commit,
            Self::Recovery(_) => StateKind::Recovery,
            Self::Operational(_) => StateKind::Operational,
            Self::Left(_) => StateKind::Left,
        }
    }
}
