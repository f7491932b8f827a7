//! Totem §5.3, EVS 1994 §4 and `docs/protocol.md` §2: what survivors of a ring owe each other.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use evs_model::Guarantee::{Agreed, Safe, Unordered};
use evs_model::{Configuration, Guarantee, Members, RingId};

use super::fixtures::{MS, Solo, Together, members, p};
use crate::config::Origins;
use crate::output::{Cause, Output, StateKind};
use crate::stats::Discard;
use crate::wire::{Bitmap, Entry, OldEntry, Packet, PacketKind, Recovered, Token};

const ALL: [u32; 4] = [1, 2, 3, 4];

/// Processor 2 in Recovery of {1, 2} (and 3, if it is with them) after a ring of 1, 2, 3, 4 of
/// which it holds these packets: (sender, seq, guarantee).
struct Broken {
    solo: Solo,
    new: RingId,
    with: Vec<u32>,
}

impl Broken {
    fn new(with: &[u32], held: &[(u32, u64, Guarantee)]) -> Self {
        let mut solo = Solo::operational(&ALL);
        for (sender, seq, guarantee) in held {
            solo.receive(*sender, Packet::Mcast(solo.mcast(*sender, *seq, *guarantee)));
        }
        Self { new: RingId { seq: 6, rep: p(1) }, solo, with: with.to_vec() }
    }

    /// What another member brings along: it holds these of the old ring.
    fn entry(&self, aru: u64, beyond: &[u64], safe: u64, obligations: u128) -> Option<Entry> {
        let mut held = Bitmap::default();
        beyond.iter().for_each(|seq| held.set(usize::try_from(seq - aru - 1).expect("small")));
        let ring = self.solo.ring_id();
        Some(Entry { old: Some(OldEntry { ring, aru, safe, held, obligations }) })
    }

    /// Goes on to Recovery. `others`: what the others bring along, in order.
    fn recover(&mut self, others: Vec<Option<Entry>>) -> Option<OldEntry> {
        let everybody = members(&self.with);
        let mut heard = everybody.clone();
        heard.remove(p(2));
        let now = self.solo.now;
        self.solo.ring.handle_reachability(now, heard);
        for node in self.with.clone().into_iter().filter(|n| *n != 2) {
            let mut join = self.solo.join(20 + self.new.seq);
            join.rows.retain(|row| everybody.contains(row.processor));
            for row in &mut join.rows {
                row.version += self.new.seq;
                row.hears = everybody.clone();
                row.hears.remove(row.processor);
            }
            (join.proposal, join.seq) = (everybody.clone(), self.new.seq - 1);
            join.accepted = self.new.seq - 1;
            self.solo.receive(node, Packet::Join(join.into()));
        }
        assert_eq!(self.solo.ring.state(), StateKind::Gather);
        let mut token = self.solo.commit_token(1);
        token.ring = self.new;
        token.entries = vec![None; everybody.len()];
        token.entries[0] = others[0].clone();
        token.members = everybody;
        self.solo.receive(1, Packet::CommitToken(token.clone().into()));
        assert_eq!(self.solo.ring.state(), StateKind::Commit);
        let sent = self.solo.sent();
        let mine = sent.into_iter().rev().find_map(|(_, packet)| {
            if let Packet::CommitToken(token) = packet { token.entries[1].clone() } else { None }
        });
        let mine = mine.expect("written");
        token.entries[1] = Some(mine.clone());
        for (place, entry) in others.into_iter().enumerate().skip(1) {
            token.entries[place + 1] = entry;
        }
        token.hop = u32::try_from(self.with.len()).expect("few") + 1;
        self.solo.receive(1, Packet::CommitToken(token.into()));
        assert_eq!(self.solo.ring.state(), StateKind::Recovery);
        mine.old
    }

    fn send(&mut self, sender: u32, seq: u64, guarantee: Guarantee) {
        let mcast = self.solo.mcast(sender, seq, guarantee);
        self.solo.receive(1, Packet::Recovered(Recovered { ring: self.new, mcast }));
    }

    /// The token comes by; these places have said that they hold everything.
    fn token(&mut self, token_seq: u64, complete: u128) -> Option<Token> {
        let token = Token { token_seq, complete, ..Token::first(self.new, &Origins::default()) };
        self.solo.receive_token(token);
        self.solo.outputs.iter().rev().find_map(|output| {
            let Output::Transmit { packet: Packet::Token(token), .. } = output else { return None };
            Some((**token).clone())
        })
    }

