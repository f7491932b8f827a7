//! The peers of a processor under test: they speak to it as its protocol would have it, from what
//! it says itself, or nearly so.

use evs_model::{Guarantee, Members, NodeId, Processor, RingId};
use totem::wire::{
    Bitmap, CommitToken, Entry, Installed, Join, Mcast, MergeDetect, OldEntry, Packet, Row,
    RtrList, Standing, Token,
};
use totem::{Config, Ring};

use crate::input::Input;
use crate::records;

/// Processors that can be named: four nodes in two incarnations each, and a second owner of the
/// own node id.
const PUPPETS: u8 = 9;

/// What the peers know.
#[derive(Debug)]
pub(crate) struct Puppets {
    pub(crate) me: Processor,
    config: Config,
    versions: u64,
    joins: u64,
    /// The highest ring sequence that anybody spoke of.
    pub(crate) seen: u64,
    /// The last ring that was installed, and the one before.
    pub(crate) regular: Option<(RingId, Members)>,
    before: Option<(RingId, Members)>,
    /// What the processor under test sent last.
    pub(crate) commit: Option<CommitToken>,
    pub(crate) token: Option<Token>,
    proposal: Option<Members>,
}

impl Puppets {
    pub(crate) const fn new(me: Processor, config: Config, seen: u64) -> Self {
        Self {
            me,
            config,
            versions: 0,
            joins: 0,
            seen,
            regular: None,
            before: None,
            commit: None,
            token: None,
            proposal: None,
        }
    }

    /// Takes note of what the processor under test sent.
    pub(crate) fn learn(&mut self, packet: &Packet) {
        match packet {
            Packet::CommitToken(commit) => {
                self.seen = self.seen.max(commit.ring.seq);
                self.commit = Some(commit.as_ref().clone());
            }
            Packet::Join(join) => {
                self.seen = self.seen.max(join.seq);
                self.proposal = Some(join.proposal.clone());
            }
            Packet::MergeDetect(merge) => self.seen = self.seen.max(merge.seq),
            Packet::Token(token) => self.token = Some(token.as_ref().clone()),
            Packet::Mcast(_)
            | Packet::Parked(_)
            | Packet::Piece(_)
            | Packet::PieceRequest(_)
            | Packet::Recovered(_)
            | Packet::Wake(_) => {}
        }
    }

    /// Takes note of the ring that is installed.
    pub(crate) fn look(&mut self, ring: &Ring) {
        let (Some(id), Some(members)) = (ring.ring_id(), ring.members()) else { return };
        if self.regular.as_ref().is_none_or(|(known, _)| *known != id) {
            self.before = self.regular.replace((id, members.clone()));
            self.seen = self.seen.max(id.seq);
        }
    }

    /// One of those who can be named.
    pub(crate) fn puppet(&self, which: u8) -> Processor {
        let which = u32::from(which % PUPPETS);
        if which == 8 {
            return Processor::new(self.me.node, self.me.incarnation + 1);
        }
        let place = which % 4 + 1;
        let number = if place < self.me.node.get() { place } else { place + 1 };
        let node = NodeId::new(number).expect("not zero");
        Processor::new(node, u64::from(number) * 0x1111 + u64::from(which / 4))
    }

    /// A set of others, by bits; a second incarnation takes the place of the first.
    pub(crate) fn others(&self, mask: u8) -> Members {
        let mut others = Members::default();
        for which in (0..8).filter(|which| mask >> which & 1 == 1) {
            others.insert(self.puppet(which)).expect("few");
        }
        others
    }

    /// The same, with the processor under test.
    pub(crate) fn with_me(&self, mask: u8) -> Members {
        let mut members = self.others(mask);
        members.insert(self.me).expect("few");
        members
    }

    /// Rows in which these all hear each other; one of them may miss one.
    pub(crate) fn rows(&mut self, among: &Members, standing: Standing, twist: u8) -> Vec<Row> {
        self.versions += 1;
        let ring = match twist >> 6 {
            0 => None,
            1 => self.before.as_ref(),
            _ => self.regular.as_ref(),
        };
        let installed = ring.cloned().map(|(ring, members)| Installed { ring, members });
        let others = among.iter().filter(|p| *p != self.me);
        let mut rows: Vec<Row> = others
            .map(|processor| {
                let mut hears = among.clone();
                hears.remove(processor);
                let installed = installed.clone();
                Row { processor, version: self.versions, hears, installed, standing }
            })
            .collect();
        if twist & 63 != 0 && !rows.is_empty() {
            let row = usize::from(twist & 7) % rows.len();
            let missed = among.as_slice()[usize::from(twist >> 3 & 7) % among.len()];
            rows[row].hears.remove(missed);
        }
        rows
    }

    /// A join as every member of a proposal sends it.
    pub(crate) fn join(&mut self, proposal: &Members, rows: Vec<Row>) -> Join {
        self.joins += 1;
        Join {
            number: self.joins,
            seq: self.seen,
            accepted: self.seen,
            proposal: proposal.clone(),
            rows,
        }
    }

