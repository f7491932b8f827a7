//! The fixed header of every datagram, all of it in clear text and all of it authenticated.
//!
//! ```text
//!  0..3   magic "EVS"
//!  3      version of all that follows
//!  4      kind: 1 hello, 2 ring packet, 3 part of a ring packet
//!  5      seal: 0 none, 1 AES-256-GCM
//!  6..10  the first bytes of SHA-256 over the cluster's name
//! 10..14  sender's node id, never 0
//! 14..22  sender's incarnation
//! 22      link on which it travels, from 0
//! 23      copies of the payload: place of this one (low half), their number less one (high half)
//! 24..26  which of the cluster's keys seals it
//! 26..30  node id of the one that it is for; 0: for all
//! 30..38  packet counter of that incarnation, from 1, one for all links
//! 38..    payload; sealed: followed by a tag of 16 bytes
//! ```
//! Numbers are little-endian. The copies of one payload have neighbouring counters.
//!
//! In every version there is to be, magic, version, cluster and node stand where they stand here,
//! and no datagram is shorter than this header: so that a foreign version can be named.

use aws_lc_rs::digest;
use evs_model::{NodeId, Processor, Versions, defect};

use crate::{Discard, LinkId, spoken};

/// Most bytes in a datagram (`datagram_bytes_max`): what UDP carries over IPv4 and IPv6, rounded.
pub const DATAGRAM_BYTES_MAX: usize = 65_000;

/// Bytes that a sealed datagram has more than its payload.
pub const SEAL_OVERHEAD: usize = HEADER_LEN + TAG_LEN;

/// Most bytes in the payload of one datagram.
pub const PAYLOAD_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - SEAL_OVERHEAD;

/// Most bytes in a cluster's name.
pub const CLUSTER_NAME_BYTES_MAX: usize = 128;

pub(crate) const HEADER_LEN: usize = 38;
pub(crate) const TAG_LEN: usize = 16;
pub(crate) const TO_AT: usize = 26;
pub(crate) const COUNTER_AT: usize = 30;

/// What a datagram carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Kind {
    Hello = 1,
    Ring = 2,
    Part = 3,
}

/// What all datagrams of a cluster have in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Common {
    pub(crate) cluster: [u8; 4],
    pub(crate) sealed: bool,
    /// What is understood of what comes.
    pub(crate) versions: Versions,
}

impl Common {
    pub(crate) fn new(cluster: &str, sealed: bool) -> Self {
        let hash = digest::digest(&digest::SHA256, cluster.as_bytes());
        let mut tag = [0; 4];
        tag.copy_from_slice(&hash.as_ref()[..4]);
        Self { cluster: tag, sealed, versions: spoken() }
    }

    /// Bytes that a datagram has more than its payload.
    pub(crate) const fn overhead(self) -> usize {
        if self.sealed { SEAL_OVERHEAD } else { HEADER_LEN }
    }
}

/// The header as a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) version: u8,
    pub(crate) kind: Kind,
    pub(crate) sender: Processor,
    pub(crate) link: LinkId,
    pub(crate) copies: Copies,
    pub(crate) key: KeyId,
    /// Whom it is for, if it is not for all: nobody else takes it.
    pub(crate) to: Option<NodeId>,
    pub(crate) counter: u64,
}

/// Which of the cluster's keys seals a datagram; 0 if none does.
pub(crate) type KeyId = u16;

/// One payload may be sealed several times, once for each link on which it travels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Copies {
    /// The place of this copy, from 0.
    pub(crate) place: u8,
    /// How many there are, 1 to [`LINKS_MAX`](crate::LINKS_MAX).
    pub(crate) count: u8,
}

impl Copies {
    /// The only one.
    pub(crate) const ONE: Self = Self { place: 0, count: 1 };

    const fn decode(byte: u8) -> Option<Self> {
        let (place, count) = (byte & 0xf, (byte >> 4) + 1);
        if place < count && count as usize <= crate::LINKS_MAX {
            Some(Self { place, count })
        } else {
            None
        }
    }

    const fn encode(self) -> u8 {
        (self.count - 1) << 4 | self.place
    }
}

impl Header {
    /// What all copies of the payload have in common: the counter of the first of them.
    /// Whether other datagrams may carry the same payload. (A part names its packet inside.)
    pub(crate) fn is_copy(&self) -> bool {
        self.copies.count > 1 && self.kind != Kind::Part
    }

    pub(crate) fn payload_number(&self) -> u64 {
        self.counter.saturating_sub(u64::from(self.copies.place))
    }

    /// Whether this node is to leave it alone.
    pub(crate) fn is_for_another(&self, me: NodeId) -> bool {
        self.to.is_some_and(|to| to != me) && !defect!(ForAnotherTaken)
    }

