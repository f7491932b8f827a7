//! Flow control (Totem §4.1): how much one visit of the token may send.
//!
//! Pure functions of the token and of what this processor added to it at its last visit.

use crate::config::Terms;
use crate::wire::Token;

/// What this processor added to the token's counts at its last visit, to be taken out again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contribution {
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
    pub(crate) backlog: u32,
}

/// How much may be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Quota {
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
}

/// Takes this processor's last contribution out of the token's counts.
pub(crate) fn withdraw(token: &mut Token, last: Contribution) {
    token.fcc = token.fcc.saturating_sub(last.packets);
    token.fcc_bytes = token.fcc_bytes.saturating_sub(last.bytes);
    token.backlog = token.backlog.saturating_sub(last.backlog);
}

/// Adds what it sends at this visit, and what it leaves waiting.
pub(crate) fn contribute(token: &mut Token, now: Contribution) {
    token.fcc = token.fcc.saturating_add(now.packets);
    token.fcc_bytes = token.fcc_bytes.saturating_add(now.bytes);
    token.backlog = token.backlog.saturating_add(now.backlog);
}

/// The quota of this visit, the own contribution being withdrawn. It is the smallest of: what is
/// left of the window in this rotation; this processor's share of the window by backlog; and what
/// still has a slot above the aru. Whoever has something waiting may always send one packet as
/// long as the aru allows, so that nobody starves.
pub(crate) fn quota(token: &Token, backlog: u32, terms: &Terms) -> Quota {
    let window = u64::from(terms.window_packets);
    let waiting = u64::from(backlog);
    let others = u64::from(token.backlog);
    let share = (window * waiting).checked_div(waiting + others).unwrap_or(0).max(1);
    let left = window.saturating_sub(token.fcc.into()).max(1);
    let in_flight = token.seq - token.aru;
    let room = (2 * window).saturating_sub(in_flight);
    let packets = waiting.min(share).min(left).min(room);
    Quota {
        packets: u32::try_from(packets).expect("bounded by the window"),
        bytes: terms.window_bytes.saturating_sub(token.fcc_bytes).max(1),
    }
}

#[cfg(test)]
mod tests {
    use evs_model::{NodeId, Processor, RingId};

    use super::*;
    use crate::config::{Config, Origins};

    fn token() -> Token {
        let rep = Processor::new(NodeId::new(1).expect("not zero"), 0);
        Token::first(RingId { seq: 1, rep }, &Origins::default())
    }

    fn terms() -> Terms {
        Config { window_packets: 100, ..Config::default() }.terms()
    }

    #[test]
    fn one_sender_alone_has_the_whole_window() {
        assert_eq!(quota(&token(), 1_000, &terms()).packets, 100);
        assert_eq!(quota(&token(), 7, &terms()).packets, 7);
        assert_eq!(quota(&token(), 0, &terms()).packets, 0);
    }

    #[test]
    fn the_window_is_shared_by_backlog() {
        let token = Token { backlog: 300, ..token() };
        assert_eq!(quota(&token, 100, &terms()).packets, 25);
    }

    #[test]
    fn what_others_sent_in_this_rotation_is_not_sent_again() {
        let token = Token { fcc: 90, ..token() };
        assert_eq!(quota(&token, 1_000, &terms()).packets, 10);
    }

    #[test]
    fn nobody_starves_in_a_full_window() {
        let token = Token { fcc: 500, backlog: 100_000, ..token() };
        assert_eq!(quota(&token, 1, &terms()).packets, 1);
    }

    #[test]
    fn nothing_is_sent_that_would_have_no_slot() {
        let token = Token { seq: 1_000, aru: 800, ..token() };
        assert_eq!(quota(&token, 1_000, &terms()).packets, 0);
    }

    #[test]
    fn a_contribution_is_taken_out_again_without_underflow() {
        let mut token = Token { fcc: 5, fcc_bytes: 10, backlog: 3, ..token() };
        withdraw(&mut token, Contribution { packets: 7, bytes: 4, backlog: 3 });
        assert_eq!((token.fcc, token.fcc_bytes, token.backlog), (0, 6, 0));
        contribute(&mut token, Contribution { packets: 2, bytes: 1, backlog: u32::MAX });
        assert_eq!((token.fcc, token.fcc_bytes, token.backlog), (2, 7, u32::MAX));
    }
}