    /// What was delivered, with the configurations.
    fn history(&self) -> Vec<String> {
        let line = |output: &Output| match output {
            Output::Deliver(d) => Some(super::fixtures::text(d)),
            Output::Configure(Configuration::Regular { .. }) => Some("R'".into()),
            Output::Configure(Configuration::Transitional { members, .. }) => {
                Some(alloc::format!("T of {}", members.len()))
            }
            Output::Distrust(_)
            | Output::Persist(_)
            | Output::Transmit { .. }
            | Output::Transition { .. } => None,
        };
        self.solo.outputs.iter().filter_map(line).collect()
    }
}

#[test]
fn what_a_companion_holds_is_requested_and_nothing_else() {
    let mut broken = Broken::new(&[1, 2], &[(1, 1, Agreed)]);
    let other = broken.entry(1, &[4, 6], 1, 0);
    broken.recover(vec![other]);
    let token = broken.token(1, 0).expect("passed on");
    let ring = broken.solo.ring_id();
    let ranges: Vec<_> = token.rtr.as_slice().iter().map(|r| (r.ring, r.first, r.last)).collect();
    assert_eq!(ranges, [(ring, 4, 4), (ring, 6, 6)]);
    assert_eq!(token.complete, 0);
}

#[test]
fn what_a_companion_requests_is_sent_on_the_new_ring() {
    let mut broken = Broken::new(&[1, 2], &[(1, 1, Agreed), (3, 2, Agreed)]);
    let other = broken.entry(1, &[], 1, 0);
    broken.recover(vec![other]);
    broken.solo.sent();
    let mut token = Token::first(broken.new, &Origins::default());
    token.rtr.request(broken.solo.ring_id(), 2);
    broken.solo.receive_token(token);
    let mcast = broken.solo.mcast(3, 2, Agreed);
    let recovered = Packet::Recovered(Recovered { ring: broken.new, mcast });
    let sent = broken.solo.sent();
    assert_eq!(sent[0].1, recovered);
    assert!(matches!(&sent[1].1, Packet::Token(t) if t.rtr.is_empty() && t.complete == 0b10));
}

/// EVS-2, EVS-4: rest of R, T(R, R'), rest, R', in one batch.
#[test]
fn install_delivers_in_one_batch_in_the_order_of_the_model() {
    let mut broken = Broken::new(&[1, 2], &[(1, 1, Agreed), (3, 2, Safe), (1, 3, Agreed)]);
    let other = broken.entry(3, &[], 1, 0);
    broken.recover(vec![other]);
    broken.token(1, 0b01);
    assert_eq!(broken.solo.ring.state(), StateKind::Operational);
    assert_eq!(broken.history(), ["T of 2", "3:2", "1:3", "R'"]);
}

/// A token visit passes the token on before it delivers, but installs before it acknowledges
/// anything of the new ring (EVS-7).
#[test]
fn the_ring_is_installed_before_the_token_goes_on() {
    let mut broken = Broken::new(&[1, 2], &[]);
    let other = broken.entry(0, &[], 0, 0);
    broken.recover(vec![other]);
    broken.solo.outputs.clear();
    broken.token(1, 0b01);
    let place = |test: fn(&Output) -> bool| broken.solo.outputs.iter().position(test);
    let regular = place(|o| matches!(o, Output::Configure(_)));
    let token = place(|o| matches!(o, Output::Transmit { packet: Packet::Token(_), .. }));
    assert!(regular < token);
}

/// P43: past a gap, only messages of those of whom nothing is missing.
#[test]
fn a_gap_hides_the_messages_of_those_who_are_gone() {
    let mut broken = Broken::new(&[1, 2], &[(1, 1, Agreed), (3, 3, Agreed), (1, 4, Agreed)]);
    let other = broken.entry(1, &[3, 4], 1, 0);
    broken.recover(vec![other]);
    broken.token(1, 0b01);
    assert_eq!(broken.history(), ["T of 2", "1:4", "R'"]);
}

