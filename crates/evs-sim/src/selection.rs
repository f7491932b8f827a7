//! What each fault of a run is called, and which of them strike.
//!
//! Whatever a run draws from its seed has a name: `m7` is the seventh move of the chaos. Each draws
//! from a stream of its own, so what one is does not depend on whether another strikes. A failing
//! run can be replayed with a few of its faults only ([`crate::minimise`]).

use std::fmt;
use std::str::FromStr;

/// Where something that a run draws comes from.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(usize)]
pub enum Source {
    /// `u`: one act of a client. No fault; named so that it can be left out too.
    Act,
    /// `a`: a fault that strikes at a transition of a node's state.
    Ambush,
    /// `w`: what the world is like from the start: its weather, buffers, clocks, counters.
    Condition,
    /// `l`: a fault that comes alone, when all has settled.
    Lone,
    /// `m`: a move of [`crate::chaos`].
    Move,
    /// `p`: a plot.
    Plot,
    /// `s`: another detection target, node by node.
    Setting,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 7] = [
        Self::Act,
        Self::Ambush,
        Self::Condition,
        Self::Lone,
        Self::Move,
        Self::Plot,
        Self::Setting,
    ];

    /// The letter before the ordinals.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Act => 'u',
            Self::Ambush => 'a',
            Self::Condition => 'w',
            Self::Lone => 'l',
            Self::Move => 'm',
            Self::Plot => 'p',
            Self::Setting => 's',
        }
    }

    fn of(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.letter() == letter)
    }
}

/// The name of something that a run draws: `m7`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct FaultId {
    /// Where it comes from.
    pub source: Source,
    /// Its ordinal there, from 1. An ambush of node i in a world of n nodes has the ordinals i,
    /// i + n, i + 2n, …, one for each transition of that node.
    pub ordinal: u32,
}

impl FaultId {
    /// The stream from which this one is drawn.
    #[must_use]
    pub fn stream(self, seed: u64) -> fastrand::Rng {
        stream(seed, self.source.letter(), self.ordinal)
    }
}

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.source.letter(), self.ordinal)
    }
}

/// A stream of random numbers that depends on nothing but the seed and this name.
#[must_use]
pub(crate) fn stream(seed: u64, letter: char, ordinal: u32) -> fastrand::Rng {
    let name = u64::from(u32::from(letter)) << 32 | u64::from(ordinal);
    fastrand::Rng::with_seed(scatter(seed ^ scatter(name)))
}

/// One to one, and neighbours end up far apart (the finaliser of SplitMix64).
const fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A set of names, as ranges: `m3,m7-12,a5`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FaultSet([Vec<(u32, u32)>; Source::ALL.len()]);

impl FaultSet {
    /// No name at all.
    pub const EMPTY: Self = Self([const { Vec::new() }; Source::ALL.len()]);

    /// Whether this one is in the set.
    #[must_use]
    pub fn contains(&self, id: FaultId) -> bool {
        let ranges = &self.0[id.source as usize];
        let place = ranges.partition_point(|(_, last)| *last < id.ordinal);
        ranges.get(place).is_some_and(|(first, _)| *first <= id.ordinal)
    }

    /// Whether the set says anything about a source.
    fn names(&self, source: Source) -> bool {
        !self.0[source as usize].is_empty()
    }

    fn insert(&mut self, source: Source, first: u32, last: u32) {
        let ranges = &mut self.0[source as usize];
        ranges.push((first, last));
        ranges.sort_unstable();
        let mut joined: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in std::mem::take(ranges) {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
                Some(_) | None => joined.push((first, last)),
            }
        }
        *ranges = joined;
    }

    /// One part of a list: `m3`, or `m7-12`.
    fn read(&mut self, part: &str) -> Option<()> {
        let mut chars = part.chars();
        let source = Source::of(chars.next()?)?;
        let ordinals = chars.as_str();
        let (first, last) = ordinals.split_once('-').unwrap_or((ordinals, ordinals));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then(|| self.insert(source, first, last))
    }
}

impl FromIterator<FaultId> for FaultSet {
    fn from_iter<I: IntoIterator<Item = FaultId>>(ids: I) -> Self {
        let mut set = Self::EMPTY;
        ids.into_iter().for_each(|id| set.insert(id.source, id.ordinal, id.ordinal));
        set
    }
}

/// Why a list of faults cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NoFault(String);

