//! What the runs have come through: which packets met which states, and which changes of state were
//! made for which reason.
//!
//! Of every cell of the two tables it is known that runs meet it, or why none can, or which test
//! does if seeds hardly ever do ([`Cell::expectation`]). After many runs a cell that is not as
//! expected is a failure: either the simulation does not come as far as it should, or the table is
//! wrong about the protocol.

use std::fmt;

use totem::{Cause, PacketKind, StateKind, Stats};

use crate::world::Kind;

const STATES: usize = StateKind::ALL.len();
const KINDS: usize = PacketKind::ALL.len();

/// A [`Cause`] without whom it is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(usize)]
pub enum Reason {
    /// [`Cause::Consensus`].
    Consensus,
    /// [`Cause::CommitToken`].
    CommitToken,
    /// [`Cause::CommitComplete`].
    CommitComplete,
    /// [`Cause::Recovered`].
    Recovered,
    /// [`Cause::TokenLost`].
    TokenLost,
    /// [`Cause::PathLost`].
    PathLost,
    /// [`Cause::MemberLeft`].
    MemberLeft,
    /// [`Cause::MemberGathers`].
    MemberGathers,
    /// [`Cause::Growth`].
    Growth,
    /// [`Cause::OutOfRange`].
    OutOfRange,
    /// [`Cause::Leave`].
    Leave,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Consensus,
        Self::CommitToken,
        Self::CommitComplete,
        Self::Recovered,
        Self::TokenLost,
        Self::PathLost,
        Self::MemberLeft,
        Self::MemberGathers,
        Self::Growth,
        Self::OutOfRange,
        Self::Leave,
    ];

    const fn of(cause: Cause) -> Self {
        match cause {
            Cause::Consensus => Self::Consensus,
            Cause::CommitToken => Self::CommitToken,
            Cause::CommitComplete => Self::CommitComplete,
            Cause::Recovered => Self::Recovered,
            Cause::TokenLost => Self::TokenLost,
            Cause::PathLost(..) => Self::PathLost,
            Cause::MemberLeft(_) => Self::MemberLeft,
            Cause::MemberGathers(_) => Self::MemberGathers,
            Cause::Growth(_) => Self::Growth,
            Cause::OutOfRange => Self::OutOfRange,
            Cause::Leave => Self::Leave,
        }
    }
}

const REASONS: usize = Reason::ALL.len();

/// How often each cell was met.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Coverage {
    packets: [[u64; KINDS]; STATES],
    changes: [[[u64; REASONS]; STATES]; STATES],
}

/// A cell of either table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cell {
    /// A packet of this kind met this state.
    Packet(StateKind, PacketKind),
    /// One state became another.
    Change(StateKind, StateKind, Reason),
}

impl Cell {
    const fn is_packet(&self) -> bool {
        matches!(self, Self::Packet(..))
    }

    /// What is known of it.
    #[must_use]
    pub fn expectation(self) -> Expectation {
        match self {
            // Who has left in order ends at once; what still comes meets it on the way out.
            Self::Packet(StateKind::Left, _)
            // The waker saw the token in the same ring shortly before: a late copy.
            | Self::Packet(StateKind::Recovery, PacketKind::Wake) => {
                Expectation::Rare("table::every_state_meets_every_packet_twice")
            }
            Self::Packet(..) => Expectation::Seen,
            Self::Change(from, to, reason) => change(from, to, reason),
        }
    }
}

/// Totem §5, Figure 3, and the reasons for each of its edges.
fn change(from: StateKind, to: StateKind, reason: Reason) -> Expectation {
    use Expectation::{Impossible, Rare, Seen};
    use Reason as R;
    use StateKind::{Commit, Gather, Left, Operational, Recovery};
    match (from, to, reason) {
        (one, two, _) if one == two => Impossible("a state that stays is not told of"),
        (Left, ..) => Impossible("who has left takes part in nothing"),
        (_, Left, R::Leave) => Seen,
        (_, Left, _) => Impossible("a processor leaves only if it is asked to"),

        (Gather, Commit, R::Consensus | R::CommitToken) => Seen,
        (Gather, Commit, _) => Impossible("it takes a consensus, or the token that follows one"),
        (Gather, _, _) => Impossible("a commit token goes round before anything else"),

        (Commit, Recovery, R::CommitComplete) => Seen,
        (Commit, Recovery, _) => Impossible("it takes the commit token with every entry"),
        (Commit, Operational, _) => Impossible("every ring is recovered before it is installed"),

        (Recovery, Operational, R::Recovered) => Seen,
        (Recovery, Operational, _) => Impossible("it takes the word of all that they are complete"),
        (Recovery, Commit, _) => Impossible("an attempt that fails gathers first"),

        (Operational, Commit | Recovery, _) => Impossible("a ring that ends gathers first"),

        (Operational, Gather, R::Growth | R::OutOfRange) => Seen,
        (_, Gather, R::Growth) => Impossible("an attempt is not given up for a better one"),
        (Commit, Gather, R::OutOfRange) => {
            Impossible("only who breaks the protocol changes another's entry, and nobody here does")
        }
        (Recovery, Gather, R::OutOfRange) => {
            Rare("recovery::nothing_of_the_new_ring_is_acknowledged_before_it_is_installed")
        }
        (_, Gather, R::TokenLost | R::PathLost | R::MemberLeft | R::MemberGathers) => Seen,
        (_, Gather, _) => Impossible("this leads elsewhere"),
        (_, _, _) => Impossible("no such edge"),
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet(state, kind) => write!(f, "{} in {state}", Kind::Ring(*kind)),
            Self::Change(from, to, reason) => write!(f, "{from} -> {to} by {reason:?}"),
        }
    }
}

