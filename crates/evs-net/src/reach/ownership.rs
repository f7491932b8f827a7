//! Two living processes with one node id: which of them must stop.

use super::{Action, Place, Reach};
use crate::hello::{Hello, Holder};
use crate::peer::Claim;

impl Reach {
    /// What a fresh hello means for my own node id: its sender bears it too, or says that another
    /// incarnation does. (A hello that did not echo a challenge of mine may be a recording of my
    /// own past.)
    pub(super) fn note_claims(&mut self, place: Place, incarnation: u64, hello: &Hello) {
        match (place, hello.holder) {
            (Place::Own, _) => {
                let double = Holder { incarnation, age_ms: hello.age_ms };
                self.note_claim(place, double, hello.heard > 0);
            }
            (Place::Peer(_), Some(holder)) if holder.incarnation != self.me.incarnation => {
                self.note_claim(place, holder, true);
            }
            (Place::Peer(index), _) => {
                if self.lists_me(hello) == Some(true) {
                    self.peers[index].claim = None;
                }
            }
        }
    }

    /// After a restart a peer names my predecessor for a moment, and among processes that have just
    /// started who is heard by whom changes by the moment. So only a claim counts that is kept up
    /// without a break for the detection target.
    fn note_claim(&mut self, place: Place, other: Holder, other_hears: bool) {
        let now = self.now;
        let break_max = self.interval() * CLAIM_BREAK_INTERVALS;
        let claim = &mut self.peer(place).claim;
        let unbroken = claim
            .filter(|c| c.incarnation == other.incarnation && now.since(c.latest) <= break_max);
        let since = unbroken.map_or(now, |claim| claim.since);
        *claim = Some(Claim { incarnation: other.incarnation, since, latest: now });
        if now.since(since) >= self.detection {
            self.judge(other.incarnation, other.age_ms, other_hears);
        }
    }

    /// Two living processes own my node id: says which of them must stop. Both sides come to the
    /// same result, by the same three questions.
    fn judge(&mut self, other: u64, other_age_ms: u64, other_hears: bool) {
        let i_hear = !self.heard.is_empty();
        let margin = u64::try_from((self.interval() * 2).as_millis()).unwrap_or(u64::MAX);
        let age_ms = self.age_ms();
        let must_stop = if i_hear != other_hears {
            other_hears
        } else if age_ms.abs_diff(other_age_ms) > margin {
            other_age_ms > age_ms
        } else {
            other < self.me.incarnation
        };
        if self.duplicate_reported != Some((other, must_stop)) {
            self.duplicate_reported = Some((other, must_stop));
            self.actions.push_back(Action::Duplicate { incarnation: other, must_stop });
        }
    }
}

/// Longest pause, in hello intervals, within one unbroken claim.
const CLAIM_BREAK_INTERVALS: u32 = 3;
