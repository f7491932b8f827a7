//! Which of the paths to a peer are used.
//!
//! Data takes the best path: the one with the least wrong with it, and of those the one of the
//! highest priority. It stays where it is while that is as good as any; it leaves at once when
//! something is wrong with it, and comes back to a path that it left only after a hold-down that
//! grows while the path is left again and again. What must not be lost goes over the second best,
//! too.

use std::time::Duration;

use evs_model::Instant;

use crate::path::{Grade, Path, Patience};
use crate::{LinkId, LinkTerms, Links};

/// The paths to one peer that are used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Route {
    best: Option<LinkId>,
    second: Option<LinkId>,
}

/// Why traffic was moved from one link to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// The path is down: `PeerEvent::PathDown` says why.
    Down,
    /// Large datagrams do not arrive.
    Narrow,
    /// Nothing came, or came back, for several hellos.
    Silent,
    /// So many datagrams are lost, in parts of a million.
    Loss(u32),
    /// The round trip takes so long.
    Slow(Duration),
    /// None: the new path is preferred, and has been sound for its hold-down.
    None,
}

/// Traffic to a peer moves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Move {
    pub(crate) from: LinkId,
    pub(crate) to: LinkId,
    pub(crate) trouble: Trouble,
}

/// What a path is chosen by; the lowest wins.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct Rank {
    grade: Grade,
    held: bool,
    /// The highest priority first.
    priority: std::cmp::Reverse<u8>,
    elsewhere: bool,
    link: LinkId,
}

impl Route {
    pub(crate) const fn new() -> Self {
        Self { best: None, second: None }
    }

    /// Where data goes: the first link until a path is known.
    pub(crate) fn best(self) -> LinkId {
        self.best.unwrap_or(LinkId::FIRST)
    }

    /// Where goes what must not be lost.
    pub(crate) fn twice(self) -> Links {
        let best = Links::one(self.best());
        self.second.map_or(best, |second| best.and(second))
    }

    /// Chooses anew. The paths are in the order of their links.
    pub(crate) fn choose(
        &mut self,
        now: Instant,
        paths: &mut [Path],
        terms: &[LinkTerms],
        patience: Patience,
    ) -> Option<Move> {
        let mut ranks: Vec<Rank> = paths
            .iter()
            .zip(terms)
            .enumerate()
            .filter_map(|(place, (path, terms))| {
                let link = LinkId::at(place)?;
                Some(Rank {
                    grade: path.grade(now, patience),
                    held: now < path.demotions.until,
                    priority: std::cmp::Reverse(terms.priority),
                    elsewhere: self.best != Some(link),
                    link,
                })
            })
            .collect();
        ranks.sort_unstable();
        let first = *ranks.first()?;
        self.second = ranks.get(1).filter(|rank| !rank.grade.down).map(|rank| rank.link);
        let before = self.best.replace(first.link).filter(|before| *before != first.link)?;
        let left = ranks.iter().find(|rank| rank.link == before)?;
        let path = &mut paths[before.place()];
        let trouble = trouble(path, left.grade, first.grade);
        if trouble != Trouble::None {
            path.demotions.down(now, patience.detection, patience.detection);
        }
        paths[first.link.place()].demotions.up(now);
        Some(Move { from: before, to: first.link, trouble })
    }

    /// When another choice may be due without any input.
    pub(crate) fn due(self, now: Instant, paths: &[Path], patience: Patience) -> Instant {
        let doubtful = paths.iter().filter(|p| p.up).filter_map(|p| p.doubtful_at(patience));
        let held = paths.iter().filter(|path| path.up).map(|path| path.demotions.until);
        doubtful.chain(held).filter(|at| *at > now).min().unwrap_or(Instant::NEVER)
    }
}

/// What is worse with the path that is left than with the one that is taken.
fn trouble(path: &Path, left: Grade, taken: Grade) -> Trouble {
    if left.down && !taken.down {
        Trouble::Down
    } else if left.choked && !taken.choked || left.narrow && !taken.narrow {
        Trouble::Narrow
    } else if left.silent && !taken.silent {
        Trouble::Silent
    } else if left.loss > taken.loss {
        Trouble::Loss(path.health.loss_ppm())
    } else if left.slowness > taken.slowness {
        Trouble::Slow(path.round_trip.map_or(Duration::ZERO, |trip| trip.smoothed))
    } else {
        Trouble::None
    }
}

#[cfg(test)]
mod tests;
