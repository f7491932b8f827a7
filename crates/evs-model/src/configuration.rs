//! Configurations and delivery guarantees.

use core::fmt;

use crate::{Members, RingId};

/// How a message is ordered. Every guarantee includes reliability (`docs/contract.md`).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Guarantee {
    /// Delivered as soon as it is received (EVS-9).
    Unordered = 0,
    /// Messages of one processor in the order sent (EVS-8).
    Fifo = 1,
    /// One total order at all processors (EVS-6).
    Agreed = 2,
    /// In the total order, and only when every member has received it (EVS-7).
    Safe = 3,
}

/// A number that is no guarantee.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnknownGuarantee(pub u8);

impl fmt::Display for UnknownGuarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is no guarantee: 0 unordered, 1 FIFO, 2 agreed, 3 safe", self.0)
    }
}

impl core::error::Error for UnknownGuarantee {}

impl TryFrom<u8> for Guarantee {
    type Error = UnknownGuarantee;

    fn try_from(number: u8) -> Result<Self, UnknownGuarantee> {
        match number {
            0 => Ok(Self::Unordered),
            1 => Ok(Self::Fifo),
            2 => Ok(Self::Agreed),
            3 => Ok(Self::Safe),
            other => Err(UnknownGuarantee(other)),
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unordered => "unordered",
            Self::Fifo => "fifo",
            Self::Agreed => "agreed",
            Self::Safe => "safe",
        })
    }
}

/// What a processor delivers besides messages (`docs/contract.md`, EVS-2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Configuration {
    /// An agreed set of processors; messages are sent in it.
    Regular {
        /// Its name.
        ring: RingId,
        /// Who is in it.
        members: Members,
    },
    /// T(R, R'): the members of `to` whose last regular configuration was `from`. It exists to
    /// finish the messages of `from`; nothing is sent in it.
    Transitional {
        /// R, the regular configuration that ends.
        from: RingId,
        /// R', the regular configuration that follows.
        to: RingId,
        /// Those that go from R to R' together.
        members: Members,
    },
}
