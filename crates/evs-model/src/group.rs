//! Groups: 32-byte keys, compared whole.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

/// A group's key. All 32 bytes count, also those after a NUL; any value is a key.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Group(pub [u8; Self::LEN]);

impl Group {
    /// Bytes in a key.
    pub const LEN: usize = 32;

    /// The key that holds this name, padded with NUL bytes.
    ///
    /// Returns `None` if the name has more than 32 bytes.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut key = [0; Self::LEN];
        key.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Self(key))
    }

    /// The name, where the key is UTF-8 text padded with NUL bytes.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let end = self.0.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
        let name = core::str::from_utf8(&self.0[..end]).ok()?;
        (!name.is_empty() && !name.chars().any(char::is_control)).then_some(name)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name where there is one, else the key in hexadecimal.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.name() {
            return f.write_str(name);
        }
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The groups that a message is addressed to: a bounded list of keys over shared bytes.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Groups(Bytes);

/// Why bytes are no group list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GroupsError {
    /// The length is no multiple of 32.
    Length(usize),
    /// More than [`Groups::MAX`].
    TooMany(usize),
}

impl fmt::Display for GroupsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(bytes) => write!(f, "{bytes} bytes are no list of 32-byte keys"),
            Self::TooMany(count) => write!(
                f,
                "{count} groups in one message, the limit (message_groups_max) is {}",
                Groups::MAX
            ),
        }
    }
}

impl core::error::Error for GroupsError {}

impl Groups {
    /// Most groups that one message can name (`message_groups_max`).
    pub const MAX: usize = 1024;

    /// Copies the keys.
    ///
    /// # Errors
    /// More than [`Groups::MAX`] of them.
    pub fn new(groups: &[Group]) -> Result<Self, GroupsError> {
        if groups.len() > Self::MAX {
            return Err(GroupsError::TooMany(groups.len()));
        }
        let mut keys = Vec::with_capacity(groups.len() * Group::LEN);
        groups.iter().for_each(|group| keys.extend_from_slice(&group.0));
        Ok(Self(keys.into()))
    }

    /// Takes keys that stand one after the other.
    ///
    /// # Errors
    /// A length that is no multiple of 32, or more than [`Groups::MAX`] keys.
    pub fn from_bytes(keys: Bytes) -> Result<Self, GroupsError> {
        if !keys.len().is_multiple_of(Group::LEN) {
            return Err(GroupsError::Length(keys.len()));
        }
        let count = keys.len() / Group::LEN;
        if count > Self::MAX {
            return Err(GroupsError::TooMany(count));
        }
        Ok(Self(keys))
    }

    /// The keys, one after the other.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// How many groups there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len() / Group::LEN
    }

    /// Whether there are none: such a message is delivered to nobody.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The groups in the order given by the sender.
    pub fn iter(&self) -> impl Iterator<Item = Group> + '_ {
        self.0.chunks_exact(Group::LEN).map(|key| {
            let mut group = Group([0; Group::LEN]);
            group.0.copy_from_slice(key);
            group
        })
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_after_a_nul_count() {
        let mut key = Group::named("a").expect("short").0;
        key[31] = 1;
        assert_ne!(Group(key), Group::named("a").expect("short"));
        assert_eq!(Group(key).name(), None);
    }

    #[test]
    fn a_name_of_33_bytes_is_refused() {
        assert!(Group::named(&"x".repeat(32)).is_some());
        assert!(Group::named(&"x".repeat(33)).is_none());
    }

    #[test]
    fn a_list_at_its_limit_is_taken_and_one_more_refused() {
        let group = Group::named("g").expect("short");
        assert_eq!(Groups::new(&alloc::vec![group; Groups::MAX]).expect("fits").len(), 1024);
        let error = Groups::new(&alloc::vec![group; Groups::MAX + 1]).expect_err("too many");
        assert_eq!(error, GroupsError::TooMany(1025));
        assert_eq!(Groups::from_bytes(Bytes::from_static(&[0; 33])), Err(GroupsError::Length(33)));
    }
}
