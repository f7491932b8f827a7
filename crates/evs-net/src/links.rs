//! Names of links, and sets of them.

use std::fmt;

/// Most links of one node (`links_max`).
pub const LINKS_MAX: usize = 8;

/// One link of a node: its place in the list of links, from 0. The same on all nodes.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkId(u8);

impl LinkId {
    /// The first one.
    pub const FIRST: Self = Self(0);

    /// `None`: there is no such link, [`LINKS_MAX`] is the limit.
    #[must_use]
    pub const fn new(id: u8) -> Option<Self> {
        if (id as usize) < LINKS_MAX { Some(Self(id)) } else { None }
    }

    /// As [`LinkId::new`], of a place in a list.
    #[must_use]
    pub fn at(place: usize) -> Option<Self> {
        u8::try_from(place).ok().and_then(Self::new)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The place in a list of links.
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A set of links.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Links(u8);

impl Links {
    /// No link.
    pub const NONE: Self = Self(0);

    /// One link.
    #[must_use]
    pub const fn one(link: LinkId) -> Self {
        Self(1 << link.0)
    }

    /// This set and one more link.
    #[must_use]
    pub const fn and(self, link: LinkId) -> Self {
        Self(self.0 | 1 << link.0)
    }

    /// Whether the link is in it.
    #[must_use]
    pub const fn contains(self, link: LinkId) -> bool {
        self.0 & 1 << link.0 != 0
    }

    /// How many links are in it.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether no link is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The links in it, ascending.
    pub fn iter(self) -> impl Iterator<Item = LinkId> {
        (0..8).map(LinkId).filter(move |link| self.contains(*link))
    }
}

impl FromIterator<LinkId> for Links {
    fn from_iter<I: IntoIterator<Item = LinkId>>(links: I) -> Self {
        links.into_iter().fold(Self::NONE, Self::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_eight_links_and_a_set_holds_each_once() {
        assert_eq!(LinkId::new(8), None);
        assert_eq!(LinkId::at(300), None);
        let all: Links = (0..8).filter_map(LinkId::new).collect();
        assert_eq!(all.len(), LINKS_MAX);
        assert_eq!(all.iter().map(LinkId::place).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
        let one = Links::one(LinkId::FIRST);
        assert_eq!(one.and(LinkId::FIRST), one);
        assert!(Links::NONE.is_empty() && !one.is_empty());
    }
}
