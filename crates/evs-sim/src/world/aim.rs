//! Faults aimed at certain datagrams: by path, kind and ordinal.

use super::{Kind, Nanos};

/// A fault aimed at certain datagrams.
///
/// ```
/// use evs_sim::world::{Aim, Kind};
/// use totem::PacketKind::Token;
///
/// // The third and fourth token from 1 to 2 are lost.
/// let _ = Aim::at(Kind::Ring(Token)).from(1).to(2).after(2).count(2).lost();
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Aim {
    /// Only datagrams from this node (counted from 0).
    pub from: Option<usize>,
    /// Only datagrams to this node.
    pub to: Option<usize>,
    /// Only datagrams of this kind.
    pub kind: Option<Kind>,
    /// So many that match pass first.
    pub after: u32,
    /// Then it happens to so many.
    pub count: u32,
    /// What happens.
    pub does: Strike,
}

/// What happens to a datagram that was aimed at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Strike {
    /// It is held back for so long.
    Delay(Nanos),
    /// It is lost.
    Drop,
    /// It is held back until its receiver has installed so many more rings.
    Hold(u32),
    /// It comes so many times more.
    Repeat(u32),
    /// It comes to this node, too (counted from 0).
    Stray(usize),
}

impl Aim {
    /// At the next datagram of this kind, anywhere, to be lost.
    #[must_use]
    pub const fn at(kind: Kind) -> Self {
        Self { from: None, to: None, kind: Some(kind), after: 0, count: 1, does: Strike::Drop }
    }

    /// Only at those from this node, by its id.
    #[must_use]
    pub const fn from(self, id: u32) -> Self {
        Self { from: Some(id as usize - 1), ..self }
    }

    /// Only at those to this node, by its id.
    #[must_use]
    pub const fn to(self, id: u32) -> Self {
        Self { to: Some(id as usize - 1), ..self }
    }

    /// So many pass first.
    #[must_use]
    pub const fn after(self, after: u32) -> Self {
        Self { after, ..self }
    }

    /// Then it happens to so many.
    #[must_use]
    pub const fn count(self, count: u32) -> Self {
        Self { count, ..self }
    }

    /// They are lost.
    #[must_use]
    pub const fn lost(self) -> Self {
        Self { does: Strike::Drop, ..self }
    }

    /// They are held back for so long, in nanoseconds.
    #[must_use]
    pub const fn late(self, by: Nanos) -> Self {
        Self { does: Strike::Delay(by), ..self }
    }

    /// They come so many times more.
    #[must_use]
    pub const fn repeated(self, times: u32) -> Self {
        Self { does: Strike::Repeat(times), ..self }
    }

    /// They come to this node, too, by its id.
    #[must_use]
    pub const fn stray_to(self, id: u32) -> Self {
        Self { does: Strike::Stray(id as usize - 1), ..self }
    }

    /// They are held back until their receiver has installed so many more rings.
    #[must_use]
    pub const fn held(self, rings: u32) -> Self {
        Self { does: Strike::Hold(rings), ..self }
    }

    /// Whether a datagram is one of those aimed at.
    fn fits(&self, from: usize, to: usize, kind: Kind) -> bool {
        self.count > 0
            && self.from.is_none_or(|node| node == from)
            && self.to.is_none_or(|node| node == to)
            && self.kind.is_none_or(|aimed| aimed == kind)
    }
}

/// The aims that are not used up.
#[derive(Debug, Default)]
pub(super) struct Aims(Vec<Aim>);

impl Aims {
    pub(super) fn push(&mut self, aim: Aim) {
        self.0.push(aim);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What happens to this datagram. Of several aims at it, the oldest counts it.
    pub(super) fn strike(&mut self, from: usize, to: usize, kind: Kind) -> Option<Strike> {
        let place = self.0.iter().position(|aim| aim.fits(from, to, kind))?;
        let aim = &mut self.0[place];
        if aim.after > 0 {
            aim.after -= 1;
            return None;
        }
        aim.count -= 1;
        let does = aim.does;
        if aim.count == 0 {
            self.0.remove(place);
        }
        Some(does)
    }
}

#[cfg(test)]
mod tests {
    use totem::PacketKind;

    use super::*;

    const TOKEN: Kind = Kind::Ring(PacketKind::Token);

    #[test]
    fn an_aim_strikes_by_path_kind_and_ordinal() {
        let mut aims = Aims::default();
        aims.push(Aim::at(TOKEN).from(1).to(2).after(1).count(2).held(3));
        assert_eq!(aims.strike(0, 2, TOKEN), None, "another path");
        assert_eq!(aims.strike(0, 1, Kind::Hello), None, "another kind");
        assert_eq!(aims.strike(0, 1, TOKEN), None, "the first passes");
        assert_eq!(aims.strike(0, 1, TOKEN), Some(Strike::Hold(3)));
        assert_eq!(aims.strike(0, 1, TOKEN), Some(Strike::Hold(3)));
        assert_eq!(aims.strike(0, 1, TOKEN), None, "it is used up");
    }
}