impl fmt::Display for NoFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no fault: they are called like m3 or m7-12, by a, m, p, u or w", self.0)
    }
}

impl std::error::Error for NoFault {}

impl FromStr for FaultSet {
    type Err = NoFault;

    fn from_str(text: &str) -> Result<Self, NoFault> {
        let mut set = Self::EMPTY;
        for part in text.split(',').filter(|part| !part.is_empty()) {
            set.read(part).ok_or_else(|| NoFault(part.to_owned()))?;
        }
        Ok(set)
    }
}

impl fmt::Display for FaultSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = Source::ALL.into_iter().zip(&self.0);
        let parts = sources.flat_map(|(source, ranges)| ranges.iter().map(move |r| (source, r)));
        for (place, (source, (first, last))) in parts.enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(f, "{comma}{}{first}", source.letter())?;
            if last > first {
                write!(f, "-{last}")?;
            }
        }
        Ok(())
    }
}

/// Which of the faults that a seed draws strike.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Selection {
    /// Of all faults only these. What clients do is not touched, unless some of it is named.
    pub only: Option<FaultSet>,
    /// None of these.
    pub without: FaultSet,
}

impl Selection {
    /// Everything that the seed draws.
    pub const ALL: Self = Self { only: None, without: FaultSet::EMPTY };

    /// Whether this one strikes.
    #[must_use]
    pub fn strikes(&self, id: FaultId) -> bool {
        let chosen = self.only.as_ref().is_none_or(|only| {
            only.contains(id) || (id.source == Source::Act && !only.names(Source::Act))
        });
        chosen && !self.without.contains(id)
    }
}

/// As arguments of the simulator, with a space before each.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(only) = &self.only {
            write!(f, " --only {}", if *only == FaultSet::EMPTY { "," } else { "" })?;
            only.fmt(f)?;
        }
        if self.without != FaultSet::EMPTY {
            write!(f, " --without {}", self.without)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(source: Source, ordinal: u32) -> FaultId {
        FaultId { source, ordinal }
    }

    #[test]
    fn a_list_is_read_and_printed_as_short_as_it_can_be() {
        let set: FaultSet = "m9,m3,m7-8,a5,m4,u0".parse().expect("a list");
        assert_eq!(set.to_string(), "u0,a5,m3-4,m7-9");
        assert_eq!(set.to_string().parse(), Ok(set.clone()));
        assert!(set.contains(id(Source::Move, 8)) && !set.contains(id(Source::Move, 5)));
        assert!(!set.contains(id(Source::Plot, 3)), "another source");
        let collected: FaultSet = [2, 1, 3].map(|i| id(Source::Plot, i)).into_iter().collect();
        assert_eq!(collected.to_string(), "p1-3");
    }

    #[test]
    fn what_is_no_list_is_refused_by_its_part() {
        for (text, part) in [("m3,x4", "x4"), ("m", "m"), ("m9-3", "m9-3"), ("3", "3")] {
            assert_eq!(text.parse::<FaultSet>(), Err(NoFault(part.to_owned())));
        }
    }

    #[test]
    fn a_selection_of_faults_leaves_the_clients_alone_unless_it_names_some() {
        let only = |text: &str| Selection {
            only: Some(text.parse().expect("a list")),
            without: "m4".parse().expect("a list"),
        };
        let some = only("m3-5");
        assert!(some.strikes(id(Source::Move, 3)) && !some.strikes(id(Source::Move, 4)));
        assert!(!some.strikes(id(Source::Ambush, 3)) && some.strikes(id(Source::Act, 1)));
        assert!(!only("m3,u0").strikes(id(Source::Act, 1)), "u0 is the name of none");
        assert_eq!(some.to_string(), " --only m3-5 --without m4");
        assert!(Selection::ALL.strikes(id(Source::Plot, 1)));
    }

    #[test]
    fn streams_differ_by_seed_source_and_ordinal_and_by_nothing_else() {
        let first = |seed, source, ordinal| id(source, ordinal).stream(seed).u64(..);
        let all = [
            first(1, Source::Move, 1),
            first(2, Source::Move, 1),
            first(1, Source::Plot, 1),
            first(1, Source::Move, 2),
        ];
        assert!((0..4).all(|i| !all[..i].contains(&all[i])));
        assert_eq!(all[0], first(1, Source::Move, 1));
    }
}
