//! What an input reached.

/// A set of landmarks, by number.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen(u128);

impl Seen {
    /// Nothing yet.
    #[must_use]
    pub const fn nothing() -> Self {
        Self(0)
    }

    /// Adds a landmark, numbered from 0 to 127.
    pub const fn mark(&mut self, landmark: usize) {
        self.0 |= 1 << landmark;
    }

    /// Adds a landmark if something is so.
    pub const fn mark_if(&mut self, landmark: usize, is_so: bool) {
        if is_so {
            self.mark(landmark);
        }
    }

    /// What either reached.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether this landmark was reached.
    #[must_use]
    pub const fn has(self, landmark: usize) -> bool {
        self.0 >> landmark & 1 == 1
    }
}

/// The names of landmarks, as [`Target::landmarks`](crate::Target::landmarks) gives them.
pub(crate) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
