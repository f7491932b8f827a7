//! The actions of a [`World`](crate::world::World), by number.

pub(crate) const DEADLINE: u8 = 0;
pub(crate) const SLEEP: u8 = 1;
pub(crate) const HEAR: u8 = 2;
pub(crate) const ACT: u8 = 3;
pub(crate) const ACT_TOO: u8 = 4;
pub(crate) const FORM: u8 = 5;
pub(crate) const ROTATE: u8 = 6;
pub(crate) const TOKEN: u8 = 7;
pub(crate) const MCAST: u8 = 8;
pub(crate) const RECOVERED: u8 = 9;
pub(crate) const COMMIT: u8 = 10;
pub(crate) const JOIN: u8 = 11;
pub(crate) const MERGE: u8 = 12;
pub(crate) const PARKED: u8 = 13;
pub(crate) const WAKE: u8 = 14;
pub(crate) const RAW: u8 = 15;
pub(crate) const AGAIN: u8 = 16;
pub(crate) const LEAVE: u8 = 17;
pub(crate) const COUNT: u8 = 18;
/// This and above: 14 times the others are below.
pub(crate) const PIECES: u8 = 252;

/// The action that a byte stands for.
pub(crate) const fn of(byte: u8) -> u8 {
    if byte >= PIECES { PIECES } else { byte % COUNT }
}

/// What must follow the number of the leave.
pub(crate) const LEAVE_INDEED: u8 = 7;
