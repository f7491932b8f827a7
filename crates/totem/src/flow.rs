//! Flow control (Totem §4.1; `docs/protocol.md` §4): how much one visit of the token may send.
//!
//! Pure functions of the token and of what this processor added to it at its last visit. How large
//! the window is at present is decided in `pace.rs`.

use evs_model::defect;

use crate::config::Terms;
use crate::wire::Token;

/// What this processor added to the token's counts at its last visit, to be taken out again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contribution {
    /// What it sent, in packets.
    pub(crate) packets: u32,
    /// What it sent, as the window counts it ([`Terms::cost`]).
    pub(crate) cost: u32,
    /// Something still waited.
    pub(crate) busy: bool,
}

/// How much may be sent: one packet in any case, if it may send packets at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Quota {
    pub(crate) packets: u32,
    pub(crate) cost: u32,
}

/// Takes this processor's last contribution out of the token's counts.
pub(crate) fn withdraw(token: &mut Token, last: Contribution) {
    token.fcc = token.fcc.saturating_sub(last.cost);
    if last.busy {
        token.busy = token.busy.saturating_sub(1);
    } else {
        token.light = token.light.saturating_sub(last.cost);
    }
}

/// Adds what it sends at this visit, and whether something is left waiting.
pub(crate) fn contribute(token: &mut Token, now: Contribution) {
    token.fcc = token.fcc.saturating_add(now.cost);
    if now.busy {
        token.busy = token.busy.saturating_add(1);
    } else {
        token.light = token.light.saturating_add(now.cost);
    }
}

/// The quota of this visit, the own contribution being withdrawn: an equal share of what those
/// leave of the window who could send all that they had, but no more than what is left of it in
/// this rotation, and what still has a slot above the aru. Whoever has something waiting may always
/// send one packet as long as the aru allows, so that nobody starves.
pub(crate) fn quota(token: &Token, terms: &Terms) -> Quota {
    let window = terms.window(token.window);
    let busy = if defect!(SharesIgnored) { 0 } else { token.busy };
    let share = window.saturating_sub(token.light) / busy.saturating_add(1);
    let in_flight = u32::try_from(token.seq - token.aru).unwrap_or(u32::MAX);
    Quota {
        packets: (2 * terms.window_packets).saturating_sub(in_flight),
        cost: share.min(window.saturating_sub(token.fcc)),
    }
}

impl Quota {
    /// Whether a packet of this cost may follow what was sent at this visit.
    pub(crate) fn allows(&self, sent: Contribution, cost: u32) -> bool {
        sent.packets < self.packets
            && (sent.packets == 0 || sent.cost.saturating_add(cost) <= self.cost)
    }
}

#[cfg(test)]
mod tests {
    use evs_model::{NodeId, Processor, RingId};

    use super::*;
    use crate::config::{Config, Origins};

    fn token() -> Token {
        let rep = Processor::new(NodeId::new(1).expect("not zero"), 0);
        let ring = RingId { seq: 1, rep };
        Token { window: terms().window_bytes, ..Token::first(ring, &Origins::default()) }
    }

    /// A window of 100 packets, of which each costs 1,000 bytes at least.
    fn terms() -> Terms {
        Config { window_packets: 100, window_bytes: 100_000, ..Config::default() }.terms()
    }

    #[test]
    fn one_sender_alone_has_the_whole_window() {
        assert_eq!(quota(&token(), &terms()).cost, 100_000);
    }

    #[test]
    fn those_who_have_more_than_they_may_send_share_alike() {
        assert_eq!(quota(&Token { busy: 3, ..token() }, &terms()).cost, 25_000);
    }

    #[test]
    fn what_those_send_who_need_less_is_not_shared() {
        let token = Token { busy: 3, fcc: 20_000, light: 20_000, ..token() };
        assert_eq!(quota(&token, &terms()).cost, 20_000);
    }

    #[test]
    fn what_others_sent_in_this_rotation_is_not_sent_again() {
        assert_eq!(quota(&Token { fcc: 90_000, ..token() }, &terms()).cost, 10_000);
    }

    #[test]
    fn nobody_starves_in_a_full_window() {
        let token = Token { fcc: 500_000, light: 500_000, busy: 7, ..token() };
        let quota = quota(&token, &terms());
        assert!(quota.allows(Contribution::default(), 60_000));
        let sent = Contribution { packets: 1, cost: 1, busy: true };
        assert!(!quota.allows(sent, 1));
    }

    #[test]
    fn nothing_is_sent_that_would_have_no_slot() {
        let token = Token { seq: 1_000, aru: 800, ..token() };
        assert!(!quota(&token, &terms()).allows(Contribution::default(), 1));
    }

    #[test]
    fn the_quota_is_in_bytes_and_small_packets_count_as_slots() {
        let terms = terms();
        assert_eq!((terms.cost(10), terms.cost(4_945)), (1_000, 5_000));
        let quota = Quota { packets: 200, cost: 10_000 };
        assert!(quota.allows(Contribution { packets: 1, cost: 5_000, busy: false }, 5_000));
        assert!(!quota.allows(Contribution { packets: 1, cost: 5_001, busy: false }, 5_000));
    }

    /// The shares that several come to, visit by visit; `wants` is what each has at each visit.
    fn shares(wants: &[u32], rotations: usize) -> alloc::vec::Vec<u32> {
        let (mut token, terms) = (token(), terms());
        let mut last = alloc::vec![Contribution::default(); wants.len()];
        for _ in 0..rotations {
            for (own, wants) in last.iter_mut().zip(wants) {
                withdraw(&mut token, *own);
                let cost = quota(&token, &terms).cost.max(1_000).min(*wants);
                *own = Contribution { packets: cost / 1_000, cost, busy: cost < *wants };
                contribute(&mut token, *own);
            }
        }
        last.iter().map(|own| own.cost).collect()
    }

    #[test]
    fn the_shares_come_to_what_is_fair_whoever_was_first() {
        const ALL: u32 = u32::MAX;
        assert_eq!(shares(&[ALL; 4], 3), [25_000; 4]);
        assert_eq!(shares(&[ALL, 10_000, ALL], 4), [45_000, 10_000, 45_000]);
        // Everybody could nearly have the window alone.
        let equal = shares(&[80_000; 5], 8);
        assert!(equal.iter().all(|share| (15_000..=25_000).contains(share)), "{equal:?}");
    }

    #[test]
    fn a_contribution_is_taken_out_again_without_underflow() {
        let mut token = Token { fcc: 5, light: 10, busy: 0, ..token() };
        withdraw(&mut token, Contribution { packets: 7, cost: 7, busy: true });
        withdraw(&mut token, Contribution { packets: 7, cost: 4, busy: false });
        assert_eq!((token.fcc, token.light, token.busy), (0, 6, 0));
        contribute(&mut token, Contribution { packets: 2, cost: u32::MAX, busy: true });
        contribute(&mut token, Contribution { packets: 2, cost: 1, busy: false });
        assert_eq!((token.fcc, token.light, token.busy), (u32::MAX, 7, 1));
    }
}