/// What is known of a cell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expectation {
    /// Some of [`Coverage::RUNS_MIN`] runs meet it.
    Seen,
    /// None can, for this reason.
    Impossible(&'static str),
    /// It can be met, but hardly any run does; this test of `totem` does.
    Rare(&'static str),
}

/// A cell that is not as expected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gap {
    /// It was never met.
    Missing(Cell),
    /// It was met so often, although it cannot be for this reason.
    Impossible(Cell, u64, &'static str),
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(cell) => write!(f, "COVERAGE never seen: {cell}"),
            Self::Impossible(cell, count, why) => {
                write!(f, "COVERAGE seen {count} times, although impossible: {cell}: {why}")
            }
        }
    }
}

impl Coverage {
    /// So many runs meet every cell that is expected; fewer may not.
    pub const RUNS_MIN: u64 = 2_000;

    /// A process is over, or the run is: what it has received.
    pub(crate) fn count_packets(&mut self, stats: &Stats) {
        for state in StateKind::ALL {
            for kind in PacketKind::ALL {
                self.packets[state as usize][kind as usize] += stats.received(state, kind);
            }
        }
    }

    /// A process changed its state.
    pub(crate) fn count_change(&mut self, from: StateKind, to: StateKind, cause: Cause) {
        self.changes[from as usize][to as usize][Reason::of(cause) as usize] += 1;
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        let sums = self.packets.as_flattened_mut().iter_mut();
        sums.zip(other.packets.as_flattened()).for_each(|(sum, count)| *sum += count);
        let sums = self.changes.as_flattened_mut().as_flattened_mut().iter_mut();
        let counts = other.changes.as_flattened().as_flattened();
        sums.zip(counts).for_each(|(sum, count)| *sum += count);
    }

    /// Every cell.
    pub fn cells() -> impl Iterator<Item = Cell> {
        let packets = StateKind::ALL.into_iter().flat_map(|state| {
            PacketKind::ALL.into_iter().map(move |kind| Cell::Packet(state, kind))
        });
        let pairs = StateKind::ALL
            .into_iter()
            .flat_map(|from| StateKind::ALL.into_iter().map(move |to| (from, to)));
        let changes = pairs.flat_map(|(from, to)| {
            Reason::ALL.into_iter().map(move |reason| Cell::Change(from, to, reason))
        });
        packets.chain(changes)
    }

    /// How often a cell was met.
    #[must_use]
    pub const fn of(&self, cell: Cell) -> u64 {
        match cell {
            Cell::Packet(state, kind) => self.packets[state as usize][kind as usize],
            Cell::Change(from, to, reason) => {
                self.changes[from as usize][to as usize][reason as usize]
            }
        }
    }

    /// The cells that are not as expected.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        let gap = |cell: Cell| match (cell.expectation(), self.of(cell)) {
            (Expectation::Seen, 0) => Some(Gap::Missing(cell)),
            (Expectation::Impossible(why), count) if count > 0 => {
                Some(Gap::Impossible(cell, count, why))
            }
            (Expectation::Seen | Expectation::Impossible(_) | Expectation::Rare(_), _) => None,
        };
        Self::cells().filter_map(gap).collect()
    }
}

/// `39 of 39 packets in states, 20 of 20 changes of state`.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = |cell: &Cell| cell.expectation() == Expectation::Seen;
        let packets: Vec<Cell> = Self::cells().filter(expected).filter(Cell::is_packet).collect();
        let changes: Vec<Cell> =
            Self::cells().filter(expected).filter(|cell| !cell.is_packet()).collect();
        let seen = |cells: &[Cell]| cells.iter().filter(|cell| self.of(**cell) > 0).count();
        write!(f, "{} of {} packets in states, ", seen(&packets), packets.len())?;
        write!(f, "{} of {} changes of state", seen(&changes), changes.len())
    }
}

/// Both tables, then what no run meets, with the reason.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a>(pub &'a Coverage);

