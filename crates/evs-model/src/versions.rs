//! Which versions of a format a program speaks.

use core::fmt;

/// The versions of a format that one side speaks: all from the lowest to the highest. Two sides use
/// the highest one that both speak.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Versions {
    lowest: u16,
    highest: u16,
}

impl Versions {
    /// From the lowest to the highest. `None`: there is no version 0, and none between these.
    #[must_use]
    pub const fn new(lowest: u16, highest: u16) -> Option<Self> {
        if lowest == 0 || lowest > highest {
            return None;
        }
        Some(Self { lowest, highest })
    }

    /// The lowest.
    #[must_use]
    pub const fn lowest(self) -> u16 {
        self.lowest
    }

    /// The highest.
    #[must_use]
    pub const fn highest(self) -> u16 {
        self.highest
    }

    /// These and the next one, or with [`ALONE`](Self::ALONE) in the environment the next one
    /// alone: what a test build claims that is to be taken for the next release.
    #[cfg(feature = "next-version")]
    #[must_use]
    pub fn with_next(self) -> Self {
        let highest = self.highest + 1;
        let alone = std::env::var_os(Self::ALONE).is_some();
        Self { lowest: if alone { highest } else { self.lowest }, highest }
    }

    /// The variable that has a test build forget the versions before the next one.
    #[cfg(feature = "next-version")]
    pub const ALONE: &str = "EVS_NEXT_VERSION_ALONE";

    /// Whether this one is spoken.
    #[must_use]
    pub const fn contains(self, version: u16) -> bool {
        self.lowest <= version && version <= self.highest
    }

    /// What both speak, if there is such a version.
    #[must_use]
    pub fn common(self, other: Self) -> Option<Self> {
        Self::new(self.lowest.max(other.lowest), self.highest.min(other.highest))
    }
}

/// `3`, or `3 to 4`.
impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lowest == self.highest {
            write!(f, "{}", self.lowest)
        } else {
            write!(f, "{} to {}", self.lowest, self.highest)
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn versions(lowest: u16, highest: u16) -> Versions {
        Versions::new(lowest, highest).expect("in order")
    }

    #[test]
    fn two_sides_have_in_common_what_both_speak() {
        assert_eq!(versions(1, 2).common(versions(2, 3)), Some(versions(2, 2)));
        assert_eq!(versions(1, 4).common(versions(2, 3)), Some(versions(2, 3)));
        assert_eq!(versions(1, 1).common(versions(2, 2)), None);
        assert_eq!(versions(3, 4).common(versions(1, 2)), None);
    }

    #[test]
    fn zero_and_an_inverted_range_are_no_versions() {
        assert_eq!(Versions::new(0, 1), None);
        assert_eq!(Versions::new(2, 1), None);
        assert!(versions(1, 2).contains(2) && !versions(1, 2).contains(3));
    }

    #[test]
    fn versions_are_named() {
        assert_eq!(versions(3, 3).to_string(), "3");
        assert_eq!(versions(3, 4).to_string(), "3 to 4");
    }
}