/// `docs/protocol.md` §2: a companion's promise binds all (P44).
#[test]
fn a_promise_of_a_failed_recovery_is_kept() {
    let mut broken = Broken::new(&[1, 2], &[(1, 1, Agreed), (3, 3, Safe)]);
    // 1 held everything together with 3 (place 2 in the old ring) before that attempt failed.
    let other = broken.entry(1, &[3], 1, 0b101);
    broken.recover(vec![other]);
    broken.token(1, 0b01);
    assert_eq!(broken.history(), ["T of 2", "3:3", "R'"]);
}

/// P44: 1 may have installed and delivered on the strength of this processor's word.
#[test]
fn an_obligation_survives_the_attempt_in_which_it_was_taken_on() {
    let mut broken = Broken::new(&[1, 2, 3], &[(1, 1, Agreed), (3, 3, Safe)]);
    let entries = [broken.entry(1, &[], 1, 0), broken.entry(1, &[3], 1, 0)];
    let mine = broken.recover(entries.into()).expect("it comes from a ring");
    assert_eq!(mine.obligations, 0);
    let token = broken.token(1, 0b101).expect("passed on, or installed");
    assert_eq!(token.complete, 0b111, "everybody is complete: installed");
    // Another one, which is not complete, and fails.
    let mut broken = Broken::new(&[1, 2, 3], &[(1, 1, Agreed), (3, 3, Safe)]);
    let entries = [broken.entry(1, &[], 1, 0), broken.entry(1, &[3], 1, 0)];
    broken.recover(entries.into());
    broken.token(1, 0b100);
    broken.solo.pass(1_100 * MS);
    assert_eq!(broken.solo.ring.state(), StateKind::Gather);
    broken.new.seq += 1;
    broken.with = vec![1, 2];
    let other = broken.entry(1, &[3], 1, 0);
    let mine = broken.recover(vec![other]).expect("it comes from a ring");
    assert_eq!(mine.obligations, 0b111);
    broken.token(1, 0b01);
    assert_eq!(broken.history(), ["T of 2", "3:3", "R'"]);
}

/// Step 1 goes at least as far as any companion did in R.
#[test]
fn what_a_companion_delivered_in_the_old_ring_is_delivered_in_it_here_too() {
    let mut broken = Broken::new(&[1, 2], &[(1, 1, Safe), (3, 2, Agreed), (1, 3, Safe)]);
    let other = broken.entry(3, &[], 2, 0);
    broken.recover(vec![other]);
    broken.token(1, 0b01);
    assert_eq!(broken.history(), ["1:1", "3:2", "T of 2", "1:3", "R'"]);
}

/// EVS-9: whatever any of them holds, all of them deliver in R.
#[test]
fn unordered_messages_are_recovered_and_delivered_in_the_old_ring() {
    let mut broken = Broken::new(&[1, 2], &[(1, 2, Safe)]);
    let other = broken.entry(0, &[2, 5], 0, 0);
    broken.recover(vec![other]);
    broken.token(1, 0b01);
    broken.send(4, 5, Unordered);
    broken.token(3, 0b01);
    assert_eq!(broken.history(), ["4:5", "T of 2", "1:2", "R'"]);
}

#[test]
fn a_processor_of_another_ring_is_in_no_transitional_configuration_of_this_one() {
    let mut broken = Broken::new(&[1, 2], &[(1, 1, Safe)]);
    let mut other = broken.entry(7, &[], 7, 0);
    if let Some(Entry { old: Some(old) }) = &mut other {
        old.ring.rep.incarnation += 1;
    }
    broken.recover(vec![other]);
    broken.token(1, 0b01);
    assert_eq!(broken.history(), ["T of 1", "1:1", "R'"]);
}

#[test]
fn a_recovered_message_of_another_attempt_is_dropped() {
    let mut broken = Broken::new(&[1, 2], &[]);
    let other = broken.entry(1, &[], 1, 0);
    broken.recover(vec![other]);
    let mcast = broken.solo.mcast(1, 1, Agreed);
    let mut ring = broken.new;
    ring.seq -= 1;
    broken.solo.receive(1, Packet::Recovered(Recovered { ring, mcast }));
    assert_eq!(broken.solo.ring.stats().discards(Discard::ForeignRing), 1);
    assert_eq!(broken.solo.ring.progress(), (0, 0));
}