impl fmt::Display for Tables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12}", "")?;
        PacketKind::ALL
            .iter()
            .try_for_each(|kind| write!(f, "{:>10}", Kind::Ring(*kind).name()))?;
        for state in StateKind::ALL {
            write!(f, "\n{:<12}", state.to_string())?;
            for kind in PacketKind::ALL {
                write!(f, "{:>10}", self.0.of(Cell::Packet(state, kind)))?;
            }
        }
        f.write_str("\n\n")?;
        for cell in Coverage::cells().filter(|cell| !cell.is_packet()) {
            if cell.expectation() == Expectation::Seen || self.0.of(cell) > 0 {
                writeln!(f, "{:>10} {cell}", self.0.of(cell))?;
            }
        }
        f.write_str("\n")?;
        for cell in Coverage::cells() {
            if let Expectation::Rare(test) = cell.expectation() {
                writeln!(f, "{cell}: too rare; the test is totem::tests::{test}")?;
            }
        }
        f.write_str("\n")?;
        for (from, to, why, reasons) in impossible() {
            let by = if reasons.len() == REASONS {
                String::from("for any reason")
            } else {
                format!("by {}", reasons.join(", "))
            };
            writeln!(f, "{from} -> {to} {by}: impossible: {why}")?;
        }
        Ok(())
    }
}

/// The changes that cannot be: from, to, why, and for which reasons of theirs.
fn impossible() -> Vec<(StateKind, StateKind, &'static str, Vec<String>)> {
    let mut edges: Vec<(StateKind, StateKind, &str, Vec<String>)> = Vec::new();
    for cell in Coverage::cells() {
        let Cell::Change(from, to, reason) = cell else { continue };
        let Expectation::Impossible(why) = cell.expectation() else { continue };
        let reason = format!("{reason:?}");
        match edges.iter_mut().find(|edge| (edge.0, edge.1, edge.2) == (from, to, why)) {
            Some((.., reasons)) => reasons.push(reason),
            None => edges.push((from, to, why, vec![reason])),
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs that met exactly what is expected.
    fn complete() -> Coverage {
        let mut coverage = Coverage::default();
        for cell in Coverage::cells().filter(|cell| cell.expectation() == Expectation::Seen) {
            coverage.put(cell, 1);
        }
        coverage
    }

    impl Coverage {
        fn put(&mut self, cell: Cell, count: u64) {
            match cell {
                Cell::Packet(state, kind) => self.packets[state as usize][kind as usize] = count,
                Cell::Change(from, to, reason) => {
                    self.changes[from as usize][to as usize][reason as usize] = count;
                }
            }
        }
    }

    #[test]
    fn runs_that_met_everything_have_no_gap() {
        assert_eq!(complete().gaps(), []);
        let mut sum = complete();
        sum.add(&complete());
        assert_eq!(sum.of(Cell::Packet(StateKind::Gather, PacketKind::Join)), 2);
        assert_eq!(sum.gaps(), []);
    }

    #[test]
    fn a_cell_that_was_never_met_is_a_gap() {
        for cell in [
            Cell::Packet(StateKind::Commit, PacketKind::Wake),
            Cell::Change(StateKind::Recovery, StateKind::Gather, Reason::MemberLeft),
        ] {
            let mut coverage = complete();
            coverage.put(cell, 0);
            assert_eq!(coverage.gaps(), [Gap::Missing(cell)]);
        }
        let gap = Gap::Missing(Cell::Packet(StateKind::Commit, PacketKind::Wake));
        assert_eq!(gap.to_string(), "COVERAGE never seen: wake in commit");
    }

    #[test]
    fn an_impossible_cell_that_was_met_is_a_gap() {
        let mut coverage = complete();
        let cell = Cell::Change(StateKind::Gather, StateKind::Operational, Reason::Recovered);
        coverage.put(cell, 3);
        let gaps = coverage.gaps();
        assert!(matches!(gaps[..], [Gap::Impossible(met, 3, _)] if met == cell), "{gaps:?}");
        assert!(gaps[0].to_string().contains("gather -> operational by Recovered"), "{}", gaps[0]);
    }

    #[test]
    fn a_rare_cell_is_a_gap_in_neither_case_and_its_test_exists() {
        let sources = [
            ("table", include_str!("../../totem/src/tests/table.rs")),
            ("recovery", include_str!("../../totem/src/tests/recovery.rs")),
        ];
        let mut coverage = complete();
        for cell in Coverage::cells() {
            let Expectation::Rare(test) = cell.expectation() else { continue };
            let (module, name) = test.split_once("::").expect("a module and a name");
            let found = |(file, text): &(&str, &str)| {
                *file == module && text.contains(&format!("fn {name}()"))
            };
            assert!(sources.iter().any(found), "there is no test {test}");
            coverage.put(cell, 1);
        }
        assert_eq!(coverage.gaps(), []);
    }

    #[test]
    fn every_legal_edge_is_expected_for_some_reason() {
        let edges = Coverage::cells().filter_map(|cell| match (cell, cell.expectation()) {
            (Cell::Change(from, to, _), Expectation::Seen) => Some((from, to)),
            _ => None,
        });
        let mut edges: Vec<_> = edges.collect();
        edges.dedup();
        assert_eq!(edges.len(), 10, "{edges:?}");
    }
}
