//! Why a datagram was dropped, and how often. A discard is a counter, never a log line.

use std::fmt;

use evs_model::NodeId;

/// Why a datagram was dropped. In the order in which the reasons are looked for; the state of the
/// endpoint is unchanged by all of them but the last four, which still count as a sign of life.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Discard {
    /// Too short to hold a header and a tag, or above
    /// [`DATAGRAM_BYTES_MAX`](crate::DATAGRAM_BYTES_MAX).
    Length,
    /// Not ours at all: another magic number.
    Magic,
    /// Another cluster's name.
    Cluster,
    /// A version of the wire format that this build does not speak.
    Version,
    /// Sealed where this node has `seal = "none"`, or the other way round.
    Seal,
    /// A kind of datagram that does not exist, or a sender with node id 0.
    Header,
    /// It names another link than the one on which it came.
    Link,
    /// It is for another node.
    Misdirected,
    /// Sealed with a key that this node does not have.
    Key,
    /// This very incarnation's own datagram, as multicast brings it back.
    Own,
    /// A node id that is not in the list of peers.
    Stranger,
    /// A ring packet of an incarnation that has not introduced itself, or of a second owner of this
    /// node's id.
    UnknownIncarnation,
    /// Its counter was received before.
    Replayed,
    /// Another copy of its payload was received before, over another link.
    Duplicate,
    /// Its counter is below the replay window, or from before the sender was verified.
    TooOld,
    /// The seal does not fit: a forgery, or changed on its way.
    Unauthenticated,
    /// A hello of a third incarnation of a node of which two are alive.
    ThirdIncarnation,
    /// An authentic ring packet of a processor that is not heard: not verified, or down.
    NotHeard,
    /// An authentic hello that cannot be decoded: a peer's defect.
    BadHello,
    /// An authentic part of a packet that fits no other part: a peer's defect.
    BadPart,
}

impl Discard {
    /// Every reason, in order.
    pub const ALL: [Self; 20] = [
        Self::Length,
        Self::Magic,
        Self::Cluster,
        Self::Version,
        Self::Seal,
        Self::Header,
        Self::Link,
        Self::Misdirected,
        Self::Key,
        Self::Own,
        Self::Stranger,
        Self::UnknownIncarnation,
        Self::Replayed,
        Self::Duplicate,
        Self::TooOld,
        Self::Unauthenticated,
        Self::ThirdIncarnation,
        Self::NotHeard,
        Self::BadHello,
        Self::BadPart,
    ];

    /// A short name for counters, in `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Magic => "magic",
            Self::Version => "version",
            Self::Cluster => "cluster",
            Self::Seal => "seal",
            Self::Header => "header",
            Self::Link => "link",
            Self::Misdirected => "misdirected",
            Self::Key => "key",
            Self::Own => "own",
            Self::Stranger => "stranger",
            Self::UnknownIncarnation => "unknown_incarnation",
            Self::Unauthenticated => "unauthenticated",
            Self::Replayed => "replayed",
            Self::Duplicate => "duplicate",
            Self::TooOld => "too_old",
            Self::ThirdIncarnation => "third_incarnation",
            Self::NotHeard => "not_heard",
            Self::BadHello => "bad_hello",
            Self::BadPart => "bad_part",
        }
    }
}

impl fmt::Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Counters of one endpoint since it began.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EndpointStats {
    discards: [u64; Discard::ALL.len()],
    /// Ring packets handed up.
    pub packets_received: u64,
    /// Parts of ring packets received, and packets put together of them.
    pub parts_received: u64,
    /// See [`parts_received`](Self::parts_received).
    pub packets_joined: u64,
    /// Packets of which parts were missing when there was no more room for them.
    pub packets_given_up: u64,
    /// Hellos received and understood.
    pub hellos_received: u64,
    /// Ring packets sealed.
    pub packets_sealed: u64,
    /// Parts of ring packets sealed.
    pub parts_sealed: u64,
    /// Hellos sealed.
    pub hellos_sealed: u64,
    /// Own gaps so long that verdicts about peers were put off (`docs/protocol.md` §6).
    pub pauses: u64,
    /// Which node a datagram was from, by its own word, that was dropped last because that node is
    /// not in the list.
    pub stranger: Option<NodeId>,
    /// Times that hellos got so late that more patience was due than a node has.
    pub strained: u64,
    /// Datagrams that could not be sealed: too long, or all counters used.
    pub seals_refused: u64,
}

impl EndpointStats {
    /// How often datagrams were dropped for this reason.
    #[must_use]
    pub const fn discarded(&self, reason: Discard) -> u64 {
        self.discards[reason as usize]
    }

    /// Every reason with its count, in order.
    pub fn discards(&self) -> impl Iterator<Item = (Discard, u64)> + '_ {
        Discard::ALL.into_iter().zip(self.discards)
    }

    pub(crate) const fn count(&mut self, reason: Discard) {
        self.discards[reason as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter_and_name() {
        let mut stats = EndpointStats::default();
        for (place, reason) in Discard::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
            stats.count(reason);
            assert_eq!(stats.discarded(reason), 1);
        }
        assert!(stats.discards().all(|(_, count)| count == 1));
        let mut names: Vec<_> = Discard::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Discard::ALL.len());
    }
}