    /// The one check before authentication: lengths and constants, nothing that varies in size.
    pub(crate) fn decode(datagram: &[u8], common: Common) -> Result<Self, Discard> {
        if datagram.len() < common.overhead() || datagram.len() > DATAGRAM_BYTES_MAX {
            return Err(Discard::Length);
        }
        let Some((head, _)) = datagram.split_first_chunk::<HEADER_LEN>() else {
            return Err(Discard::Length);
        };
        if head[..3] != MAGIC {
            return Err(Discard::Magic);
        }
        if head[6..10] != common.cluster {
            return Err(Discard::Cluster);
        }
        let version = head[3];
        if !common.versions.contains(version.into()) {
            return Err(Discard::Version);
        }
        if head[5] != u8::from(common.sealed) {
            return Err(Discard::Seal);
        }
        let kind = match head[4] {
            1 => Kind::Hello,
            2 => Kind::Ring,
            3 => Kind::Part,
            _ => return Err(Discard::Header),
        };
        let node = NodeId::new(u32_at(head, 10)).ok_or(Discard::Header)?;
        let link = LinkId::new(head[22]).ok_or(Discard::Header)?;
        let copies = Copies::decode(head[23]).ok_or(Discard::Header)?;
        let sender = Processor::new(node, u64_at(head, 14));
        let key = u16::from_le_bytes([head[24], head[25]]);
        let to = NodeId::new(u32_at(head, TO_AT));
        let counter = u64_at(head, COUNTER_AT);
        Ok(Self { version, kind, sender, link, copies, key, to, counter })
    }

    pub(crate) fn encode(&self, common: Common) -> [u8; HEADER_LEN] {
        let mut head = [0; HEADER_LEN];
        head[..3].copy_from_slice(&MAGIC);
        head[3] = self.version;
        head[4] = self.kind as u8;
        head[5] = u8::from(common.sealed);
        head[6..10].copy_from_slice(&common.cluster);
        head[10..14].copy_from_slice(&self.sender.node.get().to_le_bytes());
        head[14..22].copy_from_slice(&self.sender.incarnation.to_le_bytes());
        head[22] = self.link.get();
        head[23] = self.copies.encode();
        head[24..TO_AT].copy_from_slice(&self.key.to_le_bytes());
        head[TO_AT..COUNTER_AT].copy_from_slice(&self.to.map_or(0, NodeId::get).to_le_bytes());
        head[COUNTER_AT..].copy_from_slice(&self.counter.to_le_bytes());
        head
    }
}

fn u32_at(head: &[u8; HEADER_LEN], at: usize) -> u32 {
    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

fn u64_at(head: &[u8; HEADER_LEN], at: usize) -> u64 {
    u64::from(u32_at(head, at)) | u64::from(u32_at(head, at + 4)) << 32
}

const MAGIC: [u8; 3] = *b"EVS";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versions::VERSION;

    fn header() -> Header {
        let node = NodeId::new(0x0102_0304).expect("not zero");
        Header {
            version: VERSION,
            kind: Kind::Ring,
            sender: Processor::new(node, 0x1122_3344_5566_7788),
            link: LinkId::new(5).expect("below the limit"),
            copies: Copies { place: 1, count: 2 },
            key: 0x0a0b,
            to: NodeId::new(0x0506_0708),
            counter: 9,
        }
    }

    #[test]
    fn a_header_survives_encoding() {
        let common = Common::new("test", false);
        for header in [header(), Header { to: None, ..header() }] {
            assert_eq!(Header::decode(&header.encode(common), common), Ok(header));
        }
    }

    #[test]
    fn each_field_that_does_not_fit_has_its_own_reason() {
        let common = Common::new("test", false);
        let reason = |at: usize, value: u8| {
            let mut head = header().encode(common);
            head[at] = value;
            Header::decode(&head, common).expect_err("does not fit")
        };
        assert_eq!(reason(0, b'e'), Discard::Magic);
        assert_eq!(reason(3, 2), Discard::Version);
        assert_eq!(reason(4, 0), Discard::Header);
        assert_eq!(reason(5, 1), Discard::Seal);
        let mut head = header().encode(common);
        head[10..14].fill(0);
        assert_eq!(Header::decode(&head, common), Err(Discard::Header));
        assert_eq!(reason(22, 8), Discard::Header, "there are eight links");
        assert_eq!(reason(23, 0x12), Discard::Header, "the third copy of two");
        assert_eq!(reason(23, 0x80), Discard::Header, "the first copy of nine");
        let other = Common::new("other", false);
        assert_eq!(Header::decode(&header().encode(other), common), Err(Discard::Cluster));
    }

    #[test]
    fn lengths_are_bounded_at_both_ends() {
        let common = Common::new("test", true);
        let mut datagram = header().encode(common).to_vec();
        datagram.resize(SEAL_OVERHEAD - 1, 0);
        assert_eq!(Header::decode(&datagram, common), Err(Discard::Length));
        datagram.resize(SEAL_OVERHEAD, 0);
        assert_eq!(Header::decode(&datagram, common), Ok(header()));
        datagram.resize(DATAGRAM_BYTES_MAX, 0);
        assert_eq!(Header::decode(&datagram, common), Ok(header()));
        datagram.push(0);
        assert_eq!(Header::decode(&datagram, common), Err(Discard::Length));
    }
}
