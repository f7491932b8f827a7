//! Who is deaf to data although small packets pass (P9, P55; `docs/protocol.md` §3): somebody lacks
//! one packet for long, however often it is sent again.
//!
//! Nobody takes itself for deaf. Those who hold the packet distrust the one that lacks it; who
//! lacks it in recovery distrusts those who hold it.

use evs_model::{Instant, NodeId};

use crate::config::Terms;

/// So many copies in a row are not lost by chance (LIVE-2).
const COPIES: u32 = 20;

/// How long who has been lacking what.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    lacks: Option<Lack>,
}

#[derive(Clone, Copy, Debug)]
struct Lack {
    who: NodeId,
    seq: u64,
    since: Instant,
    copies: u32,
}

impl Stall {
    /// What the token tells at a visit: who lacks which sequence number, if anybody does.
    pub(crate) fn observe(&mut self, now: Instant, lacks: Option<(NodeId, u64)>) {
        let before = self.lacks;
        self.lacks = lacks.map(|(who, seq)| {
            let same = before.filter(|lack| (lack.who, lack.seq) == (who, seq));
            same.unwrap_or(Lack { who, seq, since: now, copies: 0 })
        });
    }

    /// A packet was sent once more. How often that should have happened by now is for the one that
    /// lacks it to say: where data is late, it is patient (P5).
    pub(crate) fn copied(&mut self, seq: u64) {
        if let Some(lack) = self.lacks.as_mut().filter(|lack| lack.seq == seq) {
            lack.copies = lack.copies.saturating_add(1);
        }
    }

    /// Who has lacked its packet for too long. Told once; then the time begins anew.
    pub(crate) fn overdue(&mut self, now: Instant, terms: &Terms) -> Option<NodeId> {
        self.take_after(now, terms, 1)
    }

    /// As [`Stall::overdue`] at half the time and copies, for the moment at which the ring ends:
    /// those who watched the same token must not differ about whom to do without.
    pub(crate) fn nearly_overdue(&mut self, now: Instant, terms: &Terms) -> Option<NodeId> {
        self.take_after(now, terms, 2)
    }

    fn take_after(&mut self, now: Instant, terms: &Terms, part: u32) -> Option<NodeId> {
        let late = |lack: &mut Lack| {
            lack.copies >= COPIES / part && now.since(lack.since) >= terms.stall() / part
        };
        self.lacks.take_if(late).map(|lack| lack.who)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use core::time::Duration;

    const WHO: NodeId = NodeId::new(3).expect("not zero");

    /// `WHO` lacks 7 for this time, and meanwhile 7 is sent so many times; returns how it ends.
    fn after(copies: u32, time: Duration) -> (bool, bool) {
        let terms = Config::default().terms();
        let begin = Instant::from_nanos(5);
        let stall = || {
            let mut stall = Stall::default();
            stall.observe(begin, Some((WHO, 7)));
            (0..copies).for_each(|_| stall.copied(7));
            stall.observe(begin + time, Some((WHO, 7)));
            stall
        };
        let end = begin + time;
        let nearly = stall().nearly_overdue(end, &terms) == Some(WHO);
        (nearly, stall().overdue(end, &terms) == Some(WHO))
    }

    #[test]
    fn it_takes_the_detection_target_and_twenty_copies_and_half_of_both_when_the_ring_ends() {
        let target = Config::default().detection;
        assert_eq!(after(20, target), (true, true));
        assert_eq!(after(19, target), (true, false));
        assert_eq!(after(20, target * 99 / 100), (true, false));
        assert_eq!(after(10, target / 2), (true, false));
        assert_eq!(after(9, target), (false, false));
        assert_eq!(after(100, target * 49 / 100), (false, false));
    }

    #[test]
    fn progress_starts_it_anew_and_it_is_told_once() {
        let terms = Config::default().terms();
        let (begin, end) = (Instant::from_nanos(0), Instant::from_nanos(0) + terms.detection * 2);
        let mut stall = Stall::default();
        let lacks = |stall: &mut Stall, now, seq| {
            stall.observe(now, Some((WHO, seq)));
            (0..100).for_each(|_| stall.copied(seq));
        };
        lacks(&mut stall, begin, 7);
        lacks(&mut stall, end, 8);
        assert_eq!(stall.overdue(end, &terms), None);
        stall.observe(end, None);
        assert_eq!(stall.nearly_overdue(end + terms.detection, &terms), None);
        lacks(&mut stall, begin, 9);
        assert_eq!(stall.overdue(end, &terms), Some(WHO));
        assert_eq!(stall.overdue(end, &terms), None);
    }

    #[test]
    fn copies_of_other_packets_do_not_count() {
        let terms = Config::default().terms();
        let mut stall = Stall::default();
        stall.observe(Instant::from_nanos(0), Some((WHO, 7)));
        (0..100).for_each(|_| stall.copied(8));
        let end = Instant::from_nanos(0) + terms.detection * 2;
        assert_eq!(stall.overdue(end, &terms), None);
    }
}