    /// A join with a few fields that the input chooses.
    pub(crate) fn any_join(&mut self, input: &mut Input<'_>) -> Join {
        let mask = input.u8();
        let among = self.with_me(mask);
        let standing = input.pick(&[Standing::Gathering, Standing::Operational, Standing::Leaving]);
        let rows = self.rows(&among, standing, input.u8());
        let proposal = match input.u8() {
            0 => self.proposal.clone().unwrap_or(among),
            mask => self.with_me(mask),
        };
        let mut join = self.join(&proposal, rows);
        join.seq = input.near(self.seen);
        join.accepted = input.near(self.regular.as_ref().map_or(0, |(ring, _)| ring.seq));
        join.number = input.near(join.number);
        join
    }

    pub(crate) fn any_merge(&mut self, input: &mut Input<'_>) -> MergeDetect {
        let among = self.with_me(input.u8());
        let standing = input.pick(&[Standing::Operational, Standing::Gathering, Standing::Leaving]);
        let rows = self.rows(&among, standing, input.u8());
        MergeDetect { seq: input.near(self.seen), rows }
    }

    /// The commit token of these members as it comes by for the first time.
    pub(crate) fn first_commit(&self, ring: &Ring, members: &Members, style: u8) -> CommitToken {
        let mine = members.index_of(self.me).unwrap_or(0);
        let rep = members.rep().unwrap_or(self.me);
        let entries = members
            .iter()
            .enumerate()
            .map(|(place, member)| (place < mine).then(|| self.entry(ring, member, style)));
        CommitToken {
            ring: RingId { seq: self.seen.saturating_add(1), rep },
            hop: u32::try_from(mine).expect("few"),
            terms: self.config.terms(),
            members: members.clone(),
            entries: entries.collect(),
        }
    }

    /// The commit token as it comes back to the processor that sent it last.
    pub(crate) fn returned_commit(&self, ring: &Ring, style: u8) -> Option<CommitToken> {
        let mut commit = self.commit.clone()?;
        let others = u32::try_from(commit.members.len() - 1).expect("few");
        commit.hop = commit.hop.saturating_add(others);
        for (place, member) in commit.members.iter().enumerate() {
            if commit.entries[place].is_none() {
                commit.entries[place] = Some(self.entry(ring, member, style));
            }
        }
        Some(commit)
    }

    /// What a member brings along: that of a companion of the ring that broke, more or less as far
    /// as the processor under test, by the bits of `style`.
    fn entry(&self, ring: &Ring, member: Processor, style: u8) -> Entry {
        let companion = self.regular.as_ref().filter(|(_, old)| old.contains(member));
        let Some((old, _)) = companion.or(self.before.as_ref()).filter(|_| style & 32 == 0) else {
            return Entry { old: None };
        };
        let (aru, high) = ring.progress();
        let aru =
            [aru, high, high.saturating_add(2), aru.saturating_sub(1)][usize::from(style & 3)];
        let mut held = Bitmap::default();
        if style & 4 != 0 {
            [1, 3].into_iter().for_each(|bit| held.set(bit));
        }
        let safe = if style & 8 == 0 { 0 } else { aru };
        let obligations = if style & 16 == 0 { 0 } else { u128::MAX };
        Entry { old: Some(OldEntry { ring: *old, aru, safe, held, obligations }) }
    }

    /// A commit token with a few fields that the input chooses.
    pub(crate) fn any_commit(&self, ring: &Ring, input: &mut Input<'_>) -> CommitToken {
        let members = match input.u8() {
            0 => self.proposal.clone().unwrap_or_else(|| self.with_me(1)),
            mask => self.with_me(mask),
        };
        let style = input.u8();
        let back = self.returned_commit(ring, style).filter(|_| style & 64 != 0);
        let mut commit = back.unwrap_or_else(|| self.first_commit(ring, &members, style));
        commit.ring.seq = input.near(commit.ring.seq);
        let hop = input.near(commit.hop.into());
        commit.hop = u32::try_from(hop).unwrap_or(u32::MAX);
        let terms = input.near(self.config.window_packets.into());
        commit.terms.window_packets = u32::try_from(terms).unwrap_or(u32::MAX);
        let place = usize::from(input.u8());
        if let Some(Some(Entry { old: Some(old) })) = commit.entries.get_mut(place) {
            old.aru = input.near(old.aru).min(u64::MAX - (1 << 20));
            old.safe = input.near(old.safe).min(old.aru);
            old.obligations = input.u8().into();
            for bit in input.bytes(4) {
                old.held.set(1 + usize::from(*bit) * 8);
            }
        }
        commit
    }

    /// The first token of a ring.
    fn first_token(&self, ring: RingId) -> Token {
        let origins = &self.config.origins;
        Token {
            ring,
            token_seq: origins.token + 1,
            seq: origins.seq,
            aru: origins.seq,
            aru_by: None,
            fcc: 0,
            light: 0,
            busy: 0,
            window: 0,
            again: 0,
            idle: 0,
            originator: ring.rep.node,
            lone: false,
            complete: 0,
            rtr: RtrList::default(),
        }
    }