/// EVS-7 in R: a message of the new ring is acknowledged by whoever has installed it, and nobody
/// sends one before all have recovered.
#[test]
fn nothing_of_the_new_ring_is_acknowledged_before_it_is_installed() {
    let mut broken = Broken::new(&[1, 2], &[]);
    let other = broken.entry(1, &[], 1, 0);
    broken.recover(vec![other.clone()]);
    let mut early = broken.solo.mcast(1, 1, Safe);
    early.ring = broken.new;
    broken.solo.receive(1, Packet::Mcast(early));
    broken.solo.receive_token(Token {
        seq: 1,
        aru: 1,
        ..Token::first(broken.new, &Origins::default())
    });
    assert_eq!(broken.solo.cause(), Some(Cause::OutOfRange), "1 is missing: who sent it?");
    let mut broken = Broken::new(&[1, 2], &[(1, 1, Agreed)]);
    broken.recover(vec![other]);
    broken.solo.outputs.clear();
    let token =
        Token { seq: 1, aru: 1, complete: 0b01, ..Token::first(broken.new, &Origins::default()) };
    broken.solo.receive_token(token);
    assert_eq!(broken.history(), ["T of 2", "R'"]);
    let sent = broken.solo.sent_token();
    assert_eq!((sent.aru, sent.aru_by), (0, Some(p(2).node)), "it has not come yet");
}

/// P4: links that duplicate everything do not make two tokens.
#[test]
fn a_copy_of_the_commit_token_makes_no_second_token() {
    let mut together = Together::started(&[1, 2]);
    let mut firsts = 0;
    together.dropping(move |_, _, packet| {
        firsts += i32::from(matches!(packet, Packet::Token(t) if t.token_seq == 2));
        assert!(firsts <= 1, "one first token");
        false
    });
    together.run(1_200 * MS);
    let ring = together.rings[&1].ring_id().expect("formed");
    assert_eq!(together.rings[&2].ring_id(), Some(ring));
    // The representative is where it matters.
    let mut solo = Solo::gathering(&[2, 3]);
    solo.join_all();
    solo.pass(200 * MS);
    let commit = |solo: &mut Solo| {
        let sent = solo.sent().into_iter().find_map(|(_, packet)| {
            if let Packet::CommitToken(token) = packet { Some(*token) } else { None }
        });
        sent.expect("passed on")
    };
    let mut token = commit(&mut solo);
    (token.entries[1], token.hop) = (Some(Entry { old: None }), 2);
    solo.receive(3, Packet::CommitToken(token.into()));
    let mut token = commit(&mut solo);
    token.hop = 4;
    for _ in 0..3 {
        solo.receive(3, Packet::CommitToken(token.clone().into()));
    }
    let tokens = solo.sent().into_iter().filter(|(_, p)| p.kind() == PacketKind::Token);
    assert_eq!(tokens.count(), 1);
}

/// The history of `docs/protocol.md` §2: R = {1, 2, 3, 4}; 3's message 7 is lost to all others, 1
/// sends a safe message after it; 3 crashes, 4 is cut off; 1 and 2 recover, one of them installs
/// and delivers the safe message; the other is cut off before it installs, and goes on with 4.
#[test]
fn what_a_companion_delivered_is_delivered_although_both_attempts_differ() {
    let mut together = Together::formed(&[1, 2, 3, 4]);
    together.dropping(|from, _, packet| from == 3 && matches!(packet, Packet::Mcast(_)));
    together.submit(3, "lost", Agreed);
    together.run(2 * MS);
    together.submit(1, "safe", Safe);
    together.run(2 * MS);
    assert!(together.histories.values().all(|h| !h.iter().any(|line| line == "safe")));
    together.crash(3);
    // 1 says that it holds everything, and never hears that both do.
    together.dropping(|_, to, packet| {
        to == 1 && matches!(packet, Packet::Token(t) if t.complete.count_ones() == 2)
    });
    together.cut(&[&[1, 2], &[4]]);
    together.notice(1);
    together.notice(2);
    together.run_until(|t| t.histories[&2].iter().any(|line| line == "safe"));
    assert!(!together.histories[&1].iter().any(|line| line == "safe"));
    together.dropping_nothing();
    together.partition(&[&[2], &[1, 4]]);
    together.run(2_000 * MS);
    for node in [1, 2, 4] {
        let safe = together.histories[&node].iter().filter(|line| *line == "safe").count();
        assert_eq!(safe, 1, "{node}: {:?}", together.histories);
    }
    let last = |n: u32| together.rings[&n].members().cloned();
    assert_eq!(last(1), Members::new(vec![p(1), p(4)]).ok());
}
