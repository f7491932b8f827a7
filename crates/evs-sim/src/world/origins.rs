//! Where the counters of a world begin: at nothing in most, near 2^32 or near the end of their type
//! in others (P13).

use super::chance;

/// The last number used before the world began, for each counter.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Origins {
    /// Of rings: what a new disk says.
    pub ring: u64,
    /// Of packets in a ring's order.
    pub seq: u64,
    /// Of a ring's tokens.
    pub token: u64,
    /// Of a processor's rows.
    pub row: u64,
    /// Of a processor's joins.
    pub join: u64,
    /// Of packets that a processor sequenced.
    pub sequenced: u64,
    /// Of a processor's clients.
    pub client: u64,
    /// Of a client's messages.
    pub message: u64,
    /// Of datagrams that a processor sealed.
    pub sealed: u64,
    /// Of packets that a processor cut.
    pub cut: u64,
    /// Of datagrams on a path. They are counted modulo 2^32.
    pub counted: u32,
}

impl Origins {
    /// All at nothing in half of the worlds. In the others each counter is at nothing, or within
    /// reach of 2^32; in a few some are within reach of the end.
    pub(super) fn draw(rng: &mut fastrand::Rng) -> Self {
        if rng.bool() {
            return Self::default();
        }
        // From a stream of their own, so that no other draw depends on them.
        let own = &mut rng.clone();
        let at_end = if chance(rng, 200_000) { 400_000 } else { 0 };
        // How far from the edge, as a power of 2: so far that many runs pass it, but not at once.
        let draw = |rng: &mut fastrand::Rng, end: u64, reach: u32| {
            let reach = 1 << rng.u32(reach - 4..=reach);
            let margin = rng.u64(reach / 2..=reach);
            match chance(rng, at_end) {
                true => end - margin,
                false if rng.bool() => (1 << 32) - margin,
                false => 0,
            }
        };
        Self {
            ring: draw(rng, u64::MAX, 6),
            seq: draw(rng, totem::SEQ_MAX, 12),
            token: draw(rng, totem::SEQ_MAX, 16),
            row: draw(rng, u64::MAX, 8),
            join: draw(rng, u64::MAX, 8),
            sequenced: draw(rng, totem::SEQ_MAX, 10),
            client: draw(rng, u64::MAX, 6),
            message: draw(rng, u64::MAX, 8),
            sealed: draw(rng, u64::MAX, 16),
            cut: draw(own, u64::MAX, 8),
            counted: u32::try_from(draw(own, 1 << 32, 14)).unwrap_or(0),
        }
    }

    /// Leaves a ring so many packets at the least: one that has no numbers for a message would be
    /// formed anew for ever.
    pub(super) fn with_room(self, packets: u64) -> Self {
        Self { seq: self.seq.min(totem::SEQ_MAX - packets), ..self }
    }

    /// Whether a counter may come to its end: then something is refused, clearly and for good, or
    /// rings are formed anew without a fault.
    #[must_use]
    pub fn are_near_the_end(&self) -> bool {
        let Self {
            ring,
            seq,
            token,
            row,
            join,
            sequenced,
            client,
            message,
            sealed,
            cut,
            counted: _,
        } = *self;
        let all = [ring, seq, token, row, join, sequenced, client, message, sealed, cut];
        let far = u64::MAX / 4;
        all.iter().any(|n| *n > far)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_worlds_begin_at_nothing_and_few_near_the_end() {
        let mut rng = fastrand::Rng::with_seed(1);
        let drawn: Vec<Origins> = (0..1_000).map(|_| Origins::draw(&mut rng)).collect();
        let plain = drawn.iter().filter(|origins| **origins == Origins::default()).count();
        let ends = drawn.iter().filter(|origins| origins.are_near_the_end()).count();
        assert!((400..600).contains(&plain) && (50..150).contains(&ends), "{plain} {ends}");
    }
}