    /// The token that the processor under test sent last, or the first of its attempt.
    pub(crate) fn last_token(&self) -> Option<Token> {
        let attempt = self.commit.as_ref().map(|commit| commit.ring);
        let installed = self.regular.as_ref().map(|(ring, _)| *ring);
        let newest = attempt.max(installed)?;
        let last = self.token.clone().filter(|token| token.ring == newest);
        Some(last.unwrap_or_else(|| self.first_token(newest)))
    }

    /// A token with fields that the input chooses, from the one that was seen last.
    pub(crate) fn any_token(&self, ring: &Ring, input: &mut Input<'_>) -> Option<Token> {
        let mut token = self.last_token()?;
        let members = self.members_of(token.ring)?;
        token.token_seq = input.near(token.token_seq.saturating_add(1));
        token.seq = input.near(token.seq);
        let (aru, high) = ring.progress();
        let aru = input.pick(&[token.aru, token.seq, aru, high]);
        token.aru = input.near(aru).min(token.seq);
        let member = |byte: u8| members.as_slice()[usize::from(byte) % members.len()].node;
        token.aru_by = match input.u8() {
            0 => (token.aru < token.seq).then_some(token.originator),
            255 => None,
            254 => Some(self.puppet(input.u8()).node),
            byte => Some(member(byte - 1)),
        };
        token.originator = member(input.u8());
        let mut count = |old: u32| u32::try_from(input.near(old.into())).unwrap_or(u32::MAX);
        token.fcc = count(token.fcc);
        token.light = count(token.light);
        token.busy = count(token.busy);
        // No input of their own: what inputs of the corpora mean stays the same.
        (token.window, token.again) = (token.fcc.rotate_left(7), token.light.rotate_left(7));
        token.lone = token.busy % 4 == 1;
        token.idle = count(token.idle);
        token.complete = match input.u8() {
            0 => u128::MAX,
            bits => bits.into(),
        };
        for _ in 0..input.u8() % 4 {
            let of = self.known_ring(input.u8()).unwrap_or(token.ring);
            let first = input.near(high).clamp(1, u64::MAX - 64);
            for seq in first..=first + u64::from(input.u8() % 16) {
                token.rtr.request(of, seq);
            }
        }
        Some(token)
    }

    /// The members of the ring that is installed, or of the attempt.
    pub(crate) fn members_of(&self, ring: RingId) -> Option<&Members> {
        let attempt = self.commit.as_ref().filter(|commit| commit.ring == ring);
        let installed = self.regular.iter().chain(&self.before).find(|(id, _)| *id == ring);
        attempt.map(|commit| &commit.members).or_else(|| Some(&installed?.1))
    }

    /// The ring that is installed, the attempt, or the one before.
    pub(crate) fn known_ring(&self, which: u8) -> Option<RingId> {
        let attempt = self.commit.as_ref().map(|commit| commit.ring);
        let [installed, before] =
            [&self.regular, &self.before].map(|ring| ring.as_ref().map(|(ring, _)| *ring));
        match which % 4 {
            0 | 1 => installed.or(attempt),
            2 => attempt,
            _ => before,
        }
    }

    /// The packet that stands at a number of a ring, as its other members would have it.
    pub(crate) fn mcast(&self, ring: RingId, seq: u64) -> Option<Mcast> {
        let members = self.members_of(ring)?;
        let others: Vec<NodeId> =
            members.iter().filter(|p| *p != self.me).map(|p| p.node).collect();
        let turn = usize::try_from(seq / 4 % 4).expect("small");
        let sender = *others.get(turn % others.len().max(1))?;
        let (guarantee, body) = records::content(seq);
        Some(Mcast { ring, seq, sender, guarantee, again: false, body })
    }

    /// A data packet with fields that the input chooses.
    pub(crate) fn any_mcast(&self, ring: &Ring, input: &mut Input<'_>) -> Option<Mcast> {
        let of = self.known_ring(input.u8())?;
        let (aru, high) = ring.progress();
        let base = input.pick(&[high.saturating_add(1), aru, aru.saturating_add(1), 1]);
        let seq = input.near(base).max(1);
        let style = input.u8();
        let mut mcast = self.mcast(of, seq)?;
        mcast.again = style & 128 != 0;
        if style & 1 != 0 {
            mcast.sender = self.puppet(input.u8()).node;
        }
        if style & 6 != 0 {
            mcast.guarantee = Guarantee::try_from(style >> 1 & 3).expect("two bits");
        }
        if style & 8 != 0 {
            let length = usize::from(input.u8());
            mcast.body = bytes::Bytes::copy_from_slice(input.bytes(length));
        } else if style & 16 != 0 {
            mcast.body = records::any(mcast.guarantee, input);
        }
        Some(mcast)
    }
}
